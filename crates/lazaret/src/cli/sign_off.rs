//! `lazaret migration sign-off`.

use clap::Args;
use lexicon::{Result, digest_of};
use procedure::{Act, History, Migration as State};

use super::Context;
use super::context::acted;
use super::migration::{Which, state_text};
use super::shown::{self, Question};
use crate::output::Done;

/// Sign off.
#[derive(Args)]
pub(crate) struct SignOff {
    #[command(flatten)]
    which: Which,
    /// Who holds the history that the law requires: `target`, or `archive:NAME`
    #[arg(long, value_parser = history)]
    history: History,
    /// The digest of the reports, when they were looked at before
    #[arg(long)]
    yes: Option<String>,
}

fn history(text: &str) -> std::result::Result<History, String> {
    match text.split_once(':') {
        None if text == "target" => Ok(History::Target),
        Some(("archive", name)) if !name.trim().is_empty() => Ok(History::Archive(name.to_owned())),
        _ => Err("say 'target' or 'archive:NAME'".to_owned()),
    }
}

impl SignOff {
    pub(super) async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let id = context.migration(&desk, self.which.migration).await?;
        let ledger = desk.follow(id).await?;
        let reports = shown::to_sign_off(ledger.migration());
        // Over none the procedure says what is missing.
        if !reports.is_empty() {
            let question =
                Question { asked: "Sign off over these reports?", expected: digest_of(&reports)?.to_string() };
            shown::show_and_ask(context, &state_text(ledger.migration()), &question, self.yes.as_deref())?;
        }
        let mut build = |migration: &State| {
            let reports = shown::unchanged(&reports, shown::to_sign_off(migration))?;
            Ok(Act::SignOff { reports, history: self.history.clone() })
        };
        desk.act(id, &mut build, &[]).await?;
        // The server destroys its part at once: show what came of it.
        let ledger = desk.follow(id).await?;
        Ok(acted(
            &ledger,
            "Signed off. The server destroys its part; laboratory and recipient destroy theirs with `lazaret migration destroy`.",
        ))
    }
}
