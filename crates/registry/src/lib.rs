//! What the server knows, as rows of one SQLite file. Rows only: nothing is decided here.
//!
//! Everything that becomes part of the journal goes through [`Registry::record`]: leaf, tree head, fact and projection
//! are one transaction. Its [`Receipt`](journal::Receipt) is what an irreversible call elsewhere asks for.

mod admissions;
mod alone;
mod compare;
mod marks;
mod parcels;
mod record;
mod rows;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use journal::Tree;
use lexicon::{Alarm, Code, Fault, Result, Retry};
use rusqlite::{Connection, ffi};

pub use compare::Differences;
pub use marks::{Mark, Marked, Marking};
pub use parcels::Look;
pub use record::{Fresh, NewShare, Recording};
pub use rows::{FactRow, MigrationRow, People};

/// What makes a registry, one step a version.
const SCHEMA: [&str; 4] = [
    include_str!("schema/0001_first.sql"),
    include_str!("schema/0002_marks.sql"),
    include_str!("schema/0003_absent.sql"),
    include_str!("schema/0004_shelf.sql"),
];

/// The open file, one writer.
pub struct Registry {
    inner: Mutex<Inner>,
    /// Beside the file: what it could not take.
    notes: PathBuf,
    damage: Option<Alarm>,
    /// Locked as long as this process is the data folder's one server.
    _held: Option<File>,
}

struct Inner {
    connection: Connection,
    /// Over the leaves as they are.
    tree: Tree,
}

impl Registry {
    /// Opens the file, makes its tables when it is new, and compares the tree of its leaves with the stored head. When
    /// they do not agree, or lie in a part of the file that is lost, the registry opens all the same, for what must go on:
    /// [`Self::damage`] says why it takes no leaf.
    ///
    /// # Errors
    /// A fault when the file cannot be opened. Cost: reads every leaf.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = connect(path)?;
        let (tree, damage) = record::tree(&connection)?;
        let inner = Mutex::new(Inner { connection, tree });
        Ok(Self { inner, notes: path.with_extension("notes"), damage, _held: None })
    }

    /// Why the journal takes no leaf, if so.
    pub fn damage(&self) -> Option<&Alarm> {
        self.damage.as_ref()
    }

    fn sound(&self) -> Result<()> {
        self.damage.clone().map_or(Ok(()), |alarm| Err(alarm.into()))
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>> {
        self.inner
            .lock()
            .map_err(|_| Fault::new(Code(751), Retry::Never, "the registry was left in the middle of a write").into())
    }
}

/// An open file with all its tables.
fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path).map_err(broken)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
             PRAGMA busy_timeout = 5000;",
        )
        .map_err(broken)?;
    let first = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'head')";
    let first: u16 = connection.query_row(first, [], |row| row.get(0)).map_err(broken)?;
    let version: u16 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(broken)?;
    for (step, schema) in (1_u16..).zip(SCHEMA).skip(usize::from(version.max(first))) {
        let batch = format!("BEGIN IMMEDIATE; {schema} PRAGMA user_version = {step}; COMMIT;");
        connection.execute_batch(&batch).map_err(broken)?;
    }
    Ok(connection)
}

/// The environment failed under the registry. SQLite's own message names no values of ours, but it is left out anyway.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn broken(error: rusqlite::Error) -> lexicon::Trouble {
    let (retry, what) = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => (Retry::Later, "the disk is full"),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            (Retry::Now, "another process holds it")
        }
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::PermissionDenied) => {
            (Retry::Never, "it cannot be opened")
        }
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            (Retry::Never, "the file is damaged")
        }
        _ => (Retry::Never, "SQLite refused"),
    };
    Fault::new(Code(750), retry, format!("the registry cannot be read or written: {what}")).into()
}

/// What was asked of a row; none where it lies in a part of the file that is lost, as behind a bad sector, which keeps
/// nobody from what the rest says. Any other trouble may be over at the next try.
fn intact<T>(asked: rusqlite::Result<T>) -> Result<Option<T>> {
    match asked {
        Ok(told) => Ok(Some(told)),
        Err(error) if is_lost(&error) => Ok(None),
        Err(error) => Err(broken(error)),
    }
}

fn is_lost(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    let lost = |failure: &ffi::Error| {
        matches!(failure.code, rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            || matches!(
                failure.extended_code,
                ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS
            )
    };
    // A page that SQLite still takes for one may hold values that its table does not.
    let strange = matches!(error, InvalidColumnType(..) | IntegralValueOutOfRange(..) | Utf8Error(..));
    strange || error.sqlite_error().is_some_and(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_lost_is_done_without() {
        let ask = |code| intact::<()>(Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)));
        for lost in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB, ffi::SQLITE_IOERR_READ] {
            assert_eq!(ask(lost).unwrap(), None, "{lost}");
        }
        for passing in
            [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_FULL, ffi::SQLITE_CANTOPEN, ffi::SQLITE_IOERR_SHMSIZE]
        {
            assert_eq!(ask(passing).unwrap_err().code(), Code(750), "{passing}");
        }
    }
}
