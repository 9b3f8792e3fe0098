//! Finding 6 of the decision: nobody watched, and nobody could have seen. Here whoever edits the server's own database
//! is found out: by the server at its next start, and by the agents where it was done so well that the server is not.

use std::path::{Path, PathBuf};

use drill::{Name, World, copy_folder};
use journal::{Tree, leaf_hash};
use lexicon::{Code, MigrationId, Trouble};
use rusqlite::Connection;

/// What somebody does to the database while the server is down.
type Edit = fn(&Connection);

/// Changes that leave the tree as it was, or leave it wrong.
const CLUMSY: [(&str, Edit); 22] = [
    ("a leaf changed", |db| rename_in_leaf(db)),
    ("a leaf's hash changed", |db| {
        run(db, "UPDATE leaf SET hash = (SELECT hash FROM leaf WHERE number = 3) WHERE number = 4");
    }),
    ("the last leaf removed", |db| run(db, "DELETE FROM leaf WHERE number = (SELECT max(number) FROM leaf)")),
    ("a leaf in the middle removed", |db| run(db, "DELETE FROM leaf WHERE number = 5")),
    ("a leaf removed and the gap closed", |db| {
        run(db, "DELETE FROM leaf WHERE number = 5");
        run(db, "UPDATE leaf SET number = -number WHERE number > 5");
        run(db, "UPDATE leaf SET number = -number - 1 WHERE number < 0");
    }),
    ("two leaves in each other's place", |db| swap(db, "leaf", "number", (4, 5))),
    ("a leaf appended", |db| run(db, "INSERT INTO leaf SELECT max(number) + 1, hash, body FROM leaf")),
    ("the head changed", |db| run(db, "UPDATE head SET size = size - 1")),
    ("the head's root changed", |db| run(db, "UPDATE head SET root = (SELECT hash FROM leaf WHERE number = 1)")),
    ("an act changed", |db| {
        run(db, "UPDATE fact SET entry = replace(entry, 'payload\":\"eyJ', 'payload\":\"eyK') WHERE number = 3");
    }),
    ("a fact's nonce changed", |db| {
        run(db, "UPDATE fact SET nonce = replace(nonce, substr(nonce, 1, 4), 'abcd') WHERE number = 3");
    }),
    ("the last fact removed", |db| run(db, "DELETE FROM fact WHERE number = (SELECT max(number) FROM fact)")),
    ("a fact in the middle removed", |db| run(db, "DELETE FROM fact WHERE number = 3")),
    ("two facts in each other's place", |db| swap(db, "fact", "number", (3, 4))),
    ("two facts at each other's leaves", |db| swap(db, "fact", "leaf", (9, 10))),
    ("the stage changed back", |db| {
        run(db, "UPDATE migration SET state = replace(state, substr(state, 1, 4), 'abcd')");
    }),
    ("the number of facts changed", |db| run(db, "UPDATE migration SET facts = facts - 1")),
    ("a migration's row removed", |db| run(db, "DELETE FROM migration")),
    ("a root added", |db| {
        run(
            db,
            "INSERT INTO root SELECT 'another', replace(body, 'Biolog', 'Biolag') FROM root WHERE body LIKE '%Biolog%'",
        );
    }),
    ("a root renamed", |db| run(db, "UPDATE root SET body = replace(body, 'Biolog', 'Biolag')")),
    ("a certificate removed", |db| {
        run(db, "DELETE FROM certificate WHERE rowid = (SELECT max(rowid) FROM certificate)");
    }),
    ("a revocation removed", |db| run(db, "DELETE FROM revocation")),
];

fn run(db: &Connection, sql: &str) {
    assert!(db.execute(sql, []).unwrap() > 0, "nothing was changed: {sql}");
}

/// The first two leaves are the roots', with their organisations' names.
fn rename_in_leaf(db: &Connection) {
    run(db, "UPDATE leaf SET body = CAST(replace(CAST(body AS TEXT), 'Biolog', 'Biolag') AS BLOB) WHERE number < 2");
}

fn swap(db: &Connection, table: &str, column: &str, (one, other): (i64, i64)) {
    for (from, to) in [(one, -1), (other, one), (-1, other)] {
        run(db, &format!("UPDATE {table} SET {column} = {to} WHERE {column} = {from}"));
    }
}

/// Gives every leaf its hash and the head its root again: what somebody does who knows how the journal is made.
fn rehash(db: &Connection) {
    let mut statement = db.prepare("SELECT number, body FROM leaf ORDER BY number").unwrap();
    let leaves = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let mut tree = Tree::new();
    for (number, body) in leaves.map(Result::unwrap).collect::<Vec<_>>() {
        let hash = leaf_hash(&body);
        tree.append(hash);
        db.execute("UPDATE leaf SET hash = ?1 WHERE number = ?2", (hash.to_string(), number)).unwrap();
    }
    let size = i64::try_from(tree.size()).unwrap();
    db.execute("UPDATE head SET size = ?1, root = ?2", (size, tree.root().to_string())).unwrap();
}

fn edited(world: &World, name: &str, edit: impl FnOnce(&Connection)) -> PathBuf {
    let copy = world.path("copies").join(name.replace(' ', "-"));
    copy_folder(&world.server_folder(), &copy);
    let db = Connection::open(copy.join("registry.sqlite")).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    edit(&db);
    copy
}

/// A migration with some facts and one certificate taken back, and the server down.
async fn some_history() -> (World, MigrationId) {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    world.consign(&plan).await;
    let (now, controller) = (lexicon::Clock::now(world.clock.as_ref()), world.desk(Name::Controller));
    let taken_back =
        world.organisation(drill::Party::Vendor).revoke(world.certificate(Name::Approver), now, now).unwrap();
    controller.client().revoke(controller.keeper(), &taken_back).await.unwrap();
    controller.follow(plan.migration).await.unwrap();
    world.stop().await;
    (world, plan.migration)
}

/// Whether a server on this folder refuses to open, or opens with an alarm, takes no act, and serves its evidence.
async fn is_found_out(world: &World, data: &Path) -> bool {
    let office = match world.open_office(data, &world.ring_folder()) {
        Ok(office) => office,
        Err(Trouble::Alarm(_)) => return true,
        // A certificate that is gone, or of a root that is: the rows do not hold together.
        Err(trouble) => return matches!(trouble.code(), Code(123..=128)),
    };
    office.alarm().await.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_removed_or_reordered_entry_is_found_at_the_next_start() {
    let (world, _) = some_history().await;
    let untouched = edited(&world, "untouched", |_| ());
    assert!(!is_found_out(&world, &untouched).await, "the control: an untouched copy opens without an alarm");

    let mut unnoticed = Vec::new();
    for (name, edit) in CLUMSY {
        let plain = edited(&world, name, edit);
        let knowing = edited(&world, &format!("{name} and rehashed"), |db| {
            edit(db);
            rehash(db);
        });
        for (how, copy) in [("", plain), (", rehashed", knowing)] {
            let in_the_tree = name.contains("leaf's hash") || name.contains("head");
            // Rehashing mends these: then there is nothing to find.
            let mended = in_the_tree && !how.is_empty();
            if is_found_out(&world, &copy).await == mended {
                unnoticed.push(format!("{name}{how}"));
            }
        }
    }

    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_found_its_rows_changed_serves_evidence_and_nothing_else() {
    let (mut world, migration) = some_history().await;
    let copy = edited(&world, "stage", |db| run(db, "UPDATE migration SET facts = facts + 1"));

    world.restart_from(&copy, &world.ring_folder());
    let controller = world.desk(Name::Controller);
    let evidence = controller.client().evidence(controller.keeper(), migration).await.unwrap();
    let freeze = procedure::Act::Freeze { reason: "the rows are changed".to_owned() };
    let act = world.act(Name::Controller, migration, freeze).await.unwrap_err();
    let presented = controller.present().await.unwrap_err();

    let roots: Vec<_> = controller.home().trusted().unwrap();
    assert!(evidence::verify(&evidence::read(&evidence).unwrap(), &roots).unwrap().established);
    assert_eq!((act.code(), presented.code()), (Code(802), Code(802)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_cannot_see_of_itself_its_agents_see() {
    let (mut world, migration) = some_history().await;
    let earlier = edited(&world, "earlier", |_| ());
    world.restart();
    let freeze = procedure::Act::Freeze { reason: "something is wrong".to_owned() };
    world.act(Name::Controller, migration, freeze).await.unwrap();
    world.stop().await;
    // A leaf and its row said otherwise from the beginning on, with every hash made right.
    let rewritten = edited(&world, "rewritten", |db| {
        rename_in_leaf(db);
        run(db, "UPDATE root SET body = replace(body, 'Biolog', 'Biolag') WHERE body LIKE '%Biolog%'");
        rehash(db);
    });

    let mut seen = Vec::new();
    for copy in [&earlier, &rewritten] {
        world.restart_from(copy, &world.ring_folder());
        assert!(world.office().alarm().await.is_none(), "the server sees it by itself: this story says too little");
        seen.push(world.desk(Name::Controller).follow(migration).await.map(|_| ()).unwrap_err());
        world.stop().await;
    }

    assert!(seen.iter().all(|trouble| matches!(trouble, Trouble::Alarm(_))), "{seen:?}");
    let kept = world.home(Name::Controller).join(format!("migrations/{migration}/alarms"));
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 2, "both sides are kept as evidence");
}
