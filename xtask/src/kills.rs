//! `cargo xtask kills`: processes of migrations from `MariaDB` to PostgreSQL are killed at points drawn from a seed, and
//! each migration must end as one that nobody disturbed. The killing itself stands in `drill::kills`.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::servers::{self, Servers};

const USAGE: &str = "cargo xtask kills [options]

  --count N       how many kills (200)
  --seed S        the first seed; each migration takes the next (1)
  --json          also prints the figures as one JSON document

Seeds that found something are kept in drill/kills.seeds and run first, here and in `cargo xtask test`. Kills are printed
by step as agent+server: the process of the person whose step it is, and the server's.";

/// Some 14 migrations of half a minute each; far more on a machine that does something else as well.
const LIMIT: Duration = Duration::from_hours(6);

#[derive(Debug, PartialEq)]
struct Options {
    count: u32,
    seed: u64,
    json: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { count: 200, seed: 1, json: false };
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
    if !options.json {
        kills.stdout(Stdio::null());
    }
    let status = servers.run(&mut kills, LIMIT)?.context("the kills took too long")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_nobody_knows_are_refused() {
        let asked = Options { count: 9, seed: 4, json: true };
        assert_eq!(Options::parse(&["--seed", "4", "--json", "--count", "9"]).unwrap(), asked);
        for words in [&["--fast"][..], &["--count"], &["--count", "0"], &["--seed", "many"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
