//! A refusal and a report name rows by keyed digest. On the machine that has the rows anyway, whoever asks is shown which
//! rows those are, on the screen and nowhere else: by the program itself, from `MariaDB` to PostgreSQL.
#![cfg(unix)]

use std::path::Path;
use std::process::Output;

use drill::{Command, Name, World};
use futures::FutureExt;
use lexicon::{Clock, SystemClock};
use scope::{Dialect, Scope};
use serde_json::{Value, json};

use super::by_command::{passphrase_file, text};
use super::databases::{self, Databases};
use super::program::{clean, lazaret};

const SCOPE: &str = "[[table]]\nname = 'patient'\ntarget = 'import_patient'\nkey = ['patient_id']\nleave = []\ntake = [\n\
     { column = 'patient_id', as = 'number', type = 'int64' },\n{ column = 'family_name', type = 'text' },\n\
     { column = 'born', type = 'date' },\n]\n";
/// Of sixty patients, 7301944 and two digits. No later statement says such a number: the driver logs what it executes.
const OLD: &str = "CREATE TABLE patient (patient_id BIGINT PRIMARY KEY, family_name VARCHAR(40), born DATE); \
     INSERT INTO patient SELECT 730194400 + seq, CONCAT('name ', seq), '1970-01-01' FROM seq_1_to_60";
/// A target that changes what it is given.
const MEDDLING: &str = "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF NEW.number % 100 = 9 THEN NEW.family_name := 'another'; END IF; RETURN NEW; END $$; \
     CREATE TRIGGER meddle BEFORE INSERT ON import_patient FOR EACH ROW EXECUTE FUNCTION meddle()";

/// One person's command.
struct Caller {
    start: Vec<String>,
}

impl Caller {
    fn of(world: &World, name: Name, command: &[&str]) -> Self {
        let (home, secret) = (world.home(name), passphrase_file(world));
        let start = ["--home", text(&home), "--passphrase-file", text(&secret)];
        Self { start: start.iter().chain(command).map(|word| (*word).to_owned()).collect() }
    }

    /// With everything that can be logged in the log: status, document, standard error.
    async fn says(&self, verb: &str, more: &[&str]) -> (i32, Value, String) {
        let mut command = clean(&lazaret().unwrap());
        let words = self.start.iter().map(|word| if word == "VERB" { verb } else { word });
        command.args(words).args(more).arg("--json").env("LAZARET_LOG", "lazaret=trace,passage=trace,connectors=trace");
        shows_keys(&mut command, more);
        let Output { status, stdout, stderr } =
            tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
        (status.code().unwrap(), said, String::from_utf8(stderr).unwrap())
    }

    /// With standard output in this file: the status.
    async fn kept_in(&self, verb: &str, more: &[&str], file: &Path) -> i32 {
        let mut command = clean(&lazaret().unwrap());
        let words = self.start.iter().map(|word| if word == "VERB" { verb } else { word });
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        command.args(words).args(more).stdout(file);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().status.code().unwrap()
    }

    /// On a terminal, which the program `script` makes: status and screen; none without that program.
    async fn on_a_terminal(&self, verb: &str, more: &[&str]) -> Option<(i32, String)> {
        let words = self.start.iter().map(|word| if word == "VERB" { verb } else { word }).chain(more.iter().copied());
        let words: Vec<String> = words.map(|word| format!("'{word}'")).collect();
        let program = lazaret().unwrap();
        let line = format!("'{}' {}", program.display(), words.join(" "));
        let mut command = clean(Path::new("script"));
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        shows_keys(&mut command, more);
        let Output { status, stdout, .. } =
            tokio::task::spawn_blocking(move || command.output().ok()).await.unwrap()?;
        Some((status.code().unwrap(), String::from_utf8(stdout).unwrap()))
    }
}

/// The one place where a process of a story may say a value of a patient, and on its standard output alone.
fn shows_keys(command: &mut Command, words: &[&str]) {
    if words.contains(&"--show-keys") {
        command.shows("a person asked to be shown the keys of rows at fault");
    }
}

/// What stands there; null where nothing does.
fn at<'a>(said: &'a Value, place: &str) -> &'a Value {
    said.pointer(place).unwrap_or(&Value::Null)
}

/// The keys that were shown: of this patient alone, by this digest.
fn shown(said: &Value, digest: &Value, patient: &str) {
    let key = json!([{ "column": "patient_id", "target": "number", "value": patient }]);
    assert_eq!(said["keys"], json!([{ "table": "patient", "digest": digest, "key": key }]));
}

/// Nothing of any patient's key is in these.
fn hidden(said: &Value, complained: &str) {
    assert!(said["keys"].is_null() && !said.to_string().contains("7301944"), "{said}");
    assert!(!complained.contains("7301944"), "{complained}");
}

/// The row that a report names, when it broke in this link.
fn different(said: &Value, status: i32, link: &str) -> Value {
    assert_eq!((status, &said["equal"], &said["different"]), (5, &json!(false), &json!({ "patient": link })), "{said}");
    assert_eq!(said["located"].as_array().map(Vec::len), Some(1), "{said}");
    let located = |field: &str| said.pointer(&format!("/located/0/{field}")).unwrap().clone();
    assert_eq!((located("table"), located("found")), (json!("patient"), json!("changed")));
    located("key")
}

async fn extraction(operator: &Caller, databases: &Databases) {
    databases.on_mariadb("UPDATE patient SET born = '0000-00-00' WHERE patient_id % 100 = 17").await;
    let (status, refused, complained) = operator.says("extract", &[]).await;
    assert_eq!(status, 3, "{complained}");
    hidden(&refused, &complained);
    let error = at(&refused, "/error");
    assert!(at(error, "/remedy").as_str().unwrap().contains("--show-keys"), "{error}");
    let digest = at(error, "/message").as_str().unwrap().split("of their key: ").nth(1).unwrap().get(..32).unwrap();

    let (status, refused, complained) = operator.says("extract", &["--show-keys"]).await;
    assert_eq!((status, at(&refused, "/error/message")), (3, at(error, "/message")));
    shown(&refused, &json!(digest), "730194417");
    hidden(at(&refused, "/error"), &complained);
    let patient = refused.pointer("/keys/0/key/0/value").unwrap().as_str().unwrap();
    databases.on_mariadb(&format!("UPDATE patient SET born = '1970-01-01' WHERE patient_id = {patient}")).await;
    let (status, _, complained) = operator.says("extract", &["--show-keys"]).await;
    assert_eq!(status, 0, "{complained}");
}

async fn comparison(world: &World, recipient: &Caller, databases: &Databases) {
    let (status, loaded, complained) = recipient.says("load", &["--show-keys"]).await;
    assert_eq!((status, at(&loaded, "/equal")), (0, &json!(true)), "{complained}");
    hidden(&loaded, &complained);
    databases.on_postgres("UPDATE import_patient SET family_name = 'another' WHERE number % 100 = 5").await;
    let (status, report, complained) = recipient.says("reconcile", &[]).await;
    let digest = different(&report, status, "in the target since it was loaded");
    hidden(&report, &complained);
    let (status, report, complained) = recipient.says("reconcile", &["--show-keys"]).await;
    assert_eq!(different(&report, status, "in the target since it was loaded"), digest);
    shown(&report, &digest, "730194405");
    assert!(!complained.contains("7301944"), "{complained}");

    // Not where it would be kept, in either form; and nothing is done then.
    let file = world.path("kept");
    for form in [&["--show-keys"][..], &["--show-keys", "--json"]] {
        assert_eq!(recipient.kept_in("reconcile", form, &file).await, 3);
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains("1066") && !kept.contains("7301944"), "{kept}");
    let link = "DIFFERENT in the target since it was loaded, 1 keys differ";
    let digest = digest.as_str().unwrap();
    if let Some((status, screen)) = recipient.on_a_terminal("reconcile", &["--show-keys"]).await {
        let row = format!("key {digest} (patient_id → number = 730194405): other values in the target");
        assert!(status == 5 && screen.contains(link) && screen.contains(&row), "{status} {screen}");
        let (_, screen) = recipient.on_a_terminal("reconcile", &[]).await.unwrap();
        assert!(screen.contains(&format!("key {digest}: other")) && screen.contains("--show-keys"), "{screen}");
        assert!(!screen.contains("7301944"), "{screen}");
    }

    databases.on_postgres(&format!("TRUNCATE import_patient, lazaret_load; {MEDDLING}")).await;
    let (status, report, _) = recipient.says("load", &["--show-keys"]).await;
    let digest = different(&report, status, "between fetching and the target");
    shown(&report, &digest, "730194409");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_refusal_and_of_a_difference_are_shown_by_key_to_whoever_asks_on_the_agents() {
    let story = "the_rows_of_a_refusal_and_of_a_difference_are_shown_by_key_to_whoever_asks_on_the_agents";
    databases::with(story, |databases| {
        async move {
            databases.on_mariadb(OLD).await;
            let scope = Scope::parse(SCOPE).unwrap();
            databases.on_postgres(&scope::target_ddl(&scope, Dialect::Postgres).unwrap()).await;
            let world = World::start_as(false).await;
            world.plant_in("patient", "patient_id", (1..=60).map(|number| (730_194_400 + number).to_string()));
            world.clock.set(SystemClock.now());
            let source = connectors::connect_source(&databases.mariadb, None).unwrap();
            let sink = connectors::connect_sink(&databases.postgres, None).unwrap();
            let plan = world.approved(SCOPE, source.as_ref(), sink.as_ref()).await;
            let consignment = world.consign(&plan).await;
            let (migration, digest) = (plan.migration.to_string(), plan.digest().unwrap().to_string());
            let own = ["VERB", "--migration", &migration, "--source", &databases.mariadb, "--yes", &digest];
            extraction(&Caller::of(&world, Name::Operator, &own), databases).await;
            world.clock.set(SystemClock.now());
            world.release(&plan, consignment).await.unwrap();
            let own = ["VERB", "--migration", &migration, "--target", &databases.postgres];
            comparison(&world, &Caller::of(&world, Name::Recipient, &own), databases).await;
        }
        .boxed_local()
    })
    .await;
}
