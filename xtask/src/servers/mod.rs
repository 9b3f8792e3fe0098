//! Private servers for the tests: PostgreSQL and MariaDB, and two object stores, on free loopback ports, in a temporary
//! folder, with random passwords.
//!
//! They belong to a *guard*: this program once more, in a process group of its own, holding one end of a pipe whose
//! other end only we hold. However we end (a return, an error, Ctrl-C, KILL), the pipe closes and the guard stops the
//! servers and removes their folder. That needs no signal handler, which the standard library does not have.

mod garage;
mod guard;
mod mariadb;
mod moto;
mod place;
mod postgres;
mod softhsm;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) use guard::guard;
pub(crate) use place::{Place, free_port};
pub(crate) use postgres::program as postgres_program;

use crate::process;

/// The word by which this program starts itself as the guard.
pub(crate) const GUARD_COMMAND: &str = "guard-of-servers";

/// The guard's word about the folder of everything.
const PLACE: &str = "place";

/// The guard's last line before it waits.
const READY: &str = "ready";

/// What the servers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Small, and careless of what a machine's failure would take.
    Tests,
    /// As one would run them with records in them: large buffers, every commit on the disk, nothing in the background.
    Bench,
    /// Not the databases but the object stores, those of them whose programs are there.
    Stores,
}

impl Purpose {
    const ALL: [(Self, &str); 3] = [(Self::Tests, "tests"), (Self::Bench, "bench"), (Self::Stores, "stores")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(purpose, _)| *purpose == self).map_or("", |(_, word)| word)
    }

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(purpose, _)| *purpose)
    }
}

/// The running servers, for as long as this lives.
pub(crate) struct Servers {
    guard: Child,
    line: Option<ChildStdin>,
    /// The temporary folder that the guard removes with everything in it.
    pub(crate) place: PathBuf,
    /// What the tests need to know, by the names of environment variables.
    pub(crate) environment: BTreeMap<String, String>,
}

impl Servers {
    /// Starts both for the tests; about 5 s. Each wait inside is bounded.
    pub(crate) fn start() -> Result<Self> {
        Self::start_for(Purpose::Tests)
    }

    /// As [`Self::start`], for something else.
    pub(crate) fn start_for(purpose: Purpose) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([GUARD_COMMAND, purpose.word()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guard = process::in_a_group(&mut command).spawn().context("the guard cannot be started")?;
        let line = guard.stdin.take();
        let answers = guard.stdout.take().context("the guard has no output")?;
        // Made before the first answer, so that every way out of here ends the guard.
        let mut servers = Self { guard, line, place: PathBuf::new(), environment: BTreeMap::new() };
        for answer in BufReader::new(answers).lines() {
            let answer = answer?;
            if answer == READY {
                return Ok(servers);
            }
            if let Some((PLACE, folder)) = answer.split_once('=') {
                servers.place = PathBuf::from(folder);
            } else if let Some((name, value)) = answer.split_once('=') {
                servers.environment.insert(name.to_owned(), value.to_owned());
            }
        }
        bail!("the servers did not start")
    }

    /// Runs a command that may use the servers, within `limit`; none when it took longer, and then it and everything
    /// that it started has been ended. If we are ended meanwhile, the guard ends it.
    pub(crate) fn run(&mut self, command: &mut Command, limit: Duration) -> Result<Option<ExitStatus>> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.envs(&self.environment).stdin(Stdio::null());
        let mut child = process::in_a_group(command).spawn().with_context(|| format!("{name} cannot be started"))?;
        let group = format!("-{}", child.id());
        self.tell(&group)?;
        let status = process::wait(&mut child, limit)?;
        if status.is_none() {
            guard::end_group(&group);
            child.wait()?;
        }
        self.tell(guard::NO_GROUP)?;
        Ok(status)
    }

    /// Whether every server whose process is told to the tests still runs.
    pub(crate) fn run_still(&self) -> bool {
        let mut told = self.environment.iter().filter(|(name, _)| name.ends_with("_PROCESS"));
        told.all(|(_, process)| runs(process))
    }

    /// A process group that the guard ends if we are ended before it.
    pub(crate) fn watch_over(&mut self, child: &Child) -> Result<()> {
        self.tell(&format!("-{}", child.id()))
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        let line = self.line.as_mut().context("the guard is gone")?;
        writeln!(line, "{word}").context("the guard is gone")
    }
}

/// Whether a process runs. One that ended and was not waited for is still listed, without a command.
fn runs(process: &str) -> bool {
    std::fs::read(Path::new("/proc").join(process).join("cmdline")).is_ok_and(|command| !command.is_empty())
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.line = None;
        // The guard bounds its own work to less than this.
        if !matches!(process::wait(&mut self.guard, Duration::from_mins(1)), Ok(Some(_))) {
            eprintln!("xtask: the guard of the servers did not end");
        }
    }
}

/// `cargo xtask servers`.
pub(crate) fn command() -> Result<ExitCode> {
    install()?;
    let mut servers = Servers::start()?;
    let stores = Servers::start_for(Purpose::Stores)?;
    for (name, value) in servers.environment.iter().chain(&stores.environment) {
        println!("export {name}='{value}'");
    }
    eprintln!(
        "The servers run until Ctrl-C; Garage, moto and OpenBao among them once `cargo xtask test` has made them."
    );
    let status = servers.guard.wait()?;
    bail!("the guard of the servers ended by itself ({status})")
}

/// Sees to it that the servers' programs, and SoftHSM, are on this machine.
pub(crate) fn install() -> Result<()> {
    install_with(&[softhsm::PACKAGE])
}

/// As [`install`], and other programs, each after its package.
pub(crate) fn install_with(others: &[(&'static str, &str)]) -> Result<()> {
    let missing = || {
        let servers = [(postgres::PACKAGE, postgres::is_installed()), (mariadb::PACKAGE, mariadb::is_installed())];
        let others = others.iter().map(|(package, program)| (*package, process::find(program, &[]).is_some()));
        let parts = servers.into_iter().chain(others);
        parts.filter(|(_, there)| !there).map(|(package, _)| package).collect()
    };
    install_packages(&missing)
}

/// Installs the packages that `missing` names, where we may; otherwise says which.
pub(crate) fn install_packages(missing: &dyn Fn() -> Vec<&'static str>) -> Result<()> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    let wanted = packages.join(" ");
    let is_debian = Path::new("/etc/debian_version").is_file();
    if !(is_debian && process::is_root()) {
        bail!("install {wanted} first (on Debian and Ubuntu: sudo apt-get install {wanted})");
    }
    println!("installing {wanted}");
    let limit = Duration::from_mins(10);
    let mut apt = Command::new("apt-get");
    process::run(apt.args(["--quiet", "update"]), limit)?;
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet", "--yes", "--no-install-recommends", "install"]).args(&packages);
    process::run(apt.env("DEBIAN_FRONTEND", "noninteractive"), limit)?;
    if missing().is_empty() {
        Ok(())
    } else {
        bail!("{wanted} was installed, but the programs are not where they are looked for")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_missed_before_anybody_waited_for_it() {
        assert!(runs(&std::process::id().to_string()));
        let mut ended = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        // A process gives its memory back before it closes its streams.
        std::io::Read::read_to_end(&mut ended.stdout.take().unwrap(), &mut Vec::new()).unwrap();
        assert!(!runs(&ended.id().to_string()));
        ended.wait().unwrap();
    }
}
