//! What may leave a laboratory, and the proof that it is what arrived: the scope file, its predicates and transforms,
//! the only way to a [`ScopedBatch`], and the fingerprint of a table.
//!
//! Everything here is a pure function of its arguments: no clock, no disk, no network, no waiting.
//!
//! A batch that has not passed [`Scope::admit`] cannot be sealed, because it cannot become a [`ScopedBatch`]:
//!
//! ```compile_fail
//! fn smuggle(raw: arrow_array::RecordBatch) -> scope::ScopedBatch {
//!     scope::ScopedBatch(raw)
//! }
//! ```
//!
//! ```compile_fail
//! fn smuggle(raw: arrow_array::RecordBatch) -> scope::ScopedBatch {
//!     scope::ScopedBatch::from(raw)
//! }
//! ```
//!
//! The same through the door:
//!
//! ```
//! use scope::{Rows, Scope, ScopedBatch, Tally};
//! fn admitted(scope: &Scope, raw: &arrow_array::RecordBatch) -> lexicon::Result<ScopedBatch> {
//!     scope.admit("patient", raw, Rows::AlreadyFiltered, &mut Tally::default())
//! }
//! ```

mod admit;
mod calendar;
mod charset;
mod declared;
mod dialect;
mod document;
mod documents;
mod draft;
mod file;
mod fingerprint;
mod inspect;
mod kind;
mod listed;
mod lookups;
mod nir;
mod persons;
mod predicate;
mod references;
mod report;
mod row;
mod rules;
mod sample;
mod select;
mod sensitive;
mod source;
mod statements;
mod tally;
#[cfg(test)]
mod tests;
mod transform;
mod trouble;
mod value;

pub use admit::{Rows, ScopedBatch};
pub use declared::{Declared, Marks, declared, marked_otherwise, marks};
pub use dialect::Dialect;
pub use document::{
    CarriedDocument, DocumentKind, DocumentName, FoundDocument, HEAD_BYTES, OWN_FILES, ScopedDocument, Unfit,
};
pub use documents::{DOCUMENTS_SENTENCE, DocumentsScope, IndexLine, Others};
pub use draft::{Draft, draft};
pub use file::{Charset, Scope, TableScope, Take, Trim};
pub use fingerprint::{Bucket, FingerprintKeys, Fingerprinter, RowDigest, TableFingerprint, row_digests};
pub use inspect::{ColumnFindings, Inspector, TableFindings};
pub use kind::Kind;
pub use listed::{Listed, Listing};
pub use lookups::Lookups;
pub use predicate::Predicate;
pub use references::{Followed, TableReference};
pub use report::{DocumentCount, Report, ReportDocuments, ReportTable};
pub use sample::{Sample, Sampling, WHOLE_ROWS_MAX};
pub use select::SelectSql;
pub use sensitive::{Sensitive, sensitive};
pub use source::{Reference, SourceColumn, SourceTable};
pub use statements::{Account, MARKER_TABLE, grants, target_ddl};
pub use tally::{ColumnTally, TableTally, Tally};
pub use trouble::WITHOUT_IMAGE;
pub use value::{is_decimal, is_integer, parse_float};
