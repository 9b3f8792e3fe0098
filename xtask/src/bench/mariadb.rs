use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::dialect::Dialect;
use super::meter;
use super::pair::{Pair, Step};
use super::tables::{Sizes, TABLES};
use crate::process;
use crate::servers::Servers;

/// What figures are compared with.
pub(super) const PIPE: &str = "mariadb-dump | mariadb";

const SOURCE: &str = "source";
const TARGET: &str = "target";

/// Two databases of one private server.
pub(super) struct MariaDb {
    /// Up to the database's name.
    address: String,
    password: String,
    port: String,
    process: u32,
}

impl MariaDb {
    pub(super) fn new(servers: &Servers) -> Result<Self> {
        let said = |name: &str| servers.environment.get(name).context("MariaDB does not run");
        let (address, _) = said("LAZARET_TEST_MARIADB")?.rsplit_once('/').context("MariaDB has no address")?;
        let (account, place) = address.rsplit_once('@').context("MariaDB has no account")?;
        let (password, port) = (account.rsplit_once(':'), place.rsplit_once(':'));
        let (Some((_, password)), Some((_, port))) = (password, port) else { anyhow::bail!("MariaDB has no port") };
        Ok(Self {
            address: address.to_owned(),
            password: password.to_owned(),
            port: port.to_owned(),
            process: said("LAZARET_TEST_MARIADB_PROCESS")?.parse()?,
        })
    }

    fn program(&self, name: &str, words: &[&str]) -> Result<Command> {
        let program: PathBuf = process::find(name, &[]).with_context(|| format!("{name} is not installed"))?;
        let mut command = Command::new(program);
        command.args(["--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-P", &self.port, "-u", "root"]);
        command.args(words).env("MYSQL_PWD", &self.password);
        Ok(command)
    }

    fn run(&self, database: &str, statement: &str) -> Result<String> {
        let words = ["--default-character-set=utf8mb4", "-N", "-B", "-e", statement, database];
        meter::said(&mut self.program("mariadb", &words)?)
    }

    fn pipe(&self) -> Result<()> {
        let words = ["--single-transaction", "--no-create-info", SOURCE];
        let dump = self.program("mariadb-dump", &words)?;
        meter::pipe(&mut [dump, self.program("mariadb", &[TARGET])?])
    }
}

impl Pair for MariaDb {
    fn name(&self) -> &'static str {
        "MariaDB"
    }

    fn about(&self) -> Result<String> {
        let version = self.run("mysql", "SELECT @@version")?;
        let version = version.split('-').next().unwrap_or_default().to_owned();
        let settings = self.run(
            "mysql",
            "SELECT CONCAT('flush_log_at_trx_commit ', @@innodb_flush_log_at_trx_commit, ', buffer_pool ', \
             @@innodb_buffer_pool_size DIV 1048576, ' MiB, log_file ', @@innodb_log_file_size DIV 1048576, ' MiB')",
        )?;
        Ok(format!("MariaDB {version} ({settings})"))
    }

    fn addresses(&self) -> (String, String) {
        (format!("{}/{SOURCE}", self.address), format!("{}/{TARGET}", self.address))
    }

    fn process(&self) -> Option<u32> {
        Some(self.process)
    }

    fn fill(&self, sizes: Sizes) -> Result<()> {
        for database in [SOURCE, TARGET] {
            let made = format!("DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database} CHARACTER SET utf8mb4");
            self.run("mysql", &made)?;
        }
        for table in TABLES {
            self.run(SOURCE, &table.ddl(Dialect::MariaDb))?;
            self.run(TARGET, &table.ddl(Dialect::MariaDb))?;
            self.run(SOURCE, &table.filling(Dialect::MariaDb, sizes))?;
        }
        self.run(TARGET, Dialect::MariaDb.marker()).map(drop)
    }

    fn empty(&self) -> Result<()> {
        self.run(TARGET, "TRUNCATE patient; TRUNCATE result; TRUNCATE lazaret_load").map(drop)
    }

    fn loaded(&self) -> Result<Sizes> {
        let count =
            |table: &str| -> Result<u64> { Ok(self.run(TARGET, &format!("SELECT COUNT(*) FROM {table}"))?.parse()?) };
        Ok(Sizes { patients: count("patient")?, results: count("result")? })
    }

    fn rivals(&self) -> Vec<Step<'_>> {
        vec![Step::new(PIPE, || self.empty(), |_| self.pipe()).arriving(|| self.loaded())]
    }
}
