//! Whoever has copies and every passphrase, and nothing of our code: `thief.py`, written from the manual's page of formats.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use lexicon::{ConsignmentId, ParcelId};
use procedure::Kind;
use serde::Deserialize;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/thief.py");
/// The Python that has the packages of `xtask/python.txt`; set by `cargo xtask test`.
const PYTHON: &str = "LAZARET_TEST_PYTHON";

pub(super) struct Thief {
    python: String,
}

/// What came of the copies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// Keys and shares that they held.
    pub(super) secrets: usize,
    /// Sealed secrets that nothing opened.
    pub(super) still_sealed: usize,
    /// Every consignment that was closed.
    pub(super) consignments: BTreeMap<ConsignmentId, Haul>,
}

/// What came of one consignment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Haul {
    pub(super) kind: Kind,
    /// Whether the laboratory share was among the secrets.
    pub(super) laboratory: bool,
    /// Whether the strongroom share was.
    pub(super) strongroom: bool,
    /// Parcels that were there to be tried.
    pub(super) parcels: usize,
    /// Those that a pair of the secrets opened.
    pub(super) opened: BTreeMap<ParcelId, Clear>,
}

/// What was in a parcel.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Clear {
    Rows { rows: u64 },
    Documents { bytes: u64, begins: String },
}

impl Thief {
    /// None without Python, which is said.
    pub(super) fn at_hand(test: &str) -> Option<Self> {
        let python = std::env::var(PYTHON).ok();
        if python.is_none() {
            drill::skipped!("{test} ({PYTHON} is not set)");
        }
        python.map(|python| Self { python })
    }

    /// Tries these folders and files.
    pub(super) fn tries(&self, places: &[&Path]) -> Told {
        let mut command = Command::new(&self.python);
        command.args(["-B", SCRIPT, super::PASSPHRASE]).args(places).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
