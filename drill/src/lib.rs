//! The leak of 2021 replayed: one story per finding of the decision, and a server that lies.
//!
//! Stories run on a [`World`]: a real server behind a real door on loopback, real devices with folders of their own, a
//! real old system and a real new one. Only the clock is the story's. A story that cannot go on has failed, so the
//! rooms' results are unwrapped here.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a story that cannot go on has failed")]

mod bucket;
mod child;
mod clear;
pub mod kills;
mod paper;
pub mod program;
mod steps;
mod systems;
mod world;

pub use bucket::garage;
#[cfg(target_os = "linux")]
pub use child::held;
pub use child::{Child, Command};
pub use clear::{folder, log, said};
pub use paper::{instruction, scope_report};
pub use systems::{Round, Systems, copy_folder, files_below, lies_on, notes, write_file};
pub use world::{Name, Party, World, entropy, passphrase};

/// Says past the test harness, which keeps what a passing test prints, what was not run.
#[macro_export]
macro_rules! skipped {
    ($($text:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {}\n", format_args!($($text)*))).unwrap()
    };
}
