//! Makes the old system.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use lexicon::{Code, Digest, Fault, Hasher, Refusal, Result, Retry, Trouble};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Statement, params_from_iter};
use serde::{Deserialize, Serialize};

use crate::dates::Calendar;
use crate::dice::Dice;
use crate::names;
use crate::nir::Nirs;
use crate::patient::{PATIENT, Person, SCOPE_FROM};
use crate::request::{BILL, Outcome, PRESCRIBER, Prescriber, REQUEST, RESULT, Request, STAFF, Staff};
use crate::sentinels::{Planter, Sentinel};
use crate::table::Table;

/// How many patients pass between two calls of `progress`.
const PROGRESS_EVERY: u64 = 1_000;

/// What `PRAGMA application_id` says of a laboratory that was made here: "LZSY".
const APPLICATION_ID: i32 = 0x4c5a_5359;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// What all of it was drawn from.
    pub seed: u64,
    /// Rows of each table.
    pub tables: BTreeMap<String, Rows>,
    /// What was planted, and where.
    pub sentinels: Vec<Sentinel>,
}

/// Rows of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// All of them.
    pub all: u64,
    /// Those that [`scope_toml`](crate::scope_toml) moves.
    pub in_scope: u64,
}

impl Made {
    /// Rows of one table; none of an unknown one.
    pub fn rows(&self, table: &str) -> Rows {
        self.tables.get(table).copied().unwrap_or_default()
    }
}

/// Makes the old system of a laboratory as a new `SQLite` file at `path`, entirely from `seed`: `patients` patients,
/// about 1.6 requests each and 4 results per request, prescribers, staff, bills. Equal arguments give equal rows
/// ([`digest`]). `progress` hears the number of patients made, every 1,000 and at the end. Costs about 60 microseconds
/// and 1.25 kB of file per patient; memory does not grow with them beyond the months in which people are born.
///
/// # Errors
/// A refusal when there is a file at `path` already; a fault when `SQLite` fails, and then the file is unfinished.
pub fn laboratory(path: &Path, seed: u64, patients: u64, progress: &mut dyn FnMut(u64)) -> Result<Made> {
    if path.exists() {
        return Err(Refusal::new(
            Code(1102),
            "there is a file already where the laboratory would be made",
            "Name a file that does not exist.",
        )
        .into());
    }
    let mut connection = Connection::open(path).map_err(sqlite)?;
    // A file that cannot be used before it is finished needs neither journal nor fsync.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;")
        .map_err(sqlite)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    let transaction = connection.transaction().map_err(sqlite)?;
    let ddl = [PRESCRIBER.ddl(), PATIENT.ddl(), REQUEST.ddl(), RESULT.ddl(), STAFF.ddl(), BILL.ddl()].concat();
    transaction.execute_batch(&ddl).map_err(sqlite)?;
    let made = fill(&transaction, seed, patients, progress)?;
    transaction
        .execute_batch(
            "CREATE INDEX request_patient ON request (patient_id); CREATE INDEX result_request ON result (request_id);",
        )
        .map_err(sqlite)?;
    transaction.commit().map_err(sqlite)?;
    connection.close().map_err(|(_, error)| sqlite(error))?;
    progress(patients);
    Ok(made)
}

fn fill(connection: &Connection, seed: u64, patients: u64, progress: &mut dyn FnMut(u64)) -> Result<Made> {
    let calendar = Calendar::new()?;
    let scope_from = calendar.number(SCOPE_FROM.0, SCOPE_FROM.1, SCOPE_FROM.2);
    let prescribers = (patients / 60).saturating_add(20);
    let staff = (patients / 1_000).saturating_add(40);
    let mut sentinels = Vec::new();
    let mut nirs = Nirs::default();
    let requests = patients.saturating_mul(8) / 5;
    let mut prescriber_rows = Writer::new(connection, &PRESCRIBER, seed, prescribers)?;
    let mut staff_rows = Writer::new(connection, &STAFF, seed, staff)?;
    let mut patient_rows = Writer::new(connection, &PATIENT, seed, patients)?;
    let mut request_rows = Writer::new(connection, &REQUEST, seed, requests)?;
    let mut result_rows = Writer::new(connection, &RESULT, seed, requests.saturating_mul(4))?;
    let mut bill_rows = Writer::new(connection, &BILL, seed, requests.saturating_mul(3) / 5)?;
    for id in 1..=prescribers {
        let family = names::family(&mut Dice::new(seed, "physician", id));
        prescriber_rows.write(&Prescriber { id, family }, true, &mut sentinels)?;
    }
    for id in 1..=staff {
        let family = names::family(&mut Dice::new(seed, "colleague", id));
        staff_rows.write(&Staff { id, family }, false, &mut sentinels)?;
    }
    for id in 1..=patients {
        let person = Person::draw(seed, id, prescribers, &calendar, &mut nirs);
        let moves = person.last_visit.is_some_and(|visit| visit >= scope_from);
        patient_rows.write(&person, moves, &mut sentinels)?;
        let mut dice = Dice::new(seed, "visits", id);
        for request in visits(&mut dice, &person, prescribers, &calendar, request_rows.rows.all) {
            request_rows.write(&request, moves, &mut sentinels)?;
            for _ in 0..request.results {
                let outcome = Outcome::draw(seed, result_rows.rows.all.saturating_add(1), &request);
                result_rows.write(&outcome, moves, &mut sentinels)?;
            }
            if dice.chance(60_000) {
                bill_rows.write(&request, false, &mut sentinels)?;
            }
        }
        if id.is_multiple_of(PROGRESS_EVERY) && id < patients {
            progress(id);
        }
    }
    let tables = [
        prescriber_rows.finish(),
        staff_rows.finish(),
        patient_rows.finish(),
        request_rows.finish(),
        result_rows.finish(),
        bill_rows.finish(),
    ];
    Ok(Made { seed, tables: tables.into_iter().collect(), sentinels })
}

/// The visits of one person, the last one on the day of the last visit; none of a person who never came.
fn visits(dice: &mut Dice, person: &Person, prescribers: u64, calendar: &Calendar, made: u64) -> Vec<Request> {
    let Some(last) = person.last_visit else { return Vec::new() };
    let count = dice.weighted(&[(1, 55), (2, 30), (3, 15)]);
    let mut days: Vec<u64> = (1..count).map(|_| calendar.between(dice, person.created, last)).collect();
    days.push(last);
    days.sort_unstable();
    let requests = days.iter().zip(made.saturating_add(1)..).map(|(day, id)| Request {
        id,
        patient: person.id,
        nir: person.nir.clone(),
        prescriber: if dice.chance(80_000) { person.prescriber } else { dice.between(1, prescribers) },
        day: calendar.text(*day),
        results: dice.between(2, 6),
    });
    requests.collect()
}

/// Writes the rows of one table.
struct Writer<'a, R: 'static> {
    table: &'static Table<R>,
    statement: Statement<'a>,
    seed: u64,
    planter: Planter,
    rows: Rows,
}

impl<'a, R> Writer<'a, R> {
    fn new(connection: &'a Connection, table: &'static Table<R>, seed: u64, expected: u64) -> Result<Self> {
        let statement = connection.prepare(&table.insert()).map_err(sqlite)?;
        Ok(Self { table, statement, seed, planter: Planter::new(seed, expected), rows: Rows::default() })
    }

    fn write(&mut self, row: &R, moves: bool, sentinels: &mut Vec<Sentinel>) -> Result<()> {
        self.rows.all = self.rows.all.saturating_add(1);
        self.rows.in_scope = self.rows.in_scope.saturating_add(u64::from(moves));
        let mut dice = Dice::new(self.seed, self.table.name, self.rows.all);
        let (table, planter) = (self.table, &mut self.planter);
        let values = table.columns().map(|column| {
            let filled = dice.chance(column.filled);
            let value = if filled { (column.make)(row, &mut dice) } else { rusqlite::types::Value::Null };
            planter.plant(table, column, moves, value, sentinels)
        });
        self.statement.execute(params_from_iter(values)).map_err(sqlite)?;
        Ok(())
    }

    fn finish(self) -> (String, Rows) {
        (self.table.name.to_owned(), self.rows)
    }
}

/// Whether the file is a database that does not say of itself that it was made here. A word, not a proof: whoever can
/// write a file can mark it. What is not there or begins as no database does is not foreign: whoever opens it says what it
/// is. A file that is too short for a header is foreign: its rows may stand in the log beside it.
///
/// The file's own header is read (section 1.3 of `SQLite`'s "Database File Format"), past every lock: that another program
/// holds the file, whoever opens it says too.
pub fn is_foreign(path: &Path) -> bool {
    let mut header = [0; 72];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => header.starts_with(b"SQLite format 3\0") && !header.ends_with(&APPLICATION_ID.to_be_bytes()),
        Err(error) => error.kind() == ErrorKind::UnexpectedEof,
    }
}

/// The digest of every row of every table of a made laboratory, in the order of the rows: equal for equal content,
/// whatever the pages of the file look like.
///
/// # Errors
/// A fault when the file is not there or `SQLite` cannot read it.
pub fn digest(path: &Path) -> Result<Digest> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite)?;
    let mut hasher = Hasher::default();
    for table in ["prescriber", "patient", "request", "result", "staff_user", "bill"] {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")).map_err(sqlite)?;
        hasher.update(table.as_bytes());
        let columns = statement.column_count();
        let mut rows = statement.query([]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            for column in 0..columns {
                match row.get_ref(column).map_err(sqlite)? {
                    ValueRef::Null => hasher.update(b"n"),
                    ValueRef::Integer(value) => hasher.update(&[&b"i"[..], &value.to_le_bytes()].concat()),
                    ValueRef::Real(value) => hasher.update(&[&b"r"[..], &value.to_bits().to_le_bytes()].concat()),
                    ValueRef::Text(value) | ValueRef::Blob(value) => {
                        hasher.update(
                            &[&b"t"[..], &u64::try_from(value.len()).unwrap_or(0).to_le_bytes(), value].concat(),
                        );
                    }
                }
            }
        }
    }
    Ok(hasher.finish())
}

/// `SQLite`'s own message can hold a value, so only its kind is kept.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(crate) fn sqlite(error: rusqlite::Error) -> Trouble {
    let kind = error.sqlite_error_code().map_or_else(|| "no SQLite code".to_owned(), |code| format!("{code:?}"));
    Fault::new(Code(1103), Retry::Never, format!("SQLite could not make or read the laboratory ({kind})")).into()
}

#[cfg(test)]
#[path = "laboratory_tests.rs"]
mod tests;
