//! How the story is told: on standard output, or beside it when that is kept for programs.

use crate::output;

/// Tells it.
pub(super) struct Teller {
    json: bool,
    quiet: bool,
}

impl Teller {
    pub(super) fn new(global: &crate::cli::Global) -> Self {
        Self { json: global.json, quiet: global.quiet }
    }

    /// A new stage begins.
    pub(super) fn stage(&self, title: &str) {
        self.line("");
        self.line(title);
    }

    /// Something that happened in it.
    pub(super) fn happened(&self, what: &str) {
        for line in what.lines() {
            self.line(&format!("  {line}"));
        }
    }

    /// Who acted.
    pub(super) fn acted(&self, who: &str) {
        self.line(&format!("  acted:   {who}"));
    }

    /// Who proves it, and by what.
    pub(super) fn proved(&self, by: &str) {
        self.line(&format!("  proved:  {by}"));
    }

    pub(super) fn line(&self, text: &str) {
        if self.json {
            if !self.quiet {
                output::error_line(text);
            }
        } else {
            output::out(text);
        }
    }
}
