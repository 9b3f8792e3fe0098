//! What the full round will take, from what a rehearsal measured. Pure: signed facts go in, numbers come out.
//!
//! Reading the old system took as long as it will: a rehearsal reads every row in scope. Everything else grows: sealing,
//! loading, reading again and the target's disk with the rows, storing with the sealed bytes. What does not grow is told
//! apart, by two sizes or by a measure of its own, and is counted once. Reading, sealing and storing of a table go on side
//! by side, and so do two tables.

use std::collections::BTreeMap;

use lexicon::{Code, ConsignmentId, Refusal, Result, Timestamp};
use procedure::{Act, Consignment, ExtractMeasure, Kind, Ledger, LoadMeasure, ManifestTable, Step};
use serde::Serialize;

use crate::extract::TABLES_AT_ONCE;

/// What a signed measure may say at most of how many tables pass at once.
const AT_ONCE_MAX: usize = 64;

/// The full round, as a rehearsal foretells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// The rehearsal.
    pub consignment: ConsignmentId,
    /// How much it took, in hundredths of a percent.
    pub basis_points: u32,
    /// Which sample.
    pub seed: u32,
    /// The system that it loaded.
    pub target: String,
    /// Whether it is loaded, and equal or accepted as it is.
    pub settled: bool,
    /// Whether it is DIFFERENT, and was accepted as it is.
    pub accepted: bool,
    /// Each table.
    pub tables: Vec<TableForecast>,
    /// All of them: times as they pass, several at once.
    pub total: Window,
    /// Its attempts that gave up: the code says why. The sentence was told where it happened.
    pub refused: Vec<RefusedAttempt>,
    /// The full round itself, once it is extracted.
    pub came: Option<Came>,
}

/// What the full round took, by its signed facts and the server's clock: waiting for parcels and lines included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Came {
    /// The full round.
    pub consignment: ConsignmentId,
    /// Rows that were sealed.
    pub rows: u64,
    /// Sealed bytes.
    pub sealed_bytes: u64,
    /// From the begin of the attempt that closed to its manifest, in milliseconds.
    pub extract_ms: u64,
    /// From the begin of the load to its report, the target read again, in milliseconds; none when it is not loaded.
    pub load_and_reconcile_ms: Option<u64>,
    /// Attempts at any step. What an earlier one brought is in none of these times.
    pub attempts: usize,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableForecast {
    /// In the old system.
    pub name: String,
    /// In the new one.
    pub target: String,
    /// Rows of it in the sample.
    pub sampled: u64,
    /// What the full round takes.
    #[serde(flatten)]
    pub window: Window,
}

/// What the full round takes. What was not measured is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Rows in scope, as they were counted.
    pub rows: u64,
    /// Sealed bytes: on the line twice, and on the server's shelf.
    pub sealed_bytes: Option<u64>,
    /// Extracting, in milliseconds.
    pub extract_ms: Option<u64>,
    /// Loading, in milliseconds.
    pub load_ms: Option<u64>,
    /// Reading the target again, in milliseconds.
    pub reconcile_ms: Option<u64>,
    /// On the target's disk, indexes included.
    pub target_bytes: Option<u64>,
}

/// An attempt of the rehearsal that gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedAttempt {
    /// At which step.
    pub step: Step,
    /// Which attempt.
    pub attempt: u32,
    /// Why.
    pub code: Code,
}

/// What the full round takes, from a rehearsal: the one that is named, or the last one.
///
/// # Errors
/// A refusal when there is no such rehearsal, or it is not extracted.
pub fn forecast(ledger: &Ledger, named: Option<ConsignmentId>) -> Result<Forecast> {
    let mut rehearsals = ledger.migration().consignments.iter().filter(|round| round.kind == Kind::Rehearsal);
    let round = match named {
        Some(id) => rehearsals.find(|round| round.id == id),
        None => rehearsals.next_back(),
    };
    let round = round.ok_or_else(|| {
        let remedy = "Open one with `lazaret consignment open --kind rehearsal --percent 1`, where the plan allows it.";
        Refusal::new(Code(641), "there is no such rehearsal", remedy)
    })?;
    let (_, manifest) = round.manifest.as_ref().ok_or_else(|| {
        Refusal::new(Code(642), "the rehearsal is not extracted", "Extract it first; see `lazaret next`.")
    })?;
    let loads = loads(ledger, round);
    let mut sealed: BTreeMap<&str, Parcels> = BTreeMap::new();
    for parcel in &manifest.parcels {
        let of = sealed.entry(&parcel.table).or_default();
        (of.count, of.bytes) = (of.count.saturating_add(1), of.bytes.saturating_add(parcel.bytes));
    }
    let sealed = |name: &str| sealed.get(name).copied().unwrap_or_default();
    let each = manifest.measured.iter();
    let requests = each.filter_map(|measure| measure.storing_us.checked_div(sealed(&measure.name).count));
    let request_us = requests.min().unwrap_or_default();
    let lines: BTreeMap<&str, &ManifestTable> = manifest.tables.iter().map(|line| (line.name.as_str(), line)).collect();
    let tables = manifest.measured.iter().filter_map(|measure| {
        let name = measure.name.as_str();
        Some(table(lines.get(name)?, (sealed(name), request_us), measure, loads.get(name)))
    });
    let tables: Vec<TableForecast> = tables.collect();
    Ok(Forecast {
        consignment: round.id,
        basis_points: round.basis_points,
        seed: round.seed,
        target: round.target.clone(),
        settled: round.settled(),
        accepted: round.outcome.as_ref().is_some_and(|outcome| outcome.accepted.is_some()),
        total: total(&tables, &loads),
        tables,
        refused: refused(ledger, round),
        came: came(ledger),
    })
}

/// The last full round that is extracted.
fn came(ledger: &Ledger) -> Option<Came> {
    let extracted = |round: &&Consignment| round.kind == Kind::Full && round.manifest.is_some();
    let round = ledger.migration().consignments.iter().rfind(extracted)?;
    let (_, manifest) = round.manifest.as_ref()?;
    let facts = || ledger.recorded().iter().map(|recorded| &recorded.fact);
    let facts = || facts().filter(|fact| fact.act.consignment() == Some(round.id));
    let took = |attempt: u32, end: Timestamp| {
        let began = facts().find(|fact| matches!(fact.act, Act::Begin { attempt: begun, .. } if begun == attempt))?;
        u64::try_from(end.duration_since(began.at).as_millis()).ok()
    };
    let closed = facts().find(|fact| matches!(fact.act, Act::Close { .. }))?;
    let loaded = facts().rev().find_map(|fact| {
        let Act::Done { step: Step::Load, attempt, .. } = &fact.act else { return None };
        took(*attempt, fact.at)
    });
    Some(Came {
        consignment: round.id,
        rows: manifest.tables.iter().map(|table| table.rows).fold(0, u64::saturating_add),
        sealed_bytes: manifest.parcels.iter().map(|parcel| parcel.bytes).fold(0, u64::saturating_add),
        extract_ms: took(manifest.attempt, closed.at)?,
        load_and_reconcile_ms: loaded,
        attempts: round.attempts.len(),
    })
}

/// What was measured of each table over all loads and reconciliations: of each figure the last.
fn loads(ledger: &Ledger, round: &Consignment) -> BTreeMap<String, LoadMeasure> {
    let mut loads: BTreeMap<String, LoadMeasure> = BTreeMap::new();
    for recorded in ledger.recorded() {
        let Act::Done { consignment, outcome, .. } = &recorded.fact.act else { continue };
        for measure in outcome.measured.iter().filter(|_| *consignment == round.id) {
            let known = loads.entry(measure.name.clone()).or_insert_with(|| measure.clone());
            known.loading = measure.loading.or(known.loading);
            known.target_bytes = measure.target_bytes.or(known.target_bytes);
            known.comparing_aside_us = measure.comparing_aside_us.or(known.comparing_aside_us);
            known.comparing_us = measure.comparing_us;
        }
    }
    loads
}

fn refused(ledger: &Ledger, round: &Consignment) -> Vec<RefusedAttempt> {
    let attempts = ledger.recorded().iter().filter_map(|recorded| {
        let Act::Failed { consignment, step, attempt, code } = &recorded.fact.act else { return None };
        let failed = RefusedAttempt { step: *step, attempt: *attempt, code: Code(*code) };
        (*consignment == round.id).then_some(failed)
    });
    attempts.collect()
}

/// The parcels of one table.
#[derive(Clone, Copy, Default)]
struct Parcels {
    count: u64,
    bytes: u64,
}

/// `request_us` is what storing a parcel costs however small it is: the least that one took.
fn table(
    line: &ManifestTable,
    (parcels, request_us): (Parcels, u64),
    measure: &ExtractMeasure,
    load: Option<&LoadMeasure>,
) -> TableForecast {
    let (rows, sampled) = (measure.rows_in_scope, line.rows);
    let sealed_bytes = sealed_bytes(measure, (sampled, parcels.bytes));
    let extract_us = sealed_bytes.and_then(|bytes| {
        let many = parcels_of(bytes)?;
        let sealing = sealing(measure, sampled)?.all(many);
        let small = request_us.saturating_mul(parcels.count);
        let storing = scaled(measure.storing_us.saturating_sub(small), bytes, parcels.bytes)?;
        let storing = storing.saturating_add(request_us.saturating_mul(many));
        Some(measure.reading_us.max(sealing).max(storing))
    });
    let growing = |all_us: u64, aside_us: u64| {
        let aside_us = aside_us.min(all_us);
        Some(scaled(all_us.saturating_sub(aside_us), rows, sampled)?.saturating_add(aside_us))
    };
    let loading = load.and_then(|load| load.loading);
    let load_us = loading.and_then(|took| growing(took.rows_us.saturating_add(took.aside_us), took.aside_us));
    let again_us = load.and_then(|load| growing(load.comparing_us, load.comparing_aside_us.unwrap_or_default()));
    TableForecast {
        name: line.name.clone(),
        target: line.target.clone(),
        sampled,
        window: Window {
            rows,
            sealed_bytes,
            extract_ms: extract_us.map(milliseconds),
            load_ms: load_us.map(milliseconds),
            reconcile_ms: again_us.map(milliseconds),
            target_bytes: load.and_then(|load| load.target_bytes).and_then(|bytes| scaled(bytes, rows, sampled)),
        },
    }
}

/// All tables. A figure that one of them lacks is lacking.
fn total(tables: &[TableForecast], loads: &BTreeMap<String, LoadMeasure>) -> Window {
    let windows = || tables.iter().map(|table| &table.window);
    let sum =
        |of: fn(&Window) -> Option<u64>| windows().map(of).try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?)));
    let pass =
        |of: fn(&Window) -> Option<u64>| Some(passing(&windows().map(of).collect::<Option<Vec<_>>>()?, TABLES_AT_ONCE));
    let mut waves: BTreeMap<u32, (usize, Option<Vec<u64>>)> = BTreeMap::new();
    for table in tables {
        let measure = loads.get(&table.name).and_then(|load| load.loading);
        let (wave, at_once) = measure.map_or((0, 1), |measure| (measure.wave, measure.at_once));
        let (most, times) = waves.entry(wave).or_insert_with(|| (1, Some(Vec::new())));
        *most = usize::try_from(at_once).unwrap_or(1).max(*most).min(AT_ONCE_MAX);
        if let (Some(known), Some(time)) = (times.as_mut(), table.window.load_ms) {
            known.push(time);
        } else {
            *times = None;
        }
    }
    let load = |sum: u64, (at_once, times): &(usize, Option<Vec<u64>>)| {
        Some(sum.saturating_add(passing(times.as_ref()?, *at_once)))
    };
    Window {
        rows: windows().map(|window| window.rows).fold(0, u64::saturating_add),
        sealed_bytes: sum(|window| window.sealed_bytes),
        extract_ms: pass(|window| window.extract_ms),
        load_ms: waves.values().try_fold(0, load),
        reconcile_ms: pass(|window| window.reconcile_ms),
        target_bytes: sum(|window| window.target_bytes),
    }
}

/// From the first table's begin to the last one's end, when so many pass at once and each begins as soon as it can.
fn passing(times: &[u64], at_once: usize) -> u64 {
    let mut ends = vec![0_u64; at_once.max(1)];
    for time in times {
        if let Some(end) = ends.iter_mut().min() {
            *end = end.saturating_add(*time);
        }
    }
    ends.into_iter().max().unwrap_or_default()
}

/// A figure of all rows, told apart from what each parcel has beside them.
struct Apart {
    rows: u64,
    parcel: u64,
}

impl Apart {
    /// From the figure of a sample, and of about half of it: two sizes tell the two apart. From one alone everything grows.
    fn of((sampled, figure): (u64, u64), half: Option<(u64, u64)>, rows: u64) -> Option<Self> {
        let half = half.filter(|(few, less)| *few > 0 && *few < sampled && *less < figure);
        let Some((few, less)) = half else { return Some(Self { rows: scaled(figure, rows, sampled)?, parcel: 0 }) };
        let (more_rows, more) = (sampled.saturating_sub(few), figure.saturating_sub(less));
        let parcel = figure.saturating_sub(scaled(more, sampled, more_rows)?);
        Some(Self { rows: scaled(more, rows, more_rows)?, parcel })
    }

    fn all(&self, parcels: u64) -> u64 {
        self.rows.saturating_add(self.parcel.saturating_mul(parcels))
    }
}

fn sealing(measure: &ExtractMeasure, sampled: u64) -> Option<Apart> {
    let half = measure.half.map(|half| (half.rows, half.sealing_us));
    Apart::of((sampled, measure.sealing_us), half, measure.rows_in_scope)
}

fn sealed_bytes(measure: &ExtractMeasure, (sampled, bytes): (u64, u64)) -> Option<u64> {
    let half = measure.half.map(|half| (half.rows, half.bytes));
    let apart = Apart::of((sampled, bytes), half, measure.rows_in_scope)?;
    Some(apart.all(parcels_of(apart.rows)?))
}

/// How many parcels so many bytes fill.
fn parcels_of(bytes: u64) -> Option<u64> {
    Some(bytes.checked_div(u64::try_from(seal::PARCEL_BYTES_ENOUGH).ok()?)?.saturating_add(1))
}

/// Begun ones counted.
fn milliseconds(microseconds: u64) -> u64 {
    microseconds.div_ceil(1_000)
}

/// `figure` for `whole` when it was measured for `part`; nothing for nothing, none when nothing was measured.
fn scaled(figure: u64, whole: u64, part: u64) -> Option<u64> {
    if whole == 0 {
        return Some(0);
    }
    let product = u128::from(figure).saturating_mul(u128::from(whole));
    Some(u64::try_from(product.checked_add(u128::from(part) / 2)?.checked_div(u128::from(part))?).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
