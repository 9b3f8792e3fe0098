//! Evidence: what remains of a migration for people who were not there, and the check that needs no server.
//!
//! A [`Pack`] holds the signed acts and facts, their places in the journal, the people, the documents that were
//! approved and the [`DestructionCertificate`]. [`write`] makes a zip file of it, with statements that people read and
//! a picture that they look at; [`read`] takes one apart within bounds; [`verify`] replays it. Each [`Statement`] says
//! who says it: what a person signed, what the server asserts, what nobody can prove. [`stamp`] takes the time stamp of an
//! authority into a pack.
//!
//! No patient data: ids, counts, digests, names of tables, columns and of the persons who acted. Nothing here reads a
//! clock, a disk or a network.
//!
//! Codes: 9xx.

mod archive;
mod attestation;
mod certificate;
mod certified;
mod counts;
mod documents;
mod effect;
mod inventory;
mod layout;
mod markdown;
mod pack;
mod round;
mod rounds;
mod stamp;
mod statements;
mod story;
mod timeline;
mod trouble;
mod verdict;
mod wording;

pub use archive::{PACK_BYTES_MAX, UNPACKED_BYTES_MAX, read, write};
pub use attestation::{Attestation, Subject, SubjectDigest};
pub use certificate::{Completeness, Deed, DestructionCertificate, Trigger, describe, issue};
pub use certified::{CertifiedConsignment, Probes, RecipientProbe, Residue};
pub use effect::Effect;
pub use inventory::{Inventory, InventoryLine};
pub use pack::{Noted, Pack, Trust};
pub use round::Reach;
pub use stamp::{Stamped, stamp, stamp_request, stamped};
pub use statements::{Statement, Strength};
pub use verdict::{Unpinned, Verdict, trust_roots, verify, verify_against};
