//! Arrow columns that grow row by row, and batches cut from them at a bounded size.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, PrimitiveBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BinaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use lexicon::Result;
use lexicon::limits::{HEAVY_BATCH_BYTES, ROW_BYTES_MAX};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::at_fault::AtFault;
use crate::{spelling, trouble};

/// A batch is cut at this many rows: enough that the cost of a batch vanishes beside its rows.
const BATCH_ROWS_MAX: usize = 65_536;
/// 2 MiB: what one step has written the next still finds in the processor's cache, and a batch's own cost is nothing yet.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Why a value cannot be carried as the kind that the scope declares. The words follow a count: "3 zero dates".
pub(crate) type Odd = &'static str;

pub(crate) const ODD_KIND: Odd = "values of another type than the scope declares";
pub(crate) const ODD_INFINITE: Odd = "infinite values";
/// 48 MiB is [`ROW_BYTES_MAX`].
pub(crate) const ODD_LONG: Odd = "values that take their row over 48 MiB, the most that one parcel carries";
pub(crate) const ODD_NAN: Odd = "values that are not a number";
pub(crate) const ODD_PRECISION: Odd = "numbers with more digits than the scope declares";
pub(crate) const ODD_RANGE: Odd = "values out of range";
pub(crate) const ODD_SPELLING: Odd = "values that do not spell the declared type";
pub(crate) const ODD_UTF8: Odd = "texts that are not valid in their character set";
pub(crate) const ODD_ZERO_DATE: Odd = "zero dates (0000-00-00 or with a zero month or day)";

/// What a database puts into a column that a load leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    Computed,
    Default,
    Null,
    Numbered,
}

/// One growing column. Its variant is the one place that says how a kind is held while it is read.
pub(crate) enum Cells {
    Bool(BooleanBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Decimal(Decimal128Builder, u8, i8),
    Float64(Float64Builder),
    Int64(Int64Builder),
    /// Looked at when a batch is cut: see [`texts`].
    Text(BinaryBuilder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampTz(TimestampMicrosecondBuilder),
    UInt64(UInt64Builder),
}

impl Cells {
    /// An empty column of an Arrow type; none for a type that no scope declares.
    fn of(data: &DataType) -> Option<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
        match data {
            DataType::Boolean => Some(Self::Bool(BooleanBuilder::new())),
            DataType::Binary => Some(Self::Bytes(BinaryBuilder::new())),
            DataType::Date32 => Some(Self::Date(Date32Builder::new())),
            DataType::Decimal128(precision, scale) => Some(Self::Decimal(
                Decimal128Builder::new().with_precision_and_scale(*precision, *scale).ok()?,
                *precision,
                *scale,
            )),
            DataType::Float64 => Some(Self::Float64(Float64Builder::new())),
            DataType::Int64 => Some(Self::Int64(Int64Builder::new())),
            DataType::Utf8 => Some(Self::Text(BinaryBuilder::new())),
            DataType::Time64(TimeUnit::Microsecond) => Some(Self::Time(Time64MicrosecondBuilder::new())),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Some(Self::Timestamp(TimestampMicrosecondBuilder::new()))
            }
            DataType::UInt64 => Some(Self::UInt64(UInt64Builder::new())),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
                Some(Self::TimestampTz(TimestampMicrosecondBuilder::new().with_timezone(Arc::clone(zone))))
            }
            _ => None,
        }
    }

    /// Appends NULL.
    pub(crate) fn null(&mut self) {
        match self {
            Self::Bool(cells) => cells.append_null(),
            Self::Bytes(cells) | Self::Text(cells) => cells.append_null(),
            Self::Date(cells) => cells.append_null(),
            Self::Decimal(cells, ..) => cells.append_null(),
            Self::Float64(cells) => cells.append_null(),
            Self::Int64(cells) => cells.append_null(),
            Self::Time(cells) => cells.append_null(),
            Self::Timestamp(cells) | Self::TimestampTz(cells) => cells.append_null(),
            Self::UInt64(cells) => cells.append_null(),
        }
    }

    /// Appends a value that is spelled as text. An integer or decimal may have zeros before it: `MariaDB` prints those of
    /// a ZEROFILL.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), Odd> {
        match self {
            Self::Bool(cells) => match text {
                "0" | "f" | "false" => cells.append_value(false),
                "1" | "t" | "true" => cells.append_value(true),
                _ => return Err(ODD_SPELLING),
            },
            Self::Bytes(cells) | Self::Text(cells) => cells.append_value(text),
            Self::Date(cells) => cells.append_value(spelling::read_date(text).ok_or(ODD_SPELLING)?),
            Self::Decimal(cells, precision, scale) => {
                cells.append_value(spelling::read_decimal(text, *precision, *scale).ok_or(ODD_PRECISION)?);
            }
            Self::Float64(cells) => cells.append_value(scope::parse_float(text).ok_or(ODD_SPELLING)?),
            Self::Int64(cells) => cells.append_value(text.parse().map_err(|_| ODD_SPELLING)?),
            Self::Time(cells) => cells.append_value(spelling::read_time(text).ok_or(ODD_SPELLING)?),
            Self::Timestamp(cells) => cells.append_value(spelling::read_timestamp(text).ok_or(ODD_SPELLING)?),
            Self::TimestampTz(cells) => cells.append_value(spelling::read_timestamp_zoned(text).ok_or(ODD_SPELLING)?),
            Self::UInt64(cells) => cells.append_value(text.parse().map_err(|_| ODD_SPELLING)?),
        }
        Ok(())
    }

    /// Ends a batch's part of the column. The next part begins with as much room as this one took, and seldom grows. Beside
    /// it, the places of texts that are none; they are null.
    fn finish(&mut self) -> (ArrayRef, Vec<usize>) {
        let done: ArrayRef = match self {
            Self::Text(cells) => return texts(&sized(cells)),
            Self::Bool(cells) => Arc::new(cells.finish()),
            Self::Bytes(cells) => Arc::new(sized(cells)),
            Self::Date(cells) => fixed(cells),
            Self::Decimal(cells, ..) => fixed(cells),
            Self::Float64(cells) => fixed(cells),
            Self::Int64(cells) => fixed(cells),
            Self::Time(cells) => fixed(cells),
            Self::Timestamp(cells) | Self::TimestampTz(cells) => fixed(cells),
            Self::UInt64(cells) => fixed(cells),
        };
        (done, Vec::new())
    }
}

fn fixed<Type: ArrowPrimitiveType>(cells: &mut PrimitiveBuilder<Type>) -> ArrayRef {
    let done = cells.finish();
    *cells = PrimitiveBuilder::with_capacity(done.len()).with_data_type(done.data_type().clone());
    Arc::new(done)
}

fn sized(cells: &mut BinaryBuilder) -> BinaryArray {
    let done = cells.finish();
    *cells = BinaryBuilder::with_capacity(done.len(), done.value_data().len());
    done
}

/// Bytes as texts. All at once, because most texts are short, and one look at each costs more than all of its bytes.
fn texts(bytes: &BinaryArray) -> (ArrayRef, Vec<usize>) {
    if let Ok(texts) = StringArray::try_from_binary(bytes.clone()) {
        return (Arc::new(texts), Vec::new());
    }
    let texts: StringArray = bytes.iter().map(|cell| cell.and_then(|bytes| std::str::from_utf8(bytes).ok())).collect();
    let odd = (0..texts.len()).filter(|row| texts.is_null(*row) && bytes.is_valid(*row)).collect();
    (Arc::new(texts), odd)
}

/// Columns of one table that are cut into batches. A value that cannot be carried is counted instead of kept, and from
/// then on nothing more comes out: the table is read to its end so that the refusal names every column with its whole
/// count, then refused.
pub(crate) struct Batcher {
    table: String,
    schema: SchemaRef,
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
    /// Of the row that is being read.
    row_bytes: usize,
    odd: BTreeMap<(usize, Odd), u64>,
    /// Rows of the growing batch with a value that cannot be carried, and where they are kept.
    faulty: Vec<usize>,
    at_fault: AtFault,
}

impl Batcher {
    /// Empty columns of `schema`; errors name `table`.
    pub(crate) fn new(table: &str, schema: SchemaRef, at_fault: &AtFault) -> Result<Self> {
        let cells = schema
            .fields()
            .iter()
            .map(|field| Cells::of(field.data_type()).ok_or_else(|| trouble::shape(table, "an unknown kind")))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            table: table.to_owned(),
            schema,
            cells,
            rows: 0,
            bytes: 0,
            row_bytes: 0,
            odd: BTreeMap::new(),
            faulty: Vec::new(),
            at_fault: at_fault.clone(),
        })
    }

    /// The number of columns.
    pub(crate) fn width(&self) -> usize {
        self.cells.len()
    }

    /// Takes one value of `bytes` bytes: `put` appends exactly one cell or says why it cannot (and appends nothing).
    #[inline]
    pub(crate) fn cell(&mut self, index: usize, bytes: usize, put: impl FnOnce(&mut Cells) -> Result<(), Odd>) {
        let Some(cells) = self.cells.get_mut(index) else { return };
        let with = self.row_bytes.saturating_add(bytes);
        let done = if with > ROW_BYTES_MAX { Err(ODD_LONG) } else { put(cells) };
        if let Err(odd) = done {
            cells.null();
            self.found((index, odd), &[self.rows]);
            return;
        }
        self.row_bytes = with;
        // 8 bytes beside the value's own: an offset or a fixed-width cell.
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(8);
    }

    /// Counts values that cannot be carried, in these rows of the growing batch.
    fn found(&mut self, what: (usize, Odd), rows: &[usize]) {
        if !rows.is_empty() {
            let count = self.odd.entry(what).or_default();
            *count = count.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            self.faulty.extend(rows);
        }
    }

    /// Counts values of rows that the database was asked to leave out: the table is refused for them at its end.
    pub(crate) fn left_out(&mut self, index: usize, odd: Odd, values: u64) {
        let count = self.odd.entry((index, odd)).or_default();
        *count = count.saturating_add(values);
    }

    /// Ends a row; a full batch comes out.
    pub(crate) fn end_row(&mut self) -> Result<Option<RecordBatch>> {
        self.rows = self.rows.saturating_add(1);
        self.row_bytes = 0;
        if self.rows < BATCH_ROWS_MAX && self.bytes < BATCH_BYTES_MAX {
            return Ok(None);
        }
        let batch = self.cut()?;
        Ok(self.odd.is_empty().then_some(batch))
    }

    /// Ends the table: the last rows come out, or the refusal of all that could not be carried.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let last = if self.rows == 0 { None } else { Some(self.cut()?) };
        if !self.odd.is_empty() {
            let findings: Vec<_> = self
                .odd
                .iter()
                .map(|((index, odd), count)| {
                    let name = self.schema.fields().get(*index).map_or("?", |field| field.name());
                    (name.to_owned(), *odd, *count)
                })
                .collect();
            return Err(trouble::odd_values(&self.table, &findings));
        }
        Ok(last)
    }

    fn cut(&mut self) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.cells.len());
        for index in 0..self.cells.len() {
            let Some((column, no_texts)) = self.cells.get_mut(index).map(Cells::finish) else { continue };
            columns.push(column);
            self.found((index, ODD_UTF8), &no_texts);
        }
        self.faulty.sort_unstable();
        self.faulty.dedup();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|_| trouble::shape(&self.table, "columns of unequal length"))?;
        for row in self.faulty.drain(..) {
            self.at_fault.keep(&self.table, batch.slice(row, 1));
        }
        Ok(batch)
    }
}

/// Whether a batch goes alone: see [`HEAVY_BATCH_BYTES`].
pub fn is_heavy(batch: &RecordBatch) -> bool {
    batch.get_array_memory_size() > HEAVY_BATCH_BYTES
}

/// Hands on what is of a batch. Of a heavy one it waits until it is taken, so that no other is made beside it.
///
/// Whether there still is somebody who takes.
pub async fn hand<T>(pipe: &mpsc::Sender<T>, item: T, heavy: bool) -> bool {
    pipe.send(item).await.is_ok() && (!heavy || pipe.reserve_many(pipe.max_capacity()).await.is_ok())
}

/// Hands a batch to whoever reads a source, as [`hand`].
pub(crate) async fn give(batches: &mpsc::Sender<RecordBatch>, batch: RecordBatch) -> bool {
    let heavy = is_heavy(&batch);
    hand(batches, batch, heavy).await
}

/// What a reading gives and, after that, the trouble that ended it. One that fell says nothing itself: without its handle
/// it would look like the end of its table. `what` it is stands in the sentence on that.
pub(crate) fn given(
    batches: mpsc::Receiver<RecordBatch>,
    reading: JoinHandle<Result<()>>,
    what: &'static str,
) -> BoxStream<'static, Result<RecordBatch>> {
    let flow = stream::try_unfold((batches, reading), move |(mut batches, reading)| async move {
        if let Some(batch) = batches.recv().await {
            return Ok(Some((batch, (batches, reading))));
        }
        reading.await.map_err(|_| trouble::gone(what))??;
        Ok(None)
    });
    flow.boxed()
}

/// How this room calls an Arrow type when it speaks to a person: as a scope file does.
pub(crate) fn kind_name(data: &DataType) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
    match data {
        DataType::Boolean => "bool".to_owned(),
        DataType::Binary => "bytes".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Float64 => "float64".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Utf8 => "text".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;
    use futures::TryStreamExt;
    use lexicon::Code;

    use super::*;

    /// What comes of a reading that gives one batch and then ends so.
    async fn read(end: impl FnOnce() -> Result<()> + Send + 'static) -> Result<usize> {
        let (sender, receiver) = mpsc::channel(1);
        let reading = tokio::spawn(async move {
            give(&sender, RecordBatch::new_empty(Arc::new(Schema::empty()))).await;
            end()
        });
        let batches: Vec<_> = given(receiver, reading, "a thread that reads").try_collect().await?;
        Ok(batches.len())
    }

    #[tokio::test]
    async fn a_reading_that_falls_is_not_the_end_of_its_table() {
        assert_eq!(read(|| Ok(())).await.unwrap(), 1);
        assert_eq!(read(|| Err(trouble::no_table("the source", "t"))).await.unwrap_err().code(), Code(405));
        let fallen = read(|| panic!("fallen")).await.unwrap_err();
        assert_eq!(fallen.to_string(), "a thread that reads ended before its work was done [LZ-0417]");
    }
}
