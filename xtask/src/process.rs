//! Other programs: found, run within a time, ended with everything they started.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Cargo in the workspace at `root`, as a person calls it there. What `cargo run` told us about our own package stays
/// with us: ring's build script looks at it, and parquet with all that stands on it would be compiled again whenever
/// `cargo xtask` and cargo itself take turns.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let word = name.to_string_lossy();
        if word.starts_with("CARGO_PKG_") || word.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Where a program stands: on `PATH` or in one of `folders`.
pub(crate) fn find(program: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(folders.iter().cloned())
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// What a program prints, or none when it cannot be run or fails. For short questions (`id -u`).
pub(crate) fn answer(program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether we are root, who may install packages and whom `initdb` refuses.
pub(crate) fn is_root() -> bool {
    answer("id", &["-u"]).as_deref() == Some("0")
}

/// Waits until the child has ended; none when it has not within `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            return Ok(None);
        }
        pause();
    }
}

/// Runs a program to its end, and says so when it fails or takes longer than `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| format!("{name} cannot be started"))?;
    match wait(&mut child, limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("{name} failed ({status})"),
        None => {
            child.kill()?;
            child.wait()?;
            bail!("{name} did not end within {} s", limit.as_secs())
        }
    }
}

/// Sends a signal to a process, or to a group of them when `target` begins with a minus.
pub(crate) fn signal(name: &str, target: &str) {
    // The shell's own kill: the standard library sends no signal but KILL, and has no groups.
    let script = format!("kill -s {name} -- {target}");
    // A process that has already ended is what we wanted.
    drop(Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status());
}

/// Starts `command` as the first of a group of its own, so that it can be ended with everything it starts, and so that
/// a Ctrl-C meant for us does not reach it before we have decided.
#[cfg(unix)]
pub(crate) fn in_a_group(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    command.process_group(0)
}

#[cfg(not(unix))]
pub(crate) fn in_a_group(command: &mut Command) -> &mut Command {
    command
}

/// A moment between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "std can wait for a child or a port only by looking again")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_what_cargo_told_us_of_our_own_package() {
        let command = cargo(Path::new("."));
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        // Ring's build script looks at each of the first.
        for name in ["CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR", "CARGO_MANIFEST_DIR"] {
            assert!(std::env::var_os(name).is_some() && removed.contains(&std::ffi::OsStr::new(name)), "{name}");
        }
    }
}
