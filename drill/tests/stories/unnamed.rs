//! A server that was put back to before a consignment was opened has its ring key, and perhaps its parcels, and knows nothing of
//! it. It says so, and destroys them when the farthest deadline is over; not before, and also while its facts are damaged.

use std::path::PathBuf;

use drill::{Round, World, copy_folder};
use lexicon::ConsignmentId;
use procedure::ConsignmentStage;
use rusqlite::Connection;

use super::no_deletion::parcels_on;
use super::restored_server::{Backup, noted, restart, stage, told};

/// A consignment that is closed, and the server put back to before it was opened: its parcels lie on a shelf that was not.
async fn put_back(world: &mut World) -> Round {
    let systems = world.systems(60);
    world.open().await;
    let backup = Backup::of(world).await;
    let round = world.closed(&systems).await;
    let (shelf, aside) = (world.server_folder().join("shelf"), world.path("shelf of now"));
    copy_folder(&shelf, &aside);
    backup.put_back(world).await;
    copy_folder(&aside, &shelf);
    round
}

fn key(world: &World, consignment: ConsignmentId) -> PathBuf {
    world.ring_folder().join("keys").join(format!("{consignment}.key"))
}

/// Whether the key lives, and how many parcels lie on the shelf.
fn left(world: &World, round: &Round) -> (bool, usize) {
    (key(world, round.consignment).exists(), parcels_on(&world.server_folder(), round))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nothing_names_is_told_noted_once_and_destroyed_with_its_parcels_at_the_last_deadline() {
    let mut world = World::start().await;
    let round = put_back(&mut world).await;
    let parcels = parcels_on(&world.server_folder(), &round);
    assert!(parcels >= 4, "the control");

    for _ in 0..2 {
        let told = told(&world).await;
        let [alarm] = told.as_slice() else { panic!("one alarm: {told:?}") };
        assert!(alarm.starts_with("ALARM: the key ring has living keys of 1 consignments"), "{alarm}");
        assert!(alarm.ends_with("[LZ-0824]"), "{alarm}");
        for _ in 0..2 {
            world.office().sweep().await.unwrap();
            world.pass_hours(2);
        }
        restart(&mut world).await;
    }
    let note = format!("ALARM: the key ring has a living key of consignment {}", round.consignment);
    assert_eq!((noted(&world, &note), noted(&world, "[LZ-0824]")), (1, 1), "{:?}", world.notes());
    // It goes on for thirty days, counted from the first note.
    world.pass_hours(29 * 24);
    world.office().sweep().await.unwrap();
    assert_eq!(left(&world, &round), (true, parcels), "a later copy of the registry may yet name it");
    world.pass_hours(24 - 8);
    for _ in 0..2 {
        world.office().sweep().await.unwrap();
    }

    assert_eq!(left(&world, &round), (false, 0));
    let end =
        format!("consignment {}, which nothing names: destroyed without a fact, its ring key at ", round.consignment);
    assert_eq!(noted(&world, &end), 1, "{:?}", world.notes());
    restart(&mut world).await;
    assert!(told(&world).await.is_empty(), "its tombstone is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_finds_a_key_that_nothing_names_without_a_start() {
    let mut world = World::start().await;
    world.plants_nothing("keys are made that nothing names; there is no old system");
    world.office().sweep().await.unwrap();
    world.stop().await;
    world.restart_with(|furniture| furniture.ring.create(ConsignmentId([7; 16])).unwrap());
    assert_eq!(told(&world).await.len(), 1, "the control: a start finds it");
    let other = ConsignmentId([8; 16]);
    let ring = world.ring_folder();
    world.office().sweep().await.unwrap();
    std::fs::copy(key(&world, ConsignmentId([7; 16])), ring.join(format!("keys/{other}.key"))).unwrap();

    let note = format!("a living key of consignment {other}");
    world.office().sweep().await.unwrap();
    assert_eq!(noted(&world, &note), 0, "it is not asked at each beat");
    world.pass_hours(1);
    world.office().sweep().await.unwrap();
    assert_eq!(noted(&world, &note), 1, "{:?}", world.notes());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_facts_are_damaged_a_key_that_nothing_names_lives_until_its_end_and_not_after() {
    let mut world = World::start().await;
    let round = put_back(&mut world).await;
    let parcels = parcels_on(&world.server_folder(), &round);
    world.office().sweep().await.unwrap();
    assert_eq!(noted(&world, "[LZ-0824]"), 1);
    world.stop().await;
    let db = Connection::open(world.server_folder().join("registry.sqlite")).unwrap();
    assert_eq!(db.execute("UPDATE fact SET entry = 'nothing'", []).unwrap(), 1);
    drop(db);
    world.pass_hours(24);
    let late = ConsignmentId([7; 16]);
    world.restart_with(|furniture| furniture.ring.create(late).unwrap());
    assert!(world.office().alarm().await.is_some());

    let alarms = told(&world).await;
    assert!(alarms.len() == 1 && alarms[0].contains("living keys of 2 consignments"), "{alarms:?}");
    world.office().sweep().await.unwrap();
    assert_eq!(noted(&world, &format!("a living key of consignment {late}")), 1, "{:?}", world.notes());
    world.pass_hours(28 * 24);
    world.office().sweep().await.unwrap();
    assert_eq!(left(&world, &round), (true, parcels), "the facts that are missing may name it");
    world.pass_hours(24);
    world.office().sweep().await.unwrap();
    assert_eq!(left(&world, &round), (false, 0), "no fact can give it a later end");
    assert!(key(&world, late).exists(), "noted a day later");
    world.pass_hours(24);
    world.office().sweep().await.unwrap();

    assert!(!key(&world, late).exists());
    assert_eq!(noted(&world, "which nothing names: destroyed without a fact"), 2, "{:?}", world.notes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_copy_of_the_registry_that_names_a_key_leaves_it_to_its_own_deadline() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let backup = Backup::of(&mut world).await;
    let round = world.closed(&systems).await;
    world.stop().await;
    let (data, later) = (world.server_folder(), world.path("later"));
    copy_folder(&data, &later);
    backup.put_back(&mut world).await;
    world.office().sweep().await.unwrap();
    assert_eq!(noted(&world, "[LZ-0824]"), 1, "the control");

    world.stop().await;
    std::fs::remove_dir_all(&data).unwrap();
    copy_folder(&later, &data);
    world.restart();
    assert!(told(&world).await.is_empty());
    world.pass_hours(71);
    world.office().sweep().await.unwrap();
    assert!(left(&world, &round).0 && left(&world, &round).1 >= 4);
    world.pass_hours(2);
    world.office().sweep().await.unwrap();

    assert_eq!(left(&world, &round), (false, 0));
    assert_eq!(stage(&world, &round).await, ConsignmentStage::Destroyed, "and a fact says so");
}
