//! A shelf in a bucket: a whole passage over one, and what becomes of everything else while it does not answer.

use std::path::Path;
use std::sync::Arc;

use drill::{Name, Round, World, entropy, files_below};
use futures::future::BoxFuture;
use lexicon::{Clock, Code, ConsignmentId, MigrationId, Refusal, Result, hours_after};
use procedure::{Act, ConsignmentStage, Kind, Stage};
use tokio::sync::Notify;
use vault::{Erased, Keeps, KeyRing, KeyState, ParcelAddress, Receipt, Shelf};

use super::passes_on::passes_on;

fn lies_in(folder: &Path, bytes: &[u8]) -> bool {
    let files = files_below(&[folder]).into_iter().filter(|path| path.is_file());
    files.into_iter().any(|file| {
        // Garage tidies its files up meanwhile.
        std::fs::read(file).is_ok_and(|held| held.windows(bytes.len()).any(|window| window == bytes))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laboratory_moves_over_a_bucket_and_nothing_is_left_in_it() {
    let mut world = World::start().await;
    let Some((shelf, data)) = world.garage() else {
        drill::skipped!("a_laboratory_moves_over_a_bucket_and_nothing_is_left_in_it (LAZARET_TEST_GARAGE is not set)");
        return;
    };
    let shelf: Arc<dyn Shelf> = Arc::new(shelf);
    world.stop().await;
    world.restart_with(|furniture| furniture.shelf = Arc::clone(&shelf));
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let id = round.plan.migration;
    let listed = shelf.list(round.consignment).await.unwrap();
    let line = round.manifest.parcels.first().unwrap();
    let address = ParcelAddress { consignment: round.consignment, attempt: line.attempt, parcel: line.parcel };
    assert!(listed.contains(&(address, line.bytes)), "{listed:?}");
    let sealed = shelf.read(address).await.unwrap();
    assert!(lies_in(&data, &sealed[..64]), "where Garage keeps its data is not where the parcels lie");
    assert!(!world.server_folder().join("shelf").join(round.consignment.to_string()).exists());

    world.release(&round.plan, round.consignment).await.unwrap();
    let report = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal() && report.reconciliation.opened);
    world.sign_off(&round.plan).await.unwrap();
    world.destroy_part(Name::Recipient, id, &[]).await.unwrap();
    world.destroy_part(Name::Operator, id, &[]).await.unwrap();

    assert_eq!(shelf.list(round.consignment).await.unwrap(), []);
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    assert_eq!(ledger.migration().stage, Stage::Destroyed);
    let destroyed = ledger.recorded().iter().find_map(|recorded| {
        let Act::Destroyed { evidence, .. } = &recorded.fact.act else { return None };
        Some(evidence.clone())
    });
    let destroyed = destroyed.unwrap();
    assert_eq!(destroyed.parcels, u64::try_from(listed.len()).unwrap());
    assert!(destroyed.left.is_nothing());
    assert!(destroyed.lingering.is_empty());
}

/// A shelf that is as another, but for this.
struct Bent {
    inner: Arc<dyn Shelf>,
    /// What it would not let anybody delete.
    locked: bool,
    /// Erasing does not end before this says so.
    stuck: Option<(Arc<Notify>, Arc<Notify>)>,
}

impl Shelf for Bent {
    passes_on!(put read list unfinished);

    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>> {
        if self.locked {
            return Box::pin(async { Err(Refusal::new(Code(730), "it locks objects", "Take another.").into()) });
        }
        self.inner.keeps()
    }

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async move {
            if let Some((asked, go_on)) = &self.stuck {
                asked.notify_one();
                go_on.notified().await;
            }
            self.inner.erase(consignment, seen).await
        })
    }
}

/// Stops the server and starts it with its shelf bent; its ring comes back, to be asked.
async fn bend(world: &mut World, locked: bool, stuck: Option<(Arc<Notify>, Arc<Notify>)>) -> Arc<dyn KeyRing> {
    world.stop().await;
    let mut ring = None;
    world.restart_with(|furniture| {
        ring = Some(Arc::clone(&furniture.ring));
        furniture.shelf = Arc::new(Bent { inner: Arc::clone(&furniture.shelf), locked, stuck });
    });
    ring.unwrap()
}

async fn stage(world: &World, round: &Round) -> ConsignmentStage {
    let ledger = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    ledger.migration().consignment(round.consignment).unwrap().stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shelf_that_does_not_answer_keeps_no_key_alive_and_holds_up_no_request() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let rounds = [world.closed(&systems).await, world.closed(&systems).await];
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ring = bend(&mut world, false, Some((Arc::clone(&asked), Arc::clone(&go_on)))).await;
    world.pass_hours(73);
    let office = Arc::clone(world.office());
    let sweeping = tokio::spawn(async move { office.sweep().await });
    asked.notified().await;

    // The first of two shelves is being waited for.
    for round in &rounds {
        let state = ring.attest(round.consignment).unwrap();
        assert!(matches!(state, KeyState::Destroyed { .. }), "a key outlives its deadline: {state:?}");
        assert_eq!(stage(&world, round).await, ConsignmentStage::Closed, "it is answered, and nothing is recorded yet");
    }
    world.open().await;

    go_on.notify_one();
    asked.notified().await;
    go_on.notify_one();
    sweeping.await.unwrap().unwrap();
    for round in &rounds {
        assert_eq!(stage(&world, round).await, ConsignmentStage::Destroyed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_opened_over_a_bucket_that_locks_objects_and_what_is_there_ends_in_time() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let ring = bend(&mut world, true, None).await;
    assert_eq!(world.office().shelf_keeps().await.unwrap_err().code(), Code(730));
    let another = MigrationId::draw(entropy().as_ref()).unwrap();
    let open = Act::Open { parties: world.parties() };
    assert_eq!(world.act(Name::Engineer, another, open).await.unwrap_err().code(), Code(730));
    let again = Act::OpenConsignment {
        consignment: ConsignmentId::draw(entropy().as_ref()).unwrap(),
        plan: round.plan.digest().unwrap(),
        kind: Kind::Full,
        seed: 1,
        basis_points: procedure::EVERYTHING,
        target: round.plan.target(Kind::Full).unwrap().identity.clone(),
        deadline: hours_after(world.clock.now(), 72),
    };
    assert_eq!(world.act(Name::Operator, round.plan.migration, again).await.unwrap_err().code(), Code(730));
    assert_eq!(stage(&world, &round).await, ConsignmentStage::Closed);

    world.pass_hours(73);
    world.office().sweep().await.unwrap();
    assert_eq!(stage(&world, &round).await, ConsignmentStage::Destroyed);
    assert!(matches!(ring.attest(round.consignment).unwrap(), KeyState::Destroyed { .. }));
}
