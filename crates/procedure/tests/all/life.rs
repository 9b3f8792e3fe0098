//! Whole lives, from the opening to the end.

use procedure::{ConsignmentStage, Stage};

use crate::verbs::Verb::{self, *};
use crate::world::World;

/// Up to a plan that two persons approved.
pub(crate) const APPROVED: [Verb; 4] = [Open, Propose, Approve, Approve];
/// Up to a full consignment whose share is handed over.
pub(crate) const HANDED_OVER: [Verb; 10] =
    [Open, Propose, Approve, Approve, OpenFull, BeginExtract, Close, Offer, Release, HandOver];

#[test]
fn a_migration_lives_through_rehearsal_full_and_delta_and_is_destroyed() {
    let mut world = World::after(&APPROVED);
    assert_eq!(world.m().stage, Stage::Approved);
    for kind in [OpenRehearsal, OpenFull, OpenDelta] {
        world.does(&[kind, BeginExtract, Failed, BeginExtract, Close, Offer, Release, HandOver, BeginLoad, DoneEqual]);
        if kind == OpenRehearsal {
            world.does(&[Abandon, Destroyed, LaboratoryPart, RecipientPart]);
        }
    }
    world.does(&[SignOff]);
    assert_eq!(world.m().stage, Stage::SignedOff);
    assert_eq!(world.m().sign_off.as_ref().unwrap().reports.len(), 2, "the rehearsal's report does not count");
    world.does(&[Destroyed, Destroyed, LaboratoryPart, RecipientPart, Finish]);
    assert_eq!(world.m().stage, Stage::Destroyed);
    assert!(world.m().consignments.iter().all(|c| c.stage == ConsignmentStage::Destroyed));
    // One of the two rounds lacks its parties' statements: that is still theirs to do.
    assert_eq!((world.m().turn().who, world.m().turn().what), ("operator", "migration destroy"));
}

#[test]
fn unequal_tables_leave_three_exits() {
    let mut unequal = World::after(&HANDED_OVER);
    unequal.does(&[BeginLoad, DoneUnequal]);
    assert_eq!(unequal.refuses(SignOff).0, 227);
    for exit in [&[BeginLoad, DoneEqual, SignOff][..], &[AcceptDifference, SignOff], &[Abandon, Destroyed]] {
        unequal.clone().does(exit);
    }
}

#[test]
fn a_report_that_is_made_again_has_to_be_accepted_again() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad, DoneUnequal, AcceptDifference, BeginReconcile]);
    assert_eq!(world.refuses(SignOff).0, 241, "the target is being read again");
    world.does(&[DoneUnequal]);
    assert_eq!(world.refuses(SignOff).0, 227);
    world.does(&[AcceptDifference, SignOff]);
}

#[test]
fn cancelling_from_anywhere_leads_to_destruction_only() {
    for length in 1..=HANDED_OVER.len() {
        let mut world = World::after(HANDED_OVER.get(..length).unwrap());
        world.does(&[Cancel]);
        if !world.m().consignments.is_empty() {
            assert_eq!(world.refuses(Finish).0, 261);
            world.does(&[Destroyed]);
        }
        world.does(&[Finish]);
        assert_eq!(world.m().stage, Stage::Destroyed);
    }
}

#[test]
fn the_deadline_carries_everything_off_and_names_who_set_it() {
    let mut world = World::after(&HANDED_OVER);
    assert_eq!(world.refuses(Overdue).0, 258);
    world.pass(21 * 24 * 60);
    assert_eq!(world.refuses(SignOff).0, 214);
    world.does(&[Overdue, Destroyed, LaboratoryPart, RecipientPart, Finish]);
    let facts = world.facts();
    let overdue = facts.iter().find(|fact| fact.act.name() == "deadline").unwrap();
    let people::Actor::Deadline { set_by, fact } = &overdue.by else { panic!("not the deadline") };
    let setting = facts.iter().find(|one| one.number == *fact).unwrap();
    assert_eq!((setting.act.name(), setting.by.person().unwrap().certificate()), ("propose", *set_by));
}

#[test]
fn a_consignments_own_deadline_names_who_opened_it() {
    let mut world = World::after(&HANDED_OVER);
    world.pass(21 * 60);
    for verb in [Offer, Release, HandOver, BeginLoad] {
        assert_eq!(world.refuses(verb).0, 238, "{verb:?}");
    }
    world.does(&[OverdueRound, Destroyed, OpenFull]);
    let facts = world.facts();
    let overdue = facts.iter().find(|fact| fact.act.name() == "deadline").unwrap();
    let people::Actor::Deadline { fact, .. } = &overdue.by else { panic!("not the deadline") };
    assert_eq!(facts.iter().find(|one| one.number == *fact).unwrap().act.name(), "open consignment");
}

#[test]
fn a_load_that_is_settled_outlives_its_rounds_own_deadline() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad, DoneUnequal, AcceptDifference]);
    world.pass(21 * 60);
    world.does(&[OverdueRound]);
    world.clone().does(&[SignOff, Destroyed, Finish]);
    world.does(&[Destroyed, LaboratoryPart, RecipientPart]);
    assert_eq!((world.m().turn().who, world.m().turn().what), ("controller", "migration sign-off"));
    // As while it lived: no second full one, no other plan, and a delta may follow.
    assert_eq!(world.refuses(OpenFull).0, 233);
    assert_eq!(world.refuses(Propose).0, 217);
    world.clone().does(&[OpenDelta, BeginExtract, Close, Offer, Release, HandOver, BeginLoad, DoneEqual, SignOff]);
    let mut late = world.clone();
    late.pass(20 * 24 * 60);
    assert_eq!(late.refuses(SignOff).0, 214, "the migration's own deadline stands over it");
    let mut given_up = world.clone();
    given_up.does(&[Abandon]);
    assert_eq!(given_up.refuses(SignOff).0, 227);
    assert_eq!(given_up.refuses(Abandon).0, 265);
    given_up.does(&[OpenFull]);
    world.does(&[SignOff, Finish]);
    assert_eq!(world.m().sign_off.as_ref().unwrap().reports.len(), 1);
}

#[test]
fn a_round_that_ran_out_before_it_was_settled_counts_for_nothing() {
    let lives: [&[Verb]; 2] = [&[BeginLoad], &[BeginLoad, DoneUnequal]];
    for life in lives {
        let mut world = World::after(&HANDED_OVER);
        world.does(life);
        world.pass(21 * 60);
        world.does(&[OverdueRound, Destroyed]);
        assert_eq!(world.refuses(SignOff).0, 227);
        assert_eq!(world.refuses(Abandon).0, 265);
        world.does(&[OpenFull]);
    }
}

#[test]
fn whoever_has_the_turn_can_take_it() {
    let mut world = World::new();
    let mut seen = Vec::new();
    while world.m().stage != Stage::Destroyed {
        let verb = crate::walks::forward(world.m());
        seen.push(world.m().turn().what);
        world.does(&[verb]);
        assert!(seen.len() < 40, "{seen:?}");
    }
    seen.dedup();
    let round =
        ["consignment open", "extract", "consignment offer", "consignment release", "consignment hand-over", "load"];
    let whole = [
        &["migration propose", "migration approve"][..],
        &round,
        &["consignment abandon", "destroy"],
        &round,
        &["migration sign-off", "destroy"],
    ];
    assert_eq!(seen, whole.concat());
}
