//! What every target must do.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Float64Array, RecordBatch, UInt64Array};
use futures::StreamExt;
use lexicon::{Code, Fault, Retry};

use super::lab::{Lab, System, Words, mark, scope_of, scope_of_all, spelled, stream};

const PERSON: &[(&str, &str)] = &[("id", "int64"), ("name", "text")];
/// A value that must never be seen outside the rows.
const SENTINEL: &str = "SENTINEL-7f3a";

fn person_scope() -> scope::Scope {
    scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: PERSON, ..Words::default() })
}

async fn marker(lab: &Lab) {
    let nothing = scope::Scope::parse("").unwrap();
    lab.make_targets(&nothing).await;
}

pub(super) async fn a_second_load_finds_the_marker_and_inserts_nothing(lab: &Lab) {
    lab.fill("person", PERSON, &[&[Some("1"), Some("a")], &[Some("2"), Some("b")]]).await;
    let scope = person_scope();
    lab.make_targets(&scope).await;
    let first = lab.carry(&scope, "person", mark(1)).await.unwrap();
    let again = lab.carry(&scope, "person", mark(1)).await.unwrap();
    assert_eq!((first.rows, first.already, again.rows, again.already), (2, false, 2, true));
    assert_eq!(lab.count("arrived").await, 2);
    assert_eq!(lab.count("lazaret_load").await, 1);
    // Another consignment finds rows that it did not bring.
    assert_eq!(lab.carry(&scope, "person", mark(2)).await.unwrap_err().code(), Code(409));
}

pub(super) async fn a_table_changed_after_its_load_is_refused(lab: &Lab) {
    lab.fill("person", PERSON, &[&[Some("1"), Some("a")], &[Some("2"), Some("b")]]).await;
    let scope = person_scope();
    lab.make_targets(&scope).await;
    lab.carry(&scope, "person", mark(1)).await.unwrap();
    lab.run("DELETE FROM arrived WHERE id = 1").await;
    assert_eq!(lab.carry(&scope, "person", mark(1)).await.unwrap_err().code(), Code(410));
}

pub(super) async fn a_target_with_rows_is_refused_with_their_number(lab: &Lab) {
    lab.fill("person", PERSON, &[&[Some("1"), Some("a")]]).await;
    let scope = person_scope();
    lab.make_targets(&scope).await;
    lab.run("INSERT INTO arrived VALUES (8, 'x'), (9, 'y')").await;
    assert_eq!(lab.sink().prepare(&scope).await.unwrap().counts["person"], 2);
    let refused = lab.carry(&scope, "person", mark(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code(409));
    assert!(refused.to_string().contains("`arrived`") && refused.to_string().contains(" 2 rows"), "{refused}");
    assert_eq!(lab.count("arrived").await, 2);
    assert_eq!(lab.count("lazaret_load").await, 0);
}

pub(super) async fn a_target_without_a_marker_table_is_refused(lab: &Lab) {
    lab.run("CREATE TABLE arrived (id bigint, name text)").await;
    assert_eq!(lab.sink().prepare(&person_scope()).await.unwrap_err().code(), Code(413));
}

pub(super) async fn a_lossy_type_is_refused_before_any_row(lab: &Lab) {
    marker(lab).await;
    let cases = [
        ("text", "bigint"),
        ("text", "real"),
        ("int64", "real"),
        ("float64", "varchar(40)"),
        ("float64", "bigint"),
        ("float64", "numeric(20,4)"),
        ("decimal(38,4)", "real"),
        ("timestamp", "integer"),
        ("date", "integer"),
    ];
    for (number, (kind, declared)) in cases.into_iter().enumerate() {
        let target = format!("arrived_{number}");
        lab.run(&format!("CREATE TABLE {target} (id bigint, held {declared})")).await;
        let take = [("id", "int64"), ("held", kind)];
        let scope = scope_of(&Words { name: "person", target: &target, key: &["id"], take: &take, ..Words::default() });
        let refused = lab.sink().prepare(&scope).await.map(drop).unwrap_err();
        assert_eq!(refused.code(), Code(407), "{kind} into {declared}");
        assert!(refused.to_string().contains("`held`"), "{refused}");
    }
    let take = [("id", "int64"), ("gone", "text")];
    let scope = scope_of(&Words { name: "person", target: "arrived_0", key: &["id"], take: &take, ..Words::default() });
    assert_eq!(lab.sink().prepare(&scope).await.unwrap_err().code(), Code(406));
    let scope = scope_of(&Words { name: "person", target: "nowhere", key: &["id"], take: &take, ..Words::default() });
    assert_eq!(lab.sink().prepare(&scope).await.unwrap_err().code(), Code(405));
}

pub(super) async fn a_column_that_must_be_filled_is_refused_before_any_row(lab: &Lab) {
    marker(lab).await;
    lab.run(
        "CREATE TABLE arrived (id bigint, name text, ready integer NOT NULL DEFAULT 0, free text, \
           owner integer NOT NULL)",
    )
    .await;
    let refused = lab.sink().prepare(&person_scope()).await.unwrap_err();
    assert_eq!(refused.code(), Code(419));
    assert!(refused.to_string().contains("`owner`"), "{refused}");
}

pub(super) async fn what_a_target_lacks_is_told_together(lab: &Lab) {
    marker(lab).await;
    lab.run(
        "CREATE TABLE arrived (id bigint, held bigint, ready integer NOT NULL, owner integer NOT NULL); \
         CREATE TABLE arrived_too (id bigint, name text)",
    )
    .await;
    let take = &[("id", "int64"), ("held", "text"), ("gone", "text")];
    let wanted = [
        Words { name: "person", target: "arrived", key: &["id"], take, ..Words::default() },
        Words { name: "animal", target: "arrived_too", key: &["id"], take: PERSON, ..Words::default() },
        Words { name: "ward", target: "nowhere", key: &["id"], take: PERSON, ..Words::default() },
    ];
    let refused = lab.sink().prepare(&scope_of_all(&wanted)).await.map(drop).unwrap_err();
    let said = refused.to_string();
    assert_eq!(refused.code(), Code(422), "{said}");
    let told = [
        "table `arrived`, column `held`: ",
        "text do not hold the same values [LZ-0407]",
        "table `arrived` has no column `gone` [LZ-0406]",
        "target table `arrived` needs a value in column `ready`",
        "target table `arrived` needs a value in column `owner`",
        "has no table `nowhere` [LZ-0405]",
    ];
    let missing: Vec<_> = told.iter().filter(|part| !said.contains(**part)).collect();
    assert!(missing.is_empty() && !said.contains("arrived_too"), "{missing:?} not in: {said}");
    assert_eq!(said.matches("[LZ-").count(), 6, "five faults and what they are together: {said}");
}

pub(super) async fn a_broken_constraint_is_refused_by_count_and_quotes_nothing(lab: &Lab) {
    marker(lab).await;
    lab.run(
        "CREATE TABLE ward (id integer NOT NULL PRIMARY KEY); INSERT INTO ward VALUES (1); \
         CREATE TABLE arrived (id integer NOT NULL, name varchar(60) NOT NULL, ward integer, age integer, \
           PRIMARY KEY (id), CONSTRAINT age_is_possible CHECK (age >= 0), \
           FOREIGN KEY (ward) REFERENCES ward (id))",
    )
    .await;
    let columns = [("id", "int64"), ("name", "text"), ("ward", "int64"), ("age", "int64")];
    let scope =
        scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: &columns, ..Words::default() });
    let good: &[Option<&str>] = &[Some("1"), Some(SENTINEL), Some("1"), None];
    let cases: [(&str, &[&[Option<&str>]]); 4] = [
        ("not null", &[good, &[Some("2"), None, Some("1"), Some("4242424")], &[Some("3"), None, None, None]]),
        ("unique", &[good, good, good]),
        (
            "check",
            &[good, &[Some("2"), Some(SENTINEL), None, Some("-4242424")], &[Some("3"), Some("x"), None, Some("-1")]],
        ),
        (
            "foreign key",
            &[good, &[Some("2"), Some(SENTINEL), Some("4242424"), None], &[Some("3"), Some("x"), Some("7"), None]],
        ),
    ];
    for (name, rows) in cases {
        lab.fill("person", &columns, rows).await;
        lab.sink().prepare(&scope).await.unwrap();
        let refused = lab.carry(&scope, "person", mark(1)).await.unwrap_err();
        let said = format!("{refused} {refused:?}");
        assert_eq!(refused.code(), Code(411), "{said}");
        assert!(said.contains(name) && said.contains(": 2 rows"), "{said}");
        assert!(!said.contains(SENTINEL) && !said.contains("4242424"), "{said}");
        assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0), "{name}");
        lab.run("DROP TABLE person").await;
    }
    if lab.system == System::Postgres {
        super::postgres::nothing_in_the_log(&[SENTINEL, "4242424"]);
    }
}

/// Read from the system that refuses it, a key is value for value the one that was sent: so it has the same digest.
pub(super) async fn a_row_that_breaks_a_constraint_is_kept_by_its_whole_key(lab: &Lab) {
    marker(lab).await;
    let [moment, zoned] = match lab.system {
        System::MariaDb => ["datetime(6)", "timestamp(6) NULL"],
        System::Csv | System::Postgres | System::Sqlite => ["timestamp", "timestamptz"],
    };
    lab.run(&format!(
        "CREATE TABLE ward (id integer NOT NULL PRIMARY KEY); INSERT INTO ward VALUES (1); \
         CREATE TABLE arrived (born date, seen {moment}, changed {zoned}, drawn time, amount decimal(14,4), \
           code varchar(9), ward integer, FOREIGN KEY (ward) REFERENCES ward (id))"
    ))
    .await;
    let take = &[
        ("born", "date"),
        ("seen", "timestamp"),
        ("changed", "timestamp with time zone"),
        ("drawn", "time"),
        ("amount", "decimal(12,2)"),
        ("code", "text"),
        ("ward", "int64"),
    ];
    let key = &["born", "seen", "changed", "drawn", "amount", "code"];
    let scope = scope_of(&Words { name: "visit", target: "arrived", key, take, ..Words::default() });
    let row = |code, ward| {
        let [born, seen, changed] = ["2020-02-29", "2020-01-01 10:00:00.5", "2020-07-01 10:00:00.25Z"];
        [Some(born), Some(seen), Some(changed), Some("23:59:58"), Some("-12.50"), Some(code), Some(ward)]
    };
    lab.fill("visit", take, &[&row("good", "1"), &row("bad", "7")]).await;
    let rows = lab.read(&scope, "visit").await.unwrap();
    let sink = lab.sink();
    let refused = sink.load(&scope, "visit", mark(1), stream(rows.clone())).await.unwrap_err();
    let said = refused.to_string();
    assert!(refused.code() == Code(411) && said.contains(" on `ward`: 1 rows"), "{said}");
    let sent = spelled(&rows).into_iter().find(|row| row.contains(&"bad".to_owned())).unwrap();
    let kept = spelled(&sink.at_fault("visit"));
    assert_eq!((kept.len(), &kept[0][..6], kept[0][6].as_str()), (1, &sent[..6], "-"));
}

pub(super) async fn a_value_too_long_for_its_column_is_refused_by_count(lab: &Lab) {
    if lab.system == System::Sqlite {
        // SQLite holds nothing to a length; it is narrower than our kinds in its integers and in having no NaN.
        return a_number_too_large_for_sqlite_is_refused_by_count(lab).await;
    }
    marker(lab).await;
    lab.run("CREATE TABLE arrived (id smallint, name varchar(5))").await;
    let rows: [&[Option<&str>]; 4] = [
        &[Some("1"), Some("ééééé")],
        &[Some("32768"), Some("123456")],
        &[Some("-40000"), Some("x")],
        &[Some("70000"), Some("12345 ")],
    ];
    lab.fill("person", PERSON, &rows).await;
    let refused = lab.carry(&person_scope(), "person", mark(1)).await.unwrap_err();
    let said = refused.to_string();
    assert_eq!(refused.code(), Code(411), "{said}");
    assert!(said.contains("`id`: int64 in smallint") && said.contains(": 3 rows"), "{said}");
    assert!(said.contains("`name`: text in ") && said.contains(": 2 rows"), "{said}");
    assert_eq!(lab.count("arrived").await, 0);
}

async fn a_number_too_large_for_sqlite_is_refused_by_count(lab: &Lab) {
    let take = &[("id", "uint64"), ("ratio", "float64")];
    let scope = scope_of(&Words { name: "person", target: "arrived", key: &["id"], take, ..Words::default() });
    lab.make_targets(&scope).await;
    let ids = UInt64Array::from(vec![1, u64::MAX, 1 << 63]);
    let ratios = Float64Array::from(vec![f64::NAN, 0.5, 0.5]);
    let schema = scope.tables()[0].target_schema();
    let batch = RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(ratios)]).unwrap();
    let said = lab.sink().load(&scope, "person", mark(1), stream(vec![batch])).await.unwrap_err().to_string();
    assert!(said.contains("`id`: 2 values out of range") && said.contains("`ratio`: 1 values that"), "{said}");
    assert_eq!(lab.count("arrived").await, 0);
}

pub(super) async fn a_row_may_point_to_a_row_that_arrives_with_it(lab: &Lab) {
    marker(lab).await;
    lab.run(
        "CREATE TABLE arrived (id integer NOT NULL PRIMARY KEY, parent integer, \
           CONSTRAINT family FOREIGN KEY (parent) REFERENCES arrived (id))",
    )
    .await;
    let columns = [("id", "int64"), ("parent", "int64")];
    let scope =
        scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: &columns, ..Words::default() });
    lab.fill("person", &columns, &[&[Some("1"), Some("2")], &[Some("2"), None], &[Some("3"), Some("9")]]).await;
    let refused = lab.carry(&scope, "person", mark(1)).await.unwrap_err();
    assert!(refused.to_string().contains(": 1 rows"), "{refused}");
    lab.run("DELETE FROM person WHERE id = 3").await;
    assert_eq!(lab.carry(&scope, "person", mark(1)).await.unwrap().rows, 2);
}

pub(super) async fn a_stream_that_fails_leaves_nothing_behind(lab: &Lab) {
    lab.fill("person", PERSON, &[&[Some("1"), Some("a")]]).await;
    let scope = person_scope();
    lab.make_targets(&scope).await;
    let rows = lab.read(&scope, "person").await.unwrap();
    let cut = Fault::new(Code(999), Retry::Later, "the stream was cut");
    let failing = stream(rows).chain(futures::stream::once(async { Err(cut.into()) })).boxed();
    let failed = lab.sink().load(&scope, "person", mark(1), failing).await.unwrap_err();
    assert_eq!(failed.code(), Code(999));
    assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0));
    assert_eq!(lab.carry(&scope, "person", mark(1)).await.unwrap().rows, 1);
    assert_eq!(spelled(&lab.read_back(&scope, "person").await.unwrap()), [["1", "a"]]);
}

pub(super) async fn a_load_that_is_dropped_leaves_nothing_behind(lab: &Lab) {
    lab.fill("person", PERSON, &[&[Some("1"), Some("a")]]).await;
    let scope = person_scope();
    lab.make_targets(&scope).await;
    let (said, heard) = tokio::sync::oneshot::channel();
    let endless = stream(lab.read(&scope, "person").await.unwrap()).chain(futures::stream::once(async move {
        said.send(()).unwrap();
        std::future::pending().await
    }));
    let sink = lab.sink();
    tokio::select! {
        loaded = sink.load(&scope, "person", mark(1), endless.boxed()) => panic!("its stream had not ended: {loaded:?}"),
        heard = heard => heard.unwrap(),
    }
    assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0));
    // Whatever still ends behind the dropped load has ended when the next one writes.
    let again = lab.carry(&scope, "person", mark(1)).await.unwrap();
    assert_eq!((again.rows, again.already), (1, false));
}

pub(super) async fn of_two_tables_loaded_at_once_one_fails_alone(lab: &Lab) {
    let scope = scope_of_all(&[
        Words { name: "person", target: "arrived", key: &["id"], take: PERSON, ..Words::default() },
        Words { name: "animal", target: "arrived_too", key: &["id"], take: PERSON, ..Words::default() },
    ]);
    for table in ["person", "animal"] {
        lab.fill(table, PERSON, &[&[Some("1"), Some("a")]]).await;
    }
    lab.make_targets(&scope).await;
    let sink = lab.sink();
    let prepared = sink.prepare(&scope).await.unwrap();
    assert_eq!(prepared.waves, [["person", "animal"]]);
    if lab.system == System::Sqlite {
        return assert_eq!(prepared.at_once, 1);
    }
    assert_eq!(prepared.at_once, 2);
    // Neither stream ends before the other's rows are on their way into the target too.
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let meeting = |rows: Vec<RecordBatch>, end: Option<Fault>| {
        let both = Arc::clone(&both);
        let met = futures::stream::once(async move {
            both.wait().await;
            end.map(|fault| Err(fault.into()))
        });
        stream(rows).chain(met.filter_map(futures::future::ready)).boxed()
    };
    let rows = lab.read(&scope, "person").await.unwrap();
    let person = sink.load(&scope, "person", mark(1), meeting(rows.clone(), None));
    let cut = Fault::new(Code(999), Retry::Later, "the stream was cut");
    let animal = sink.load(&scope, "animal", mark(1), meeting(rows, Some(cut)));
    let loads = futures::future::join(person, animal);
    let (person, animal) =
        tokio::time::timeout(Duration::from_mins(1), loads).await.expect("one load waited for the other");
    assert_eq!((person.unwrap().rows, animal.unwrap_err().code()), (1, Code(999)));
    let counts = (lab.count("arrived").await, lab.count("arrived_too").await, lab.count("lazaret_load").await);
    assert_eq!(counts, (1, 0, 1));
    assert_eq!(lab.carry(&scope, "animal", mark(1)).await.unwrap().rows, 1);
}

pub(super) async fn tables_are_loaded_after_those_they_point_to(lab: &Lab) {
    marker(lab).await;
    lab.run(
        "CREATE TABLE import_patient (id integer NOT NULL PRIMARY KEY); \
         CREATE TABLE import_specimen (id integer NOT NULL PRIMARY KEY, patient integer, \
           FOREIGN KEY (patient) REFERENCES import_patient (id)); \
         CREATE TABLE import_result (id integer NOT NULL PRIMARY KEY, specimen integer, \
           FOREIGN KEY (specimen) REFERENCES import_specimen (id))",
    )
    .await;
    let id = ("id", "int64");
    let scope = scope_of_all(&[
        Words { name: "result", target: "import_result", take: &[id, ("specimen", "int64")], ..Words::default() },
        Words { name: "specimen", target: "import_specimen", take: &[id, ("patient", "int64")], ..Words::default() },
        Words { name: "patient", target: "import_patient", take: &[id], ..Words::default() },
    ]);
    let prepared = lab.sink().prepare(&scope).await.unwrap();
    assert_eq!(prepared.waves, [["patient"], ["specimen"], ["result"]]);
    assert_eq!(prepared.counts.values().sum::<u64>(), 0);
}
