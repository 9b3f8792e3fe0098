//! What an old system has after thirty years: tables without end. None of our processes holds more for them than it may.
#![cfg(target_os = "linux")]

use std::fmt::Write;

use drill::World;
use scope::{Dialect, Scope};

use super::held_memory::{self, HELD_MAX};
use super::program::lazaret;

/// A fingerprint of each with room for 4,096 buckets, once in sealing and once more in the sums, would be 312 MiB.
const TABLES: u64 = 1_000;
/// 384 MiB for more tables than that, and 10,000 at most: every process knows what is signed of each.
const HELD_MAX_OF_MORE: u64 = 384 * 1024;

/// The name, or the number, of somebody in the table of this name.
fn somebody(table: &str, row: u8) -> String {
    format!("{}-v8Kd2x-{table}-{row}", if table.starts_with('a') { "Guivarch" } else { "1850578006084" })
}

/// Pairs of tables of two columns and three rows, of people's names and of their numbers; in each, one points to the other.
fn old_system(tables: u64) -> (String, String) {
    let (mut sql, mut scope) = ("BEGIN;".to_owned(), String::new());
    let pairs = (0..tables / 2)
        .flat_map(|at| [(format!("a{at}"), String::new()), (format!("b{at}"), format!(" REFERENCES a{at}"))]);
    for (name, points) in pairs {
        write!(
            sql,
            "CREATE TABLE {name} (id INTEGER PRIMARY KEY{points}, value TEXT); \
             INSERT INTO {name} VALUES (1, '{}'), (2, NULL), (3, '{}');",
            somebody(&name, 1),
            somebody(&name, 3)
        )
        .unwrap();
        write!(
            scope,
            "[[table]]\nname = '{name}'\ntarget = 'import_{name}'\nkey = ['id']\nleave = []\n\
             take = [{{ column = 'id', type = 'int64' }}, {{ column = 'value', type = 'text' }}]\n"
        )
        .unwrap();
    }
    (sql + "COMMIT", scope)
}

/// The most that each process held.
async fn all_held(tables: u64) -> [u64; 4] {
    let mut world = World::start_as(false).await;
    let (old, new) = (world.path("old.sqlite"), world.path("new.sqlite"));
    let (sql, scope) = old_system(tables);
    rusqlite::Connection::open(&old).unwrap().execute_batch(&sql).unwrap();
    let parsed = Scope::parse(&scope).unwrap();
    let planted = parsed.tables().iter().flat_map(|table| [1, 3].map(|row| somebody(&table.name, row)));
    world.plant_in("a and b", "value", planted);
    let ddl = scope::target_ddl(&parsed, Dialect::Sqlite).unwrap();
    rusqlite::Connection::open(&new).unwrap().execute_batch(&format!("BEGIN; {ddl} COMMIT")).unwrap();
    let source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
    let (held, report) = held_memory::by_a_passage(&mut world, &scope, source.as_ref(), sink.as_ref(), None).await;
    let counted = [report.tables.len(), report.orphans.len()].map(|many| u64::try_from(many).unwrap());
    assert!(report.equal() && counted == [tables, tables / 2], "{counted:?}");
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tables_pass_and_no_process_holds_more_than_it_may() {
    let name = "a_thousand_tables_pass_and_no_process_holds_more_than_it_may";
    if lazaret().is_none() {
        drill::skipped!("{name} (the program is not built beside this test)");
        return;
    }
    let tables = std::env::var("LAZARET_TEST_TABLES").map_or(TABLES, |tables| tables.parse().unwrap());
    let held = all_held(tables).await;
    println!("{tables} tables: extract, load, reconcile, serve held {held:?} KiB");
    let most = if tables > TABLES { HELD_MAX_OF_MORE } else { HELD_MAX };
    assert!(held.iter().all(|held| *held < most), "extract, load, reconcile, serve: {held:?} KiB");
}
