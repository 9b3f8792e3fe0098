use std::collections::BTreeMap;

use lexicon::{Code, ConsignmentId, Digest, ParcelId, Refusal};
use serde::{Deserialize, Serialize};

use crate::{ExtractMeasure, Kind, LoadMeasure, ManifestDocuments, Nulls, Orphans};

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
    pub transforms: BTreeMap<String, u64>,
    /// Nulls sealed, by column of the target; columns without any are left out. Absent in manifests of agents that did
    /// not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<BTreeMap<String, u64>>,
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
    /// The references between them, each with its orphans in scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphans>,
    /// Folders of documents, in the scope's order; their indexes are among the parcels of tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<ManifestDocuments>,
    /// Parcels of tables in order.
    pub parcels: Vec<ManifestParcel>,
    /// The sealed bucket sums of S: the last parcel of them.
    pub sums: ManifestParcel,
    /// Parcels of sums that were full before, where the tables are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full_sums: Vec<ManifestParcel>,
    /// That the extracting machine forgot the strongroom share and the consignment key at closing; its own word.
    pub forgotten: bool,
    /// What a rehearsal measured of each table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<ExtractMeasure>,
}

impl Manifest {
    /// Every table, and every index of documents.
    pub fn indexed(&self) -> impl Iterator<Item = &ManifestTable> {
        self.tables.iter().chain(self.documents.iter().map(|part| &part.index))
    }

    /// Every parcel of bucket sums.
    pub fn all_sums(&self) -> impl Iterator<Item = &ManifestParcel> {
        self.full_sums.iter().chain([&self.sums])
    }

    /// Every parcel that holds rows or documents.
    pub fn sealed(&self) -> impl Iterator<Item = &ManifestParcel> {
        self.parcels.iter().chain(self.documents.iter().flat_map(|part| &part.parcels))
    }

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
        // Once over all parcels, and not once for each table: a manifest may have thousands of both.
        let mut counted: BTreeMap<&str, (u32, u64)> =
            self.indexed().map(|table| (table.name.as_str(), (0, 0))).collect();
        for parcel in &self.parcels {
            let (next, rows) = counted.get_mut(parcel.table.as_str()).ok_or_else(|| wrong(&parcel.table))?;
            if parcel.sequence != *next {
                return Err(wrong(&parcel.table));
            }
            *next = next.saturating_add(1);
            *rows = rows.saturating_add(parcel.rows);
        }
        for table in self.indexed() {
            let rows = counted.get(table.name.as_str()).map(|(_, rows)| *rows);
            if rows != Some(table.rows) || table.rows > table.rows_source {
                return Err(wrong(&table.name));
            }
        }
        for part in &self.documents {
            if !part.adds_up() {
                return Err(wrong(&part.index.name));
            }
        }
        Ok(())
    }

    /// Whether it says what its kind says: of a rehearsal, out of how many rows in scope each table's sample was drawn; of
    /// any other, nothing of a sample.
    pub fn measures(&self, kind: Kind) -> bool {
        if kind != Kind::Rehearsal {
            return self.measured.is_empty();
        }
        let drawn = |(table, measure): (&ManifestTable, &ExtractMeasure)| {
            table.name == measure.name && table.rows <= measure.rows_in_scope
        };
        self.measured.len() == self.tables.len() && self.tables.iter().zip(&self.measured).all(drawn)
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
    /// Nulls, by column of the target; columns without any at any point are left out. Absent when the manifest has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<BTreeMap<String, Nulls>>,
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
    pub(crate) fn answers(&self, sent: &ManifestTable) -> bool {
        let nulls = match (&sent.nulls, &self.nulls) {
            (Some(sent), Some(got)) => {
                let sealed = got.iter().map(|(column, nulls)| (column, nulls.sealed)).filter(|(_, nulls)| *nulls > 0);
                sealed.eq(sent.iter().map(|(column, nulls)| (column, *nulls)))
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.name == sent.name && self.target == sent.target && self.sealed == sent.root && nulls
    }

    /// Which link broke, if one did: the fingerprints at its ends differ, or the numbers of nulls. What earlier reports
    /// of the round add, [`crate::Arrived`] says.
    pub fn broken(&self) -> Option<&'static str> {
        if !self.as_sealed() {
            Some("between sealing and fetching")
        } else if !self.as_fetched() {
            Some("between fetching and the target")
        } else {
            None
        }
    }

    /// What was fetched is what was sealed.
    pub(crate) fn as_sealed(&self) -> bool {
        self.sealed == self.fetched && self.all_nulls(|nulls| nulls.sealed == nulls.fetched)
    }

    /// What the target holds is what was fetched.
    pub(crate) fn as_fetched(&self) -> bool {
        self.fetched == self.target_root && self.all_nulls(|nulls| nulls.fetched == nulls.target)
    }

    fn all_nulls(&self, same: impl Fn(&Nulls) -> bool) -> bool {
        self.nulls.iter().flat_map(BTreeMap::values).all(same)
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
    /// Each folder of documents, by its index: what was sealed, what was fetched, what the target's folder holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<TableOutcome>,
    /// The manifest's references, each with its orphans in the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphans>,
    /// Before destruction: the recipient's real keys and the strongroom share opened a parcel.
    pub opened: bool,
    /// What a rehearsal measured of each table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<LoadMeasure>,
}

impl Reconciliation {
    /// Every table, and every folder of documents.
    pub fn compared(&self) -> impl Iterator<Item = &TableOutcome> {
        self.tables.iter().chain(&self.documents)
    }

    /// Whether all three points agree everywhere, and as many rows lead nowhere in the target as in the old system.
    pub fn equal(&self) -> bool {
        self.compared().all(|table| table.broken().is_none()) && !self.orphans.iter().any(Orphans::differ)
    }

    /// Whether it reports on everything that the manifest counts, and gives the manifest's own numbers for it.
    pub fn answers(&self, manifest: &Manifest) -> bool {
        let tables = self.tables.len() == manifest.tables.len()
            && self.documents.len() == manifest.documents.len()
            && manifest.indexed().zip(self.compared()).all(|(sent, got)| got.answers(sent));
        let counted = |(sent, got): (&Orphans, &Orphans)| {
            let asked = Orphans { target: sent.target, ..got.clone() };
            got.target.is_some() && asked == *sent
        };
        let orphans =
            self.orphans.len() == manifest.orphans.len() && manifest.orphans.iter().zip(&self.orphans).all(counted);
        tables && orphans
    }
}
