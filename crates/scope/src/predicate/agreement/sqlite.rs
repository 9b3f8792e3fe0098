use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;

use super::world::{World, question};
use crate::{Dialect, Scope};

fn ids(connection: &Connection, sql: &str) -> Vec<i64> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn sqlite_and_a_batch_decide_alike() {
    let world = World::new(Dialect::Sqlite);
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&world.statements(Dialect::Sqlite).join(";\n")).unwrap();
    let config = Config { cases: 1024, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&world.predicates(), |predicate| {
            let scope = world.scope(&predicate);
            prop_assert_eq!(scope.table("main").unwrap().filter.as_ref(), Some(&predicate));
            let select = scope.table("main").unwrap().select_sql(&scope, Dialect::Sqlite).unwrap();
            for (_, misfit) in &select.misfits {
                let misfits = ids(&connection, &format!("SELECT count(*) FROM {} WHERE {misfit}", select.from));
                prop_assert_eq!(misfits, [0]);
            }
            prop_assert_eq!(ids(&connection, &question(&scope, Dialect::Sqlite)), world.evaluated(&scope));
            Ok(())
        })
        .unwrap();
}

/// A table of one column `x` with values of every storage class, under the given type and predicate: the rows in scope
/// and the number of misfits.
fn odd(kind: &str, predicate: &str, values: &str) -> (Vec<i64>, i64) {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&format!("CREATE TABLE main (id integer, x); INSERT INTO main VALUES {values}")).unwrap();
    let toml = format!(
        "[[table]]\nname = \"main\"\ntake = [{{ column = \"id\", type = \"int64\" }}, \
         {{ column = \"x\", type = \"{kind}\" }}]\n\
         where = {}",
        toml::Value::String(predicate.to_owned())
    );
    let scope = Scope::parse(&toml).unwrap();
    let select = scope.table("main").unwrap().select_sql(&scope, Dialect::Sqlite).unwrap();
    let [(_, misfit)] = select.misfits.as_slice() else { unreachable!("one column is compared") };
    let misfits = ids(&connection, &format!("SELECT count(*) FROM {} WHERE {misfit}", select.from));
    (ids(&connection, &question(&scope, Dialect::Sqlite)), misfits[0])
}

#[test]
fn a_text_in_a_column_of_integers_is_in_no_scope_and_is_noticed() {
    let values = "(1, 5), (2, 'abc'), (3, '5'), (4, 7.5), (5, NULL), (6, x'35')";
    assert_eq!(odd("int64", "x >= 0", values), (vec![1], 4));
    assert_eq!(odd("int64", "not x >= 9", values), (vec![1], 4));
    assert_eq!(odd("int64", "x in (5)", values), (vec![1], 4));
}

#[test]
fn an_integer_in_a_column_of_text_compares_as_its_digits() {
    let values = "(1, 5), (2, '05'), (3, '5'), (4, '5 ')";
    assert_eq!(odd("text", "x = '5'", values), (vec![1, 3], 0));
    assert_eq!(odd("text", "x = '05'", values), (vec![2], 0));
}

#[test]
fn a_time_in_another_form_is_in_no_scope_and_is_noticed() {
    let values = "(1, '2019-01-01 10:00:00'), (2, '01/02/2019'), (3, 1546300800), (4, '2019-01-01T10:00:00.25'), \
                  (5, '2019-02-30 10:00:00'), (6, '2019-01-01'), (7, '2019-01-01 10:00:00.1234567')";
    assert_eq!(odd("timestamp", "x > timestamp '2019-01-01 00:00:00'", values), (vec![1, 4], 5));
    let values = "(1, '2019-01-01'), (2, '2019-1-1'), (3, 'now'), (4, '2019-01-01 00:00:00'), (5, 20190101)";
    assert_eq!(odd("date", "x >= date '2019-01-01'", values), (vec![1], 4));
}

#[test]
fn more_digits_than_sqlite_keeps_are_refused() {
    let toml = "[[table]]\nname = \"main\"\ntake = [{ column = \"x\", type = \"decimal(20,2)\" }]\nwhere = \"x = 1.5\"";
    let scope = Scope::parse(toml).unwrap();
    let table = scope.table("main").unwrap();
    assert_eq!(table.select_sql(&scope, Dialect::Sqlite).unwrap_err().code(), lexicon::Code(320));
    table.select_sql(&scope, Dialect::Postgres).unwrap();
}

#[test]
fn a_hostile_table_and_column_stay_names() {
    let toml = r#"[[table]]
name = "a\"; DROP TABLE b; --"
take = [{ column = "x\" OR 1=1 --", type = "int64" }]
where = "\"x\"\" OR 1=1 --\" = 1""#;
    let scope = Scope::parse(toml).unwrap();
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE b (x); CREATE TABLE \"a\"\"; DROP TABLE b; --\" (\"x\"\" OR 1=1 --\" integer);
             INSERT INTO \"a\"\"; DROP TABLE b; --\" VALUES (1), (2)",
        )
        .unwrap();
    let select = scope.tables()[0].select_sql(&scope, Dialect::Sqlite).unwrap();
    let sql = format!("SELECT {} FROM {} WHERE {}", select.columns.join(", "), select.from, select.condition.unwrap());
    assert_eq!(ids(&connection, &sql), [1]);
    assert_eq!(ids(&connection, "SELECT count(*) FROM b"), [0]);
}
