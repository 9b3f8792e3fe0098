//! `lazaret`: one binary for the server, the agents and everybody who decides. This crate only wires. The runtime and what
//! prints are made here; clock and generator of randomness in `cli::Context`, which hands them down.

mod cli;
mod config;
mod demo;
mod exit;
mod files;
mod memory;
mod opener;
mod output;
mod ring;
mod server;
mod shelf;
mod tls;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::cli::Cli;
use crate::output::Printer;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    memory::give_back();
    let printer = Printer::new(&cli.global);
    output::start_log(cli.global.quiet);
    if let Err(trouble) = memory::keep() {
        return printer.trouble(&trouble, &passage::KeysInClear::default());
    }
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return ExitCode::from(exit::FAILURE);
    };
    let keys = Arc::new(passage::KeysInClear::default());
    match runtime.block_on(cli::run(cli, Arc::clone(&keys))) {
        Ok(done) => printer.done(&done, &keys),
        Err(trouble) => printer.trouble(&trouble, &keys),
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args().any(|argument| argument == "--json") {
        let trouble = serde_json::json!({ "error": { "family": "usage", "message": error.kind().to_string() } });
        output::out(&trouble.to_string());
    }
    // Nothing better can be done when the terminal does not take the help text.
    drop(error.print());
    ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK })
}
