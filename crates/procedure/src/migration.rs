use std::collections::BTreeMap;

use lexicon::{ConsignmentId, Digest, MigrationId, PersonId, Timestamp};
use people::{Actor, RootId, Signer};
use serde::Serialize;

use crate::{Act, Consignment, ConsignmentStage, History, Kind, Plan, PlanParty, Side};

/// In the order of a migration's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A plan is written, proposed, perhaps approved once.
    Drafted,
    /// Two persons approved the same bytes.
    Approved,
    /// The controller has what it wanted; only destruction is left.
    SignedOff,
    /// The server's part is destroyed and certified.
    Destroyed,
}

/// One approval of the plan that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Who.
    pub person: PersonId,
    /// Their name.
    pub name: String,
    /// Of which organisation.
    pub root: RootId,
    /// By which certificate.
    pub certificate: Digest,
    /// The number of the fact.
    pub fact: u64,
}

/// When everything is destroyed, and who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// The certificate of the person.
    pub set_by: Digest,
    /// The number of the fact.
    pub fact: u64,
}

impl Deadline {
    /// Who acts when it has passed.
    pub fn actor(&self) -> Actor {
        Actor::Deadline { set_by: self.set_by, fact: self.fact }
    }
}

/// A freeze and the voices against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// Who froze.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// Who asks to thaw, with their side.
    pub thaw: Vec<(PersonId, Side)>,
}

/// The controller's last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignOff {
    /// Who.
    pub person: PersonId,
    /// Over which reports.
    pub reports: Vec<Digest>,
    /// Who holds the history.
    pub history: History,
}

/// A decided act with its number: what is applied, and what the server signs as a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// From 1.
    pub number: u64,
    /// By whom.
    pub by: Actor,
    /// When, by the server's time.
    pub at: Timestamp,
    /// The digest of the bytes that decided: a person's signed act, a revocation, or the server's own word.
    pub digest: Digest,
    /// The server's commitment, where the act needs one.
    pub strongroom_share: Option<Digest>,
    /// What.
    pub act: Act,
}

/// One migration as its facts have made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// Drawn by its author.
    pub id: MigrationId,
    /// How many facts there are.
    pub facts: u64,
    /// When the last was recorded.
    pub last_at: Timestamp,
    /// Who may see it: from `Open`.
    pub parties: Vec<PlanParty>,
    /// Where it stands.
    pub stage: Stage,
    /// The plan that stands, its digest, its author.
    pub plan: Option<(Digest, Plan, PersonId)>,
    /// Who approved it.
    pub approvals: Vec<Approval>,
    /// Once there is a plan.
    pub deadline: Option<Deadline>,
    /// No release, no hand-over.
    pub frozen: Option<Frozen>,
    /// Whether it goes to destruction without sign-off.
    pub cancelled: bool,
    /// Whether the deadline carried it off.
    pub overdue: bool,
    /// The controller's last word.
    pub sign_off: Option<SignOff>,
    /// All rounds.
    pub consignments: Vec<Consignment>,
    /// Certificates taken back, by the root that did, with the time since which their keys may be in other hands.
    pub revoked: BTreeMap<RootId, BTreeMap<Digest, Timestamp>>,
    /// The certificate of destruction.
    pub certificate: Option<Digest>,
}

/// Whose turn it is and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Which act is awaited, as a command's words.
    pub what: &'static str,
    /// Of whom: `controller`, `approver`, `operator`, `recipient`, `engineer`, `server`, `nobody`.
    pub who: &'static str,
    /// Until when, when something happens by itself then.
    pub until: Option<Timestamp>,
    /// In which consignment.
    pub consignment: Option<ConsignmentId>,
}

impl Migration {
    /// A migration of which nothing is known but its name.
    pub fn new(id: MigrationId) -> Self {
        Self {
            id,
            facts: 0,
            last_at: Timestamp::UNIX_EPOCH,
            parties: Vec::new(),
            stage: Stage::Drafted,
            plan: None,
            approvals: Vec::new(),
            deadline: None,
            frozen: None,
            cancelled: false,
            overdue: false,
            sign_off: None,
            consignments: Vec::new(),
            revoked: BTreeMap::new(),
            certificate: None,
        }
    }

    /// The round of this name.
    pub fn consignment(&self, id: ConsignmentId) -> Option<&Consignment> {
        self.consignments.iter().find(|consignment| consignment.id == id)
    }

    /// The round that is neither destroyed nor about to be; there is one at most, a loaded one not counted.
    pub fn current(&self) -> Option<&Consignment> {
        self.consignments
            .iter()
            .find(|consignment| consignment.alive() && consignment.stage != ConsignmentStage::Loaded)
    }

    /// The rounds that a sign-off is over, in the order of their opening.
    pub fn standing(&self) -> impl Iterator<Item = &Consignment> {
        self.consignments.iter().filter(|consignment| consignment.stands())
    }

    /// The side a root stands on.
    pub fn side(&self, root: &RootId) -> Option<Side> {
        self.parties.iter().find(|party| party.root == *root).map(|party| party.side)
    }

    /// Whether a signer's certificate was taken back, as far as the facts know.
    pub fn is_revoked(&self, signer: &Signer) -> bool {
        self.is_taken_back(signer.root(), signer.certificate())
    }

    /// Whether a root took back this certificate of its own. What another root says of it does not count.
    pub fn is_taken_back(&self, root: RootId, certificate: Digest) -> bool {
        self.revoked.get(&root).is_some_and(|taken| taken.contains_key(&certificate))
    }

    /// The deadline of one consignment, or of everything, with the person who set it.
    pub fn deadline_of(&self, consignment: Option<ConsignmentId>) -> Option<Deadline> {
        let Some(id) = consignment else { return self.deadline };
        self.consignment(id).map(|c| Deadline { at: c.deadline, set_by: c.set_by, fact: c.fact })
    }

    /// Whether nothing but destruction is left.
    pub fn ending(&self) -> bool {
        self.stage >= Stage::SignedOff || self.cancelled || self.overdue
    }

    /// Whether the deadline has passed at `at`.
    pub fn is_due(&self, at: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| at >= deadline.at)
    }

    /// Whose turn it is.
    pub fn turn(&self) -> Turn {
        let until = self.deadline.map(|deadline| deadline.at);
        let turn = |who, what| Turn { what, who, until, consignment: None };
        if self.stage == Stage::Destroyed {
            let owed =
                self.consignments.iter().find_map(|consignment| Some((consignment.id, consignment.owes_part()?)));
            let ended = Turn { until: None, ..turn("nobody", "nothing: every party says that its part is destroyed") };
            return owed.map_or(ended, |(consignment, who)| Turn {
                what: "migration destroy",
                who,
                until: None,
                consignment: Some(consignment),
            });
        }
        if self.ending() {
            return turn("server", "destroy");
        }
        if self.frozen.is_some() {
            return turn("controller", "migration thaw");
        }
        if self.plan.is_none() {
            return turn("engineer", "migration propose");
        }
        if self.stage == Stage::Drafted {
            let controller = |approval: &Approval| self.side(&approval.root) == Some(Side::Controller);
            let who = if self.approvals.iter().any(controller) { "approver" } else { "controller" };
            return turn(who, "migration approve");
        }
        match self.consignments.iter().rev().find(|consignment| consignment.alive()) {
            None if self.consignments.iter().any(|c| c.stage != ConsignmentStage::Destroyed) => {
                turn("server", "destroy")
            }
            None if self.standing().any(|c| c.kind == Kind::Full) => turn("controller", "migration sign-off"),
            None => turn("operator", "consignment open"),
            Some(consignment) if consignment.stage == ConsignmentStage::Loaded && consignment.stands() => {
                Turn { consignment: Some(consignment.id), ..turn("controller", "migration sign-off") }
            }
            Some(consignment) => Self::consignment_turn(consignment),
        }
    }

    fn consignment_turn(consignment: &Consignment) -> Turn {
        let turn = |who, what| Turn { what, who, until: Some(consignment.deadline), consignment: Some(consignment.id) };
        match consignment.stage {
            ConsignmentStage::Open => turn("operator", "extract"),
            ConsignmentStage::Closed if consignment.offers.is_empty() => turn("recipient", "consignment offer"),
            ConsignmentStage::Closed => turn("controller", "consignment release"),
            ConsignmentStage::Released => match &consignment.released {
                Some(released) if released.share.is_some() => {
                    Turn { until: Some(released.load_by), ..turn("recipient", "load") }
                }
                _ => turn("operator", "consignment hand-over"),
            },
            ConsignmentStage::Loaded if !consignment.settled() => turn("controller", "consignment accept-difference"),
            ConsignmentStage::Loaded => turn("controller", "consignment abandon"),
            ConsignmentStage::Destroyed => turn("nobody", "nothing"),
        }
    }
}
