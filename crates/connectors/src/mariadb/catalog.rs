//! What `information_schema` says about tables, columns and keys.

use std::collections::BTreeMap;

use lexicon::{Digest, Result};
use scope::{Reference, SourceColumn, SourceTable};
use sqlx::mysql::MySqlConnection;

use super::{texts, types};
use crate::columns::Otherwise;

/// One column, with what only a target needs to know.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type in the words of the database, `int(11) unsigned`.
    pub(super) declared: String,
    /// Its first word, `int`.
    pub(super) base: String,
    pub(super) unsigned: bool,
    pub(super) nullable: bool,
    pub(super) default: Option<String>,
    pub(super) otherwise: Otherwise,
    /// Characters, or bytes for binary types.
    pub(super) length: Option<u64>,
    pub(super) precision: Option<u32>,
    pub(super) scale: Option<u32>,
    /// Digits of a second's fraction.
    pub(super) fraction: Option<u32>,
    pub(super) charset: Option<String>,
    pub(super) collation: Option<String>,
}

/// One table of the database.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Empty for a view.
    pub(super) engine: String,
    /// Of a view: what it asks for; empty if this account is not shown that.
    pub(super) definition: Option<String>,
    pub(super) columns: Vec<Column>,
}

impl Table {
    /// Whether the engine keeps old versions of rows, which one moment and one transaction need.
    pub(super) fn keeps_versions(&self) -> bool {
        self.engine.eq_ignore_ascii_case("innodb")
    }
}

const COLUMNS: &str = "SELECT COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, \
       CAST(CHARACTER_MAXIMUM_LENGTH AS CHAR), CAST(NUMERIC_PRECISION AS CHAR), CAST(NUMERIC_SCALE AS CHAR), \
       CAST(DATETIME_PRECISION AS CHAR), CHARACTER_SET_NAME, COLLATION_NAME \
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";

const TABLE: &str = "SELECT TABLE_NAME, COALESCE(ENGINE, ''), TABLE_TYPE FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";

// Not beside the table's line: joined, the server would open every view for each.
const VIEW: &str = "SELECT VIEW_DEFINITION FROM information_schema.VIEWS \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";

/// The table of that name, if there is one.
pub(super) async fn table(session: &mut MySqlConnection, name: &str) -> Result<Option<Table>> {
    let doing = "listing columns";
    let Some(row) = texts(session, doing, TABLE, &[name]).await?.into_iter().next() else { return Ok(None) };
    let mut row = row.into_iter().skip(1).map(Option::unwrap_or_default);
    let (engine, form) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
    let columns = texts(session, doing, COLUMNS, &[name]).await?.into_iter().map(column).collect();
    let definition = if form.contains("VIEW") {
        let told = texts(session, doing, VIEW, &[name]).await?;
        Some(told.into_iter().flatten().flatten().next().unwrap_or_default())
    } else {
        None
    };
    Ok(Some(Table { engine, definition, columns }))
}

fn column(row: Vec<Option<String>>) -> Column {
    let mut row = row.into_iter();
    let mut next = || row.next().flatten();
    let (name, declared) = (next().unwrap_or_default(), next().unwrap_or_default());
    let (base, nullable, default, extra) = (next().unwrap_or_default(), next(), next(), next().unwrap_or_default());
    let extra = extra.to_ascii_lowercase();
    let mut number = || next().and_then(|text| text.parse::<u64>().ok());
    let (length, precision, scale, fraction) = (number(), number(), number(), number());
    let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
    // MariaDB says NULL in words where MySQL says nothing.
    let default = default.filter(|text| !text.eq_ignore_ascii_case("null"));
    // "DEFAULT_GENERATED" is MySQL's word for a default that is an expression.
    let computed = ["virtual", "stored", "persistent"].iter().any(|word| extra.contains(word));
    let otherwise = match &default {
        _ if computed => Otherwise::Computed,
        _ if extra.contains("auto_increment") => Otherwise::Numbered,
        Some(_) => Otherwise::Default,
        None => Otherwise::Null,
    };
    Column {
        unsigned: declared.to_ascii_lowercase().contains("unsigned"),
        base: base.to_ascii_lowercase(),
        nullable: nullable.as_deref() == Some("YES"),
        default,
        otherwise,
        length,
        precision: small(precision),
        scale: small(scale),
        fraction: small(fraction),
        charset: next(),
        collation: next(),
        name,
        declared,
    }
}

const KEY: &str = "SELECT COLUMN_NAME FROM information_schema.STATISTICS \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX";

const REFERENCES: &str = "SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME, \
       REFERENCED_TABLE_SCHEMA \
     FROM information_schema.KEY_COLUMN_USAGE \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND REFERENCED_TABLE_NAME IS NOT NULL \
     ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION";

/// A foreign key with its name and the other table's database.
#[derive(Clone, Debug)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) schema: String,
    pub(super) reference: Reference,
}

/// The foreign keys of a table.
pub(super) async fn foreign_keys(session: &mut MySqlConnection, table: &str) -> Result<Vec<ForeignKey>> {
    let mut found: BTreeMap<String, ForeignKey> = BTreeMap::new();
    for row in texts(session, "listing foreign keys", REFERENCES, &[table]).await? {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || row.next().unwrap_or_default();
        let (name, column, other, other_column, schema) = (next(), next(), next(), next(), next());
        let key = found.entry(name.clone()).or_insert_with(|| ForeignKey {
            name,
            schema,
            reference: Reference { columns: Vec::new(), table: other, other_columns: Vec::new() },
        });
        key.reference.columns.push(column);
        key.reference.other_columns.push(other_column);
    }
    Ok(found.into_values().collect())
}

/// One table as drafts and digests see it.
pub(super) async fn describe(session: &mut MySqlConnection, name: &str, found: &Table) -> Result<SourceTable> {
    let key = texts(session, "listing keys", KEY, &[name]).await?;
    let references = foreign_keys(session, name).await?.into_iter().map(|key| key.reference).collect();
    Ok(SourceTable {
        name: name.to_owned(),
        columns: found
            .columns
            .iter()
            .map(|column| SourceColumn {
                name: column.name.clone(),
                declared: column.declared.clone(),
                kind: types::likely_kind(column),
                nullable: column.nullable,
            })
            .collect(),
        primary_key: key.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect(),
        references,
        definition: found.definition.as_ref().map(|text| Digest::of(text.as_bytes())),
        rows: None,
    })
}

const NAMES: &str = "SELECT TABLE_NAME, CAST(TABLE_ROWS AS CHAR) FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW') ORDER BY TABLE_NAME";

/// Every table and view of the database. The number of rows is the engine's estimate.
pub(super) async fn describe_all(session: &mut MySqlConnection) -> Result<Vec<SourceTable>> {
    let mut tables = Vec::new();
    for row in texts(session, "listing tables", NAMES, &[]).await? {
        let mut row = row.into_iter();
        let (name, rows) = (row.next().flatten().unwrap_or_default(), row.next().flatten());
        if let Some(found) = table(session, &name).await? {
            let mut described = describe(session, &name, &found).await?;
            described.rows = rows.and_then(|rows| rows.parse().ok());
            tables.push(described);
        }
    }
    Ok(tables)
}
