use std::sync::Mutex;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lexicon::{Digest, FixedClock, ParcelId, ShelfId, SystemEntropy, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{DiskShelf, Keeps, Level, LocalRing, ParcelAddress, Secret};

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
    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>> {
        async { Ok(Keeps::Nothing) }.boxed()
    }
    fn id(&self, new: ShelfId) -> BoxFuture<'_, Result<ShelfId>> {
        async move { Ok(new) }.boxed()
    }
    fn put(&self, _: ParcelAddress, _: Bytes) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }
    fn read(&self, _: ParcelAddress) -> BoxFuture<'_, Result<Bytes>> {
        async { Ok(Bytes::new()) }.boxed()
    }
    fn list(&self, _: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        async { Ok(Vec::new()) }.boxed()
    }
    fn unfinished(&self, _: ConsignmentId) -> BoxFuture<'_, Result<u64>> {
        async { Ok(0) }.boxed()
    }
    fn erase<'a>(&'a self, consignment: ConsignmentId, _: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        *self.seen.lock().unwrap() = Some(self.ring.attest(consignment).unwrap());
        async { Err(Fault::new(Code(715), Retry::Later, "stuck").into()) }.boxed()
    }
}

/// What was asked of ring and shelf, in order.
type Asked = Arc<Mutex<Vec<&'static str>>>;

/// How a ring is not what it says.
#[derive(Clone, Copy, PartialEq)]
enum Bent {
    Not,
    /// It destroys another key than the one that it was told to.
    SparesTheKey,
    /// It opens what it was given before.
    StillOpens,
    /// It set a tombstone and left the key where it lay.
    OpensWhereItLay,
    /// It seals as before.
    StillSeals,
    /// It cannot be reached when it is asked to open.
    Away,
    /// It cannot be reached when it is asked to seal.
    AwayToSeal,
}

fn away() -> Trouble {
    Fault::new(Code(701), Retry::Later, "away").into()
}

/// A ring that notes what it is asked, and may be bent.
struct Noting {
    inner: Arc<dyn KeyRing>,
    asked: Asked,
    bent: Bent,
}

impl KeyRing for Noting {
    fn create(&self, id: ConsignmentId) -> Result<()> {
        self.inner.create(id)
    }
    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        match self.bent {
            Bent::StillSeals => Ok(Vec::new()),
            Bent::AwayToSeal => Err(away()),
            Bent::Not | Bent::SparesTheKey | Bent::StillOpens | Bent::OpensWhereItLay | Bent::Away => {
                self.inner.encrypt(id, aad, plain)
            }
        }
    }
    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        self.asked.lock().unwrap().push("open");
        match self.bent {
            Bent::StillOpens => Ok(zeroize::Zeroizing::new(b"share".to_vec())),
            Bent::Away => Err(away()),
            Bent::Not | Bent::SparesTheKey | Bent::OpensWhereItLay | Bent::StillSeals | Bent::AwayToSeal => {
                self.inner.decrypt(id, aad, sealed)
            }
        }
    }
    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        self.asked.lock().unwrap().push("destroy");
        let id = if self.bent == Bent::SparesTheKey { ConsignmentId([99; 16]) } else { id };
        self.inner.destroy(id, seen)
    }
    fn engrave(&self, id: ConsignmentId, recorded: &Receipt) -> Result<()> {
        self.inner.engrave(id, recorded)
    }
    fn attest(&self, id: ConsignmentId) -> Result<KeyState> {
        self.inner.attest(id)
    }
    fn buried(&self) -> Result<Vec<ConsignmentId>> {
        self.inner.buried()
    }
    fn held(&self) -> Result<Vec<ConsignmentId>> {
        self.inner.held()
    }
    fn still_opens(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<bool> {
        Ok(self.bent == Bent::OpensWhereItLay || self.inner.still_opens(id, aad, sealed)?)
    }
    fn level(&self) -> Level {
        self.inner.level()
    }
}

/// A shelf with one parcel that notes when it is emptied.
struct NotingShelf {
    inner: DiskShelf,
    asked: Asked,
}

impl Shelf for NotingShelf {
    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>> {
        self.inner.keeps()
    }
    fn id(&self, new: ShelfId) -> BoxFuture<'_, Result<ShelfId>> {
        self.inner.id(new)
    }
    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.inner.put(address, bytes)
    }
    fn read(&self, address: ParcelAddress) -> BoxFuture<'_, Result<Bytes>> {
        self.inner.read(address)
    }
    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        self.inner.list(consignment)
    }
    fn unfinished(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<u64>> {
        self.inner.unfinished(consignment)
    }
    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        self.asked.lock().unwrap().push("empty the shelf");
        self.inner.erase(consignment, seen)
    }
}

/// A key with the share that it wrapped, and a shelf with a parcel.
struct Stored {
    dir: TempDir,
    ring: Arc<dyn KeyRing>,
    wrapped: Option<Wrapped>,
    asked: Asked,
    shelf: NotingShelf,
}

async fn stored() -> Stored {
    let dir = tempfile::tempdir().unwrap();
    let ring = ring(&dir);
    ring.create(ONE).unwrap();
    let aad = b"bound".to_vec();
    let wrapped = Some(Wrapped { sealed: ring.encrypt(ONE, &aad, b"share").unwrap(), aad });
    let asked = Asked::default();
    let shelf = NotingShelf { inner: DiskShelf::open(&dir.path().join("shelf")).unwrap(), asked: Arc::clone(&asked) };
    let address = ParcelAddress { consignment: ONE, attempt: 1, parcel: ParcelId([5; 16]) };
    shelf.put(address, Bytes::from_static(b"sealed")).await.unwrap();
    Stored { dir, ring, wrapped, asked, shelf }
}

impl Stored {
    async fn erase_with(&self, bent: Bent) -> Result<Erasure> {
        let ring = Noting { inner: Arc::clone(&self.ring), asked: Arc::clone(&self.asked), bent };
        erase(Arc::new(ring), &self.shelf, (ONE, self.wrapped.clone()), &receipt()).await
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn parcels(&self) -> usize {
        self.shelf.list(ONE).await.unwrap().len()
    }
}

#[tokio::test]
async fn both_are_gone_afterwards_and_asking_again_says_the_same_of_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, shelf) = (ring(&dir), DiskShelf::open(&dir.path().join("shelf")).unwrap());
    ring.create(ONE).unwrap();
    let address = ParcelAddress { consignment: ONE, attempt: 1, parcel: ParcelId([5; 16]) };
    shelf.put(address, Bytes::from_static(b"sealed")).await.unwrap();

    let erasure = erase(ring.clone(), &shelf, (ONE, None), &receipt()).await.unwrap();
    let found = [(address, 6)].into();
    assert_eq!(erasure.shelf, ShelfErasure::Empty(Erased { objects: 1, bytes: 6, found, ..Erased::default() }));
    let again = erase(ring.clone(), &shelf, (ONE, None), &receipt()).await.unwrap();
    assert_eq!((&again.ring, again.share_shown), (&erasure.ring, None));
    assert_eq!(again.shelf, ShelfErasure::Empty(Erased::default()));
    assert!(shelf.list(ONE).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_key_dies_first_and_a_stuck_shelf_does_not_hide_that() {
    let dir = tempfile::tempdir().unwrap();
    let ring = ring(&dir);
    ring.create(ONE).unwrap();
    let shelf = Stuck { ring: ring.clone(), seen: Mutex::new(None) };
    let erasure = erase(ring, &shelf, (ONE, None), &receipt()).await.unwrap();
    assert!(erasure.ring.found);
    assert!(matches!(erasure.shelf, ShelfErasure::Left(Trouble::Fault(_))));
    assert!(matches!(*shelf.seen.lock().unwrap(), Some(KeyState::Destroyed { .. })));
}

#[tokio::test]
async fn the_ring_is_shown_the_stored_share_after_its_key_died_and_before_a_parcel_goes() {
    let stored = stored().await;
    let shown = stored.erase_with(Bent::Not).await.unwrap().share_shown;
    assert_eq!(shown, Some(Digest::of(&stored.wrapped.as_ref().unwrap().sealed)));
    assert_eq!(stored.asked(), ["destroy", "open", "empty the shelf"]);
    assert_eq!(stored.parcels().await, 0);
}

#[tokio::test]
async fn a_destruction_that_was_cut_before_the_probe_is_taken_up_in_the_same_order() {
    let mut stored = stored().await;
    stored.ring.destroy(ONE, &receipt()).unwrap();
    // As another process finds it: the ring is opened anew from what the first one left on disk.
    drop(stored.ring);
    stored.ring = ring(&stored.dir);
    let first = stored.erase_with(Bent::Not).await.unwrap();
    assert_eq!(stored.asked(), ["destroy", "open", "empty the shelf"]);
    // Cut once more, after the parcels and before the fact.
    let second = stored.erase_with(Bent::Not).await.unwrap();
    assert_eq!(stored.asked(), ["destroy", "open", "empty the shelf"]);
    assert_eq!(first.ring, second.ring);
    assert_eq!(second.shelf, ShelfErasure::Empty(Erased::default()));
}

#[tokio::test]
async fn a_ring_that_is_not_what_it_says_raises_an_alarm_and_no_parcel_goes() {
    for bent in [Bent::SparesTheKey, Bent::StillSeals, Bent::StillOpens, Bent::OpensWhereItLay] {
        let stored = stored().await;
        let trouble = stored.erase_with(bent).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Alarm(alarm) if alarm.code == Code(716)));
        assert!(!stored.asked().contains(&"empty the shelf"));
        assert_eq!(stored.parcels().await, 1);
    }
}

#[tokio::test]
async fn a_ring_that_cannot_be_reached_has_refused_nothing() {
    let stored = stored().await;
    for (bent, asked) in [(Bent::AwayToSeal, vec!["destroy"]), (Bent::Away, vec!["destroy", "open"])] {
        let trouble = stored.erase_with(bent).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Fault(_)));
        assert_eq!((stored.asked(), stored.parcels().await), (asked, 1));
    }
    stored.erase_with(Bent::Not).await.unwrap();
    assert_eq!((stored.asked(), stored.parcels().await), (vec!["destroy", "open", "empty the shelf"], 0));
}
