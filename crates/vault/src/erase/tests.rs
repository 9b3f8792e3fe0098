use std::sync::Mutex;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lexicon::{Digest, FixedClock, ParcelId, SystemEntropy, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{DiskShelf, LocalRing, ParcelAddress, Secret};

const ONE: ConsignmentId = ConsignmentId([1; 16]);

fn ring(dir: &TempDir) -> Arc<dyn KeyRing> {
    let clock = Arc::new(FixedClock::new(Timestamp::UNIX_EPOCH));
    let secret = Secret::new(vec![7; 32]).unwrap();
    let entropy = Arc::new(SystemEntropy::new());
    Arc::new(LocalRing::open(&dir.path().join("ring"), secret, &dir.path().join("data"), clock, entropy).unwrap())
}

fn receipt() -> Receipt {
    Receipt::of_committed(1, Digest([0; 32]))
}

/// A shelf that fails to erase, and remembers how the key stood when it was asked to.
struct Stuck {
    ring: Arc<dyn KeyRing>,
    seen: Mutex<Option<KeyState>>,
}

impl Shelf for Stuck {
    fn put(&self, _: ParcelAddress, _: Bytes) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }
    fn read(&self, _: ParcelAddress) -> BoxFuture<'_, Result<Bytes>> {
        async { Ok(Bytes::new()) }.boxed()
    }
    fn list(&self, _: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        async { Ok(Vec::new()) }.boxed()
    }
    fn erase<'a>(&'a self, consignment: ConsignmentId, _: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        *self.seen.lock().unwrap() = Some(self.ring.attest(consignment).unwrap());
        async { Err(Fault::new(Code(715), Retry::Later, "stuck").into()) }.boxed()
    }
}

/// A ring that says that it destroyed and did not.
struct Liar(Arc<dyn KeyRing>);

impl KeyRing for Liar {
    fn create(&self, id: ConsignmentId) -> Result<()> {
        self.0.create(id)
    }
    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        self.0.encrypt(id, aad, plain)
    }
    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        self.0.decrypt(id, aad, sealed)
    }
    fn destroy(&self, _: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        self.0.destroy(ConsignmentId([99; 16]), seen)
    }
    fn attest(&self, id: ConsignmentId) -> Result<KeyState> {
        self.0.attest(id)
    }
    fn level(&self) -> &'static str {
        self.0.level()
    }
}

#[tokio::test]
async fn both_are_gone_afterwards_and_asking_again_says_the_same_of_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, shelf) = (ring(&dir), DiskShelf::open(&dir.path().join("shelf")).unwrap());
    ring.create(ONE).unwrap();
    let address = ParcelAddress { consignment: ONE, attempt: 1, parcel: ParcelId([5; 16]) };
    shelf.put(address, Bytes::from_static(b"sealed")).await.unwrap();

    let erasure = erase(ring.clone(), &shelf, ONE, &receipt()).await.unwrap();
    assert_eq!(erasure.shelf, ShelfErasure::Empty(Erased { objects: 1, bytes: 6, unfinished: 0 }));
    let again = erase(ring.clone(), &shelf, ONE, &receipt()).await.unwrap();
    assert_eq!(again.ring, erasure.ring);
    assert_eq!(again.shelf, ShelfErasure::Empty(Erased::default()));
    assert!(shelf.list(ONE).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_key_dies_first_and_a_stuck_shelf_does_not_hide_that() {
    let dir = tempfile::tempdir().unwrap();
    let ring = ring(&dir);
    ring.create(ONE).unwrap();
    let shelf = Stuck { ring: ring.clone(), seen: Mutex::new(None) };
    let erasure = erase(ring, &shelf, ONE, &receipt()).await.unwrap();
    assert!(erasure.ring.found);
    assert!(matches!(erasure.shelf, ShelfErasure::Left(Trouble::Fault(_))));
    assert!(matches!(*shelf.seen.lock().unwrap(), Some(KeyState::Destroyed { .. })));
}

#[tokio::test]
async fn a_ring_that_only_says_so_raises_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let ring = ring(&dir);
    ring.create(ONE).unwrap();
    let shelf = DiskShelf::open(&dir.path().join("shelf")).unwrap();
    let trouble = erase(Arc::new(Liar(ring)), &shelf, ONE, &receipt()).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Alarm(alarm) if alarm.code == Code(716)));
}
