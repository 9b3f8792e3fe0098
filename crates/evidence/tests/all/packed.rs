use std::io::{Cursor, Read, Write};

use evidence::{PACK_BYTES_MAX, Pack, read, verify, write};
use lexicon::{Code, Result};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::cast::{CAST, Who};
use crate::tale::{Setting, Tale};

fn zipped() -> Vec<u8> {
    write(&Tale::whole(Setting::default()).pack()).unwrap()
}

fn opened(zip: &[u8]) -> Result<Pack> {
    let pack = read(zip)?;
    verify(&pack, &CAST.roots())?;
    Ok(pack)
}

fn code(zip: &[u8]) -> Code {
    opened(zip).unwrap_err().code()
}

pub(crate) fn members(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        found.push((file.name().unwrap().into_owned(), bytes));
    }
    found
}

fn zip_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn the_same_story_is_the_same_file_and_comes_back_as_it_was() {
    let zip = zipped();
    assert_eq!(zip, zipped());
    assert_eq!(write(&opened(&zip).unwrap()).unwrap(), zip);
    let names: Vec<String> = members(&zip).into_iter().map(|(name, _)| name).collect();
    let fixed = [
        "statements.md",
        "timeline.svg",
        "certificate.md",
        "statements.json",
        "about.json",
        "server.json",
        "people.json",
        "entries.jsonl",
        "inclusion.json",
        "checkpoint.txt",
        "certificate.json",
    ];
    assert_eq!(names.get(..11).unwrap(), fixed);
    assert!(names.iter().skip(11).all(|name| name.starts_with("documents/")));
}

#[test]
fn people_who_did_not_act_are_left_out() {
    let bystander = CAST.member(Who::Bystander).digest;
    let pack = opened(&zipped()).unwrap();
    assert!(pack.people.certificates.iter().all(|certificate| certificate.digest().unwrap() != bystander));
    assert_eq!(pack.people.certificates.len(), 5);
}

#[test]
fn a_pack_that_does_not_hold_is_not_written() {
    let mut pack = Tale::whole(Setting::default()).pack();
    pack.entries.swap(3, 4);
    assert!(write(&pack).is_err());
}

#[test]
fn a_pack_can_be_written_at_any_moment_of_a_story() {
    let approved = Tale::approved(Setting::default());
    let loaded = approved.clone().opens().begins_to_extract().closes().releases().loads();
    for tale in [Tale::approved(Setting::default()), approved.opens(), loaded] {
        let pack = opened(&write(&tale.pack()).unwrap()).unwrap();
        let verdict = verify(&pack, &CAST.roots()).unwrap();
        assert!(!verdict.certificate_complete);
        assert!(verdict.missing.first().unwrap().starts_with("the certificate of destruction"));
    }
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let zip = zipped();
    for length in (0..zip.len()).step_by(211).chain(zip.len() - 60..zip.len()) {
        let trouble = read(zip.get(..length).unwrap()).unwrap_err();
        assert_eq!(trouble.code(), Code(901), "cut at {length}");
    }
}

#[test]
fn a_turned_bit_is_found_or_changes_nothing() {
    let zip = zipped();
    let mut found = 0;
    for (at, bit) in (0..zip.len()).step_by(97).zip((0_u32..8).cycle()) {
        let mut turned = zip.clone();
        *turned.get_mut(at).unwrap() ^= 1 << bit;
        match opened(&turned) {
            // Times and attributes in zip headers say nothing that a pack says.
            Ok(pack) => assert_eq!(write(&pack).unwrap(), zip, "byte {at}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 50, "{found}");
}

#[test]
fn bytes_before_between_or_after_the_members_are_refused() {
    let zip = zipped();
    assert_eq!(code(&[b"#!/bin/sh\n".as_slice(), &zip].concat()), Code(901));
    assert_eq!(code(&[&zip, b"more".as_slice()].concat()), Code(901));
    assert_eq!(code(&[zip.as_slice(), &zip].concat()), Code(901));
    let mut commented = zip.clone();
    let end = commented.len();
    commented.splice(end - 2.., [4, 0, b'm', b'o', b'r', b'e']);
    assert_eq!(code(&commented), Code(901));
}

#[test]
fn a_member_that_is_none_of_a_packs_or_is_missing_is_refused() {
    let zip = zipped();
    let mut more = members(&zip);
    more.push(("readme.html".to_owned(), b"<script>".to_vec()));
    assert_eq!(code(&zip_of(&more)), Code(901));
    let needed = ["about.json", "server.json", "people.json", "entries.jsonl", "inclusion.json", "checkpoint.txt"];
    for name in needed {
        let fewer: Vec<_> = members(&zip).into_iter().filter(|(other, _)| other != name).collect();
        assert_eq!(code(&zip_of(&fewer)), Code(901), "{name}");
    }
    assert_eq!(opened(&zip_of(&members(&zip))).map(|pack| write(&pack).unwrap()).unwrap(), zip);
}

#[test]
fn a_member_under_two_names_or_one_name_for_two_is_refused() {
    let zip = zipped();
    let text = b"statements.md";
    let at = zip.windows(text.len()).position(|window| window == text).unwrap();
    let mut renamed = zip.clone();
    *renamed.get_mut(at).unwrap() = b'S';
    assert_eq!(code(&renamed), Code(901), "the local header names another file than the directory");
    let mut twice = members(&zip);
    twice.push(("statements.mD".to_owned(), b"All is well.".to_vec()));
    let doubled = zip_of(&twice);
    let doubled: Vec<u8> = replaced(&doubled, b"statements.mD", text);
    assert_eq!(code(&doubled), Code(901), "two members of one name");
}

/// `bytes` with `to` for `from`, which is as long.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        for (byte, new) in out.iter_mut().skip(at).zip(to) {
            *byte = *new;
        }
    }
    out
}

#[test]
fn words_that_were_changed_in_the_file_are_an_alarm() {
    for name in ["statements.md", "timeline.svg", "certificate.md", "statements.json"] {
        let mut changed = members(&zipped());
        let (_, bytes) = changed.iter_mut().find(|(other, _)| other == name).unwrap();
        *bytes = replaced(bytes, b"Claire Le Goff", b"Maude Le Goffe");
        assert_eq!(code(&zip_of(&changed)), Code(908), "{name}");
    }
}

#[test]
fn json_in_another_spelling_is_refused() {
    for name in ["server.json", "people.json", "inclusion.json", "certificate.json", "about.json", "entries.jsonl"] {
        let mut spelled = members(&zipped());
        let (_, bytes) = spelled.iter_mut().find(|(other, _)| other == name).unwrap();
        bytes.insert(1, b' ');
        assert_eq!(code(&zip_of(&spelled)), Code(901), "{name}");
    }
}

#[test]
fn a_zip_bomb_is_put_down_at_its_bound() {
    let mut bomb = members(&zipped());
    let (_, bytes) = bomb.iter_mut().find(|(name, _)| name == "statements.md").unwrap();
    *bytes = vec![b'a'; 260 * 1024 * 1024];
    let bomb = zip_of(&bomb);
    assert!(bomb.len() < 1024 * 1024);
    assert_eq!(code(&bomb), Code(902));
    assert_eq!(code(&vec![0; PACK_BYTES_MAX + 1]), Code(902));
    let many: Vec<_> = (0..1100).map(|number| (format!("documents/{number:064x}"), Vec::new())).collect();
    assert_eq!(code(&zip_of(&many)), Code(901));
}
