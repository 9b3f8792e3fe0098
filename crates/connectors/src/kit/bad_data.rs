//! Values and names that some system lets in and another cannot hold: carried exactly, or refused with nothing in the
//! target.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt64Array};
use lexicon::Code;
use scope::{Dialect, Scope};

use super::lab::{Lab, System, Words, admitted, mark, scope_of, spelled, stream};

/// The keys of rows at fault, as their first column has them.
pub(super) fn keys(rows: &[RecordBatch]) -> Vec<i64> {
    rows.iter().flat_map(|row| row.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// A table `person` of `id` and one more column, on its way into `arrived`.
fn two_columns(value: (&str, &str)) -> Scope {
    let take = &[("id", "int64"), value];
    scope_of(&Words { name: "person", target: "arrived", key: &["id"], take, ..Words::default() })
}

fn batch(scope: &Scope, values: ArrayRef) -> RecordBatch {
    let ids = (1..).take(values.len()).collect::<Int64Array>();
    RecordBatch::try_new(scope.tables()[0].target_schema(), vec![Arc::new(ids), values]).unwrap()
}

pub(super) async fn a_float_that_is_no_number_or_infinite_is_carried_or_refused(lab: &Lab) {
    let scope = two_columns(("ratio", "float64"));
    lab.make_targets(&scope).await;
    let values = vec![Some(0.5), Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), None];
    let rows = batch(&scope, Arc::new(Float64Array::from(values)));
    let sink = lab.sink();
    let loaded = sink.load(&scope, "person", mark(1), stream(vec![rows.clone()])).await;
    let at_fault = match lab.system {
        System::Postgres => vec![],
        System::Csv | System::Sqlite => vec![2],
        System::MariaDb => vec![2, 3, 4],
    };
    assert_eq!(keys(&sink.at_fault("person")), at_fault);
    if lab.system == System::Postgres {
        assert_eq!(loaded.unwrap().rows, 5);
        let back = spelled(&lab.read_back(&scope, "person").await.unwrap());
        return assert_eq!(back, spelled(&[rows]));
    }
    let refused = loaded.unwrap_err();
    assert_eq!(refused.code(), Code(408));
    assert!(refused.to_string().contains("`ratio`: 1 values that are not a number"), "{refused}");
    assert_eq!(refused.to_string().contains("`ratio`: 2 infinite"), lab.system == System::MariaDb, "{refused}");
    assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0));
    // SQLite holds infinities.
    let finite = if lab.system == System::Sqlite { vec![f64::INFINITY, 0.5] } else { vec![0.5] };
    let rows = batch(&scope, Arc::new(Float64Array::from(finite)));
    sink.load(&scope, "person", mark(1), stream(vec![rows.clone()])).await.unwrap();
    assert_eq!(spelled(&lab.read_back(&scope, "person").await.unwrap()), spelled(&[rows]));
    assert!(sink.at_fault("person").is_empty(), "rows of the load before");
}

pub(super) async fn an_unsigned_number_beyond_bigint_is_refused_by_count(lab: &Lab) {
    let scope = two_columns(("big", "uint64"));
    lab.make_targets(&Scope::parse("").unwrap()).await;
    lab.run("CREATE TABLE arrived (id bigint, big bigint)").await;
    let rows = batch(&scope, Arc::new(UInt64Array::from(vec![u64::MAX, 9_223_372_036_854_775_807])));
    let sink = lab.sink();
    let refused = sink.load(&scope, "person", mark(1), stream(vec![rows])).await.unwrap_err();
    let said = format!("{refused} {refused:?}");
    let told = match lab.system {
        System::Sqlite => {
            "table `arrived` holds values that its scope cannot carry: column `big`: 1 values out of range"
        }
        System::Csv | System::MariaDb | System::Postgres => {
            "nothing was loaded into target table `arrived`: rows break its constraints (`big`: uint64 in bigint"
        }
    };
    assert!(said.contains(told) && !said.contains("18446744073709551615"), "{said}");
    assert_eq!(refused.code(), if lab.system == System::Sqlite { Code(408) } else { Code(411) });
    assert_eq!(keys(&sink.at_fault("person")), [1]);
    assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0));
    let rows = batch(&scope, Arc::new(UInt64Array::from(vec![9_223_372_036_854_775_807])));
    lab.sink().load(&scope, "person", mark(1), stream(vec![rows])).await.unwrap();
}

pub(super) async fn a_decimal_beyond_its_declared_digits_is_refused_and_its_row_kept_by_key(lab: &Lab) {
    let wide = "12345678901234567890123456789012345678901234.5";
    let rows: [&[Option<&str>]; 4] =
        [&[Some("1"), Some("0.5")], &[Some("2"), Some(wide)], &[Some("3"), Some("1.00000000001")], &[Some("4"), None]];
    lab.fill("person", &[("id", "int64"), ("measure", "decimal(65,20)")], &rows).await;
    let scope = two_columns(("measure", "decimal(38,10)"));
    let snapshot = lab.source().begin(true).await.unwrap();
    let refused = admitted(snapshot.read(&scope, "person")).await.unwrap_err();
    let said = format!("{refused} {refused:?}");
    assert_eq!(refused.code(), Code(408), "{said}");
    assert!(said.contains("`measure`: 2 numbers with more digits") && !said.contains("1234567"), "{said}");
    let at_fault = snapshot.at_fault(&scope, "person");
    assert_eq!(keys(&at_fault), [2, 3]);
    // The keyed digest of the key is that of the row itself, whatever its other values.
    let own = scope::FingerprintKeys::new([1; 32], [2; 32]);
    let table = &scope.tables()[0];
    let row = batch(&scope, arrow_array::new_null_array(table.target_schema().field(1).data_type(), 3));
    let expected = scope::row_digests(&own, table, &row).unwrap();
    let named: Vec<_> = at_fault.iter().flat_map(|row| scope::row_digests(&own, table, row).unwrap()).collect();
    assert_eq!((named[0].key, named[1].key), (expected[1].key, expected[2].key));
    // A target of fewer digits is refused by its type, before any row.
    lab.make_targets(&Scope::parse("").unwrap()).await;
    let narrow = if lab.system.dialect() == Dialect::Sqlite { "real" } else { "decimal(20,4)" };
    lab.run(&format!("CREATE TABLE arrived (id bigint, measure {narrow})")).await;
    assert_eq!(lab.sink().prepare(&scope).await.map(drop).unwrap_err().code(), Code(407));
}

pub(super) async fn a_text_with_a_nul_is_carried_where_the_target_can_hold_one(lab: &Lab) {
    let columns = [("id", "int64"), ("name", "text")];
    let value = match lab.system {
        System::Csv => "",
        System::MariaDb => "CONVERT(x'610062' USING utf8mb4)",
        System::Sqlite => "CAST(x'610062' AS TEXT)",
        // PostgreSQL holds none, and refuses one that comes: told among its own stories.
        System::Postgres => return,
    };
    if lab.system == System::Csv {
        lab.fill("person", &columns, &[&[Some("1"), Some("a\0b")]]).await;
    } else {
        lab.fill("person", &columns, &[]).await;
        lab.run(&format!("INSERT INTO person VALUES (1, {value})")).await;
    }
    let scope = two_columns(("name", "text"));
    lab.make_targets(&scope).await;
    lab.carry(&scope, "person", mark(1)).await.unwrap();
    assert_eq!(spelled(&lab.read_back(&scope, "person").await.unwrap()), [["1", "a\0b"]]);
}

pub(super) async fn a_name_with_a_line_break_is_described_and_left_out_of_a_draft(lab: &Lab) {
    if lab.system == System::Csv {
        for (table, column) in [("pa\ntient", "id"), ("ward", "i\nd"), ("specimen", "a;' drop")] {
            // A second column, since a `;` that stands alone in a header separates.
            lab.fill(table, &[(column, "int64"), ("b", "int64"), ("c", "int64")], &[]).await;
        }
    } else {
        let mark = if lab.system == System::MariaDb { '`' } else { '"' };
        lab.run(&format!(
            "CREATE TABLE {mark}pa\ntient{mark} (id integer); CREATE TABLE ward ({mark}i\nd{mark} integer); \
             CREATE TABLE specimen ({mark}a;' drop{mark} integer)"
        ))
        .await;
    }
    let tables = lab.source().describe().await.unwrap();
    let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["pa\ntient", "specimen", "ward"]);
    let draft = scope::draft(&tables, scope::Account::local("reader")).unwrap();
    let drafted = Scope::parse(&draft.scope_toml).unwrap();
    assert_eq!(drafted.tables().iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["specimen"]);
    for left_out in ["# pa tient: its name", "# ward: its name"] {
        assert!(draft.scope_toml.contains(left_out), "{}", draft.scope_toml);
    }
    let asked = "[[table]]\nname = \"pa\\ntient\"\ntarget = 't'\nkey = []\ntake = []\nleave = ['id']\n";
    let refused = Scope::parse(asked).unwrap_err();
    assert_eq!(refused.code(), Code(315));
    assert!(refused.to_string().contains(r"`pa\ntient`"), "{refused}");
}

#[test]
fn a_text_that_is_no_utf_8_is_refused_by_count() {
    super::tell(System::Sqlite, "a_text_that_is_no_utf_8_is_refused_by_count", |lab| {
        Box::pin(async move {
            lab.fill("person", &[("id", "int64"), ("name", "text")], &[&[Some("1"), Some("Zoé")]]).await;
            lab.run("INSERT INTO person VALUES (2, CAST(x'5a6fe9' AS TEXT))").await;
            let scope = two_columns(("name", "text"));
            let snapshot = lab.source().begin(true).await.unwrap();
            let refused = admitted(snapshot.read(&scope, "person")).await.unwrap_err();
            assert_eq!(refused.code(), Code(408));
            assert!(refused.to_string().contains("`name`: 1 texts that are not valid"), "{refused}");
            assert_eq!(keys(&snapshot.at_fault(&scope, "person")), [2]);
        })
    });
}

#[test]
fn a_float_is_not_rounded_by_a_double_of_few_digits_and_counted_for_one_without_a_sign() {
    let name = "a_float_is_not_rounded_by_a_double_of_few_digits_and_counted_for_one_without_a_sign";
    super::tell(System::MariaDb, name, |lab| {
        Box::pin(async move {
            lab.make_targets(&Scope::parse("").unwrap()).await;
            let scope = two_columns(("ratio", "float64"));
            lab.run("CREATE TABLE arrived (id bigint, ratio double(10,2))").await;
            let refused = lab.sink().prepare(&scope).await.map(drop).unwrap_err();
            assert!(refused.code() == Code(407) && refused.to_string().contains("`ratio`"), "{refused}");
            lab.run("ALTER TABLE arrived MODIFY ratio double unsigned").await;
            lab.sink().prepare(&scope).await.unwrap();
            let rows = |values: Vec<f64>| stream(vec![batch(&scope, Arc::new(Float64Array::from(values)))]);
            let bad = rows(vec![0.125, -0.5, -1e-300]);
            let refused = lab.sink().load(&scope, "person", mark(1), bad).await.unwrap_err();
            let said = refused.to_string();
            assert!(refused.code() == Code(411) && said.contains("float64 in double unsigned: 2 rows"), "{said}");
            assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0));
            let good = rows(vec![0.125, 0.0]);
            assert_eq!(lab.sink().load(&scope, "person", mark(1), good).await.unwrap().rows, 2);
        })
    });
}

/// `SQLite` has no decimals: their text is that of whatever program wrote it.
#[test]
fn a_decimal_in_a_text_of_sqlite_that_would_not_come_back_is_refused() {
    super::tell(System::Sqlite, "a_decimal_in_a_text_of_sqlite_that_would_not_come_back_is_refused", |lab| {
        Box::pin(async move {
            let rows: [&[Option<&str>]; 3] =
                [&[Some("1"), Some("007.50")], &[Some("2"), Some("+7.50")], &[Some("3"), Some("-0.50")]];
            lab.fill("person", &[("id", "int64"), ("measure", "decimal(10,2)")], &rows).await;
            let scope = two_columns(("measure", "decimal(10,2)"));
            let snapshot = lab.source().begin(true).await.unwrap();
            let refused = admitted(snapshot.read(&scope, "person")).await.unwrap_err();
            assert_eq!(refused.code(), Code(408));
            assert!(refused.to_string().contains("`measure`: 2 values that do not spell"), "{refused}");
            assert_eq!(keys(&snapshot.at_fault(&scope, "person")), [1, 2]);
        })
    });
}

/// A row that a transform refuses is kept like one that cannot be read.
#[test]
fn a_byte_that_the_named_character_set_lacks_is_refused_by_count() {
    super::tell(System::MariaDb, "a_byte_that_the_named_character_set_lacks_is_refused_by_count", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE person (id bigint, name varchar(20) CHARACTER SET latin1); \
                 INSERT INTO person VALUES (1, x'5a6fe9'), (2, x'5a81'), (3, NULL)",
            )
            .await;
            let toml = "[[table]]\nname = 'person'\ntarget = 't'\nkey = ['id']\nleave = []\n\
                 take = [{ column = 'id', type = 'int64' }, { column = 'name', type = 'text', charset = 'latin1' }]";
            let scope = Scope::parse(toml).unwrap();
            let snapshot = lab.source().begin(true).await.unwrap();
            let refused = admitted(snapshot.read(&scope, "person")).await.unwrap_err();
            assert_eq!(refused.code(), Code(314));
            assert!(refused.to_string().contains("1 values in column name"), "{refused}");
            assert_eq!(keys(&snapshot.at_fault(&scope, "person")), [2]);
            // A table without a key has no names for its rows, and another form of table no row at fault.
            let keyless = Scope::parse(&toml.replace("['id']", "[]")).unwrap();
            admitted(snapshot.read(&keyless, "person")).await.unwrap_err();
            let counted = snapshot.tally("person");
            assert_eq!((counted.rows_in, counted.columns.len()), (0, 0), "nothing of what is refused counts as read");
            assert_eq!(
                counted.refused["name"].values().sum::<u64>(),
                2,
                "what has no image is counted over both reads"
            );
        })
    });
}

/// Character sets have codes that Unicode lacks: the server sends a question mark for each, and no error.
#[test]
fn a_code_that_unicode_lacks_is_refused_by_count_and_never_becomes_a_question_mark() {
    super::tell(
        System::MariaDb,
        "a_code_that_unicode_lacks_is_refused_by_count_and_never_becomes_a_question_mark",
        |lab| {
            Box::pin(async move {
                lab.run(
                    "CREATE TABLE person (id bigint, name varchar(20) CHARACTER SET cp1251, \
                       town varchar(20) CHARACTER SET sjis); \
                     INSERT INTO person VALUES (1, x'cfe5f2f03f', x'5c3f8341'), (2, NULL, ''), (3, x'983f', NULL), \
                       (4, '?', x'8540'); \
                     CREATE TABLE altered (id bigint); \
                     INSERT INTO altered SELECT id FROM person WHERE HEX(CONVERT(name USING utf8mb4)) = '3F3F' \
                       OR HEX(CONVERT(town USING utf8mb4)) = '3F'",
                )
                .await;
                assert_eq!(lab.count("altered").await, 2, "the server does what this story is about");
                let take = &[("id", "int64"), ("name", "text"), ("town", "text")];
                let scope =
                    scope_of(&Words { name: "person", target: "arrived", key: &["id"], take, ..Words::default() });
                let snapshot = lab.source().begin(true).await.unwrap();
                let refused = admitted(snapshot.read(&scope, "person")).await.unwrap_err();
                assert_eq!(refused.code(), Code(408));
                for part in ["`name`: 1 texts that are not valid", "`town`: 1 texts that are not valid"] {
                    assert!(refused.to_string().contains(part), "{refused}");
                }
                assert_eq!(keys(&snapshot.at_fault(&scope, "person")), [3, 4]);
                drop(snapshot);
                // The control: every other text arrives as it was, question marks and a second code of one character
                // among it, and is read again from a target of such a character set.
                lab.run(
                    "DELETE FROM person WHERE id > 2; \
                     CREATE TABLE arrived (id bigint, name varchar(20) CHARACTER SET cp1251, \
                       town varchar(20) CHARACTER SET utf8mb4)",
                )
                .await;
                lab.make_targets(&Scope::parse("").unwrap()).await;
                lab.carry(&scope, "person", mark(1)).await.unwrap();
                let back = spelled(&lab.read_back(&scope, "person").await.unwrap());
                assert_eq!(back, [["1", "Петр?", "\\?ア"], ["2", "-", ""]]);
            })
        },
    );
}

/// A server makes NULL of what its CAST finds longer than its own packet, and says so in a warning only.
#[test]
fn a_text_longer_than_the_server_s_packet_never_becomes_null() {
    super::tell(System::MariaDb, "a_text_longer_than_the_server_s_packet_never_becomes_null", |lab| {
        Box::pin(async move {
            // Both have some 20 MB, one in characters of four bytes, one in characters of three; the packet has 16 MiB.
            lab.run(
                "CREATE TABLE person (id bigint, name longtext CHARACTER SET utf32); \
                 INSERT INTO person VALUES (1, CONVERT(REPEAT('x', 5000000) USING utf32)); \
                 CREATE TABLE specimen (id bigint, name longtext CHARACTER SET utf8mb4); \
                 INSERT INTO specimen VALUES (1, CONVERT(REPEAT(_ucs2 x'6f22', 7000000) USING utf8mb4)); \
                 CREATE TABLE lost (id bigint); \
                 INSERT INTO lost SELECT id FROM person WHERE CAST(name AS BINARY) IS NULL; \
                 INSERT INTO lost SELECT id FROM specimen WHERE CAST(name AS BINARY) IS NULL",
            )
            .await;
            assert_eq!(lab.count("lost").await, 2, "the server does what this story is about");
            let scope = |table: &str, more: &str, filter: &str| {
                let name = format!("{{ column = 'name', type = 'text'{more} }}");
                let take = format!("take = [{{ column = 'id', type = 'int64' }}, {name}]");
                let toml =
                    format!("[[table]]\nname = '{table}'\ntarget = 't'\nkey = ['id']\nleave = []\n{take}\n{filter}");
                Scope::parse(&toml).unwrap()
            };
            let by_bytes = scope("person", ", charset = 'latin1'", "");
            let compared = scope("specimen", "", "where = \"name <> 'x'\"");
            for (scope, bytes) in [(by_bytes, 20_000_000), (compared, 21_000_000)] {
                let rows = lab.read(&scope, &scope.tables()[0].name).await.unwrap();
                assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
                assert_eq!(rows[0].column(1).as_string::<i32>().value(0).len(), bytes);
            }
        })
    });
}
