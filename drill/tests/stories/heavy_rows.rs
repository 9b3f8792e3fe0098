//! Rows as heavy as laboratories have: letters of a hundred kilobytes that compress to nothing, scans of some megabytes that
//! do not compress. None of our processes holds more for them than it may.
#![cfg(target_os = "linux")]

use drill::World;
use rusqlite::Connection;
use scope::{Dialect, Scope};

use super::held_memory::{self, HELD_MAX};
use super::program::lazaret;

/// It stands at the beginning of each letter and of each scan.
const SOMEBODY: &str = "Guivarch-v8Kd2x-heavy";

/// `LAZARET_TEST_ROW_MIB` says another size; above some 20 processes hold more than 256 MiB, of two tables with such rows.
const ROW_MIB: usize = 16;

/// Letters of 110 kB, 220 MB of them in less than one parcel, and two tables of scans.
const OLD: &str = "CREATE TABLE letter (id INTEGER PRIMARY KEY, body TEXT);
    WITH RECURSIVE at(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM at WHERE id < 2000)
    INSERT INTO letter SELECT id, 'Guivarch-v8Kd2x-heavy ' || id || replace(hex(zeroblob(5500)), '00', ' Le patient ne va pas') FROM at;
    CREATE TABLE front (id INTEGER PRIMARY KEY, image BLOB);
    CREATE TABLE back (id INTEGER PRIMARY KEY, image BLOB);";
const SCOPE: &str = "[[table]]\nname = 'letter'\ntarget = 'new_letter'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'body', type = 'text' }]\n\
     [[table]]\nname = 'front'\ntarget = 'new_front'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'image', type = 'bytes' }]\n\
     [[table]]\nname = 'back'\ntarget = 'new_back'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'image', type = 'bytes' }]\n";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_many_megabytes_pass_and_no_process_holds_more_than_it_may() {
    let name = "rows_of_many_megabytes_pass_and_no_process_holds_more_than_it_may";
    if lazaret().is_none() {
        drill::skipped!("{name} (the program is not built beside this test)");
        return;
    }
    let mib = std::env::var("LAZARET_TEST_ROW_MIB").map_or(ROW_MIB, |mib| mib.parse::<usize>().unwrap());
    let mut world = World::start_as(false).await;
    let (old, new) = (world.path("old.sqlite"), world.path("new.sqlite"));
    let source = Connection::open(&old).unwrap();
    source.execute_batch(OLD).unwrap();
    for table in ["front", "back"] {
        let scan =
            format!("INSERT INTO {table} SELECT ?1, CAST('{SOMEBODY}' AS BLOB) || randomblob({mib} * 1048576 - 64)");
        for id in 0..8 {
            source.execute(&scan, [id]).unwrap();
        }
    }
    world.plant_in("letter", "body", [SOMEBODY.to_owned()]);
    let ddl = scope::target_ddl(&Scope::parse(SCOPE).unwrap(), Dialect::Sqlite).unwrap();
    Connection::open(&new).unwrap().execute_batch(&ddl).unwrap();
    let source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();

    let (held, report) = held_memory::by_a_passage(&mut world, SCOPE, source.as_ref(), sink.as_ref(), None).await;

    println!("rows of {mib} MiB: extract, load, reconcile, serve held {held:?} KiB");
    assert!(report.equal(), "{report:?}");
    assert!(held.iter().all(|held| *held < HELD_MAX), "extract, load, reconcile, serve: {held:?} KiB");
}
