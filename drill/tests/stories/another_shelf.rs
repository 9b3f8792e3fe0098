//! A shelf that is exchanged while it waits to be emptied, as behind a mount that is not there after a restart: what nobody
//! deleted is not certified as deleted.

use std::path::PathBuf;
use std::sync::Arc;

use drill::{Name, World, lies_on};
use futures::future::BoxFuture;
use lexicon::{Code, ConsignmentId, Fault, MigrationId, Result, Retry};
use procedure::{Absent, Act, Destroyed};
use vault::{Erased, Receipt, Shelf};

use super::no_deletion::{handed_over, parcels_on};
use super::passes_on::passes_on;

/// A shelf of which nothing can be deleted.
struct OnlyRead {
    inner: Arc<dyn Shelf>,
}

impl Shelf for OnlyRead {
    passes_on!(keeps id put read list unfinished);

    fn erase<'a>(&'a self, _: ConsignmentId, _: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async { Err(Fault::new(Code(701), Retry::Later, "the disk failed to remove a parcel").into()) })
    }
}

/// A consignment ends on a shelf of which nothing can be deleted, and the next start finds that shelf or an empty folder: how
/// many parcels had been stored, how many lie on the first shelf in the end, and what the fact of their destruction says.
async fn emptied_after_a_restart(exchanged: bool) -> (World, usize, usize, Destroyed) {
    let mut world = World::start().await;
    let (_, round) = handed_over(&world).await;
    let data = world.server_folder();
    let stored = parcels_on(&data, &round);
    world.stop().await;
    world.restart_with(|furniture| furniture.shelf = Arc::new(OnlyRead { inner: Arc::clone(&furniture.shelf) }));
    let cancel = Act::Cancel { reason: "no longer wanted".to_owned() };
    world.act(Name::Controller, round.plan.migration, cancel).await.unwrap();
    assert!(world.office().sweep().await.is_err(), "the control: nothing can be deleted");
    assert_eq!(parcels_on(&data, &round), stored);
    world.stop().await;
    let (shelf, elsewhere) = (data.join("shelf"), world.path("elsewhere"));
    if exchanged {
        std::fs::rename(&shelf, &elsewhere).unwrap();
        std::fs::create_dir(&shelf).unwrap();
    }
    world.restart();
    world.office().sweep().await.unwrap();

    let evidence = destroyed(&world, round.plan.migration).await;
    let left = lies_on(if exchanged { &elsewhere } else { &shelf }).len();
    (world, stored, left, evidence)
}

async fn destroyed(world: &World, migration: MigrationId) -> Destroyed {
    let ledger = world.desk(Name::Controller).follow(migration).await.unwrap();
    let evidence = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.clone()) } else { None }
    });
    evidence.unwrap()
}

/// A folder that goes away when something is to be deleted from it, and leaves an empty one in its place.
struct GoesAway {
    inner: Arc<dyn Shelf>,
    folder: PathBuf,
    elsewhere: PathBuf,
}

impl Shelf for GoesAway {
    passes_on!(keeps id put read list unfinished);

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async move {
            if !self.elsewhere.exists() {
                std::fs::rename(&self.folder, &self.elsewhere).unwrap();
                std::fs::create_dir(&self.folder).unwrap();
            }
            self.inner.erase(consignment, seen).await
        })
    }
}

fn alarms(world: &World) -> usize {
    world.notes().iter().filter(|note| note.contains("[LZ-0846]")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_on_a_shelf_that_was_exchanged_before_they_were_deleted_are_certified_as_absent() {
    let (world, stored, left, evidence) = emptied_after_a_restart(true).await;

    assert!(stored > 2 && left == stored, "this story says too little: {left} of {stored}");
    let bytes = evidence.inventory.iter().map(|line| line.bytes).sum();
    assert_eq!(evidence.absent, Some(Absent { parcels: u64::try_from(stored).unwrap(), bytes }));
    assert_eq!((evidence.parcels, evidence.bytes), (0, 0));
    assert_eq!(alarms(&world), 1, "{:?}", world.notes());
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_on_the_same_shelf_that_are_deleted_at_a_later_try_are_certified_as_deleted() {
    let (world, stored, left, evidence) = emptied_after_a_restart(false).await;

    assert!(stored > 2 && left == 0, "this story says too little: {left} of {stored}");
    assert_eq!((evidence.absent, evidence.parcels), (None, u64::try_from(stored).unwrap()));
    assert_eq!(alarms(&world), 0, "{:?}", world.notes());
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_on_a_shelf_that_goes_away_while_they_are_deleted_are_certified_as_absent() {
    let mut world = World::start().await;
    let (_, round) = handed_over(&world).await;
    let stored = parcels_on(&world.server_folder(), &round);
    world.stop().await;
    let (folder, elsewhere) = (world.server_folder().join("shelf"), world.path("elsewhere"));
    world.restart_with(|furniture| {
        let inner = Arc::clone(&furniture.shelf);
        furniture.shelf = Arc::new(GoesAway { inner, folder: folder.clone(), elsewhere: elsewhere.clone() });
    });
    let cancel = Act::Cancel { reason: "no longer wanted".to_owned() };
    world.act(Name::Controller, round.plan.migration, cancel).await.unwrap();
    world.office().sweep().await.unwrap();

    let evidence = destroyed(&world, round.plan.migration).await;
    assert!(stored > 2 && lies_on(&elsewhere).len() == stored, "this story says too little: {stored}");
    assert_eq!(evidence.absent.map(|absent| absent.parcels), Some(u64::try_from(stored).unwrap()));
    assert_eq!((evidence.parcels, alarms(&world)), (0, 1), "{:?}", world.notes());
}
