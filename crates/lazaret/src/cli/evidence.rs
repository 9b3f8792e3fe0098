//! `lazaret evidence`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use desk::Home;
use evidence::{Pack, Trust, Verdict};
use lexicon::{Alarm, Code, Digest, Result};
use procedure::Ledger;
use serde_json::json;

use super::Context;
use super::context::value;
use super::migration::Which;
use crate::output::{Done, add};
use crate::{exit, files};

/// The evidence of a migration.
#[derive(Subcommand)]
pub(crate) enum Evidence {
    /// Fetch the pack, check it, and write it
    Export(Export),
    /// Check a pack without any server, and print each statement with who says it
    Verify(Verify),
}

impl Evidence {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Export(command) => command.run(context).await,
            Self::Verify(command) => command.run(context),
        }
    }
}

/// Export.
#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    which: Which,
    /// Where to write the pack, a zip file
    #[arg(long)]
    out: PathBuf,
}

impl Export {
    async fn run(self, context: &Context) -> Result<Done> {
        let desk = context.desk()?;
        let id = context.migration(&desk, self.which.migration).await?;
        // Followed first: whatever this device has seen by now must be in the pack.
        let ledger = desk.follow(id).await?;
        let zip = desk.client().evidence(desk.keeper(), id).await?;
        let pack = evidence::read(&zip)?;
        let trust = Trust { roots: desk.home().trusted()?, server: Some(desk.client().card().clone()) };
        let verdict = evidence::verify_against(&pack, &trust)?;
        same_story(&pack, &ledger)?;
        files::write_new(&self.out, &zip)?;
        let mut text = format!("The evidence of migration {id} is written to {}.\n", self.out.display());
        text.push_str(&summary(&verdict));
        text.push_str(
            "Next: anybody: `lazaret evidence verify FILE --trust ROOT`; the roots travel another way than the pack.",
        );
        let json = json!({ "migration": id, "pack": self.out, "digest": Digest::of(&zip), "verdict": verdict, "turn": ledger.migration().turn() });
        Ok(Done::new(text, json))
    }
}

/// The pack must begin with the facts that this device replayed itself.
fn same_story(pack: &Pack, ledger: &Ledger) -> Result<()> {
    let mut told = pack.entries.iter();
    for recorded in ledger.recorded() {
        let same = told.next().map(|placed| placed.entry.fact.digest()).transpose()? == Some(recorded.digest);
        if pack.migration != ledger.migration().id || !same {
            let text = format!(
                "fact {} in the pack is missing, or another one than this device replayed",
                recorded.fact.number
            );
            return Err(Alarm::new(Code(1056), text).into());
        }
    }
    Ok(())
}

/// Verify.
#[derive(Args)]
pub(crate) struct Verify {
    /// The pack
    file: PathBuf,
    /// The public half of a party's root, got another way than the pack; several for several
    #[arg(long)]
    trust: Vec<PathBuf>,
    /// The server's card, got another way than the pack
    #[arg(long)]
    server: Option<PathBuf>,
}

impl Verify {
    fn run(self, context: &Context) -> Result<Done> {
        let mut trust = Trust::default();
        for path in &self.trust {
            trust.roots.push(files::json(path)?);
        }
        trust.server = self.server.as_deref().map(files::json).transpose()?;
        // A device has compared six words before: what it pinned counts too.
        if let Some(folder) = context.global.home.as_deref().filter(|_| self.trust.is_empty()) {
            let home = Home::open(folder)?;
            trust.roots = home.trusted()?;
            trust.server = trust.server.or(home.card().ok());
        }
        let pack = evidence::read(&files::read(&self.file)?)?;
        let verdict = evidence::verify_against(&pack, &trust)?;
        let mut text = String::new();
        for statement in &verdict.statements {
            add(
                &mut text,
                format_args!("- {}\n    {}: {}\n", statement.text, statement.strength.words(), statement.who),
            );
        }
        text.push_str(&summary(&verdict));
        let status = if verdict.established { exit::OK } else { exit::REFUSED };
        Ok(Done { text, json: json!({ "pack": self.file, "verdict": value(&verdict) }), status })
    }
}

/// What a verdict comes to, after its statements.
fn summary(verdict: &Verdict) -> String {
    let mut text = format!(
        "Migration {}: {:?} after {} facts; journal of {} leaves.\n",
        verdict.migration, verdict.stage, verdict.facts, verdict.journal_size
    );
    if verdict.demonstration {
        text.push_str("This was a DEMONSTRATION with synthetic data.\n");
    }
    for warning in &verdict.warnings {
        add(&mut text, format_args!("Warning: {warning}\n"));
    }
    for missing in &verdict.missing {
        add(&mut text, format_args!("Missing: {missing}\n"));
    }
    let certificate = if verdict.certificate_complete { "complete" } else { "NOT complete" };
    add(&mut text, format_args!("Certificate of destruction: {certificate}.\n"));
    let server = if verdict.server_pinned {
        "is the one that you named"
    } else {
        "is the pack's own word: name it with --server"
    };
    add(&mut text, format_args!("The server's key {server}.\n"));
    if verdict.established {
        text.push_str("Consistent, and every party's root is one that you trust.\n");
    } else {
        text.push_str(
            "Consistent, identities not established. Compare these words by telephone, then give the roots with \
             --trust:\n",
        );
        for unpinned in &verdict.unpinned {
            add(&mut text, format_args!("  {}: {}\n", unpinned.organisation, unpinned.words));
        }
    }
    text
}
