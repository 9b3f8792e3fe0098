//! A ring key is made before its consignment is a fact. Where no fact comes of it no key stays, whatever ends the opening;
//! and no key goes that is somebody's.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use drill::{Name, Systems, World, copy_folder, entropy};
use lexicon::{Code, ConsignmentId, Result};
use procedure::{Act, Kind, Plan};
use rusqlite::Connection;
use tokio::task::JoinHandle;
use vault::{KeyRing, KeyState};

use super::passes_on::passes_on;

/// A ring that stops once, when it has made its first key, until it is told to go on.
struct Stopping {
    inner: Arc<dyn KeyRing>,
    first: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl KeyRing for Stopping {
    passes_on!(encrypt decrypt destroy engrave attest buried still_opens level);

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
            let inner = Arc::clone(&furniture.ring);
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_at_the_next_start_when_the_server_ended_before_the_fact_and_in_doubt_at_its_last_deadline() {
    let world = World::start().await;
    let systems = world.systems(60);
    let living = world.closed(&systems).await.consignment;
    let Halfway { mut world, consignment, go_on, opening, .. } = Halfway::of(world, &systems).await;
    let killed = ["killed", "killed and damaged"].map(|name| {
        let (data, ring) = (world.path(&format!("{name} data")), world.path(&format!("{name} ring")));
        copy_folder(&world.server_folder(), &data);
        copy_folder(&world.ring_folder(), &ring);
        (data, ring)
    });
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
