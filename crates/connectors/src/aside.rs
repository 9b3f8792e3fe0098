//! What a load does beside carrying rows: it takes as long with one row as with all.

use std::time::{Duration, Instant};

/// Runs while nothing is done for rows.
pub(crate) struct Aside {
    since: Instant,
    before: Duration,
}

impl Aside {
    pub(crate) fn begin() -> Self {
        Self { since: Instant::now(), before: Duration::ZERO }
    }

    /// From here on it is rows, until [`Self::go_on`].
    pub(crate) fn pause(&mut self) {
        self.before = self.before.saturating_add(self.since.elapsed());
    }

    /// The rows are through.
    pub(crate) fn go_on(&mut self) {
        self.since = Instant::now();
    }

    /// All of it, while it runs.
    pub(crate) fn total(&self) -> Duration {
        self.before.saturating_add(self.since.elapsed())
    }
}
