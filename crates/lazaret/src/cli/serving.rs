//! `lazaret init` and `lazaret serve`.

use std::path::PathBuf;

use clap::Args;
use lexicon::Result;
use serde_json::json;
use vault::Keeps;

use super::Context;
use crate::config::ServerSettings;
use crate::output::{self, Done};
use crate::server;

/// Where a server lives; each can stand in the environment or in the data folder's `lazaret.toml`.
#[derive(Args)]
pub(crate) struct Place {
    /// The data folder: registry and shelf
    #[arg(long, env = "LAZARET_DATA")]
    pub data: PathBuf,
    /// The key ring's folder, which is never inside the data folder and never backed up
    #[arg(long, env = "LAZARET_RING")]
    pub ring: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, env = "LAZARET_LISTEN")]
    pub listen: Option<String>,
    /// A TLS certificate to show instead of the server's own, in PEM, with its chain behind it
    #[arg(long)]
    pub tls_certificate: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(long)]
    pub tls_key: Option<PathBuf>,
}

/// Make a server.
#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    place: Place,
    /// The name under which agents reach it, if it is not the address that it listens on
    #[arg(long)]
    host: Option<String>,
    /// Mark it as a demonstration for ever: loopback only, sources made by `lazaret synth` only
    #[arg(long)]
    demonstration: bool,
}

impl Init {
    pub(crate) fn run(self, context: &Context) -> Result<Done> {
        let opener = context.server_opener()?;
        let settings = ServerSettings::from_flags(&self.place)?;
        let card = server::init(context, &settings, self.host.as_deref(), self.demonstration, &opener)?;
        let text = format!(
            "The server is made.\nIts card, which goes into every invitation: {}\nTLS fingerprint: {}\nJournal: {}\nNext: admit organisations with `lazaret trust ROOT --data DIR`, then `lazaret serve`.",
            settings.data.join("card.json").display(),
            card.fingerprint,
            card.origin
        );
        Ok(Done::new(text, json!({ "card": card })))
    }
}

/// Serve until interrupted.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    place: Place,
}

impl Serve {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        let opener = context.server_opener()?;
        let settings = ServerSettings::load(&self.place)?;
        let (office, identity, listener) = server::open(context, &settings, &opener).await?;
        if let Some(alarm) = office.alarm().await {
            output::error_line(&format!("{alarm}. Only evidence is served."));
        }
        for alarm in office.put_back().await {
            output::error_line(&format!("{alarm}."));
        }
        match office.shelf_keeps().await {
            Ok(Keeps::Nothing) => {}
            Ok(Keeps::Versions) => {
                output::error_line("The shelf's bucket keeps versions: every one is deleted at a destruction.");
            }
            // Deadlines wait for no shelf: the server serves, and opens nothing new.
            Err(trouble) => output::error_line(&format!("{trouble}. No migration and no consignment is opened.")),
        }
        output::error_line(&format!("Serving {} at {}.", office.card().origin, office.card().url));
        server::serve(office, &identity, listener, settings.sweep_seconds).await?;
        Ok(Done::new("The server has stopped.", json!({ "stopped": true })))
    }
}
