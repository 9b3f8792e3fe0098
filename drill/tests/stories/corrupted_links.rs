//! One value changed on the way: the three fingerprints say in which link, the loading machine says in which row, and
//! nothing is signed off before somebody has dealt with it. A transform that was wrong when it was approved breaks no
//! link: that is seen by who compares the two systems by other means.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{RecordBatch, StringArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connectors::{Loaded, Mark, Prepared, Sink, Source};
use desk::Desk;
use drill::{Name, Round, Systems, World, entropy, passphrase};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use lexicon::{Clock, Code, ConsignmentId, Digest, ParcelId, Result, hours_after};
use passage::{Errand, Found, LoadReport, Located, Quiet};
use people::OpeningKey;
use procedure::{Act, Differing, Manifest, ManifestParcel, ManifestTable, Migration, Plan, Step};
use scope::{Dialect, Fingerprinter, Scope, ScopedBatch, SourceTable, TableFingerprint, TableScope, row_digests};
use seal::{ConsignmentKey, ParcelName, ParcelWriter, Sealed, Share, SumsSealer};

use super::compare::{self, Meant};
use super::databases::{self, Databases};

/// A surname that nobody has.
const ANOTHER: &str = "another name";
const IN_SEAL: &str = "between sealing and fetching";
const IN_LOAD: &str = "between fetching and the target";
const SINCE: &str = "in the target since it was loaded";

fn scope() -> Scope {
    Scope::parse(&synth::scope_toml()).unwrap()
}

async fn rows_of(source: &dyn Source, table: &str) -> Vec<ScopedBatch> {
    let (scope, moment) = (scope(), source.begin(false).await.unwrap());
    let rows = moment.read(&scope, table).try_collect().await.unwrap();
    moment.finish().await.unwrap();
    rows
}

fn patients(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name("patient_id").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

/// The last patient in scope.
async fn a_patient(systems: &Systems) -> i64 {
    let rows = rows_of(systems.source.as_ref(), "patient").await;
    rows.iter().flat_map(|batch| patients(batch.batch())).max().unwrap()
}

/// The keyed digest of the patient's key, computed by who holds both shares.
async fn keyed_digest(world: &mut World, systems: &Systems, round: &Round, patient: i64) -> String {
    let opened = world.opened(round).await;
    let laboratory = world.laboratory_share(&world.home(Name::Operator), round).unwrap();
    world.stop().await;
    let strongroom = world.strongroom_share(&world.server_folder(), &world.ring_folder(), round).unwrap().unwrap();
    world.restart();
    let key = ConsignmentKey::derive(&laboratory, &strongroom, opened).unwrap();
    let (keys, scope) = (key.fingerprint_keys(round.consignment).unwrap(), scope());
    let rows = rows_of(systems.source.as_ref(), "patient").await;
    let of_all = rows.iter().flat_map(|batch| {
        let digests = row_digests(&keys, scope.table("patient").unwrap(), batch.batch()).unwrap();
        patients(batch.batch()).into_iter().zip(digests)
    });
    let digests: Vec<_> = of_all.filter(|(id, _)| *id == patient).map(|(_, digest)| digest.key).collect();
    let [digest] = <[_; 1]>::try_from(digests).unwrap();
    format!("{:032x}", u128::from_be_bytes(digest))
}

/// Report and evidence name this link, in this table and in no other; and there is nothing to sign off.
async fn broken(world: &World, round: &Round, report: &LoadReport, link: &str) {
    assert_eq!(report.reconciliation.tables.len(), scope().tables().len());
    for table in &report.reconciliation.tables {
        assert_eq!(report.arrived.broken(table), (table.name == "patient").then_some(link), "{}", table.name);
    }
    let controller = world.desk(Name::Controller);
    let zip = controller.client().evidence(controller.keeper(), round.plan.migration).await.unwrap();
    let roots = controller.home().trusted().unwrap();
    let verdict = evidence::verify(&evidence::read(&zip).unwrap(), &roots).unwrap();
    let said = format!("these differ: 'import_patient' {link} (");
    assert!(verdict.statements.iter().any(|statement| statement.text.contains(&said)), "{:?}", verdict.statements);
    assert_eq!(world.sign_off(&round.plan).await.unwrap_err().code(), Code(227));
}

/// The recipient's screen shows this row and no other.
fn located(report: &LoadReport, key: String) {
    assert_eq!(report.located, [Located { table: "patient".to_owned(), key, found: Found::Changed }]);
    for table in &report.reconciliation.tables {
        let differing = u64::from(table.name == "patient");
        assert_eq!(table.differing, Some(Differing::Exactly(differing)), "{}", table.name);
    }
}

/// The bucket sums that an extracting agent seals.
#[derive(Clone, Copy, PartialEq)]
enum Sums {
    AsSigned,
    /// None of the first table.
    Withheld,
    /// Of what it seals, not of what it fingerprints and signs.
    OfTheSealed,
}

/// An extracting agent gone wrong: what it fingerprints is not what it seals.
struct Careless<'a> {
    desk: Desk,
    plan: &'a Plan,
    consignment: ConsignmentId,
    key: ConsignmentKey,
    laboratory_share: Digest,
    strongroom_share: Digest,
    sums: Sums,
}

impl<'a> Careless<'a> {
    async fn begin(world: &World, plan: &'a Plan, consignment: ConsignmentId) -> Self {
        let (desk, once) = (world.desk(Name::Operator), OpeningKey::draw());
        let laboratory = Share::draw(entropy().as_ref()).unwrap();
        let round = desk::Round { migration: plan.migration, consignment };
        desk.home().keep_share(round, laboratory.expose(), &passphrase()).unwrap();
        let lease = hours_after(world.clock.now(), 1);
        let mut build = |_: &Migration| {
            let (step, key) = (Step::Extract, once.recipient());
            Ok(Act::Begin { consignment, step, attempt: 1, lease, key, clear_swap: false })
        };
        let (submitted, ledger) = desk.act(plan.migration, &mut build, &[]).await.unwrap();
        let sealed = STANDARD.decode(submitted.share.unwrap()).unwrap();
        let strongroom = Share::take(&once.open(&sealed).unwrap()).unwrap();
        let opened = ledger.migration().consignment(consignment).unwrap().opened;
        let key = ConsignmentKey::derive(&laboratory, &strongroom, opened).unwrap();
        let (laboratory_share, strongroom_share) = (laboratory.digest(), strongroom.digest());
        Self { desk, plan, consignment, key, laboratory_share, strongroom_share, sums: Sums::AsSigned }
    }

    fn name(&self, table: &str) -> ParcelName {
        let (migration, consignment) = (self.plan.migration, self.consignment);
        let parcel = ParcelId::draw(entropy().as_ref()).unwrap();
        ParcelName { migration, consignment, attempt: 1, parcel, table: table.to_owned(), sequence: 0 }
    }

    async fn store(&self, name: ParcelName, sealed: Sealed) -> ManifestParcel {
        let (rows, digest, bytes) = (sealed.rows, sealed.digest, u64::try_from(sealed.bytes.len()).unwrap());
        let (client, place) = (self.desk.client(), (1, name.parcel));
        let (keeper, sealed) = (self.desk.keeper(), (sealed.bytes, digest));
        let putting = client.put_parcel(keeper, self.plan.migration, self.consignment, place, sealed);
        putting.await.unwrap();
        ManifestParcel { parcel: name.parcel, attempt: 1, table: name.table, sequence: 0, bytes, rows, digest }
    }

    async fn table(
        &self,
        table: &TableScope,
        seen: &dyn Source,
        sealed: &dyn Source,
    ) -> (TableFingerprint, ManifestParcel) {
        let fingerprint = self.fingerprint(table, seen).await;
        let (name, random) = (self.name(&table.name), entropy());
        let mut parcel = ParcelWriter::new(&self.key, random.as_ref(), name.clone(), table.target_schema()).unwrap();
        for batch in rows_of(sealed, &table.name).await {
            parcel.write(&batch).unwrap();
        }
        (fingerprint, self.store(name, parcel.finish().unwrap()).await)
    }

    async fn fingerprint(&self, table: &TableScope, seen: &dyn Source) -> TableFingerprint {
        let mut fingerprint = Fingerprinter::new(&self.key.fingerprint_keys(self.consignment).unwrap(), table);
        for batch in rows_of(seen, &table.name).await {
            fingerprint.add(batch.batch()).unwrap();
        }
        fingerprint.finish()
    }

    async fn close(self, seen: &dyn Source, sealed: &dyn Source) -> Manifest {
        let (mut tables, mut parcels, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new());
        for table in scope().tables() {
            let (fingerprint, parcel) = self.table(table, seen, sealed).await;
            tables.push(ManifestTable {
                name: table.name.clone(),
                target: table.target.clone(),
                rows_source: fingerprint.rows,
                rows: fingerprint.rows,
                root: fingerprint.root(),
                columns_taken: u32::try_from(table.take.len()).unwrap(),
                columns_left: u32::try_from(table.leave.len()).unwrap(),
                transforms: [].into(),
                nulls: None,
            });
            parcels.push(parcel);
            fingerprints.push(match self.sums {
                Sums::OfTheSealed => self.fingerprint(table, sealed).await,
                Sums::AsSigned | Sums::Withheld => fingerprint,
            });
        }
        let random = entropy();
        let mut sums_out = SumsSealer::begin(&self.key, random.as_ref(), self.name("sums")).unwrap();
        let withheld = usize::from(self.sums == Sums::Withheld);
        assert!(fingerprints.iter().skip(withheld).all(|fingerprint| sums_out.take(fingerprint).unwrap().is_none()));
        let (name, sums) = sums_out.finish().unwrap();
        let manifest = Manifest {
            consignment: self.consignment,
            attempt: 1,
            source: self.plan.source.identity.clone(),
            schema: self.plan.source.schema,
            snapshot: "a moment of the drill".to_owned(),
            scope: self.plan.scope,
            laboratory_share: self.laboratory_share,
            strongroom_share: self.strongroom_share,
            tables,
            orphans: Vec::new(),
            documents: Vec::new(),
            parcels,
            sums: self.store(name, sums).await,
            full_sums: Vec::new(),
            forgotten: true,
            measured: Vec::new(),
        };
        let mut build = |_: &Migration| Ok(Act::Close { manifest: Arc::new(manifest.clone()) });
        self.desk.act(self.plan.migration, &mut build, &[]).await.unwrap();
        manifest
    }
}

/// The old system, with another name of this patient.
fn renamed(world: &World, systems: &Systems, patient: i64) -> Box<dyn Source> {
    let other = world.system("other.sqlite");
    std::fs::copy(&systems.old, &other).unwrap();
    let sql = "UPDATE patient SET family_name = ?1 WHERE patient_id = ?2";
    let changed = rusqlite::Connection::open(&other).unwrap();
    assert_eq!(changed.execute(sql, rusqlite::params![ANOTHER, patient]).unwrap(), 1);
    connectors::connect_source(&format!("sqlite:{}", other.display()), None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_changed_in_seal_breaks_the_link_between_sealing_and_fetching() {
    let mut world = World::start().await;
    let systems = world.systems(120);
    let patient = a_patient(&systems).await;
    let (source, sink, other) = (systems.source.as_ref(), systems.sink.as_ref(), renamed(&world, &systems, patient));

    let plan = world.approved(&synth::scope_toml(), source, sink).await;
    let consignment = world.consign(&plan).await;
    let manifest = Careless::begin(&world, &plan, consignment).await.close(source, other.as_ref()).await;
    let round = Round { plan, consignment, manifest: Arc::new(manifest) };
    world.release(&round.plan, consignment).await.unwrap();
    let report = world.load(&round.plan, consignment, sink).await.unwrap();

    broken(&world, &round, &report, IN_SEAL).await;
    // Of 120 patients in 4,096 buckets the changed one is nearly alone in its own.
    let key = keyed_digest(&mut world, &systems, &round, patient).await;
    assert!(report.located.iter().any(|located| located.key == key), "{:?}", report.located);
    assert!(report.located.iter().all(|located| located.table == "patient" && located.found == Found::Suspect));
    assert!(report.located.len() < 5, "{:?}", report.located);
    let [suspected] = report.suspected.as_slice() else { unreachable!("{:?}", report.suspected) };
    assert_eq!((suspected.buckets, suspected.rows_missing), (1, 0));
    assert_eq!(suspected.rows_among, u64::try_from(report.located.len()).unwrap());
    // A machine that has the old system too is certain.
    let (desk, secret, migration) = (world.desk(Name::Recipient), passphrase(), round.plan.migration);
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &Quiet };
    let beside = passage::load_beside(&errand, sink, source).await.unwrap();
    assert_eq!(beside.located, [Located { table: "patient".to_owned(), key, found: Found::SealedOtherwise }]);
    assert_eq!(beside.suspected, []);
    let ledger = world.desk(Name::Controller).follow(migration).await.unwrap();
    let report = ledger.migration().consignment(consignment).unwrap().outcome.as_ref().unwrap().digest;
    let reason = "the name is put right by hand".to_owned();
    world.act(Name::Controller, migration, Act::AcceptDifference { consignment, report, reason }).await.unwrap();
    world.sign_off(&round.plan).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_that_are_not_of_the_signed_roots_are_an_alarm() {
    for (sums, table) in [(Sums::Withheld, &scope().tables()[0].name), (Sums::OfTheSealed, &"patient".to_owned())] {
        let world = World::start().await;
        let systems = world.systems(60);
        let other = renamed(&world, &systems, a_patient(&systems).await);
        let (source, sink) = (systems.source.as_ref(), systems.sink.as_ref());
        let plan = world.approved(&synth::scope_toml(), source, sink).await;
        let consignment = world.consign(&plan).await;
        let mut careless = Careless::begin(&world, &plan, consignment).await;
        careless.sums = sums;
        careless.close(source, other.as_ref()).await;
        world.release(&plan, consignment).await.unwrap();
        let alarm = world.load(&plan, consignment, sink).await.unwrap_err();
        assert!(alarm.code() == Code(620) && alarm.to_string().contains(&format!("'{table}'")), "{alarm}");
    }
}

/// A loader gone wrong: one patient has another name when the target gets the row.
struct Renaming<'a> {
    under: &'a dyn Sink,
    patient: i64,
}

impl Renaming<'_> {
    fn rename(&self, batch: &RecordBatch) -> RecordBatch {
        let at = batch.schema().index_of("surname").unwrap();
        let old = batch.column(at).as_string::<i32>().iter().zip(patients(batch));
        let names: StringArray = old.map(|(name, id)| if id == self.patient { Some(ANOTHER) } else { name }).collect();
        let mut columns = batch.columns().to_vec();
        *columns.get_mut(at).unwrap() = Arc::new(names);
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    }
}

impl Sink for Renaming<'_> {
    fn identity(&self) -> String {
        self.under.identity()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        self.under.describe()
    }

    fn prepare<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Prepared>> {
        self.under.prepare(scope)
    }

    fn load<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        mark: Mark,
        batches: BoxStream<'a, Result<RecordBatch>>,
    ) -> BoxFuture<'a, Result<Loaded>> {
        let renamed = batches.map_ok(move |batch| if table == "patient" { self.rename(&batch) } else { batch });
        self.under.load(scope, table, mark, renamed.boxed())
    }

    fn at_fault(&self, table: &str) -> Vec<RecordBatch> {
        self.under.at_fault(table)
    }

    fn read_back<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<RecordBatch>> {
        self.under.read_back(scope, table)
    }

    fn sizes<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<BTreeMap<String, u64>>> {
        self.under.sizes(scope)
    }

    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a [scope::Followed]) -> BoxFuture<'a, Result<Vec<u64>>> {
        self.under.orphans(scope, followed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_changed_in_load_breaks_the_link_between_fetching_and_the_target() {
    let mut world = World::start().await;
    let systems = world.systems(120);
    let (sink, patient) = (systems.sink.as_ref(), a_patient(&systems).await);
    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let report = world.load(&round.plan, round.consignment, &Renaming { under: sink, patient }).await.unwrap();

    broken(&world, &round, &report, IN_LOAD).await;
    located(&report, keyed_digest(&mut world, &systems, &round, patient).await);
    // Rows that are in the target stay as they are, until its people empty it.
    let again = world.load(&round.plan, round.consignment, sink).await.unwrap();
    broken(&world, &round, &again, IN_LOAD).await;
    let new = rusqlite::Connection::open(&systems.new).unwrap();
    for table in ["import_result", "import_request", "import_patient", "import_prescriber", connectors::MARKER_TABLE] {
        new.execute_batch(&format!("DELETE FROM {table}")).unwrap();
    }
    assert!(world.load(&round.plan, round.consignment, sink).await.unwrap().reconciliation.equal());
    world.sign_off(&round.plan).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_changed_in_the_target_is_found_when_it_is_read_again() {
    let mut world = World::start().await;
    let systems = world.systems(120);
    let (sink, patient) = (systems.sink.as_ref(), a_patient(&systems).await);
    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    assert!(world.load(&round.plan, round.consignment, sink).await.unwrap().reconciliation.equal());
    let sql = "UPDATE import_patient SET surname = ?1 WHERE patient_id = ?2";
    let new = rusqlite::Connection::open(&systems.new).unwrap();
    assert_eq!(new.execute(sql, rusqlite::params![ANOTHER, patient]).unwrap(), 1);
    let report = world.reconcile(&round.plan, round.consignment, sink).await.unwrap();

    broken(&world, &round, &report, SINCE).await;
    located(&report, keyed_digest(&mut world, &systems, &round, patient).await);
    // A load finds its rows there, and cannot tell any more when they changed; nor can who only reads again after it.
    let again = world.load(&round.plan, round.consignment, sink).await.unwrap();
    broken(&world, &round, &again, IN_LOAD).await;
    let report = world.reconcile(&round.plan, round.consignment, sink).await.unwrap();
    broken(&world, &round, &report, IN_LOAD).await;
    let (consignment, reason) = (round.consignment, "the new system is not ready".to_owned());
    world.act(Name::Controller, round.plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
    assert_eq!(world.sign_off(&round.plan).await.unwrap_err().code(), Code(227), "what is given up is not signed off");
}

/// A code map whose last line is as given.
fn coded(unknown: &str) -> String {
    format!(
        "[[table]]\nname = 'patient'\ntarget = 'patient'\nkey = ['patient_id']\nleave = []\ntake = [\n\
         {{ column = 'patient_id', type = 'int64' }},\n{{ column = 'family_name', type = 'text' }},\n\
         {{ column = 'sex', type = 'text', map = {{ 1 = 'M', 2 = 'F', 9 = '{unknown}' }} }},\n]\n"
    )
}

/// What the laboratory means by its codes.
const MEANT: [Meant<'static>; 1] =
    [("patient", "sex", "CASE sex WHEN '1' THEN 'M' WHEN '2' THEN 'F' WHEN '9' THEN 'U' END")];

/// From old to new under this scope, S, F and T equal; then what the comparison by other means finds.
async fn differences(world: &World, databases: &Databases, scope: &str) -> Vec<String> {
    databases.on_postgres("TRUNCATE patient, lazaret_load").await;
    let source = connectors::connect_source(&databases.mariadb, None).unwrap();
    let sink = connectors::connect_sink(&databases.postgres, None).unwrap();
    let plan = world.approved(scope, source.as_ref(), sink.as_ref()).await;
    let consignment = world.consign(&plan).await;
    let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();
    world.release(&plan, consignment).await.unwrap();
    let report = world.load(&plan, consignment, sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal());
    assert_eq!(manifest.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [200]);
    let compared = compare::every_table(databases, &MEANT).await;
    assert_eq!((compared.tables, compared.rows, compared.values), (1, 200, 600));
    compared.differences
}

/// What is planted is a wrong code map, as a scope may have it when it is approved; bugs in the code of the transforms are
/// planted by `cargo xtask mutants`, in those whose names end in `by-other-means`.
#[tokio::test(flavor = "multi_thread")]
async fn a_transform_with_a_planted_bug_is_caught_by_the_comparison_by_other_means() {
    databases::with("a_transform_with_a_planted_bug_is_caught_by_the_comparison_by_other_means", |databases| {
        async move {
            // Of 200 patients, 10 of unknown sex.
            let old = "CREATE TABLE patient (patient_id INT PRIMARY KEY, family_name VARCHAR(40), sex CHAR(1)); \
                       INSERT INTO patient SELECT seq, CONCAT('name ', seq), \
                       CASE WHEN seq % 20 = 0 THEN '9' WHEN seq % 2 = 0 THEN '1' ELSE '2' END FROM seq_1_to_200";
            databases.on_mariadb(old).await;
            let scope = Scope::parse(&coded("U")).unwrap();
            databases.on_postgres(&scope::target_ddl(&scope, Dialect::Postgres).unwrap()).await;
            let world = World::start().await;
            world.plant_in("patient", "family_name", (100..=200).map(|patient| format!("name {patient}")));

            let planted = differences(&world, databases, &coded("F")).await;
            assert_eq!(planted, ["patient.sex: 10 values differ"]);
            let right = differences(&world, databases, &coded("U")).await;
            assert_eq!(right, Vec::<String>::new(), "the control: the map that was meant");
        }
        .boxed_local()
    })
    .await;
}
