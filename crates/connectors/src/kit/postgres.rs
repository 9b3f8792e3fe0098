//! What only PostgreSQL does.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::StreamExt;
use lexicon::{Code, Retry, Trouble};
use scope::Dialect;

use super::bad_data::keys;
use super::lab::{Lab, System, Words, admitted, mark, random_name, scope_of, scope_of_all, spelled, stream};
use crate::connect_source;

fn on_postgres(name: &str, story: super::Story) {
    super::tell(System::Postgres, name, story);
}

/// Nothing of `values` stands in the server's log, where the tests know its path.
pub(super) fn nothing_in_the_log(values: &[&str]) {
    match log_holds(values) {
        None => skipped!("the server's log (LAZARET_TEST_POSTGRES_LOG is not set)"),
        Some(found) => assert!(!found, "the server's log holds a value of a row"),
    }
}

fn log_holds(values: &[&str]) -> Option<bool> {
    let log = std::fs::read(std::env::var("LAZARET_TEST_POSTGRES_LOG").ok()?).unwrap();
    Some(values.iter().any(|value| log.windows(value.len()).any(|window| window == value.as_bytes())))
}

/// The control of the story above: a constraint that is broken on the way in does write the row into the log.
#[test]
fn a_row_that_breaks_a_constraint_in_the_database_is_written_to_its_log() {
    on_postgres("a_row_that_breaks_a_constraint_in_the_database_is_written_to_its_log", |lab| {
        Box::pin(async move {
            let seen = random_name();
            lab.run("CREATE TABLE t (id bigint CHECK (id > 0), name text)").await;
            let (client, connection) = tokio_postgres::connect(&lab.address(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.execute("INSERT INTO t SELECT -1, $1::text", &[&seen]).await.unwrap_err();
            assert_ne!(log_holds(&[&seen]), Some(false));
        })
    });
}

#[test]
fn values_that_no_kind_holds_are_refused_by_column_and_count() {
    on_postgres("values_that_no_kind_holds_are_refused_by_column_and_count", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE r (id bigint, n numeric, d date, t timestamp, z timestamptz, h time); \
                 INSERT INTO r VALUES (1, 'NaN', 'infinity', '-infinity', 'infinity', '24:00'), \
                   (2, 'NaN', '-infinity', 'infinity', NULL, '10:00'), (3, 'Infinity', NULL, NULL, NULL, NULL)",
            )
            .await;
            let take = &[
                ("id", "int64"),
                ("n", "decimal(12,2)"),
                ("d", "date"),
                ("t", "timestamp"),
                ("z", "timestamp with time zone"),
                ("h", "time"),
            ];
            let scope = scope_of(&Words { name: "r", target: "t", key: &["id"], take, ..Words::default() });
            let snapshot = lab.source().begin(true).await.unwrap();
            let refused = admitted(snapshot.read(&scope, "r")).await.unwrap_err();
            let said = refused.to_string();
            assert_eq!(refused.code(), Code(408), "{said}");
            for part in [
                "table `r` ",
                "`n`: 2 values that are not a number",
                "`n`: 1 infinite",
                "`d`: 2 infinite",
                "`t`: 2 infinite",
                "`z`: 1 infinite",
                "`h`: 1 values out of range",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert_eq!(keys(&snapshot.at_fault(&scope, "r")), [1, 2, 3]);
        })
    });
}

#[test]
fn types_without_a_kind_are_read_as_their_one_spelling() {
    on_postgres("types_without_a_kind_are_read_as_their_one_spelling", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TYPE sex AS ENUM ('F', 'M'); CREATE DOMAIN short AS varchar(9); \
                 CREATE TABLE r (u uuid, j json, b jsonb, s sex, c char(6), i interval, o short, n numeric, \
                   m smallint); \
                 INSERT INTO r VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{\"a\":  1}', '{\"a\":  1}', 'F', \
                   'ab', '1 day 2:00', 'dom', 12.50, -7)",
            )
            .await;
            let names = ["u", "j", "b", "s", "c", "i", "o", "n", "m"];
            let take = names.map(|name| (name, "text"));
            let scope = scope_of(&Words { name: "r", target: "t", take: &take, ..Words::default() });
            let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
            let expected = [uuid, "{\"a\":  1}", "{\"a\": 1}", "F", "ab", "1 day 02:00:00", "dom", "12.50", "-7"];
            assert_eq!(spelled(&lab.read(&scope, "r").await.unwrap()), [expected]);
        })
    });
}

#[test]
fn several_connections_see_the_same_moment_at_once() {
    on_postgres("several_connections_see_the_same_moment_at_once", |lab| {
        Box::pin(async move {
            let columns = [("id", "int64")];
            lab.fill("one", &columns, &[&[Some("1")]]).await;
            lab.fill("two", &columns, &[&[Some("1")]]).await;
            let table = |name, target| Words { name, target, key: &["id"], take: &columns, ..Words::default() };
            let scope = scope_of_all(&[table("one", "t1"), table("two", "t2")]);
            let snapshot = lab.source().begin(true).await.unwrap();
            lab.run("INSERT INTO one VALUES (2); INSERT INTO two VALUES (2)").await;
            let (mut one, mut two) = (snapshot.read(&scope, "one"), snapshot.read(&scope, "two"));
            let rows = (one.next().await.unwrap().unwrap().rows(), two.next().await.unwrap().unwrap().rows());
            assert_eq!(rows, (1, 1));
        })
    });
}

#[test]
fn an_account_with_only_the_scope_s_rights_can_read_it() {
    on_postgres("an_account_with_only_the_scope_s_rights_can_read_it", |lab| {
        Box::pin(async move {
            let columns = [("id", "int64"), ("seen", "date"), ("portal_code", "text")];
            lab.fill("patient", &columns, &[&[Some("1"), Some("2020-01-01"), Some("s3cret")]]).await;
            let scope = scope_of(&Words {
                name: "patient",
                target: "t",
                key: &["id"],
                take: &columns[..1],
                leave: &["seen", "portal_code"],
                filter: "seen > date '2019-01-01'",
            });
            let account = random_name();
            let grants = scope::grants(&scope, Dialect::Postgres, scope::Account::local(&account)).unwrap();
            lab.run(&format!("{grants} ALTER ROLE {account} PASSWORD 'granted'")).await;
            let source = connect_source(&lab.address_for(&account, "granted"), None).unwrap();
            let read = async {
                let snapshot = source.begin(true).await?;
                assert_eq!(snapshot.count(&scope, "patient").await?, (1, 1));
                admitted(snapshot.read(&scope, "patient")).await
            };
            let read = read.await;
            let wider =
                scope_of(&Words { name: "patient", target: "t", key: &["id"], take: &columns, ..Words::default() });
            let refused = match source.begin(true).await {
                Ok(snapshot) => admitted(snapshot.read(&wider, "patient")).await.map(drop),
                Err(error) => Err(error),
            };
            lab.run(&format!("DROP OWNED BY {account}; DROP ROLE {account}")).await;
            assert_eq!(spelled(&read.unwrap()), [["1"]]);
            assert_eq!(refused.unwrap_err().code(), Code(404));
        })
    });
}

#[test]
fn a_wrong_password_is_refused_without_being_shown() {
    on_postgres("a_wrong_password_is_refused_without_being_shown", |lab| {
        Box::pin(async move {
            let source = connect_source(&lab.address_for("lazaret", "opensesame"), None).unwrap();
            let failed = source.begin(true).await.map(drop).unwrap_err();
            assert_eq!(failed.code(), Code(423));
            assert!(!format!("{failed} {failed:?} {}", source.identity()).contains("opensesame"));
        })
    });
}

#[test]
fn a_target_keeps_its_own_types_and_numbers() {
    on_postgres("a_target_keeps_its_own_types_and_numbers", |lab| {
        Box::pin(async move {
            lab.make_targets(&scope::Scope::parse("").unwrap()).await;
            lab.run(
                "CREATE TYPE sex AS ENUM ('F', 'M'); \
                 CREATE TABLE arrived (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s sex, u uuid, j json, \
                   n numeric(12,4), c char(4), at timestamp(0), twice int GENERATED ALWAYS AS (id * 2) STORED, \
                   made timestamptz NOT NULL DEFAULT now(), CHECK (twice < 100))",
            )
            .await;
            let take = &[
                ("id", "int64"),
                ("s", "text"),
                ("u", "text"),
                ("j", "text"),
                ("n", "decimal(10,2)"),
                ("c", "text"),
                ("at", "timestamp"),
            ];
            let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
            let good: &[Option<&str>] = &[
                Some("41"),
                Some("F"),
                Some(uuid),
                Some("{\"a\": [1]}"),
                Some("1.5"),
                Some("ab"),
                Some("2020-01-01 10:00:00"),
            ];
            lab.fill("person", take, &[good]).await;
            let scope = scope_of(&Words { name: "person", target: "arrived", key: &["id"], take, ..Words::default() });
            let notes = lab.sink().prepare(&scope).await.unwrap().notes;
            assert!(notes.len() == 1 && notes[0].contains("sequence of column `id`"), "{notes:?}");
            lab.carry(&scope, "person", mark(1)).await.unwrap();
            let back = lab.read_back(&scope, "person").await.unwrap();
            assert_eq!(spelled(&back), spelled(&lab.read(&scope, "person").await.unwrap()));

            lab.run("TRUNCATE arrived, lazaret_load; DROP TABLE person").await;
            let bad: &[Option<&str>] = &[
                Some("60"),
                Some("X"),
                Some("A0"),
                Some("{\"a\": 1}"),
                None,
                Some("a "),
                Some("2020-01-01 10:00:00.5"),
            ];
            lab.fill("person", take, &[good, bad]).await;
            let said = lab.carry(&scope, "person", mark(1)).await.unwrap_err().to_string();
            for part in ["`s`: ", "`u`: ", "`c`: ", "`at`: "] {
                assert!(said.contains(part), "{part} {said}");
            }
            lab.run("UPDATE person SET s = 'F', u = NULL, c = NULL, at = NULL").await;
            let said = lab.carry(&scope, "person", mark(1)).await.unwrap_err().to_string();
            assert!(said.contains("check arrived_twice_check on `twice`: 1 rows"), "{said}");
            lab.run("UPDATE person SET j = 'not json', id = 9 WHERE id = 60").await;
            let said = lab.carry(&scope, "person", mark(1)).await.unwrap_err().to_string();
            assert!(said.contains("`j`: 1 texts that are not JSON"), "{said}");
        })
    });
}

#[test]
fn unusual_keys_are_tested_too() {
    on_postgres("unusual_keys_are_tested_too", |lab| {
        Box::pin(async move {
            lab.make_targets(&scope::Scope::parse("").unwrap()).await;
            lab.run(
                "CREATE TABLE arrived (id bigint, name text, gone boolean NOT NULL DEFAULT false); \
                 CREATE UNIQUE INDEX lower_name ON arrived (lower(name)) WHERE id > 10; \
                 CREATE UNIQUE INDEX one_null ON arrived (id) NULLS NOT DISTINCT",
            )
            .await;
            let take = &[("id", "int64"), ("name", "text")];
            let rows: [&[Option<&str>]; 6] = [
                &[Some("1"), Some("a")],
                &[Some("2"), Some("A")],
                &[Some("11"), Some("b")],
                &[Some("12"), Some("B")],
                &[None, Some("c")],
                &[None, Some("C")],
            ];
            lab.fill("person", take, &rows).await;
            let scope = scope_of(&Words { name: "person", target: "arrived", take, ..Words::default() });
            let said = lab.carry(&scope, "person", mark(1)).await.unwrap_err().to_string();
            // An expression has no column.
            for part in ["unique lower_name: 1 rows", "unique one_null on `id`: 1 rows"] {
                assert!(said.contains(part), "{part} {said}");
            }
            lab.run("DELETE FROM person WHERE id = 12 OR name = 'C'").await;
            assert_eq!(lab.carry(&scope, "person", mark(1)).await.unwrap().rows, 4);
        })
    });
}

#[test]
fn what_keeps_the_rows_of_a_view_and_what_stands_on_another_server_is_described_too() {
    on_postgres("what_keeps_the_rows_of_a_view_and_what_stands_on_another_server_is_described_too", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE p (id bigint); CREATE MATERIALIZED VIEW kept AS SELECT id FROM p; \
                 CREATE FOREIGN DATA WRAPPER line; CREATE SERVER elsewhere FOREIGN DATA WRAPPER line; \
                 CREATE FOREIGN TABLE far (id bigint, name text) SERVER elsewhere",
            )
            .await;
            // Somebody is at work on the table below the view: nothing of what is asked waits for that.
            let (client, connection) = tokio_postgres::connect(&lab.address(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute("BEGIN; LOCK TABLE p IN ACCESS EXCLUSIVE MODE").await.unwrap();
            let tables = lab.source().describe().await.unwrap();
            let found: Vec<_> =
                tables.iter().map(|t| (t.name.as_str(), t.columns.len(), t.definition.is_some())).collect();
            assert_eq!(found, [("far", 2, false), ("kept", 1, true), ("p", 1, false)]);
        })
    });
}

#[test]
fn a_target_that_counting_cannot_test_is_refused() {
    on_postgres("a_target_that_counting_cannot_test_is_refused", |lab| {
        Box::pin(async move {
            lab.make_targets(&scope::Scope::parse("").unwrap()).await;
            lab.run(
                "CREATE TABLE spaced (id bigint, during tsrange, EXCLUDE USING gist (during WITH &&)); \
                 CREATE TABLE parted (id bigint) PARTITION BY RANGE (id); \
                 CREATE VIEW seen AS SELECT id FROM spaced; \
                 CREATE DOMAIN positive AS bigint CHECK (VALUE > 0); CREATE TABLE held (id positive)",
            )
            .await;
            for target in ["spaced", "parted", "seen", "held"] {
                let scope = scope_of(&Words { name: "p", target, take: &[("id", "int64")], ..Words::default() });
                assert_eq!(lab.sink().prepare(&scope).await.unwrap_err().code(), Code(412), "{target}");
            }
        })
    });
}

#[test]
fn a_text_with_a_nul_is_refused_by_count() {
    on_postgres("a_text_with_a_nul_is_refused_by_count", |lab: &Lab| {
        Box::pin(async move {
            let take = &[("id", "int64"), ("name", "text")];
            let scope = scope_of(&Words { name: "p", target: "t", key: &["id"], take, ..Words::default() });
            lab.make_targets(&scope).await;
            let schema = scope.table("p").unwrap().target_schema();
            let names: ArrayRef = Arc::new(StringArray::from(vec![Some("plain"), Some("SENT\0INEL"), None]));
            let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
            let batch = RecordBatch::try_new(schema, vec![ids, names]).unwrap();
            let sink = lab.sink();
            let refused = sink.load(&scope, "p", mark(1), stream(vec![batch])).await.unwrap_err();
            let said = format!("{refused} {refused:?}");
            assert_eq!(refused.code(), Code(408), "{said}");
            assert!(said.contains("table `t` ") && said.contains("column `name`: 1 texts with a NUL"), "{said}");
            assert!(!said.contains("SENT") && !said.contains("INEL"), "{said}");
            assert_eq!(keys(&sink.at_fault("p")), [2]);
            assert_eq!((lab.count("t").await, lab.count("lazaret_load").await), (0, 0));
        })
    });
}

#[test]
fn a_line_that_must_be_protected_never_falls_back_to_clear() {
    on_postgres("a_line_that_must_be_protected_never_falls_back_to_clear", |lab| {
        Box::pin(super::sources::a_line_that_must_be_protected_never_falls_back_to_clear(lab))
    });
}

#[test]
fn a_moment_that_nobody_holds_any_more_is_told_as_a_line_that_ended() {
    on_postgres("a_moment_that_nobody_holds_any_more_is_told_as_a_line_that_ended", |lab| {
        Box::pin(async move {
            lab.run("CREATE TABLE p (id bigint PRIMARY KEY); INSERT INTO p VALUES (1)").await;
            let take = &[("id", "int64")];
            let scope = scope_of(&Words { name: "p", target: "t", key: &["id"], take, ..Words::default() });
            let snapshot = lab.source().begin(true).await.unwrap();
            // The control: while it is held it can be joined.
            assert_eq!(spelled(&admitted(snapshot.read(&scope, "p")).await.unwrap()), [["1"]]);
            lab.run(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'lazaret'",
            )
            .await;
            let ended = admitted(snapshot.read(&scope, "p")).await.unwrap_err();
            let Trouble::Fault(fault) = &ended else { unreachable!("no fault: {ended}") };
            assert_eq!((fault.code, fault.retry), (Code(402), Retry::Later), "{ended}");
            assert!(fault.message.ends_with("the connection ended while it held the moment"), "{ended}");
        })
    });
}

/// The server has room for some thousands of locks, and an old system may have more tables.
#[test]
fn what_was_counted_is_not_locked_any_more() {
    on_postgres("what_was_counted_is_not_locked_any_more", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE p (id bigint PRIMARY KEY); INSERT INTO p VALUES (1), (2); \
                 CREATE VIEW locked AS SELECT 1 AS id FROM pg_locks WHERE relation = 'p'::regclass",
            )
            .await;
            let take = &[("id", "int64")];
            let scope = scope_of(&Words { name: "p", take, filter: "id = 2", ..Words::default() });
            let moment = lab.source().begin(false).await.unwrap();
            assert_eq!(moment.count(&scope, "p").await.unwrap(), (2, 1));
            assert_eq!(lab.count("locked").await, 0);
            // The moment stands all the same.
            lab.run("INSERT INTO p VALUES (3)").await;
            assert_eq!(moment.count(&scope, "p").await.unwrap(), (2, 1));
        })
    });
}

/// A database that looks at no encoding keeps whatever bytes came.
#[test]
fn bytes_that_are_no_utf_8_are_refused_by_column_and_key() {
    on_postgres("bytes_that_are_no_utf_8_are_refused_by_column_and_key", |lab| {
        Box::pin(async move {
            let name = random_name();
            let locale = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
            lab.run(&format!("CREATE DATABASE {name} {locale}")).await;
            let address = format!("{}/{name}", lab.address().rsplit_once('/').unwrap().0);
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let rows = r"(1, 'Anne'), (7301944, E'Zo\xEB'), (3, NULL)";
            let made = format!("CREATE TABLE r (id bigint, name text); INSERT INTO r VALUES {rows}");
            client.batch_execute(&made).await.unwrap();
            let take = &[("id", "int64"), ("name", "text")];
            let scope = scope_of(&Words { name: "r", target: "t", key: &["id"], take, ..Words::default() });
            let source = connect_source(&address, None).unwrap();

            let snapshot = source.begin(true).await.unwrap();
            let refused = admitted(snapshot.read(&scope, "r")).await.unwrap_err();
            let at_fault = keys(&snapshot.at_fault(&scope, "r"));
            snapshot.finish().await.unwrap();
            client.batch_execute("UPDATE r SET name = 'Zoe' WHERE id = 7301944").await.unwrap();
            let snapshot = source.begin(true).await.unwrap();
            let mended = spelled(&admitted(snapshot.read(&scope, "r")).await.unwrap());
            drop((snapshot, client));
            lab.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await;

            let said = format!("{refused} {refused:?}");
            assert_eq!((refused.code(), at_fault), (Code(408), vec![7_301_944]), "{said}");
            assert!(said.contains("table `r` ") && said.contains("`name`: 1 "), "{said}");
            assert!(!["Zo", "7301944", "235"].iter().any(|value| said.contains(value)), "{said}");
            assert_eq!(mended.len(), 3);
        })
    });
}

#[test]
fn what_a_trigger_throws_is_told_by_table_and_number() {
    on_postgres("what_a_trigger_throws_is_told_by_table_and_number", |lab| {
        Box::pin(async move {
            let take = &[("id", "int64")];
            let scope = scope_of(&Words { name: "r", target: "arrived", key: &["id"], take, ..Words::default() });
            lab.make_targets(&scope).await;
            lab.run(
                "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'not %', NEW.id; END $$; \
                 CREATE TRIGGER no BEFORE INSERT ON arrived FOR EACH ROW EXECUTE FUNCTION no()",
            )
            .await;
            let ids: ArrayRef = Arc::new(Int64Array::from(vec![7_301_944]));
            let rows = RecordBatch::try_new(scope.tables()[0].target_schema(), vec![ids]).unwrap();
            let failed = lab.sink().load(&scope, "r", mark(1), stream(vec![rows])).await.unwrap_err();
            let told = "target table `arrived`: PostgreSQL failed while loading (database code P0001) [LZ-0403]";
            assert_eq!(failed.to_string(), told);
            assert_eq!(lab.count("lazaret_load").await, 0);
        })
    });
}
