//! The scope file that fits the made laboratory, and the new system that it moves to.

use std::path::Path;

use lexicon::{Code, Refusal, Result};
use rusqlite::Connection;

use crate::laboratory::sqlite;
use crate::patient::PATIENT;
use crate::request::{PRESCRIBER, REQUEST, RESULT};

const MARKER: &str = "\
CREATE TABLE lazaret_load (
  consignment VARCHAR(32) NOT NULL,
  target_table VARCHAR(128) NOT NULL,
  attempt BIGINT NOT NULL,
  row_count BIGINT NOT NULL,
  PRIMARY KEY (consignment, target_table)
);
";

/// The scope file: identity, contact, prescriber, requests and results of patients seen since 2018. It leaves
/// credentials, comments, spouse data, insurance, clinical notes, staff and bills.
pub fn scope_toml() -> String {
    let head = "# What moves from the old laboratory system to the new one.\n\
                # Tables without a section here (staff_user, bill) stay behind as a whole.\n";
    [head, &PRESCRIBER.scope_toml(), &PATIENT.scope_toml(), &REQUEST.scope_toml(), &RESULT.scope_toml()].concat()
}

/// The new system's tables as `SQLite` DDL: `import_*` with what the scope takes, and the marker table that a load
/// writes.
pub fn target_ddl() -> String {
    [&PRESCRIBER.target_ddl(), &PATIENT.target_ddl(), &REQUEST.target_ddl(), &RESULT.target_ddl(), MARKER].concat()
}

/// Makes the empty new system as a new `SQLite` file at `path`.
///
/// # Errors
/// A refusal when there is a file at `path` already; a fault when `SQLite` fails.
pub fn new_system(path: &Path) -> Result<()> {
    if path.exists() {
        return Err(Refusal::new(
            Code(1110),
            "there is a file already where the new system would be made",
            "Name a file that does not exist.",
        )
        .into());
    }
    let connection = Connection::open(path).map_err(sqlite)?;
    connection.execute_batch(&target_ddl()).map_err(sqlite)?;
    connection.close().map_err(|(_, error)| sqlite(error))
}
