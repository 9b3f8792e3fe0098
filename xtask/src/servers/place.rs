//! Where the servers live, and what both have in common.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::guard::SERVER_LIMIT;
use crate::process;

/// A temporary folder that is removed with everything in it when this is dropped.
pub(crate) struct Place {
    folder: PathBuf,
}

impl Place {
    pub(crate) fn create() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lazaret-servers-{}", random_hex()?));
        std::fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new folder here that only `user` can look into.
    pub(super) fn folder_of(&self, name: &str, user: Option<User>) -> Result<PathBuf> {
        let folder = self.folder.join(format!("{name}-{}", random_hex()?));
        std::fs::create_dir(&folder)?;
        unix::hand_over(&folder, 0o700, user)?;
        Ok(folder)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("xtask: {} is left behind: {error}", self.folder.display());
        }
    }
}

/// A user of this machine, by numbers.
#[derive(Clone, Copy)]
pub(super) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Whom a server runs as: the user that its package made when we are root, ourselves (none) otherwise.
    pub(super) fn for_server(name: &str) -> Result<Option<Self>> {
        if !process::is_root() {
            return Ok(None);
        }
        let number = |which| process::answer("id", &[which, name]).and_then(|number| number.parse().ok());
        match (number("-u"), number("-g")) {
            (Some(uid), Some(gid)) => Ok(Some(Self { uid, gid })),
            _ => bail!("this machine has no user {name}, whom the server could run as"),
        }
    }
}

/// `program` as `user`, in a folder that this user may stand in, in English and in UTC.
pub(super) fn command_as(user: Option<User>, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
    unix::run_as(&mut command, user);
    command
}

/// Writes a file that only `user` can read.
pub(super) fn write_private(file: &Path, text: &str, user: Option<User>) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a password or a script for a server of the tests")]
    std::fs::write(file, text)?;
    unix::hand_over(file, 0o600, user)
}

/// A file for a server's messages.
pub(super) fn open_log(file: &Path) -> Result<std::fs::File> {
    #[expect(clippy::disallowed_methods, reason = "a log of a server of the tests")]
    let log = std::fs::File::create(file)?;
    Ok(log)
}

/// A port of the loopback address that nobody used a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// 16 random bytes as 32 hexadecimal digits.
pub(super) fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// A server that runs; it is stopped when this is dropped.
pub(super) struct Server {
    /// As in `LAZARET_TEST_<name>`.
    name: &'static str,
    url: String,
    log: PathBuf,
    child: Child,
    stop: &'static str,
    /// What else the tests need to know, each as in `LAZARET_TEST_<name>_<which>`.
    more: Vec<(&'static str, String)>,
}

impl Server {
    /// Starts `command` and waits until `is_ready`; `stop` is the signal by which this server ends at once but well.
    pub(super) fn start(
        (name, url, log, stop): (&'static str, String, PathBuf, &'static str),
        command: &mut Command,
        is_ready: impl Fn() -> bool,
    ) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let mut server = Self { name, url, log, child, stop, more: Vec::new() };
        let started = std::time::Instant::now();
        while !is_ready() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended by itself ({status}); its log ends: {}", server.log_end());
            }
            if started.elapsed() > SERVER_LIMIT {
                bail!("{name} did not answer within {} s; its log ends: {}", SERVER_LIMIT.as_secs(), server.log_end());
            }
            process::pause();
        }
        // Both write a few lines as they start. A test that looks for a value in an empty log would find nothing, always.
        if server.log_end().is_empty() {
            bail!("{name} writes nothing to {}", server.log.display());
        }
        Ok(server)
    }

    /// The server, of which the tests are told this too.
    pub(super) fn telling(mut self, which: &'static str, value: String) -> Self {
        self.more.push((which, value));
        self
    }

    /// What the tests need to know.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let name = format!("LAZARET_TEST_{}", self.name);
        let more = self.more.iter().map(|(which, value)| (format!("{name}_{which}"), value.clone()));
        let known = [
            (format!("{name}_LOG"), self.log.display().to_string()),
            (format!("{name}_PROCESS"), self.child.id().to_string()),
            (name.clone(), self.url.clone()),
        ];
        known.into_iter().chain(more).collect()
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::signal(self.stop, &self.child.id().to_string());
        if !matches!(process::wait(&mut self.child, SERVER_LIMIT), Ok(Some(_))) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    use super::{Command, Path, Result, User};

    pub(super) fn hand_over(path: &Path, mode: u32, user: Option<User>) -> Result<()> {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        if let Some(user) = user {
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    }

    pub(super) fn run_as(command: &mut Command, user: Option<User>) {
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
    }
}

#[cfg(not(unix))]
mod unix {
    use super::{Command, Path, Result, User};

    pub(super) fn hand_over(_: &Path, _: u32, _: Option<User>) -> Result<()> {
        anyhow::bail!("the database servers of the tests are started on Unix only")
    }

    pub(super) fn run_as(_: &mut Command, _: Option<User>) {}
}
