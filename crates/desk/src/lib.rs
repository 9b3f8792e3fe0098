//! What one person's device knows and does: its folder, its key, and the checks of everything that the server says.
//!
//! A [`Desk`] believes signatures, never the server. It keeps every fact and checkpoint that it has verified, so that a
//! server that later tells another story, or less of the same one, is found out by the device that it told it to; both
//! stories are kept as evidence. Nothing else of an agent writes a file: all of it goes through [`Home`].
//!
//! Codes: 12xx, from 1211; `wire` has those before.

mod act;
mod check;
mod desk;
pub mod enrol;
mod files;
mod home;
mod keeper;
pub mod organisation;
mod overdue;
#[cfg(all(unix, feature = "parsers"))]
pub mod parsers;
mod renewal;
mod round;
#[cfg(unix)]
pub mod unlocked;

#[cfg(test)]
mod tests;

pub use desk::Desk;
pub use home::Home;
pub use keeper::{KeyHolder, is_binding};
pub use overdue::{Overdue, OverdueRound, destroy_overdue, watch};
pub use renewal::renewed;
pub use round::{Alone, Gone, Round};
