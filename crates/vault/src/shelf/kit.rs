//! What every shelf keeps, wherever it is.

use bytes::Bytes;
use journal::Receipt;
use lexicon::{Code, ConsignmentId, Digest, ParcelId, ShelfId, SystemEntropy, Trouble};

use super::{Erased, ParcelAddress, Shelf};

pub(super) fn receipt() -> Receipt {
    Receipt::of_committed(1, Digest([0; 32]))
}

/// A consignment that no other test has: they may share one store.
pub(super) fn consignment() -> ConsignmentId {
    ConsignmentId::draw(&SystemEntropy::new()).unwrap()
}

pub(super) fn address(consignment: ConsignmentId, attempt: u32, parcel: u8) -> ParcelAddress {
    ParcelAddress { consignment, attempt, parcel: ParcelId([parcel; 16]) }
}

/// Bytes of which no two stretches are the same.
pub(super) fn bytes(length: usize) -> Bytes {
    let words = (0..length.div_ceil(8)).flat_map(|word| u64::try_from(word).unwrap().to_be_bytes());
    words.take(length).collect()
}

/// Everything below, in turn.
pub(super) async fn keeps_its_contract(shelf: &dyn Shelf) {
    comes_back(shelf).await;
    never_changes(shelf).await;
    is_refused_when_it_is_not_there(shelf).await;
    is_erased_alone(shelf).await;
    comes_back_when_it_is_large(shelf).await;
}

/// A shelf that nobody else has keeps the id that it was given first, also when it is opened again, when parcels come and go
/// and when it is given another; it shows nobody that one lies there.
pub(super) async fn keeps_its_id(shelf: &dyn Shelf, opened_again: &dyn Shelf) {
    let ([first, other], one) = ([1, 2].map(|byte| ShelfId([byte; 16])), consignment());
    assert_eq!(shelf.id(first).await.unwrap(), first);
    shelf.put(address(one, 1, 7), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(shelf.list(one).await.unwrap(), [(address(one, 1, 7), 1)]);
    assert_eq!(shelf.erase(one, &receipt()).await.unwrap().objects, 1);
    for again in [shelf, opened_again] {
        assert_eq!(again.id(other).await.unwrap(), first);
    }
}

/// A parcel comes back as it was put, and is listed under its consignment.
async fn comes_back(shelf: &dyn Shelf) {
    let (one, other) = (consignment(), consignment());
    shelf.put(address(one, 2, 7), Bytes::from_static(b"late")).await.unwrap();
    shelf.put(address(one, 1, 8), Bytes::from_static(b"early one")).await.unwrap();
    shelf.put(address(other, 1, 9), Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(shelf.read(address(one, 2, 7)).await.unwrap(), "late");
    assert_eq!(shelf.list(one).await.unwrap(), [(address(one, 1, 8), 9), (address(one, 2, 7), 4)]);
    assert_eq!(shelf.list(consignment()).await.unwrap(), []);
    assert_eq!(shelf.unfinished(one).await.unwrap(), 0, "what is whole is no cut upload");
}

/// A parcel is put once: the same bytes again are there already, others are refused.
async fn never_changes(shelf: &dyn Shelf) {
    let at = address(consignment(), 1, 7);
    shelf.put(at, Bytes::from_static(b"first")).await.unwrap();
    shelf.put(at, Bytes::from_static(b"first")).await.unwrap();
    let refused = shelf.put(at, Bytes::from_static(b"other")).await.unwrap_err();
    assert!(matches!(&refused, Trouble::Refusal(refusal) if refusal.code == Code(712)), "{refused}");
    assert_eq!(shelf.read(at).await.unwrap(), "first");
}

async fn is_refused_when_it_is_not_there(shelf: &dyn Shelf) {
    let refused = shelf.read(address(consignment(), 1, 7)).await.unwrap_err();
    assert_eq!(refused.code(), Code(713), "{refused}");
    assert!(refused.to_string().contains("07070707"));
}

/// Erasing leaves an empty listing and every other consignment, and a second time removes nothing more.
async fn is_erased_alone(shelf: &dyn Shelf) {
    let (one, other) = (consignment(), consignment());
    for parcel in 1..=12 {
        shelf.put(address(one, u32::from(parcel), parcel), Bytes::from(vec![parcel; 10])).await.unwrap();
    }
    shelf.put(address(other, 1, 9), Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(shelf.list(one).await.unwrap().len(), 12);
    let erased = shelf.erase(one, &receipt()).await.unwrap();
    let found = (1..=12).map(|parcel| (address(one, u32::from(parcel), parcel), 10)).collect();
    assert_eq!(erased, Erased { objects: 12, bytes: 120, found, ..Erased::default() });
    assert_eq!(shelf.list(one).await.unwrap(), []);
    assert_eq!(shelf.read(address(one, 1, 1)).await.unwrap_err().code(), Code(713));
    assert_eq!(shelf.read(address(other, 1, 9)).await.unwrap(), "other");
    assert_eq!(shelf.erase(one, &receipt()).await.unwrap(), Erased::default());
}

/// A parcel that is uploaded in parts where a shelf does that, the last of them shorter.
async fn comes_back_when_it_is_large(shelf: &dyn Shelf) {
    let (at, large) = (address(consignment(), 1, 7), bytes(17 * 1024 * 1024 + 5));
    shelf.put(at, large.clone()).await.unwrap();
    shelf.put(at, large.clone()).await.unwrap();
    let other = Bytes::from(large.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(shelf.put(at, other).await.unwrap_err().code(), Code(712));
    assert!(shelf.read(at).await.unwrap() == large, "other bytes came back");
    let erased = shelf.erase(at.consignment, &receipt()).await.unwrap();
    assert_eq!((erased.objects, erased.bytes, erased.unfinished), (1, 17 * 1024 * 1024 + 5, 0));
}
