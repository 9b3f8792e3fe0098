//! What only SQLite does.

use lexicon::Code;
use scope::Scope;

use super::lab::{Lab, System, Words, mark, scope_of};

const PERSON: &[(&str, &str)] = &[("id", "int64"), ("name", "text")];
/// What a trigger says, which may be a value.
const SENTINEL: &str = "SENTINEL-7f3a";

fn on_sqlite(name: &str, story: super::Story) {
    super::tell(System::Sqlite, name, story);
}

/// Four persons, of whom one has no name and two have the same number, and the way into `arrived`.
async fn four_persons(lab: &Lab) -> Scope {
    lab.make_targets(&Scope::parse("").unwrap()).await;
    let rows: [&[Option<&str>]; 4] =
        [&[Some("1"), Some("a")], &[Some("2"), None], &[Some("3"), Some("a")], &[Some("1"), Some("d")]];
    lab.fill("person", PERSON, &rows).await;
    scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: PERSON, ..Words::default() })
}

#[test]
fn a_target_that_drops_replaces_or_takes_back_what_breaks_a_constraint_keeps_nothing() {
    on_sqlite("a_target_that_drops_replaces_or_takes_back_what_breaks_a_constraint_keeps_nothing", |lab| {
        Box::pin(async move {
            let scope = four_persons(lab).await;
            let trigger = format!(
                "CREATE TABLE arrived (id integer, name text); CREATE TRIGGER named BEFORE INSERT ON arrived \
                 WHEN NEW.name IS NULL BEGIN SELECT RAISE(ROLLBACK, '{SENTINEL}'); END"
            );
            let both: &[&str] = &["unique arrived.id: 1 rows", "not null arrived.name: 1 rows"];
            let cases: [(&str, &[&str]); 4] = [
                (
                    "CREATE TABLE arrived (id integer PRIMARY KEY ON CONFLICT ROLLBACK, \
                       name text NOT NULL ON CONFLICT ROLLBACK)",
                    both,
                ),
                (
                    "CREATE TABLE arrived (id integer, name text NOT NULL on conflict replace DEFAULT 'unknown', \
                       UNIQUE (id) ON CONFLICT IGNORE)",
                    both,
                ),
                ("CREATE TABLE arrived (id integer, name text NOT NULL, UNIQUE (id) ON CONFLICT REPLACE)", both),
                (&trigger, &["a trigger, after which no row was tried: 1 rows"]),
            ];
            for (declared, findings) in cases {
                lab.run(declared).await;
                lab.sink().prepare(&scope).await.unwrap();
                let refused = lab.carry(&scope, "person", mark(1)).await.unwrap_err();
                let said = refused.to_string();
                assert_eq!(refused.code(), Code(411), "{said}");
                assert!(findings.iter().all(|part| said.contains(part)) && !said.contains(SENTINEL), "{said}");
                let left = (lab.count("arrived").await, lab.count("lazaret_load").await);
                assert_eq!(left, (0, 0), "{declared}");
                lab.run("DROP TABLE arrived; CREATE TABLE arrived (id integer, name text)").await;
                assert_eq!(lab.carry(&scope, "person", mark(1)).await.unwrap().rows, 4);
                lab.run("DROP TABLE arrived; DELETE FROM lazaret_load").await;
            }
        })
    });
}

#[test]
fn the_statements_of_a_trigger_keep_their_own_words_on_conflicts() {
    on_sqlite("the_statements_of_a_trigger_keep_their_own_words_on_conflicts", |lab| {
        Box::pin(async move {
            let scope = four_persons(lab).await;
            lab.run(
                "CREATE TABLE arrived (id integer, name text); CREATE TABLE seen (name text UNIQUE); \
                 CREATE TRIGGER sees AFTER INSERT ON arrived BEGIN INSERT OR IGNORE INTO seen VALUES (NEW.name); END",
            )
            .await;
            assert_eq!(lab.carry(&scope, "person", mark(1)).await.unwrap().rows, 4);
            assert_eq!(lab.count("seen").await, 3, "a, none and d");
        })
    });
}
