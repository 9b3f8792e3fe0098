//! The constraints of a target table as counting queries over the staging table. A constraint that a row breaks on its
//! way into the target makes the server write the whole row into its log; a count writes nothing.

use lexicon::Result;
use scope::Dialect;
use tokio_postgres::Client;

use super::catalog::{Column, Table};
use super::failed;
use super::sink::{STAGING, Wanted};
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
        Self { name, sql: format!("SELECT count(*) {rows}"), rows }
    }
}

fn quote(name: &str) -> Result<String> {
    Dialect::Postgres.quote(name)
}

/// What the staged values must keep before they can be looked at in the target's own types.
pub(super) fn of_values(table: &Wanted<'_>) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for (column, landing) in table.columns.iter().zip(&table.landings) {
        let quoted = quote(&column.name)?;
        if column.not_null {
            let rows = format!("FROM {STAGING} WHERE {quoted} IS NULL");
            tests.push(Test::of(format!("not null `{}`", column.name), rows));
        }
        if let Some((condition, name)) = &landing.too_much {
            let condition = condition.replace("{}", &quoted);
            tests.push(Test::of(format!("`{}`: {name}", column.name), format!("FROM {STAGING} WHERE {condition}")));
        }
    }
    Ok(tests)
}

/// The staged rows as they would stand in the target, under the target's name, with every column.
fn typed(table: &Wanted<'_>, found: &Table) -> Result<String> {
    let (mut plain, mut computed) = (Vec::new(), Vec::new());
    for column in &found.columns {
        let quoted = quote(&column.name)?;
        let declared = &column.declared;
        let collation = column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        let taken = table.columns.iter().any(|taken| taken.name == column.name);
        let value = |value: &str| format!("({value}::{declared}){collation} AS {quoted}");
        match (column.otherwise, &column.expression) {
            _ if taken => plain.push(value(&quoted)),
            (Otherwise::Computed, Some(expression)) => computed.push(value(&format!("({expression})"))),
            (Otherwise::Default, Some(expression)) => plain.push(value(&format!("({expression})"))),
            // A number from a sequence is new in every row; asking for it would use it up.
            _ => plain.push(value("NULL")),
        }
    }
    let inner = format!("SELECT {} FROM {STAGING}", plain.join(", "));
    let name = quote(&table.target)?;
    Ok(if computed.is_empty() {
        format!("({inner}) AS {name}")
    } else {
        format!("(SELECT *, {} FROM ({inner}) AS {name}) AS {name}", computed.join(", "))
    })
}

const CONSTRAINTS: &str = "SELECT c.conname::text, c.contype::text, c.confmatchtype::text, \
       pg_catalog.pg_get_expr(c.conbin, c.conrelid), c.confrelid = c.conrelid, \
       CASE WHEN c.confrelid <> 0 \
         THEN pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(o.relname) END, \
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.place), \
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.place) \
     FROM pg_catalog.pg_constraint c \
     LEFT JOIN pg_catalog.pg_class o ON o.oid = c.confrelid \
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace \
     WHERE c.conrelid = $1 ORDER BY c.conname";

struct Constraint {
    name: String,
    form: String,
    matching: String,
    expression: Option<String>,
    is_own: bool,
    other: Option<String>,
    columns: Vec<String>,
    other_columns: Vec<String>,
}

/// The tests of checks, keys and foreign keys; refuses what counting cannot test.
pub(super) async fn of_rows(client: &Client, table: &Wanted<'_>, found: &Table) -> Result<Vec<Test>> {
    let doing = "listing constraints";
    let rows = client.query(CONSTRAINTS, &[&found.oid]).await.map_err(|error| failed(doing, &error))?;
    let read = |row: &tokio_postgres::Row| -> Result<Constraint, tokio_postgres::Error> {
        Ok(Constraint {
            name: row.try_get(0)?,
            form: row.try_get(1)?,
            matching: row.try_get(2)?,
            expression: row.try_get(3)?,
            is_own: row.try_get(4)?,
            other: row.try_get(5)?,
            columns: row.try_get(6)?,
            other_columns: row.try_get(7)?,
        })
    };
    let typed = typed(table, found)?;
    let mut tests = unique(client, found, &typed).await?;
    for row in &rows {
        let constraint = read(row).map_err(|error| failed(doing, &error))?;
        match (constraint.form.as_str(), &constraint.expression) {
            ("c", Some(expression)) => {
                let rows = format!("FROM {typed} WHERE NOT ({expression})");
                let name = trouble::constraint(&format!("check {}", constraint.name), &constraint.columns);
                tests.push(Test::of(name, rows));
            }
            ("f", _) => tests.push(foreign_key(&constraint, &typed)?),
            // Keys are tested by their indexes; triggers are named in the notes.
            ("n" | "p" | "t" | "u", _) => {}
            _ => return Err(trouble::untestable(&table.target, &format!("the constraint {}", constraint.name))),
        }
    }
    Ok(tests)
}

fn foreign_key(constraint: &Constraint, typed: &str) -> Result<Test> {
    let ours = constraint.columns.iter().map(|name| quote(name)).collect::<Result<Vec<_>>>()?;
    let theirs = constraint.other_columns.iter().map(|name| quote(name)).collect::<Result<Vec<_>>>()?;
    let other = constraint.other.as_deref().unwrap_or_default();
    let equal: Vec<_> =
        ours.iter().zip(&theirs).map(|(our, their)| format!("lazaret_there.{their} = lazaret_row.{our}")).collect();
    let equal = equal.join(" AND ");
    let given: Vec<_> = ours.iter().map(|our| format!("lazaret_row.{our} IS NOT NULL")).collect();
    let mut orphan = format!("NOT EXISTS (SELECT FROM {other} AS lazaret_there WHERE {equal})");
    if constraint.is_own {
        // Rows may point to rows that arrive with them.
        let staged = format!("(SELECT * FROM {typed}) AS lazaret_there");
        orphan = format!("{orphan} AND NOT EXISTS (SELECT FROM {staged} WHERE {equal})");
    }
    let mut condition = format!("({}) AND {orphan}", given.join(" AND "));
    if constraint.matching == "f" {
        // MATCH FULL: all columns or none.
        condition =
            format!("({condition}) OR num_nulls({}) BETWEEN 1 AND {}", ours.join(", "), ours.len().saturating_sub(1));
    }
    let rows = format!("FROM (SELECT * FROM {typed}) AS lazaret_row WHERE {condition}");
    Ok(Test::of(trouble::constraint(&format!("foreign key {}", constraint.name), &constraint.columns), rows))
}

// NULLS NOT DISTINCT came with PostgreSQL 15; asked for by name, older catalogs say NULL.
const UNIQUE: &str = "SELECT o.relname::text, \
       ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k::int, false) \
         FROM generate_series(1, i.indnkeyatts) AS k), \
       pg_catalog.pg_get_expr(i.indpred, i.indrelid), \
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), \
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE k.place <= i.indnkeyatts ORDER BY k.place) \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class o ON o.oid = i.indexrelid \
     WHERE i.indrelid = $1 AND i.indisunique ORDER BY o.relname";

/// Name, parts (columns or expressions) and predicate.
type Index = (String, Vec<String>, Option<String>);

async fn unique(client: &Client, found: &Table, typed: &str) -> Result<Vec<Test>> {
    let doing = "listing unique keys";
    let mut tests = Vec::new();
    for row in client.query(UNIQUE, &[&found.oid]).await.map_err(|error| failed(doing, &error))? {
        let read = || -> Result<(Index, bool, Vec<String>), tokio_postgres::Error> {
            Ok(((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), row.try_get(3)?, row.try_get(4)?))
        };
        let ((name, parts, predicate), nulls_are_equal, columns) = read().map_err(|error| failed(doing, &error))?;
        let mut conditions: Vec<_> = predicate.into_iter().map(|predicate| format!("({predicate})")).collect();
        if !nulls_are_equal {
            conditions.extend(parts.iter().map(|part| format!("({part}) IS NOT NULL")));
        }
        let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        let group = parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(", ");
        tests.push(Test {
            name: trouble::constraint(&format!("unique {name}"), &columns),
            sql: format!(
                "SELECT coalesce(sum(same - 1), 0)::int8 FROM (SELECT count(*) AS same FROM {typed} \
                 WHERE {condition} GROUP BY {group} HAVING count(*) > 1) AS lazaret_same"
            ),
            rows: format!(
                "FROM (SELECT *, count(*) OVER (PARTITION BY {group}) AS lazaret_same FROM {typed} \
                 WHERE {condition}) AS lazaret_row WHERE lazaret_same > 1"
            ),
        });
    }
    Ok(tests)
}

/// Whether a column can stay empty.
pub(super) fn can_stay_empty(column: &Column) -> bool {
    !column.not_null || column.otherwise != Otherwise::Null
}
