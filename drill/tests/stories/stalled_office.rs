//! A disk or a key store that takes its time holds up who waits for it, and nobody else.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drill::{Name, World, entropy, files_below};
use futures::future::BoxFuture;
use lexicon::{ConsignmentId, Result};
use procedure::{Act, ConsignmentStage, Kind};
use tokio::sync::watch;
use tokio::time::timeout;
use vault::{Erased, KeyRing, Receipt, Shelf};

use super::no_deletion::parcels_on;
use super::passes_on::passes_on;
use super::restored_server::stage;

/// A ring that makes a key when it is told to.
struct Slow {
    inner: Arc<dyn KeyRing>,
    asked: Mutex<Sender<()>>,
    told: Mutex<Receiver<()>>,
}

impl KeyRing for Slow {
    passes_on!(encrypt decrypt destroy engrave attest buried held still_opens level);

    fn create(&self, id: ConsignmentId) -> Result<()> {
        self.asked.lock().unwrap().send(()).unwrap();
        self.told.lock().unwrap().recv().unwrap();
        self.inner.create(id)
    }
}

/// A shelf that deletes when it is told to.
struct Stuck {
    inner: Arc<dyn Shelf>,
    told: watch::Receiver<bool>,
}

impl Shelf for Stuck {
    passes_on!(keeps id put read list unfinished);

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async move {
            drop(self.told.clone().wait_for(|told| *told).await.unwrap());
            self.inner.erase(consignment, seen).await
        })
    }
}

// One thread for everything that must not wait: if the ring had it, nobody would be answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_store_that_stalls_keeps_no_door_shut() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    world.stop().await;
    let ((asked, was_asked), (tell, told)) = (channel(), channel());
    world.restart_with(|furniture| {
        let inner = Arc::clone(&furniture.ring);
        furniture.ring = Arc::new(Slow { inner, asked: Mutex::new(asked), told: Mutex::new(told) });
    });
    let id = ConsignmentId::draw(entropy().as_ref()).unwrap();
    let open = world.opening(&plan, id, Kind::Full, (1, procedure::EVERYTHING));
    let (desk, migration) = (world.desk(Name::Operator), plan.migration);
    let opening = tokio::spawn(async move {
        let mut build = |_: &procedure::Migration| Ok(open.clone());
        desk.act(migration, &mut build, &[]).await.map(drop)
    });
    tokio::task::spawn_blocking(move || was_asked.recv().unwrap()).await.unwrap();

    // Signed, so that it goes through the office; from a thread of its own, so that the story ends when nobody is answered.
    let desk = world.desk(Name::Controller);
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            timeout(Duration::from_secs(20), desk.follow(migration)).await.map(|told| told.map(drop))
        })
    });
    let answered = asking.join().unwrap();
    let swept = timeout(Duration::from_secs(20), world.office().sweep()).await;
    tell.send(()).unwrap();
    opening.await.unwrap().unwrap();

    answered.expect("the door is shut while the ring takes its time").unwrap();
    swept.expect("deadlines wait while the ring takes its time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_ends_a_consignment_is_answered_when_its_key_is_gone_however_long_its_parcels_take() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    world.stop().await;
    let (tell, told) = watch::channel(false);
    world.restart_with(|furniture| {
        furniture.shelf = Arc::new(Stuck { inner: Arc::clone(&furniture.shelf), told });
        furniture.erasure_wait = Duration::ZERO;
    });
    let (data, keys) = (world.server_folder(), world.ring_folder().join("keys"));
    assert_eq!(files_below(&[&keys]).len(), 1, "the control");

    let abandon = Act::Abandon { consignment: round.consignment, reason: "the drill ends it".to_owned() };
    let answered = timeout(Duration::from_secs(20), world.act(Name::Operator, round.plan.migration, abandon)).await;
    let left = (files_below(&[&keys]).len(), parcels_on(&data, &round) >= 4);
    tell.send(true).unwrap();
    answered.expect("the answer waits for the shelf").unwrap();

    assert_eq!(left, (0, true), "the key is gone, the parcels are not");
    assert_ne!(stage(&world, &round).await, ConsignmentStage::Destroyed, "nobody says that they are");
    world.office().sweep().await.unwrap();
    assert_eq!((stage(&world, &round).await, parcels_on(&data, &round)), (ConsignmentStage::Destroyed, 0));
}
