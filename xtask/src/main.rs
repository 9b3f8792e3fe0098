//! The house's own commands: `cargo xtask tidy | codes | test | mutants | fuzz | kills | servers | bench`.
//!
//! What each needs from the machine it says when it is missing; nothing here is part of the product.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "these are commands, and their output is for people")]

mod bench;
mod fuzz;
mod kills;
mod mutants;
mod process;
mod servers;
mod steps;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "cargo xtask <command>

  tidy      checks the rules of the house that the compiler does not know
  codes     writes the manual's page of codes from the sources
  test      everything that must pass, with private database servers: what CI runs
  mutants   switches each control off and wants a test to notice; see `cargo xtask mutants --help`
  fuzz      gives every parser inputs that it has not met; see `cargo xtask fuzz --help`
  kills     ends processes of migrations by `kill -9` and compares what they come to; see `cargo xtask kills --help`
  servers   starts those servers and prints how to reach them; Ctrl-C ends them
  bench     measures what carrying records costs, or sealing and destroying, into docs/bench; see
            `cargo xtask bench passage --help` and `cargo xtask bench vault --help`";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::command(&root()?),
        ["codes"] => tidy::write_codes(&root()?),
        ["test"] => steps::test(&root()?),
        ["mutants", words @ ..] => mutants::command(&root()?, words),
        ["fuzz", words @ ..] => fuzz::command(&root()?, words),
        ["kills", words @ ..] => kills::command(&root()?, words),
        ["bench", words @ ..] => bench::command(&root()?, words),
        ["servers"] => servers::command(),
        [servers::GUARD_COMMAND, purpose] => servers::guard(purpose).map(|()| ExitCode::SUCCESS),
        _ => bail!("{USAGE}"),
    }
}

/// The workspace's folder.
fn root() -> Result<PathBuf> {
    let here =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()));
    match here.parent() {
        Some(root) if root.join("Cargo.lock").is_file() => Ok(root.to_path_buf()),
        _ => bail!("run this as `cargo xtask` inside the workspace"),
    }
}
