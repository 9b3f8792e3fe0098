//! A shelf in a bucket: a whole passage over one, what its store has on its disk meanwhile, and what becomes of
//! everything else while it does not answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drill::{Name, Round, Systems, World, entropy, files_below, write_file};
use futures::future::BoxFuture;
use lexicon::{Clock, Code, ConsignmentId, Entropy, MigrationId, Refusal, Result, SeededEntropy, hours_after};
use procedure::{Act, ConsignmentStage, Kind, Stage};
use synth::search::Hit;
use synth::{Place, Sentinel};
use tokio::sync::Notify;
use vault::{Erased, Keeps, KeyRing, KeyState, ParcelAddress, Receipt, Shelf};

use super::passes_on::passes_on;
use super::plain_disk::{closed_in_clear, moving, with_reports};

/// A seed that no other story uses.
const SEED: u64 = 2_031;
/// What goes up at once of a parcel.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// So many pieces are more than a part. Each is a little shorter than a block of Garage's, which has 1 MiB: the edges
/// between blocks cut the name in one piece at most.
const PIECES: usize = 12;
const PIECE_BYTES: usize = 1_000_000;

/// A world whose shelf is in Garage's bucket, that shelf, and where Garage keeps it; none where there is no Garage.
async fn over_garage() -> Option<(World, Arc<dyn Shelf>, PathBuf)> {
    drill::garage()?;
    let mut world = World::start().await;
    let (shelf, data) = world.garage()?;
    let shelf: Arc<dyn Shelf> = Arc::new(shelf);
    world.stop().await;
    world.restart_with(|furniture| furniture.shelf = Arc::clone(&shelf));
    Some((world, shelf, data))
}

/// Reports beside the old system, and among them a film with somebody's name in every piece. The scope of all.
fn with_a_film(world: &World, systems: &mut Systems, seed: u64) -> String {
    let scope = with_reports(world, systems, seed);
    let value = format!("Guivarch-{seed:016x}-on-film");
    let mut piece = format!("%PDF-1.4\n{value}").into_bytes();
    let begins = piece.len();
    piece.resize(PIECE_BYTES, 0);
    SeededEntropy::new(seed).fill(piece.get_mut(begins..).unwrap()).unwrap();
    let (table, column) = (synth::REPORTS.to_owned(), "film".to_owned());
    let somebody = Sentinel { table, column, place: Place::Moves, value };
    world.plant(std::slice::from_ref(&somebody));
    systems.made.sentinels.push(somebody);
    let film = world.path("old.sqlite-reports/2024/film.pdf");
    std::fs::create_dir_all(film.parent().unwrap()).unwrap();
    write_file(&film, &piece.repeat(PIECES));
    scope
}

fn lies_in(folder: &Path, bytes: &[u8]) -> bool {
    let files = files_below(&[folder]).into_iter().filter(|path| path.is_file());
    files.into_iter().any(|file| {
        // Garage tidies its files up meanwhile.
        std::fs::read(file).is_ok_and(|held| held.windows(bytes.len()).any(|window| window == bytes))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laboratory_moves_over_a_bucket_and_nothing_is_left_in_it() {
    let Some((world, shelf, data)) = over_garage().await else {
        drill::skipped!("a_laboratory_moves_over_a_bucket_and_nothing_is_left_in_it (LAZARET_TEST_GARAGE is not set)");
        return;
    };
    let mut systems = world.systems_of(SEED, 120);
    let scope = with_a_film(&world, &mut systems, SEED);
    let round = world.closed_with(&systems, &scope).await;
    let id = round.plan.migration;
    let listed = shelf.list(round.consignment).await.unwrap();
    let line = round.manifest.documents[0].parcels.iter().max_by_key(|line| line.bytes).unwrap();
    let address = ParcelAddress { consignment: round.consignment, attempt: line.attempt, parcel: line.parcel };
    assert!(listed.contains(&(address, line.bytes)), "{listed:?}");
    let sealed = shelf.read(address).await.unwrap();
    assert!(sealed.len() > PART_BYTES, "no parcel went up in parts: the largest has {} bytes", sealed.len());
    for part in [&sealed[..64], &sealed[PART_BYTES..][..64]] {
        assert!(lies_in(&data, part), "where Garage keeps its data is not where the parcels lie");
    }
    // While all of it is there, and not only when it is gone.
    let left = world.left_in_clear();
    assert!(left.is_clean(), "{:?} {:?}", left.hits, left.missed);
    assert!(!world.server_folder().join("shelf").join(round.consignment.to_string()).exists());

    world.release(&round.plan, round.consignment).await.unwrap();
    let report = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal() && report.reconciliation.opened);
    let film = |reports: &str| std::fs::read(world.path(reports).join("2024/film.pdf")).unwrap();
    assert!(film("old.sqlite-reports") == film("new.sqlite-documents/reports"), "another film arrived");
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

#[tokio::test(flavor = "multi_thread")]
async fn parcels_that_lie_in_a_bucket_in_clear_are_found_in_the_files_of_its_store() {
    let Some((world, shelf, data)) = over_garage().await else {
        drill::skipped!(
            "parcels_that_lie_in_a_bucket_in_clear_are_found_in_the_files_of_its_store (LAZARET_TEST_GARAGE is not set)"
        );
        return;
    };
    // Garage's disk keeps for ten minutes and longer what was deleted. No other story looks for these values, which are
    // drawn from a seed of their own each time, and this one does not find those that it left there before. Patients do not
    // move: there are too few NIRs that were never issued for no two seeds to have one in common.
    let seed = u64::from(u32::from_le_bytes(entropy().bytes().unwrap()));
    let mut systems = world.systems_of(seed, 1_000);
    let scope = with_a_film(&world, &mut systems, seed);
    let tables: Vec<&str> = scope.split("\n[[table]]").collect();
    let documents = scope.find("\n[[documents]]").unwrap();
    let scope = format!("{}\n[[table]]{}{}", tables[0], tables[1], &scope[documents..]);
    assert!(tables[1].contains("\"prescriber\""), "{scope}");

    let round = closed_in_clear(&world, &systems, &scope).await;
    let left = world.left_in_clear();

    let elsewhere: Vec<&Hit> = left.hits.iter().filter(|hit| !hit.file.starts_with(&data)).collect();
    assert!(elsewhere.is_empty(), "seed {seed}: {elsewhere:?}");
    let counted = |label: &str| -> u64 { left.hits.iter().filter(|hit| hit.label == label).map(|hit| hit.count).sum() };
    let mut owed = BTreeMap::<String, u64>::new();
    let of_these = |sentinel: &&Sentinel| ["prescriber", synth::REPORTS].contains(&sentinel.table.as_str());
    for sentinel in moving(&systems).filter(of_these) {
        let count = owed.entry(sentinel.label()).or_default();
        *count = count.saturating_add(1);
    }
    for (label, count) in &owed {
        // What stands across an edge between two blocks is in no file.
        assert!(counted(label) > count / 2, "seed {seed}: {} of {count} values of {label} were seen", counted(label));
    }
    assert!(["reports.name", "reports.content"].iter().all(|label| owed.contains_key(*label)));
    assert!(owed.keys().any(|label| label.starts_with("prescriber.")), "{:?}", owed.keys());
    let film = usize::try_from(counted("reports.film")).unwrap();
    assert!(film.saturating_add(1) >= PIECES, "seed {seed}: {film} of {PIECES} pieces of the film were seen");

    let (consignment, reason) = (round.consignment, "the drill ends it".to_owned());
    world.act(Name::Controller, round.plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
    assert_eq!(shelf.list(consignment).await.unwrap(), []);
    // What the story left on purpose; the rest is searched at its end.
    world.passes_over_buckets();
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
    passes_on!(id put read list unfinished);

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
