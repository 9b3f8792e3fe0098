//! What is larger than others: a row of 100 MB, and of far more in a server, is refused by name, one that is just short enough
//! passes, and no process holds more for them than it may; a table of 2,000 columns passes whole.

use std::fmt::Write;

use drill::Command;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use rusqlite::Connection;
use scope::{Dialect, Scope as Wanted};

use super::{Bad, Ended, Scene, talkative};
use crate::stories::databases::{self, Databases, Server};

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
const LONG: Bad = Bad { value: "replace(hex(zeroblob(8388000)), '00', 'ZQkw73')", ..HUGE };

/// In PostgreSQL, of 300 MB: more than a process may hold of anything.
const HUGE_THERE: Bad = Bad { value: "repeat('ZQkw73', 50100000)", ..HUGE };
const LONG_THERE: Bad = Bad { value: "repeat('ZQkw73', 8388000)", ..HUGE };

/// 256 MiB, in KiB.
const HELD_MAX: u64 = 256 * 1024;

/// In MariaDB such values are made by the server itself, which no statement could bring: as UTF-32 each letter has four bytes,
/// taken for letters they have four again. One of 268 MB.
const OLD_IN_MARIADB: &str = "CREATE TABLE letter (id BIGINT PRIMARY KEY, body LONGTEXT CHARACTER SET latin1); \
     INSERT INTO letter VALUES (1, 'a'), (730194401, 'b'); \
     CREATE TABLE far (words LONGTEXT CHARACTER SET latin1); INSERT INTO far VALUES (REPEAT('ZQkw73', 2790000)); \
     CREATE TABLE near (words LONGTEXT CHARACTER SET latin1); INSERT INTO near VALUES (REPEAT('ZQkw73', 2097000));";
const HUGE_IN_MARIADB: Bad = Bad { value: "(SELECT words FROM far)", ..HUGE };
const LONG_IN_MARIADB: Bad = Bad { value: "(SELECT words FROM near)", ..HUGE };

fn four_times_as_long(table: &str) -> String {
    format!(
        "ALTER TABLE {table} MODIFY words LONGTEXT CHARACTER SET utf32; ALTER TABLE {table} MODIFY words LONGBLOB; \
         ALTER TABLE {table} MODIFY words LONGTEXT CHARACTER SET latin1;"
    )
}

/// Runs it to its end: also the most memory that it held, in KiB.
async fn held(command: Command) -> (Ended, u64) {
    let (output, most) = command.held().await;
    (Ended::of(&output), most)
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

type Run<'a> = &'a dyn Fn(String) -> LocalBoxFuture<'a, ()>;

/// Refuses the long row, then extracts one of 48 MiB in its place and loads it.
async fn nobody_holds_more(scene: &Scene, [huge, long]: [&Bad; 2], run: Run<'_>, [source, target]: [&str; 2]) {
    run(huge.sql(true)).await;
    scene.now();
    let (refused, refusing) = held(talkative(scene.extracting_from(source))).await;
    huge.is_told(huge.table, &refused, true);
    scene.nothing_is_closed().await;
    run(long.sql(true)).await;
    scene.now();
    let (extracted, extracting) = held(scene.extracting_from(source)).await;
    extracted.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    scene.now();
    let (loaded, loading) = held(scene.loading_into(target)).await;
    assert_eq!(loaded.done()["equal"], true);
    let held = [refusing, extracting, loading];
    assert!(held.iter().all(|held| (1..HELD_MAX).contains(held)), "refusing, extracting, loading: {held:?} KiB");
}

/// The old system hands out a row whole, so that a hundred megabytes stand in the process that refuses them.
async fn into_postgres(databases: &Databases) {
    let folder = drill::folder();
    let source = format!("sqlite:{}", folder.path().join("letters.sqlite").display());
    at(&source).execute_batch(OLD).unwrap();
    let ddl = scope::target_ddl(&Wanted::parse(SCOPE).unwrap(), Dialect::Postgres).unwrap();
    databases.on_postgres(&ddl).await;
    let scene = Scene::between(&source, &databases.postgres, SCOPE, &[HUGE]).await;
    let run = |sql: String| {
        at(&source).execute_batch(&sql).unwrap();
        async {}.boxed_local()
    };

    nobody_holds_more(&scene, [&HUGE, &LONG], &run, [&source, &databases.postgres]).await;

    let lengths = "SELECT max(length(body))::int8 FROM import_letter";
    let row = databases::postgres(&databases.postgres).await.query_one(lengths, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 50_328_000);
    scene.destroyed().await;
}

async fn out_of(databases: &Databases, server: Server, values: [&Bad; 2]) {
    let folder = drill::folder();
    let (source, target) = (databases.at(server), format!("sqlite:{}", folder.path().join("letters.sqlite").display()));
    let new = format!("{MARKER} CREATE TABLE import_letter (id BIGINT PRIMARY KEY, body TEXT)");
    at(&target).execute_batch(&new).unwrap();
    let scene = Scene::between(source, &target, SCOPE, &[HUGE]).await;
    let run = |sql: String| async move { databases.on(server, &sql).await }.boxed_local();

    nobody_holds_more(&scene, values, &run, [source, &target]).await;

    let length = "SELECT max(length(CAST(body AS BLOB))) FROM import_letter";
    let length = at(&target).query_row(length, [], |row| row.get::<_, i64>(0));
    assert_eq!(length.unwrap(), 50_328_000);
    scene.destroyed().await;
}

/// The driver holds a row whole, so that the server is asked for its length first.
async fn out_of_postgres(databases: &Databases) {
    databases.on_postgres(OLD).await;
    out_of(databases, Server::Postgres, [&HUGE_THERE, &LONG_THERE]).await;
}

async fn out_of_mariadb(databases: &Databases) {
    databases.on_mariadb(OLD_IN_MARIADB).await;
    for table in ["far", "near", "far"] {
        databases.on_mariadb(&four_times_as_long(table)).await;
    }
    out_of(databases, Server::MariaDb, [&HUGE_IN_MARIADB, &LONG_IN_MARIADB]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_far_more_in_mariadb_is_refused_before_anybody_holds_it() {
    let name = "a_row_of_far_more_in_mariadb_is_refused_before_anybody_holds_it";
    databases::with(name, |databases| out_of_mariadb(databases).boxed_local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_far_more_in_postgresql_is_refused_before_anybody_holds_it() {
    let name = "a_row_of_far_more_in_postgresql_is_refused_before_anybody_holds_it";
    databases::with(name, |databases| out_of_postgres(databases).boxed_local()).await;
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
