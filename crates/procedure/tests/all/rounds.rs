//! One consignment: one device, one release, one target.

use std::sync::Arc;

use lexicon::{ConsignmentId, Digest, hours_after};
use procedure::{Act, ConsignmentStage, History, Kind, Nulls, Part, Step};

use crate::cast::{CAST, Who::*};
use crate::life::{APPROVED, HANDED_OVER};
use crate::verbs::Verb::{self, *};
use crate::verbs::{REHEARSED, fitting, focus, manifest, measured, outcome, plan, spoiled};
use crate::world::{Hand, World};

fn refused(world: &mut World, who: crate::cast::Who, verb: Verb) -> u16 {
    let act = fitting(world, verb, 0);
    world.refusal(Hand::Person(who), act).0
}

#[test]
fn a_rehearsal_neither_loads_the_full_target_nor_counts_for_sign_off() {
    let mut world = World::after(&APPROVED);
    let Act::OpenConsignment { consignment, plan, seed, deadline, target, .. } = fitting(&world, OpenFull, 0) else {
        panic!("no opening")
    };
    let kind = Kind::Rehearsal;
    let basis_points = 100;
    let crossed = Act::OpenConsignment { consignment, plan, kind, seed, basis_points, target, deadline };
    assert_eq!(world.refusal(Hand::Person(Operator), crossed).0, 234);
    world.does(&[OpenRehearsal, BeginExtract, Close, Offer, Release, HandOver, BeginLoad, DoneEqual]);
    assert_eq!(world.refuses(SignOff).0, 227);
    let report = focus(world.m()).unwrap().outcome.as_ref().unwrap().digest;
    let forced = Act::SignOff { reports: vec![report], history: History::Target };
    assert_eq!(world.refusal(Hand::Person(Controller), forced).0, 227);
    world.does(&[OpenFull, BeginExtract, Close, Offer, Release, HandOver, BeginLoad, DoneEqual]);
    let full = focus(world.m()).unwrap().outcome.as_ref().unwrap().digest;
    let both = Act::SignOff { reports: vec![report, full], history: History::Target };
    assert_eq!(world.refusal(Hand::Person(Controller), both).0, 228);
    world.does(&[SignOff]);
}

#[test]
fn a_plan_whose_rehearsal_loads_the_full_target_is_not_proposed() {
    let mut world = World::after(&[Open]);
    let mut crossed = plan(&world);
    for target in &mut crossed.targets {
        REHEARSED.clone_into(&mut target.identity);
    }
    let act = Act::Propose { plan: Box::new(crossed) };
    assert_eq!(world.refusal(Hand::Person(Engineer), act).0, 202);
}

#[test]
fn only_the_device_of_the_plan_opens_and_only_the_opener_extracts_and_hands_over() {
    let mut world = World::after(&[Open]);
    let mut two = plan(&world);
    two.extracting.push(CAST.member(Controller).key.public());
    world.attempt(Hand::Person(Engineer), Act::Propose { plan: Box::new(two) }).unwrap();
    world.does(&[Approve, Approve]);
    assert_eq!(refused(&mut world, Controller, OpenFull), 262);
    world.does(&[OpenFull]);
    assert_eq!(refused(&mut world, Controller, BeginExtract), 239);
    world.does(&[BeginExtract]);
    assert_eq!(refused(&mut world, Controller, Close), 248);
    world.does(&[Close, Offer, Release]);
    assert_eq!(refused(&mut world, Controller, HandOver), 239);
}

#[test]
fn the_manifest_of_a_superseded_attempt_is_refused() {
    let mut world = World::after(&APPROVED);
    world.does(&[OpenFull, BeginExtract]);
    let first = fitting(&world, Close, 0);
    assert_eq!(world.refuses(BeginExtract).0, 241, "the lease is held");
    world.pass(3 * 60);
    world.does(&[BeginExtract]);
    assert_eq!(world.refusal(Hand::Person(Operator), first).0, 248);
    world.does(&[Close]);
}

#[test]
fn a_manifest_of_another_scope_share_or_nothing_is_refused() {
    let mut world = World::after(&APPROVED);
    world.does(&[OpenFull, BeginExtract]);
    let id = focus(world.m()).unwrap().id;
    let mut sent = |change: &dyn Fn(&mut procedure::Manifest)| {
        let mut changed = manifest(id, 1);
        change(&mut changed);
        world.refusal(Hand::Person(Operator), Act::Close { manifest: Arc::new(changed) }).0
    };
    assert_eq!(sent(&|m| m.scope = Digest::of(b"wider scope")), 249);
    assert_eq!(sent(&|m| "sqlite:other.db".clone_into(&mut m.source)), 249);
    assert_eq!(sent(&|m| m.schema = Digest::of(b"new column")), 249);
    assert_eq!(sent(&|m| m.strongroom_share = Digest::of(b"mine")), 250);
    assert_eq!(sent(&|m| m.measured = m.tables.iter().map(measured).collect()), 277, "it is no rehearsal");
    assert_eq!(sent(&|m| m.tables.clear()), 203);
    assert_eq!(sent(&|m| m.parcels.clear()), 203);
    assert_eq!(sent(&|m| m.tables.iter_mut().for_each(|table| table.rows = 2)), 203);
}

/// What the evidence calls a sample is one.
#[test]
fn a_rehearsals_manifest_says_what_each_sample_is_of() {
    let whole = manifest(ConsignmentId([1; 16]), 1);
    assert!(whole.measures(Kind::Full) && whole.measures(Kind::Delta) && !whole.measures(Kind::Rehearsal));
    let sample = procedure::Manifest { measured: whole.tables.iter().map(measured).collect(), ..whole };
    assert!(sample.measures(Kind::Rehearsal) && !sample.measures(Kind::Full) && !sample.measures(Kind::Delta));
    let changed = |change: &dyn Fn(&mut Vec<procedure::ExtractMeasure>)| {
        let mut changed = sample.clone();
        change(&mut changed.measured);
        changed.measures(Kind::Rehearsal)
    };
    assert!(!changed(&|measured| measured[0].rows_in_scope = 2));
    assert!(changed(&|measured| measured[0].rows_in_scope = 3));
    assert!(!changed(&|measured| "result".clone_into(&mut measured[0].name)));
    assert!(!changed(&|measured| measured.push(measured[0].clone())));
}

#[test]
fn whoever_extracted_does_not_release() {
    let mut world = World::after(HANDED_OVER.get(..8).unwrap());
    assert_eq!(refused(&mut world, Operator, Release), 251);
    assert_eq!(refused(&mut world, Approver, Release), 262);
}

#[test]
fn a_release_grows_stale_before_hand_over_and_before_load() {
    let mut world = World::after(HANDED_OVER.get(..9).unwrap());
    let mut handed = world.clone();
    world.pass(12 * 60);
    assert_eq!(world.refuses(HandOver).0, 247);
    world.does(&[Release, HandOver, BeginLoad]);
    handed.does(&[HandOver]);
    handed.pass(12 * 60);
    assert_eq!(handed.refuses(BeginLoad).0, 247);
}

#[test]
fn a_device_that_was_not_released_to_does_not_load() {
    let mut world = World::after(&HANDED_OVER);
    assert_eq!(refused(&mut world, Spare, BeginLoad), 245);
    let act = fitting(&world, Offer, 0);
    world.attempt(Hand::Person(Spare), act).unwrap();
    assert_eq!(refused(&mut world, Spare, BeginLoad), 245);
    world.does(&[Release]);
    assert_eq!(refused(&mut world, Spare, BeginLoad), 245, "released, not handed over");
    world.does(&[HandOver]);
    let act = fitting(&world, BeginLoad, 0);
    world.attempt(Hand::Person(Spare), act).unwrap();
}

#[test]
fn a_lost_opening_key_is_offered_anew_and_released_again() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[Offer]);
    assert_eq!(world.refuses(BeginLoad).0, 245);
    assert_eq!(world.refuses(HandOver).0, 253);
    world.does(&[Release, HandOver, BeginLoad]);
}

#[test]
fn nothing_is_handed_over_to_a_device_that_was_taken_back() {
    let mut world = World::after(HANDED_OVER.get(..7).unwrap());
    let act = fitting(&world, Offer, 0);
    world.attempt(Hand::Person(Spare), act).unwrap();
    let released = fitting(&world, Release, 0);
    let mut later = world.clone();
    world.does(&[Revoke]);
    assert_eq!(world.refusal(Hand::Person(Controller), released).0, 253);
    later.does(&[Release, Revoke]);
    assert_eq!(later.refuses(HandOver).0, 253);
    later.does(&[Offer, Release, HandOver, BeginLoad]);
}

#[test]
fn one_person_holds_both_ends_only_if_the_plan_says_so() {
    for allowed in [false, true] {
        let mut world = World { one_operator_both_ends: allowed, ..World::new() };
        world.does(HANDED_OVER.get(..7).unwrap());
        let offer = fitting(&world, Offer, 0);
        world.attempt(Hand::Person(Operator), offer).unwrap();
        world.does(&[Release, HandOver]);
        let begin = fitting(&world, BeginLoad, 0);
        let code = world.attempt(Hand::Person(Operator), begin).map_err(|trouble| trouble.code().0);
        assert_eq!(code, if allowed { Ok(()) } else { Err(243) });
    }
}

#[test]
fn one_consignment_is_worked_on_at_a_time() {
    let mut world = World::after(&HANDED_OVER);
    assert_eq!(world.refuses(OpenDelta).0, 231);
    world.does(&[BeginLoad, DoneUnequal]);
    assert_eq!(world.refuses(OpenDelta).0, 231, "the full one is not settled");
    world.does(&[AcceptDifference, OpenDelta]);
    let full = fitting(&world, BeginReconcile, 1);
    assert_eq!(world.refusal(Hand::Person(Recipient), full).0, 231);
    assert_eq!(world.refuses(SignOff).0, 227);
}

#[test]
fn a_report_on_another_target_or_of_other_tables_is_refused() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad]);
    let Act::Done { consignment, step, attempt, outcome } = fitting(&world, DoneEqual, 0) else { panic!("no report") };
    let mut told = |change: &dyn Fn(&mut procedure::Reconciliation)| {
        let mut changed = outcome.clone();
        change(Arc::make_mut(&mut changed));
        world.refusal(Hand::Person(Recipient), Act::Done { consignment, step, attempt, outcome: changed }).0
    };
    assert_eq!(told(&|r| REHEARSED.clone_into(&mut r.target)), 256);
    assert_eq!(told(&|r| r.schema = Digest::of(b"altered")), 256);
    assert_eq!(told(&|r| r.tables.clear()), 256);
    assert_eq!(told(&|r| r.tables.iter_mut().for_each(|table| table.sealed = Digest::of(b"mine"))), 256);
    // What the manifest counts is answered, with the manifest's own numbers.
    let nulls = |r: &mut procedure::Reconciliation, change: &dyn Fn(&mut Nulls)| {
        r.tables.iter_mut().flat_map(|table| &mut table.nulls).flat_map(|nulls| nulls.values_mut()).for_each(change);
    };
    assert_eq!(told(&|r| r.tables.iter_mut().for_each(|table| table.nulls = None)), 256);
    assert_eq!(told(&|r| nulls(r, &|nulls| nulls.sealed = 2)), 256);
    assert_eq!(told(&|r| r.orphans.clear()), 256);
    assert_eq!(told(&|r| r.orphans.iter_mut().for_each(|orphans| orphans.source = Some(2))), 256);
    assert_eq!(told(&|r| r.orphans.iter_mut().for_each(|orphans| orphans.target = None)), 256);
    let other = Act::Done { consignment, step: Step::Reconcile, attempt, outcome: Arc::clone(&outcome) };
    assert_eq!(world.refusal(Hand::Person(Recipient), other).0, 248, "a load runs, and no reconciliation");
    let extract = Act::Done { consignment, step: Step::Extract, attempt, outcome };
    assert_eq!(world.refusal(Hand::Person(Recipient), extract).0, 255);
}

#[test]
fn a_difference_is_accepted_of_the_report_that_stands_only() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad, DoneUnequal]);
    let Act::AcceptDifference { consignment, reason, .. } = fitting(&world, AcceptDifference, 0) else {
        panic!("no difference")
    };
    let other = Act::AcceptDifference { consignment, report: Digest::of(b"another report"), reason };
    assert_eq!(world.refusal(Hand::Person(Controller), other).0, 257);
    world.does(&[AcceptDifference]);
}

#[test]
fn what_needs_a_reason_is_refused_without_one() {
    let blank = |world: &mut World, verb: Verb| {
        let (hand, act) = (verb.hand(world.m()), spoiled(&fitting(world, verb, 0)));
        world.refusal(hand, act).0
    };
    let mut world = World::after(&APPROVED);
    let Act::Extend { until, .. } = fitting(&world, Extend, 0) else { panic!("no extension") };
    let extension = Act::Extend { until, reason: "\n".to_owned() };
    assert_eq!(world.refusal(Extend.hand(world.m()), extension).0, 268);
    assert_eq!([Freeze, Cancel].map(|verb| blank(&mut world, verb)), [268, 268]);
    world.does(&[Freeze]);
    assert_eq!(blank(&mut world, Thaw), 268);

    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad, DoneUnequal]);
    assert_eq!([AcceptDifference, Abandon].map(|verb| blank(&mut world, verb)), [268, 268]);
}

#[test]
fn an_attempt_has_the_next_number() {
    let mut world = World::after(&APPROVED);
    world.does(&[OpenFull]);
    let later = spoiled(&fitting(&world, BeginExtract, 0));
    assert_eq!(world.refusal(Hand::Person(Operator), later).0, 242);
    world.does(&[BeginExtract]);
}

#[test]
fn nulls_and_orphans_that_differ_are_a_difference() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad]);
    let Act::Done { outcome, .. } = fitting(&world, DoneEqual, 0) else { panic!("no report") };
    assert!(outcome.equal());
    let told = |change: &dyn Fn(&mut Nulls, &mut procedure::Orphans)| {
        let mut changed = outcome.as_ref().clone();
        let nulls = changed.tables[0].nulls.as_mut().unwrap().get_mut("comment").unwrap();
        change(nulls, &mut changed.orphans[0]);
        (changed.equal(), changed.tables[0].broken())
    };
    assert_eq!(told(&|nulls, _| nulls.target = 2), (false, Some("between fetching and the target")));
    assert_eq!(told(&|nulls, _| nulls.fetched = 2), (false, Some("between sealing and fetching")));
    assert_eq!(told(&|_, orphans| orphans.target = Some(2)), (false, None));
    // What was counted on one side only is told, and is no difference.
    assert_eq!(told(&|_, orphans| orphans.source = None), (true, None));
}

/// Reports and manifests of agents that did not count are the bytes that they were.
#[test]
fn counts_that_are_absent_leave_no_trace() {
    let mut manifest = manifest(ConsignmentId([1; 16]), 1);
    manifest.tables[0].nulls = None;
    manifest.orphans.clear();
    let text = serde_json::to_string(&manifest).unwrap();
    assert!(!text.contains("nulls") && !text.contains("orphans"), "{text}");
    assert_eq!(serde_json::from_str::<procedure::Manifest>(&text).unwrap(), manifest);
    let mut outcome = outcome(None, true);
    assert!(!outcome.answers(&manifest));
    outcome.tables[0].nulls = None;
    outcome.orphans.clear();
    let text = serde_json::to_string(&outcome).unwrap();
    assert!(!text.contains("nulls") && !text.contains("orphans"), "{text}");
    assert!(serde_json::from_str::<procedure::Reconciliation>(&text).unwrap().answers(&manifest));
}

#[test]
fn a_party_speaks_of_the_part_that_its_device_held() {
    let mut world = World::after(&HANDED_OVER);
    assert_eq!(world.refuses(RecipientPart).0, 260, "it lives");
    world.does(&[Abandon]);
    assert_eq!(refused(&mut world, Recipient, LaboratoryPart), 260);
    assert_eq!(refused(&mut world, Operator, RecipientPart), 260);
    assert_eq!(refused(&mut world, Spare, RecipientPart), 260);
    world.does(&[RecipientPart, LaboratoryPart, Destroyed]);
    let parts: Vec<_> = focus(world.m()).unwrap().parts.iter().map(|part| part.0).collect();
    assert_eq!(parts, [Part::Recipient, Part::Laboratory]);
}

#[test]
fn nothing_is_destroyed_that_nobody_ended_nor_while_a_key_is_still_there() {
    let mut world = World::after(&HANDED_OVER);
    assert_eq!(world.refuses(Destroyed).0, 259);
    world.does(&[Abandon]);
    let Act::Destroyed { consignment, evidence } = fitting(&world, Destroyed, 0) else { panic!("no destruction") };
    let left = |objects, versions, unfinished| procedure::Left { objects, versions, unfinished };
    for (ring_refuses, left) in
        [(false, left(0, 0, 0)), (true, left(1, 0, 0)), (true, left(0, 1, 0)), (true, left(0, 0, 1))]
    {
        let evidence = procedure::Destroyed { ring_refuses, left, ..evidence.clone() };
        assert_eq!(world.refusal(Hand::Server, Act::Destroyed { consignment, evidence }).0, 274);
    }
    world.does(&[Destroyed]);
    assert_eq!(focus(world.m()).unwrap().stage, ConsignmentStage::Destroyed);
    assert_eq!(world.refuses(Destroyed).0, 259);
}

#[test]
fn an_archive_that_holds_the_history_is_named() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad, DoneEqual]);
    let Act::SignOff { reports, .. } = fitting(&world, SignOff, 0) else { panic!("no sign-off") };
    let sign_off = |name: &str| Act::SignOff { reports: reports.clone(), history: History::Archive(name.to_owned()) };
    assert_eq!(world.refusal(Hand::Person(Controller), sign_off(" ")).0, 269);
    world.attempt(Hand::Person(Controller), sign_off("Regional archive")).unwrap();
}

#[test]
fn a_consignment_lives_no_longer_than_plan_and_migration_allow() {
    let mut world = World::after(&APPROVED);
    let opening = fitting(&world, OpenFull, 0);
    let Act::OpenConsignment { consignment, plan, kind, seed, basis_points, target, .. } = opening else {
        panic!("no opening")
    };
    let until = |world: &mut World, hours| {
        let (deadline, target) = (hours_after(world.at, hours), target.clone());
        let act = Act::OpenConsignment { consignment, plan, kind, seed, basis_points, target, deadline };
        world.attempt(Hand::Person(Operator), act).map_err(|trouble| trouble.code().0)
    };
    assert_eq!(until(&mut world, 73), Err(235));
    assert_eq!(until(&mut world, 0), Err(235));
    let mut late = world.clone();
    late.pass(19 * 24 * 60);
    assert_eq!(until(&mut late, 30), Err(235));
    assert_eq!(until(&mut world, 72), Ok(()));
}

#[test]
fn the_plan_counts_the_consignments_of_each_kind() {
    let mut world = World::after(&APPROVED);
    for _ in 0..2 {
        world.does(&[OpenRehearsal, Abandon, Destroyed]);
    }
    assert_eq!(world.refuses(OpenRehearsal).0, 232);
    assert_eq!(world.refuses(OpenDelta).0, 233);
    world.does(&[OpenFull]);
}

#[test]
fn a_rehearsal_takes_a_part_and_every_other_kind_everything() {
    let mut world = World::after(&APPROVED);
    let opened = |world: &World, verb, part| {
        let mut act = fitting(world, verb, 0);
        if let Act::OpenConsignment { basis_points, .. } = &mut act {
            *basis_points = part;
        }
        act
    };
    for (verb, part) in [(OpenRehearsal, 0), (OpenRehearsal, 10_001), (OpenFull, 9_999), (OpenFull, 0)] {
        let act = opened(&world, verb, part);
        assert_eq!(world.refusal(Hand::Person(Operator), act).0, 276, "{verb:?} of {part}");
    }
    for (verb, part) in [(OpenRehearsal, 1), (OpenRehearsal, 10_000), (OpenFull, 10_000)] {
        let mut world = world.clone();
        let act = opened(&world, verb, part);
        world.attempt(Hand::Person(Operator), act).unwrap();
        assert_eq!(world.m().consignments[0].basis_points, part);
    }
}
