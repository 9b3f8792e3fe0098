//! What the old system holds and no parcel can: met by the extraction.

use futures::FutureExt;
use scope::{Dialect, Scope as Wanted};

use super::{Bad, KEY, Scene, logs, nothing_in};
use crate::stories::databases::{self, Databases};

/// Tables with a key, one without, one without rows, and one whose every name is an attack.
const OLD: &str = "
CREATE TABLE visit (id BIGINT PRIMARY KEY, seen DATE);
INSERT INTO visit VALUES (1, '2020-01-02'), (730194401, '2020-01-03');
CREATE TABLE assay (id BIGINT PRIMARY KEY, measure DECIMAL(65,20));
INSERT INTO assay VALUES (1, 0.5), (730194401, 1.25);
CREATE TABLE counter (id BIGINT PRIMARY KEY, reading BIGINT UNSIGNED);
INSERT INTO counter VALUES (1, 9223372036854775807), (730194401, 2);
CREATE TABLE tube (id BIGINT PRIMARY KEY, label VARCHAR(40) CHARACTER SET latin1);
INSERT INTO tube VALUES (1, 'Hématologie'), (730194401, 'B');
CREATE TABLE vial (id BIGINT PRIMARY KEY, label VARCHAR(40) CHARACTER SET cp1251);
INSERT INTO vial VALUES (1, 'Петр?'), (730194401, 'B');
CREATE TABLE blot (id BIGINT PRIMARY KEY, stain VARBINARY(40));
INSERT INTO blot VALUES (1, x'e9'), (730194401, 'B');
CREATE TABLE rack (id BIGINT, full TINYINT);
INSERT INTO rack VALUES (1, 1), (1, 1), (730194401, 0);
CREATE TABLE shelf (id BIGINT PRIMARY KEY, room VARCHAR(9));
CREATE TABLE `a\"; DROP TABLE visit; --` (`id` BIGINT PRIMARY KEY, `b\"; drop` VARCHAR(9), `c'` INT);
INSERT INTO `a\"; DROP TABLE visit; --` VALUES (1, 'x\"; --', 7), (730194401, NULL, NULL);
";

const SCOPE: &str = r#"
[[table]]
name = "visit"
target = "import_visit"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "seen", type = "date" } ]
[[table]]
name = "assay"
target = "import_assay"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "measure", type = "decimal(20,4)" } ]
[[table]]
name = "counter"
target = "import_counter"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "reading", type = "int64" } ]
[[table]]
name = "tube"
target = "import_tube"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "label", type = "text", charset = "latin1" } ]
[[table]]
name = "vial"
target = "import_vial"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "label", type = "text" } ]
[[table]]
name = "blot"
target = "import_blot"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "stain", type = "text", charset = "cp1252" } ]
[[table]]
name = "rack"
target = "import_rack"
key = []
take = [ { column = "id", type = "int64" }, { column = "full", type = "bool" } ]
[[table]]
name = "shelf"
target = "import_shelf"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "room", type = "text" } ]
[[table]]
name = "a\"; DROP TABLE visit; --"
target = "b\"; DROP TABLE import_visit; --"
key = ["id"]
take = [ { column = "id", type = "int64" }, { column = "b\"; drop", type = "text" }, { column = "c'", type = "int64" } ]
"#;

const BAD: [Bad; 8] = [
    Bad {
        table: "visit",
        column: "seen",
        value: "'0000-00-00'",
        good: "'2020-01-03'",
        code: 408,
        says: "1 zero dates",
        hidden: &[],
    },
    Bad {
        table: "visit",
        column: "seen",
        value: "'1987-00-23'",
        good: "'2020-01-03'",
        code: 408,
        says: "1 zero dates",
        hidden: &["1987-00-23"],
    },
    Bad {
        table: "assay",
        column: "measure",
        value: "73019448812345678901234567.5",
        good: "1.25",
        code: 408,
        says: "1 numbers with more digits",
        hidden: &["73019448812345678901234567"],
    },
    Bad {
        table: "counter",
        column: "reading",
        value: "18446744073709551614",
        good: "2",
        code: 408,
        says: "1 values out of range",
        hidden: &["18446744073709551614"],
    },
    Bad {
        table: "tube",
        column: "label",
        value: "x'5a517273373330313934343831778181'",
        good: "'B'",
        code: 314,
        says: "1 values",
        hidden: &["ZQrs7301944"],
    },
    Bad {
        table: "vial",
        column: "label",
        value: "x'5a5172763733303139343438317798'",
        good: "'B'",
        code: 408,
        says: "1 texts that are not valid in their character set",
        hidden: &["ZQrv7301944"],
    },
    Bad {
        table: "blot",
        column: "stain",
        value: "x'5a517478373330313934343831779d9d'",
        good: "'B'",
        code: 314,
        says: "1 values",
        hidden: &["ZQtx7301944"],
    },
    Bad {
        table: "rack",
        column: "full",
        value: "77",
        good: "0",
        code: 408,
        says: "1 values of another type",
        hidden: &[],
    },
];

async fn refused_and_carried(databases: &Databases) {
    let (source, target, logs) = (&databases.mariadb, &databases.postgres, logs());
    databases.on_mariadb(OLD).await;
    let wanted = Wanted::parse(SCOPE).unwrap();
    databases.on_postgres(&scope::target_ddl(&wanted, Dialect::Postgres).unwrap()).await;
    let scene = Scene::between(source, target, SCOPE, &BAD).await;

    for bad in &BAD {
        databases.on_mariadb(&bad.sql(true)).await;
        bad.is_told(bad.table, &scene.extracted_from(source).await, bad.table != "rack");
        scene.nothing_is_closed().await;
        databases.on_mariadb(&bad.sql(false)).await;
    }

    let codes: Vec<u64> = scene.given_up().await.into_iter().map(u64::from).collect();
    assert_eq!(codes, BAD.map(|bad| bad.code));
    scene.extracted_from(source).await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    assert_eq!(scene.loaded_into(target).await.done()["equal"], true);
    let arrived = databases::postgres(target).await;
    let hostile = format!(
        "SELECT (SELECT count(*) FROM import_visit), (SELECT count(*) FROM import_rack), \
         (SELECT count(*) FROM import_shelf), \"b\"\"; drop\", \"c'\", \
         (SELECT label FROM import_vial WHERE id <> {KEY}) FROM \"b\"\"; DROP TABLE import_visit; --\" \
         WHERE id <> {KEY}"
    );
    let row = arrived.query_one(&hostile, &[]).await.unwrap();
    let counts: [i64; 3] = [0, 1, 2].map(|at| row.get(at));
    assert_eq!((counts, row.get(3), row.get(4)), ([2, 3, 0], "x\"; --", 7_i64));
    assert_eq!(row.get::<_, &str>(5), "Петр?");
    nothing_in(&logs, &BAD);
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_parcel_can_hold_is_refused_by_name_and_once_it_is_mended_everything_arrives() {
    let name = "what_no_parcel_can_hold_is_refused_by_name_and_once_it_is_mended_everything_arrives";
    databases::with(name, |databases| refused_and_carried(databases).boxed_local()).await;
}
