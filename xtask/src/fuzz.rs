//! `cargo xtask fuzz`: libFuzzer over the targets of `fuzz`, each for a time, with what it found kept.
//!
//! All code of the program is compiled with what counts coverage: passes of LLVM that the stable compiler has, too. The
//! program is built from the house's own lock file, so that what is tried is what is shipped.

mod corpus;

use std::ffi::OsString;
use std::fs::{self, File};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

const USAGE: &str = "cargo xtask fuzz [TARGET…] [options]

  --seconds N   how long each target is tried (600)
  --seed S      what libFuzzer draws from (1)
  --at-once N   how many targets are tried at once (as many as there are cores)

Without a name all targets are tried. New inputs that reach what none reached before are kept in
fuzz/corpus, an input that breaks a promise in fuzz/regressions; `cargo test -p fuzz` gives both to the same functions.
Needs a C++ compiler. What it builds lies in target/fuzz.";

/// Counts of every edge, a table of places, and the operands of comparisons.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// One input takes microseconds; one that takes this long is a finding, also on a machine that does something else.
const INPUT_SECONDS_MAX: u32 = 30;
/// 2 GiB for the whole process: an input's own bound is the target's.
const PROCESS_MEBIBYTES_MAX: u32 = 2048;
/// All rooms and what they stand on, for the first time, on two cores.
const BUILD: Duration = Duration::from_hours(2);

#[derive(Debug, PartialEq)]
struct Options<'a> {
    targets: Vec<&'a str>,
    seconds: u64,
    seed: u32,
    at_once: usize,
}

impl<'a> Options<'a> {
    fn parse(words: &[&'a str]) -> Result<Self> {
        let at_once = thread::available_parallelism().map_or(1, NonZero::get);
        let mut options = Self { targets: Vec::new(), seconds: 600, seed: 1, at_once };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
            match *word {
                "--seconds" => options.seconds = value()?.parse().context("--seconds needs a whole number")?,
                "--seed" => options.seed = value()?.parse().context("--seed needs a whole number")?,
                "--at-once" => options.at_once = value()?.parse().context("--at-once needs a whole number")?,
                name if !name.starts_with('-') => options.targets.push(name),
                _ => bail!("{USAGE}"),
            }
        }
        // libFuzzer takes 0 as no bound, and as a seed of its own drawing.
        ensure!(
            options.seconds > 0 && options.seed > 0 && options.at_once > 0,
            "seconds, seed and targets at once are at least 1\n\n{USAGE}"
        );
        Ok(options)
    }

    /// Those that were named, or all.
    fn chosen(&self, all: &[Target]) -> Result<Vec<Target>> {
        let names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        if let Some(unknown) = self.targets.iter().find(|name| !names.contains(name)) {
            bail!("there is no target {unknown}; there are {}", names.join(", "));
        }
        let is_named = |target: &&Target| self.targets.is_empty() || self.targets.contains(&target.name.as_str());
        Ok(all.iter().filter(is_named).cloned().collect())
    }
}

/// One target, as the program names it.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    name: String,
    bytes_max: usize,
}

impl Target {
    fn read(line: &str) -> Option<Self> {
        let (name, bytes_max) = line.split_once(' ')?;
        Some(Self { name: name.to_owned(), bytes_max: bytes_max.parse().ok()? })
    }
}

/// What libFuzzer said of one run.
#[derive(Debug, Default, PartialEq)]
struct Told {
    executions: u64,
    /// Edges reached by what was there before, and in the end.
    coverage: (u64, u64),
}

impl Told {
    fn read(log: &str) -> Self {
        let after = |line: &str, key: &str| {
            let rest = line.split_once(key)?.1.trim_start();
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
        };
        let mut told = Self::default();
        for line in log.lines() {
            if let Some(coverage) = after(line, " cov:") {
                told.coverage.1 = coverage;
                if line.contains("INITED") {
                    told.coverage.0 = coverage;
                }
            }
            told.executions = after(line, "stat::number_of_executed_units:").unwrap_or(told.executions);
        }
        told
    }
}

pub(crate) fn command(root: &Path, words: &[&str]) -> Result<ExitCode> {
    let options = Options::parse(words)?;
    let runner = Runner::built(root)?;
    let chosen = options.chosen(&runner.targets()?)?;
    let found = runner.all_tried(&chosen, &options)?;
    if found.is_empty() {
        println!("{} targets tried, nothing found", chosen.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "found something: {}; the inputs are in fuzz/regressions, and `cargo test -p fuzz` is red",
        found.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// The program that was built, and where it works.
struct Runner {
    program: PathBuf,
    fuzz: PathBuf,
    work: PathBuf,
}

impl Runner {
    fn built(root: &Path) -> Result<Self> {
        let (fuzz, work) = (root.join("fuzz"), root.join("target").join("fuzz"));
        let runner = fuzz.join("runner");
        fs::copy(root.join("Cargo.lock"), runner.join("Cargo.lock")).context("the lock file cannot be copied")?;
        let told = process::answer("rustc", &["-vV"]).context("rustc cannot be run")?;
        let host = told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say its host")?;
        let mut build = process::cargo(root);
        // With a target named, what runs while building is compiled without the flags.
        build.args(["build", "--release", "--target", host, "--target-dir"]).arg(&work);
        build.arg("--manifest-path").arg(runner.join("Cargo.toml"));
        build.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", COVERAGE.join(" "));
        process::run(&mut build, BUILD)?;
        Ok(Self { program: work.join(host).join("release").join("fuzz-runner"), fuzz, work })
    }

    fn targets(&self) -> Result<Vec<Target>> {
        let told = process::answer(&self.program, &[]).context("the program does not say its targets")?;
        Ok(told.lines().filter_map(Target::read).collect())
    }

    /// Tries each target, the next one as soon as another has ended; the names of those in which something was found.
    fn all_tried<'a>(&self, targets: &'a [Target], options: &Options<'_>) -> Result<Vec<&'a str>> {
        let waiting = Mutex::new(targets.iter());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut found = Vec::new();
            while let Some(target) = next() {
                if !self.tried(target, options)? {
                    found.push(target.name.as_str());
                }
            }
            Ok(found)
        };
        let found: Result<Vec<Vec<&str>>> = thread::scope(|scope| {
            let working: Vec<_> = (0..options.at_once).map(|_| scope.spawn(work)).collect();
            working
                .into_iter()
                .map(|work| work.join().unwrap_or_else(|_| bail!("a target's thread panicked")))
                .collect()
        });
        Ok(found?.concat())
    }

    /// Tries one target and keeps what came of it; false when an input broke a promise.
    fn tried(&self, target: &Target, options: &Options<'_>) -> Result<bool> {
        let name = target.name.as_str();
        let of = |what: &str| self.work.join(what).join(name);
        let (new, seeds, regressions) = (of("new"), of("seeds"), self.fuzz.join("regressions").join(name));
        let kept = self.fuzz.join("corpus").join(name);
        for folder in [&new, &seeds] {
            corpus::emptied(folder)?;
        }
        for folder in [&kept, &regressions] {
            fs::create_dir_all(folder)?;
        }
        // The program writes the seeds as it begins, before libFuzzer looks into the folder.
        let words = [
            format!("-max_total_time={}", options.seconds),
            format!("-seed={}", options.seed),
            format!("-max_len={}", target.bytes_max),
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-rss_limit_mb={PROCESS_MEBIBYTES_MAX}"),
            "-print_final_stats=1".to_owned(),
        ];
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        let mut prefix = OsString::from("-artifact_prefix=");
        prefix.push(regressions.join(""));
        words.push(prefix);
        words.extend([&new, &kept, &seeds].map(|folder| folder.clone().into_os_string()));
        let limit = Duration::from_secs(options.seconds.saturating_add(600));
        let (kept_promises, log) = self.run(target, "log", &words, limit)?;
        let told = Told::read(&log);
        let (files, bytes) = self.minimised(target, &kept, [&new, &seeds])?;
        let (Told { executions, coverage: (before, after) }, seconds) = (told, options.seconds);
        println!(
            "{name}: {executions} executions in {seconds} s, coverage {before} to {after}, {files} inputs kept \
             ({bytes} bytes)"
        );
        if kept_promises {
            // An empty folder is not kept by git, and says nothing.
            drop(fs::remove_dir(&regressions));
        } else {
            println!("{}", corpus::ending(&log));
        }
        Ok(kept_promises)
    }

    /// Of all inputs the fewest and smallest that reach what all reach; seeds are made anew each time and not kept.
    fn minimised(&self, target: &Target, kept: &Path, [new, seeds]: [&Path; 2]) -> Result<(usize, u64)> {
        let merged = self.work.join("merged").join(&target.name);
        corpus::emptied(&merged)?;
        let made = corpus::copied(seeds, &merged)?;
        // Whether an edge is reached and not how often: what is kept is looked through by people, too.
        let mut words =
            vec!["-merge=1".into(), "-use_counters=0".into(), format!("-max_len={}", target.bytes_max).into()];
        words.extend([&merged, new, kept].map(|folder| folder.to_path_buf().into_os_string()));
        let (whole, _) = self.run(target, "merge.log", &words, Duration::from_mins(20))?;
        ensure!(whole, "the inputs of {} cannot be compared; see {}", target.name, self.work.display());
        corpus::keep(&merged, &made, kept)
    }

    /// Runs the program to its end, and says what it said.
    fn run(&self, target: &Target, ending: &str, words: &[OsString], limit: Duration) -> Result<(bool, String)> {
        let path = self.work.join(format!("{}.{ending}", target.name));
        #[expect(clippy::disallowed_methods, reason = "a log in the folder of what was built")]
        let log = File::create(&path)?;
        let mut command = Command::new(&self.program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir(&self.work);
        command.env("LAZARET_FUZZ_TARGET", &target.name);
        command.env("LAZARET_FUZZ_SEEDS", self.work.join("seeds").join(&target.name));
        let mut child = command.spawn().context("the program cannot be started")?;
        let Some(status) = process::wait(&mut child, limit)? else {
            child.kill()?;
            child.wait()?;
            bail!("{} did not end within {} s; see {}", target.name, limit.as_secs(), path.display());
        };
        Ok((status.success(), String::from_utf8_lossy(&fs::read(&path)?).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Target> {
        ["words 256", "pack 65536", ""].into_iter().filter_map(Target::read).collect()
    }

    #[test]
    fn targets_are_named_in_any_place_and_tried_for_ten_minutes() {
        let asked = Options::parse(&["pack", "--seconds", "30", "words", "--seed", "7", "--at-once", "3"]).unwrap();
        assert_eq!(asked, Options { targets: vec!["pack", "words"], seconds: 30, seed: 7, at_once: 3 });
        let Options { targets, seconds, seed, .. } = Options::parse(&[]).unwrap();
        assert_eq!((targets, seconds, seed), (vec![], 600, 1));
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        for words in [
            &["--fast"][..],
            &["--seconds"],
            &["--seconds", "0"],
            &["--seed", "0"],
            &["--at-once", "0"],
            &["--seed", "many"],
        ] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_refused_with_those_that_are() {
        let chosen = |words: &[&str]| Options::parse(words).unwrap().chosen(&all());
        assert_eq!(chosen(&[]).unwrap(), all());
        assert_eq!(chosen(&["pack"]).unwrap(), all().split_off(1));
        assert!(chosen(&["parcels"]).unwrap_err().to_string().ends_with("no target parcels; there are words, pack"));
    }

    #[test]
    fn what_libfuzzer_says_is_read_from_its_log() {
        let log = "INFO: seed corpus: files: 3\n#4\tINITED cov: 120 ft: 130 corp: 3/96b exec/s: 0\n\
            #99\tNEW    cov: 121 ft: 140 corp: 4/99b\n#2048\tDONE   cov: 125 ft: 150 corp: 5/99b\n\
            stat::number_of_executed_units: 2048\n";
        assert_eq!(Told::read(log), Told { executions: 2048, coverage: (120, 125) });
        assert_eq!(Told::read(""), Told::default());
    }
}
