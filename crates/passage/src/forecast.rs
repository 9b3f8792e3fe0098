//! What the full round will take, from what a rehearsal measured. Pure: signed facts go in, numbers come out.
//!
//! Reading the old system took as long as it will: a rehearsal reads every row in scope. Everything else grows: sealing
//! and storing with the sealed bytes; loading, reading again and the target's disk with the rows.

use std::collections::BTreeMap;

use lexicon::{Code, ConsignmentId, Refusal, Result, Timestamp};
use procedure::{Act, Consignment, ExtractMeasure, Kind, Ledger, LoadMeasure, ManifestTable, Step};
use serde::Serialize;

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
    /// All of them, one after the other.
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
    let mut sealed: BTreeMap<&str, u64> = BTreeMap::new();
    for parcel in &manifest.parcels {
        let bytes = sealed.entry(&parcel.table).or_default();
        *bytes = bytes.saturating_add(parcel.bytes);
    }
    let lines: BTreeMap<&str, &ManifestTable> = manifest.tables.iter().map(|line| (line.name.as_str(), line)).collect();
    let tables = manifest.measured.iter().filter_map(|measure| {
        let name = measure.name.as_str();
        let bytes = sealed.get(name).copied().unwrap_or_default();
        Some(table(lines.get(name)?, bytes, measure, loads.get(name)))
    });
    let tables: Vec<TableForecast> = tables.collect();
    Ok(Forecast {
        consignment: round.id,
        basis_points: round.basis_points,
        seed: round.seed,
        target: round.target.clone(),
        settled: round.settled(),
        accepted: round.outcome.as_ref().is_some_and(|outcome| outcome.accepted.is_some()),
        total: tables.iter().map(|table| table.window).reduce(Window::and).unwrap_or_default(),
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
            known.loading_ms = measure.loading_ms.or(known.loading_ms);
            known.target_bytes = measure.target_bytes.or(known.target_bytes);
            known.comparing_ms = measure.comparing_ms;
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

fn table(line: &ManifestTable, bytes: u64, measure: &ExtractMeasure, load: Option<&LoadMeasure>) -> TableForecast {
    let (rows, sampled) = (measure.rows_in_scope, line.rows);
    let by_rows = |figure: u64| scaled(figure, rows, sampled);
    let sealed_bytes = sealed_bytes(measure, (sampled, bytes));
    let sealing = sealed_bytes.and_then(|sealed| scaled(measure.sealing_ms, sealed, bytes));
    TableForecast {
        name: line.name.clone(),
        target: line.target.clone(),
        sampled,
        window: Window {
            rows,
            sealed_bytes,
            extract_ms: sealing.map(|sealing| measure.reading_ms.saturating_add(sealing)),
            load_ms: load.and_then(|load| load.loading_ms).and_then(by_rows),
            reconcile_ms: load.map(|load| load.comparing_ms).and_then(by_rows),
            target_bytes: load.and_then(|load| load.target_bytes).and_then(by_rows),
        },
    }
}

/// A parcel weighs something without any row, and a sample's parcels are small: two sizes tell the two apart.
fn sealed_bytes(measure: &ExtractMeasure, (sampled, bytes): (u64, u64)) -> Option<u64> {
    let rows = measure.rows_in_scope;
    let half = measure.half.filter(|half| half.rows > 0 && half.rows < sampled && half.bytes < bytes);
    let Some(half) = half else { return scaled(bytes, rows, sampled) };
    let (more_rows, more_bytes) = (sampled.saturating_sub(half.rows), bytes.saturating_sub(half.bytes));
    let beside = bytes.saturating_sub(scaled(more_bytes, sampled, more_rows)?);
    let of_rows = scaled(more_bytes, rows, more_rows)?;
    let parcels = of_rows.checked_div(u64::try_from(seal::PARCEL_BYTES_ENOUGH).ok()?)?.saturating_add(1);
    Some(of_rows.saturating_add(beside.saturating_mul(parcels)))
}

/// `figure` for `whole` when it was measured for `part`; nothing for nothing, none when nothing was measured.
fn scaled(figure: u64, whole: u64, part: u64) -> Option<u64> {
    if whole == 0 {
        return Some(0);
    }
    let product = u128::from(figure).saturating_mul(u128::from(whole));
    Some(u64::try_from(product.checked_add(u128::from(part) / 2)?.checked_div(u128::from(part))?).unwrap_or(u64::MAX))
}

impl Window {
    /// One after the other. A figure that one of them lacks is lacking.
    fn and(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self {
            rows: self.rows.saturating_add(other.rows),
            sealed_bytes: sum(self.sealed_bytes, other.sealed_bytes),
            extract_ms: sum(self.extract_ms, other.extract_ms),
            load_ms: sum(self.load_ms, other.load_ms),
            reconcile_ms: sum(self.reconcile_ms, other.reconcile_ms),
            target_bytes: sum(self.target_bytes, other.target_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use lexicon::Digest;
    use procedure::HalfSealed;

    use super::*;

    fn measure(rows_in_scope: u64, half: Option<HalfSealed>) -> ExtractMeasure {
        ExtractMeasure { name: "patient".to_owned(), rows_in_scope, reading_ms: 1, sealing_ms: 1, half }
    }

    #[test]
    fn what_a_parcel_weighs_without_rows_is_not_multiplied() {
        // 1,000 bytes and 10 for each row.
        let half = Some(HalfSealed { rows: 50, bytes: 1_500 });
        assert_eq!(sealed_bytes(&measure(10_000, half), (100, 2_000)), Some(101_000));
        // Ten million rows are several parcels.
        let parcels = 1 + 100_000_000 / u64::try_from(seal::PARCEL_BYTES_ENOUGH).unwrap();
        assert!(parcels > 1);
        assert_eq!(sealed_bytes(&measure(10_000_000, half), (100, 2_000)), Some(100_000_000 + parcels * 1_000));
        assert_eq!(sealed_bytes(&measure(10_000, None), (100, 2_000)), Some(200_000));
    }

    #[test]
    fn reading_is_told_as_it_was_and_everything_else_grows_by_what_it_depends_on() {
        let line = ManifestTable {
            name: "patient".to_owned(),
            target: "import_patient".to_owned(),
            rows_source: 20_000,
            rows: 100,
            root: Digest::of(b"S"),
            columns_taken: 3,
            columns_left: 1,
            transforms: BTreeMap::new(),
            nulls: None,
        };
        let half = Some(HalfSealed { rows: 50, bytes: 1_500 });
        let extracted = ExtractMeasure { reading_ms: 700, sealing_ms: 40, ..measure(10_000, half) };
        let loaded = LoadMeasure {
            name: "patient".to_owned(),
            loading_ms: Some(30),
            comparing_ms: 6,
            target_bytes: Some(8_192),
        };
        // A hundred times the rows, and 50.5 times the sealed bytes.
        let whole = Window {
            rows: 10_000,
            sealed_bytes: Some(101_000),
            extract_ms: Some(700 + 2_020),
            load_ms: Some(3_000),
            reconcile_ms: Some(600),
            target_bytes: Some(819_200),
        };
        let told = |load| table(&line, 2_000, &extracted, load);
        assert_eq!((told(Some(&loaded)).sampled, told(Some(&loaded)).window), (100, whole));
        let compared = LoadMeasure { loading_ms: None, ..loaded.clone() };
        assert_eq!(told(Some(&compared)).window, Window { load_ms: None, ..whole });
        let extraction = Window { load_ms: None, reconcile_ms: None, target_bytes: None, ..whole };
        assert_eq!(told(None).window, extraction);
    }

    #[test]
    fn a_table_of_which_the_sample_has_no_row_is_not_foretold_unless_it_is_empty() {
        assert_eq!(sealed_bytes(&measure(10, None), (0, 0)), None);
        assert_eq!(sealed_bytes(&measure(0, None), (0, 0)), Some(0));
        let empty = Window { sealed_bytes: None, load_ms: Some(3), ..Window::default() };
        let both = empty.and(Window { sealed_bytes: Some(5), load_ms: Some(4), ..Window::default() });
        assert_eq!((both.sealed_bytes, both.load_ms), (None, Some(7)));
    }
}
