use lexicon::ConsignmentId;
use people::{PublicKey, Signer};
use procedure::{
    Act, Arrived, Consignment, Destroyed, Ledger, Manifest, Part, ProbeResult, Reconciliation, Recorded, Side, Step,
};
use serde::{Deserialize, Serialize};

/// How far a consignment had come when it was destroyed; what its destruction achieves depends on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// No extraction was begun: the strongroom share never left the server and no parcel was sealed.
    NotExtracted,
    /// Sealed, perhaps in part; not released.
    BeforeRelease,
    /// Released; no recipient had received the strongroom share.
    Released,
    /// A recipient had begun to load, and with that received the strongroom share too.
    RecipientHadBoth,
}

/// A party's word that it destroyed its part.
pub(crate) struct PartSaid<'l> {
    pub(crate) recorded: &'l Recorded,
    pub(crate) signer: &'l Signer,
    pub(crate) part: Part,
    pub(crate) keys: u32,
    pub(crate) probe: Option<ProbeResult>,
}

/// All facts of one consignment, sorted by what they are.
pub(crate) struct Round<'l> {
    pub(crate) consignment: &'l Consignment,
    pub(crate) opened: &'l Recorded,
    pub(crate) extractions: Vec<&'l Recorded>,
    pub(crate) closed: Option<(&'l Recorded, &'l Manifest)>,
    pub(crate) offers: Vec<&'l Recorded>,
    pub(crate) releases: Vec<&'l Recorded>,
    pub(crate) handed_over: Vec<&'l Recorded>,
    pub(crate) loads: Vec<&'l Recorded>,
    pub(crate) outcomes: Vec<(&'l Recorded, &'l Reconciliation)>,
    pub(crate) accepted: Option<(&'l Recorded, &'l str)>,
    pub(crate) abandoned: Option<(&'l Recorded, &'l str)>,
    pub(crate) overdue: Option<&'l Recorded>,
    pub(crate) destroyed: Option<(&'l Recorded, &'l Destroyed)>,
    pub(crate) parts: Vec<PartSaid<'l>>,
}

impl<'l> Round<'l> {
    /// The rounds of a migration in the order of their opening.
    pub(crate) fn all(ledger: &'l Ledger) -> Vec<Self> {
        let theirs = ledger.migration().consignments.iter();
        theirs.filter_map(|consignment| Self::of(ledger, consignment)).collect()
    }

    fn of(ledger: &'l Ledger, consignment: &'l Consignment) -> Option<Self> {
        let mut facts =
            ledger.recorded().iter().filter(|recorded| recorded.fact.act.consignment() == Some(consignment.id));
        let opened = facts.next()?;
        let mut round = Self {
            consignment,
            opened,
            extractions: Vec::new(),
            closed: None,
            offers: Vec::new(),
            releases: Vec::new(),
            handed_over: Vec::new(),
            loads: Vec::new(),
            outcomes: Vec::new(),
            accepted: None,
            abandoned: None,
            overdue: None,
            destroyed: None,
            parts: Vec::new(),
        };
        facts.for_each(|recorded| round.sort(recorded));
        Some(round)
    }

    fn sort(&mut self, recorded: &'l Recorded) {
        match &recorded.fact.act {
            Act::Begin { step: Step::Extract, .. } => self.extractions.push(recorded),
            Act::Begin { step: Step::Load | Step::Reconcile, .. } => self.loads.push(recorded),
            Act::Close { manifest } => self.closed = Some((recorded, manifest)),
            Act::Offer { .. } => self.offers.push(recorded),
            Act::Release { .. } => self.releases.push(recorded),
            Act::HandOver { .. } => self.handed_over.push(recorded),
            Act::Done { outcome, .. } => self.outcomes.push((recorded, outcome)),
            Act::AcceptDifference { reason, .. } => self.accepted = Some((recorded, reason)),
            Act::Abandon { reason, .. } => self.abandoned = Some((recorded, reason)),
            Act::Overdue { .. } => self.overdue = Some(recorded),
            Act::Destroyed { evidence, .. } => self.destroyed = Some((recorded, evidence)),
            Act::PartDestroyed { part, keys, probe, .. } => {
                if let Some(signer) = recorded.fact.by.person() {
                    self.parts.push(PartSaid { recorded, signer, part: *part, keys: *keys, probe: *probe });
                }
            }
            Act::Open { .. }
            | Act::Propose { .. }
            | Act::Approve { .. }
            | Act::Extend { .. }
            | Act::Freeze { .. }
            | Act::Thaw { .. }
            | Act::Cancel { .. }
            | Act::SignOff { .. }
            | Act::OpenConsignment { .. }
            | Act::Failed { .. }
            | Act::Revoke { .. }
            | Act::Finish { .. } => {}
        }
    }

    pub(crate) fn id(&self) -> ConsignmentId {
        self.consignment.id
    }

    /// What its reports say together, up to and with the one at this place.
    pub(crate) fn arrived(&self, place: usize) -> Arrived {
        let mut arrived = Arrived::default();
        for (recorded, report) in self.outcomes.iter().take(place.saturating_add(1)) {
            if let Act::Done { step, .. } = &recorded.fact.act {
                arrived.see(*step, report);
            }
        }
        arrived
    }

    /// Every act on a machine that may write its memory in clear to its swap, with whose it is.
    pub(crate) fn in_clear_swap(&self) -> impl Iterator<Item = (&'l Recorded, &'l Signer)> {
        let acts = [&self.extractions, &self.offers, &self.handed_over, &self.loads].into_iter().flatten().copied();
        let theirs = acts.filter(|recorded| recorded.fact.act.clear_swap());
        theirs.filter_map(|recorded| Some((recorded, recorded.fact.by.person()?)))
    }

    /// How far it had come.
    pub(crate) fn reach(&self) -> Reach {
        if !self.loads.is_empty() {
            Reach::RecipientHadBoth
        } else if !self.releases.is_empty() {
            Reach::Released
        } else if !self.extractions.is_empty() {
            Reach::BeforeRelease
        } else {
            Reach::NotExtracted
        }
    }

    /// Whether the device that made the laboratory share was certified by the vendor.
    pub(crate) fn share_held_by_vendor(&self, ledger: &Ledger) -> bool {
        let root = self.opened.fact.by.person().map(Signer::root);
        root.is_none_or(|root| ledger.migration().side(&root) != Some(Side::Controller))
    }

    /// The laboratory's word that its share is destroyed: from the extracting device, or it is not the laboratory's.
    pub(crate) fn laboratory_said(&self) -> Option<&PartSaid<'l>> {
        self.parts.iter().find(|said| said.part == Part::Laboratory && said.signer.device() == self.consignment.device)
    }

    /// The word of this device that its opening keys are destroyed. The last one counts.
    pub(crate) fn recipient_said(&self, device: PublicKey) -> Option<&PartSaid<'l>> {
        self.parts.iter().rev().find(|said| said.part == Part::Recipient && said.signer.device() == device)
    }

    /// Every device to whose key the laboratory share was or could be sealed: those of all releases, whichever stands.
    pub(crate) fn recipients(&self) -> Vec<&'l Signer> {
        let mut found: Vec<&Signer> = Vec::new();
        for release in &self.releases {
            let Act::Release { offers, .. } = &release.fact.act else { continue };
            let named = self.offers.iter().filter(|offer| offers.contains(&offer.fact.digest));
            for signer in named.filter_map(|offer| offer.fact.by.person()) {
                if found.iter().all(|other| other.device() != signer.device()) {
                    found.push(signer);
                }
            }
        }
        found
    }

    /// What a recipient's statement lacks to show that nothing opens any more with its keys; none when it shows that, or
    /// owes no probe: a device that never began to load never had both shares, nor a parcel to try.
    pub(crate) fn unshown(&self, said: &PartSaid<'_>) -> Option<&'static str> {
        let device = Some(said.signer.device());
        let by_it = |recorded: &Recorded| recorded.fact.by.person().map(Signer::device) == device;
        let had_both = self.loads.iter().any(|recorded| by_it(recorded));
        let last = self.outcomes.iter().rfind(|(recorded, _)| by_it(recorded));
        let after = self.destroyed.is_some_and(|(gone, _)| gone.fact.number < said.recorded.fact.number);
        match said.probe {
            None => had_both.then_some("it was made without a probe"),
            // Earlier it fails, or opens, for another reason.
            Some(_) if !after => Some("its probe was made before the server destroyed its part and shows nothing"),
            Some(ProbeResult::Opened) => Some("it says that a parcel opened"),
            Some(ProbeResult::Failed) if last.is_some_and(|(_, outcome)| !outcome.opened) => {
                Some("its keys opened no parcel before either, so that its probe shows nothing")
            }
            Some(ProbeResult::Failed) => None,
        }
    }
}
