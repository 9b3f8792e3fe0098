use serde::{Deserialize, Serialize};

/// Nulls in one column at the three points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nulls {
    /// As the manifest says.
    pub sealed: u64,
    /// In the bytes fetched.
    pub fetched: u64,
    /// In the target, read again.
    pub target: u64,
}

impl Nulls {
    /// Whether all three are one number.
    pub fn same(self) -> bool {
        self.sealed == self.fetched && self.fetched == self.target
    }
}

/// A reference between two tables, in names of the old system, and how many rows of it lead to no row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orphans {
    /// The table whose rows point.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table pointed to.
    pub other: String,
    /// Its columns, in the same order.
    pub other_columns: Vec<String>,
    /// Orphans among the rows in scope. None where they cannot be compared: a transform gives the columns other values in
    /// the target, or only a sample was taken.
    pub source: Option<u64>,
    /// Orphans in the target; none in a manifest.
    pub target: Option<u64>,
}

impl Orphans {
    /// Whether both were counted and are not one number.
    pub fn differ(&self) -> bool {
        self.source.zip(self.target).is_some_and(|(source, target)| source != target)
    }

    /// Whether nothing is to be told of it: both were counted, and there is none.
    pub fn none(&self) -> bool {
        (self.source, self.target) == (Some(0), Some(0))
    }

    /// The reference, as people read it.
    pub fn reference(&self) -> String {
        let (columns, others) = (self.columns.join(", "), self.other_columns.join(", "));
        format!("{} ({columns}) → {} ({others})", self.table, self.other)
    }

    /// Both counts, as people read them.
    pub fn told(&self) -> String {
        let source = self.source.map_or_else(
            || "not counted in the old system".to_owned(),
            |rows| format!("{rows} in the old system's scope"),
        );
        let target =
            self.target.map_or_else(|| "not counted in the target".to_owned(), |rows| format!("{rows} in the target"));
        format!("{source}, {target}")
    }
}
