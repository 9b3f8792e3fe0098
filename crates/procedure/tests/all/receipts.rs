//! What an agent believes of a server: facts that follow from signed acts, and nothing else.

use lexicon::{Code, Digest, Timestamp, Trouble};
use people::{Envelope, PayloadType};
use procedure::{Act, Entry, FactBody, LastFact, Ledger, Proof, sign_fact};

use crate::cast::{CAST, Who, revocation};
use crate::life::HANDED_OVER;
use crate::verbs::Verb::*;
use crate::verbs::fitting;
use crate::world::{Hand, World, minutes_after};

fn whole_life() -> World {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[Freeze, Thaw, Thaw, Revoke, BeginLoad, DoneUnequal, AcceptDifference, SignOff, Destroyed]);
    world.does(&[RecipientPart, LaboratoryPart, Finish]);
    world
}

/// Reads all entries anew and compares with what the server holds.
pub(crate) fn replays(world: &World) {
    for now in [None, Some(world.at)] {
        let mut ledger = World::empty_ledger();
        for entry in &world.entries {
            ledger.admit(entry, &world.roster, now).unwrap();
        }
        assert_eq!(ledger.migration(), world.m());
        assert_eq!(ledger.recorded(), world.ledger.recorded());
        assert_eq!(ledger.last(), world.ledger.last());
    }
}

#[test]
fn reading_the_facts_again_gives_the_same_migration() {
    let world = whole_life();
    replays(&world);
    let text = serde_json::to_string(&world.entries).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Entry>>(&text).unwrap(), world.entries);
}

/// Everything that a dishonest server can write into a receipt and sign.
fn lies(body: &FactBody, now: Timestamp) -> Vec<(&'static str, FactBody)> {
    let other = Digest::of(b"other");
    vec![
        ("purpose", FactBody { purpose: "lazaret/1/act".to_owned(), ..body.clone() }),
        ("origin", FactBody { origin: "elsewhere/1".to_owned(), ..body.clone() }),
        ("migration", FactBody { migration: lexicon::MigrationId([8; 16]), ..body.clone() }),
        ("number", FactBody { number: body.number.wrapping_add(1), ..body.clone() }),
        ("number back", FactBody { number: body.number.wrapping_sub(1), ..body.clone() }),
        ("previous", FactBody { previous: Some(other), ..body.clone() }),
        ("act", FactBody { act: other, ..body.clone() }),
        ("past", FactBody { at: minutes_after(body.at, -60 * 24 * 365), ..body.clone() }),
        ("future", FactBody { at: minutes_after(now, 6), ..body.clone() }),
        ("state", FactBody { state: other, ..body.clone() }),
        ("share", FactBody { strongroom_share: Some(other), ..body.clone() }),
    ]
}

#[test]
fn a_receipt_with_anything_changed_is_an_alarm() {
    let world = whole_life();
    let mut ledger = World::empty_ledger();
    for entry in &world.entries {
        let body: FactBody = entry.fact.open(PayloadType::Fact, &CAST.server.public()).unwrap();
        for (what, lie) in lies(&body, world.at) {
            let fact = sign_fact(&lie, &CAST.server).unwrap();
            let entry = Entry { proof: entry.proof.clone(), fact };
            let trouble = ledger.clone().admit(&entry, &world.roster, Some(world.at)).unwrap_err();
            assert!(matches!(&trouble, Trouble::Alarm(_)), "{what} of fact {}: {trouble}", body.number);
            assert_eq!(trouble.code(), Code(270), "{what} of fact {}: {trouble}", body.number);
        }
        ledger.admit(entry, &world.roster, Some(world.at)).unwrap();
    }
}

#[test]
fn a_fact_left_out_told_twice_or_signed_by_another_key_is_an_alarm() {
    let world = whole_life();
    for (index, entry) in world.entries.iter().enumerate() {
        let mut ledger = World::empty_ledger();
        for before in world.entries.iter().take(index) {
            ledger.admit(before, &world.roster, None).unwrap();
        }
        if let Some(next) = world.entries.iter().skip(index).nth(1) {
            assert_eq!(ledger.clone().admit(next, &world.roster, None).unwrap_err().code(), Code(270));
        }
        let body: FactBody = entry.fact.open(PayloadType::Fact, &CAST.server.public()).unwrap();
        let forged = Entry { proof: entry.proof.clone(), fact: sign_fact(&body, &CAST.vendor).unwrap() };
        assert_eq!(ledger.clone().admit(&forged, &world.roster, None).unwrap_err().code(), Code(112));
        ledger.admit(entry, &world.roster, None).unwrap();
        assert_eq!(ledger.admit(entry, &world.roster, None).unwrap_err().code(), Code(270));
    }
}

#[test]
fn a_server_that_invents_an_act_is_found_out() {
    let world = World::after(&HANDED_OVER);
    let mut agent = Agent::of(&world);
    let facts = world.facts();
    for (verb, hand) in [(SignOff, Hand::Server), (Cancel, Hand::Server), (Overdue, Hand::Deadline)] {
        let act = fitting(&world, verb, 0);
        let proof = if hand == Hand::Server { Proof::Server(act) } else { Proof::Deadline(act) };
        assert_eq!(agent.believes(proof, &facts), Some(Code(270)), "{verb:?}");
    }
    // Signed by a person, but by the wrong one.
    let act = fitting(&world, Release, 0);
    let proof = Proof::Signed(world.sign(Who::Approver, act, world.ledger.last()));
    assert_eq!(agent.believes(proof, &facts), Some(Code(270)));
}

/// An agent that replayed everything, facing a server that signs what it likes.
struct Agent {
    world: World,
}

impl Agent {
    fn of(world: &World) -> Self {
        Self { world: world.clone() }
    }

    fn believes(&mut self, proof: Proof, facts: &[procedure::Fact]) -> Option<Code> {
        let last: LastFact = self.world.ledger.last();
        let body = FactBody {
            purpose: FactBody::PURPOSE.to_owned(),
            origin: crate::cast::ORIGIN.to_owned(),
            migration: self.world.m().id,
            number: u64::try_from(facts.len()).unwrap().wrapping_add(1),
            previous: Some(last.digest),
            act: proof.digest().unwrap(),
            at: self.world.at,
            strongroom_share: None,
            state: Digest::of(b"whatever it says"),
        };
        let entry = Entry { proof, fact: sign_fact(&body, &CAST.server).unwrap() };
        let mut ledger: Ledger = self.world.ledger.clone();
        ledger.admit(&entry, &self.world.roster, Some(self.world.at)).err().map(|trouble| trouble.code())
    }
}

#[test]
fn a_stale_act_is_refused_except_freeze_and_cancel() {
    let mut world = World::after(&[Open, Propose, Approve]);
    let stale = world.ledger.last();
    let stopping = [
        world.sign(Who::Recipient, Act::Freeze { reason: "alarm".to_owned() }, stale),
        world.sign(Who::Controller, Act::Cancel { reason: "alarm".to_owned() }, stale),
    ];
    let approve = world.sign(Who::Approver, fitting(&world, Approve, 0), stale);
    world.does(&[Extend]);
    assert_eq!(world.submit(Proof::Signed(approve)).unwrap_err().code(), Code(273));
    for envelope in stopping {
        world.clone().submit(Proof::Signed(envelope)).unwrap();
    }
    // Of facts that never were, they are refused too: the signer was shown another history.
    for last in [LastFact { number: 2, digest: Digest([4; 32]) }, LastFact { number: 0, digest: Digest([4; 32]) }] {
        let forked = world.sign(Who::Recipient, Act::Freeze { reason: "alarm".to_owned() }, last);
        assert_eq!(world.submit(Proof::Signed(forked)).unwrap_err().code(), Code(273));
    }
}

#[test]
fn signed_bytes_become_a_fact_once() {
    let mut world = World::after(&[Open, Propose]);
    let freeze = world.sign(Who::Recipient, Act::Freeze { reason: "alarm".to_owned() }, world.ledger.last());
    world.submit(Proof::Signed(freeze.clone())).unwrap();
    world.does(&[Thaw, Thaw]);
    assert_eq!(world.submit(Proof::Signed(freeze)).unwrap_err().code(), Code(275));
    let taken = revocation(&CAST.vendor, CAST.member(Who::Spare).certificate, world.at);
    world.submit(Proof::Revocation(taken.clone())).unwrap();
    assert_eq!(world.submit(Proof::Revocation(taken)).unwrap_err().code(), Code(275));
}

#[test]
fn an_act_for_another_journal_migration_certificate_or_time_is_refused() {
    let mut world = World::after(&[Open, Propose]);
    let act = fitting(&world, Approve, 0);
    let body = world.body(Who::Controller, act, world.ledger.last());
    let member = CAST.member(Who::Controller);
    let mut sent = |body: procedure::ActBody| {
        let envelope = Envelope::sign(PayloadType::Act, &body, member.certificate, &member.key).unwrap();
        world.submit(Proof::Signed(envelope)).map_err(|trouble| trouble.code().0)
    };
    assert_eq!(sent(procedure::ActBody { origin: "elsewhere/1".to_owned(), ..body.clone() }), Err(271));
    assert_eq!(sent(procedure::ActBody { purpose: "lazaret/1/fact".to_owned(), ..body.clone() }), Err(271));
    assert_eq!(sent(procedure::ActBody { migration: lexicon::MigrationId([1; 16]), ..body.clone() }), Err(271));
    let other = CAST.member(Who::Approver).certificate;
    assert_eq!(sent(procedure::ActBody { certificate: other, ..body.clone() }), Err(271));
    let late = body.at.checked_add(jiff::SignedDuration::from_secs(301)).unwrap();
    assert_eq!(sent(procedure::ActBody { at: late, ..body.clone() }), Err(272));
    assert_eq!(sent(procedure::ActBody { at: minutes_after(body.at, 5), ..body }), Ok(()));
}

#[test]
fn a_revocation_handed_over_by_file_stops_the_agent_without_accusing_the_server() {
    let mut world = World::after(&HANDED_OVER);
    let told_since = world.at;
    world.does(&[BeginLoad]);
    let mut agent = World::empty_ledger();
    let mut roster = world.roster.clone();
    roster.revoke(&revocation(&CAST.vendor, CAST.member(Who::Recipient).certificate, told_since)).unwrap();
    let (last, before) = world.entries.split_last().unwrap();
    for entry in before {
        agent.admit(entry, &roster, Some(world.at)).unwrap();
    }
    let trouble = agent.admit(last, &roster, Some(world.at)).unwrap_err();
    assert!(matches!(trouble, Trouble::Refusal(_)), "{trouble}");
    assert_eq!(trouble.code(), Code(127));
    // An old story is read by its own sequence: the act was a fact before anybody took the certificate back.
    agent.admit(last, &roster, None).unwrap();
    // And an agent that was not given the certificate at all says so, and accuses nobody.
    let mut bare = people::Roster::default();
    bare.trust(world.roster.root(&CAST.vendor.public().digest()).unwrap().clone());
    let first = world.entries.first().unwrap();
    let trouble = World::empty_ledger().admit(first, &bare, Some(world.at)).unwrap_err();
    assert_eq!(trouble.code(), Code(125));
}
