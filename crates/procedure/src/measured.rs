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
    /// Reading every row in scope, in microseconds.
    pub reading_us: u64,
    /// Sealing the sample, in microseconds.
    pub sealing_us: u64,
    /// Storing its parcels on the server, in microseconds.
    pub storing_us: u64,
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
    /// Sealing them, in microseconds.
    pub sealing_us: u64,
}

/// One table while it was loaded, or read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadMeasure {
    /// In the old system.
    pub name: String,
    /// None when its rows were in the target before.
    pub loading: Option<LoadingMeasure>,
    /// Reading the target again, in microseconds.
    pub comparing_us: u64,
    /// The same before the load, when the table had no row: what does not grow. None when it was not empty.
    pub comparing_aside_us: Option<u64>,
    /// What the rows take in the target, indexes included, where the system tells: in bytes.
    pub target_bytes: Option<u64>,
}

/// Fetching, opening and loading one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadingMeasure {
    /// With which others it may pass: all of a wave are loaded before the next begins.
    pub wave: u32,
    /// How many tables of a wave passed at once.
    pub at_once: u32,
    /// What the rows took, in microseconds.
    pub rows_us: u64,
    /// What would have taken as long without any row, in microseconds: a connection, a look at the table, the marker, the
    /// end of the transaction.
    pub aside_us: u64,
}
