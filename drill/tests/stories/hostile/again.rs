//! Acts that somebody truly made, once, put in a second time.

use drill::{Name, World, passphrase};
use lexicon::{Clock, hours_after};
use passage::{Errand, Quiet};
use procedure::{Act, Plan};

use super::story::{By, Story};
use super::{approved, hears, refused};

const ONCE: &str = "these signed bytes are a fact already [LZ-0275]";
/// For what is put in again.
const WHATEVER: Act = Act::Overdue { consignment: None };

#[tokio::test(flavor = "multi_thread")]
async fn an_old_thaw_does_not_thaw_again() {
    let world = World::start().await;
    world.plants_nothing("a migration is opened and frozen; there is no old system");
    let id = world.open().await;
    let freeze = |why: &str| Act::Freeze { reason: why.to_owned() };
    let thaw = || Act::Thaw { reason: "looked at".to_owned() };
    world.act(Name::Controller, id, freeze("a strange letter")).await.unwrap();
    world.act(Name::Controller, id, thaw()).await.unwrap();
    world.act(Name::Approver, id, thaw()).await.unwrap();
    world.act(Name::Operator, id, freeze("a second letter")).await.unwrap();
    let truth = Story::so_far(&world, id).await;
    let one = truth.and(&world, &By::Again(truth.proof(3)), &WHATEVER);
    let both = one.and(&world, &By::Again(truth.proof(4)), &WHATEVER);
    assert!(both.state.frozen.is_none(), "whoever believed it would release");
    assert_eq!(hears(&world, Name::Operator, both).await, refused(6, ONCE));
    assert_eq!(hears(&world, Name::Recipient, one).await, refused(6, ONCE));
    // Nor does the old freeze hold the migration up again.
    world.act(Name::Controller, id, thaw()).await.unwrap();
    world.act(Name::Approver, id, thaw()).await.unwrap();
    let truth = Story::so_far(&world, id).await;
    let frozen = truth.and(&world, &By::Again(truth.proof(2)), &WHATEVER);
    assert_eq!(hears(&world, Name::Operator, frozen).await, refused(8, ONCE));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_extension_does_not_extend_an_amended_plan() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let until = hours_after(world.clock.now(), 25 * 24);
    let extend = Act::Extend { until, reason: "the new system is late".to_owned() };
    world.act(Name::Controller, plan.migration, extend).await.unwrap();
    let sooner = hours_after(world.clock.now(), 10 * 24);
    let amended = Plan { serial: 2, previous: Some(plan.digest().unwrap()), deadline: sooner, ..plan.clone() };
    let (_, documents) =
        world.plan(plan.migration, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let amended = Plan { report: lexicon::Digest::of(&documents[1]), ..amended };
    world.propose(&amended, &documents).await.unwrap();
    world.approve(&amended).await;
    let truth = Story::so_far(&world, plan.migration).await;
    assert_eq!(truth.state.deadline.unwrap().at, sooner);
    let lie = truth.and(&world, &By::Again(truth.proof(5)), &WHATEVER);
    assert_eq!(lie.state.deadline.unwrap().at, until, "whoever believed it would keep its keys longer");
    for name in [Name::Operator, Name::Recipient] {
        assert_eq!(hears(&world, name, lie.clone()).await, refused(9, ONCE));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_accepted_difference_accepts_no_second_one() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let (id, consignment) = (round.plan.migration, round.consignment);
    world.release(&round.plan, consignment).await.unwrap();
    world.load(&round.plan, consignment, systems.sink.as_ref()).await.unwrap();
    let desk = world.desk(Name::Recipient);
    let secret = passphrase();
    let errand = Errand { desk: &desk, passphrase: &secret, migration: id, consignment, progress: &Quiet };
    let spoil = |text: &str| {
        let target = rusqlite::Connection::open(&systems.new).unwrap();
        assert!(target.execute("UPDATE import_patient SET surname = ?1", [text]).unwrap() > 0);
    };

    spoil("A");
    passage::reconcile(&errand, systems.sink.as_ref()).await.unwrap();
    let truth = Story::so_far(&world, id).await;
    let report = truth.state.consignment(consignment).unwrap().outcome.clone().unwrap();
    assert!(!report.reconciliation.equal());
    let accept = Act::AcceptDifference { consignment, report: report.digest, reason: "names in capitals".to_owned() };
    world.act(Name::Controller, id, accept.clone()).await.unwrap();
    let accepted = truth.last().number + 1;
    spoil("B");
    passage::reconcile(&errand, systems.sink.as_ref()).await.unwrap();

    let truth = Story::so_far(&world, id).await;
    let next = truth.last().number + 1;
    let lie = truth.and(&world, &By::Again(truth.proof(accepted)), &WHATEVER);
    assert!(lie.state.consignment(consignment).unwrap().settled(), "whoever believed it could sign off");
    assert_eq!(hears(&world, Name::Controller, lie).await, refused(next, ONCE));
    // The old report, accepted anew by a person who was misled, is not the one that stands.
    let lie = truth.and(&world, &By::Signed(Name::Controller), &accept);
    let other = "there is no such unequal report [LZ-0257]";
    assert_eq!(hears(&world, Name::Operator, lie).await, refused(next, other));
}
