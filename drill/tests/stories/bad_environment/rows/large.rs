//! What is larger than others: a row of 100 MB is refused by name, one that is just short enough passes, and no process holds
//! more for them than it may; a table of 2,000 columns passes whole.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use futures::FutureExt;
use rusqlite::Connection;
use scope::{Dialect, Scope as Wanted};

use super::{Bad, Ended, Scene, talkative};
use crate::stories::databases::{self, Databases};

/// The most that SQLite declares of one table.
const COLUMNS: usize = 2_000;
const MARKER: &str =
    "CREATE TABLE lazaret_load (consignment TEXT, target_table TEXT, attempt INTEGER, row_count INTEGER);";

const HUGE: Bad = Bad {
    table: "letter",
    column: "body",
    // Sixteen million and seven hundred thousand times six letters.
    value: "replace(hex(zeroblob(16700000)), '00', 'ZQkw73')",
    good: "'b'",
    code: 408,
    says: "1 values that take their row over 48 MiB",
    hidden: &["ZQkw73ZQkw73"],
};

const SCOPE: &str = "[[table]]\nname = 'letter'\ntarget = 'import_letter'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'body', type = 'text' }]\n";
const OLD: &str =
    "CREATE TABLE letter (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO letter VALUES (1, 'a'), (730194401, 'b')";
/// Of 48 MiB what the sixes of letters fill, less a little for the key.
const LONG: &str = "UPDATE letter SET body = replace(hex(zeroblob(8388000)), '00', 'ZQkw73') WHERE id = 730194401";

/// 256 MiB, in KiB.
const HELD_MAX: u64 = 256 * 1024;

/// Runs it to its end: also the most memory that it held, in KiB.
async fn held(mut command: Command) -> (Ended, u64) {
    let child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut waiting = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let (mut most, mut beat) = (0, tokio::time::interval(Duration::from_millis(5)));
    loop {
        tokio::select! {
            output = &mut waiting => return (Ended::of(&output.unwrap()), most),
            _ = beat.tick() => {
                let peak = std::fs::read_to_string(&status).unwrap_or_default();
                let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let peak = peak.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
                most = most.max(peak.unwrap_or(0));
            }
        }
    }
}

fn at(address: &str) -> Connection {
    Connection::open(address.strip_prefix("sqlite:").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_hundred_megabytes_is_refused_by_keyed_digest_and_moves_once_it_is_shorter() {
    let new = format!("{MARKER} CREATE TABLE import_letter (id BIGINT PRIMARY KEY, body TEXT)");
    let scene = Scene::between_files(OLD, &new, SCOPE, &[HUGE]).await;
    let [source, target] = [scene.systems.source.identity(), scene.systems.sink.identity()];

    at(&source).execute_batch(&HUGE.sql(true)).unwrap();
    let letters = at(&source).query_row("SELECT max(length(body)) FROM letter", [], |row| row.get::<_, i64>(0));
    assert_eq!(letters.unwrap(), 100_200_000);
    HUGE.is_told(HUGE.table, &scene.extracted_from(&source).await, true);
    scene.nothing_is_closed().await;

    at(&source).execute_batch(&HUGE.sql(false)).unwrap();
    scene.extracted_from(&source).await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    assert_eq!(scene.loaded_into(&target).await.done()["equal"], true);
    scene.destroyed().await;
}

/// The old system hands out a row whole, so that a hundred megabytes stand in the process that refuses them.
async fn into_postgres(databases: &Databases) {
    let folder = drill::folder();
    let source = format!("sqlite:{}", folder.path().join("letters.sqlite").display());
    at(&source).execute_batch(OLD).unwrap();
    let ddl = scope::target_ddl(&Wanted::parse(SCOPE).unwrap(), Dialect::Postgres).unwrap();
    databases.on_postgres(&ddl).await;
    let scene = Scene::between(&source, &databases.postgres, SCOPE, &[HUGE]).await;

    at(&source).execute_batch(&HUGE.sql(true)).unwrap();
    scene.now();
    let (refused, refusing) = held(talkative(scene.extracting_from(&source))).await;
    HUGE.is_told(HUGE.table, &refused, true);
    scene.nothing_is_closed().await;
    at(&source).execute_batch(LONG).unwrap();
    scene.now();
    let (extracted, extracting) = held(scene.extracting_from(&source)).await;
    extracted.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    scene.now();
    let (loaded, loading) = held(scene.loading_into(&databases.postgres)).await;
    assert_eq!(loaded.done()["equal"], true);
    let lengths = "SELECT max(length(body))::int8 FROM import_letter";
    let row = databases::postgres(&databases.postgres).await.query_one(lengths, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 50_328_000);
    let held = [refusing, extracting, loading];
    assert!(held.iter().all(|held| (1..HELD_MAX).contains(held)), "{held:?} KiB");
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_48_mib_passes_into_postgresql_and_no_process_holds_more_than_it_may() {
    let name = "a_row_of_48_mib_passes_into_postgresql_and_no_process_holds_more_than_it_may";
    databases::with(name, |databases| into_postgres(databases).boxed_local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_two_thousand_columns_passes_whole() {
    let (mut scope, mut old) = (
        "[[table]]\nname = 'wide'\ntarget = 'import_wide'\nkey = ['c0']\nleave = []\ntake = [\n".to_owned(),
        String::new(),
    );
    for column in 0..COLUMNS {
        let (kind, declared) = if column % 2 == 0 { ("int64", "INTEGER") } else { ("text", "TEXT") };
        writeln!(scope, "{{ column = 'c{column}', type = '{kind}' }},").unwrap();
        let key = if column == 0 { " PRIMARY KEY" } else { "" };
        write!(old, ", c{column} {declared}{key}").unwrap();
    }
    scope.push(']');
    // A row with every value and one with none but its key.
    let values: Vec<_> =
        (0..COLUMNS).map(|column| if column % 2 == 0 { column.to_string() } else { format!("'t{column}'") }).collect();
    let old = format!(
        "CREATE TABLE wide ({}); INSERT INTO wide VALUES ({}); INSERT INTO wide (c0) VALUES (7)",
        old.trim_start_matches(", "),
        values.join(", ")
    );
    let ddl = scope::target_ddl(&Wanted::parse(&scope).unwrap(), Dialect::Sqlite).unwrap();
    let scene = Scene::between_files(&old, &ddl, &scope, &[]).await;
    let [source, target] = [scene.systems.source.identity(), scene.systems.sink.identity()];

    scene.extracted_from(&source).await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    assert_eq!(scene.loaded_into(&target).await.done()["equal"], true);
    // By other means: row for row as text.
    let rows = |address: &str, table: &str| {
        let system = at(address);
        let mut statement = system.prepare(&format!("SELECT * FROM {table} ORDER BY c0")).unwrap();
        let row =
            |row: &rusqlite::Row<'_>| (0..COLUMNS).map(|column| row.get::<_, rusqlite::types::Value>(column)).collect();
        let found: Vec<Vec<_>> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        found
    };
    let arrived = rows(&target, "import_wide");
    assert_eq!((arrived.len(), arrived[0].len()), (2, COLUMNS));
    assert_eq!(arrived, rows(&source, "wide"));
    scene.destroyed().await;
}
