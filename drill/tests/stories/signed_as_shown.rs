//! Whoever releases, accepts a difference, signs off, abandons or cancels signs what they looked at: what the other side
//! changed meanwhile is not signed unseen, and a program's answer always says whose turn it is.
#![cfg(unix)]
#![expect(clippy::indexing_slicing, reason = "what a document does not hold is null, and not what a story wants")]

use drill::{Name, Round, Systems, World};
use lexicon::Code;
use procedure::{Act, Step};
use serde_json::{Value, json};

use super::by_command::{passphrase_file, run, text};

/// Statuses of the manual's page.
const REFUSED: i32 = 3;
const MISMATCH: i32 = 5;

/// A closed consignment, and the program beside its world.
struct Scene {
    world: World,
    systems: Systems,
    round: Round,
}

impl Scene {
    async fn set() -> Self {
        let world = World::start().await;
        let systems = world.systems(60);
        let round = world.closed(&systems).await;
        world.clock.set(lexicon::Clock::now(&lexicon::SystemClock));
        Self { world, systems, round }
    }

    /// A person's command: its status and its document.
    async fn says(&self, name: Name, words: &[&str]) -> (i32, Value) {
        let (secret, home) = (passphrase_file(&self.world), self.world.home(name));
        let who = ["--home", text(&home), "--passphrase-file", text(&secret), "--quiet"];
        let (status, said, complained) = run(&[&who[..], words].concat()).await;
        assert!(!said.is_null(), "{complained}");
        (status, said)
    }

    /// What the controller's look gives for `--yes`.
    async fn look(&self, act: &str) -> String {
        let (status, shown) = self.says(Name::Controller, &["migration", "show"]).await;
        assert_eq!(status, 0, "{shown}");
        shown["confirm"][act].as_str().unwrap().to_owned()
    }

    async fn refused(&self, words: &[&str], yes: Option<&str>, code: Code) {
        let yes = yes.map(|yes| vec!["--yes", yes]).unwrap_or_default();
        let (status, said) = self.says(Name::Controller, &[words, &yes].concat()).await;
        assert_eq!((status, &said["error"]["code"]), (REFUSED, &json!(code.0)), "{words:?}: {said}");
    }

    async fn done(&self, name: Name, words: &[&str]) -> Value {
        let (status, said) = self.says(name, words).await;
        assert_eq!(status, 0, "{words:?}: {said}");
        assert!(said["turn"]["who"].is_string(), "{words:?} does not say whose turn it is: {said}");
        said
    }

    /// Refused without a look and after one that is old, done after another.
    async fn signs_what_it_saw(&self, words: &[&str], (old, act): (&str, &str)) {
        self.refused(words, None, Code(1062)).await;
        self.refused(words, Some(old), Code(1016)).await;
        let new = self.look(act).await;
        assert_ne!(old, new);
        self.done(Name::Controller, &[words, &["--yes", &new]].concat()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_vendor_changes_after_the_look_is_not_signed() {
    let scene = Scene::set().await;
    let target = scene.systems.sink.identity();

    let old = scene.look("release").await;
    scene.says(Name::Recipient, &["consignment", "offer"]).await;
    scene.signs_what_it_saw(&["consignment", "release"], (&old, "release")).await;
    scene.done(Name::Operator, &["consignment", "hand-over"]).await;
    scene.done(Name::Recipient, &["load", "--target", &target]).await;

    let changed = |sql| rusqlite::Connection::open(&scene.systems.new).unwrap().execute(sql, []).unwrap();
    changed(
        "UPDATE import_patient SET surname = 'Somebody else' WHERE patient_id = (SELECT min(patient_id) FROM import_patient)",
    );
    let reconcile = ["reconcile", "--target", &target];
    let (status, unequal) = scene.says(Name::Recipient, &reconcile).await;
    assert_eq!((status, unequal["turn"]["who"].is_string()), (MISMATCH, true), "{unequal}");
    let old = scene.look("accept_difference").await;
    changed("DELETE FROM import_result");
    assert_eq!(scene.says(Name::Recipient, &reconcile).await.0, MISMATCH);
    let accept = ["consignment", "accept-difference", "--reason", "it is one name"];
    scene.signs_what_it_saw(&accept, (&old, "accept_difference")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_off_is_over_the_reports_that_were_looked_at() {
    let scene = Scene::set().await;
    let (plan, consignment, sink) = (&scene.round.plan, scene.round.consignment, scene.systems.sink.as_ref());
    scene.world.release(plan, consignment).await.unwrap();
    scene.world.load(plan, consignment, sink).await.unwrap();

    let old = scene.look("sign_off").await;
    scene.done(Name::Recipient, &["reconcile", "--target", &sink.identity()]).await;
    scene.signs_what_it_saw(&["migration", "sign-off", "--history", "target"], (&old, "sign_off")).await;

    // What carries it out, and the evidence, say whose turn it is too.
    scene.done(Name::Recipient, &["migration", "destroy", "--only-probe"]).await;
    scene.done(Name::Recipient, &["migration", "destroy"]).await;
    let pack = scene.world.path("evidence.zip");
    scene.done(Name::Controller, &["evidence", "export", "--out", text(&pack)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_destroys_is_confirmed_by_the_id_of_what_it_destroys() {
    let scene = Scene::set().await;
    let (migration, consignment) = (scene.round.plan.migration.to_string(), scene.round.consignment.to_string());
    let abandon = ["consignment", "abandon", "--reason", "it was a trial"];
    let cancel = ["migration", "cancel", "--reason", "it was a trial"];

    for (words, other, id) in [(&abandon, &migration, &consignment), (&cancel, &consignment, &migration)] {
        scene.refused(words, None, Code(1062)).await;
        scene.refused(words, Some(other), Code(1016)).await;
        scene.done(Name::Controller, &[&words[..], &["--yes", id]].concat()).await;
    }
    let ledger = scene.world.desk(Name::Controller).follow(scene.round.plan.migration).await.unwrap();
    let acts = ledger.recorded().iter().map(|recorded| &recorded.fact.act);
    let ended = acts.filter(|act| matches!(act, Act::Abandon { .. } | Act::Cancel { .. })).count();
    assert_eq!(ended, 2, "one each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demonstration_reads_no_file_that_is_not_made_up() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    world.consign(&plan).await;
    world.clock.set(lexicon::Clock::now(&lexicon::SystemClock));
    let (secret, home) = (passphrase_file(&world), world.home(Name::Operator));
    let (source, plan_digest) = (systems.source.identity(), plan.digest().unwrap().to_string());
    let words = ["extract", "--source", &source, "--yes", &plan_digest];
    let extract = [&["--home", text(&home), "--passphrase-file", text(&secret)], &words[..]].concat();
    let mark = |id: i32| {
        rusqlite::Connection::open(&systems.old).unwrap().pragma_update(None, "application_id", id).unwrap();
    };
    let made: i32 = {
        let old = rusqlite::Connection::open(&systems.old).unwrap();
        old.pragma_query_value(None, "application_id", |row| row.get(0)).unwrap()
    };

    // The same rows in a file that nobody marked, as a real system's is.
    mark(0);
    let (status, refused, complained) = run(&extract).await;
    assert_eq!((status, &refused["error"]["code"]), (REFUSED, &json!(1081)), "{complained}");
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    let begun = |act: &Act| matches!(act, Act::Begin { step: Step::Extract, .. });
    assert!(!ledger.recorded().iter().any(|recorded| begun(&recorded.fact.act)), "it was begun");
    mark(made);
    let (status, _, complained) = run(&extract).await;
    assert_eq!(status, 0, "{complained}");
}
