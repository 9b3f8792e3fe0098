use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::dialect::Dialect;
use super::meter;
use super::pair::{Pair, Step};
use super::tables::{Sizes, TABLES};

/// What figures are compared with.
pub(super) const DUMP: &str = ".dump | sqlite3";
/// A copy of pages: of no other system, and with nothing left out.
pub(super) const BACKUP: &str = ".backup";

/// Two files.
pub(super) struct Sqlite {
    source: PathBuf,
    target: PathBuf,
}

impl Sqlite {
    pub(super) fn new(folder: &Path) -> Self {
        Self { source: folder.join("source.sqlite"), target: folder.join("target.sqlite") }
    }

    fn remove(file: &Path) -> Result<()> {
        for end in ["", "-journal", "-wal", "-shm"] {
            let mut name = file.as_os_str().to_owned();
            name.push(end);
            let file = PathBuf::from(name);
            if file.exists() {
                std::fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

fn shell(file: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("sqlite3");
    command.arg("-bail").arg(file).args(words);
    command
}

fn run(file: &Path, statement: &str) -> Result<String> {
    meter::said(&mut shell(file, &[statement]))
}

fn counted(file: &Path) -> Result<Sizes> {
    let count = |table: &str| -> Result<u64> { Ok(run(file, &format!("SELECT count(*) FROM {table}"))?.parse()?) };
    Ok(Sizes { patients: count("patient")?, results: count("result")? })
}

impl Pair for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn about(&self) -> Result<String> {
        let version = meter::said(Command::new("sqlite3").arg("--version"))?;
        Ok(format!("sqlite3 {}", version.split(' ').next().unwrap_or_default()))
    }

    fn addresses(&self) -> (String, String) {
        let address = |file: &Path| format!("sqlite:{}", file.display());
        (address(&self.source), address(&self.target))
    }

    fn process(&self) -> Option<u32> {
        None
    }

    fn fill(&self, sizes: Sizes) -> Result<()> {
        Self::remove(&self.source)?;
        for table in TABLES {
            run(&self.source, &table.ddl(Dialect::Sqlite))?;
            run(&self.source, &table.filling(Dialect::Sqlite, sizes))?;
        }
        self.empty()
    }

    fn empty(&self) -> Result<()> {
        Self::remove(&self.target)?;
        for table in TABLES {
            run(&self.target, &table.ddl(Dialect::Sqlite))?;
        }
        run(&self.target, Dialect::Sqlite.marker()).map(drop)
    }

    fn loaded(&self) -> Result<Sizes> {
        counted(&self.target)
    }

    fn rivals(&self) -> Vec<Step<'_>> {
        let backup = || {
            let into = format!(".backup '{}'", self.target.display());
            meter::pipe(&mut [shell(&self.source, &[&into])])
        };
        let dump = || meter::pipe(&mut [shell(&self.source, &[".dump"]), shell(&self.target, &[])]);
        vec![
            Step::new(DUMP, || Self::remove(&self.target), move |_| dump()).arriving(|| self.loaded()),
            Step::new(BACKUP, || Self::remove(&self.target), move |_| backup()).arriving(|| self.loaded()),
        ]
    }
}
