//! A shelf that does not answer while parcels are to be deleted: every deadline is kept beside it, at every beat and whatever
//! tells of it, and a server that stops does not wait for it.

use std::sync::Arc;
use std::time::Duration;

use drill::{Round, World};
use futures::future::BoxFuture;
use lexicon::{Clock, ConsignmentId, Digest, Result};
use office::Sweeper;
use procedure::ConsignmentStage;
use registry::{Mark, Marking, Registry};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;
use vault::{Erased, KeyRing, KeyState, Receipt, Shelf};
use wire::Leaf;

use super::damaged_facts::damage;
use super::no_deletion::parcels_on;
use super::passes_on::passes_on;
use super::restored_server::{noted, stage};

/// After this nobody is answered any more.
const LONG: Duration = Duration::from_secs(20);

/// A shelf that asks whether it may delete, as long as somebody is there to be asked, and goes on when it is told to.
struct Stuck {
    inner: Arc<dyn Shelf>,
    asks: UnboundedSender<oneshot::Sender<()>>,
}

impl Shelf for Stuck {
    passes_on!(keeps id put read list unfinished);

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            if self.asks.send(tell).is_ok() {
                drop(told.await);
            }
            self.inner.erase(consignment, seen).await
        })
    }
}

/// Starts the server again over such a shelf. Its ring, to be looked at, and what the shelf asks: when that is dropped it asks
/// nobody any more.
pub(super) async fn restart_over_a_stuck_shelf(
    world: &mut World,
) -> (Arc<dyn KeyRing>, UnboundedReceiver<oneshot::Sender<()>>) {
    world.stop().await;
    let (asks, asked) = unbounded_channel();
    let mut ring = None;
    world.restart_with(|furniture| {
        ring = Some(Arc::clone(&furniture.ring));
        furniture.shelf = Arc::new(Stuck { inner: Arc::clone(&furniture.shelf), asks });
    });
    (ring.unwrap(), asked)
}

/// A beat, after which a server goes on to the next one.
async fn beat(sweeper: &mut Sweeper) {
    let beaten = timeout(LONG, sweeper.beat()).await;
    assert!(beaten.is_ok(), "the beat waits for a shelf");
    beaten.unwrap().unwrap();
}

fn is_gone(ring: &Arc<dyn KeyRing>, consignment: ConsignmentId) -> bool {
    matches!(ring.attest(consignment).unwrap(), KeyState::Destroyed { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_while_parcels_are_deleted_is_carried_out_at_the_next_beat() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let first = world.closed(&systems).await;
    world.pass_hours(24);
    let second = world.closed(&systems).await;
    let (ring, mut asked) = restart_over_a_stuck_shelf(&mut world).await;
    let mut sweeper = Sweeper::new(Arc::clone(world.office()));
    world.pass_hours(49);
    beat(&mut sweeper).await;
    let stuck = timeout(LONG, asked.recv()).await.expect("no shelf is emptied").unwrap();
    assert_eq!([&first, &second].map(|round| is_gone(&ring, round.consignment)), [true, false], "the control");

    world.pass_hours(24);
    beat(&mut sweeper).await;
    assert!(is_gone(&ring, second.consignment), "a key outlives its deadline");
    assert!(asked.try_recv().is_err(), "shelves are emptied twice at once");
    let parcels = [&first, &second].map(|round| parcels_on(&world.server_folder(), round) >= 4);
    assert_eq!(parcels, [true, true], "the parcels are still to be deleted");

    drop(asked);
    stuck.send(()).unwrap();
    world.office().sweep().await.unwrap();
    for round in [&first, &second] {
        assert_eq!(stage(&world, round).await, ConsignmentStage::Destroyed);
        assert_eq!(parcels_on(&world.server_folder(), round), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shelf_is_emptied_by_one_emptying_that_no_beat_cuts_and_another_follows_it() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    let (_, mut asked) = restart_over_a_stuck_shelf(&mut world).await;
    let mut sweeper = Sweeper::new(Arc::clone(world.office()));
    beat(&mut sweeper).await;
    world.pass_hours(73);
    // The emptying that found nothing to delete may still run at this beat.
    let stuck = timeout(LONG, async {
        loop {
            beat(&mut sweeper).await;
            if let Ok(stuck) = asked.try_recv() {
                break stuck;
            }
        }
    });
    let stuck = stuck.await.expect("no shelf is emptied after the first beat");
    for _ in 0..3 {
        beat(&mut sweeper).await;
    }
    assert!(!stuck.is_closed(), "a beat cuts the emptying that runs");
    assert!(parcels_on(&world.server_folder(), &round) >= 4, "the control");
    stuck.send(()).unwrap();
    let emptied = timeout(LONG, async {
        while stage(&world, &round).await != ConsignmentStage::Destroyed {
            beat(&mut sweeper).await;
        }
    });
    emptied.await.expect("it is never emptied");
    assert_eq!(parcels_on(&world.server_folder(), &round), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_does_not_wait_for_a_shelf_and_the_next_one_goes_on() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    let (_, mut asked) = restart_over_a_stuck_shelf(&mut world).await;
    let mut sweeper = Sweeper::new(Arc::clone(world.office()));
    world.pass_hours(73);
    beat(&mut sweeper).await;
    let mut stuck = timeout(LONG, asked.recv()).await.expect("no shelf is emptied").unwrap();
    assert!(!stuck.is_closed(), "the control");

    drop(sweeper);
    timeout(LONG, stuck.closed()).await.expect("the shelf is still waited for");
    world.stop().await;
    world.restart();
    assert!(parcels_on(&world.server_folder(), &round) >= 4);
    world.office().sweep().await.unwrap();
    assert_eq!(stage(&world, &round).await, ConsignmentStage::Destroyed);
    assert_eq!(parcels_on(&world.server_folder(), &round), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_damaged_facts_go_before_any_parcel() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let whole = world.closed(&systems).await;
    let damaged = [world.closed(&systems).await, world.closed(&systems).await];
    world.stop().await;
    for Round { plan, .. } in &damaged {
        damage(&world.server_folder(), |db| {
            let sql = "UPDATE fact SET entry = 'nothing' WHERE number = 4 AND migration = ?1";
            assert_eq!(db.execute(sql, [plan.migration.to_string()]).unwrap(), 1);
        });
    }
    let (ring, mut asked) = restart_over_a_stuck_shelf(&mut world).await;
    let mut sweeper = Sweeper::new(Arc::clone(world.office()));
    world.pass_hours(73);
    beat(&mut sweeper).await;
    let stuck = timeout(LONG, asked.recv()).await.expect("no shelf is emptied").unwrap();

    for round in [&whole, &damaged[0], &damaged[1]] {
        assert!(is_gone(&ring, round.consignment), "a key waits for a shelf");
        assert!(parcels_on(&world.server_folder(), round) >= 4, "the control");
    }
    drop(asked);
    stuck.send(()).unwrap();
    world.office().sweep().await.unwrap();
    for round in [&whole, &damaged[0], &damaged[1]] {
        assert_eq!(parcels_on(&world.server_folder(), round), 0);
    }
    for said in ["has passed", "destroyed without a fact"] {
        assert_eq!(noted(&world, said), 2, "once for each: {:?}", world.notes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_no_fact_names_go_before_any_parcel() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    world.stop().await;
    let [unopened, unnamed] = [1, 2].map(|byte| ConsignmentId([byte; 16]));
    let registry = Registry::open(&world.server_folder().join("registry.sqlite")).unwrap();
    let text = format!("consignment {unopened}: its ring key is made");
    let note = Leaf::Note { nonce: Digest([1; 32]), at: world.clock.now(), text };
    let marking = Marking { mark: Mark::Opening, subject: &unopened.to_string(), forget: None };
    registry.mark(&note, &marking).map(drop).unwrap();
    drop(registry);
    world.restart_with(|furniture| {
        for id in [unopened, unnamed] {
            furniture.ring.create(id).unwrap();
        }
    });
    let (ring, mut asked) = restart_over_a_stuck_shelf(&mut world).await;
    // The key that nothing names is noted, and puts the opening in doubt.
    world.office().sweep().await.unwrap();
    let all = [round.consignment, unopened, unnamed];
    assert_eq!(all.map(|consignment| is_gone(&ring, consignment)), [false; 3], "the control");
    world.pass_hours(31 * 24);
    let mut sweeper = Sweeper::new(Arc::clone(world.office()));
    beat(&mut sweeper).await;
    let stuck = timeout(LONG, asked.recv()).await.expect("no shelf is emptied").unwrap();

    assert_eq!(all.map(|consignment| is_gone(&ring, consignment)), [true; 3], "a key waits for a shelf");
    assert!(parcels_on(&world.server_folder(), &round) >= 4, "the control");
    drop(asked);
    stuck.send(()).unwrap();
    world.office().sweep().await.unwrap();
    assert_eq!(stage(&world, &round).await, ConsignmentStage::Destroyed);
    for said in ["no fact came of its opening", "which nothing names: destroyed without a fact"] {
        assert_eq!(noted(&world, said), 1, "{:?}", world.notes());
    }
}
