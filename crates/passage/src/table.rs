//! One table on its way out: rows arrive, are sealed on threads of their own, parcels leave.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lexicon::{Code, Entropy, Fault, ParcelId, Result, Retry};
use procedure::ManifestParcel;
use scope::{ScopedBatch, TableScope};
use seal::{ConsignmentKey, ParcelName, ParcelWriter, Sealed};
use tokio::sync::mpsc;

use crate::rehearsal::{Half, Worked};

/// What the sealing thread needs; nothing in it is shared with another table.
pub(crate) struct Sealing {
    pub key: Arc<ConsignmentKey>,
    pub entropy: Arc<dyn Entropy>,
    pub table: TableScope,
    /// The name of the table's first parcel; each further one draws its own id and counts on.
    pub name: ParcelName,
    /// Whether half of it is sealed a second time, to be weighed.
    pub rehearses: bool,
    /// On how many threads its columns are worked on.
    pub threads: NonZeroUsize,
}

/// A parcel that is ready to leave.
pub(crate) struct Ready {
    pub line: ManifestParcel,
    pub sealed: Sealed,
}

impl Sealing {
    /// Runs until `rows` ends; blocking, on a thread of its own.
    pub(crate) fn run(
        mut self,
        mut rows: mpsc::Receiver<ScopedBatch>,
        parcels: &mpsc::Sender<Ready>,
    ) -> Result<Worked> {
        let schema = self.table.target_schema();
        let (mut worked, mut half) = (Worked::default(), self.half()?);
        let mut writer: Option<(ParcelWriter, mpsc::Permit<'_, Ready>)> = None;
        while let Some(batch) = rows.blocking_recv() {
            if batch.rows() == 0 {
                continue;
            }
            if let Some((open, place)) = writer.take_if(|(open, _)| !open.has_room(&batch)) {
                self.leave(open, place, &mut worked)?;
                half = None;
            }
            if let Some(half) = &mut half {
                half.take(&batch)?;
            }
            let (mut open, place) = if let Some(open) = writer.take() {
                open
            } else {
                // A place first, then the parcel: one is filled while another leaves, and there is no third.
                let place = futures::executor::block_on(parcels.reserve()).map_err(|_| cut())?;
                self.name.parcel = ParcelId::draw(self.entropy.as_ref())?;
                let open = ParcelWriter::new(&self.key, self.entropy.as_ref(), self.name.clone(), schema.clone())?;
                (open.on(self.threads), place)
            };
            worked.time(|| open.write(&batch))?;
            if open.is_full() {
                self.leave(open, place, &mut worked)?;
                half = None;
            } else {
                writer = Some((open, place));
            }
        }
        if let Some((open, place)) = writer {
            self.leave(open, place, &mut worked)?;
        }
        worked.half = half.map(Half::finish).transpose()?;
        Ok(worked)
    }

    fn half(&self) -> Result<Option<Half>> {
        let half = || Half::new(&self.key, self.entropy.as_ref(), (self.name.clone(), &self.table), self.threads);
        self.rehearses.then(half).transpose()
    }

    fn leave(&mut self, writer: ParcelWriter, place: mpsc::Permit<'_, Ready>, worked: &mut Worked) -> Result<()> {
        let sealed = worked.time(|| writer.finish())?;
        let line = line(&self.name, &sealed);
        self.name.sequence = self.name.sequence.saturating_add(1);
        place.send(Ready { line, sealed });
        Ok(())
    }
}

/// The manifest's line for a sealed parcel.
pub(crate) fn line(name: &ParcelName, sealed: &Sealed) -> ManifestParcel {
    ManifestParcel {
        parcel: name.parcel,
        attempt: name.attempt,
        table: name.table.clone(),
        sequence: name.sequence,
        bytes: u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX),
        rows: sealed.rows,
        digest: sealed.digest,
    }
}

/// The other end of a pipe between two of our own threads is gone; the trouble that made it go is the one to tell.
pub(crate) fn cut() -> Fault {
    Fault::new(Code(609), Retry::Now, "the passage of a table was cut on this machine")
}
