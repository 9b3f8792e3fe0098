//! The program as it is started: one process a command.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect must fail")]
#![expect(clippy::indexing_slicing, reason = "what a document does not hold is null, and not what a test wants")]

mod certificate;
mod demonstration;
mod ground;
mod key_ring;
mod killed;
mod migrate;
