//! Every story of the drill, one binary.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod stories;
