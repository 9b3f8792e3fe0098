//! A Python with other people's packages, which answers one question after another.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The Python that has the packages of `xtask/python.txt`; set by `cargo xtask test`.
const PYTHON: &str = "LAZARET_TEST_PYTHON";

/// One of the scripts in `vectors`, in a process of its own.
pub(crate) struct Python(Child, ChildStdin, BufReader<ChildStdout>);

impl Python {
    /// Starts it; none, and `test` is told as skipped, where there is no such Python.
    pub(crate) fn start(test: &str, words: &[&str]) -> Option<Self> {
        let Ok(python) = std::env::var(PYTHON) else {
            // Past the capture of what tests print: a person must see it.
            let skipped = format!("skipped: {test} ({PYTHON} is not set)\n");
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
            return None;
        };
        let mut command = Command::new(&python);
        command.arg("-B").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{PYTHON}={python} does not start: {error}"));
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self(child, to, BufReader::new(from)))
    }

    /// What it makes of `given`; none when it refuses.
    pub(crate) fn answer(&mut self, question: &str, given: &[u8]) -> Option<Vec<u8>> {
        writeln!(self.1, "{question} {}", given.len()).unwrap();
        self.1.write_all(given).unwrap();
        self.1.flush().unwrap();
        let mut line = String::new();
        self.2.read_line(&mut line).unwrap();
        let (word, length) = line.trim_end().split_once(' ').expect("the Python package does not answer");
        let mut answer = vec![0; length.parse().unwrap()];
        self.2.read_exact(&mut answer).unwrap();
        (word == "ok").then_some(answer)
    }

    /// Waits for its end.
    pub(crate) fn end(self) {
        let Self(mut child, to, from) = self;
        drop((to, from));
        let status = child.wait().unwrap();
        assert!(status.success(), "the Python ended with {status}");
    }
}
