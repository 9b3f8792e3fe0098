use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt64Type};
use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch, StringArray, UInt16Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use lexicon::{Digest, Hasher, Result};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Kind, TableScope, row, trouble};

/// 4,096 buckets: of 20 million rows, one different row sends 5,000 to be compared one by one.
pub(crate) const BUCKETS: usize = 4096;

/// 64 rows of about 128 bytes, 8 KiB in all, stay in a core's first cache between writing and hashing.
const AT_ONCE: usize = 64;

/// The two secret keys of a consignment's fingerprints. Without them nobody can find a row by trying values, nor make
/// two tables with one fingerprint.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct FingerprintKeys {
    row: [u8; 32],
    bucket: [u8; 32],
}

impl FingerprintKeys {
    /// The keys, as the consignment key yields them.
    pub fn new(row: [u8; 32], bucket: [u8; 32]) -> Self {
        Self { row, bucket }
    }
}

impl fmt::Debug for FingerprintKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKeys(..)")
    }
}

/// What is known of one table once per table: its own keys, its schema, where its key stands. The target's name, every
/// column's name and type and the key columns are bound into both keys, so that rows of two tables never compare equal.
struct Bound {
    table: String,
    schema: SchemaRef,
    kinds: Vec<Kind>,
    key_places: Vec<usize>,
    row: [u8; 32],
    bucket: [u8; 32],
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.row.zeroize();
        self.bucket.zeroize();
    }
}

impl Bound {
    fn new(keys: &FingerprintKeys, table: &TableScope) -> Self {
        let mut words = vec!["lazaret/1/row".to_owned(), table.target.clone()];
        words.extend(table.take.iter().flat_map(|take| [take.target.clone(), take.kind.to_string()]));
        words.push("key".to_owned());
        words.extend(table.key.iter().filter_map(|key| table.taken(key)).map(|take| take.target.clone()));
        let mut shape = Vec::new();
        for word in &words {
            shape.extend_from_slice(&length(word.len()));
            shape.extend_from_slice(word.as_bytes());
        }
        Self {
            table: table.target.clone(),
            schema: table.target_schema(),
            kinds: table.take.iter().map(|take| take.kind).collect(),
            key_places: row::key_places(table),
            row: *blake3::keyed_hash(&keys.row, &shape).as_bytes(),
            bucket: *blake3::keyed_hash(&keys.bucket, &shape).as_bytes(),
        }
    }

    /// Calls `each` with the keyed hash of every row's key (none without a key) and of the row.
    fn hashes(&self, batch: &RecordBatch, mut each: impl FnMut(Option<&[u8; 32]>, &[u8; 32])) -> Result<()> {
        let columns = row::columns(&self.table, &self.schema, &self.kinds, batch)?;
        let keys: Vec<_> = self.key_places.iter().filter_map(|place| columns.get(*place)).collect();
        let mut written = vec![Vec::new(); AT_ONCE];
        let mut hashed = [None; AT_ONCE];
        for from in (0..batch.num_rows()).step_by(AT_ONCE) {
            let many = batch.num_rows().saturating_sub(from).min(AT_ONCE);
            let rows = written.get_mut(..many).unwrap_or_default();
            rows.iter_mut().for_each(Vec::clear);
            if !keys.is_empty() {
                for key in &keys {
                    row::push(rows, key, from);
                }
                for (row, hash) in rows.iter_mut().zip(&mut hashed) {
                    *hash = Some(blake3::keyed_hash(&self.bucket, row));
                    row.clear();
                }
            }
            for column in &columns {
                row::push(rows, column, from);
            }
            for (row, key) in rows.iter().zip(&hashed) {
                each(key.as_ref().map(blake3::Hash::as_bytes), blake3::keyed_hash(&self.row, row).as_bytes());
            }
        }
        written.zeroize();
        Ok(())
    }
}

fn length(of: usize) -> [u8; 8] {
    u64::try_from(of).unwrap_or(u64::MAX).to_le_bytes()
}

/// The bucket of a row by the hash of its key: 12 bits of it; 0 without a key.
fn bucket_of(key: Option<&[u8; 32]>) -> u16 {
    match key {
        Some([low, high, ..]) => u16::from_le_bytes([*low, *high]) & 0x0FFF,
        None => 0,
    }
}

/// Sums rows up into a [`TableFingerprint`]. The order of rows and of batches does not matter; how often a row occurs
/// does.
pub struct Fingerprinter {
    bound: Bound,
    buckets: Vec<(u64, Wide)>,
}

impl Fingerprinter {
    /// A sum over no row of `table`.
    pub fn new(keys: &FingerprintKeys, table: &TableScope) -> Self {
        Self { bound: Bound::new(keys, table), buckets: vec![(0, Wide::default()); BUCKETS] }
    }

    /// Adds the rows of a batch in the table's target schema. Costs two BLAKE3 calls for each row.
    ///
    /// # Errors
    /// A fault when the batch has other columns; nothing is added then.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let buckets = &mut self.buckets;
        self.bound.hashes(batch, |key, hash| {
            if let Some((count, sum)) = buckets.get_mut(usize::from(bucket_of(key))) {
                *count = count.wrapping_add(1);
                sum.add(Wide::of(hash));
            }
        })
    }

    /// Adds the rows that another summed up of the same table under the same keys.
    ///
    /// # Errors
    /// A fault when it was another table or other keys; nothing is added then.
    #[expect(clippy::needless_pass_by_value, reason = "a sum that could be merged twice would count its rows twice")]
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if self.bound.row != other.bound.row || self.bound.bucket != other.bound.bucket {
            return Err(trouble::fingerprint_shape(&other.bound.table, "it was summed up under other keys"));
        }
        for ((count, sum), (their_count, their_sum)) in self.buckets.iter_mut().zip(&other.buckets) {
            *count = count.wrapping_add(*their_count);
            sum.add(*their_sum);
        }
        Ok(())
    }

    /// The fingerprint of the rows so far.
    pub fn finish(self) -> TableFingerprint {
        let buckets = (0_u16..).zip(&self.buckets).filter(|(_, (count, _))| *count > 0);
        let buckets = buckets.map(|(at, (count, sum))| (at, Bucket { count: *count, sum: sum.bytes() }));
        TableFingerprint::of_buckets(self.bound.table.clone(), buckets.collect())
    }
}

/// 256 bits, least significant word first; sums wrap.
#[derive(Clone, Copy, Default)]
struct Wide([u64; 4]);

impl Wide {
    fn of(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self(words)
    }

    #[inline]
    fn add(&mut self, other: Self) {
        let mut carry = false;
        for (ours, theirs) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = ours.overflowing_add(theirs);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *ours = sum;
            carry = first | second;
        }
    }

    fn bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_le_bytes();
        }
        out
    }
}

/// The fingerprint of one table: the sum of its rows' keyed hashes, in all and by bucket. Equal fingerprints mean equal
/// multisets of rows. Takes 48 bytes for each bucket in use, 192 KiB at most: a scope may have thousands of tables, so
/// that nobody holds it longer than to seal or to compare it.
#[derive(Debug, PartialEq, Eq)]
pub struct TableFingerprint {
    /// The table, by its name in the target.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// The sum of all row hashes modulo 2^256, least significant byte first.
    pub sum: [u8; 32],
    /// Those of the 4,096 buckets that hold rows, in order.
    buckets: Vec<(u16, Bucket)>,
}

/// The rows whose key falls into one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// How many.
    pub count: u64,
    /// The sum of their hashes modulo 2^256, least significant byte first.
    pub sum: [u8; 32],
}

/// Hashes a bucket; 40 bytes each.
fn hash_bucket(hasher: &mut Hasher, bucket: &Bucket) {
    hasher.update(&bucket.count.to_le_bytes());
    hasher.update(&bucket.sum);
}

/// Hashes this many buckets without rows, a hundred at once: most tables of a wide scope are small.
fn hash_empty(hasher: &mut Hasher, buckets: usize) {
    const BUCKET: usize = 40;
    let empty = [0; 100 * BUCKET];
    let mut left = buckets.saturating_mul(BUCKET);
    while let Some(piece) = empty.get(..left.min(empty.len())).filter(|piece| !piece.is_empty()) {
        hasher.update(piece);
        left = left.saturating_sub(piece.len());
    }
}

impl TableFingerprint {
    fn of_buckets(table: String, buckets: Vec<(u16, Bucket)>) -> Self {
        let mut rows = 0_u64;
        let mut sum = Wide::default();
        for (_, bucket) in &buckets {
            rows = rows.wrapping_add(bucket.count);
            sum.add(Wide::of(&bucket.sum));
        }
        Self { table, rows, sum: sum.bytes(), buckets }
    }

    /// The bucket at this place.
    pub fn bucket(&self, at: u16) -> Bucket {
        let found = self.buckets.binary_search_by_key(&at, |(place, _)| *place).ok();
        found.and_then(|found| self.buckets.get(found)).map_or_else(Bucket::default, |(_, bucket)| *bucket)
    }

    /// One digest over everything in it, empty buckets too.
    pub fn root(&self) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(b"lazaret/1/fingerprint");
        hasher.update(&length(self.table.len()));
        hasher.update(self.table.as_bytes());
        hasher.update(&self.rows.to_le_bytes());
        hasher.update(&self.sum);
        let mut next = 0_usize;
        for (at, bucket) in &self.buckets {
            hash_empty(&mut hasher, usize::from(*at).saturating_sub(next));
            hash_bucket(&mut hasher, bucket);
            next = usize::from(*at).saturating_add(1);
        }
        hash_empty(&mut hasher, BUCKETS.saturating_sub(next));
        hasher.finish()
    }

    /// The buckets in which two fingerprints of one table differ.
    pub fn differing(&self, other: &Self) -> Vec<u16> {
        let last = u16::try_from(BUCKETS).unwrap_or(u16::MAX);
        (0..last).filter(|at| self.bucket(*at) != other.bucket(*at)).collect()
    }

    /// The schema of [`Self::to_batch`].
    pub fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("table", DataType::Utf8, false),
            Field::new("bucket", DataType::UInt16, false),
            Field::new("count", DataType::UInt64, false),
            Field::new("sum", DataType::FixedSizeBinary(32), false),
        ]))
    }

    /// The buckets that hold rows, as rows; bucket 0 always, so that an empty table is there too.
    ///
    /// # Errors
    /// A fault when Arrow refuses; a defect of ours.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let first = Some((0, self.bucket(0))).filter(|_| self.buckets.first().is_none_or(|(at, _)| *at > 0));
        let kept: Vec<(u16, Bucket)> = first.into_iter().chain(self.buckets.iter().copied()).collect();
        let sums = FixedSizeBinaryArray::try_from_iter(kept.iter().map(|(_, bucket)| bucket.sum))
            .map_err(|error| trouble::arrow("writing a fingerprint", &error))?;
        RecordBatch::try_new(
            Self::schema(),
            vec![
                Arc::new(StringArray::from_iter_values(kept.iter().map(|_| &self.table))),
                Arc::new(UInt16Array::from_iter_values(kept.iter().map(|(at, _)| *at))),
                Arc::new(UInt64Array::from_iter_values(kept.iter().map(|(_, bucket)| bucket.count))),
                Arc::new(sums),
            ],
        )
        .map_err(|error| trouble::arrow("writing a fingerprint", &error))
    }

    /// The fingerprints that [`Self::to_batch`] wrote, in alphabetical order of their tables, however the rows were cut
    /// into batches since.
    ///
    /// # Errors
    /// An alarm when the rows are not those of fingerprints: a bucket beyond the last, or one twice.
    pub fn from_batches<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Result<Vec<Self>> {
        let mut tables: BTreeMap<String, BTreeMap<u16, Bucket>> = BTreeMap::new();
        for batch in batches {
            let lacks = || trouble::fingerprint_forged("it has other columns");
            let column = |name| batch.column_by_name(name).ok_or_else(lacks);
            let names = column("table")?.as_string_opt::<i32>().ok_or_else(lacks)?;
            let places = column("bucket")?.as_primitive_opt::<UInt16Type>().ok_or_else(lacks)?;
            let counts = column("count")?.as_primitive_opt::<UInt64Type>().ok_or_else(lacks)?;
            let sums = column("sum")?.as_fixed_size_binary_opt().ok_or_else(lacks)?;
            let nulls = [names.null_count(), places.null_count(), counts.null_count(), sums.null_count()];
            if nulls.iter().any(|count| *count > 0) {
                return Err(trouble::fingerprint_forged("a value is missing"));
            }
            for row in 0..batch.num_rows() {
                let place = places.value(row);
                let sum = <[u8; 32]>::try_from(sums.value(row)).map_err(|_| lacks())?;
                let bucket = Bucket { count: counts.value(row), sum };
                let table = tables.entry(names.value(row).to_owned()).or_default();
                if usize::from(place) >= BUCKETS || table.insert(place, bucket).is_some() {
                    return Err(trouble::fingerprint_forged("a bucket is there twice or is beyond the last"));
                }
            }
        }
        let used = |found: BTreeMap<u16, Bucket>| {
            found.into_iter().filter(|(_, bucket)| *bucket != Bucket::default()).collect()
        };
        Ok(tables.into_iter().map(|(table, found)| Self::of_buckets(table, used(found))).collect())
    }
}

/// One row, as far as two parties compare it: no value is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowDigest {
    /// The bucket of its key.
    pub bucket: u16,
    /// The keyed digest of its key; zeros when the table has none.
    pub key: [u8; 16],
    /// The keyed hash of the row.
    pub row: [u8; 32],
}

/// The digest of each row of a batch, in its order. To find the rows that differ, list the rows of the differing
/// buckets on both sides and compare.
///
/// # Errors
/// A fault when the batch is not in the table's target schema.
pub fn row_digests(keys: &FingerprintKeys, table: &TableScope, batch: &RecordBatch) -> Result<Vec<RowDigest>> {
    let mut out = Vec::with_capacity(batch.num_rows());
    Bound::new(keys, table).hashes(batch, |key, hash| {
        let digest = key.and_then(|key| key.last_chunk::<16>()).copied().unwrap_or_default();
        out.push(RowDigest { bucket: bucket_of(key), key: digest, row: *hash });
    })?;
    Ok(out)
}
