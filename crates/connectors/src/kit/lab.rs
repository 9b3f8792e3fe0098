//! A laboratory system to try a connector on, and the words to fill it.

use std::fmt::Write;
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::DataType;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lexicon::{ConsignmentId, Entropy, Result, SystemEntropy};
use scope::{Dialect, Scope, ScopedBatch};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::spelling::write_timestamp;
use crate::{Mark, Sink, Source, connect_sink, connect_source};

/// A family of systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// A folder of files, which is a source only: what it gives is loaded into a file of SQLite.
    Csv,
    MariaDb,
    Postgres,
    Sqlite,
}

impl System {
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::MariaDb => "LAZARET_TEST_MARIADB",
            Self::Postgres => "LAZARET_TEST_POSTGRES",
            Self::Csv | Self::Sqlite => "nothing",
        }
    }

    /// Where the tests' server is; `SQLite` and files need none.
    pub(crate) fn address(self) -> Option<String> {
        match self {
            Self::Csv | Self::Sqlite => Some(String::new()),
            Self::MariaDb | Self::Postgres => std::env::var(self.variable()).ok(),
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::MariaDb => Dialect::MariaDb,
            Self::Postgres => Dialect::Postgres,
            Self::Csv | Self::Sqlite => Dialect::Sqlite,
        }
    }
}

/// One fresh database.
pub(crate) struct Lab {
    pub(crate) system: System,
    /// The address of the server, ending in an existing database.
    server: String,
    name: String,
    folder: tempfile::TempDir,
}

pub(crate) fn random_name() -> String {
    let mut bytes = [0; 8];
    SystemEntropy::new().fill(&mut bytes).unwrap();
    format!("lazaret_{}", hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

impl Lab {
    pub(crate) async fn open(system: System, server: &str) -> Self {
        let lab = Self { system, server: server.to_owned(), name: random_name(), folder: tempfile::tempdir().unwrap() };
        match system {
            System::Csv | System::Sqlite => lab.run("PRAGMA journal_mode = wal; PRAGMA foreign_keys = off").await,
            System::Postgres => lab.administer(&format!("CREATE DATABASE {}", lab.name)).await,
            System::MariaDb => {
                lab.administer(&format!("CREATE DATABASE {} CHARACTER SET utf8mb4", lab.name)).await;
            }
        }
        lab
    }

    pub(crate) async fn close(self) {
        match self.system {
            System::Csv | System::Sqlite => {}
            System::Postgres => self.administer(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await,
            System::MariaDb => self.administer(&format!("DROP DATABASE {}", self.name)).await,
        }
    }

    /// The address of this database.
    pub(crate) fn address(&self) -> String {
        match self.system {
            System::Csv | System::Sqlite => format!("sqlite:{}", self.folder.path().join("lis.db").display()),
            System::MariaDb | System::Postgres => {
                format!("{}/{}", self.server.rsplit_once('/').unwrap().0, self.name)
            }
        }
    }

    /// What the server calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where the server keeps its data.
    pub(crate) async fn data_directory(&self) -> PathBuf {
        let address = self.address();
        let found: String = if self.system == System::Postgres {
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.query_one("SHOW data_directory", &[]).await.unwrap().get(0)
        } else {
            let options: sqlx::mysql::MySqlConnectOptions = address.parse().unwrap();
            let mut session = options.ssl_mode(sqlx::mysql::MySqlSslMode::Disabled).connect().await.unwrap();
            sqlx::query_scalar("SELECT @@datadir").fetch_one(&mut session).await.unwrap()
        };
        found.into()
    }

    /// The address of this database for another account.
    pub(crate) fn address_for(&self, account: &str, word: &str) -> String {
        let address = self.address();
        let (scheme, rest) = address.split_once("://").unwrap();
        format!("{scheme}://{account}:{word}@{}", rest.rsplit_once('@').unwrap().1)
    }

    pub(crate) fn source(&self) -> Box<dyn Source> {
        let address = match self.system {
            System::Csv => format!("csv:{}", self.folder.path().display()),
            System::MariaDb | System::Postgres | System::Sqlite => self.address(),
        };
        connect_source(&address, None).unwrap()
    }

    pub(crate) fn sink(&self) -> Box<dyn Sink> {
        connect_sink(&self.address(), None).unwrap()
    }

    /// Runs SQL as somebody else would, over a connection that is none of the connector's.
    pub(crate) async fn run(&self, sql: &str) {
        match self.system {
            System::Csv | System::Sqlite => {
                let file = rusqlite::Connection::open(self.folder.path().join("lis.db")).unwrap();
                file.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
            }
            System::MariaDb | System::Postgres => self.run_at(&self.address(), sql).await,
        }
    }

    async fn administer(&self, sql: &str) {
        self.run_at(&self.server, sql).await;
    }

    async fn run_at(&self, address: &str, sql: &str) {
        if self.system == System::Postgres {
            let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
        } else {
            let options: sqlx::mysql::MySqlConnectOptions = address.parse().unwrap();
            let options = options.ssl_mode(sqlx::mysql::MySqlSslMode::Disabled).no_engine_substitution(false);
            let mut session = options.connect().await.unwrap();
            let mode = format!("SET SESSION sql_mode = ''; {sql}");
            sqlx::raw_sql(AssertSqlSafe(mode)).execute(&mut session).await.unwrap_or_else(|e| panic!("{e}: {sql}"));
        }
    }

    pub(crate) fn quote(&self, name: &str) -> String {
        self.system.dialect().quote(name).unwrap()
    }

    /// Makes a table of columns `(name, kind)` and puts rows of constants into it. None is NULL.
    pub(crate) async fn fill(&self, table: &str, columns: &[(&str, &str)], rows: &[&[Option<&str>]]) {
        if self.system == System::Csv {
            return self.dump(table, columns, rows);
        }
        let declared: Vec<_> =
            columns.iter().map(|(name, kind)| format!("{} {}", self.quote(name), self.ddl(kind))).collect();
        let mut sql = format!("CREATE TABLE {} ({});", self.quote(table), declared.join(", "));
        for row in rows {
            let cells = row.iter().zip(columns).map(|(cell, (_, kind))| self.constant(kind, *cell));
            write!(sql, "INSERT INTO {} VALUES ({});", self.quote(table), cells.collect::<Vec<_>>().join(", "))
                .unwrap();
        }
        self.run(&sql).await;
    }

    /// The same as a file: NULL is an empty field, everything else stands in quotes, bytes as they are.
    fn dump(&self, table: &str, columns: &[(&str, &str)], rows: &[&[Option<&str>]]) {
        let mut file = Vec::new();
        let mut line = |cells: &mut dyn Iterator<Item = Option<Vec<u8>>>| {
            for (place, cell) in cells.enumerate() {
                if place > 0 {
                    file.push(b',');
                }
                if let Some(cell) = cell {
                    file.push(b'"');
                    for (part, piece) in cell.split(|byte| *byte == b'"').enumerate() {
                        file.extend_from_slice(if part > 0 { b"\"\"" } else { b"" });
                        file.extend_from_slice(piece);
                    }
                    file.push(b'"');
                }
            }
            file.push(b'\n');
        };
        line(&mut columns.iter().map(|(name, _)| Some(name.as_bytes().to_vec())));
        for row in rows {
            line(&mut row.iter().zip(columns).map(|(cell, (_, kind))| match *kind {
                "bytes" => cell.map(unhex),
                _ => cell.map(|text| text.as_bytes().to_vec()),
            }));
        }
        self.write_file(&format!("{table}.csv"), &file);
    }

    #[expect(clippy::disallowed_methods, reason = "the old system's dump is written here")]
    fn write_file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    fn constant(&self, kind: &str, cell: Option<&str>) -> String {
        match (cell, kind, self.system) {
            (None, ..) => "NULL".to_owned(),
            (Some(hex), "bytes", System::Postgres) => format!("'\\x{hex}'"),
            (Some(hex), "bytes", _) => format!("x'{hex}'"),
            (Some(flag), "bool", System::Postgres) => flag.to_owned(),
            (Some(flag), "bool", _) => u8::from(flag == "true").to_string(),
            (Some(text), "text", System::MariaDb) => {
                format!("CONVERT(x'{}' USING utf8mb4)", hex(text.as_bytes()))
            }
            (Some(moment), "timestamp with time zone", System::MariaDb) => {
                format!("'{}'", moment.trim_end_matches('Z'))
            }
            (Some(text), ..) => format!("'{}'", text.replace('\'', "''")),
        }
    }

    /// The system's own type for a kind, as an old laboratory system would have it.
    fn ddl(&self, kind: &str) -> String {
        let (mariadb, postgres, sqlite) = match kind {
            "bool" => ("tinyint(1)", "boolean", "boolean"),
            "int64" => ("bigint", "bigint", "integer"),
            "uint64" => ("bigint unsigned", "numeric(20,0)", "integer"),
            "float64" => ("double", "double precision", "real"),
            "text" => ("longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "text", "text"),
            "bytes" => ("longblob", "bytea", "blob"),
            "date" => ("date", "date", "date"),
            "time" => ("time(6)", "time", "time"),
            "timestamp" => ("datetime(6)", "timestamp", "datetime"),
            "timestamp with time zone" => ("timestamp(6) NULL", "timestamptz", "timestamp"),
            decimal => (decimal, decimal, "text"),
        };
        match self.system {
            System::MariaDb => mariadb,
            System::Postgres => postgres,
            System::Csv | System::Sqlite => sqlite,
        }
        .to_owned()
    }

    /// Makes the target tables of a scope and the marker table, with the DDL that drafts print.
    pub(crate) async fn make_targets(&self, scope: &Scope) {
        self.run(&scope::target_ddl(scope, self.system.dialect()).unwrap()).await;
    }

    /// All rows of a table that the scope takes.
    pub(crate) async fn read(&self, scope: &Scope, table: &str) -> Result<Vec<RecordBatch>> {
        let snapshot = self.source().begin(true).await?;
        let rows = admitted(snapshot.read(scope, table)).await?;
        snapshot.finish().await?;
        Ok(rows)
    }

    /// Reads a table and loads it.
    pub(crate) async fn carry(&self, scope: &Scope, table: &str, mark: Mark) -> Result<crate::Loaded> {
        let batches = self.read(scope, table).await?;
        self.sink().load(scope, table, mark, stream(batches)).await
    }

    pub(crate) async fn read_back(&self, scope: &Scope, table: &str) -> Result<Vec<RecordBatch>> {
        self.sink().read_back(scope, table).try_collect().await
    }

    /// One number, asked for over the connector's own description of nothing: through another connection.
    pub(crate) async fn count(&self, table: &str) -> u64 {
        let source = scope_of(&Words { name: table, target: table, ..Words::default() });
        connect_source(&self.address(), None)
            .unwrap()
            .begin(false)
            .await
            .unwrap()
            .count(&source, table)
            .await
            .unwrap()
            .0
    }
}

/// The batches of a stream of admitted rows.
pub(crate) async fn admitted(rows: BoxStream<'_, Result<ScopedBatch>>) -> Result<Vec<RecordBatch>> {
    rows.map_ok(ScopedBatch::into_batch).try_collect().await
}

pub(crate) fn stream(batches: Vec<RecordBatch>) -> BoxStream<'static, Result<RecordBatch>> {
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}

pub(crate) fn mark(number: u8) -> Mark {
    Mark { consignment: ConsignmentId([number; 16]), attempt: 1 }
}

/// Every row as text, sorted; NULL is `-`, so that an empty text is another thing.
pub(crate) fn spelled(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, only moments are spelled here")]
    let cell = |array: &ArrayRef, row| match array.data_type() {
        _ if array.is_null(row) => "-".to_owned(),
        DataType::Timestamp(_, zone) => {
            let spelled = write_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)).unwrap();
            if zone.is_some() { spelled + "Z" } else { spelled }
        }
        _ => array_value_to_string(array, row).unwrap(),
    };
    let mut rows: Vec<Vec<String>> = batches
        .iter()
        .flat_map(|batch| {
            (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect())
        })
        .collect();
    rows.sort();
    rows
}

/// A table of a scope in words: `take` is `(column, kind)` and every target column has its source's name.
#[derive(Clone, Copy, Default)]
pub(crate) struct Words<'a> {
    pub(crate) name: &'a str,
    pub(crate) target: &'a str,
    pub(crate) key: &'a [&'a str],
    pub(crate) take: &'a [(&'a str, &'a str)],
    pub(crate) leave: &'a [&'a str],
    pub(crate) filter: &'a str,
}

fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Words<'_> {
    fn toml(&self) -> String {
        let list = |names: &[&str]| names.iter().map(|name| toml_text(name)).collect::<Vec<_>>().join(", ");
        let take = self.take.iter().map(|(column, kind)| {
            // A name such as `comment` asks for a reason, and a reason never hurts.
            let reason = "needed to tell this story";
            format!("{{ column = {}, type = {}, reason = {} }}", toml_text(column), toml_text(kind), toml_text(reason))
        });
        let mut toml = format!(
            "[[table]]\nname = {}\ntarget = {}\nkey = [{}]\ntake = [{}]\nleave = [{}]\n",
            toml_text(self.name),
            toml_text(self.target),
            list(self.key),
            take.collect::<Vec<_>>().join(", "),
            list(self.leave)
        );
        if !self.filter.is_empty() {
            writeln!(toml, "where = {}", toml_text(self.filter)).unwrap();
        }
        toml
    }
}

pub(crate) fn scope_of(table: &Words<'_>) -> Scope {
    scope_of_all(&[*table])
}

pub(crate) fn scope_of_all(tables: &[Words<'_>]) -> Scope {
    let toml: String = tables.iter().map(Words::toml).collect();
    Scope::parse(&toml).unwrap_or_else(|refusal| panic!("{refusal}\n{toml}"))
}
