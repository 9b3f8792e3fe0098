//! Every parser that reads bytes from outside, as one function of bytes each: what `cargo xtask fuzz` gives millions of
//! inputs, and what the tests give the kept ones. A function panics where the parser breaks its promise: what parses
//! has one spelling, what was altered does not open, an error tells nothing of what was read.
//!
//! Keys, clock and randomness are fixed, so that an input means the same in every run. Nothing here stems from a
//! person: the seeds are made by the rooms themselves from invented values.
#![expect(clippy::unwrap_used, reason = "a target that breaks its promise must end")]

// The people and the story of the evidence's own tests: who signs here, and what is signed.
#[expect(dead_code, reason = "written for more stories than are told here")]
#[path = "../../crates/evidence/tests/all/cast.rs"]
mod cast;
#[expect(dead_code, reason = "written for more stories than are told here")]
#[path = "../../crates/evidence/tests/all/shelved.rs"]
mod shelved;
#[path = "../../crates/evidence/tests/all/stamps.rs"]
mod stamps;
#[path = "../../crates/evidence/tests/all/tale.rs"]
mod tale;

// The settings and papers that the program reads. It is a program and no room, so its files are taken as they are.
#[expect(dead_code, reason = "only what reads is wanted")]
#[path = "../../crates/lazaret/src/config.rs"]
mod config;
#[expect(dead_code, reason = "only what reads is wanted")]
#[path = "../../crates/lazaret/src/files.rs"]
mod files;
#[expect(dead_code, reason = "only what reads is wanted")]
#[path = "../../crates/lazaret/src/cli/plan_file.rs"]
mod plan_file;
#[expect(dead_code, reason = "only what reads is wanted")]
#[path = "../../crates/lazaret/src/ring.rs"]
mod ring;
#[expect(dead_code, reason = "only what reads is wanted")]
#[path = "../../crates/lazaret/src/shelf.rs"]
mod shelf;

mod answers;
mod cli;
mod documents;
mod journal_bytes;
mod pack;
mod papers;
mod promises;
mod rows;
mod scopes;
mod sealed;
mod signed;
mod stores;
mod stories;
mod time_stamps;
mod tls;
mod unlocked;
mod words;

pub use stories::untold;

/// One parser, tried.
#[derive(Clone, Copy)]
pub struct Target {
    /// Also the folder of its inputs.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// What its real inputs look like.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longer inputs are not tried.
    pub bytes_max: usize,
    /// What one input may take in memory beside what is there.
    pub memory_max: usize,
}

/// 64 MiB: what any of the inputs here may take at most; each has some kilobytes.
const MEMORY_MAX: usize = 64 * 1024 * 1024;

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>, bytes_max: usize) -> Target {
    Target { name, run, seeds, bytes_max, memory_max: MEMORY_MAX }
}

/// All of them, in the order of the rooms.
pub const TARGETS: [Target; 36] = [
    target("words", words::words, words::seeds, 256),
    target("request_signature", signed::request, signed::request_seeds, 2048),
    target("envelope", signed::envelope, signed::envelope_seeds, 4096),
    target("certificate", signed::certificate, signed::certificate_seeds, 4096),
    target("invitation", signed::invitation, signed::invitation_seeds, 4096),
    target("key_file", sealed::key_file, sealed::key_file_seeds, 2048),
    target("act", signed::act, signed::act_seeds, 8192),
    target("fact", signed::fact, signed::fact_seeds, 4096),
    target("checkpoint", journal_bytes::checkpoint, journal_bytes::checkpoint_seeds, 1024),
    target("proof", journal_bytes::proof, journal_bytes::proof_seeds, 1024),
    target("server_answer", answers::server, answers::server_seeds, 16 * 1024),
    target("unlock_question", unlocked::question, unlocked::question_seeds, 16 * 1024),
    target("unlock_reply", unlocked::reply, unlocked::reply_seeds, 16 * 1024),
    target("scope_file", scopes::file, scopes::file_seeds, 8192),
    target("predicate", scopes::predicate, scopes::predicate_seeds, 1024),
    target("transform", scopes::transform, scopes::transform_seeds, 1024),
    target("document_index", documents::index, documents::index_seeds, 4096),
    target("parcel", sealed::parcel, sealed::parcel_seeds, 16 * 1024),
    target("sealed_documents", sealed::documents, sealed::documents_seeds, 4096),
    target("address", rows::address, rows::address_seeds, 256),
    target("separated_file", rows::separated, rows::separated_seeds, 4096),
    target("copy_stream", rows::copied, rows::copied_seeds, 4096),
    target("mariadb_value", rows::mariadb, rows::mariadb_seeds, 256),
    target("sqlite_value", rows::sqlite, rows::sqlite_seeds, 256),
    target("document_marker", documents::marker, documents::marker_seeds, 512),
    target("fingerprints", scopes::fingerprints, scopes::fingerprints_seeds, 4096),
    target("bucket_answer", stores::bucket, stores::bucket_seeds, 8192),
    target("service_answer", stores::service, stores::service_seeds, 8192),
    target("settings", papers::settings, papers::settings_seeds, 2048),
    target("plan_file", papers::plan, papers::plan_seeds, 8192),
    target("handed_file", papers::handed, papers::handed_seeds, 4096),
    target("ring_files", stores::ring, stores::ring_seeds, 9 * 1024),
    target("tls_identity", tls::identity, tls::identity_seeds, 8192),
    target("time_stamp", time_stamps::time_stamp, time_stamps::time_stamp_seeds, 4096),
    target("pack", pack::whole, pack::whole_seeds, 128 * 1024),
    target("pack_member", pack::member, pack::member_seeds, 96 * 1024),
];

/// The target of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
