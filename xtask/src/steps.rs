//! `cargo xtask test`: every check, each within its time, with what it took.

mod python;
mod skipped;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::skipped::{Listening, Skipped};
use crate::process;
use crate::servers::{self, Purpose, Servers};

const DENY_VERSION: &str = "0.20.2";
const GARAGE_VERSION: &str = "2.5.0";

/// One check: its name in the summary, what is run, and how many minutes that may take. The bounds are for a small
/// machine that compiles everything for the first time.
struct Step {
    name: &'static str,
    words: &'static [&'static str],
    minutes: u64,
}

/// The step whose tests may be skipped.
const TEST: &str = "test";

const STEPS: [Step; 5] = [
    Step { name: "fmt", words: &["fmt", "--all", "--check"], minutes: 2 },
    Step { name: "clippy", words: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], minutes: 45 },
    Step { name: "build", words: &["build", "--workspace"], minutes: 45 },
    // All tests, also after one that fails: a person wants to see every failure of a long run.
    Step { name: TEST, words: &["test", "--workspace", "--no-fail-fast"], minutes: 60 },
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
        eprintln!("== {line}");
        self.failed |= outcome != "ok";
        self.lines.push(line);
    }

    /// Tells what was skipped. What lacked something that is there is a failure: it would never be run.
    fn tell(&mut self, skipped: &Skipped, is_given: impl Fn(&str) -> bool) {
        skipped.lines().for_each(|line| println!("skipped: {line}"));
        let without_need = skipped.without_need(is_given);
        if !without_need.is_empty() {
            println!("FAILED: skipped although nothing is missing: {}", without_need.join("; "));
            self.failed = true;
        }
        self.lines.push(format!("{} skipped", skipped.count()));
    }

    /// Runs one step to its end, whatever that is.
    fn step(&mut self, servers: &mut Servers, name: &str, command: &mut Command, minutes: u64) -> Result<()> {
        let started = Instant::now();
        eprintln!("== {name}: {}", shown(command));
        let outcome = match servers.run(command, Duration::from_mins(minutes))? {
            Some(status) if status.success() => "ok",
            Some(_) => "FAILED",
            None => "TOOK TOO LONG",
        };
        self.note(name, started, outcome);
        Ok(())
    }
}

/// Databases and stores, with all that the tests need to know of both in the first one's environment. What is not on this
/// machine is installed or compiled.
pub(crate) fn servers(root: &Path) -> Result<(Servers, Servers)> {
    all_servers(root, &mut Tally::default())
}

fn all_servers(root: &Path, tally: &mut Tally) -> Result<(Servers, Servers)> {
    let begun = Instant::now();
    servers::install()?;
    let mut servers = Servers::start()?;
    tally.note("servers", begun, "ok");
    python::ready(root, &mut servers, tally)?;
    // Garage is a whole object store: about eight minutes, once.
    compiled(&mut servers, tally, ("garage", GARAGE_VERSION))?;
    let begun = Instant::now();
    let stores = Servers::start_for(Purpose::Stores)?;
    servers.environment.extend(stores.environment.clone());
    tally.note("stores", begun, "ok");
    Ok((servers, stores))
}

/// Runs everything; later steps run also when an earlier one fails.
pub(crate) fn test(root: &Path) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let (mut servers, stores) = all_servers(root, &mut tally)?;
    // A story that waits minutes for a server: they pass beside the others.
    servers.environment.insert("LAZARET_TEST_LONG".to_owned(), "1".to_owned());
    // Of this run alone: stories search what comes into it. Servers under other accounts write there too.
    let temporary = std::env::temp_dir().join(format!("lazaret-tests-{}", std::process::id()));
    std::fs::create_dir_all(&temporary)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o1777))?;
    servers.environment.insert("TMPDIR".to_owned(), temporary.display().to_string());
    let mut left_out = Skipped::default();
    for step in &STEPS {
        let mut command = process::cargo(root);
        command.args(step.words);
        let listening = (step.name == TEST).then(|| Listening::to(&mut command, std::io::stderr())).transpose()?;
        tally.step(&mut servers, step.name, &mut command, step.minutes)?;
        if let Some(listening) = listening {
            left_out = listening.end(&mut command)?;
        }
    }
    let given = servers.environment.clone();
    deny(root, &mut servers, &mut tally)?;
    let started = Instant::now();
    drop(stores);
    drop(servers);
    std::fs::remove_dir_all(&temporary)?;
    tally.note("stop", started, "ok");
    tally.tell(&left_out, |name| given.contains_key(name) || std::env::var_os(name).is_some());
    let verdict = if tally.failed { "FAILED" } else { "passed" };
    println!("xtask test {verdict} in {:.1} s: {}", begun.elapsed().as_secs_f64(), tally.lines.join(", "));
    Ok(if tally.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The guards of `deny.toml`. One version for everybody, because each knows the file's keys a little differently.
fn deny(root: &Path, servers: &mut Servers, tally: &mut Tally) -> Result<()> {
    let is_right =
        |program: &PathBuf| process::answer(program, &["--version"]) == Some(format!("cargo-deny {DENY_VERSION}"));
    let program = match process::find("cargo-deny", &[]).filter(is_right) {
        Some(program) => program,
        None => compiled(servers, tally, ("cargo-deny", DENY_VERSION))?,
    };
    let mut command = Command::new(program);
    command.args(["--log-level", "error", "check", "bans", "licenses", "sources"]).current_dir(root);
    tally.step(servers, "deny", &mut command, 10)
}

/// A program of a crate, compiled once into a cache outside the repository.
fn compiled(servers: &mut Servers, tally: &mut Tally, (name, version): (&str, &str)) -> Result<PathBuf> {
    let folder = folder_of(name, version)?;
    let program = folder.join("bin").join(name);
    if !program.is_file() {
        std::fs::create_dir_all(&folder)?;
        // From the cache's folder, so that the workspace's own settings stay out of it.
        let mut install = process::cargo(&folder);
        install.args(["install", "--quiet", "--locked", name, "--version", version, "--root"]);
        tally.step(servers, &format!("{name}-install"), install.arg(&folder), 45)?;
    }
    Ok(program)
}

fn folder_of(name: &str, version: &str) -> Result<PathBuf> {
    Ok(cache()?.join(format!("{name}-{version}")))
}

/// Garage, where it has been compiled.
pub(crate) fn garage() -> Result<Option<PathBuf>> {
    let program = folder_of("garage", GARAGE_VERSION)?.join("bin").join("garage");
    Ok(Some(program).filter(|program| program.is_file()))
}

/// The Python that has the packages of `xtask/python.txt`, where it has been made.
pub(crate) fn python() -> Result<Option<PathBuf>> {
    python::program()
}

/// OpenBao's program, which a package of that list carries.
pub(crate) fn openbao() -> Result<Option<PathBuf>> {
    python::openbao()
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
