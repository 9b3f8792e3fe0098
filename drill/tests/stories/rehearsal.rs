//! A rehearsal moves a sample into a test target, foretells the full round, and counts for nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use connectors::{Sink, Source};
use drill::{Name, Systems, World, entropy, passphrase};
use lexicon::{Clock, Code, ConsignmentId, SystemClock, Trouble};
use passage::{Errand, Forecast, Progress, Seen, Window};
use procedure::{Act, Allowed, Kind, Manifest, Plan, Step, Target};
use scope::{Dialect, Scope};

#[cfg(unix)]
use super::by_command::{passphrase_file, run, text};
use super::databases;

/// Enough that 5 % are a sample worth counting on.
const PATIENTS: u64 = 2_000;
/// Five percent.
const SAMPLE: (u32, u32) = (7, 500);

/// An empty test target beside the new system.
fn trial(world: &World) -> (PathBuf, Box<dyn Sink>) {
    let path = world.system("trial.sqlite");
    synth::new_system(&path).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", path.display()), None).unwrap();
    (path, sink)
}

/// An approved plan that allows rehearsals into the test target.
async fn approved(world: &World, systems: &Systems, trial: &dyn Sink) -> Plan {
    let both = (systems.source.as_ref(), systems.sink.as_ref());
    approved_with(world, &synth::scope_toml(), both, trial).await
}

/// As [`approved`], under this scope.
async fn approved_with(world: &World, toml: &str, both: (&dyn Source, &dyn Sink), trial: &dyn Sink) -> Plan {
    let (mut plan, documents) = world.plan(world.open().await, toml, both.0, both.1).await;
    let schema = trial.prepare(&Scope::parse(toml).unwrap()).await.unwrap().schema;
    plan.targets.push(Target {
        kinds: vec![Kind::Rehearsal],
        identity: trial.identity(),
        schema,
        declared: std::collections::BTreeMap::new(),
        documents: None,
    });
    plan.allowed.push(Allowed { kind: Kind::Rehearsal, count_max: 3, hours_max: 240 });
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    plan
}

async fn extracted(world: &World, plan: &Plan, systems: &Systems) -> (ConsignmentId, Arc<Manifest>) {
    let rehearsal = world.consign_as(plan, Kind::Rehearsal, SAMPLE).await;
    let manifest = world.extract(plan, rehearsal, systems.source.as_ref()).await.unwrap();
    (rehearsal, manifest)
}

async fn foretold(world: &World, plan: &Plan) -> Forecast {
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    passage::forecast(&ledger, None).unwrap()
}

fn refused<T>(outcome: lexicon::Result<T>) -> (Code, String) {
    let trouble = outcome.err().unwrap();
    assert!(matches!(trouble, Trouble::Refusal(_)), "{trouble}");
    (trouble.code(), trouble.to_string())
}

fn numbers(connection: &rusqlite::Connection, sql: &str) -> Vec<i64> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Whether a figure is within so many percent of what came.
fn near(foretold: u64, came: u64, percent: u64) -> bool {
    foretold.abs_diff(came).saturating_mul(100) <= came.saturating_mul(percent)
}

fn parcel_bytes(manifest: &Manifest) -> u64 {
    manifest.parcels.iter().map(|parcel| parcel.bytes).sum()
}

/// Everybody's time goes on as the machine's does, until this is aborted.
fn goes_on(world: &World) -> tokio::task::JoinHandle<()> {
    let clock = std::sync::Arc::clone(&world.clock);
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(std::time::Duration::from_millis(1));
        loop {
            beat.tick().await;
            clock.set(SystemClock.now());
        }
    })
}

/// The forecast that is asked for once the full round is there is the same, and tells beside it what came. How long each
/// took is told and not judged: a machine that does something else meanwhile takes longer.
fn beside_what_came(before: &Forecast, after: &Forecast, sealed_bytes: u64) -> String {
    let came = after.came.unwrap();
    assert_eq!((&after.tables, after.total), (&before.tables, before.total));
    assert_eq!((came.rows, came.sealed_bytes, came.attempts), (before.total.rows, sealed_bytes, 2));
    let Window { extract_ms, load_ms, reconcile_ms, .. } = before.total;
    let [extract, load, reconcile] = [extract_ms, load_ms, reconcile_ms].map(Option::unwrap);
    let (extracted, loaded) = (came.extract_ms, came.load_and_reconcile_ms.unwrap());
    assert!([extract, load, reconcile, extracted, loaded].iter().all(|time| *time > 0), "{before:?} {came:?}");
    let percent = |foretold: u64, came: u64| foretold.saturating_mul(100).checked_div(came).unwrap();
    format!(
        "{} rows: {extract} ms to extract foretold, {extracted} came ({} %); {load} + {reconcile} ms to load and read \
         again foretold, {loaded} came ({} %)",
        came.rows,
        percent(extract, extracted),
        percent(load.saturating_add(reconcile), loaded)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_foretells_the_full_round_that_follows_it() {
    let world = World::start().await;
    let systems = world.systems(PATIENTS);
    let (path, sink) = trial(&world);
    let plan = approved(&world, &systems, sink.as_ref()).await;

    let (rehearsal, sampled) = extracted(&world, &plan, &systems).await;
    world.release(&plan, rehearsal).await.unwrap();
    let (code, _) = refused(world.load(&plan, rehearsal, systems.sink.as_ref()).await);
    assert_eq!(code, Code(630), "the full target is not a rehearsal's");
    let report = world.load(&plan, rehearsal, sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal() && report.reconciliation.opened);
    assert!(world.reconcile(&plan, rehearsal, sink.as_ref()).await.unwrap().reconciliation.equal());

    // A sample, closed: whoever is pointed to is there.
    let new = rusqlite::Connection::open(&path).unwrap();
    let patients = numbers(&new, "SELECT count(*) FROM import_patient")[0];
    assert!((60..140).contains(&patients), "{patients}");
    assert_eq!(numbers(&new, "SELECT rowid FROM pragma_foreign_key_check()"), [0_i64; 0]);
    let prescribers = sampled.tables.iter().find(|table| table.name == "prescriber").unwrap();
    assert_eq!(prescribers.rows, prescribers.rows_source, "a short list is taken whole");
    let full_target = rusqlite::Connection::open(&systems.new).unwrap();
    assert_eq!(numbers(&full_target, "SELECT count(*) FROM import_patient"), [0]);
    // It counts for no sign-off.
    assert_eq!(refused(world.sign_off(&plan).await).0, Code(227));

    let forecast = foretold(&world, &plan).await;
    assert!(forecast.settled && forecast.refused.is_empty());
    let abandon = Act::Abandon { consignment: rehearsal, reason: "it has shown what it should".to_owned() };
    world.act(Name::Controller, plan.migration, abandon).await.unwrap();
    assert!(forecast.came.is_none(), "nothing full is extracted");
    let full = world.consign(&plan).await;
    let going = goes_on(&world);
    let manifest = world.extract(&plan, full, systems.source.as_ref()).await.unwrap();
    world.release(&plan, full).await.unwrap();
    assert!(world.load(&plan, full, systems.sink.as_ref()).await.unwrap().reconciliation.equal());
    going.abort();

    for (line, came) in forecast.tables.iter().zip(&manifest.tables) {
        assert_eq!((line.name.as_str(), line.window.rows), (came.name.as_str(), came.rows));
    }
    let (bytes, came) = (forecast.total.sealed_bytes.unwrap(), parcel_bytes(&manifest));
    let sizes = systems.sink.sizes(&Scope::parse(&synth::scope_toml()).unwrap()).await.unwrap();
    let (disk, disk_came) = (forecast.total.target_bytes.unwrap(), sizes.values().sum::<u64>());
    println!(
        "rehearsal of {patients} of {PATIENTS} patients: {bytes} sealed bytes foretold, {came} came; {disk} on disk foretold, {disk_came} came"
    );
    assert!(near(bytes, came, 25), "{bytes} sealed bytes foretold, {came} came");
    assert!(near(disk, disk_came, 25), "{disk} bytes on disk foretold, {disk_came} came");
    println!("{}", beside_what_came(&forecast, &foretold(&world, &plan).await, came));

    // The sign-off is over the full one; both are destroyed and told of.
    world.sign_off(&plan).await.unwrap();
    world.destroy_part(Name::Recipient, plan.migration, &[]).await.unwrap();
    world.destroy_part(Name::Operator, plan.migration, &[]).await.unwrap();
    let controller = world.desk(Name::Controller);
    let zip = controller.client().evidence(controller.keeper(), plan.migration).await.unwrap();
    let roots: Vec<_> = controller.home().trusted().unwrap();
    let verdict = evidence::verify(&evidence::read(&zip).unwrap(), &roots).unwrap();
    assert!(verdict.established && verdict.certificate_complete, "{verdict:?}");
    let told = |words: &str| verdict.statements.iter().any(|statement| statement.text.contains(words));
    assert!(told(" were drawn out of "), "{verdict:?}");
    assert!(told("rehearsal on a sample of 5 % of the rows in scope, seed 7") && told("(full)"), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_rehearsal_goes_on_with_the_same_rows_and_another_one_of_the_same_seed_takes_others() {
    let world = World::start().await;
    let systems = world.systems(400);
    let (path, sink) = trial(&world);
    let plan = approved(&world, &systems, sink.as_ref()).await;
    let all = "SELECT patient_id FROM import_patient UNION ALL SELECT result_id FROM import_result ORDER BY 1";

    let (first, manifest) = extracted(&world, &plan, &systems).await;
    world.release(&plan, first).await.unwrap();
    world.load(&plan, first, sink.as_ref()).await.unwrap();
    let new = rusqlite::Connection::open(&path).unwrap();
    let once = numbers(&new, all);
    let abandon = Act::Abandon { consignment: first, reason: "once more".to_owned() };
    world.act(Name::Controller, plan.migration, abandon).await.unwrap();
    for table in ["import_result", "import_request", "import_patient", "import_prescriber", connectors::MARKER_TABLE] {
        new.execute_batch(&format!("DELETE FROM {table}")).unwrap();
    }

    let second = world.consign_as(&plan, Kind::Rehearsal, SAMPLE).await;
    world.extract_until(&plan, second, systems.source.as_ref(), 2).await;
    let resumed = world.extract(&plan, second, systems.source.as_ref()).await.unwrap();
    // A table is kept only if it reads the same again, and patients are drawn.
    let kept = |parcel: &procedure::ManifestParcel| parcel.table == "patient" && parcel.attempt == 1;
    assert!(resumed.parcels.iter().any(kept), "nothing was kept of what was stored");
    assert_eq!(resumed.measured.len(), manifest.measured.len());
    world.release(&plan, second).await.unwrap();
    assert!(world.load(&plan, second, sink.as_ref()).await.unwrap().reconciliation.equal());
    // The operator named the same seed, and nobody could know before whom it would choose.
    let again = numbers(&new, all);
    assert!(!once.is_empty() && !again.is_empty());
    assert_ne!(again, once);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_target_would_refuse_is_told_at_once() {
    let world = World::start().await;
    let systems = world.systems(400);
    let (path, sink) = trial(&world);
    let new = rusqlite::Connection::open(&path).unwrap();
    // Two constraints of two tables that do not wait for each other, and one of a third.
    let rules = [
        ("import_prescriber", "UPPER(specialty) IS NOT specialty"),
        ("import_patient", "civility = 'Mme'"),
        ("import_result", "unit = 'g/L'"),
    ];
    for (table, rule) in rules {
        let sql: String =
            new.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0)).unwrap();
        let end = sql.rfind(')').unwrap();
        new.execute_batch(&format!("DROP TABLE {table}; {}, CONSTRAINT only CHECK ({rule}))", &sql[..end])).unwrap();
    }
    let plan = approved(&world, &systems, sink.as_ref()).await;
    let (rehearsal, _) = extracted(&world, &plan, &systems).await;
    world.release(&plan, rehearsal).await.unwrap();

    let (code, said) = refused(world.load(&plan, rehearsal, sink.as_ref()).await);
    assert_eq!(code, Code(640), "{said}");
    for table in ["import_patient", "import_result"] {
        assert!(said.contains(&format!("nothing was loaded into target table `{table}`")), "{said}");
    }
    assert!(!["Mme", "Monsieur", "g/L", "mmol"].iter().any(|value| said.contains(value)), "{said}");
    let forecast = foretold(&world, &plan).await;
    let [failed] = forecast.refused.as_slice() else { panic!("{forecast:?}") };
    assert_eq!((failed.step, failed.code, forecast.settled), (Step::Load, Code(640), false));
    // What was measured before stands all the same.
    assert!(forecast.total.sealed_bytes.is_some() && forecast.total.load_ms.is_none());
    let empty = numbers(&new, "SELECT count(*) FROM import_patient");
    assert_eq!(empty, [0]);
}

/// Sheets are few, and cross whole; 256 of them are a batch. Of the visits in scope a sample crosses.
const SHEETS_AND_VISITS: &str = "
CREATE TABLE sheet (sheet_id INTEGER PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE visit (visit_id INTEGER PRIMARY KEY, seen DATE, weight INTEGER);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 800)
  INSERT INTO sheet SELECT i, 'V', hex(randomblob(4096)) FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
  INSERT INTO visit SELECT i, '2024-03-01', 60 FROM n;
";

const SHEETS_AND_VISITS_SCOPE: &str = r#"
[[table]]
name = "sheet"
target = "import_sheet"
key = ["sheet_id"]
take = [
  { column = "sheet_id", type = "int64" },
  { column = "state", type = "text", map = { V = "valid", A = "absent" } },
  { column = "body", type = "text" },
]
leave = []
[[table]]
name = "visit"
target = "import_visit"
key = ["visit_id"]
take = [
  { column = "visit_id", type = "int64" },
  { column = "seen", type = "date" },
  { column = "weight", type = "int64" },
]
leave = []
where = "visit_id <= 2900"
"#;

/// Somebody types into the old system, which takes anything, what neither code map nor scope knows: into the first and the
/// last batch of the sheets, and into visits of which one is not in scope. By table and column, what was typed.
fn typed_in(old: &rusqlite::Connection) -> [(&'static str, &'static str, Vec<String>); 3] {
    let sheets = (1..=30).chain(781..=800).collect::<Vec<i64>>();
    let columns = [
        ("sheet", "state", "etat de Kergloff", sheets),
        ("visit", "seen", "le mardi de Kergloff", vec![100, 1_500, 2_900, 2_950]),
        ("visit", "weight", "poids de Kergloff", vec![7, 2_000]),
    ];
    columns.map(|(table, column, word, rows)| {
        let typed: Vec<String> = rows.iter().map(|row| format!("{word} {row}")).collect();
        for (row, value) in rows.iter().zip(&typed) {
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {table}_id = ?2");
            assert_eq!(old.execute(&sql, rusqlite::params![value, row]).unwrap(), 1);
        }
        (table, column, typed)
    })
}

/// Counts the rows of one table that went on.
struct WentOn(&'static str, AtomicU64);

impl Progress for WentOn {
    fn seen(&self, seen: Seen<'_>) {
        if let Seen::Rows { name, rows } = seen
            && name == self.0
        {
            self.1.fetch_add(rows, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_an_extraction_would_refuse_is_told_at_once() {
    let world = World::start().await;
    let paths = [world.path("old.sqlite"), world.path("new.sqlite"), world.system("trial.sqlite")];
    let scope = Scope::parse(SHEETS_AND_VISITS_SCOPE).unwrap();
    let empty = scope::target_ddl(&scope, Dialect::Sqlite).unwrap();
    let [old, new, tried] = paths.each_ref().map(|path| rusqlite::Connection::open(path).unwrap());
    for (system, sql) in [(&old, SHEETS_AND_VISITS), (&new, empty.as_str()), (&tried, empty.as_str())] {
        system.execute_batch(sql).unwrap();
    }
    let [source, sink, trial] = paths.map(|path| format!("sqlite:{}", path.display()));
    let source = connectors::connect_source(&source, None).unwrap();
    let [sink, trial] = [sink, trial].map(|address| connectors::connect_sink(&address, None).unwrap());
    let both = (source.as_ref(), sink.as_ref());
    let plan = approved_with(&world, SHEETS_AND_VISITS_SCOPE, both, trial.as_ref()).await;
    // All that was counted and approved is as it was, but for what stands in some columns.
    let typed = typed_in(&old);
    for (table, column, values) in &typed {
        world.plant_in(table, column, values.clone());
    }

    let rehearsal = world.consign_as(&plan, Kind::Rehearsal, SAMPLE).await;
    let (desk, secret, went_on) = (world.desk(Name::Operator), passphrase(), WentOn("sheet", AtomicU64::new(0)));
    let (migration, consignment) = (plan.migration, rehearsal);
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &went_on };
    let (code, said) = refused(passage::extract(&errand, source.as_ref(), entropy()).await);
    drop(desk);
    assert_eq!(code, Code(640), "{said}");
    // The whole list, and every row in scope, whether the sample has it or not; each sentence once.
    for told in [
        "the rehearsal met 2 refusals: ",
        "50 values in column state of table sheet are not in the code map",
        "table `visit` holds values that its scope cannot carry: ",
        "column `seen`: 3 values that do not spell the declared type",
        "column `weight`: 2 values of another type than the scope declares",
    ] {
        assert_eq!(said.matches(told).count(), 1, "{told}: {said}");
    }
    assert!(!said.contains("Kergloff"), "{said}");
    let between = went_on.1.into_inner();
    assert!(
        (1..750).contains(&between),
        "the control: batches with sheets that are refused stand around others: {between}"
    );
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    let failed = Act::Failed { consignment: rehearsal, step: Step::Extract, attempt: 1, code: 640 };
    assert_eq!(ledger.recorded().last().map(|recorded| &recorded.fact.act), Some(&failed));

    // Once all of it is mended nothing else is refused.
    old.execute_batch("UPDATE sheet SET state = 'V'; UPDATE visit SET seen = '2024-03-01', weight = 60").unwrap();
    let manifest = world.extract(&plan, rehearsal, source.as_ref()).await.unwrap();
    let [sheets, visits] = manifest.tables.as_slice() else { panic!("{:?}", manifest.tables) };
    assert_eq!(sheets.rows, 800);
    assert!((80..220).contains(&visits.rows), "{}", visits.rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_are_too_small_are_foretold_by_a_rehearsal() {
    databases::with("columns_that_are_too_small_are_foretold_by_a_rehearsal", |databases| {
        Box::pin(async move {
            let world = World::start().await;
            let systems = world.systems(400);
            let scope = Scope::parse(&synth::scope_toml()).unwrap();
            databases.on_postgres(&scope::target_ddl(&scope, Dialect::Postgres).unwrap()).await;
            let narrow = "ALTER TABLE import_patient ALTER COLUMN civility TYPE varchar(2); \
                          ALTER TABLE import_prescriber ALTER COLUMN specialty TYPE varchar(3); \
                          ALTER TABLE import_result ALTER COLUMN label TYPE varchar(400)";
            databases.on_postgres(narrow).await;
            let sink = connectors::connect_sink(&databases.postgres, None).unwrap();
            let plan = approved(&world, &systems, sink.as_ref()).await;
            let (rehearsal, _) = extracted(&world, &plan, &systems).await;
            world.release(&plan, rehearsal).await.unwrap();

            let (code, said) = refused(world.load(&plan, rehearsal, sink.as_ref()).await);
            assert_eq!(code, Code(640), "{said}");
            for (table, column) in [("import_patient", "civility"), ("import_prescriber", "specialty")] {
                assert!(said.contains(&format!("`{table}`")) && said.contains(column), "{said}");
            }
            assert!(!said.contains("`import_result`") && !said.contains("Mme"), "{said}");
        })
    })
    .await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_open_a_rehearsal_and_tell_its_forecast() {
    let world = World::start().await;
    let systems = world.systems(PATIENTS);
    let (path, sink) = trial(&world);
    let plan = approved(&world, &systems, sink.as_ref()).await;
    world.clock.set(SystemClock.now());
    let (secret, operator, recipient) =
        (passphrase_file(&world), world.home(Name::Operator), world.home(Name::Recipient));
    let (operator, recipient) = (["--home", text(&operator)], ["--home", text(&recipient)]);
    let secret = ["--passphrase-file", text(&secret)];
    let open = [&operator[..], &secret, &["consignment", "open", "--kind", "rehearsal"]].concat();

    let (status, next, _) = run(&[&operator[..], &secret, &["next"]].concat()).await;
    let command = next["migrations"][0]["waits"][0]["command"].as_str().unwrap();
    assert!(status == 0 && command.ends_with("--kind rehearsal --percent 1"), "{command}");
    for (percent, code) in [("", 1078), ("0", 276), ("100.01", 276)] {
        let percent = if percent.is_empty() { Vec::new() } else { vec!["--percent", percent] };
        let (exit, refused, complained) = run(&[&open[..], &percent].concat()).await;
        assert_eq!((exit, &refused["error"]["code"]), (3, &serde_json::json!(code)), "{complained}");
    }
    let (status, opened, complained) = run(&[&open[..], &["--percent", "1"]].concat()).await;
    assert_eq!(status, 0, "{complained}");
    let rehearsal: ConsignmentId = opened["consignment"].as_str().unwrap().parse().unwrap();
    let seed = {
        let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
        let round = ledger.migration().consignment(rehearsal).unwrap();
        assert_eq!((round.kind, round.basis_points), (Kind::Rehearsal, 100));
        round.seed
    };

    let (source, yes) = (format!("sqlite:{}", systems.old.display()), plan.digest().unwrap().to_string());
    let extract = ["extract", "--source", &source, "--yes", &yes];
    let (status, _, complained) = run(&[&operator[..], &secret, &extract].concat()).await;
    assert_eq!(status, 0, "{complained}");
    let (status, _, complained) = run(&[&recipient[..], &secret, &["consignment", "offer"]].concat()).await;
    assert_eq!(status, 0, "{complained}");
    world.release(&plan, rehearsal).await.unwrap();
    let target = format!("sqlite:{}", path.display());
    let (status, loaded, complained) = run(&[&recipient[..], &secret, &["load", "--target", &target]].concat()).await;
    assert_eq!((status, &loaded["equal"]), (0, &serde_json::json!(true)), "{complained}");
    // Anybody computes the same from the signed facts.
    let (status, mut forecast, complained) =
        run(&[&operator[..], &secret, &["consignment", "forecast"]].concat()).await;
    let turn = forecast.as_object_mut().unwrap().remove("turn");
    assert_eq!((status, &forecast, turn.as_ref()), (0, &loaded["forecast"], Some(&loaded["turn"])), "{complained}");
    assert_eq!((&forecast["seed"], &forecast["basis_points"]), (&seed.into(), &100.into()));
    let rows = |field: &str| {
        forecast["tables"].as_array().unwrap().iter().map(|table| table[field].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(forecast["total"]["rows"].as_u64(), Some(rows("rows")));
    assert!(rows("sampled") < rows("rows") && rows("sampled") > 0);
}
