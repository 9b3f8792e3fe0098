//! A server that somebody put back to before a destruction. Its key ring was not put back with it, and tells it at every
//! start; what cannot be told without the ring is told by the first device that knows more.

use std::path::PathBuf;
use std::sync::Arc;

use drill::{Name, Round, World, copy_folder};
use lexicon::Code;
use procedure::{Act, ConsignmentStage};
use vault::{KeyRing, Shelf};

use super::no_deletion::{Cut, Cuts, is_destroyed, parcels_on};

/// What a backup has of the server, and perhaps of its ring.
pub(super) struct Backup {
    data: PathBuf,
    ring: PathBuf,
}

impl Backup {
    pub(super) async fn of(world: &mut World) -> Self {
        world.stop().await;
        let backup = Self { data: world.path("backup/data"), ring: world.path("backup/ring") };
        copy_folder(&world.server_folder(), &backup.data);
        copy_folder(&world.ring_folder(), &backup.ring);
        world.restart();
        backup
    }

    /// Puts the data back, and the server up over it.
    pub(super) async fn put_back(&self, world: &mut World) {
        world.stop().await;
        std::fs::remove_dir_all(world.server_folder()).unwrap();
        copy_folder(&self.data, &world.server_folder());
        world.restart();
    }

    async fn put_back_with_its_ring(&self, world: &mut World) {
        world.stop().await;
        std::fs::remove_dir_all(world.ring_folder()).unwrap();
        copy_folder(&self.ring, &world.ring_folder());
        self.put_back(world).await;
    }
}

pub(super) async fn restart(world: &mut World) {
    world.stop().await;
    world.restart();
}

async fn abandon(world: &World, name: Name, round: &Round) {
    let (consignment, reason) = (round.consignment, "the drill ends it".to_owned());
    world.act(name, round.plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
}

pub(super) async fn stage(world: &World, round: &Round) -> ConsignmentStage {
    let ledger = world.desk(Name::Engineer).follow(round.plan.migration).await.unwrap();
    ledger.migration().consignment(round.consignment).unwrap().stage
}

/// The alarms of this start.
pub(super) async fn told(world: &World) -> Vec<String> {
    world.office().put_back().await.iter().map(ToString::to_string).collect()
}

pub(super) fn noted(world: &World, what: &str) -> usize {
    world.notes().iter().filter(|note| note.contains(what)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_of_it_at_every_start_only_destroys_what_it_concerns_and_the_rest_goes_on() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let first = world.closed(&systems).await;
    world.pass_hours(24);
    let second = world.closed(&systems).await;
    let backup = Backup::of(&mut world).await;
    // The deadline of the first passes; no device hears of it.
    world.pass_hours(49);
    world.office().sweep().await.unwrap();
    assert_eq!(parcels_on(&world.server_folder(), &first), 0);
    backup.put_back(&mut world).await;
    let (id, other) = (first.plan.migration, second.plan.migration);

    for start in 1..=3 {
        let told = told(&world).await;
        let [alarm] = told.as_slice() else { panic!("one migration, one alarm: {told:?}") };
        assert!(alarm.starts_with(&format!("ALARM: consignment {} of migration {id} lives", first.consignment)));
        assert!(alarm.contains("its key was destroyed at") && alarm.ends_with("[LZ-0821]"), "{alarm}");
        assert_eq!(noted(&world, "[LZ-0821]"), start, "it is in the journal each time");
        restart(&mut world).await;
    }
    assert!(parcels_on(&world.server_folder(), &first) >= 4, "the control: the parcels are back");
    let refused = world.release(&first.plan, first.consignment).await.unwrap_err();
    assert_eq!(refused.code(), Code(813), "{refused}");
    world.stop().await;
    let unwrapped = world.strongroom_share(&world.server_folder(), &world.ring_folder(), &first).err().unwrap();
    assert_eq!(unwrapped.code(), Code(707), "{unwrapped}");
    world.restart();

    world.office().sweep().await.unwrap();
    assert_eq!(stage(&world, &first).await, ConsignmentStage::Destroyed);
    restart(&mut world).await;
    let frozen = world.act(Name::Approver, id, Act::Freeze { reason: "a strange letter".to_owned() }).await;
    assert_eq!(frozen.unwrap_err().code(), Code(813), "it is known although nothing of it lives any more");
    assert_eq!(stage(&world, &second).await, ConsignmentStage::Closed);
    world.release(&second.plan, second.consignment).await.unwrap();
    let report = world.load(&second.plan, second.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
    world.sign_off(&second.plan).await.unwrap();
    assert_eq!(stage(&world, &second).await, ConsignmentStage::Destroyed);
    let lines = world.desk(Name::Approver).client().migrations(world.desk(Name::Approver).keeper()).await.unwrap();
    let says = |id| lines.iter().find(|line| line.migration == id).unwrap().says.join("\n");
    assert!(says(id).contains("[LZ-0813]") && says(other).is_empty(), "{lines:?}");
    assert_eq!(parcels_on(&world.server_folder(), &second), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_put_back_to_before_a_consignment_was_opened_hears_of_that_too() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let backup = Backup::of(&mut world).await;
    let round = world.closed(&systems).await;
    restart(&mut world).await;
    assert!(told(&world).await.is_empty(), "the control: nothing was put back yet");
    abandon(&world, Name::Operator, &round).await;
    restart(&mut world).await;
    assert!(told(&world).await.is_empty(), "the control: a destruction that is known is no alarm");

    backup.put_back(&mut world).await;
    for start in 1..=2 {
        let told = told(&world).await;
        assert!(told.len() == 1 && told[0].contains("keys of 1 consignments"), "{told:?}");
        assert!(told[0].ends_with("[LZ-0822]"), "{told:?}");
        assert_eq!(noted(&world, "[LZ-0822]"), start);
        restart(&mut world).await;
    }
    let found_out = world.desk(Name::Operator).follow(round.plan.migration).await.map(drop).unwrap_err();
    assert!(matches!(found_out, lexicon::Trouble::Alarm(_)), "{found_out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_put_back_to_when_a_consignment_had_ended_hears_that_it_was_destroyed_since() {
    for at in [Cut::BeforeTheKey, Cut::BeforeTheParcels] {
        let mut world = World::start().await;
        let round = world.closed(&world.systems(60)).await;
        world.stop().await;
        world.restart_with(|furniture| {
            furniture.ring = Arc::new(Cuts::<dyn KeyRing> { inner: Arc::clone(&furniture.ring), at });
            furniture.shelf = Arc::new(Cuts::<dyn Shelf> { inner: Arc::clone(&furniture.shelf), at });
        });
        abandon(&world, Name::Operator, &round).await;
        let backup = Backup::of(&mut world).await;
        assert!(told(&world).await.is_empty(), "the control, {at:?}: a destruction that was cut is no news");
        world.office().sweep().await.unwrap();
        assert_eq!(stage(&world, &round).await, ConsignmentStage::Destroyed);
        backup.put_back(&mut world).await;

        let (id, alarmed) = (round.plan.migration, format!("ALARM: consignment {} of migration", round.consignment));
        for start in 1..=2 {
            let told = told(&world).await;
            let [alarm] = told.as_slice() else { panic!("{at:?}: one migration, one alarm: {told:?}") };
            assert!(alarm.starts_with(&format!("{alarmed} {id} ended by this server's facts")), "{alarm}");
            assert!(alarm.contains("which the journal said") && alarm.ends_with("[LZ-0821]"), "{alarm}");
            assert_eq!(noted(&world, "[LZ-0821]"), start, "it is in the journal each time");
            restart(&mut world).await;
        }
        let frozen = world.act(Name::Approver, id, Act::Freeze { reason: "a strange letter".to_owned() }).await;
        assert_eq!(frozen.unwrap_err().code(), Code(813));
        world.office().sweep().await.unwrap();
        world.stop().await;
        is_destroyed(&world, &world.server_folder(), &world.ring_folder(), &round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_put_back_with_its_whole_ring_is_told_by_the_first_device_that_knows_more() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let backup = Backup::of(&mut world).await;
    abandon(&world, Name::Operator, &round).await;
    backup.put_back_with_its_ring(&mut world).await;

    // That is what cannot hold: nothing on this machine knows better, and the server's share opens again. The ring's folder
    // must be in no backup, and the laboratory's half is elsewhere.
    assert!(told(&world).await.is_empty());
    world.stop().await;
    let strongroom = world.strongroom_share(&world.server_folder(), &world.ring_folder(), &round).unwrap().unwrap();
    assert_eq!(strongroom.digest(), round.manifest.strongroom_share);
    world.restart();

    let found_out = world.desk(Name::Operator).follow(round.plan.migration).await.map(drop).unwrap_err();
    assert_eq!(found_out.code(), Code(1220), "{found_out}");
    let refused = world.release(&round.plan, round.consignment).await.unwrap_err();
    assert_eq!(refused.code(), Code(813), "{refused}");
    restart(&mut world).await;
    let told = told(&world).await;
    assert!(told.len() == 1 && told[0].ends_with("[LZ-0813]"), "{told:?}");
    world.pass_hours(73);
    world.office().sweep().await.unwrap();
    world.stop().await;
    is_destroyed(&world, &world.server_folder(), &world.ring_folder(), &round);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_epoch_of_an_old_ring_beside_its_tombstones_are_destroyed_again() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let backup = Backup::of(&mut world).await;
    abandon(&world, Name::Operator, &round).await;
    world.stop().await;
    let (ring, key) = (world.ring_folder(), format!("keys/{}.key", round.consignment));
    std::fs::copy(backup.ring.join("epoch"), ring.join("epoch")).unwrap();
    std::fs::copy(backup.ring.join(&key), ring.join(&key)).unwrap();

    let opened = world.ring(&backup.data, &ring).unwrap();
    assert_eq!(opened.returned(), [round.consignment]);
    drop(opened);
    assert!(!ring.join(&key).exists());
    let unwrapped = world.strongroom_share(&backup.data, &ring, &round).err().unwrap();
    assert_eq!(unwrapped.code(), Code(707), "{unwrapped}");
    // Its epoch was the old one's, and is none any more: what the key file held on the medium needs it.
    assert_ne!(std::fs::read(ring.join("epoch")).unwrap(), std::fs::read(backup.ring.join("epoch")).unwrap());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_it_at_each_start_and_next_shows_it_to_whoever_asks() {
    use super::bad_environment::{command, ended, passphrase_file};
    use super::program::{Program, lazaret};

    let mut world = World::start().await;
    passphrase_file(&world);
    let systems = world.systems(60);
    let (round, other) = (world.closed(&systems).await, world.open().await);
    let backup = Backup::of(&mut world).await;
    abandon(&world, Name::Operator, &round).await;
    backup.put_back(&mut world).await;
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    let alarm = format!("ALARM: consignment {} of migration {} lives", round.consignment, round.plan.migration);

    for start in 1..=2 {
        let server = Program::serve(&lazaret().unwrap(), &world);
        server.answers(&world).await;
        let said = std::fs::read_to_string(world.path("server.log")).unwrap();
        let told = said.lines().filter(|line| line.starts_with(&alarm) && line.ends_with("[LZ-0821]."));
        assert_eq!(told.count(), start, "{said}");
        server.kill();
    }
    let server = Program::serve(&lazaret().unwrap(), &world);
    server.answers(&world).await;
    // The approver's device has heard of nothing since.
    let next = ended(command(&world, Name::Approver, &["next"])).await;
    let lines = next.done()["migrations"].as_array().unwrap().clone();
    let says = |id: lexicon::MigrationId| {
        let line = lines.iter().find(|line| line["migration"] == id.to_string()).unwrap();
        line["server_says"].to_string()
    };
    assert!(says(round.plan.migration).contains("[LZ-0821]"), "{lines:?}");
    assert_eq!(says(other), "[]");
    // A device that knows more raises its own alarm, and the server's word stands beside it.
    let next =
        ended(command(&world, Name::Operator, &["next", "--migration", &round.plan.migration.to_string()])).await;
    next.says(super::bad_environment::MISMATCH, 1220, &["it was set back"]);
}
