//! Finding 3 of the decision (GDPR art. 29): more was extracted than the laboratories had asked for. "The old software
//! can only dump everything" was rejected as a defence. Here the dump is complete, and only the scope leaves the machine.

use std::path::Path;

use arrow_array::{Array, RecordBatch, StringArray};
use drill::{Name, Round, Systems, World, lies_on};
use lexicon::{Code, Digest, Trouble};
use procedure::Plan;
use rusqlite::types::ValueRef;
use scope::Scope;
use seal::ConsignmentKey;
use synth::Place;
use synth::search::{self, Needles};

use super::sentinels::needles;

/// Every table of the old system, whole, as one file each: what the old software gives.
fn dump_everything(systems: &Systems, folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let old = rusqlite::Connection::open(&systems.old).unwrap();
    for table in systems.made.tables.keys() {
        let mut statement = old.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut text = format!("{}\n", statement.column_names().join(","));
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<String> = (0..columns).map(|column| cell(row.get_ref(column).unwrap())).collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        drill::write_file(&folder.join(format!("{table}.csv")), text.as_bytes());
    }
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            format!("\"{}\"", String::from_utf8_lossy(text).replace('"', "\"\""))
        }
    }
}

/// Every batch of every parcel, opened with the laboratory's share and the strongroom's.
fn opened(world: &World, round: &Round, key: &ConsignmentKey) -> Vec<(String, Vec<RecordBatch>)> {
    let parcels = round.parcels(&world.server_folder());
    let tables = parcels.into_iter().filter(|(name, ..)| name.table != round.manifest.sums.table);
    tables
        .map(|(name, bytes, line)| {
            let rows = seal::open_parcel(key, &name, bytes, line.digest).unwrap();
            (name.table, rows.collect::<lexicon::Result<Vec<_>>>().unwrap())
        })
        .collect()
}

/// The text of every cell that is text.
fn words(batches: &[RecordBatch]) -> String {
    let columns = batches.iter().flat_map(RecordBatch::columns);
    let texts = columns.filter_map(|column| column.as_any().downcast_ref::<StringArray>());
    texts.flat_map(|column| column.iter().flatten()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_complete_dump_only_the_scope_leaves_and_only_the_scope_arrives() {
    let mut world = World::start().await;
    let mut systems = world.systems(300);
    dump_everything(&systems, &world.system("dump"));
    systems.source = connectors::connect_source(&format!("csv:{}", world.path("dump").display()), None).unwrap();
    let all = search::files(&needles(&systems.made.sentinels), &[world.path("dump")]).unwrap();
    assert!(all.found() >= u64::try_from(systems.made.sentinels.len()).unwrap(), "the dump is not complete");

    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let report = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
    let salt = world.opened(&round).await;
    world.stop().await;

    let laboratory = world.laboratory_share(&world.home(Name::Operator), &round).unwrap();
    let strongroom = world.strongroom_share(&world.server_folder(), &world.ring_folder(), &round).unwrap().unwrap();
    let key = ConsignmentKey::derive(&laboratory, &strongroom, salt).unwrap();
    let scope = Scope::parse(&synth::scope_toml()).unwrap();
    let parcels = opened(&world, &round, &key);
    for (table, batches) in &parcels {
        let schema = scope.table(table).unwrap().target_schema();
        assert!(batches.iter().all(|batch| batch.schema() == schema), "{table} carries other columns than the scope's");
    }
    let sealed: String = parcels.iter().map(|(_, batches)| words(batches)).collect();
    let (moves, stays): (Vec<_>, Vec<_>) = systems.made.sentinels.iter().partition(|one| one.place == Place::Moves);
    let within =
        |needles: &Needles, text: &str| search::reader(needles, Path::new("parcels"), &mut text.as_bytes()).unwrap();
    assert!(!stays.is_empty() && within(&needles(stays.clone()), &sealed).hits.is_empty(), "what stays was sealed");
    let found = within(&needles(moves.clone()), &sealed).found();
    assert!(found >= u64::try_from(moves.len()).unwrap(), "the control: {found} of {} values that move", moves.len());
    let arrived = search::files(&needles(stays), &[&systems.new]).unwrap();
    assert!(arrived.is_clean(), "{arrived:?}");
}

#[test]
fn credentials_are_refused_even_if_asked_for_with_a_reason() {
    for (column, wanted) in [
        ("portal_password", r#"{ column = "portal_password", type = "text" }"#),
        ("portal_password", r#"{ column = "portal_password", type = "text", reason = "patients keep their access" }"#),
        ("portal_password", r#"{ column = "portal_password", as = "remark", type = "text", reason = "history" }"#),
    ] {
        let refused = Scope::parse(&asking_for(column, wanted)).unwrap_err();

        assert_eq!(refused.code(), Code(302), "{refused}");
        assert!(refused.to_string().contains(column), "{refused}");
    }
    let comment = r#"{ column = "comment_1", type = "text" }"#;
    assert_eq!(Scope::parse(&asking_for("comment_1", comment)).unwrap_err().code(), Code(303));
}

/// The usual scope, with one column taken that it leaves.
fn asking_for(column: &str, wanted: &str) -> String {
    let usual = synth::scope_toml();
    let patient = usual.find("name = \"patient\"").unwrap();
    let (before, after) = usual.split_at(patient);
    let left = format!("  \"{column}\",\n");
    assert!(after.contains(&left), "the scope file is written in another way now");
    let asked = after.replacen(&left, "", 1).replacen("take = [\n", &format!("take = [\n  {wanted},\n"), 1);
    format!("{before}{asked}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_with_credentials_that_everybody_approved_is_refused_by_the_machine_that_extracts() {
    let world = World::start().await;
    let systems = world.systems(60);
    let id = world.open().await;
    let (usual, documents) = world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let greedy =
        asking_for("portal_password", r#"{ column = "portal_password", type = "text", reason = "they asked" }"#);

    // The server does not know what a scope is, and two persons did not read what they approved.
    let plan = Plan { scope: Digest::of(greedy.as_bytes()), ..usual };
    world.propose(&plan, &[greedy.into_bytes(), documents[1].clone()]).await.unwrap();
    world.approve(&plan).await;
    let consignment = world.consign(&plan).await;
    let refused = world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap_err();

    assert!(matches!(&refused, Trouble::Refusal(refusal) if refusal.code == Code(302)), "{refused}");
    assert!(refused.to_string().contains("portal_password"), "{refused}");
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    assert!(ledger.migration().consignment(consignment).unwrap().attempts.is_empty(), "an attempt was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_or_fewer_rows_than_the_approved_report_counted_stop_the_extraction() {
    for day in ["2020-01-01", "2010-01-01"] {
        let world = World::start().await;
        let systems = world.systems(60);
        let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
        let consignment = world.consign(&plan).await;

        let old = rusqlite::Connection::open(&systems.old).unwrap();
        let changed = old.execute("UPDATE patient SET last_visit = ?1", [day]).unwrap();
        let refused = world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap_err();

        assert_eq!(changed, 60);
        assert_eq!(refused.code(), Code(324), "{day}: {refused}");
        assert!(refused.to_string().contains("patient"), "{refused}");
        let shelf = world.server_folder().join("shelf");
        assert!(lies_on(&shelf).is_empty(), "rows were sealed before they were counted");
    }
}
