//! The two systems as files of `SQLite`: away, changed since the plan was approved, occupied, held by another program.

use std::path::Path;

use drill::write_file;

use super::{REFUSED, Scene, UNREACHABLE};

fn sql(file: &Path, text: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(text).unwrap();
}

/// Another program has the file open, and in use, until this is dropped.
fn held(file: &Path) -> rusqlite::Connection {
    let program = rusqlite::Connection::open(file).unwrap();
    program.execute_batch("BEGIN EXCLUSIVE").unwrap();
    program
}

/// Declares a column anew where it stands, as a maker's upgrade does by copying the table.
fn declared(file: &Path, (table, before, after): (&str, &str, &str)) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.pragma_update(None, "writable_schema", true).unwrap();
    let changed = connection
        .execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ?2, ?3) WHERE name = ?1 AND sql LIKE '%' || ?2 || '%'",
            (table, before, after),
        )
        .unwrap();
    assert_eq!(changed, 1, "{table} has no {before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_system_that_is_not_as_it_was_approved_is_not_extracted() {
    let scene = Scene::set().await;
    let old = scene.systems.old.clone();
    let aside = old.with_extension("aside");

    std::fs::rename(&old, &aside).unwrap();
    scene.extract().await.says(UNREACHABLE, 402, &["old.sqlite does not answer", "cannot be opened"]);
    write_file(&old, &[b'x'; 8_192]);
    scene.extract().await.says(UNREACHABLE, 402, &["not a SQLite database"]);
    std::fs::rename(&aside, &old).unwrap();
    sql(&old, "ALTER TABLE prescriber RENAME TO doctor");
    scene.extract().await.says(REFUSED, 611, &["table `prescriber`", "not there"]);
    sql(&old, "ALTER TABLE doctor RENAME TO prescriber; ALTER TABLE patient ADD COLUMN remark TEXT");
    scene.extract().await.says(REFUSED, 311, &["patient", "remark"]);
    sql(&old, "ALTER TABLE patient DROP COLUMN remark; ALTER TABLE patient RENAME COLUMN civility TO title");
    scene.extract().await.says(REFUSED, 311, &["patient", "civility", "title"]);
    sql(&old, "ALTER TABLE patient RENAME COLUMN title TO civility");
    let otherwise = [
        ("prescriber", "city TEXT", "city VARCHAR(9)", "table `prescriber`: column `city`"),
        ("result", "unit TEXT", "unit TEXT NOT NULL", "table `result`: column `unit`"),
        ("patient", "portal_password TEXT", "portal_password BLOB", "table `patient`: column `portal_password`"),
        ("staff_user", "login TEXT", "login BLOB", "a table or view of the old system that is not in the scope"),
    ];
    for (table, before, after, told) in otherwise {
        declared(&old, (table, before, after));
        scene.extract().await.says(REFUSED, 611, &[told, "the plan was approved"]);
        declared(&old, (table, after, before));
    }
    declared(&old, ("prescriber", "city TEXT", "city VARCHAR(9)"));
    declared(&old, ("patient", "city TEXT", "city VARCHAR(9)"));
    declared(&old, ("patient", "civility TEXT", "civility VARCHAR(9)"));
    let several = "table `patient`: columns `city`, `civility`; table `prescriber`: column `city`";
    scene.extract().await.says(REFUSED, 611, &[several]);
    for (table, column) in [("prescriber", "city"), ("patient", "city"), ("patient", "civility")] {
        declared(&old, (table, &format!("{column} VARCHAR(9)"), &format!("{column} TEXT")));
    }

    let program = held(&old);
    scene.extract().await.says(UNREACHABLE, 402, &["SQLite does not answer", "another program holds the file"]);
    drop(program);

    assert_eq!(scene.given_up().await, [402, 402, 611, 311, 311, 611, 611, 611, 611, 611, 402]);
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_system_than_the_plans_is_not_looked_at() {
    let scene = Scene::set().await;
    let (source, target) = (scene.systems.source.identity(), scene.systems.sink.identity());
    let other = |identity: &str| identity.replace(".sqlite", ".else");

    super::ended(scene.extracting_from(&other(&source))).await.says(REFUSED, 610, &["old.sqlite", "old.else"]);
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    super::ended(scene.loading_into("oracle://host/lis")).await.says(REFUSED, 401, &["address"]);
    super::ended(scene.loading_into(&other(&target))).await.says(REFUSED, 630, &["new.sqlite", "new.else"]);

    assert!(scene.given_up().await.is_empty(), "nothing was begun");
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_system_that_is_not_as_it_was_approved_takes_nothing() {
    let scene = Scene::released().await;
    let new = scene.systems.new.clone();
    let aside = new.with_extension("aside");

    std::fs::rename(&new, &aside).unwrap();
    scene.load().await.says(UNREACHABLE, 402, &["new.sqlite does not answer"]);
    assert!(!new.exists(), "a target is never made");
    std::fs::rename(&aside, &new).unwrap();
    sql(&new, "ALTER TABLE import_request RENAME TO elsewhere");
    scene.load().await.says(REFUSED, 405, &["no table `import_request`"]);
    sql(&new, "ALTER TABLE elsewhere RENAME TO import_request; ALTER TABLE lazaret_load RENAME TO elsewhere");
    scene.load().await.says(REFUSED, 413, &["lazaret_load"]);
    sql(&new, "ALTER TABLE elsewhere RENAME TO lazaret_load; ALTER TABLE import_patient ADD COLUMN remark TEXT");
    scene.load().await.says(REFUSED, 636, &["changed since the plan was approved"]);
    sql(&new, "ALTER TABLE import_patient DROP COLUMN remark; ALTER TABLE import_patient RENAME COLUMN sex TO gender");
    scene.load().await.says(REFUSED, 406, &["table `import_patient`", "column `sex`"]);
    sql(&new, "ALTER TABLE import_patient RENAME COLUMN gender TO sex");
    declared(&new, ("import_prescriber", "city TEXT", "city INTEGER"));
    scene.load().await.says(REFUSED, 407, &["table `import_prescriber`", "column `city`"]);
    declared(&new, ("import_prescriber", "city INTEGER", "city TEXT"));
    sql(&new, "INSERT INTO import_prescriber (prescriber_id) VALUES (-1)");
    let occupied = super::ended(scene.loading_into(&scene.systems.sink.identity())).await;
    occupied.says(REFUSED, 409, &["table `import_prescriber`", "1 rows"]);
    sql(&new, "DELETE FROM import_prescriber");
    sql(&new, "CREATE UNIQUE INDEX only_one_of_each ON import_patient (civility)");
    scene.load().await.says(REFUSED, 411, &["table `import_patient`", "unique ", "rows", "keyed digest"]);
    assert_eq!(scene.rows("import_patient"), 0);
    sql(&new, "DROP INDEX only_one_of_each");
    let program = held(&new);
    scene.load().await.says(UNREACHABLE, 402, &["SQLite does not answer", "another program holds the file"]);
    drop(program);

    assert_eq!(scene.given_up().await, [402, 405, 413, 636, 406, 407, 409, 411, 402]);
    scene.to_the_end().await;
}
