//! The form in which a certificate is signed: an in-toto Statement, so that other people's programs read it too.

use lexicon::Digest;
use serde::{Deserialize, Serialize};

use crate::certificate::DestructionCertificate;

/// The one form of statement there is.
pub(crate) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What a certificate of destruction is called among the predicates of statements.
pub(crate) const PREDICATE: &str = "urn:lazaret:destruction:1";

/// An in-toto Statement (v1) over a certificate of destruction. Its subjects are the last fact that the certificate takes
/// into account and every parcel in its inventories: whoever finds a copy of one finds it here by its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// `https://in-toto.io/Statement/v1`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it speaks of.
    pub subject: Vec<Subject>,
    /// `urn:lazaret:destruction:1`.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What it says.
    pub predicate: DestructionCertificate,
}

/// One thing that a statement speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// What it is called.
    pub name: String,
    /// Its digest.
    pub digest: SubjectDigest,
}

/// A digest under the name of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// SHA-256.
    pub sha256: Digest,
}

impl Attestation {
    /// The statement that says this certificate.
    pub fn of(predicate: DestructionCertificate) -> Self {
        let subject = |name: String, sha256: Digest| Subject { name, digest: SubjectDigest { sha256 } };
        let fact = format!("{}/facts/{}", predicate.migration, predicate.facts.number);
        let lines = predicate.consignments.iter().flat_map(|certified| &certified.inventory.lines);
        let parcels = lines.map(|line| subject(line.name.clone(), line.sha256));
        Self {
            kind: STATEMENT.to_owned(),
            subject: [subject(fact, predicate.facts.digest)].into_iter().chain(parcels).collect(),
            predicate_type: PREDICATE.to_owned(),
            predicate,
        }
    }
}
