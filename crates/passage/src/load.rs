//! Into the new system: open, fingerprint (F), load, read again (T), compare, report.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connectors::{Mark, Prepared, Sink};
use desk::Desk;
use futures::{StreamExt, TryStreamExt};
use lexicon::{Alarm, Code, Refusal, Result};
use people::OpeningKey;
use procedure::{Act, Consignment, Differing, Ledger, Manifest, ManifestParcel, Reconciliation, Step, TableOutcome};
use scope::{FingerprintKeys, TableFingerprint, TableScope, row_digests};
use seal::{ConsignmentKey, Share, open_header};

use crate::errand::{Papers, known, papers};
use crate::extract::TABLES_AT_ONCE;
use crate::fingerprint::Fingerprinting;
use crate::locate::{Comparison, Located, ROWS_COMPARED_MAX, naming};
use crate::table::cut;
use crate::{Errand, Seen};

/// What a load or a reconciliation found.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// As it was signed.
    pub reconciliation: Reconciliation,
    /// The first keys of each table whose rows differ: for this machine's screen, never signed or sent.
    pub located: Vec<Located>,
    /// What a person should know about the target.
    pub notes: Vec<String>,
    /// Seconds for loading and for reading again.
    pub seconds: (f64, f64),
}

/// Loads a consignment into the target that it names, reads the target again over a new connection, and reports.
///
/// # Errors
/// A refusal when something is not as approved, or the target would not take a row exactly; nothing is left half-done
/// then: each table and its marker are one transaction. An alarm when parcels are not what the manifest signs.
pub async fn load(errand: &Errand<'_>, sink: &dyn Sink) -> Result<LoadReport> {
    step(errand, sink, Step::Load).await
}

/// Reads the target of a loaded consignment again and reports anew.
///
/// # Errors
/// As [`load`].
pub async fn reconcile(errand: &Errand<'_>, sink: &dyn Sink) -> Result<LoadReport> {
    step(errand, sink, Step::Reconcile).await
}

async fn step(errand: &Errand<'_>, sink: &dyn Sink, step: Step) -> Result<LoadReport> {
    let _alone = errand.desk.home().alone(errand.round())?;
    let ledger = errand.desk.follow(errand.migration).await?;
    let papers = papers(errand.desk, errand.migration, &ledger).await?;
    let consignment = known(&ledger, errand.consignment)?;
    if sink.identity() != consignment.target {
        let text = format!("this consignment is for {}, this system is {}", consignment.target, sink.identity());
        return Err(Refusal::new(Code(630), text, "Load the target that the consignment names.").into());
    }
    let (_, manifest) = consignment.manifest.clone().ok_or_else(|| {
        Refusal::new(Code(631), "the consignment is not closed", "Wait for the extraction; see `lazaret next`.")
    })?;
    let (laboratory, handed_over) = laboratory_share(errand, &ledger, &manifest).await?;
    let (attempt, ledger, strongroom) = errand.begin(step).await?;
    let key = Errand::key(&laboratory, &strongroom, known(&ledger, errand.consignment)?)?;
    drop((laboratory, strongroom));
    errand
        .within(step, attempt, async {
            let passing = Passing { errand, sink, papers: &papers, manifest: &manifest, key, attempt, handed_over };
            let report = passing.run(known(&ledger, errand.consignment)?, step).await?;
            let outcome = report.reconciliation.clone();
            let mut build = |_: &procedure::Migration| {
                Ok(Act::Done { consignment: errand.consignment, step, attempt, outcome: Box::new(outcome.clone()) })
            };
            errand.desk.act(errand.migration, &mut build, &[]).await?;
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
    let consignment = known(ledger, errand.consignment)?;
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

struct Passing<'a> {
    errand: &'a Errand<'a>,
    sink: &'a dyn Sink,
    papers: &'a Papers,
    manifest: &'a Manifest,
    key: Arc<ConsignmentKey>,
    attempt: u32,
    /// The laboratory share as it came: sealed to this machine's opening key.
    handed_over: Vec<u8>,
}

impl Passing<'_> {
    async fn run(&self, consignment: &Consignment, step: Step) -> Result<LoadReport> {
        // First of all: a device that began has both shares, and owes a probe however its load ends.
        let opened = self.probe().await?;
        let sums = self.errand.sums(&self.key, self.manifest).await?;
        let prepared = self.sink.prepare(&self.papers.scope).await?;
        let approved = self.papers.plan.target(consignment.kind).map(|target| target.schema);
        if approved.is_some_and(|approved| approved != prepared.schema) {
            return Err(Refusal::new(
                Code(636),
                "the tables or columns of the new system changed since the plan was approved",
                "Put the target back as it was, or have an amended plan approved.",
            )
            .into());
        }
        let started = std::time::Instant::now();
        let fetched = self.fetch_all(step, &prepared).await?;
        let loading = started.elapsed().as_secs_f64();
        let started = std::time::Instant::now();
        // Not before the last load: a trigger of one table may have changed another.
        let again: BTreeMap<&str, TableFingerprint> = futures::stream::iter(&self.manifest.tables)
            .map(|line| self.read_again(&line.name))
            .buffer_unordered(TABLES_AT_ONCE)
            .try_collect()
            .await?;
        let (mut tables, mut located) = (Vec::new(), Vec::new());
        for line in &self.manifest.tables {
            let table = self.table(&line.name)?;
            let (f, t) = fetched.get(line.name.as_str()).zip(again.get(line.name.as_str())).ok_or_else(cut)?;
            let sealed = sums.iter().find(|sum| sum.table == line.target);
            let (differing, keys) = if f.root() == t.root() {
                (Some(Differing::Exactly(0)), Vec::new())
            } else {
                self.locate(table, f, t).await?
            };
            located.extend(keys);
            tables.push(TableOutcome {
                name: table.name.clone(),
                target: table.target.clone(),
                rows_target: t.rows,
                sealed: sealed.map_or(line.root, TableFingerprint::root),
                fetched: f.root(),
                target_root: t.root(),
                differing,
            });
        }
        let reconciliation = Reconciliation { target: self.sink.identity(), schema: prepared.schema, tables, opened };
        let seconds = (loading, started.elapsed().as_secs_f64());
        Ok(LoadReport { reconciliation, located, notes: prepared.notes, seconds })
    }

    /// F of every table; with a load, its rows are in the target then. The first trouble ends the other tables of the
    /// wave, each with all of its rows and its marker or with none.
    async fn fetch_all<'p>(&self, step: Step, prepared: &'p Prepared) -> Result<BTreeMap<&'p str, TableFingerprint>> {
        let at_once = if step == Step::Load { prepared.at_once } else { TABLES_AT_ONCE };
        let mut fetched = BTreeMap::new();
        for wave in &prepared.waves {
            let mut passing =
                futures::stream::iter(wave).map(|name| self.fetch(name, step)).buffer_unordered(at_once.max(1));
            while let Some((name, fingerprint)) = passing.try_next().await? {
                fetched.insert(name, fingerprint);
            }
        }
        Ok(fetched)
    }

    fn table(&self, name: &str) -> Result<&TableScope> {
        self.papers.scope.table(name).ok_or_else(|| {
            Alarm::new(Code(637), format!("the manifest speaks of a table '{name}' that the scope does not have"))
                .into()
        })
    }

    fn lines(&self, table: &TableScope) -> Vec<ManifestParcel> {
        self.manifest.parcels.iter().filter(|line| line.table == table.name).cloned().collect()
    }

    fn keys(&self) -> Result<FingerprintKeys> {
        self.key.fingerprint_keys(self.errand.consignment)
    }

    fn expected(&self, table: &TableScope) -> u64 {
        self.manifest.tables.iter().find(|line| line.name == table.name).map_or(0, |line| line.rows)
    }

    /// F of one table, on its way into the target if this is a load.
    async fn fetch<'n>(&self, name: &'n str, step: Step) -> Result<(&'n str, TableFingerprint)> {
        let table = self.table(name)?;
        self.errand.progress.seen(Seen::Table { name, rows: self.expected(table) });
        let keys = &self.keys()?;
        let fingerprinting = Fingerprinting::start(keys, table);
        let counted = &fingerprinting;
        let poured = self.errand.pour(table, self.lines(table), &self.key, |rows| async move {
            let mut rows = rows.and_then(|batch| async move { counted.add(&batch).await.map(|()| batch) }).boxed();
            if step == Step::Load {
                let mark = Mark { consignment: self.errand.consignment, attempt: self.attempt };
                let loaded = self.sink.load(&self.papers.scope, name, mark, rows.by_ref().boxed()).await;
                loaded.map_err(|trouble| naming(trouble, keys, table, &self.sink.at_fault(name)))?;
            }
            // Of a table that an earlier attempt loaded the target reads little or nothing, and F is owed all the same.
            while rows.try_next().await?.is_some() {}
            Ok(())
        });
        let poured = poured.await;
        let fingerprint = fingerprinting.finish().await?;
        poured?;
        self.errand.progress.seen(Seen::Through { name });
        Ok((name, fingerprint))
    }

    /// T: over a new connection, after commit.
    async fn read_again<'n>(&self, name: &'n str) -> Result<(&'n str, TableFingerprint)> {
        let fingerprinting = Fingerprinting::start(&self.keys()?, self.table(name)?);
        Ok((name, fingerprinting.over(self.sink.read_back(&self.papers.scope, name)).await?))
    }

    /// How many keys differ between the parcels and the target, and the first of them; the rows of differing buckets are
    /// looked at again on both sides, as many as can be held. None when the table has no key.
    async fn locate(
        &self,
        table: &TableScope,
        fetched: &TableFingerprint,
        again: &TableFingerprint,
    ) -> Result<(Option<Differing>, Vec<Located>)> {
        if table.key.is_empty() {
            return Ok((None, Vec::new()));
        }
        let keys = &self.keys()?;
        let mut comparison = Comparison::of(fetched, again, ROWS_COMPARED_MAX);
        let compared = &mut comparison;
        let taking = self.errand.pour(table, self.lines(table), &self.key, |mut rows| async move {
            while let Some(batch) = rows.try_next().await? {
                compared.fetched(row_digests(keys, table, &batch)?);
            }
            Ok(())
        });
        taking.await?;
        let mut rows = self.sink.read_back(&self.papers.scope, &table.name);
        while let Some(batch) = rows.try_next().await? {
            comparison.target(row_digests(keys, table, &batch)?);
        }
        let (differing, located) = comparison.finish(&table.name);
        Ok((Some(differing), located))
    }

    /// The probe before destruction: the smallest parcel opens with what this machine has now. It is kept, sealed, to be
    /// tried again when the strongroom share is destroyed.
    async fn probe(&self) -> Result<bool> {
        let smallest = self.manifest.parcels.iter().chain([&self.manifest.sums]).min_by_key(|line| line.bytes);
        let Some(line) = smallest else { return Ok(false) };
        let name = self.errand.name(line.attempt, line.parcel, &line.table, line.sequence);
        let bytes = self.errand.parcel(line).await?;
        let opened = open_header(&self.key, &name, &bytes, line.digest).is_ok();
        self.errand.desk.home().keep_probe(
            self.errand.round(),
            &(name, line.digest, STANDARD.encode(&self.handed_over)),
            &bytes,
        )?;
        Ok(opened)
    }
}
