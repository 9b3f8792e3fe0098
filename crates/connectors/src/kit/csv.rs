//! What a folder of files must do: it is a source only, and filters nothing by itself.

use std::path::Path;

use futures::TryStreamExt;
use lexicon::{Code, Result};
use scope::Scope;

use super::bad_data::keys;
use super::lab::{Words, admitted, scope_of, scope_of_all, spelled};
use crate::{Snapshot, connect_sink, connect_source};

#[expect(clippy::disallowed_methods, reason = "the old system's dump is written here")]
fn write(folder: &Path, table: &str, text: &[u8]) {
    std::fs::write(folder.join(format!("{table}.csv")), text).unwrap();
}

async fn begin(folder: &Path) -> Box<dyn Snapshot> {
    connect_source(&format!("csv:{}", folder.display()), None).unwrap().begin(false).await.unwrap()
}

async fn read(folder: &Path, scope: &Scope, table: &str) -> Result<Vec<Vec<String>>> {
    let moment = begin(folder).await;
    let rows = spelled(&admitted(moment.read(scope, table)).await?);
    moment.finish().await?;
    Ok(rows)
}

#[tokio::test]
async fn a_full_dump_lets_only_rows_and_columns_in_scope_out() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "patient",
        "\u{feff}id;name;seen;secret\r\n1;\"Zoé; \"\"Z\"\"\";2020-01-02;HIDDEN\r\n2;;2010-01-01;HIDDEN\r\n\
         3;\"\";2020-01-03;HIDDEN\r\n"
            .as_bytes(),
    );
    write(folder.path(), "result", b"rank,patient,value\n10,1,1.50\n11,2,2.50\n12,3,\n13,,3\n");
    let scope = scope_of_all(&[
        Words {
            name: "patient",
            target: "p",
            key: &["id"],
            take: &[("id", "int64"), ("name", "text")],
            leave: &["seen", "secret"],
            filter: "seen >= date '2019-01-01'",
        },
        Words {
            name: "result",
            target: "r",
            key: &["rank"],
            take: &[("rank", "int64"), ("patient", "int64"), ("value", "decimal(5,2)")],
            filter: "exists in patient (patient = id)",
            ..Words::default()
        },
    ]);
    assert_eq!(read(folder.path(), &scope, "patient").await.unwrap(), [["1", "Zoé; \"Z\""], ["3", ""]]);
    assert_eq!(read(folder.path(), &scope, "result").await.unwrap(), [["10", "1", "1.50"], ["12", "3", "-"]]);
    let moment = begin(folder.path()).await;
    assert_eq!(moment.count(&scope, "patient").await.unwrap(), (3, 2));
    assert_eq!(moment.count(&scope, "result").await.unwrap(), (4, 2));
    assert!(["patient", "result"].iter().all(|table| moment.tally(table).rows_in == 0), "counting is not reading");
}

#[tokio::test]
async fn every_kind_is_read_from_its_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let take = &[
        ("id", "int64"),
        ("flag", "bool"),
        ("big", "uint64"),
        ("ratio", "float64"),
        ("price", "decimal(10,2)"),
        ("day", "date"),
        ("hour", "time"),
        ("local", "timestamp"),
        ("moment", "timestamp with time zone"),
    ];
    let text = b"id,flag,big,ratio,price,day,hour,local,moment\n\
        1,true,18446744073709551615,-1.5e3,12.5,2020-02-29,12:30,2020-02-29 12:30:01.5,2020-02-29T12:30:00+02:00\n\
        2,,\"\",,,,,,\n";
    write(folder.path(), "everything", text);
    let scope = scope_of(&Words { name: "everything", target: "t", key: &["id"], take, ..Words::default() });
    let rows = read(folder.path(), &scope, "everything").await.unwrap();
    let local = "2020-02-29 12:30:01.500000";
    let first = ["1", "true", "18446744073709551615", "-1500.0", "12.50", "2020-02-29", "12:30:00", local];
    assert_eq!(rows[0][..8], first.map(str::to_owned));
    assert_eq!(rows[0][8], "2020-02-29 10:30:00Z");
    assert_eq!(rows[1][1..], ["-"; 8].map(str::to_owned));
}

#[tokio::test]
async fn a_value_that_does_not_spell_its_kind_is_refused_by_column_and_count() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "result", b"id,measure\n1,12.5\n2,\"SENTINEL\"\n3,1.999\n4,\xff\xfe\n");
    let take = &[("id", "int64"), ("measure", "decimal(5,2)")];
    let scope = scope_of(&Words { name: "result", target: "t", key: &["id"], take, ..Words::default() });
    let refused = read(folder.path(), &scope, "result").await.unwrap_err();
    let said = format!("{refused} {refused:?}");
    assert_eq!(refused.code(), Code(408));
    for counted in ["1 numbers with more digits", "1 texts that are not valid", "1 values that do not spell"] {
        assert!(said.contains(&format!("`measure`: {counted}")), "{said}");
    }
    assert!(!said.contains("SENTINEL") && !said.contains("1.999"), "{said}");
}

#[tokio::test]
async fn a_number_that_would_not_come_back_as_it_is_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bad = b"id,rank,big,price,ratio\n1,007,+7,007.50,9007199254740993\n2,+7,007,+7.50,1e-400\n3,-0,00,5.,007.5\n\
        4,-7,7,7.5,0.10000000000000001\n";
    write(folder.path(), "result", bad);
    let take =
        &[("id", "int64"), ("rank", "int64"), ("big", "uint64"), ("price", "decimal(5,2)"), ("ratio", "float64")];
    let scope = scope_of(&Words { name: "result", target: "t", key: &["id"], take, ..Words::default() });
    let moment = begin(folder.path()).await;
    let refused = admitted(moment.read(&scope, "result")).await.unwrap_err();
    assert_eq!(refused.code(), Code(408));
    for column in ["rank", "big", "price", "ratio"] {
        assert!(refused.to_string().contains(&format!("`{column}`: 3 values that do not spell")), "{refused}");
    }
    assert_eq!(keys(&moment.at_fault(&scope, "result")), [1, 2, 3]);
    write(folder.path(), "result", b"id,rank,big,price,ratio\n4,-7,7,7.5,0.10000000000000001\n5,0,0,-.50,1.50e3\n");
    let rows = read(folder.path(), &scope, "result").await.unwrap();
    assert_eq!(rows, [["4", "-7", "7", "7.50", "0.1"], ["5", "0", "0", "-0.50", "1500.0"]]);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "patient", b"id\n1\n");
    let scope =
        scope_of(&Words { name: "patient", target: "t", key: &["id"], take: &[("id", "int64")], ..Words::default() });
    let moment = begin(folder.path()).await;
    let rows: Vec<_> = moment.read(&scope, "patient").try_collect().await.unwrap();
    assert_eq!(rows.len(), 1);
    write(folder.path(), "patient", b"id\n1\n2\n");
    let refused = moment.finish().await.unwrap_err();
    assert_eq!(refused.code(), Code(414));
    assert!(refused.to_string().contains("`patient`"));
}

#[tokio::test]
async fn an_unknown_column_in_a_file_stops_the_read_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "patient", b"id,portal_code\n1,s3cret\n");
    let scope =
        scope_of(&Words { name: "patient", target: "t", key: &["id"], take: &[("id", "int64")], ..Words::default() });
    let refused = read(folder.path(), &scope, "patient").await.unwrap_err();
    assert_eq!(refused.code(), Code(311));
    assert!(refused.to_string().contains("portal_code") && !refused.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_column_whose_name_stands_twice_is_never_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "result", b"id,value,value\n1,a,b\n");
    let take = &[("id", "int64"), ("value", "text")];
    let scope = scope_of(&Words { name: "result", target: "t", key: &["id"], take, ..Words::default() });
    let refused = read(folder.path(), &scope, "result").await.unwrap_err();
    assert_eq!(refused.code(), Code(415));
    assert!(refused.to_string().contains("`result`: its columns 2 and 3 have the same name"), "{refused}");
    // One that is not asked for is nobody's trouble, in this file or beside it.
    write(folder.path(), "notes", b"id,,\n1,a,b\n");
    let scope = scope_of(&Words {
        name: "result",
        target: "t",
        key: &["id"],
        take: &[("id", "int64")],
        leave: &["value"],
        ..Words::default()
    });
    assert_eq!(read(folder.path(), &scope, "result").await.unwrap(), [["1"]]);
    let source = connect_source(&format!("csv:{}", folder.path().display()), None).unwrap();
    assert_eq!(source.describe().await.unwrap().len(), 2);
}

/// Where small letters and capital ones make two names.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_second_file_of_one_table_is_never_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "result", b"id\n1\n");
    std::fs::copy(folder.path().join("result.csv"), folder.path().join("result.CSV")).unwrap();
    write(folder.path(), "ward", b"id\n1\n");
    let scope =
        |name| scope_of(&Words { name, target: "t", key: &["id"], take: &[("id", "int64")], ..Words::default() });
    assert_eq!(read(folder.path(), &scope("ward"), "ward").await.unwrap(), [["1"]]);
    let refused = read(folder.path(), &scope("result"), "result").await.unwrap_err();
    assert_eq!(refused.code(), Code(415));
    assert!(refused.to_string().contains("`result`: a second one stands beside it"), "{refused}");
}

#[tokio::test]
async fn a_name_cannot_lead_out_of_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    write(outer.path(), "ward", b"id\n1\n");
    let inner = tempfile::tempdir_in(outer.path()).unwrap();
    let take = &[("id", "int64")];
    let scope = scope_of(&Words { name: "../ward", target: "t", key: &["id"], take, ..Words::default() });
    assert_eq!(read(inner.path(), &scope, "../ward").await.unwrap_err().code(), Code(405));
}

#[tokio::test]
async fn an_old_character_set_is_decoded_strictly() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "patient", b"id,name\n1,Zo\xe9\n2,\x80 100\n");
    let scope = |charset: &str| {
        let toml = format!(
            "[[table]]\nname = 'patient'\ntarget = 't'\nkey = ['id']\ntake = [{{ column = 'id', type = 'int64' }}, \
             {{ column = 'name', type = 'text', charset = '{charset}' }}]\nleave = []\n"
        );
        Scope::parse(&toml).unwrap()
    };
    let rows = read(folder.path(), &scope("cp1252"), "patient").await.unwrap();
    assert_eq!(rows, [["1", "Zoé"], ["2", "€ 100"]]);
    assert!(read(folder.path(), &scope("latin1"), "patient").await.is_err());
}

#[tokio::test]
async fn a_folder_of_files_describes_itself_and_is_no_target() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "patient", b"id,name\n");
    let address = format!("csv:{}", folder.path().display());
    let tables = connect_source(&address, None).unwrap().describe().await.unwrap();
    assert_eq!((tables.len(), tables[0].name.as_str(), tables[0].columns.len()), (1, "patient", 2));
    assert!(connect_sink(&address, None).is_err());
}
