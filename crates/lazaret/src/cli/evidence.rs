//! `lazaret evidence`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use desk::Home;
use evidence::{Pack, Stamped, Trust, Verdict};
use lexicon::{Alarm, Code, Digest, Refusal, Result};
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
    /// Ask an authority of your choice for a time stamp over the certificate of destruction, and take its answer into the
    /// pack. Nothing is sent: the request is a file for you to carry
    Stamp(Stamp),
}

impl Evidence {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Export(command) => command.run(context).await,
            Self::Verify(command) => command.run(context),
            Self::Stamp(command) => command.run(context),
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
    /// The root of the authority whose time stamp the pack holds, in PEM
    #[arg(long)]
    tsa_ca: Option<PathBuf>,
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
        let stamped = self.stamped(&pack)?;
        match &stamped {
            Some(stamped) => text.push_str(&told(stamped)),
            None if pack.stamp.is_some() => {
                text.push_str("The pack holds a time stamp of this certificate; whose, name with --tsa-ca.\n");
            }
            None => {}
        }
        text.push_str(&summary(&verdict));
        let status = if verdict.established { exit::OK } else { exit::REFUSED };
        let json = json!({ "pack": self.file, "verdict": value(&verdict), "stamped": stamped.as_ref().map(value) });
        Ok(Done { text, json, status })
    }

    /// What the authority that was named says of the certificate; who names one wants a stamp.
    fn stamped(&self, pack: &Pack) -> Result<Option<Stamped>> {
        let Some(authority) = &self.tsa_ca else { return Ok(None) };
        let stamped = evidence::stamped(pack, &files::read(authority)?)?;
        stamped.map(Some).ok_or_else(|| {
            let remedy = "Leave --tsa-ca out, or have it stamped: `lazaret evidence stamp`.";
            Refusal::new(Code(1065), "the pack holds no time stamp", remedy).into()
        })
    }
}

fn told(stamped: &Stamped) -> String {
    let at = stamped.at.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("The authority '{}' saw the certificate of destruction at {at}.\n", stamped.authority)
}

/// Stamp.
#[derive(Args)]
pub(crate) struct Stamp {
    /// The pack
    file: PathBuf,
    /// The request: written without --response, read with it
    #[arg(long)]
    request: PathBuf,
    /// What the authority answered to that request
    #[arg(long, requires_all = ["tsa_ca", "out"])]
    response: Option<PathBuf>,
    /// The root of the authority, in PEM
    #[arg(long, requires = "response")]
    tsa_ca: Option<PathBuf>,
    /// Where to write the pack with the time stamp in it
    #[arg(long, requires = "response")]
    out: Option<PathBuf>,
}

impl Stamp {
    fn run(self, context: &Context) -> Result<Done> {
        let pack = evidence::read(&files::read(&self.file)?)?;
        evidence::verify(&pack, &[])?;
        let (Some(response), Some(authority), Some(out)) = (&self.response, &self.tsa_ca, &self.out) else {
            let request = evidence::stamp_request(&pack, context.entropy.bytes()?)?;
            files::write_new(&self.request, &request)?;
            let text = format!(
                "The request is written to {request}. Next: anybody: have an authority answer it (RFC 3161; by HTTP as \
                 application/timestamp-query), then `lazaret evidence stamp {pack} --request {request} --response FILE \
                 --tsa-ca FILE --out FILE`.",
                request = self.request.display(),
                pack = self.file.display()
            );
            return Ok(Done::new(text, json!({ "request": self.request })));
        };
        let (request, response) = (files::read(&self.request)?, files::read(response)?);
        let (pack, stamped) = evidence::stamp(&pack, &request, &response, &files::read(authority)?)?;
        files::write_new(out, &evidence::write(&pack)?)?;
        let text = format!("{}The pack with it is written to {}.", told(&stamped), out.display());
        Ok(Done::new(text, json!({ "pack": out, "stamped": value(&stamped) })))
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
