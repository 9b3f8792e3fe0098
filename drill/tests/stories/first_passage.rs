//! A laboratory's records cross from one system to another through every stage, and nothing is left behind.

use drill::{Name, World};
use lexicon::{ConsignmentId, Digest, MigrationId};
use procedure::{ConsignmentStage, Manifest, Stage};

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
    three_are_kept(&world, (plan.migration, consignment), &manifest);

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

/// What was probed before the destruction is kept for the probe after it: three parcels, whole, drawn by their digests.
fn three_are_kept(world: &World, (migration, consignment): (MigrationId, ConsignmentId), manifest: &Manifest) {
    type Kept = (Vec<(serde_json::Value, Digest, usize)>, String);
    let round = desk::Round { migration, consignment };
    let ((names, _), bytes) = world.desk(Name::Recipient).home().probe::<Kept>(round).unwrap().unwrap();
    let mut rest = bytes.as_slice();
    for (_, digest, length) in &names {
        let (parcel, more) = rest.split_at(*length);
        assert_eq!(Digest::of(parcel), *digest);
        rest = more;
    }
    let mut all: Vec<Digest> = manifest.sealed().chain(manifest.all_sums()).map(|line| line.digest).collect();
    all.sort_unstable();
    all.truncate(3);
    // The first of the rows goes first; here is nothing but rows.
    assert_eq!((names.iter().map(|(_, digest, _)| *digest).collect::<Vec<_>>(), rest.len()), (all, 0));
}
