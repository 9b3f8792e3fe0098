//! The same with servers of databases: away, with an account or a password that they do not know, without the database.

use std::collections::BTreeMap;

use drill::{Name, Systems, World, write_file};
use futures::FutureExt;
use scope::Scope as Wanted;

use super::line::Line;
use super::{AUTHENTICATION, Ended, REFUSED, Scene, UNREACHABLE, ended};
use crate::stories::databases::{self, Databases, Server};

/// Between which servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) old: Server,
    pub(super) new: Server,
}

pub(super) const THERE: Way = Way { old: Server::MariaDb, new: Server::Postgres };
pub(super) const BACK: Way = Way { old: Server::Postgres, new: Server::MariaDb };

/// The old system. Its server puts the labels together: what a story says to PostgreSQL stands in the log of all
/// rooms.
const OLD: &str = "CREATE TABLE analyser (analyser_id BIGINT PRIMARY KEY, label VARCHAR(80) NOT NULL); \
     INSERT INTO analyser VALUES (1, CONCAT('Hématologie', '-v8Kd2x')), (2, CONCAT('Biochimie', '-v8Kd2x'))";
const LABELS: [&str; 2] = ["Hématologie-v8Kd2x", "Biochimie-v8Kd2x"];
const SCOPE: &str = "[[table]]\nname = 'analyser'\ntarget = 'import_analyser'\nkey = ['analyser_id']\nleave = []\n\
     take = [{ column = 'analyser_id', type = 'int64' }, { column = 'label', type = 'text' }]\n";

/// How an address of this server begins.
fn begins(server: Server) -> &'static str {
    if server == Server::MariaDb { "mariadb://127.0.0.1:" } else { "postgres://127.0.0.1:" }
}

/// Declares the label longer than it was, or as it was.
fn label(server: Server, length: u32) -> String {
    match server {
        Server::MariaDb => format!("ALTER TABLE analyser MODIFY label VARCHAR({length}) NOT NULL"),
        Server::Postgres => format!("ALTER TABLE analyser ALTER COLUMN label TYPE VARCHAR({length})"),
    }
}

const LET_IN: &str = "does not let this account in";

/// An address without its password, over a line; and the password.
pub(super) fn over(address: &str, line: &Line) -> (String, String) {
    let (scheme, rest) = address.split_once("://").unwrap();
    let (account, rest) = rest.rsplit_once('@').unwrap();
    let (name, word) = account.split_once(':').unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    (format!("{scheme}://{name}@127.0.0.1:{}/{database}", line.port), word.to_owned())
}

pub(super) async fn line_to(address: &str) -> Line {
    let host = address.rsplit_once('@').unwrap().1;
    Line::to(host.split_once('/').unwrap().0.to_owned()).await
}

/// Both systems on servers, each with a password, in files too.
pub(super) async fn scene(old: (&str, &str), new: (&str, &str), scope: &str) -> Scene {
    let world = World::start_as(false).await;
    for (name, word) in [("old.word", old.1), ("new.word", new.1), ("wrong.word", "wrong")] {
        write_file(&world.path(name), word.as_bytes());
    }
    let credential = |word: &str| Some(connectors::Credential::new(word.to_owned()));
    let systems = Systems {
        source: connectors::connect_source(old.0, credential(old.1)).unwrap(),
        sink: connectors::connect_sink(new.0, credential(new.1)).unwrap(),
        ..world.systems(1)
    };
    Scene::of(world, systems, scope).await
}

/// The control of the search at the end: it meets both labels in either system.
async fn labels_are_met(world: &World, databases: &Databases, way: Way) {
    for (server, table) in [(way.old, "analyser"), (way.new, "import_analyser")] {
        let held = databases.texts(server, table, "label").await;
        let both = BTreeMap::from([("analyser.label".to_owned(), 2)]);
        assert_eq!(world.met_in(held.as_bytes()), both, "the control: met in {table}");
    }
}

/// How an account is kept out whose password is right, and how it is let in again, one way after the other; and what is said
/// of it meanwhile.
fn shut(server: Server, account: &str, word: &str) -> (Vec<[String; 2]>, i32, u64, &'static str) {
    match server {
        Server::MariaDb => {
            let lock = ["ACCOUNT LOCK", "ACCOUNT UNLOCK"].map(|what| format!("ALTER USER {account} {what}"));
            let again = format!("IDENTIFIED BY '{word}'");
            let expire = ["PASSWORD EXPIRE", &again].map(|what| format!("ALTER USER {account} {what}"));
            (vec![lock, expire], AUTHENTICATION, 423, LET_IN)
        }
        Server::Postgres => {
            let grant = ["REVOKE CONNECT ON DATABASE %I FROM PUBLIC", "GRANT CONNECT ON DATABASE %I TO PUBLIC"]
                .map(|what| format!("DO $$ BEGIN EXECUTE format('{what}', current_database()); END $$"));
            (vec![grant], REFUSED, 404, "does not allow this account to open the database")
        }
    }
}

/// The codes by which it is told.
async fn kept_out(databases: &Databases, (server, address): (Server, &str), load: impl AsyncFn() -> Ended) -> Vec<u16> {
    let account = address.split_once("://").unwrap().1.rsplit_once('@').unwrap().0;
    let (account, word) = account.split_once(':').unwrap();
    let (ways, status, code, words) = shut(server, account, word);
    let mut told = Vec::new();
    for [close, open] in ways {
        databases.on(server, &close).await;
        load().await.says(status, code, &[words]);
        databases.on(server, &open).await;
        told.push(u16::try_from(code).unwrap());
    }
    told
}

async fn told(databases: &Databases, way: Way) {
    let wanted = Wanted::parse(SCOPE).unwrap();
    databases.on(way.old, OLD).await;
    databases.on(way.new, &scope::target_ddl(&wanted, way.new.dialect()).unwrap()).await;
    let (reader, writer) = (databases.reader_on(way.old, &wanted).await, databases.writer_on(way.new).await);
    let lines = [line_to(&reader).await, line_to(&writer).await];
    let ((old, old_word), (new, new_word)) = (over(&reader, &lines[0]), over(&writer, &lines[1]));
    let scene = scene((&old, &old_word), (&new, &new_word), SCOPE).await;
    scene.world.plant_in("analyser", "label", LABELS.map(str::to_owned));
    let extract = |source: &str, word: &str| {
        scene.now();
        let mut command = scene.extracting_from(source);
        command.arg("--source-credential").arg(scene.world.path(word));
        ended(command)
    };
    let load = |target: &str, word: &str| {
        scene.now();
        let mut command = scene.loading_into(target);
        command.arg("--target-credential").arg(scene.world.path(word));
        ended(command)
    };
    let stranger = |address: &str| {
        let (scheme, rest) = address.split_once("://").unwrap();
        format!("{scheme}://nobody@{}", rest.rsplit_once('@').unwrap().1)
    };

    let (from, to) = (begins(way.old), begins(way.new));

    lines[0].cut();
    extract(&old, "old.word").await.says(UNREACHABLE, 402, &[from, "does not answer"]);
    lines[0].mend();
    extract(&old, "wrong.word").await.says(AUTHENTICATION, 423, &[from, LET_IN]);
    extract(&stranger(&old), "wrong.word").await.says(AUTHENTICATION, 423, &[from, LET_IN]);
    ended(scene.extracting_from(&old)).await.says(AUTHENTICATION, 423, &[from, LET_IN]);
    databases.on(way.old, "ALTER TABLE analyser RENAME TO elsewhere").await;
    extract(&old, "old.word").await.says(REFUSED, 611, &["table `analyser`", "not there"]);
    databases.on(way.old, "ALTER TABLE elsewhere RENAME TO analyser").await;
    databases.on(way.old, &label(way.old, 90)).await;
    extract(&old, "old.word").await.says(REFUSED, 611, &["table `analyser`: column `label`"]);
    databases.on(way.old, &label(way.old, 80)).await;
    assert_eq!(scene.given_up().await, [402, 423, 423, 423, 611, 611]);
    extract(&old, "old.word").await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();

    lines[1].cut();
    load(&new, "new.word").await.says(UNREACHABLE, 402, &[to, "does not answer"]);
    lines[1].mend();
    load(&new, "wrong.word").await.says(AUTHENTICATION, 423, &[to, LET_IN]);
    load(&stranger(&new), "wrong.word").await.says(AUTHENTICATION, 423, &[to, LET_IN]);
    ended(scene.loading_into(&new)).await.says(AUTHENTICATION, 423, &[to, LET_IN]);
    let kept_out = kept_out(databases, (way.new, &writer), async || load(&new, "new.word").await).await;
    databases.on(way.new, "ALTER TABLE import_analyser RENAME TO elsewhere").await;
    load(&new, "new.word").await.says(REFUSED, 405, &["no table `import_analyser`"]);
    databases.on(way.new, "ALTER TABLE elsewhere RENAME TO import_analyser").await;
    databases.on(way.new, "ALTER TABLE import_analyser ADD COLUMN remark VARCHAR(9)").await;
    load(&new, "new.word").await.says(REFUSED, 636, &["changed since the plan was approved"]);
    databases.on(way.new, "ALTER TABLE import_analyser DROP COLUMN remark").await;
    databases.on(way.new, "ALTER TABLE import_analyser ADD CONSTRAINT short CHECK (length(label) < 18)").await;
    load(&new, "new.word").await.says(
        REFUSED,
        411,
        &["`import_analyser`", "check short on `label`: 1 rows", "keyed digest"],
    );
    databases.on(way.new, "ALTER TABLE import_analyser DROP CONSTRAINT short").await;
    let first = [402, 423, 423, 423, 611, 611, 402, 423, 423, 423];
    assert_eq!(scene.given_up().await, [&first[..], &kept_out, &[405, 636, 411]].concat());
    assert_eq!(load(&new, "new.word").await.done()["equal"], true);
    scene.destroyed().await;
    labels_are_met(&scene.world, databases, way).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_or_does_not_know_who_asks_is_told_apart() {
    let name = "a_database_that_is_away_or_does_not_know_who_asks_is_told_apart";
    databases::with(name, |databases| told(databases, THERE).boxed_local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_or_does_not_know_who_asks_is_told_apart_the_other_way_too() {
    let name = "a_database_that_is_away_or_does_not_know_who_asks_is_told_apart_the_other_way_too";
    databases::with(name, |databases| told(databases, BACK).boxed_local()).await;
}

/// An address that names no database is told so, whoever asks.
async fn names_none(databases: &Databases) {
    let wanted = Wanted::parse(SCOPE).unwrap();
    databases.on_mariadb(OLD).await;
    let reader = databases.reader_on(Server::MariaDb, &wanted).await;
    let world = World::start_as(false).await;
    world.sealed_beside().await;
    super::passphrase_file(&world);

    let known = "answers and has no such database";
    for (address, code, words) in [
        (&databases.mariadb, 424, ["mariadb://127.0.0.1:", known]),
        (&databases.postgres, 424, ["postgres://127.0.0.1:", known]),
        // To whoever may see no database of that name, MariaDB does not say whether there is one.
        (&reader, 404, ["mariadb://127.0.0.1:", "does not allow this account to open the database"]),
    ] {
        let nowhere = format!("{}/{}_not", address.rsplit_once('/').unwrap().0, databases.account());
        let draft = world.path("draft.toml");
        let drafting = ["scope", "draft", "--source", &nowhere, "--out", draft.to_str().unwrap()];
        ended(super::command(&world, Name::Engineer, &drafting)).await.says(REFUSED, code, &words);
        assert!(!draft.exists());
    }
}

/// Somebody took both databases away since the plan was approved.
async fn not_there(databases: &Databases, way: Way) {
    let ddl = scope::target_ddl(&Wanted::parse(SCOPE).unwrap(), way.new.dialect()).unwrap();
    databases.on(way.old, OLD).await;
    databases.on(way.new, &ddl).await;
    let world = World::start_as(false).await;
    let (source, target) = (databases.at(way.old), databases.at(way.new));
    let systems = Systems {
        source: connectors::connect_source(source, None).unwrap(),
        sink: connectors::connect_sink(target, None).unwrap(),
        ..world.systems(1)
    };
    let scene = Scene::of(world, systems, SCOPE).await;
    scene.world.plant_in("analyser", "label", LABELS.map(str::to_owned));
    let extract = || {
        scene.now();
        ended(scene.extracting_from(source))
    };
    let load = || {
        scene.now();
        ended(scene.loading_into(target))
    };

    databases.away(way.old, true).await;
    extract().await.says(REFUSED, 424, &[begins(way.old), "no such database"]);
    databases.away(way.old, false).await;
    databases.on(way.old, OLD).await;
    extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    databases.away(way.new, true).await;
    load().await.says(REFUSED, 424, &[begins(way.new), "no such database"]);
    databases.away(way.new, false).await;
    databases.on(way.new, &ddl).await;

    assert_eq!(scene.given_up().await, [424, 424]);
    assert_eq!(load().await.done()["equal"], true);
    scene.destroyed().await;
    labels_are_met(&scene.world, databases, way).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_names_no_database_is_told_apart_from_one_that_nobody_answers() {
    let name = "an_address_that_names_no_database_is_told_apart_from_one_that_nobody_answers";
    databases::with(name, |databases| names_none(databases).boxed_local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_and_has_no_such_database_is_told_apart_from_one_that_is_away() {
    let name = "a_server_that_answers_and_has_no_such_database_is_told_apart_from_one_that_is_away";
    databases::with(name, |databases| not_there(databases, THERE).boxed_local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_no_such_database_is_told_apart_the_other_way_too() {
    let name = "a_server_that_has_no_such_database_is_told_apart_the_other_way_too";
    databases::with(name, |databases| not_there(databases, BACK).boxed_local()).await;
}
