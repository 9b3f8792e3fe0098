//! `lazaret card`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lexicon::Result;
use serde_json::json;

use super::{Context, Place};
use crate::config::ServerSettings;
use crate::output::Done;
use crate::server::{self, Named};

/// How a server is known.
#[derive(Subcommand)]
pub(crate) enum Card {
    /// Take a changed TLS certificate into the card, and sign the paper by which devices take it in; or that paper again
    Renew(Renew),
}

impl Card {
    pub(crate) fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Renew(command) => command.run(context),
        }
    }
}

/// Renew the card.
#[derive(Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    place: Place,
    /// Name the certificate that the server made itself, none being configured any more
    #[arg(long, conflicts_with_all = ["tls_certificate", "tls_key"])]
    own: bool,
    /// Where to write the signed card, to be given to every device
    #[arg(long)]
    out: PathBuf,
}

impl Renew {
    fn run(self, context: &Context) -> Result<Done> {
        let settings = ServerSettings::load(&self.place)?;
        let opener = context.server_opener()?;
        let named = if self.own { Named::Own } else { Named::Configured };
        let (card, changed) = server::renew_card(context, &settings, &opener, &named, &self.out)?;
        let what = if changed {
            "The card names the changed certificate."
        } else {
            "The card is as it was; its paper is written again."
        };
        let text = format!(
            "{what}\nTLS fingerprint: {}\nNext: start the server again, give {} to every device: `lazaret trust FILE --card`, and the new card to the organisations for their invitations: {}",
            card.fingerprint,
            self.out.display(),
            settings.data.join("card.json").display()
        );
        Ok(Done::new(text, json!({ "card": card, "changed": changed, "paper": self.out })))
    }
}
