//! A demonstration's folder, in which its persons can be made to do more.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use people::Root;
use serde_json::Value;
use tempfile::TempDir;

/// What would make the program act from elsewhere.
const NOT_INHERITED: [&str; 8] = [
    "CREDENTIALS_DIRECTORY",
    "LAZARET_DATA",
    "LAZARET_HOME",
    "LAZARET_IDENTITY_FILE",
    "LAZARET_LISTEN",
    "LAZARET_LOG",
    "LAZARET_PASSPHRASE_FILE",
    "LAZARET_RING",
];

/// The folder that a demonstration makes, and this program started in it.
pub(crate) struct Ground {
    _temporary: TempDir,
    pub(crate) dir: PathBuf,
}

impl Ground {
    /// Nothing is there yet.
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap().join("demonstration");
        Self { _temporary: temporary, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// `lazaret demo` in this folder, not yet started.
    pub(crate) fn demo(&self, more: &[&str]) -> Command {
        let mut command = lazaret(Path::new("."));
        command.arg("demo").arg("--dir").arg(&self.dir).args(more);
        command
    }

    /// The same, with its server left up; back once it tells this.
    pub(crate) fn demo_until(&self, told: &str) -> (Running, String) {
        let mut child = self.demo(&["--patients", "100"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let running = Running(child);
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains(told));
        // What else it tells goes nowhere, and its pipe is never full.
        std::thread::spawn(move || lines.for_each(drop));
        (running, line.unwrap())
    }

    /// The server of this folder, back once it tells this.
    pub(crate) fn serve_until(&self, told: &str) -> Running {
        let mut command = lazaret(&self.dir);
        command.args(["--passphrase-file", "secrets/server", "serve", "--data", "server"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let running = Running(child);
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains(told));
        std::thread::spawn(move || lines.for_each(drop));
        line.unwrap();
        running
    }

    /// A person acts on their device: the status, and the document that was printed.
    pub(crate) fn person(&self, who: &str, arguments: &[&str]) -> (i32, Value) {
        let (home, secret) = (format!("homes/{who}"), format!("secrets/{who}"));
        self.run(&[&["--home", &home, "--passphrase-file", &secret], arguments].concat())
    }

    /// What they read when it is not for a program.
    pub(crate) fn read_by(&self, who: &str, arguments: &[&str]) -> (i32, String) {
        let (home, secret) = (format!("homes/{who}"), format!("secrets/{who}"));
        let output = lazaret(&self.dir)
            .args(["--quiet", "--home", &home, "--passphrase-file", &secret])
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// An organisation acts with its root.
    pub(crate) fn organisation(&self, which: &str, arguments: &[&str]) -> (i32, Value) {
        self.run(&[&["--passphrase-file", &format!("secrets/{which}")], arguments].concat())
    }

    /// The public half of an organisation's root.
    pub(crate) fn root(&self, which: &str) -> Root {
        serde_json::from_slice(&std::fs::read(self.path(which).join("organisation.json")).unwrap()).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = lazaret(&self.dir).args(["--json", "--quiet"]).args(arguments).output().unwrap();
        (output.status.code().unwrap(), document(&output))
    }
}

/// The last line that a command printed.
pub(crate) fn document(output: &Output) -> Value {
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let last = said.lines().last().map(serde_json::from_str);
    last.and_then(Result::ok).ok_or_else(|| format!("{}: {said}{complained}", output.status)).unwrap()
}

fn lazaret(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazaret"));
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    // Whatever swap the machine has that runs the tests.
    command.env("LAZARET_DANGER_CLEAR_SWAP", "1").current_dir(dir).stdin(Stdio::null());
    command
}

/// A process that is killed when it is let go.
pub(crate) struct Running(Child);

impl Running {
    /// As `kill -9` does it.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have been killed before.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How many rows there are in a table of an SQLite file.
pub(crate) fn rows_in(database: &Path, table: &str) -> u64 {
    let count = format!("SELECT count(*) FROM {table}");
    let rows: i64 = rusqlite::Connection::open(database).unwrap().query_row(&count, [], |row| row.get(0)).unwrap();
    u64::try_from(rows).unwrap()
}

/// A new file with these bytes.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
