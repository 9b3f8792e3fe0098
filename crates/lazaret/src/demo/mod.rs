//! A whole migration on one machine: five persons of two organisations, each with folder, key and processes of their
//! own, around one server. Everything goes through the commands that people type; nothing is taken on trust at the end.
//!
//! The instance is a demonstration for ever: its server listens on loopback only, devices extract for it from marked
//! synthetic files only, and its certificate and the pages of its evidence say DEMONSTRATION.

mod cast;
mod child;
mod copy;
mod ending;
mod figures;
mod ground;
mod opening;
mod passing;
mod plan;
mod practice;
mod report;
mod search;
mod serving;
mod tell;

use std::path::PathBuf;
use std::sync::Arc;

use lexicon::{Code, Refusal, Result};

use crate::cli::Context;
use crate::exit;
use crate::output::{self, Done};

use child::Commands;
use figures::hex;
use ground::Ground;
use report::Report;
use serving::Serving;
use tell::Teller;

/// What the demonstration is to be like.
pub(crate) struct Wish {
    /// How many patients the old system has.
    pub(crate) patients: u64,
    /// The folder, if it is to be a certain one.
    pub(crate) dir: Option<PathBuf>,
    /// What the old system is drawn from.
    pub(crate) seed: u64,
    /// Whether to stop the server at the end.
    pub(crate) once: bool,
}

/// Plays it. The status is 0 only if everything that it shows holds.
///
/// # Errors
/// Whatever a party's command ended with, in its own words; a refusal when it is interrupted. The server is stopped.
pub(crate) async fn run(context: &Context, wish: &Wish) -> Result<Done> {
    let ground = Ground::make(wish.dir.as_deref(), context.entropy.as_ref())?;
    let commands = Arc::new(Commands::new(ground, Teller::new(&context.global))?);
    let played = tokio::select! {
        played = play(context, wish, &commands) => played,
        () = crate::server::interrupted() => {
            let remedy = "Run it again; what it made until here can be deleted.";
            Err(Refusal::new(Code(1089), "the demonstration was interrupted and its server is stopped", remedy).into())
        }
    };
    let report = played.inspect_err(|_| {
        output::error_line(&format!("What was made until here lies in {}.", commands.ground.dir().display()));
    })?;
    let done = Done {
        text: ending::text(&report, &commands.ground),
        json: serde_json::to_value(&report).unwrap_or_default(),
        status: if report.failed.is_empty() { exit::OK } else { exit::MISMATCH },
    };
    if wish.once {
        return Ok(done);
    }
    stay_up(context, &commands, done).await
}

async fn play(context: &Context, wish: &Wish, commands: &Arc<Commands>) -> Result<Report> {
    commands.tell.line("A demonstration: a laboratory's records move to a new system, and nothing is left behind.");
    commands.tell.line(&format!("Everything is synthetic and lies in {}.", commands.ground.dir().display()));
    let made = opening::systems(commands, wish).await?;
    opening::secrets(context, commands)?;
    let serving = opening::server(commands).await?;
    opening::people(commands).await?;
    let approved = opening::plan(context, commands).await?;
    let passed = passing::consignment(commands, &approved).await?;
    let round = (approved.migration.parse()?, passed.consignment);
    let before = copy::somebody_copies(context, commands, round).await?;
    let ended = ending::destruction(context, commands, serving, round).await?;
    let word = format!("témoin-{}", hex(&context.entropy.bytes::<12>()?));
    let looked = ending::search(commands, made, word).await?;
    Ok(ending::report(commands, (approved, passed), (before, ended), &looked))
}

/// The server goes on until somebody stops it.
async fn stay_up(context: &Context, commands: &Arc<Commands>, done: Done) -> Result<Done> {
    let mut serving = Serving::start(commands).await?;
    if context.global.json {
        output::out(&done.json.to_string());
    } else {
        output::out(&done.text);
    }
    commands.tell.line(&ending::next(&commands.ground));
    tokio::select! {
        () = serving.ended() => {}
        () = crate::server::interrupted() => {}
    }
    serving.stop().await?;
    Ok(Done { text: "The server is stopped.".to_owned(), json: serde_json::json!({ "stopped": true }), ..done })
}
