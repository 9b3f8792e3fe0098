//! Steps that last longer than they may: nothing more of them is stored or loaded, nothing is closed or done, and the next
//! one brings what an undisturbed one would have brought.

use std::sync::Arc;
use std::time::Duration;

use drill::{Name, World, entropy, lies_on, passphrase};
use lexicon::{Clock, Code, ConsignmentId, FixedClock, SystemClock, Timestamp, hours_after};
use passage::{Errand, Progress, Seen};
use procedure::{Act, ConsignmentStage, EVERYTHING, Kind, Step};

use super::line::Line;
use super::{Ended, REFUSED, Scene};

/// Less than what clocks may differ by, so that the server's can be past it while a device's is not.
const MINUTES: u64 = 4;

/// A consignment whose deadline, and with it every lease, is over after so long.
async fn short_lived(scene: &mut Scene, lives: Duration) {
    scene.now();
    let abandon = Act::Abandon { consignment: scene.consignment, reason: "too long".to_owned() };
    scene.world.act(Name::Controller, scene.plan.migration, abandon).await.unwrap();
    scene.consignment = ConsignmentId::draw(entropy().as_ref()).unwrap();
    let act = Act::OpenConsignment {
        consignment: scene.consignment,
        plan: scene.plan.digest().unwrap(),
        kind: Kind::Full,
        seed: 1,
        basis_points: EVERYTHING,
        target: scene.plan.target(Kind::Full).unwrap().identity.clone(),
        deadline: SystemClock.now().checked_add(lives).unwrap(),
    };
    scene.world.act(Name::Operator, scene.plan.migration, act).await.unwrap();
}

/// The new system has every row in scope of these tables.
fn all_is_there(scene: &Scene, tables: &[&str]) {
    for table in tables {
        let in_scope = scene.systems.made.rows(table).in_scope;
        assert_eq!(scene.rows(&format!("import_{table}")), i64::try_from(in_scope).unwrap(), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_outlives_its_lease_stores_no_more_and_closes_nothing() {
    let mut scene = Scene::set().await;
    short_lived(&mut scene, Duration::from_mins(MINUTES)).await;
    let (world, source) = (&scene.world, scene.systems.source.identity());
    let shelf = world.server_folder().join("shelf");
    let (line, looked_at) = (Line::to_the_server(world).await, shelf.clone());
    line.hold_when(move || !lies_on(&looked_at).is_empty());
    line.leads(world, Name::Operator);
    let late = scene.extracting_from(&source).spawn().unwrap();
    line.held().await;
    let before = scene.ledger().await;
    let round = before.migration().consignment(scene.consignment).unwrap();
    let lease = round.last_attempt().unwrap().lease;
    assert_eq!(lease, round.deadline);

    world.clock.set(lease);
    line.mend();
    let late = tokio::task::spawn_blocking(move || late.wait_with_output().unwrap()).await.unwrap();
    Ended::of(&late).says(REFUSED, 831, &["holds no lease"]);
    let after = world.desk(Name::Controller).follow(scene.plan.migration).await.unwrap();
    assert_eq!(after.last(), before.last(), "something of it came into the journal after the lease");

    world.office().sweep().await.unwrap();
    assert!(lies_on(&shelf).is_empty(), "parcels outlive their consignment");
    Line::straight(world, Name::Operator);
    scene.now();
    scene.consignment = scene.world.consign(&scene.plan).await;
    scene.to_the_end().await;
    all_is_there(&scene, &["prescriber", "patient", "request", "result"]);
}

/// Lets everybody's clock go on to a moment once a first parcel is stored or fetched.
struct Late(Arc<FixedClock>, Timestamp);

impl Late {
    /// To the end of a lease that begins now.
    fn of(world: &World) -> Self {
        Self(Arc::clone(&world.clock), hours_after(world.clock.now(), lexicon::limits::LEASE_HOURS))
    }
}

impl Progress for Late {
    fn seen(&self, seen: Seen<'_>) {
        if matches!(seen, Seen::Bytes { .. }) {
            self.0.set(self.1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_attempt_whose_lease_ended_another_one_of_the_same_consignment_comes_to_its_end() {
    let world = World::start().await;
    let systems = world.systems(60);
    // One table of one parcel, so that nothing is on its way when the clock goes on.
    let sections = synth::scope_toml();
    let first = sections.match_indices("[[table]]").nth(1).unwrap().0;
    let scene = Scene::of(world, systems, sections.get(..first).unwrap()).await;
    let (world, source, consignment) = (&scene.world, scene.systems.source.as_ref(), scene.consignment);
    let (desk, secret, late) = (world.desk(Name::Operator), passphrase(), Late::of(world));
    let migration = scene.plan.migration;
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &late };
    let refused = passage::extract(&errand, source, entropy()).await.unwrap_err();
    // Whoever looks first: the server at what is stored, or the device, once in a second.
    let told = refused.code();
    assert!([Code(831), Code(652)].contains(&told), "{refused}");
    drop(desk);

    let ledger = world.desk(Name::Controller).follow(migration).await.unwrap();
    let round = ledger.migration().consignment(consignment).unwrap();
    assert_eq!((round.stage, round.attempts.len()), (ConsignmentStage::Open, 1));
    let gave_up = |act: &Act| matches!(act, Act::Failed { attempt: 1, code, .. } if *code == told.0);
    assert!(ledger.recorded().iter().any(|recorded| gave_up(&recorded.fact.act)), "it is not in the journal");

    let manifest = world.extract(&scene.plan, consignment, source).await.unwrap();
    // The table was stored to its end in time; its sums came too late.
    assert!(manifest.parcels.iter().all(|parcel| parcel.attempt == 1), "a table that was stored is sealed again");
    assert_eq!(manifest.sums.attempt, 2, "sums were stored after the lease");
    world.release(&scene.plan, consignment).await.unwrap();
    let report = world.load(&scene.plan, consignment, scene.systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
    all_is_there(&scene, &["prescriber"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_outlives_its_lease_forgets_the_key_and_the_next_one_comes_to_its_end() {
    let scene = Scene::set().await;
    let (world, consignment, migration) = (&scene.world, scene.consignment, scene.plan.migration);
    world.extract(&scene.plan, consignment, scene.systems.source.as_ref()).await.unwrap();
    world.release(&scene.plan, consignment).await.unwrap();
    let (line, began) = (Line::to_the_server(world).await, world.clock.now());
    let clock = Arc::clone(&world.clock);
    line.hold_when(move || clock.now() > began);
    line.leads(world, Name::Recipient);
    let (desk, secret, late) = (world.desk(Name::Recipient), passphrase(), Late::of(world));
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &late };

    let loading = passage::load(&errand, scene.systems.sink.as_ref());
    let mending = async {
        line.held().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        line.mend();
    };
    let (refused, ()) = tokio::join!(loading, mending);
    assert_eq!(refused.unwrap_err().code(), Code(652));
    drop(desk);
    let ledger = world.desk(Name::Controller).follow(migration).await.unwrap();
    let gave_up = |act: &Act| matches!(act, Act::Failed { step: Step::Load, attempt: 2, code: 652, .. });
    assert!(ledger.recorded().iter().any(|recorded| gave_up(&recorded.fact.act)), "it is not in the journal");

    Line::straight(world, Name::Recipient);
    let report = world.load(&scene.plan, consignment, scene.systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
    all_is_there(&scene, &["prescriber", "patient", "request", "result"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_ends_when_its_lease_went_by_also_where_the_clock_stands_still() {
    let mut scene = Scene::set().await;
    short_lived(&mut scene, Duration::from_secs(20)).await;
    let (world, shelf) = (&scene.world, scene.world.server_folder().join("shelf"));
    let line = Line::to_the_server(world).await;
    line.hold_when(move || !lies_on(&shelf).is_empty());
    line.leads(world, Name::Operator);
    let extracting = world.extract(&scene.plan, scene.consignment, scene.systems.source.as_ref());
    let mending = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        line.mend();
    };
    let (refused, ()) = tokio::join!(extracting, mending);
    assert_eq!(refused.map(drop).unwrap_err().code(), Code(652));
}
