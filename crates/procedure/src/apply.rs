use std::collections::BTreeSet;
use std::sync::Arc;

use lexicon::{Digest, Timestamp};
use people::{Actor, RootId};

use crate::{
    Act, Approval, Attempt, Consignment, ConsignmentStage as Round, Deadline, Ending, Fact, Frozen, Migration, Offer,
    Outcome, Released, Side, SignOff, Stage, Step,
};

impl Migration {
    /// The migration after a fact. Total: whatever [`crate::decide`] let through has a meaning here.
    #[must_use]
    pub fn apply(mut self, fact: &Fact) -> Self {
        self.facts = fact.number;
        self.last_at = fact.at;
        match &fact.by {
            Actor::Person(signer) => self.apply_act(fact, Some(signer)),
            Actor::Root(_) | Actor::Deadline { .. } | Actor::Strongroom => self.apply_act(fact, None),
        }
        self
    }

    fn apply_act(&mut self, fact: &Fact, signer: Option<&people::Signer>) {
        match (&fact.act, signer) {
            (Act::Open { parties }, _) => self.parties.clone_from(parties),
            (Act::Propose { plan }, Some(signer)) => {
                self.stage = Stage::Drafted;
                self.approvals.clear();
                let digest = plan.digest().unwrap_or(fact.digest);
                // A proposal can bring the end nearer at once; to move it away takes the approvals.
                if self.deadline.is_none_or(|standing| plan.deadline < standing.at) {
                    self.set_deadline(plan.deadline, fact, signer);
                }
                self.plan = Some((digest, plan.as_ref().clone(), signer.person()));
            }
            (Act::Approve { .. }, Some(signer)) => self.apply_approval(fact, signer),
            (Act::Extend { until, .. }, Some(signer)) => self.set_deadline(*until, fact, signer),
            (Act::Freeze { reason }, Some(signer)) => {
                self.frozen = Some(Frozen { by: signer.person(), reason: reason.clone(), thaw: Vec::new() });
            }
            (Act::Thaw { .. }, Some(signer)) => self.apply_thaw(signer),
            (Act::Cancel { .. }, _) => {
                self.cancelled = true;
                self.end_all(Ending::Cancelled);
            }
            (Act::SignOff { reports, history }, Some(signer)) => {
                self.stage = Stage::SignedOff;
                self.sign_off =
                    Some(SignOff { person: signer.person(), reports: reports.clone(), history: history.clone() });
                self.end_all(Ending::SignedOff);
            }
            (Act::Revoke { root, certificate, compromised_since }, _) => {
                self.apply_revocation(*root, *certificate, *compromised_since);
            }
            (Act::Overdue { consignment: None }, _) => {
                self.overdue = true;
                self.end_all(Ending::Overdue);
            }
            (Act::Finish { certificate }, _) => {
                self.stage = Stage::Destroyed;
                self.certificate = Some(*certificate);
            }
            (act, Some(signer)) => self.apply_round(fact, act, signer),
            (Act::Overdue { consignment: Some(id) }, None) => {
                self.with_consignment(*id, |consignment| consignment.ending = Some(Ending::Overdue));
            }
            (Act::Destroyed { consignment, .. }, None) => {
                self.with_consignment(*consignment, |consignment| consignment.stage = Round::Destroyed);
            }
            (_, None) => {}
        }
    }

    fn apply_approval(&mut self, fact: &Fact, signer: &people::Signer) {
        self.approvals.push(Approval {
            person: signer.person(),
            name: signer.name().to_owned(),
            root: signer.root(),
            certificate: signer.certificate(),
            fact: fact.number,
        });
        self.settle_approvals();
        let agreed = self.plan.as_ref().filter(|_| self.stage == Stage::Approved).map(|(_, plan, _)| plan.deadline);
        if let Some(agreed) = agreed.filter(|agreed| self.deadline.is_some_and(|standing| *agreed > standing.at)) {
            self.set_deadline(agreed, fact, signer);
        }
    }

    fn set_deadline(&mut self, at: Timestamp, fact: &Fact, signer: &people::Signer) {
        self.deadline = Some(Deadline { at, set_by: signer.certificate(), fact: fact.number });
    }

    /// What was decided in ignorance of it is decided again: approvals before the first long step, voices for a thaw.
    pub(crate) fn apply_revocation(&mut self, root: RootId, certificate: Digest, since: Timestamp) {
        let known = self.revoked.entry(root).or_default().entry(certificate).or_insert(since);
        *known = since.min(*known);
        if let Some(frozen) = &mut self.frozen {
            frozen.thaw.clear();
        }
        if !self.ending() && !self.begun() {
            self.approvals.retain(|approval| approval.root != root || approval.certificate != certificate);
            self.settle_approvals();
        }
    }

    /// Two persons, one at least of the controller's organisation.
    fn settle_approvals(&mut self) {
        let of_controller = self.approvals.iter().any(|approval| self.side(&approval.root) == Some(Side::Controller));
        self.stage = if self.approvals.len() >= 2 && of_controller { Stage::Approved } else { Stage::Drafted };
    }

    /// Whether a long step was ever begun under the plan that stands.
    fn begun(&self) -> bool {
        let standing = self.plan.as_ref().map(|(digest, _, _)| *digest);
        self.consignments.iter().any(|c| Some(c.plan) == standing && !c.attempts.is_empty())
    }

    fn apply_thaw(&mut self, signer: &people::Signer) {
        let side = self.side(&signer.root()).unwrap_or(Side::Processor);
        let controller = side == Side::Controller && signer.is(people::Role::Controller);
        let Some(frozen) = &mut self.frozen else { return };
        frozen.thaw.push((signer.person(), if controller { Side::Controller } else { Side::Processor }));
        if frozen.thaw.len() >= 2 && frozen.thaw.iter().any(|(_, side)| *side == Side::Controller) {
            self.frozen = None;
        }
    }

    fn end_all(&mut self, why: Ending) {
        for consignment in self.consignments.iter_mut().filter(|consignment| consignment.alive()) {
            consignment.ending = Some(why);
        }
    }

    fn with_consignment(&mut self, id: lexicon::ConsignmentId, change: impl FnOnce(&mut Consignment)) {
        if let Some(consignment) = self.consignments.iter_mut().find(|consignment| consignment.id == id) {
            change(consignment);
        }
    }

    fn apply_round(&mut self, fact: &Fact, act: &Act, signer: &people::Signer) {
        if let Act::OpenConsignment { consignment, plan, kind, seed, basis_points, target, deadline } = act {
            self.consignments.push(Consignment {
                id: *consignment,
                plan: *plan,
                kind: *kind,
                seed: *seed,
                basis_points: *basis_points,
                target: target.clone(),
                deadline: *deadline,
                set_by: signer.certificate(),
                fact: fact.number,
                opened: fact.digest,
                operator: signer.person(),
                device: signer.device(),
                strongroom_share: fact.strongroom_share.unwrap_or(fact.digest),
                stage: Round::Open,
                attempts: Vec::new(),
                clear_swap: BTreeSet::new(),
                offers: Vec::new(),
                manifest: None,
                released: None,
                outcome: None,
                ending: None,
                parts: Vec::new(),
            });
        } else if let Some(id) = act.consignment() {
            self.with_consignment(id, |consignment| {
                consignment.clear_swap.extend(act.clear_swap().then(|| signer.device()));
                consignment.apply(fact, act, signer);
            });
        }
    }
}

impl Consignment {
    fn apply(&mut self, fact: &Fact, act: &Act, signer: &people::Signer) {
        match act {
            Act::Offer { key, .. } => {
                self.offers.retain(|offer| offer.device != signer.device());
                self.offers.push(Offer {
                    digest: fact.digest,
                    person: signer.person(),
                    root: signer.root(),
                    certificate: signer.certificate(),
                    device: signer.device(),
                    key: key.clone(),
                });
            }
            Act::Begin { step, attempt, lease, .. } => {
                self.stop();
                self.attempts.push(Attempt {
                    step: *step,
                    number: *attempt,
                    device: signer.device(),
                    lease: *lease,
                    running: true,
                });
            }
            Act::Failed { .. } => self.stop(),
            Act::Close { manifest } => {
                self.stop();
                self.manifest = Some((fact.digest, Arc::clone(manifest)));
                self.stage = Round::Closed;
            }
            Act::Release { offers, load_by, .. } => {
                self.released = Some(Released { offers: offers.clone(), load_by: *load_by, share: None });
                self.stage = Round::Released;
            }
            Act::HandOver { share, .. } => {
                if let Some(released) = &mut self.released {
                    released.share = Some(*share);
                }
            }
            Act::Done { step: step @ (Step::Load | Step::Reconcile), outcome, .. } => {
                self.stop();
                self.stage = Round::Loaded;
                let reconciliation = Arc::clone(outcome);
                let mut arrived = self.outcome.take().map(|before| before.arrived).unwrap_or_default();
                Arc::make_mut(&mut arrived).see(*step, &reconciliation);
                self.outcome = Some(Outcome { digest: fact.digest, reconciliation, arrived, accepted: None });
            }
            Act::AcceptDifference { reason, .. } => {
                if let Some(outcome) = &mut self.outcome {
                    outcome.accepted = Some(reason.clone());
                }
            }
            Act::Abandon { .. } => self.ending = Some(Ending::Abandoned),
            Act::PartDestroyed { part, keys, probe, .. } => self.parts.push((*part, signer.device(), *keys, *probe)),
            Act::Done { step: Step::Extract, .. }
            | Act::Open { .. }
            | Act::Propose { .. }
            | Act::Approve { .. }
            | Act::Extend { .. }
            | Act::Freeze { .. }
            | Act::Thaw { .. }
            | Act::Cancel { .. }
            | Act::SignOff { .. }
            | Act::OpenConsignment { .. }
            | Act::Revoke { .. }
            | Act::Overdue { .. }
            | Act::Destroyed { .. }
            | Act::Finish { .. } => {}
        }
    }

    fn stop(&mut self) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.running = false;
        }
    }
}
