//! What `cargo xtask kills` runs: `kills COUNT SEED`, with the addresses of both database servers in the environment.
//! Tells of every migration on standard error; prints the figures as one JSON document.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command, and its output is for people and programs")]

use std::process::ExitCode;

use drill::kills::{Until, Wanted, run};

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let [count, seed] = numbers.as_slice() else {
        eprintln!("kills COUNT SEED");
        return ExitCode::from(2);
    };
    let until = Until::Kills(u32::try_from(*count).unwrap_or(u32::MAX));
    let Some(figures) = run(Wanted { seed: *seed, until }, &mut |line| eprintln!("{line}")).await else {
        eprintln!("the program or a database server is missing; `cargo xtask kills` sees to both");
        return ExitCode::FAILURE;
    };
    eprintln!("{}", figures.line());
    println!("{}", serde_json::json!(figures));
    if figures.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
