//! `kill -9` before and after every step of a destruction to its very end: each call of the ring and of the shelf, and each
//! draw of randomness, which stands before every leaf of the journal, that with the certificate included. Whatever was cut
//! comes to the same end, and to a certificate that says the same.
#![cfg(unix)]

mod end;
mod stores;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use drill::{Name, Round, World, copy_folder, write_file};
use futures::future::BoxFuture;
use lexicon::{Clock, ConsignmentId, Digest, Entropy, FixedClock, Result, Timestamp, hours_after};
use office::{Furniture, Office};
use people::SigningKey;
use registry::Registry;
use serde::{Deserialize, Serialize};
use vault::{DiskShelf, Erased, KeyRing, KeyState, LocalRing, ParcelAddress, Receipt, RingEvidence};
use vault::{Secret, Shelf};
use wire::ServerCard;
use zeroize::Zeroizing;

use self::end::End;
use self::stores::Stores;
use super::cut_uploads::{address, leave};
use super::no_deletion::{handed_over, is_destroyed, parcels_on};
use super::passes_on::passes_on;

/// How the other process is told what it is.
const CHILD: &str = "LAZARET_DRILL_DIES";

/// A server with folders of its own.
#[derive(Clone, Serialize, Deserialize)]
struct Server {
    data: PathBuf,
    ring: PathBuf,
    secret: Digest,
    signing: Digest,
    card: ServerCard,
    /// Where keys and parcels lie, if not in these folders.
    stores: Option<Stores>,
    now: Timestamp,
    /// At which step it dies.
    at: i64,
}

impl Server {
    /// The world's, which is down, with copies of its folders.
    fn copied(world: &World, (data, ring): (&Path, &Path), stores: Option<Stores>, at: i64) -> Self {
        let [secret, signing, _] = world.server_secrets();
        let digest = |bytes: Vec<u8>| Digest(bytes.try_into().unwrap());
        let (own_data, own_ring) = (world.path(&format!("data {at}")), world.path(&format!("ring {at}")));
        copy_folder(data, &own_data);
        copy_folder(ring, &own_ring);
        Self {
            data: own_data,
            ring: own_ring,
            secret: digest(secret),
            signing: digest(signing),
            card: world.card.clone(),
            stores,
            now: world.clock.now(),
            at,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(FixedClock::new(self.now))
    }

    fn key_ring(&self) -> Arc<dyn KeyRing> {
        if let Some(stores) = &self.stores {
            return stores.key_ring(&self.ring, &self.data, self.clock());
        }
        let secret = Secret::new(self.secret.0.to_vec()).unwrap();
        Arc::new(LocalRing::open(&self.ring, secret, &self.data, self.clock(), drill::entropy()).unwrap())
    }

    fn shelf(&self) -> Arc<dyn Shelf> {
        if let Some(stores) = &self.stores {
            return stores.shelf();
        }
        Arc::new(DiskShelf::open(&self.data.join("shelf")).unwrap())
    }

    fn registry(&self) -> Registry {
        Registry::open(&self.data.join("registry.sqlite")).unwrap()
    }

    fn furniture(&self) -> Furniture {
        Furniture {
            ring: self.key_ring(),
            registry: self.registry(),
            shelf: self.shelf(),
            key: SigningKey::from_seed(Zeroizing::new(self.signing.0)).unwrap(),
            card: self.card.clone(),
            clock: self.clock(),
            entropy: drill::entropy(),
            deadline_days_max: lexicon::limits::DEADLINE_DAYS_DEFAULT,
            snapshot_days: 0,
            erasure_wait: office::ERASURE_WAIT,
        }
    }

    /// Where it says that it is open and sweeps.
    fn sweeps(&self) -> PathBuf {
        self.data.with_extension("sweeps")
    }

    /// Another process that is this server.
    fn process(&self) -> Child {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["stories::every_step::the_server_that_dies", "--exact"]);
        let tells = self.tells();
        write_file(&tells, b"");
        let tells = std::fs::OpenOptions::new().append(true).open(tells).unwrap();
        // What a test that failed has printed comes on its standard output.
        child.env(CHILD, serde_json::to_string(self).unwrap());
        child.stdout(tells.try_clone().unwrap()).stderr(tells);
        child.spawn().unwrap()
    }

    /// What it says when it fails.
    fn tells(&self) -> PathBuf {
        self.data.with_extension("tells")
    }

    /// It was killed, or came to the end: nothing else.
    fn died_or_ended(&self, status: ExitStatus) {
        let tells = || std::fs::read_to_string(self.tells()).unwrap();
        assert!(status.success() || status.signal() == Some(9), "step {}: {status}: {}", self.at, tells());
    }

    /// How many facts it has.
    fn facts(&self, round: &Round) -> usize {
        self.registry().facts(round.plan.migration, 1).unwrap().len()
    }

    /// It is started again an hour later and comes to the end.
    async fn ends(&self) -> (Office, Timestamp) {
        let later = Self { now: hours_after(self.now, 1), ..self.clone() };
        let office = Office::open(later.furniture()).unwrap();
        office.sweep().await.unwrap();
        office.sweep().await.unwrap();
        (office, later.now)
    }
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
    passes_on!(create buried held level);

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

    fn still_opens(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<bool> {
        self.fuse.around(|| self.inner.still_opens(id, aad, sealed))
    }
}

impl Shelf for Stepped<dyn Shelf> {
    passes_on!(keeps id put read);

    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        Box::pin(async move {
            self.fuse.burn();
            let listed = self.inner.list(consignment).await;
            self.fuse.burn();
            listed
        })
    }

    fn unfinished(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async move {
            self.fuse.burn();
            let unfinished = self.inner.unfinished(consignment).await;
            self.fuse.burn();
            unfinished
        })
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
    let server: Server = serde_json::from_str(&told).unwrap();
    let fuse = Fuse(Arc::new(AtomicI64::new(i64::MAX)));
    let whole = server.furniture();
    let office = Office::open(Furniture {
        ring: Arc::new(Stepped::<dyn KeyRing> { inner: whole.ring, fuse: fuse.clone() }),
        shelf: Arc::new(Stepped::<dyn Shelf> { inner: whole.shelf, fuse: fuse.clone() }),
        entropy: Arc::new(Stepped::<dyn Entropy> { inner: whole.entropy, fuse: fuse.clone() }),
        ..whole
    })
    .unwrap();
    write_file(&server.sweeps(), b"");
    // Where keys and parcels lie in stores, the lines to them count.
    fuse.0.store(if server.stores.is_some() { i64::MAX } else { server.at }, Ordering::SeqCst);
    office.sweep().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_before_or_after_any_step_of_a_destruction_comes_to_the_same_end() {
    let mut world = World::start().await;
    let (_, round) = handed_over(&world).await;
    let ledger = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    world.stop().await;
    leave(&world.server_folder().join("shelf"), address(round.consignment), b"the beginning of a parcel");
    // The migration's own deadline: all of it ends, with a certificate.
    world.pass_hours(21 * 24);
    let noted = world.notes();
    let (mut ends, mut facts) = (Vec::new(), BTreeSet::new());
    for at in 1.. {
        let server = Server::copied(&world, (&world.server_folder(), &world.ring_folder()), None, at);
        let wrapped = server.registry().wrapped_share(round.consignment).unwrap().unwrap();
        assert_eq!(server.shelf().unfinished(round.consignment).await.unwrap(), 1, "the control: an upload was cut");
        let status = server.process().wait().unwrap();
        server.died_or_ended(status);
        let alive = server.key_ring().attest(round.consignment).unwrap() == KeyState::Alive;
        assert!(!alive || parcels_on(&server.data, &round) >= 5, "step {at}: a parcel went before the key");
        facts.insert(server.facts(&round));

        let (office, later) = server.ends().await;
        ends.push(End::of((&world, &office), (&ledger, &wrapped), [server.now, later], at).await);
        drop(office);
        is_destroyed(&world, &server.data, &server.ring, &round);
        assert_eq!(server.shelf().unfinished(round.consignment).await.unwrap(), 0, "step {at}");
        assert_eq!(drill::notes(&server.data), noted, "step {at}: it was no trouble to go on");
        if status.success() {
            break;
        }
    }
    let whole = ends.pop().unwrap();
    for end in &ends {
        end.says_the_same_as(&whole);
        assert!(end.key().said == whole.key().said, "step {}: {:?}", end.step, end.key());
    }
    // Before and after: the key, the ring's word, both probes, the place of the key, the shelf, its list, its cut uploads, four
    // leaves, and the look back. It was cut before the first fact, before the key's, before the certificate's, and after that.
    assert!(ends.len() >= 26, "only {} steps", ends.len());
    let before = ledger.recorded().len();
    assert_eq!(facts, (before..=before + 3).collect(), "facts at the moments of death");
}
