use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ManifestParcel, ManifestTable};

/// Documents of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentsOfKind {
    /// How many.
    pub documents: u64,
    /// Their bytes, in clear.
    pub bytes: u64,
}

impl DocumentsOfKind {
    fn sum(kinds: &BTreeMap<String, Self>) -> Self {
        let add = |sum: Self, kind: &Self| Self {
            documents: sum.documents.saturating_add(kind.documents),
            bytes: sum.bytes.saturating_add(kind.bytes),
        };
        kinds.values().fold(Self::default(), add)
    }

    /// One more.
    pub fn add(&mut self, bytes: u64) {
        self.documents = self.documents.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// One folder of documents as it left the old system. Names and digests of documents stand in its sealed index only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestDocuments {
    /// Its index: a row for each document, with name, kind, bytes and SHA-256. S is over these.
    pub index: ManifestTable,
    /// What of the folder is in scope, by kind: everything, or what a rehearsal's sample was drawn from.
    pub in_scope: BTreeMap<String, DocumentsOfKind>,
    /// What was sealed, by kind.
    pub kinds: BTreeMap<String, DocumentsOfKind>,
    /// Files of the folder that stayed, because the scope does not take them.
    pub stayed: u64,
    /// The documents, one behind the other, in parcels; in order, apart from those of tables.
    pub parcels: Vec<ManifestParcel>,
}

impl ManifestDocuments {
    /// What was sealed, all kinds together.
    pub fn total(&self) -> DocumentsOfKind {
        DocumentsOfKind::sum(&self.kinds)
    }

    /// Whether its kinds are as many documents as its index says, and its parcels are in order, named after it and
    /// large enough for them.
    pub(crate) fn adds_up(&self) -> bool {
        let total = self.total();
        let in_order = (0_u32..).zip(&self.parcels).all(|(expected, parcel)| {
            parcel.sequence == expected && parcel.table == self.index.name && parcel.rows == 0
        });
        let sealed = self.parcels.iter().map(|parcel| parcel.bytes).fold(0, u64::saturating_add);
        let room = sealed >= total.bytes && (total.bytes == 0) == self.parcels.is_empty();
        let in_scope = DocumentsOfKind::sum(&self.in_scope).documents;
        in_order && room && (total.documents, in_scope) == (self.index.rows, self.index.rows_source)
    }
}
