//! What people and programs read: sentences or one JSON document on standard output, progress and logs on the other.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lexicon::{Retry, Trouble};
use passage::{KeysInClear, Progress, Seen};
use serde_json::{Value, json};

use crate::cli::{Global, keys};
use crate::exit;

/// What a command came to.
pub(crate) struct Done {
    /// For people; ends by saying whose turn it is, where there is a turn.
    pub text: String,
    /// For programs: one document.
    pub json: Value,
    /// Usually [`exit::OK`].
    pub status: u8,
}

impl Done {
    /// A command that came to its end.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, status: exit::OK }
    }

    /// The same with more fields in its document; what it said already stays.
    pub(crate) fn with(mut self, more: Value) -> Self {
        if let (Some(fields), Value::Object(more)) = (self.json.as_object_mut(), more) {
            fields.extend(more);
        }
        self
    }
}

/// Writes the end of a command.
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json }
    }

    pub(crate) fn done(&self, done: &Done, shown: &KeysInClear) -> ExitCode {
        if self.json {
            document(&done.json, shown);
        } else {
            out(done.text.trim_end());
        }
        ExitCode::from(done.status)
    }

    /// Keys go to standard output, of which `--show-keys` knows who reads it, and never to the log's side.
    pub(crate) fn trouble(&self, trouble: &Trouble, shown: &KeysInClear) -> ExitCode {
        let text = keys::text(shown);
        if self.json {
            document(&json!({ "error": trouble }), shown);
        } else if !text.is_empty() {
            out(text.trim_end());
        }
        // In one write, so that no line of the log comes between the two.
        error_line(&format!("{trouble}\nWhat to do: {}", what_to_do(trouble)));
        ExitCode::from(exit::status(trouble))
    }
}

/// One document, with the keys that were asked for.
fn document(json: &Value, shown: &KeysInClear) {
    let mut json = json.clone();
    if let (Some(fields), Some(keys)) = (json.as_object_mut(), keys::json(shown)) {
        fields.insert("keys".to_owned(), keys);
    }
    out(&json.to_string());
}

fn what_to_do(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Refusal(refusal) => &refusal.remedy,
        Trouble::Fault(fault) => match fault.retry {
            Retry::Now => "Give the same command again.",
            Retry::Later => "Mend what is named, or wait until it is back; then give the same command again.",
            Retry::Never => {
                "Giving the command again does not help: look the code up in the manual, and tell who runs what is named."
            }
        },
        Trouble::Alarm(_) => "Stop, and tell the people you work with by telephone.",
    }
}

/// Adds to a text that is being put together.
pub(crate) fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ignored = text.write_fmt(what);
}

/// One line on standard output. A closed pipe is the reader's choice.
pub(crate) fn out(line: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(writeln!(stdout, "{}", harmless(line)));
}

/// Text from others must not steer the terminal that somebody approves on: no control characters but line ends and
/// tabs, no marks that turn the direction of writing.
pub(crate) fn harmless(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// One line on standard error, or several that belong together.
pub(crate) fn error_line(line: &str) {
    drop(std::io::stderr().lock().write_all(format!("{}\n", harmless(line)).as_bytes()));
}

/// Operators' log on standard error; `LAZARET_LOG` chooses what, warnings by default.
pub(crate) fn start_log(quiet: bool) {
    let level = if quiet { "error" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LAZARET_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Bars on a terminal, plain lines elsewhere, nothing when quiet.
pub(crate) struct Bars {
    screen: MultiProgress,
    open: Mutex<Vec<(String, ProgressBar)>>,
    plain: bool,
    quiet: bool,
    keys: Option<Arc<KeysInClear>>,
}

impl Bars {
    pub(crate) fn new(global: &Global) -> Self {
        let plain = !std::io::stderr().is_terminal();
        Self { screen: MultiProgress::new(), open: Mutex::new(Vec::new()), plain, quiet: global.quiet, keys: None }
    }

    /// With somebody who asked for the keys of rows at fault.
    pub(crate) fn showing(self, keys: Option<Arc<KeysInClear>>) -> Self {
        Self { keys, ..self }
    }

    fn with(&self, name: &str, change: impl FnOnce(&ProgressBar)) {
        if let Ok(open) = self.open.lock()
            && let Some((_, bar)) = open.iter().find(|(of, _)| of == name)
        {
            change(bar);
        }
    }

    fn table(&self, name: &str, rows: u64) {
        let bar =
            if self.plain || self.quiet { ProgressBar::hidden() } else { self.screen.add(ProgressBar::new(rows)) };
        let style = "{prefix:24} {bar:30} {pos}/{len} rows  {per_sec}  {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_length(rows);
        bar.set_prefix(name.to_owned());
        if let Ok(mut open) = self.open.lock() {
            open.retain(|(of, _)| of != name);
            open.push((name.to_owned(), bar));
        }
    }
}

impl Progress for Bars {
    fn seen(&self, seen: Seen<'_>) {
        match seen {
            Seen::Table { name, rows } => self.table(name, rows),
            Seen::Rows { name, rows } => self.with(name, |bar| bar.inc(rows)),
            Seen::Bytes { .. } => {}
            Seen::Through { name } => {
                self.with(name, |bar| {
                    let (rows, seconds) = (bar.position(), bar.elapsed().as_secs_f64());
                    bar.finish();
                    if self.plain && !self.quiet {
                        error_line(&format!("{name}: {rows} rows in {seconds:.1} s"));
                    }
                });
            }
            Seen::Waiting { why } => error_line(&format!("waiting: {why}")),
        }
    }

    fn keys(&self) -> Option<Arc<KeysInClear>> {
        self.keys.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        assert_eq!(harmless("scope\u{1b}[2K\n\u{202e}ok\té"), "scope\u{fffd}[2K\n\u{fffd}ok\té");
    }
}
