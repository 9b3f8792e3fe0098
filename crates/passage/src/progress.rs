use std::sync::Arc;

use crate::KeysInClear;

/// What a passage tells while it runs. Counts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A table begins; so many rows are expected.
    Table {
        /// In the old system.
        name: &'a str,
        /// From the report or the manifest.
        rows: u64,
    },
    /// Rows passed.
    Rows {
        /// In the old system.
        name: &'a str,
        /// Since the last time.
        rows: u64,
    },
    /// Sealed bytes stored or fetched.
    Bytes {
        /// In the old system.
        name: &'a str,
        /// Since the last time.
        bytes: u64,
    },
    /// The table is through.
    Through {
        /// In the old system.
        name: &'a str,
    },
    /// The server is away; the passage waits and tries again.
    Waiting {
        /// Why, in one sentence.
        why: String,
    },
}

/// Who is told.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn seen(&self, seen: Seen<'_>);

    /// Where keys of rows at fault are kept in clear, if they were asked for; they are for this machine's screen.
    fn keys(&self) -> Option<Arc<KeysInClear>> {
        None
    }
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn seen(&self, _: Seen<'_>) {}
}
