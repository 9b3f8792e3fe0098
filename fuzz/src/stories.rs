//! The stories that acts, facts, answers and packs are taken from. Between them they tell every act there is, and what a
//! fact may hold beside its usual parts.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lexicon::{Digest, hours_after};
use people::Roster;
use procedure::{Act, Entry, LastFact, Ledger, Proof, Step};

use crate::cast::{CAST, ORIGIN, Who, start};
use crate::shelved::Shelved;
use crate::tale::{ROUND, Setting, Tale};

/// One of them, and its ledger before each of its facts and after the last.
pub(crate) struct Story {
    pub(crate) tale: Tale,
    ledgers: Vec<Ledger>,
}

/// The usual one first.
pub(crate) static STORIES: LazyLock<Vec<Story>> = LazyLock::new(|| {
    let tales = [Tale::whole(Setting::default()), troubled(), overdue(), given_up()];
    tales.into_iter().map(Story::of).collect()
});

impl Story {
    fn of(tale: Tale) -> Self {
        let mut ledgers = vec![Ledger::new(ORIGIN, CAST.server.public(), tale.ledger.migration().id)];
        for placed in &tale.placed {
            let mut ledger = ledgers.last().unwrap().clone();
            ledger.admit(&placed.entry, &tale.roster, None).unwrap();
            ledgers.push(ledger);
        }
        Self { tale, ledgers }
    }

    /// Every entry with the ledger that it is the next of.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Ledger, &Entry)> {
        self.ledgers.iter().zip(self.tale.placed.iter().map(|placed| &placed.entry))
    }

    /// The ledger after so many facts.
    pub(crate) fn after(&self, facts: usize) -> &Ledger {
        self.ledgers.get(facts).or(self.ledgers.last()).unwrap()
    }
}

/// Everybody who can sign, whatever the story.
pub(crate) fn roster() -> &'static Roster {
    &STORIES.first().unwrap().tale.roster
}

/// The ledger whose last fact this is; the usual story's after as many, when there is none.
pub(crate) fn known_after(last: LastFact) -> &'static Ledger {
    let mut all = STORIES.iter().flat_map(|story| &story.ledgers);
    let facts = usize::try_from(last.number).unwrap_or(usize::MAX);
    all.find(|ledger| ledger.last() == last).unwrap_or_else(|| STORIES.first().unwrap().after(facts))
}

/// The entry of this act with the ledger that it is the next of; the usual story's at the place of this number, when there
/// is none.
pub(crate) fn known_act(act: Digest, number: u64) -> Option<(&'static Ledger, &'static Entry)> {
    let mut all = STORIES.iter().flat_map(Story::steps);
    let place = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let is_it = |entry: &Entry| entry.proof.digest().ok() == Some(act);
    all.find(|(_, entry)| is_it(entry)).or_else(|| STORIES.first().unwrap().steps().nth(place))
}

/// A freeze, a revoked certificate, a moved deadline, swap in clear, a difference that is taken, an attempt that fails, a
/// shelf that keeps something, a declared snapshot, a time stamp.
fn troubled() -> Tale {
    let mut tale = Tale::approved(Setting {
        unequal: true,
        clear_swap: true,
        lingering: true,
        unlinked: true,
        stamped: true,
        snapshot_days: 14,
        inventory: Shelved::MoreBesides,
        ..Setting::default()
    });
    let reason = || "a doubt".to_owned();
    tale.does(Who::Engineer, Act::Freeze { reason: reason() });
    tale.records(Proof::Revocation(CAST.revocation(Who::Bystander, start(), tale.at)));
    tale.does(Who::Controller, Act::Thaw { reason: reason() });
    tale.does(Who::Engineer, Act::Thaw { reason: reason() });
    let until = hours_after(tale.ledger.migration().deadline.unwrap().at, 24);
    tale.does(Who::Controller, Act::Extend { until, reason: reason() });
    let mut tale = tale.opens().begins_to_extract().closes().releases().loads();
    tale.begins(Who::Recipient, Step::Reconcile);
    tale.does(Who::Recipient, Act::Failed { consignment: ROUND, step: Step::Reconcile, attempt: 3, code: 607 });
    tale.signs_off().destroys().finishes().recipient_says(None).laboratory_says()
}

/// Both deadlines pass; the ring key lies in a token.
fn overdue() -> Tale {
    let mut tale = Tale::approved(Setting { key_ring: "pkcs11", ..Setting::default() }).opens().begins_to_extract();
    tale.pass_minutes(49 * 60);
    tale.records(Proof::Deadline(Act::Overdue { consignment: Some(ROUND) }));
    let mut tale = tale.destroys();
    tale.pass_minutes(31 * 24 * 60);
    tale.records(Proof::Deadline(Act::Overdue { consignment: None }));
    tale.finishes().laboratory_says()
}

/// The round, then all of it; the service that keeps the ring key has none.
fn given_up() -> Tale {
    let setting = Setting { key_ring: "openbao", key_missing: true, share_lost: true, ..Setting::default() };
    let mut tale = Tale::approved(setting).opens();
    tale.does(Who::Operator, Act::Abandon { consignment: ROUND, reason: "another day".to_owned() });
    tale.destroys().cancels().finishes()
}

/// How many acts there are.
const ACTS: usize = 23;

/// Which of them: a new one has no place until it is told in a story.
fn place(act: &Act) -> usize {
    match act {
        Act::Open { .. } => 0,
        Act::Propose { .. } => 1,
        Act::Approve { .. } => 2,
        Act::Extend { .. } => 3,
        Act::Freeze { .. } => 4,
        Act::Thaw { .. } => 5,
        Act::Cancel { .. } => 6,
        Act::SignOff { .. } => 7,
        Act::OpenConsignment { .. } => 8,
        Act::Offer { .. } => 9,
        Act::Begin { .. } => 10,
        Act::Failed { .. } => 11,
        Act::Close { .. } => 12,
        Act::Release { .. } => 13,
        Act::HandOver { .. } => 14,
        Act::Done { .. } => 15,
        Act::AcceptDifference { .. } => 16,
        Act::Abandon { .. } => 17,
        Act::Revoke { .. } => 18,
        Act::Overdue { .. } => 19,
        Act::Destroyed { .. } => 20,
        Act::PartDestroyed { .. } => 21,
        Act::Finish { .. } => 22,
    }
}

/// The places of acts that no story tells.
pub fn untold() -> Vec<usize> {
    let recorded = STORIES.iter().flat_map(|story| story.tale.ledger.recorded());
    let told: BTreeSet<usize> = recorded.map(|recorded| place(&recorded.fact.act)).collect();
    (0..ACTS).filter(|place| !told.contains(place)).collect()
}
