//! Finding 5 of the decision once more: whoever damages what the server has recorded switches no deadline off.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use drill::{Name, Round, World, copy_folder, files_below, lies_on};
use lexicon::{Clock, Code, hours_after};
use procedure::{Act, ConsignmentStage, Ending};
use registry::{Mark, Registry};
use rusqlite::Connection;
use vault::{KeyRing, KeyState};

use super::restored_server::noted;
use super::ring_away::{abandon, closed_and_copied, put_key_back};

/// What somebody does to the database while the server is down.
type Damage = fn(&Connection);

/// Fact 4 is the second approval, 5 the opening of the consignment, the last the hand-over.
const DAMAGES: [(&str, Damage); 8] = [
    ("the last fact says something else", |db| {
        run(
            db,
            "UPDATE fact SET entry = replace(entry, 'payload\":\"eyJ', 'payload\":\"eyK') WHERE number = (SELECT max(number) FROM fact)",
        );
    }),
    ("a fact before the opening of the consignment is no text of ours", |db| {
        run(db, "UPDATE fact SET entry = 'nothing' WHERE number = 4");
    }),
    ("no fact is left", |db| run(db, "DELETE FROM fact")),
    ("the first fact is gone", |db| run(db, "DELETE FROM fact WHERE number = 1")),
    ("the row of the migration is gone", |db| run(db, "DELETE FROM migration")),
    ("the row of the migration says something else", |db| run(db, "UPDATE migration SET state = 'nothing'")),
    ("nobody is certified any more", |db| run(db, "DELETE FROM certificate")),
    ("the journal is changed", |db| {
        run(db, "UPDATE leaf SET hash = (SELECT hash FROM leaf WHERE number = 1) WHERE number = 2");
    }),
];

fn run(db: &Connection, sql: &str) {
    assert!(db.execute(sql, []).unwrap() > 0, "nothing was changed: {sql}");
}

pub(super) fn damage(data: &Path, damage: impl FnOnce(&Connection)) {
    let db = Connection::open(data.join("registry.sqlite")).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    damage(&db);
}

/// A copy of the server's two folders.
fn copied(world: &World, name: &str) -> (PathBuf, PathBuf) {
    let (data, ring) = (world.path(&format!("{name} data")), world.path(&format!("{name} ring")));
    copy_folder(&world.server_folder(), &data);
    copy_folder(&world.ring_folder(), &ring);
    (data, ring)
}

/// Opens the server on these folders and sweeps as often as it is said.
async fn swept(world: &World, (data, ring): &(PathBuf, PathBuf), times: u32) {
    let office = world.open_office(data, ring).unwrap();
    assert!(office.alarm().await.is_some(), "the damage is not seen: this story says too little");
    for _ in 0..times {
        office.sweep().await.unwrap();
    }
}

/// Whether the key lives, and how many parcels lie on the shelf.
fn left(world: &World, (data, ring): &(PathBuf, PathBuf), round: &Round) -> (bool, usize) {
    let shelf = data.join("shelf").join(round.consignment.to_string());
    let parcels = if shelf.exists() { files_below(&[&shelf]).len() } else { 0 };
    let state = world.ring(data, ring).unwrap().attest(round.consignment).unwrap();
    assert!(matches!(state, KeyState::Alive | KeyState::Destroyed { .. }), "{state:?}");
    (state == KeyState::Alive, parcels)
}

pub(super) fn count(data: &Path, table: &str) -> i64 {
    let db = Connection::open(data.join("registry.sqlite")).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_facts_switch_no_deadline_off() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    world.stop().await;
    let (_, parcels) = left(&world, &(world.server_folder(), world.ring_folder()), &round);
    assert!(parcels > round.manifest.parcels.len());
    let copies = DAMAGES.map(|(name, how)| {
        let folders = copied(&world, name);
        damage(&folders.0, how);
        (name, folders)
    });

    world.pass_hours(71);
    for (name, folders) in &copies {
        swept(&world, folders, 1).await;
        assert_eq!(left(&world, folders, &round), (true, parcels), "{name}: the control, an hour before");
    }
    world.pass_hours(2);
    for (name, folders) in &copies {
        let facts = count(&folders.0, "fact");
        swept(&world, folders, 2).await;

        assert_eq!(left(&world, folders, &round), (false, 0), "{name}");
        for table in ["strongroom", "parcel"] {
            assert_eq!(count(&folders.0, table), 0, "{name}: {table}");
        }
        assert_eq!(count(&folders.0, "fact"), facts, "{name}: a fact was added to a story with a hole");
        assert!(count(&folders.0, "document") <= 2, "{name}: the sealed laboratory share is still there");
        let registry = Registry::open(&folders.0.join("registry.sqlite")).unwrap();
        let marked = registry.marked(Mark::Destroyed, &round.consignment.to_string()).unwrap().unwrap();
        let (leaves, beside) = (registry.leaf_hashes().unwrap(), folders.0.join("registry.notes"));
        if let Some(leaf) = marked.leaf {
            let note = String::from_utf8(registry.leaf(leaf).unwrap().unwrap()).unwrap();
            assert!(note.contains(&round.consignment.to_string()) && note.contains("destroyed without"), "{note}");
            assert!(registry.damage().is_none() && !beside.exists(), "{name}");
        } else {
            let notes = std::fs::read_to_string(beside).unwrap();
            assert_eq!(notes.lines().count(), 3, "{name}: {notes}");
            assert!(notes.lines().last().unwrap().contains("destroyed without a fact"), "{notes}");
            assert_eq!(registry.damage().unwrap().code, lexicon::Code(753));
        }
        drop(registry);
        // Nothing is left to do, and nothing is said twice, by this process or by the next.
        swept(&world, folders, 2).await;
        assert_eq!(
            Registry::open(&folders.0.join("registry.sqlite")).unwrap().leaf_hashes().unwrap(),
            leaves,
            "{name}"
        );
    }
    let without_leaf = copies.iter().filter(|(_, folders)| folders.0.join("registry.notes").exists()).count();
    assert_eq!(without_leaf, 1, "only a changed journal takes no note");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_deadline_can_be_read_the_longest_one_runs_from_the_alarm_on_through_restarts() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    world.stop().await;
    let folders = copied(&world, "nothing left");
    damage(&folders.0, |db| {
        run(db, "DELETE FROM fact");
        run(db, "UPDATE strongroom SET deadline = 'never'");
    });

    world.pass_hours(500);
    swept(&world, &folders, 1).await;
    for _ in 0..2 {
        world.pass_hours(15 * 24 - 1);
        swept(&world, &folders, 1).await;
        assert!(left(&world, &folders, &round).0, "before thirty days are over");
    }
    world.pass_hours(2);
    swept(&world, &folders, 1).await;

    assert_eq!(left(&world, &folders, &round), (false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_parcels_that_come_back_after_an_end_that_no_fact_tells_go_again_under_a_running_server() {
    // Destroyed without a fact, and with one that was lost since.
    for lost in [false, true] {
        let (mut world, round, copy) = closed_and_copied().await;
        let (shelf, parcels) = (world.server_folder().join("shelf"), world.path("parcels-copy"));
        copy_folder(&shelf, &parcels);
        if lost {
            abandon(&world, &round).await;
        }
        world.stop().await;
        damage(&world.server_folder(), |db| run(db, "DELETE FROM fact WHERE number = (SELECT max(number) FROM fact)"));
        world.restart();
        assert!(world.office().alarm().await.is_some(), "the damage is not seen: this story says too little");
        world.pass_hours(73);
        for _ in 0..3 {
            world.office().sweep().await.unwrap();
        }
        let keys = world.ring_folder().join("keys");
        assert!(lies_on(&shelf).is_empty() && files_below(&[&keys]).is_empty(), "the control");
        let again = "of its destruction: its key was there, and is destroyed again at ";
        assert_eq!(noted(&world, "destroyed without a fact"), usize::from(!lost), "{:?}", world.notes());
        assert_eq!(noted(&world, again), 0, "nothing is back: {:?}", world.notes());

        put_key_back(&world.ring_folder(), &copy);
        copy_folder(&parcels, &shelf);
        for _ in 0..3 {
            world.office().sweep().await.unwrap();
        }
        assert!(lies_on(&shelf).is_empty() && files_below(&[&keys]).is_empty());
        assert_eq!(
            noted(&world, "was back in the key ring, and is destroyed again [LZ-0709]"),
            1,
            "{:?}",
            world.notes()
        );
        assert_eq!(noted(&world, "lay on the shelf after its destruction"), 1, "{:?}", world.notes());
        // What a lost fact told nobody can add to.
        assert_eq!(noted(&world, &format!("after the note {again}")), usize::from(!lost), "{:?}", world.notes());
    }
}

/// Writes zeros over the first page of a table or an index, so that nothing of it can be read.
fn blot_out(data: &Path, name: &str) {
    let path = data.join("registry.sqlite");
    let db = Connection::open(&path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let number = |query: &str| db.query_row(query, [], |row| row.get::<_, u32>(0)).unwrap();
    let page = number(&format!("SELECT rootpage FROM sqlite_master WHERE name = '{name}'"));
    let bytes = number("PRAGMA page_size");
    drop(db);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let at = u64::from(page.saturating_sub(1)).saturating_mul(u64::from(bytes));
    file.write_all_at(&vec![0; usize::try_from(bytes).unwrap()], at).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_keeps_no_key_alive() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    world.stop().await;
    let copies = [("whole facts", false), ("damaged facts", true)].map(|(name, damaged)| {
        let folders = copied(&world, name);
        if damaged {
            damage(&folders.0, |db| run(db, "DELETE FROM fact WHERE number = (SELECT max(number) FROM fact)"));
        }
        blot_out(&folders.0, "strongroom");
        let registry = Registry::open(&folders.0.join("registry.sqlite")).unwrap();
        assert_eq!(registry.wrapped_share(round.consignment).unwrap_err().code(), Code(750), "{name}: it can be read");
        assert!(left(&world, &folders, &round).0, "{name}: the control");
        (name, damaged, folders)
    });

    world.pass_hours(73);
    for (name, damaged, folders) in &copies {
        let office = world.open_office(&folders.0, &folders.1).unwrap();
        let alarm = office.alarm().await.map(|alarm| alarm.code);
        assert_eq!(alarm == Some(Code(808)), !damaged, "{name}: {alarm:?}");
        let trouble = office.sweep().await.unwrap_err();
        assert_eq!(trouble.code(), Code(750), "{name}: {trouble}");
        drop(office);
        assert!(!left(&world, folders, &round).0, "{name}: its key lives on");
    }
}

/// What a start says first of a table that cannot be read, where it reads it.
const SAID: [(&str, u16); 8] = [
    ("leaf", 753),
    ("head", 753),
    ("fact", 757),
    ("root", 757),
    ("certificate", 757),
    ("revocation", 757),
    ("migration", 802),
    ("strongroom", 808),
];

/// Every table and every index of the registry but those of the marks, without which no server starts.
fn parts(data: &Path) -> Vec<String> {
    let db = Connection::open(data.join("registry.sqlite")).unwrap();
    let mut statement = db.prepare("SELECT name FROM sqlite_master WHERE tbl_name <> 'mark'").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_that_cannot_be_read_keeps_a_server_from_its_start_or_a_key_alive() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    world.stop().await;
    let mut copies = Vec::new();
    for name in parts(&world.server_folder()) {
        let folders = copied(&world, &name);
        blot_out(&folders.0, &name);
        copies.push((name, folders));
    }
    let said = |name: &str| SAID.iter().find(|(table, _)| *table == name).map(|(_, code)| Code(*code));
    assert_eq!(copies.iter().filter(|(name, _)| said(name).is_some()).count(), SAID.len());

    for (hours, lives) in [(71, true), (2, false)] {
        world.pass_hours(hours);
        for (name, folders) in &copies {
            let office = world.open_office(&folders.0, &folders.1).unwrap_or_else(|why| panic!("{name}: {why}"));
            let alarm = office.alarm().await.map(|alarm| alarm.code);
            assert!(said(name).is_none_or(|code| alarm == Some(code)), "{name}: {alarm:?}");
            // What needs the part that is lost says so.
            let swept = office.sweep().await;
            drop(office);
            assert_eq!(left(&world, folders, &round).0, lives, "{name}, {hours} hours later: {swept:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_one_migration_is_no_matter_of_another() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let whole = world.consign(&plan).await;
    world.stop().await;
    damage(&world.server_folder(), |db| {
        run(
            db,
            &format!("UPDATE fact SET entry = 'nothing' WHERE number = 4 AND migration = '{}'", round.plan.migration),
        );
    });
    world.restart();

    world.pass_hours(73);
    world.office().sweep().await.unwrap();
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();

    let other = ledger.migration().consignment(whole).unwrap();
    assert_eq!((other.stage, other.ending), (ConsignmentStage::Destroyed, Some(Ending::Overdue)));
    world.stop().await;
    let folders = (world.server_folder(), world.ring_folder());
    assert_eq!(left(&world, &folders, &round), (false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_lies_no_farther_ahead_than_the_server_allows() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let id = world.open().await;
    let (mut plan, documents) =
        world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let in_days = |world: &World, days: i64| hours_after(world.clock.now(), days * 24);
    plan.deadline = in_days(&world, 31);
    plan.extension_cap = in_days(&world, 90);
    plan.instruction.deadline = Some(plan.extension_cap);

    let refused = world.propose(&plan, &documents).await.unwrap_err();
    world.stop().await;
    world.restart_with(|furniture| furniture.deadline_days_max = 40);
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    let extend = |days| Act::Extend { until: in_days(&world, days), reason: "the new system is late".to_owned() };
    let too_far = world.act(Name::Controller, id, extend(41)).await.unwrap_err();
    world.act(Name::Controller, id, extend(40)).await.unwrap();

    assert_eq!((refused.code(), too_far.code()), (lexicon::Code(818), lexicon::Code(818)));
}
