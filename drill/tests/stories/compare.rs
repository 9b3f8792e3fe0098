//! Every value of every table that the new system has, compared with the old system's: each side spells its values as
//! text in SQL, and the rows are compared as sorted lists. Neither scope file, connectors nor fingerprint take part:
//! what is compared is read from the two catalogs.
#![expect(
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a story that cannot go on has failed; small counts"
)]

use std::collections::BTreeMap;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::databases::{self, Databases};

/// What was looked at, and every difference by table and column, never by value.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) tables: usize,
    pub(super) rows: usize,
    pub(super) values: usize,
    /// Days and moments of the old system that are no day at all; the new system has NULL.
    pub(super) zero_dates: usize,
    pub(super) differences: Vec<String>,
}

type Cells = Vec<Option<String>>;

/// What a column of the new system holds by intent, where that is not the old one's value: `(table, column, SQL of the
/// old system)`, written by whoever looks and not by whoever moves.
pub(super) type Meant<'a> = (&'a str, &'a str, &'a str);

/// Compares all tables of the new system but the loader's own.
pub(super) async fn every_table(databases: &Databases, meant: &[Meant<'_>]) -> Compared {
    let mut old = databases::mariadb(&databases.mariadb).await;
    let new = databases::postgres(&databases.postgres).await;
    let mut compared = Compared::default();
    for (table, columns) in columns_of_the_target(&new).await {
        let declared = columns_of_the_source(&mut old, &table).await;
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for (column, kind) in &columns {
            let source = declared.get(column).unwrap_or_else(|| panic!("{table} has no {column} in the old system"));
            let other = meant.iter().find(|(in_table, of, _)| *in_table == table && of == column);
            here.push(other.map_or_else(|| spelled_by_mariadb(column, source), |(.., sql)| (*sql).to_owned()));
            there.push(spelled_by_postgres(column, kind));
            if is_dated(source) {
                let sql = format!("SELECT CAST(COUNT(*) AS CHAR) FROM `{table}` WHERE `{column}` = 0");
                compared.zero_dates += number(rows_of_mariadb(&mut old, &sql).await);
            }
        }
        let here = rows_of_mariadb(&mut old, &format!("SELECT {} FROM `{table}`", here.join(", "))).await;
        let there = rows_of_postgres(&new, &format!("SELECT {} FROM \"{table}\"", there.join(", "))).await;
        compared.tables += 1;
        compared.rows += here.len();
        compared.values += here.len() * columns.len();
        let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
        compared.differences.extend(differences(&table, &names, here, there));
    }
    compared
}

/// The only cell of an answer, as a number.
fn number(rows: Vec<Cells>) -> usize {
    rows.into_iter().flatten().flatten().next().unwrap().parse().unwrap()
}

/// The differences between two multisets of rows.
fn differences(table: &str, columns: &[&str], mut here: Vec<Cells>, mut there: Vec<Cells>) -> Vec<String> {
    here.sort_unstable();
    there.sort_unstable();
    if here == there {
        return Vec::new();
    }
    if here.len() != there.len() {
        return vec![format!("{table}: {} rows here, {} there", here.len(), there.len())];
    }
    let sorted = |rows: &[Cells], index: usize| {
        let mut values: Vec<_> = rows.iter().map(|row| row.get(index).cloned().unwrap()).collect();
        values.sort_unstable();
        values
    };
    let found: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| (column, missing(&sorted(&here, index), &sorted(&there, index))))
        .filter(|(_, count)| *count > 0)
        .map(|(column, count)| format!("{table}.{column}: {count} values differ"))
        .collect();
    // Every column holds the same values, but not in the same rows.
    if found.is_empty() { vec![format!("{table}: {} rows differ", missing(&here, &there))] } else { found }
}

/// How many of the first list are not in the second; both are sorted.
fn missing<T: Ord>(first: &[T], second: &[T]) -> usize {
    let mut second = second.iter().peekable();
    let mut count = 0;
    for one in first {
        while second.next_if(|other| *other < one).is_some() {}
        if second.next_if_eq(&one).is_none() {
            count += 1;
        }
    }
    count
}

fn is_dated(declared: &str) -> bool {
    matches!(declared, "date" | "datetime" | "timestamp")
}

/// The old system's value as text; a day that is no day is none.
fn spelled_by_mariadb(column: &str, declared: &str) -> String {
    match declared {
        "char" | "varchar" | "text" | "longtext" => format!("CONVERT(`{column}` USING utf8mb4)"),
        "tinyint" | "int" | "decimal" => format!("CAST(`{column}` AS CHAR)"),
        "date" => format!("IF(`{column}` = 0, NULL, DATE_FORMAT(`{column}`, '%Y-%m-%d'))"),
        "datetime" | "timestamp" => {
            format!("IF(`{column}` = 0, NULL, DATE_FORMAT(`{column}`, '%Y-%m-%d %H:%i:%s.%f'))")
        }
        other => panic!("no spelling for {other} of the old system"),
    }
}

/// The new system's value in the same spelling.
fn spelled_by_postgres(column: &str, declared: &str) -> String {
    match declared {
        "character" | "character varying" | "text" | "smallint" | "integer" | "bigint" | "numeric" => {
            format!("\"{column}\"::text")
        }
        "date" => format!("to_char(\"{column}\", 'YYYY-MM-DD')"),
        "timestamp without time zone" => format!("to_char(\"{column}\", 'YYYY-MM-DD HH24:MI:SS.US')"),
        "timestamp with time zone" => format!("to_char(\"{column}\" AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
        other => panic!("no spelling for {other} of the new system"),
    }
}

/// Columns with their types, by table.
async fn columns_of_the_target(new: &Client) -> BTreeMap<String, Vec<(String, String)>> {
    let sql = "SELECT table_name, column_name, data_type FROM information_schema.columns \
               WHERE table_schema = 'public' AND table_name <> 'lazaret_load' ORDER BY table_name, ordinal_position";
    let mut tables = BTreeMap::<_, Vec<_>>::new();
    for row in rows_of_postgres(new, sql).await {
        let [table, column, kind] = <[_; 3]>::try_from(row).unwrap().map(Option::unwrap);
        tables.entry(table).or_default().push((column, kind));
    }
    tables
}

async fn columns_of_the_source(old: &mut MySqlConnection, table: &str) -> BTreeMap<String, String> {
    let sql = format!(
        "SELECT CONVERT(COLUMN_NAME USING utf8mb4), CONVERT(DATA_TYPE USING utf8mb4) \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
    );
    let rows = rows_of_mariadb(old, &sql).await;
    rows.into_iter().map(|row| <[_; 2]>::try_from(row).unwrap().map(Option::unwrap).into()).collect()
}

async fn rows_of_mariadb(old: &mut MySqlConnection, sql: &str) -> Vec<Cells> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(old).await.unwrap();
    rows.iter().map(|row| (0..row.len()).map(|index| row.try_get(index).unwrap()).collect()).collect()
}

async fn rows_of_postgres(new: &Client, sql: &str) -> Vec<Cells> {
    let mut rows = Vec::new();
    for message in new.simple_query(sql).await.unwrap() {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
        }
    }
    rows
}
