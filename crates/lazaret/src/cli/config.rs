//! `lazaret config`.

use clap::{Args, Subcommand};
use lexicon::Result;
use serde_json::{Map, Value, json};

use super::Context;
use super::serving::Place;
use crate::config::{self, ServerSettings};
use crate::output::{Done, add};
use crate::ring::RingSettings;
use crate::shelf::BucketSettings;

/// What is configured.
#[derive(Subcommand)]
pub(crate) enum Config {
    /// Print the settings in force: flag, then environment, then DATA/lazaret.toml, then default
    Show(Show),
}

impl Config {
    pub(crate) fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Show(command) => command.run(context),
        }
    }
}

/// Print the settings.
#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    place: Place,
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
}

/// One setting in force.
struct Line {
    key: &'static str,
    value: String,
    origin: String,
}

impl Show {
    fn run(&self, context: &Context) -> Result<Done> {
        let settings = ServerSettings::load(&self.place)?;
        let lines = lines(context, &settings);
        let width = lines.iter().map(|line| line.value.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        let mut json = Map::new();
        for Line { key, value, origin } in &lines {
            if self.origin {
                add(&mut text, format_args!("{key:17} {value:width$}  {origin}\n"));
            } else {
                add(&mut text, format_args!("{key:17} {value}\n"));
            }
            json.insert((*key).to_owned(), json!({ "value": value, "origin": origin }));
        }
        text.push_str("Keys and passphrases are never shown; they stand in no setting, only in files of their own.");
        Ok(Done::new(text, Value::Object(json)))
    }
}

fn lines(context: &Context, settings: &ServerSettings) -> Vec<Line> {
    let path = |path: &std::path::Path| path.display().to_string();
    let of = |key: &str| settings.origin(key);
    let mut lines = vec![
        Line { key: "data", value: path(&settings.data), origin: of("data") },
        Line { key: "ring", value: path(&settings.ring), origin: of("ring") },
        Line { key: "listen", value: settings.listen.clone(), origin: of("listen") },
        Line { key: "sweep_seconds", value: settings.sweep_seconds.to_string(), origin: of("sweep_seconds") },
        Line {
            key: "deadline_days_max",
            value: settings.deadline_days_max.to_string(),
            origin: of("deadline_days_max"),
        },
    ];
    let shelf = settings.shelf.as_ref().map_or_else(|| path(&settings.data.join("shelf")), BucketSettings::shown);
    lines.push(Line { key: "shelf", value: shelf, origin: of("shelf") });
    let ring = settings.key_ring.as_ref().map_or_else(|| "local".to_owned(), RingSettings::shown);
    lines.push(Line { key: "key_ring", value: ring, origin: of("key_ring") });
    let danger = "danger.clear_swap";
    lines.push(Line { key: danger, value: settings.clear_swap.to_string(), origin: of(danger) });
    let tls = settings.tls.as_ref();
    let shown =
        |file: Option<&std::path::PathBuf>| file.map_or_else(|| "the server's own".to_owned(), |file| path(file));
    for (key, file) in [("tls_certificate", tls.map(|tls| &tls.certificate)), ("tls_key", tls.map(|tls| &tls.key))] {
        lines.push(Line { key, value: shown(file), origin: of(key) });
    }
    let given = |path: Option<&std::path::PathBuf>, variable| {
        let value = path.map(|path| path.display().to_string());
        let origin = if value.is_some() { config::given(path, variable) } else { "default".to_owned() };
        (value, origin)
    };
    let (home, origin) = given(context.global.home.as_ref(), "LAZARET_HOME");
    lines.push(Line { key: "home", value: home.unwrap_or_else(|| "none".to_owned()), origin });
    let (file, origin) = given(context.global.passphrase_file.as_ref(), "LAZARET_PASSPHRASE_FILE");
    let value = file.map_or_else(|| "(..), asked for".to_owned(), |file| format!("(..), in {file}"));
    lines.push(Line { key: "passphrase", value, origin });
    let (file, origin) = given(context.global.identity_file.as_ref(), "LAZARET_IDENTITY_FILE");
    let value = file.map_or_else(|| "none".to_owned(), |file| format!("(..), in {file}"));
    lines.push(Line { key: "identity", value, origin });
    let log = std::env::var("LAZARET_LOG").ok();
    let origin = if log.is_some() { "environment LAZARET_LOG" } else { "default" };
    let value = log.unwrap_or_else(|| if context.global.quiet { "error" } else { "warn" }.to_owned());
    lines.push(Line { key: "log", value, origin: origin.to_owned() });
    lines
}
