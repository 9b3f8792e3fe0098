//! A laboratory's records cross from one system to another through every stage, and nothing is left behind.

use drill::{Name, World};
use procedure::{ConsignmentStage, Stage};

/// A laboratory with so many patients, its scope, and the empty new system beside it.
fn systems(world: &World, patients: u64) -> (String, String) {
    let (old, new) = (world.path("old.sqlite"), world.path("new.sqlite"));
    world.plant(&synth::laboratory(&old, 7, patients, &mut |_| {}).unwrap().sentinels);
    rusqlite::Connection::open(&new).unwrap().execute_batch(&synth::target_ddl()).unwrap();
    (format!("sqlite:{}", old.display()), format!("sqlite:{}", new.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laboratory_moves_and_nothing_is_left_behind() {
    let world = World::start().await;
    let (old, new) = systems(&world, 300);
    let source = connectors::connect_source(&old, None).unwrap();
    let sink = connectors::connect_sink(&new, None).unwrap();
    let plan = world.approved(&synth::scope_toml(), source.as_ref(), sink.as_ref()).await;
    let consignment = world.consign(&plan).await;

    let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();
    world.release(&plan, consignment).await.unwrap();
    let report = world.load(&plan, consignment, sink.as_ref()).await.unwrap();
    assert!(manifest.tables.iter().all(|table| table.rows > 0));
    assert!(report.reconciliation.equal() && report.reconciliation.opened);

    world.sign_off(&plan).await.unwrap();
    let recipient = world.destroy_part(Name::Recipient, plan.migration, &[]).await.unwrap();
    let probe = recipient.first().and_then(|part| part.probe.clone()).unwrap();
    assert!(!probe.opened && probe.tried > 0, "{probe:?}");
    world.destroy_part(Name::Operator, plan.migration, &[]).await.unwrap();

    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    assert_eq!(ledger.migration().stage, Stage::Destroyed);
    assert!(ledger.migration().consignments.iter().all(|round| round.stage == ConsignmentStage::Destroyed));
    let pack = world.desk(Name::Controller);
    let zip = pack.client().evidence(pack.keeper(), plan.migration).await.unwrap();
    let roots: Vec<_> = pack.home().trusted().unwrap();
    let verdict = evidence::verify(&evidence::read(&zip).unwrap(), &roots).unwrap();
    assert!(verdict.established && verdict.certificate_complete, "{verdict:?}");
}
