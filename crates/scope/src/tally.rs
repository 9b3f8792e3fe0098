use std::collections::BTreeMap;

use lexicon::Trouble;
use serde::{Deserialize, Serialize};

use crate::trouble;

/// What admission did, in counts: each transform that changed a value is here, and nothing else changed one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// By source table.
    pub tables: BTreeMap<String, TableTally>,
}

/// The counts of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTally {
    /// Rows that came from the source.
    pub rows_in: u64,
    /// Rows that passed.
    pub rows_admitted: u64,
    /// By source column; only columns with a transform.
    pub columns: BTreeMap<String, ColumnTally>,
    /// Values that have no image under a transform, by column and reason: over all batches that were refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, BTreeMap<String, u64>>,
}

/// How many values of one column each transform changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnTally {
    /// Decoded from an old character set, where that changed a byte.
    pub decoded: u64,
    /// Lost blanks at an end.
    pub trimmed: u64,
    /// Became null.
    pub nulled: u64,
    /// Became another code.
    pub mapped: u64,
    /// Became another type.
    pub cast: u64,
    /// Local times that happened twice, taken as the first of the two. Among `cast`.
    pub ambiguous: u64,
    /// Local times that never happened, moved on by the clock's jump. Among `cast`.
    pub nonexistent: u64,
}

impl Tally {
    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.tables {
            let ours = self.tables.entry(name.clone()).or_default();
            ours.rows_in = ours.rows_in.saturating_add(theirs.rows_in);
            ours.rows_admitted = ours.rows_admitted.saturating_add(theirs.rows_admitted);
            for (column, counts) in &theirs.columns {
                ours.columns.entry(column.clone()).or_default().merge(counts);
            }
            for (column, reasons) in &theirs.refused {
                for (why, count) in reasons {
                    ours.refuse(column, why, *count);
                }
            }
        }
    }

    /// Counts what has no image in a batch, and refuses the batch.
    pub(crate) fn refuse(&mut self, table: &str, refused: &[(String, &'static str, u64)]) -> Trouble {
        let here = self.tables.entry(table.to_owned()).or_default();
        for (column, why, count) in refused {
            here.refuse(column, why, *count);
        }
        trouble::values(table, refused)
    }
}

impl TableTally {
    /// The refusal of everything in the table that had no image, over all its batches.
    pub fn refusal(&self, table: &str) -> Option<Trouble> {
        let all = self
            .refused
            .iter()
            .flat_map(|(column, reasons)| reasons.iter().map(|(why, count)| (column.clone(), why.as_str(), *count)));
        let all: Vec<_> = all.collect();
        if all.is_empty() { None } else { Some(trouble::values(table, &all)) }
    }

    fn refuse(&mut self, column: &str, why: &str, count: u64) {
        let known = self.refused.entry(column.to_owned()).or_default().entry(why.to_owned()).or_default();
        *known = known.saturating_add(count);
    }
}

impl ColumnTally {
    fn merge(&mut self, other: &Self) {
        self.decoded = self.decoded.saturating_add(other.decoded);
        self.trimmed = self.trimmed.saturating_add(other.trimmed);
        self.nulled = self.nulled.saturating_add(other.nulled);
        self.mapped = self.mapped.saturating_add(other.mapped);
        self.cast = self.cast.saturating_add(other.cast);
        self.ambiguous = self.ambiguous.saturating_add(other.ambiguous);
        self.nonexistent = self.nonexistent.saturating_add(other.nonexistent);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.merge(other);
    }
}
