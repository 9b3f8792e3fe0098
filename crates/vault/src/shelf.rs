//! The shelf: sealed parcels, named by identifiers only, put once and never changed.

mod disk;

use bytes::Bytes;
use futures::future::BoxFuture;
use journal::Receipt;
use lexicon::{ConsignmentId, ParcelId, Result};
use serde::{Deserialize, Serialize};

pub use disk::DiskShelf;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Parcels.
    pub objects: u64,
    /// Bytes of all files removed.
    pub bytes: u64,
    /// Files that were no finished parcel: cut uploads.
    pub unfinished: u64,
}

/// Keeps sealed parcels.
pub trait Shelf: Send + Sync {
    /// Puts one parcel; it is durable when this returns. The same bytes again are taken as already there.
    ///
    /// # Errors
    /// A refusal when other bytes lie at that address; a fault of the disk.
    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// One parcel, whole: at most [`lexicon::limits::PARCEL_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// A refusal when nothing lies there; a fault of the disk.
    fn read(&self, address: ParcelAddress) -> BoxFuture<'_, Result<Bytes>>;

    /// Every parcel of one consignment with its size in bytes, sorted by address.
    ///
    /// # Errors
    /// An alarm when something lies there that no parcel is called; a fault of the disk.
    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>>;

    /// Removes all that lies under one consignment, cut uploads included. Doing it again removes nothing more.
    ///
    /// # Errors
    /// A fault when something is left; call again.
    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>>;
}
