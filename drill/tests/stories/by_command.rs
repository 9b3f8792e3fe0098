//! What people and timers do with the program itself when something went wrong: without a passphrase, without a server,
//! or on a machine without a network.
#![cfg(unix)]

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use drill::{Child, Command, Name, Party, World, write_file};
use lexicon::{Clock, SystemClock, hours_after};
use serde_json::Value;

use super::program::{clean, lazaret};

/// Far longer than the program takes to start.
const AT_MOST: Duration = Duration::from_mins(2);

fn program(arguments: &[&str]) -> Command {
    // Built before the stories, as `cargo xtask test` does it.
    let mut command = clean(&lazaret().unwrap());
    command.args(arguments);
    command
}

/// Runs the program with `--json`: its status, what it said, and what it complained of.
pub(super) async fn run(arguments: &[&str]) -> (i32, Value, String) {
    let mut command = program(arguments);
    command.arg("--json");
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let complained = String::from_utf8(stderr).unwrap();
    let said = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
    (status.code().unwrap(), said, complained)
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Everybody's passphrase, in a file.
pub(super) fn passphrase_file(world: &World) -> PathBuf {
    let path = world.path("passphrase");
    if !path.exists() {
        write_file(&path, b"a passphrase of the drill");
    }
    path
}

/// `lazaret unlock`, ended with the story.
pub(super) struct Unlocked(Child);

impl Unlocked {
    pub(super) async fn of(world: &World, name: Name) -> Self {
        let (home, passphrase) = (world.home(name), passphrase_file(world));
        let arguments = ["--home", text(&home), "--passphrase-file", text(&passphrase), "unlock"];
        let mut child = Self(program(&arguments).spawn().unwrap());
        until(&mut child, || UnixStream::connect(home.join("unlocked.sock")).is_ok()).await;
        child
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

async fn until(child: &mut Unlocked, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(child.0.try_wait().unwrap().is_none() && started.elapsed() < AT_MOST, "it does not come");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_made_without_a_network_counts_where_it_is_handed_in() {
    let mut world = World::start().await;
    world.plants_nothing("a certificate is taken back; there is no old system");
    let (root, file, secret) = (world.path("Vendor"), world.path("paul.revocation"), passphrase_file(&world));
    let (root, file, secret) = (text(&root), text(&file), text(&secret));
    let (engineer, operator) = (world.home(Name::Engineer), world.home(Name::Operator));
    let (engineer, operator) = (["--home", text(&engineer)], ["--home", text(&operator)]);
    let secret = ["--passphrase-file", secret];
    let paul = world.certificate(Name::Approver);
    let since = hours_after(world.clock.now(), -1).to_string();
    world.stop().await;

    // On the machine with the root: no device, no server.
    let (status, shown, _) = run(&["organisation", "show", "--folder", root]).await;
    let listed = shown["certificates"].as_array().unwrap();
    let listed = listed.iter().find(|line| line["certificate"]["person"]["name"] == Name::Approver.called()).unwrap();
    assert_eq!((status, listed["digest"].as_str().unwrap()), (0, paul.to_string().as_str()));
    let digest = paul.to_string();
    let revoke = ["organisation", "revoke", "--folder", root, "--certificate", &digest, "--compromised-since", &since];
    let (status, lost, _) = run(&[&secret[..], &revoke].concat()).await;
    assert_eq!((status, &lost["error"]["code"]), (3, &serde_json::json!(1022)), "it would be nowhere");
    let (status, made, complained) = run(&[&secret[..], &revoke, &["--out", file]].concat()).await;
    assert_eq!((status, made["journalled"].as_bool()), (0, Some(false)), "{complained}");

    // An agent takes it by file; a device that is to hand it in finds the server away, and counts it itself already.
    let (status, ..) = run(&[&secret[..], &operator, &["trust", file, "--revocation"]].concat()).await;
    assert_eq!(status, 0);
    let hand_in = [&secret[..], &engineer, &["person", "hand-in", file]].concat();
    let (status, away, _) = run(&hand_in).await;
    assert_eq!((status, away["journalled"].as_bool()), (7, Some(false)));
    for name in [Name::Operator, Name::Engineer] {
        assert_eq!(std::fs::read_dir(world.home(name).join("revocations")).unwrap().count(), 1, "{name:?}");
    }
    world.clock.set(SystemClock.now());
    world.restart();
    world.desk(Name::Approver).people().await.expect("the control: so far he is let in");
    let (status, done, complained) = run(&hand_in).await;
    assert_eq!((status, done["journalled"].as_bool()), (0, Some(true)), "{complained}");
    world.desk(Name::Approver).people().await.unwrap_err();
    // Another organisation's root takes nothing back.
    let now = world.clock.now();
    let foreign = world.organisation(Party::Laboratory).revoke(world.certificate(Name::Engineer), now, now).unwrap();
    write_file(&world.path("foreign"), &lexicon::canonical(&foreign).unwrap());
    let foreign = world.path("foreign");
    let (status, refused, _) = run(&[&secret[..], &operator, &["person", "hand-in", text(&foreign)]].concat()).await;
    assert_eq!((status, &refused["error"]["code"]), (6, &serde_json::json!(124)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlocked_key_freezes_without_a_passphrase_and_does_nothing_that_binds() {
    let world = World::start().await;
    world.plants_nothing("a migration is opened and frozen; there is no old system");
    let id = world.open().await;
    let home = world.home(Name::Engineer);
    world.clock.set(SystemClock.now());
    let act = |verb| {
        let (home, id) = (home.clone(), id.to_string());
        async move { run(&["--home", text(&home), "migration", verb, "--migration", &id, "--reason", "a letter"]).await }
    };

    let (status, locked, _) = act("freeze").await;
    assert_eq!((status, &locked["error"]["code"]), (3, &serde_json::json!(1011)), "nobody can be asked");
    let _unlocked = Unlocked::of(&world, Name::Engineer).await;
    let (status, _, complained) = act("freeze").await;
    assert_eq!(status, 0, "{complained}");
    let (status, thaw, _) = act("thaw").await;
    assert_eq!((status, &thaw["error"]["code"]), (3, &serde_json::json!(1011)));
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    assert!(ledger.migration().frozen.as_ref().is_some_and(|frozen| frozen.thaw.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_folder_refuses_every_command_and_says_until_when_its_keys_are_kept() {
    let world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    let (home, secret) = (world.home(Name::Operator), passphrase_file(&world));
    let next = ["--home", text(&home), "--passphrase-file", text(&secret), "next"];
    for name in ["server.json", "certificate.json"] {
        let (file, whole) = (home.join(name), world.path("whole"));
        std::fs::rename(&file, &whole).unwrap();
        write_file(&file, b"torn");
        let (status, refused, complained) = run(&next).await;
        assert_eq!((status, &refused["error"]["code"]), (5, &serde_json::json!(1212)), "{name}");
        assert!(complained.contains("[LZ-1227]") && complained.contains("they go at"), "{name}: {complained}");
        std::fs::rename(&whole, &file).unwrap();
    }
    let undated = home.join(format!("migrations/{}/undated", round.plan.migration));
    assert!(undated.exists(), "the control");
    let (_, _, complained) = run(&next).await;
    assert!(!undated.exists() && !complained.contains("LZ-1227"), "{complained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_and_an_unlocked_key_destroy_what_is_due_without_passphrase_and_server() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    world.stop().await;
    let gone = |name| {
        let path = format!("migrations/{}/consignments/{}/gone.json", round.plan.migration, round.consignment);
        world.home(name).join(path)
    };
    let home = world.home(Name::Operator);
    let due = ["--home", text(&home), "migration", "destroy", "--due"];
    let (status, nothing, complained) = run(&due).await;
    assert_eq!((status, nothing["destroyed"].as_array().map(Vec::len)), (0, Some(0)), "{complained}");
    let (status, ..) = run(&[&due[..], &["--migration", &round.plan.migration.to_string()]].concat()).await;
    assert_eq!((status, gone(Name::Operator).exists()), (2, false), "it is for all of them");

    // Both machines have seen a time after the deadline; that their clocks show an earlier one now changes nothing.
    let (desks, now) = ([Name::Operator, Name::Recipient].map(|name| world.desk(name)), world.clock.now());
    world.pass_hours(73);
    for desk in &desks {
        desk.now().unwrap();
    }
    world.clock.set(now);
    let (status, destroyed, complained) = run(&due).await;
    assert_eq!((status, &destroyed["destroyed"][0]["keys"]), (0, &serde_json::json!(1)), "{complained}");
    assert_eq!(destroyed["destroyed"][0]["consignment"], round.consignment.to_string());
    assert!(gone(Name::Operator).exists() && !gone(Name::Recipient).exists());
    let mut unlocked = Unlocked::of(&world, Name::Recipient).await;
    until(&mut unlocked, || gone(Name::Recipient).exists()).await;

    let secret = passphrase_file(&world);
    let (status, next, _) = run(&["--home", text(&home), "--passphrase-file", text(&secret), "next"]).await;
    let why = next["migrations"][0]["waits"][0]["why"].as_str().unwrap();
    assert!(status == 7 && why.contains("destroyed here by the deadline"), "{why}");
}
