use lexicon::Digest;
use serde::{Deserialize, Serialize};

use crate::Kind;

/// A table as a connector found it, or a view, which is read like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTable {
    /// Its name.
    pub name: String,
    /// Its columns, in the table's order.
    pub columns: Vec<SourceColumn>,
    /// The columns of its primary key; empty when it has none.
    pub primary_key: Vec<String>,
    /// Its foreign keys.
    pub references: Vec<Reference>,
    /// Of a view: SHA-256 of what it asks for, in the words of the source. Whoever changes that changes what is read.
    pub definition: Option<Digest>,
    /// How many rows, when the source said so cheaply.
    pub rows: Option<u64>,
}

/// A column as a connector found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// Its type in the words of the source.
    pub declared: String,
    /// The type that carries it without loss; `None` when there is none.
    pub kind: Option<Kind>,
    /// Whether it may be null.
    pub nullable: bool,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The columns here.
    pub columns: Vec<String>,
    /// The table there.
    pub table: String,
    /// The columns there, in the same order.
    pub other_columns: Vec<String>,
}
