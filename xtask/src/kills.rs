//! `cargo xtask kills`: processes of migrations from `MariaDB` to PostgreSQL are killed at points drawn from a seed, and
//! each migration must end as one that nobody disturbed. The killing itself stands in `drill::kills`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::machine;
use crate::bench::report::{self, Measured, Row, Words};
use crate::process;
use crate::servers::{self, Servers};

const USAGE: &str = "cargo xtask kills [options]

  --count N       how many kills (200)
  --seed S        the first seed; each migration takes the next (1)
  --json          also prints the figures as one JSON document

Seeds that found something are kept in drill/kills.seeds and run first, here and in `cargo xtask test`. Kills are printed
by step as agent+server: the process of the person whose step it is, and the server's.

Five migrations that fail end the run, and one that fails before anything was killed in it does. A run of 200 kills or more
is kept in docs/bench/kills.json and kills.md.";

/// From so many kills on the figures stand in the tree, and how many there are without a word.
const STANDARD: u32 = 200;
/// What was killed, on the page.
const SYSTEM: &str = "MariaDB to PostgreSQL";

/// What stands around the figures.
pub(crate) const WORDS: Words = Words {
    name: "kills",
    command: "kills",
    head: "What survives being killed",
    foot: "
## How to read this

* Processes of whole migrations are ended by `kill -9` at points drawn from a seed: that of the person whose step it is
  (agent), or the server's. Where it has ended before its point comes, nothing is killed, and that is counted as too late.
* A failure is a migration whose end differs from the undisturbed one's in a byte, in a table, in a key that is left, in an
  attempt that the journal lacks or shows twice, or in evidence that is not complete; or one in which a process ended by a
  signal that nobody sent it, or panicked.
",
};

/// Some 13 migrations of less than half a minute each; far more on a machine that does something else as well.
const LIMIT: Duration = Duration::from_hours(6);

#[derive(Debug, PartialEq)]
struct Options {
    count: u32,
    seed: u64,
    json: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { count: STANDARD, seed: 1, json: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
            match *word {
                "--count" => options.count = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--json" => options.json = true,
                _ => bail!("{USAGE}"),
            }
        }
        if options.count == 0 {
            bail!("nothing would be killed\n\n{USAGE}");
        }
        Ok(options)
    }
}

pub(crate) fn command(root: &Path, words: &[&str]) -> Result<ExitCode> {
    let options = Options::parse(words)?;
    servers::install()?;
    let build = ["build", "--package", "lazaret", "--bin", "lazaret", "--package", "drill", "--example", "kills"];
    process::run(process::cargo(root).args(build), Duration::from_hours(1))?;
    let mut servers = Servers::start()?;
    let mut kills = process::cargo(root);
    kills.args(["run", "--quiet", "--package", "drill", "--example", "kills", "--"]);
    kills.args([options.count.to_string(), options.seed.to_string()]);
    let told = servers.place.join("kills.json");
    kills.stdout(OpenOptions::new().write(true).create_new(true).open(&told)?);
    let status = servers.run(&mut kills, LIMIT)?.context("the kills took too long")?;
    let told = std::fs::read_to_string(&told)?;
    if options.json {
        print!("{told}");
    }
    if options.count >= STANDARD {
        let figures = serde_json::from_str(&told).context("the kills told no figures")?;
        let about = BTreeMap::from([(SYSTEM.to_owned(), format!("seed {}", options.seed))]);
        let measured = Measured { machine: machine(), about, rows: &rows(&figures) };
        report::keep(root, &WORDS, &report::document(None, &measured, &report::now()?))?;
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The figures of `drill::kills` as rows.
fn rows(figures: &Value) -> Vec<Row> {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let named = |name: &str| figures.get(name).map(number).unwrap_or_default();
    let failures = figures.get("failures").and_then(Value::as_array).map_or(0, Vec::len);
    let failures = f64::from(u32::try_from(failures).unwrap_or(u32::MAX));
    let mut rows = vec![
        Row::new([SYSTEM, "whole migrations", "failures"], failures, "migrations").at_most(Some(0.0)),
        Row::new([SYSTEM, "whole migrations", "brought to their end"], named("migrations"), "migrations"),
        Row::new([SYSTEM, "whole migrations", "attempts in the journals"], named("attempts"), "attempts"),
        Row::new([SYSTEM, "whole migrations", "points that came too late"], named("missed"), "points"),
        Row::new([SYSTEM, "whole migrations", "time"], named("seconds"), "s"),
        Row::new([SYSTEM, "extract", "kills between parcels of one table"], named("between_parcels"), "kills"),
    ];
    let loads = figures.get("loads").and_then(Value::as_object).into_iter().flatten();
    for (account, kills) in loads {
        let what = format!("kills in loads by the account of the {account}");
        rows.push(Row::new([SYSTEM, "load", &what], number(kills), "kills"));
    }
    let steps = figures.get("kills").and_then(Value::as_object).into_iter().flatten();
    for (step, victims) in steps {
        for (victim, kills) in victims.as_object().into_iter().flatten() {
            let what = format!("kills of the {victim}");
            rows.push(Row::new([SYSTEM, step, &what], number(kills), "kills"));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_failed_is_a_target_that_does_not_hold() {
        let told = |failures: &str| {
            let figures = format!(r#"{{"kills":{{"load":{{"agent":3}}}},"migrations":1,"failures":[{failures}]}}"#);
            let rows = rows(&serde_json::from_str(&figures).unwrap());
            let measured = Measured { machine: String::new(), about: BTreeMap::new(), rows: &rows };
            report::page(&WORDS, &report::document(None, &measured, "today"))
        };
        let failed = told(r#"{"seed":7,"what":"rows"}"#);
        assert!(
            failed.contains("failures | 1 | 0 | **no** |") && failed.contains("* load, kills of the agent: 3 kills")
        );
        assert!(told("").contains("failures | 0 | 0 | yes |"));
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        let asked = Options { count: 9, seed: 4, json: true };
        assert_eq!(Options::parse(&["--seed", "4", "--json", "--count", "9"]).unwrap(), asked);
        for words in [&["--fast"][..], &["--count"], &["--count", "0"], &["--seed", "many"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
