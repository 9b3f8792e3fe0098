//! Clocks that are wrong: the server's and a device's, beforehand or from the middle of a step on, and the one by which a
//! device once went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use desk::{Desk, Home, KeyHolder};
use drill::{Command, Name, World, entropy, lies_on, passphrase};
use jiff::SignedDuration;
use lexicon::limits::LEASE_HOURS;
use lexicon::{Clock, Code, FixedClock, SystemClock, Trouble, hours_after};
use passage::{Errand, Progress, Receiving, Seen};
use people::Passphrase;
use procedure::{Act, ConsignmentStage};

use super::line::Line;
use super::{AUTHENTICATION, Ended, REFUSED, Scene, ended, replace};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_is_an_hour_off_takes_nothing_until_it_is_right() {
    let scene = Scene::set().await;
    let source = scene.systems.source.identity();
    for (hours, side) in [(1, "behind"), (-1, "ahead of")] {
        scene.world.clock.set(hours_after(SystemClock.now(), hours));
        let told = format!("minutes {side} the server's");
        ended(scene.extracting_from(&source)).await.says(AUTHENTICATION, 141, &["this machine's clock", &told]);
    }
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    // Four minutes are within what clocks may differ by; no fact is dated before the last one.
    let facts = scene.ledger().await;
    let back = SystemClock.now().checked_sub(Duration::from_mins(4)).unwrap();
    scene.world.clock.set(back);
    ended(scene.loading_into(&scene.systems.sink.identity())).await.done();
    let ledger = scene.ledger().await;
    assert!(ledger.migration().last_at >= facts.migration().last_at);
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_once_went_ahead_says_so_until_the_time_has_come() {
    let scene = Scene::set().await;
    let time = scene.world.home(Name::Operator).join("time");
    let kept = std::fs::read(&time).unwrap();
    replace(&time, format!("{}\n", hours_after(SystemClock.now(), 2)).as_bytes());

    scene.extract().await.says(REFUSED, 272, &["ahead"]);
    assert!(scene.given_up().await.is_empty(), "nothing was begun");
    // As if the two hours had passed.
    replace(&time, &kept);
    scene.to_the_end().await;
}

/// Runs a command that is held on its way to the server, and does something meanwhile.
async fn held(
    scene: &Scene,
    name: Name,
    holds: impl Fn() -> bool + Send + 'static,
    mut command: Command,
    meanwhile: impl AsyncFnOnce(),
) -> Ended {
    let line = Line::to_the_server(&scene.world).await;
    line.hold_when(holds);
    line.leads(&scene.world, name);
    let running = command.spawn().unwrap();
    line.held().await;
    meanwhile().await;
    line.mend();
    let output = tokio::task::spawn_blocking(move || running.wait_with_output().unwrap()).await.unwrap();
    Line::straight(&scene.world, name);
    Ended::of(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_clock_that_steps_under_an_extraction_ends_it_and_takes_nothing_more_of_it() {
    let scene = Scene::set().await;
    let (world, shelf) = (&scene.world, scene.world.server_folder().join("shelf"));
    for (hours, side) in [(LEASE_HOURS + 1, "behind"), (-1, "ahead of")] {
        let (before, looked_at) = (lies_on(&shelf).len(), shelf.clone());
        let one_more = move || lies_on(&looked_at).len() > before;
        scene.now();
        let extracting = scene.extracting_from(&scene.systems.source.identity());
        let mut last = None;
        let stepped = held(&scene, Name::Operator, one_more, extracting, async || {
            last = Some(scene.ledger().await.last());
            world.clock.set(hours_after(SystemClock.now(), hours));
            world.office().sweep().await.unwrap();
        });
        let told = format!("minutes {side} the server's");
        stepped.await.says(AUTHENTICATION, 141, &["this machine's clock", &told]);
        assert_eq!(Some(scene.ledger().await.last()), last, "something of it came into the journal");
    }

    scene.extract().await.done();
    assert_eq!(scene.given_up().await, [607; 2], "the next attempt says it for the one that could not");
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_clock_that_steps_back_under_a_load_dates_no_fact_before_the_last_one() {
    let scene = Scene::released().await;
    let (world, new) = (&scene.world, scene.systems.new.clone());
    let some_is_in = move || {
        let rows =
            rusqlite::Connection::open(&new)
                .unwrap()
                .query_row("SELECT count(*) FROM import_prescriber", [], |row| row.get::<_, i64>(0));
        rows.is_ok_and(|rows| rows > 0)
    };
    scene.now();
    let loading = scene.loading_into(&scene.systems.sink.identity());
    let mut before = None;
    let stepped = held(&scene, Name::Recipient, some_is_in, loading, async || {
        let ledger = scene.ledger().await;
        before = Some(ledger.migration().last_at);
        // Within what clocks may differ by, and before the load began.
        world.clock.set(SystemClock.now().checked_sub(Duration::from_mins(4)).unwrap());
        assert!(world.clock.now() < ledger.migration().last_at);
    });
    assert_eq!(stepped.await.done()["equal"], true);

    let ledger = scene.ledger().await;
    let dates: Vec<_> = ledger.recorded().iter().map(|recorded| recorded.fact.at).collect();
    assert!(dates.is_sorted(), "{dates:?}");
    assert!(Some(*dates.last().unwrap()) >= before, "{dates:?}");
    scene.destroyed().await;
}

/// A device whose own clock is set once in the middle of a step: when something is seen for the first time.
struct Device {
    clock: Arc<FixedClock>,
    minutes: i64,
    when: fn(&Seen<'_>) -> bool,
    stepped: AtomicBool,
}

impl Progress for Device {
    fn seen(&self, seen: Seen<'_>) {
        if (self.when)(&seen) && !self.stepped.swap(true, Ordering::SeqCst) {
            let set = self.clock.now().checked_add(SignedDuration::from_mins(self.minutes)).unwrap();
            self.clock.set(set);
        }
    }
}

impl Device {
    /// Its clock shows the server's time, and is to be set by so many minutes.
    fn stepping(scene: &Scene, minutes: i64, when: fn(&Seen<'_>) -> bool) -> Self {
        scene.now();
        let clock = Arc::new(FixedClock::new(scene.world.clock.now()));
        Self { clock, minutes, when, stepped: AtomicBool::new(false) }
    }

    /// A person's desk that goes by this clock.
    fn desk(&self, scene: &Scene, name: Name) -> Desk {
        let home = Home::open(&scene.world.home(name)).unwrap();
        let keeper = Arc::new(KeyHolder::unlock(&home, &passphrase()).unwrap());
        let clock: Arc<FixedClock> = Arc::clone(&self.clock);
        Desk::open(home, keeper, clock, entropy()).unwrap()
    }

    fn errand<'a>(&'a self, scene: &Scene, (desk, passphrase): (&'a Desk, &'a Passphrase)) -> Errand<'a> {
        let (migration, consignment) = (scene.plan.migration, scene.consignment);
        Errand { desk, passphrase, migration, consignment, progress: self }
    }

    async fn extract(&self, scene: &Scene) -> lexicon::Result<()> {
        let (desk, secret) = (self.desk(scene, Name::Operator), passphrase());
        let errand = self.errand(scene, (&desk, &secret));
        passage::extract(&errand, scene.systems.source.as_ref(), entropy()).await.map(drop)
    }

    async fn load(&self, scene: &Scene) -> lexicon::Result<()> {
        let (desk, secret) = (self.desk(scene, Name::Recipient), passphrase());
        let into = Receiving { sink: scene.systems.sink.as_ref(), documents: None };
        let loaded = passage::load(&self.errand(scene, (&desk, &secret)), into).await;
        loaded.map(|report| assert!(report.reconciliation.equal()))
    }

    /// The step was refused for its clock, and nothing of it but its beginning came into the journal.
    async fn is_refused(&self, scene: &Scene, step: lexicon::Result<()>) {
        assert!(self.stepped.load(Ordering::SeqCst), "the clock was never set");
        let trouble = step.unwrap_err();
        let side = if self.minutes > 0 { "ahead of" } else { "behind" };
        let told = format!("this machine's clock is {} minutes {side} the server's", self.minutes.abs());
        assert!(matches!(trouble, Trouble::Refusal(_)) && trouble.to_string().contains(&told), "{trouble}");
        assert_eq!(trouble.code(), Code(141));
        let ledger = scene.ledger().await;
        let last = &ledger.recorded().last().unwrap().fact.act;
        assert!(matches!(last, Act::Begin { .. }), "something of it came into the journal: {}", last.name());
    }
}

/// Past the lease of the step, and to a time before it began.
const STEPS: [i64; 2] = [(LEASE_HOURS + 1) * 60, -60];
/// Less than what clocks may differ by.
const HARMLESS: i64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_clock_that_is_set_under_an_extraction_ends_it_with_nothing_closed() {
    let scene = Scene::set().await;
    for minutes in STEPS {
        let device = Device::stepping(&scene, minutes, |seen| matches!(seen, Seen::Bytes { .. }));
        device.is_refused(&scene, device.extract(&scene).await).await;
        let ledger = scene.ledger().await;
        assert_eq!(ledger.migration().consignment(scene.consignment).unwrap().stage, ConsignmentStage::Open);
    }
    // With the right time again, which the device has not recorded otherwise, the same command comes to its end.
    scene.extract().await.done();
    assert_eq!(scene.given_up().await, [607; 2], "the next attempt says it for the one that could not");
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_clock_that_is_set_under_a_load_ends_it_with_no_table_half() {
    let scene = Scene::released().await;
    for minutes in STEPS {
        let device = Device::stepping(&scene, minutes, |seen| matches!(seen, Seen::Through { .. }));
        device.is_refused(&scene, device.load(&scene).await).await;
        scene.nothing_is_half();
        assert_eq!((scene.rows("import_prescriber") > 0, scene.rows("import_result")), (true, 0), "not in the middle");
    }
    assert_eq!(scene.load().await.done()["equal"], true);
    assert_eq!(scene.given_up().await, [607; 2]);
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_clock_that_is_set_by_less_than_clocks_may_differ_ends_nothing() {
    let scene = Scene::set().await;
    let ahead = Device::stepping(&scene, HARMLESS, |seen| matches!(seen, Seen::Bytes { .. }));
    ahead.extract(&scene).await.unwrap();
    scene.now();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    let behind = Device::stepping(&scene, -HARMLESS, |seen| matches!(seen, Seen::Through { .. }));
    behind.load(&scene).await.unwrap();
    assert!([&ahead, &behind].iter().all(|device| device.stepped.load(Ordering::SeqCst)), "a clock was never set");
    assert!(scene.given_up().await.is_empty());

    let ledger = scene.ledger().await;
    let dates: Vec<_> = ledger.recorded().iter().map(|recorded| recorded.fact.at).collect();
    assert!(dates.is_sorted(), "{dates:?}");
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_with_its_clock_set_back_says_so_and_notes_it_once() {
    let mut world = World::start().await;
    world.plants_nothing("a migration is opened; there is no old system");
    let before = world.clock.now();
    world.pass_hours(73);
    world.open().await;
    for _ in 0..2 {
        world.stop().await;
        world.clock.set(before);
        world.restart();
    }
    let told = world.notes().into_iter().filter(|note| note.contains("4380 minutes behind the latest fact"));
    assert_eq!(told.count(), 1);
}
