//! The scope file that fits the made laboratory, and the new system that it moves to.

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
