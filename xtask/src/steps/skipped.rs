//! What a run of tests left out, and whether it had to: tests say past their harness `skipped: TEST (WHAT IS MISSING)`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

use crate::process;

/// What a machine may lack whoever runs the tests on it.
const OF_THE_MACHINE: [&str; 8] = [
    "this kernel has none",
    "this server has no ICU collations",
    "no strace that may look",
    "this machine allows nobody either",
    "openssl is not installed",
    "git does not know this folder",
    "there is no disk in memory at /dev/shm",
    "temporary files lie on no ext4",
];

/// What is there for whoever may mount disks and change accounts.
const OF_ROOT: [&str; 4] = [
    "no disk can be made in memory here",
    "no namespace",
    "the program cannot be started by another user",
    "the server's folder cannot be read from here",
];

const VARIABLES: &str = "LAZARET_TEST_";

/// Listens to what a command says on its standard error, and passes it on to `further`.
pub(super) struct Listening(JoinHandle<Vec<String>>);

impl Listening {
    pub(super) fn to(command: &mut Command, further: impl Write + Send + 'static) -> Result<Self> {
        let (said, says) = std::io::pipe()?;
        command.stderr(says);
        Ok(Self(std::thread::spawn(|| passed_on(said, further))))
    }

    /// What was skipped, once the command has ended.
    pub(super) fn end(self, command: &mut Command) -> Result<Skipped> {
        // Ours is the last end of the pipe into which something could be said.
        command.stderr(Stdio::inherit());
        let lines = self.0.join().map_err(|_| anyhow!("nobody listened to the tests"))?;
        Ok(Skipped::of(&lines))
    }
}

fn passed_on(said: PipeReader, mut further: impl Write) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        // Nobody may read it any more.
        drop(writeln!(further, "{line}"));
        if line.starts_with(PREFIX) {
            lines.push(line);
        }
    }
    lines
}

const PREFIX: &str = "skipped: ";

/// Tests by what they lacked.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Skipped(BTreeMap<String, Vec<String>>);

impl Skipped {
    fn of(lines: &[String]) -> Self {
        let mut skipped = BTreeMap::<String, Vec<String>>::new();
        for line in lines {
            let line = line.trim_start_matches(PREFIX);
            let (test, want) = line.rsplit_once(" (").unwrap_or((line, ""));
            skipped.entry(want.trim_end_matches(')').to_owned()).or_default().push(test.to_owned());
        }
        Self(skipped)
    }

    pub(super) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Tests by what they lacked, one line for each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(want, tests)| format!("{} because {want}: {}", tests.len(), tests.join(", ")))
    }

    /// What was missing for a test although it was there.
    pub(super) fn without_need(&self, is_given: impl Fn(&str) -> bool) -> Vec<&str> {
        let may_mount = process::is_root() && process::answer("unshare", &["--mount", "true"]).is_some();
        let without = self.0.keys().filter(|want| !is_excused(want, may_mount, &is_given));
        without.map(String::as_str).collect()
    }
}

fn is_excused(want: &str, may_mount: bool, is_given: &impl Fn(&str) -> bool) -> bool {
    let mut variables = want.split([' ', ',']).filter(|word| word.starts_with(VARIABLES));
    OF_THE_MACHINE.contains(&want) || (!may_mount && OF_ROOT.contains(&want)) || variables.any(|name| !is_given(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_counted_by_what_it_lacked() {
        let lines = ["skipped: b_is_so (no namespace)", "skipped: a_is_so (no namespace)", "skipped: all of (it) (X)"];
        let skipped = Skipped::of(&lines.map(str::to_owned));
        assert_eq!(skipped.count(), 3);
        let told: Vec<_> = skipped.lines().collect();
        assert_eq!(told, ["1 because X: all of (it)", "2 because no namespace: b_is_so, a_is_so"]);
    }

    #[test]
    fn nothing_is_skipped_for_want_of_what_is_there() {
        let given = |name: &str| name != "LAZARET_TEST_DATA";
        for (want, may_mount, excused) in [
            ("LAZARET_TEST_DATA is not set", true, true),
            ("LAZARET_TEST_MOTO is not set", true, false),
            ("LAZARET_TEST_MOTO or LAZARET_TEST_DATA is not set", true, true),
            ("no disk can be made in memory here", false, true),
            ("no disk can be made in memory here", true, false),
            ("openssl is not installed", true, true),
            ("the program is not built beside this test", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_excused(want, may_mount, &given), excused, "{want}");
        }
    }

    #[test]
    fn what_tests_say_past_their_harness_is_heard() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'skipped: this (that)' >&2; echo other >&2; echo 'skipped: none (of it)'"]);
        command.stdout(Stdio::null());
        let listening = Listening::to(&mut command, std::io::sink()).unwrap();
        assert!(command.status().unwrap().success());
        assert_eq!(listening.end(&mut command).unwrap(), Skipped::of(&["skipped: this (that)".to_owned()]));
    }
}
