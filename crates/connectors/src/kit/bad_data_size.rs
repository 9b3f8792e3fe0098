//! Rows, tables and sources of a size that nobody planned for.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use lexicon::Code;
use lexicon::limits::ROW_BYTES_MAX;
use scope::Scope;

use super::lab::{Lab, System, Words, mark, scope_of, spelled, stream};
const MEBIBYTE: usize = 1024 * 1024;

fn scans() -> Scope {
    let take = &[("id", "int64"), ("scan", "bytes")];
    scope_of(&Words { name: "document", target: "arrived", key: &["id"], take, ..Words::default() })
}

/// 100 MB in one value, which is a scanned document that somebody has.
pub(super) async fn a_row_that_no_parcel_carries_is_refused_with_the_limit(lab: &Lab) {
    let scope = scans();
    lab.make_targets(&scope).await;
    if lab.system == System::MariaDb {
        // As a target its own limit is narrower: no statement holds more than max_allowed_packet.
        a_row_over_the_server_s_packet_is_refused(lab, &scope).await;
        return a_row_that_the_server_kept_all_the_same_is_refused(lab, &scope).await;
    }
    // Eight bytes are the key's; in a file the one of its digit.
    let most = ROW_BYTES_MAX - 8;
    let over = if lab.system == System::Csv { ROW_BYTES_MAX } else { most + 1 };
    put_scans(lab, [("1", 3), ("2", most)]).await;
    let left = lab.read(&scope, "document").await.unwrap();
    lab.sink().load(&scope, "document", mark(1), stream(left.clone())).await.unwrap();
    let back = lab.read_back(&scope, "document").await.unwrap();
    assert!(left.iter().map(RecordBatch::columns).eq(back.iter().map(RecordBatch::columns)));
    assert_eq!(left.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);

    // A record of more than 64 MiB is an open quote to whoever reads files.
    let far = if lab.system == System::Csv { 60_000_000 } else { 100_000_000 };
    put_scans(lab, [("3", over), ("4", far)]).await;
    let snapshot = lab.source().begin(true).await.unwrap();
    let refused = super::lab::admitted(snapshot.read(&scope, "document")).await.unwrap_err();
    assert_eq!(refused.code(), Code(408));
    assert!(refused.to_string().contains("`scan`: 2 values that take their row over 48 MiB"), "{refused}");
    assert_eq!(spelled(&snapshot.at_fault(&scope, "document")), [["3", "-"], ["4", "-"]]);
}

/// What PostgreSQL leaves out by lengths is told as if it had come: each value that is too long alone, the longest of those
/// that are together, and whatever else the table holds. A view keeps nothing beside it, and is asked all the same.
#[test]
fn long_rows_that_postgresql_leaves_out_are_told_with_all_others() {
    super::tell(System::Postgres, "long_rows_that_postgresql_leaves_out_are_told_with_all_others", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE letter (code text, body text, scan bytea, seen date); CREATE VIEW letters AS TABLE letter; \
                 INSERT INTO letter VALUES ('good', 'a', 'b', '2020-01-02'), ('odd', 'a', NULL, 'infinity'), \
                   ('together', repeat('x', 30000000), convert_to(repeat('y', 31000000), 'UTF8'), '2020-01-02'), \
                   ('each', repeat('x', 52000000), convert_to(repeat('y', 51000000), 'UTF8'), NULL), \
                   (repeat('z', 51000000), NULL, NULL, NULL)",
            )
            .await;
            for name in ["letter", "letters"] {
                let take = &[("code", "text"), ("body", "text"), ("scan", "bytes"), ("seen", "date")];
                let scope = scope_of(&Words { name, target: "arrived", key: &["code"], take, ..Words::default() });
                let snapshot = lab.source().begin(true).await.unwrap();
                let refused = super::lab::admitted(snapshot.read(&scope, name)).await.unwrap_err();
                let said = refused.to_string();
                assert_eq!(refused.code(), Code(408), "{said}");
                for (column, count) in [("code", 1), ("body", 1), ("scan", 2)] {
                    let part = format!("`{column}`: {count} values that take their row over 48 MiB");
                    assert!(said.contains(&part), "{part} {said}");
                }
                assert!(said.contains("`seen`: 1 infinite values"), "{said}");
                // Three rows are kept, and the one whose key is what is too long has no name.
                let kept: Vec<_> =
                    spelled(&snapshot.at_fault(&scope, name)).into_iter().map(|row| row[0].clone()).collect();
                assert_eq!(kept, ["each", "together"], "{name}");
            }
        })
    });
}

/// Makes the table of documents anew, with two scans of so many bytes each.
async fn put_scans(lab: &Lab, scans: [(&str, usize); 2]) {
    if lab.system == System::Csv {
        let scans = scans.map(|(id, count)| (id, "x".repeat(count)));
        let rows: Vec<_> = scans.iter().map(|(id, scan)| [Some(*id), Some(scan.as_str())]).collect();
        let rows: Vec<_> = rows.iter().map(<[_; 2]>::as_slice).collect();
        return lab.fill("document", &[("id", "int64"), ("scan", "text")], &rows).await;
    }
    let bytes = |count: usize| match lab.system {
        System::Postgres => format!("convert_to(repeat('x', {count}), 'UTF8')"),
        System::Csv | System::Sqlite => format!("zeroblob({count})"),
        System::MariaDb => format!("REPEAT('x', {count})"),
    };
    lab.run("DROP TABLE IF EXISTS document").await;
    lab.fill("document", &[("id", "int64"), ("scan", "bytes")], &[]).await;
    let rows = scans.map(|(id, count)| format!("({id}, {})", bytes(count)));
    lab.run(&format!("INSERT INTO document VALUES {}", rows.join(", "))).await;
}

async fn a_row_over_the_server_s_packet_is_refused(lab: &Lab, scope: &Scope) {
    let schema = scope.tables()[0].target_schema();
    let rows = |counts: &[usize]| {
        let ids = (1..).take(counts.len()).collect::<Int64Array>();
        let scans: Vec<_> = counts.iter().map(|count| vec![b'x'; *count]).collect();
        let scans = BinaryArray::from_iter_values(scans);
        RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(scans)]).unwrap()
    };
    let sink = lab.sink();
    let refused = sink.load(scope, "document", mark(1), stream(vec![rows(&[3, 48 * MEBIBYTE])])).await.unwrap_err();
    assert_eq!(refused.code(), Code(408));
    assert!(refused.to_string().contains("`scan`: 1 values that take their row over the server's max_"), "{refused}");
    assert_eq!(sink.at_fault("document").len(), 1);
    assert_eq!(lab.count("arrived").await, 0);
    let fits = rows(&[3, 15 * MEBIBYTE]);
    sink.load(scope, "document", mark(1), stream(vec![fits.clone()])).await.unwrap();
    let back = lab.read_back(scope, "document").await.unwrap();
    assert!(back.iter().map(RecordBatch::num_rows).sum::<usize>() == 2 && back[0].columns() == fits.columns());
}

/// The server itself makes values that no statement could bring: an ASCII text takes four bytes for each letter in UTF-32.
async fn a_row_that_the_server_kept_all_the_same_is_refused(lab: &Lab, scope: &Scope) {
    lab.run(
        "CREATE TABLE document (id bigint, scan longtext CHARACTER SET latin1); \
         INSERT INTO document VALUES (1, 'abc'), (2, REPEAT('x', 12582909)), (3, REPEAT('x', 12582911)); \
         ALTER TABLE document MODIFY scan longtext CHARACTER SET utf32; ALTER TABLE document MODIFY scan longblob; \
         CREATE TABLE far (id bigint, scan longtext CHARACTER SET latin1); \
         INSERT INTO far VALUES (4, REPEAT('x', 7000000)); \
         ALTER TABLE far MODIFY scan longtext CHARACTER SET utf32; ALTER TABLE far MODIFY scan longblob; \
         ALTER TABLE far MODIFY scan longtext CHARACTER SET latin1; \
         ALTER TABLE far MODIFY scan longtext CHARACTER SET utf32; ALTER TABLE far MODIFY scan longblob; \
         INSERT INTO document SELECT * FROM far",
    )
    .await;
    let snapshot = lab.source().begin(true).await.unwrap();
    let refused = super::lab::admitted(snapshot.read(scope, "document")).await.unwrap_err();
    assert_eq!(refused.code(), Code(408), "{refused}");
    let said = refused.to_string();
    assert!(
        said.contains("table `document` ") && said.contains("`scan`: 2 values that take their row over 48 MiB"),
        "{said}"
    );
    assert_eq!(spelled(&snapshot.at_fault(scope, "document")), [["3", "-"], ["4", "-"]]);
    lab.run("DELETE FROM document WHERE id > 2").await;
    let rows = lab.read(scope, "document").await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

/// `c0` and so on, each of a kind, in a table that the system holds and no wider one.
fn wide(columns: usize, kind: &'static str) -> (Vec<String>, Scope) {
    let names: Vec<_> = (0..columns).map(|number| format!("c{number}")).collect();
    let take: Vec<_> = names.iter().map(|name| (name.as_str(), kind)).collect();
    let scope = scope_of(&Words { name: "wide", target: "arrived", key: &["c0"], take: &take, ..Words::default() });
    (names, scope)
}

fn one_row(scope: &Scope, value: &ArrayRef) -> RecordBatch {
    let schema = scope.tables()[0].target_schema();
    let columns = vec![Arc::clone(value); schema.fields().len()];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// The bounds of PostgreSQL's catalog, of InnoDB and of SQLite.
pub(super) async fn the_widest_table_that_the_system_holds_is_carried(lab: &Lab) {
    let columns = match lab.system {
        System::Postgres => 1600,
        System::MariaDb => 1017,
        System::Csv | System::Sqlite => 2000,
    };
    let (names, scope) = wide(columns, "bool");
    lab.make_targets(&scope).await;
    let declared: Vec<_> = names.iter().map(|name| (name.as_str(), "bool")).collect();
    lab.fill("wide", &declared, &[&vec![Some("true"); columns]]).await;
    lab.sink().prepare(&scope).await.unwrap();
    lab.carry(&scope, "wide", mark(1)).await.unwrap();
    assert_eq!(spelled(&lab.read_back(&scope, "wide").await.unwrap()), [vec!["true"; columns]]);
}

/// 400 short texts fill a page of InnoDB where each could be long: the staging table is another engine's then.
#[test]
fn many_short_texts_are_carried() {
    super::tell(System::MariaDb, "many_short_texts_are_carried", |lab| {
        Box::pin(async move {
            let (names, scope) = wide(400, "text");
            lab.make_targets(&Scope::parse("").unwrap()).await;
            let declared: Vec<_> = names.iter().map(|name| format!("{name} varchar(9) CHARACTER SET latin1")).collect();
            lab.run(&format!("CREATE TABLE arrived ({})", declared.join(", "))).await;
            let text: ArrayRef = Arc::new(StringArray::from(vec!["Zoé"]));
            let rows = one_row(&scope, &text);
            lab.sink().load(&scope, "wide", mark(1), stream(vec![rows.clone()])).await.unwrap();
            assert_eq!(spelled(&lab.read_back(&scope, "wide").await.unwrap()), spelled(&[rows]));
        })
    });
}

/// 1,600 numbers of four bytes fit a page of PostgreSQL; staged in eight bytes each they do not.
#[test]
fn a_row_wider_than_a_page_is_refused_with_nothing_loaded() {
    super::tell(System::Postgres, "a_row_wider_than_a_page_is_refused_with_nothing_loaded", |lab| {
        Box::pin(async move {
            let (names, scope) = wide(1600, "int64");
            lab.make_targets(&Scope::parse("").unwrap()).await;
            let declared: Vec<_> = names.iter().map(|name| format!("{name} integer")).collect();
            lab.run(&format!("CREATE TABLE arrived ({})", declared.join(", "))).await;
            let number: ArrayRef = Arc::new(Int64Array::from(vec![7_301_944]));
            let rows = one_row(&scope, &number);
            let refused = lab.sink().load(&scope, "wide", mark(1), stream(vec![rows])).await.unwrap_err();
            assert_eq!(refused.code(), Code(421), "{refused}");
            let said = refused.to_string();
            assert!(said.contains("target table `arrived`: a row") && !said.contains("7301944"), "{said}");
            assert_eq!(lab.count("lazaret_load").await, 0);
            super::postgres::nothing_in_the_log(&["7301944"]);
        })
    });
}

const TABLES: usize = 10_000;

/// What an old system has after thirty years.
pub(super) async fn ten_thousand_tables_are_described_drafted_and_counted(lab: &Lab) {
    #[cfg(unix)]
    if lab.system == System::MariaDb {
        return ten_thousand_definitions(lab).await;
    }
    // One transaction for each piece: PostgreSQL keeps a lock for each table that a transaction makes.
    for piece in (0..TABLES).collect::<Vec<_>>().chunks(1000) {
        if lab.system == System::Csv {
            for number in piece {
                lab.fill(&format!("t{number}"), &[("id", "int64"), ("name", "text")], &[]).await;
            }
            continue;
        }
        let mut sql = "BEGIN;".to_owned();
        for number in piece {
            write!(sql, "CREATE TABLE t{number} (id integer, name text);").unwrap();
        }
        lab.run(&(sql + "COMMIT")).await;
    }
    are_described_and_drafted(lab).await;
}

/// `MariaDB` takes minutes to make so many tables, and as many to drop them. Of a table in memory nothing lies on its disk
/// but the definition, and a copy of a definition is a table.
#[cfg(unix)]
async fn ten_thousand_definitions(lab: &Lab) {
    use std::os::unix::fs::{MetadataExt, chown};

    lab.run("CREATE TABLE t0 (id integer, name varchar(40)) ENGINE=MEMORY").await;
    let folder = lab.data_directory().await.join(lab.name());
    let Ok(owner) = std::fs::metadata(folder.join("t0.frm")) else {
        skipped!(
            "ten_thousand_tables_are_described_drafted_and_counted (the server's folder cannot be read from here)"
        );
        return;
    };
    let copies: Vec<_> = (1..TABLES).map(|number| folder.join(format!("t{number}.frm"))).collect();
    for copy in &copies {
        std::fs::copy(folder.join("t0.frm"), copy).unwrap();
        chown(copy, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    are_described_and_drafted(lab).await;
    for copy in &copies {
        std::fs::remove_file(copy).unwrap();
    }
}

async fn are_described_and_drafted(lab: &Lab) {
    let begun = Instant::now();
    let tables = lab.source().describe().await.unwrap();
    let described = begun.elapsed();
    assert_eq!(tables.len(), TABLES);
    assert_eq!(tables.iter().map(|table| table.columns.len()).sum::<usize>(), 2 * TABLES);
    let draft = scope::draft(&tables, scope::Account::local("reader")).unwrap();
    let drafted = begun.elapsed();
    println!("{TABLES} tables: described in {described:?}, drafted after {drafted:?}");
    let scope = Scope::parse(&draft.scope_toml).unwrap();
    assert_eq!(scope.tables().len(), TABLES);
    // All at one moment. MariaDB takes minutes to open so many for the first time.
    if lab.system == System::MariaDb {
        return;
    }
    let snapshot = lab.source().begin(true).await.unwrap();
    for table in scope.tables() {
        assert_eq!(snapshot.count(&scope, &table.name).await.unwrap(), (0, 0), "{}", table.name);
    }
    snapshot.finish().await.unwrap();
    println!("{TABLES} tables: counted after {:?}", begun.elapsed());
}
