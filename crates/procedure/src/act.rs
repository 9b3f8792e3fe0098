use std::sync::Arc;

use lexicon::{ConsignmentId, Digest, MigrationId, Timestamp};
use people::{Recipient, RootId};
use serde::{Deserialize, Serialize};

use crate::{Destroyed, Manifest, Plan, PlanParty, Reconciliation};

/// What a consignment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A sample, into a target of its own.
    Rehearsal,
    /// Everything in scope.
    Full,
    /// What changed after the full one.
    Delta,
}

/// All rows in scope, in basis points: hundredths of a percent.
pub const EVERYTHING: u32 = 10_000;

/// Basis points as a person writes a percentage: `1 %`, `0.5 %`, `12.25 %`.
pub fn percent(basis_points: u32) -> String {
    let percent = format!("{}.{:02}", basis_points / 100, basis_points % 100);
    format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// A long step that needs a journalled begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Reading the old system and sealing.
    Extract,
    /// Opening and writing into the new system, T included.
    Load,
    /// Reading the target again.
    Reconcile,
}

/// Who holds the history that the law requires (10, 20 or 30 years).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// The new system.
    Target,
    /// An archive, named.
    Archive(String),
}

/// Whose keys a statement speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The laboratory share on the extracting machine.
    Laboratory,
    /// The opening keys on a loading machine.
    Recipient,
}

/// What the recipient's agent saw when it asked again and tried with all that it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// A parcel opened.
    Opened,
    /// The server has no strongroom share any more and nothing held opened the kept parcel.
    Failed,
}

/// Everything that can be done to a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// A migration exists, between these.
    Open { parties: Vec<PlanParty> },
    /// A plan stands to be approved; replaces the one before and voids its approvals.
    Propose { plan: Box<Plan> },
    /// These bytes and no others may be carried out.
    Approve { plan: Digest },
    /// Everything lives until then.
    Extend { until: Timestamp, reason: String },
    /// Nothing is released or handed over.
    Freeze { reason: String },
    /// One of the two voices that end a freeze.
    Thaw { reason: String },
    /// The migration ends without being carried out.
    Cancel { reason: String },
    /// The laboratory has what it wanted in the new system.
    SignOff { reports: Vec<Digest>, history: History },

    /// One round begins.
    OpenConsignment {
        consignment: ConsignmentId,
        plan: Digest,
        kind: Kind,
        /// Which sample.
        seed: u32,
        /// How much of everything: [`EVERYTHING`] unless it is a rehearsal.
        basis_points: u32,
        target: String,
        deadline: Timestamp,
    },
    /// A loading device shows the key it will open with.
    Offer {
        consignment: ConsignmentId,
        key: Recipient,
        /// As of [`Self::Begin`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        clear_swap: bool,
    },
    /// A long step starts: nothing is opened before this is a fact.
    Begin {
        consignment: ConsignmentId,
        step: Step,
        attempt: u32,
        lease: Timestamp,
        key: Recipient,
        /// That its machine may write memory in clear to its swap, and that this was accepted there; left out when not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        clear_swap: bool,
    },
    /// A long step gave up.
    Failed { consignment: ConsignmentId, step: Step, attempt: u32, code: u16 },
    /// All parcels are on the shelf.
    Close { manifest: Arc<Manifest> },
    /// Those who offered these keys may have the laboratory share.
    Release { consignment: ConsignmentId, close: Digest, offers: Vec<Digest>, load_by: Timestamp },
    /// The laboratory share, sealed to the released keys.
    HandOver {
        consignment: ConsignmentId,
        share: Digest,
        /// As of [`Self::Begin`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        clear_swap: bool,
    },
    /// Loaded, and this is what the three points say.
    Done { consignment: ConsignmentId, step: Step, attempt: u32, outcome: Arc<Reconciliation> },
    /// The laboratory takes the target as it is.
    AcceptDifference { consignment: ConsignmentId, report: Digest, reason: String },
    /// The round ends and is destroyed.
    Abandon { consignment: ConsignmentId, reason: String },

    /// A root takes a certificate back.
    Revoke { root: RootId, certificate: Digest, compromised_since: Timestamp },
    /// The deadline passed: of one consignment, or of everything.
    Overdue { consignment: Option<ConsignmentId> },
    /// The server destroyed its part of a consignment.
    Destroyed { consignment: ConsignmentId, evidence: Destroyed },
    /// A party destroyed its part; its own word.
    PartDestroyed { consignment: ConsignmentId, part: Part, keys: u32, probe: Option<ProbeResult> },
    /// The server's part of the whole migration is destroyed and certified.
    Finish { certificate: Digest },
}

impl Act {
    /// The consignment it speaks of.
    pub fn consignment(&self) -> Option<ConsignmentId> {
        match self {
            Self::OpenConsignment { consignment, .. }
            | Self::Offer { consignment, .. }
            | Self::Begin { consignment, .. }
            | Self::Failed { consignment, .. }
            | Self::Release { consignment, .. }
            | Self::HandOver { consignment, .. }
            | Self::Done { consignment, .. }
            | Self::AcceptDifference { consignment, .. }
            | Self::Abandon { consignment, .. }
            | Self::Destroyed { consignment, .. }
            | Self::PartDestroyed { consignment, .. } => Some(*consignment),
            Self::Close { manifest } => Some(manifest.consignment),
            Self::Overdue { consignment } => *consignment,
            Self::Open { .. }
            | Self::Propose { .. }
            | Self::Approve { .. }
            | Self::Extend { .. }
            | Self::Freeze { .. }
            | Self::Thaw { .. }
            | Self::Cancel { .. }
            | Self::SignOff { .. }
            | Self::Revoke { .. }
            | Self::Finish { .. } => None,
        }
    }

    /// Whether it was signed where keys or rows in memory may be written in clear to the machine's swap.
    pub fn clear_swap(&self) -> bool {
        matches!(
            self,
            Self::Offer { clear_swap: true, .. }
                | Self::Begin { clear_swap: true, .. }
                | Self::HandOver { clear_swap: true, .. }
        )
    }

    /// Its name as people read it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Propose { .. } => "propose",
            Self::Approve { .. } => "approve",
            Self::Extend { .. } => "extend",
            Self::Freeze { .. } => "freeze",
            Self::Thaw { .. } => "thaw",
            Self::Cancel { .. } => "cancel",
            Self::SignOff { .. } => "sign-off",
            Self::OpenConsignment { .. } => "open consignment",
            Self::Offer { .. } => "offer",
            Self::Begin { .. } => "begin",
            Self::Failed { .. } => "failed",
            Self::Close { .. } => "close",
            Self::Release { .. } => "release",
            Self::HandOver { .. } => "hand over",
            Self::Done { .. } => "done",
            Self::AcceptDifference { .. } => "accept difference",
            Self::Abandon { .. } => "abandon",
            Self::Revoke { .. } => "revoke",
            Self::Overdue { .. } => "deadline",
            Self::Destroyed { .. } => "destroyed",
            Self::PartDestroyed { .. } => "part destroyed",
            Self::Finish { .. } => "finish",
        }
    }

    /// Whether it may be made without the newest facts: stopping must never lose a race.
    pub fn may_be_stale(&self) -> bool {
        matches!(self, Self::Freeze { .. } | Self::Cancel { .. })
    }
}

/// The last fact that a signer replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastFact {
    /// 0 when there was none.
    pub number: u64,
    /// Of zeros when there was none.
    pub digest: Digest,
}

/// The checkpoint of the journal that a signer verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenCheckpoint {
    /// Leaves.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Digest,
}

/// What a device signs when its person acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActBody {
    /// `lazaret/1/act`.
    pub purpose: String,
    /// The journal that is to record it.
    pub origin: String,
    /// In which migration.
    pub migration: MigrationId,
    /// What its signer knew.
    pub last: LastFact,
    /// What its signer verified.
    pub checkpoint: SeenCheckpoint,
    /// By which certificate.
    pub certificate: Digest,
    /// When, by the signer's own time.
    pub at: Timestamp,
    /// What.
    pub body: Act,
}

impl ActBody {
    /// The one purpose there is.
    pub const PURPOSE: &'static str = "lazaret/1/act";
}
