//! Rows that cannot be carried exactly, through the program: refused with the table, the column and the keyed digests of
//! the rows, and with no value, on any output and in any log; nothing counts of what was stored, and nothing is loaded.

mod carried;
mod held;
#[cfg(target_os = "linux")]
mod large;
mod misfits;
mod named;

use std::path::PathBuf;

use drill::{Command, Systems, World};
use procedure::ConsignmentStage;
use synth::{Place, Sentinel};

use super::{Ended, Scene};
use crate::stories::sentinels::needles;
use crate::stories::server_logs::Log;

/// The key of each bad row.
const KEY: &str = "730194401";

/// What goes wrong and how it is told. The same table holds a good row beside the bad one.
pub(super) struct Bad {
    /// In the old system; the new one's is `import_` and the same.
    table: &'static str,
    column: &'static str,
    /// SQL for the value, and for one that passes.
    value: &'static str,
    good: &'static str,
    code: u64,
    says: &'static str,
    /// Parts of the value, none of which anybody may see.
    hidden: &'static [&'static str],
}

impl Bad {
    /// The statement that puts the bad value in, or takes it out again.
    fn sql(&self, bad: bool) -> String {
        let Self { table, column, value, good, .. } = self;
        format!("UPDATE {table} SET {column} = {} WHERE id = {KEY}", if bad { value } else { good })
    }

    /// Refused by name, of this table. The row's name is there exactly if the table has a key.
    fn is_told(&self, table: &str, ended: &Ended, has_key: bool) {
        let quoted = |name: &str| format!("`{name}`");
        let (table, column) = match self.code {
            // Of a transform, in another sentence.
            314 => (table.to_owned(), self.column.to_owned()),
            _ => (quoted(table), quoted(self.column)),
        };
        ended.says(super::REFUSED, self.code, &[&table, &column, self.says]);
        let message = ended.said.pointer("/error/message").unwrap().as_str().unwrap();
        let digests =
            message.split_once("; first rows, by the keyed digest of their key: ").map(|(_, digests)| digests);
        let digests: Vec<&str> = digests.map(|digests| digests.split(", ").collect()).unwrap_or_default();
        let hexadecimal = |digest: &&str| digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert_eq!(digests.len(), usize::from(has_key), "{message}");
        assert!(digests.iter().all(hexadecimal), "{message}");
        let everything = format!("{}{}", ended.said, ended.complained);
        for hidden in self.hidden.iter().chain(&[KEY]) {
            assert!(!everything.contains(hidden), "a value of the row is told: {everything}");
        }
    }

    /// In the new system.
    fn target(&self) -> String {
        format!("import_{}", self.table)
    }

    /// What nobody but the two systems may hold from now on.
    fn planted(&self) -> Vec<Sentinel> {
        let sentinel = |value: &&str| Sentinel {
            table: self.table.to_owned(),
            column: self.column.to_owned(),
            place: Place::Moves,
            value: (*value).to_owned(),
        };
        self.hidden.iter().map(sentinel).collect()
    }
}

/// With everything logged that the program can log.
fn talkative(mut command: Command) -> Command {
    command.env("LAZARET_LOG", "trace,h2=debug");
    command
}

/// The logs of the two servers, where the tests know their paths.
fn logs() -> Vec<Log> {
    let paths = ["LAZARET_TEST_POSTGRES_LOG", "LAZARET_TEST_MARIADB_LOG"].map(std::env::var_os);
    paths.into_iter().flatten().map(|path| Log::from_here(PathBuf::from(path))).collect()
}

/// Every part of a value that is to be hidden, if there are any.
fn plant(world: &World, bad: &[Bad]) {
    let planted: Vec<Sentinel> = bad.iter().flat_map(Bad::planted).collect();
    if !planted.is_empty() {
        world.plant(&planted);
    }
}

fn nothing_in(logs: &[Log], bad: &[Bad]) {
    let planted: Vec<Sentinel> = bad.iter().flat_map(Bad::planted).collect();
    for log in logs {
        let seen = log.search(&needles(&planted));
        assert!(seen.is_clean(), "{}: {:?} {:?}", log.path.display(), seen.hits, seen.missed);
    }
}

impl Scene {
    /// A server that takes real sources, and the two systems at these addresses, under this scope.
    pub(super) async fn between(source: &str, sink: &str, scope: &str, bad: &[Bad]) -> Self {
        let world = World::start_as(false).await;
        plant(&world, bad);
        let systems = Systems {
            source: connectors::connect_source(source, None).unwrap(),
            sink: connectors::connect_sink(sink, None).unwrap(),
            ..world.systems(1)
        };
        Self::of(world, systems, scope).await
    }

    /// As [`Self::between`], of two files of `SQLite` that are made so.
    pub(super) async fn between_files(old: &str, new: &str, scope: &str, bad: &[Bad]) -> Self {
        let world = World::start_as(false).await;
        plant(&world, bad);
        let mut systems = world.systems(1);
        let [old, new] = [("old.sqlite-rows", old), ("new.sqlite-rows", new)].map(|(name, sql)| {
            let path = world.path(name);
            rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            path
        });
        systems.source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
        systems.sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
        Self::of(world, systems, scope).await
    }

    /// Another migration between its two systems.
    async fn turn_to(&mut self, scope: &str) {
        self.now();
        let (source, sink) = (self.systems.source.as_ref(), self.systems.sink.as_ref());
        self.plan = self.world.approved(scope, source, sink).await;
        self.consignment = self.world.consign(&self.plan).await;
    }

    pub(super) async fn extracted_from(&self, source: &str) -> Ended {
        self.now();
        super::ended(talkative(self.extracting_from(source))).await
    }

    pub(super) async fn loaded_into(&self, target: &str) -> Ended {
        self.now();
        super::ended(talkative(self.loading_into(target))).await
    }

    /// No manifest counts what the attempt stored.
    async fn nothing_is_closed(&self) {
        let ledger = self.ledger().await;
        let round = ledger.migration().consignment(self.consignment).unwrap();
        assert_eq!(round.stage, ConsignmentStage::Open);
        assert!(round.manifest.is_none());
    }
}
