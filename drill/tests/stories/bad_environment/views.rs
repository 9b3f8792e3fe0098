//! A view in a scope is read like a table. One that asks for something else than when the plan was approved is a changed
//! old system, though it has the same columns and as many rows.

use drill::{Name, World, write_file};
use futures::FutureExt;
use scope::{Dialect, Scope as Wanted};

use super::{REFUSED, Scene, command, ended, passphrase_file};
use crate::stories::databases::{self, Databases};

/// The system puts the wards together: what a story says to PostgreSQL stands in the log of all rooms.
const OLD: &str = "CREATE TABLE person (id BIGINT PRIMARY KEY, ward VARCHAR(20)); \
     INSERT INTO person VALUES (1, 'north' || '-v8Kd2q'), (2, 'south' || '-v8Kd2q');";
const WARDS: [&str; 2] = ["north-v8Kd2q", "south-v8Kd2q"];
const AS_APPROVED: [&str; 2] =
    ["shown AS SELECT id, ward FROM person WHERE id = 1", "beside AS SELECT ward FROM person"];
const ANEW: [&str; 2] =
    ["shown AS SELECT id, ward FROM person WHERE id = 2", "beside AS SELECT ward FROM person WHERE id = 2"];
const SCOPE: &str = "[[table]]\nname = 'shown'\ntarget = 'import_shown'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'ward', type = 'text' }]\n";

/// `replace` puts a view in the place of the one of its name.
async fn refused_until_it_is_as_it_was(scene: &Scene, (source, target): (&str, &str), replace: impl AsyncFn(&str)) {
    scene.world.plant_in("person", "ward", WARDS.map(str::to_owned));
    let ([shown, beside], [other_shown, other_beside]) = (AS_APPROVED, ANEW);
    replace(other_shown).await;
    let told = ["table `shown`: ", "what it asks for as a view", "the plan was approved"];
    scene.extracted_from(source).await.says(REFUSED, 611, &told);
    replace(shown).await;
    replace(other_beside).await;
    scene.extracted_from(source).await.says(
        REFUSED,
        611,
        &["a table or view of the old system that is not in the scope"],
    );
    replace(beside).await;

    assert_eq!(scene.given_up().await, [611, 611]);
    scene.extracted_from(source).await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    assert_eq!(scene.loaded_into(target).await.done()["equal"], true);
    scene.destroyed().await;
}

fn old() -> String {
    let [shown, beside] = AS_APPROVED;
    format!("{OLD} CREATE VIEW {shown}; CREATE VIEW {beside}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_sqlite_that_was_made_anew_since_the_approval_is_not_read() {
    let new = scope::target_ddl(&Wanted::parse(SCOPE).unwrap(), Dialect::Sqlite).unwrap();
    let scene = Scene::between_files(&old(), &new, SCOPE, &[]).await;
    let [source, target] = [scene.systems.source.identity(), scene.systems.sink.identity()];
    let at = |address: &str| rusqlite::Connection::open(address.strip_prefix("sqlite:").unwrap()).unwrap();
    refused_until_it_is_as_it_was(&scene, (&source, &target), async |view: &str| {
        let (name, _) = view.split_once(' ').unwrap();
        at(&source).execute_batch(&format!("DROP VIEW {name}; CREATE VIEW {view}")).unwrap();
    })
    .await;
    let arrived = at(&target).query_row("SELECT ward FROM import_shown", [], |row| row.get::<_, String>(0));
    assert_eq!(arrived.unwrap(), WARDS[0]);
}

async fn of_postgresql(databases: &Databases) {
    databases.on_postgres(&old()).await;
    databases.on_mariadb(&scope::target_ddl(&Wanted::parse(SCOPE).unwrap(), Dialect::MariaDb).unwrap()).await;
    let addresses = (databases.postgres.as_str(), databases.mariadb.as_str());
    let scene = Scene::between(addresses.0, addresses.1, SCOPE, &[]).await;
    let replace = async |view: &str| databases.on_postgres(&format!("CREATE OR REPLACE VIEW {view}")).await;
    refused_until_it_is_as_it_was(&scene, addresses, replace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_postgresql_that_was_made_anew_since_the_approval_is_not_read() {
    let name = "a_view_of_postgresql_that_was_made_anew_since_the_approval_is_not_read";
    databases::with(name, |databases| of_postgresql(databases).boxed_local()).await;
}

/// A view has no rows of its own that could stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_not_among_the_tables_that_stay_as_a_whole() {
    let world = World::start_as(false).await;
    world.plant_in("person", "ward", WARDS.map(str::to_owned));
    passphrase_file(&world);
    let (source, scope, report) = (world.path("old.sqlite"), world.path("scope.toml"), world.path("report.json"));
    rusqlite::Connection::open(&source).unwrap().execute_batch(&old()).unwrap();
    write_file(&scope, SCOPE.as_bytes());

    let source = format!("sqlite:{}", source.display());
    let [scope, report] = [&scope, &report].map(|path| path.to_str().unwrap());
    let checking = ["scope", "check", "--scope", scope, "--source", &source, "--out", report];
    let checked = ended(command(&world, Name::Operator, &checking)).await;
    assert_eq!(checked.done()["stays_whole"], serde_json::json!(["person"]));
}
