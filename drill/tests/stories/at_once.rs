//! Tables that know nothing of each other are loaded at once; when one fails the other ends too, whole or not at all.
//! What differs afterwards is located on the machine that loads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use connectors::{Loaded, Mark, Prepared, Sink};
use drill::{Name, Round, Systems, World};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use lexicon::{Code, Fault, Result, Retry};
use passage::Found;
use procedure::Differing;
use scope::{Dialect, Scope, SourceTable};
use tokio::sync::{Barrier, Mutex};

/// Long enough for any load of these stories: what takes longer waits for something that does not come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A target that takes two tables at once. Under it is `SQLite`, whose one writer they take in turns.
struct Two<'a> {
    under: &'a dyn Sink,
    writer: Mutex<()>,
    /// Tables that came so far; the first two meet.
    came: AtomicUsize,
    meeting: Barrier,
    /// The first is refused as soon as the second has rows in the target.
    failing: bool,
}

impl<'a> Two<'a> {
    fn over(under: &'a dyn Sink, failing: bool) -> Self {
        Self { under, writer: Mutex::new(()), came: AtomicUsize::new(0), meeting: Barrier::new(2), failing }
    }

    /// Goes on when the other table is here too.
    async fn meet(&self) -> Result<()> {
        let nobody = |_| Fault::new(Code(998), Retry::Never, "no other table came beside this one").into();
        tokio::time::timeout(PATIENCE, self.meeting.wait()).await.map(|_| ()).map_err(nobody)
    }
}

impl Sink for Two<'_> {
    fn identity(&self) -> String {
        self.under.identity()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        self.under.describe()
    }

    fn prepare<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Prepared>> {
        async { Ok(Prepared { at_once: 2, ..self.under.prepare(scope).await? }) }.boxed()
    }

    fn load<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        mark: Mark,
        batches: BoxStream<'a, Result<RecordBatch>>,
    ) -> BoxFuture<'a, Result<Loaded>> {
        async move {
            let before = self.came.fetch_add(1, Ordering::SeqCst);
            if before == 0 || (before == 1 && !self.failing) {
                self.meet().await?;
            }
            if before == 0 && self.failing {
                return Err(Fault::new(Code(999), Retry::Never, "this table is refused").into());
            }
            let _turn = self.writer.lock().await;
            let batches = if before == 1 && self.failing {
                // One batch is in the target; what comes next would come after the other table has failed.
                let endless = stream::once(async {
                    self.meet().await?;
                    std::future::pending().await
                });
                batches.take(1).chain(endless).boxed()
            } else {
                batches
            };
            self.under.load(scope, table, mark, batches).await
        }
        .boxed()
    }

    fn at_fault(&self, table: &str) -> Vec<RecordBatch> {
        self.under.at_fault(table)
    }

    fn read_back<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<RecordBatch>> {
        self.under.read_back(scope, table)
    }

    fn sizes<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<BTreeMap<String, u64>>> {
        self.under.sizes(scope)
    }

    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a [scope::Followed]) -> BoxFuture<'a, Result<Vec<u64>>> {
        self.under.orphans(scope, followed)
    }
}

/// A consignment that is released, and a new system whose tables do not point to each other.
async fn released(world: &World) -> (Systems, Round) {
    let mut systems = world.systems(120);
    let new = world.system("without_keys.sqlite");
    let scope = Scope::parse(&synth::scope_toml()).unwrap();
    let ddl = scope::target_ddl(&scope, Dialect::Sqlite).unwrap();
    rusqlite::Connection::open(&new).unwrap().execute_batch(&ddl).unwrap();
    systems.sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
    systems.new = new;
    assert_eq!(systems.sink.prepare(&scope).await.unwrap().waves.len(), 1);
    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    (systems, round)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tables_are_on_their_way_into_the_target_at_once() {
    let world = World::start().await;
    let (systems, round) = released(&world).await;

    let two = Two::over(systems.sink.as_ref(), false);
    let report = world.load(&round.plan, round.consignment, &two).await.unwrap();

    assert_eq!(two.came.load(Ordering::SeqCst), round.manifest.tables.len());
    assert!(report.reconciliation.equal() && report.located.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_fails_ends_the_other_whole_or_not_at_all() {
    let world = World::start().await;
    let (systems, round) = released(&world).await;

    let two = Two::over(systems.sink.as_ref(), true);
    let load = world.load(&round.plan, round.consignment, &two);
    let failed = tokio::time::timeout(PATIENCE, load).await.unwrap().unwrap_err();

    assert_eq!((failed.code(), two.came.load(Ordering::SeqCst)), (Code(999), 2));
    let new = rusqlite::Connection::open(&systems.new).unwrap();
    for table in round.manifest.tables.iter().map(|table| table.target.as_str()).chain([connectors::MARKER_TABLE]) {
        let rows: i64 = new.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    let report = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_differ_are_shown_here_by_keyed_digest_and_sent_to_nobody() {
    let world = World::start().await;
    let (systems, round) = released(&world).await;
    world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    rusqlite::Connection::open(&systems.new)
        .unwrap()
        .execute_batch(
            "DELETE FROM import_result WHERE result_id = (SELECT min(result_id) FROM import_result); \
             UPDATE import_patient SET surname = surname || ' ' \
               WHERE patient_id = (SELECT max(patient_id) FROM import_patient)",
        )
        .unwrap();

    let report = world.reconcile(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();

    assert!(!report.reconciliation.equal());
    for table in &report.reconciliation.tables {
        let differing = u64::from(["patient", "result"].contains(&table.name.as_str()));
        assert_eq!(table.differing, Some(Differing::Exactly(differing)), "{}", table.name);
    }
    let found: BTreeMap<_, _> = report.located.iter().map(|located| (located.table.as_str(), located.found)).collect();
    assert_eq!(found, BTreeMap::from([("patient", Found::Changed), ("result", Found::Missing)]));
    let ledger = world.desk(Name::Recipient).follow(round.plan.migration).await.unwrap();
    let outcome = ledger.migration().consignment(round.consignment).unwrap().outcome.as_ref().unwrap();
    assert_eq!(outcome.reconciliation, report.reconciliation);
    let sent = serde_json::to_string(&outcome.reconciliation).unwrap();
    for located in &report.located {
        assert!(located.key.len() == 32 && !sent.contains(&located.key), "{located:?}");
    }
}
