//! One server for one data folder, whatever key ring it is given; and what comes of two that destroy at once.
#![cfg(unix)]

use std::pin::pin;
use std::sync::Arc;

use drill::{Name, World, copy_folder};
use procedure::{Act, Part, Stage};

use super::bad_environment::server::serve_from;
use super::bad_environment::{REFUSED, command, ended, passphrase_file};
use super::program::{Program, lazaret};
use super::stuck_shelf::restart_over_a_stuck_shelf;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_over_a_data_folder_is_refused_also_with_another_key_ring() {
    let mut world = World::start().await;
    world.plants_nothing("servers without a migration start over one folder");
    passphrase_file(&world);
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    let (data, ring, other) = (world.server_folder(), world.ring_folder(), world.path("another-ring"));
    let copy = world.path("another-data");
    copy_folder(&data, &copy);
    let first = Program::serve(&lazaret().unwrap(), &world);
    first.answers(&world).await;

    let only = ["another server has this data folder"];
    serve_from(&world, (&data, &ring), "passphrase").await.says(REFUSED, 759, &only);
    serve_from(&world, (&data, &other), "passphrase").await.says(REFUSED, 759, &only);
    assert!(!other.exists(), "it was refused before it touched a key ring");
    serve_from(&world, (&copy, &ring), "passphrase").await.says(REFUSED, 711, &["another process holds the key ring"]);
    first.answers(&world).await;
    world.desk(Name::Controller).people().await.unwrap();

    // However the first one ends, the folder is free.
    first.kill();
    let next = Program::serve(&lazaret().unwrap(), &world);
    next.answers(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_that_destroy_at_once_come_to_one_end_and_one_statement() {
    let world = World::start().await;
    passphrase_file(&world);
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let id = round.plan.migration;
    world.act(Name::Controller, id, Act::Cancel { reason: "no longer wanted".to_owned() }).await.unwrap();
    let migration = id.to_string();
    let destroy = |name| command(&world, name, &["migration", "destroy", "--migration", &migration]);

    for name in [Name::Operator, Name::Recipient] {
        let both = futures::future::join_all([ended(destroy(name)), ended(destroy(name))]).await;
        for one in both {
            one.done();
        }
    }
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    assert_eq!(ledger.migration().stage, Stage::Destroyed);
    let parts = &ledger.migration().consignment(round.consignment).unwrap().parts;
    let of: Vec<Part> = parts.iter().map(|(part, ..)| *part).collect();
    assert_eq!(of, [Part::Laboratory, Part::Recipient], "each said it once");
    let destroyed = ledger.recorded().iter().filter(|recorded| matches!(recorded.fact.act, Act::Destroyed { .. }));
    assert_eq!(destroyed.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sweeps_at_once_come_to_one_end_and_one_certificate() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let (_, mut asked) = restart_over_a_stuck_shelf(&mut world).await;
    let (id, noted) = (round.plan.migration, world.notes());
    let before = world.desk(Name::Controller).follow(id).await.unwrap().recorded().len();
    // The migration's own deadline: all of it ends.
    world.pass_hours(21 * 24);
    let office = Arc::clone(world.office());
    let first = tokio::spawn(async move { office.sweep().await });
    let stuck = asked.recv().await.unwrap();
    world.office().sweep_keys().await.unwrap();
    // Far enough to know what is to be destroyed, if it does not wait for its turn.
    let mut second = pin!(world.office().sweep_shelves());
    assert!(futures::poll!(second.as_mut()).is_pending(), "nothing is left to do for it: this story says too little");
    drop(asked);
    stuck.send(()).unwrap();
    let (first, second) = tokio::join!(first, second);
    first.unwrap().unwrap();
    second.unwrap();

    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    let acts: Vec<&Act> = ledger.recorded().iter().skip(before).map(|recorded| &recorded.fact.act).collect();
    assert!(matches!(acts[..], [Act::Overdue { .. }, Act::Destroyed { .. }, Act::Finish { .. }]), "{acts:?}");
    assert_eq!(ledger.migration().stage, Stage::Destroyed);
    assert_eq!(world.notes(), noted, "it was no trouble to do it once");
}
