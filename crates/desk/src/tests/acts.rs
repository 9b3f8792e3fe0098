//! Acting: what is signed, what is believed, and what is said when nothing came of it.

use lexicon::{Digest, Trouble};
use people::{Envelope, PayloadType};
use procedure::{Act, ActBody, Proof, SeenCheckpoint};

use super::*;

fn overtake(world: &World, seat: &Seat, act: Act) {
    let mut books = world.server.books();
    let body = ActBody {
        purpose: ActBody::PURPOSE.into(),
        origin: ORIGIN.into(),
        migration: MIGRATION,
        last: books.ledger.last(),
        checkpoint: SeenCheckpoint { size: 0, root: Digest([0; 32]) },
        certificate: seat.certificate.digest().unwrap(),
        at: start(),
        body: act,
    };
    let envelope = Envelope::sign(PayloadType::Act, &body, body.certificate, &seat.key()).unwrap();
    books.overtaking.push(Proof::Signed(envelope));
}

#[tokio::test]
async fn an_act_is_signed_over_the_last_fact_and_the_checkpoint_that_were_verified() {
    let world = World::begun().await;
    world.server.books().others(2);
    let before = world.server.books().ledger.last();
    let leaves = world.server.books().leaves.clone();
    let (submitted, ledger) = act(&world.claire.desk, thaw()).await.unwrap();
    let Proof::Signed(envelope) = submitted.entry.entry.proof else { panic!("a person's act is signed") };
    let body: ActBody = envelope.open(PayloadType::Act, &world.claire.key().public()).unwrap();
    assert_eq!(body.last, before);
    assert_eq!(
        body.checkpoint,
        SeenCheckpoint { size: u64::try_from(leaves.len()).unwrap(), root: Tree::of(&leaves).root() }
    );
    assert_eq!((body.origin.as_str(), body.migration, body.at), (ORIGIN, MIGRATION, start()));
    assert_eq!(ledger.last(), world.server.books().ledger.last());
    assert_eq!(world.claire.desk.kept(MIGRATION).unwrap().last(), ledger.last());
}

#[tokio::test]
async fn an_act_that_others_overtook_is_built_again_from_what_is_known_then() {
    let world = World::begun().await;
    overtake(&world, &world.yann, thaw());
    let mut seen = Vec::new();
    let build = &mut |migration: &procedure::Migration| {
        seen.push(migration.facts);
        Ok(thaw())
    };
    let (_, ledger) = world.claire.desk.act(MIGRATION, build, &[]).await.unwrap();
    assert_eq!(seen, [2, 3]);
    assert!(ledger.migration().frozen.is_none(), "both voices are heard");
}

#[tokio::test]
async fn a_freeze_that_others_overtook_counts_where_the_server_put_it() {
    let world = World::begun().await;
    act(&world.claire.desk, thaw()).await.unwrap();
    overtake(&world, &world.yann, thaw());
    let (_, ledger) = act(&world.claire.desk, freeze()).await.unwrap();
    assert_eq!(ledger.last().number, 5);
    assert!(ledger.migration().frozen.is_some());
}

#[tokio::test]
async fn a_freeze_whose_receipt_is_not_among_the_facts_afterwards_is_an_alarm() {
    let world = World::new();
    act(&world.claire.desk, Act::Open { parties: world.parties() }).await.unwrap();
    // Then the journal of before it again, whole and signed: nothing is wrong with it but the receipt that was given.
    let last = world.server.books().placed[0].leaf;
    let leaves = world.server.books().leaves.clone();
    let note = world.server.books().note(&leaves);
    world.server.books().facts_lie = Some(Box::new(move |facts| {
        if facts.entries.len() > 1 {
            facts.entries.truncate(1);
            facts.checkpoint.clone_from(&note);
            facts.consistency.clear();
            facts.inclusion = inclusion(&leaves, last, u64::try_from(leaves.len()).unwrap()).unwrap();
            facts.last = Some(last);
        }
    }));
    assert_eq!(outcome(act(&world.claire.desk, freeze()).await), (1223, true));
}

#[tokio::test]
async fn what_the_procedure_refuses_comes_back_as_it_was_refused() {
    let world = World::begun().await;
    let (code, is_alarm) = outcome(act(&world.claire.desk, freeze()).await);
    assert_eq!((code, is_alarm), (224, false));
}

#[tokio::test]
async fn a_receipt_for_another_act_is_an_alarm_and_kept() {
    let world = World::begun().await;
    let other = world.server.books().placed[0].clone();
    world.server.books().receipt_lie = Some(Box::new(move |submitted| submitted.entry = other.clone()));
    assert_eq!(outcome(act(&world.claire.desk, thaw()).await), (1223, true));
    assert_eq!(world.claire.alarms(), 1);
}

#[tokio::test]
async fn a_receipt_that_does_not_follow_is_an_alarm() {
    let world = World::begun().await;
    let first = world.server.books().placed[0].entry.fact.clone();
    world.server.books().receipt_lie = Some(Box::new(move |submitted| submitted.entry.entry.fact = first.clone()));
    assert_eq!(outcome(act(&world.claire.desk, thaw()).await), (270, true));
}

#[tokio::test]
async fn an_act_without_a_receipt_says_that_it_is_not_in_force_and_whom_to_telephone() {
    let world = World::begun().await;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    world.server.books().is_down = true;
    let Err(Trouble::Fault(fault)) = act(&world.claire.desk, thaw()).await else { panic!("there was a receipt") };
    assert_eq!(fault.code.0, 1218);
    assert!(fault.message.contains("NOT in force"), "{}", fault.message);
    assert!(fault.message.contains("Iroise Logiciels"), "{}", fault.message);
}

#[tokio::test]
async fn documents_travel_with_the_act_that_names_them() {
    let world = World::begun().await;
    let document = b"sealed share".to_vec();
    world.claire.desk.act(MIGRATION, &mut |_| Ok(thaw()), std::slice::from_ref(&document)).await.unwrap();
    let digest = Digest::of(&document);
    assert_eq!(world.yann.desk.document(MIGRATION, digest).await.unwrap(), document);
}

#[tokio::test]
async fn time_goes_on_only_and_is_remembered_when_the_clock_is_set_back() {
    let world = World::new();
    world.clock.set(hours_after(start(), 2));
    assert_eq!(world.claire.desk.now().unwrap(), hours_after(start(), 2));
    world.clock.set(start());
    assert_eq!(world.claire.desk.now().unwrap(), hours_after(start(), 2));
    assert_eq!(world.claire.reopened(&world).now().unwrap(), hours_after(start(), 2));
    std::fs::OpenOptions::new().write(true).truncate(true).open(world.claire.home().folder().join("time")).unwrap();
    assert_eq!(outcome(world.claire.desk.now()), (1212, true), "an emptied record is not the beginning of time");
}
