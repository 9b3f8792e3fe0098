//! Rows that the new system's own constraints refuse: counted, and the first of them named by the keyed digest of their
//! key, the same for the same row, whatever it breaks.

use std::collections::{BTreeMap, BTreeSet};

use drill::{Systems, World};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use lexicon::Trouble;

use super::Scene;
use crate::stories::databases::{self, Databases};

const OLD: &str = "CREATE TABLE analyser (analyser_id INTEGER PRIMARY KEY, kind TEXT, bench_id INTEGER); \
     INSERT INTO analyser VALUES (71, 'haematology-v8Kd2x', 1), \
     (72, 'haematology-v8Kd2x', 2), (73, 'serology-v8Kd2x', 2)";
const NEW: [&str; 4] = [
    "CREATE TABLE bench (bench_id BIGINT PRIMARY KEY)",
    "INSERT INTO bench VALUES (2)",
    "CREATE TABLE import_analyser (analyser_id BIGINT PRIMARY KEY, kind VARCHAR(80), bench_id BIGINT, \
       FOREIGN KEY (bench_id) REFERENCES bench (bench_id))",
    "CREATE TABLE lazaret_load (consignment VARCHAR(32) NOT NULL, target_table VARCHAR(128) NOT NULL, \
       attempt BIGINT NOT NULL, row_count BIGINT NOT NULL, PRIMARY KEY (consignment, target_table))",
];
const SCOPE: &str = "[[table]]\nname = 'analyser'\ntarget = 'import_analyser'\nkey = ['analyser_id']\nleave = []\n\
     take = [{ column = 'analyser_id', type = 'int64' }, { column = 'kind', type = 'text' }, \
     { column = 'bench_id', type = 'int64' }]\n";

type Run<'a> = &'a dyn Fn(String) -> LocalBoxFuture<'a, ()>;

/// The keyed digests that a load names when it is refused for this constraint.
async fn named(scene: &Scene, constraint: &str) -> BTreeSet<String> {
    let refused = scene.world.load(&scene.plan, scene.consignment, scene.systems.sink.as_ref()).await.unwrap_err();
    let Trouble::Refusal(refusal) = refused else { unreachable!("no refusal: {refused}") };
    assert!(refusal.code.0 == 411 && refusal.message.contains(constraint), "{refusal}");
    assert!(!refusal.message.contains("ology"), "{refusal}");
    let digests = refusal.message.rsplit_once("keyed digest of their key: ").unwrap().1;
    let digests: BTreeSet<String> = digests.split(", ").map(str::to_owned).collect();
    assert!(digests.iter().all(|digest| digest.len() == 32), "{digests:?}");
    digests
}

async fn refused_and_mended(address: &str, run: Run<'_>, [drop_index, has_checks]: [&str; 2]) {
    let world = World::start().await;
    world.plant_in("analyser", "kind", ["haematology-v8Kd2x", "serology-v8Kd2x"].map(str::to_owned));
    let mut systems: Systems = world.systems(1);
    let old = world.system("analysers.sqlite");
    let analysers = rusqlite::Connection::open(&old).unwrap();
    analysers.execute_batch(OLD).unwrap();
    let kinds: String = analysers.query_row("SELECT group_concat(kind) FROM analyser", [], |row| row.get(0)).unwrap();
    let met = BTreeMap::from([("analyser.kind".to_owned(), 3)]);
    assert_eq!(world.met_in(kinds.as_bytes()), met, "the control: met in the old system");
    drop(analysers);
    for sql in NEW {
        run(sql.to_owned()).await;
    }
    systems.source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
    systems.sink = connectors::connect_sink(address, None).unwrap();
    let scene = Scene::of(world, systems, SCOPE).await;
    scene.world.extract(&scene.plan, scene.consignment, scene.systems.source.as_ref()).await.unwrap();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();

    let orphan = named(&scene, " on `bench_id`: 1 rows").await;
    assert_eq!(orphan.len(), 1);
    run("INSERT INTO bench VALUES (1)".to_owned()).await;
    run("CREATE UNIQUE INDEX one_kind ON import_analyser (kind)".to_owned()).await;
    let same = named(&scene, "unique").await;
    run(drop_index.to_owned()).await;
    if has_checks.is_empty() {
        // SQLite keeps the first of two; its second is refused.
        assert_eq!(same.len(), 1);
    } else {
        assert!(same.len() == 2 && same.is_superset(&orphan), "{same:?}, {orphan:?}");
        run("ALTER TABLE import_analyser ADD CONSTRAINT later CHECK (analyser_id > 71)".to_owned()).await;
        assert_eq!(named(&scene, "check later on `analyser_id`: 1 rows").await, orphan);
        run("ALTER TABLE import_analyser DROP CONSTRAINT later".to_owned()).await;
    }
    let report = scene.world.load(&scene.plan, scene.consignment, scene.systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_breaks_a_constraint_of_sqlite_is_named_by_keyed_digest() {
    let folder = drill::folder();
    let new = folder.path().join("constrained.sqlite");
    let run = |sql: String| {
        rusqlite::Connection::open(&new).unwrap().execute_batch(&sql).unwrap();
        async {}.boxed_local()
    };
    refused_and_mended(&format!("sqlite:{}", new.display()), &run, ["DROP INDEX one_kind", ""]).await;
}

async fn of_servers(databases: &Databases) {
    let run = |sql: String| async move { databases.on_postgres(&sql).await }.boxed_local();
    refused_and_mended(&databases.postgres, &run, ["DROP INDEX one_kind", "checks"]).await;
    let run = |sql: String| async move { databases.on_mariadb(&sql).await }.boxed_local();
    refused_and_mended(&databases.mariadb, &run, ["DROP INDEX one_kind ON import_analyser", "checks"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_breaks_a_constraint_of_a_server_is_named_by_keyed_digest() {
    let name = "a_row_that_breaks_a_constraint_of_a_server_is_named_by_keyed_digest";
    databases::with(name, |databases| of_servers(databases).boxed_local()).await;
}
