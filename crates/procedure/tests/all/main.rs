//! What the procedure lets happen, and what it never does, tried with real signatures.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets what it does not expect must fail")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a promise names the acts that it speaks of")]

mod approvals;
mod cast;
mod conditions;
mod invariants;
mod items;
mod life;
mod receipts;
mod rounds;
mod table;
mod verbs;
mod walks;
mod world;
