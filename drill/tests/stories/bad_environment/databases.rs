//! The same with servers of databases: away, with an account or a password that they do not know, without the database.

use drill::{Name, Systems, World, write_file};
use futures::FutureExt;
use scope::{Account, Dialect};

use super::line::Line;
use super::{AUTHENTICATION, REFUSED, Scene, UNREACHABLE, ended};
use crate::stories::databases::{self, Databases};

/// The old system.
const OLD: &str = "CREATE TABLE analyser (analyser_id BIGINT PRIMARY KEY, label VARCHAR(80) NOT NULL); \
     INSERT INTO analyser VALUES (1, 'Hématologie'), (2, 'Biochimie')";
const SCOPE: &str = "[[table]]\nname = 'analyser'\ntarget = 'import_analyser'\nkey = ['analyser_id']\nleave = []\n\
     take = [{ column = 'analyser_id', type = 'int64' }, { column = 'label', type = 'text' }]\n";

/// An address without its password, over a line; and the password.
fn over(address: &str, line: &Line) -> (String, String) {
    let (scheme, rest) = address.split_once("://").unwrap();
    let (account, rest) = rest.rsplit_once('@').unwrap();
    let (name, word) = account.split_once(':').unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    (format!("{scheme}://{name}@127.0.0.1:{}/{database}", line.port), word.to_owned())
}

async fn line_to(address: &str) -> Line {
    let host = address.rsplit_once('@').unwrap().1;
    Line::to(host.split_once('/').unwrap().0.to_owned()).await
}

async fn scene(old: (&str, &str), new: (&str, &str)) -> Scene {
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
    Scene::of(world, systems, SCOPE).await
}

async fn told(databases: &Databases) {
    let wanted = scope::Scope::parse(SCOPE).unwrap();
    databases.on_mariadb(OLD).await;
    databases.on_postgres(&scope::target_ddl(&wanted, Dialect::Postgres).unwrap()).await;
    let grants = scope::grants(&wanted, Dialect::MariaDb, Account::local(databases.account())).unwrap();
    let (reader, writer) = (databases.reader(&grants).await, databases.writer().await);
    let lines = [line_to(&reader).await, line_to(&writer).await];
    let ((old, old_word), (new, new_word)) = (over(&reader, &lines[0]), over(&writer, &lines[1]));
    let scene = scene((&old, &old_word), (&new, &new_word)).await;
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

    lines[0].cut();
    extract(&old, "old.word").await.says(UNREACHABLE, 402, &["mariadb://127.0.0.1:", "does not answer"]);
    lines[0].mend();
    extract(&old, "wrong.word").await.says(AUTHENTICATION, 423, &["mariadb://127.0.0.1:", "password"]);
    extract(&stranger(&old), "wrong.word").await.says(AUTHENTICATION, 423, &["mariadb://127.0.0.1:", "password"]);
    ended(scene.extracting_from(&old)).await.says(AUTHENTICATION, 423, &["mariadb://127.0.0.1:", "password"]);
    databases.on_mariadb("ALTER TABLE analyser MODIFY label VARCHAR(90) NOT NULL").await;
    extract(&old, "old.word").await.says(REFUSED, 611, &["table `analyser`: column `label`"]);
    databases.on_mariadb("ALTER TABLE analyser MODIFY label VARCHAR(80) NOT NULL").await;
    assert_eq!(scene.given_up().await, [402, 423, 423, 423, 611]);
    extract(&old, "old.word").await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();

    lines[1].cut();
    load(&new, "new.word").await.says(UNREACHABLE, 402, &["postgres://127.0.0.1:", "does not answer"]);
    lines[1].mend();
    load(&new, "wrong.word").await.says(AUTHENTICATION, 423, &["postgres://127.0.0.1:", "password"]);
    load(&stranger(&new), "wrong.word").await.says(AUTHENTICATION, 423, &["postgres://127.0.0.1:", "password"]);
    ended(scene.loading_into(&new)).await.says(AUTHENTICATION, 423, &["postgres://127.0.0.1:", "password"]);
    databases.on_postgres("ALTER TABLE import_analyser RENAME TO elsewhere").await;
    load(&new, "new.word").await.says(REFUSED, 405, &["no table `import_analyser`"]);
    databases.on_postgres("ALTER TABLE elsewhere RENAME TO import_analyser").await;
    databases.on_postgres("ALTER TABLE import_analyser ADD CONSTRAINT short CHECK (length(label) < 10)").await;
    load(&new, "new.word").await.says(REFUSED, 411, &["`import_analyser`", "check short: 1 rows", "keyed digest"]);
    databases.on_postgres("ALTER TABLE import_analyser DROP CONSTRAINT short").await;
    assert_eq!(scene.given_up().await, [402, 423, 423, 423, 611, 402, 423, 423, 423, 405, 411]);
    assert_eq!(load(&new, "new.word").await.done()["equal"], true);
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_or_does_not_know_who_asks_is_told_apart() {
    let name = "a_database_that_is_away_or_does_not_know_who_asks_is_told_apart";
    databases::with(name, |databases| told(databases).boxed_local()).await;
}

/// The address names no database; or somebody moved both since the plan was approved.
async fn not_there(databases: &Databases) {
    let wanted = scope::Scope::parse(SCOPE).unwrap();
    databases.on_mariadb(OLD).await;
    databases.on_postgres(&scope::target_ddl(&wanted, Dialect::Postgres).unwrap()).await;
    let grants = scope::grants(&wanted, Dialect::MariaDb, Account::local(databases.account())).unwrap();
    let reader = databases.reader(&grants).await;
    let world = World::start_as(false).await;
    let systems = Systems {
        source: connectors::connect_source(&databases.mariadb, None).unwrap(),
        sink: connectors::connect_sink(&databases.postgres, None).unwrap(),
        ..world.systems(1)
    };
    let scene = Scene::of(world, systems, SCOPE).await;

    let known = "answers and has no such database";
    for (address, code, words) in [
        (&databases.mariadb, 424, ["mariadb://127.0.0.1:", known]),
        (&databases.postgres, 424, ["postgres://127.0.0.1:", known]),
        // To whoever may see no database of that name, MariaDB does not say whether there is one.
        (&reader, 404, ["does not allow this account", "opening the database"]),
    ] {
        let nowhere = format!("{}/{}_not", address.rsplit_once('/').unwrap().0, databases.account());
        let draft = scene.world.path("draft.toml");
        let drafting = ["scope", "draft", "--source", &nowhere, "--out", draft.to_str().unwrap()];
        ended(super::command(&scene.world, Name::Engineer, &drafting)).await.says(REFUSED, code, &words);
        assert!(!draft.exists());
    }

    let extract = || {
        scene.now();
        ended(scene.extracting_from(&databases.mariadb))
    };
    let load = || {
        scene.now();
        ended(scene.loading_into(&databases.postgres))
    };

    databases.away_from_mariadb(true).await;
    extract().await.says(REFUSED, 424, &["mariadb://127.0.0.1:", "no such database"]);
    databases.away_from_mariadb(false).await;
    databases.on_mariadb(OLD).await;
    extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    databases.away_from_postgres(true).await;
    load().await.says(REFUSED, 424, &["postgres://127.0.0.1:", "no such database"]);
    databases.away_from_postgres(false).await;

    assert_eq!(scene.given_up().await, [424, 424]);
    assert_eq!(load().await.done()["equal"], true);
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_and_has_no_such_database_is_told_apart_from_one_that_is_away() {
    let name = "a_server_that_answers_and_has_no_such_database_is_told_apart_from_one_that_is_away";
    databases::with(name, |databases| not_there(databases).boxed_local()).await;
}
