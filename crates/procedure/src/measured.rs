//! What a rehearsal measured: counts, bytes and durations, signed by the device that measured them. A forecast follows
//! from these and from nothing else.

use serde::{Deserialize, Serialize};

/// One table while it was extracted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractMeasure {
    /// In the old system.
    pub name: String,
    /// Rows in scope, of which the sample is a part.
    pub rows_in_scope: u64,
    /// Reading every row in scope, in milliseconds.
    pub reading_ms: u64,
    /// Sealing and storing the sample, in milliseconds.
    pub sealing_ms: u64,
    /// About half of the sample, sealed alone and thrown away: from two sizes it shows what a parcel has beside its rows.
    pub half: Option<HalfSealed>,
}

/// Some first rows of a parcel, sealed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HalfSealed {
    /// How many.
    pub rows: u64,
    /// Their sealed bytes.
    pub bytes: u64,
}

/// One table while it was loaded, or read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadMeasure {
    /// In the old system.
    pub name: String,
    /// Fetching, opening and loading, in milliseconds; none when its rows were in the target before.
    pub loading_ms: Option<u64>,
    /// Reading the target again, in milliseconds.
    pub comparing_ms: u64,
    /// What the rows take in the target, indexes included, where the system tells: in bytes.
    pub target_bytes: Option<u64>,
}
