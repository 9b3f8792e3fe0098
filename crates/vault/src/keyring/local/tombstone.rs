//! The mark that outlives a key: set before the first byte of the key is written over, never removed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use journal::Receipt;
use lexicon::{ConsignmentId, Result, Timestamp, canonical};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, fault};
use crate::keyring::RingEvidence;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tombstone {
    pub(super) consignment: ConsignmentId,
    pub(super) receipt_index: u64,
    pub(super) receipt_root: lexicon::Digest,
    pub(super) found: bool,
    pub(super) begun_at: Timestamp,
    /// Set by the last step.
    pub(super) evidence: Option<RingEvidence>,
}

/// What stands on the grave.
pub(super) enum Mark {
    Nothing,
    /// There is a tombstone and it cannot be read: as good as begun, since only a destruction ever sets one.
    Illegible,
    Legible(Box<Tombstone>),
}

impl Tombstone {
    pub(super) fn begin(id: ConsignmentId, seen: &Receipt, found: bool, begun_at: Timestamp) -> Self {
        Self {
            consignment: id,
            receipt_index: seen.index(),
            receipt_root: seen.root(),
            found,
            begun_at,
            evidence: None,
        }
    }

    pub(super) fn set(&self, disk: &Disk, path: &Path) -> Result<()> {
        disk.place(path, &canonical(self)?)
    }
}

pub(super) fn read(path: &Path, id: ConsignmentId) -> Result<Mark> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Mark::Nothing),
        Err(error) => return Err(fault("read a tombstone", &error)),
    };
    let tombstone = serde_json::from_slice::<Tombstone>(&bytes).ok().filter(|stone| stone.consignment == id);
    Ok(tombstone.map_or(Mark::Illegible, |stone| Mark::Legible(Box::new(stone))))
}
