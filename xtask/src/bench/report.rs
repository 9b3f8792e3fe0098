//! Figures as rows, and rows as a page: every bench file has this form, and its page is made from the file alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Telling;
use super::cast::write;
use super::passage::WORDS as PASSAGE;
use super::vault::WORDS as VAULT;
use crate::kills::WORDS as KILLS;
use crate::process;

/// Between the parts of a row's name: system, step, what.
const SEPARATOR: &str = " / ";

/// What a bench is called, and what stands on its page around the figures.
pub(crate) struct Words {
    /// Of its two files in `docs/bench`.
    pub(crate) name: &'static str,
    /// What makes them, after `cargo xtask`.
    pub(crate) command: &'static str,
    pub(crate) head: &'static str,
    pub(crate) foot: &'static str,
}

impl Words {
    pub(crate) fn file(&self, root: &Path) -> PathBuf {
        root.join("docs").join("bench").join(self.name).with_extension("json")
    }
}

/// Every bench file in the tree.
const ALL: [Words; 3] = [PASSAGE, KILLS, VAULT];

/// What was measured in one run, and on what.
pub(crate) struct Measured<'a> {
    pub(crate) machine: String,
    /// What each system ran on beside the machine: versions and settings.
    pub(crate) about: BTreeMap<String, String>,
    pub(crate) rows: &'a [Row],
}

/// Prints what was measured and, after a run that may be kept, keeps it.
pub(super) fn told(root: &Path, telling: Telling, words: &Words, measured: &Measured<'_>) -> Result<ExitCode> {
    let old = if telling.kept { read(&words.file(root))? } else { None };
    let document = document(old.as_ref(), measured, &now()?);
    if telling.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        println!("{}", page(words, &document));
    }
    if telling.kept {
        keep(root, words, &document)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The moment, in UTC.
pub(crate) fn now() -> Result<String> {
    process::answer("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]).context("date gives no answer")
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// The value must be no more, or no less; none when nothing is asked of it.
    pub(super) target: Option<f64>,
    /// No less.
    least: bool,
}

impl Row {
    pub(crate) fn new(parts: [&str; 3], value: f64, unit: &'static str) -> Self {
        Self { name: parts.join(SEPARATOR), value: rounded(value), unit, target: None, least: false }
    }

    pub(crate) fn at_most(self, target: Option<f64>) -> Self {
        Self { target, ..self }
    }

    pub(super) fn at_least(self, target: Option<f64>) -> Self {
        Self { target, least: true, ..self }
    }

    fn value(&self) -> Value {
        // Against the figure that is shown, so that a reader can check it.
        let holds = self.target.map(|target| if self.least { self.value >= target } else { self.value <= target });
        let Self { name, value, unit, target, least } = self;
        let mut row = json!({ "name": name, "value": value, "unit": unit, "target": target, "holds": holds });
        if let Some(row) = row.as_object_mut().filter(|_| *least) {
            row.insert("bound".to_owned(), json!("least"));
        }
        row
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

/// The file of a bench: systems that were not measured now stay as they were, with their own date.
pub(crate) fn document(old: Option<&Value>, measured: &Measured<'_>, date: &str) -> Value {
    let Measured { machine, about, rows } = measured;
    let of_now: Vec<&str> = rows.iter().filter_map(|row| row.name.split(SEPARATOR).next()).collect();
    let old = |part: &str| old.and_then(|old| old.get(part));
    let kept = old("rows").and_then(Value::as_array).into_iter().flatten();
    let kept = kept.filter(|row| !of_now.contains(&parts(row)[0]));
    let rows: Vec<Value> = rows.iter().map(Row::value).chain(kept.cloned()).collect();
    let mut systems = old("systems").and_then(Value::as_object).cloned().unwrap_or_default();
    for system in of_now {
        let machine = about.get(system).map_or_else(|| machine.clone(), |about| format!("{machine}; {about}"));
        systems.insert(system.to_owned(), json!({ "date": date, "machine": machine }));
    }
    json!({ "machine": machine, "date": date, "systems": systems, "rows": rows })
}

/// Reads a bench file, if there is one.
pub(crate) fn read(file: &Path) -> Result<Option<Value>> {
    if !file.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file)?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("{} is no JSON", file.display()))
}

/// Writes every page anew from the file beside it: what stands around the figures changed.
pub(super) fn write_pages(root: &Path) -> Result<ExitCode> {
    for words in ALL {
        if let Some(document) = read(&words.file(root))? {
            keep(root, &words, &document)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a bench file and its page beside it, in a folder that a fresh clone need not have.
pub(crate) fn keep(root: &Path, words: &Words, document: &Value) -> Result<()> {
    let file = words.file(root);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write(&file, &format!("{}\n", serde_json::to_string_pretty(document)?))?;
    write(&file.with_extension("md"), &page(words, document))?;
    eprintln!("kept in {} and the page beside it", file.display());
    Ok(())
}

/// The page of a bench file.
pub(crate) fn page(words: &Words, document: &Value) -> String {
    let Words { name, command, head, foot } = words;
    let made = format!("Made from `{name}.json` by `cargo xtask {command}`; not written by hand.");
    let mut out = format!("# {head}\n\n{made}\n");
    let rows: Vec<&Value> = document.get("rows").and_then(Value::as_array).into_iter().flatten().collect();
    let mut systems: Vec<&str> = Vec::new();
    for row in &rows {
        let [system, ..] = parts(row);
        if !systems.contains(&system) {
            systems.push(system);
        }
    }
    if rows.iter().any(|row| has_target(row)) {
        out.push_str("\n## Targets\n\n| what | measured | target | holds |\n|---|---:|---:|---|\n");
    }
    for row in rows.iter().filter(|row| has_target(row)) {
        let [system, step, what] = parts(row);
        let holds = if holds(row) { "yes" } else { "**no**" };
        if what == PEAK && holds == "yes" {
            continue;
        }
        let name = cell(&format!("{system}: {step}, {what}"));
        let least = if row.get("bound").is_some() { "at least " } else { "" };
        line(&mut out, &format!("| {name} | {} | {least}{} | {holds} |", shown(row, "value"), shown(row, "target")));
    }
    for system in systems {
        let of: Vec<&Value> = rows.iter().copied().filter(|row| parts(row)[0] == system).collect();
        let said = |what: &str| {
            let said = document.get("systems").and_then(|systems| systems.get(system)).and_then(|of| of.get(what));
            said.and_then(Value::as_str).unwrap_or_default()
        };
        line(&mut out, &format!("\n## {system}\n\n{}. {}.\n", said("date"), said("machine")));
        section(&mut out, system, &of);
    }
    out.push_str(foot);
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
    let has_steps = !steps.is_empty();
    if has_steps {
        line(out, "| step | CPU s | wall s | peak MiB | not ours s | load |\n|---|---:|---:|---:|---:|---:|");
    }
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
    if !others.is_empty() {
        let blank = if has_steps { "\n" } else { "" };
        line(out, &format!("{blank}{}", others.join("\n")));
    }
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

    fn measured(rows: &[Row]) -> Measured<'_> {
        Measured { machine: "a machine".to_owned(), about: BTreeMap::new(), rows }
    }

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
        let at = |value| document(None, &measured(&[row("A", value)]), "today");
        assert_eq!(at(1.25).pointer("/rows/0/holds"), Some(&json!(true)));
        assert_eq!(at(1.251).pointer("/rows/0/holds"), Some(&json!(false)));
        let told = page(&PASSAGE, &at(1.251));
        assert!(told.contains("| A: move ÷ pipe, ratio | 1.25 | 1.25 | **no** |"), "{told}");
    }

    #[test]
    fn a_target_that_must_be_reached_says_so() {
        let at = |value| {
            let row = Row::new(["A", "one ÷ two", "ratio"], value, "×").at_least(Some(1.7));
            document(None, &measured(&[row]), "today")
        };
        assert_eq!(at(1.7).pointer("/rows/0/holds"), Some(&json!(true)));
        assert_eq!(at(1.699).pointer("/rows/0/holds"), Some(&json!(false)));
        let told = page(&PASSAGE, &at(1.6));
        assert!(told.contains("| A: one ÷ two, ratio | 1.60 | at least 1.70 | **no** |"), "{told}");
    }

    #[test]
    fn a_process_that_holds_too_much_is_named_among_the_targets() {
        let peak = |mib| Row::new(["A", "load", PEAK], mib, "MiB").at_most(Some(256.0));
        let told = |mib| page(&PASSAGE, &document(None, &measured(&[peak(mib)]), "today"));
        assert!(told(257.0).contains("| A: load, peak memory | 257 | 256 | **no** |"));
        assert!(!told(256.0).contains("A: load"));
    }

    #[test]
    fn rows_of_a_system_that_is_measured_again_are_replaced_and_others_stay() {
        let old = document(None, &measured(&[row("A", 1.0), row("B", 2.0)]), "once");
        let about = BTreeMap::from([("B".to_owned(), "B 2.0".to_owned())]);
        let now = Measured { machine: "another".to_owned(), about, rows: &[row("B", 1.5)] };
        let new = document(Some(&old), &now, "now");
        let values: Vec<_> = new.get("rows").unwrap().as_array().unwrap().iter().map(|row| row.get("value")).collect();
        assert_eq!(values, [Some(&json!(1.5)), Some(&json!(1.0))]);
        let told = page(&PASSAGE, &new);
        assert!(told.contains("## A\n\nonce. a machine.\n"), "{told}");
        assert!(told.contains("## B\n\nnow. another; B 2.0.\n"), "{told}");
    }

    #[test]
    fn a_file_is_kept_where_none_was_and_read_again() {
        let place = std::env::temp_dir().join(format!("lazaret-bench-{}", std::process::id()));
        let document = document(None, &measured(&[row("A", 1.0)]), "today");
        keep(&place, &PASSAGE, &document).unwrap();
        let file = PASSAGE.file(&place);
        assert_eq!(read(&file).unwrap(), Some(document));
        assert!(file.with_extension("md").is_file());
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn the_pages_in_the_tree_are_made_from_the_files_beside_them() {
        for words in ALL {
            let file = words.file(&crate::root().unwrap());
            let Some(document) = read(&file).unwrap() else { continue };
            assert_eq!(std::fs::read_to_string(file.with_extension("md")).unwrap(), page(&words, &document));
        }
    }
}
