//! `lazaret person` and `lazaret trust`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use desk::Home;
use lexicon::{Code, PersonId, Refusal, Result, canonical, hours_after, spoken};
use people::{Envelope, Role, Root};
use serde_json::json;

use super::Context;
use crate::output::Done;
use crate::{files, server};

/// Persons and their devices.
#[derive(Subcommand)]
pub(crate) enum Person {
    /// Invite one natural person; the invitation carries the server's card
    Invite(Invite),
    /// On the person's own machine: make a key and ask for a certificate, or take the certificate in
    Enrol(Enrol),
    /// Certify a person's device
    Certify(Certify),
    /// Give a revocation that came by file to the server, and take it in on this device
    HandIn(HandIn),
}

impl Person {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Invite(command) => command.run(context),
            Self::Enrol(command) => command.run(context).await,
            Self::Certify(command) => command.run(context),
            Self::HandIn(command) => command.run(context).await,
        }
    }
}

/// Invite.
#[derive(Args)]
pub(crate) struct Invite {
    /// The folder that holds the organisation's root
    #[arg(long)]
    folder: PathBuf,
    /// First name and family name
    #[arg(long)]
    name: String,
    /// controller, operator, engineer, approver, recipient or auditor; several times for several
    #[arg(long = "role", required = true, value_parser = role)]
    roles: Vec<Role>,
    /// The server's card, as `lazaret init` wrote it
    #[arg(long)]
    server: PathBuf,
    /// Where to write the invitation
    #[arg(long)]
    out: PathBuf,
    /// Hours that it is good for
    #[arg(long, default_value_t = 72)]
    hours: i64,
    /// The person's id, when they get a further device; `lazaret organisation show` prints it
    #[arg(long)]
    person: Option<PersonId>,
}

fn role(text: &str) -> std::result::Result<Role, String> {
    serde_json::from_value(json!(text)).map_err(|_| format!("'{text}' is no role"))
}

impl Invite {
    fn run(self, context: &Context) -> Result<Done> {
        let passphrase = context.passphrase("the organisation's root")?;
        let organisation = desk::organisation::Organisation::open(&self.folder, &passphrase)?;
        let id = self.person.map_or_else(|| PersonId::draw(context.entropy.as_ref()), Ok)?;
        let person = people::Person { id, name: self.name.clone() };
        let now = context.now();
        let roles = self.roles.into_iter().collect();
        let invitation = organisation.invite(
            person,
            roles,
            files::json(&self.server)?,
            hours_after(now, self.hours),
            now,
            context.entropy.as_ref(),
        )?;
        files::write_new(&self.out, &canonical(&invitation)?)?;
        let text = format!(
            "The invitation of {} is written to {}.\nGive it to them, and the six words by telephone: {}\nNext: {}: `lazaret person enrol --invitation FILE`.",
            self.name,
            self.out.display(),
            spoken(&organisation.root().id()),
            self.name
        );
        Ok(Done::new(text, json!({ "invitation": self.out, "person": id })))
    }
}

/// Enrol.
#[derive(Args)]
pub(crate) struct Enrol {
    /// The invitation: makes this device's key and a request for a certificate
    #[arg(long, conflicts_with = "certificate", required_unless_present = "certificate")]
    invitation: Option<PathBuf>,
    /// What this device is called
    #[arg(long, default_value = "this device")]
    device: String,
    /// Where to write the request
    #[arg(long, required_unless_present = "certificate")]
    out: Option<PathBuf>,
    /// The six words of the inviting organisation, as heard by telephone
    #[arg(long)]
    words: Option<String>,
    /// The certificate, once the organisation has signed it
    #[arg(long)]
    certificate: Option<PathBuf>,
}

impl Enrol {
    async fn run(self, context: &Context) -> Result<Done> {
        let folder = context.home_folder()?;
        if let Some(certificate) = &self.certificate {
            let home = Home::open(&folder)?;
            let certificate = desk::enrol::accept(&home, &files::json(certificate)?, context.now())?;
            let (desk, _) = context.binding_desk()?;
            desk.present().await?;
            let text = format!(
                "This device is {}'s and the server knows it.\nNext: `lazaret trust` the other organisation's root, then `lazaret next`.",
                certificate.person.name
            );
            return Ok(Done::new(
                text,
                json!({ "person": certificate.person, "device": certificate.device, "roles": certificate.roles }),
            ));
        }
        let (Some(invitation), Some(out)) = (&self.invitation, &self.out) else {
            return Err(
                Refusal::new(Code(1020), "an invitation and --out are needed", "Give both, or --certificate.").into()
            );
        };
        let envelope: Envelope = files::json(invitation)?;
        let opened = desk::enrol::Invitation::open(&envelope)?;
        compare_words(&opened.root, self.words.as_deref())?;
        let home = Home::create(&folder)?;
        let passphrase = context.passphrase("this device, a new one")?;
        let request =
            desk::enrol::answer(&home, &envelope, &self.device, &passphrase, context.entropy.as_ref(), context.now())?;
        files::write_new(out, &canonical(&request)?)?;
        let text = format!(
            "This device has its key.\nGive the request to {}: {}\nNext: they run `lazaret person certify`.",
            opened.root.organisation,
            out.display()
        );
        Ok(Done::new(text, json!({ "request": out })))
    }
}

/// Nobody's root is trusted because a file says so: the words are typed as they are heard, and not shown before.
fn compare_words(root: &Root, given: Option<&str>) -> Result<()> {
    let refused = |why: &str| {
        Refusal::new(Code(1021), why, "Telephone the organisation and type the six words that they read out.")
    };
    let heard = match given {
        Some(given) => given.to_owned(),
        None => asked(&format!("Six words of the root of {}, as you hear them by telephone: ", root.organisation))
            .ok_or_else(|| refused("the six words are needed and nobody can be asked"))?,
    };
    let heard: Vec<&str> = heard.split([' ', '-']).filter(|word| !word.is_empty()).collect();
    if heard.join("-") == spoken(&root.id()) {
        return Ok(());
    }
    Err(refused("these are not the words of this root").into())
}

fn asked(question: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let mut stderr = std::io::stderr().lock();
    drop(write!(stderr, "{}", crate::output::harmless(question)));
    drop(stderr.flush());
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).ok()?;
    Some(typed.trim().to_owned())
}

/// Certify.
#[derive(Args)]
pub(crate) struct Certify {
    /// The folder that holds the organisation's root
    #[arg(long)]
    folder: PathBuf,
    /// The request that the person's device made
    #[arg(long)]
    request: PathBuf,
    /// The invitation that it answers
    #[arg(long)]
    invitation: PathBuf,
    /// Where to write the certificate
    #[arg(long)]
    out: PathBuf,
}

impl Certify {
    fn run(self, context: &Context) -> Result<Done> {
        let passphrase = context.passphrase("the organisation's root")?;
        let organisation = desk::organisation::Organisation::open(&self.folder, &passphrase)?;
        let certificate =
            organisation.certify(&files::json(&self.request)?, &files::json(&self.invitation)?, context.now())?;
        files::write_new(&self.out, &canonical(&certificate)?)?;
        let digest = certificate.digest()?;
        let text = format!(
            "Certificate {} is written to {}.\nNext: its person: `lazaret person enrol --certificate FILE`.",
            digest.short(),
            self.out.display()
        );
        Ok(Done::new(text, json!({ "certificate": self.out, "digest": digest })))
    }
}

/// Hand a revocation in.
#[derive(Args)]
pub(crate) struct HandIn {
    /// The revocation, as `lazaret organisation revoke --out` wrote it
    revocation: PathBuf,
}

impl HandIn {
    async fn run(self, context: &Context) -> Result<Done> {
        super::organisation::hand_in(&context.desk()?, &files::json(&self.revocation)?, "The certificate").await
    }
}

/// Pin or admit a root.
#[derive(Args)]
pub(crate) struct Trust {
    /// The public half of the organisation's root
    root: PathBuf,
    /// The six words, as heard by telephone
    #[arg(long)]
    words: Option<String>,
    /// Admit the organisation on the server whose data folder this is
    #[arg(long)]
    pub(super) data: Option<PathBuf>,
    /// A revocation to take in on this device instead of a root
    #[arg(long, conflicts_with = "data")]
    pub(super) revocation: bool,
    /// The server's new card to take in on this device instead of a root
    #[arg(long, conflicts_with_all = ["data", "revocation"])]
    card: bool,
}

impl Trust {
    pub(crate) fn run(self, context: &Context) -> Result<Done> {
        if self.revocation {
            let desk = context.desk()?;
            let revocation = desk.take_revocation(&files::json(&self.root)?)?;
            return Ok(Done::new(
                "This device does not accept that certificate any more.",
                json!({ "revocation": revocation }),
            ));
        }
        if self.card {
            let card = Home::open(&context.home_folder()?)?.renew_card(&files::json(&self.root)?)?;
            let text = format!(
                "This device knows the server at {} by the certificate {} now.\nNext: `lazaret next`.",
                card.url, card.fingerprint
            );
            return Ok(Done::new(text, json!({ "card": card })));
        }
        let root: Root = files::json(&self.root)?;
        compare_words(&root, self.words.as_deref())?;
        if let Some(data) = &self.data {
            server::admit(data, &root, &context.server_opener()?)?;
            let text = format!(
                "{} is admitted: a server that runs takes it up within a minute, one that does not when it is started.\nNext: its persons enrol.",
                root.organisation
            );
            return Ok(Done::new(text, json!({ "admitted": root.id() })));
        }
        Home::open(&context.home_folder()?)?.trust(&root)?;
        Ok(Done::new(
            format!("The root of {} is pinned.\nNext: `lazaret next`.", root.organisation),
            json!({ "pinned": root.id() }),
        ))
    }
}
