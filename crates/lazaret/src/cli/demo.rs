//! `lazaret demo`.

use std::path::PathBuf;

use clap::Args;
use lexicon::Result;

use super::Context;
use crate::demo::{self, Wish};
use crate::output::Done;

/// A whole migration on this machine: five persons of two organisations, synthetic records, everything shown.
#[derive(Args)]
pub(crate) struct Demo {
    /// Patients in the synthetic old system
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    patients: u64,
    /// The folder to make everything in, new or empty; a fresh one under the system's temporary folder otherwise
    #[arg(long)]
    dir: Option<PathBuf>,
    /// What the old system is drawn from: the same seed gives the same rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop the server at the end instead of leaving it up
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        let wish = Wish { patients: self.patients, dir: self.dir, seed: self.seed, once: self.once };
        demo::run(context, &wish).await
    }
}
