use std::collections::BTreeSet;
use std::sync::Arc;

use lexicon::{ConsignmentId, Digest, PersonId, Timestamp};
use people::{PublicKey, Recipient, RootId};
use serde::Serialize;

use crate::{Arrived, Kind, Manifest, Part, ProbeResult, Reconciliation, Step};

/// In the order of a consignment's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Parcels may be stored.
    Open,
    /// The manifest stands.
    Closed,
    /// The offered keys may be used until load-by.
    Released,
    /// The target holds the rows; the reconciliation says whether they are the same.
    Loaded,
    /// The server's part is destroyed.
    Destroyed,
}

/// One attempt at a long step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Which step.
    pub step: Step,
    /// From 1, counted over all steps.
    pub number: u32,
    /// By which device.
    pub device: PublicKey,
    /// Until when no other may begin.
    pub lease: Timestamp,
    /// Still running, as far as is known.
    pub running: bool,
}

/// A key that a loading device will open with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// The digest of the offering act's bytes: what a release names.
    pub digest: Digest,
    /// By whom.
    pub person: PersonId,
    /// Of which organisation.
    pub root: RootId,
    /// By which certificate.
    pub certificate: Digest,
    /// On which device.
    pub device: PublicKey,
    /// The key.
    pub key: Recipient,
}

/// A release as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Which offers.
    pub offers: Vec<Digest>,
    /// Until when loading may begin.
    pub load_by: Timestamp,
    /// SHA-256 of the sealed laboratory share, once handed over.
    pub share: Option<Digest>,
}

/// What the loading device reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The digest of the reporting act's bytes: what an acceptance and the sign-off name.
    pub digest: Digest,
    /// The report.
    pub reconciliation: Arc<Reconciliation>,
    /// What it says together with the reports before it. Follows from them, so that the state's digest goes without it.
    #[serde(skip)]
    pub arrived: Arc<Arrived>,
    /// The controller's reason for taking unequal tables, if they did.
    pub accepted: Option<String>,
}

/// Why a consignment is to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A person gave the round up.
    Abandoned,
    /// The migration was cancelled.
    Cancelled,
    /// The controller signed the migration off.
    SignedOff,
    /// Its deadline, or the migration's, passed.
    Overdue,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Consignment {
    /// Named by the extracting device.
    pub id: ConsignmentId,
    /// Under which plan.
    pub plan: Digest,
    /// What for.
    pub kind: Kind,
    /// Which sample, for a rehearsal.
    pub seed: u32,
    /// How much of everything, in basis points: less than [`crate::EVERYTHING`] in a rehearsal only.
    pub basis_points: u32,
    /// The target's identity.
    pub target: String,
    /// When it is destroyed, whoever does nothing.
    pub deadline: Timestamp,
    /// The certificate of the person who opened it and with that set its deadline.
    pub set_by: Digest,
    /// The number of the opening fact.
    pub fact: u64,
    /// The digest of the opening act's bytes: the salt of the consignment key.
    pub opened: Digest,
    /// Who opened it.
    pub operator: PersonId,
    /// On which device; only this one extracts.
    pub device: PublicKey,
    /// SHA-256 of the strongroom share.
    pub strongroom_share: Digest,
    /// Where it stands.
    pub stage: Stage,
    /// All attempts.
    pub attempts: Vec<Attempt>,
    /// The devices whose machines may write memory in clear to their swap, they say.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub clear_swap: BTreeSet<PublicKey>,
    /// Offered keys, the newest of each device.
    pub offers: Vec<Offer>,
    /// The manifest with the digest of the closing act's bytes.
    pub manifest: Option<(Digest, Arc<Manifest>)>,
    /// The release.
    pub released: Option<Released>,
    /// The report.
    pub outcome: Option<Outcome>,
    /// Why it is to be destroyed, once it is.
    pub ending: Option<Ending>,
    /// What the parties said they destroyed: part, device, keys, probe.
    pub parts: Vec<(Part, PublicKey, u32, Option<ProbeResult>)>,
}

impl Consignment {
    /// The attempt that runs, or ran last.
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The number of the attempt after the last.
    pub fn next_attempt(&self) -> u32 {
        self.attempts.last().map_or(1, |attempt| attempt.number.saturating_add(1))
    }

    /// Who held a part of the keys and has not said that it is destroyed.
    pub fn owes_part(&self) -> Option<&'static str> {
        let said = |part: Part, device: &PublicKey| self.parts.iter().any(|(of, by, _, _)| *of == part && by == device);
        if !self.attempts.is_empty() && !said(Part::Laboratory, &self.device) {
            return Some("operator");
        }
        let silent = self.offers.iter().any(|offer| !said(Part::Recipient, &offer.device));
        silent.then_some("recipient")
    }

    /// Whether the report is equal, or was accepted as it is.
    pub fn settled(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.reconciliation.equal() || outcome.accepted.is_some())
    }

    /// Whether a sign-off is over it: loaded and settled, no rehearsal, and nobody gave it up. Its own deadline takes its
    /// keys and parcels; what the new system holds, and the report on it, stand.
    pub fn stands(&self) -> bool {
        self.kind != Kind::Rehearsal && self.settled() && matches!(self.ending, None | Some(Ending::Overdue))
    }

    /// Whether it is neither destroyed nor about to be.
    pub fn alive(&self) -> bool {
        self.stage != Stage::Destroyed && self.ending.is_none()
    }
}
