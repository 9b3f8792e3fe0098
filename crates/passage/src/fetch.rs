//! Parcels on their way in: fetched, compared with the manifest, opened on a thread of their own, fingerprinted (F).

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use lexicon::{Alarm, Code, Result};
use procedure::{Manifest, ManifestParcel};
use scope::{FingerprintKeys, Fingerprinter, TableFingerprint, TableScope};
use seal::{ConsignmentKey, open_parcel};
use tokio::sync::mpsc;

use crate::table::cut;
use crate::{Errand, Seen};

impl Errand<'_> {
    /// One sealed parcel as the manifest names it.
    pub(crate) async fn parcel(&self, line: &ManifestParcel) -> Result<Bytes> {
        let client = self.desk.client();
        let bytes = self
            .patiently(|| {
                client.fetch_parcel(self.desk.keeper(), self.migration, self.consignment, (line.attempt, line.parcel))
            })
            .await?;
        self.progress.seen(Seen::Bytes { name: &line.table, bytes: line.bytes });
        Ok(bytes)
    }

    /// S as it was sealed: the bucket sums of every table, which must give the manifest's roots.
    pub(crate) async fn sums(&self, key: &Arc<ConsignmentKey>, manifest: &Manifest) -> Result<Vec<TableFingerprint>> {
        let line = &manifest.sums;
        let name = self.name(line.attempt, line.parcel, &line.table, line.sequence);
        let batches: Vec<RecordBatch> =
            open_parcel(key, &name, self.parcel(line).await?, line.digest)?.collect::<Result<_>>()?;
        let mut sums = TableFingerprint::from_batches(&batches)?;
        let mut ordered = Vec::new();
        for table in &manifest.tables {
            let at = sums.iter().position(|found| found.table == table.target && found.root() == table.root);
            match at {
                Some(at) => ordered.push(sums.swap_remove(at)),
                // A table without rows has no bucket to seal.
                None if table.rows == 0 => {}
                None => {
                    let text = format!(
                        "the sealed bucket sums of table '{}' are not those that the manifest signs",
                        table.name
                    );
                    return Err(Alarm::new(Code(620), text).into());
                }
            }
        }
        Ok(ordered)
    }

    /// The rows of a table's parcels in order, each parcel checked before a row of it goes on; F is made on the way.
    pub(crate) fn rows<'a>(
        &'a self,
        table: &'a TableScope,
        lines: Vec<ManifestParcel>,
        (key, fingerprint): (Arc<ConsignmentKey>, FingerprintKeys),
        done: tokio::sync::oneshot::Sender<TableFingerprint>,
    ) -> BoxStream<'a, Result<RecordBatch>> {
        let (sealed_in, sealed_out) = mpsc::channel::<(ManifestParcel, Bytes)>(1);
        let (rows_in, rows_out) = mpsc::channel::<Result<RecordBatch>>(2);
        let opening = Opening {
            key,
            fingerprint,
            table: table.clone(),
            names: self.name(0, lexicon::ParcelId([0; 16]), &table.name, 0),
        };
        let thread = tokio::task::spawn_blocking(move || opening.run(sealed_out, &rows_in));
        let fetching = async move {
            for line in lines {
                let bytes = self.parcel(&line).await?;
                if sealed_in.send((line, bytes)).await.is_err() {
                    break;
                }
            }
            drop(sealed_in);
            Ok::<_, lexicon::Trouble>(())
        };
        Box::pin(async_rows(fetching, rows_out, thread, done, self, &table.name))
    }
}

/// Interleaves fetching with handing rows on, and ends with the first trouble of either.
fn async_rows<'a>(
    fetching: impl Future<Output = Result<()>> + Send + 'a,
    rows: mpsc::Receiver<Result<RecordBatch>>,
    thread: tokio::task::JoinHandle<Result<TableFingerprint>>,
    done: tokio::sync::oneshot::Sender<TableFingerprint>,
    errand: &'a Errand<'_>,
    name: &'a str,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send + 'a {
    struct Flow<'a> {
        fetching: Option<std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>>,
        rows: mpsc::Receiver<Result<RecordBatch>>,
        thread: Option<tokio::task::JoinHandle<Result<TableFingerprint>>>,
        done: Option<tokio::sync::oneshot::Sender<TableFingerprint>>,
    }
    let flow = Flow { fetching: Some(Box::pin(fetching)), rows, thread: Some(thread), done: Some(done) };
    futures::stream::try_unfold(flow, move |mut flow| async move {
        loop {
            let row = match flow.fetching.as_mut() {
                Some(fetching) => tokio::select! {
                    fetched = fetching => { fetched?; flow.fetching = None; continue; }
                    row = flow.rows.recv() => row,
                },
                None => flow.rows.recv().await,
            };
            if let Some(batch) = row {
                let batch = batch?;
                errand.progress.seen(Seen::Rows { name, rows: u64::try_from(batch.num_rows()).unwrap_or(u64::MAX) });
                return Ok(Some((batch, flow)));
            }
            if let Some(thread) = flow.thread.take() {
                let fingerprint = thread.await.map_err(|_| cut())??;
                if let Some(done) = flow.done.take() {
                    // Nobody waits for it when the load gave up; then its trouble is the one to tell.
                    drop(done.send(fingerprint));
                }
            }
            return Ok(None);
        }
    })
}

struct Opening {
    key: Arc<ConsignmentKey>,
    fingerprint: FingerprintKeys,
    table: TableScope,
    names: seal::ParcelName,
}

impl Opening {
    fn run(
        self,
        mut sealed: mpsc::Receiver<(ManifestParcel, Bytes)>,
        rows: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<TableFingerprint> {
        let mut fingerprint = Fingerprinter::new(&self.fingerprint, &self.table);
        while let Some((line, bytes)) = sealed.blocking_recv() {
            let name = seal::ParcelName {
                attempt: line.attempt,
                parcel: line.parcel,
                sequence: line.sequence,
                ..self.names.clone()
            };
            let opened = open_parcel(&self.key, &name, bytes, line.digest).and_then(|batches| {
                for batch in batches {
                    let batch = batch?;
                    fingerprint.add(&batch)?;
                    if rows.blocking_send(Ok(batch)).is_err() {
                        return Err(cut().into());
                    }
                }
                Ok(())
            });
            if let Err(trouble) = opened {
                // The stream tells it; a closed pipe means that nobody listens any more.
                drop(rows.blocking_send(Err(trouble.clone())));
                return Err(trouble);
            }
        }
        Ok(fingerprint.finish())
    }
}
