//! What the processes of a passage hold in memory, each a process of the program.
#![cfg(target_os = "linux")]

use connectors::{Sink, Source};
use drill::{Name, World, write_file};
use lexicon::{Clock, SystemClock};
use procedure::Reconciliation;

use super::program::{Program, clean, lazaret};

/// 256 MiB, in KiB.
pub(super) const HELD_MAX: u64 = 256 * 1024;

/// A command of a person, to its good end: the most memory that it held, in KiB.
async fn held(world: &World, name: Name, step: &str, words: &[&str]) -> u64 {
    let mut command = clean(&lazaret().unwrap());
    command.arg("--json").arg("--home").arg(world.home(name));
    command.arg("--passphrase-file").arg(world.path("passphrase")).arg(step).args(words);
    let (output, most) = command.held().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    most
}

/// The most that extraction, load, reconciliation and server held, in KiB, and what came of it. Documents go into this folder.
pub(super) async fn by_a_passage(
    world: &mut World,
    scope: &str,
    source: &dyn Source,
    sink: &dyn Sink,
    documents: Option<&str>,
) -> ([u64; 4], Reconciliation) {
    let plan = world.approved(scope, source, sink).await;
    let consignment = world.consign(&plan).await;
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    write_file(&world.path("passphrase"), b"a passphrase of the drill\n");
    let server = Program::serve(&lazaret().unwrap(), world);
    server.answers(world).await;

    let (yes, target, source) = (plan.digest().unwrap().to_string(), sink.identity(), source.identity());
    let extracting = held(world, Name::Operator, "extract", &["--source", &source, "--yes", &yes]).await;
    world.clock.set(SystemClock.now());
    world.release(&plan, consignment).await.unwrap();
    let mut to = vec!["--target", &target];
    to.extend(documents.into_iter().flat_map(|folder| ["--documents", folder]));
    let loading = held(world, Name::Recipient, "load", &to).await;
    let comparing = held(world, Name::Recipient, "reconcile", &to).await;
    let serving = drill::held(server.0.id()).unwrap();

    world.clock.set(SystemClock.now());
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    let round = ledger.migration().consignment(consignment).unwrap();
    let report = round.outcome.as_ref().unwrap().reconciliation.as_ref().clone();
    ([extracting, loading, comparing, serving], report)
}
