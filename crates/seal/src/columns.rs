//! A Parquet file whose columns are encoded, compressed and encrypted on several threads, a row group's end beside the
//! next one's beginning.
//!
//! Each column of a row group is written by one writer that takes the same rows in the same order, whichever thread it is
//! on, and chunks enter the file in the schema's order. So the number of threads changes no byte, but for what encryption
//! draws at random. No rows wait in a queue: what is held is the row group in the making, the last pages of the one before,
//! and the file so far, as with one thread. The file's digest is taken on the way, by whichever thread is free.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::{io, iter, thread};

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{FieldRef, SchemaRef};
use lexicon::{Digest, Hasher};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

/// 8 MiB of encoded columns, as their writers estimate them: pages that have ended count as compressed.
const ROW_GROUP_BYTES: usize = 8 * 1024 * 1024;

/// 32 MiB of rows as they lie in memory, whatever they compress to: the most that a reader must hold at once, but for one
/// batch that takes the row group over it. Ordinary tables reach the 8 MiB first.
const ROW_GROUP_HELD: usize = 32 * 1024 * 1024;

/// 2^20 rows, 53 pages of each column: columns of nothing but NULL have hardly a byte, and an encrypted file has room for
/// 32,767 pages of each column in a row group.
const ROW_GROUP_ROWS: usize = 1024 * 1024;

/// 16,384 values, half a millisecond's work; beginning a thread costs some 30 µs.
const VALUES_WORTH_A_THREAD: usize = 16 * 1024;

/// The file in the making.
pub(crate) struct Columns {
    file: SerializedFileWriter<Digested>,
    groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    threads: NonZeroUsize,
    /// Of the row group in the making; none between two.
    writers: Vec<ArrowColumnWriter>,
    /// Of the row group before, which is not in the file yet; its last pages are made beside the next rows.
    ending: Vec<ArrowColumnWriter>,
    rows: usize,
    /// What the rows of the row group in the making have in memory, in bytes.
    held: usize,
}

impl Columns {
    /// Begins a file in memory.
    ///
    /// # Errors
    /// When Parquet has no form for `schema`, or when a column of it is nested.
    pub(crate) fn begin(schema: &SchemaRef, properties: WriterProperties) -> Result<Self> {
        let writer = ArrowWriter::try_new(Digested::default(), schema.clone(), Some(properties))?;
        let (file, groups) = writer.into_serialized_writer()?;
        if file.schema_descr().num_columns() != schema.fields().len() {
            return Err(ParquetError::NYI("nested columns".to_owned()));
        }
        let (threads, writers, ending) = (NonZeroUsize::MIN, Vec::new(), Vec::new());
        Ok(Self { file, groups, schema: schema.clone(), threads, writers, ending, rows: 0, held: 0 })
    }

    /// On how many threads columns are worked on, the caller's own among them.
    pub(crate) fn on(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// Bytes in the file, and what the row groups that are not in it would add if they ended here.
    pub(crate) fn bytes_estimate(&self) -> usize {
        let waiting = estimated(&self.ending).saturating_add(self.group_bytes());
        self.file.bytes_written().saturating_add(waiting)
    }

    /// Takes the next rows, which have the schema of the file.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while let left @ 1.. = batch.num_rows().saturating_sub(from) {
            let rows = self.room().min(left);
            if rows > 0 {
                self.encode(&batch.slice(from, rows))?;
                from = from.saturating_add(rows);
            }
            if rows == 0 || self.is_full() {
                self.end_group();
            }
        }
        Ok(())
    }

    /// Ends the file; its bytes and their digest.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, Digest)> {
        self.end_group();
        let ending = std::mem::take(&mut self.ending);
        let chunks = on_threads(self.threads, ending, &ArrowColumnWriter::close)?;
        self.append(chunks)?;
        let mut file = self.file.into_inner()?;
        file.catch_up();
        Ok((file.bytes, file.hasher.finish()))
    }

    fn group_bytes(&self) -> usize {
        estimated(&self.writers)
    }

    fn is_full(&self) -> bool {
        self.group_bytes() >= ROW_GROUP_BYTES || self.held >= ROW_GROUP_HELD || self.rows >= ROW_GROUP_ROWS
    }

    /// How many rows more go into the row group, when they are as large as those in it.
    fn room(&self) -> usize {
        let bytes_left = ROW_GROUP_BYTES.saturating_sub(self.group_bytes());
        let each = self.group_bytes().checked_div(self.rows).unwrap_or(0);
        bytes_left.checked_div(each).unwrap_or(usize::MAX).min(ROW_GROUP_ROWS.saturating_sub(self.rows))
    }

    fn encode(&mut self, rows: &RecordBatch) -> Result<()> {
        if self.writers.is_empty() {
            let before = self.file.flushed_row_groups().len().saturating_add(usize::from(!self.ending.is_empty()));
            self.writers = self.groups.create_column_writers(before)?;
        }
        self.rows = self.rows.saturating_add(rows.num_rows());
        self.held = self.held.saturating_add(held(rows));
        let values = rows.num_rows().saturating_mul(rows.num_columns());
        let few = values < VALUES_WORTH_A_THREAD && self.ending.is_empty();
        let threads = if few { NonZeroUsize::MIN } else { self.threads };
        let ending = std::mem::take(&mut self.ending).into_iter().map(Box::new).map(Piece::Ending);
        let columns = self.schema.fields().iter().zip(rows.columns()).zip(&mut self.writers);
        let columns = columns.map(|((field, column), writer)| Piece::Column { field, column, writer });
        let pieces = iter::once(Piece::Behind(self.file.inner_mut())).chain(ending).chain(columns).collect();
        let chunks = on_threads(threads, pieces, &Piece::done)?;
        self.append(chunks.into_iter().flatten().collect())
    }

    fn end_group(&mut self) {
        if self.rows > 0 {
            (self.rows, self.held) = (0, 0);
            self.ending = std::mem::take(&mut self.writers);
        }
    }

    /// The row group that ended enters the file.
    fn append(&mut self, chunks: Vec<ArrowColumnChunk>) -> Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close().map(drop)
    }
}

fn estimated(writers: &[ArrowColumnWriter]) -> usize {
    writers.iter().map(ArrowColumnWriter::get_estimated_total_bytes).fold(0, usize::saturating_add)
}

/// Of these rows alone, whatever else lies in the buffers that they point into.
fn held(rows: &RecordBatch) -> usize {
    let each = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX));
    each.fold(0, usize::saturating_add)
}

/// What one thread does at once while a batch is taken.
enum Piece<'a> {
    /// What the file grew by has no digest yet.
    Behind(&'a mut Digested),
    /// A column of the row group before.
    Ending(Box<ArrowColumnWriter>),
    Column {
        field: &'a FieldRef,
        column: &'a ArrayRef,
        writer: &'a mut ArrowColumnWriter,
    },
}

impl Piece<'_> {
    fn done(self) -> Result<Option<ArrowColumnChunk>> {
        match self {
            Self::Behind(file) => file.catch_up(),
            Self::Ending(writer) => return writer.close().map(Some),
            Self::Column { field, column, writer } => {
                compute_leaves(field, column)?.iter().try_for_each(|leaf| writer.write(leaf))?;
            }
        }
        Ok(None)
    }
}

/// The file so far, and the digest of its first bytes.
#[derive(Default)]
struct Digested {
    bytes: Vec<u8>,
    hasher: Hasher,
    hashed: usize,
}

impl Digested {
    fn catch_up(&mut self) {
        self.hasher.update(self.bytes.get(self.hashed..).unwrap_or_default());
        self.hashed = self.bytes.len();
    }
}

impl io::Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Works on each item, the next one on whichever thread is free, and gives the results in the items' order. A thread that
/// the machine does not give is done without: the caller's own takes its share.
fn on_threads<Item: Send, Done: Send>(
    threads: NonZeroUsize,
    items: Vec<Item>,
    work: &(dyn Fn(Item) -> Result<Done> + Sync),
) -> Result<Vec<Done>> {
    let beside = threads.get().min(items.len()).saturating_sub(1);
    if beside == 0 {
        return items.into_iter().map(work).collect();
    }
    let done: Vec<Mutex<Option<Result<Done>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = Mutex::new(items.into_iter().zip(&done));
    let work_off = || {
        loop {
            // Bound here, so that the next item is free for others while this one is worked on.
            let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((item, place)) = taken else { return };
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(work(item));
        }
    };
    thread::scope(|scope| {
        for _ in 0..beside {
            // Joined at the scope's end.
            drop(thread::Builder::new().spawn_scoped(scope, work_off));
        }
        work_off();
    });
    let cut = || ParquetError::General("a thread ended before its column".to_owned());
    done.into_iter().map(|one| one.into_inner().ok().flatten().unwrap_or_else(|| Err(cut()))).collect()
}

#[cfg(test)]
mod tests;
