//! One mutant at a time, in a copy of the workspace: changed, compiled, tested, put back.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::list::{Mutant, Story};
use crate::servers::Servers;
use crate::{process, steps};

/// For a small machine that compiles everything for the first time.
const BUILD: Duration = Duration::from_mins(45);
/// A test that takes longer than this waits for what the mutant switched off.
const TEST: Duration = Duration::from_mins(10);

/// What came of one mutant. Only the first is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A test failed.
    Red,
    /// Every test passed: nobody would miss the control.
    Green,
    /// It does not compile, and says nothing.
    CompileError,
    /// No test failed, and the run did not end as it should either.
    Unclear,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "GREEN",
            Self::CompileError => "COMPILE ERROR",
            Self::Unclear => "UNCLEAR",
        }
    }
}

/// What was seen of one mutant.
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    pub(super) seconds: u64,
    /// The tests that failed.
    pub(super) fell: Vec<String>,
    /// What the first of them said.
    pub(super) why: Option<String>,
}

/// The copy of the workspace, its compiled things, and what the runs printed.
pub(super) struct Copy {
    tree: PathBuf,
    target: PathBuf,
    log: PathBuf,
    servers: Servers,
    _stores: Servers,
    /// Held for as long as this lives: two runs in one copy would test each other's mutants.
    _lock: fs::File,
}

impl Copy {
    /// Brings the copy below `cache` to what stands in the workspace now; what did not change is not compiled again.
    pub(super) fn of(root: &Path, cache: &Path) -> Result<Self> {
        let folder = cache.join("mutants");
        let (tree, target, log) = (folder.join("tree"), folder.join("target"), folder.join("log"));
        if folder.starts_with(root) {
            bail!("the copy would lie inside the workspace: set LAZARET_CACHE to a folder outside");
        }
        for folder in [&tree, &log] {
            fs::create_dir_all(folder)?;
        }
        let lock = fs::OpenOptions::new().create(true).append(true).open(folder.join("lock"))?;
        lock.try_lock().with_context(|| format!("another run works in {}", folder.display()))?;
        bring(root, &tree)?;
        // All of them: a test that skips itself for want of one notices nothing.
        let (servers, stores) = steps::servers(root)?;
        Ok(Self { tree, target, log, servers, _stores: stores, _lock: lock })
    }

    /// Sees to it that every story passes while nothing is switched off.
    pub(super) fn baseline(&mut self, stories: &BTreeSet<Story>) -> Result<()> {
        let mut others = Vec::new();
        for story in stories {
            let name = story.name.as_deref().unwrap_or("every test");
            let log = name.rsplit("::").next().unwrap_or(name);
            let seen = self.tried(&format!("baseline-{}", log.replace(' ', "-")), story)?;
            eprintln!("baseline: {} of {} {} in {} s", name, story.room, seen.verdict.word(), seen.seconds);
            if seen.verdict != Verdict::Green {
                others.push(format!("{name} of {}", story.room));
            }
        }
        if !others.is_empty() {
            bail!("as the code stands these do not pass: {}; see {}", others.join(", "), self.log.display());
        }
        Ok(())
    }

    /// Switches one control off, looks, and puts it back.
    pub(super) fn switched_off(&mut self, mutant: &Mutant) -> Result<Seen> {
        let file = self.tree.join(&mutant.file);
        let text = fs::read_to_string(&file)?;
        let mut changed = text.clone();
        changed.replace_range(mutant.at.clone(), &mutant.replacement);
        write(&file, changed.as_bytes())?;
        let seen = self.tried(&mutant.name, &mutant.story);
        write(&file, text.as_bytes())?;
        seen
    }

    fn tried(&mut self, name: &str, story: &Story) -> Result<Seen> {
        let started = Instant::now();
        let (built, _) = self.cargo(name, story, &["--no-run"], &[], BUILD)?;
        let (verdict, fell, why) = if built == Some(true) {
            // Without a name every test but the random walks: they are long, and what only chance finds is not found.
            let chosen = story.name.as_ref().map_or(["--skip", "walks::"], |name| [name.as_str(), "--exact"]);
            let (passed, said) = self.cargo(name, story, &["--no-fail-fast"], &chosen, TEST)?;
            // Without its servers every story falls, whatever is switched off.
            if !self.servers.run_still() {
                bail!("a server ended while {name} was tried: see {}", self.log.display());
            }
            let (verdict, fell) = judged(passed, &said);
            (verdict, fell, why(&said))
        } else {
            (Verdict::CompileError, Vec::new(), None)
        };
        Ok(Seen { verdict, seconds: started.elapsed().as_secs(), fell, why })
    }

    /// Runs `cargo test` in the copy; whether it passed, none when it took too long, and what it printed.
    fn cargo(
        &mut self,
        name: &str,
        story: &Story,
        more: &[&str],
        to_tests: &[&str],
        limit: Duration,
    ) -> Result<(Option<bool>, String)> {
        let log = self.log.join(format!("{name}.txt"));
        let file = new(&log)?;
        let mut command = process::cargo(&self.tree);
        command.arg("test").args(story.words()).args(more).arg("--").args(to_tests);
        command.env("CARGO_TARGET_DIR", &self.target).stdout(file.try_clone()?).stderr(Stdio::from(file));
        // A property that fails need not find its smallest example, and leaves nothing for the next run.
        command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        let status = self.servers.run(&mut command, limit)?;
        let said = fs::read(&log)?;
        Ok((status.map(|status| status.success()), String::from_utf8_lossy(&said).into_owned()))
    }
}

/// What a run of tests says. A run without a test says nothing.
fn judged(passed: Option<bool>, said: &str) -> (Verdict, Vec<String>) {
    let results = said.lines().filter_map(|line| line.strip_prefix("test ")?.rsplit_once(" ... "));
    let (mut fell, mut stood): (Vec<String>, bool) = (Vec::new(), false);
    for (name, result) in results {
        match result {
            "FAILED" => fell.push(name.to_owned()),
            "ok" => stood = true,
            _ => {}
        }
    }
    let verdict = match passed {
        Some(false) if !fell.is_empty() => Verdict::Red,
        // A test that skipped itself did not look.
        Some(true) if stood && !said.lines().any(|line| line.starts_with("skipped: ")) => Verdict::Green,
        _ => Verdict::Unclear,
    };
    (verdict, fell)
}

/// The first line of the first panic that a run of tests printed.
fn why(said: &str) -> Option<String> {
    said.lines().skip_while(|line| !line.contains("panicked at ")).nth(1).map(str::to_owned)
}

/// Copies what git knows or would take, as it stands in the working tree, and removes what is not there any more.
fn bring(root: &Path, tree: &Path) -> Result<()> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git cannot be started")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let listed = String::from_utf8(output.stdout).context("a file's name is no text")?;
    let mut here = BTreeSet::new();
    for name in listed.split_terminator('\0').filter(|name| root.join(name).is_file()) {
        let (from, to) = (root.join(name), tree.join(name));
        let bytes = fs::read(&from)?;
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(to.parent().unwrap_or(tree))?;
            write(&to, &bytes)?;
        }
        fs::set_permissions(&to, fs::metadata(&from)?.permissions())?;
        here.insert(to);
    }
    prune(tree, &here)
}

fn prune(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            prune(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a copy of the house's own source")]
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("{} cannot be written", file.display()))
}

#[expect(clippy::disallowed_methods, reason = "what a test run prints")]
fn new(file: &Path) -> Result<fs::File> {
    fs::File::create(file).with_context(|| format!("{} cannot be made", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_test_that_fails_is_red() {
        let (ok, failed) = ("test a::b ... ok\n", "test a::c ... FAILED\n");
        let both = format!("running 2 tests\n{ok}{failed}");
        assert_eq!(judged(Some(false), &both), (Verdict::Red, vec!["a::c".to_owned()]));
        assert_eq!(judged(Some(true), ok).0, Verdict::Green);
        assert_eq!(judged(Some(true), "running 0 tests\n").0, Verdict::Unclear, "no test ran");
        assert_eq!(judged(Some(true), &format!("skipped: b (no x)\n{ok}")).0, Verdict::Unclear, "it did not look");
        assert_eq!(judged(Some(false), ok).0, Verdict::Unclear, "it ended without a failing test");
        assert_eq!(judged(None, &both).0, Verdict::Unclear, "it did not end");
        let panic = "thread 'a::c' (7) panicked at drill/a.rs:1:2:\nassertion failed: LZ-0616\nnote: run with\n";
        assert_eq!(why(panic).as_deref(), Some("assertion failed: LZ-0616"));
    }

    #[test]
    fn a_copy_holds_what_the_workspace_holds_and_no_more() {
        let root = crate::root().unwrap();
        if !root.join(".git").exists() {
            std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!(
                    "skipped: a_copy_holds_what_the_workspace_holds_and_no_more (git does not know this folder)\n"
                ),
            )
            .unwrap();
            return;
        }
        let tree = std::env::temp_dir().join(format!("lazaret-copy-{}", std::process::id()));
        fs::create_dir_all(tree.join("xtask/tests")).unwrap();
        write(&tree.join("xtask/tests/old.rs"), b"fn old() {}").unwrap();
        write(&tree.join("xtask/Cargo.toml"), b"another text").ok();

        bring(&root, &tree).unwrap();

        let same = |name: &str| fs::read(tree.join(name)).unwrap() == fs::read(root.join(name)).unwrap();
        assert!(same("xtask/Cargo.toml") && same("xtask/src/main.rs") && same("Cargo.lock"));
        assert!(!tree.join("xtask/tests/old.rs").exists() && !tree.join("target").exists());
        fs::remove_dir_all(&tree).unwrap();
    }
}
