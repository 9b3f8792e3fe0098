//! What a pack of evidence shows, and everything that it finds, tried on stories with real signatures.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect must fail")]

mod attested;
mod cast;
mod certificates;
mod noted;
mod packed;
mod script;
mod shelved;
mod stamped;
mod stamps;
mod tale;
mod tampered;
mod words;
