//! The extracting machine dies in the middle; what was wholly stored is not read again. And nobody cuts an extraction by
//! giving its command twice.

use drill::{Name, World, entropy, passphrase};
use lexicon::Code;
use passage::{Errand, Progress, Quiet, Seen};
use procedure::Act;

#[tokio::test(flavor = "multi_thread")]
async fn an_extraction_that_was_cut_keeps_the_tables_it_had_stored() {
    let world = World::start().await;
    let (old, new) = (world.path("old.sqlite"), world.path("new.sqlite"));
    world.plant(&synth::laboratory(&old, 11, 200, &mut |_| {}).unwrap().sentinels);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_table_whose_rows_changed_since_is_read_again_although_their_number_is_the_same() {
    let world = World::start().await;
    let systems = world.systems(200);
    let (source, sink) = (systems.source.as_ref(), systems.sink.as_ref());
    let plan = world.approved(&synth::scope_toml(), source, sink).await;
    let consignment = world.consign(&plan).await;
    world.extract_until(&plan, consignment, source, 2).await;

    let changed = rusqlite::Connection::open(&systems.old)
        .unwrap()
        .execute("UPDATE patient SET family_name = 'CORRECTED-SINCE'", [])
        .unwrap();
    let manifest = world.extract(&plan, consignment, source).await.unwrap();

    let attempts = |table: &str| {
        let parcels = manifest.parcels.iter().filter(|parcel| parcel.table == table);
        parcels.map(|parcel| parcel.attempt).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(attempts("patient"), [2].into(), "its rows are of now");
    assert_eq!(attempts("prescriber"), [1].into(), "nothing of it changed");
    world.release(&plan, consignment).await.unwrap();
    assert!(world.load(&plan, consignment, sink).await.unwrap().reconciliation.equal());
    let arrived: i64 = rusqlite::Connection::open(&systems.new)
        .unwrap()
        .query_row("SELECT COUNT(*) FROM import_patient WHERE surname = 'CORRECTED-SINCE'", [], |row| row.get(0))
        .unwrap();
    assert!(arrived > 0 && arrived <= i64::try_from(changed).unwrap(), "{arrived} of {changed}");
}

/// Tells when the first table is begun.
struct Begun(tokio::sync::mpsc::UnboundedSender<()>);

impl Progress for Begun {
    fn seen(&self, seen: Seen<'_>) {
        if matches!(seen, Seen::Table { .. }) {
            // Only the first is waited for.
            self.0.send(()).unwrap_or_default();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_extraction_or_load_of_one_device_is_refused_and_leaves_the_first_alone() {
    let world = World::start().await;
    let systems = world.systems(60);
    let (source, sink) = (systems.source.as_ref(), systems.sink.as_ref());
    let plan = world.approved(&synth::scope_toml(), source, sink).await;
    let (migration, consignment, secret) = (plan.migration, world.consign(&plan).await, passphrase());
    let (begun, mut first_table) = tokio::sync::mpsc::unbounded_channel();
    let begun = Begun(begun);
    let at = |desk, progress| Errand { desk, passphrase: &secret, migration, consignment, progress };

    let desks = [world.desk(Name::Operator), world.desk(Name::Operator)];
    let (one, two) = (at(&desks[0], &begun), at(&desks[1], &Quiet));
    let (first, second) = tokio::join!(passage::extract(&one, source, entropy()), async {
        first_table.recv().await.unwrap();
        passage::extract(&two, source, entropy()).await
    });
    assert_eq!(second.unwrap_err().code(), Code(1226));
    assert_eq!(first.unwrap().attempt, 1);

    world.release(&plan, consignment).await.unwrap();
    while first_table.try_recv().is_ok() {}
    let desks = [world.desk(Name::Recipient), world.desk(Name::Recipient)];
    let (one, two) = (at(&desks[0], &begun), at(&desks[1], &Quiet));
    let (first, second) = tokio::join!(passage::load(&one, sink), async {
        first_table.recv().await.unwrap();
        (passage::load(&two, sink).await, passage::reconcile(&two, sink).await, passage::probe(&two, &[]).await)
    });
    let codes = [second.0.unwrap_err().code(), second.1.unwrap_err().code(), second.2.unwrap_err().code()];
    assert_eq!(codes, [Code(1226); 3]);
    assert!(first.unwrap().reconciliation.equal());
    let ledger = world.desk(Name::Controller).follow(migration).await.unwrap();
    let gave_up = ledger.recorded().iter().any(|recorded| matches!(recorded.fact.act, Act::Failed { .. }));
    assert!(!gave_up, "the first was taken for one that was cut");
    assert!(passage::reconcile(&two, sink).await.unwrap().reconciliation.equal(), "afterwards it is free");
}
