//! Folders of documents: one of the old system is walked and read, one of the new system is written and read again.
//!
//! Links are never followed, special files never opened, and no name leads out of a folder. Documents are given out by
//! [`Scope::admit_document`](scope::Scope::admit_document) and in no other way. This is the one place of the agents where
//! a laboratory's records become files: the folder *is* the new laboratory system here.

mod read;
mod state;
mod walk;
mod write;

use std::path::{Path, PathBuf};

use lexicon::Result;

pub use read::{Changed, DocumentSource, Documents, Stand, documents_again, listed};
pub use write::{Arriving, DocumentTarget, Folder, Writing};

#[cfg(feature = "parsers")]
pub(crate) use self::write::{marked, marker_of};
use crate::trouble;

/// The one name of a folder, whatever way it is typed.
fn folder(typed: &str) -> Result<PathBuf> {
    let typed = typed.strip_prefix("folder:").unwrap_or(typed);
    let path = Path::new(typed).canonicalize().ok().filter(|path| path.is_dir());
    path.ok_or_else(trouble::no_folder)
}

#[cfg(test)]
mod tests;
