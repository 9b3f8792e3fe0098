//! Rows of a laboratory's results, as parcels and as plain Parquet of the same shape.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use lexicon::{Digest, Entropy, Result, SeededEntropy, SystemEntropy};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use scope::{Rows, Scope, ScopedBatch, Tally};
use seal::{PARCEL_BYTES_ENOUGH, ParcelWriter, Sealed, open_parcel};

use crate::{Took, failed, key, measured, name, usage};

/// Some 2 MiB, as connectors make them.
const ROWS_AT_ONCE: usize = 14_000;
/// Of each row; columns take one each.
const NUMBERS: usize = 15;

const SCOPE: &str = r#"
[[table]]
name = "result"
key = ["result_id"]
leave = []
take = [
  { column = "result_id", type = "int64" },
  { column = "patient_id", type = "int64" },
  { column = "request_number", type = "int64" },
  { column = "code", type = "text" },
  { column = "label", type = "text" },
  { column = "measured", type = "decimal(12,4)" },
  { column = "measured_text", type = "text" },
  { column = "unit", type = "text" },
  { column = "range_low", type = "decimal(12,4)" },
  { column = "range_high", type = "decimal(12,4)" },
  { column = "flag", type = "text" },
  { column = "sampled_at", type = "timestamp" },
  { column = "validated_at", type = "timestamp with time zone" },
  { column = "validated", type = "bool" },
  { column = "response", type = "float64" },
]
"#;

/// One step, so often.
pub(crate) fn table(verb: &str, (rows, passes): (usize, usize), threads: NonZeroUsize) -> Result<Took> {
    let batches = admitted(rows)?;
    let bytes = batches.iter().map(|batch| batch.batch().get_array_memory_size()).fold(0, usize::saturating_add);
    let digested = !verb.ends_with("-undigested");
    let plain = || plain(&batches, digested);
    let again = |once: &dyn Fn() -> Result<()>| {
        measured(|| {
            for _ in 0..passes {
                once()?;
            }
            Ok(bytes.saturating_mul(passes))
        })
    };
    match verb.trim_end_matches("-undigested") {
        "plain" => again(&|| plain().map(drop)),
        "seal" => again(&|| sealed(&batches, threads).map(drop)),
        "plain-open" => {
            let files = plain()?;
            again(&|| opened_plain(&files, rows, digested))
        }
        "open" => {
            let parcels = sealed(&batches, threads)?;
            again(&|| opened(&parcels, rows))
        }
        _ => Err(usage().into()),
    }
}

/// Rows that the scope let go.
fn admitted(rows: usize) -> Result<Vec<ScopedBatch>> {
    let (scope, entropy, mut tally) = (Scope::parse(SCOPE)?, SeededEntropy::new(1), Tally::default());
    let batches = (0..rows).step_by(ROWS_AT_ONCE).map(|first| {
        let batch = batch(&entropy, first, ROWS_AT_ONCE.min(rows.saturating_sub(first)))?;
        scope.admit("result", &batch, Rows::AlreadyFiltered, &mut tally)
    });
    batches.collect()
}

/// So many results; they have the shape of those that `cargo xtask bench passage` carries.
fn batch(entropy: &dyn Entropy, first: usize, rows: usize) -> Result<RecordBatch> {
    let mut noise = vec![0_u8; rows.saturating_mul(NUMBERS).saturating_mul(4)];
    entropy.fill(&mut noise)?;
    let (numbers, _) = noise.as_chunks::<4>();
    let at = |row: usize, column: usize| {
        let number = numbers.get(row.saturating_mul(NUMBERS).saturating_add(column));
        number.copied().map_or(0, u32::from_le_bytes)
    };
    let below = |row, column, most: u32| at(row, column).checked_rem(most).unwrap_or(0);
    // None of each so many is NULL.
    let there = |row, column, nulls: u32| at(row, column).rotate_left(16).checked_rem(nulls) != Some(0);
    let all = || 0..rows;
    let whole = |column, most: u32| -> ArrayRef {
        Arc::new(all().map(|row| Some(i64::from(below(row, column, most)))).collect::<PrimitiveArray<Int64Type>>())
    };
    let decimal = |column, most: u32, nulls| -> Result<ArrayRef> {
        let values = all().map(|row| there(row, column, nulls).then(|| i128::from(below(row, column, most))));
        let values = values.collect::<PrimitiveArray<Decimal128Type>>().with_precision_and_scale(12, 4);
        Ok(Arc::new(values.map_err(|_| failed("a decimal"))?))
    };
    let pick = |column, words: &'static [&'static str], nulls| -> ArrayRef {
        let most = u32::try_from(words.len()).unwrap_or(1);
        let picked = |row| words.get(usize::try_from(below(row, column, most)).ok()?);
        let value = |row| picked(row).copied().filter(|_| nulls == 0 || there(row, column, nulls));
        Arc::new(all().map(value).collect::<StringArray>())
    };
    let words = |column, nulls| -> ArrayRef {
        let value =
            |row| there(row, column, nulls).then(|| format!("résultat {} contrôlé", below(row, column, 90_000)));
        Arc::new(all().map(value).collect::<StringArray>())
    };
    let moments = |column| {
        // Ten years from 2012 on, in whole seconds.
        let seconds = |row| i64::from(below(row, column, 315_360_000)).saturating_add(1_325_376_000);
        let value = |row| Some(seconds(row).saturating_mul(1_000_000));
        all().map(value).collect::<PrimitiveArray<TimestampMicrosecondType>>()
    };
    let ids = all().map(|row| i64::try_from(first.saturating_add(row)).ok()).collect::<PrimitiveArray<Int64Type>>();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("result_id", Arc::new(ids)),
        ("patient_id", whole(1, 500_000)),
        ("request_number", whole(2, 900_000)),
        ("code", pick(3, &["2345-7", "718-7", "789-8", "2160-0", "2951-2", "2823-3", "1742-6", "1920-8"], 0)),
        ("label", pick(4, &["Glucose", "Hémoglobine", "Hématies", "Créatinine", "Sodium", "Potassium", "TSH"], 0)),
        ("measured", decimal(5, 90_000_000, 10)?),
        ("measured_text", words(6, 2)),
        ("unit", pick(7, &["mmol/L", "g/dL", "T/L", "µmol/L", "UI/L", "mUI/L"], 0)),
        ("range_low", decimal(8, 40_000_000, 8)?),
        ("range_high", decimal(9, 80_000_000, 8)?),
        ("flag", pick(10, &["H", "L", "HH", "LL"], 2)),
        ("sampled_at", Arc::new(moments(11))),
        ("validated_at", Arc::new(moments(12).with_timezone("UTC"))),
        ("validated", Arc::new(all().map(|row| Some(at(row, 13) > u32::MAX / 2)).collect::<BooleanArray>())),
        (
            "response",
            Arc::new(all().map(|row| Some(f64::from(at(row, 14)) / 7.0)).collect::<PrimitiveArray<Float64Type>>()),
        ),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|_| failed("a batch").into())
}

fn sealed(batches: &[ScopedBatch], threads: NonZeroUsize) -> Result<Vec<Sealed>> {
    let (key, entropy) = (key()?, SystemEntropy::new());
    let begun =
        |schema: SchemaRef| Ok::<_, lexicon::Trouble>(ParcelWriter::new(&key, &entropy, name(), schema)?.on(threads));
    let (mut open, mut parcels) = (None, Vec::new());
    for batch in batches {
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => begun(batch.batch().schema())?,
        };
        writer.write(batch)?;
        if writer.is_full() { parcels.push(writer.finish()?) } else { open = Some(writer) }
    }
    parcels.extend(open.map(ParcelWriter::finish).transpose()?);
    Ok(parcels)
}

fn opened(parcels: &[Sealed], wanted: usize) -> Result<()> {
    let (key, mut rows) = (key()?, 0_usize);
    for parcel in parcels {
        for batch in open_parcel(&key, &name(), parcel.bytes.clone(), parcel.digest)? {
            rows = rows.saturating_add(batch?.num_rows());
        }
    }
    if rows == wanted { Ok(()) } else { Err(failed("opening every row").into()) }
}

/// As `seal` shapes a parcel, but for the key.
fn properties() -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).map_err(|_| failed("a compression"))?;
    Ok(WriterProperties::builder()
        .set_max_row_group_bytes(Some(8 * crate::MIB))
        .set_dictionary_page_size_limit(64 * 1024)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_compression(Compression::ZSTD(level))
        .build())
}

/// Plain files of a parcel's size, by Parquet's own writer; with their digests, as a manifest would list them.
fn plain(batches: &[ScopedBatch], digested: bool) -> Result<Vec<(Bytes, Option<Digest>)>> {
    let ended = |writer: ArrowWriter<Vec<u8>>| {
        let bytes = Bytes::from(writer.into_inner().map_err(|_| failed("ending a plain file"))?);
        let digest = digested.then(|| Digest::of(&bytes));
        Ok::<_, lexicon::Trouble>((bytes, digest))
    };
    let (mut open, mut files) = (None, Vec::new());
    for batch in batches {
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => ArrowWriter::try_new(Vec::new(), batch.batch().schema(), Some(properties()?))
                .map_err(|_| failed("beginning a plain file"))?,
        };
        writer.write(batch.batch()).map_err(|_| failed("writing a plain file"))?;
        let full = writer.bytes_written().saturating_add(writer.in_progress_size()) >= PARCEL_BYTES_ENOUGH;
        if full { files.push(ended(writer)?) } else { open = Some(writer) }
    }
    files.extend(open.map(ended).transpose()?);
    Ok(files)
}

fn opened_plain(files: &[(Bytes, Option<Digest>)], wanted: usize, digested: bool) -> Result<()> {
    let mut rows = 0_usize;
    for (bytes, digest) in files {
        if digested && *digest != Some(Digest::of(bytes)) {
            return Err(failed("comparing a digest").into());
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|_| failed("a plain file"))?;
        for batch in reader.with_batch_size(8192).build().map_err(|_| failed("a plain file"))? {
            rows = rows.saturating_add(batch.map_err(|_| failed("a plain file"))?.num_rows());
        }
    }
    if rows == wanted { Ok(()) } else { Err(failed("reading every row").into()) }
}
