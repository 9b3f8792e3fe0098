//! Out of the old system: read, admit, fingerprint, seal, store; then the manifest. The laboratory share stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::{Snapshot, Source, hand, is_heavy};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use lexicon::{Code, Digest, Entropy, ParcelId, Refusal, Result};
use people::{Recipient, seal_to};
use procedure::{Act, Consignment, ExtractMeasure, Manifest, ManifestParcel, ManifestTable, Step};
use scope::{Sample, Sampling, Scope, ScopedBatch, SourceTable, TableScope};
use seal::{ConsignmentKey, Form, Share};
use tokio::sync::{Mutex, mpsc};

use crate::documents::{Outward, listings};
use crate::errand::{Papers, known, papers};
use crate::fingerprint::{Fingerprinting, Point};
use crate::locate::{Names, naming};
use crate::rehearsal::{Refusals, microseconds};
use crate::resume::{Resume, Stored};
use crate::sums::SumsOut;
use crate::table::{Ready, Sealing, cut};
use crate::whole::whole;
use crate::{Errand, Seen, orphans, rehearsal};

/// Tables that are read at once, of either system: one reading while one seals keeps both cores of a small machine busy.
pub(crate) const TABLES_AT_ONCE: usize = 2;

/// Extracts a consignment and closes it. Returns the manifest.
///
/// # Errors
/// A refusal when the source is not the plan's, its schema or its counts changed, or a row cannot be carried exactly;
/// a fault of source, network or server; an alarm when the server does not answer as it signed. In every case nothing
/// is closed, and the attempt is journalled as failed. A refusal, before anything, while another process of this device is
/// at work on the consignment.
pub async fn extract(errand: &Errand<'_>, source: &dyn Source, entropy: Arc<dyn Entropy>) -> Result<Arc<Manifest>> {
    extract_as(errand, source, entropy, Form::Sealed).await
}

/// As [`extract`], with rows in the form that is handed in. A program that people use has only the sealed one.
///
/// # Errors
/// As [`extract`].
pub async fn extract_as(
    errand: &Errand<'_>,
    source: &dyn Source,
    entropy: Arc<dyn Entropy>,
    form: Form,
) -> Result<Arc<Manifest>> {
    let _alone = errand.desk.home().alone(errand.round())?;
    let ledger = errand.desk.follow(errand.migration).await?;
    let papers = papers(errand.desk, errand.migration, &ledger).await?;
    if source.identity() != papers.plan.source.identity {
        return Err(Refusal::new(
            Code(610),
            format!("the plan's old system is {}, this one is {}", papers.plan.source.identity, source.identity()),
            "Extract from the system that was approved, or amend the plan.",
        )
        .into());
    }
    let laboratory = laboratory_share(errand, entropy.as_ref())?;
    let (begun, ledger, strongroom) = errand.begin(Step::Extract).await?;
    let consignment = known(ledger.migration(), errand.consignment)?;
    let sample = rehearsal::sample(consignment);
    let key = ConsignmentKey::derive(&laboratory, &strongroom, consignment.opened)?;
    let key = Arc::new(key.writing(form));
    let shares = (laboratory.digest(), strongroom.digest());
    drop(strongroom);
    errand
        .within(begun, async {
            let manifest = Arc::new(
                seal_everything(errand, source, &papers, (begun.attempt, key, shares, sample), entropy).await?,
            );
            // As whoever releases and loads will ask.
            whole(&papers, consignment, &manifest)?;
            let mut build = |_: &procedure::Migration| Ok(Act::Close { manifest: Arc::clone(&manifest) });
            errand.desk.act(errand.migration, &mut build, &[]).await?;
            Ok(manifest)
        })
        .await
}

fn laboratory_share(errand: &Errand<'_>, entropy: &dyn Entropy) -> Result<Share> {
    if let Some(kept) = errand.desk.home().share(errand.round(), errand.passphrase)? {
        return Share::take(&kept);
    }
    let share = Share::draw(entropy)?;
    errand.desk.home().keep_share(errand.round(), share.expose(), errand.passphrase)?;
    Ok(share)
}

type Given = (u32, Arc<ConsignmentKey>, (Digest, Digest), Option<Sample>);

async fn seal_everything(
    errand: &Errand<'_>,
    source: &dyn Source,
    papers: &Papers,
    (attempt, key, shares, sample): Given,
    entropy: Arc<dyn Entropy>,
) -> Result<Manifest> {
    let found = source.describe().await?;
    let schema = approved_schema(&found, papers)?;
    let snapshot = source.begin(papers.plan.source.live).await?;
    let counts = counted(snapshot.as_ref(), papers, &errand.names(&key)?).await?;
    let (snapshot_read, scope) = (snapshot.as_ref(), papers.scope.as_ref());
    let sampling = rehearsal::draw(snapshot_read, scope, sample, &counts).await?;
    let live = papers.plan.source.live;
    let resume = Resume::open(errand, live, (schema, papers.plan.scope))?;
    let work = Work {
        errand,
        snapshot: snapshot_read,
        scope,
        sampling: sampling.as_ref(),
        attempt,
        key: &key,
        entropy: &entropy,
        heavy: Mutex::default(),
    };
    let mut sums = SumsOut::begin(errand, (attempt, &key), entropy.as_ref())?;
    let done = work.all_tables(&counts, &resume, &mut sums).await?;
    let again = work.stood_still(&done).await?;
    let mut moment = snapshot.description();
    if !again.is_empty() {
        moment = format!("{moment}; without snapshots, read twice with the same fingerprint: {}", again.join(", "));
    }
    let orphans = orphans::in_source(snapshot.as_ref(), &papers.scope, &found, sample.is_some()).await?;
    let listings = listings(snapshot.as_ref(), scope).await?;
    snapshot.finish().await?;
    let outward = Outward { errand, scope: &papers.scope, sample, attempt, key: &key, entropy: &entropy, live };
    let documents = outward.all(listings, &papers.report, (&resume, &mut sums)).await?;
    let moment = Resume::told(moment, attempt, &done.iter().flat_map(|done| &done.stored.parcels).collect::<Vec<_>>());
    let indexes = documents.iter().flat_map(|stored| stored.index.clone()).collect::<Vec<_>>();
    let (full_sums, sums) = sums.finish().await?;
    let tables = papers.scope.tables().iter().zip(&done);
    Ok(Manifest {
        consignment: errand.consignment,
        attempt,
        source: source.identity(),
        schema,
        snapshot: moment,
        scope: papers.plan.scope,
        laboratory_share: shares.0,
        strongroom_share: shares.1,
        tables: tables.map(|(table, done)| manifest_table(table, done, &counts)).collect(),
        measured: done.iter().filter_map(|done| done.stored.measured.clone()).collect(),
        orphans,
        documents: documents.into_iter().map(|stored| stored.line).collect(),
        parcels: done.into_iter().flat_map(|done| done.stored.parcels).chain(indexes).collect(),
        sums,
        full_sums,
        forgotten: true,
    })
}

/// The schema of the old system, when it is the plan's. Else what changed, by the names of tables and columns.
fn approved_schema(found: &[SourceTable], papers: &Papers) -> Result<Digest> {
    let schema = connectors::schema_digest(found)?;
    if schema == papers.plan.source.schema {
        return Ok(schema);
    }
    for table in papers.scope.tables() {
        let there = found.iter().find(|source| source.name == table.name).ok_or_else(|| {
            changed(&format!(
                "table `{}` of the old system is not there any more, or hidden from this account",
                table.name
            ))
        })?;
        // What stays may be hidden from an account that reads no more than what leaves.
        let columns = there.columns.iter().map(|column| &column.name).chain(&table.leave);
        table.check_columns(&columns.cloned().collect::<Vec<_>>())?;
    }
    let otherwise = papers.report.declared_otherwise(&papers.scope, found)?;
    Err(changed(&if otherwise.is_empty() {
        "a table or view of the old system that is not in the scope came, went or changed since the plan was approved"
            .to_owned()
    } else {
        let names = otherwise.join("; ");
        format!("the old system declares otherwise than when the plan was approved, or hides: {names}")
    })
    .into())
}

fn changed(what: &str) -> Refusal {
    let remedy = "Have it put back, or mend the scope, check it again and have the amended plan approved.";
    Refusal::new(Code(611), what, remedy)
}

/// Rows of each table: all, and in scope; the latter within what was approved.
async fn counted(snapshot: &dyn Snapshot, papers: &Papers, keys: &Names) -> Result<BTreeMap<String, (u64, u64)>> {
    let mut counts = BTreeMap::new();
    for table in papers.scope.tables() {
        let counted = snapshot.count(&papers.scope, &table.name).await;
        let at_fault = || snapshot.at_fault(&papers.scope, &table.name);
        let (all, in_scope) = counted.map_err(|trouble| naming(trouble, keys, table, &at_fault()))?;
        papers.report.holds(&table.name, in_scope)?;
        counts.insert(table.name.clone(), (all, in_scope));
    }
    Ok(counts)
}

/// One table on the shelf, without its buckets.
struct Done {
    rows: u64,
    nulls: BTreeMap<String, u64>,
    stored: Stored,
}

/// What the extraction of every table shares.
struct Work<'a> {
    errand: &'a Errand<'a>,
    snapshot: &'a dyn Snapshot,
    scope: &'a Scope,
    /// Of a rehearsal.
    sampling: Option<&'a Sampling>,
    attempt: u32,
    key: &'a Arc<ConsignmentKey>,
    entropy: &'a Arc<dyn Entropy>,
    /// Held by the one table of those that have heavy batches that goes on, from its first one to its end.
    heavy: Mutex<()>,
}

impl<'a> Work<'a> {
    /// Each table in the scope's order, as many at once as may be. A rehearsal goes on after a refusal.
    async fn all_tables(
        &self,
        counts: &BTreeMap<String, (u64, u64)>,
        resume: &Resume<'_>,
        sums: &mut SumsOut<'_>,
    ) -> Result<Vec<Done>> {
        let mut passing = futures::stream::iter(self.scope.tables().iter().enumerate())
            .map(|(at, table)| {
                let counts = counts.get(&table.name).copied().unwrap_or_default();
                self.table_or_kept(table, counts, resume).map(move |done| (at, done))
            })
            .buffer_unordered(TABLES_AT_ONCE);
        let (mut done, mut refused) = (BTreeMap::new(), Refusals::new(self.sampling.is_some()));
        while let Some((at, outcome)) = passing.next().await {
            let Some((Point { fingerprint, nulls }, stored)) = refused.keep(outcome)? else { continue };
            sums.take(&fingerprint).await?;
            done.insert(at, Done { rows: fingerprint.rows, nulls, stored });
        }
        refused.verdict()?;
        let done: Vec<Done> = done.into_values().collect();
        if let Some(sampling) = self.sampling {
            for (table, done) in self.scope.tables().iter().zip(&done) {
                sampling.holds(self.scope, &table.name, done.rows)?;
            }
        }
        Ok(done)
    }

    /// The rows that leave: those in scope, or a rehearsal's sample of them.
    fn rows(&self, table: &'a str) -> BoxStream<'a, Result<ScopedBatch>> {
        match self.sampling {
            Some(sampling) => self.snapshot.sample(self.scope, table, sampling),
            None => self.snapshot.read(self.scope, table),
        }
    }

    /// A table that an earlier attempt stored to its end, or else the table, read and stored.
    async fn table_or_kept(
        &self,
        table: &'a TableScope,
        counts: (u64, u64),
        resume: &Resume<'_>,
    ) -> Result<(Point, Stored)> {
        let name = table.name.as_str();
        if let Some(stored) = resume.table(name, counts) {
            self.errand.progress.seen(Seen::Table { name, rows: counts.1 });
            if let Some(point) = self.reads_as(table, stored.root).await? {
                self.as_counted(name, counts.1, &point)?;
                self.errand.progress.seen(Seen::Through { name });
                return Ok((point, stored.clone()));
            }
        }
        let before = transforms(&self.snapshot.tally(&table.name));
        let Shelved { point, parcels, measured } = self.one_table(table, counts.1).await?;
        self.as_counted(name, counts.1, &point)?;
        let mut transforms = transforms(&self.snapshot.tally(&table.name));
        // What a first look at the table counted is not counted twice.
        for (kind, count) in &mut transforms {
            *count = count.saturating_sub(before.get(kind).copied().unwrap_or(0));
        }
        let stored = Stored { counts, parcels, root: point.fingerprint.root(), transforms, measured };
        resume.store(name, stored.clone())?;
        Ok((point, stored))
    }

    /// Whether every row in scope that was counted was read. A snapshot of PostgreSQL does not hold what it has not looked at
    /// yet against TRUNCATE, a rewriting ALTER TABLE or a partition that goes: such rows would be gone without a word.
    fn as_counted(&self, table: &str, counted: u64, point: &Point) -> Result<()> {
        let read = point.fingerprint.rows;
        // Of a sample its own size is held.
        if self.sampling.is_none() && read != counted {
            return Err(Refusal::new(
                Code(618),
                format!(
                    "table '{table}' changed while it was extracted: {counted} rows in scope were counted and {read} read"
                ),
                "Let nobody empty, alter or divide tables of the old system while it is extracted, nor write to it where \
                 the plan says that it stands still; then extract again.",
            )
            .into());
        }
        Ok(())
    }

    /// The table read now, if it has this fingerprint: a row that changed since is in no count.
    async fn reads_as(&self, table: &'a TableScope, before: Digest) -> Result<Option<Point>> {
        let name = table.name.as_str();
        let keys = &self.errand.names(self.key)?;
        let rows = self.rows(name).map_ok(|batch| {
            let rows = u64::try_from(batch.rows()).unwrap_or(u64::MAX);
            self.errand.progress.seen(Seen::Rows { name, rows });
            batch.into_batch()
        });
        let now = Fingerprinting::start(&keys.secret, table).over(rows.boxed()).await;
        let now = now.map_err(|trouble| naming(trouble, keys, table, &self.snapshot.at_fault(self.scope, name)))?;
        Ok((now.fingerprint.root() == before).then_some(now))
    }

    /// The tables that the source cannot hold at one moment are read again, and say the same.
    async fn stood_still(&self, done: &[Done]) -> Result<Vec<String>> {
        let loose = self.snapshot.loose();
        for (table, done) in self.scope.tables().iter().zip(done).filter(|(table, _)| loose.contains(&table.name)) {
            if self.reads_as(table, done.stored.root).await?.is_none() {
                return Err(Refusal::new(
                    Code(618),
                    format!("table '{}' changed while it was extracted, and no snapshot holds it", table.name),
                    "Stop whatever writes to the old system, and extract again.",
                )
                .into());
            }
        }
        Ok(loose)
    }

    async fn one_table(&self, table: &'a TableScope, expected: u64) -> Result<Shelved> {
        let Self { errand, snapshot, scope, sampling, attempt, key, entropy, heavy: ref turns } = *self;
        let name = table.name.as_str();
        errand.progress.seen(Seen::Table { name, rows: expected });
        let (rows_in, rows_out) = mpsc::channel(2);
        let (parcels_in, mut parcels_out) = mpsc::channel(1);
        let sealing = Sealing {
            key: Arc::clone(key),
            entropy: Arc::clone(entropy),
            table: table.clone(),
            name: errand.name(attempt, ParcelId::draw(entropy.as_ref())?, name, 0),
            rehearses: sampling.is_some(),
            threads: seal::threads(),
        };
        let keys = &errand.names(key)?;
        let fingerprinting = Fingerprinting::start(&keys.secret, table);
        let thread = tokio::task::spawn_blocking(move || sealing.run(rows_out, &parcels_in));
        let counted = &fingerprinting;
        let reading = async move {
            let (began, mut batches) = (Instant::now(), self.rows(name));
            let (mut refused, mut turn) = (Refusals::new(sampling.is_some()), None);
            let named = |trouble| naming(trouble, keys, table, &snapshot.at_fault(scope, name));
            while let Some(batch) = batches.next().await {
                let Some(batch) = refused.keep(batch).map_err(named)? else { continue };
                let rows = u64::try_from(batch.rows()).unwrap_or(u64::MAX);
                let heavy = is_heavy(batch.batch());
                if heavy && turn.is_none() {
                    turn = Some(turns.lock().await);
                }
                // A closed pipe means that a thread gave up: its own trouble is told below.
                if counted.add(batch.batch()).await.is_err() || !hand(&rows_in, batch, heavy).await {
                    break;
                }
                errand.progress.seen(Seen::Rows { name, rows });
            }
            refused.table_read(snapshot.tally(name).refusal(name)).map_err(named)?;
            Ok::<_, lexicon::Trouble>(began.elapsed())
        };
        let storing = async move {
            let (mut lines, mut busy) = (Vec::new(), Duration::ZERO);
            while let Some(Ready { line, sealed }) = parcels_out.recv().await {
                let began = Instant::now();
                errand.put(attempt, line.parcel, sealed.bytes, sealed.digest).await?;
                busy = busy.saturating_add(began.elapsed());
                errand.progress.seen(Seen::Bytes { name, bytes: line.bytes });
                lines.push(line);
            }
            Ok::<_, lexicon::Trouble>((lines, busy))
        };
        // The first trouble ends both; what waits in a pipe goes with them, and the threads with that.
        let (reading, (parcels, storing)) = futures::future::try_join(reading, storing).await?;
        let worked = thread.await.map_err(|_| cut())??;
        let point = fingerprinting.finish().await?;
        errand.progress.seen(Seen::Through { name });
        let measured = sampling.map(|_| ExtractMeasure {
            name: table.name.clone(),
            rows_in_scope: expected,
            reading_us: microseconds(reading),
            sealing_us: microseconds(worked.busy),
            storing_us: microseconds(storing),
            half: worked.half,
        });
        Ok(Shelved { point, parcels, measured })
    }
}

/// One table on the shelf.
struct Shelved {
    point: Point,
    parcels: Vec<ManifestParcel>,
    measured: Option<ExtractMeasure>,
}

/// How often each transform changed a value of a table.
fn transforms(tally: &scope::TableTally) -> BTreeMap<String, u64> {
    let mut transforms = BTreeMap::new();
    for (column, counted) in &tally.columns {
        let kinds = [
            ("charset", counted.decoded),
            ("trim", counted.trimmed),
            ("null_if", counted.nulled),
            ("map", counted.mapped),
            ("cast", counted.cast),
            ("ambiguous local time", counted.ambiguous),
            ("nonexistent local time", counted.nonexistent),
        ];
        for (kind, number) in kinds.into_iter().filter(|(_, number)| *number > 0) {
            transforms.insert(format!("{column}: {kind}"), number);
        }
    }
    transforms
}

fn manifest_table(table: &TableScope, done: &Done, counts: &BTreeMap<String, (u64, u64)>) -> ManifestTable {
    let count = |columns: usize| u32::try_from(columns).unwrap_or(u32::MAX);
    ManifestTable {
        name: table.name.clone(),
        target: table.target.clone(),
        rows_source: counts.get(&table.name).map_or(done.rows, |(all, _)| *all),
        rows: done.rows,
        root: done.stored.root,
        columns_taken: count(table.take.len()),
        columns_left: count(table.leave.len()),
        transforms: done.stored.transforms.clone(),
        nulls: Some(done.nulls.clone()),
    }
}

/// Seals the laboratory share to the released keys and journals its digest.
///
/// # Errors
/// A refusal when nothing is released, or this machine has no laboratory share of the consignment.
pub async fn hand_over(errand: &Errand<'_>) -> Result<()> {
    let ledger = errand.desk.follow(errand.migration).await?;
    let consignment = known(ledger.migration(), errand.consignment)?;
    let keys = released_keys(consignment)?;
    let kept = errand.desk.home().share(errand.round(), errand.passphrase)?.ok_or_else(|| {
        Refusal::new(
            Code(613),
            "this machine holds no laboratory share of the consignment",
            "Hand over on the machine that extracted.",
        )
    })?;
    let sealed = seal_to(&keys, &kept)?;
    let share = Digest::of(&sealed);
    let mut build = |migration: &procedure::Migration| {
        // Facts come in between: the share leaves for the keys that it was sealed to, under the release that names them.
        if migration.consignment(errand.consignment).map(released_keys).transpose()?.as_ref() != Some(&keys) {
            let message = "the release changed while the laboratory share was being sealed";
            return Err(Refusal::new(Code(617), message, "Look at the release and hand over again.").into());
        }
        Ok(Act::HandOver { consignment: errand.consignment, share, clear_swap: errand.desk.clear_swap() })
    };
    errand.desk.act(errand.migration, &mut build, &[sealed]).await?;
    Ok(())
}

/// The keys that the release names.
fn released_keys(consignment: &Consignment) -> Result<Vec<Recipient>> {
    let released = consignment.released.as_ref().ok_or_else(|| {
        Refusal::new(Code(612), "the consignment is not released", "Ask the controller; see `lazaret next`.")
    })?;
    let named = consignment.offers.iter().filter(|offer| released.offers.contains(&offer.digest));
    Ok(named.map(|offer| offer.key.clone()).collect())
}
