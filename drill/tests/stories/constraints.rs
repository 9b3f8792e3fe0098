//! A new system that would refuse a row is told so by count: nothing of the row is written into an error or into the
//! new system's own log, where a violated constraint would have put all of it.

use std::path::Path;

use drill::{Round, Systems, World};
use futures::FutureExt;
use lexicon::Trouble;
use procedure::ConsignmentStage;
use scope::{Dialect, Scope};
use synth::Place;
use synth::search::{self, Needles};

use super::databases::{self, Databases};
use super::sentinels::needles;
use super::server_logs::{Log, drawn, stranger};

/// Two patients share a civility soon enough.
const UNIQUE: &str = "CREATE UNIQUE INDEX only_one_of_each ON import_patient (civility)";

fn holds_a_value(systems: &Systems, text: &str) -> bool {
    let needles = Needles::of(&systems.made.sentinels).unwrap();
    let report = search::reader(&needles, Path::new("the error"), &mut text.as_bytes()).unwrap();
    !report.is_clean()
}

/// Released and handed over to the recipient, who tries to load: what the agent says.
async fn refused_load(world: &World, systems: &Systems) -> (Round, Trouble) {
    let round = world.closed(systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let refused = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap_err();
    (round, refused)
}

fn tells_table_and_count(refused: &Trouble, systems: &Systems) {
    let said = refused.to_string();
    assert!(matches!(refused, Trouble::Refusal(_)), "{said}");
    assert!(said.contains("import_patient") && said.contains("rows"), "{said}");
    assert!(!holds_a_value(systems, &said), "{said}");
    assert!(!["Mme", "Madame", "Monsieur"].iter().any(|civility| said.contains(civility)), "{said}");
}

async fn nothing_counts_as_loaded(world: &World, round: &Round) {
    let ledger = world.desk(drill::Name::Controller).follow(round.plan.migration).await.unwrap();
    let consignment = ledger.migration().consignment(round.consignment).unwrap();
    assert_eq!(consignment.stage, ConsignmentStage::Released);
    assert!(consignment.last_attempt().is_some_and(|attempt| !attempt.running), "the attempt was not given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_constraint_would_break_refuses_by_count() {
    let world = World::start().await;
    let systems = world.systems(120);
    let new = rusqlite::Connection::open(&systems.new).unwrap();
    new.execute_batch(UNIQUE).unwrap();

    let (round, refused) = refused_load(&world, &systems).await;

    tells_table_and_count(&refused, &systems);
    let rows: i64 = new.query_row("SELECT count(*) FROM import_patient", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0, "rows of a refused table are in the target");
    nothing_counts_as_loaded(&world, &round).await;
    // The control: without the constraint the same consignment loads.
    new.execute_batch("DROP INDEX only_one_of_each").unwrap();
    let loaded = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await;
    assert!(loaded.is_ok_and(|report| report.reconciliation.equal()), "the constraint was not what refused");
}

/// Two patients of one surname, with a sentinel in it: what is unique is now broken by what the search looks for. The
/// surname.
fn namesakes(systems: &Systems) -> String {
    let planted = systems.made.sentinels.iter();
    let mut tokens = planted.filter(|planted| planted.column == "family_name" && planted.place == Place::Moves);
    let old = rusqlite::Connection::open(&systems.old).unwrap();
    let mut next = || {
        let sql = "SELECT patient_id, family_name FROM patient WHERE instr(family_name, ?1) > 0";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        old.query_row(sql, [&tokens.next().unwrap().value], row).unwrap()
    };
    let ((_, surname), (other, _)): ((i64, String), (i64, String)) = (next(), next());
    let changed = old.execute("UPDATE patient SET family_name = ?1 WHERE patient_id = ?2", (&surname, other));
    assert_eq!(changed.unwrap(), 1);
    surname
}

/// What two surnames with the same sentinel violate, and the same for a server without indexes of a part.
const NO_NAMESAKES: &str =
    "CREATE UNIQUE INDEX no_namesakes ON import_patient (surname) WHERE surname ~ ' [0-9A-Za-z]{20}$'";
const WITHOUT_SENTINEL: &str = "ALTER TABLE import_patient \
    ADD CONSTRAINT without_sentinel CHECK (surname NOT REGEXP ' [0-9A-Za-z]{20}$')";

/// The log of one of the tests' servers, from here on; says that the story is skipped where there is none.
fn log_of(variable: &str, story: &str) -> Option<Log> {
    let log = std::env::var_os(variable).map(|path| Log::from_here(path.into()));
    if log.is_none() {
        drill::skipped!("{story} ({variable} is not set)");
    }
    log
}

/// A laboratory that no other story makes, and the new system's tables.
fn laboratory(world: &World, seed: u64, dialect: Dialect) -> (Systems, String) {
    let scope = Scope::parse(&synth::scope_toml()).unwrap();
    (world.systems_of(seed, 120), scope::target_ddl(&scope, dialect).unwrap())
}

/// The log, which the server was made to write a control into, has nothing of the laboratory.
async fn is_clean(log: &Log, control: &str, systems: &Systems) {
    log.shows(control).await;
    // Several laboratories may issue one NIR.
    let needles = needles(systems.made.sentinels.iter().filter(|sentinel| sentinel.column != "nir"));
    let seen = log.search(&needles);
    assert!(seen.is_clean() && seen.bytes > 0, "{:?} {:?}", seen.hits, seen.missed);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_refused_row_reaches_the_log_of_postgresql() {
    let name = "nothing_of_a_refused_row_reaches_the_log_of_postgresql";
    databases::with(name, |databases| refused_by_postgresql(databases).boxed_local()).await;
}

async fn refused_by_postgresql(databases: &Databases) {
    let Some(log) = log_of("LAZARET_TEST_POSTGRES_LOG", "what PostgreSQL writes down") else { return };
    let world = World::start().await;
    let (mut systems, ddl) = laboratory(&world, 2_025, Dialect::Postgres);
    let surname = namesakes(&systems);
    databases.on_postgres(&format!("{ddl};\n{NO_NAMESAKES}")).await;
    // Whoever may not keep errors out of the log.
    systems.sink = connectors::connect_sink(&databases.writer().await, None).unwrap();

    let (round, refused) = refused_load(&world, &systems).await;

    tells_table_and_count(&refused, &systems);
    assert!(refused.to_string().contains("no_namesakes"), "{refused}");
    nothing_counts_as_loaded(&world, &round).await;
    // Whoever may.
    systems.sink = connectors::connect_sink(&databases.postgres, None).unwrap();
    let refused = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap_err();
    tells_table_and_count(&refused, &systems);
    // The control: who tries such rows on the table instead has the value in the log.
    let control = drawn();
    let careless = databases::postgres(&databases.postgres).await;
    let insert = careless.prepare("INSERT INTO import_patient (patient_id, surname) VALUES ($1, 'Control ' || $2)");
    let insert = insert.await.unwrap();
    assert!(careless.execute(&insert, &[&-1_i64, &control]).await.is_ok());
    assert!(careless.execute(&insert, &[&-2_i64, &control]).await.is_err());
    is_clean(&log, &control, &systems).await;
    assert!(holds_a_value(&systems, &surname), "what would break the constraint is not looked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_row_reaches_the_log_of_mariadb_that_is_loaded_into() {
    let name = "nothing_of_a_row_reaches_the_log_of_mariadb_that_is_loaded_into";
    databases::with(name, |databases| refused_by_mariadb(databases).boxed_local()).await;
}

async fn refused_by_mariadb(databases: &Databases) {
    let Some(log) = log_of("LAZARET_TEST_MARIADB_LOG", "what MariaDB writes down") else { return };
    let world = World::start().await;
    let (mut systems, ddl) = laboratory(&world, 2_026, Dialect::MariaDb);
    databases.on_mariadb(&format!("{ddl}\n{WITHOUT_SENTINEL}")).await;
    systems.sink = connectors::connect_sink(&databases.mariadb, None).unwrap();

    let (round, refused) = refused_load(&world, &systems).await;

    tells_table_and_count(&refused, &systems);
    assert!(refused.to_string().contains("without_sentinel"), "{refused}");
    nothing_counts_as_loaded(&world, &round).await;
    // The control: without the constraint the same consignment loads.
    databases.on_mariadb("ALTER TABLE import_patient DROP CONSTRAINT without_sentinel").await;
    let loaded = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await;
    assert!(loaded.unwrap().reconciliation.equal(), "the constraint was not what refused");
    // The other control: this log is written, and the search reads it.
    let unknown = stranger(databases).await;
    is_clean(&log, &unknown, &systems).await;
}
