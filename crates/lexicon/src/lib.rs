//! The words every other room speaks: identifiers, digests, time, randomness, errors, limits.
//!
//! Nothing here waits, reads a disk or knows a procedure. A room that needs the time or a random number takes a
//! [`Clock`] or an [`Entropy`]; [`SystemClock`] and [`SystemEntropy`] are made once, in the command
//! line's context.

mod canonical;
mod digest;
mod entropy;
mod guarded;
mod id;
pub mod limits;
mod time;
mod trouble;
mod words;

pub use canonical::{canonical, digest_of};
pub use digest::{Digest, Hasher};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use guarded::Guarded;
pub use id::{ConsignmentId, MigrationId, ParcelId, PersonId, Serial, ShelfId};
pub use jiff::Timestamp;
pub use time::{Clock, FixedClock, SystemClock, hours_after, millisecond_after};
pub use trouble::{Alarm, Code, Fault, Refusal, Refusals, Retry, Trouble};
pub use words::{shown, spoken};

/// The result of every fallible call that crosses a room's border.
pub type Result<T, E = Trouble> = std::result::Result<T, E>;
