//! Figures as rows, and rows as a page: every bench file has this form, and its page is made from the file alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cast::write;

/// Between the parts of a row's name: system, step, what.
const SEPARATOR: &str = " / ";

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// The value must be no more; none when nothing is asked of it.
    pub(super) target: Option<f64>,
}

impl Row {
    pub(super) fn new(parts: [&str; 3], value: f64, unit: &'static str) -> Self {
        Self { name: parts.join(SEPARATOR), value: rounded(value), unit, target: None }
    }

    pub(super) fn at_most(self, target: Option<f64>) -> Self {
        Self { target, ..self }
    }

    fn value(&self) -> Value {
        // Against the figure that is shown, so that a reader can check it.
        let holds = self.target.map(|target| self.value <= target);
        json!({ "name": self.name, "value": self.value, "unit": self.unit, "target": self.target, "holds": holds })
    }
}

/// Figures of a run are good to three decimals at most.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}

/// The file of a bench: rows of systems that were not measured now stay as they were.
pub(super) fn document(old: Option<&Value>, machine: &BTreeMap<String, String>, date: &str, rows: &[Row]) -> Value {
    let measured: Vec<&str> = rows.iter().filter_map(|row| row.name.split(SEPARATOR).next()).collect();
    let kept = old.and_then(|old| old.get("rows")).and_then(Value::as_array).into_iter().flatten().filter(|row| {
        let system = row.get("name").and_then(Value::as_str).and_then(|name| name.split(SEPARATOR).next());
        system.is_some_and(|system| !measured.contains(&system))
    });
    let rows: Vec<Value> = rows.iter().map(Row::value).chain(kept.cloned()).collect();
    let machine: Vec<&str> = machine.values().map(String::as_str).collect();
    json!({ "machine": machine.join("; "), "date": date, "rows": rows })
}

/// Reads a bench file, if there is one.
pub(super) fn read(file: &Path) -> Result<Option<Value>> {
    if !file.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file)?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("{} is no JSON", file.display()))
}

/// Writes a bench file and its page beside it, in a folder that a fresh clone need not have.
pub(super) fn keep(file: &Path, document: &Value) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write(file, &format!("{}\n", serde_json::to_string_pretty(document)?))?;
    write(&file.with_extension("md"), &page(document))
}

const HEAD: &str = "# What carrying records costs

Made from `passage.json` by `cargo xtask bench passage`; not written by hand.
";

const FOOT: &str = "
## How to read this

* CPU is of everything that works for a step: the program's processes, the other programs, the lazaret, the database's
  processes. CPU and wall are medians of the runs; memory is the highest of all runs. The runs are interleaved: every
  step once, then every step again.
* No process of the program may hold more than 256 MiB; one that does is named among the targets.
* *Not ours* is CPU that the machine spent on something else meanwhile, kernel and host included; with the load average it
  tells how quiet the machine was. Ratios are of CPU, so they bear some of it; wall times do not.
* `move` and `T` are no commands of the program: connectors and scope alone, from `drill/examples/measure.rs`. `extract`,
  `load`, `reconcile` and `migrate` are the program, with a lazaret on loopback. `migrate` includes the release.
* A load reads the target again and fingerprints it (T). *seal + load* is extraction and load without that: T is taken off
  as measured by itself.
* The `COPY` pipe and the dump's restore prove nothing about what arrived; `pg_restore` makes the tables and their indexes,
  the other steps find them there, empty.
";

/// The page of a bench file.
pub(super) fn page(document: &Value) -> String {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut out = format!("{HEAD}\n{}. {}.\n", text("date"), text("machine"));
    let rows: Vec<&Value> = document.get("rows").and_then(Value::as_array).into_iter().flatten().collect();
    let mut systems: Vec<&str> = Vec::new();
    for row in &rows {
        let [system, ..] = parts(row);
        if !systems.contains(&system) {
            systems.push(system);
        }
    }
    out.push_str("\n## Targets\n\n| what | measured | target | holds |\n|---|---:|---:|---|\n");
    for row in rows.iter().filter(|row| has_target(row)) {
        let [system, step, what] = parts(row);
        let holds = if holds(row) { "yes" } else { "**no**" };
        if what == PEAK && holds == "yes" {
            continue;
        }
        let name = cell(&format!("{system}: {step}, {what}"));
        line(&mut out, &format!("| {name} | {} | {} | {holds} |", shown(row, "value"), shown(row, "target")));
    }
    for system in systems {
        let of: Vec<&Value> = rows.iter().copied().filter(|row| parts(row).first() == Some(&system)).collect();
        section(&mut out, system, &of);
    }
    out.push_str(FOOT);
    out
}

/// The columns of a system's table, and the last part of the names of their rows.
const COLUMNS: [&str; 5] = [CPU, WALL, PEAK, NOT_OURS, LOAD];
pub(super) const CPU: &str = "CPU";
pub(super) const WALL: &str = "wall";
pub(super) const PEAK: &str = "peak memory";
pub(super) const NOT_OURS: &str = "CPU not ours";
pub(super) const LOAD: &str = "load average";

fn section(out: &mut String, system: &str, rows: &[&Value]) {
    line(out, &format!("\n## {system}\n"));
    let mut steps: Vec<&str> = Vec::new();
    for row in rows {
        let [_, step, what] = parts(row);
        if COLUMNS.contains(&what) && !steps.contains(&step) {
            steps.push(step);
        }
    }
    let figure = |step: &str, what: &str| {
        let found = rows.iter().find(|row| parts(row) == [system, step, what]);
        found.map(|row| shown(row, "value")).unwrap_or_default()
    };
    line(out, "| step | CPU s | wall s | peak MiB | not ours s | load |\n|---|---:|---:|---:|---:|---:|");
    for step in steps {
        let figures: Vec<String> = COLUMNS.iter().map(|what| figure(step, what)).collect();
        line(out, &format!("| {} | {} |", cell(step), figures.join(" | ")));
    }
    let others: Vec<String> = rows
        .iter()
        .filter(|row| !COLUMNS.contains(&parts(row)[2]) && !has_target(row))
        .map(|row| {
            let [_, step, what] = parts(row);
            let unit = row.get("unit").and_then(Value::as_str).unwrap_or_default();
            format!("* {step}, {what}: {} {unit}", shown(row, "value"))
        })
        .collect();
    line(out, &format!("\n{}", others.join("\n")));
}

fn has_target(row: &Value) -> bool {
    row.get("target").is_some_and(Value::is_number)
}

fn holds(row: &Value) -> bool {
    row.get("holds") == Some(&Value::Bool(true))
}

fn parts(row: &Value) -> [&str; 3] {
    let mut parts = row.get("name").and_then(Value::as_str).unwrap_or_default().splitn(3, SEPARATOR);
    let mut next = || parts.next().unwrap_or_default();
    [next(), next(), next()]
}

/// A name in a cell: a pipe would end it.
fn cell(name: &str) -> String {
    name.replace('|', "\\|")
}

fn shown(row: &Value, name: &str) -> String {
    let value = row.get(name).and_then(Value::as_f64).unwrap_or_default();
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ignored = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: &str, value: f64) -> Row {
        Row::new([system, "move ÷ pipe", "ratio"], value, "×").at_most(Some(1.25))
    }

    #[test]
    fn a_median_is_in_the_middle() {
        for (values, middle) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0], 2.5), (vec![7.0], 7.0)] {
            assert!((median(values) - middle).abs() < 1e-9);
        }
    }

    #[test]
    fn a_target_holds_at_its_bound_and_no_further() {
        let machine = BTreeMap::from([("1".to_owned(), "a machine".to_owned())]);
        let at = |value| document(None, &machine, "today", &[row("A", value)]);
        assert_eq!(at(1.25).pointer("/rows/0/holds"), Some(&json!(true)));
        assert_eq!(at(1.251).pointer("/rows/0/holds"), Some(&json!(false)));
        let told = page(&at(1.251));
        assert!(told.contains("| A: move ÷ pipe, ratio | 1.25 | 1.25 | **no** |"), "{told}");
    }

    #[test]
    fn a_process_that_holds_too_much_is_named_among_the_targets() {
        let peak = |mib| Row::new(["A", "load", PEAK], mib, "MiB").at_most(Some(256.0));
        let told = |mib| page(&document(None, &BTreeMap::new(), "today", &[peak(mib)]));
        assert!(told(257.0).contains("| A: load, peak memory | 257 | 256 | **no** |"));
        assert!(!told(256.0).contains("A: load"));
    }

    #[test]
    fn rows_of_a_system_that_is_measured_again_are_replaced_and_others_stay() {
        let machine = BTreeMap::new();
        let old = document(None, &machine, "once", &[row("A", 1.0), row("B", 2.0)]);
        let new = document(Some(&old), &machine, "now", &[row("B", 1.5)]);
        let values: Vec<_> = new.get("rows").unwrap().as_array().unwrap().iter().map(|row| row.get("value")).collect();
        assert_eq!(values, [Some(&json!(1.5)), Some(&json!(1.0))]);
    }

    #[test]
    fn a_file_is_kept_where_none_was_and_read_again() {
        let place = std::env::temp_dir().join(format!("lazaret-bench-{}", std::process::id()));
        let file = place.join("docs/bench/passage.json");
        let document = document(None, &BTreeMap::new(), "today", &[row("A", 1.0)]);
        keep(&file, &document).unwrap();
        assert_eq!(read(&file).unwrap(), Some(document));
        assert!(file.with_extension("md").is_file());
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn the_page_in_the_tree_is_made_from_the_file_beside_it() {
        let file = crate::root().unwrap().join("docs/bench/passage.json");
        let Some(document) = read(&file).unwrap() else { return };
        assert_eq!(std::fs::read_to_string(file.with_extension("md")).unwrap(), page(&document));
    }
}
