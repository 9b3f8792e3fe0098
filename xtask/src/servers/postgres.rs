use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Purpose;
use super::place::{self, Place, Server, User};
use crate::process;

pub(super) const PACKAGE: &str = "postgresql";

const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_isready"];

/// The tests' servers: what they log is left as PostgreSQL comes, since the tests look there for values that a careless
/// load would leave. Without fsync: nothing there survives the machine anyway.
const TESTS: &[&str] = &["fsync=off"];
/// The measured server: nothing that runs now and then may fall into one step and not into another.
const BENCH: &[&str] =
    &["shared_buffers=2GB", "fsync=on", "autovacuum=off", "max_wal_size=16GB", "checkpoint_timeout=1h"];

pub(super) fn is_installed() -> bool {
    programs().is_some()
}

/// Where one version's programs are. Debian keeps them off `PATH`, a folder for each version, and one version's `initdb`
/// makes nothing that another's `postgres` reads.
fn programs() -> Option<[PathBuf; 3]> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let mut all = folders.into_iter().map(|folder| PROGRAMS.map(|program| folder.join(program)));
    all.find(|programs| programs.iter().all(|program| program.is_file()))
}

/// A program of the version that is started, past the wrappers that Debian has on `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let [beside, ..] = programs()?;
    Some(beside.with_file_name(name)).filter(|program| program.is_file()).or_else(|| process::find(name, &[]))
}

pub(super) fn start(place: &Place, purpose: Purpose) -> Result<Server> {
    let [initdb, postgres, pg_isready] = programs().context("PostgreSQL is not installed")?;
    let user = User::for_server("postgres")?;
    let folder = place.folder_of("postgres", user)?;
    let (data, log) = (folder.join("data"), folder.join("log"));
    let (password, password_file) = (place::random_hex()?, folder.join("password"));
    place::write_private(&password_file, &password, user)?;
    let mut init = place::command_as(user, &initdb, &folder);
    init.args(["--username=lazaret", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"]);
    init.arg("--pwfile").arg(&password_file).arg("--pgdata").arg(&data).stdout(Stdio::null());
    process::run(&mut init, Duration::from_mins(2))?;

    let port = place::free_port()?.to_string();
    let mut server = place::command_as(user, &postgres, &folder);
    server.arg("-D").arg(&data).args(["-p", &port]);
    // Only over loopback TCP, as agents speak to it.
    let always = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "logging_collector=off"];
    let settings = if purpose == Purpose::Bench { BENCH } else { TESTS };
    for setting in always.iter().chain(settings) {
        server.args(["-c", setting]);
    }
    server.stdout(Stdio::null()).stderr(place::open_log(&log)?);
    let url = format!("postgres://lazaret:{password}@127.0.0.1:{port}/postgres");
    let is_ready = || process::answer(&pg_isready, &["-q", "-h", "127.0.0.1", "-p", &port]).is_some();
    // INT is PostgreSQL's fast shutdown: it does not wait for clients.
    Server::start(("POSTGRES", url, log, "INT"), &mut server, is_ready)
}
