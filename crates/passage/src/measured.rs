//! What a rehearsal's load measures of each table.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use connectors::Prepared;
use lexicon::Result;
use procedure::{LoadMeasure, LoadingMeasure, ManifestTable};

use crate::fingerprint::Fingerprinting;
use crate::load::{Compared, Fetched, Passing};
use crate::rehearsal::microseconds;

/// What was looked at beside the rows, each by table.
#[derive(Default)]
pub(crate) struct Beside<'a> {
    /// Bytes that the target's tables took before the load, and after it.
    pub before: BTreeMap<String, u64>,
    pub after: BTreeMap<String, u64>,
    /// For reading the tables that were empty before.
    pub unread: BTreeMap<&'a str, Duration>,
}

impl Passing<'_> {
    /// One line for each table that passed.
    pub(crate) fn measured<'t>(
        &self,
        (prepared, beside): (&Prepared, Beside<'_>),
        fetched: &BTreeMap<&str, Fetched>,
        again: impl Iterator<Item = &'t Compared>,
    ) -> Vec<LoadMeasure> {
        let measure = |(line, compared): (&ManifestTable, &Compared)| {
            let f = fetched.get(line.name.as_str())?;
            let was_empty = prepared.counts.get(&line.name).is_none_or(|rows| *rows == 0);
            let base = beside.before.get(&line.name).copied().filter(|_| was_empty).unwrap_or(0);
            Some(LoadMeasure {
                name: line.name.clone(),
                loading: f.aside.map(|aside| loading(prepared, line, (f.took, aside))),
                comparing_us: microseconds(compared.took),
                comparing_aside_us: beside.unread.get(line.name.as_str()).copied().map(microseconds),
                target_bytes: beside.after.get(&line.name).map(|bytes| bytes.saturating_sub(base)),
            })
        };
        self.manifest.tables.iter().zip(again).filter_map(measure).collect()
    }

    /// How long it takes to read tables that have no row yet, one after the other.
    pub(crate) async fn read_empty(&self, prepared: &Prepared, wanted: bool) -> Result<BTreeMap<&str, Duration>> {
        let mut took = BTreeMap::new();
        let empty = |line: &&ManifestTable| prepared.counts.get(&line.name).is_some_and(|rows| *rows == 0);
        for line in self.manifest.tables.iter().filter(|_| wanted).filter(empty) {
            let began = Instant::now();
            let rows = self.sink.read_back(&self.papers.scope, &line.name);
            Fingerprinting::start(&self.keys()?, self.table(&line.name)?).over(rows).await?;
            took.insert(line.name.as_str(), began.elapsed());
        }
        Ok(took)
    }

    /// What the target's tables take, as far as it tells: a size that cannot be had is no reason to stop.
    pub(crate) async fn sizes(&self, wanted: bool) -> BTreeMap<String, u64> {
        if wanted { self.sink.sizes(&self.papers.scope).await.unwrap_or_default() } else { BTreeMap::new() }
    }
}

/// What the load of one table took.
fn loading(prepared: &Prepared, line: &ManifestTable, (took, aside): (Duration, Duration)) -> LoadingMeasure {
    let wave = prepared.waves.iter().position(|wave| wave.contains(&line.name)).unwrap_or_default();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    LoadingMeasure {
        wave: number(wave),
        at_once: number(prepared.at_once),
        rows_us: microseconds(took.saturating_sub(aside)),
        aside_us: microseconds(aside.min(took)),
    }
}
