//! A new system whose tables changed since the plan was approved takes nothing, and is told by table and column what it was.

use drill::World;
use lexicon::Code;

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_in_the_new_system_since_the_approval_is_named_by_table_and_column() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = world.consign(&plan).await;
    world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap();
    world.release(&plan, consignment).await.unwrap();
    let new = rusqlite::Connection::open(&systems.new).unwrap();

    new.execute_batch("ALTER TABLE import_patient ADD COLUMN seen_by TEXT").unwrap();
    let refused = world.load(&plan, consignment, systems.sink.as_ref()).await.unwrap_err();
    let told = "the tables or columns of the new system changed since the plan was approved: \
                table `import_patient`: column `seen_by`";
    assert_eq!((refused.code(), refused.to_string()), (Code(636), format!("{told} [LZ-0636]")));
    let there: i64 = new.query_row("SELECT count(*) FROM import_patient", [], |row| row.get(0)).unwrap();
    assert_eq!(there, 0);

    new.execute_batch("ALTER TABLE import_patient DROP COLUMN seen_by").unwrap();
    assert!(world.load(&plan, consignment, systems.sink.as_ref()).await.unwrap().reconciliation.equal());
}
