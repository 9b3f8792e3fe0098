use lexicon::{Entropy, ParcelId, Result};
use scope::TableFingerprint;

use crate::keys::ConsignmentKey;
use crate::parcel::{ParcelName, Sealed};
use crate::write::ParcelWriter;

/// 4 MiB, about 25 tables of 4,096 sums of 32 bytes and what names them: one such parcel is filled while parcels of rows
/// are, and read again for the sums of one table.
const SUMS_BYTES_ENOUGH: usize = 4 * 1024 * 1024;

/// Seals the bucket sums of one table after another, so that the loading agent can locate rows that differ and nobody
/// else sees where they lie. They take as many parcels as they need; those of one table lie in one.
pub struct SumsSealer<'a> {
    key: &'a ConsignmentKey,
    entropy: &'a dyn Entropy,
    name: ParcelName,
    open: ParcelWriter,
}

impl<'a> SumsSealer<'a> {
    /// Begins the first parcel under this name; each further one draws its own id and counts on.
    ///
    /// # Errors
    /// As [`ParcelWriter::new`].
    pub fn begin(key: &'a ConsignmentKey, entropy: &'a dyn Entropy, name: ParcelName) -> Result<Self> {
        let open = ParcelWriter::new(key, entropy, name.clone(), TableFingerprint::schema())?;
        Ok(Self { key, entropy, name, open })
    }

    /// Seals the sums of the next table; gives out the parcel before it if that was full.
    ///
    /// # Errors
    /// As [`ParcelWriter`].
    pub fn take(&mut self, sums: &TableFingerprint) -> Result<Option<(ParcelName, Sealed)>> {
        let mut full = None;
        if self.open.sealed_bytes_estimate() >= SUMS_BYTES_ENOUGH {
            let (parcel, sequence) = (ParcelId::draw(self.entropy)?, self.name.sequence.saturating_add(1));
            let next = ParcelName { parcel, sequence, ..self.name.clone() };
            let open = ParcelWriter::new(self.key, self.entropy, next.clone(), TableFingerprint::schema())?;
            let ended = std::mem::replace(&mut self.open, open).finish()?;
            full = Some((std::mem::replace(&mut self.name, next), ended));
        }
        self.open.write_rows(&sums.to_batch()?)?;
        Ok(full)
    }

    /// Ends the last parcel. A sealer that is dropped instead leaves it away.
    ///
    /// # Errors
    /// As [`ParcelWriter::finish`].
    pub fn finish(self) -> Result<(ParcelName, Sealed)> {
        Ok((self.name, self.open.finish()?))
    }
}
