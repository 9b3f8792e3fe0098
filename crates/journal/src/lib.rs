//! The journal's pure core: a tree of leaf hashes in which nothing can be changed, removed or put in another order
//! without every later root showing it, and the checkpoint by which a root is signed and carried about.
//!
//! The formats are other people's, so that their tools verify ours: the tree is that of RFC 6962 (SHA-256), a
//! checkpoint is a C2SP tlog-checkpoint in a C2SP signed note. What a leaf says is not known here; rows are kept by the
//! registry. Nothing here reads a clock or a disk.
//!
//! Who checks: an agent keeps the last [`Checkpoint`] that it verified and accepts a newer one only with a
//! [`consistency`] proof from the old ([`verify_consistency`]); a single entry is shown to stand in the journal by an
//! [`inclusion`] proof ([`verify_inclusion`]).
//!
//! Codes: 13xx.

mod checkpoint;
mod note;
mod proof;
mod receipt;
mod tree;

pub use checkpoint::Checkpoint;
pub use note::{NOTE_BYTES_MAX, sign_note, verifier_key, verify_note};
pub use proof::{consistency, inclusion, verify_consistency, verify_inclusion};
pub use receipt::Receipt;
pub use tree::{Tree, leaf_hash};
