//! What must be true of every accepted fact. Each promise is worked out from the facts before it, not from what the
//! migration remembers of them.

use std::collections::BTreeSet;

use lexicon::{ConsignmentId, Digest, PersonId};
use people::{Actor, Role, RootId, Signer};
use procedure::{Act, ConsignmentStage, Ending, Fact, Kind, Migration, Side, Stage, Step};

use crate::cast::CAST;

/// All promises, of one fact after `history`.
pub(crate) fn hold(history: &[Fact], before: &Migration, fact: &Fact, after: &Migration) {
    numbers_and_time_go_on(history, fact);
    the_actor_may_speak(history, fact);
    an_end_is_an_end(history, before, fact, after);
    only_a_deadline_that_passed_carries_off(history, before, fact);
    a_freeze_stops(history, fact);
    nobody_approves_twice_or_their_own(history, fact);
    nothing_begins_without_two_approvals(history, fact);
    nothing_loads_without_release_and_hand_over(history, before, fact);
    one_device_extracts(history, fact);
    sign_off_is_over_settled_rounds(history, before, fact, after);
    destruction_was_asked_for(history, before, fact);
    one_round_at_a_time(after);
}

fn signer(fact: &Fact) -> Option<&Signer> {
    fact.by.person()
}

fn laboratory() -> RootId {
    CAST.laboratory.public().digest()
}

fn decides_for_the_laboratory(fact: &Fact) -> bool {
    signer(fact).is_some_and(|signer| signer.root() == laboratory() && signer.is(Role::Controller))
}

fn numbers_and_time_go_on(history: &[Fact], fact: &Fact) {
    assert_eq!(fact.number, u64::try_from(history.len()).unwrap().wrapping_add(1));
    assert!(history.last().is_none_or(|last| last.at <= fact.at));
    assert_eq!(history.is_empty(), matches!(fact.act, Act::Open { .. }));
    assert_eq!(fact.strongroom_share.is_some(), matches!(fact.act, Act::OpenConsignment { .. }));
}

fn the_actor_may_speak(history: &[Fact], fact: &Fact) {
    match &fact.by {
        Actor::Person(signer) => {
            assert_ne!(signer.root(), CAST.foreign.public().digest(), "of no party");
            assert!(!is_revoked(history, signer.root(), signer.certificate()), "taken back: {:?}", fact.act);
        }
        Actor::Root(root) => assert!(matches!(&fact.act, Act::Revoke { root: own, .. } if own == root)),
        Actor::Deadline { .. } => assert!(matches!(fact.act, Act::Overdue { .. })),
        Actor::Strongroom => assert!(matches!(fact.act, Act::Destroyed { .. } | Act::Finish { .. })),
    }
    if matches!(fact.act, Act::Release { .. } | Act::SignOff { .. } | Act::Extend { .. } | Act::AcceptDifference { .. })
    {
        assert!(decides_for_the_laboratory(fact), "{:?}", fact.by);
    }
}

fn is_revoked(history: &[Fact], of: RootId, which: Digest) -> bool {
    history
        .iter()
        .any(|fact| matches!(&fact.act, Act::Revoke { root, certificate, .. } if *root == of && *certificate == which))
}

fn has_ended(history: &[Fact]) -> Option<&Fact> {
    history
        .iter()
        .find(|fact| matches!(fact.act, Act::SignOff { .. } | Act::Cancel { .. } | Act::Overdue { consignment: None }))
}

fn an_end_is_an_end(history: &[Fact], before: &Migration, fact: &Fact, after: &Migration) {
    let destroys =
        matches!(fact.act, Act::Destroyed { .. } | Act::PartDestroyed { .. } | Act::Finish { .. } | Act::Revoke { .. });
    if has_ended(history).is_some() {
        assert!(destroys, "{:?} after the end", fact.act);
    }
    if before.is_due(fact.at) {
        assert!(destroys || matches!(fact.act, Act::Overdue { .. }), "{:?} after the deadline", fact.act);
    }
    let falls = matches!(fact.act, Act::Propose { .. } | Act::Revoke { .. }) && after.stage == Stage::Drafted;
    assert!(after.stage >= before.stage || (falls && before.stage == Stage::Approved));
    for (old, new) in before.consignments.iter().zip(&after.consignments) {
        let given_up = matches!(fact.act, Act::Abandon { consignment, .. } if consignment == old.id)
            && old.ending == Some(Ending::Overdue)
            && counts(history, old.id);
        assert!(old.ending.is_none() || new.ending == old.ending || given_up, "an end was taken back");
        assert!(new.stage >= old.stage, "a consignment went back");
    }
    if let (Act::Propose { .. }, Some(old)) = (&fact.act, before.deadline) {
        assert!(after.deadline.is_some_and(|new| new.at <= old.at), "a proposal moved the deadline away");
    }
    if after.stage == Stage::Destroyed {
        assert!(after.consignments.iter().all(|c| c.stage == ConsignmentStage::Destroyed));
    }
}

fn only_a_deadline_that_passed_carries_off(history: &[Fact], before: &Migration, fact: &Fact) {
    let Act::Overdue { consignment } = &fact.act else { return };
    let Actor::Deadline { set_by, fact: number } = &fact.by else { panic!("carried off by {:?}", fact.by) };
    let setting = history.iter().find(|one| one.number == *number).unwrap();
    assert_eq!(signer(setting).unwrap().certificate(), *set_by);
    let passed = match (&setting.act, consignment) {
        (Act::OpenConsignment { consignment: own, deadline, .. }, Some(id)) => own == id && *deadline <= fact.at,
        (Act::Propose { plan }, None) => plan.deadline <= fact.at,
        (Act::Extend { until, .. }, None) => *until <= fact.at,
        (Act::Approve { .. }, None) => before.plan.as_ref().unwrap().1.deadline <= fact.at,
        _ => false,
    };
    assert!(passed, "{:?} does not set the deadline of {consignment:?}", setting.act);
}

fn is_frozen(history: &[Fact]) -> bool {
    let mut voices: Option<Vec<&Fact>> = None;
    for fact in history {
        match (&fact.act, &mut voices) {
            (Act::Freeze { .. }, _) => voices = Some(Vec::new()),
            (Act::Revoke { .. }, Some(heard)) => heard.clear(),
            (Act::Thaw { .. }, Some(heard)) => {
                heard.push(fact);
                let persons: BTreeSet<PersonId> = heard.iter().map(|fact| signer(fact).unwrap().person()).collect();
                if persons.len() >= 2 && heard.iter().any(|fact| decides_for_the_laboratory(fact)) {
                    voices = None;
                }
            }
            _ => {}
        }
    }
    voices.is_some()
}

fn a_freeze_stops(history: &[Fact], fact: &Fact) {
    let stopped = matches!(
        fact.act,
        Act::Release { .. } | Act::HandOver { .. } | Act::Begin { .. } | Act::OpenConsignment { .. }
    );
    assert!(!(stopped && is_frozen(history)), "{:?} in a freeze", fact.act);
}

/// Where the plan that stands was proposed.
fn proposal(history: &[Fact]) -> Option<(usize, &Fact, Digest)> {
    history.iter().enumerate().rev().find_map(|(index, fact)| match &fact.act {
        Act::Propose { plan } => Some((index, fact, plan.digest().unwrap())),
        _ => None,
    })
}

fn nobody_approves_twice_or_their_own(history: &[Fact], fact: &Fact) {
    let (Act::Approve { plan }, Some(approving)) = (&fact.act, signer(fact)) else { return };
    let (index, proposed, standing) = proposal(history).unwrap();
    assert_eq!(*plan, standing);
    assert_ne!(signer(proposed).unwrap().person(), approving.person(), "the author approved");
    let since = history.get(index..).unwrap();
    assert!(
        !since.iter().any(|fact| {
            matches!(fact.act, Act::Approve { .. })
                && signer(fact).is_some_and(|one| one.person() == approving.person())
        }),
        "one person approved twice"
    );
}

fn nothing_begins_without_two_approvals(history: &[Fact], fact: &Fact) {
    if !matches!(fact.act, Act::Begin { .. } | Act::OpenConsignment { .. }) {
        return;
    }
    let (index, proposed, standing) = proposal(history).unwrap();
    let author = signer(proposed).unwrap().person();
    let since = history.get(index..).unwrap();
    let first_begin = since.iter().position(|fact| matches!(fact.act, Act::Begin { .. })).unwrap_or(since.len());
    let known = since.get(..first_begin).unwrap();
    let approving: Vec<&Signer> = known
        .iter()
        .filter(|fact| matches!(&fact.act, Act::Approve { plan } if *plan == standing))
        .filter_map(signer)
        .filter(|signer| !is_revoked(known, signer.root(), signer.certificate()))
        .collect();
    let persons: BTreeSet<PersonId> = approving.iter().map(|signer| signer.person()).collect();
    assert!(persons.len() >= 2, "{:?} with {} approvals", fact.act, persons.len());
    assert!(!persons.contains(&author), "the author approved");
    assert!(approving.iter().any(|signer| signer.root() == laboratory()), "nobody of the laboratory approved");
    let of_plan = |id: ConsignmentId, plan: Digest| {
        since.iter().any(|fact| {
            let opened = fact.act.consignment() == Some(id);
            opened && matches!(&fact.act, Act::OpenConsignment { plan: own, .. } if *own == plan)
        })
    };
    match &fact.act {
        Act::Begin { consignment, .. } => assert!(of_plan(*consignment, standing), "begun under another plan"),
        Act::OpenConsignment { plan, .. } => assert_eq!(*plan, standing),
        _ => {}
    }
}

fn opener(history: &[Fact], id: ConsignmentId) -> &Signer {
    let opened = history
        .iter()
        .find(|fact| matches!(&fact.act, Act::OpenConsignment { consignment, .. } if *consignment == id))
        .unwrap();
    signer(opened).unwrap()
}

fn nothing_loads_without_release_and_hand_over(history: &[Fact], before: &Migration, fact: &Fact) {
    if let Act::Release { consignment, .. } = &fact.act {
        assert_ne!(signer(fact).unwrap().person(), opener(history, *consignment).person(), "released by its operator");
    }
    let (Act::Begin { consignment: id, step, .. }, Some(loading)) = (&fact.act, signer(fact)) else { return };
    assert!(before.deadline_of(Some(*id)).unwrap().at > fact.at, "begun after the deadline");
    if *step == Step::Extract {
        return;
    }
    let release = history
        .iter()
        .rposition(|fact| matches!(&fact.act, Act::Release { consignment, .. } if consignment == id))
        .unwrap();
    let Act::Release { offers, load_by, .. } = &history.get(release).unwrap().act else { panic!("no release") };
    let theirs = history
        .iter()
        .rev()
        .find(|fact| {
            let offers = matches!(&fact.act, Act::Offer { consignment, .. } if consignment == id);
            offers && signer(fact).is_some_and(|signer| signer.device() == loading.device())
        })
        .unwrap();
    assert!(offers.contains(&theirs.digest), "loaded with a key that was not released");
    let since = history.get(release..).unwrap();
    assert!(since.iter().any(|fact| matches!(&fact.act, Act::HandOver { consignment, .. } if consignment == id)));
    let reported = history.iter().any(|fact| matches!(&fact.act, Act::Done { consignment, .. } if consignment == id));
    assert!(reported || fact.at < *load_by, "first loaded after the load-by");
    assert_ne!(loading.person(), opener(history, *id).person(), "one person at both ends");
}

fn one_device_extracts(history: &[Fact], fact: &Fact) {
    let extracts = match &fact.act {
        Act::Begin { step: Step::Extract, .. } | Act::Close { .. } | Act::HandOver { .. } => fact.act.consignment(),
        _ => None,
    };
    if let Some(id) = extracts {
        assert_eq!(signer(fact).unwrap().device(), opener(history, id).device());
    }
}

/// Whether a sign-off must be over this round: no rehearsal, never given up, and if its deadline carried it off, then
/// after a report that was equal or taken as it is.
fn counts(history: &[Fact], id: ConsignmentId) -> bool {
    let theirs = || history.iter().filter(|fact| fact.act.consignment() == Some(id));
    let rehearsal = theirs().any(|fact| matches!(fact.act, Act::OpenConsignment { kind: Kind::Rehearsal, .. }));
    let given_up = theirs().any(|fact| matches!(fact.act, Act::Abandon { .. }));
    let overdue = theirs().any(|fact| matches!(fact.act, Act::Overdue { .. }));
    let mut settled = false;
    for fact in theirs() {
        match &fact.act {
            Act::Done { outcome, .. } => settled = outcome.equal(),
            Act::AcceptDifference { .. } => settled = true,
            _ => {}
        }
    }
    !rehearsal && !given_up && (settled || !overdue)
}

fn sign_off_is_over_settled_rounds(history: &[Fact], before: &Migration, fact: &Fact, after: &Migration) {
    let Act::SignOff { reports, .. } = &fact.act else { return };
    let counted: Vec<_> = before.consignments.iter().filter(|c| counts(history, c.id)).collect();
    assert!(counted.iter().any(|c| c.kind == Kind::Full), "signed off without a full consignment");
    assert_eq!(reports.len(), counted.len());
    for (round, report) in counted.iter().zip(reports) {
        let last = history.iter().rev().find_map(|fact| match &fact.act {
            Act::Done { consignment, outcome, .. } if *consignment == round.id => Some((fact, outcome)),
            _ => None,
        });
        let (done, outcome) = last.unwrap();
        assert_eq!(done.digest, *report, "signed off over a report that does not stand");
        let accepted = history.iter().any(|fact| {
            fact.number > done.number && matches!(&fact.act, Act::AcceptDifference { report: own, .. } if own == report)
        });
        assert!(accepted || outcome.tables.iter().all(|t| t.sealed == t.fetched && t.fetched == t.target_root));
    }
    let by_sign_off = after.consignments.iter().filter(|c| c.ending == Some(Ending::SignedOff));
    assert!(by_sign_off.into_iter().all(|c| c.kind == Kind::Rehearsal || c.settled()));
}

fn destruction_was_asked_for(history: &[Fact], before: &Migration, fact: &Fact) {
    let Act::Destroyed { consignment: id, evidence } = &fact.act else { return };
    assert!(evidence.ring_refuses && evidence.left.is_nothing());
    let own = history.iter().any(|fact| match &fact.act {
        Act::Abandon { consignment, .. } | Act::Overdue { consignment: Some(consignment) } => consignment == id,
        _ => false,
    });
    assert!(own || has_ended(history).is_some(), "nobody asked to destroy it");
    if before.consignment(*id).unwrap().ending == Some(Ending::SignedOff) {
        assert!(history.iter().any(|fact| matches!(fact.act, Act::SignOff { .. }) && decides_for_the_laboratory(fact)));
    }
}

fn one_round_at_a_time(after: &Migration) {
    let worked_on = after.consignments.iter().filter(|c| c.alive() && c.stage != ConsignmentStage::Loaded).count();
    assert!(worked_on <= 1, "{worked_on} consignments at a time");
    assert!(after.parties.iter().filter(|party| party.side == Side::Controller).count() == 1);
}
