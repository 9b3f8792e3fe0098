//! `kill -9` before and after every step of a destruction: each call of the ring and of the shelf, and each draw of
//! randomness, which stands before every leaf of the journal. Whatever was cut comes to the same end.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use drill::{World, copy_folder};
use futures::future::BoxFuture;
use lexicon::{Clock, ConsignmentId, Digest, Entropy, FixedClock, Result, Timestamp};
use office::{Furniture, Office};
use people::SigningKey;
use registry::Registry;
use serde::{Deserialize, Serialize};
use vault::{DiskShelf, Erased, Keeps, KeyRing, KeyState, Level, LocalRing, ParcelAddress, Receipt, RingEvidence};
use vault::{Secret, Shelf};
use wire::ServerCard;
use zeroize::Zeroizing;

use super::no_deletion::{handed_over, is_destroyed, parcels_on};

/// How the other process is told what it is.
const CHILD: &str = "LAZARET_DRILL_DIES";

/// A server that dies.
#[derive(Serialize, Deserialize)]
struct Dying {
    data: std::path::PathBuf,
    ring: std::path::PathBuf,
    secret: Digest,
    signing: Digest,
    card: ServerCard,
    now: Timestamp,
    /// At which step.
    at: i64,
}

/// Counts the steps of this process, and ends it at one of them.
#[derive(Clone)]
struct Fuse(Arc<AtomicI64>);

impl Fuse {
    fn burn(&self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status().unwrap();
            loop {
                std::thread::park();
            }
        }
    }

    fn around<T>(&self, step: impl FnOnce() -> T) -> T {
        self.burn();
        let done = step();
        self.burn();
        done
    }
}

/// A ring, a shelf or randomness, each of whose calls is a step.
struct Stepped<T: ?Sized> {
    inner: Arc<T>,
    fuse: Fuse,
}

impl Entropy for Stepped<dyn Entropy> {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        self.fuse.around(|| self.inner.fill(out))
    }
}

impl KeyRing for Stepped<dyn KeyRing> {
    fn create(&self, id: ConsignmentId) -> Result<()> {
        self.inner.create(id)
    }

    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        self.fuse.around(|| self.inner.encrypt(id, aad, plain))
    }

    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.fuse.around(|| self.inner.decrypt(id, aad, sealed))
    }

    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        self.fuse.around(|| self.inner.destroy(id, seen))
    }

    fn engrave(&self, id: ConsignmentId, recorded: &Receipt) -> Result<()> {
        self.fuse.around(|| self.inner.engrave(id, recorded))
    }

    fn attest(&self, id: ConsignmentId) -> Result<KeyState> {
        self.fuse.around(|| self.inner.attest(id))
    }

    fn buried(&self) -> Result<Vec<ConsignmentId>> {
        self.inner.buried()
    }

    fn still_opens(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<bool> {
        self.fuse.around(|| self.inner.still_opens(id, aad, sealed))
    }

    fn level(&self) -> Level {
        self.inner.level()
    }
}

impl Shelf for Stepped<dyn Shelf> {
    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>> {
        self.inner.keeps()
    }

    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.inner.put(address, bytes)
    }

    fn read(&self, address: ParcelAddress) -> BoxFuture<'_, Result<Bytes>> {
        self.inner.read(address)
    }

    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        Box::pin(async move {
            self.fuse.burn();
            let listed = self.inner.list(consignment).await;
            self.fuse.burn();
            listed
        })
    }

    fn unfinished(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<u64>> {
        self.inner.unfinished(consignment)
    }

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async move {
            self.fuse.burn();
            let erased = self.inner.erase(consignment, seen).await;
            self.fuse.burn();
            erased
        })
    }
}

/// Not a story: what the other process runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_dies() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let Dying { data, ring, secret, signing, card, now, at } = serde_json::from_str(&told).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(now));
    let secret = Secret::new(secret.0.to_vec()).unwrap();
    let keys = LocalRing::open(&ring, secret, &data, Arc::clone(&clock), drill::entropy()).unwrap();
    let fuse = Fuse(Arc::new(AtomicI64::new(i64::MAX)));
    let office = Office::open(Furniture {
        ring: Arc::new(Stepped::<dyn KeyRing> { inner: Arc::new(keys), fuse: fuse.clone() }),
        registry: Registry::open(&data.join("registry.sqlite")).unwrap(),
        shelf: Arc::new(Stepped::<dyn Shelf> {
            inner: Arc::new(DiskShelf::open(&data.join("shelf")).unwrap()),
            fuse: fuse.clone(),
        }),
        key: SigningKey::from_seed(Zeroizing::new(signing.0)).unwrap(),
        card,
        clock,
        entropy: Arc::new(Stepped::<dyn Entropy> { inner: drill::entropy(), fuse: fuse.clone() }),
        deadline_days_max: lexicon::limits::DEADLINE_DAYS_DEFAULT,
        snapshot_days: 0,
    })
    .unwrap();
    fuse.0.store(at, Ordering::SeqCst);
    office.sweep().await.unwrap();
}

fn swept_until(world: &World, (data, ring): (&Path, &Path), at: i64) -> ExitStatus {
    let [secret, signing, _] = world.server_secrets();
    let digest = |bytes: Vec<u8>| Digest(bytes.try_into().unwrap());
    let (data, ring, card, now) = (data.to_owned(), ring.to_owned(), world.card.clone(), world.clock.now());
    let dying = Dying { data, ring, secret: digest(secret), signing: digest(signing), card, now, at };
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["stories::every_step::the_server_that_dies", "--exact"]);
    child.env(CHILD, serde_json::to_string(&dying).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    child.status().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_before_or_after_any_step_of_a_destruction_comes_to_the_same_end() {
    let mut world = World::start().await;
    let (_, round) = handed_over(&world).await;
    world.stop().await;
    world.pass_hours(73);
    let mut died = 0;
    for at in 1.. {
        let (data, ring) = (world.path(&format!("data {at}")), world.path(&format!("ring {at}")));
        copy_folder(&world.server_folder(), &data);
        copy_folder(&world.ring_folder(), &ring);
        let status = swept_until(&world, (&data, &ring), at);
        assert!(status.success() || status.signal() == Some(9), "step {at}: {status}");
        let keys = world.ring(&data, &ring).unwrap();
        let alive = keys.attest(round.consignment).unwrap() == KeyState::Alive;
        assert!(!alive || parcels_on(&data, &round) >= 4, "step {at}: a parcel went before the key");
        drop(keys);

        let office = world.open_office(&data, &ring).unwrap();
        office.sweep().await.unwrap();
        office.sweep().await.unwrap();
        drop(office);

        is_destroyed(&world, &data, &ring, &round);
        if status.success() {
            break;
        }
        died = at;
    }
    // Before and after: the key, the ring's word, both probes, the place of the key, the shelf, its list, and three leaves.
    assert!(died >= 20, "only {died} steps");
}
