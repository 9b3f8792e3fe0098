//! The manual's script, which checks a certificate with nothing of ours.

use std::path::Path;
use std::process::{Command, Output};

use evidence::{Attestation, CertifiedConsignment, verify, write};
use lexicon::{Code, Digest, canonical, hours_after};
use people::{Envelope, PayloadType};

use crate::cast::{CAST, put, skipped};
use crate::packed::members;
use crate::shelved::Shelved;
use crate::tale::{Setting, Tale};

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
    except Exception:
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
    let begun = |setting| Tale::approved(setting).opens().begins_to_extract().closes();
    let usual = Setting::default();
    let tales = [
        (Tale::whole(usual), "3 parcels, in effect from 2026-03-04T05:31:00Z"),
        (Tale::whole(Setting { snapshot_days: 14, ..usual }), "in effect from 2026-03-18T05:31:00Z"),
        (begun(usual).cancels().destroys().finishes(), "in effect from 2026-03-03T10:35:00Z"),
        (Tale::whole(Setting { key_missing: true, ..usual }), "3 parcels, in effect from None"),
        (Tale::whole(Setting { inventory: Shelved::MoreBesides, ..usual }), "4 parcels"),
        (Tale::approved(usual).cancels().finishes(), "0 parcels, in effect from None"),
    ];
    for (tale, words) in tales {
        let test = "the_script_takes_every_kind_of_certificate_and_says_from_when_it_is_in_effect";
        let Some(mut command) = python(test) else { return };
        let folder = tempfile::tempdir().unwrap();
        let pack = folder.path().join("evidence.zip");
        put(&pack, &write(&tale.pack()).unwrap());
        let output = command.arg(format!("{MANUAL}/verify.py")).arg(&pack).output().unwrap();
        assert!(output.status.success() && text(&output).contains(words), "{words}: {}", text(&output));
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

/// A certificate that was altered and signed again, named by its fact.
fn altered(alter: fn(&mut Attestation)) -> Tale {
    let setting = Setting { snapshot_days: 14, ..Setting::default() };
    let mut tale = Tale::approved(setting).opens().begins_to_extract().closes().cancels().destroys();
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

#[test]
fn script_and_program_refuse_every_figure_that_is_altered_and_signed_again() {
    type Alter = fn(&mut Attestation);
    let test = "script_and_program_refuse_every_figure_that_is_altered_and_signed_again";
    let inventory = "how many parcels an inventory has, their bytes, or its root";
    let figures: [(&str, Alter); 12] = [
        ("when a key was destroyed", |a| round(a).key.at = hours_after(round(a).key.at, 1)),
        ("when a key was destroyed", |a| round(a).key.found = false),
        ("when a key was destroyed", |a| round(a).effect.key_act = None),
        (inventory, |a| round(a).inventory.parcels = 4),
        (inventory, |a| round(a).inventory.bytes = 81_000_001),
        (inventory, |a| round(a).inventory.root = Digest([0; 32])),
        ("until when snapshots are kept", |a| round(a).effect.snapshots_until = None),
        ("from when a destruction is in effect", |a| round(a).effect.at = round(a).effect.key_act),
        ("from when all of it is in effect", |a| a.predicate.effective = round(a).effect.key_act),
        ("its subjects", |a| a.subject.first_mut().unwrap().digest.sha256 = Digest([0; 32])),
        ("its subjects", |a| a.predicate.facts.number = 3),
        ("its subjects", |a| drop(a.subject.pop())),
    ];
    let taken: (&str, Alter) = ("holds: 3 parcels", |_| ());
    let script = python(test).is_some();
    for (words, alter) in figures.into_iter().chain([taken]) {
        let tale = altered(alter);
        let program = verify(&tale.pack(), &[]).map(drop).map_err(|trouble| trouble.code());
        assert_eq!(program, if words == taken.0 { Ok(()) } else { Err(Code(907)) }, "{words}");
        let Some(mut command) = script.then(|| python(test).unwrap()) else { continue };
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("certificate.json"), &canonical(tale.certificate.as_ref().unwrap()).unwrap());
        put(&folder.path().join("server.json"), &canonical(&CAST.card(false)).unwrap());
        let output = command.arg(format!("{MANUAL}/verify.py")).arg(folder.path()).output().unwrap();
        assert!(output.status.success() == (words == taken.0) && text(&output).contains(words), "{}", text(&output));
    }
    let script = std::fs::read_to_string(format!("{MANUAL}/verify.py")).unwrap();
    assert!(script.lines().count() <= 60, "as the manual says");
}
