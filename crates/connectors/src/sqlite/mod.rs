//! `SQLite`: a file. Its engine is inside this program, so there is no server whose log could keep a row.

mod cells;
mod sink;
mod source;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lexicon::{Digest, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use scope::{Kind, Reference, SourceColumn, SourceTable};

use crate::at_fault::AtFault;
use crate::columns::Otherwise;
use crate::trouble;

#[cfg(feature = "parsers")]
pub(crate) use self::cells::valued;

const SYSTEM: &str = "SQLite";
/// How long to wait for a writer of the old system to finish its transaction.
const BUSY_SECONDS: u64 = 10;

/// One file, as a source or a target.
#[derive(Clone)]
pub(crate) struct Database {
    path: PathBuf,
    /// As a target.
    at_fault: AtFault,
    /// As a target: connections between two tables, for writing and for reading back. A new one parses the declaration
    /// of every table, which for thousands of tables is dearer than what is done with one.
    writing: Spare,
    reading: Spare,
}

/// Connections that nobody uses now.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Vec<Connection>>>);

impl Spare {
    fn all(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them, or a new one.
    fn take(&self, open: impl FnOnce() -> Result<Connection>) -> Result<Connection> {
        let spare = self.all().pop();
        spare.map_or_else(open, Ok)
    }

    fn give_back(&self, connection: Connection) {
        self.all().push(connection);
    }

    fn forget(&self) {
        self.all().clear();
    }
}

impl Database {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, at_fault: AtFault::default(), writing: Spare::default(), reading: Spare::default() }
    }

    /// The absolute path alone; `SQLite` has no account.
    fn identity_text(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// A new connection. Never creates the file.
    fn open(&self, write: bool) -> Result<Connection> {
        let mode = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let connection = Connection::open_with_flags(&self.path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|error| trouble::unreachable(&self.identity_text(), &unopened(&error)))?;
        connection.busy_timeout(Duration::from_secs(BUSY_SECONDS)).map_err(|error| failed("opening", &error))?;
        Ok(connection)
    }

    /// A new connection and the work on it, where waiting is allowed.
    async fn on_thread<T: Send + 'static>(
        &self,
        write: bool,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let database = self.clone();
        tokio::task::spawn_blocking(move || work(&mut database.open(write)?))
            .await
            .map_err(|_| trouble::gone("a thread that works on SQLite"))?
    }
}

fn unopened(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => "the file cannot be opened, or is not there".to_owned(),
        _ => format!("database code {}", code(error)),
    }
}

/// The engine's extended result code: the message may quote a trigger's words, the number cannot.
fn code(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(inner) => inner.extended_code.to_string(),
        None => "none".to_owned(),
    }
}

/// No space for the file or its journal, or for the index of its write-ahead log, which a reader makes too.
fn is_disk_full(error: &rusqlite::Error) -> bool {
    let found = error.sqlite_error().map(|error| error.extended_code);
    matches!(found, Some(rusqlite::ffi::SQLITE_FULL | rusqlite::ffi::SQLITE_IOERR_SHMSIZE))
}

fn failed(doing: &str, error: &rusqlite::Error) -> lexicon::Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            trouble::unreachable(SYSTEM, "another program holds the file")
        }
        Some(ErrorCode::NotADatabase) => trouble::unreachable(SYSTEM, "the file is not a SQLite database"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            trouble::not_granted(SYSTEM, doing)
        }
        Some(_) if is_disk_full(error) => trouble::disk_full(SYSTEM, doing, &code(error)),
        Some(ErrorCode::TooBig) => trouble::over_limit(SYSTEM, doing, &code(error)),
        _ => trouble::statement(SYSTEM, doing, &code(error)),
    }
}

/// What `SQLite` makes of a declared type: section 3.1 of its "Datatypes In `SQLite`".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    Blob,
    Integer,
    Numeric,
    Real,
    Text,
}

fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || declared.is_empty() {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// The kind that a declared type most likely means; any value of any other kind stops the read with its count.
fn likely_kind(declared: &str) -> Option<Kind> {
    let upper = declared.to_ascii_uppercase();
    let numbers = || {
        let (precision, scale) = upper.split_once('(')?.1.split_once(')')?.0.split_once(',')?;
        format!("decimal({},{})", precision.trim(), scale.trim()).parse().ok()
    };
    match upper.split('(').next().unwrap_or_default().trim() {
        "BOOL" | "BOOLEAN" => Some(Kind::Bool),
        "DATE" => Some(Kind::Date),
        "DATETIME" | "TIMESTAMP" => Some(Kind::Timestamp),
        "DECIMAL" | "NUMERIC" => numbers(),
        "TIME" => Some(Kind::Time),
        _ => match affinity(declared) {
            Affinity::Blob if upper.contains("BLOB") => Some(Kind::Bytes),
            Affinity::Integer => Some(Kind::Int64),
            Affinity::Real => Some(Kind::Float64),
            Affinity::Text => Some(Kind::Text),
            Affinity::Blob | Affinity::Numeric => None,
        },
    }
}

/// One column of a table, with what only a target needs to know.
struct Column {
    name: String,
    declared: String,
    not_null: bool,
    otherwise: Otherwise,
    key: u32,
}

/// The columns of a table or view in their order; none at all when there is no such table.
fn columns(connection: &Connection, table: &str) -> Result<Vec<Column>> {
    let doing = "listing columns";
    let mut statement = connection
        .prepare(r#"SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1)"#)
        .map_err(|error| failed(doing, &error))?;
    let rows = statement
        .query_map([table], |row| {
            Ok(Column {
                name: row.get(0)?,
                declared: row.get(1)?,
                not_null: row.get(2)?,
                key: row.get(4)?,
                otherwise: match (row.get::<_, u32>(5)? != 0, row.get(3)?) {
                    (true, _) => Otherwise::Computed,
                    (false, true) => Otherwise::Default,
                    (false, false) => Otherwise::Null,
                },
            })
        })
        .map_err(|error| failed(doing, &error))?;
    let mut columns: Vec<Column> = rows.collect::<rusqlite::Result<_>>().map_err(|error| failed(doing, &error))?;
    let whole_key = columns.iter().filter(|column| column.key > 0).count();
    for column in &mut columns {
        if whole_key == 1 && column.key == 1 && column.declared.eq_ignore_ascii_case("INTEGER") {
            column.otherwise = Otherwise::Numbered;
        }
    }
    Ok(columns)
}

fn references(connection: &Connection, table: &str) -> Result<Vec<Reference>> {
    let doing = "listing foreign keys";
    let mut statement = connection
        .prepare(r#"SELECT id, "table", "from", coalesce("to", '') FROM pragma_foreign_key_list(?1) ORDER BY id, seq"#)
        .map_err(|error| failed(doing, &error))?;
    let mut rows = statement.query([table]).map_err(|error| failed(doing, &error))?;
    let mut found: Vec<(i64, Reference)> = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(doing, &error))? {
        let read = || -> rusqlite::Result<(i64, String, String, String)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        };
        let (id, other, from, to) = read().map_err(|error| failed(doing, &error))?;
        match found.last_mut() {
            Some((last, reference)) if *last == id => {
                reference.columns.push(from);
                reference.other_columns.push(to);
            }
            _ => found.push((id, Reference { columns: vec![from], table: other, other_columns: vec![to] })),
        }
    }
    Ok(found.into_iter().map(|(_, reference)| reference).collect())
}

/// One table as drafts and digests see it, with its number of rows if `counted`.
fn describe_table(connection: &Connection, table: &str, counted: bool) -> Result<SourceTable> {
    let columns = columns(connection, table)?;
    let mut key: Vec<_> = columns.iter().filter(|column| column.key > 0).collect();
    key.sort_by_key(|column| column.key);
    let primary_key = key.into_iter().map(|column| column.name.clone()).collect();
    // A name that cannot be quoted is described all the same: a draft says so and goes on.
    let counted = counted && scope::Dialect::Sqlite.quote(table).is_ok();
    let rows = if counted { Some(count_rows(connection, table)?) } else { None };
    let columns = columns
        .into_iter()
        .map(|column| SourceColumn {
            kind: likely_kind(&column.declared),
            nullable: !column.not_null,
            name: column.name,
            declared: column.declared,
        })
        .collect();
    let (name, references) = (table.to_owned(), references(connection, table)?);
    Ok(SourceTable { name, columns, primary_key, references, definition: None, rows })
}

fn describe_all(connection: &Connection) -> Result<Vec<SourceTable>> {
    let doing = "listing tables";
    let found: Vec<(String, Option<String>)> = connection
        .prepare(
            "SELECT name, CASE type WHEN 'view' THEN sql END FROM sqlite_schema \
             WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1",
        )
        .and_then(|mut statement| statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(|error| failed(doing, &error))?;
    let described = |(name, definition): (String, Option<String>)| match definition {
        None => describe_table(connection, &name, true),
        Some(definition) => Ok(describe_view(connection, name, &definition)),
    };
    found.into_iter().map(described).collect()
}

/// One that reads what is not there any more is described too, without columns: a source is not refused for it.
fn describe_view(connection: &Connection, name: String, definition: &str) -> SourceTable {
    let definition = Some(Digest::of(definition.as_bytes()));
    let Ok(view) = describe_table(connection, &name, false) else {
        let (columns, primary_key, references) = (Vec::new(), Vec::new(), Vec::new());
        return SourceTable { name, columns, primary_key, references, definition, rows: None };
    };
    SourceTable { definition, ..view }
}

fn count_rows(connection: &Connection, table: &str) -> Result<u64> {
    let from = scope::Dialect::Sqlite.quote(table)?;
    count(connection, &format!("SELECT count(*) FROM {from}"))
}

fn count(connection: &Connection, sql: &str) -> Result<u64> {
    connection.query_row(sql, [], |row| natural(row, 0)).map_err(|error| failed("counting rows", &error))
}

/// A count out of a row.
fn natural(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(index)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, number))
}
