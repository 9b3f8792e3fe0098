use std::num::NonZeroUsize;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use lexicon::limits::PARCEL_BYTES_MAX;
use lexicon::{Code, Entropy, Fault, Result, Retry};
use parquet::basic::{Compression, ZstdLevel};
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use scope::ScopedBatch;

use crate::columns::Columns;
use crate::form::Form;
use crate::keys::{ConsignmentKey, SALT_BYTES};
use crate::parcel::{ParcelName, Sealed};

/// 64 KiB, some thousands of different values: a column that has more gains nothing by a dictionary, and building one is
/// the dearest part of its encoding.
const DICTIONARY_BYTES: usize = 64 * 1024;

/// 16 MiB: a parcel that has reached this is ended. It is a good size for one request, and both ends hold several: one
/// that leaves and one that is filled for each table.
pub const PARCEL_BYTES_ENOUGH: usize = 16 * 1024 * 1024;

/// 8 MiB: footer, page heads, and what an estimate is too low by.
const PARQUET_BYTES: usize = 8 * 1024 * 1024;

/// Seals the rows of one table into one parcel, in memory: what it holds grows up to about
/// [`PARCEL_BYTES_MAX`], never with the table. Nothing in clear is written anywhere.
pub struct ParcelWriter {
    name: ParcelName,
    salt: [u8; SALT_BYTES],
    schema: SchemaRef,
    columns: Columns,
    rows: u64,
}

impl ParcelWriter {
    /// Begins the parcel `name` for rows of `schema`, under a key of its own. K itself never reaches Parquet.
    ///
    /// # Errors
    /// A fault when no random bytes can be had, or when Parquet has no form for `schema`.
    pub fn new(key: &ConsignmentKey, entropy: &dyn Entropy, name: ParcelName, schema: SchemaRef) -> Result<Self> {
        let salt = entropy.bytes::<SALT_BYTES>()?;
        let properties = properties(key, &name, &salt)?;
        let columns = Columns::begin(&schema, properties).map_err(|error| failed(&name, "begin", &error))?;
        Ok(Self { name, salt, schema, columns, rows: 0 })
    }

    /// Works on so many threads, the caller's own among them; on one, unless this is called. The rows take the same place in
    /// memory and in the parcel, whatever their number.
    #[must_use]
    pub fn on(self, threads: NonZeroUsize) -> Self {
        Self { columns: self.columns.on(threads), ..self }
    }

    /// Seals the next rows.
    ///
    /// # Errors
    /// A fault when the batch is of another schema, or when Parquet cannot write it.
    pub fn write(&mut self, batch: &ScopedBatch) -> Result<()> {
        self.write_rows(batch.batch())
    }

    /// How many bytes the parcel would have if it ended here, about: rows still in the writer count before compression.
    pub fn sealed_bytes_estimate(&self) -> usize {
        self.columns.bytes_estimate()
    }

    /// Whether the parcel should end here and another begin.
    pub fn is_full(&self) -> bool {
        self.sealed_bytes_estimate() >= PARCEL_BYTES_ENOUGH
    }

    /// Whether the next rows go into this parcel without taking it over [`PARCEL_BYTES_MAX`]. An empty one takes any
    /// batch: a row has at most [`lexicon::limits::ROW_BYTES_MAX`].
    pub fn has_room(&self, batch: &ScopedBatch) -> bool {
        self.has_room_for(batch.batch())
    }

    pub(crate) fn has_room_for(&self, batch: &RecordBatch) -> bool {
        let with = self.sealed_bytes_estimate().saturating_add(batch.get_array_memory_size());
        self.rows == 0 || with.saturating_add(PARQUET_BYTES) <= PARCEL_BYTES_MAX
    }

    /// Ends the parcel. A writer that is dropped instead leaves nothing.
    ///
    /// # Errors
    /// A fault when Parquet cannot end the file, or when it is larger than a parcel may be.
    pub fn finish(self) -> Result<Sealed> {
        let Self { name, salt, columns, rows, .. } = self;
        let (bytes, digest) = columns.finish().map_err(|error| failed(&name, "end", &error))?;
        let bytes = Bytes::from(bytes);
        if bytes.len() > PARCEL_BYTES_MAX {
            let message = format!(
                "parcel {} of table {} has {} bytes; at most {PARCEL_BYTES_MAX} are allowed",
                name.parcel,
                name.table,
                bytes.len()
            );
            return Err(Fault::new(Code(505), Retry::Never, message).into());
        }
        Ok(Sealed { bytes, rows, digest, salt })
    }

    pub(crate) fn write_rows(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema_ref().fields() != self.schema.fields() {
            let message = format!("rows of another shape were to be sealed as table {}", self.name.table);
            return Err(Fault::new(Code(506), Retry::Never, message).into());
        }
        self.columns.write(batch).map_err(|error| failed(&self.name, "take rows", &error))?;
        self.rows = self.rows.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// AES-256 under one key for footer and all columns; the footer, and with it the columns' names, encrypted.
fn properties(key: &ConsignmentKey, name: &ParcelName, salt: &[u8; SALT_BYTES]) -> Result<WriterProperties> {
    let shape = WriterProperties::builder()
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        // The writer leaves bloom filters in clear, in a file that is otherwise encrypted.
        .set_bloom_filter_enabled(false)
        // A parcel is read whole: minima, maxima and page places would serve nobody.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    match key.form {
        Form::Sealed => {
            let file_key = key.parcel_key(salt, name)?;
            // The crate keeps it as plain bytes and zeroes nothing: SECURITY.md says so.
            let encryption = FileEncryptionProperties::builder(file_key.to_vec())
                .with_footer_key_metadata(name.key_metadata(salt))
                .with_aad_prefix(name.aad())
                .with_aad_prefix_storage(false)
                .build()
                .map_err(|error| failed(name, "take its key", &error))?;
            let level = ZstdLevel::try_new(1).map_err(|error| failed(name, "choose a compression", &error))?;
            Ok(shape.set_compression(Compression::ZSTD(level)).with_file_encryption_properties(encryption).build())
        }
        #[cfg(feature = "unsealed")]
        Form::Unsealed => Ok(shape.set_compression(Compression::UNCOMPRESSED).build()),
    }
}

/// Leaves out Parquet's words, which may quote a value.
fn failed(name: &ParcelName, what: &str, error: &ParquetError) -> Fault {
    let kind = if matches!(error, ParquetError::NYI(_)) { "it has no form for a type" } else { "Parquet refused" };
    Fault::new(
        Code(502),
        Retry::Never,
        format!("the writer of parcel {} (table {}) failed to {what}: {kind}", name.parcel, name.table),
    )
}
