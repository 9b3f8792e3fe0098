//! `lazaret organisation`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use desk::Desk;
use lexicon::{Code, Digest, Refusal, Result, Timestamp, Trouble, canonical, spoken};
use people::{Certificate, Envelope};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use crate::output::{Done, add};
use crate::{exit, files};

/// Organisations and their root keys.
#[derive(Subcommand)]
pub(crate) enum Organisation {
    /// Make an organisation's root key on this machine
    Create(Create),
    /// The devices that were certified here, with the digests that a revocation names
    Show(Show),
    /// Take a device's certificate back; needs no server
    Revoke(Revoke),
}

impl Organisation {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Create(command) => command.run(context),
            Self::Show(command) => command.run(),
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
                let text = Zeroizing::new(files::text(paper)?);
                desk::organisation::Organisation::restore(&self.folder, &self.name, &text, &passphrase)?
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

/// Show what was certified.
#[derive(Args)]
pub(crate) struct Show {
    /// The folder that holds the organisation's root
    #[arg(long)]
    folder: PathBuf,
}

impl Show {
    fn run(self) -> Result<Done> {
        let root = desk::organisation::root_of(&self.folder)?;
        let certified = desk::organisation::certified_in(&self.folder)?;
        let mut text = format!("{}, six words: {}\n", root.organisation, spoken(&root.id()));
        for (digest, certificate) in &certified {
            let Certificate { person, device, until, .. } = certificate;
            add(
                &mut text,
                format_args!(
                    "  {} on {}, until {until}\n    person {}\n    certificate {digest}\n",
                    person.name, device.name, person.id
                ),
            );
        }
        if certified.is_empty() {
            text.push_str("No device was certified in this folder.");
        }
        let json =
            |(digest, certificate): &(Digest, Certificate)| json!({ "digest": digest, "certificate": certificate });
        Ok(Done::new(text, json!({ "root": root, "certificates": certified.iter().map(json).collect::<Vec<_>>() })))
    }
}

/// Take a certificate back.
#[derive(Args)]
pub(crate) struct Revoke {
    /// The folder that holds the organisation's root
    #[arg(long)]
    folder: PathBuf,
    /// The certificate's digest; `organisation show` lists them
    #[arg(long)]
    certificate: Digest,
    /// Since when its key may have been in other hands
    #[arg(long)]
    compromised_since: Timestamp,
    /// Where to write the revocation, to be handed in by an enrolled device and given to agents
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<Done> {
        if self.out.is_none() && context.global.home.is_none() {
            let why = "a revocation that is neither written nor handed in takes nothing back";
            return Err(
                Refusal::new(Code(1022), why, "Give --out FILE, or --home of a device that hands it in.").into()
            );
        }
        // The root's passphrase is asked for even where the device's comes from a file.
        let passphrase = context.passphrase("the organisation's root")?;
        let organisation = desk::organisation::Organisation::open(&self.folder, &passphrase)?;
        let envelope = organisation.revoke(self.certificate, self.compromised_since, context.now())?;
        let known = desk::organisation::certified_in(&self.folder)?;
        let known = known.iter().find(|(digest, _)| *digest == self.certificate);
        let whose = known.map_or_else(
            || format!("Certificate {} (it was not made in this folder: compare the digest)", self.certificate.short()),
            |(_, certificate)| format!("The certificate of {} on {}", certificate.person.name, certificate.device.name),
        );
        if let Some(out) = &self.out {
            files::write_new(out, &canonical(&envelope)?)?;
        }
        if context.global.home.is_some() {
            return hand_in(&context.desk()?, &envelope, &whose).await;
        }
        let file = self.out.as_deref().unwrap_or(Path::new("FILE")).display();
        let text = format!(
            "{whose} is taken back in {file}. It is NOT in force at the server yet.\n\
             Next: on any enrolled device: `lazaret person hand-in {file}`; agents take it at once with \
             `lazaret trust {file} --revocation`."
        );
        Ok(Done::new(text, json!({ "revocation": envelope, "journalled": false })))
    }
}

/// Takes a revocation in on this device first, whatever the server then does with it, and gives it to the server.
pub(crate) async fn hand_in(desk: &Desk, envelope: &Envelope, whose: &str) -> Result<Done> {
    desk.take_revocation(envelope)?;
    let json = |journalled| json!({ "revocation": envelope, "journalled": journalled });
    match desk.client().revoke(desk.keeper(), envelope).await {
        Ok(()) => Ok(Done::new(
            format!("{whose} is taken back: on this device, and at the server, whose journal has the revocation."),
            json(true),
        )),
        Err(trouble @ Trouble::Fault(_)) => {
            let text = format!(
                "{whose} is taken back on this device. It is NOT in force at the server: {trouble}\n\
                 Next: `lazaret person hand-in FILE` when it is back; a freeze by anybody bridges the wait."
            );
            Ok(Done { status: exit::status(&trouble), ..Done::new(text, json(false)) })
        }
        Err(trouble) => Err(trouble),
    }
}
