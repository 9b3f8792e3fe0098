//! `lazaret organisation`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lexicon::{Digest, Result, Timestamp, canonical, spoken};
use serde_json::json;

use super::Context;
use crate::files;
use crate::output::{Done, add};

/// Organisations and their root keys.
#[derive(Subcommand)]
pub(crate) enum Organisation {
    /// Make an organisation's root key on this machine
    Create(Create),
    /// Take a device's certificate back
    Revoke(Revoke),
}

impl Organisation {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Create(command) => command.run(context),
            Self::Revoke(command) => command.run(context).await,
        }
    }
}

/// Make a root.
#[derive(Args)]
pub(crate) struct Create {
    /// The organisation's name
    #[arg(long)]
    name: String,
    /// The folder that will hold its root
    #[arg(long)]
    folder: PathBuf,
    /// Restore from the paper copy in this file instead of making a new key
    #[arg(long)]
    restore: Option<PathBuf>,
    /// Print the paper copy of the private key: for a printer, not for a screen that others see
    #[arg(long)]
    paper: bool,
}

impl Create {
    fn run(self, context: &Context) -> Result<Done> {
        let passphrase = context.passphrase("the organisation's root")?;
        let organisation = match &self.restore {
            Some(paper) => {
                desk::organisation::Organisation::restore(&self.folder, &self.name, &files::text(paper)?, &passphrase)?
            }
            None => desk::organisation::Organisation::create(
                &self.folder,
                &self.name,
                &passphrase,
                context.entropy.as_ref(),
            )?,
        };
        let root = organisation.root();
        let words = spoken(&root.id());
        let mut text = format!(
            "The root of {} is made.\nIts six words, to be read out by telephone: {words}\nIts public half, to be given to others: {}\n",
            root.organisation,
            self.folder.join("organisation.json").display()
        );
        if self.paper {
            add(&mut text, format_args!("Paper copy; lock it away:\n{}\n", organisation.paper().as_str()));
        } else {
            text.push_str("No paper copy was printed: give --paper once, with a printer at hand.\n");
        }
        text.push_str("Next: invite persons with `lazaret person invite`.");
        Ok(Done::new(text, json!({ "root": root, "id": root.id(), "words": words })))
    }
}

/// Take a certificate back.
#[derive(Args)]
pub(crate) struct Revoke {
    /// The folder that holds the organisation's root
    #[arg(long)]
    folder: PathBuf,
    /// The certificate's digest
    #[arg(long)]
    certificate: Digest,
    /// Since when its key may have been in other hands
    #[arg(long)]
    compromised_since: Timestamp,
    /// Write the revocation here too, to be given to agents by file
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<Done> {
        // The root's passphrase is asked for even where the device's comes from a file.
        let passphrase = context.passphrase("the organisation's root")?;
        let organisation = desk::organisation::Organisation::open(&self.folder, &passphrase)?;
        let envelope = organisation.revoke(self.certificate, self.compromised_since, context.now())?;
        if let Some(out) = &self.out {
            files::write_new(out, &canonical(&envelope)?)?;
        }
        let sent = context.global.home.is_some();
        if sent {
            let desk = context.desk()?;
            desk.client().revoke(desk.keeper(), &envelope).await?;
            desk.take_revocation(&envelope)?;
        }
        let text = if sent {
            "The certificate is taken back and the revocation is in the journal."
        } else {
            "The revocation is signed but NOT in force at the server: hand it in with --home, or give the file to the agents."
        };
        Ok(Done::new(text, json!({ "revocation": envelope, "journalled": sent })))
    }
}
