use bytes::Bytes;
use lexicon::{Alarm, Code, ConsignmentId, Digest, MigrationId, ParcelId};
use serde::{Deserialize, Serialize};

use crate::keys::{SALT_BYTES, info};

/// Everything that a parcel is bound to. A parcel opens only under the whole name that it was sealed under, so one
/// cannot stand in for another, not even for another of the same table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParcelName {
    /// The migration.
    pub migration: MigrationId,
    /// The consignment.
    pub consignment: ConsignmentId,
    /// The attempt that sealed it. A resumed extraction that keeps the parcel keeps this number.
    pub attempt: u32,
    /// The parcel.
    pub parcel: ParcelId,
    /// The source name of the table that its rows are of.
    pub table: String,
    /// Its place among the table's parcels, from 0.
    pub sequence: u32,
}

/// One sealed parcel, ready for the shelf.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// What the shelf stores: Parquet with modular encryption.
    pub bytes: Bytes,
    /// Rows in it.
    pub rows: u64,
    /// SHA-256 of `bytes`, for the manifest.
    pub digest: Digest,
    /// The random salt of its key; it lies in the parcel too, in clear.
    pub salt: [u8; SALT_BYTES],
}

const METADATA_MAGIC: &[u8; 8] = b"lazaret1";

impl ParcelName {
    /// What authenticates every module of a table parcel together with its place: the Parquet "AAD prefix". Not stored in
    /// the file: it names the table.
    pub(crate) fn aad(&self) -> Vec<u8> {
        self.bound(b"lazaret/1/parcel")
    }

    /// What goes into the key of an opaque parcel: the "associated data" of Tink. Not stored either.
    pub(crate) fn associated(&self) -> Vec<u8> {
        self.bound(b"lazaret/1/parcel/file")
    }

    fn bound(&self, purpose: &[u8]) -> Vec<u8> {
        info(
            purpose,
            &[
                &self.migration.0,
                &self.consignment.0,
                &self.attempt.to_be_bytes(),
                &self.parcel.0,
                &self.sequence.to_be_bytes(),
                self.table.as_bytes(),
            ],
        )
    }

    /// What the file says in clear about its key: the salt and three random identifiers, 88 bytes.
    pub(crate) fn key_metadata(&self, salt: &[u8; SALT_BYTES]) -> Vec<u8> {
        [METADATA_MAGIC.as_slice(), salt, &self.migration.0, &self.consignment.0, &self.parcel.0].concat()
    }

    /// The salt in the metadata of a file, if that file says that it is this parcel.
    pub(crate) fn salt_in(&self, metadata: &[u8]) -> Option<[u8; SALT_BYTES]> {
        let salt = *metadata.strip_prefix(METADATA_MAGIC)?.first_chunk::<SALT_BYTES>()?;
        (metadata == self.key_metadata(&salt)).then_some(salt)
    }

    /// It does not open, whatever the reason: the reader cannot tell a wrong key from altered bytes. What the Parquet
    /// reader said is left out.
    pub(crate) fn does_not_open(&self) -> Alarm {
        Alarm::new(
            Code(504),
            format!(
                "parcel {} (table {}, number {}) does not open: the key is another, or it was altered or exchanged",
                self.parcel, self.table, self.sequence
            ),
        )
    }

    pub(crate) fn is_not_the_signed_one(&self, expected: Digest, found: Digest) -> Alarm {
        Alarm::new(
            Code(503),
            format!(
                "parcel {} (table {}, number {}) is not the one in the manifest: digest {} expected, {} found",
                self.parcel,
                self.table,
                self.sequence,
                expected.short(),
                found.short()
            ),
        )
    }
}
