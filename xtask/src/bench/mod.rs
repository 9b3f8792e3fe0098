//! `cargo xtask bench passage`: what carrying records costs, beside what each database's own tools take for it. And
//! `cargo xtask bench vault`: what sealing and destroying cost ([`vault`]).
//!
//! Of a passage, everything happens in one temporary folder, on database servers and a lazaret of its own, with rows that are computed.
//! A step is measured from outside, by what the kernel says about processes; nothing in the program knows of it.

mod carriage;
mod cast;
mod dialect;
mod forecast;
mod mariadb;
mod meter;
mod pair;
mod passage;
mod postgres;
mod procfs;
pub(crate) mod report;
mod runs;
mod sqlite;
mod tables;
mod vault;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
pub(crate) use procfs::machine;
use tables::Sizes;

const BENCHES: &str = "cargo xtask bench passage|vault [options]; each has its --help
cargo xtask bench pages: writes the pages of docs/bench anew from their files";

const USAGE: &str = "cargo xtask bench passage [options]

  --patients N    rows of 60 columns (500000)
  --results N     rows of 15 columns (5000000)
  --runs N        how often each step is run; medians are told (3)
  --only NAME     postgres, mariadb, sqlite, forecast: what a rehearsal in PostgreSQL foretells and what came, once; or
                  huge: a table of 10 GB in PostgreSQL, once, for the memory that it takes; without a name all but the last
  --debug-build   the unoptimised program: shows that the sequence works, and no figure
  --no-build      the program as it was built last
  --json          prints the bench file instead of its page

A run of the standard size, with the optimised program, is kept in docs/bench/passage.json and passage.md.";

/// As is asked for in the requirements: what figures in the tree are about.
const STANDARD: Options = Options {
    sizes: Sizes { patients: 500_000, results: 5_000_000 },
    runs: 3,
    only: None,
    build: Build::STANDARD,
    json: false,
};

/// What is to be measured.
#[derive(Clone, Debug, PartialEq)]
struct Options {
    sizes: Sizes,
    runs: usize,
    only: Option<Family>,
    build: Build,
    json: bool,
}

/// The programs that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Build {
    profile: Profile,
    /// As they were built last.
    not_now: bool,
}

impl Build {
    const STANDARD: Self = Self { profile: Profile::Release, not_now: false };

    /// Whether the word was about this.
    fn took(&mut self, word: &str) -> bool {
        match word {
            "--debug-build" => self.profile = Profile::Debug,
            "--no-build" => self.not_now = true,
            _ => return false,
        }
        true
    }
}

/// What happens to figures.
#[derive(Clone, Copy, Debug)]
struct Telling {
    /// They may stand in the tree.
    kept: bool,
    json: bool,
}

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Debug,
    Release,
}

impl Profile {
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Debug => &[],
            Self::Release => &["--release"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// A family of systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Postgres,
    MariaDb,
    Sqlite,
    /// A rehearsal in `PostgreSQL` and the full round after it.
    Forecast,
    /// One table of 10 GB in `PostgreSQL`; only when it is named, for the disk that it takes.
    Huge,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = STANDARD;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
            match *word {
                "--patients" => options.sizes.patients = value()?.parse()?,
                "--results" => options.sizes.results = value()?.parse()?,
                "--runs" => options.runs = value()?.parse()?,
                "--only" => {
                    options.only = Some(match *value()? {
                        "postgres" => Family::Postgres,
                        "mariadb" => Family::MariaDb,
                        "sqlite" => Family::Sqlite,
                        "forecast" => Family::Forecast,
                        "huge" => Family::Huge,
                        other => bail!("{other} is no family of systems\n\n{USAGE}"),
                    });
                }
                "--json" => options.json = true,
                word if options.build.took(word) => {}
                _ => bail!("{USAGE}"),
            }
        }
        if options.runs == 0 || options.sizes.patients == 0 || options.sizes.results == 0 {
            bail!("nothing would be measured\n\n{USAGE}");
        }
        Ok(options)
    }

    fn wants(&self, family: Family) -> bool {
        self.only.map_or(family != Family::Huge, |only| only == family)
    }

    /// Whether the figures may stand in the tree.
    fn is_standard(&self) -> bool {
        let asked = |options: &Self| (options.sizes, options.runs, options.build);
        asked(self) == asked(&STANDARD)
    }
}

/// `cargo xtask bench …`.
pub(crate) fn command(root: &Path, words: &[&str]) -> Result<ExitCode> {
    match words {
        ["passage", words @ ..] => passage::command(root, &Options::parse(words)?),
        ["vault", words @ ..] => vault::command(root, words),
        ["pages"] => report::write_pages(root),
        _ => bail!("{BENCHES}"),
    }
}

/// Builds programs; the folder in which they are then.
fn built(root: &Path, wanted: Build, programs: &[[&str; 4]]) -> Result<PathBuf> {
    for words in programs.iter().filter(|_| !wanted.not_now) {
        let mut build = process::cargo(root);
        build.arg("build").args(words).args(wanted.profile.words());
        process::run(&mut build, Duration::from_hours(1))?;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(wanted.profile.folder()))
}

/// The same program in the bench's own folder: a build in between changes nothing of what is measured.
fn copied(program: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join(program.file_name().unwrap_or_default());
    std::fs::copy(program, &copy).with_context(|| format!("{} cannot be copied", program.display()))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_run_of_the_optimised_program_is_kept() {
        let kept = |words: &[&str]| Options::parse(words).unwrap().is_standard();
        assert!(kept(&[]) && kept(&["--only", "huge", "--json"]) && kept(&["--only", "sqlite"]));
        assert!(
            !kept(&["--patients", "10"])
                && !kept(&["--runs", "1"])
                && !kept(&["--debug-build"])
                && !kept(&["--no-build"])
        );
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        for words in [&["--fast"][..], &["--only", "oracle"], &["--runs"], &["--runs", "0"], &["--results", "many"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
