//! What every source must do.

use std::sync::Arc;

use futures::StreamExt;
use lexicon::Code;
use scope::Dialect;

use super::lab::{Lab, System, Words, admitted, mark, scope_of, scope_of_all, spelled};

const EVERY_KIND: &[(&str, &str)] = &[
    ("id", "int64"),
    ("flag", "bool"),
    ("big", "uint64"),
    ("ratio", "float64"),
    ("price", "decimal(20,4)"),
    ("wide", "decimal(38,10)"),
    ("name", "text"),
    ("raw", "bytes"),
    ("day", "date"),
    ("hour", "time"),
    ("local", "timestamp"),
    ("moment", "timestamp with time zone"),
];

pub(super) async fn every_kind_arrives_as_it_left(lab: &Lab) {
    // SQLite has no unsigned 64 bits.
    let big = if lab.system.dialect() == Dialect::Sqlite { "9223372036854775807" } else { "18446744073709551615" };
    let highest = [
        "9223372036854775807",
        "true",
        big,
        "-1500000000000000.0",
        "9999999999999999.9999",
        "9999999999999999999999999999.9999999999",
        "Zoé",
        "00ff80",
        "9999-12-31",
        "23:59:59.999999",
        "9999-12-31 23:59:59.999999",
        "2037-12-31 23:59:59.999999Z",
    ];
    let lowest = [
        "-9223372036854775808",
        "false",
        "0",
        "0.1",
        "-0.0001",
        "-1234567890123456789012345678.0000000001",
        "",
        "",
        "1583-01-01",
        "00:00:00",
        "1901-02-03 04:05:06",
        "1970-01-02 00:00:00Z",
    ];
    let nulls: Vec<Option<&str>> = (0..EVERY_KIND.len()).map(|index| (index == 0).then_some("0")).collect();
    lab.fill("everything", EVERY_KIND, &[&highest.map(Some), &lowest.map(Some), &nulls]).await;
    let words = Words { name: "everything", target: "arrived", key: &["id"], take: EVERY_KIND, ..Words::default() };
    let scope = scope_of(&words);
    lab.make_targets(&scope).await;

    let left = lab.read(&scope, "everything").await.unwrap();
    lab.sink().prepare(&scope).await.unwrap();
    let loaded = lab.carry(&scope, "everything", mark(1)).await.unwrap();
    let arrived = lab.read_back(&scope, "everything").await.unwrap();

    assert_eq!((loaded.rows, loaded.already), (3, false));
    let spelled_left = spelled(&left);
    assert_eq!(spelled_left, spelled(&arrived));
    for expected in [highest, lowest] {
        assert!(spelled_left.contains(&expected.map(str::to_owned).to_vec()), "{spelled_left:?}");
    }
    assert!(spelled_left.iter().any(|row| row.iter().filter(|cell| *cell == "-").count() == 11), "{spelled_left:?}");
}

pub(super) async fn a_null_is_not_an_empty_text(lab: &Lab) {
    let columns = [("id", "int64"), ("name", "text"), ("raw", "bytes")];
    let rows: [&[Option<&str>]; 2] = [&[Some("1"), None, None], &[Some("2"), Some(""), Some("")]];
    lab.fill("person", &columns, &rows).await;
    let scope =
        scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: &columns, ..Words::default() });
    lab.make_targets(&scope).await;
    lab.carry(&scope, "person", mark(1)).await.unwrap();
    let arrived = spelled(&lab.read_back(&scope, "person").await.unwrap());
    assert_eq!(arrived, [["1", "-", "-"], ["2", "", ""]]);
}

pub(super) async fn unicode_and_blanks_at_the_end_survive(lab: &Lab) {
    let columns = [("id", "int64"), ("name", "text")];
    let texts = [
        "é (one sign)",
        "e\u{301} (two signs)",
        "漢字 🩸",
        "trailing  ",
        " leading",
        "quote ' \" \\ ` %",
        "tab\tline\n",
    ];
    let ids: Vec<_> = (0..texts.len()).map(|id| id.to_string()).collect();
    let rows: Vec<[Option<&str>; 2]> =
        ids.iter().zip(texts).map(|(id, text)| [Some(id.as_str()), Some(text)]).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(<[_; 2]>::as_slice).collect();
    lab.fill("person", &columns, &rows).await;
    let scope =
        scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: &columns, ..Words::default() });
    lab.make_targets(&scope).await;
    lab.carry(&scope, "person", mark(1)).await.unwrap();
    let arrived = spelled(&lab.read_back(&scope, "person").await.unwrap());
    let expected: Vec<_> = ids.iter().zip(texts).map(|(id, text)| vec![id.clone(), text.to_owned()]).collect();
    assert_eq!(arrived, expected);
}

pub(super) async fn a_hostile_name_stays_a_name(lab: &Lab) {
    let table = "pa`tient \"x\"; drop table victim; --";
    let columns = [("a\"; drop", "int64"), ("sélect `from`", "text"), ("it's 100%", "text")];
    lab.fill("victim", &[("id", "int64")], &[&[Some("1")]]).await;
    lab.fill(table, &columns, &[&[Some("7"), Some("seven"), Some("s")]]).await;
    let take = &columns[..2];
    let filter = "\"sélect `from`\" = 'seven'";
    let scope = scope_of(&Words {
        name: table,
        target: "t` \"arrived",
        key: &["a\"; drop"],
        take,
        leave: &["it's 100%"],
        filter,
    });
    lab.make_targets(&scope).await;
    lab.sink().prepare(&scope).await.unwrap();
    lab.carry(&scope, table, mark(1)).await.unwrap();
    assert_eq!(spelled(&lab.read_back(&scope, table).await.unwrap()), [["7", "seven"]]);
    if lab.system != System::Csv {
        assert_eq!(lab.count("victim").await, 1);
    }
}

pub(super) async fn an_unknown_column_stops_the_read_by_its_name(lab: &Lab) {
    lab.fill("person", &[("id", "int64"), ("portal_code", "text")], &[&[Some("1"), Some("s3cret")]]).await;
    let scope = scope_of(&Words { name: "person", target: "t", take: &[("id", "int64")], ..Words::default() });
    let refused = lab.read(&scope, "person").await.unwrap_err();
    assert_eq!(refused.code(), Code(311));
    assert!(refused.to_string().contains("portal_code") && !refused.to_string().contains("s3cret"), "{refused}");
}

pub(super) async fn a_line_that_must_be_protected_never_falls_back_to_clear(lab: &Lab) {
    // The tests' server offers no TLS, or none that a public authority vouches for.
    let address = format!("{}?tls=on", lab.address());
    let failed = crate::connect_source(&address, None).unwrap().begin(true).await.map(drop).unwrap_err();
    assert_eq!(failed.code(), Code(402));
    let told = failed.to_string();
    assert!(told.contains("TLS certificate does not verify") && told.contains("or it offers no TLS"), "{told}");
}

pub(super) async fn a_table_that_is_not_there_is_refused_by_name(lab: &Lab) {
    let scope = scope_of(&Words { name: "ghost", target: "t", take: &[("id", "int64")], ..Words::default() });
    let refused = lab.read(&scope, "ghost").await.unwrap_err();
    assert_eq!(refused.code(), Code(405));
    assert!(refused.to_string().contains("ghost"));
}

pub(super) async fn an_empty_table_is_read_as_no_rows(lab: &Lab) {
    let columns = [("id", "int64")];
    lab.fill("person", &columns, &[]).await;
    let scope =
        scope_of(&Words { name: "person", target: "arrived", key: &["id"], take: &columns, ..Words::default() });
    lab.make_targets(&scope).await;
    let loaded = lab.carry(&scope, "person", mark(1)).await.unwrap();
    assert_eq!((loaded.rows, loaded.already), (0, false));
    assert!(spelled(&lab.read_back(&scope, "person").await.unwrap()).is_empty());
    assert_eq!(lab.count("lazaret_load").await, 1);
}

pub(super) async fn a_table_without_a_key_keeps_its_equal_rows(lab: &Lab) {
    let columns = [("code", "text")];
    lab.fill("item", &columns, &[&[Some("x")], &[Some("x")], &[None]]).await;
    let scope = scope_of(&Words { name: "item", target: "arrived", take: &columns, ..Words::default() });
    lab.make_targets(&scope).await;
    lab.carry(&scope, "item", mark(1)).await.unwrap();
    assert_eq!(spelled(&lab.read_back(&scope, "item").await.unwrap()), [["-"], ["x"], ["x"]]);
}

pub(super) async fn only_rows_in_scope_leave_the_source(lab: &Lab) {
    let patient = [("id", "int64"), ("seen", "date"), ("town", "text")];
    let rows: [&[Option<&str>]; 4] = [
        &[Some("1"), Some("2020-05-01"), Some("Rennes")],
        &[Some("2"), Some("2010-05-01"), Some("Rennes")],
        &[Some("3"), Some("2020-05-01"), Some("RENNES")],
        &[Some("4"), None, None],
    ];
    lab.fill("patient", &patient, &rows).await;
    let result = [("rank", "int64"), ("patient", "int64")];
    let rows: [&[Option<&str>]; 3] = [&[Some("10"), Some("1")], &[Some("11"), Some("2")], &[Some("12"), None]];
    lab.fill("result", &result, &rows).await;
    let scope = scope_of_all(&[
        Words {
            name: "patient",
            target: "p",
            key: &["id"],
            take: &patient[..2],
            leave: &["town"],
            filter: "seen >= date '2019-01-01' and town in ('Rennes', 'Brest')",
        },
        Words {
            name: "result",
            target: "r",
            key: &["rank"],
            take: &result,
            filter: "exists in patient (patient = id)",
            ..Words::default()
        },
    ]);
    // One moment, twice: text is compared by bytes, whatever the column's collation.
    assert_eq!(spelled(&lab.read(&scope, "patient").await.unwrap()), [["1", "2020-05-01"]]);
    assert_eq!(spelled(&lab.read(&scope, "result").await.unwrap()), [["10", "1"]]);
    let snapshot = lab.source().begin(true).await.unwrap();
    assert_eq!(snapshot.count(&scope, "patient").await.unwrap(), (4, 1));
    assert_eq!(snapshot.count(&scope, "result").await.unwrap(), (3, 1));
}

pub(super) async fn a_snapshot_shows_one_moment_while_rows_are_written(lab: &Lab) {
    let columns = [("id", "int64")];
    lab.fill("one", &columns, &[&[Some("1")]]).await;
    lab.fill("two", &columns, &[&[Some("1")]]).await;
    let table = |name, target| Words { name, target, key: &["id"], take: &columns, ..Words::default() };
    let scope = scope_of_all(&[table("one", "t1"), table("two", "t2")]);
    let snapshot = lab.source().begin(true).await.unwrap();
    lab.run("INSERT INTO one VALUES (2); INSERT INTO two VALUES (2)").await;
    assert_eq!(spelled(&admitted(snapshot.read(&scope, "one")).await.unwrap()), [["1"]]);
    lab.run("DELETE FROM two").await;
    assert_eq!(spelled(&admitted(snapshot.read(&scope, "two")).await.unwrap()), [["1"]]);
    assert_eq!(snapshot.count(&scope, "one").await.unwrap(), (1, 1));
    assert_eq!(snapshot.tally("one").rows_admitted, 1);
    assert!(!snapshot.description().contains("lazaret_"), "{}", snapshot.description());
    snapshot.finish().await.unwrap();
    assert_eq!(spelled(&lab.read(&scope, "one").await.unwrap()), [["1"], ["2"]]);
}

async fn many(lab: &Lab, rows: u32) -> scope::Scope {
    let columns = [("id", "int64"), ("name", "text")];
    if lab.system == System::Csv {
        let ids: Vec<_> = (1..=rows).map(|id| id.to_string()).collect();
        let rows: Vec<_> = ids.iter().map(|id| [Some(id.as_str()), Some("row")]).collect();
        lab.fill("many", &columns, &rows.iter().map(<[_; 2]>::as_slice).collect::<Vec<_>>()).await;
    } else {
        fill_by_recursion(lab, rows, &columns).await;
    }
    scope_of(&Words { name: "many", target: "arrived", key: &["id"], take: &columns, ..Words::default() })
}

async fn fill_by_recursion(lab: &Lab, rows: u32, columns: &[(&str, &str)]) {
    lab.fill("many", columns, &[]).await;
    let numbers = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i, 'row' FROM n"
    );
    // MariaDB stops a recursion at 1,000 steps unless told otherwise.
    let limit = if lab.system == System::MariaDb { "SET SESSION max_recursive_iterations = 1000000;" } else { "" };
    lab.run(&format!("{limit} INSERT INTO many {numbers}")).await;
}

pub(super) async fn a_stream_is_cut_into_bounded_batches(lab: &Lab) {
    let scope = many(lab, 70_000).await;
    lab.make_targets(&scope).await;
    let batches = lab.read(&scope, "many").await.unwrap();
    assert!(batches.len() >= 2 && batches.iter().all(|batch| batch.num_rows() <= 65_536));
    assert_eq!(lab.carry(&scope, "many", mark(1)).await.unwrap().rows, 70_000);
    let arrived = lab.read_back(&scope, "many").await.unwrap();
    assert_eq!(spelled(&batches), spelled(&arrived));
}

pub(super) async fn a_reader_that_stops_early_leaves_the_snapshot_usable(lab: &Lab) {
    let scope = many(lab, 200_000).await;
    let snapshot = lab.source().begin(true).await.unwrap();
    let mut rows = snapshot.read(&scope, "many");
    rows.next().await.unwrap().unwrap();
    drop(rows);
    assert_eq!(snapshot.count(&scope, "many").await.unwrap(), (200_000, 200_000));
    let again = admitted(snapshot.read(&scope, "many")).await.unwrap();
    assert_eq!(again.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 200_000);
}

pub(super) async fn a_value_beyond_the_declared_kind_is_refused_by_column_and_count(lab: &Lab) {
    let rows: [&[Option<&str>]; 3] =
        [&[Some("1"), Some("5.1234")], &[Some("2"), Some("5.1")], &[Some("3"), Some("6.777")]];
    lab.fill("result", &[("id", "int64"), ("measure", "decimal(10,4)")], &rows).await;
    let take = &[("id", "int64"), ("measure", "decimal(10,2)")];
    let scope = scope_of(&Words { name: "result", target: "t", key: &["id"], take, ..Words::default() });
    let refused = lab.read(&scope, "result").await.unwrap_err();
    assert_eq!(refused.code(), Code(408));
    let said = format!("{refused} {refused:?}");
    assert!(said.contains("`measure`: 2 ") && !said.contains("5.12") && !said.contains("6.77"), "{said}");
}

pub(super) async fn the_description_holds_keys_and_references(lab: &Lab) {
    lab.run(
        "CREATE TABLE patient (id integer NOT NULL PRIMARY KEY, born date); \
         CREATE TABLE specimen (id integer NOT NULL, part integer NOT NULL, patient_id integer, \
           PRIMARY KEY (part, id), FOREIGN KEY (patient_id) REFERENCES patient (id))",
    )
    .await;
    let tables = lab.source().describe().await.unwrap();
    let specimen = tables.iter().find(|table| table.name == "specimen").unwrap();
    assert_eq!(specimen.primary_key, ["part", "id"]);
    assert_eq!(specimen.references.len(), 1);
    assert_eq!(specimen.references[0].table, "patient");
    assert_eq!(
        (&specimen.references[0].columns[0], &specimen.references[0].other_columns[0]),
        (&"patient_id".into(), &"id".into())
    );
    let nullable: Vec<_> = specimen.columns.iter().map(|column| column.nullable).collect();
    assert_eq!(nullable, [false, false, true]);
    assert_eq!(specimen.columns[0].kind, Some(scope::Kind::Int64));
    let digest = crate::schema_digest(&tables).unwrap();
    lab.run("INSERT INTO patient (id) VALUES (1)").await;
    assert_eq!(crate::schema_digest(&lab.source().describe().await.unwrap()).unwrap(), digest);
    lab.run("ALTER TABLE patient ADD COLUMN town text").await;
    assert_ne!(crate::schema_digest(&lab.source().describe().await.unwrap()).unwrap(), digest);
}

pub(super) async fn a_view_is_described_with_its_columns_and_another_one_is_another_schema(lab: &Lab) {
    let known = |rows| format!("CREATE VIEW known AS SELECT id FROM patient WHERE id < {rows}");
    lab.run(&format!("CREATE TABLE patient (id integer NOT NULL PRIMARY KEY, born date); {}", known(10))).await;
    let tables = lab.source().describe().await.unwrap();
    let names: Vec<_> = tables.iter().map(|table| (table.name.as_str(), table.definition.is_some())).collect();
    assert_eq!(names, [("known", true), ("patient", false)]);
    assert_eq!(tables[0].columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id"]);
    let digest = crate::schema_digest(&tables).unwrap();
    assert_eq!(crate::schema_digest(&lab.source().describe().await.unwrap()).unwrap(), digest);
    // In PostgreSQL one of the same words that was made anew is another: it may stand on other tables.
    for (rows, same) in [(11, false), (10, lab.system != System::Postgres)] {
        lab.run(&format!("DROP VIEW known; {}", known(rows))).await;
        assert_eq!(crate::schema_digest(&lab.source().describe().await.unwrap()).unwrap() == digest, same, "{rows}");
    }
    // The control: it is read like a table.
    lab.run("INSERT INTO patient (id) VALUES (1), (10)").await;
    let scope = scope_of(&Words { name: "known", target: "t", take: &[("id", "int64")], ..Words::default() });
    let frozen = lab.source().begin(false).await.unwrap();
    assert_eq!(spelled(&admitted(frozen.read(&scope, "known")).await.unwrap()), [["1"]]);
}

/// A patient whom nobody has, one who is out of scope, one who is beside, and none.
pub(super) async fn a_row_that_leads_nowhere_is_counted_on_both_sides(lab: &Lab) {
    let patient = [("id", "int64"), ("code", "text"), ("ward", "text")];
    let rows: [&[Option<&str>]; 3] = [
        &[Some("1"), Some("a"), Some("north")],
        &[Some("2"), Some("A"), Some("south")],
        &[Some("3"), Some("é"), Some("north")],
    ];
    lab.fill("patient", &patient, &rows).await;
    let result = [("rank", "int64"), ("of", "int64"), ("coded", "text"), ("after", "int64")];
    let rows: [&[Option<&str>]; 6] = [
        &[Some("10"), Some("1"), Some("a"), None],
        &[Some("11"), Some("2"), Some("A"), Some("10")],
        &[Some("12"), Some("9"), Some("é"), Some("99")],
        &[Some("13"), None, None, Some("14")],
        &[Some("14"), Some("3"), Some("e"), None],
        &[Some("15"), Some("9"), Some("a"), Some("10")],
    ];
    lab.fill("result", &result, &rows).await;
    let words = |filter| {
        let patient = Words {
            name: "patient",
            target: "p",
            key: &["id"],
            take: &patient,
            filter: "ward = 'north'",
            ..Words::default()
        };
        let result = Words { name: "result", target: "r", key: &["rank"], take: &result, filter, ..Words::default() };
        scope_of_all(&[patient, result])
    };
    let nearly_all = "rank < 15 and (rank > 0 or exists in patient (of = id) or exists in patient (coded = code))";
    let scope = Arc::new(words(nearly_all));
    let mut references = scope.references(&[]);
    assert_eq!(references.len(), 2);
    // What a foreign key says, rows that lead to rows beside them among it; a file has none.
    if lab.system != System::Csv {
        let after = scope::Reference {
            columns: vec!["after".into()],
            table: "result".into(),
            other_columns: vec!["rank".into()],
        };
        let mut found = lab.source().describe().await.unwrap();
        found.iter_mut().find(|table| table.name == "result").unwrap().references.push(after);
        references = scope.references(&found);
        assert_eq!(references.len(), 3);
        references.rotate_left(1);
    }
    let snapshot = lab.source().begin(true).await.unwrap();
    let mut counted = Vec::new();
    for reference in &references {
        counted.push(snapshot.orphans(&scope, &reference.in_source(&scope).unwrap()).await.unwrap());
    }
    snapshot.finish().await.unwrap();
    // By number: the patient out of scope and the one whom nobody has. By code: `A` is not `a`, nor `e` `é`.
    assert_eq!(counted[..2], [2, 2]);
    assert_eq!(counted.get(2), (lab.system != System::Csv).then_some(&1));

    lab.make_targets(&scope).await;
    for table in ["patient", "result"] {
        lab.carry(&scope, table, mark(1)).await.unwrap();
    }
    let followed: Vec<_> = references.iter().map(|reference| reference.in_target(&scope).unwrap()).collect();
    assert_eq!(lab.sink().orphans(&scope, &followed).await.unwrap(), counted);
    lab.run("DELETE FROM p WHERE code = 'a'").await;
    assert_eq!(lab.sink().orphans(&scope, &followed).await.unwrap()[..2], [3, 3]);
}
