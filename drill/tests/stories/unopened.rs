//! A ring key is made before its consignment is a fact. Where no fact comes of it no key stays, whatever ends the opening;
//! and no key goes that is somebody's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use drill::{Name, Systems, World, copy_folder, entropy};
use lexicon::{Clock, Code, ConsignmentId, Digest, Fault, Result, Retry};
use procedure::{Act, ConsignmentStage, Kind, Plan};
use registry::{Mark, Marking, Registry};
use rusqlite::Connection;
use tokio::task::JoinHandle;
use vault::{KeyRing, KeyState};
use wire::Leaf;

use super::passes_on::passes_on;
use super::restored_server::stage;
use super::ring_away::GivesOut;

/// A ring that stops once, when it has made its first key, until it is told to go on.
struct Stopping {
    inner: Arc<dyn KeyRing>,
    first: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl KeyRing for Stopping {
    passes_on!(encrypt decrypt destroy engrave attest buried held still_opens level);

    fn create(&self, id: ConsignmentId) -> Result<()> {
        self.inner.create(id)?;
        let first = self.first.lock().unwrap().take();
        if let Some((made, told)) = first {
            made.send(()).unwrap();
            told.recv().unwrap();
        }
        Ok(())
    }
}

/// An opening whose key is made, and of which nothing else is.
struct Halfway {
    world: World,
    plan: Plan,
    consignment: ConsignmentId,
    go_on: Sender<()>,
    opening: JoinHandle<Result<()>>,
}

impl Halfway {
    async fn of(mut world: World, systems: &Systems) -> Self {
        let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
        world.stop().await;
        let ((made, was_made), (go_on, told)) = (channel(), channel());
        world.restart_with(|furniture| {
            let inner = Arc::new(GivesOut { inner: Arc::clone(&furniture.ring) });
            furniture.ring = Arc::new(Stopping { inner, first: Mutex::new(Some((made, told))) });
        });
        let consignment = ConsignmentId::draw(entropy().as_ref()).unwrap();
        let (act, desk, migration) = (
            world.opening(&plan, consignment, Kind::Full, (1, procedure::EVERYTHING)),
            world.desk(Name::Operator),
            plan.migration,
        );
        let opening = tokio::spawn(async move {
            let mut build = |_: &procedure::Migration| Ok(act.clone());
            desk.act(migration, &mut build, &[]).await.map(drop)
        });
        tokio::task::spawn_blocking(move || was_made.recv().unwrap()).await.unwrap();
        Self { world, plan, consignment, go_on, opening }
    }
}

fn stands(world: &World, (data, ring): (&Path, &Path), consignment: ConsignmentId) -> KeyState {
    world.ring(data, ring).unwrap().attest(consignment).unwrap()
}

fn noted(world: &World) -> usize {
    world.notes().iter().filter(|note| note.contains("no fact came of its opening")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_with_the_opening_that_is_refused_after_it_was_made() {
    let world = World::start().await;
    let systems = world.systems(60);
    let Halfway { mut world, plan, consignment, go_on, opening } = Halfway::of(world, &systems).await;
    let freeze = Act::Freeze { reason: "a strange letter".to_owned() };
    world.act(Name::Controller, plan.migration, freeze).await.unwrap();
    go_on.send(()).unwrap();
    opening.await.unwrap().unwrap_err();

    assert_eq!(noted(&world), 1, "{:?}", world.notes());
    for _ in 0..2 {
        world.stop().await;
        let state = stands(&world, (&world.server_folder(), &world.ring_folder()), consignment);
        assert!(matches!(state, KeyState::Destroyed { .. }), "{state:?}");
        world.restart();
        assert!(world.office().put_back().await.is_empty(), "its tombstone is no sign that the server was put back");
        world.office().sweep().await.unwrap();
    }
    assert_eq!(noted(&world), 1);
    let copied = world.notes().iter().filter(|note| note.ends_with("[LZ-0845]")).count();
    assert_eq!(copied, 1, "{:?}", world.notes());
}

/// Data and ring of the server as they are now, under these names.
fn copies(world: &World, names: [&str; 2]) -> [(PathBuf, PathBuf); 2] {
    names.map(|name| {
        let (data, ring) = (world.path(&format!("{name} data")), world.path(&format!("{name} ring")));
        copy_folder(&world.server_folder(), &data);
        copy_folder(&world.ring_folder(), &ring);
        (data, ring)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_at_the_next_start_when_the_server_ended_before_the_fact_and_in_doubt_at_its_last_deadline() {
    let world = World::start().await;
    let systems = world.systems(60);
    let living = world.closed(&systems).await.consignment;
    let Halfway { mut world, consignment, go_on, opening, .. } = Halfway::of(world, &systems).await;
    let killed = copies(&world, ["killed", "killed and damaged"]);
    go_on.send(()).unwrap();
    opening.await.unwrap().unwrap();
    let [(data, ring), damaged] = &killed;
    assert_eq!(stands(&world, (data, ring), consignment), KeyState::Alive, "the control: there is a key");

    for _ in 0..2 {
        let office = world.open_office(data, ring).unwrap();
        assert!(office.put_back().await.is_empty(), "its tombstone is no sign that the server was put back");
        office.sweep().await.unwrap();
        drop(office);
        let state = stands(&world, (data, ring), consignment);
        assert!(matches!(state, KeyState::Destroyed { .. }), "{state:?}");
        assert_eq!(stands(&world, (data, ring), living), KeyState::Alive);
    }

    // Facts that are not whole may have held the opening.
    let (data, ring) = damaged;
    let db = Connection::open(data.join("registry.sqlite")).unwrap();
    assert_eq!(db.execute("DELETE FROM fact WHERE number = 4", []).unwrap(), 2);
    drop(db);
    for (days, is_alive) in [(0, true), (29, true), (2, false)] {
        world.pass_hours(days * 24);
        world.open_office(data, ring).unwrap().sweep().await.unwrap();
        assert_eq!(stands(&world, (data, ring), consignment) == KeyState::Alive, is_alive, "{days} days later");
    }

    // What became a fact is nobody's orphan.
    world.stop().await;
    let folders = (world.server_folder(), world.ring_folder());
    assert_eq!(stands(&world, (&folders.0, &folders.1), consignment), KeyState::Alive);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_under_the_name_of_another_is_refused_and_costs_the_other_nothing() {
    let world = World::start().await;
    let systems = world.systems(60);
    let other = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let Halfway { mut world, consignment, go_on, opening, .. } = Halfway::of(world, &systems).await;

    let same_name = world.opening(&other, consignment, Kind::Full, (1, procedure::EVERYTHING));
    let meanwhile = world.act(Name::Operator, other.migration, same_name.clone()).await.unwrap_err();
    go_on.send(()).unwrap();
    opening.await.unwrap().unwrap();
    let afterwards = world.act(Name::Operator, other.migration, same_name).await.unwrap_err();
    world.office().sweep().await.unwrap();

    assert_eq!((meanwhile.code(), afterwards.code()), (Code(823), Code(823)), "{meanwhile}");
    assert_eq!(noted(&world), 0);
    world.stop().await;
    let state = stands(&world, (&world.server_folder(), &world.ring_folder()), consignment);
    assert_eq!(state, KeyState::Alive);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_keeps_the_last_deadline_of_an_opening_that_damage_or_a_backup_put_in_doubt() {
    let world = World::start().await;
    let systems = world.systems(60);
    let living = world.closed(&systems).await.consignment;
    let Halfway { world, consignment, go_on, opening, .. } = Halfway::of(world, &systems).await;
    let [damaged, put_back] = copies(&world, ["damaged", "put back"]);
    go_on.send(()).unwrap();
    opening.await.unwrap().unwrap();
    let db = Connection::open(damaged.0.join("registry.sqlite")).unwrap();
    assert_eq!(db.execute("DELETE FROM fact WHERE number = 4", []).unwrap(), 2);
    drop(db);
    // A key that lives by the facts and is destroyed: they are older than the ring.
    let receipt = Registry::open(&put_back.0.join("registry.sqlite")).unwrap().so_far().unwrap();
    world.ring(&put_back.0, &put_back.1).unwrap().destroy(living, &receipt).unwrap();

    let offices = [damaged, put_back].map(|(data, ring)| {
        let key = ring.join(format!("keys/{consignment}.key"));
        (world.open_office(&data, &ring).unwrap(), key)
    });
    let [(damaged, _), (put_back, _)] = &offices;
    assert!(damaged.alarm().await.is_some() && put_back.alarm().await.is_none());
    assert_eq!((damaged.put_back().await.len(), put_back.put_back().await.len()), (0, 1));
    for (days, is_alive) in [(0, true), (29, true), (2, false)] {
        world.pass_hours(days * 24);
        for (office, key) in &offices {
            office.sweep().await.unwrap();
            assert_eq!(key.exists(), is_alive, "{days} days later: {}", key.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_put_back_to_between_the_note_and_the_fact_of_an_opening_hears_that_the_consignment_was_destroyed() {
    let world = World::start().await;
    let systems = world.systems(60);
    let Halfway { mut world, plan, consignment, go_on, opening } = Halfway::of(world, &systems).await;
    let data = world.path("data of then");
    copy_folder(&world.server_folder(), &data);
    go_on.send(()).unwrap();
    opening.await.unwrap().unwrap();
    let abandon = Act::Abandon { consignment, reason: "the drill ends it".to_owned() };
    world.act(Name::Operator, plan.migration, abandon).await.unwrap();
    world.stop().await;

    for _ in 0..2 {
        let told = world.open_office(&data, &world.ring_folder()).unwrap().put_back().await;
        assert_eq!(told.iter().map(|alarm| alarm.code).collect::<Vec<_>>(), [Code(822)], "{told:?}");
    }
}

/// A ring that fails when it is asked about some keys, and counts how often it is.
struct Silent {
    inner: Arc<dyn KeyRing>,
    about: [ConsignmentId; 2],
    code: Code,
    asked: Arc<AtomicUsize>,
}

impl KeyRing for Silent {
    passes_on!(create encrypt decrypt destroy engrave buried held still_opens level);

    fn attest(&self, id: ConsignmentId) -> Result<KeyState> {
        if !self.about.contains(&id) {
            return self.inner.attest(id);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(Fault::new(self.code, Retry::Later, "the key store does not say").into())
    }
}

/// Notes that keys of these consignments were about to be made; the server is down.
fn note_openings(world: &World, ids: [ConsignmentId; 2]) {
    let registry = Registry::open(&world.server_folder().join("registry.sqlite")).unwrap();
    for id in ids {
        let text = format!("consignment {id}: its ring key is made");
        let note = Leaf::Note { nonce: Digest(id.0.repeat(2).try_into().unwrap()), at: world.clock.now(), text };
        let marking = Marking { mark: Mark::Opening, subject: &id.to_string(), forget: None };
        registry.mark(&note, &marking).map(drop).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_is_away_for_one_opening_is_not_asked_about_the_next_and_other_deadlines_are_kept() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    world.stop().await;
    let (about, unnamed) = ([1, 2].map(|byte| ConsignmentId([byte; 16])), ConsignmentId([3; 16]));
    note_openings(&world, about);
    let asked = Arc::new(AtomicUsize::new(0));
    world.restart_with(|furniture| {
        about.into_iter().chain([unnamed]).for_each(|id| furniture.ring.create(id).unwrap());
        let (inner, code, asked) = (Arc::clone(&furniture.ring), Code(720), Arc::clone(&asked));
        furniture.ring = Arc::new(Silent { inner, about, code, asked });
    });

    // A key that nothing names: the server may have been put back, so that the openings may have become facts.
    world.office().sweep().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0, "in doubt nothing is done about them");
    world.pass_hours(31 * 24);
    for beat in 1..=2 {
        assert_eq!(world.office().sweep_keys().await.unwrap_err().code(), Code(720));
        assert_eq!(asked.load(Ordering::SeqCst), beat, "the first that fails ends it for this beat");
    }

    let keys = world.ring_folder().join("keys");
    let there = [about[0], about[1], unnamed].map(|id| keys.join(format!("{id}.key")).exists());
    assert_eq!(there, [true, true, false], "what nothing names goes all the same");
    world.office().sweep_shelves().await.unwrap();
    assert_eq!(stage(&world, &round).await, ConsignmentStage::Destroyed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_destroyed_keeps_no_other_of_its_kind_alive() {
    let mut world = World::start().await;
    world.plants_nothing("keys are made that no consignment comes of; there is no old system");
    world.stop().await;
    let (openings, unnamed) =
        ([1, 2].map(|byte| ConsignmentId([byte; 16])), [3, 4].map(|byte| ConsignmentId([byte; 16])));
    note_openings(&world, openings);
    let asked = Arc::new(AtomicUsize::new(0));
    world.restart_with(|furniture| {
        openings.into_iter().chain(unnamed).for_each(|id| furniture.ring.create(id).unwrap());
        // It is there, and does not destroy: it has answered something else.
        let (inner, code, asked) = (Arc::clone(&furniture.ring), Code(723), Arc::clone(&asked));
        furniture.ring = Arc::new(Silent { inner, about: [openings[0], unnamed[0]], code, asked });
    });
    world.office().sweep().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0, "in doubt nothing is done about them");

    world.pass_hours(31 * 24);
    assert_eq!(world.office().sweep_keys().await.unwrap_err().code(), Code(723));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "one of each kind failed");
    let keys = world.ring_folder().join("keys");
    let there = [openings[0], openings[1], unnamed[1]].map(|id| keys.join(format!("{id}.key")).exists());
    assert_eq!(there, [true, false, false]);
}
