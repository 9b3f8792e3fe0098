//! What can be wrong with a key that should stay in its token or service.

use serde::{Deserialize, Serialize};

use super::Said;

/// One thing for which a key serves nobody. Kept on its tombstone, for after its deletion nobody can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Flaw {
    /// The service only hides it.
    Hidden,
    /// The service gives it out.
    Exportable,
    /// The service gives it out in a backup.
    ClearBackup,
    /// Somebody brought it.
    Imported,
    /// The ring did not make it: somebody put it in the place of the ring's.
    AnotherKind,
    /// The token has others beside it.
    Several,
    /// The token gives it out, did so once, or did not make it.
    LeavesToken,
}

impl Flaw {
    /// What is said of such a key.
    pub(super) fn how(self) -> &'static str {
        match self {
            Self::Hidden => "is only hidden (soft-deleted), which anybody who may can take back",
            Self::Exportable => "can be exported from the key store",
            Self::ClearBackup => "can be backed up in clear",
            Self::Imported => "was not made in the key store",
            Self::AnotherKind => "is of another kind than the ring makes",
            Self::Several => "is there more than once",
            Self::LeavesToken => "is not, or was not always, one that cannot leave its token",
        }
    }

    /// Whether a copy of such a key may be elsewhere. A hidden key is in its place all the same, and so is each of several:
    /// when they are deleted they are gone.
    pub(super) fn leaves(self) -> bool {
        match self {
            Self::Hidden | Self::Several => false,
            Self::Exportable | Self::ClearBackup | Self::Imported | Self::AnotherKind | Self::LeavesToken => true,
        }
    }

    /// The ring's own sentence of it in the evidence.
    pub(super) fn said(self) -> Said {
        Said { asked: "what kind of key".to_owned(), answered: self.how().to_owned(), request: None }
    }
}
