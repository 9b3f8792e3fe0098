//! The shelf: sealed parcels, named by identifiers only, put once and never changed.

mod disk;
#[cfg(test)]
mod kit;
mod s3;

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::future::BoxFuture;
use journal::Receipt;
use lexicon::{Alarm, Code, ConsignmentId, ParcelId, Refusal, Result, ShelfId, Timestamp, Trouble};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

pub use disk::DiskShelf;
pub use s3::{BucketPlace, Credentials, Patience, S3Shelf};

/// What the id of a shelf is called, beside its consignments: not as one of them.
const ID: &str = "shelf.id";
/// An id has 32 hexadecimal digits and the end of its line.
const ID_BYTES_MAX: u64 = 64;

/// Where one parcel lies. It names nobody and nothing of the laboratory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParcelAddress {
    /// The consignment that it belongs to.
    pub consignment: ConsignmentId,
    /// The attempt that put it there, from 1.
    pub attempt: u32,
    /// The parcel.
    pub parcel: ParcelId,
}

/// What [`Shelf::erase`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Parcels.
    pub objects: u64,
    /// Their bytes, older versions included.
    pub bytes: u64,
    /// Which, each with every size that a version of it had, in bytes.
    pub found: BTreeSet<(ParcelAddress, u64)>,
    /// What was no finished parcel: cut uploads.
    pub unfinished: u64,
    /// What the store lets nobody delete yet. It is listed no more.
    pub lingering: Vec<Lingering>,
    /// What the look at the end found beside that.
    pub left: Left,
}

/// What a look at the shelf finds of one consignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// Listed objects.
    pub objects: u64,
    /// Versions and markers of deleted objects, where a store keeps such.
    pub versions: u64,
    /// Uploads that were cut.
    pub unfinished: u64,
}

/// A parcel of which the store keeps bytes that nobody may delete yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lingering {
    /// The attempt that put it there.
    pub attempt: u32,
    /// The parcel.
    pub parcel: ParcelId,
    /// Bytes of all its versions that are left.
    pub bytes: u64,
    /// Until when the store keeps the last of them; none when somebody has to lift a hold first.
    pub until: Option<Timestamp>,
}

/// What a shelf keeps of parcels that it no longer lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// Older versions, which [`Shelf::erase`] deletes one by one.
    Versions,
}

/// Keeps sealed parcels.
pub trait Shelf: Send + Sync {
    /// Asks whether what is erased here would be gone: at start, and before a migration or a consignment is opened.
    ///
    /// # Errors
    /// A refusal when the store would let nobody delete it; a fault when that cannot be learned.
    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>>;

    /// Which shelf this is, by the id that lies on it; `new` is put there where none does. Another folder or bucket in its
    /// place has another.
    ///
    /// # Errors
    /// A fault of the disk or the store.
    fn id(&self, new: ShelfId) -> BoxFuture<'_, Result<ShelfId>>;

    /// Puts one parcel; it is durable when this returns. The same bytes again are taken as already there.
    ///
    /// # Errors
    /// A refusal when other bytes lie at that address; a fault of the disk or the store.
    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// One parcel, whole: at most [`lexicon::limits::PARCEL_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// A refusal when nothing lies there; a fault of the disk or the store.
    fn read(&self, address: ParcelAddress) -> BoxFuture<'_, Result<Bytes>>;

    /// Every parcel of one consignment with its size in bytes, sorted by address.
    ///
    /// # Errors
    /// An alarm when something lies there that no parcel is called; a fault of the disk or the store.
    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>>;

    /// How many uploads to one consignment were begun and are not parcels: they run, or broke off. Nothing lists them.
    ///
    /// # Errors
    /// A fault of the disk or the store.
    fn unfinished(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<u64>>;

    /// Removes all that lies under one consignment, cut uploads and older versions included. Nothing of it is listed
    /// afterwards. Doing it again removes nothing more.
    ///
    /// # Errors
    /// A fault when something is left that might be deleted; call again.
    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>>;
}

/// The id that lies in a store, or `new` from now on.
async fn id_in(store: &dyn ObjectStore, new: ShelfId, trouble: fn(&Error) -> Trouble) -> Result<ShelfId> {
    let path = Path::from(ID);
    let there = match store.get(&path).await {
        Ok(found) if found.meta.size <= ID_BYTES_MAX => found.bytes().await.map_err(|error| trouble(&error))?,
        // What is no id is written over.
        Ok(_) | Err(Error::NotFound { .. }) => Bytes::new(),
        Err(error) => return Err(trouble(&error)),
    };
    if let Some(id) = std::str::from_utf8(&there).ok().and_then(|text| text.trim_end().parse::<ShelfId>().ok()) {
        return Ok(id);
    }
    store.put(&path, format!("{new}\n").into()).await.map_err(|error| trouble(&error))?;
    Ok(new)
}

fn path_of(address: ParcelAddress) -> Path {
    Path::from(format!("{}/{}/{}", address.consignment, address.attempt, address.parcel))
}

fn address_of(path: &str) -> Option<ParcelAddress> {
    let mut parts = path.split('/');
    let address = ParcelAddress {
        consignment: parts.next()?.parse().ok()?,
        attempt: parts.next()?.parse().ok()?,
        parcel: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(address).filter(|address| path_of(*address).as_ref() == path)
}

#[cfg(feature = "parsers")]
pub(crate) use s3::bucket_answer;

#[cfg(feature = "parsers")]
pub(crate) fn parcel_name(listed: &str) -> Option<String> {
    address_of(listed).map(|address| path_of(address).to_string())
}

/// What was listed under a consignment, names and sizes, by address.
fn parcels<'a>(
    consignment: ConsignmentId,
    listed: impl Iterator<Item = (&'a str, u64)>,
) -> Result<Vec<(ParcelAddress, u64)>> {
    let mut parcels = Vec::new();
    for (name, bytes) in listed {
        let address = address_of(name).ok_or_else(|| {
            Alarm::new(Code(714), format!("something on the shelf of consignment {consignment} is no parcel"))
        })?;
        parcels.push((address, bytes));
    }
    parcels.sort_unstable();
    Ok(parcels)
}

fn other_bytes(parcel: ParcelId) -> Refusal {
    Refusal::new(
        Code(712),
        format!("parcel {parcel} is on the shelf already with other bytes; a parcel never changes"),
        "Seal again under a new parcel id.",
    )
}

fn not_there(parcel: ParcelId) -> Refusal {
    Refusal::new(
        Code(713),
        format!("parcel {parcel} is not on the shelf"),
        "Look whether its consignment is destroyed or its upload was cut.",
    )
}
