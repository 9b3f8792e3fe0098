//! What reads bytes from outside in this room, one by one and without a system behind it: for the fuzz targets, which
//! alone turn the feature on. The rows that come out stood in the caller's own bytes; no source is reached from here.

use arrow_array::RecordBatch;
use lexicon::Result;
use scope::TableScope;

use crate::Mark;

/// In how many ways the binary protocol of `MariaDB` carries a value.
pub const WIRES: usize = crate::mariadb::WIRES;

/// The bytes of each field of a record, and whether it stood in quotes.
pub type Fields = Vec<(Vec<u8>, bool)>;

/// The records of a separated file as they stood, header included.
///
/// # Errors
/// A refusal when it is no such file.
pub fn csv_fields(text: &[u8]) -> Result<Vec<Fields>> {
    crate::csv::fields(text)
}

/// The rows of a separated file, read as the kinds that a scope declares.
///
/// # Errors
/// A refusal when it is no such file, or holds values of other kinds.
pub fn csv_rows(text: &[u8], taken: &TableScope) -> Result<Vec<RecordBatch>> {
    crate::csv::rows(text, taken)
}

/// The rows of a binary COPY stream that came in these pieces; one column of every kind that the format has.
///
/// # Errors
/// A fault when it is malformed or cut; a refusal when it holds values of other kinds.
pub fn copied_rows<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<RecordBatch>> {
    crate::postgres::copied(pieces)
}

/// One value of the binary protocol in each of these columns' kinds; `wire` counts the types of that protocol.
///
/// # Errors
/// A refusal when a kind does not hold the value.
pub fn mariadb_value(wire: usize, value: Option<&[u8]>, taken: &TableScope) -> Result<Option<RecordBatch>> {
    crate::mariadb::valued(wire, value, taken)
}

/// One value of a file of `SQLite` in each of these columns' kinds; `class` counts the storage classes: NULL, INTEGER, REAL,
/// TEXT, BLOB. A number is in the first eight bytes.
///
/// # Errors
/// A refusal when a kind does not hold the value.
pub fn sqlite_value(class: u8, value: &[u8], taken: &TableScope) -> Result<Option<RecordBatch>> {
    crate::sqlite::valued(class, value, taken)
}

/// Who filled a folder of documents, as its marker says; none if these bytes are no marker.
pub fn marked(marker: &[u8]) -> Option<Mark> {
    crate::documents::marked(marker)
}

/// The marker that a load leaves in such a folder.
///
/// # Errors
/// A fault when it has no canonical form; a defect of ours.
pub fn marker_of(mark: Mark) -> Result<Vec<u8>> {
    crate::documents::marker_of(mark)
}
