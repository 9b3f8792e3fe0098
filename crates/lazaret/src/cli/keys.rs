//! `--show-keys`: keys of rows at fault, in clear, where a person or a program reads them and nothing keeps them.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::Args;
use lexicon::{Code, Refusal, Result};
use passage::{KeyInClear, KeysInClear};
use serde_json::{Value, json};

use super::Context;
use crate::output::add;

/// Whether keys are shown.
#[derive(Args, Clone, Copy)]
pub(crate) struct ShowKeys {
    /// Show the keys of rows at fault in clear beside their digests, on a terminal; with --json also to a program that
    /// reads them from a pipe
    #[arg(long)]
    show_keys: bool,
}

impl ShowKeys {
    /// Where keys are kept until the command ends, if they are to be shown.
    ///
    /// # Errors
    /// A refusal when standard output would keep them, as a file or the log of a service does.
    pub(crate) fn kept(self, context: &Context) -> Result<Option<Arc<KeysInClear>>> {
        if !self.show_keys {
            return Ok(None);
        }
        let read = std::io::stdout().is_terminal() || (context.global.json && is_pipe());
        if !read {
            let why = "keys of records are shown on a terminal only, and standard output is none";
            let remedy =
                "Give the command on a terminal, or with --json to a program that reads its output from a pipe.";
            return Err(Refusal::new(Code(1066), why, remedy).into());
        }
        Ok(Some(Arc::clone(&context.keys)))
    }
}

/// A pipe, and no file, socket or device.
#[cfg(unix)]
fn is_pipe() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    stdout.and_then(|stdout| stdout.metadata()).is_ok_and(|stdout| stdout.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe() -> bool {
    false
}

/// For people; empty when there are none.
pub(crate) fn text(keys: &KeysInClear) -> String {
    let (all, beyond) = keys.all();
    let mut text = String::new();
    if !all.is_empty() {
        text.push_str("Rows by key, as the new system would have it. They are records of patients: keep this screen to yourself.\n");
    }
    for key in &all {
        add(&mut text, format_args!("  {} {}: {}\n", key.table, key.digest, key.told()));
    }
    if beyond > 0 {
        add(&mut text, format_args!("  and {beyond} more that are not shown\n"));
    }
    text
}

/// For programs; nothing when there are none.
pub(crate) fn json(keys: &KeysInClear) -> Option<Value> {
    let (all, _) = keys.all();
    let line = |key: &KeyInClear| {
        let columns = key.columns.iter();
        let columns = columns.map(|of| json!({ "column": of.column, "target": of.target, "value": of.value }));
        json!({ "table": key.table, "digest": key.digest, "key": columns.collect::<Vec<_>>() })
    };
    (!all.is_empty()).then(|| all.iter().map(line).collect())
}
