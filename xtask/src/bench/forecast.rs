//! What a rehearsal foretells, beside what the full round then takes: the same commands, by the same persons.

use anyhow::{Context, Result};
use serde_json::Value;

use super::cast::{Approved, CARRIER, CONTROLLER, Cast};
use super::pair::Pair;
use super::postgres::Postgres;
use super::report::Row;
use super::tables::{self, Sizes};

/// The sample, in percent of the rows in scope.
const PERCENT: &str = "1";
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Rehearses on a sample, forgets it, and carries everything.
pub(super) fn rows(pair: &Postgres, cast: &Cast, sizes: Sizes) -> Result<Vec<Row>> {
    let [source, target, trial] = pair.with_trial(sizes)?;
    let systems = cast.look("Forecast", (&source, &target), &tables::scope())?;
    let approved = cast.approved(&cast.with_trial(&systems, &trial)?)?;
    eprintln!("{}: a rehearsal on {PERCENT} %", pair.name());
    let round = Round { cast, approved: &approved, source: &source };
    let rehearsal = round.carried(&["--kind", "rehearsal", "--percent", PERCENT], &trial)?;
    let before = round.said(CARRIER, &["consignment", "forecast"])?;
    let why = [
        "consignment",
        "abandon",
        "--consignment",
        &rehearsal,
        "--reason",
        "it has been measured",
        "--yes",
        &rehearsal,
    ];
    round.said(CARRIER, &why)?;
    pair.checkpoint()?;
    eprintln!("{}: the full round", pair.name());
    round.carried(&[], &target)?;
    let after = round.said(CARRIER, &["consignment", "forecast"])?;
    let disk = pair.target_bytes()?;
    beside(pair.name(), &before, &after, (sizes, disk)).context("a forecast without one of its figures")
}

struct Round<'a> {
    cast: &'a Cast,
    approved: &'a Approved,
    source: &'a str,
}

impl Round<'_> {
    fn said(&self, person: &str, words: &[&str]) -> Result<Value> {
        self.cast.said(person, &[words, &["--migration", &self.approved.migration]].concat())
    }

    /// Everything from opening to loading; the consignment's name.
    fn carried(&self, kind: &[&str], target: &str) -> Result<String> {
        let opened = self.said(CARRIER, &[&["consignment", "open"][..], kind].concat())?;
        self.said(CARRIER, &["consignment", "offer"])?;
        self.said(CARRIER, &["extract", "--source", self.source, "--yes", &self.approved.plan])?;
        let yes = self.cast.to_release(&self.approved.migration)?;
        self.said(CONTROLLER, &["consignment", "release", "--yes", &yes])?;
        self.said(CARRIER, &["consignment", "hand-over"])?;
        self.said(CARRIER, &["load", "--target", target])?;
        let name = opened.get("consignment").and_then(Value::as_str).context("no consignment was told")?;
        Ok(name.to_owned())
    }
}

/// Each figure of the forecast, and the same of what came; none when one is missing.
fn beside(system: &str, before: &Value, after: &Value, (sizes, disk): (Sizes, f64)) -> Option<Vec<Row>> {
    let of = |told: &Value, pointer: &str| told.pointer(pointer).and_then(Value::as_f64);
    let foretold = |name: &str| of(before, &format!("/total/{name}"));
    let came = |name: &str| of(after, &format!("/came/{name}"));
    let load = foretold("load_ms")? + foretold("reconcile_ms")?;
    let figures = [
        ("rows", foretold("rows")?, came("rows")?, 1.0, "rows"),
        ("sealed", foretold("sealed_bytes")?, came("sealed_bytes")?, MEBIBYTE, "MiB"),
        ("time to extract", foretold("extract_ms")?, came("extract_ms")?, 1000.0, "s"),
        ("time to load and read again", load, came("load_and_reconcile_ms")?, 1000.0, "s"),
        ("disk of the target", foretold("target_bytes")?, disk, MEBIBYTE, "MiB"),
    ];
    let mut rows = Vec::new();
    for (step, foretold, came, unit_of, unit) in figures {
        rows.push(Row::new([system, step, "foretold"], foretold / unit_of, unit));
        rows.push(Row::new([system, step, "came"], came / unit_of, unit));
    }
    let made = |rows: u64| u32::try_from(rows).map_or(f64::MAX, f64::from);
    for (what, count) in [("patients", sizes.patients), ("results", sizes.results)] {
        rows.push(Row::new([system, "table", what], made(count), "rows"));
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_figure_stands_beside_what_came() {
        let before = json!({ "total": { "rows": 90, "sealed_bytes": 2_097_152, "extract_ms": 1500, "load_ms": 1000,
            "reconcile_ms": 500, "target_bytes": 3_145_728 } });
        let after = json!({ "came": { "rows": 90, "sealed_bytes": 1_048_576, "extract_ms": 1000,
            "load_and_reconcile_ms": 2000 } });
        let sizes = Sizes { patients: 30, results: 60 };
        let rows = beside("A", &before, &after, (sizes, 4.0 * MEBIBYTE)).unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.value)).collect();
        for (name, value) in [
            ("A / sealed / foretold", 2.0),
            ("A / sealed / came", 1.0),
            ("A / time to load and read again / foretold", 1.5),
            ("A / time to load and read again / came", 2.0),
            ("A / disk of the target / came", 4.0),
        ] {
            assert!(told.iter().any(|(of, figure)| *of == name && (figure - value).abs() < 1e-9), "{name}: {told:?}");
        }
        assert!(beside("A", &json!({}), &after, (sizes, 0.0)).is_none());
    }
}
