//! `cargo xtask bench vault`: what sealing, opening and destroying cost, beside plain ciphers, plain Parquet and other
//! programs. What is measured stands in `crates/seal/examples` and `crates/vault/examples`, each step in a process of its own.

mod figures;
mod steps;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::figures::{Taken, ratios, rows};
use self::steps::Step;
use super::meter::{self, Meter};
use super::report::{self, Measured, Words};
use super::{Build, Telling, built, copied, procfs};
use crate::process;
use crate::servers::{self, Place};

const USAGE: &str = "cargo xtask bench vault [options]

  --runs N        how often each step is run; medians are told (3)
  --only PART     opaque, tables, threads, destruction or memory; without a name all of them
  --small         little of everything: shows that the sequence works, and hardly a figure
  --debug-build   the unoptimised programs: shows that the sequence works, and no figure
  --no-build      the programs as they were built last
  --json          prints the bench file instead of its page

Files are made in the folder of temporary files (TMPDIR), 30 GiB of them at the standard size; it should lie on the disk
that is meant. A run of the standard size, with optimised programs, is kept in docs/bench/vault.json and vault.md.";

/// What stands around the figures.
pub(super) const WORDS: Words = Words {
    name: "vault",
    command: "bench vault",
    head: "What sealing and destroying costs",
    foot: "
## How to read this

* Every step is a process of its own, all steps run once, then all again; figures are medians, memory is the highest. Steps of
  this house tell their own CPU and wall time, without what they prepare; those of other programs are told from outside, and so
  are this program's own *to nothing*, with its start and its end.
* *Not ours* is CPU that the machine spent on something else meanwhile, preparations of the step included. Ratios of speed and
  of CPU are of CPU seconds and bear some of it; those by the wall do not.
* Plain AES-256-GCM seals 1 MiB at a time where it lies, by the same library, and copies nothing. Opaque parcels are Tink's format.
* *In a file* is from one file into another, which is on the disk when the step ends; what is read comes from memory, where the
  kernel keeps what was just written. *The disk alone* writes as many bytes of memory.
  Each of the three follows such a write that is not measured, or the first would pay for memory that the machine has yet to find.
* `age`, `openssl` and `gpg` read the same file and write to nothing, and so does the step that they are compared with, on one
  thread as they are; the program's own sealing uses every core, four at most. No step on one core could be faster than plain
  AES-256-GCM, whose ratio to `age` is told for that. Of these, `openssl enc` proves nothing about what it opens.
* What AES costs hangs on the processor more than anything else here. One with AVX-512 sealed four times as much by plain AES-256-GCM for each
  second as one without, and `age`'s ChaCha20 1.4 to 2.1 times as much: there the same sealing made 5.2 (seal) and 5.5 (open) times the speed of
  the age crate, 2.0 and 5.6 times that of the program `age`, and 0.70 and 0.68 of plain AES-256-GCM (measured on 28 November 2026). One without
  it gives less of the first four, and more of the last two.
* Plain Parquet has the same pages, row groups and compression. A parcel is digested for the manifest when it is sealed, and
  compared with it when it is opened; the plain files too, but where it says *without digests*. Both are held to the same
  target: the first says what encryption costs, the second what sealing costs in all.
* The key's act is `vault::destroy_key` on a ring of files: tombstone, key, epoch, the other keys carried over, and the probe. The
  whole includes the parcels on the shelf.
* *Memory* is that of the format alone, from file to file. A whole passage of one document of 10 GiB, measured on 27 November
  2026 by the story `a_document_larger_than_any_process_may_be_passes_whole` with `LAZARET_TEST_DOCUMENT_MIB=10240`, held more
  than the target's 64 MiB: 80.0 MiB in extract, 89.3 in load, 89.6 in reconcile, and 183.4 in the process with the server.
",
};

/// What is used beside our own: package and program.
const TOOLS: [(&str, &str); 3] = [("age", "age"), ("openssl", "openssl"), ("gpg", "gpg")];

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Opaque,
    Tables,
    Threads,
    Destruction,
    Memory,
}

impl Part {
    const ALL: [(Self, &str); 5] = [
        (Self::Opaque, "opaque"),
        (Self::Tables, "tables"),
        (Self::Threads, "threads"),
        (Self::Destruction, "destruction"),
        (Self::Memory, "memory"),
    ];

    /// As `--only` calls it; its rows begin with it.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(part, _)| *part == self).map_or("", |(_, name)| name)
    }
}

/// How much goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) memory_mib: u32,
    pub(super) age_mib: u32,
    pub(super) rows: u32,
    pub(super) passes: u32,
    pub(super) file_mib: u32,
    pub(super) large_mib: u32,
}

const STANDARD: Sizes = Sizes {
    memory_mib: 16 * 1024,
    age_mib: 2 * 1024,
    rows: 1_000_000,
    passes: 4,
    file_mib: 2 * 1024,
    large_mib: 10 * 1024,
};
const SMALL: Sizes = Sizes { memory_mib: 256, age_mib: 64, rows: 50_000, passes: 1, file_mib: 64, large_mib: 64 };

#[derive(Clone, Debug, PartialEq)]
struct Options {
    runs: usize,
    only: Option<Part>,
    sizes: Sizes,
    build: Build,
    json: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { runs: 3, only: None, sizes: STANDARD, build: Build::STANDARD, json: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
            match *word {
                "--runs" => options.runs = value()?.parse()?,
                "--only" => {
                    let name = *value()?;
                    let part = Part::ALL.iter().find(|(_, part)| *part == name);
                    options.only = Some(part.with_context(|| format!("{name} is no part of this\n\n{USAGE}"))?.0);
                }
                "--small" => options.sizes = SMALL,
                "--json" => options.json = true,
                word if options.build.took(word) => {}
                _ => bail!("{USAGE}"),
            }
        }
        if options.runs == 0 {
            bail!("nothing would be measured\n\n{USAGE}");
        }
        Ok(options)
    }

    /// Whether the figures may stand in the tree.
    fn is_standard(&self) -> bool {
        (self.runs, self.sizes, self.build) == (3, STANDARD, Build::STANDARD)
    }
}

/// `cargo xtask bench vault …`.
pub(super) fn command(root: &Path, words: &[&str]) -> Result<ExitCode> {
    if words == ["--help"] {
        eprintln!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse(words)?;
    servers::install_packages(&|| {
        let missing = TOOLS.iter().filter(|(_, program)| process::find(program, &[]).is_none());
        missing.map(|(package, _)| *package).collect()
    })?;
    let seal = ["--package", "seal", "--example", "measure_seal"];
    let destroy = ["--package", "vault", "--example", "measure_destroy"];
    let examples = built(root, options.build, &[seal, destroy])?.join("examples");
    let place = Place::create()?;
    let folder = place.folder().to_owned();
    let bench = Bench {
        meter: Meter::new()?,
        seal: copied(&examples.join("measure_seal"), &folder)?,
        destroy: copied(&examples.join("measure_destroy"), &folder)?,
        sizes: options.sizes,
        folder,
    };
    let mut told = Vec::new();
    for (part, name) in Part::ALL.iter().filter(|(part, _)| options.only.is_none_or(|only| only == *part)) {
        if *part == Part::Threads && cores() < 2 {
            eprintln!("{name}: not measured, this machine has one core");
            continue;
        }
        // Of memory the highest is told, and the same bytes take the same: once is enough.
        let runs = if *part == Part::Memory { 1 } else { options.runs };
        let taken = bench.part(*part, runs)?;
        told.extend(rows(*part, &taken));
        told.extend(ratios(*part, &taken));
    }
    let about = about()?;
    let machine = format!("{}; {about}", procfs::machine());
    let measured = Measured { machine, about: std::collections::BTreeMap::new(), rows: &told };
    report::told(root, Telling { kept: options.is_standard(), json: options.json }, &WORDS, &measured)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The versions of the other programs.
fn about() -> Result<String> {
    let first = |program: &str, word: &str| {
        let said = meter::said(std::process::Command::new(program).arg(word))?;
        Ok::<_, anyhow::Error>(said.lines().next().unwrap_or_default().trim().to_owned())
    };
    let (age, openssl, gpg) = (first("age", "--version")?, first("openssl", "version")?, first("gpg", "--version")?);
    Ok(format!("age {age}, {openssl}, {gpg}"))
}

/// What all steps share.
pub(super) struct Bench {
    pub(super) meter: Meter,
    pub(super) seal: PathBuf,
    pub(super) destroy: PathBuf,
    pub(super) sizes: Sizes,
    pub(super) folder: PathBuf,
}

impl Bench {
    pub(super) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Every step of a part, run after run.
    fn part(&self, part: Part, runs: usize) -> Result<Taken> {
        let steps = Step::of(part, self);
        let name = part.name();
        eprintln!("{name}: preparing");
        self.prepare(part)?;
        let mut taken = Taken::default();
        for run in 1..=runs {
            for step in &steps {
                let told = format!("{name} run {run}/{runs} {}", step.name);
                let figures = self.measure(step).with_context(|| told.clone())?;
                eprintln!("{told}: {figures:?}");
                taken.note(step.name, figures);
            }
        }
        self.tidy(part)?;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_run_of_the_optimised_programs_is_kept() {
        let kept = |words: &[&str]| Options::parse(words).unwrap().is_standard();
        assert!(kept(&[]) && kept(&["--only", "threads", "--json"]));
        for words in [&["--small"][..], &["--runs", "2"], &["--debug-build"], &["--no-build"]] {
            assert!(!kept(words), "{words:?}");
        }
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        for words in [&["--fast"][..], &["--only", "everything"], &["--only"], &["--runs", "0"], &["--runs", "many"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
