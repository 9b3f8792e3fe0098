//! Evidence: what remains of a migration for people who were not there, and the check that needs no server.
//!
//! A [`Pack`] holds the signed acts and facts, their places in the journal, the people, the documents that were
//! approved and the [`DestructionCertificate`]. [`write`] makes a zip file of it, with statements that people read and
//! a picture that they look at; [`read`] takes one apart within bounds; [`verify`] replays it. Each [`Statement`] says
//! who says it: what a person signed, what the server asserts, what nobody can prove.
//!
//! No patient data: ids, counts, digests, names of tables, columns and of the persons who acted. Nothing here reads a
//! clock, a disk or a network.
//!
//! Codes: 9xx.

mod archive;
mod certificate;
mod counts;
mod documents;
mod layout;
mod markdown;
mod pack;
mod round;
mod rounds;
mod statements;
mod story;
mod timeline;
mod trouble;
mod verdict;
mod wording;

pub use archive::{PACK_BYTES_MAX, UNPACKED_BYTES_MAX, read, write};
pub use certificate::{CertifiedConsignment, Completeness, Deed, DestructionCertificate, Trigger, describe, issue};
pub use pack::{Pack, Trust};
pub use round::Reach;
pub use statements::{Statement, Strength};
pub use verdict::{Unpinned, Verdict, trust_roots, verify, verify_against};
