//! The command line: `lazaret <noun> <verb>`. One file a noun.

mod config;
mod consignment;
mod context;
mod demo;
mod evidence;
mod journal;
mod migration;
mod next;
mod organisation;
mod passing;
mod person;
mod plan_file;
mod scope;
mod serving;
mod synth;
mod unlock;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lexicon::Result;

pub(crate) use context::Context;

use crate::output::{Done, Printer};

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
pub(crate) struct Global {
    /// The folder of this person's device
    #[arg(long, global = true, env = "LAZARET_HOME")]
    pub home: Option<PathBuf>,
    /// The file that holds the passphrase; asked for otherwise
    #[arg(long, global = true, env = "LAZARET_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// One JSON document on standard output, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// What waits for me, why, until when, and the exact command
    Next(next::Next),
    /// Make a server: its data folder, key ring, keys and certificate
    Init(serving::Init),
    /// Serve
    Serve(serving::Serve),
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

pub(crate) async fn run(cli: Cli, _printer: &Printer) -> Result<Done> {
    let context = Context::new(cli.global);
    match cli.command {
        Command::Next(command) => command.run(&context).await,
        Command::Init(command) => command.run(&context),
        Command::Serve(command) => command.run(&context).await,
        Command::Organisation(command) => command.run(&context).await,
        Command::Person(command) => command.run(&context).await,
        Command::Trust(command) => command.run(&context).await,
        Command::Unlock(command) => command.run(&context).await,
        Command::Scope(command) => command.run(&context).await,
        Command::Migration(command) => command.run(&context).await,
        Command::Consignment(command) => command.run(&context).await,
        Command::Extract(command) => command.run(&context).await,
        Command::Load(command) => command.load(&context).await,
        Command::Reconcile(command) => command.reconcile(&context).await,
        Command::Migrate(command) => command.run(&context).await,
        Command::Journal(command) => command.run(&context).await,
        Command::Evidence(command) => command.run(&context).await,
        Command::Synth(command) => command.run(&context),
        Command::Demo(command) => command.run(&context).await,
        Command::Config(command) => command.run(&context),
    }
}
