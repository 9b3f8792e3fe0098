use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::dialect::Dialect;
use super::meter;
use super::pair::{Pair, Step};
use super::tables::{Sizes, TABLES};
use crate::servers::{Servers, postgres_program};

/// Steps that figures are compared with.
pub(super) const PIPE: &str = "COPY | COPY, binary";
pub(super) const DUMP: &str = "pg_dump -Fc | age";
pub(super) const RESTORE: &str = "age -d | pg_restore";

const SOURCE: &str = "source";
const TARGET: &str = "target";
const RESTORED: &str = "restored";
/// An account that may fill the target's tables, and not keep errors out of the server's log.
const FILLER: &str = "filler";
/// What rehearsals load.
const TRIAL: &str = "trial";

/// Two databases of one private server.
pub(super) struct Postgres {
    name: &'static str,
    /// Up to the database's name.
    address: String,
    account: String,
    password: String,
    process: u32,
    folder: PathBuf,
    psql: PathBuf,
}

impl Postgres {
    pub(super) fn new(name: &'static str, servers: &Servers, folder: &Path) -> Result<Self> {
        let said = |name: &str| servers.environment.get(name).context("PostgreSQL does not run");
        let (address, _) = said("LAZARET_TEST_POSTGRES")?.rsplit_once('/').context("PostgreSQL has no address")?;
        let process = said("LAZARET_TEST_POSTGRES_PROCESS")?.parse()?;
        let (account, password) = address
            .split_once("//")
            .and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':'))
            .context("PostgreSQL's address has no account")?;
        let (account, password) = (account.to_owned(), password.to_owned());
        let (address, folder) = (address.to_owned(), folder.to_owned());
        Ok(Self {
            name,
            address,
            account,
            password,
            process,
            folder,
            psql: postgres_program("psql").context("psql is not installed")?,
        })
    }

    fn address(&self, database: &str) -> String {
        format!("{}/{database}", self.address)
    }

    fn psql(&self, database: &str, statement: &str) -> Command {
        let mut command = Command::new(&self.psql);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, &self.address(database)]);
        command
    }

    fn run(&self, database: &str, statement: &str) -> Result<String> {
        meter::said(&mut self.psql(database, statement))
    }

    /// Of the old system, the new one, and one like the new one, made here, that rehearsals load.
    pub(super) fn with_trial(&self, sizes: Sizes) -> Result<[String; 3]> {
        self.fill(sizes)?;
        self.recreate(TRIAL)?;
        for table in TABLES {
            self.run(TRIAL, &table.ddl(Dialect::Postgres))?;
        }
        self.run(TRIAL, Dialect::Postgres.marker())?;
        Ok([SOURCE, TARGET, TRIAL].map(|database| self.address(database)))
    }

    /// Bytes of a database's tables and their indexes.
    fn bytes(&self, database: &str) -> Result<f64> {
        let sizes = TABLES.map(|table| format!("pg_total_relation_size('{}')", table.name));
        Ok(self.run(database, &format!("SELECT {}", sizes.join(" + ")))?.parse()?)
    }

    pub(super) fn source_bytes(&self) -> Result<f64> {
        self.bytes(SOURCE)
    }

    pub(super) fn target_bytes(&self) -> Result<f64> {
        self.bytes(TARGET)
    }

    fn recreate(&self, database: &str) -> Result<()> {
        self.run("postgres", &format!("DROP DATABASE IF EXISTS {database}"))?;
        self.run("postgres", &format!("CREATE DATABASE {database}")).map(drop)
    }

    pub(super) fn checkpoint(&self) -> Result<()> {
        self.run("postgres", "CHECKPOINT").map(drop)
    }

    fn counted(&self, database: &str) -> Result<Sizes> {
        let count =
            |table: &str| -> Result<u64> { Ok(self.run(database, &format!("SELECT count(*) FROM {table}"))?.parse()?) };
        Ok(Sizes { patients: count("patient")?, results: count("result")? })
    }

    fn pipe(&self) -> Result<()> {
        for table in TABLES {
            let out = self.psql(SOURCE, &format!("COPY {} TO STDOUT (FORMAT binary)", table.name));
            let into = self.psql(TARGET, &format!("COPY {} FROM STDIN (FORMAT binary)", table.name));
            meter::pipe(&mut [out, into])?;
        }
        Ok(())
    }

    /// The dump's file, and the key that it is encrypted to.
    fn papers(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("dump.age"), self.folder.join("dump.key"))
    }

    fn make_key(&self) -> Result<()> {
        let (dump, key) = self.papers();
        for file in [&dump, &key] {
            if file.exists() {
                std::fs::remove_file(file)?;
            }
        }
        meter::said(Command::new("age-keygen").arg("-o").arg(&key))?;
        self.checkpoint()
    }

    fn dump(&self) -> Result<()> {
        let (file, key) = self.papers();
        let mut dump = Command::new(postgres_program("pg_dump").context("pg_dump is not installed")?);
        dump.args(["-Fc", &self.address(SOURCE)]);
        let mut age = Command::new("age");
        // The key's own recipient.
        age.args(["--encrypt", "-i"]).arg(key).arg("-o").arg(file);
        meter::pipe(&mut [dump, age])
    }

    fn restore(&self) -> Result<()> {
        let (file, key) = self.papers();
        let mut age = Command::new("age");
        age.args(["-d", "-i"]).arg(key).arg(file);
        let mut restore = Command::new(postgres_program("pg_restore").context("pg_restore is not installed")?);
        restore.args(["--exit-on-error", "-d", &self.address(RESTORED)]);
        meter::pipe(&mut [age, restore])
    }
}

impl Pair for Postgres {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> Result<String> {
        let show = |name: &str| self.run("postgres", &format!("SHOW {name}"));
        let version = show("server_version")?;
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        let mut settings = Vec::new();
        for name in ["fsync", "shared_buffers", "autovacuum", "max_wal_size"] {
            settings.push(format!("{name} {}", show(name)?));
        }
        let age = meter::said(Command::new("age").arg("--version"))?;
        Ok(format!("PostgreSQL {version} ({}), age {age}", settings.join(", ")))
    }

    fn addresses(&self) -> (String, String) {
        (self.address(SOURCE), self.address(TARGET))
    }

    fn process(&self) -> Option<u32> {
        Some(self.process)
    }

    fn fill(&self, sizes: Sizes) -> Result<()> {
        for database in [SOURCE, TARGET, RESTORED] {
            self.recreate(database)?;
        }
        for table in TABLES {
            self.run(SOURCE, &table.ddl(Dialect::Postgres))?;
            self.run(TARGET, &table.ddl(Dialect::Postgres))?;
            self.run(SOURCE, &table.filling(Dialect::Postgres, sizes))?;
            // Or the first step to read a row would pay for marking it as committed.
            self.run(SOURCE, &format!("VACUUM (FREEZE, ANALYZE) {}", table.name))?;
        }
        self.run(TARGET, Dialect::Postgres.marker())?;
        self.run("postgres", &format!("DROP ROLE IF EXISTS {FILLER}"))?;
        self.run("postgres", &format!("CREATE ROLE {FILLER} LOGIN PASSWORD '{}'", self.password))?;
        let tables = TABLES.map(|table| table.name).join(", ");
        self.run(TARGET, &format!("GRANT SELECT, INSERT ON {tables}, lazaret_load TO {FILLER}")).map(drop)
    }

    fn filling_only(&self) -> Option<String> {
        Some(self.address(TARGET).replacen(&format!("//{}:", self.account), &format!("//{FILLER}:"), 1))
    }

    fn empty(&self) -> Result<()> {
        self.run(TARGET, "TRUNCATE patient, result, lazaret_load")?;
        self.checkpoint()
    }

    fn loaded(&self) -> Result<Sizes> {
        self.counted(TARGET)
    }

    fn rivals(&self) -> Vec<Step<'_>> {
        vec![
            Step::new(PIPE, || self.empty(), |_| self.pipe()).arriving(|| self.loaded()),
            Step::new(DUMP, || self.make_key(), |_| self.dump()),
            Step::new(
                RESTORE,
                || {
                    self.recreate(RESTORED)?;
                    self.checkpoint()
                },
                |_| self.restore(),
            )
            .arriving(|| self.counted(RESTORED)),
        ]
    }
}
