use std::collections::BTreeMap;

use lexicon::{ConsignmentId, Digest, MigrationId, Timestamp};
use people::{Envelope, Root};
use procedure::Migration;
use serde::{Deserialize, Serialize};
use wire::{Leaf, People, Placed, ServerCard};

/// Everything that shows what happened to one migration, for people who were not there. Holds no patient data: ids,
/// counts, digests, names of tables and columns, and the names of the persons who acted.
#[derive(Clone, Debug)]
pub struct Pack {
    /// The server: whose journal, which key.
    pub card: ServerCard,
    /// Which migration.
    pub migration: MigrationId,
    /// Its acts and facts in order, with their places in the journal.
    pub entries: Vec<Placed>,
    /// Roots, certificates and revocations. Whatever the entries do not need is left out by [`crate::write`].
    pub people: People,
    /// The journal's checkpoint that the proofs lead to: a signed note.
    pub checkpoint: String,
    /// One inclusion proof per entry, in the same order.
    pub inclusion: Vec<Vec<Digest>>,
    /// What the journal notes of destructions after their facts, in the order of its leaves.
    pub notes: Vec<Noted>,
    /// The scope and scope report of each plan, by digest. Never a sealed share.
    pub documents: BTreeMap<Digest, Vec<u8>>,
    /// The certificate of destruction, once a fact names it.
    pub certificate: Option<Envelope>,
    /// The answer of a time-stamp authority over that certificate, as it came (RFC 3161); whoever has the pack may add it.
    pub stamp: Option<Vec<u8>>,
    /// What a pack that was read tells people in words and pictures, by member name; empty in a new one.
    pub told: BTreeMap<String, Vec<u8>>,
}

/// A note of the journal that says what no fact can any more: that a key was there again, and is destroyed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    /// The leaf's number in the journal.
    pub number: u64,
    /// The note, as it is hashed.
    pub leaf: Leaf,
    /// That it stands under the checkpoint.
    pub inclusion: Vec<Digest>,
}

impl Noted {
    /// When it was noted, of which consignment and what, if it is a note on a destruction in this migration.
    pub fn tells_of(&self, migration: &Migration) -> Option<(Timestamp, ConsignmentId, &str)> {
        let Leaf::Note { at, text, .. } = &self.leaf else { return None };
        let mut theirs = migration.consignments.iter().map(|consignment| consignment.id);
        let of = |id| text.strip_prefix(&format!("consignment {id}, after the fact of its destruction: "));
        theirs.find_map(|id| Some((*at, id, of(id)?)))
    }
}

/// What the reader of a pack knows without it.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Roots whose six words were compared.
    pub roots: Vec<Root>,
    /// The server as an invitation named it.
    pub server: Option<ServerCard>,
}

impl From<&[Root]> for Trust {
    fn from(roots: &[Root]) -> Self {
        Self { roots: roots.to_vec(), server: None }
    }
}
