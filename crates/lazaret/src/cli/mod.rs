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

use crate::memory;
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
    context.clear_swap = goes_on_with_clear_swap(&cli.command, &context)?;
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

/// Whether the command goes on although this machine may write its memory in clear to its swap; that is said each time.
/// A deadline does not wait for the machine: what is due is destroyed before the command is refused.
fn goes_on_with_clear_swap(command: &Command, context: &Context) -> Result<bool> {
    let accepted = match command.holds() {
        Holds::Nothing => return Ok(false),
        Holds::Signature if context.key_is_held() => return Ok(false),
        Holds::Condemned => true,
        Holds::Signature | Holds::Secrets => context.global.danger_clear_swap,
    };
    let swaps = memory::clear_swap(accepted).inspect_err(|_| overdue::before_a_refusal(context))?;
    for swap in &swaps {
        memory::warn(swap);
    }
    Ok(!swaps.is_empty())
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

/// What of keys and records stands in the memory of a command's own process.
enum Holds {
    /// None that a swap in clear could give away.
    Nothing,
    /// This device's key, to sign requests and what does not bind; none while `lazaret unlock` holds it and signs.
    Signature,
    /// This device's key, and shares and opening keys that are destroyed with the same command.
    Condemned,
    /// Keys, passwords or rows.
    Secrets,
}

impl Command {
    /// What it holds, by what it reads and opens; whether it is refused over a swap in clear follows from that alone.
    fn holds(&self) -> Holds {
        match self {
            // A server says in its settings what it accepts; a demonstration has nothing that is secret. The others
            // read what anybody may: settings, packs, leaves, public halves, a scope. They have no key, and the
            // timer's `destroy --due` overwrites keys without opening them.
            Self::Serve(_)
            | Self::Synth(_)
            | Self::Demo(_)
            | Self::Config(_)
            | Self::Evidence(evidence::Evidence::Verify(_) | evidence::Evidence::Stamp(_))
            | Self::Journal(journal::Journal::Verify(journal::Verify { data: Some(_) }))
            | Self::Migration(migration::Migration::Destroy(migration::Destroy { due: true, .. }))
            | Self::Organisation(organisation::Organisation::Show(_))
            | Self::Scope(scope::Scope::Statements(_))
            | Self::Trust(person::Trust { data: None, revocation: false, .. }) => Holds::Nothing,
            // They ask the server, read facts, and stop: a freeze and a revocation are for emergencies.
            Self::Next(_)
            | Self::Evidence(evidence::Evidence::Export(_))
            | Self::Journal(_)
            | Self::Migration(migration::Migration::Show(_) | migration::Migration::Freeze(_))
            | Self::Consignment(consignment::Consignment::Forecast(_))
            | Self::Person(person::Person::HandIn(_))
            | Self::Trust(person::Trust { revocation: true, .. }) => Holds::Signature,
            // Refused, it would leave on the disk what it was given to destroy. A look with the probe alone destroys
            // nothing and can wait.
            Self::Migration(migration::Migration::Destroy(migration::Destroy { only_probe: false, .. })) => {
                Holds::Condemned
            }
            Self::Init(_)
            | Self::Card(_)
            | Self::Organisation(_)
            | Self::Person(_)
            | Self::Trust(_)
            | Self::Unlock(_)
            | Self::Scope(_)
            | Self::Migration(_)
            | Self::Consignment(_)
            | Self::Extract(_)
            | Self::Load(_)
            | Self::Reconcile(_)
            | Self::Migrate(_) => Holds::Secrets,
        }
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
