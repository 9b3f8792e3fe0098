use evidence::{Attestation, CertifiedConsignment, DestructionCertificate, Reach, describe, issue, verify};
use lexicon::{Code, Digest, Timestamp, hours_after};
use people::{Envelope, PayloadType};
use procedure::{Act, ProbeResult, Proof};

use crate::cast::{CAST, Who};
use crate::tale::{ROUND, Setting, Tale};

fn says(envelope: &Envelope) -> DestructionCertificate {
    envelope.open::<Attestation>(PayloadType::InToto, &CAST.server.public()).unwrap().predicate
}

fn certificate(tale: &Tale) -> DestructionCertificate {
    says(tale.certificate.as_ref().unwrap())
}

/// What is said of a consignment before what its ring came to and from when it is in effect.
fn achieves(round: &CertifiedConsignment) -> &[String] {
    let (effect, before) = round.wording.split_last().unwrap();
    let (level, before) = before.split_last().unwrap();
    assert!(level == K0 && effect.starts_with("It is in effect from "), "{level} {effect}");
    before
}

fn missing(tale: &Tale) -> Vec<String> {
    let verdict = verify(&tale.pack(), &CAST.roots()).unwrap();
    assert_eq!(verdict.certificate_complete, verdict.missing.is_empty());
    let described = describe(&certificate(tale), &tale.ledger);
    assert_eq!(described.title, if described.complete { "complete" } else { "server part" });
    assert_eq!(described.missing, verdict.missing);
    verdict.missing
}

const K0: &str = "Level K0: the ring key lay in a local file that the server overwrote and removed. That is a logical \
                  erasure; remnants on the storage medium are not excluded.";

#[test]
fn each_certificate_says_what_every_destruction_achieves_and_what_none_does() {
    let certificate = certificate(&Tale::whole(Setting::default()));
    assert_eq!(
        certificate.wording,
        [
            "A parcel opens only with both shares, the laboratory share and the strongroom share.",
            "Against whoever later obtains the parties' disks and backups, it is enough that every copy of the \
             strongroom share is destroyed, or every copy of the laboratory share and of every opening key.",
            "This proves who signed what and in which order; it reports what each party says it destroyed; it proves \
             no absence of copies.",
        ]
    );
    assert_eq!(certificate.level, "K0");
    assert!(!certificate.demonstration);
}

#[test]
fn the_level_of_the_ring_is_said_in_its_own_words() {
    let words = |setting: Setting| {
        let certificate = certificate(&Tale::whole(setting));
        let sentences = certificate.consignments.first().unwrap().wording.iter();
        let [level] = sentences.filter(|words| words.starts_with("Level ")).collect::<Vec<_>>()[..] else {
            panic!("one level: {:?}", certificate.consignments)
        };
        (certificate.level.clone(), level.clone())
    };
    let of = |key_ring| words(Setting { key_ring, ..Setting::default() });
    let (level, said) = of("pkcs11");
    assert!(level == "K1" && said.contains("token") && said.contains("Backups of the token are not reached"), "{said}");
    let (level, said) = of("openbao");
    assert!(level == "K2" && said.contains("service") && said.contains("whoever restores one has the key again"));
    for (key_ring, place) in [("pkcs11", "token"), ("openbao", "service")] {
        let never = format!("a {place}{} that gives no key out", if place == "token" { " (PKCS#11)" } else { "" });
        let could = "a copy of it may have been taken out before, which is not reached";
        let (_, said) = words(Setting { key_ring, ..Setting::default() });
        assert!(said.contains(&never) && !said.contains(could), "{said}");
        let (_, said) = words(Setting { key_ring, could_leave: true, ..Setting::default() });
        assert!(!said.contains("gives no key out") && said.contains(could), "{said}");
    }
    let (level, said) = words(Setting { unlinked: true, ..Setting::default() });
    assert!(
        level == "K0" && said.contains("unlinked") && !said.contains("eras") && !said.contains("overwrote"),
        "{said}"
    );
}

#[test]
fn once_a_recipient_has_had_both_nothing_is_said_to_bind_it() {
    let whole = certificate(&Tale::whole(Setting::default()));
    let [round] = whole.consignments.as_slice() else { panic!("one consignment") };
    assert_eq!(round.reach, Reach::RecipientHadBoth);
    assert_eq!(
        achieves(round),
        ["A recipient has had both shares. Once a recipient has had both, nothing binds a recipient that keeps \
          keys or rows."]
    );
}

#[test]
fn after_release_the_laboratory_alone_is_not_enough() {
    let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases();
    let tale = tale.cancels().destroys().finishes();
    let certificate = certificate(&tale);
    let [round] = certificate.consignments.as_slice() else { panic!("one consignment") };
    assert_eq!(round.reach, Reach::Released);
    assert_eq!(
        achieves(round),
        [
            "It was destroyed after release and before a recipient received the strongroom share. Then the server \
             destroying its share is still enough if the extracting machine forgot it at closing, which that machine \
             states; the laboratory destroying its share alone is not, but its share and every opening key destroyed \
             together are.",
            "The extracting machine states in fact 7 that it forgot the strongroom share.",
        ]
    );
}

#[test]
fn before_release_the_laboratory_is_enough_and_the_server_on_a_condition() {
    let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().cancels().destroys().finishes();
    let certificate = certificate(&tale);
    let [round] = certificate.consignments.as_slice() else { panic!("one consignment") };
    assert_eq!(round.reach, Reach::BeforeRelease);
    assert_eq!(
        achieves(round),
        [
            "It was destroyed before release. Then the laboratory destroying its share is enough, whatever the others \
             kept; the server destroying its share is enough if the extracting machine forgot it at closing, which \
             that machine states.",
            "The extracting machine states in fact 7 that it forgot the strongroom share.",
        ]
    );
}

#[test]
fn a_condition_that_nobody_stated_is_said_not_to_be_met() {
    let setting = Setting { not_forgotten: true, ..Setting::default() };
    let closed = Tale::approved(setting).opens().begins_to_extract().closes().cancels().destroys().finishes();
    let cut = Tale::approved(setting).opens().begins_to_extract().cancels().destroys().finishes();
    for (tale, begins) in
        [(closed, "The extracting machine closed in fact 7 without"), (cut, "The extraction was never")]
    {
        let certificate = certificate(&tale);
        let sentence = achieves(certificate.consignments.first().unwrap()).last().unwrap();
        assert!(sentence.starts_with(begins), "{sentence}");
        assert!(sentence.ends_with("the server destroying its share is not shown to be enough."), "{sentence}");
        assert!(!certificate.consignments.first().unwrap().forgotten);
    }
}

#[test]
fn what_was_never_extracted_needs_no_statement_of_the_laboratory() {
    let tale = Tale::approved(Setting::default()).opens().cancels().destroys().finishes();
    assert_eq!(certificate(&tale).consignments.first().unwrap().reach, Reach::NotExtracted);
    assert_eq!(missing(&tale), [""; 0]);
}

#[test]
fn a_migration_that_never_opened_a_consignment_is_certified_as_that() {
    let tale = Tale::approved(Setting::default()).cancels().finishes();
    let certificate = certificate(&tale);
    assert!(certificate.consignments.is_empty());
    assert!(certificate.wording.first().unwrap().starts_with("No consignment was ever opened"));
    assert_eq!(missing(&tale), [""; 0]);
}

#[test]
fn a_share_that_the_vendor_held_is_said_to_have_been_held_by_the_vendor() {
    let tale = Tale::whole(Setting { vendor_extracts: true, ..Setting::default() });
    let certificate = certificate(&tale);
    let round = certificate.consignments.first().unwrap();
    assert!(round.laboratory_share_held_by_vendor);
    assert!(round.wording.iter().any(|sentence| sentence.starts_with("The laboratory share was held by the vendor")));
    verify(&tale.pack(), &CAST.roots()).unwrap();
}

#[test]
fn a_certificate_is_the_server_part_until_laboratory_and_recipient_have_spoken() {
    let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    let tale = tale.signs_off().destroys().finishes();
    let device = CAST.member(Who::Recipient).key.public().digest().short();
    let laboratory =
        "consignment 1a1a1a1a: the statement of Yann Kerbrat that the laboratory share is destroyed".to_owned();
    let recipient = format!(
        "consignment 1a1a1a1a: the statement of Élise Noël (device {device}) that the opening keys are destroyed"
    );
    assert_eq!(missing(&tale), [laboratory.clone(), recipient]);
    let tale = tale.recipient_says(Some(ProbeResult::Failed));
    assert_eq!(missing(&tale), [laboratory]);
    assert_eq!(missing(&tale.laboratory_says()), [""; 0]);
}

#[test]
fn a_parcel_that_still_opened_leaves_the_certificate_incomplete() {
    let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    let tale = tale.signs_off().destroys().finishes().laboratory_says().recipient_says(Some(ProbeResult::Opened));
    let [sentence] = <[String; 1]>::try_from(missing(&tale)).unwrap();
    assert!(sentence.ends_with("that nothing opens any more; it says that a parcel opened"), "{sentence}");
    let verdict = verify(&tale.pack(), &CAST.roots()).unwrap();
    assert!(verdict.statements.iter().any(|statement| statement.text.contains("A parcel STILL OPENED")));
}

#[test]
fn a_probe_from_before_the_servers_destruction_is_said_to_show_nothing() {
    let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    let tale = tale.signs_off().recipient_says(Some(ProbeResult::Failed)).destroys().finishes().laboratory_says();
    let verdict = verify(&tale.pack(), &CAST.roots()).unwrap();
    let text = "its probe was made before the server destroyed its part and shows nothing";
    assert!(verdict.statements.iter().any(|statement| statement.text.contains(text)));
    let [sentence] = <[String; 1]>::try_from(missing(&tale)).unwrap();
    assert!(sentence.ends_with(text), "{sentence}");
}

#[test]
fn a_recipient_that_loaded_and_destroyed_without_a_probe_leaves_the_certificate_incomplete_and_named() {
    let loaded = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    let tale = loaded.signs_off().destroys().finishes().laboratory_says();
    let without = tale.clone().recipient_says(None);
    let [sentence] = <[String; 1]>::try_from(missing(&without)).unwrap();
    assert!(sentence.contains("the statement of Élise Noël (device "), "{sentence}");
    assert!(sentence.ends_with("that nothing opens any more; it was made without a probe"), "{sentence}");
    assert!(tells(&without, "No probe was made before: that nothing opened any more is not shown."));
    assert_eq!(missing(&tale.recipient_says(Some(ProbeResult::Failed))), [""; 0]);
}

#[test]
fn a_recipient_that_could_not_probe_owes_none() {
    let released = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases();
    let mut begun = released.clone();
    begun.begins(Who::Recipient, procedure::Step::Load);
    let [tale, begun] =
        [released, begun].map(|tale| tale.cancels().destroys().finishes().laboratory_says().recipient_says(None));
    assert_eq!(missing(&tale), [""; 0]);
    assert!(tells(&tale, "It never began to load, so that it owes no probe."));
    let [sentence] = <[String; 1]>::try_from(missing(&begun)).unwrap();
    assert!(sentence.ends_with("it was made without a probe"), "the control, which had both shares: {sentence}");
}

#[test]
fn a_probe_of_keys_that_never_opened_anything_shows_nothing() {
    let setting = Setting { opens_nothing: true, ..Setting::default() };
    let tale = Tale::whole(setting);
    let [sentence] = <[String; 1]>::try_from(missing(&tale)).unwrap();
    assert!(
        sentence.ends_with("its keys opened no parcel before either, so that its probe shows nothing"),
        "{sentence}"
    );
    assert!(tells(&tale, "with both shares, before destruction, NO parcel opened on this device."));
}

#[test]
fn a_load_that_outlived_its_rounds_deadline_is_signed_off_and_certified() {
    let mut tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    tale.pass_minutes(49 * 60);
    tale.records(Proof::Deadline(Act::Overdue { consignment: Some(ROUND) }));
    let tale = tale.destroys().recipient_says(Some(ProbeResult::Failed)).laboratory_says().signs_off().finishes();
    assert_eq!(missing(&tale), [""; 0]);
    assert!(tells(&tale, "it went to destruction. What was loaded and reconciled before stands."));
    let certificate = certificate(&tale);
    assert_eq!(certificate.consignments.first().unwrap().ended, "a deadline passed");
    assert!(matches!(certificate.trigger, evidence::Trigger::SignedOff { .. }));
}

/// Whether one statement of this story holds these words.
fn tells(tale: &Tale, words: &str) -> bool {
    let verdict = verify(&tale.pack(), &CAST.roots()).unwrap();
    verdict.statements.iter().any(|statement| statement.text.contains(words))
}

#[test]
fn nothing_is_certified_before_everything_is_destroyed() {
    let card = CAST.card(false);
    let whole = Tale::whole(Setting::default());
    let undestroyed = Tale::approved(Setting::default()).opens().cancels();
    for tale in [Tale::approved(Setting::default()), undestroyed, whole] {
        assert_eq!(issue(&tale.ledger, &card, tale.at, &CAST.server).unwrap_err().code(), Code(904));
    }
}

#[test]
fn statements_that_slip_in_before_the_certificate_is_named_do_no_harm() {
    let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    let mut tale = tale.signs_off().destroys();
    let issued = issue(&tale.ledger, &CAST.card(false), tale.at, &CAST.server).unwrap();
    tale = tale.recipient_says(Some(ProbeResult::Failed));
    tale.names(issued);
    assert!(verify(&tale.laboratory_says().pack(), &CAST.roots()).unwrap().certificate_complete);
}

/// A story in which the server signs and names a certificate of its own making.
fn lying(lie: impl FnOnce(&mut DestructionCertificate)) -> Tale {
    let tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes().releases().loads();
    let mut tale = tale.signs_off().destroys();
    let mut certificate = says(&issue(&tale.ledger, &CAST.card(false), tale.at, &CAST.server).unwrap());
    lie(&mut certificate);
    let key = &CAST.server;
    let attestation = Attestation::of(certificate);
    tale.names(Envelope::sign(PayloadType::InToto, &attestation, key.public().digest(), key).unwrap());
    tale
}

#[test]
fn a_certificate_that_says_other_than_the_facts_is_an_alarm() {
    type Lie = fn(&mut DestructionCertificate);
    let later: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    assert!(later > hours_after(crate::cast::start(), 24));
    let lies: [(&str, Lie); 18] = [
        ("fewer parcels", |c| c.consignments.first_mut().unwrap().deleted = 2),
        ("no objects left", |c| c.consignments.first_mut().unwrap().left.versions = 1),
        ("another inventory", |c| drop(c.consignments.first_mut().unwrap().inventory.lines.pop())),
        ("another key", |c| c.consignments.first_mut().unwrap().key.id = "keys/other.key".into()),
        ("another commitment", |c| c.consignments.first_mut().unwrap().key_commitment = Digest([0; 32])),
        ("an earlier effect", |c| c.effective = c.effective.map(|at| hours_after(at, -1))),
        ("nothing left", |c| c.consignments.first_mut().unwrap().residues.clear()),
        ("a milder reach", |c| c.consignments.first_mut().unwrap().reach = Reach::BeforeRelease),
        ("milder words", |c| {
            "Everything is gone.".clone_into(c.consignments.first_mut().unwrap().wording.first_mut().unwrap());
        }),
        ("no consignment", |c| c.consignments.clear()),
        ("general words", |c| c.wording.truncate(1)),
        ("another trigger", |c| c.trigger = evidence::Trigger::Cancelled { by: "Claire Le Goff".into(), fact: 12 }),
        ("another person", |c| c.persons.first_mut().unwrap().name = "Maud Riou".into()),
        ("a demonstration", |c| c.demonstration = true),
        ("another level", |c| c.level = "K2".into()),
        ("a time to come", |c| c.issued_at = "2027-01-01T00:00:00Z".parse().unwrap()),
        ("a time before", |c| c.issued_at = "2026-03-02T08:00:00Z".parse().unwrap()),
        ("an earlier fact", |c| c.facts.number -= 1),
    ];
    verify(&lying(|_| ()).pack(), &[]).unwrap();
    for (name, lie) in lies {
        assert_eq!(verify(&lying(lie).pack(), &[]).unwrap_err().code(), Code(907), "{name}");
    }
}

#[test]
fn words_of_another_version_are_not_compared_and_the_reader_is_told() {
    let tale = lying(|certificate| {
        certificate.version = 99;
        certificate.wording = vec!["In other words.".into()];
    });
    let verdict = verify(&tale.pack(), &[]).unwrap();
    assert!(verdict.warnings.iter().any(|warning| warning.contains("worded by version 99")), "{:?}", verdict.warnings);
    let facts = lying(|certificate| {
        certificate.version = 99;
        certificate.consignments.first_mut().unwrap().deleted = 2;
    });
    assert_eq!(verify(&facts.pack(), &[]).unwrap_err().code(), Code(907));
}

#[test]
fn a_deadline_names_the_person_who_set_it_and_nobody_who_did_not_act() {
    let mut tale = Tale::approved(Setting::default()).opens().begins_to_extract().closes();
    tale.pass_minutes(31 * 24 * 60);
    tale.records(Proof::Deadline(Act::Overdue { consignment: None }));
    let tale = tale.destroys().finishes();
    let trigger = certificate(&tale).trigger;
    assert_eq!(trigger, evidence::Trigger::Overdue { set_by: "Ana de la Cruz".into(), set_in: 2, fact: 9 });
    let verdict = verify(&tale.pack(), &CAST.roots()).unwrap();
    assert!(verdict.statements.iter().any(|statement| {
        statement.text.starts_with("Nobody acted: the deadline that Ana de la Cruz set in fact 2 passed")
            && statement.strength == evidence::Strength::AssertedByServer
    }));
}
