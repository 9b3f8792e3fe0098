//! Into the new system: open, fingerprint (F), load, read again (T), compare, report.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connectors::{Mark, Sink};
use desk::Desk;
use futures::TryStreamExt;
use lexicon::{Alarm, Code, Refusal, Result};
use people::OpeningKey;
use procedure::{Act, Consignment, Ledger, Manifest, ManifestParcel, Reconciliation, Step, TableOutcome};
use scope::{FingerprintKeys, Fingerprinter, TableFingerprint, TableScope};
use seal::{ConsignmentKey, Share, open_header};

use crate::errand::{Papers, known, papers};
use crate::table::cut;
use crate::{Errand, Seen};

/// What a load or a reconciliation found.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// As it was signed.
    pub reconciliation: Reconciliation,
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
        let mut fetched = BTreeMap::new();
        for name in &prepared.order {
            let table = self.table(name)?;
            let fingerprint =
                if step == Step::Load { self.load_table(table).await? } else { self.fetch_only(table).await? };
            fetched.insert(name.clone(), fingerprint);
        }
        let loading = started.elapsed().as_secs_f64();
        let started = std::time::Instant::now();
        let opened = self.probe().await?;
        let mut tables = Vec::new();
        for line in &self.manifest.tables {
            let table = self.table(&line.name)?;
            let again = self.read_again(table).await?;
            let f = fetched.get(&line.name).ok_or_else(cut)?;
            let sealed = sums.iter().find(|sum| sum.table == line.target);
            tables.push(self.outcome(table, (line.root, sealed), f, &again).await?);
        }
        let reconciliation = Reconciliation { target: self.sink.identity(), schema: prepared.schema, tables, opened };
        Ok(LoadReport { reconciliation, notes: prepared.notes, seconds: (loading, started.elapsed().as_secs_f64()) })
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

    async fn load_table(&self, table: &TableScope) -> Result<TableFingerprint> {
        let name = table.name.as_str();
        self.errand.progress.seen(Seen::Table { name, rows: self.expected(table) });
        let (done_in, done_out) = tokio::sync::oneshot::channel();
        let rows = self.errand.rows(table, self.lines(table), (Arc::clone(&self.key), self.keys()?), done_in);
        let mark = Mark { consignment: self.errand.consignment, attempt: self.attempt };
        let loaded = self.sink.load(&self.papers.scope, name, mark, rows).await?;
        let fingerprint = match done_out.await {
            Ok(fingerprint) => fingerprint,
            // Loaded by an earlier attempt: nothing was read, and F is still owed.
            Err(_) if loaded.already => self.fetch_only(table).await?,
            Err(_) => return Err(cut().into()),
        };
        self.errand.progress.seen(Seen::Through { name });
        Ok(fingerprint)
    }

    /// F without a target.
    async fn fetch_only(&self, table: &TableScope) -> Result<TableFingerprint> {
        let (done_in, done_out) = tokio::sync::oneshot::channel();
        let mut rows = self.errand.rows(table, self.lines(table), (Arc::clone(&self.key), self.keys()?), done_in);
        while rows.try_next().await?.is_some() {}
        done_out.await.map_err(|_| cut().into())
    }

    /// T: over a new connection, after commit.
    async fn read_again(&self, table: &TableScope) -> Result<TableFingerprint> {
        let mut fingerprint = Fingerprinter::new(&self.keys()?, table);
        let mut rows = self.sink.read_back(&self.papers.scope, &table.name);
        while let Some(batch) = rows.try_next().await? {
            fingerprint = tokio::task::spawn_blocking(move || {
                fingerprint.add(&batch)?;
                Ok::<_, lexicon::Trouble>(fingerprint)
            })
            .await
            .map_err(|_| cut())??;
        }
        Ok(fingerprint.finish())
    }

    async fn outcome(
        &self,
        table: &TableScope,
        (root, sealed): (lexicon::Digest, Option<&TableFingerprint>),
        fetched: &TableFingerprint,
        again: &TableFingerprint,
    ) -> Result<TableOutcome> {
        let sealed_root = sealed.map_or(root, TableFingerprint::root);
        let differing =
            if fetched.root() == again.root() { Some(0) } else { self.locate(table, fetched, again).await? };
        Ok(TableOutcome {
            name: table.name.clone(),
            target: table.target.clone(),
            rows_target: again.rows,
            sealed: sealed_root,
            fetched: fetched.root(),
            target_root: again.root(),
            differing,
        })
    }

    /// How many keys differ between the parcels and the target; the rows of differing buckets are looked at again on
    /// both sides. None when the table has no key.
    async fn locate(
        &self,
        table: &TableScope,
        fetched: &TableFingerprint,
        again: &TableFingerprint,
    ) -> Result<Option<u64>> {
        if table.key.is_empty() {
            return Ok(None);
        }
        let buckets: HashSet<u16> = fetched.differing(again).into_iter().collect();
        let keys = self.keys()?;
        let (done_in, _done_out) = tokio::sync::oneshot::channel();
        let mut sides: [HashMap<[u8; 16], [u8; 32]>; 2] = [HashMap::new(), HashMap::new()];
        let parcels = self.errand.rows(table, self.lines(table), (Arc::clone(&self.key), self.keys()?), done_in);
        let target = self.sink.read_back(&self.papers.scope, &table.name);
        for (side, mut rows) in sides.iter_mut().zip([parcels, target]) {
            while let Some(batch) = rows.try_next().await? {
                let digests = scope::row_digests(&keys, table, &batch)?;
                side.extend(
                    digests.into_iter().filter(|row| buckets.contains(&row.bucket)).map(|row| (row.key, row.row)),
                );
            }
        }
        let [parcels, target] = &sides;
        let one = parcels.iter().filter(|(key, row)| target.get(*key) != Some(*row)).count();
        let other = target.keys().filter(|key| !parcels.contains_key(*key)).count();
        Ok(u64::try_from(one.saturating_add(other)).ok())
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
