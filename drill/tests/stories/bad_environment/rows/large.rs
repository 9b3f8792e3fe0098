//! What is larger than others: a row of 100 MB is refused by name, a table of 2,000 columns passes whole.

use std::fmt::Write;

use rusqlite::Connection;
use scope::{Dialect, Scope as Wanted};

use super::{Bad, Scene};

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

fn at(address: &str) -> Connection {
    Connection::open(address.strip_prefix("sqlite:").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_hundred_megabytes_is_refused_by_keyed_digest_and_moves_once_it_is_shorter() {
    let scope = "[[table]]\nname = 'letter'\ntarget = 'import_letter'\nkey = ['id']\nleave = []\n\
                 take = [{ column = 'id', type = 'int64' }, { column = 'body', type = 'text' }]\n";
    let old =
        "CREATE TABLE letter (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO letter VALUES (1, 'a'), (730194401, 'b')";
    let new = format!("{MARKER} CREATE TABLE import_letter (id BIGINT PRIMARY KEY, body TEXT)");
    let scene = Scene::between_files(old, &new, scope, &[HUGE]).await;
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
