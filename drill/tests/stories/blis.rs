//! A real laboratory system's demonstration database (C4G BLIS: 55 tables, 3,033 patients) crosses from MariaDB to
//! PostgreSQL: zero dates, tables without keys, results as `value,hash`, names that are words of SQL.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use drill::{Name, World};
use futures::FutureExt;
use procedure::{ConsignmentStage, Manifest, Plan, Stage};
use scope::{Dialect, Scope};
use sqlx::AssertSqlSafe;

use super::compare;
use super::databases::{self, Databases, Story};

const SCOPE: &str = include_str!("../../blis/scope.toml");
const TARGET: &str = include_str!("../../blis/target.sql");

/// What the review of the draft took out: the software's own, its users, billing, layouts of reports and worksheets.
const LEFT: [&str; 19] = [
    "bills",
    "bills_test_association",
    "blis_backups",
    "blis_migrations",
    "currency_conversion",
    "dhims2_api_config",
    "lab_config_access",
    "patient_report_fields_order",
    "payments",
    "report_config",
    "report_disease",
    "test_agg_report_config",
    "user",
    "user_feedback",
    "user_props",
    "user_rating",
    "worksheet_custom",
    "worksheet_custom_test",
    "worksheet_custom_userfield",
];

/// Tells a story to which the laboratory's dump belongs.
async fn with_dump(name: &str, story: Story) {
    if std::env::var_os("LAZARET_TEST_DATA").is_some() {
        databases::with(name, story).await;
    } else {
        drill::skipped!("{name} (LAZARET_TEST_DATA is not set)");
    }
}

fn dump(name: &str) -> String {
    let path = Path::new(&std::env::var_os("LAZARET_TEST_DATA").unwrap()).join(name);
    assert!(path.is_file(), "LAZARET_TEST_DATA is set, but {} is not there", path.display());
    std::fs::read_to_string(&path).unwrap()
}

/// The old system's tables, empty.
async fn load_structure(databases: &Databases) {
    databases.on_mariadb(&dump("blis_127-structure.sql")).await;
}

/// The old system as it stood; the dump's statements go in as they are, in one commit.
async fn load_laboratory(databases: &Databases) {
    load_structure(databases).await;
    databases.on_mariadb(&format!("SET autocommit = 0;\n{}\nCOMMIT;", dump("blis_127-seed.sql"))).await;
}

/// What is put in the place of the dump's values, to be looked for: columns that move, and accounts, which stay.
const PLANTED: [(&str, &str); 5] =
    [("patient", "name"), ("patient", "surr_id"), ("test", "result"), ("specimen", "doctor"), ("user", "actualname")];

fn planted(table: &str, column: &str) -> impl Iterator<Item = String> {
    (1..=50).map(move |row| format!("j5Wq-{table}-{column}-{row:02}"))
}

/// Fifty of each into the old system.
async fn plant(databases: &Databases) {
    let mut sql = String::new();
    for (table, column) in PLANTED {
        for (row, value) in (1..).zip(planted(table, column)) {
            let set = match (table, column) {
                ("user", _) => format!("INSERT INTO user (username, {column}) VALUES ('user {row}', '{value}')"),
                // A result is a value and its hash.
                ("test", _) => format!("UPDATE test SET result = CONCAT('{value}', result) WHERE test_id = {row}"),
                _ => format!("UPDATE {table} SET {column} = '{value}' WHERE {table}_id = {row}"),
            };
            writeln!(sql, "{set};").unwrap();
        }
    }
    databases.on_mariadb(&sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_laboratory_moves_from_mariadb_to_postgresql_and_nothing_is_left_behind() {
    with_dump("a_real_laboratory_moves_from_mariadb_to_postgresql_and_nothing_is_left_behind", |databases| {
        async move {
            load_laboratory(databases).await;
            plant(databases).await;
            databases.on_postgres(TARGET).await;
            println!("{}", whole_life(databases).await);
            let taken = Scope::parse(SCOPE).unwrap().tables().len();
            println!("{}", equal_by_other_means(databases, taken).await);
        }
        .boxed_local()
    })
    .await;
}

/// From the approved plan to the destruction of every part; what it took.
async fn whole_life(databases: &Databases) -> String {
    let world = World::start().await;
    for (table, column) in PLANTED {
        world.plant_in(table, column, planted(table, column));
    }
    let reader = reader(databases).await;
    let source = connectors::connect_source(&reader, None).unwrap();
    let sink = connectors::connect_sink(&databases.postgres, None).unwrap();
    let plan = world.approved(SCOPE, source.as_ref(), sink.as_ref()).await;
    let consignment = world.consign(&plan).await;

    let started = Instant::now();
    let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();
    let extracting = started.elapsed();
    counts_of_the_laboratory(&manifest);
    world.release(&plan, consignment).await.unwrap();
    let report = world.load(&plan, consignment, sink.as_ref()).await.unwrap();
    let rows: u64 = manifest.tables.iter().map(|table| table.rows).sum();
    let (loading, reading) = report.seconds;
    let figures = format!(
        "{} tables, {rows} rows: extracted in {:.1} s, loaded in {loading:.1} s, read again in {reading:.1} s",
        manifest.tables.len(),
        extracting.as_secs_f64()
    );

    assert!(report.reconciliation.opened);
    for (sealed, outcome) in manifest.tables.iter().zip(&report.reconciliation.tables) {
        let name = &sealed.name;
        assert_eq!((name, &sealed.target, sealed.rows), (&outcome.name, &outcome.target, outcome.rows_target));
        assert_eq!(sealed.root, outcome.sealed, "{name}: what was sealed is not what was signed");
        assert_eq!(outcome.sealed, outcome.fetched, "{name}: S is not F");
        assert_eq!(outcome.fetched, outcome.target_root, "{name}: F is not T");
    }
    assert_eq!(report.reconciliation.tables.len(), manifest.tables.len());

    world.sign_off(&plan).await.unwrap();
    everything_is_destroyed(&world, &plan).await;
    figures
}

/// The account that the old database itself holds to the scope.
async fn reader(databases: &Databases) -> String {
    let scope = Scope::parse(SCOPE).unwrap();
    let grants = scope::grants(&scope, Dialect::MariaDb, scope::Account::local(databases.account())).unwrap();
    let reader = databases.reader(&grants).await;
    let mut session = databases::mariadb(&reader).await;
    for (table, column, given) in
        [("patient", "name", true), ("patient", "created_by", false), ("user", "password", false)]
    {
        let sql = format!("SELECT `{column}` FROM `{table}` LIMIT 1");
        assert_eq!(sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut session).await.is_ok(), given, "{table}.{column}");
    }
    reader
}

/// What is known of this laboratory.
fn counts_of_the_laboratory(manifest: &Manifest) {
    let table = |name: &str| manifest.tables.iter().find(|table| table.name == name).unwrap();
    for (name, rows) in [("patient", 3033), ("specimen", 10_018), ("test", 11_310), ("stock_details", 122)] {
        assert_eq!((table(name).rows, table(name).rows_source), (rows, rows), "{name}");
    }
    assert!(manifest.tables.iter().all(|table| table.rows == table.rows_source), "no table has a predicate");
    // The only transform of this scope, counted in the evidence.
    for table in &manifest.tables {
        let changed: Vec<_> = table.transforms.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let expected: &[_] = if table.name == "stock_details" { &[("date_of_supply: null_if", 122)] } else { &[] };
        assert_eq!(changed, expected, "{}", table.name);
    }
}

async fn everything_is_destroyed(world: &World, plan: &Plan) {
    let recipient = world.destroy_part(Name::Recipient, plan.migration, &[]).await.unwrap();
    let probe = recipient.first().and_then(|part| part.probe.clone()).unwrap();
    assert!(!probe.opened && probe.tried > 0, "{probe:?}");
    world.destroy_part(Name::Operator, plan.migration, &[]).await.unwrap();

    let controller = world.desk(Name::Controller);
    let ledger = controller.follow(plan.migration).await.unwrap();
    assert_eq!(ledger.migration().stage, Stage::Destroyed);
    assert!(ledger.migration().consignments.iter().all(|round| round.stage == ConsignmentStage::Destroyed));
    let zip = controller.client().evidence(controller.keeper(), plan.migration).await.unwrap();
    let roots = controller.home().trusted().unwrap();
    let verdict = evidence::verify(&evidence::read(&zip).unwrap(), &roots).unwrap();
    assert!(verdict.established && verdict.certificate_complete, "{verdict:?}");
}

/// Every value once more, by queries that share nothing with the fingerprint; and the proof that they see a difference.
async fn equal_by_other_means(databases: &Databases, taken: usize) -> String {
    let compared = compare::every_table(databases, &[]).await;
    assert_eq!(compared.tables, taken);
    assert_eq!(compared.zero_dates, 122);
    assert_eq!(compared.differences, Vec::<String>::new());

    databases
        .on_postgres(
            "UPDATE test SET result = result || ' ' WHERE test_id = 1; \
             UPDATE specimen SET date_recvd = date_recvd + 1 WHERE specimen_id = 2; \
             UPDATE stock_details SET date_of_supply = '1970-01-01 00:00:00+00' WHERE entry_id = 1; \
             DELETE FROM patient_daily WHERE datestring = '20100504'",
        )
        .await;
    let found = compare::every_table(databases, &[]).await.differences;
    assert_eq!(
        found,
        [
            "patient_daily: 320 rows here, 319 there",
            "specimen.date_recvd: 1 values differ",
            "stock_details.date_of_supply: 1 values differ",
            "test.result: 1 values differ"
        ]
    );
    format!("compared again: {} tables, {} rows, {} values", compared.tables, compared.rows, compared.values)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_draft_for_a_real_laboratory_runs_as_it_stands() {
    with_dump("the_draft_for_a_real_laboratory_runs_as_it_stands", |databases| {
        async move {
            load_structure(databases).await;
            let source = connectors::connect_source(&databases.mariadb, None).unwrap();
            let found = source.describe().await.unwrap();
            let keyless = found.iter().filter(|table| table.primary_key.is_empty()).count();
            assert_eq!((found.len(), keyless), (55, 12));

            let draft = scope::draft(&found, scope::Account::local("lazaret_reader")).unwrap();
            assert_eq!(draft.scope_toml.matches("credentials never cross").count(), 2, "user and dhims2_api_config");
            assert_eq!(Scope::parse(&draft.scope_toml).unwrap().ready().unwrap_err().code(), lexicon::Code(317));
            databases.on_postgres(draft.target_ddl.get(&Dialect::Postgres).unwrap()).await;

            let reviewed = Scope::parse(SCOPE).unwrap();
            reviewed.ready().unwrap();
            let names: BTreeSet<_> = found.iter().map(|table| table.name.as_str()).collect();
            let kept: BTreeSet<_> = reviewed.tables().iter().map(|table| table.name.as_str()).collect();
            assert_eq!(names.difference(&kept).copied().collect::<Vec<_>>(), LEFT);
            assert_eq!(kept.len() + LEFT.len(), names.len());
            let sink = connectors::connect_sink(&databases.postgres, None).unwrap();
            let prepared = sink.prepare(&reviewed).await.unwrap();
            assert_eq!(prepared.waves.concat().len(), kept.len());
        }
        .boxed_local()
    })
    .await;
}
