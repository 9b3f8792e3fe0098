//! The command line: `lazaret <noun> <verb>`. One file a noun.

mod card;
mod config;
mod consignment;
mod context;
mod counted;
mod demo;
mod evidence;
mod forecast;
mod journal;
pub(crate) mod keys;
mod migration;
mod next;
mod organisation;
mod overdue;
mod passing;
mod person;
mod plan_file;
mod scope;
mod serving;
mod shown;
mod sign_off;
mod synth;
mod unlock;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use lexicon::{Code, Refusal, Result};
use passage::KeysInClear;
use tokio::sync::oneshot;

pub(crate) use context::Context;
pub(crate) use serving::Place;

use crate::output::Done;

/// Moves a laboratory's records from one laboratory system to another and leaves nothing behind.
#[derive(Parser)]
#[command(name = "lazaret", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct Global {
    /// The folder of this person's device
    #[arg(long, global = true, env = "LAZARET_HOME")]
    pub home: Option<PathBuf>,
    /// The file that holds the passphrase; asked for otherwise
    #[arg(long, global = true, env = "LAZARET_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// The file with the age identity that opens a server's secrets in a passphrase's stead
    #[arg(long, global = true, env = "LAZARET_IDENTITY_FILE")]
    pub identity_file: Option<PathBuf>,
    /// One JSON document on standard output, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Go on although this machine may write keys and records in clear to its swap
    #[arg(long, global = true, env = "LAZARET_DANGER_CLEAR_SWAP", value_parser = clap::builder::FalseyValueParser::new())]
    pub danger_clear_swap: bool,
    /// End when standard input does: whoever started this holds its other end, and is gone then, however that came
    #[arg(long, global = true, hide = true)]
    pub until_stdin_closes: bool,
}

#[derive(Subcommand)]
enum Command {
    /// What waits for me, why, until when, and the exact command
    Next(next::Next),
    /// Make a server: its data folder, key ring, keys and certificate
    Init(serving::Init),
    /// Serve
    Serve(serving::Serve),
    /// How a server is known
    #[command(subcommand)]
    Card(card::Card),
    /// Organisations and their root keys
    #[command(subcommand)]
    Organisation(organisation::Organisation),
    /// Persons and their devices
    #[command(subcommand)]
    Person(person::Person),
    /// Pin an organisation's root on this device, or admit it on a server
    Trust(person::Trust),
    /// Hold this device's key in memory for a while
    Unlock(unlock::Unlock),
    /// The allow-list of what leaves the old system
    #[command(subcommand)]
    Scope(scope::Scope),
    /// Migrations: plan, approvals, deadline, end
    #[command(subcommand)]
    Migration(migration::Migration),
    /// Rounds of a migration
    #[command(subcommand)]
    Consignment(consignment::Consignment),
    /// Read the old system, seal, and store
    Extract(passing::Extract),
    /// Open, write into the new system, and compare
    Load(passing::Load),
    /// Read the new system again and compare
    Reconcile(passing::Load),
    /// Extract, release, hand over and load, by one person who holds both ends
    Migrate(passing::Migrate),
    /// The server's journal
    #[command(subcommand)]
    Journal(journal::Journal),
    /// The evidence of a migration
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Make a synthetic old system
    Synth(synth::Synth),
    /// A whole migration between two synthetic parties on this machine
    Demo(demo::Demo),
    /// What is configured
    #[command(subcommand)]
    Config(config::Config),
}

/// Keys of rows at fault come into `keys`, if they were asked for.
pub(crate) async fn run(cli: Cli, keys: Arc<KeysInClear>) -> Result<Done> {
    let mut context = Context::new(cli.global, keys);
    if cli.command.holds_secrets() {
        let swaps = crate::memory::clear_swap(context.global.danger_clear_swap)?;
        for swap in &swaps {
            crate::memory::warn(swap);
        }
        context.clear_swap = !swaps.is_empty();
    }
    if !context.global.until_stdin_closes {
        return cli.command.run(&context).await;
    }
    tokio::select! {
        done = cli.command.run(&context) => done,
        () = stdin_closes() => {
            Err(Refusal::new(Code(1090), "whoever started this command is gone", "Give the command again.").into())
        }
    }
}

/// Over when nobody can write to standard input any more.
async fn stdin_closes() {
    let (open, closed) = oneshot::channel::<()>();
    // A thread of its own: the runtime would wait at its end for one of its own that still reads.
    std::thread::spawn(move || {
        // An input that cannot be read is as good as closed.
        drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
        drop(open);
    });
    drop(closed.await);
}

impl Command {
    /// Whether keys or records may stand in its memory. A server says in its settings what it accepts; a demonstration
    /// has nothing that is secret.
    fn holds_secrets(&self) -> bool {
        !matches!(self, Self::Serve(_) | Self::Synth(_) | Self::Demo(_) | Self::Config(_))
    }

    async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Next(command) => command.run(context).await,
            Self::Init(command) => command.run(context),
            Self::Serve(command) => command.run(context).await,
            Self::Card(command) => command.run(context),
            Self::Organisation(command) => command.run(context).await,
            Self::Person(command) => command.run(context).await,
            Self::Trust(command) => command.run(context),
            Self::Unlock(command) => command.run(context).await,
            Self::Scope(command) => command.run(context).await,
            Self::Migration(command) => command.run(context).await,
            Self::Consignment(command) => command.run(context).await,
            Self::Extract(command) => command.run(context).await,
            Self::Load(command) => command.load(context).await,
            Self::Reconcile(command) => command.reconcile(context).await,
            Self::Migrate(command) => command.run(context).await,
            Self::Journal(command) => command.run(context).await,
            Self::Evidence(command) => command.run(context).await,
            Self::Synth(command) => command.run(context),
            Self::Demo(command) => command.run(context).await,
            Self::Config(command) => command.run(context),
        }
    }
}
