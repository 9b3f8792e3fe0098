use std::collections::BTreeMap;

use lexicon::{ConsignmentId, Digest, MigrationId, ParcelId};
use people::{Envelope, PublicKey, Root};
use procedure::{Entry, Proof};
use serde::{Deserialize, Serialize};

/// How a server is known before it is first spoken to: travels in an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerCard {
    /// `https://host:port`.
    pub url: String,
    /// SHA-256 of its TLS certificate (DER).
    pub fingerprint: Digest,
    /// The name of its journal: [`ServerCard::origin_of`].
    pub origin: String,
    /// The key that signs facts and checkpoints.
    pub key: PublicKey,
    /// Whether it was made for demonstrations, for ever: it listens on loopback only, and devices extract for it from
    /// sources that bear the mark of a synthetic one only.
    pub demonstration: bool,
    /// Of a renewed card: larger than that of every one before. None in the card that the server was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
}

impl ServerCard {
    /// What the journal of a server of this name is called. It says whether the server was made for demonstrations, and
    /// stands in every act, fact and checkpoint that is signed: who drops the mark from a card contradicts all of them.
    pub fn origin_of(name: &str, demonstration: bool, key: &PublicKey) -> String {
        let what = if demonstration { "demonstration" } else { "journal" };
        format!("{name}/{what}/{}", key.digest().short())
    }

    /// Whether card and origin agree on what the server was made for.
    pub fn mark_holds(&self) -> bool {
        self.demonstration == (self.origin.split('/').nth(1) == Some("demonstration"))
    }
}

/// A device's first words: its certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresentCertificate {
    /// As its root signed it.
    pub certificate: Envelope,
}

/// Everyone the server knows; whoever reads it verifies it against pinned roots.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Admitted roots, for showing; nobody trusts them because they stand here.
    pub roots: Vec<Root>,
    /// Certificates.
    pub certificates: Vec<Envelope>,
    /// Revocations.
    pub revocations: Vec<Envelope>,
}

/// An act for the journal, with the documents that it names by digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitAct {
    /// Signed by a device or a root. The server makes its own proofs itself.
    pub proof: Proof,
    /// By digest, base64: scope, scope report, sealed laboratory share.
    #[serde(default)]
    pub documents: BTreeMap<Digest, String>,
}

/// The receipt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submitted {
    /// The new entry.
    pub entry: Placed,
    /// After a begin: the strongroom share sealed to the key that the act named, base64. Never stored.
    pub share: Option<String>,
}

/// An entry and its leaf: what is hashed is `leaf`, the canonical JSON of [`Leaf`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// Act and fact.
    pub entry: Entry,
    /// The leaf's number in the journal.
    pub leaf: u64,
    /// The leaf's nonce.
    pub nonce: Digest,
}

/// One leaf of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Leaf {
    /// An act became a fact.
    Fact {
        /// So that a hash that is left after a purge cannot be guessed at.
        nonce: Digest,
        /// Act and fact.
        entry: Box<Entry>,
    },
    /// A root was admitted on the server's machine.
    Root {
        /// As above.
        nonce: Digest,
        /// Which.
        root: Root,
    },
    /// A device presented its certificate.
    Certificate {
        /// As above.
        nonce: Digest,
        /// Which.
        certificate: Envelope,
    },
    /// A root took a certificate back.
    Revocation {
        /// As above.
        nonce: Digest,
        /// Which.
        revocation: Envelope,
    },
    /// Something of the server's own: start, stop, an alarm. Codes and ids only.
    Note {
        /// As above.
        nonce: Digest,
        /// When.
        at: lexicon::Timestamp,
        /// What, in one sentence.
        text: String,
    },
}

/// Facts from a number on, with what proves that the journal only grew.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// In order.
    pub entries: Vec<Placed>,
    /// The newest checkpoint, a signed note.
    pub checkpoint: String,
    /// From the size that was asked about to the checkpoint's.
    pub consistency: Vec<Digest>,
    /// Of the migration's last entry in the checkpoint; empty when there is none.
    pub inclusion: Vec<Digest>,
    /// Where that entry stands, if there is one.
    pub last: Option<u64>,
}

/// Query of [`Facts`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactsQuery {
    /// The first fact wanted, from 1.
    pub from: u64,
    /// The size of the last checkpoint that the asker verified; 0 for none.
    pub size: u64,
}

/// One migration in a list. The asker replays before believing any of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationLine {
    /// Which.
    pub migration: MigrationId,
    /// How many facts.
    pub facts: u64,
    /// Its stage's name.
    pub stage: String,
    /// What the server says of its own part, each a sentence: that it was put back, what waits for its key ring or its
    /// shelf, what an object store still holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<String>,
}

/// The server's answer to a stored parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParcelLine {
    /// By which attempt.
    pub attempt: u32,
    /// Its name.
    pub parcel: ParcelId,
    /// Sealed bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub digest: Digest,
}

/// Paths, one function each; the locked-door table names the same strings.
pub mod path {
    use super::{ConsignmentId, Digest, MigrationId, ParcelId};

    /// Is it there? Says nothing else.
    pub const HEALTH: &str = "/health";
    /// The `OpenAPI` document.
    pub const OPENAPI: &str = "/openapi.json";
    /// Certificates and revocations: present, list.
    pub const PEOPLE: &str = "/v1/people";
    /// Revocations: hand in.
    pub const REVOCATIONS: &str = "/v1/revocations";
    /// Migrations of the asker's organisation.
    pub const MIGRATIONS: &str = "/v1/migrations";
    /// Acts of a migration: submit.
    pub const ACTS: &str = "/v1/migrations/{migration}/acts";
    /// Facts of a migration: read, show one.
    pub const FACTS: &str = "/v1/migrations/{migration}/facts";
    /// A document that an act names by digest.
    pub const DOCUMENT: &str = "/v1/migrations/{migration}/documents/{digest}";
    /// The evidence pack, a zip file.
    pub const EVIDENCE: &str = "/v1/migrations/{migration}/evidence";
    /// Parcels of a consignment: list.
    pub const PARCELS: &str = "/v1/migrations/{migration}/consignments/{consignment}/parcels";
    /// One parcel: store, fetch.
    pub const PARCEL: &str = "/v1/migrations/{migration}/consignments/{consignment}/parcels/{attempt}/{parcel}";

    /// [`ACTS`], filled in.
    pub fn acts(migration: MigrationId) -> String {
        format!("/v1/migrations/{migration}/acts")
    }

    /// [`FACTS`], filled in.
    pub fn facts(migration: MigrationId) -> String {
        format!("/v1/migrations/{migration}/facts")
    }

    /// [`DOCUMENT`], filled in.
    pub fn document(migration: MigrationId, digest: Digest) -> String {
        format!("/v1/migrations/{migration}/documents/{digest}")
    }

    /// [`EVIDENCE`], filled in.
    pub fn evidence(migration: MigrationId) -> String {
        format!("/v1/migrations/{migration}/evidence")
    }

    /// [`PARCELS`], filled in.
    pub fn parcels(migration: MigrationId, consignment: ConsignmentId) -> String {
        format!("/v1/migrations/{migration}/consignments/{consignment}/parcels")
    }

    /// [`PARCEL`], filled in.
    pub fn parcel(migration: MigrationId, consignment: ConsignmentId, attempt: u32, parcel: ParcelId) -> String {
        format!("{}/{attempt}/{parcel}", parcels(migration, consignment))
    }
}
