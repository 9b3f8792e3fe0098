//! What `cargo xtask bench passage` measures beside the program's own commands: connectors and scope alone, without keys,
//! parcels or a server. `measure STEP SOURCE TARGET SCOPE`, where STEP is
//!
//! * `move`: rows from the source's snapshot straight into the target;
//! * `move-fingerprint`: the same, with the fingerprint of what passed, on a thread of its own;
//! * `again`: the target, read over a new connection and fingerprinted.
//!
//! Prints one line a table: its name, its rows and (for the last two) the root of its fingerprint. The keys of the
//! fingerprint are no secret here.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command, and its output is read by another one")]

use std::process::ExitCode;

use arrow_array::RecordBatch;
use connectors::{Mark, Sink, Snapshot, connect_sink, connect_source};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lexicon::{Code, ConsignmentId, Digest, Fault, Refusal, Result, Retry, SystemEntropy};
use scope::{FingerprintKeys, Fingerprinter, Scope, ScopedBatch, TableScope};
use tokio::sync::mpsc;

/// Batches between the reading end and the fingerprint: as between an extraction and its sealing thread.
const BATCHES_WAITING: usize = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("measure: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[String]) -> Result<()> {
    let [step, source, target, scope] = words else { return Err(usage().into()) };
    let text = std::fs::read_to_string(scope).map_err(|_| usage())?;
    let scope = Scope::parse(&text)?;
    let sink = connect_sink(target, None)?;
    match step.as_str() {
        "move" | "move-fingerprint" => {
            let source = connect_source(source, None)?;
            let snapshot = source.begin(false).await?;
            let consignment = ConsignmentId::draw(&SystemEntropy::new())?;
            let mark = Mark { consignment, attempt: 1 };
            let summed = step == "move-fingerprint";
            let prepared = sink.prepare(&scope).await?;
            for name in prepared.waves.concat() {
                let straight = prepared.straight.contains(&name);
                let (rows, root) =
                    moved(snapshot.as_ref(), sink.as_ref(), (&scope, &name), (mark, straight), summed).await?;
                told(&name, rows, root);
            }
            snapshot.finish().await
        }
        "again" => {
            for table in scope.tables() {
                let mut fingerprint = Fingerprinter::new(&keys(), table);
                let mut rows = sink.read_back(&scope, &table.name);
                while let Some(batch) = rows.try_next().await? {
                    let adding = tokio::task::spawn_blocking(move || fingerprint.add(&batch).map(|()| fingerprint));
                    fingerprint = adding.await.map_err(|_| cut())??;
                }
                let found = fingerprint.finish();
                told(&table.name, found.rows, Some(found.root()));
            }
            Ok(())
        }
        _ => Err(usage().into()),
    }
}

/// One table into the target; its rows, and the root of its fingerprint if it is to be summed up.
async fn moved(
    snapshot: &dyn Snapshot,
    sink: &dyn Sink,
    (scope, name): (&Scope, &str),
    (mark, straight): (Mark, bool),
    summed: bool,
) -> Result<(u64, Option<Digest>)> {
    let rows = snapshot.read(scope, name).map_ok(ScopedBatch::into_batch);
    if !summed {
        return Ok((loaded(sink, (scope, name), (mark, straight), rows.boxed()).await?, None));
    }
    let table = scope.table(name).ok_or_else(usage)?;
    let (batches_in, batches_out) = mpsc::channel(BATCHES_WAITING);
    let summing = summing(table, batches_out);
    let rows = rows.and_then(move |batch| {
        let batches_in = batches_in.clone();
        async move {
            batches_in.send(batch.clone()).await.map_err(|_| cut())?;
            Ok(batch)
        }
    });
    let rows = loaded(sink, (scope, name), (mark, straight), rows.boxed()).await?;
    Ok((rows, Some(summing.await.map_err(|_| cut())??)))
}

/// As the program loads a table; nothing is refused here.
async fn loaded(
    sink: &dyn Sink,
    (scope, name): (&Scope, &str),
    (mark, straight): (Mark, bool),
    rows: BoxStream<'_, Result<RecordBatch>>,
) -> Result<u64> {
    if straight {
        return Ok(sink.load_straight(scope, name, mark, rows).await?.ok_or_else(cut)?.rows);
    }
    Ok(sink.load(scope, name, mark, rows).await?.rows)
}

/// Sums up what comes, on a thread of its own.
fn summing(table: &TableScope, mut batches: mpsc::Receiver<RecordBatch>) -> tokio::task::JoinHandle<Result<Digest>> {
    let mut fingerprint = Fingerprinter::new(&keys(), table);
    tokio::task::spawn_blocking(move || {
        while let Some(batch) = batches.blocking_recv() {
            fingerprint.add(&batch)?;
        }
        Ok(fingerprint.finish().root())
    })
}

fn keys() -> FingerprintKeys {
    FingerprintKeys::new([1; 32], [2; 32])
}

fn told(name: &str, rows: u64, root: Option<Digest>) {
    println!("{name} {rows} {}", root.map(|root| root.to_string()).unwrap_or_default());
}

fn usage() -> Refusal {
    let why = "this is not how a passage is measured";
    Refusal::new(Code(999), why, "measure move|move-fingerprint|again SOURCE TARGET SCOPE-FILE")
}

fn cut() -> Fault {
    Fault::new(Code(999), Retry::Never, "a thread ended before its rows did")
}
