//! What the server knows, as rows of one SQLite file. Rows only: nothing is decided here.
//!
//! Everything that becomes part of the journal goes through [`Registry::record`]: leaf, tree head, fact and projection
//! are one transaction. Its [`Receipt`] is what an irreversible call elsewhere asks for.

mod compare;
mod parcels;
mod record;
mod rows;

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use journal::Tree;
use lexicon::{Code, Fault, Result, Retry};
use rusqlite::Connection;

pub use record::{Fresh, Recording};
pub use rows::{FactRow, MigrationRow};

/// The open file, one writer.
pub struct Registry {
    inner: Mutex<Inner>,
}

struct Inner {
    connection: Connection,
    tree: Tree,
}

impl Registry {
    /// Opens the file, makes its tables when it is new, and compares the tree of its leaves with the stored head.
    ///
    /// # Errors
    /// A fault when the file cannot be opened; an alarm when leaves and head do not agree. Cost: reads every leaf's hash.
    pub fn open(path: &Path) -> Result<Self> {
        Self::over(Connection::open(path).map_err(broken)?)
    }

    fn over(connection: Connection) -> Result<Self> {
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
                 PRAGMA busy_timeout = 5000;",
            )
            .map_err(broken)?;
        let made: bool = connection
            .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'head')", [], |row| row.get(0))
            .map_err(broken)?;
        if !made {
            let schema = include_str!("schema/0001_first.sql");
            connection.execute_batch(&format!("BEGIN IMMEDIATE; {schema} COMMIT;")).map_err(broken)?;
        }
        let tree = record::tree(&connection)?;
        Ok(Self { inner: Mutex::new(Inner { connection, tree }) })
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>> {
        self.inner
            .lock()
            .map_err(|_| Fault::new(Code(751), Retry::Never, "the registry was left in the middle of a write").into())
    }
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
