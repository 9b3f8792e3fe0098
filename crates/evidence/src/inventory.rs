//! What lay on the shelf, line by line, under one root.

use std::collections::BTreeSet;

use journal::{Tree, leaf_hash};
use lexicon::{ConsignmentId, Digest, Result, canonical};
use procedure::{Manifest, Stored};
use serde::{Deserialize, Serialize};

use crate::round::Round;

/// The parcels that the server had stored of one consignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// How many.
    pub parcels: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The root of an RFC 6962 tree whose leaves are the lines, each in canonical JSON.
    pub root: Digest,
    /// Each of them, by attempt and name.
    pub lines: Vec<InventoryLine>,
}

/// One parcel in an inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryLine {
    /// Consignment, attempt and parcel, as it was called on the shelf.
    pub name: String,
    /// Sealed bytes.
    pub bytes: u64,
    /// SHA-256 of the sealed bytes.
    pub sha256: Digest,
}

impl Inventory {
    pub(crate) fn of(consignment: ConsignmentId, stored: &[Stored]) -> Result<Self> {
        let line =
            |line: &Stored| InventoryLine { name: line.name(consignment), bytes: line.bytes, sha256: line.digest };
        let lines: Vec<InventoryLine> = stored.iter().map(line).collect();
        let leaves = lines.iter().map(|line| Ok(leaf_hash(&canonical(line)?))).collect::<Result<Vec<Digest>>>()?;
        Ok(Self {
            parcels: u64::try_from(lines.len()).unwrap_or(u64::MAX),
            bytes: lines.iter().map(|line| line.bytes).fold(0, u64::saturating_add),
            root: Tree::of(&leaves).root(),
            lines,
        })
    }
}

/// The parcels that a round's manifest signs and that are not in the inventory of what was destroyed, with the bytes and the
/// digest that were signed. What is there besides was stored by attempts that were superseded.
pub(crate) fn lacks(round: &Round<'_>) -> Vec<Stored> {
    let (Some((_, manifest)), Some((_, destroyed))) = (round.closed, round.destroyed) else { return Vec::new() };
    let lines: BTreeSet<Stored> = destroyed.inventory.iter().copied().collect();
    signed(manifest).filter(|line| !lines.contains(line)).collect()
}

fn signed(manifest: &Manifest) -> impl Iterator<Item = Stored> {
    manifest.sealed().chain(manifest.all_sums()).map(Stored::from)
}
