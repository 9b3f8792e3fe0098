//! Into the new system: open, fingerprint (F), load, read again (T), compare, report.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connectors::{DocumentTarget, Loaded, Mark, Prepared, Sink, Source};
use desk::Desk;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use lexicon::{Alarm, Code, Refusal, Result, Trouble};
use people::OpeningKey;
use procedure::{
    Act, Arrived, Consignment, Differing, Kind, Ledger, Manifest, ManifestParcel, ManifestTable, Nulls, Reconciliation,
    Step, TableOutcome,
};
use scope::{FingerprintKeys, Marks, TableScope};
use seal::{ConsignmentKey, Share, open_header};
use tokio::sync::Mutex;

use crate::arrive::{Receiving, planned};
use crate::differing::Differences;
use crate::errand::{Papers, known, papers};
use crate::extract::TABLES_AT_ONCE;
use crate::fingerprint::{Fingerprinting, Point, Total};
use crate::locate::{Located, Suspected, naming};
use crate::measured::Beside;
use crate::part::Kept;
use crate::rehearsal::Refusals;
use crate::sums::SumsIn;
use crate::table::cut;
use crate::whole::{closed, whole};
use crate::{Errand, Seen, orphans};

/// How many parcels the probe tries, before the destruction and after it.
const PROBES: usize = 3;

/// What a load or a reconciliation found.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// As it was signed.
    pub reconciliation: Arc<Reconciliation>,
    /// What it says together with the reports before it.
    pub arrived: Arc<Arrived>,
    /// The first keys of each table whose rows differ: for this machine's screen, never signed or sent.
    pub located: Vec<Located>,
    /// The tables that were sealed otherwise than they were read, where nobody can say any more which rows.
    pub suspected: Vec<Suspected>,
    /// What a person should know about the target.
    pub notes: Vec<String>,
    /// Seconds for loading and for reading again.
    pub seconds: (f64, f64),
}

/// Loads a consignment into the target that it names, reads the target again over a new connection, and reports.
///
/// # Errors
/// A refusal when something is not as approved, or the target would not take a row exactly; nothing is left half-done
/// then: each table and its marker are one transaction, and of a document that has not its name nothing stays. An alarm
/// when parcels are not what the manifest signs; what came whole out of those that are stays.
pub async fn load<'a>(errand: &Errand<'_>, into: impl Into<Receiving<'a>>) -> Result<LoadReport> {
    step(errand, (into.into(), None), Step::Load).await
}

/// As [`load`], on a machine that reaches the old system too, as the plan allows one person with both ends: there it is
/// looked up which rows were sealed otherwise than they were read, while the old system still has them.
///
/// # Errors
/// As [`load`], and a fault of the old system, which is read in that case only.
pub async fn load_beside<'a>(
    errand: &Errand<'_>,
    into: impl Into<Receiving<'a>>,
    source: &'a dyn Source,
) -> Result<LoadReport> {
    step(errand, (into.into(), Some(source)), Step::Load).await
}

/// Reads the target of a loaded consignment again and reports anew.
///
/// # Errors
/// As [`load`].
pub async fn reconcile<'a>(errand: &Errand<'_>, into: impl Into<Receiving<'a>>) -> Result<LoadReport> {
    step(errand, (into.into(), None), Step::Reconcile).await
}

type Systems<'a> = (Receiving<'a>, Option<&'a dyn Source>);

async fn step(errand: &Errand<'_>, (into, source): Systems<'_>, step: Step) -> Result<LoadReport> {
    let sink = into.sink;
    let _alone = errand.desk.home().alone(errand.round())?;
    let ledger = errand.desk.follow(errand.migration).await?;
    let papers = papers(errand.desk, errand.migration, &ledger).await?;
    let consignment = known(ledger.migration(), errand.consignment)?;
    if sink.identity() != consignment.target {
        let text = format!("this consignment is for {}, this system is {}", consignment.target, sink.identity());
        return Err(Refusal::new(Code(630), text, "Load the target that the consignment names.").into());
    }
    let documents = planned(&papers, consignment.kind, into.documents)?;
    let manifest = Arc::clone(closed(consignment)?);
    whole(&papers, consignment, &manifest)?;
    let (laboratory, handed_over) = laboratory_share(errand, &ledger, &manifest).await?;
    let (begun, ledger, strongroom) = errand.begin(step).await?;
    let key = Errand::key(&laboratory, &strongroom, known(ledger.migration(), errand.consignment)?)?;
    drop((laboratory, strongroom));
    errand
        .within(begun, async {
            let (papers, manifest, attempt) = (&papers, &manifest, begun.attempt);
            let mut parcels: HashMap<&str, Vec<&ManifestParcel>> = HashMap::new();
            for line in &manifest.parcels {
                parcels.entry(&line.table).or_default().push(line);
            }
            let locating = Mutex::default();
            let passing = Passing {
                errand,
                sink,
                source,
                documents,
                papers,
                manifest,
                key,
                attempt,
                handed_over,
                parcels,
                locating,
            };
            let mut report = passing.run(known(ledger.migration(), errand.consignment)?, step).await?;
            let outcome = Arc::clone(&report.reconciliation);
            let mut build = |_: &procedure::Migration| {
                Ok(Act::Done { consignment: errand.consignment, step, attempt, outcome: Arc::clone(&outcome) })
            };
            let (_, ledger) = errand.desk.act(errand.migration, &mut build, &[]).await?;
            let outcome = known(ledger.migration(), errand.consignment)?.outcome.as_ref();
            report.arrived = outcome.map(|outcome| Arc::clone(&outcome.arrived)).unwrap_or_default();
            Ok(report)
        })
        .await
}

/// The laboratory share that was handed over to this device's opening key.
async fn laboratory_share(errand: &Errand<'_>, ledger: &Ledger, manifest: &Manifest) -> Result<(Share, Vec<u8>)> {
    let key = errand.desk.home().opening_key(errand.round(), errand.passphrase)?.ok_or_else(|| {
        Refusal::new(
            Code(632),
            "this machine holds no opening key of the consignment",
            "Offer one with `lazaret consignment offer`.",
        )
    })?;
    let (share, sealed) = handed_over(errand.desk, ledger, errand, &key).await?;
    if share.digest() != manifest.laboratory_share {
        return Err(
            Alarm::new(Code(633), "the share that was handed over is not the one that the manifest names").into()
        );
    }
    Ok((share, sealed))
}

async fn handed_over(desk: &Desk, ledger: &Ledger, errand: &Errand<'_>, key: &OpeningKey) -> Result<(Share, Vec<u8>)> {
    let consignment = known(ledger.migration(), errand.consignment)?;
    let digest = consignment.released.as_ref().and_then(|released| released.share).ok_or_else(|| {
        Refusal::new(
            Code(634),
            "the laboratory share was not handed over yet",
            "Ask the laboratory's operator; see `lazaret next`.",
        )
    })?;
    let sealed = desk.client().document(desk.keeper(), errand.migration, digest).await?;
    if lexicon::Digest::of(&sealed) != digest {
        return Err(Alarm::new(Code(635), "the server gave another document than the hand-over names").into());
    }
    Ok((Share::take(&key.open(&sealed)?)?, sealed.to_vec()))
}

/// Where fetched rows go.
#[derive(Clone, Copy)]
enum Way {
    /// They are only compared.
    Nowhere,
    /// Into the target, which says no by itself ([`Sink::load_straight`]).
    Straight,
    /// Into the target after what it would refuse was counted ([`Sink::load`]).
    Counted,
}

/// F of one table.
pub(crate) struct Fetched {
    total: Total,
    /// If its rows went into the target meanwhile: what of the time was not for them.
    pub(crate) aside: Option<Duration>,
    pub(crate) took: Duration,
}

/// T of one table, and how it compares.
pub(crate) struct Compared {
    outcome: TableOutcome,
    differences: Differences,
    /// For reading it.
    pub(crate) took: Duration,
}

/// What of a load's time was not for its rows; none when they were there before.
fn newly(loaded: Loaded) -> Option<Duration> {
    (!loaded.already).then_some(loaded.aside)
}

pub(crate) struct Passing<'a> {
    pub(crate) errand: &'a Errand<'a>,
    pub(crate) sink: &'a dyn Sink,
    /// The old system, where this machine may ask it.
    pub(crate) source: Option<&'a dyn Source>,
    /// Where documents go, where there are any.
    pub(crate) documents: Option<&'a DocumentTarget>,
    pub(crate) papers: &'a Papers,
    pub(crate) manifest: &'a Manifest,
    pub(crate) key: Arc<ConsignmentKey>,
    pub(crate) attempt: u32,
    /// The laboratory share as it came: sealed to this machine's opening key.
    handed_over: Vec<u8>,
    /// The manifest's parcels of rows, by table.
    parcels: HashMap<&'a str, Vec<&'a ManifestParcel>>,
    /// Of one table at a time: what is held to compare it is bounded once.
    pub(crate) locating: Mutex<()>,
}

impl Passing<'_> {
    async fn run(&self, consignment: &Consignment, step: Step) -> Result<LoadReport> {
        self.clear_folders(step);
        // Before all that can fail: a device that began has both shares, and owes a probe however its load ends.
        let opened = self.probe().await?;
        let sums = SumsIn::check(self.errand, &self.key, self.manifest).await?;
        let prepared = self.prepared(consignment.kind).await?;
        let folders = self.folders(step)?;
        let rehearses = consignment.kind == Kind::Rehearsal;
        let before = self.sizes(rehearses && step == Step::Load).await;
        let unread = self.read_empty(&prepared, rehearses && step == Step::Load).await?;
        let started = Instant::now();
        let fetched = self.fetch_all(step, &prepared, rehearses).await?;
        let arrived = self.documents_in(folders).await?;
        let loading = started.elapsed().as_secs_f64();
        let started = Instant::now();
        // Not before the last load: a trigger of one table may have changed another.
        let again: BTreeMap<usize, Compared> = futures::stream::iter(self.manifest.tables.iter().enumerate())
            .map(|(at, line)| self.read_again(line, &fetched, &sums).map_ok(move |compared| (at, compared)))
            .buffer_unordered(TABLES_AT_ONCE)
            .try_collect()
            .await?;
        let (documents, of_documents) = self.documents_compared(&sums, &arrived).await?;
        let orphans = orphans::in_target(self.sink, &self.papers.scope, &self.manifest.orphans).await?;
        let seconds = (loading, started.elapsed().as_secs_f64());
        let after = self.sizes(rehearses && step == Step::Load).await;
        let beside = Beside { before, after, unread };
        let measured =
            if rehearses { self.measured((&prepared, beside), &fetched, again.values()) } else { Vec::new() };
        let (tables, of_tables): (Vec<_>, Vec<_>) =
            again.into_values().map(|compared| (compared.outcome, compared.differences)).unzip();
        let (located, suspected): (Vec<_>, Vec<_>) = of_tables
            .into_iter()
            .chain(of_documents)
            .map(|found: Differences| (found.located, found.suspected))
            .unzip();
        let (target, schema) = (self.sink.identity(), prepared.schema);
        let reconciliation = Reconciliation { target, schema, tables, documents, orphans, opened, measured };
        Ok(LoadReport {
            reconciliation: Arc::new(reconciliation),
            arrived: Arc::default(),
            located: located.into_iter().flatten().collect(),
            suspected: suspected.into_iter().flatten().collect(),
            notes: prepared.notes,
            seconds,
        })
    }

    /// The target as it is before any row, when it is the one that was approved.
    async fn prepared(&self, kind: Kind) -> Result<Prepared> {
        let prepared = self.sink.prepare(&self.papers.scope).await?;
        match self.papers.plan.target(kind) {
            Some(approved) if approved.schema != prepared.schema => {
                Err(changed(&approved.declared, &prepared.declared))
            }
            _ => Ok(prepared),
        }
    }

    /// One table, or one index of documents, at its three points, and the first keys that differ; `again` reads the
    /// target once more.
    pub(crate) async fn compared<'t>(
        &self,
        line: &ManifestTable,
        table: &TableScope,
        sums: &SumsIn<'_>,
        (f, t): (&Total, Point),
        again: impl Fn() -> BoxStream<'t, Result<RecordBatch>>,
    ) -> Result<(TableOutcome, Differences)> {
        let nulls = line.nulls.as_ref().map(|sealed| nulls(sealed, &f.nulls, &t.nulls));
        let (t, target_root) = (&t.fingerprint, t.fingerprint.root());
        let (mut differing, mut differences) = (Some(Differing::Exactly(0)), Differences::default());
        if target_root != f.root {
            (differing, differences.located) = self.locate(table, t, again()).await?;
        }
        if line.root != f.root && !table.key.is_empty() {
            self.unsealed(line, table, sums, &mut differences).await?;
        }
        self.show(table, &differences.located, again).await?;
        let outcome = TableOutcome {
            name: table.name.clone(),
            target: table.target.clone(),
            rows_target: t.rows,
            sealed: line.root,
            fetched: f.root,
            target_root,
            differing,
            nulls,
        };
        Ok((outcome, differences))
    }

    /// F of every table; with a load, its rows are in the target then. The first trouble ends the other tables of the
    /// wave, each with all of its rows and its marker or with none. A rehearsal goes on after a refusal, and tells all.
    async fn fetch_all<'p>(
        &self,
        step: Step,
        prepared: &'p Prepared,
        rehearses: bool,
    ) -> Result<BTreeMap<&'p str, Fetched>> {
        let at_once = if step == Step::Load { prepared.at_once } else { TABLES_AT_ONCE };
        let (mut fetched, mut refused) = (BTreeMap::new(), Refusals::new(rehearses));
        for wave in &prepared.waves {
            let mut passing = futures::stream::iter(wave)
                .map(|name| self.fetch(name, step, prepared))
                .buffer_unordered(at_once.max(1));
            while let Some(outcome) = passing.next().await {
                fetched.extend(refused.keep(outcome)?);
            }
        }
        refused.verdict()?;
        Ok(fetched)
    }

    pub(crate) fn table(&self, name: &str) -> Result<&TableScope> {
        self.papers.scope.table(name).ok_or_else(|| {
            Alarm::new(Code(637), format!("the manifest speaks of a table '{name}' that the scope does not have"))
                .into()
        })
    }

    pub(crate) fn lines(&self, table: &TableScope) -> Vec<ManifestParcel> {
        self.parcels.get(table.name.as_str()).into_iter().flatten().copied().cloned().collect()
    }

    pub(crate) fn keys(&self) -> Result<FingerprintKeys> {
        self.key.fingerprint_keys(self.errand.consignment)
    }

    fn expected(&self, table: &TableScope) -> u64 {
        let parcels = self.parcels.get(table.name.as_str()).into_iter().flatten();
        parcels.map(|line| line.rows).fold(0, u64::saturating_add)
    }

    /// F of one table, on its way into the target if this is a load.
    async fn fetch<'n>(&self, name: &'n str, step: Step, prepared: &Prepared) -> Result<(&'n str, Fetched)> {
        let fetched = match step {
            Step::Load if prepared.straight.contains(name) => match self.fetch_by(name, Way::Straight).await? {
                None => self.fetch_by(name, Way::Counted).await?,
                loaded => loaded,
            },
            Step::Load => self.fetch_by(name, Way::Counted).await?,
            Step::Extract | Step::Reconcile => self.fetch_by(name, Way::Nowhere).await?,
        };
        self.errand.progress.seen(Seen::Through { name });
        Ok((name, fetched.ok_or_else(cut)?))
    }

    /// None if the target refused a row straight away.
    async fn fetch_by(&self, name: &str, way: Way) -> Result<Option<Fetched>> {
        let began = Instant::now();
        let table = self.table(name)?;
        self.errand.progress.seen(Seen::Table { name, rows: self.expected(table) });
        let keys = &self.errand.names(&self.key)?;
        let fingerprinting = Fingerprinting::start(&keys.secret, table);
        let counted = &fingerprinting;
        let poured = self.errand.pour(table, self.lines(table), &self.key, |rows| async move {
            let mut rows = rows.and_then(|batch| async move { counted.add(&batch).await.map(|()| batch) }).boxed();
            let (scope, mark) =
                (&self.papers.scope, Mark { consignment: self.errand.consignment, attempt: self.attempt });
            let taken = match way {
                Way::Nowhere => Some(None),
                Way::Straight => self.sink.load_straight(scope, name, mark, rows.by_ref().boxed()).await?.map(newly),
                Way::Counted => {
                    let loaded = self.sink.load(scope, name, mark, rows.by_ref().boxed()).await;
                    let loaded = loaded.map_err(|trouble| naming(trouble, keys, table, &self.sink.at_fault(name)))?;
                    Some(newly(loaded))
                }
            };
            // Of a table that an earlier attempt loaded the target reads little or nothing, and F is owed all the same.
            while taken.is_some() && rows.try_next().await?.is_some() {}
            Ok(taken)
        });
        let poured = poured.await;
        let point = fingerprinting.finish().await?;
        Ok(poured?.map(|aside| Fetched { total: point.total(), aside, took: began.elapsed() }))
    }

    /// T: over a new connection, after commit.
    async fn read_again(
        &self,
        line: &ManifestTable,
        fetched: &BTreeMap<&str, Fetched>,
        sums: &SumsIn<'_>,
    ) -> Result<Compared> {
        let (began, table) = (Instant::now(), self.table(&line.name)?);
        let rows = || self.sink.read_back(&self.papers.scope, &line.name);
        let point = Fingerprinting::start(&self.keys()?, table).over(rows()).await?;
        let took = began.elapsed();
        let f = &fetched.get(line.name.as_str()).ok_or_else(cut)?.total;
        let (outcome, differences) = self.compared(line, table, sums, (f, point), rows).await?;
        Ok(Compared { outcome, differences, took })
    }

    /// The probe before destruction: three parcels, one of rows and one of documents among them where there are any, open
    /// with what this machine has now. They are kept, sealed, to be tried again when the strongroom share is destroyed.
    async fn probe(&self) -> Result<bool> {
        let (mut kept, mut sealed, mut opened) = (Vec::new(), Vec::new(), true);
        for line in probes(self.manifest) {
            let name = self.errand.name(line.attempt, line.parcel, &line.table, line.sequence);
            let bytes = self.errand.parcel(line).await?;
            opened &= open_header(&self.key, &name, &bytes, line.digest).is_ok();
            kept.push((name, line.digest, bytes.len()));
            sealed.extend_from_slice(&bytes);
        }
        let kept: Kept = (kept, STANDARD.encode(&self.handed_over));
        self.errand.desk.home().keep_probe(self.errand.round(), &kept, &sealed)?;
        Ok(opened)
    }
}

/// What of the target changed, by the names of tables and columns, where the plan has marks of them.
fn changed(approved: &Marks, now: &Marks) -> Trouble {
    let names = scope::marked_otherwise(approved, now).join("; ");
    let names = if names.is_empty() { names } else { format!(": {names}") };
    Refusal::new(
        Code(636),
        format!("the tables or columns of the new system changed since the plan was approved{names}"),
        "Put the target back as it was, or have an amended plan approved.",
    )
    .into()
}

/// The parcels of the probe, drawn by their digests, which nobody chooses.
fn probes(manifest: &Manifest) -> Vec<&ManifestParcel> {
    let documents = manifest.documents.iter().flat_map(|part| &part.parcels).map(|line| (line, true));
    let rows = manifest.parcels.iter().chain(manifest.all_sums()).map(|line| (line, false));
    let mut drawn: Vec<(&ManifestParcel, bool)> = documents.chain(rows).collect();
    drawn.sort_by_key(|(line, _)| line.digest);
    let first = |of: bool| drawn.iter().find(|(_, documents)| *documents == of).map(|(line, _)| *line);
    let mut chosen: Vec<&ManifestParcel> = first(false).into_iter().chain(first(true)).collect();
    let rest: Vec<_> = drawn.iter().map(|(line, _)| *line).filter(|line| !chosen.contains(line)).collect();
    chosen.extend(rest);
    chosen.truncate(PROBES);
    chosen
}

/// Nulls of a table's columns at the three points.
fn nulls(
    sealed: &BTreeMap<String, u64>,
    fetched: &BTreeMap<String, u64>,
    target: &BTreeMap<String, u64>,
) -> BTreeMap<String, Nulls> {
    let of = |point: &BTreeMap<String, u64>, column: &str| point.get(column).copied().unwrap_or(0);
    let columns = sealed.keys().chain(fetched.keys()).chain(target.keys());
    let nulls = columns.map(|column| {
        let (sealed, fetched, target) = (of(sealed, column), of(fetched, column), of(target, column));
        (column.clone(), Nulls { sealed, fetched, target })
    });
    nulls.collect()
}

#[cfg(test)]
mod tests;
