//! Folders of documents: from a folder of the old system to a folder of the new one, with everything that can go wrong
//! between them.

mod broken;
mod column;
#[cfg(target_os = "linux")]
mod large;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use drill::{Name, Round, Systems, World, entropy, files_below, passphrase, write_file};
use lexicon::{Code, Digest};
use passage::{Errand, Found, Progress, Quiet, Receiving, Seen};
use procedure::{Act, Allowed, Kind, Plan, Target};

/// A laboratory with a folder of reports, and the scope that takes both.
struct Ground {
    world: World,
    systems: Systems,
    folder: PathBuf,
    scope: String,
    documents: u64,
}

impl Ground {
    async fn new(seed: u64) -> Self {
        let world = World::start().await;
        let systems = world.systems_of(seed, 120);
        let (made, folder, scope) = world.reports(seed, 60);
        Self { world, systems, folder, scope, documents: made.documents }
    }

    async fn approved(&self) -> Plan {
        self.world.approved(&self.scope, self.systems.source.as_ref(), self.systems.sink.as_ref()).await
    }

    async fn closed(&self) -> Round {
        self.world.closed_with(&self.systems, &self.scope).await
    }

    async fn released(&self) -> Round {
        let round = self.closed().await;
        self.world.release(&round.plan, round.consignment).await.unwrap();
        round
    }

    fn new_folder(&self) -> PathBuf {
        self.world.path("new.sqlite-documents/reports")
    }

    /// The first report of the old folder, by its name.
    fn a_report(&self) -> String {
        reports(&self.folder).into_keys().next().unwrap()
    }
}

/// Every report below a folder, by its way from there.
fn reports(folder: &Path) -> BTreeMap<String, Digest> {
    let files = files_below(&[folder]).into_iter();
    let named = files.map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), path));
    let named = named.filter(|(name, _)| name.starts_with("20"));
    named.map(|(name, path)| (name, Digest::of(&fs::read(path).unwrap()))).collect()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    write_file(path, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_reports_moves_whole_under_its_names_and_nothing_else_of_it() {
    let ground = Ground::new(31).await;
    let (world, sink) = (&ground.world, ground.systems.sink.as_ref());
    let round = ground.released().await;

    let report = world.load(&round.plan, round.consignment, sink).await.unwrap();

    assert!(report.reconciliation.equal() && report.reconciliation.opened);
    let sealed = &round.manifest.documents[0];
    assert_eq!((sealed.index.rows, sealed.stayed), (ground.documents, 4));
    assert_eq!(report.reconciliation.documents[0].rows_target, ground.documents);
    assert_eq!(reports(&ground.new_folder()), reports(&ground.folder));
    let own = files_below(&[&ground.new_folder()]).len();
    assert_eq!(own, reports(&ground.folder).len() + 1, "the reports and the marker");
    // Nothing that the server has says what they are called.
    let names: Vec<String> = reports(&ground.folder).into_keys().collect();
    for path in files_below(&[&world.server_folder()]) {
        let bytes = fs::read(&path).unwrap();
        let said = |name: &String| {
            let name = name.rsplit('/').next().unwrap().as_bytes();
            bytes.windows(name.len()).any(|window| window == name)
        };
        assert!(!names.iter().any(said), "{}", path.display());
    }

    world.sign_off(&round.plan).await.unwrap();
    let parts = world.destroy_part(Name::Recipient, round.plan.migration, &[]).await.unwrap();
    let probe = parts[0].probe.clone().unwrap();
    assert!(!probe.opened && probe.tried > 0, "{probe:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_before_destruction_opens_a_parcel_of_documents_and_afterwards_none_does() {
    let ground = Ground::new(32).await;
    let world = &ground.world;
    let round = ground.released().await;
    world.load(&round.plan, round.consignment, ground.systems.sink.as_ref()).await.unwrap();

    let of = desk::Round { migration: round.plan.migration, consignment: round.consignment };
    let kept: Option<(serde_json::Value, Vec<u8>)> = world.desk(Name::Recipient).home().probe(of).unwrap();
    let kept = kept.unwrap().0.to_string();
    let documents = round.manifest.documents[0].parcels.iter().map(|line| line.parcel.to_string());
    assert!(documents.clone().any(|parcel| kept.contains(&parcel)), "{kept}");
    let secret = passphrase();
    let (desk, migration, consignment) = (world.desk(Name::Recipient), of.migration, of.consignment);
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &Quiet };
    assert!(passage::probe(&errand, &[]).await.unwrap().unwrap().opened);

    world
        .act(Name::Controller, migration, Act::Abandon { consignment, reason: "the drill ends it".to_owned() })
        .await
        .unwrap();
    assert!(!passage::probe(&errand, &[]).await.unwrap().unwrap().opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_changed_in_the_new_system_is_told_by_its_keyed_digest_and_link() {
    let ground = Ground::new(33).await;
    let (world, sink) = (&ground.world, ground.systems.sink.as_ref());
    let round = ground.released().await;
    world.load(&round.plan, round.consignment, sink).await.unwrap();
    let name = ground.a_report();
    let place = ground.new_folder().join(&name);
    let content = fs::read(&place).unwrap();
    let changes: [(&str, Found); 3] =
        [("changed", Found::Changed), ("missing", Found::Missing), ("more", Found::Surplus)];

    for (change, found) in changes {
        match change {
            "changed" => overwrite(&place, &[content.as_slice(), b" "].concat()),
            "missing" => fs::remove_file(&place).unwrap(),
            _ => write_file(&ground.new_folder().join("more.pdf"), b"%PDF-1.4 of somebody else"),
        }
        let report = world.reconcile(&round.plan, round.consignment, sink).await.unwrap();
        let outcome = &report.reconciliation.documents[0];
        assert!(!report.reconciliation.equal(), "{change}");
        assert_eq!(outcome.broken(), Some("between fetching and the target"), "{change}");
        let located: Vec<Found> = report.located.iter().map(|located| located.found).collect();
        assert_eq!(located, [found], "{change}");
        let told = format!("{:?}", report.located);
        assert!(!told.contains("pdf") && !told.contains("CR-"), "{told}");
        if change != "more" {
            fs::remove_file(&place).unwrap_or_default();
            write_file(&place, &content);
        }
    }
    fs::remove_file(ground.new_folder().join("more.pdf")).unwrap();
    assert!(world.reconcile(&round.plan, round.consignment, sink).await.unwrap().reconciliation.equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extraction_that_is_given_again_keeps_the_folder_that_it_had_stored() {
    let ground = Ground::new(38).await;
    let world = &ground.world;
    let plan = ground.approved().await;
    let consignment = world.consign(&plan).await;
    let (desk, secret) = (world.desk(Name::Operator), passphrase());
    let (through, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let progress = ThroughReports(through);
    let errand =
        Errand { desk: &desk, passphrase: &secret, migration: plan.migration, consignment, progress: &progress };
    tokio::select! {
        biased;
        _ = seen.recv() => {}
        ended = passage::extract(&errand, ground.systems.source.as_ref(), entropy()) => { ended.unwrap(); return }
    }
    drop(desk);
    let manifest = world.extract(&plan, consignment, ground.systems.source.as_ref()).await.unwrap();
    assert!(manifest.documents[0].parcels.iter().all(|parcel| parcel.attempt == 1), "it was sealed again");
    world.release(&plan, consignment).await.unwrap();
    assert!(world.load(&plan, consignment, ground.systems.sink.as_ref()).await.unwrap().reconciliation.equal());
}

struct ThroughReports(tokio::sync::mpsc::UnboundedSender<()>);

impl Progress for ThroughReports {
    fn seen(&self, seen: Seen<'_>) {
        if matches!(seen, Seen::Through { name: "reports" }) {
            self.0.send(()).unwrap_or_default();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_takes_a_sample_of_the_documents_into_a_folder_of_its_own() {
    let ground = Ground::new(39).await;
    let world = &ground.world;
    let trial = world.system("trial.sqlite");
    synth::new_system(&trial).unwrap();
    fs::create_dir(world.system("trial-documents")).unwrap();
    let folder = connectors::DocumentTarget::open(&world.path("trial-documents").display().to_string()).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", trial.display()), None).unwrap();
    let id = world.open().await;
    let (source, full) = (ground.systems.source.as_ref(), ground.systems.sink.as_ref());
    let (mut plan, documents) = world.plan(id, &ground.scope, source, full).await;
    let (kinds, identity, schema) = (vec![Kind::Rehearsal], sink.identity(), plan.target(Kind::Full).unwrap().schema);
    plan.targets.push(Target {
        kinds,
        identity,
        schema,
        declared: std::collections::BTreeMap::new(),
        documents: Some(folder.identity()),
    });
    plan.allowed.push(Allowed { kind: Kind::Rehearsal, count_max: 2, hours_max: 240 });
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;

    let consignment = world.consign_as(&plan, Kind::Rehearsal, (5, 3_000)).await;
    let manifest = world.extract(&plan, consignment, source).await.unwrap();
    let part = &manifest.documents[0];
    assert!(part.index.rows > 0 && part.index.rows < part.index.rows_source, "{part:?}");
    world.release(&plan, consignment).await.unwrap();
    let refused = world.load(&plan, consignment, sink.as_ref()).await.unwrap_err();
    assert_eq!(refused.code(), Code(647), "the full round's folder: {refused}");
    let (desk, secret) = (world.desk(Name::Recipient), passphrase());
    let errand = Errand { desk: &desk, passphrase: &secret, migration: id, consignment, progress: &Quiet };
    let into = Receiving { sink: sink.as_ref(), documents: Some(&folder) };
    assert!(passage::load(&errand, into).await.unwrap().reconciliation.equal());
    let (sample, all) = (reports(&world.path("trial-documents/reports")), reports(&ground.folder));
    assert_eq!(u64::try_from(sample.len()).unwrap(), part.index.rows);
    assert!(sample.iter().all(|(name, digest)| all.get(name) == Some(digest)));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_to_the_folder_of_the_plan_or_nowhere() {
    let ground = Ground::new(40).await;
    let (world, sink) = (&ground.world, ground.systems.sink.as_ref());
    let round = ground.released().await;
    let (desk, secret) = (world.desk(Name::Recipient), passphrase());
    let (migration, consignment) = (round.plan.migration, round.consignment);
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &Quiet };
    assert_eq!(passage::load(&errand, sink).await.unwrap_err().code(), Code(646));
    fs::create_dir(world.path("elsewhere")).unwrap();
    let elsewhere = connectors::DocumentTarget::open(&world.path("elsewhere").display().to_string()).unwrap();
    let into = Receiving { sink, documents: Some(&elsewhere) };
    assert_eq!(passage::load(&errand, into).await.unwrap_err().code(), Code(647));
    assert_eq!(fs::read_dir(world.path("elsewhere")).unwrap().count(), 0);

    // And a plan that names none takes nobody anywhere.
    let id = world.open().await;
    let (mut plan, documents) = world.plan(id, &ground.scope, ground.systems.source.as_ref(), sink).await;
    plan.targets.iter_mut().for_each(|target| target.documents = None);
    world.propose(&plan, &documents).await.unwrap();
    let controller = world.desk(Name::Controller);
    let ledger = controller.follow(id).await.unwrap();
    assert_eq!(passage::check_papers(&controller, id, &ledger).await.unwrap_err().code(), Code(645));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_approves_is_shown_the_sentence_with_the_counts() {
    let ground = Ground::new(41).await;
    let plan = ground.approved().await;
    let desk = ground.world.desk(Name::Controller);
    let ledger = desk.follow(plan.migration).await.unwrap();
    let taken = passage::check_papers(&desk, plan.migration, &ledger).await.unwrap();
    let shown = taken.documents[0].lines().join("\n");
    assert!(shown.contains(scope::DOCUMENTS_SENTENCE), "{shown}");
    assert!(shown.contains(&format!("pdf: {} documents", ground.documents)), "{shown}");
    assert!(shown.contains("stays: 3 of a kind that is not taken") && shown.contains("1 whose ending"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_documents_that_rows_in_scope_name_are_opened_and_move() {
    let world = World::start().await;
    let (_, folder, _) = world.reports(42, 100);
    let (old, new) = (world.path("old.sqlite"), world.path("new.sqlite"));
    let names: Vec<String> = reports(&folder).into_keys().collect();
    let system = rusqlite::Connection::open(&old).unwrap();
    system.execute_batch("CREATE TABLE report (id INTEGER PRIMARY KEY, file TEXT, seen DATE)").unwrap();
    for (name, number) in names.iter().zip(0..) {
        let seen = if number < 60 { "2021-05-01" } else { "2012-05-01" };
        system.execute("INSERT INTO report (file, seen) VALUES (?1, ?2)", [name.as_str(), seen]).unwrap();
    }
    system.execute("INSERT INTO report (file, seen) VALUES ('2021/lost.pdf', '2021-05-01')", []).unwrap();
    drop(system);
    let target = "CREATE TABLE import_report (id INTEGER PRIMARY KEY, file TEXT, seen DATE);
        CREATE TABLE lazaret_load (consignment VARCHAR(32) NOT NULL, target_table VARCHAR(128) NOT NULL,
            attempt BIGINT NOT NULL, row_count BIGINT NOT NULL, PRIMARY KEY (consignment, target_table));";
    rusqlite::Connection::open(&new).unwrap().execute_batch(target).unwrap();
    let listed = "listed = { table = \"report\", column = \"file\" }\n";
    let scope = [
        "[[table]]\nname = \"report\"\ntarget = \"import_report\"\nkey = [\"id\"]\n\
         take = [{ column = \"id\", type = \"int64\" }, { column = \"file\", type = \"text\" }, \
         { column = \"seen\", type = \"date\" }]\nwhere = \"seen >= date '2018-01-01'\"\n",
        &synth::reports_toml(&folder),
        listed,
    ]
    .concat();
    let source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();

    let plan = world.approved(&scope, source.as_ref(), sink.as_ref()).await;
    let desk = world.desk(Name::Controller);
    let taken =
        passage::check_papers(&desk, plan.migration, &desk.follow(plan.migration).await.unwrap()).await.unwrap();
    let shown = taken.documents[0].lines().join("\n");
    assert!(shown.contains("pdf: 60 documents") && shown.contains("not there: 1 that rows in scope name"), "{shown}");
    let consignment = world.consign(&plan).await;
    let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();
    assert_eq!((manifest.documents[0].index.rows, manifest.documents[0].stayed), (60, 44));
    world.release(&plan, consignment).await.unwrap();
    assert!(world.load(&plan, consignment, sink.as_ref()).await.unwrap().reconciliation.equal());
    let arrived: Vec<String> = reports(&world.path("new.sqlite-documents/reports")).into_keys().collect();
    assert_eq!(arrived, names[..60]);
}
