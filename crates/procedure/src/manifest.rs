use lexicon::{Code, ConsignmentId, Digest, ParcelId, Refusal};
use serde::{Deserialize, Serialize};

/// One sealed object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestParcel {
    /// Its name on the shelf.
    pub parcel: ParcelId,
    /// The attempt that stored it; an earlier one when a resume kept it.
    pub attempt: u32,
    /// Which table, by its name in the old system.
    pub table: String,
    /// Which of the table's parcels, from 0.
    pub sequence: u32,
    /// Sealed bytes.
    pub bytes: u64,
    /// Rows inside.
    pub rows: u64,
    /// SHA-256 of the sealed bytes.
    pub digest: Digest,
}

/// One table as it left the old system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestTable {
    /// In the old system.
    pub name: String,
    /// In the new one.
    pub target: String,
    /// Rows in the old system's table.
    pub rows_source: u64,
    /// Rows sealed.
    pub rows: u64,
    /// S: the root over bucket sums, sum and count, keyed.
    pub root: Digest,
    /// How many columns were taken.
    pub columns_taken: u32,
    /// How many stayed.
    pub columns_left: u32,
    /// How often each declared transform changed a value, by `column: transform`.
    pub transforms: std::collections::BTreeMap<String, u64>,
}

/// What was sealed in one attempt; the content of `Close`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of which consignment.
    pub consignment: ConsignmentId,
    /// By which attempt.
    pub attempt: u32,
    /// The old system that was read.
    pub source: String,
    /// Digest of its tables and columns.
    pub schema: Digest,
    /// The moment it was read at, in the connector's words.
    pub snapshot: String,
    /// The scope that was applied.
    pub scope: Digest,
    /// SHA-256 of the laboratory share.
    pub laboratory_share: Digest,
    /// SHA-256 of the strongroom share.
    pub strongroom_share: Digest,
    /// Tables in the scope's order.
    pub tables: Vec<ManifestTable>,
    /// Parcels in order.
    pub parcels: Vec<ManifestParcel>,
    /// The sealed bucket sums of S.
    pub sums: ManifestParcel,
    /// That the extracting machine forgot the strongroom share and the consignment key at closing; its own word.
    pub forgotten: bool,
}

impl Manifest {
    /// Whether the manifest agrees with itself: every table's parcels are there, in order, and their rows add up.
    ///
    /// # Errors
    /// A refusal that names the table.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.tables.is_empty() {
            return Err(Refusal::new(
                Code(203),
                "the manifest names no table",
                "Abandon the consignment and extract again.",
            ));
        }
        let wrong = |table: &str| {
            Refusal::new(
                Code(203),
                format!("the manifest does not add up for table '{table}'"),
                "Abandon the consignment and extract again.",
            )
        };
        for table in &self.tables {
            let parcels = self.parcels.iter().filter(|parcel| parcel.table == table.name);
            let mut rows = 0_u64;
            for (expected, parcel) in (0_u32..).zip(parcels) {
                if parcel.sequence != expected {
                    return Err(wrong(&table.name));
                }
                rows = rows.saturating_add(parcel.rows);
            }
            if rows != table.rows || table.rows > table.rows_source {
                return Err(wrong(&table.name));
            }
        }
        let known = |name: &String| self.tables.iter().any(|table| table.name == *name);
        match self.parcels.iter().find(|parcel| !known(&parcel.table)) {
            Some(stray) => Err(wrong(&stray.table)),
            None => Ok(()),
        }
    }
}

/// One table's three points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOutcome {
    /// In the old system.
    pub name: String,
    /// In the new one.
    pub target: String,
    /// Rows now in the target.
    pub rows_target: u64,
    /// S as the manifest says.
    pub sealed: Digest,
    /// F, over the bytes fetched back.
    pub fetched: Digest,
    /// T, read again from the target.
    pub target_root: Digest,
    /// Keys whose rows differ between F and T, when the table has keys to locate them by.
    pub differing: Option<Differing>,
}

/// How many keys differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Differing {
    /// All were looked at.
    Exactly(u64),
    /// More differ than the loading device could hold and compare.
    AtLeast(u64),
}

impl Differing {
    /// The number, and what stands before it.
    pub fn told(self) -> (&'static str, u64) {
        match self {
            Self::Exactly(keys) => ("", keys),
            Self::AtLeast(keys) => ("at least ", keys),
        }
    }
}

impl TableOutcome {
    /// Which link broke, if one did.
    pub fn broken(&self) -> Option<&'static str> {
        if self.sealed != self.fetched {
            Some("between sealing and fetching")
        } else if self.fetched != self.target_root {
            Some("between fetching and the target")
        } else {
            None
        }
    }
}

/// What a loading device found; the content of `Done` of a load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconciliation {
    /// The system that was loaded.
    pub target: String,
    /// Digest of its tables and columns.
    pub schema: Digest,
    /// Each table.
    pub tables: Vec<TableOutcome>,
    /// Before destruction: the recipient's real keys and the strongroom share opened a parcel.
    pub opened: bool,
}

impl Reconciliation {
    /// Whether all three points agree everywhere.
    pub fn equal(&self) -> bool {
        self.tables.iter().all(|table| table.broken().is_none())
    }
}
