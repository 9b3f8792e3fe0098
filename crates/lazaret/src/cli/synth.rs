//! `lazaret synth`.

use std::path::PathBuf;

use clap::Args;
use lexicon::{Code, Fault, Result, Retry, canonical};
use serde_json::json;

use super::Context;
use crate::files;
use crate::output::{self, Done, add};

/// Make a synthetic old system, and the empty new one beside it.
#[derive(Args)]
pub(crate) struct Synth {
    /// How many patients
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    patients: u64,
    /// What all of it is drawn from: the same seed gives the same rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder that will hold old.sqlite, new.sqlite, scope.toml, target.sql and sentinels.json
    #[arg(long)]
    out: PathBuf,
}

impl Synth {
    pub(crate) fn run(&self, context: &Context) -> Result<Done> {
        std::fs::create_dir_all(&self.out).map_err(|error| {
            Fault::new(
                Code(1043),
                Retry::Later,
                format!("the folder {} cannot be made: {}", self.out.display(), error.kind()),
            )
        })?;
        let old = self.out.join("old.sqlite");
        let quiet = context.global.quiet;
        let made = synth::laboratory(&old, self.seed, self.patients, &mut |patients| {
            if !quiet {
                output::error_line(&format!("{patients} of {} patients made", self.patients));
            }
        })?;
        synth::new_system(&self.out.join("new.sqlite"))?;
        files::write_new(&self.out.join("scope.toml"), synth::scope_toml().as_bytes())?;
        files::write_new(&self.out.join("target.sql"), synth::target_ddl().as_bytes())?;
        files::write_new(&self.out.join("sentinels.json"), &canonical(&made)?)?;
        let mut text = format!("Made {} from seed {}; nobody in it exists.\n", old.display(), self.seed);
        for (table, rows) in &made.tables {
            add(
                &mut text,
                format_args!("  {table}: {} rows, {} in the scope of scope.toml\n", rows.all, rows.in_scope),
            );
        }
        add(
            &mut text,
            format_args!(
                "Planted {} sentinels, listed in sentinels.json. The empty new system: new.sqlite; its tables: target.sql.\n\
             Next: `lazaret scope check --source sqlite:{} --scope {} --out report.json`.",
                made.sentinels.len(),
                old.display(),
                self.out.join("scope.toml").display()
            ),
        );
        let json = json!({
            "source": format!("sqlite:{}", old.display()),
            "scope": self.out.join("scope.toml"),
            "new": format!("sqlite:{}", self.out.join("new.sqlite").display()),
            "target": self.out.join("target.sql"),
            "sentinels": self.out.join("sentinels.json"),
            "seed": self.seed,
            "tables": made.tables,
            "planted": made.sentinels.len(),
        });
        Ok(Done::new(text, json))
    }
}
