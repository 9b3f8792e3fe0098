//! What is counted beside the fingerprints: nulls of each column at three points, and rows whose reference leads nowhere
//! on both sides.

use drill::{Name, Round, Systems, World};
use passage::LoadReport;
use procedure::Orphans;
use rusqlite::Connection;
use scope::{Dialect, Scope};

/// What a reference counts on both sides, by the columns that point.
fn counted(report: &LoadReport, table: &str, column: &str) -> (Option<u64>, Option<u64>) {
    let orphans = |orphans: &&Orphans| orphans.table == table && orphans.columns == [column];
    let found = report.reconciliation.orphans.iter().find(orphans).unwrap();
    (found.source, found.target)
}

/// A released consignment, and a new system that does not look at references.
async fn released(world: &World, change: &str) -> (Systems, Round) {
    let mut systems = world.systems(120);
    Connection::open(&systems.old).unwrap().execute_batch(&format!("PRAGMA foreign_keys = OFF; {change}")).unwrap();
    let new = world.system("without_keys.sqlite");
    let ddl = scope::target_ddl(&Scope::parse(&synth::scope_toml()).unwrap(), Dialect::Sqlite).unwrap();
    Connection::open(&new).unwrap().execute_batch(&ddl).unwrap();
    systems.sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
    systems.new = new;
    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    (systems, round)
}

async fn said(world: &World, round: &Round, part: &str) -> bool {
    let controller = world.desk(Name::Controller);
    let zip = controller.client().evidence(controller.keeper(), round.plan.migration).await.unwrap();
    let verdict = evidence::verify(&evidence::read(&zip).unwrap(), &controller.home().trusted().unwrap()).unwrap();
    verdict.statements.iter().any(|statement| statement.text.contains(part))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_smuggled_into_the_target_is_counted_in_its_column() {
    let world = World::start().await;
    let (systems, round) = released(&world, "").await;
    let report = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
    let new = Connection::open(&systems.new).unwrap();
    let mut some = 0_usize;
    for table in &report.reconciliation.tables {
        for (column, nulls) in table.nulls.as_ref().unwrap() {
            // Counted by who has no part in it.
            let sql = format!("SELECT count(*) FROM {} WHERE {column} IS NULL", table.target);
            let there: i64 = new.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert!(nulls.same() && i64::try_from(nulls.target) == Ok(there), "{}.{column}: {nulls:?}", table.name);
            some = some.saturating_add(1);
        }
    }
    assert!(some > 5, "{some} columns with nulls");

    new.execute_batch(
        "UPDATE import_patient SET surname = NULL \
         WHERE patient_id = (SELECT min(patient_id) FROM import_patient WHERE surname IS NOT NULL)",
    )
    .unwrap();
    let again = world.reconcile(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(!again.reconciliation.equal());
    let patient = again.reconciliation.tables.iter().find(|table| table.name == "patient").unwrap();
    let surname = patient.nulls.as_ref().unwrap().get("surname").unwrap();
    // Some have no surname to begin with.
    assert_eq!((surname.fetched, surname.target), (surname.sealed, surname.sealed + 1));
    let numbers = format!("({0}, {0}, {1})", surname.sealed, surname.target);
    assert!(said(&world, &round, &format!("differ in 'surname' of 'import_patient' {numbers}.")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_leads_nowhere_is_counted_in_both_systems() {
    let world = World::start().await;
    let lost = "UPDATE request SET prescriber_id = 999999 WHERE request_id = (SELECT max(request_id) FROM request \
                JOIN patient USING (patient_id) WHERE last_visit >= '2018-01-01')";
    let (systems, round) = released(&world, lost).await;
    let sealed: Vec<_> = round.manifest.orphans.iter().map(|orphans| (orphans.reference(), orphans.source)).collect();
    assert_eq!(sealed.len(), 4, "{sealed:?}");
    let report = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert_eq!(counted(&report, "request", "prescriber_id"), (Some(1), Some(1)));
    assert_eq!(counted(&report, "request", "patient_id"), (Some(0), Some(0)));
    assert_eq!(counted(&report, "result", "request_id"), (Some(0), Some(0)));
    assert!(report.reconciliation.equal());
    let both = "(prescriber_id) → prescriber (prescriber_id)' (1 in the old system's scope, 1 in the target)";
    assert!(said(&world, &round, both).await);

    let gone = "DELETE FROM import_request WHERE request_id = (SELECT min(request_id) FROM import_result)";
    Connection::open(&systems.new).unwrap().execute_batch(gone).unwrap();
    let again = world.reconcile(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    let (source, target) = counted(&again, "result", "request_id");
    assert!(source == Some(0) && target > Some(0), "{target:?}");
    assert!(again.reconciliation.orphans.iter().any(Orphans::differ) && !again.reconciliation.equal());
    assert!(said(&world, &round, "(DIFFERENT, 0 in the old system's scope, ").await);
}
