//! A new system that would refuse a row is told so by count: nothing of the row is written into an error or into the
//! new system's own log, where a violated constraint would have put all of it.

use std::path::Path;

use drill::{Round, Systems, World};
use lexicon::{ConsignmentId, Trouble};
use procedure::ConsignmentStage;
use scope::{Dialect, Scope};
use synth::search::{self, Needles};

/// Two patients share a civility soon enough.
const UNIQUE: &str = "CREATE UNIQUE INDEX only_one_of_each ON import_patient (civility)";

fn holds_a_value(systems: &Systems, text: &str) -> bool {
    let needles = Needles::of(&systems.made.sentinels).unwrap();
    let report = search::reader(&needles, Path::new("the error"), &mut text.as_bytes()).unwrap();
    !report.is_clean()
}

/// Released and handed over to the recipient, who tries to load: what the agent says.
async fn refused_load(world: &World, systems: &Systems) -> (Round, Trouble) {
    let round = world.closed(systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let refused = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap_err();
    (round, refused)
}

fn tells_table_and_count(refused: &Trouble, systems: &Systems) {
    let said = refused.to_string();
    assert!(matches!(refused, Trouble::Refusal(_)), "{said}");
    assert!(said.contains("import_patient") && said.contains("rows"), "{said}");
    assert!(!holds_a_value(systems, &said), "{said}");
    assert!(!["Mme", "Madame", "Monsieur"].iter().any(|civility| said.contains(civility)), "{said}");
}

async fn nothing_counts_as_loaded(world: &World, round: &Round) {
    let ledger = world.desk(drill::Name::Controller).follow(round.plan.migration).await.unwrap();
    let consignment = ledger.migration().consignment(round.consignment).unwrap();
    assert_eq!(consignment.stage, ConsignmentStage::Released);
    assert!(consignment.last_attempt().is_some_and(|attempt| !attempt.running), "the attempt was not given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_constraint_would_break_refuses_by_count() {
    let world = World::start().await;
    let systems = world.systems(120);
    let new = rusqlite::Connection::open(&systems.new).unwrap();
    new.execute_batch(UNIQUE).unwrap();

    let (round, refused) = refused_load(&world, &systems).await;

    tells_table_and_count(&refused, &systems);
    let rows: i64 = new.query_row("SELECT count(*) FROM import_patient", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0, "rows of a refused table are in the target");
    nothing_counts_as_loaded(&world, &round).await;
    // The control: without the constraint the same consignment loads.
    new.execute_batch("DROP INDEX only_one_of_each").unwrap();
    let loaded = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await;
    assert!(loaded.is_ok_and(|report| report.reconciliation.equal()), "the constraint was not what refused");
}

/// A database of its own on the tests' PostgreSQL.
struct Database {
    server: String,
    name: String,
}

impl Database {
    async fn make(server: String) -> Self {
        let name = format!("lazaret_{}", ConsignmentId::draw(drill::entropy().as_ref()).unwrap());
        let database = Self { server, name };
        database.run(&database.server, &format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    fn address(&self) -> String {
        format!("{}/{}", self.server.rsplit_once('/').unwrap().0, self.name)
    }

    async fn run(&self, address: &str, sql: &str) {
        let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
        let connected = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        drop(connected.await);
    }

    async fn drop(self) {
        self.run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_refused_row_reaches_the_log_of_postgresql() {
    let Ok(server) = std::env::var("LAZARET_TEST_POSTGRES") else {
        drill::skipped!("nothing_of_a_refused_row_reaches_the_log_of_postgresql (LAZARET_TEST_POSTGRES is not set)");
        return;
    };
    let database = Database::make(server).await;
    let world = World::start().await;
    let mut systems = world.systems(120);
    let scope = Scope::parse(&synth::scope_toml()).unwrap();
    let ddl = scope::target_ddl(&scope, Dialect::Postgres).unwrap();
    database.run(&database.address(), &format!("{ddl};\n{UNIQUE}")).await;
    systems.sink = connectors::connect_sink(&database.address(), None).unwrap();

    let (round, refused) = refused_load(&world, &systems).await;

    tells_table_and_count(&refused, &systems);
    nothing_counts_as_loaded(&world, &round).await;
    match std::env::var("LAZARET_TEST_POSTGRES_LOG") {
        Ok(log) => {
            let needles = Needles::of(&systems.made.sentinels).unwrap();
            let report = search::files(&needles, &[log]).unwrap();
            assert!(report.is_clean() && report.bytes > 0, "{report:?}");
        }
        Err(_) => drill::skipped!("the server's log (LAZARET_TEST_POSTGRES_LOG is not set)"),
    }
    database.drop().await;
}
