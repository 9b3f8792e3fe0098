//! What a cut extraction need not do again: tables that are wholly on the shelf, when the old system stands still.

use std::collections::BTreeMap;

use lexicon::{Code, ConsignmentId, Digest, Fault, MigrationId, Result, Retry};
use procedure::{ExtractMeasure, ManifestParcel};
use serde::{Deserialize, Serialize};

use crate::Errand;
use crate::documents::StoredDocuments;

/// One table that an attempt has stored to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// Rows in the table and in scope, when it was read.
    pub counts: (u64, u64),
    pub parcels: Vec<ManifestParcel>,
    /// S.
    pub root: Digest,
    pub transforms: BTreeMap<String, u64>,
    /// What a rehearsal measured of it.
    #[serde(default)]
    pub measured: Option<ExtractMeasure>,
}

/// What is noted, one line after the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The source's schema and the scope: under others nothing is kept.
    Under(Digest, Digest),
    Table(String, Stored),
    Documents(String, StoredDocuments),
}

/// How many tables of a round this device has stored to their end.
///
/// # Errors
/// A fault or an alarm of the home.
pub fn stored_tables(desk: &desk::Desk, migration: MigrationId, consignment: ConsignmentId) -> Result<usize> {
    let lines: Vec<Line> = desk.home().progress(desk::Round { migration, consignment })?;
    Ok(lines.iter().filter(|line| matches!(line, Line::Table(..))).count())
}

/// The stored tables of a round, on this device.
pub(crate) struct Resume<'a> {
    errand: &'a Errand<'a>,
    tables: BTreeMap<String, Stored>,
    documents: BTreeMap<String, StoredDocuments>,
}

impl<'a> Resume<'a> {
    /// What earlier attempts stored. Nothing of it counts when the source is written to: tables of two moments do not
    /// belong together.
    pub(crate) fn open(errand: &'a Errand<'a>, live: bool, (schema, scope): (Digest, Digest)) -> Result<Self> {
        let (home, round) = (errand.desk.home(), errand.round());
        let mut kept: Vec<Line> = if live { Vec::new() } else { home.progress(round)? };
        if !matches!(kept.first(), Some(Line::Under(of, under)) if (*of, *under) == (schema, scope)) {
            kept = vec![Line::Under(schema, scope)];
        }
        home.keep_progress(round, &kept).map_err(|_| unnoted())?;
        let mut resume = Self { errand, tables: BTreeMap::new(), documents: BTreeMap::new() };
        for line in kept {
            match line {
                Line::Under(..) => {}
                Line::Table(name, stored) => drop(resume.tables.insert(name, stored)),
                Line::Documents(name, stored) => drop(resume.documents.insert(name, stored)),
            }
        }
        Ok(resume)
    }

    /// A table that is stored, if its counts are still the same.
    pub(crate) fn table(&self, name: &str, counts: (u64, u64)) -> Option<&Stored> {
        self.tables.get(name).filter(|stored| stored.counts == counts)
    }

    /// A folder of documents that is stored.
    pub(crate) fn documents(&self, name: &str) -> Option<&StoredDocuments> {
        self.documents.get(name)
    }

    /// The moment, with the tables that an earlier attempt had read of the source that stands still.
    pub(crate) fn told(moment: String, attempt: u32, parcels: &[&ManifestParcel]) -> String {
        let mut earlier: Vec<&str> =
            parcels.iter().filter(|parcel| parcel.attempt != attempt).map(|parcel| parcel.table.as_str()).collect();
        earlier.dedup();
        if earlier.is_empty() {
            moment
        } else {
            format!(
                "{moment}; stored by an earlier attempt and read again with the same fingerprint: {}",
                earlier.join(", ")
            )
        }
    }

    /// Notes a table that is stored to its end.
    pub(crate) fn store(&self, name: &str, stored: Stored) -> Result<()> {
        self.note(&Line::Table(name.to_owned(), stored))
    }

    /// Notes a folder of documents that is stored to its end.
    pub(crate) fn store_documents(&self, name: &str, stored: StoredDocuments) -> Result<()> {
        self.note(&Line::Documents(name.to_owned(), stored))
    }

    fn note(&self, line: &Line) -> Result<()> {
        self.errand.desk.home().add_progress(self.errand.round(), line).map_err(|_| unnoted().into())
    }
}

fn unnoted() -> Fault {
    Fault::new(Code(614), Retry::Later, "how far the extraction came cannot be noted on this device")
}
