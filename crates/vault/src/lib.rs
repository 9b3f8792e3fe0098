//! The server's strongroom: the key ring that holds its half of every key, the shelf that holds sealed parcels, and
//! the order in which both are destroyed.
//!
//! Nothing here can open a parcel: the ring keeps only the strongroom share, wrapped, and this room knows neither
//! Arrow nor Parquet. Nothing is destroyed without a [`Receipt`], the proof that the journal holds the reason.

mod disk;
mod erase;
mod keyring;
#[cfg(feature = "parsers")]
pub mod parsers;
mod shelf;

pub use erase::{Erasure, ShelfErasure, Wrapped, destroy_key, erase};
pub use journal::Receipt;
pub use keyring::{
    KeyRing, KeyState, Level, LocalRing, OpenBaoPlace, RingEvidence, Said, Secret, StoreRing, TokenPlace,
};
pub use shelf::{
    BucketPlace, Credentials, DiskShelf, Erased, Keeps, Left, Lingering, ParcelAddress, Patience, S3Shelf, Shelf,
};
