//! Swap that would write memory to a disk in clear.

use drill::program::{Program, lazaret, serving};
use drill::{Command, Name, World, write_file};
use lexicon::{Clock, SystemClock};

use super::super::by_command::Unlocked;
use super::super::killed_server::closed_too_late;
use super::{REFUSED, RETRY, Scene, clean, command, ended, passphrase_file};

const SWAPS: &[u8] = b"Filename\tType\tSize\tUsed\tPriority\n/swap.of.the.drill file 1 0 -2\n";

/// The same command where the kernel lists another swap: in a mount namespace of its own.
fn with_swap(world: &World, command: &Command) -> Command {
    let mut other = Command::new("unshare");
    other.args(["--mount", "sh", "-c", "mount --bind \"$0\" /proc/swaps && exec \"$@\""]).arg(world.path("swaps"));
    let command = command.as_std();
    other.arg(command.get_program()).args(command.get_args());
    for name in command.get_envs().filter_map(|(name, value)| value.is_none().then_some(name)) {
        other.env_remove(name);
    }
    // Whatever the machine of the tests accepts.
    other.env_remove("LAZARET_DANGER_CLEAR_SWAP");
    other
}

fn can_be_made(world: &World) -> bool {
    with_swap(world, &Command::new("true")).output().is_ok_and(|asked| asked.status.success())
}

/// The agents sign it with what has keys or rows in memory: everybody replays it, and is shown it.
async fn accepted_by_agents(scene: &Scene, extracting: &Command) {
    let words = |name, step| scene.step_at(&scene.world.home(name), "passphrase", &["consignment", step]);
    let offering = words(Name::Recipient, "offer");
    let mut devices = Vec::new();
    for (name, command) in [(Name::Operator, extracting), (Name::Recipient, &offering)] {
        accepted(scene, command).await;
        devices.push(scene.world.desk(name).me().device.key);
        let ledger = scene.ledger().await;
        let round = ledger.migration().consignment(scene.consignment).unwrap();
        assert_eq!(round.clear_swap, devices.iter().copied().collect());
    }
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    accepted(scene, &words(Name::Operator, "hand-over")).await;
    let ledger = scene.ledger().await;
    let told = ledger.recorded().iter().map(|recorded| &recorded.fact.act).filter(|act| act.clear_swap());
    assert_eq!(told.map(procedure::Act::name).collect::<Vec<_>>(), ["begin", "offer", "hand over"]);
    let mut show = clean(&lazaret().unwrap());
    show.arg("--home").arg(scene.world.home(Name::Controller)).arg("--passphrase-file");
    let shown = show.arg(scene.world.path("passphrase")).args(["migration", "show"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for device in devices {
        let line = format!("device {}: its machine may write memory in clear to its swap", device.digest().short());
        assert!(shown.contains(&line), "{shown}");
    }
}

async fn accepted(scene: &Scene, command: &Command) {
    scene.now();
    let mut accepted = with_swap(&scene.world, command);
    accepted.env("LAZARET_DANGER_CLEAR_SWAP", "1");
    ended(accepted).await.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn swap_in_clear_is_refused_by_server_and_agents_unless_it_is_accepted_and_told() {
    let mut scene = Scene::set().await;
    write_file(&scene.world.path("swaps"), SWAPS);
    if !can_be_made(&scene.world) {
        drill::skipped!("swap_in_clear_is_refused_by_server_and_agents_unless_it_is_accepted_and_told (no namespace)");
        return;
    }
    let extracting = scene.extracting_from(&scene.systems.source.identity());
    ended(with_swap(&scene.world, &extracting)).await.says(REFUSED, 1097, &["/swap.of.the.drill"]);
    assert!(scene.given_up().await.is_empty(), "nothing was begun");
    accepted_by_agents(&scene, &extracting).await;

    scene.world.stop().await;
    scene.world.write_program_files("sweep_seconds = 1\n");
    let mut serve = serving(&lazaret().unwrap(), &scene.world);
    serve.arg("--json");
    ended(with_swap(&scene.world, &serve)).await.says(REFUSED, 1097, &["/swap.of.the.drill"]);

    for _ in 0..2 {
        let mut accepted = with_swap(&scene.world, &serve);
        accepted.env("LAZARET_DANGER_CLEAR_SWAP", "1");
        let server = Program::start(accepted, &scene.world);
        server.answers(&scene.world).await;
        server.kill();
    }
    let told: Vec<String> = scene.world.notes().into_iter().filter(|note| note.contains("swap")).collect();
    let [note] = told.as_slice() else { panic!("once: {told:?}") };
    assert!(note.ends_with("in clear to the swap /swap.of.the.drill"), "{note}");
    let log = std::fs::read_to_string(scene.world.path("server.log")).unwrap();
    assert_eq!(log.matches("Danger: memory may be written in clear").count(), 2, "{log}");
}

/// As a timer or a third party gives it: without a passphrase.
fn alone(words: &[&str]) -> Command {
    let mut command = clean(&lazaret().unwrap());
    command.arg("--json").args(words);
    command
}

/// A third party's laptop says of a pack what it says without swap.
async fn verifies_as_without_swap(scene: &Scene) {
    scene.now();
    let (world, desk) = (&scene.world, scene.world.desk(Name::Controller));
    let pack = desk.client().evidence(desk.keeper(), scene.plan.migration).await.unwrap();
    write_file(&world.path("evidence.zip"), &pack);
    let mut verify = alone(&["evidence", "verify"]);
    verify.arg(world.path("evidence.zip"));
    for party in ["Laboratory", "Vendor"] {
        verify.arg("--trust").arg(world.path(party).join("organisation.json"));
    }
    let with = ended(with_swap(world, &verify)).await;
    assert!(with.done()["verdict"].is_object(), "{}", with.said);
    assert_eq!(&with.said, ended(verify).await.done());
}

#[tokio::test(flavor = "multi_thread")]
async fn swap_in_clear_switches_no_deadline_of_a_device_off_and_stops_nobody_who_holds_no_key() {
    let mut scene = Scene::set().await;
    write_file(&scene.world.path("swaps"), SWAPS);
    if !can_be_made(&scene.world) {
        drill::skipped!(
            "swap_in_clear_switches_no_deadline_of_a_device_off_and_stops_nobody_who_holds_no_key (no namespace)"
        );
        return;
    }
    scene.extract().await.done();
    verifies_as_without_swap(&scene).await;
    scene.world.stop().await;
    scene.world.write_program_files("");
    let (world, id) = (&scene.world, scene.plan.migration.to_string());
    let mut verify = alone(&["journal", "verify", "--data"]);
    ended(with_swap(world, verify.arg(world.server_folder()))).await.done();

    let round = format!("migrations/{id}/consignments/{}", scene.consignment);
    let is_there = |name: Name, file: &str| world.home(name).join(&round).join(file).exists();
    let (share, key) = ((Name::Operator, "laboratory.share"), (Name::Recipient, "opening.key"));
    let held = || [share, key].map(|(name, file)| (is_there(name, file), is_there(name, "gone.json")));
    let extract = scene.extracting_from(&scene.systems.source.identity());
    let extracting = || with_swap(world, &extract);
    let timer = |name| {
        let home = world.home(name);
        with_swap(world, &alone(&["--home", home.to_str().unwrap(), "migration", "destroy", "--due"]))
    };
    ended(extracting()).await.says(REFUSED, 1097, &["/swap.of.the.drill"]);
    ended(timer(Name::Recipient)).await.done();
    assert_eq!(held(), [(true, false); 2], "the control: nothing is due");

    // The devices have seen a time after the deadline; the processes go by it.
    let desks = [Name::Operator, Name::Recipient].map(|name| world.desk(name));
    world.pass_hours(73);
    for desk in &desks {
        desk.now().unwrap();
    }
    scene.now();
    let refused = ended(extracting()).await;
    refused.says(REFUSED, 1097, &["/swap.of.the.drill"]);
    assert!(refused.complained.contains("are destroyed"), "{}", refused.complained);
    assert_eq!(held(), [(false, true), (true, false)], "refused, and what was due is gone");
    let due = ended(timer(Name::Recipient)).await;
    assert_eq!(due.done()["destroyed"][0]["consignment"], scene.consignment.to_string());
    assert_eq!(held(), [(false, true); 2]);

    // Nobody is refused who destroys by hand either; whoever only tries is.
    let destroy = ["migration", "destroy", "--migration", &id];
    let untold = ended(with_swap(world, &command(world, Name::Recipient, &destroy))).await;
    assert_eq!((untold.status, &untold.said["destroyed"][0]["stated"]), (Some(RETRY), &serde_json::json!(false)));
    assert!(untold.complained.contains("Danger: memory may be written in clear"), "{}", untold.complained);
    let tries = command(world, Name::Recipient, &[&destroy[..], &["--only-probe"]].concat());
    ended(with_swap(world, &tries)).await.says(REFUSED, 1097, &["/swap.of.the.drill"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn swap_in_clear_switches_no_deadline_of_a_server_off() {
    let mut world = World::start().await;
    let round = closed_too_late(&world).await;
    passphrase_file(&world);
    write_file(&world.path("swaps"), SWAPS);
    if !can_be_made(&world) {
        drill::skipped!("swap_in_clear_switches_no_deadline_of_a_server_off (no namespace)");
        return;
    }
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    let key = world.ring_folder().join(format!("keys/{}.key", round.consignment));
    assert!(key.exists(), "the control: the server was down at the deadline");
    let mut serve = serving(&lazaret().unwrap(), &world);
    serve.arg("--json");
    ended(with_swap(&world, &serve)).await.says(REFUSED, 1097, &["/swap.of.the.drill"]);
    assert!(!key.exists(), "refused, and the key that was due lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn swap_in_clear_stops_no_freeze_that_another_process_signs() {
    let world = World::start().await;
    world.plants_nothing("a migration is opened and frozen; there is no old system");
    passphrase_file(&world);
    write_file(&world.path("swaps"), SWAPS);
    if !can_be_made(&world) {
        drill::skipped!("swap_in_clear_stops_no_freeze_that_another_process_signs (no namespace)");
        return;
    }
    let id = world.open().await;
    world.clock.set(SystemClock.now());
    let named = id.to_string();
    let words = ["migration", "freeze", "--migration", &named, "--reason", "a letter"];
    let freeze = command(&world, Name::Engineer, &words);
    ended(with_swap(&world, &freeze)).await.says(REFUSED, 1097, &["/swap.of.the.drill"]);
    let _unlocked = Unlocked::of(&world, Name::Engineer).await;
    ended(with_swap(&world, &freeze)).await.done();
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    assert!(ledger.migration().frozen.is_some());
}
