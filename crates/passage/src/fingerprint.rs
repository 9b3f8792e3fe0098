//! A fingerprint in the making, on a thread of its own: neither reading nor sealing nor loading waits for its sums.

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use lexicon::Result;
use scope::{FingerprintKeys, Fingerprinter, TableFingerprint, TableScope};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::table::cut;

/// S, F or T of one table, while its rows pass.
pub(crate) struct Fingerprinting {
    batches: mpsc::Sender<RecordBatch>,
    thread: JoinHandle<Result<TableFingerprint>>,
}

impl Fingerprinting {
    pub(crate) fn start(keys: &FingerprintKeys, table: &TableScope) -> Self {
        let mut fingerprint = Fingerprinter::new(keys, table);
        let (batches, mut waiting) = mpsc::channel::<RecordBatch>(1);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(batch) = waiting.blocking_recv() {
                fingerprint.add(&batch)?;
            }
            Ok(fingerprint.finish())
        });
        Self { batches, thread }
    }

    /// Counts a batch in. When the thread gave up, [`Self::finish`] says why.
    pub(crate) async fn add(&self, batch: &RecordBatch) -> Result<()> {
        // The columns are shared, not copied.
        self.batches.send(batch.clone()).await.map_err(|_| cut().into())
    }

    /// Over every row of a stream that goes nowhere else.
    pub(crate) async fn over(self, mut rows: BoxStream<'_, Result<RecordBatch>>) -> Result<TableFingerprint> {
        while let Some(batch) = rows.try_next().await? {
            if self.add(&batch).await.is_err() {
                break;
            }
        }
        self.finish().await
    }

    /// Over every batch that was added.
    pub(crate) async fn finish(self) -> Result<TableFingerprint> {
        drop(self.batches);
        self.thread.await.map_err(|_| cut())?
    }
}
