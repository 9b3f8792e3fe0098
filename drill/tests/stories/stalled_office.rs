//! A disk or a key store that takes its time holds up who waits for it, and nobody else.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drill::{Name, World, entropy};
use lexicon::{ConsignmentId, Result};
use procedure::Kind;
use tokio::time::timeout;
use vault::KeyRing;

use super::passes_on::passes_on;

/// A ring that makes a key when it is told to.
struct Slow {
    inner: Arc<dyn KeyRing>,
    asked: Mutex<Sender<()>>,
    told: Mutex<Receiver<()>>,
}

impl KeyRing for Slow {
    passes_on!(encrypt decrypt destroy engrave attest buried still_opens level);

    fn create(&self, id: ConsignmentId) -> Result<()> {
        self.asked.lock().unwrap().send(()).unwrap();
        self.told.lock().unwrap().recv().unwrap();
        self.inner.create(id)
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
