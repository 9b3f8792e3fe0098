//! Processes of a story. What they say on either stream is kept, so that the search at the end of each world sees it: what
//! an agent complains of is the likeliest place for a value of a patient.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{self, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
#[cfg(target_os = "linux")]
use std::time::Duration;

use crate::clear::keep;

/// As the standard library's, but what its process says cannot go unkept, and nothing is said to it.
#[derive(Debug)]
pub struct Command {
    inner: process::Command,
    shown: bool,
    into: Option<File>,
}

impl Command {
    /// Of this program.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { inner: process::Command::new(program), shown: false, into: None }
    }

    /// One more argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg(argument);
        self
    }

    /// More arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.inner.args(arguments);
        self
    }

    /// A variable of its environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(name, value);
        self
    }

    /// Without this variable of the story's environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env_remove(name);
        self
    }

    /// Its standard output is this file, which lies where the story's end searches.
    pub fn stdout(&mut self, file: File) -> &mut Self {
        self.into = Some(file);
        self
    }

    /// Whoever gave this command asked to be shown values of patients: its standard output is not kept, and the reason is.
    pub fn shows(&mut self, because: &str) -> &mut Self {
        keep(format!("not kept: {because}\n").as_bytes());
        self.shown = true;
        self
    }

    /// To look at.
    pub fn as_std(&self) -> &process::Command {
        &self.inner
    }

    /// For whoever gives it files of the world's folder as streams.
    pub(crate) fn into_std(self) -> process::Command {
        self.inner
    }

    /// A process of it.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.spawn_heard(|_| ())
    }

    /// As [`Self::spawn`]; each line of either stream is told once it is said.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn spawn_heard(&mut self, hear: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Child> {
        let stdout = self.into.take().map_or_else(Stdio::piped, Stdio::from);
        let mut inner = self.inner.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn()?;
        let hear: Hear = Arc::new(hear);
        let kept = !self.shown;
        let out = inner.stdout.take().map(|stream| Stream::of(stream, kept, Arc::clone(&hear))).unwrap_or_default();
        let err = inner.stderr.take().map(|stream| Stream::of(stream, true, hear)).unwrap_or_default();
        Ok(Child { inner, out, err })
    }

    /// Runs it to its end: what it said, and the most memory that it held, in KiB.
    #[cfg(target_os = "linux")]
    pub async fn held(mut self) -> (Output, u64) {
        let child = self.spawn().unwrap();
        let id = child.id();
        let mut waiting = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let (mut most, mut beat) = (0, tokio::time::interval(Duration::from_millis(5)));
        loop {
            tokio::select! {
                output = &mut waiting => return (output.unwrap(), most),
                _ = beat.tick() => most = most.max(held(id).unwrap_or(0)),
            }
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn output(&mut self) -> io::Result<Output> {
        self.spawn()?.wait_with_output()
    }
}

/// The most memory that a process has held so far, in KiB; none once it has ended.
#[cfg(target_os = "linux")]
pub fn held(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A process that runs, or has ended.
pub struct Child {
    inner: process::Child,
    out: Stream,
    err: Stream,
}

impl Child {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// As `kill -9` does it.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.inner.try_wait()
    }

    /// How it ended, once all that it said is kept.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.inner.wait()?;
        self.out.end();
        self.err.end();
        Ok(status)
    }

    /// Waits for the first line on its standard error; empty when it ended without one.
    pub fn first_complaint(&self) -> String {
        self.err.first_line()
    }

    /// How it ended, and all that it said.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        let status = self.wait()?;
        Ok(Output { status, stdout: self.out.take(), stderr: self.err.take() })
    }
}

type Hear = Arc<dyn Fn(&str) + Send + Sync>;

/// What came of a stream so far.
#[derive(Default)]
struct Said {
    bytes: Vec<u8>,
    over: bool,
}

/// A stream, read by a thread of its own: a process never waits for who listens.
#[derive(Default)]
struct Stream {
    said: Arc<(Mutex<Said>, Condvar)>,
    reading: Option<JoinHandle<()>>,
}

impl Stream {
    fn of(stream: impl Read + Send + 'static, kept: bool, hear: Hear) -> Self {
        let said = Arc::<(Mutex<Said>, Condvar)>::default();
        let further = Arc::clone(&said);
        let reading = std::thread::spawn(move || {
            let (mut stream, (said, more)) = (BufReader::new(stream), &*further);
            loop {
                let mut line = Vec::new();
                // A killed process may have left half a line.
                let length = stream.read_until(b'\n', &mut line).unwrap_or(0);
                if kept {
                    keep(&line);
                }
                let mut said = said.lock().unwrap();
                said.bytes.extend_from_slice(&line);
                said.over = length == 0;
                more.notify_all();
                if said.over {
                    return;
                }
                drop(said);
                hear(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
            }
        });
        Self { said, reading: Some(reading) }
    }

    fn first_line(&self) -> String {
        let (said, more) = &*self.said;
        let said = more.wait_while(said.lock().unwrap(), |said| !said.over && !said.bytes.contains(&b'\n')).unwrap();
        let line = said.bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }

    fn end(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.said.0.lock().unwrap().bytes)
    }
}
