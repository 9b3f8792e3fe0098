//! The hostile server: it has the true one's address, TLS identity, signing key, journal, shelf and strongroom, and no
//! scruples. Everything that its key signs in a lie holds together, so that only the lie itself can be what is refused.
//!
//! What can only be withheld is bounded: a release by its load-by, a freeze and a revocation by whoever knows of it.
//! Persons lie beside it or without it (`persons`).

mod again;
mod invented;
mod parcels;
mod persons;
mod rounds;
mod server;
mod set_back;
mod story;
mod withheld;

use std::fmt::Debug;
use std::sync::Arc;

use desk::Desk;
use drill::{Name, Systems, World, passphrase};
use lexicon::{ConsignmentId, MigrationId, Result};
use passage::{Errand, Quiet};
use procedure::Plan;

use server::Hostile;
use story::Story;

/// What an agent's person reads: the sentence and its code.
fn said<T: Debug>(outcome: Result<T>) -> String {
    outcome.unwrap_err().to_string()
}

/// Where the agent keeps the evidence of an alarm.
const KEPT: &str = "both sides of it are kept under `alarms` in this device's folder";

/// The agent's sentence about a fact that an honest server cannot have signed.
fn dishonest(number: u64, why: &str) -> String {
    format!("ALARM: the server's fact {number} does not follow from the signed acts: {why}; {KEPT} [LZ-0270]")
}

/// As [`dishonest`], where the procedure itself would have refused the act.
fn refused(number: u64, why: &str) -> String {
    dishonest(number, &format!("the procedure says: {why}"))
}

/// What is said of a signature in the name of `name` that another key made.
fn not_theirs(world: &World, name: Name) -> String {
    let certificate = world.certificate(name).short();
    format!("ALARM: a signature under key {certificate} does not hold: the bytes are not what was signed [LZ-0112]")
}

/// What this person's agent says to this story.
async fn hears(world: &World, name: Name, story: Story) -> String {
    let id = story.state.id;
    said(world.desk_over(name, Hostile::telling(world, story)).follow(id).await.map(|ledger| ledger.last()))
}

/// How many alarms this device keeps the evidence of.
fn alarms(world: &World, name: Name, migration: MigrationId) -> usize {
    let folder = world.home(name).join(format!("migrations/{migration}/alarms"));
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// A person's hands on a desk that speaks to a hostile server.
struct Hands {
    desk: Desk,
    passphrase: people::Passphrase,
}

impl Hands {
    fn of(world: &World, name: Name, server: &Arc<Hostile>) -> Self {
        let server: Arc<Hostile> = Arc::clone(server);
        Self { desk: world.desk_over(name, server), passphrase: passphrase() }
    }

    fn errand(&self, migration: MigrationId, consignment: ConsignmentId) -> Errand<'_> {
        Errand { desk: &self.desk, passphrase: &self.passphrase, migration, consignment, progress: &Quiet }
    }
}

/// How many patients the new system has.
fn patients(systems: &Systems) -> i64 {
    let target = rusqlite::Connection::open(&systems.new).unwrap();
    target.query_row("SELECT count(*) FROM import_patient", [], |row| row.get(0)).unwrap()
}

/// A plan that is proposed and not approved.
async fn proposed(world: &World, systems: &Systems) -> Plan {
    let id = world.open().await;
    let (plan, documents) = world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    world.propose(&plan, &documents).await.unwrap();
    plan
}

/// A plan that is approved.
async fn approved(world: &World, systems: &Systems) -> Plan {
    world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await
}
