//! What `cargo xtask bench vault` measures of this room, beside plain AES-256-GCM, plain Parquet and the age crate, each in
//! a process of its own. `measure_seal STEP …` prints one line of JSON: bytes in clear, CPU seconds of this process and
//! seconds by the wall that the step itself took, and the most memory that the process ever held. STEP is
//!
//! * `cipher|opaque|age seal|open MIB THREADS`: in memory, over and over again until MIB are through; only `opaque` has
//!   more than one thread;
//! * `table plain|seal|plain-open|open ROWS PASSES THREADS`: rows of 15 columns that are computed before; plain with
//!   `-undigested` is told without the SHA-256 of each file;
//! * `file make|write|seal|open|same FROM TO MIB THREADS`: between files, made durable; `make` writes MIB of noise into
//!   TO, `write` writes the same MiB of memory into TO over and over, `same` fails unless both hold the same bytes.
//!
//! The keys are no secret here.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command, and its output is read by another one")]

#[path = "measure_seal/files.rs"]
mod files;
#[path = "measure_seal/memory.rs"]
mod memory;
#[path = "measure_seal/tables.rs"]
mod tables;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use lexicon::{Code, ConsignmentId, Digest, Fault, MigrationId, ParcelId, Refusal, Result, Retry};
use seal::{ConsignmentKey, ParcelName, Share};

const MIB: usize = 1024 * 1024;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(took) => {
            let Took { bytes, cpu, wall } = took;
            println!(r#"{{"bytes":{bytes},"cpu":{cpu:.3},"wall":{wall:.4},"peak_kib":{}}}"#, status("VmHWM:"));
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("measure_seal: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<Took> {
    match words {
        ["cipher", verb, mib, _] => memory::cipher(verb, number(mib)?),
        ["opaque", verb, mib, threads] => memory::opaque(verb, number(mib)?, count(threads)?),
        ["age", verb, mib, _] => memory::age(verb, number(mib)?),
        ["table", verb, rows, passes, threads] => {
            tables::table(verb, (number(rows)?, number(passes)?), count(threads)?)
        }
        ["file", verb, from, to, mib, threads] => files::file(verb, (from, to), number(mib)?, count(threads)?),
        _ => Err(usage().into()),
    }
}

/// What a step took.
pub(crate) struct Took {
    /// In clear.
    bytes: usize,
    cpu: f64,
    wall: f64,
}

/// Does the work, which says how many bytes in clear it was about.
pub(crate) fn measured(work: impl FnOnce() -> Result<usize>) -> Result<Took> {
    let (cpu, began) = (cpu(), Instant::now());
    let bytes = work()?;
    Ok(Took { bytes, wall: began.elapsed().as_secs_f64(), cpu: self::cpu() - cpu })
}

/// CPU seconds of this process, all of its threads, those that have ended too; in steps of a hundredth.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which stands in parentheses, comes field 3; user and system time are 14 and 15.
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    let ticks = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>();
    ticks / 100.0
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// A consignment of which everything is known.
pub(crate) fn key() -> Result<ConsignmentKey> {
    ConsignmentKey::derive(&Share::take(&[1; 32])?, &Share::take(&[2; 32])?, Digest([3; 32]))
}

pub(crate) fn name() -> ParcelName {
    ParcelName {
        migration: MigrationId([1; 16]),
        consignment: ConsignmentId([2; 16]),
        attempt: 1,
        parcel: ParcelId([3; 16]),
        table: "result".to_owned(),
        sequence: 0,
    }
}

fn number(word: &str) -> Result<usize> {
    word.parse().map_err(|_| usage().into())
}

fn count(word: &str) -> Result<NonZeroUsize> {
    word.parse().map_err(|_| usage().into())
}

pub(crate) fn usage() -> Refusal {
    let why = "this is not how sealing is measured";
    Refusal::new(Code(999), why, "See the first lines of crates/seal/examples/measure_seal.rs.")
}

pub(crate) fn failed(what: &str) -> Fault {
    Fault::new(Code(999), Retry::Never, format!("{what} failed"))
}
