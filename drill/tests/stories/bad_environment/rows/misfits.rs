//! SQLite keeps any value in any column. A row whose value is of another type than the scope compares is in no scope: if
//! nobody looked for it, it would stay behind, and S, F and T would be equal.

use rusqlite::Connection;

use super::{Bad, Scene};

const SCOPE: &str = "[[table]]\nname = 'visit'\ntarget = 'import_visit'\nkey = ['id']\nleave = ['seen']\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'ward', type = 'int64' }]\n\
     where = \"ward >= 1 and seen >= date '2019-01-01'\"\n";
/// Of 200 rows, one that stays behind is well within the 2 % that a source may move after the approval.
const OLD: &str = "CREATE TABLE visit (id INTEGER PRIMARY KEY, ward INTEGER, seen DATE); \
     WITH RECURSIVE n (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < 199) \
       INSERT INTO visit SELECT id, 1 + id % 4, '2020-01-02' FROM n; \
     INSERT INTO visit VALUES (730194401, 2, '2020-01-03')";
const NEW: &str = "CREATE TABLE import_visit (id BIGINT PRIMARY KEY, ward BIGINT); \
     CREATE TABLE lazaret_load (consignment TEXT, target_table TEXT, attempt INTEGER, row_count INTEGER)";

/// In a column that is taken, and in one that the scope compares only.
const BAD: [Bad; 2] = [
    Bad {
        table: "visit",
        column: "ward",
        value: "'ZQmf73019448'",
        good: "2",
        code: 420,
        says: "of another type than its `where` compares: column `ward`: 1 rows",
        hidden: &["ZQmf73019448"],
    },
    Bad {
        table: "visit",
        column: "seen",
        value: "'ZQmg73019448'",
        good: "'2020-01-03'",
        code: 420,
        says: "of another type than its `where` compares: column `seen`: 1 rows",
        hidden: &["ZQmg73019448"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_type_than_the_scope_compares_is_refused_by_column_and_key() {
    let scene = Scene::between_files(OLD, NEW, SCOPE, &BAD).await;
    let [source, target] = [scene.systems.source.identity(), scene.systems.sink.identity()];
    let at = |address: &str| Connection::open(address.strip_prefix("sqlite:").unwrap()).unwrap();

    for bad in &BAD {
        at(&source).execute_batch(&bad.sql(true)).unwrap();
        bad.is_told(bad.table, &scene.extracted_from(&source).await, true);
        scene.nothing_is_closed().await;
        at(&source).execute_batch(&bad.sql(false)).unwrap();
    }

    assert_eq!(scene.given_up().await, [420, 420]);
    scene.extracted_from(&source).await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    assert_eq!(scene.loaded_into(&target).await.done()["equal"], true);
    let arrived = at(&target).query_row("SELECT count(*) FROM import_visit", [], |row| row.get::<_, i64>(0));
    assert_eq!(arrived.unwrap(), 200);
    scene.destroyed().await;
}
