//! Findings 2 and 3 of the decision, at the two database servers: a whole passage from MariaDB to PostgreSQL, with a load
//! that the new system would have refused row by row, leaves no value of a patient in what either server writes down.
//!
//! Three logs: that of PostgreSQL, which is told to write every statement on this database; that of MariaDB, as talkative
//! as `cargo xtask servers` starts it; and MariaDB's statements, which by their nature name columns and hold the scope's
//! constants. There is no binary log and no slow log to look at.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use drill::{Name, Systems, World};
use futures::FutureExt;
use lexicon::{ConsignmentId, Trouble};
use procedure::{Plan, Stage};
use rusqlite::types::Value;
use scope::{Dialect, Scope};
use sqlx::{AssertSqlSafe, Row};
use synth::Place;
use synth::search::{self, Needles, Report};

use super::databases::{self, Databases};
use super::sentinels::{missed_nothing, needles};

const STORY: &str = "a_whole_passage_leaves_no_value_of_a_patient_in_the_logs_of_the_two_database_servers";
const LOGS: [&str; 2] = ["LAZARET_TEST_POSTGRES_LOG", "LAZARET_TEST_MARIADB_LOG"];

/// No other story makes this laboratory, so that what is found is of this passage.
const SEED: u64 = 2_024;

/// What every surname with a sentinel in it violates.
const CONSTRAINT: &str =
    "ALTER TABLE import_patient ADD CONSTRAINT without_sentinel CHECK (surname !~ ' [0-9A-Za-z]{20}$')";

/// A server's log, from where it ended when the story began.
pub(super) struct Log {
    pub(super) path: PathBuf,
    from: u64,
}

impl Log {
    pub(super) fn from_here(path: PathBuf) -> Self {
        let from = std::fs::metadata(&path).unwrap().len();
        Self { path, from }
    }

    pub(super) fn search(&self, needles: &Needles) -> Report {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.from)).unwrap();
        search::reader(needles, &self.path, &mut file).unwrap()
    }

    /// Waits until the server has written what it was made to write: one that logs nothing, or elsewhere, is found out.
    pub(super) async fn shows(&self, control: &str) {
        let needles = Needles::new([("control", control)]).unwrap();
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..200 {
            beat.tick().await;
            if self.search(&needles).found() > 0 {
                return;
            }
        }
        unreachable!("the control does not stand in {}", self.path.display());
    }
}

/// A word of 20 letters and digits, as a sentinel is.
pub(super) fn drawn() -> String {
    ConsignmentId::draw(drill::entropy().as_ref()).unwrap().to_string().chars().take(20).collect()
}

/// The made laboratory with all of its tables and rows, in MariaDB. Its values are bound: a server that writes statements
/// down from now on has not seen one yet.
async fn copy_laboratory(old: &Path, databases: &Databases) {
    let old = rusqlite::Connection::open(old).unwrap();
    let mut tables = old.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid").unwrap();
    let tables = tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let tables: Vec<(String, String)> = tables.map(Result::unwrap).collect();
    let mut session = databases::mariadb(&databases.mariadb).await;
    for (table, ddl) in tables {
        databases.on_mariadb(&ddl.replace(" TIMESTAMP", " DATETIME").replace(" INTEGER", " BIGINT")).await;
        let mut statement = old.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")).unwrap();
        let columns = statement.column_count();
        let insert = format!("INSERT INTO {table} VALUES ({})", vec!["?"; columns].join(", "));
        let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
        let rows: Vec<Vec<Value>> = rows.map(Result::unwrap).collect();
        sqlx::raw_sql("START TRANSACTION").execute(&mut session).await.unwrap();
        for row in rows {
            let empty = sqlx::query(AssertSqlSafe(insert.clone()));
            let bound = row.into_iter().fold(empty, |query, value| match value {
                Value::Null => query.bind(None::<String>),
                Value::Integer(number) => query.bind(number),
                Value::Real(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Blob(bytes) => query.bind(bytes),
            });
            bound.execute(&mut session).await.unwrap();
        }
        sqlx::raw_sql("COMMIT").execute(&mut session).await.unwrap();
    }
}

/// From now on `MariaDB` writes every statement of everybody down; where.
async fn statements_written_down(databases: &Databases) -> PathBuf {
    databases.on_mariadb("SET GLOBAL general_log = ON").await;
    let mut session = databases::mariadb(&databases.mariadb).await;
    let row = sqlx::query("SELECT @@GLOBAL.datadir, @@GLOBAL.general_log_file").fetch_one(&mut session).await.unwrap();
    Path::new(&row.get::<String, _>(0)).join(row.get::<String, _>(1))
}

/// The old system, with the address by which nothing of it can be read beyond the scope, and the new one, which refuses
/// whoever has a sentinel for a surname.
async fn ground(world: &World, databases: &Databases) -> (Systems, String) {
    let mut systems = world.systems_of(SEED, 200);
    copy_laboratory(&systems.old, databases).await;
    let scope = Scope::parse(&synth::scope_toml()).unwrap();
    let grants = scope::grants(&scope, Dialect::MariaDb, scope::Account::local(databases.account())).unwrap();
    let ddl = scope::target_ddl(&scope, Dialect::Postgres).unwrap();
    let every_statement = format!("ALTER DATABASE {} SET log_statement = 'all'", databases.account());
    databases.on_postgres(&format!("{ddl};\n{CONSTRAINT};\n{every_statement}")).await;
    let reader = databases.reader(&grants).await;
    systems.source = connectors::connect_source(&reader, None).unwrap();
    systems.sink = connectors::connect_sink(&databases.postgres, None).unwrap();
    (systems, reader)
}

/// What the old database refuses the throw-away account.
async fn refused_at_the_source(reader: &str) {
    let mut session = databases::mariadb(reader).await;
    for sql in ["SELECT portal_password FROM patient", "SELECT * FROM bill", "SELECT * FROM patient"] {
        assert!(sqlx::query(sql).fetch_all(&mut session).await.is_err(), "{sql}");
    }
}

/// The loads that are refused, and then the one that is not.
async fn loaded(world: &World, systems: &Systems, databases: &Databases, plan: &Plan) -> String {
    let consignment = world.consign(plan).await;
    world.extract(plan, consignment, systems.source.as_ref()).await.unwrap();
    world.release(plan, consignment).await.unwrap();
    // Whoever may keep its errors out of the log loads in another way than who may not.
    let writer = connectors::connect_sink(&databases.writer().await, None).unwrap();
    for sink in [&writer, &systems.sink] {
        let refused = world.load(plan, consignment, sink.as_ref()).await.unwrap_err();
        let said = refused.to_string();
        assert!(matches!(refused, Trouble::Refusal(_)) && said.contains("without_sentinel"), "{said}");
        let all = needles(&systems.made.sentinels);
        assert!(search::reader(&all, Path::new("the refusal"), &mut said.as_bytes()).unwrap().is_clean(), "{said}");
    }

    // The control: who tries the row on the table instead has it in the log.
    let control = drawn();
    let careless = databases::postgres(&databases.postgres).await;
    let insert = careless.prepare("INSERT INTO import_patient (patient_id, surname) VALUES (-1, 'Control ' || $1)");
    assert!(careless.execute(&insert.await.unwrap(), &[&control]).await.is_err());
    databases.on_postgres("ALTER TABLE import_patient DROP CONSTRAINT without_sentinel").await;
    assert!(world.load(plan, consignment, systems.sink.as_ref()).await.unwrap().reconciliation.equal());
    control
}

async fn everything_is_destroyed(world: &World, plan: &Plan) {
    world.sign_off(plan).await.unwrap();
    for name in [Name::Recipient, Name::Operator] {
        world.destroy_part(name, plan.migration, &[]).await.unwrap();
    }
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    assert_eq!(ledger.migration().stage, Stage::Destroyed);
}

/// Somebody whom the old system's server does not know; it writes down whom it did not let in.
pub(super) async fn stranger(databases: &Databases) -> String {
    let control = drawn();
    let (scheme, rest) = databases.mariadb.split_once("://").unwrap();
    let address = format!("{scheme}://{control}:none@{}", rest.rsplit_once('@').unwrap().1);
    assert!(!databases::mariadb_lets_in(&address).await, "a stranger was let in");
    control
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_passage_leaves_no_value_of_a_patient_in_the_logs_of_the_two_database_servers() {
    for variable in LOGS {
        if std::env::var_os(variable).is_none() {
            drill::skipped!("{STORY} ({variable} is not set)");
            return;
        }
    }
    databases::with(STORY, |databases| passage_between_servers(databases).boxed_local()).await;
}

async fn passage_between_servers(databases: &Databases) {
    let [postgres, mariadb] = LOGS.map(|variable| Log::from_here(std::env::var_os(variable).unwrap().into()));
    let world = World::start().await;
    let (systems, reader) = ground(&world, databases).await;
    let statements = Log::from_here(statements_written_down(databases).await);

    refused_at_the_source(&reader).await;
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let violation = loaded(&world, &systems, databases, &plan).await;
    everything_is_destroyed(&world, &plan).await;
    let unknown = stranger(databases).await;
    databases.on_mariadb("SET GLOBAL general_log = OFF").await;

    // The controls: each log is written, to the end, and the search reads it.
    postgres.shows(&violation).await;
    mariadb.shows(&unknown).await;
    for (log, written) in [(&postgres, "import_result"), (&statements, "birth_place_code"), (&statements, "2018-01-01")]
    {
        log.shows(written).await;
    }
    let planted = &systems.made.sentinels;
    for place in [Place::LeftColumn, Place::LeftRow, Place::Moves] {
        assert!(planted.iter().any(|sentinel| sentinel.place == place), "nothing is planted in {place:?}");
    }
    let all = needles(planted);
    missed_nothing(&search::files(&all, &[&systems.old]).unwrap(), planted.iter());
    for log in [&postgres, &mariadb] {
        let seen = log.search(&all);
        assert!(seen.is_clean() && seen.bytes > 0, "{}: {:?} {:?}", log.path.display(), seen.hits, seen.missed);
    }
    // Everybody's statements stand there, and several laboratories may issue one NIR.
    let ours = needles(planted.iter().filter(|sentinel| sentinel.column != "nir"));
    let seen = statements.search(&ours);
    assert!(seen.is_clean() && seen.bytes > 0, "{:?} {:?}", seen.hits, seen.missed);
}
