//! Sealing: the two shares, the keys that come of them, and parcels that nobody opens with one share.
//!
//! K = HKDF-SHA-256(laboratory share ‖ strongroom share, salt = SHA-256 of the `OpenConsignment` act). Every parcel has
//! a key of its own, derived from K with a random salt that lies in the parcel; no wrapped key lies anywhere in it, so
//! whoever destroys one share leaves nothing else to find.
//!
//! A parcel holds rows of one table, as encrypted Parquet, or bytes that nobody can look into, in Tink's streaming format
//! ([`FileKey`]). Only documents that the scope admitted can be sealed as such ([`DocumentsSealer`]), and only rows that
//! went through the scope as a table:
//!
//! ```compile_fail
//! fn smuggle(writer: &mut seal::ParcelWriter, raw: &arrow_array::RecordBatch) -> lexicon::Result<()> {
//!     writer.write(raw)
//! }
//! ```
//!
//! ```
//! fn seal(writer: &mut seal::ParcelWriter, admitted: &scope::ScopedBatch) -> lexicon::Result<()> {
//!     writer.write(admitted)
//! }
//! ```

mod columns;
mod documents;
mod form;
mod keys;
mod modules;
mod opaque;
mod open;
mod parcel;
mod share;
mod sums;
mod write;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

pub use documents::{DOCUMENTS_PARCEL_BYTES, DocumentsSealer, SealedDocuments, open_documents};
pub use form::Form;
pub use keys::ConsignmentKey;
pub use opaque::{FileKey, FileRanges, SealedBytes, sealed_file_bytes};
pub use open::{ParcelRows, open_header, open_parcel};
pub use parcel::{ParcelName, Sealed};
pub use share::Share;
pub use sums::SumsSealer;
pub use write::{PARCEL_BYTES_ENOUGH, ParcelWriter};

/// On how many threads one parcel is sealed or opened on this machine: as many as it has cores, and four at most. Two
/// tables pass at once, and a parcel of documents has 16 segments, of which each thread holds one.
pub fn threads() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.min(NonZeroUsize::MIN.saturating_add(3))
}
