//! Documents as parcels: all of a folder's documents, one behind the other, cut into opaque parcels. Where one ends and
//! the next begins, and what they are called, stands in the folder's index, which is sealed like a table.

use std::io::{self, Read, Write};

use bytes::Bytes;
use lexicon::{Digest, Entropy, ParcelId, Result};
use scope::{CarriedDocument, ScopedDocument};

use crate::form::Form;
use crate::keys::ConsignmentKey;
use crate::opaque::{clear_file_bytes, wide};
use crate::parcel::ParcelName;
use crate::threads;

/// 16 MiB of sealed bytes: as large as a table's parcel, so that one that is filled and one that leaves take 32 MiB,
/// whatever the length of a document. A document may lie in several, and a parcel may hold many.
pub const DOCUMENTS_PARCEL_BYTES: usize = 16 * 1024 * 1024;

/// One sealed parcel of documents.
#[derive(Clone, Debug)]
pub struct SealedDocuments {
    /// What it is bound to.
    pub name: ParcelName,
    /// What the shelf stores.
    pub bytes: Bytes,
    /// SHA-256 of `bytes`, for the manifest.
    pub digest: Digest,
}

/// Seals the documents of one folder, one parcel at a time. It takes nothing but documents that the scope admitted:
///
/// ```compile_fail
/// fn smuggle(
///     key: &seal::ConsignmentKey, entropy: &dyn lexicon::Entropy, first: seal::ParcelName, files: Vec<std::fs::File>,
/// ) {
///     seal::DocumentsSealer::new(key, entropy, first, files.into_iter().map(Ok));
/// }
/// ```
pub struct DocumentsSealer<'a, Documents> {
    key: &'a ConsignmentKey,
    entropy: &'a dyn Entropy,
    next: ParcelName,
    documents: Documents,
    open: Option<ScopedDocument>,
}

impl<'a, Documents: Iterator<Item = Result<ScopedDocument>> + Send> DocumentsSealer<'a, Documents> {
    /// Begins with the parcel `first`; each further one draws its own id and counts on.
    pub fn new(key: &'a ConsignmentKey, entropy: &'a dyn Entropy, first: ParcelName, documents: Documents) -> Self {
        Self { key, entropy, next: first, documents, open: None }
    }

    /// Where the documents come from.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Where they came from, once nothing is sealed any more.
    pub fn into_documents(self) -> Documents {
        self.documents
    }

    /// Seals the next parcel; none when every document is sealed. `carried` is told each document that was read to its
    /// end, in the order in which they lie in the parcels. Memory: the parcel, and a segment for each thread.
    ///
    /// # Errors
    /// What the documents or `carried` say; a fault when there are no random bytes.
    pub fn seal_next(
        &mut self,
        carried: &mut (dyn FnMut(CarriedDocument) -> Result<()> + Send),
    ) -> Result<Option<SealedDocuments>> {
        let left = clear_file_bytes(wide(DOCUMENTS_PARCEL_BYTES));
        let mut reading = Reading { documents: &mut self.documents, open: &mut self.open, carried, left };
        if !reading.more()? {
            return Ok(None);
        }
        let name = ParcelName { parcel: ParcelId::draw(self.entropy)?, ..self.next.clone() };
        let mut sealed = Vec::with_capacity(DOCUMENTS_PARCEL_BYTES);
        let key = self.key.file_key(&name)?;
        match self.key.form {
            Form::Sealed => key.seal(self.entropy, &mut reading, &mut sealed, threads())?,
            #[cfg(feature = "unsealed")]
            Form::Unsealed => io::copy(&mut reading, &mut sealed).map_err(|error| key.unread(error))?,
        };
        self.next.sequence = self.next.sequence.saturating_add(1);
        let bytes = Bytes::from(sealed);
        Ok(Some(SealedDocuments { name, digest: Digest::of(&bytes), bytes }))
    }
}

/// The bytes of documents, one behind the other, up to the end of a parcel.
struct Reading<'r, Documents> {
    documents: &'r mut Documents,
    open: &'r mut Option<ScopedDocument>,
    carried: &'r mut (dyn FnMut(CarriedDocument) -> Result<()> + Send),
    left: u64,
}

impl<Documents: Iterator<Item = Result<ScopedDocument>>> Reading<'_, Documents> {
    /// Whether there is a byte to read; documents that are read to their end are told on the way.
    fn more(&mut self) -> Result<bool> {
        while self.open.as_ref().is_none_or(|document| document.left() == 0) {
            if let Some(read) = self.open.take() {
                (self.carried)(read.finish()?)?;
            }
            match self.documents.next() {
                Some(document) => *self.open = Some(document?),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl<Documents: Iterator<Item = Result<ScopedDocument>>> Read for Reading<'_, Documents> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let Some(into) = into.get_mut(..room).filter(|into| !into.is_empty()) else { return Ok(0) };
        if !self.more().map_err(io::Error::other)? {
            return Ok(0);
        }
        let read = self.open.as_mut().map_or(Ok(0), |document| document.read(into))?;
        self.left = self.left.saturating_sub(wide(read));
        Ok(read)
    }
}

/// Opens a parcel of documents, whose bytes have the digest that a signed manifest lists, and hands what it holds to
/// `clear`, in order. Returns how many bytes that were.
///
/// # Errors
/// An alarm when the bytes are not the listed ones, or do not open under this key and this name; what `clear` says.
pub fn open_documents(
    key: &ConsignmentKey,
    name: &ParcelName,
    sealed: &Bytes,
    expected: Digest,
    clear: &mut (dyn Write + Send),
) -> Result<u64> {
    let found = Digest::of(sealed);
    if found != expected {
        return Err(name.is_not_the_signed_one(expected, found).into());
    }
    let mut sealed: &[u8] = sealed;
    key.file_key(name)?.open(&mut sealed, clear, threads())
}

#[cfg(test)]
mod tests;
