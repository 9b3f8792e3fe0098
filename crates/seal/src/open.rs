use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use lexicon::{Digest, Result};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::errors::ParquetError;

use crate::keys::ConsignmentKey;
use crate::modules::Modules;
use crate::opaque::HEADER_BEGINS;
use crate::parcel::ParcelName;

/// 8,192 rows at a time: about 1 MiB for a table of 15 columns.
const BATCH_ROWS: usize = 8192;

/// A batch is at most a sixteenth of its row group's rows: some 2 MiB of the 32 MiB that those of a row group have at most in
/// memory, where they compressed well.
const BATCHES_OF_A_ROW_GROUP: usize = 16;

/// Derives the key of exactly one parcel from what the file says about itself.
struct OneParcel {
    key: ConsignmentKey,
    name: ParcelName,
}

impl KeyRetriever for OneParcel {
    fn retrieve_key(&self, key_metadata: &[u8]) -> parquet::errors::Result<Vec<u8>> {
        let refused = || ParquetError::General("another parcel".to_owned());
        let salt = self.name.salt_in(key_metadata).ok_or_else(refused)?;
        // As when it was written, nobody zeroes this.
        self.key.parcel_key(&salt, &self.name).map(|key| key.to_vec()).map_err(|_| refused())
    }
}

/// The rows of one opened parcel, in the order they were sealed in. Each batch was authenticated before it is given
/// out; the last one is followed by an alarm when rows are missing.
pub struct ParcelRows {
    name: ParcelName,
    schema: SchemaRef,
    groups: RowGroups,
    rows: u64,
    left: Option<u64>,
}

/// Batches of a file, one row group after the other: none spans two.
struct RowGroups {
    pages: Modules,
    metadata: ArrowReaderMetadata,
    next: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl RowGroups {
    fn batch(&mut self) -> parquet::errors::Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.reader.as_mut().and_then(Iterator::next) {
                return Ok(Some(batch?));
            }
            let Some(group) = self.metadata.metadata().row_groups().get(self.next) else { return Ok(None) };
            let rows = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
            let rows = rows.div_ceil(BATCHES_OF_A_ROW_GROUP).clamp(1, BATCH_ROWS);
            let (pages, metadata) = (self.pages.clone(), self.metadata.clone());
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(pages, metadata);
            self.reader = Some(builder.with_row_groups(vec![self.next]).with_batch_size(rows).build()?);
            self.next = self.next.saturating_add(1);
        }
    }
}

impl ParcelRows {
    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// How many rows the parcel says that it holds.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for ParcelRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        // Nothing more is given out after an alarm.
        let left = self.left.take()?;
        let alarm = || Some(Err(self.name.does_not_open().into()));
        match guarded(|| self.groups.batch()) {
            Some(None) if left == 0 => None,
            Some(None) | None => alarm(),
            Some(Some(batch)) => {
                let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
                let Some(still) = left.checked_sub(rows) else {
                    return alarm();
                };
                self.left = Some(still);
                Some(Ok(batch))
            }
        }
    }
}

/// Opens the parcel `name`, whose bytes have the digest that a signed manifest lists.
///
/// # Errors
/// An alarm when the bytes are not the listed ones, or do not open under this key and this name. The iterator gives
/// one, last, when a later part does not open.
pub fn open_parcel(key: &ConsignmentKey, name: &ParcelName, bytes: Bytes, expected: Digest) -> Result<ParcelRows> {
    let metadata = header(key, name, &bytes, expected)?;
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).map_err(|_| name.does_not_open())?;
    let schema = metadata.schema().clone();
    let groups = RowGroups { pages: Modules(bytes), metadata, next: 0, reader: None };
    Ok(ParcelRows { name: name.clone(), schema, groups, rows, left: Some(rows) })
}

/// Whether this key can open this parcel at all: a table's footer is authenticated and no row is read, of documents the
/// last segment is opened and none of it given out. For the probe at destruction, whose wanted answer is the alarm
/// LZ-0504.
///
/// # Errors
/// The alarm LZ-0504 when the key does not open these bytes. The alarm LZ-0503 when they are not the ones that the
/// manifest lists, which says nothing about the key.
pub fn open_header(key: &ConsignmentKey, name: &ParcelName, bytes: &Bytes, expected: Digest) -> Result<()> {
    // Parquet begins otherwise, so that neither can be taken for the other.
    if bytes.first() == Some(&HEADER_BEGINS) {
        let found = Digest::of(bytes);
        if found != expected {
            return Err(name.is_not_the_signed_one(expected, found).into());
        }
        let (key, sealed): (_, &[u8]) = (key.file_key(name)?, bytes);
        return key.ranges(&sealed).map(|_| ());
    }
    header(key, name, bytes, expected).map(|_| ())
}

/// The digest is compared before Parquet sees a byte: its reader believes lengths that stand in clear.
pub(crate) fn header(
    key: &ConsignmentKey,
    name: &ParcelName,
    bytes: &Bytes,
    expected: Digest,
) -> Result<ArrowReaderMetadata> {
    let found = Digest::of(bytes);
    if found != expected {
        return Err(name.is_not_the_signed_one(expected, found).into());
    }
    // Without this, a plain Parquet file would be read although nobody sealed it.
    if !bytes.starts_with(b"PARE") || !bytes.ends_with(b"PARE") {
        return Err(name.does_not_open().into());
    }
    let retriever = Arc::new(OneParcel { key: key.lend(), name: name.clone() });
    let decryption = FileDecryptionProperties::with_key_retriever(retriever)
        .with_aad_prefix(name.aad())
        .build()
        .map_err(|_| name.does_not_open())?;
    let options = ArrowReaderOptions::new().with_file_decryption_properties(decryption);
    guarded(|| ArrowReaderMetadata::load(bytes, options)).ok_or_else(|| name.does_not_open().into())
}

/// Nothing, when Parquet refuses or panics: it subtracts before it checks the footer's length, so a file that somebody
/// prepared can make it panic. What it was reading is not used again afterwards.
fn guarded<T, E>(read: impl FnOnce() -> Result<T, E>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()?.ok()
}
