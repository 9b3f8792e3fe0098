use std::collections::BTreeMap;

use lexicon::{Digest, MigrationId};
use people::{Envelope, Root};
use wire::{People, Placed, ServerCard};

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
    /// The scope and scope report of each plan, by digest. Never a sealed share.
    pub documents: BTreeMap<Digest, Vec<u8>>,
    /// The certificate of destruction, once a fact names it.
    pub certificate: Option<Envelope>,
    /// The answer of a time-stamp authority over that certificate, as it came (RFC 3161); whoever has the pack may add it.
    pub stamp: Option<Vec<u8>>,
    /// What a pack that was read tells people in words and pictures, by member name; empty in a new one.
    pub told: BTreeMap<String, Vec<u8>>,
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
