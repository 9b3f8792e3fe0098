//! The guard's side of the pipe.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, Result};

use super::place::{Place, Server};
use super::{PLACE, Purpose, READY, garage, mariadb, moto, postgres, softhsm};
use crate::{process, steps};

/// What the guard is told when no command runs.
pub(super) const NO_GROUP: &str = "none";

/// Starts the servers, prints how to reach them and `ready`, and waits until nobody holds the other end of its input.
pub(crate) fn guard(purpose: &str) -> Result<()> {
    let purpose = Purpose::of_word(purpose).context("these servers have no purpose")?;
    let place = Place::create()?;
    let (mut servers, mut told) = (Vec::new(), Vec::new());
    if purpose == Purpose::Stores {
        told.extend(softhsm::make(&place)?);
        told.extend(steps::openbao()?.map(|program| ("LAZARET_TEST_BAO", program.display().to_string())));
        if let Some(program) = steps::garage()? {
            servers.push(start("Garage", || garage::start(&place, &program))?);
        }
        if let Some(python) = steps::python()? {
            servers.push(start("moto", || moto::start(&place, &python))?);
        }
    } else {
        servers.push(start("PostgreSQL", || postgres::start(&place, purpose))?);
        servers.push(start("MariaDB", || mariadb::start(&place, purpose))?);
    }
    let mut answers = std::io::stdout().lock();
    writeln!(answers, "{PLACE}={}", place.folder().display())?;
    for (name, value) in servers.iter().flat_map(Server::environment) {
        writeln!(answers, "{name}={value}")?;
    }
    for (name, value) in told {
        writeln!(answers, "{name}={value}")?;
    }
    writeln!(answers, "{READY}")?;
    let mut group = NO_GROUP.to_owned();
    for line in std::io::stdin().lock().lines() {
        group = line?;
    }
    if group != NO_GROUP {
        end_group(&group);
    }
    Ok(()) // The servers end and the place is removed as they are dropped, here and on every way out above.
}

/// Another process may take the free port before the server does, so one start may fail for no reason of its own.
fn start(name: &str, start: impl Fn() -> Result<Server>) -> Result<Server> {
    start().or_else(|first| {
        eprintln!("xtask: {name} is started once more: {first:#}");
        start()
    })
}

/// Ends a command and all that it started.
pub(super) fn end_group(group: &str) {
    process::signal("TERM", group);
    // Compilers and tests have nothing to save; this only lets them remove their temporary files.
    for _ in 0..20 {
        process::pause();
    }
    process::signal("KILL", group);
}

/// How long a server may take to become reachable, or to stop.
pub(super) const SERVER_LIMIT: Duration = Duration::from_secs(20);
