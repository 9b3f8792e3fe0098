//! The certificate as an in-toto Statement: what it speaks of, what lay on the shelf, from when it is in effect.

use evidence::{Attestation, Effect, Residue, verify};
use lexicon::{Code, Digest, hours_after};
use people::{Envelope, PayloadType};
use serde_json::Value;

use crate::cast::CAST;
use crate::shelved::Shelved;
use crate::tale::{ROUND, Setting, Tale};

fn attestation(tale: &Tale) -> Attestation {
    tale.certificate.as_ref().unwrap().open(PayloadType::InToto, &CAST.server.public()).unwrap()
}

/// Signed, but not released: the inventory is all there is to see.
fn closed(setting: Setting) -> Tale {
    Tale::approved(setting).opens().begins_to_extract().closes().cancels().destroys().finishes()
}

#[test]
fn a_certificate_is_an_in_toto_statement_in_an_envelope_that_others_read() {
    let tale = Tale::whole(Setting::default());
    let envelope = tale.certificate.as_ref().unwrap();
    let outer: Value = serde_json::to_value(envelope).unwrap();
    assert_eq!(outer["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(outer["signatures"][0]["keyid"], CAST.server.public().digest().to_string());
    let statement: Value = serde_json::from_slice(&envelope.bytes().unwrap()).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "urn:lazaret:destruction:1");
    let keys: Vec<&String> = statement.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["_type", "predicate", "predicateType", "subject"]);
    // The fact before the certificate's, then each parcel under the digest of its sealed bytes.
    let facts = &attestation(&tale).predicate.facts;
    assert_eq!(statement["subject"][0]["name"], format!("{}/facts/14", "07".repeat(16)));
    assert_eq!(statement["subject"][0]["digest"]["sha256"], facts.digest.to_string());
    for (place, parcel) in [(1, 1_u8), (2, 2), (3, 3)] {
        let subject = &statement["subject"][place];
        assert_eq!(subject["name"], format!("{ROUND}/1/{}", lexicon::ParcelId([parcel; 16])));
        assert_eq!(subject["digest"]["sha256"], Digest::of(&[parcel]).to_string());
    }
}

#[test]
fn the_key_act_is_in_the_certificate_as_the_ring_told_it() {
    let round = attestation(&Tale::whole(Setting::default())).predicate.consignments.remove(0);
    assert_eq!((round.key.id, round.key.said.len()), (format!("keys/{ROUND}.key"), 2));
    assert_eq!(round.key_commitment, Digest::of(b"strongroom share"), "as the opening committed to it");
    assert_eq!(round.probes.share_refused, Some(Digest::of(b"wrapped share")));
    assert_eq!(round.residues, [Residue::Medium, Residue::Recipient]);
    let lost = attestation(&Tale::whole(Setting { share_lost: true, ..Setting::default() })).predicate;
    assert_eq!(lost.consignments.first().unwrap().probes.share_refused, None);
}

#[test]
fn a_recipients_probe_that_came_before_the_certificate_stands_in_it() {
    let loaded = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    let tale = loaded.signs_off().destroys().recipient_says(Some(procedure::ProbeResult::Failed)).finishes();
    let certificate = attestation(&tale).predicate;
    let [probe] = certificate.consignments.first().unwrap().probes.recipients.as_slice() else { panic!("one") };
    assert_eq!((probe.name.as_str(), probe.probe), ("Élise Noël", Some(procedure::ProbeResult::Failed)));
    verify(&tale.pack(), &CAST.roots()).unwrap();
}

#[test]
fn the_inventory_is_a_tree_over_its_lines_and_is_held_against_the_manifest() {
    let of = |inventory| closed(Setting { inventory, ..Setting::default() });
    let missing = |tale: &Tale| {
        let missing = verify(&tale.pack(), &CAST.roots()).unwrap().missing;
        missing.into_iter().filter(|what| what.contains("inventory")).collect::<Vec<_>>()
    };
    let (signed, more) = (of(Shelved::AsSigned), of(Shelved::MoreBesides));
    let inventory = |tale: &Tale| attestation(tale).predicate.consignments.remove(0).inventory;
    assert_eq!((inventory(&signed).parcels, inventory(&signed).bytes), (3, 81_000_000));
    assert_eq!((inventory(&more).parcels, inventory(&more).bytes), (4, 81_000_007));
    assert_ne!(inventory(&signed).root, inventory(&more).root);
    assert_eq!((missing(&signed), missing(&more)), (Vec::new(), Vec::new()));
    for (inventory, parcel) in [(Shelved::OneLess, 3_u8), (Shelved::OneChanged, 1)] {
        let [sentence] = <[String; 1]>::try_from(missing(&of(inventory))).unwrap();
        assert_eq!(
            sentence,
            format!(
                "consignment 1a1a1a1a: in the server's inventory of what it destroyed, 1 parcels as the manifest signs \
                 them, the first of them {}",
                lexicon::ParcelId([parcel; 16])
            )
        );
    }
}

#[test]
fn a_certificate_is_in_effect_from_the_latest_of_key_act_lease_and_snapshots() {
    let effect = |setting| {
        let certificate = attestation(&closed(setting)).predicate;
        (certificate.effective, certificate.consignments.first().unwrap().effect)
    };
    // The extraction was begun and cut short: its lease ends after the key.
    let (whole, lease) = effect(Setting::default());
    assert_eq!((whole, lease.at), (lease.last_lease, lease.last_lease));
    assert!(lease.key_act < lease.last_lease);
    let (whole, snapshots) = effect(Setting { snapshot_days: 14, ..Setting::default() });
    let until = hours_after(snapshots.key_act.unwrap(), 14 * 24);
    assert_eq!((whole, snapshots.at, snapshots.snapshots_until), (Some(until), Some(until), Some(until)));
    let late = attestation(&Tale::whole(Setting::default())).predicate;
    let late = late.consignments.first().unwrap().effect;
    assert!(late.last_lease < late.key_act && late.at == late.key_act, "signed off a day after the load");
}

#[test]
fn a_key_that_could_leave_leaves_a_copy_among_what_is_known_to_be_left_and_no_complete_certificate() {
    for (key_ring, backups) in [("pkcs11", Residue::TokenBackups), ("openbao", Residue::ServiceBackups)] {
        let whole = |could_leave| Tale::whole(Setting { could_leave, key_ring, ..Setting::default() });
        let tale = whole(true);
        let round = attestation(&tale).predicate.consignments.remove(0);
        assert_eq!(round.residues, [backups.clone(), Residue::KeyCopy, Residue::Recipient]);
        let verdict = verify(&tale.pack(), &CAST.roots()).unwrap();
        let [missing] = verdict.missing.as_slice() else { panic!("{:?}", verdict.missing) };
        assert!(
            !verdict.certificate_complete && missing.contains("a ring key that could not leave its place"),
            "{missing}"
        );
        let told =
            verdict.statements.iter().filter(|said| said.text.contains("a copy of it may have been taken out before"));
        assert_eq!(told.count(), 2, "of the fact, and of the certificate");
        let pages = evidence::read(&evidence::write(&tale.pack()).unwrap()).unwrap().told;
        let page = String::from_utf8(pages.get("certificate.md").unwrap().clone()).unwrap();
        assert!(page.contains("\n* a copy of the ring key that may have been taken out\n"), "{page}");

        let control = whole(false);
        let round = attestation(&control).predicate.consignments.remove(0);
        assert_eq!(round.residues, [backups, Residue::Recipient]);
        assert!(verify(&control.pack(), &CAST.roots()).unwrap().certificate_complete);
        let spelled = String::from_utf8(lexicon::canonical(&round.key).unwrap()).unwrap();
        assert!(!spelled.contains("could_leave"), "it is spelled as ever: {spelled}");
    }
}

#[test]
fn a_key_that_was_never_there_leaves_a_certificate_without_effect_and_says_so() {
    let setting = Setting { key_missing: true, snapshot_days: 14, ..Setting::default() };
    let tale = closed(setting);
    let certificate = attestation(&tale).predicate;
    let round = certificate.consignments.first().unwrap();
    assert_eq!((certificate.effective, round.effect.at, round.key.found), (None, None, false));
    assert_eq!(round.residues, [Residue::UnknownKey]);
    assert_eq!(
        round.wording.last().unwrap(),
        "Nothing here says from when it is in effect: no ring key was destroyed."
    );
    let without = attestation(&Tale::approved(Setting::default()).cancels().finishes()).predicate;
    assert_eq!(without.effective, None, "nothing was ever opened");
}

/// What is said of a key that was destroyed, by ring and file system; never of one that was not found.
const DONE: [&str; 6] = ["overwr", "written over", "logical eras", "unlinked", "destroyed in it", "deleted in it"];

#[test]
fn no_sentence_says_of_a_key_that_was_never_found_how_it_was_destroyed() {
    for (key_ring, unlinked) in [("local", false), ("local", true), ("pkcs11", false), ("openbao", false)] {
        let said = |key_missing| {
            let tale = closed(Setting { unlinked, key_missing, key_ring, ..Setting::default() });
            let certificate = attestation(&tale).predicate;
            let statements = verify(&tale.pack(), &CAST.roots()).unwrap().statements;
            let pages = evidence::read(&evidence::write(&tale.pack()).unwrap()).unwrap().told;
            let page = String::from_utf8(pages.get("certificate.md").unwrap().clone()).unwrap();
            let signed = certificate.consignments.into_iter().flat_map(|round| round.wording);
            let texts = signed
                .chain(certificate.wording)
                .chain(statements.into_iter().map(|statement| statement.text))
                .chain([page]);
            texts.filter(|text| DONE.iter().any(|done| text.contains(done))).collect::<Vec<_>>()
        };
        assert_eq!(said(true), [""; 0], "{key_ring}, {unlinked}");
        assert!(said(false).len() > 2, "the control: {key_ring}, {unlinked}");
    }
}

#[test]
fn a_statement_that_names_other_subjects_than_its_certificate_is_an_alarm() {
    type Lie = fn(&mut Attestation);
    let lies: [(&str, Lie); 4] = [
        ("a parcel less", |a| drop(a.subject.pop())),
        ("another digest", |a| a.subject.last_mut().unwrap().digest.sha256 = Digest([0; 32])),
        ("another form", |a| a.kind = "https://in-toto.io/Statement/v0.1".into()),
        ("another predicate", |a| a.predicate_type = "https://slsa.dev/provenance/v1".into()),
    ];
    let effect = |a: &mut Attestation| {
        let round = a.predicate.consignments.first_mut().unwrap();
        round.effect = Effect::of(round.effect.key_act, None, 0);
    };
    let lying = |lie: &dyn Fn(&mut Attestation)| {
        let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().cancels().destroys();
        let mut certified = tale.clone().finishes();
        let mut attestation = attestation(&certified);
        lie(&mut attestation);
        certified = tale;
        let key = &CAST.server;
        certified.names(Envelope::sign(PayloadType::InToto, &attestation, key.public().digest(), key).unwrap());
        verify(&certified.pack(), &[]).map(drop)
    };
    lying(&|_| ()).unwrap();
    for (name, lie) in lies {
        assert_eq!(lying(&lie).unwrap_err().code(), Code(907), "{name}");
    }
    let trouble = lying(&effect).unwrap_err();
    assert!(trouble.to_string().contains("from when a destruction is in effect"), "{trouble}");
}
