//! Parcels on their way in: fetched, compared with the manifest, opened on a thread of their own.

use std::pin::pin;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use lexicon::{Alarm, Code, Result, Trouble};
use procedure::ManifestParcel;
use scope::TableScope;
use seal::{ConsignmentKey, ParcelName, open_parcel};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::table::cut;
use crate::{Errand, Seen};

fn lost(line: &ManifestParcel) -> Trouble {
    Alarm::new(
        Code(621),
        format!(
            "the server has lost parcel {} (table {}, number {}), which the manifest names",
            line.parcel, line.table, line.sequence
        ),
    )
    .into()
}

impl Errand<'_> {
    /// One sealed parcel as the manifest names it. That it is gone is no refusal: the server had it when it took the
    /// manifest in.
    pub(crate) async fn parcel(&self, line: &ManifestParcel) -> Result<Bytes> {
        let client = self.desk.client();
        let bytes = self
            .patiently(|| {
                client.fetch_parcel(self.desk.keeper(), self.migration, self.consignment, (line.attempt, line.parcel))
            })
            .await;
        // The vault's word for a parcel that is not there.
        let bytes = bytes.map_err(|trouble| if trouble.code() == Code(713) { lost(line) } else { trouble })?;
        self.progress.seen(Seen::Bytes { name: &line.table, bytes: line.bytes });
        Ok(bytes)
    }

    /// Hands over the rows of a table's parcels in order, each parcel checked before a row of it goes on. While rows are
    /// taken, the next are opened on a thread of their own and the next parcel is fetched.
    pub(crate) async fn pour<'a, T, Taking: Future<Output = Result<T>>>(
        &'a self,
        table: &'a TableScope,
        lines: Vec<ManifestParcel>,
        key: &Arc<ConsignmentKey>,
        take: impl FnOnce(BoxStream<'a, Result<RecordBatch>>) -> Taking,
    ) -> Result<T> {
        let (sealed_in, sealed_out) = mpsc::channel::<Result<Bytes>>(1);
        let (rows_in, rows_out) = mpsc::channel(2);
        let name = self.name(0, lexicon::ParcelId([0; 16]), &table.name, 0);
        let opening = Opening { key: Arc::clone(key), name, lines: lines.clone() };
        let thread = tokio::task::spawn_blocking(move || opening.run(sealed_out, &rows_in));
        let fetching = async {
            for line in &lines {
                // A place first, then the parcel: one is fetched or waits while another is opened, and there is no third.
                let Ok(place) = sealed_in.reserve().await else { break };
                place.send(self.parcel(line).await);
            }
        };
        let mut taking = pin!(take(self.opened(&table.name, rows_out, thread)));
        tokio::select! {
            biased;
            taken = &mut taking => taken,
            () = fetching => taking.await,
        }
    }

    /// What the opening thread sends, and, after that, the trouble that ended it.
    fn opened<'a>(
        &'a self,
        name: &'a str,
        rows: mpsc::Receiver<RecordBatch>,
        thread: JoinHandle<Result<()>>,
    ) -> BoxStream<'a, Result<RecordBatch>> {
        let flow = stream::try_unfold((rows, thread), move |(mut rows, thread)| async move {
            if let Some(batch) = rows.recv().await {
                self.progress.seen(Seen::Rows { name, rows: u64::try_from(batch.num_rows()).unwrap_or(u64::MAX) });
                return Ok(Some((batch, (rows, thread))));
            }
            thread.await.map_err(|_| cut())??;
            Ok(None)
        });
        flow.boxed()
    }
}

struct Opening {
    key: Arc<ConsignmentKey>,
    /// As the first parcel's, but for what each line says of its own.
    name: ParcelName,
    lines: Vec<ManifestParcel>,
}

impl Opening {
    /// Ends well only after the last row of the last line.
    fn run(self, mut sealed: mpsc::Receiver<Result<Bytes>>, rows: &mpsc::Sender<RecordBatch>) -> Result<()> {
        for line in self.lines {
            let bytes = sealed.blocking_recv().ok_or_else(cut)??;
            let (attempt, parcel, sequence) = (line.attempt, line.parcel, line.sequence);
            let name = ParcelName { attempt, parcel, sequence, ..self.name.clone() };
            for batch in open_parcel(&self.key, &name, bytes, line.digest)? {
                rows.blocking_send(batch?).map_err(|_| cut())?;
            }
        }
        Ok(())
    }
}
