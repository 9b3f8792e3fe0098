//! What a rehearsal does otherwise: it takes a sample, collects what would be refused, and measures.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use connectors::Snapshot;
use lexicon::{Code, Entropy, Refusal, Result, Trouble};
use procedure::{Consignment, HalfSealed, Kind};
use scope::{Sample, Sampling, Scope, ScopedBatch, TableScope};
use seal::{ConsignmentKey, ParcelName, ParcelWriter};

use crate::locate::SHOW_KEYS;

/// Which sample a consignment takes; none when it takes everything.
pub(crate) fn sample(consignment: &Consignment) -> Option<Sample> {
    let Consignment { seed, basis_points, strongroom_share, .. } = *consignment;
    (consignment.kind == Kind::Rehearsal).then_some(Sample { seed, drawn: strongroom_share, basis_points })
}

/// Draws the sample of one moment.
pub(crate) async fn draw(
    snapshot: &dyn Snapshot,
    scope: &Scope,
    sample: Option<Sample>,
    counts: &BTreeMap<String, (u64, u64)>,
) -> Result<Option<Sampling>> {
    let Some(sample) = sample else { return Ok(None) };
    let rows = counts.iter().map(|(table, (_, in_scope))| (table.clone(), *in_scope)).collect();
    snapshot.sampling(scope, Sampling::new(scope, sample, rows)).await.map(Some)
}

/// What was refused so far. A rehearsal goes on and tells it all together, anything else stops at the first.
pub(crate) struct Refusals {
    rehearses: bool,
    kept: lexicon::Refusals,
}

impl Refusals {
    pub(crate) fn new(rehearses: bool) -> Self {
        Self { rehearses, kept: lexicon::Refusals::default() }
    }

    /// The value; or nothing, if it was refused and the rehearsal goes on.
    pub(crate) fn keep<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        if self.rehearses { self.kept.keep(outcome) } else { outcome.map(Some) }
    }

    /// Once a table is read: its refusals batch by batch become the one that adds them up.
    pub(crate) fn table_read(mut self, added_up: Option<Trouble>) -> Result<()> {
        if self.kept.forget(scope::WITHOUT_IMAGE)
            && let Some(trouble) = added_up
        {
            self.keep::<()>(Err(trouble))?;
        }
        self.verdict()
    }

    /// # Errors
    /// The one refusal, or one that tells of them all.
    pub(crate) fn verdict(self) -> Result<()> {
        self.kept.verdict(|several| {
            let told: Vec<String> = several.iter().map(Refusal::to_string).collect();
            let message = format!("the rehearsal met {} refusals: {}", told.len(), told.join("; "));
            let mut remedy =
                "Mend each of them; a foreign key to a table that was refused itself is broken by that alone."
                    .to_owned();
            if several.iter().any(|refusal| refusal.remedy.contains(SHOW_KEYS)) {
                remedy.push(' ');
                remedy.push_str(SHOW_KEYS);
            }
            Refusal::new(Code(640), message, remedy)
        })
    }
}

/// What the sealing of one table took.
#[derive(Default)]
pub(crate) struct Worked {
    pub busy: Duration,
    pub half: Option<HalfSealed>,
}

impl Worked {
    /// Counts the time of one piece of work.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.busy = self.busy.saturating_add(began.elapsed());
        done
    }
}

/// Every second row of a table's only parcel, about, sealed a second time: what it weighs and takes tells what rows weigh
/// and take, and what the parcel does without any. It leaves nothing behind.
pub(crate) struct Half {
    writer: ParcelWriter,
    /// Rows of the whole.
    whole: u64,
    /// Rows in here.
    rows: u64,
    busy: Duration,
}

impl Half {
    pub(crate) fn new(
        key: &ConsignmentKey,
        entropy: &dyn Entropy,
        (name, table): (ParcelName, &TableScope),
        threads: NonZeroUsize,
    ) -> Result<Self> {
        let writer = ParcelWriter::new(key, entropy, name, table.target_schema())?.on(threads);
        Ok(Self { writer, whole: 0, rows: 0, busy: Duration::ZERO })
    }

    pub(crate) fn take(&mut self, batch: &ScopedBatch) -> Result<()> {
        self.whole = self.whole.saturating_add(u64::try_from(batch.rows()).unwrap_or(u64::MAX));
        let wanted = (self.whole / 2).saturating_sub(self.rows);
        if wanted == 0 {
            return Ok(());
        }
        let first = batch.first(usize::try_from(wanted).unwrap_or(usize::MAX));
        self.rows = self.rows.saturating_add(u64::try_from(first.rows()).unwrap_or(u64::MAX));
        let began = Instant::now();
        self.writer.write(&first)?;
        self.busy = self.busy.saturating_add(began.elapsed());
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<HalfSealed> {
        let began = Instant::now();
        let sealed = self.writer.finish()?;
        let sealing_us = microseconds(self.busy.saturating_add(began.elapsed()));
        Ok(HalfSealed { rows: self.rows, bytes: u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX), sealing_us })
    }
}

/// Whole microseconds.
pub(crate) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
