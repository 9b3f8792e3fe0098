//! A laboratory goes on working while its old system is read: what arrives is one moment of it. Lots move between two
//! depots all the time, each in one transaction, so that at every moment what both depots have of a lot is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use connectors::{Snapshot, Source};
use drill::World;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use lexicon::{Result, Trouble};
use scope::{Dialect, Sampling, Scope, ScopedBatch, SourceTable, TableTally};
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlConnection;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::databases;

const SCOPE: &str = "
[[table]]
name = 'depot_north'
target = 'depot_north'
key = ['lot_id']
take = [
  { column = 'lot_id', type = 'int64' },
  { column = 'quantity', type = 'int64' },
  { column = 'label', type = 'text' },
]
leave = []

[[table]]
name = 'depot_south'
target = 'depot_south'
key = ['lot_id']
take = [
  { column = 'lot_id', type = 'int64' },
  { column = 'quantity', type = 'int64' },
  { column = 'label', type = 'text' },
]
leave = []
";
/// With 600 bytes of label each, 25 MB in each depot: four batches of at most 8 MiB.
const LOTS: i64 = 40_000;
/// What both depots have of every lot.
const OF_EACH: i64 = 2_000;
const OF_ALL: i64 = LOTS * OF_EACH;
/// How often something moves between one look and the next.
const MOVES: i64 = 50;
/// The work ends with its story; this is in case a story never does.
const MOVES_MAX: i64 = 500_000;

/// A session of the laboratory's people.
enum Session {
    MariaDb(MySqlConnection),
    Postgres(tokio_postgres::Client),
}

impl Session {
    async fn run(&mut self, sql: &str) {
        match self {
            Self::MariaDb(session) => drop(sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await.unwrap()),
            Self::Postgres(session) => session.batch_execute(sql).await.unwrap(),
        }
    }

    /// What a depot has, by a statement that is a transaction of its own.
    async fn quantity(&mut self, depot: &str) -> i64 {
        let sql = format!("SELECT CAST(sum(quantity) AS CHAR(20)) FROM {depot}");
        let text: String = match self {
            Self::MariaDb(session) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(session).await.unwrap(),
            Self::Postgres(session) => session.query_one(&sql, &[]).await.unwrap().get(0),
        };
        text.trim().parse().unwrap()
    }
}

/// The work that goes on: one piece of a lot after the other goes from north to south.
struct Work {
    moved: watch::Receiver<i64>,
    working: JoinHandle<()>,
}

impl Work {
    fn begin(mut session: Session) -> Self {
        let (count, moved) = watch::channel(0);
        let working = tokio::spawn(async move {
            for number in 1..=MOVES_MAX {
                // 7,919 is prime to the number of lots: each has its turn, all over the tables.
                let lot = number.wrapping_mul(7_919).rem_euclid(LOTS).saturating_add(1);
                let sql = format!(
                    "BEGIN; UPDATE depot_north SET quantity = quantity - 1 WHERE lot_id = {lot}; \
                     UPDATE depot_south SET quantity = quantity + 1 WHERE lot_id = {lot}; COMMIT"
                );
                session.run(&sql).await;
                count.send_replace(number);
            }
        });
        Self { moved, working }
    }

    async fn goes_on(&self) {
        goes_on(self.moved.clone()).await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.working.abort();
    }
}

async fn goes_on(mut moved: watch::Receiver<i64>) {
    let enough = moved.borrow().saturating_add(MOVES);
    moved.wait_for(|now| *now >= enough).await.unwrap();
}

/// The old system, whose second depot is not looked at before the first is read to its end and work has gone on since.
struct OneAfterTheOther {
    under: Arc<dyn Source>,
    moved: watch::Receiver<i64>,
    batches: Arc<AtomicUsize>,
    meanwhile: Option<Meanwhile>,
}

/// What somebody does in a PostgreSQL before the second depot is looked at.
#[derive(Clone)]
struct Meanwhile {
    address: String,
    sql: &'static str,
}

impl Source for OneAfterTheOther {
    fn identity(&self) -> String {
        self.under.identity()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        self.under.describe()
    }

    fn begin(&self, live: bool) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        async move {
            let (under, moved) = (self.under.begin(live).await?, self.moved.clone());
            let (north, batches) = (watch::Sender::new(false), Arc::clone(&self.batches));
            let meanwhile = self.meanwhile.clone();
            let moment: Box<dyn Snapshot> = Box::new(Moment { under, moved, north, batches, meanwhile });
            Ok(moment)
        }
        .boxed()
    }
}

struct Moment {
    under: Box<dyn Snapshot>,
    moved: watch::Receiver<i64>,
    /// Whether the first depot is read to its end.
    north: watch::Sender<bool>,
    batches: Arc<AtomicUsize>,
    meanwhile: Option<Meanwhile>,
}

impl Snapshot for Moment {
    fn description(&self) -> String {
        self.under.description()
    }

    fn count<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxFuture<'a, Result<(u64, u64)>> {
        self.under.count(scope, table)
    }

    fn sampling<'a>(&'a self, scope: &'a Scope, sampling: Sampling) -> BoxFuture<'a, Result<Sampling>> {
        self.under.sampling(scope, sampling)
    }

    fn sample<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        sampling: &'a Sampling,
    ) -> BoxStream<'a, Result<ScopedBatch>> {
        self.under.sample(scope, table, sampling)
    }

    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a scope::Followed) -> BoxFuture<'a, Result<u64>> {
        self.under.orphans(scope, followed)
    }

    fn read<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<ScopedBatch>> {
        let rows = async move {
            if table == "depot_south" {
                self.north.subscribe().wait_for(|read| *read).await.unwrap();
                goes_on(self.moved.clone()).await;
                if let Some(Meanwhile { address, sql }) = &self.meanwhile {
                    databases::postgres(address).await.batch_execute(sql).await.unwrap();
                }
            }
            Ok::<_, Trouble>(self.under.read(scope, table))
        };
        let counted = rows.try_flatten_stream().inspect_ok(|_| {
            self.batches.fetch_add(1, Ordering::SeqCst);
        });
        let end = stream::iter([()]).filter_map(move |()| {
            if table == "depot_north" {
                self.north.send_replace(true);
            }
            future::ready(None)
        });
        counted.chain(end).boxed()
    }

    fn tally(&self, table: &str) -> TableTally {
        self.under.tally(table)
    }

    fn loose(&self) -> Vec<String> {
        self.under.loose()
    }

    fn at_fault(&self, scope: &Scope, table: &str) -> Vec<RecordBatch> {
        self.under.at_fault(scope, table)
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.under.finish()
    }
}

/// What arrived in the new system: lots, in both depots and in the southern one, and lots of which it is not as much as
/// ever.
fn arrived(new: &std::path::Path) -> (i64, i64, i64) {
    let new = rusqlite::Connection::open(new).unwrap();
    let one = |sql: &str| new.query_row(sql, [], |row| row.get(0)).unwrap();
    let both = "depot_north n JOIN depot_south s ON n.lot_id = s.lot_id";
    (
        one(&format!("SELECT sum(n.quantity + s.quantity) FROM {both}")),
        one("SELECT sum(quantity) FROM depot_south"),
        one(&format!("SELECT count(*) FROM {both} WHERE n.quantity + s.quantity <> {OF_EACH}")),
    )
}

/// An approved plan for the two depots, and the systems that it names.
struct Ground {
    plan: procedure::Plan,
    source: Arc<dyn Source>,
    sink: Box<dyn connectors::Sink>,
    new: std::path::PathBuf,
}

async fn ground(world: &World, address: &str, live: bool) -> Ground {
    world.plants_nothing("the old system holds how many things lie in depots, and nothing of a person");
    let new = world.path("new.sqlite");
    let ddl = scope::target_ddl(&Scope::parse(SCOPE).unwrap(), Dialect::Sqlite).unwrap();
    rusqlite::Connection::open(&new).unwrap().execute_batch(&ddl).unwrap();
    let source: Arc<dyn Source> = connectors::connect_source(address, None).unwrap().into();
    let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
    let (mut plan, documents) = world.plan(world.open().await, SCOPE, source.as_ref(), sink.as_ref()).await;
    plan.source.live = live;
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    Ground { plan, source, sink, new }
}

/// From the approved plan to the target; how much was read, and how much moved meanwhile.
async fn one_moment_arrives(address: &str, [writer, mut reader]: [Session; 2]) -> String {
    let world = World::start().await;
    let Ground { plan, source, sink, new } = ground(&world, address, true).await;
    let consignment = world.consign(&plan).await;

    let work = Work::begin(writer);
    work.goes_on().await;
    let (batches, before) = (Arc::new(AtomicUsize::new(0)), *work.moved.borrow());
    let (counting, moved) = (Arc::clone(&batches), work.moved.clone());
    let slow = OneAfterTheOther { under: source, moved, batches: counting, meanwhile: None };
    let manifest = world.extract(&plan, consignment, &slow).await.unwrap();
    let (batches, meanwhile) = (batches.load(Ordering::SeqCst), work.moved.borrow().saturating_sub(before));
    assert!(batches >= 8 && meanwhile >= MOVES, "{batches} batches, {meanwhile} moves");
    assert!(manifest.snapshot.contains("snapshot"), "{}", manifest.snapshot);

    // The control: who looks at one depot after the other sees more than there is.
    let north = reader.quantity("depot_north").await;
    work.goes_on().await;
    let south = reader.quantity("depot_south").await;
    assert!(north.saturating_add(south) >= OF_ALL.saturating_add(MOVES), "{north} and {south} of {OF_ALL}");

    drop(work);
    world.release(&plan, consignment).await.unwrap();
    let report = world.load(&plan, consignment, sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
    let (all, in_south, lots_torn) = arrived(&new);
    assert_eq!((all, lots_torn), (OF_ALL, 0));
    // It is a moment after work had begun, and before it was over.
    assert!((OF_ALL / 2).saturating_add(MOVES) <= in_south && in_south < south, "{in_south} of {south}");
    format!("{batches} batches, {meanwhile} moves meanwhile")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_living_postgresql_one_moment_arrives() {
    databases::with("of_a_living_postgresql_one_moment_arrives", |databases| {
        async move {
            for depot in ["depot_north", "depot_south"] {
                let sql = format!(
                    "CREATE TABLE {depot} (lot_id bigint PRIMARY KEY, quantity bigint NOT NULL, label text NOT NULL); \
                     INSERT INTO {depot} SELECT n, {OF_EACH} / 2, repeat('x', 600) FROM generate_series(1, {LOTS}) n"
                );
                databases.on_postgres(&sql).await;
            }
            let address = &databases.postgres;
            let sessions = [databases::postgres(address).await, databases::postgres(address).await];
            println!("{}", one_moment_arrives(address, sessions.map(Session::Postgres)).await);
        }
        .boxed_local()
    })
    .await;
}

/// One lot in a hundred: as many as may be missing of what the approved report counted.
const EARLY: i64 = LOTS / 100;

/// TRUNCATE takes rows away from every moment that has not looked at them yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_emptied_after_the_count_is_refused_and_not_left_out() {
    databases::with("a_part_that_is_emptied_after_the_count_is_refused_and_not_left_out", |databases| {
        async move {
            let columns = "lot_id bigint PRIMARY KEY, quantity bigint NOT NULL, label text NOT NULL";
            let lots = format!("SELECT n, {OF_EACH} / 2, repeat('x', 600) FROM generate_series(1, {LOTS}) n");
            let sql = format!(
                "CREATE TABLE depot_north ({columns}); \
                 CREATE TABLE depot_south ({columns}) PARTITION BY RANGE (lot_id); \
                 CREATE TABLE early PARTITION OF depot_south FOR VALUES FROM (MINVALUE) TO ({EARLY} + 1); \
                 CREATE TABLE late PARTITION OF depot_south FOR VALUES FROM ({EARLY} + 1) TO (MAXVALUE); \
                 INSERT INTO depot_north {lots}; INSERT INTO depot_south {lots}"
            );
            databases.on_postgres(&sql).await;
            let (world, address) = (World::start().await, &databases.postgres);
            let Ground { plan, source, .. } = ground(&world, address, true).await;
            let consignment = world.consign(&plan).await;
            let work = Work::begin(Session::Postgres(databases::postgres(address).await));
            let slow = OneAfterTheOther {
                under: Arc::clone(&source),
                moved: work.moved.clone(),
                batches: Arc::new(AtomicUsize::new(0)),
                meanwhile: Some(Meanwhile { address: address.clone(), sql: "TRUNCATE early" }),
            };

            let emptied = world.extract(&plan, consignment, &slow).await.unwrap_err();
            assert_eq!(emptied.code(), lexicon::Code(618), "{emptied}");
            let left = LOTS.saturating_sub(EARLY);
            let told = format!(
                "table 'depot_south' changed while it was extracted: {LOTS} rows in scope were counted and {left} read"
            );
            assert!(emptied.to_string().contains(&told), "{emptied}");
            drop(work);

            // The control: nothing else would have told, since so few may be missing of the report's.
            let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();
            let rows: Vec<u64> = manifest.tables.iter().map(|table| table.rows).collect();
            assert_eq!(rows, [LOTS, left].map(|rows| u64::try_from(rows).unwrap()));
        }
        .boxed_local()
    })
    .await;
}

async fn depots_on_mariadb(databases: &databases::Databases, engine: &str) {
    for depot in ["depot_north", "depot_south"] {
        let sql = format!(
            "CREATE TABLE {depot} (lot_id BIGINT PRIMARY KEY, quantity BIGINT NOT NULL, label VARCHAR(600) NOT NULL) \
             ENGINE = {engine}; \
             INSERT INTO {depot} SELECT seq, {OF_EACH} DIV 2, repeat('x', 600) FROM seq_1_to_{LOTS}"
        );
        databases.on_mariadb(&sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_living_innodb_one_moment_arrives() {
    databases::with("of_a_living_innodb_one_moment_arrives", |databases| {
        async move {
            depots_on_mariadb(databases, "InnoDB").await;
            let address = &databases.mariadb;
            let sessions = [databases::mariadb(address).await, databases::mariadb(address).await];
            println!("{}", one_moment_arrives(address, sessions.map(Session::MariaDb)).await);
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_snapshots_are_read_twice_and_refused_when_they_did_not_stand_still() {
    let name = "tables_without_snapshots_are_read_twice_and_refused_when_they_did_not_stand_still";
    databases::with(name, |databases| {
        async move {
            depots_on_mariadb(databases, "MyISAM").await;
            let world = World::start().await;
            let Ground { plan, source, sink, new } = ground(&world, &databases.mariadb, false).await;
            let consignment = world.consign(&plan).await;
            let work = Work::begin(Session::MariaDb(databases::mariadb(&databases.mariadb).await));
            let batches = Arc::new(AtomicUsize::new(0));
            let (under, moved) = (Arc::clone(&source), work.moved.clone());
            let slow = OneAfterTheOther { under, moved, batches, meanwhile: None };

            let moved = world.extract(&plan, consignment, &slow).await.unwrap_err();
            assert_eq!(moved.code(), lexicon::Code(618), "{moved}");
            drop(work);

            let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();
            assert!(manifest.snapshot.contains("read twice"), "{}", manifest.snapshot);
            world.release(&plan, consignment).await.unwrap();
            assert!(world.load(&plan, consignment, sink.as_ref()).await.unwrap().reconciliation.equal());
            let mut reader = Session::MariaDb(databases::mariadb(&databases.mariadb).await);
            let there = [reader.quantity("depot_north").await, reader.quantity("depot_south").await];
            assert_eq!(arrived(&new).0, there.iter().sum::<i64>());
        }
        .boxed_local()
    })
    .await;
}
