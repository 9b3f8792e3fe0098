use std::collections::BTreeMap;

use lexicon::{Code, Digest, MigrationId, Refusal, Result, Timestamp, digest_of, hours_after, limits};
use people::{PublicKey, RootId};
use serde::{Deserialize, Serialize};

use crate::{Instruction, Kind};

/// Which side of the instruction an organisation stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The laboratory.
    Controller,
    /// The vendor.
    Processor,
}

/// One root and its side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanParty {
    /// Whose.
    pub root: RootId,
    /// For a person's eye; the root counts.
    pub organisation: String,
    /// On which side.
    pub side: Side,
}

/// The old system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Scheme, host and database; no credentials.
    pub identity: String,
    /// Digest of its tables and columns.
    pub schema: Digest,
    /// Whether it is written to while it is read.
    pub live: bool,
}

/// A new system: the full one, or one that rehearsals load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Which kinds of consignment it takes.
    pub kinds: Vec<Kind>,
    /// Scheme, host and database; no credentials.
    pub identity: String,
    /// Digest of its tables and columns.
    pub schema: Digest,
    /// By table and column, marks of how each is declared: what has changed since is named by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub declared: BTreeMap<String, BTreeMap<String, String>>,
    /// The folder in which each part of documents gets a folder of its own, where the scope has any: `folder:` and its
    /// absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<String>,
}

/// How many consignments of a kind there may be and how long each may live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Which kind.
    pub kind: Kind,
    /// How many over the migration's life.
    pub count_max: u32,
    /// How long each.
    pub hours_max: u32,
}

/// What people approve: the canonical bytes of this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `lazaret/1/plan`.
    pub purpose: String,
    /// Of which migration.
    pub migration: MigrationId,
    /// From 1; each amendment adds 1.
    pub serial: u32,
    /// The plan it replaces.
    pub previous: Option<Digest>,
    /// Each root with its side.
    pub parties: Vec<PlanParty>,
    /// The whole instruction: who approves the plan approves every item of it.
    pub instruction: Instruction,
    /// Digest of the scope.
    pub scope: Digest,
    /// Digest of the scope report, the statement of a laboratory person.
    pub report: Digest,
    /// The old system.
    pub source: System,
    /// The new ones.
    pub targets: Vec<Target>,
    /// Devices that may extract.
    pub extracting: Vec<PublicKey>,
    /// Devices that may load.
    pub loading: Vec<PublicKey>,
    /// Kinds of consignment.
    pub allowed: Vec<Allowed>,
    /// When everything is destroyed, whoever does nothing.
    pub deadline: Timestamp,
    /// The farthest that the deadline can ever be extended to.
    pub extension_cap: Timestamp,
    /// Kind of key ring: one of [`Plan::KEY_RINGS`].
    pub key_ring: String,
    /// Whether one person may extract and load.
    pub one_operator_both_ends: bool,
}

impl Plan {
    /// The one purpose there is.
    pub const PURPOSE: &'static str = "lazaret/1/plan";

    /// The kinds of key ring: a file of the server, a token (PKCS#11), a service (OpenBao).
    pub const KEY_RINGS: [&'static str; 3] = ["local", "pkcs11", "openbao"];

    /// SHA-256 of the canonical bytes.
    ///
    /// # Errors
    /// As [`digest_of`].
    pub fn digest(&self) -> Result<Digest> {
        digest_of(self)
    }

    /// The side of a root in this plan.
    pub fn side(&self, root: &RootId) -> Option<Side> {
        self.parties.iter().find(|party| party.root == *root).map(|party| party.side)
    }

    /// The target that consignments of this kind load.
    pub fn target(&self, kind: Kind) -> Option<&Target> {
        self.targets.iter().find(|target| target.kinds.contains(&kind))
    }

    /// What is allowed of a kind.
    pub fn allowed(&self, kind: Kind) -> Option<&Allowed> {
        self.allowed.iter().find(|allowed| allowed.kind == kind)
    }

    /// Whether the plan can be proposed at `at`.
    ///
    /// # Errors
    /// A refusal that names what is missing or contradicts itself.
    pub fn check(&self, at: Timestamp) -> Result<(), Refusal> {
        self.instruction.check()?;
        let cap = hours_after(at, limits::DEADLINE_DAYS_MAX.saturating_mul(24));
        let one_controller = self.parties.iter().filter(|party| party.side == Side::Controller).count() == 1;
        let kinds = [Kind::Rehearsal, Kind::Full, Kind::Delta];
        let once = |kind: Kind| self.targets.iter().filter(|target| target.kinds.contains(&kind)).count() <= 1;
        let full = self.target(Kind::Full);
        let apart = match (full, self.target(Kind::Rehearsal)) {
            (Some(full), Some(rehearsal)) => {
                let folders = full.documents.as_ref().zip(rehearsal.documents.as_ref());
                full.identity != rehearsal.identity && folders.is_none_or(|(full, rehearsal)| full != rehearsal)
            }
            _ => true,
        };
        let checks = [
            (self.purpose == Self::PURPOSE, "its purpose is not 'lazaret/1/plan'"),
            (one_controller, "it does not name exactly one controller"),
            (
                self.allowed(Kind::Full).is_some() && full.is_some(),
                "it allows no full consignment, or names no target for it",
            ),
            (kinds.into_iter().all(once), "two targets take the same kind of consignment"),
            (apart, "a rehearsal would load the full target"),
            (!self.extracting.is_empty() && !self.loading.is_empty(), "it names no extracting or no loading device"),
            (self.deadline > at && self.deadline <= cap, "its deadline is not within the next 90 days"),
            (
                self.extension_cap >= self.deadline && self.extension_cap <= hours_after(cap, 24 * 90),
                "its extension cap is before its deadline, or more than 90 days after the latest one",
            ),
            (
                self.instruction.deadline.is_some_and(|deadline| self.deadline <= deadline),
                "its deadline is after the instruction's",
            ),
            (
                Self::KEY_RINGS.contains(&self.key_ring.as_str()),
                "its key ring is of a kind that this version does not have",
            ),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, why)) => Err(Refusal::new(
                Code(202),
                format!("the plan cannot be proposed: {why}"),
                "Mend the plan and propose it again.",
            )),
        }
    }
}
