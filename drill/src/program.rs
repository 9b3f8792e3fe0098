//! The program itself, as the stories run it beside a world.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::interval;
use wire::{Https, Method, Outgoing, Transport};

use crate::{Command, World};

/// What `kill -9` sends.
pub const KILL: i32 = 9;

/// The signal that a process was ended by; none if it came to an end by itself.
#[cfg(unix)]
pub fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// There are no signals here.
#[cfg(not(unix))]
pub fn signal(_: ExitStatus) -> Option<i32> {
    None
}

/// The program beside this test, if it was built.
pub fn lazaret() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let program = test.parent().and_then(Path::parent)?.join("lazaret");
    program.is_file().then_some(program)
}

/// The server as a process of its own, killed when it is let go.
pub struct Program(pub process::Child);

impl Program {
    /// Starts it on the world's folders and at its address; what it complains of goes into `server.log`.
    pub fn serve(program: &Path, world: &World) -> Self {
        Self::start(serving(program, world), world)
    }

    /// Starts what [`serving`] made, or something around it.
    pub fn start(command: Command, world: &World) -> Self {
        let [said, log] = ["server.said", "server.log"].map(|name| {
            let file = OpenOptions::new().create(true).append(true).open(world.path(name));
            file.unwrap()
        });
        Self(command.into_std().stdin(Stdio::null()).stdout(said).stderr(log).spawn().unwrap())
    }

    /// Waits until it answers.
    pub async fn answers(&self, world: &World) {
        let (path, query) = (wire::path::HEALTH.to_owned(), String::new());
        let body = bytes::Bytes::new();
        let health = Outgoing { method: Method::Get, path, query, headers: Vec::new(), body, answer_bytes_max: 1_024 };
        let https = Https::new(&world.card).unwrap();
        let mut beat = interval(Duration::from_millis(20));
        // A program without optimisation on a busy machine: two minutes at most.
        for _ in 0..6_000 {
            beat.tick().await;
            if https.carry(health.clone()).await.is_ok() {
                return;
            }
        }
        unreachable!("the server does not answer");
    }

    /// As `kill -9` does it.
    ///
    /// # Panics
    /// When the server had ended otherwise before: whoever crashed was not killed.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        let status = self.0.wait().unwrap();
        assert_eq!(signal(status), Some(KILL), "the server was to be killed, and had ended before: {status}");
    }

    /// How it ended, if it has: nobody asked it to.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have been killed before.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The command that serves the world's folders at its address.
pub fn serving(program: &Path, world: &World) -> Command {
    let mut command = clean(program);
    command.arg("serve").arg("--data").arg(world.server_folder()).arg("--ring").arg(world.ring_folder());
    command.arg("--listen").arg(world.card.url.trim_start_matches("https://"));
    command.arg("--passphrase-file").arg(world.path("passphrase"));
    command
}

/// Runs a command of the program to its good end.
pub fn run<const N: usize>(program: &Path, arguments: [&OsStr; N], words: &str, passphrase: &Path) {
    let mut command = clean(program);
    command.args(arguments).arg("--words").arg(words).arg("--passphrase-file").arg(passphrase);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The program with nothing of this machine's settings.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in [
        "LAZARET_DATA",
        "LAZARET_RING",
        "LAZARET_LISTEN",
        "LAZARET_HOME",
        "LAZARET_IDENTITY_FILE",
        "LAZARET_PASSPHRASE_FILE",
        "CREDENTIALS_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    // Whatever swap the machine has that runs the tests.
    command.env("LAZARET_DANGER_CLEAR_SWAP", "1");
    command
}
