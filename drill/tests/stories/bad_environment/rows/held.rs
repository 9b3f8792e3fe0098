//! What parcels hold and the new system cannot: met by the load, before the target's tables are touched.

use futures::FutureExt;

use super::{Bad, Scene, logs, nothing_in};
use crate::stories::databases::{self, Databases};

const MARKER: &str = "CREATE TABLE lazaret_load (consignment VARCHAR(32) NOT NULL, target_table VARCHAR(128) NOT NULL, \
     attempt BIGINT NOT NULL, row_count BIGINT NOT NULL, PRIMARY KEY (consignment, target_table));";

fn scope(bad: &Bad, kind: &str) -> String {
    let Bad { table, column, .. } = bad;
    format!(
        "[[table]]\nname = '{table}'\ntarget = 'import_{table}'\nkey = ['id']\nleave = []\n\
         take = [{{ column = 'id', type = 'int64' }}, {{ column = '{column}', type = '{kind}' }}]\n"
    )
}

/// A table of `id` and one more column, with a good row and one that will be bad.
fn table(name: &str, column: &str, good: &str) -> String {
    format!(
        "CREATE TABLE {name} (id BIGINT PRIMARY KEY, {column}); INSERT INTO {name} VALUES (1, {good}), (730194401, {good});"
    )
}

/// Beside each, its kind in the scope and the column of the old system and of the new one.
const FROM_MARIADB: [(Bad, &str, &str, &str); 4] = [
    (
        Bad {
            table: "coded",
            column: "code",
            value: "'KQ7301944XW'",
            good: "'ab'",
            code: 411,
            says: "text in character varying(5): 1 rows",
            hidden: &["KQ7301944XW"],
        },
        "text",
        "code VARCHAR(40)",
        "code varchar(5)",
    ),
    (
        Bad {
            table: "texted",
            column: "words",
            value: "CONCAT('KQ7302944XW', CHAR(0))",
            good: "'ab'",
            code: 408,
            says: "1 texts with a NUL character",
            hidden: &["KQ7302944XW"],
        },
        "text",
        "words VARCHAR(40)",
        "words text",
    ),
    (
        Bad {
            table: "counted",
            column: "reading",
            value: "18446744073709551613",
            good: "2",
            code: 411,
            says: "uint64 in bigint: 1 rows",
            hidden: &["18446744073709551613"],
        },
        "uint64",
        "reading BIGINT UNSIGNED",
        "reading bigint",
    ),
    (
        Bad {
            table: "numbered",
            column: "number",
            value: "730194488123",
            good: "2",
            code: 411,
            says: "int64 in integer: 1 rows",
            hidden: &["730194488123"],
        },
        "int64",
        "number BIGINT",
        "number integer",
    ),
];

async fn into_postgres(databases: &Databases) {
    let (source, logs) = (&databases.mariadb, logs());
    databases.on_postgres(MARKER).await;
    for (bad, _, old, new) in &FROM_MARIADB {
        databases.on_mariadb(&table(bad.table, old, bad.good)).await;
        databases.on_mariadb(&bad.sql(true)).await;
        let target = format!("CREATE TABLE {} (id bigint PRIMARY KEY, {new})", bad.target());
        databases.on_postgres(&target).await;
    }
    // Whoever may keep its errors out of the log loads in another way than who may not.
    let targets = [databases.postgres.clone(), databases.writer().await];
    let mut scene: Option<Scene> = None;
    for (bad, kind, ..) in &FROM_MARIADB {
        let scope = scope(bad, kind);
        match &mut scene {
            Some(scene) => scene.turn_to(&scope).await,
            none => *none = Some(Scene::between(source, &targets[0], &scope, &FROM_MARIADB.map(|(bad, ..)| bad)).await),
        }
        let scene = scene.as_ref().unwrap();
        scene.world.extract(&scene.plan, scene.consignment, scene.systems.source.as_ref()).await.unwrap();
        scene.world.release(&scene.plan, scene.consignment).await.unwrap();
        for target in &targets {
            let ended = scene.loaded_into(target).await;
            bad.is_told(&bad.target(), &ended, true);
            let sql =
                format!("SELECT (SELECT count(*) FROM import_{}) + (SELECT count(*) FROM lazaret_load)", bad.table);
            let row = databases::postgres(&databases.postgres).await.query_one(&sql, &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), 0, "{} is half loaded", bad.table);
        }
    }
    nothing_in(&logs, &FROM_MARIADB.map(|(bad, ..)| bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgresql_cannot_hold_is_refused_by_name_with_nothing_loaded() {
    let name = "what_postgresql_cannot_hold_is_refused_by_name_with_nothing_loaded";
    databases::with(name, |databases| into_postgres(databases).boxed_local()).await;
}

const MEASURES: &str = "[[table]]\nname = 'measure'\ntarget = 'import_measure'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'measured', type = 'decimal(12,2)' }, \
     { column = 'day', type = 'date' }, { column = 'at', type = 'timestamp' }, { column = 'ratio', type = 'float64' }]\n";

const OLD_MEASURES: &str = "CREATE TABLE measure (id bigint PRIMARY KEY, measured numeric, day date, at timestamp, \
       ratio double precision); \
     INSERT INTO measure VALUES (1, 1.5, '2020-01-02', '2020-01-02 03:04:05', 0.5), (730194401, NULL, NULL, NULL, NULL)";
const NEW_MEASURES: &str = "CREATE TABLE import_measure (id BIGINT PRIMARY KEY, measured DECIMAL(12,2), day DATE, \
     at DATETIME(6), ratio DOUBLE);";

const fn measure(column: &'static str, value: &'static str, says: &'static str) -> Bad {
    Bad { table: "measure", column, value, good: "NULL", code: 408, says, hidden: &[] }
}

const NOT_A_NUMBER: &str = "1 values that are not a number";
const INFINITE: &str = "1 infinite values";
/// Of kinds that have no such value.
const LEFT_BEHIND: [Bad; 4] = [
    measure("measured", "'NaN'", NOT_A_NUMBER),
    Bad {
        hidden: &["73019448812"],
        ..measure("measured", "'7301944881.24'::numeric * 10", "1 numbers with more digits")
    },
    measure("day", "'infinity'", INFINITE),
    measure("at", "'-infinity'", INFINITE),
];
/// Of a kind that has them, and of a column that has not.
const NOT_TAKEN: [Bad; 2] = [measure("ratio", "'NaN'", NOT_A_NUMBER), measure("ratio", "'Infinity'", INFINITE)];

async fn into_mariadb(databases: &Databases) {
    let (source, target, logs) = (&databases.postgres, &databases.mariadb, logs());
    databases.on_postgres(OLD_MEASURES).await;
    databases.on_mariadb(&format!("{NEW_MEASURES} {MARKER}")).await;
    let mut scene = Scene::between(source, target, MEASURES, &LEFT_BEHIND).await;
    for bad in &LEFT_BEHIND {
        databases.on_postgres(&bad.sql(true)).await;
        bad.is_told(bad.table, &scene.extracted_from(source).await, true);
        scene.nothing_is_closed().await;
        databases.on_postgres(&bad.sql(false)).await;
    }
    for bad in &NOT_TAKEN {
        databases.on_postgres(&bad.sql(true)).await;
        scene.turn_to(MEASURES).await;
        scene.extracted_from(source).await.done();
        scene.world.release(&scene.plan, scene.consignment).await.unwrap();
        bad.is_told(&bad.target(), &scene.loaded_into(target).await, true);
        let there = "SELECT (SELECT COUNT(*) FROM import_measure) + (SELECT COUNT(*) FROM lazaret_load)";
        let mut session = databases::mariadb(target).await;
        assert_eq!(sqlx::query_scalar::<_, i64>(there).fetch_one(&mut session).await.unwrap(), 0);
    }
    nothing_in(&logs, &LEFT_BEHIND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_or_infinite_is_refused_by_name_on_the_way_into_mariadb() {
    let name = "what_is_no_number_or_infinite_is_refused_by_name_on_the_way_into_mariadb";
    databases::with(name, |databases| into_mariadb(databases).boxed_local()).await;
}
