//! Disks that are full: the server's in the middle of an upload, the one that a device's folder lies on, and the new
//! system's, a file's and a database server's. Each is a disk of its own in memory, which only the root account can make.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use drill::{Name, Round, World, copy_folder, lies_on};
use futures::FutureExt;
use lexicon::Code;
use procedure::{Act, Stage};

use super::line::Line;
use super::wire::{end, waiting};
use super::{RETRY, Scene, ended};
use crate::stories::databases::{self, Databases};
use crate::stories::no_deletion::{handed_over, is_destroyed, kept, parcels_on};
use crate::stories::program::{Program, lazaret};

/// A disk of a fixed size in the place of a folder, with what was in it.
struct Disk(PathBuf);

impl Disk {
    /// None where disks cannot be made.
    fn in_place_of(folder: &Path, kilobytes: u32) -> Option<Self> {
        let kept = folder.with_extension("kept");
        copy_folder(folder, &kept);
        let disk = Self::mounted(folder, &format!("size={kilobytes}k,mode=700"))?;
        copy_folder(&kept, folder);
        Some(disk)
    }

    /// An empty one for a database server with data of this owner. None where disks cannot be made.
    fn beside(data: &Path, folder: &Path, megabytes: u32) -> Option<Self> {
        let owner = std::fs::metadata(data).ok()?;
        std::fs::create_dir(folder).unwrap();
        Self::mounted(folder, &format!("size={megabytes}m,uid={},gid={},mode=700", owner.uid(), owner.gid()))
    }

    fn mounted(folder: &Path, options: &str) -> Option<Self> {
        Self::mounts(folder, options).then(|| Self(folder.to_owned()))
    }

    fn mounts(folder: &Path, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }

    fn grow(&self, megabytes: u32) {
        assert!(Self::mounts(&self.0, &format!("remount,size={megabytes}m")));
    }

    /// Leaves nothing free but so many bytes. Again: what has become free since is filled too.
    fn fill(&self, left: usize) {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&ballast).unwrap();
        while file.write_all(&[0; 4_096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(u64::try_from(left).unwrap())).unwrap();
    }

    fn make_space(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a killed process may still be on its way out.
        let gone = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(gone.is_ok_and(|status| status.success()) || std::thread::panicking(), "a disk in memory is left");
    }
}

/// A scene whose server is the program, with its data on a disk of its own.
async fn on_a_disk(name: &str) -> Option<(Scene, Disk, Program)> {
    let mut scene = Scene::set().await;
    scene.world.stop().await;
    scene.world.write_program_files("sweep_seconds = 1\n");
    let Some(disk) = Disk::in_place_of(&scene.world.server_folder(), 8 * 1_024) else {
        drill::skipped!("{name} (no disk can be made in memory here)");
        return None;
    };
    let server = Program::serve(&lazaret().unwrap(), &scene.world);
    server.answers(&scene.world).await;
    Some((scene, disk, server))
}

/// The journal holds, and every row is what its leaves made.
async fn is_whole(scene: &Scene) {
    let data = scene.world.server_folder();
    let verify = ["journal", "verify", "--data", data.to_str().unwrap()];
    ended(super::command(&scene.world, Name::Controller, &verify)).await.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_disk_that_is_full_in_mid_upload_is_waited_for_and_nothing_is_half_stored() {
    let name = "a_servers_disk_that_is_full_in_mid_upload_is_waited_for_and_nothing_is_half_stored";
    let Some((scene, disk, _server)) = on_a_disk(name).await else { return };
    let shelf = scene.world.server_folder().join("shelf");
    let (line, looked_at) = (Line::to_the_server(&scene.world).await, shelf.clone());
    line.hold_when(move || !lies_on(&looked_at).is_empty());
    line.leads(&scene.world, Name::Operator);
    let extracting = scene.extracting_from(&scene.systems.source.identity());
    let waits = tokio::spawn(waiting(extracting));
    line.held().await;
    disk.fill(0);
    line.mend();

    let (child, said) = waits.await.unwrap();
    assert!(said.contains("waiting: ") && said.contains("the disk is full"), "{said}");
    is_whole(&scene).await;
    disk.make_space();
    let extracted = end(child).await;
    extracted.done();

    assert!(scene.given_up().await.is_empty(), "it gave up");
    let ledger = scene.ledger().await;
    let (_, manifest) = ledger.migration().consignment(scene.consignment).unwrap().manifest.clone().unwrap();
    let named = manifest.sealed().chain(manifest.all_sums()).count();
    assert_eq!(lies_on(&shelf).len(), named, "cut uploads are left");
    is_whole(&scene).await;
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_disk_without_any_space_takes_no_act_and_its_registry_stays_whole() {
    let name = "a_servers_disk_without_any_space_takes_no_act_and_its_registry_stays_whole";
    let Some((scene, disk, server)) = on_a_disk(name).await else { return };
    let before = scene.ledger().await.last();
    disk.fill(0);

    let freeze = scene.plan.migration.to_string();
    let freeze = ["migration", "freeze", "--migration", &freeze, "--reason", "a full disk"];
    let freeze = |scene: &Scene| ended(super::command(&scene.world, Name::Controller, &freeze));
    scene.now();
    freeze(&scene).await.says(RETRY, 1218, &["NOT in force", "disk is full", "telephone"]);
    scene.extract().await.says(RETRY, 750, &["disk is full"]);
    server.kill();
    disk.make_space();
    let server = Program::serve(&lazaret().unwrap(), &scene.world);
    server.answers(&scene.world).await;

    is_whole(&scene).await;
    assert_eq!(scene.ledger().await.last(), before, "an act came in by half");
    scene.to_the_end().await;
}

/// A world that has one of its folders on a disk of its own, with a consignment that was handed over.
async fn handed_over_on_a_disk(name: &str, folder: fn(&World) -> PathBuf) -> Option<(World, Round, Disk)> {
    let mut world = World::start().await;
    let (_, round) = handed_over(&world).await;
    world.stop().await;
    let Some(disk) = Disk::in_place_of(&folder(&world), 8 * 1_024) else {
        drill::skipped!("{name} (no disk can be made in memory here)");
        return None;
    };
    world.restart();
    Some((world, round, disk))
}

/// What copies of the server's folders give of the strongroom share.
fn copied_share(world: &World, round: &Round, name: &str) -> lexicon::Result<Option<seal::Share>> {
    let [data, ring] = ["data", "ring"].map(|part| world.path(&format!("{name} {part}")));
    copy_folder(&world.server_folder(), &data);
    copy_folder(&world.ring_folder(), &ring);
    world.strongroom_share(&data, &ring, round)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_disk_that_is_full_switches_no_deadline_off_and_the_record_is_complete_once_there_is_space() {
    let name = "a_servers_disk_that_is_full_switches_no_deadline_off_and_the_record_is_complete_once_there_is_space";
    let Some((mut world, round, disk)) = handed_over_on_a_disk(name, World::server_folder).await else { return };
    let parcels = parcels_on(&world.server_folder(), &round);
    assert!(copied_share(&world, &round, "before").unwrap().is_some(), "the control");

    disk.fill(0);
    world.pass_hours(21 * 24);
    for beat in 0..2 {
        let trouble = world.office().sweep().await.unwrap_err();
        assert!(trouble.to_string().contains("the disk is full"), "{beat}: {trouble}");
    }
    let refused = copied_share(&world, &round, "full").unwrap_err();
    assert_eq!(refused.code(), Code(707), "{refused}");
    assert_eq!(parcels_on(&world.server_folder(), &round), parcels, "dead, and counted by the fact");
    let log = std::fs::read_to_string(drill::log()).unwrap();
    let alarm =
        format!("the deadline of consignment {} has passed and the journal does not take it", round.consignment);
    assert!(log.lines().any(|line| line.contains("ALARM") && line.contains(&alarm)), "nobody was told");

    world.stop().await;
    disk.make_space();
    world.restart();
    assert!(world.office().put_back().await.is_empty(), "it takes itself for an old copy");
    world.office().sweep().await.unwrap();
    let ledger = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    let facts = ledger.recorded().iter().map(|recorded| &recorded.fact);
    let [overdue, destroyed, finish] = facts.rev().take(3).rev().collect::<Vec<_>>()[..] else { panic!("three") };
    assert!(matches!(overdue.act, Act::Overdue { consignment: None }) && matches!(finish.act, Act::Finish { .. }));
    let Act::Destroyed { evidence, .. } = &destroyed.act else { panic!("{destroyed:?}") };
    assert!(evidence.key.found && evidence.key.at <= overdue.at);
    assert_eq!(evidence.parcels, u64::try_from(parcels).unwrap());
    assert_eq!(ledger.migration().stage, Stage::Destroyed);
    world.stop().await;
    is_destroyed(&world, &world.server_folder(), &world.ring_folder(), &round);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_facts_on_a_full_disk_switch_no_deadline_off_either() {
    let name = "damaged_facts_on_a_full_disk_switch_no_deadline_off_either";
    let Some((mut world, round, disk)) = handed_over_on_a_disk(name, World::server_folder).await else { return };
    world.stop().await;
    let db = rusqlite::Connection::open(world.server_folder().join("registry.sqlite")).unwrap();
    assert_eq!(db.execute("DELETE FROM fact WHERE number = 2", []).unwrap(), 1);
    drop(db);
    world.restart();
    world.office().sweep().await.unwrap();
    assert!(copied_share(&world, &round, "before").unwrap().is_some(), "the control");

    disk.fill(0);
    world.pass_hours(73);
    world.office().sweep().await.unwrap_err();
    assert_eq!(copied_share(&world, &round, "full").unwrap_err().code(), Code(707));
    let told = |world: &World| world.notes().iter().filter(|note| note.contains("destroyed without a fact")).count();
    assert_eq!(told(&world), 0, "it could be noted: this story says too little");

    disk.make_space();
    world.office().sweep().await.unwrap();
    assert_eq!((told(&world), parcels_on(&world.server_folder(), &round)), (1, 0));
    world.stop().await;
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_key_ring_holds_up_no_deadline_either() {
    let name = "a_full_disk_under_the_key_ring_holds_up_no_deadline_either";
    let Some((mut world, round, disk)) = handed_over_on_a_disk(name, World::ring_folder).await else { return };
    let reserve = world.ring_folder().join("reserve");
    let kept = || std::fs::metadata(&reserve).unwrap().ino();
    let first = kept();
    disk.fill(0);
    world.pass_hours(21 * 24);
    world.office().sweep().await.unwrap();
    world.stop().await;
    is_destroyed(&world, &world.server_folder(), &world.ring_folder(), &round);
    assert_ne!(kept(), first, "the control: it needed what it had kept, and keeps it again");
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_disk_is_full_begins_nothing_that_it_cannot_keep() {
    let name = "a_device_whose_disk_is_full_begins_nothing_that_it_cannot_keep";
    let scene = Scene::set().await;
    let Some(disk) = Disk::in_place_of(&scene.world.home(Name::Operator), 2_048) else {
        drill::skipped!("{name} (no disk can be made in memory here)");
        return;
    };
    disk.fill(0);

    scene.extract().await.says(RETRY, 1211, &["this device's folder"]);
    disk.make_space();

    scene.to_the_end().await;
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_a_device_holds_up_its_own_deadline_no_more() {
    let name = "a_full_disk_under_a_device_holds_up_its_own_deadline_no_more";
    let operator = |world: &World| world.home(Name::Operator);
    let Some((world, round, disk)) = handed_over_on_a_disk(name, operator).await else { return };
    let home = desk::Home::open(&operator(&world)).unwrap();
    let place = desk::Round { migration: round.plan.migration, consignment: round.consignment };
    let look = || desk::destroy_overdue(&home, world.clock.as_ref()).unwrap();
    assert!(look().is_quiet() && home.held(place.migration).unwrap() == [place], "the control");

    disk.fill(0);
    world.pass_hours(73);
    let overdue = look();
    assert_eq!(
        overdue.time.map(|trouble| trouble.code()),
        Some(Code(1211)),
        "it has space: this story says too little"
    );
    assert!(overdue.failed.is_empty(), "{:?}", overdue.failed);
    assert_eq!(overdue.destroyed.iter().map(|round| (round.round, round.keys)).collect::<Vec<_>>(), [(place, 1)]);
    assert_eq!(kept(&world, Name::Operator, place), ["gone.json"]);

    disk.make_space();
    assert!(look().is_quiet());
    let gone = home.gone(place).unwrap().unwrap();
    assert!(gone.finished && gone.keys == 1 && gone.deadline.is_some(), "{gone:?}");
    drop(disk);
}

/// A scene whose new system lies on a disk of its own.
async fn new_on_a_disk(name: &str) -> Option<(Scene, Disk)> {
    let world = World::start().await;
    let mut systems = world.systems(60);
    // Named as the new system is, because rows stand in clear there.
    let folder = world.path("new.sqlite-disk");
    std::fs::create_dir(&folder).unwrap();
    let new = folder.join("new.sqlite");
    std::fs::rename(&systems.new, &new).unwrap();
    let Some(disk) = Disk::in_place_of(&folder, 1_024) else {
        drill::skipped!("{name} (no disk can be made in memory here)");
        return None;
    };
    systems.sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
    systems.new = new;
    Some((Scene::of(world, systems, &synth::scope_toml()).await, disk))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_system_whose_disk_is_full_is_told_so_and_loaded_to_the_end_once_there_is_space() {
    let name = "a_new_system_whose_disk_is_full_is_told_so_and_loaded_to_the_end_once_there_is_space";
    let Some((scene, disk)) = new_on_a_disk(name).await else { return };
    let full = ["the disk under the SQLite database is full", "make space"];
    let loaded = || {
        let targets = ["import_prescriber", "import_patient", "import_request", "import_result"];
        targets.map(|target| scene.rows(target) > 0)
    };
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();

    disk.fill(0);
    scene.load().await.says(RETRY, 432, &full);
    assert_eq!(loaded(), [false; 4]);
    disk.make_space();
    rusqlite::Connection::open(&scene.systems.new).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    disk.fill(0);
    scene.load().await.says(RETRY, 432, &full);
    disk.make_space();
    rusqlite::Connection::open(&scene.systems.new).unwrap().pragma_update(None, "journal_mode", "delete").unwrap();
    // Enough for the journal and the first tables.
    disk.fill(48 * 1_024);
    scene.load().await.says(RETRY, 432, &full);
    let first = loaded();
    assert!(first[0] && !first[3], "the disk was not full in the middle: {first:?}");
    disk.make_space();

    assert_eq!(scene.given_up().await, [432, 432, 432]);
    scene.to_the_end().await;
    drop(disk);
}

const LABELS: &str = "[[table]]\nname = 'label'\ntarget = 'import_label'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'words', type = 'text' }]\n";
/// 8 MB, each row too short to be compressed.
const OLD_LABELS: &str = "CREATE TABLE label (id INTEGER PRIMARY KEY, words TEXT); \
     WITH RECURSIVE n (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < 8000) \
       INSERT INTO label SELECT id, printf('tube-v8Kd2x-%0988d', id) FROM n";
const MARKER: &str = "CREATE TABLE lazaret_load (consignment VARCHAR(32) NOT NULL, target_table VARCHAR(128) NOT NULL, \
     attempt BIGINT NOT NULL, row_count BIGINT NOT NULL, PRIMARY KEY (consignment, target_table))";

/// A table of the new system has a disk of its own, of 4 MB.
async fn on_a_tablespace(databases: &Databases) {
    let session = databases::postgres(&databases.postgres).await;
    let data: String = session.query_one("SHOW data_directory", &[]).await.unwrap().get(0);
    let folder = drill::folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let place = folder.path().join("disk");
    let Some(disk) = Disk::beside(Path::new(&data), &place, 4) else {
        drill::skipped!("a full disk of PostgreSQL, through the program (no disk can be made in memory here)");
        return;
    };
    let old = folder.path().join("labels.sqlite");
    rusqlite::Connection::open(&old).unwrap().execute_batch(OLD_LABELS).unwrap();
    let space = format!("{}_disk", databases.account());
    databases.on_postgres(&format!("CREATE TABLESPACE {space} LOCATION '{}'", place.display())).await;
    databases.on_postgres(MARKER).await;
    let table = format!("CREATE TABLE import_label (id BIGINT PRIMARY KEY, words TEXT) TABLESPACE {space}");
    databases.on_postgres(&table).await;
    let (source, owner, writer) =
        (format!("sqlite:{}", old.display()), databases.postgres.clone(), databases.writer().await);
    let scene = Scene::between(&source, &owner, LABELS, &[]).await;
    // How every one of them begins.
    scene.world.plant_in("label", "words", ["tube-v8Kd2x-000".to_owned()]);
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();

    // Whose rows go straight into the table, and whose are staged first.
    let full = ["target table `import_label`: the disk under the PostgreSQL database is full", "make space"];
    for target in [&owner, &writer] {
        scene.now();
        ended(scene.loading_into(target)).await.says(RETRY, 432, &full);
        let there = "SELECT (SELECT count(*) FROM import_label) + (SELECT count(*) FROM lazaret_load)";
        assert_eq!(session.query_one(there, &[]).await.unwrap().get::<_, i64>(0), 0, "it is half loaded");
    }
    disk.grow(64);

    assert_eq!(scene.given_up().await, [432, 432]);
    scene.now();
    assert_eq!(ended(scene.loading_into(&writer)).await.done()["equal"], true);
    let held = databases.texts(databases::Server::Postgres, "import_label", "words").await;
    assert_eq!(held.lines().count(), 8_000);
    let met = BTreeMap::from([("label.words".to_owned(), 8_000)]);
    assert_eq!(scene.world.met_in(held.as_bytes()), met, "the control: met in the new system");
    scene.destroyed().await;
    databases.on_postgres("DROP TABLE import_label").await;
    databases.on_postgres(&format!("DROP TABLESPACE {space}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_system_on_a_server_whose_disk_is_full_is_told_so_and_loaded_once_it_has_grown() {
    let name = "a_new_system_on_a_server_whose_disk_is_full_is_told_so_and_loaded_once_it_has_grown";
    databases::with(name, |databases| on_a_tablespace(databases).boxed_local()).await;
}
