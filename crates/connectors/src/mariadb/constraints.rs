//! The constraints of a target table as counting queries over the staging table: the server's own message about a
//! broken one quotes the value.

use std::collections::BTreeMap;

use lexicon::Result;
use scope::Dialect;
use sqlx::mysql::MySqlConnection;

use super::catalog::{self, Column, Table};
use super::sink::{STAGING, STAGING_AGAIN, Wanted};
use super::texts;
use crate::columns::Otherwise;
use crate::trouble;

/// One constraint, a query that counts the rows of the staging table that would break it, and where these are: what
/// follows the columns that are asked for.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) rows: String,
}

impl Test {
    fn of(name: String, rows: String) -> Self {
        Self { name, sql: format!("SELECT COUNT(*) {rows}"), rows }
    }
}

fn quote(name: &str) -> Result<String> {
    Dialect::MariaDb.quote(name)
}

/// What the staged values must keep before they can be looked at in the target's own types.
pub(super) fn of_values(table: &Wanted<'_>) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for (column, landing) in table.columns.iter().zip(&table.landings) {
        let quoted = quote(&column.name)?;
        if !column.nullable {
            let rows = format!("FROM {STAGING} WHERE {quoted} IS NULL");
            tests.push(Test::of(format!("not null `{}`", column.name), rows));
        }
        for (condition, name) in &landing.too_much {
            let condition = condition.replace("{}", &quoted);
            tests.push(Test::of(format!("`{}`: {name}", column.name), format!("FROM {STAGING} WHERE {condition}")));
        }
    }
    Ok(tests)
}

/// A staged column as the target compares it: texts in the column's own character set and collation.
fn typed(column: &Column, quoted: &str) -> String {
    match (&column.charset, &column.collation) {
        (Some(charset), Some(collation)) => format!("CONVERT({quoted} USING {charset}) COLLATE {collation}"),
        _ => quoted.to_owned(),
    }
}

/// The same by name, of the staging table under the name `lazaret_row`; none if the scope does not fill it.
fn typed_of(table: &Wanted<'_>, name: &str) -> Result<Option<String>> {
    let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    column.map(|column| Ok(typed(column, &format!("lazaret_row.{}", quote(&column.name)?)))).transpose()
}

/// The tests of checks, keys and foreign keys.
pub(super) async fn of_rows(session: &mut MySqlConnection, table: &Wanted<'_>, found: &Table) -> Result<Vec<Test>> {
    let mut tests = unique(session, table, found).await?;
    tests.extend(checks(session, table, found).await?);
    let keys = catalog::foreign_keys(session, &table.target).await?;
    // The server is told to look at no key of such a table: what is not counted here nobody would look at.
    let counted_alone = points_to_itself(&keys, &table.target);
    // A null points nowhere.
    let stays_null = |name: &String| !fills(table, name) && left_to_server(found, name).as_deref() == Some("NULL");
    for key in keys.into_iter().filter(|key| !key.reference.columns.iter().any(stays_null)) {
        // Elsewhere the server looks at what the row has in the end, which a trigger may have put there.
        let left = key.reference.columns.iter().any(|name| !fills(table, name));
        match foreign_key(table, found, &key)? {
            _ if left && !counted_alone => {}
            None if counted_alone => {
                let what = format!("the foreign key {} with a column that only the server fills", key.name);
                return Err(trouble::untestable(&table.target, &what));
            }
            test => tests.extend(test),
        }
    }
    Ok(tests)
}

const UNIQUE: &str = "SELECT INDEX_NAME, COLUMN_NAME, CAST(SUB_PART AS CHAR) FROM information_schema.STATISTICS \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX";

async fn unique(session: &mut MySqlConnection, table: &Wanted<'_>, found: &Table) -> Result<Vec<Test>> {
    // No parts at all: a key that new rows cannot break (numbered by the server, or null), or one over an expression.
    let mut keys: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in texts(session, "listing unique keys", UNIQUE, &[&table.target]).await? {
        let mut row = row.into_iter();
        let mut next = || row.next().flatten();
        let (name, column, prefix) = (next().unwrap_or_default(), next(), next());
        columns.entry(name.clone()).or_default().extend(column.clone());
        let parts = keys.entry(name).or_insert_with(|| Some(Vec::new()));
        let typed = column.as_deref().map(|column| typed_of(table, column)).transpose()?.flatten();
        match (typed, prefix.and_then(|prefix| prefix.parse::<u32>().ok())) {
            (Some(typed), None) => {
                if let Some(parts) = parts {
                    parts.push(typed);
                }
            }
            (Some(typed), Some(prefix)) => {
                if let Some(parts) = parts {
                    parts.push(format!("LEFT({typed}, {prefix})"));
                }
            }
            // A column that the scope does not fill: constant if its default is, so that the others alone decide.
            (None, _) => {
                let column = column.and_then(|name| found.columns.iter().find(|column| column.name == name));
                let constant = column.is_some_and(|column| {
                    column.otherwise == Otherwise::Default
                        && column.default.as_ref().is_some_and(|default| !default.contains('('))
                });
                if !constant {
                    *parts = None;
                }
            }
        }
    }
    let test = |(name, parts): (String, Option<Vec<String>>)| {
        let parts = parts.filter(|parts| !parts.is_empty())?;
        let given: Vec<_> = parts.iter().map(|part| format!("{part} IS NOT NULL")).collect();
        let (given, group) = (given.join(" AND "), parts.join(", "));
        Some(Test {
            name: trouble::constraint(
                &format!("unique {name}"),
                columns.get(&name).map(Vec::as_slice).unwrap_or_default(),
            ),
            sql: format!(
                "SELECT COALESCE(SUM(same - 1), 0) FROM (SELECT COUNT(*) AS same FROM {STAGING} AS lazaret_row \
                 WHERE {given} \
                 GROUP BY {group} HAVING COUNT(*) > 1) AS lazaret_same"
            ),
            rows: format!(
                "FROM (SELECT lazaret_row.*, COUNT(*) OVER (PARTITION BY {group}) AS lazaret_same \
                 FROM {STAGING} AS lazaret_row WHERE {given}) AS lazaret_named WHERE lazaret_same > 1"
            ),
        })
    };
    Ok(keys.into_iter().filter_map(test).collect())
}

const CHECKS_MARIADB: &str = "SELECT CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
     WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = ?";
const CHECKS_MYSQL: &str = "SELECT c.CONSTRAINT_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c \
     JOIN information_schema.TABLE_CONSTRAINTS t ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA \
     AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME \
     WHERE c.CONSTRAINT_SCHEMA = DATABASE() AND t.TABLE_NAME = ? AND t.ENFORCED = 'YES'";
const HAS: &str = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema' \
     AND ((TABLE_NAME = 'CHECK_CONSTRAINTS' AND COLUMN_NAME IN ('TABLE_NAME', 'CHECK_CLAUSE')))";

async fn checks(session: &mut MySqlConnection, table: &Wanted<'_>, found: &Table) -> Result<Vec<Test>> {
    let doing = "listing checks";
    // Servers before MySQL 8 and MariaDB 10.2 have no checks; MariaDB alone says whose a check is.
    let sql = match texts(session, doing, HAS, &[]).await?.len() {
        0 => return Ok(Vec::new()),
        1 => CHECKS_MYSQL,
        _ => CHECKS_MARIADB,
    };
    let mut columns = Vec::new();
    for column in &found.columns {
        let quoted = quote(&column.name)?;
        let value = match typed_of(table, &column.name)? {
            Some(typed) => typed,
            // What the server fills in is its own affair; a check over a null holds.
            None => "NULL".to_owned(),
        };
        columns.push(format!("{value} AS {quoted}"));
    }
    let (rows, name) = (columns.join(", "), quote(&table.target)?);
    let mut tests = Vec::new();
    for row in texts(session, doing, sql, &[&table.target]).await? {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        let (check, clause) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
        let broken = format!("FROM (SELECT {rows} FROM {STAGING} AS lazaret_row) AS {name} WHERE NOT ({clause})");
        // The server writes every name in the clause in its quotes.
        let named = |column: &&Column| quote(&column.name).is_ok_and(|quoted| clause.contains(&quoted));
        let named: Vec<_> = found.columns.iter().filter(named).map(|column| column.name.clone()).collect();
        tests.push(Test::of(trouble::constraint(&format!("check {check}"), &named), broken));
    }
    Ok(tests)
}

/// Whether the scope fills a column.
fn fills(table: &Wanted<'_>, name: &str) -> bool {
    table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
}

/// What the server puts into a column that the scope does not fill, as SQL; none if only the server knows.
fn left_to_server(found: &Table, name: &str) -> Option<String> {
    let column = found.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))?;
    match (column.otherwise, column.default.as_deref()) {
        (Otherwise::Null, _) => Some("NULL".to_owned()),
        (Otherwise::Default, Some(default)) if is_constant(default) => Some(default.to_owned()),
        _ => None,
    }
}

/// Whether the text of a default is a number or a text in quotes. `MariaDB` writes every other as an expression; older
/// servers and `MySQL` write texts without quotes, which are taken for expressions here.
fn is_constant(default: &str) -> bool {
    let digits = default.strip_prefix('-').unwrap_or(default);
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let text = default.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    number || text.is_some_and(|text| !text.replace("''", "").contains('\''))
}

/// The test of one foreign key; none if it cannot be counted.
fn foreign_key(table: &Wanted<'_>, found: &Table, key: &catalog::ForeignKey) -> Result<Option<Test>> {
    let (mut given, mut equal, mut equal_staged) = (Vec::new(), Vec::new(), Vec::new());
    let own = points_to_itself(std::slice::from_ref(key), &table.target);
    for (column, other) in key.reference.columns.iter().zip(&key.reference.other_columns) {
        let Some(typed) = typed_of(table, column)?.or_else(|| left_to_server(found, column)) else { return Ok(None) };
        let quoted = quote(other)?;
        given.push(format!("{typed} IS NOT NULL"));
        equal.push(format!("lazaret_there.{quoted} = {typed}"));
        if own {
            let staged = fills(table, other).then(|| format!("lazaret_staged.{quoted}"));
            let Some(staged) = staged.or_else(|| left_to_server(found, other)) else { return Ok(None) };
            equal_staged.push(format!("{staged} = {typed}"));
        }
    }
    let there = format!("{}.{}", quote(&key.schema)?, quote(&key.reference.table)?);
    let mut orphan = format!("NOT EXISTS (SELECT 1 FROM {there} AS lazaret_there WHERE {})", equal.join(" AND "));
    if own {
        // Rows may point to rows that arrive with them; a temporary table cannot be named twice in one query.
        let staged = equal_staged.join(" AND ");
        orphan = format!("{orphan} AND NOT EXISTS (SELECT 1 FROM {STAGING_AGAIN} AS lazaret_staged WHERE {staged})");
    }
    let rows = format!("FROM {STAGING} AS lazaret_row WHERE {} AND {orphan}", given.join(" AND "));
    let name = trouble::constraint(&format!("foreign key {}", key.name), &key.reference.columns);
    Ok(Some(Test::of(name, rows)))
}

/// Whether a table with these keys points to itself, so that its rows are needed a second time.
pub(super) fn points_to_itself(keys: &[catalog::ForeignKey], target: &str) -> bool {
    keys.iter().any(|key| key.reference.table.eq_ignore_ascii_case(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_taken_as_it_is_written_only_if_it_is_a_number_or_a_text() {
        for constant in ["1", "-7", "1.50", "''", "'main'", "'it''s'", "'a(b)'"] {
            assert!(is_constant(constant), "{constant}");
        }
        for other in ["", "-", "main", "'", "uuid()", "1 + 0", "'a' + rand() + 'b'", "b'1'", "current_timestamp()"] {
            assert!(!is_constant(other), "{other}");
        }
    }
}
