//! The manual's script, which checks a certificate with nothing of ours.

use std::path::Path;
use std::process::{Command, Output};

use evidence::{Attestation, CertifiedConsignment, Residue, verify, write};
use lexicon::{Code, ConsignmentId, Digest, canonical, hours_after};
use people::{Envelope, PayloadType};

use crate::cast::{CAST, put, skipped};
use crate::packed::members;
use crate::shelved::Shelved;
use crate::tale::{ROUND, Setting, Tale};

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manual");
/// The Python that has the packages of `xtask/python.txt`; set by `cargo xtask test`.
const PYTHON: &str = "LAZARET_TEST_PYTHON";

/// Flips the lowest bit of every byte, one at a time, and counts those that the script takes all the same.
const FLIPS: &str = "
import sys
sys.path.insert(0, sys.argv[1])
import verify
from pathlib import Path
read = lambda name: (Path(sys.argv[2]) / name).read_bytes()
def holds(certificate):
    try:
        verify.check(lambda name: certificate if name == 'certificate.json' else read(name))
        return True
    except (Exception, SystemExit):
        return False
whole = read('certificate.json')
flipped = (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:] for at in range(len(whole)))
print(holds(whole), len(whole), sum(map(holds, flipped)))
";

fn python(test: &str) -> Option<Command> {
    let python = std::env::var(PYTHON).ok();
    if python.is_none() {
        skipped(test, "LAZARET_TEST_PYTHON is not set");
    }
    let mut command = Command::new(python?);
    command.arg("-B");
    Some(command)
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat()
}

/// The members of a pack as files in a folder.
fn unpacked(tale: &Tale, folder: &Path) {
    for (name, bytes) in members(&write(&tale.pack()).unwrap()).into_iter().filter(|(name, _)| !name.contains('/')) {
        put(&folder.join(name), &bytes);
    }
}

#[test]
fn the_script_takes_every_kind_of_certificate_and_says_from_when_it_is_in_effect() {
    let test = "the_script_takes_every_kind_of_certificate_and_says_from_when_it_is_in_effect";
    if python(test).is_none() {
        return;
    }
    let opened = |setting| Tale::approved(setting).opens();
    let begun = |setting| opened(setting).begins_to_extract().closes();
    let usual = Setting::default();
    let whole = |setting| Tale::whole(setting);
    let tales = vec![
        (whole(usual), " holds: 3 parcels, in effect from 2026-03-04T05:31:00Z"),
        (whole(Setting { snapshot_days: 14, ..usual }), "in effect from 2026-03-18T05:31:00Z"),
        (begun(usual).cancels().destroys().finishes(), "in effect from 2026-03-03T10:35:00Z"),
        (begun(usual).releases().cancels().destroys().finishes(), "3 parcels"),
        (begun(Setting { not_forgotten: true, ..usual }).cancels().destroys().finishes(), "3 parcels"),
        (opened(usual).begins_to_extract().cancels().destroys().finishes(), "0 parcels"),
        (opened(usual).cancels().destroys().finishes(), "0 parcels"),
        (whole(Setting { key_missing: true, ..usual }), "3 parcels, in effect from None"),
        (whole(Setting { inventory: Shelved::MoreBesides, ..usual }), "4 parcels"),
        (whole(Setting { lingering: true, unlinked: true, clear_swap: true, ..usual }), "3 parcels"),
        (whole(Setting { key_ring: "pkcs11", vendor_extracts: true, ..usual }), "3 parcels"),
        (whole(Setting { key_ring: "openbao", share_lost: true, ..usual }), "3 parcels"),
        (whole(Setting { demonstration: true, ..usual }), "DEMONSTRATION: "),
        (Tale::approved(usual).cancels().finishes(), "0 parcels, in effect from None"),
    ];
    for (tale, words) in tales {
        let folder = tempfile::tempdir().unwrap();
        let pack = folder.path().join("evidence.zip");
        put(&pack, &write(&tale.pack()).unwrap());
        let output = python(test).unwrap().arg(format!("{MANUAL}/verify.py")).arg(&pack).output().unwrap();
        assert!(output.status.success() && text(&output).contains(words), "{words}: {}", text(&output));
        assert_eq!(text(&output).contains("DEMONSTRATION"), tale.setting.demonstration, "{}", text(&output));
    }
}

#[test]
fn the_script_takes_no_certificate_with_one_flipped_bit_nor_another_servers() {
    let Some(mut command) = python("the_script_takes_no_certificate_with_one_flipped_bit_nor_another_servers") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    unpacked(&Tale::whole(Setting::default()), folder.path());
    let output = command.args(["-c", FLIPS, MANUAL]).arg(folder.path()).output().unwrap();
    let told = text(&output);
    let [whole, bytes, taken] = told.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{told}") };
    assert_eq!((whole, taken), ("True", "0"), "{told}");
    assert!(bytes.parse::<usize>().unwrap() > 3000, "{told}");

    let card = folder.path().join("other.json");
    let key = CAST.roots().first().unwrap().key.to_string();
    put(&card, format!("{{\"key\":\"{key}\"}}").as_bytes());
    let mut command = python("").unwrap();
    let output = command.arg(format!("{MANUAL}/verify.py")).args([folder.path(), &card]).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("the name of the key"), "{}", text(&output));
}

/// A migration that ends before its release, with two parcels that the store keeps.
fn destroyed(inventory: Shelved) -> Tale {
    let setting = Setting { snapshot_days: 14, lingering: true, inventory, ..Setting::default() };
    Tale::approved(setting).opens().begins_to_extract().closes().cancels().destroys()
}

/// A certificate that was altered and signed again, named by its fact.
fn altered(alter: fn(&mut Attestation)) -> Tale {
    let mut tale = destroyed(Shelved::AsSigned);
    let true_one = tale.clone().finishes().certificate.unwrap();
    let key = &CAST.server;
    let mut attestation: Attestation = true_one.open(PayloadType::InToto, &key.public()).unwrap();
    alter(&mut attestation);
    tale.names(Envelope::sign(PayloadType::InToto, &attestation, key.public().digest(), key).unwrap());
    tale
}

fn round(attestation: &mut Attestation) -> &mut CertifiedConsignment {
    attestation.predicate.consignments.first_mut().unwrap()
}

/// The name of a parcel, in the inventory and among the subjects.
fn rename(attestation: &mut Attestation) {
    let other = ConsignmentId([0x2b; 16]).to_string();
    let line = round(attestation).inventory.lines.first_mut().unwrap();
    let name = line.name.replace(&ROUND.to_string(), &other);
    line.name.clone_from(&name);
    attestation.subject.get_mut(1).unwrap().name = name;
}

/// Another mark, and with it or without it the sentence that belongs to it.
fn mark(attestation: &mut Attestation, sentence: bool) {
    let certificate = &mut attestation.predicate;
    certificate.demonstration = true;
    if sentence {
        let words = "DEMONSTRATION: made with synthetic records on a server for demonstrations; it certifies nothing about \
                     real ones.";
        certificate.wording.insert(0, words.to_owned());
    }
}

type Alter = fn(&mut Attestation);

/// What is altered, and what the script says does not hold.
const FIGURES: [(&str, Alter); 29] = [
    ("key of consignment", |a| round(a).key.at = hours_after(round(a).key.at, 1)),
    ("key of consignment", |a| round(a).key.found = false),
    ("key of consignment", |a| drop(round(a).key.said.pop())),
    ("effect of consignment", |a| round(a).effect.key_act = None),
    ("effect of consignment", |a| round(a).effect.snapshot_days = 13),
    ("effect of consignment", |a| round(a).effect.at = round(a).effect.key_act),
    ("until when snapshots are kept", |a| round(a).effect.snapshots_until = None),
    ("inventory of consignment", |a| round(a).inventory.parcels = 4),
    ("inventory of consignment", |a| round(a).inventory.bytes = 81_000_001),
    ("inventory of consignment", |a| round(a).inventory.root = Digest([0; 32])),
    ("inventory of consignment", rename),
    ("deleted of consignment", |a| round(a).deleted = 2),
    ("deleted_bytes of consignment", |a| round(a).deleted_bytes = 80_999_999),
    ("left of consignment", |a| round(a).left.objects = 1),
    ("left of consignment", |a| round(a).left.versions = 1),
    ("left of consignment", |a| round(a).left.unfinished = 1),
    ("residues of consignment", |a| drop(round(a).residues.remove(0))),
    ("residues of consignment", |a| *round(a).residues.first_mut().unwrap() = Residue::TokenBackups),
    ("residues of consignment", |a| drop(round(a).residues.pop())),
    ("residues of consignment", |a| round(a).residues.push(Residue::Recipient)),
    ("the times in its words", |a| {
        let effect = round(a).wording.last_mut().unwrap();
        *effect = effect.replace("2026-03-17", "2026-03-04");
    }),
    ("words", |a| round(a).wording.first_mut().unwrap().push_str(" Nothing is left anywhere.")),
    ("words", |a| a.predicate.wording.insert(0, "No copy is left.".to_owned())),
    ("its mark", |a| mark(a, true)),
    ("its mark", |a| mark(a, false)),
    ("from when all of it is in effect", |a| a.predicate.effective = round(a).effect.key_act),
    ("its subjects", |a| a.subject.first_mut().unwrap().digest.sha256 = Digest([0; 32])),
    ("its subjects", |a| a.predicate.facts.number = 3),
    ("its subjects", |a| drop(a.subject.pop())),
];

/// What the script says of a folder with the three members that it reads.
fn script_says(tale: &Tale) -> Option<Output> {
    let mut command = python("script_and_program_refuse_every_figure_that_is_altered_and_signed_again")?;
    let pack = tale.pack();
    let lines: Vec<Vec<u8>> =
        pack.entries.iter().map(|placed| [canonical(placed).unwrap(), b"\n".to_vec()].concat()).collect();
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("certificate.json"), &canonical(pack.certificate.as_ref().unwrap()).unwrap());
    put(&folder.path().join("server.json"), &canonical(&pack.card).unwrap());
    put(&folder.path().join("entries.jsonl"), &lines.concat());
    Some(command.arg(format!("{MANUAL}/verify.py")).arg(folder.path()).output().unwrap())
}

#[test]
fn script_and_program_refuse_every_figure_that_is_altered_and_signed_again() {
    let taken: (&str, Alter) = (" holds: 3 parcels", |_| ());
    for (words, alter) in FIGURES.into_iter().chain([taken]) {
        let tale = altered(alter);
        let program = verify(&tale.pack(), &[]).map(drop).map_err(|trouble| trouble.code());
        assert_eq!(program, if words == taken.0 { Ok(()) } else { Err(Code(907)) }, "{words}");
        let Some(output) = script_says(&tale) else { continue };
        assert!(output.status.success() == (words == taken.0) && text(&output).contains(words), "{}", text(&output));
    }
    let script = std::fs::read_to_string(format!("{MANUAL}/verify.py")).unwrap();
    assert!(script.lines().count() <= 60, "as the manual says");
}

#[test]
fn facts_that_tell_of_less_deleted_than_there_was_are_refused_by_both() {
    let tale = destroyed(Shelved::NotAllDeleted).finishes();
    let trouble = verify(&tale.pack(), &[]).unwrap_err();
    assert!(trouble.code() == Code(907) && trouble.to_string().contains("less was deleted"), "{trouble}");
    let Some(output) = script_says(&tale) else { return };
    assert!(!output.status.success() && text(&output).contains("that all of it was deleted"), "{}", text(&output));
}
