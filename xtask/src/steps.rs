//! `cargo xtask test`: every check, each within its time, with what it took.

mod python;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;
use crate::servers::{self, Servers};

const DENY_VERSION: &str = "0.20.2";

/// One check: its name in the summary, what is run, and how many minutes that may take. The bounds are for a small
/// machine that compiles everything for the first time.
struct Step {
    name: &'static str,
    words: &'static [&'static str],
    minutes: u64,
}

const STEPS: [Step; 5] = [
    Step { name: "fmt", words: &["fmt", "--all", "--check"], minutes: 2 },
    Step { name: "clippy", words: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], minutes: 45 },
    Step { name: "build", words: &["build", "--workspace"], minutes: 45 },
    // All tests, also after one that fails: a person wants to see every failure of a long run.
    Step { name: "test", words: &["test", "--workspace", "--no-fail-fast"], minutes: 60 },
    Step { name: "tidy", words: &["run", "--quiet", "--package", "xtask", "--", "tidy"], minutes: 10 },
];

/// What the steps took so far.
#[derive(Default)]
struct Tally {
    lines: Vec<String>,
    failed: bool,
}

impl Tally {
    fn note(&mut self, name: &str, started: Instant, outcome: &str) {
        let line = format!("{name} {outcome} {:.1} s", started.elapsed().as_secs_f64());
        println!("== {line}");
        self.failed |= outcome != "ok";
        self.lines.push(line);
    }

    /// Runs one step to its end, whatever that is.
    fn step(&mut self, servers: &mut Servers, name: &str, command: &mut Command, minutes: u64) -> Result<()> {
        let started = Instant::now();
        println!("== {name}: {}", shown(command));
        let outcome = match servers.run(command, Duration::from_mins(minutes))? {
            Some(status) if status.success() => "ok",
            Some(_) => "FAILED",
            None => "TOOK TOO LONG",
        };
        self.note(name, started, outcome);
        Ok(())
    }
}

/// Runs everything; later steps run also when an earlier one fails.
pub(crate) fn test(root: &Path) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    servers::install()?;
    let mut servers = Servers::start()?;
    tally.note("servers", begun, "ok");
    python::ready(root, &mut servers, &mut tally)?;
    for step in &STEPS {
        let mut command = process::cargo(root);
        command.args(step.words);
        tally.step(&mut servers, step.name, &mut command, step.minutes)?;
    }
    deny(root, &mut servers, &mut tally)?;
    let started = Instant::now();
    drop(servers);
    tally.note("stop", started, "ok");
    let verdict = if tally.failed { "FAILED" } else { "passed" };
    println!("xtask test {verdict} in {:.1} s: {}", begun.elapsed().as_secs_f64(), tally.lines.join(", "));
    Ok(if tally.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The guards of `deny.toml`. One version for everybody, because each knows the file's keys a little differently; it is
/// compiled once into a cache outside the repository (about six minutes).
fn deny(root: &Path, servers: &mut Servers, tally: &mut Tally) -> Result<()> {
    let cache = cache()?.join(format!("cargo-deny-{DENY_VERSION}"));
    let cached = cache.join("bin").join("cargo-deny");
    let is_right =
        |program: &Path| process::answer(program, &["--version"]) == Some(format!("cargo-deny {DENY_VERSION}"));
    let program = match process::find("cargo-deny", &[]).filter(|program| is_right(program)) {
        Some(program) => program,
        None if is_right(&cached) => cached,
        None => {
            std::fs::create_dir_all(&cache)?;
            // From the cache's folder, so that the workspace's own settings stay out of it.
            let mut install = process::cargo(&cache);
            install.args(["install", "--quiet", "--locked", "cargo-deny", "--version", DENY_VERSION, "--root"]);
            tally.step(servers, "deny-install", install.arg(&cache), 30)?;
            cached
        }
    };
    let mut command = Command::new(program);
    command.args(["--log-level", "error", "check", "bans", "licenses", "sources"]).current_dir(root);
    tally.step(servers, "deny", &mut command, 10)
}

/// `LAZARET_CACHE`, or `lazaret` in the user's cache folder.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("LAZARET_CACHE") {
        return Ok(PathBuf::from(cache));
    }
    let home = std::env::home_dir().context("this user has no home folder; set LAZARET_CACHE")?;
    Ok(home.join(".cache").join("lazaret"))
}

/// A command as a person would type it, without folders.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
