//! The extracting machine dies in the middle; what was wholly stored is not read again.

use drill::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_extraction_that_was_cut_keeps_the_tables_it_had_stored() {
    let world = World::start().await;
    let (old, new) = (world.path("old.sqlite"), world.path("new.sqlite"));
    synth::laboratory(&old, 11, 200, &mut |_| {}).unwrap();
    rusqlite::Connection::open(&new).unwrap().execute_batch(&synth::target_ddl()).unwrap();
    let source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
    let plan = world.approved(&synth::scope_toml(), source.as_ref(), sink.as_ref()).await;
    let consignment = world.consign(&plan).await;

    world.extract_until(&plan, consignment, source.as_ref(), 2).await;
    let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();

    assert_eq!(manifest.attempt, 2);
    let kept = manifest.parcels.iter().filter(|parcel| parcel.attempt == 1).count();
    let again = manifest.parcels.iter().filter(|parcel| parcel.attempt == 2).count();
    assert!(kept >= 2 && again >= 1, "{kept} kept, {again} stored again");
    world.release(&plan, consignment).await.unwrap();
    let report = world.load(&plan, consignment, sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
}
