//! The derivation, in one place. `vectors/derivation.txt` holds known answers computed by another program.

use std::sync::Arc;

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use lexicon::{Code, ConsignmentId, Digest, Fault, Guarded, Result, Retry};
use scope::FingerprintKeys;
use zeroize::Zeroizing;

use crate::form::Form;
use crate::opaque::FileKey;
use crate::parcel::ParcelName;
use crate::share::Share;

/// AES-256 and the two fingerprint keys take 32 bytes each.
const KEY_BYTES: usize = 32;
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;
/// As long as the hash, so that every parcel has its own extraction (RFC 5869, 3.1).
pub(crate) const SALT_BYTES: usize = 32;

const CONSIGNMENT: &[u8] = b"lazaret/1/consignment";
const PARCEL_TABLE: &[u8] = b"lazaret/1/parcel/table";
const PARCEL_FILE_MATERIAL: &[u8] = b"lazaret/1/parcel/file/material";
const FINGERPRINT_ROW: &[u8] = b"lazaret/1/fingerprint/row";
const FINGERPRINT_BUCKET: &[u8] = b"lazaret/1/fingerprint/bucket";

/// K: what both shares make for one consignment. It lives in an agent's [`Guarded`] memory only.
#[derive(Debug)]
pub struct ConsignmentKey {
    key: Arc<Guarded>,
    /// What is written under it.
    pub(crate) form: Form,
}

impl ConsignmentKey {
    /// K = HKDF-SHA-256(L ‖ W, salt = `open_act`, info = `lazaret/1/consignment`). `open_act` is SHA-256 of the
    /// `OpenConsignment` act, so a rehearsal's key opens nothing of another round.
    ///
    /// # Errors
    /// A fault that would be a defect of ours.
    pub fn derive(laboratory: &Share, strongroom: &Share, open_act: Digest) -> Result<Self> {
        let both = Zeroizing::new([laboratory.expose(), strongroom.expose()].concat());
        let key = Guarded::written(KEY_BYTES, |key| expand(&both, &open_act.0, CONSIGNMENT, key))?;
        Ok(Self { key: Arc::new(key), form: Form::default() })
    }

    /// The same key, under which parcels are written in this form.
    #[must_use]
    pub fn writing(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// The keys that two agents fingerprint the same rows with. No salt: both sides must come to the same keys.
    ///
    /// # Errors
    /// A fault that would be a defect of ours.
    pub fn fingerprint_keys(&self, consignment: ConsignmentId) -> Result<FingerprintKeys> {
        let (row, bucket) = self.fingerprint_pair(consignment)?;
        Ok(FingerprintKeys::new(*row, *bucket))
    }

    fn fingerprint_pair(&self, consignment: ConsignmentId) -> Result<(Key, Key)> {
        let row = self.child(&[], &info(FINGERPRINT_ROW, &[&consignment.0]))?;
        let bucket = self.child(&[], &info(FINGERPRINT_BUCKET, &[&consignment.0]))?;
        Ok((row, bucket))
    }

    /// The key of one table parcel. Another salt, migration, consignment or parcel makes another key.
    pub(crate) fn parcel_key(&self, salt: &[u8; SALT_BYTES], name: &ParcelName) -> Result<Key> {
        self.child(salt, &info(PARCEL_TABLE, &[&name.migration.0, &name.consignment.0, &name.parcel.0]))
    }

    /// What one opaque parcel is sealed and opened with.
    ///
    /// # Errors
    /// A fault that would be a defect of ours.
    pub fn file_key(&self, name: &ParcelName) -> Result<FileKey> {
        Ok(FileKey::new(self.file_material(name)?, name))
    }

    /// No salt here: the parcel's own goes into what is derived from this.
    fn file_material(&self, name: &ParcelName) -> Result<Key> {
        self.child(&[], &info(PARCEL_FILE_MATERIAL, &[&name.migration.0, &name.consignment.0, &name.parcel.0]))
    }

    /// A second holder of the same key, for the time that one parcel is read.
    pub(crate) fn lend(&self) -> Self {
        Self { key: Arc::clone(&self.key), form: self.form }
    }

    fn child(&self, salt: &[u8], info: &[u8]) -> Result<Key> {
        hkdf(self.key.expose(), salt, info)
    }
}

pub(crate) fn hkdf(material: &[u8], salt: &[u8], info: &[u8]) -> Result<Key> {
    let mut out = Key::default();
    expand(material, salt, info, out.as_mut())?;
    Ok(out)
}

/// Fills `out`, which has 32 bytes, where it lies.
fn expand(material: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> Result<()> {
    Salt::new(HKDF_SHA256, salt)
        .extract(material)
        .expand(&[info], HKDF_SHA256)
        .and_then(|key| key.fill(out))
        .map_err(|_| Fault::new(Code(501), Retry::Never, "a key could not be derived").into())
}

/// `purpose`, then each part behind its length in four bytes, the highest first: no two lists of parts read alike.
pub(crate) fn info(purpose: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut out = purpose.to_vec();
    for part in parts {
        // A table's name is the longest part; 4 GiB of it do not occur, and a cut length would only make another key.
        out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests;
