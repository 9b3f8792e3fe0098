//! Rows that go straight into PostgreSQL, which is asked to keep what it refuses out of its log.

use std::collections::BTreeSet;

use super::lab::{Lab, System, Words, mark, random_name, scope_of, spelled, stream};
use super::postgres::nothing_in_the_log;
use crate::{Loaded, connect_sink};

fn straight(name: &str, story: super::Story) {
    super::tell(System::Postgres, name, story);
}

const COLUMNS: &[(&str, &str)] = &[
    ("id", "int64"),
    ("ward", "int64"),
    ("age", "int64"),
    ("name", "text"),
    ("weight", "decimal(12,4)"),
    ("born", "date"),
    ("seen", "timestamp"),
    ("changed", "timestamp with time zone"),
    ("alive", "bool"),
    ("ratio", "float64"),
];

const TARGET: &str = "CREATE TABLE ward (id int4 PRIMARY KEY); INSERT INTO ward VALUES (1); \
     CREATE TABLE arrived (id int8 PRIMARY KEY, ward int4 REFERENCES ward (id) DEFERRABLE INITIALLY DEFERRED, \
       age int2 CONSTRAINT age_is_possible CHECK (age >= 0), name varchar(5) NOT NULL, weight numeric(12,4), \
       born date, seen timestamp, changed timestamptz, alive boolean, ratio float8)";

async fn made(lab: &Lab, rows: &[&[Option<&str>]]) -> scope::Scope {
    lab.make_targets(&scope::Scope::parse("").unwrap()).await;
    lab.run(TARGET).await;
    lab.fill("person", COLUMNS, rows).await;
    scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: COLUMNS, ..Words::default() })
}

fn told(loaded: Loaded) -> (u64, bool) {
    (loaded.rows, loaded.already)
}

async fn sent(lab: &Lab, scope: &scope::Scope) -> Option<Loaded> {
    let batches = lab.read(scope, "person").await.unwrap();
    lab.sink().load_straight(scope, "person", mark(1), stream(batches)).await.unwrap()
}

#[test]
fn what_goes_straight_arrives_as_it_left() {
    straight("what_goes_straight_arrives_as_it_left", |lab| {
        Box::pin(async move {
            let full: &[Option<&str>] = &[
                Some("9007199254740993"),
                Some("1"),
                Some("32767"),
                Some("éééé "),
                Some("-12345678.0001"),
                Some("1931-05-06"),
                Some("2020-01-01 10:00:00.123456"),
                Some("2020-01-01 10:00:00.5"),
                Some("true"),
                Some("0.1"),
            ];
            let bare: &[Option<&str>] =
                &[Some("2"), None, None, Some(""), Some("0.0000"), None, None, None, None, None];
            let scope = made(lab, &[full, bare]).await;
            let prepared = lab.sink().prepare(&scope).await.unwrap();
            assert_eq!(prepared.straight, BTreeSet::from(["person".to_owned()]));
            assert_eq!(sent(lab, &scope).await.map(told), Some((2, false)));
            let back = lab.read_back(&scope, "person").await.unwrap();
            assert_eq!(spelled(&back), spelled(&lab.read(&scope, "person").await.unwrap()));
            assert_eq!(sent(lab, &scope).await.map(told), Some((2, true)));
        })
    });
}

#[test]
fn what_is_refused_straight_leaves_neither_rows_nor_a_line_in_the_log() {
    straight("what_is_refused_straight_leaves_neither_rows_nor_a_line_in_the_log", |lab| {
        Box::pin(async move {
            const NUMBER: &str = "808182838485868788";
            let row = |id, ward, age, name| {
                let mut row = [None; 10];
                (row[0], row[1], row[2], row[3]) = (Some(id), ward, age, name);
                row
            };
            let good = row(NUMBER, Some("1"), Some("4"), Some("zqzqz"));
            let cases = [
                ("unique", good),
                ("not null", row("808182838485868789", Some("1"), None, None)),
                ("check", row("808182838485868789", Some("1"), Some("-31"), Some("zqzqz"))),
                ("foreign key", row("808182838485868789", Some("31415"), None, Some("zqzqz"))),
                ("int64 in smallint", row("808182838485868789", None, Some("314159"), Some("zqzqz"))),
                ("int64 in integer", row("808182838485868789", Some("3141592653"), None, Some("zqzqz"))),
                ("text in character varying(5)", row("808182838485868789", None, None, Some("zqzqz "))),
            ];
            let scope = made(lab, &[]).await;
            for (name, bad) in cases {
                lab.run("DROP TABLE person").await;
                lab.fill("person", COLUMNS, &[&good, &bad]).await;
                assert_eq!(sent(lab, &scope).await, None, "{name}");
                assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0), "{name}");
                let said = lab.carry(&scope, "person", mark(1)).await.unwrap_err().to_string();
                assert!(said.contains(name) && said.contains(": 1 rows"), "{name}: {said}");
            }
            nothing_in_the_log(&[NUMBER, "808182838485868789", "zqzqz", "3141592653"]);
        })
    });
}

#[test]
fn only_an_account_that_may_silence_its_session_loads_straight() {
    straight("only_an_account_that_may_silence_its_session_loads_straight", |lab| {
        Box::pin(async move {
            let scope = made(lab, &[]).await;
            let account = random_name();
            lab.run(&format!(
                "CREATE ROLE {account} LOGIN PASSWORD 'granted'; \
                 GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {account}"
            ))
            .await;
            let sink = connect_sink(&lab.address_for(&account, "granted"), None).unwrap();
            let before = sink.prepare(&scope).await.map(|prepared| prepared.straight);
            lab.run(&format!("GRANT SET ON PARAMETER log_min_messages TO {account}")).await;
            let after = sink.prepare(&scope).await.map(|prepared| prepared.straight);
            lab.run("DROP TABLE person").await;
            lab.fill("person", COLUMNS, &[&[Some("1"), None, None, Some("a"), None, None, None, None, None, None]])
                .await;
            let batches = lab.read(&scope, "person").await.unwrap();
            let loaded = sink.load_straight(&scope, "person", mark(1), stream(batches)).await;
            lab.run(&format!(
                "REVOKE SET ON PARAMETER log_min_messages FROM {account}; \
                 DROP OWNED BY {account}; DROP ROLE {account}"
            ))
            .await;
            assert_eq!((before.unwrap().len(), after.unwrap().len()), (0, 1));
            assert_eq!(loaded.unwrap().map(told), Some((1, false)));
        })
    });
}

#[test]
fn a_column_whose_values_change_their_type_on_the_way_is_not_loaded_straight() {
    straight("a_column_whose_values_change_their_type_on_the_way_is_not_loaded_straight", |lab| {
        Box::pin(async move {
            lab.make_targets(&scope::Scope::parse("").unwrap()).await;
            for (kind, declared) in
                [("text", "char(5)"), ("text", "uuid"), ("text", "json"), ("timestamp", "timestamp(0)")]
            {
                lab.run(&format!("DROP TABLE IF EXISTS arrived; CREATE TABLE arrived (v {declared})")).await;
                let take = &[("v", kind)];
                let scope = scope_of(&Words { name: "person", target: "arrived", take, ..Words::default() });
                let prepared = lab.sink().prepare(&scope).await.unwrap();
                assert!(prepared.straight.is_empty(), "{kind} in {declared}");
            }
        })
    });
}

#[test]
fn a_table_with_triggers_or_rules_is_loaded_by_counting_and_stays_out_of_the_log() {
    straight("a_table_with_triggers_or_rules_is_loaded_by_counting_and_stays_out_of_the_log", |lab| {
        Box::pin(async move {
            let said = random_name();
            lab.make_targets(&scope::Scope::parse("").unwrap()).await;
            lab.run(
                "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
                   $$ BEGIN RAISE EXCEPTION 'nobody is called %', NEW.name; END $$; \
                 CREATE TABLE triggered (id int8, name text); \
                 CREATE TRIGGER no BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION no(); \
                 CREATE TABLE ruled (id int8, name text); \
                 CREATE RULE no AS ON INSERT TO ruled WHERE NEW.id < 0 DO INSTEAD NOTHING",
            )
            .await;
            let take = &[("id", "int64"), ("name", "text")];
            lab.fill("person", take, &[&[Some("1"), Some(&said)]]).await;
            let (sink, mut found) = (lab.sink(), Vec::new());
            for target in ["triggered", "ruled"] {
                let scope = scope_of(&Words { name: "person", target, key: &["id"], take, ..Words::default() });
                let straight = sink.prepare(&scope).await.unwrap().straight.len();
                let batches = lab.read(&scope, "person").await.unwrap();
                found.push((straight, sink.load(&scope, "person", mark(1), stream(batches)).await.is_ok()));
            }
            assert_eq!(found, [(0, false), (0, true)]);
            nothing_in_the_log(&[&said]);
        })
    });
}
