//! The server's settings: flag, then environment, then `DATA/lazaret.toml`, then default. Unknown keys are refused.

use std::path::{Path, PathBuf};

use lexicon::{Code, Refusal, Result, limits};
use serde::Deserialize;

use crate::files;

/// What a file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ring: Option<PathBuf>,
    listen: Option<String>,
    sweep_seconds: Option<u64>,
    deadline_days_max: Option<i64>,
}

/// What is in force.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// The data folder.
    pub data: PathBuf,
    /// The key ring's folder.
    pub ring: PathBuf,
    /// Address and port.
    pub listen: String,
    /// How often deadlines are looked at.
    pub sweep_seconds: u64,
    /// How many days ahead a deadline may lie.
    pub deadline_days_max: i64,
    /// Where each value came from: a flag, the environment, the file, or the default.
    origins: [(&'static str, String); 5],
}

/// Whether a value that was given came by its flag or by its environment variable.
pub(crate) fn given<V: AsRef<std::ffi::OsStr>>(value: Option<V>, variable: &str) -> String {
    let same = value.is_some_and(|value| std::env::var_os(variable).is_some_and(|set| set == value.as_ref()));
    if same { format!("environment {variable}") } else { "flag".to_owned() }
}

const LISTEN: &str = "127.0.0.1:8443";
const SWEEP_SECONDS: u64 = 5;

impl ServerSettings {
    /// For a server that is being made: there is no file yet.
    pub(crate) fn from_flags(data: &Path, ring: Option<&PathBuf>, listen: Option<&str>) -> Result<Self> {
        Self::layered(data, ring, listen, File::default())
    }

    /// For a server that exists.
    pub(crate) fn load(data: &Path, ring: Option<&PathBuf>, listen: Option<&str>) -> Result<Self> {
        let path = data.join("lazaret.toml");
        let file: File = toml::from_str(&files::text(&path)?).map_err(|error| {
            Refusal::new(
                Code(1040),
                format!("{} cannot be used: {}", path.display(), error.message()),
                "Mend the key that is named; `lazaret config show --origin` lists the known ones.",
            )
        })?;
        Self::layered(data, ring, listen, file)
    }

    fn layered(data: &Path, ring: Option<&PathBuf>, listen: Option<&str>, file: File) -> Result<Self> {
        let below = |in_file: bool| if in_file { "file" } else { "default" }.to_owned();
        let ring_from = if ring.is_some() { given(ring, "LAZARET_RING") } else { below(file.ring.is_some()) };
        let listen_from = if listen.is_some() { given(listen, "LAZARET_LISTEN") } else { below(file.listen.is_some()) };
        let origins = [
            ("data", given(Some(data), "LAZARET_DATA")),
            ("ring", ring_from),
            ("listen", listen_from),
            ("sweep_seconds", below(file.sweep_seconds.is_some())),
            ("deadline_days_max", below(file.deadline_days_max.is_some())),
        ];
        let ring = ring.cloned().or(file.ring).ok_or_else(|| {
            Refusal::new(
                Code(1041),
                "no folder for the key ring is named",
                "Give --ring DIR, outside the data folder and outside every backup.",
            )
        })?;
        Ok(Self {
            data: data.to_owned(),
            ring: std::path::absolute(&ring).unwrap_or(ring),
            listen: listen.map(str::to_owned).or(file.listen).unwrap_or_else(|| LISTEN.to_owned()),
            sweep_seconds: swept(file.sweep_seconds.unwrap_or(SWEEP_SECONDS))?,
            deadline_days_max: farthest(file.deadline_days_max.unwrap_or(limits::DEADLINE_DAYS_DEFAULT))?,
            origins,
        })
    }

    /// Where the value of a key came from.
    pub(crate) fn origin(&self, key: &str) -> String {
        self.origins.iter().find(|(of, _)| *of == key).map_or_else(String::new, |(_, origin)| origin.clone())
    }

    /// As the file of a new server says it.
    pub(crate) fn to_toml(&self) -> String {
        let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
        format!(
            "# The key ring lies outside this folder and outside every backup.\nring = {}\nlisten = {}\nsweep_seconds = {}\ndeadline_days_max = {}\n",
            text(&self.ring.to_string_lossy()),
            text(&self.listen),
            self.sweep_seconds,
            self.deadline_days_max
        )
    }
}

/// Deadlines are looked at at least once a minute: nobody switches them off by looking rarely.
const SWEEP_SECONDS_MAX: u64 = 60;

fn swept(seconds: u64) -> Result<u64> {
    if (1..=SWEEP_SECONDS_MAX).contains(&seconds) {
        return Ok(seconds);
    }
    let why = format!("sweep_seconds is {seconds}; deadlines are looked at every 1 to {SWEEP_SECONDS_MAX} seconds");
    Err(Refusal::new(Code(1042), why, "Set it to 60 or less, or leave it out.").into())
}

fn farthest(days: i64) -> Result<i64> {
    let max = limits::DEADLINE_DAYS_MAX;
    if (1..=max).contains(&days) {
        return Ok(days);
    }
    let why = format!("deadline_days_max is {days}; a deadline lies 1 to {max} days ahead");
    Err(Refusal::new(Code(1047), why, "Set it to 90 or less, or leave it out.").into())
}
