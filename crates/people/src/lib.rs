//! Who acts: organisations with root keys, the persons and devices they certify, and what those sign.
//!
//! An [`Actor`] has three makers and no other: a verified signature of a certified device or of a root, a deadline
//! that has passed, and the strongroom's own statements. This room is also the only one that knows the age format:
//! key files under a passphrase, and small secrets sealed to opening keys.

mod actor;
mod certificate;
mod envelope;
mod key;
mod keyfile;
mod opening;
pub mod request;
mod roster;

pub use actor::{Actor, Signer};
pub use certificate::{Certificate, Device, Person, Revocation, Role, Root, RootId, is_generic_name};
pub use envelope::{Envelope, PayloadType, Signature};
pub use key::{PublicKey, SigningKey};
pub use keyfile::{AgeIdentity, Passphrase, lock, lock_to, unlock, unlock_with};
pub use opening::{OpeningKey, Recipient, seal_to};
pub use roster::Roster;
