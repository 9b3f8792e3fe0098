//! What can be wrong around the program: databases, server, disks, clocks, parcels, keys, settings. Each ends with one
//! sentence, a stable code, what to do and an exit status; leaves nothing half done; and the same command comes to its
//! end once it is mended, but for what is sealed already.
#![cfg(unix)]

mod clocks;
mod constraints;
mod databases;
mod devices;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod durable;
mod leases;
mod line;
mod lost;
#[cfg(target_os = "linux")]
mod memory;
mod parcels;
mod rows;
pub(super) mod server;
pub(super) mod stores;
#[cfg(target_os = "linux")]
mod swap;
mod systems;
mod token;
mod views;
mod wire;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use drill::{Command, Name, Systems, World, write_file};
use lexicon::{Clock, ConsignmentId, SystemClock};
use procedure::{Act, ConsignmentStage, Ledger, Plan, Stage};
use serde_json::Value;
use tokio::time::timeout;

use super::program::{clean, lazaret};

/// Statuses of the manual's page.
const FAILURE: i32 = 1;
pub(super) const REFUSED: i32 = 3;
const ANOTHER_PERSON: i32 = 4;
pub(super) const MISMATCH: i32 = 5;
const AUTHENTICATION: i32 = 6;
const UNREACHABLE: i32 = 7;
const RETRY: i32 = 75;

/// A passage waits a little over four minutes for its server.
const AT_MOST: Duration = Duration::from_mins(6);

/// A consignment that is opened and offered for, and the program beside its world.
struct Scene {
    world: World,
    systems: Systems,
    plan: Plan,
    consignment: ConsignmentId,
}

/// How a command ended.
pub(super) struct Ended {
    status: Option<i32>,
    said: Value,
    complained: String,
}

/// A command of a person on their device.
pub(super) fn command(world: &World, name: Name, words: &[&str]) -> Command {
    command_at(&world.home(name), &world.path("passphrase"), words)
}

/// A command on any device, with any passphrase.
fn command_at(home: &Path, passphrase: &Path, words: &[&str]) -> Command {
    // Built before the stories, as `cargo xtask test` does it.
    let mut command = clean(&lazaret().unwrap());
    command.args(["--json", "--quiet", "--home"]).arg(home);
    command.arg("--passphrase-file").arg(passphrase).args(words);
    command
}

/// Runs it to its end, whatever that is.
pub(super) async fn ended(mut command: Command) -> Ended {
    let child = command.spawn().unwrap();
    let id = child.id().to_string();
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = timeout(AT_MOST, waiting).await;
    if output.is_err() {
        Command::new("kill").args(["-KILL", &id]).output().unwrap();
    }
    Ended::of(&output.unwrap().unwrap())
}

/// Looks again and again.
async fn until(mut look: impl AsyncFnMut() -> bool) {
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    while !look().await {
        beat.tick().await;
    }
}

/// Other bytes in the place of a file.
pub(super) fn replace(path: &Path, bytes: &[u8]) {
    // It may be gone already.
    drop(std::fs::remove_file(path));
    write_file(path, bytes);
}

pub(super) fn passphrase_file(world: &World) {
    write_file(&world.path("passphrase"), b"a passphrase of the drill");
}

impl Ended {
    fn of(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { status: output.status.code(), said, complained }
    }

    /// One sentence with all of these words in it, its code for people and for programs, what to do, and the status.
    pub(super) fn says(&self, status: i32, code: u64, words: &[&str]) {
        let Self { said, complained, .. } = self;
        let error = &said["error"];
        assert_eq!((self.status, error["code"].as_u64()), (Some(status), Some(code)), "{said}\n{complained}");
        let message = error["message"].as_str().unwrap();
        let missing: Vec<_> = words.iter().filter(|word| !message.contains(**word)).collect();
        assert!(missing.is_empty(), "{missing:?} not in: {message}");
        let told = format!("{message} [LZ-{code:04}]\nWhat to do: ");
        assert!(complained.contains(&told) && !complained.contains("panicked"), "{complained}");
    }

    pub(super) fn done(&self) -> &Value {
        assert_eq!(self.status, Some(0), "{}\n{}", self.said, self.complained);
        &self.said
    }
}

impl Scene {
    async fn set() -> Self {
        let world = World::start().await;
        let systems = world.systems(60);
        Self::of(world, systems, &synth::scope_toml()).await
    }

    async fn of(world: World, systems: Systems, scope: &str) -> Self {
        passphrase_file(&world);
        let plan = world.approved(scope, systems.source.as_ref(), systems.sink.as_ref()).await;
        let consignment = world.consign(&plan).await;
        Self { world, systems, plan, consignment }
    }

    /// Extracted, released, handed over.
    async fn released() -> Self {
        let scene = Self::set().await;
        scene.extract().await.done();
        scene.world.release(&scene.plan, scene.consignment).await.unwrap();
        scene
    }

    /// The world's time goes on as the machine's does, by which the processes go.
    fn now(&self) {
        self.world.clock.set(SystemClock.now());
    }

    fn extracting_from(&self, source: &str) -> Command {
        self.extracting_at(&self.world.home(Name::Operator), "passphrase", source)
    }

    fn extracting_at(&self, home: &Path, passphrase: &str, source: &str) -> Command {
        let plan = self.plan.digest().unwrap().to_string();
        self.step_at(home, passphrase, &["extract", "--source", source, "--yes", &plan])
    }

    fn loading_into(&self, target: &str) -> Command {
        self.step_at(&self.world.home(Name::Recipient), "passphrase", &["load", "--target", target])
    }

    fn step_at(&self, home: &Path, passphrase: &str, step: &[&str]) -> Command {
        let (migration, consignment) = (self.plan.migration.to_string(), self.consignment.to_string());
        let of = ["--migration", &migration, "--consignment", &consignment];
        command_at(home, &self.world.path(passphrase), &[step, &of[..]].concat())
    }

    async fn extract(&self) -> Ended {
        self.now();
        ended(self.extracting_from(&self.systems.source.identity())).await
    }

    async fn load(&self) -> Ended {
        self.now();
        let ended = ended(self.loading_into(&self.systems.sink.identity())).await;
        self.nothing_is_half();
        ended
    }

    /// Every table of the new system that is there has all the rows that its marker says, or no marker and no rows.
    fn nothing_is_half(&self) {
        if !self.systems.new.exists() {
            return;
        }
        let new = rusqlite::Connection::open(&self.systems.new).unwrap();
        let rows = |sql: String| new.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        for table in scope::Scope::parse(&synth::scope_toml()).unwrap().tables() {
            let target = &table.target;
            let there = rows(format!("SELECT count(*) FROM {target}"));
            let marked = rows(format!("SELECT row_count FROM lazaret_load WHERE target_table = '{target}'"));
            assert_eq!(there, marked, "{target} is half loaded");
        }
    }

    fn rows(&self, table: &str) -> i64 {
        let new = rusqlite::Connection::open(&self.systems.new).unwrap();
        new.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    async fn ledger(&self) -> Ledger {
        self.now();
        self.world.desk(Name::Controller).follow(self.plan.migration).await.unwrap()
    }

    /// What every attempt that gave up gave up for, as the journal has it.
    async fn given_up(&self) -> Vec<u16> {
        let ledger = self.ledger().await;
        let codes = ledger
            .recorded()
            .iter()
            .filter_map(|recorded| if let Act::Failed { code, .. } = &recorded.fact.act { Some(*code) } else { None });
        codes.collect()
    }

    /// The operator gives it up.
    async fn abandoned(&self) {
        self.now();
        let (consignment, reason) = (self.consignment, "the drill ends it".to_owned());
        self.world.act(Name::Operator, self.plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
    }

    /// What the server says of its own part, as `lazaret next` shows it.
    async fn server_says(&self) -> String {
        self.now();
        let next = ended(command(&self.world, Name::Controller, &["next"])).await;
        next.done().pointer("/migrations/0/server_says").unwrap().to_string()
    }

    /// Looks until `lazaret next` says so, with the code of why.
    async fn next_says(&self, what: &str, code: u16) {
        let sentence = format!("consignment {}: {what}", self.consignment);
        let says = async || {
            let said = self.server_says().await;
            said.contains(&sentence) && said.contains(&format!("[LZ-{code:04}]"))
        };
        timeout(AT_MOST, until(says)).await.unwrap();
    }

    async fn next_is_silent(&self) {
        assert_eq!(self.server_says().await, "[]");
    }

    async fn is_destroyed_by_the_sweep(&self) {
        let destroyed = async || {
            let ledger = self.ledger().await;
            ledger.migration().consignment(self.consignment).unwrap().stage == ConsignmentStage::Destroyed
        };
        timeout(AT_MOST, until(destroyed)).await.unwrap();
    }

    /// From where it stands to the end: the same commands, given again.
    async fn to_the_end(&self) {
        let stage = |ledger: &Ledger| ledger.migration().consignment(self.consignment).unwrap().stage;
        if stage(&self.ledger().await) == ConsignmentStage::Open {
            self.extract().await.done();
        }
        if stage(&self.ledger().await) == ConsignmentStage::Closed {
            self.world.release(&self.plan, self.consignment).await.unwrap();
        }
        assert_eq!(self.load().await.done()["equal"], true);
        self.destroyed().await;
    }

    async fn destroyed(&self) {
        self.now();
        self.world.sign_off(&self.plan).await.unwrap();
        for name in [Name::Recipient, Name::Operator] {
            self.world.destroy_part(name, self.plan.migration, &[]).await.unwrap();
        }
        let ledger = self.ledger().await;
        assert_eq!(ledger.migration().stage, Stage::Destroyed);
        assert_eq!(ledger.migration().consignment(self.consignment).unwrap().parts.len(), 2);
    }
}
