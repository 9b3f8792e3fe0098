//! Whom a party believes: certified persons of pinned roots, one key for one person, for 13 months at most.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect must fail")]

use std::collections::BTreeSet;

use lexicon::{Digest, PersonId, Result, SeededEntropy, Serial, Timestamp, hours_after};
use people::{
    Actor, Certificate, Device, Envelope, PayloadType, Person, Revocation, Role, Root, Roster, Signer, SigningKey,
};

fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn key(seed: u64) -> SigningKey {
    SigningKey::draw(&SeededEntropy::new(seed)).unwrap()
}

fn root(key: &SigningKey, organisation: &str) -> Root {
    Root { organisation: organisation.to_owned(), key: key.public() }
}

/// The laboratory's root and a roster that trusts it.
fn laboratory() -> (SigningKey, Roster) {
    let (key, mut roster) = (key(1), Roster::default());
    roster.trust(root(&key, "Laboratoire du Port"));
    (key, roster)
}

fn certificate(root: &SigningKey, device: &SigningKey, person: u8, name: &str) -> Certificate {
    Certificate {
        serial: Serial([person; 8]),
        root: root.public().digest(),
        person: Person { id: PersonId([person; 16]), name: name.to_owned() },
        device: Device { name: "laptop".to_owned(), key: device.public() },
        roles: BTreeSet::from([Role::Controller]),
        from: start(),
        until: hours_after(start(), 365 * 24),
    }
}

/// Signs without the checks that [`Certificate::sign`] makes, as a root with other software could.
fn unchecked(certificate: &Certificate, root: &SigningKey) -> Envelope {
    Envelope::sign(PayloadType::Certificate, certificate, root.public().digest(), root).unwrap()
}

fn word(device: &SigningKey, certificate: Digest) -> Envelope {
    Envelope::sign(PayloadType::Statement, &"seen", certificate, device).unwrap()
}

fn opened(roster: &Roster, envelope: &Envelope, at: Timestamp) -> Result<Signer> {
    roster.open::<String>(envelope, PayloadType::Statement, at).map(|(signer, _)| signer)
}

fn revocation(root: &SigningKey, certificate: Digest, compromised_since: Timestamp) -> Envelope {
    let id = root.public().digest();
    let revocation = Revocation { root: id, certificate, compromised_since, at: hours_after(start(), 48) };
    Envelope::sign(PayloadType::Revocation, &revocation, id, root).unwrap()
}

fn code<T>(result: Result<T>) -> u16 {
    result.map_or_else(|trouble| trouble.code().0, |_| 0)
}

#[test]
fn a_signer_is_whom_the_certificate_names() {
    let (root, mut roster) = laboratory();
    let device = key(2);
    let digest = roster.admit(&certificate(&root, &device, 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    let signer = opened(&roster, &word(&device, digest), start()).unwrap();
    assert_eq!((signer.person(), signer.name()), (PersonId([1; 16]), "Claire Le Goff"));
    assert_eq!(
        (signer.root(), signer.certificate(), signer.device()),
        (root.public().digest(), digest, device.public())
    );
    assert!(signer.is(Role::Controller) && !signer.is(Role::Operator));
}

#[test]
fn a_signature_of_another_device_is_an_alarm() {
    let (root, mut roster) = laboratory();
    let digest = roster.admit(&certificate(&root, &key(2), 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    assert_eq!(code(opened(&roster, &word(&key(3), digest), start())), 112);
}

#[test]
fn a_key_that_two_persons_share_is_refused_whoever_certifies_it() {
    let (root, mut roster) = laboratory();
    let (vendor, device) = (key(5), key(2));
    roster.trust(self::root(&vendor, "Vendor"));
    roster.admit(&certificate(&root, &device, 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    let lent = certificate(&root, &device, 2, "Yann Kerbrat").sign(&root).unwrap();
    assert_eq!(code(roster.admit(&lent)), 123);
    let elsewhere = certificate(&vendor, &device, 1, "Claire Le Goff").sign(&vendor).unwrap();
    assert_eq!(code(roster.admit(&elsewhere)), 123);
    // The same person on the same key again is a renewal.
    let renewed = Certificate { serial: Serial([9; 8]), ..certificate(&root, &device, 1, "Claire Le Goff") };
    roster.admit(&renewed.sign(&root).unwrap()).unwrap();
}

#[test]
fn one_name_is_one_person_of_a_root_whatever_its_tool_certifies() {
    let (root, mut roster) = laboratory();
    let vendor = key(5);
    roster.trust(self::root(&vendor, "Vendor"));
    roster.admit(&certificate(&root, &key(2), 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    for name in ["Claire Le Goff", "CLAIRE  LE GOFF", "Le Goff Clairé"] {
        let twice = roster.admit(&certificate(&root, &key(3), 2, name).sign(&root).unwrap());
        assert!(twice.as_ref().unwrap_err().to_string().contains(&PersonId([1; 16]).to_string()), "{name}");
        assert_eq!(code(twice), 129, "{name}");
    }
    // Her own second device, a namesake with a distinguishing name, and one of another organisation.
    roster.admit(&certificate(&root, &key(3), 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    roster.admit(&certificate(&root, &key(4), 2, "Claire Anne Le Goff").sign(&root).unwrap()).unwrap();
    roster.admit(&certificate(&vendor, &key(6), 3, "Claire Le Goff").sign(&vendor).unwrap()).unwrap();
}

#[test]
fn a_certificate_is_good_from_its_beginning_until_before_its_end() {
    let (root, mut roster) = laboratory();
    let device = key(2);
    let digest = roster.admit(&certificate(&root, &device, 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    let said = word(&device, digest);
    assert_eq!(code(opened(&roster, &said, hours_after(start(), -1))), 126);
    assert_eq!(code(opened(&roster, &said, start())), 0);
    assert_eq!(code(opened(&roster, &said, hours_after(start(), 365 * 24 - 1))), 0);
    assert_eq!(code(opened(&roster, &said, hours_after(start(), 365 * 24))), 126);
    let recorded = roster.open_recorded::<String>(&said, PayloadType::Statement, hours_after(start(), 365 * 24));
    assert_eq!(code(recorded), 126, "a fact is no excuse for an expired certificate");
}

#[test]
fn a_certificate_that_was_taken_back_does_not_count_since_its_key_was_in_other_hands() {
    let (root, mut roster) = laboratory();
    let device = key(2);
    let digest = roster.admit(&certificate(&root, &device, 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    let (since, said) = (hours_after(start(), 24), word(&device, digest));
    assert!(!roster.is_revoked(&digest));
    let (actor, _) = roster.revoke(&revocation(&root, digest, since)).unwrap();
    assert_eq!(actor, Actor::Root(root.public().digest()));
    assert!(roster.is_revoked(&digest));
    assert_eq!(code(opened(&roster, &said, start())), 0);
    assert_eq!(code(opened(&roster, &said, since)), 127);
    // For what is a fact already, the sequence of facts says whether it was taken back by then.
    assert_eq!(code(roster.open_recorded::<String>(&said, PayloadType::Statement, since)), 0);
}

#[test]
fn a_root_that_is_not_pinned_certifies_nobody_and_takes_nothing_back() {
    let (root, mut roster) = laboratory();
    let (foreign, device) = (key(7), key(2));
    let stranger = certificate(&foreign, &device, 3, "Paul Martin").sign(&foreign).unwrap();
    assert_eq!(code(roster.admit(&stranger)), 128);
    assert_eq!(code(opened(&roster, &word(&device, stranger.digest().unwrap()), start())), 125);
    let digest = roster.admit(&certificate(&root, &device, 1, "Claire Le Goff").sign(&root).unwrap()).unwrap();
    assert_eq!(code(roster.revoke(&revocation(&foreign, digest, start()))), 128);
    // A root that is pinned speaks in its own name only.
    roster.trust(self::root(&foreign, "Vendor"));
    let borrowed = Certificate { root: root.public().digest(), ..certificate(&foreign, &key(8), 4, "Paul Martin") };
    assert_eq!(code(roster.admit(&unchecked(&borrowed, &foreign))), 128);
    assert_eq!(code(roster.revoke(&revocation(&foreign, digest, start()))), 124);
    assert_eq!(code(opened(&roster, &word(&device, digest), start())), 0);
}

#[test]
fn a_revocation_before_the_certificate_is_known_counts_for_its_own_root_only() {
    let (root, mut roster) = laboratory();
    let (vendor, device) = (key(5), key(2));
    roster.trust(self::root(&vendor, "Vendor"));
    let sealed = certificate(&root, &device, 1, "Claire Le Goff").sign(&root).unwrap();
    let digest = sealed.digest().unwrap();
    roster.revoke(&revocation(&vendor, digest, start())).unwrap();
    roster.admit(&sealed).unwrap();
    assert!(!roster.is_revoked(&digest));
    assert_eq!(code(opened(&roster, &word(&device, digest), start())), 0);

    let (_, mut roster) = laboratory();
    roster.trust(self::root(&vendor, "Vendor"));
    roster.revoke(&revocation(&root, digest, start())).unwrap();
    roster.revoke(&revocation(&vendor, digest, hours_after(start(), 8000))).unwrap();
    roster.admit(&sealed).unwrap();
    assert_eq!(code(opened(&roster, &word(&device, digest), start())), 127);
}

#[test]
fn a_certificate_lasts_more_than_nothing_and_at_most_13_months() {
    let (root, mut roster) = laboratory();
    let hours = |hours: i64| Certificate {
        until: hours_after(start(), hours),
        ..certificate(&root, &key(2), 1, "Claire Le Goff")
    };
    for wrong in [hours(13 * 31 * 24 + 1), hours(0), hours(-1)] {
        assert_eq!(code(wrong.sign(&root)), 121);
        assert_eq!(code(roster.admit(&unchecked(&wrong, &root))), 121);
    }
    roster.admit(&hours(13 * 31 * 24).sign(&root).unwrap()).unwrap();
}

#[test]
fn functions_teams_and_nobody_are_certified_by_no_root() {
    let (root, mut roster) = laboratory();
    for name in
        ["labo", "Support Technique", "Claire", "Poste 2", "admin admin", "Équipe Rennes", "Secrétariat Médical"]
    {
        let generic = certificate(&root, &key(2), 1, name);
        assert_eq!(code(generic.sign(&root)), 120, "{name}");
        assert_eq!(code(roster.admit(&unchecked(&generic, &root))), 120, "{name}");
    }
    let idle = Certificate { roles: BTreeSet::new(), ..certificate(&root, &key(2), 1, "Claire Le Goff") };
    assert_eq!(code(roster.admit(&unchecked(&idle, &root))), 122);
}

#[test]
fn a_certificate_passes_for_nothing_else_and_a_changed_one_is_an_alarm() {
    let (root, mut roster) = laboratory();
    let sealed = certificate(&root, &key(2), 1, "Claire Le Goff").sign(&root).unwrap();
    assert_eq!(code(roster.revoke(&sealed)), 111);
    let other = certificate(&root, &key(3), 1, "Claire Le Goff").sign(&root).unwrap();
    let changed = Envelope { payload: other.payload, ..sealed.clone() };
    assert_eq!(code(roster.admit(&changed)), 112);
    let unsigned = Envelope { signatures: Vec::new(), ..sealed.clone() };
    assert_eq!(code(roster.admit(&unsigned)), 111);
    let twice = Envelope { signatures: [sealed.signatures.clone(), sealed.signatures.clone()].concat(), ..sealed };
    assert_eq!(code(roster.admit(&twice)), 111);
}
