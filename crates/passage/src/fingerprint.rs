//! A fingerprint in the making, on a thread of its own: neither reading nor sealing nor loading waits for its sums.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use lexicon::{Digest, Result};
use scope::{FingerprintKeys, Fingerprinter, TableFingerprint, TableScope};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::table::cut;

/// S, F or T of one table.
pub(crate) struct Point {
    pub fingerprint: TableFingerprint,
    /// Nulls, by column of the target; columns without any are left out.
    pub nulls: BTreeMap<String, u64>,
}

/// What manifest and report say of a point, and all that is kept of one: of some thousands of tables the buckets would be
/// more than a process may hold.
pub(crate) struct Total {
    pub root: Digest,
    pub nulls: BTreeMap<String, u64>,
}

impl Point {
    /// Without its buckets.
    pub(crate) fn total(self) -> Total {
        Total { root: self.fingerprint.root(), nulls: self.nulls }
    }
}

/// One point of a table, while its rows pass.
pub(crate) struct Fingerprinting {
    batches: mpsc::Sender<RecordBatch>,
    thread: JoinHandle<Result<Point>>,
}

impl Fingerprinting {
    pub(crate) fn start(keys: &FingerprintKeys, table: &TableScope) -> Self {
        let mut fingerprint = Fingerprinter::new(keys, table);
        let (batches, mut waiting) = mpsc::channel::<RecordBatch>(1);
        let thread = tokio::task::spawn_blocking(move || {
            let mut nulls = BTreeMap::new();
            while let Some(batch) = waiting.blocking_recv() {
                fingerprint.add(&batch)?;
                count_nulls(&mut nulls, &batch);
            }
            Ok(Point { fingerprint: fingerprint.finish(), nulls })
        });
        Self { batches, thread }
    }

    /// Counts a batch in. When the thread gave up, [`Self::finish`] says why.
    pub(crate) async fn add(&self, batch: &RecordBatch) -> Result<()> {
        // The columns are shared, not copied.
        self.batches.send(batch.clone()).await.map_err(|_| cut().into())
    }

    /// Over every row of a stream that goes nowhere else.
    pub(crate) async fn over(self, mut rows: BoxStream<'_, Result<RecordBatch>>) -> Result<Point> {
        while let Some(batch) = rows.try_next().await? {
            if self.add(&batch).await.is_err() {
                break;
            }
        }
        self.finish().await
    }

    /// Over every batch that was added.
    pub(crate) async fn finish(self) -> Result<Point> {
        drop(self.batches);
        self.thread.await.map_err(|_| cut())?
    }
}

/// Arrow keeps the number with each column: no row is looked at.
fn count_nulls(nulls: &mut BTreeMap<String, u64>, batch: &RecordBatch) {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if column.null_count() > 0 {
            let count = nulls.entry(field.name().clone()).or_default();
            *count = count.saturating_add(u64::try_from(column.null_count()).unwrap_or(u64::MAX));
        }
    }
}
