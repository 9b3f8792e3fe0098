//! What the catalog says about tables, columns and keys.

use futures::{StreamExt, TryStreamExt};
use lexicon::{Digest, Result};
use scope::{Dialect, Reference, SourceColumn, SourceTable};
use tokio_postgres::{Client, ToStatement};

use super::{failed, types};
use crate::columns::Otherwise;

/// One column, with what only a target needs to know.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type in the words of the database.
    pub(super) declared: String,
    pub(super) type_oid: u32,
    /// The type's short name; of a domain, that of the type below it.
    pub(super) base: String,
    pub(super) modifier: i32,
    pub(super) is_enum: bool,
    /// A domain that tests its values.
    pub(super) is_tested_domain: bool,
    pub(super) not_null: bool,
    /// The expression of its default, or of a computed column.
    pub(super) expression: Option<String>,
    pub(super) otherwise: Otherwise,
    /// The quoted collation, if it is not its type's own.
    pub(super) collation: Option<String>,
}

/// A type's modifier is 4 more than what stands in parentheses (the length of a header that is long gone).
const MODIFIER_HEADER: i32 = 4;

impl Column {
    /// Precision and scale of a numeric that has them.
    pub(super) fn numeric(&self) -> Option<(i32, i32)> {
        if self.base != "numeric" || self.modifier < MODIFIER_HEADER {
            return None;
        }
        let both = self.modifier.saturating_sub(MODIFIER_HEADER);
        // The scale is an 11-bit two's complement number since PostgreSQL 15; before, it was never negative.
        let scale = ((both & 0x7ff) ^ 1024).saturating_sub(1024);
        Some(((both >> 16) & 0xffff, scale))
    }

    /// The longest text, in characters.
    pub(super) fn length(&self) -> Option<i32> {
        (matches!(self.base.as_str(), "varchar" | "bpchar") && self.modifier >= MODIFIER_HEADER)
            .then(|| self.modifier.saturating_sub(MODIFIER_HEADER))
    }

    /// Whether a time keeps its microseconds.
    pub(super) fn whole_microseconds(&self) -> bool {
        self.modifier < 0 || self.modifier == 6
    }
}

/// One table of the search path.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    /// `r` for an ordinary table.
    pub(super) form: String,
    pub(super) is_partition: bool,
    pub(super) columns: Vec<Column>,
}

const TABLE: &str = "SELECT c.oid, c.relkind::text, c.relispartition FROM pg_catalog.pg_class c \
     WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

// A domain of a domain keeps its own name here, which no kind matches.
const COLUMNS: &str = "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid, \
       coalesce(b.typname, t.typname)::text, \
       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, \
       coalesce(b.typtype, t.typtype) = 'e', \
       t.typnotnull OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid), \
       a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '', \
       a.attidentity <> '' OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', \
       CASE WHEN a.attcollation <> t.typcollation THEN \
         pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname) END \
     FROM pg_catalog.pg_attribute a \
     JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace \
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// The table of that name in the search path, if there is one.
pub(super) async fn table(client: &Client, name: &str) -> Result<Option<Table>> {
    let doing = "listing columns";
    let fail = |error: &tokio_postgres::Error| failed(doing, error);
    let quoted = Dialect::Postgres.quote(name)?;
    let Some(row) = client.query_opt(TABLE, &[&quoted]).await.map_err(|error| fail(&error))? else { return Ok(None) };
    let read = |row: &tokio_postgres::Row| -> Result<Table, tokio_postgres::Error> {
        Ok(Table { oid: row.try_get(0)?, form: row.try_get(1)?, is_partition: row.try_get(2)?, columns: Vec::new() })
    };
    let table = read(&row).map_err(|error| fail(&error))?;
    Ok(Some(Table { columns: columns(client, COLUMNS, table.oid).await?, ..table }))
}

// Below a view what it asks for, below a parent its partitions and children. A materialised view keeps its rows here.
const KEPT_ELSEWHERE: &str = "WITH RECURSIVE below (id) AS (SELECT $1::oid UNION \
       SELECT reached.id FROM below JOIN pg_catalog.pg_class c ON c.oid = below.id, LATERAL ( \
         SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid \
         UNION ALL \
         SELECT d.refobjid FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.objid = r.oid \
           WHERE r.ev_class = c.oid AND c.relkind = 'v' AND r.ev_type = '1' \
           AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
       ) AS reached (id)) \
     SELECT c.relname::text FROM pg_catalog.pg_class c JOIN below ON below.id = c.oid WHERE c.relkind = 'f' \
     ORDER BY 1 LIMIT 1";

/// A foreign table whose rows are among those of this one: itself, one below a view, or a part. What functions of a view
/// read is not known.
pub(super) async fn kept_elsewhere(client: &Client, table: &Table) -> Result<Option<String>> {
    let found = client.query_opt(KEPT_ELSEWHERE, &[&table.oid]).await;
    let name = found.and_then(|row| row.map(|row| row.try_get(0)).transpose());
    name.map_err(|error| failed("looking for foreign tables", &error))
}

async fn columns<Q: ?Sized + ToStatement + Sync>(client: &Client, question: &Q, table: u32) -> Result<Vec<Column>> {
    let fail = |error: &tokio_postgres::Error| failed("listing columns", error);
    let rows = client.query(question, &[&table]).await.map_err(|error| fail(&error))?;
    let column = |row: &tokio_postgres::Row| -> Result<Column, tokio_postgres::Error> {
        let expression: Option<String> = row.try_get(8)?;
        let otherwise = match &expression {
            _ if row.try_get(9)? => Otherwise::Computed,
            _ if row.try_get::<_, Option<bool>>(10)? == Some(true) => Otherwise::Numbered,
            Some(_) => Otherwise::Default,
            None => Otherwise::Null,
        };
        Ok(Column {
            name: row.try_get(0)?,
            declared: row.try_get(1)?,
            type_oid: row.try_get(2)?,
            base: row.try_get(3)?,
            modifier: row.try_get(4)?,
            is_enum: row.try_get(5)?,
            is_tested_domain: row.try_get(6)?,
            not_null: row.try_get(7)?,
            expression,
            otherwise,
            collation: row.try_get(11)?,
        })
    };
    rows.iter().map(column).collect::<Result<_, _>>().map_err(|error| fail(&error))
}

// What a foreign table reads is another server's; its columns are all that is known here. Of a view its rule as it is stored,
// without where each word stood: to have it spelled, the server would wait for a lock on every table below it.
const NAMES: &str = "SELECT c.relname::text, CASE c.relkind WHEN 'v' THEN -1 ELSE c.reltuples::float8 END, \
       c.oid, c.relkind::text, \
       (SELECT pg_catalog.regexp_replace(rule.ev_action::text, ':(stmt_)?(location|len) -?[0-9]+', '', 'g') \
         FROM pg_catalog.pg_rewrite rule \
         WHERE rule.ev_class = c.oid AND rule.rulename = '_RETURN') \
     FROM pg_catalog.pg_class c \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND pg_catalog.pg_table_is_visible(c.oid) \
     AND c.relnamespace NOT IN (SELECT oid FROM pg_catalog.pg_namespace \
       WHERE nspname IN ('pg_catalog', 'information_schema') OR nspname LIKE 'pg\\_toast%' \
         OR nspname LIKE 'pg\\_temp%') \
     ORDER BY 1";

const KEY: &str = "SELECT a.attname::text FROM pg_catalog.pg_index i, \
       unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place), pg_catalog.pg_attribute a \
     WHERE i.indrelid = $1 AND i.indisprimary AND a.attrelid = $1 AND a.attnum = k.attnum ORDER BY k.place";

const REFERENCES: &str = "SELECT o.relname::text, \
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.place), \
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.place) \
     FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class o ON o.oid = c.confrelid \
     WHERE c.contype = 'f' AND c.conrelid = $1 ORDER BY c.conname";

/// One table as drafts and digests see it.
pub(super) async fn describe(client: &Client, name: &str, found: &Table) -> Result<SourceTable> {
    describe_by(client, (KEY, REFERENCES), name, found).await
}

async fn describe_by<Q: ?Sized + ToStatement + Sync>(
    client: &Client,
    (key, references): (&Q, &Q),
    name: &str,
    found: &Table,
) -> Result<SourceTable> {
    let doing = "listing keys";
    let fail = |error: &tokio_postgres::Error| failed(doing, error);
    let key = client.query(key, &[&found.oid]).await.map_err(|error| fail(&error))?;
    let references = client.query(references, &[&found.oid]).await.map_err(|error| fail(&error))?;
    let reference = |row: &tokio_postgres::Row| -> Result<Reference, tokio_postgres::Error> {
        Ok(Reference { table: row.try_get(0)?, columns: row.try_get(1)?, other_columns: row.try_get(2)? })
    };
    Ok(SourceTable {
        name: name.to_owned(),
        columns: found
            .columns
            .iter()
            .map(|column| SourceColumn {
                name: column.name.clone(),
                declared: column.declared.clone(),
                kind: types::likely_kind(column),
                nullable: !column.not_null,
            })
            .collect(),
        primary_key: key.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(|error| fail(&error))?,
        references: references.iter().map(reference).collect::<Result<_, _>>().map_err(|error| fail(&error))?,
        definition: None,
        rows: None,
    })
}

/// Questions on their way to the server at once: ten thousand tables are asked about in seconds, over a slow line too.
const TABLES_ASKED_AT_ONCE: usize = 32;

/// Every table and view of the search path, found by number: a name may be one that no scope can hold. The number of rows
/// is the planner's, where it has one.
pub(super) async fn describe_all(client: &Client) -> Result<Vec<SourceTable>> {
    let fail = |error: &tokio_postgres::Error| failed("listing tables", error);
    let tables = client.query(NAMES, &[]).await.map_err(|error| fail(&error))?;
    let [of_columns, of_key, of_references] = [COLUMNS, KEY, REFERENCES].map(|question| client.prepare(question));
    let prepared = futures::future::try_join3(of_columns, of_key, of_references).await;
    let (of_columns, of_key, of_references) = &prepared.map_err(|error| fail(&error))?;
    let described = tables.into_iter().map(|row| async move {
        let read = || -> Result<(String, f64, u32, String, Option<String>), tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))
        };
        let (name, estimate, oid, form, definition) = read().map_err(|error| fail(&error))?;
        let found = Table { oid, form, is_partition: false, columns: columns(client, of_columns, oid).await? };
        let mut described = describe_by(client, (of_key, of_references), &name, &found).await?;
        described.definition = definition.map(|text| Digest::of(text.as_bytes()));
        // The planner's -1 means that it has never looked.
        described.rows = (estimate >= 0.0).then(|| format!("{estimate:.0}").parse().ok()).flatten();
        Ok(described)
    });
    futures::stream::iter(described).buffered(TABLES_ASKED_AT_ONCE).try_collect().await
}
