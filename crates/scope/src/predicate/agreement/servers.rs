use std::cell::RefCell;
use std::env;
use std::fmt::Write;
use std::str::FromStr;

use lexicon::{Entropy, SystemEntropy};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, Connection};
use tokio::runtime::{Builder, Runtime};

use super::world::{World, question};
use crate::Dialect;

/// Says past the test harness, which keeps what a passing test prints, what was not run.
macro_rules! skipped {
    ($($text:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {}\n", format_args!($($text)*))).unwrap()
    };
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn database() -> String {
    let system = SystemEntropy::new();
    let entropy: &dyn Entropy = &system;
    entropy.bytes::<8>().unwrap().iter().fold("lazaret_scope_".to_owned(), |mut name, byte| {
        write!(name, "{byte:02x}").unwrap();
        name
    })
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 384, failure_persistence: None, ..Config::default() })
}

#[test]
fn postgres_and_a_batch_decide_alike() {
    let Ok(url) = env::var("LAZARET_TEST_POSTGRES") else {
        skipped!("postgres_and_a_batch_decide_alike (LAZARET_TEST_POSTGRES is not set)");
        return;
    };
    let runtime = runtime();
    let connect = |config: tokio_postgres::Config| {
        runtime.block_on(async {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        })
    };
    let mut config = tokio_postgres::Config::from_str(&url).unwrap();
    let (name, owner) = (database(), connect(config.clone()));
    // A collation that is not "C", so that the comparison by bytes is put to the test.
    let created = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'fr' LOCALE 'C.UTF-8'"
    );
    let by_language = runtime.block_on(owner.batch_execute(&created)).is_ok();
    if !by_language {
        skipped!(
            "postgres_and_a_batch_decide_alike where texts do not sort by bytes (this server has no ICU collations)"
        );
        let plain = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
        runtime.block_on(owner.batch_execute(&plain)).unwrap();
    }
    let client = connect(config.dbname(&name).clone());
    let sorts = runtime.block_on(client.query_one("SELECT 'a' < 'B'", &[])).unwrap();
    assert_eq!(sorts.get::<_, bool>(0), by_language, "the database does not sort as it was made to");
    let world = World::new(Dialect::Postgres);
    runtime.block_on(client.batch_execute(&world.statements(Dialect::Postgres).join(";\n"))).unwrap();
    let outcome = runner().run(&world.predicates(), |predicate| {
        let scope = world.scope(&predicate);
        let rows = runtime.block_on(client.query(&question(&scope, Dialect::Postgres), &[]));
        let rows = rows.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), world.evaluated(&scope));
        Ok(())
    });
    drop(client);
    runtime.block_on(owner.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))).unwrap();
    outcome.unwrap();
}

#[test]
fn mariadb_and_a_batch_decide_alike() {
    let Ok(url) = env::var("LAZARET_TEST_MARIADB") else {
        skipped!("mariadb_and_a_batch_decide_alike (LAZARET_TEST_MARIADB is not set)");
        return;
    };
    let runtime = runtime();
    let name = database();
    let mut connection = runtime.block_on(sqlx::MySqlConnection::connect(&url)).unwrap();
    let mut run = |sql: String| runtime.block_on(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection)).map(drop);
    run(format!("CREATE DATABASE {name}")).unwrap();
    run(format!("USE {name}")).unwrap();
    // An old server's settings: zero days are stored, and a backslash escapes.
    run("SET SESSION sql_mode = '', time_zone = '+00:00', NAMES utf8mb4".to_owned()).unwrap();
    let world = World::new(Dialect::MariaDb);
    let made = world.statements(Dialect::MariaDb).into_iter().try_for_each(&mut run);
    let shared = RefCell::new(connection);
    let outcome = runner().run(&world.predicates(), |predicate| {
        let scope = world.scope(&predicate);
        let question = sqlx::query_scalar::<_, i64>(AssertSqlSafe(question(&scope, Dialect::MariaDb)));
        let ids = runtime.block_on(question.fetch_all(&mut *shared.borrow_mut()));
        let ids = ids.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(ids, world.evaluated(&scope));
        Ok(())
    });
    runtime
        .block_on(sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name}"))).execute(&mut *shared.borrow_mut()))
        .unwrap();
    made.unwrap();
    outcome.unwrap();
}
