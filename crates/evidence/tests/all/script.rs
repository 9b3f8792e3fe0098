//! The manual's script, which checks a certificate with nothing of ours.

use std::path::Path;
use std::process::{Command, Output};

use evidence::{Attestation, CertifiedConsignment, Pack, Reach, Residue, Trigger, verify, write};
use lexicon::{Code, ConsignmentId, Digest, canonical, hours_after};
use people::{Envelope, PayloadType};
use procedure::Kind;

use crate::cast::{CAST, put, skipped};
use crate::packed::members;
use crate::shelved::Shelved;
use crate::tale::{ROUND, Setting, Tale};

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manual");
/// The Python that has the packages of `xtask/python.txt`; set by `cargo xtask test`.
const PYTHON: &str = "LAZARET_TEST_PYTHON";

/// Flips the lowest bit of every byte, one at a time, and counts those that the script takes all the same.
const FLIPS: &str = "
import contextlib, io, sys
from pathlib import Path
script, folder = Path(sys.argv[1]) / 'verify.py', sys.argv[2]
code = compile(script.read_bytes(), str(script), 'exec')
certificate = Path(folder) / 'certificate.json'
def holds(altered):
    certificate.write_bytes(altered)
    sys.argv = [str(script), folder]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, {'__file__': str(script)})
        return True
    except (Exception, SystemExit):
        return False
whole = certificate.read_bytes()
flipped = (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:] for at in range(len(whole)))
print(holds(whole), len(whole), sum(map(holds, flipped)))
certificate.write_bytes(whole)
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
        (whole(usual), "holds: 3 parcels, in effect from 2026-03-04T05:31:00Z"),
        (whole(Setting { snapshot_days: 14, ..usual }), "in effect from 2026-03-18T05:31:00Z"),
        (begun(usual).cancels().destroys().finishes(), "in effect from 2026-03-03T10:35:00Z"),
        (begun(usual).releases().cancels().destroys().finishes(), "3 parcels"),
        (begun(Setting { not_forgotten: true, ..usual }).cancels().destroys().finishes(), "3 parcels"),
        (opened(usual).begins_to_extract().cancels().destroys().finishes(), "0 parcels"),
        (opened(usual).cancels().destroys().finishes(), "0 parcels"),
        (whole(Setting { key_missing: true, ..usual }), "3 parcels, in effect from None"),
        (whole(Setting { inventory: Shelved::MoreBesides, ..usual }), "4 parcels"),
        (whole(Setting { lingering: true, unlinked: true, clear_swap: true, ..usual }), "3 parcels"),
        (whole(Setting { inventory: Shelved::OneAbsent, lingering: true, ..usual }), "3 parcels"),
        (whole(Setting { key_ring: "pkcs11", vendor_extracts: true, ..usual }), "3 parcels"),
        (whole(Setting { key_ring: "openbao", share_lost: true, ..usual }), "3 parcels"),
        (whole(Setting { key_ring: "pkcs11", could_leave: true, ..usual }), "3 parcels"),
        (whole(Setting { key_ring: "openbao", could_leave: true, snapshot_days: 14, ..usual }), "3 parcels"),
        (whole(Setting { unlinked: true, could_leave: true, ..usual }), "3 parcels"),
        (whole(Setting { key_ring: "openbao", could_leave: true, key_missing: true, ..usual }), "effect from None"),
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
    let tale = destroyed(Shelved::AsSigned);
    let mut attestation = certificate(&tale);
    alter(&mut attestation);
    signed_again(tale, &attestation)
}

/// What the server would certify of a story that is destroyed.
fn certificate(tale: &Tale) -> Attestation {
    tale.clone().finishes().certificate.unwrap().open(PayloadType::InToto, &CAST.server.public()).unwrap()
}

fn signed_again(mut tale: Tale, attestation: &Attestation) -> Tale {
    let key = &CAST.server;
    tale.names(Envelope::sign(PayloadType::InToto, attestation, key.public().digest(), key).unwrap());
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

/// What the script says when a member of the whole certificate is not what the facts say.
const WHOLE: &str = "its form, subjects or whole";

/// What is altered, and what the script says does not hold.
const FIGURES: [(&str, Alter); 46] = [
    ("its key\n", |a| round(a).key.at = hours_after(round(a).key.at, 1)),
    ("its key\n", |a| round(a).key.found = false),
    ("its key\n", |a| drop(round(a).key.said.pop())),
    ("its key_commitment", |a| round(a).key_commitment = Digest([0; 32])),
    ("its kind", |a| round(a).kind = Kind::Delta),
    ("its reach", |a| round(a).reach = Reach::NotExtracted),
    ("its close", |a| round(a).close = None),
    ("its laboratory_share", |a| round(a).laboratory_share = Some(Digest([0; 32]))),
    ("its forgotten", |a| round(a).forgotten = false),
    ("its fact\n", |a| round(a).fact = 9),
    ("its ring_refused", |a| round(a).probes.ring_refused = false),
    ("its share_refused", |a| round(a).probes.share_refused = None),
    ("its key_act", |a| round(a).effect.key_act = None),
    ("its last_lease", |a| round(a).effect.last_lease = None),
    ("its snapshot_days", |a| round(a).effect.snapshot_days = 13),
    ("its at\n", |a| round(a).effect.at = round(a).effect.key_act),
    ("its snapshots_until", |a| round(a).effect.snapshots_until = None),
    ("its parcels", |a| round(a).inventory.parcels = 4),
    ("its bytes", |a| round(a).inventory.bytes = 81_000_001),
    ("its root", |a| round(a).inventory.root = Digest([0; 32])),
    ("its lines", rename),
    ("its deleted\n", |a| round(a).deleted = 2),
    ("its deleted_bytes", |a| round(a).deleted_bytes = 80_999_999),
    ("its left", |a| round(a).left.objects = 1),
    ("its left", |a| round(a).left.versions = 1),
    ("its left", |a| round(a).left.unfinished = 1),
    ("its residues", |a| drop(round(a).residues.remove(0))),
    ("its residues", |a| *round(a).residues.first_mut().unwrap() = Residue::TokenBackups),
    ("its residues", |a| drop(round(a).residues.pop())),
    ("its residues", |a| round(a).residues.push(Residue::Recipient)),
    ("the times in its words", |a| {
        let effect = round(a).wording.last_mut().unwrap();
        *effect = effect.replace("2026-03-17", "2026-03-04");
    }),
    ("its words", |a| round(a).wording.first_mut().unwrap().push_str(" Nothing is left anywhere.")),
    ("its words", |a| round(a).wording.insert(0, "It was destroyed in it.".to_owned())),
    ("zip()", |a| a.predicate.consignments.clear()),
    ("zip()", |a| a.predicate.facts.number = 3),
    (WHOLE, |a| a.predicate.facts.digest = Digest([0; 32])),
    (WHOLE, |a| a.predicate.wording.insert(0, "No copy is left.".to_owned())),
    (WHOLE, |a| mark(a, true)),
    (WHOLE, |a| mark(a, false)),
    (WHOLE, |a| a.predicate.effective = round(a).effect.key_act),
    (WHOLE, |a| "K2".clone_into(&mut a.predicate.level)),
    (WHOLE, |a| a.predicate.trigger = Trigger::SignedOff { by: "Claire Le Goff".to_owned(), fact: 9 }),
    (WHOLE, |a| a.predicate.trigger = Trigger::Cancelled { by: "Claire Le Goff".to_owned(), fact: 8 }),
    (WHOLE, |a| a.subject.first_mut().unwrap().digest.sha256 = Digest([0; 32])),
    (WHOLE, |a| drop(a.subject.pop())),
    (WHOLE, |a| a.kind.push('1')),
];

/// What the script takes from the certificate, as the manual says: the program alone holds it against the facts.
const UNCHECKED: [Alter; 9] = [
    |a| a.predicate.persons.clear(),
    |a| a.predicate.controller.push('2'),
    |a| a.predicate.trigger = Trigger::Cancelled { by: "Maud Riou".to_owned(), fact: 9 },
    |a| a.predicate.plan = None,
    |a| a.predicate.instruction = None,
    |a| a.predicate.scope = None,
    |a| a.predicate.issued_at = hours_after(a.predicate.issued_at, 1),
    |a| round(a).laboratory_share_held_by_vendor = true,
    |a| round(a).ended.push('.'),
];

/// What the script says of a folder with the three members that it reads.
fn script_says(pack: &Pack) -> Option<Output> {
    let mut command = python("script_and_program_refuse_every_figure_that_is_altered_and_signed_again")?;
    let lines: Vec<Vec<u8>> =
        pack.entries.iter().map(|placed| [canonical(placed).unwrap(), b"\n".to_vec()].concat()).collect();
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("certificate.json"), &canonical(pack.certificate.as_ref().unwrap()).unwrap());
    put(&folder.path().join("server.json"), &canonical(&pack.card).unwrap());
    put(&folder.path().join("entries.jsonl"), &lines.concat());
    Some(command.arg(format!("{MANUAL}/verify.py")).arg(folder.path()).output().unwrap())
}

fn program_says(pack: &Pack) -> Result<(), Code> {
    verify(pack, &[]).map(drop).map_err(|trouble| trouble.code())
}

/// Whether the script refuses this pack in these words; also where there is no Python to run it.
fn script_refuses(pack: &Pack, words: &str) {
    let Some(output) = script_says(pack) else { return };
    let said = text(&output);
    let plainly = said.contains("not shown: ") && !said.contains("Traceback");
    assert!(!output.status.success() && plainly && said.contains(words), "{words}: {said}");
}

fn script_takes(pack: &Pack) {
    let Some(output) = script_says(pack) else { return };
    assert!(output.status.success() && text(&output).contains("holds: 3 parcels"), "{}", text(&output));
}

#[test]
fn script_and_program_refuse_every_figure_that_is_altered_and_signed_again() {
    for (words, alter) in FIGURES {
        let pack = altered(alter).pack();
        assert_eq!(program_says(&pack), Err(Code(907)), "{words}");
        script_refuses(&pack, words);
    }
    let pack = altered(|_| ()).pack();
    assert_eq!(program_says(&pack), Ok(()));
    script_takes(&pack);
    let script = std::fs::read_to_string(format!("{MANUAL}/verify.py")).unwrap();
    assert!(script.lines().count() <= 60, "as the manual says");
}

#[test]
fn what_the_script_leaves_to_the_program_is_what_the_manual_says() {
    for (place, alter) in UNCHECKED.into_iter().enumerate() {
        let pack = altered(alter).pack();
        assert_eq!(program_says(&pack), Err(Code(907)), "{place}");
        script_takes(&pack);
    }
}

#[test]
fn a_sentence_on_how_a_key_is_destroyed_is_refused_by_both_where_none_was_found() {
    let found = certificate(&destroyed(Shelved::AsSigned)).predicate.consignments.remove(0).wording;
    let level = found.into_iter().find(|words| words.starts_with("Level K0")).unwrap();
    let setting = Setting { key_missing: true, ..Setting::default() };
    let tale = Tale::approved(setting).opens().begins_to_extract().closes().cancels().destroys();
    let mut attestation = certificate(&tale);
    round(&mut attestation).wording.insert(1, level);
    let pack = signed_again(tale, &attestation).pack();
    assert_eq!(program_says(&pack), Err(Code(907)));
    script_refuses(&pack, "its words");
}

type Lie<'l> = (&'l str, &'l dyn Fn(&mut Attestation));

#[test]
fn a_certificate_that_keeps_quiet_of_a_key_that_could_leave_is_refused_by_both() {
    let of = |key_ring, could_leave| {
        let setting = Setting { could_leave, key_ring, ..Setting::default() };
        Tale::approved(setting).opens().begins_to_extract().closes().cancels().destroys()
    };
    let level = |a: &mut Attestation| -> String {
        round(a).wording.iter().find(|words| words.starts_with("Level ")).unwrap().clone()
    };
    for key_ring in ["pkcs11", "openbao"] {
        let quiet = level(&mut certificate(&of(key_ring, false)));
        let open = level(&mut certificate(&of(key_ring, true)));
        let lies: [Lie<'_>; 4] = [
            ("its words", &|a| {
                let said = round(a).wording.iter_mut().find(|words| **words == open).unwrap();
                said.clone_from(&quiet);
            }),
            ("its words", &|a| round(a).wording.insert(1, quiet.clone())),
            ("its residues", &|a| round(a).residues.retain(|left| *left != Residue::KeyCopy)),
            ("its key\n", &|a| round(a).key.could_leave = false),
        ];
        for (words, lie) in lies {
            let tale = of(key_ring, true);
            let mut attestation = certificate(&tale);
            lie(&mut attestation);
            let pack = signed_again(tale, &attestation).pack();
            assert_eq!(program_says(&pack), Err(Code(907)), "{key_ring}: {words}");
            script_refuses(&pack, words);
        }
        let tale = of(key_ring, true);
        let attestation = certificate(&tale);
        let pack = signed_again(tale, &attestation).pack();
        assert_eq!(program_says(&pack), Ok(()), "{key_ring}");
        script_takes(&pack);
        // Nor is one said to have left that did not.
        let tale = of(key_ring, false);
        let mut attestation = certificate(&tale);
        round(&mut attestation).residues.insert(1, Residue::KeyCopy);
        let pack = signed_again(tale, &attestation).pack();
        assert_eq!(program_says(&pack), Err(Code(907)), "{key_ring}");
        script_refuses(&pack, "its residues");
    }
}

#[test]
fn a_certificate_that_no_fact_names_and_facts_that_are_not_one_chain_are_refused_by_both() {
    let tale = destroyed(Shelved::AsSigned);
    let mut later = tale.clone();
    later.pass_minutes(1);
    let (mut other, mut shorter) = (tale.clone().finishes().pack(), tale.finishes().pack());
    other.certificate = later.finishes().certificate;
    assert_eq!(program_says(&other), Err(Code(907)));
    script_refuses(&other, "its fact\n");
    drop(shorter.entries.remove(7));
    drop(shorter.inclusion.remove(7));
    assert!(program_says(&shorter).is_err());
    script_refuses(&shorter, "that fact 8 is of its act and follows");
}

#[test]
fn a_certificate_that_leaves_an_absent_parcel_out_of_what_is_left_is_refused_by_both() {
    let tale = destroyed(Shelved::OneAbsent);
    let mut attestation = certificate(&tale);
    script_takes(&signed_again(tale.clone(), &attestation).pack());
    round(&mut attestation).residues.retain(|left| !matches!(left, Residue::AbsentParcels { .. }));
    let pack = signed_again(tale, &attestation).pack();
    assert_eq!(program_says(&pack), Err(Code(907)));
    script_refuses(&pack, "its residues");
}

#[test]
fn facts_that_tell_of_less_deleted_than_there_was_are_refused_by_both() {
    let tale = destroyed(Shelved::NotAllDeleted).finishes();
    let trouble = verify(&tale.pack(), &[]).unwrap_err();
    assert!(trouble.code() == Code(907) && trouble.to_string().contains("less was deleted"), "{trouble}");
    script_refuses(&tale.pack(), "that all of it was deleted");
}
