//! Two different persons, at least one of the controller's organisation, neither the author.

use lexicon::hours_after;
use procedure::{Act, Stage};

use crate::cast::Who::{self, *};
use crate::life::{APPROVED, HANDED_OVER};
use crate::verbs::Verb::{self, *};
use crate::verbs::{fitting, plan, revoking};
use crate::world::{Hand, World};

fn by(world: &mut World, who: Who, verb: Verb) -> Result<(), u16> {
    let act = fitting(world, verb, 0);
    world.attempt(Hand::Person(who), act).map_err(|trouble| trouble.code().0)
}

#[test]
fn one_person_cannot_approve_twice() {
    let mut world = World::after(&[Open, Propose]);
    assert_eq!(by(&mut world, Controller, Approve), Ok(()));
    assert_eq!(by(&mut world, Controller, Approve), Err(222));
    assert_eq!(world.m().stage, Stage::Drafted);
}

#[test]
fn the_author_does_not_approve() {
    let mut world = World::after(&[Open, Propose]);
    assert_eq!(by(&mut world, Engineer, Approve), Err(221));
    // Nor does another author: whoever proposed the plan that stands is its author.
    assert_eq!(by(&mut world, Controller, Propose), Ok(()));
    assert_eq!(by(&mut world, Controller, Approve), Err(221));
    assert_eq!(by(&mut world, Engineer, Approve), Ok(()));
}

#[test]
fn two_persons_of_the_vendor_are_not_enough() {
    let mut world = World::after(&[Open]);
    assert_eq!(by(&mut world, Operator, Propose), Ok(()));
    assert_eq!(by(&mut world, Engineer, Approve), Ok(()));
    assert_eq!(by(&mut world, Approver, Approve), Ok(()));
    assert_eq!(world.m().stage, Stage::Drafted);
    assert_eq!(world.m().turn().who, "controller");
    assert_eq!(by(&mut world, Controller, Approve), Ok(()));
    assert_eq!(world.m().stage, Stage::Approved);
}

#[test]
fn a_person_without_the_role_or_of_no_party_does_not_approve() {
    let mut world = World::after(&[Open, Propose]);
    assert_eq!(by(&mut world, Recipient, Approve), Err(262));
    assert_eq!(by(&mut world, Outsider, Approve), Err(211));
}

#[test]
fn only_the_bytes_that_stand_can_be_approved() {
    let mut world = World::after(&[Open, Propose]);
    let old = fitting(&world, Approve, 0);
    world.does(&[Propose]);
    assert_eq!(world.refusal(Hand::Person(Controller), old).0, 220);
}

#[test]
fn amending_voids_the_approvals() {
    let mut world = World::after(&APPROVED);
    world.does(&[Propose]);
    assert_eq!(world.m().stage, Stage::Drafted);
    assert!(world.m().approvals.is_empty());
    assert_eq!(world.refuses(OpenFull).0, 229);
    world.does(&[Approve]);
    assert_eq!(world.refuses(OpenFull).0, 229);
    world.does(&[Approve, OpenFull]);
}

#[test]
fn no_plan_is_amended_while_a_consignment_lives() {
    let mut world = World::after(&HANDED_OVER);
    assert_eq!(world.refuses(Propose).0, 217);
    world.does(&[Abandon]);
    assert_eq!(world.refuses(Propose).0, 217, "it is still to be destroyed");
    world.does(&[Destroyed, Propose]);
}

#[test]
fn a_revocation_before_the_first_begin_voids_the_approval() {
    let mut world = World::after(&APPROVED);
    world.does(&[OpenFull]);
    let act = revoking(&world, Approver);
    world.attempt(Hand::VendorRoot, act).unwrap();
    assert_eq!(world.m().stage, Stage::Drafted);
    assert_eq!(world.refuses(BeginExtract).0, 229);
    assert_eq!(by(&mut world, Approver, Approve), Err(212));
}

#[test]
fn a_revocation_after_the_first_begin_leaves_the_approval() {
    let mut world = World::after(&APPROVED);
    world.does(&[OpenFull, BeginExtract]);
    let act = revoking(&world, Approver);
    world.attempt(Hand::VendorRoot, act).unwrap();
    assert_eq!(world.m().stage, Stage::Approved);
    world.does(&[Close]);
}

#[test]
fn a_begin_under_an_older_plan_does_not_save_an_approval_of_the_new_one() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[Abandon, Destroyed, Propose, Approve, Approve]);
    let act = revoking(&world, Approver);
    world.attempt(Hand::VendorRoot, act).unwrap();
    assert_eq!(world.m().stage, Stage::Drafted);
}

#[test]
fn a_root_takes_back_its_own_certificates_only() {
    let mut world = World::after(&APPROVED);
    let Act::Revoke { certificate, compromised_since, .. } = revoking(&world, Controller) else {
        panic!("no revocation")
    };
    let foreign = world.actor(Hand::VendorRoot, &Act::Overdue { consignment: None });
    let people::Actor::Root(root) = foreign else { panic!("no root") };
    // Even if the bare procedure is told so, it means nothing for another root's certificate.
    let fact = world.decides(Hand::VendorRoot, &Act::Revoke { root, certificate, compromised_since }).unwrap();
    let after = world.m().clone().apply(&fact);
    assert_eq!(after.stage, Stage::Approved);
    assert!(!after.is_revoked(crate::cast::CAST.member(Controller).actor.person().unwrap()));
    // And the root of no party says nothing here.
    let act = revoking(&world, Outsider);
    assert_eq!(world.refusal(Hand::ForeignRoot, act).0, 211);
}

#[test]
fn a_revocation_after_the_end_raises_nothing_from_the_dead() {
    let mut world = World::after(&APPROVED);
    world.does(&[Cancel, Finish, Revoke]);
    assert_eq!(world.m().stage, Stage::Destroyed);
    assert_eq!(world.refuses(Finish).0, 261);
}

#[test]
fn a_proposal_alone_never_moves_the_deadline_away() {
    let mut world = World::after(&APPROVED);
    let first = world.m().deadline.unwrap();
    world.pass(3 * 24 * 60);
    world.does(&[Propose]);
    assert_eq!(world.m().deadline.unwrap(), first);
    world.does(&[Approve]);
    assert_eq!(world.m().deadline.unwrap(), first);
    world.does(&[Approve]);
    assert_eq!(world.m().deadline.unwrap().at, world.m().plan.as_ref().unwrap().1.deadline);
    assert!(world.m().deadline.unwrap().at > first.at);
    let nearer = procedure::Plan { deadline: hours_after(world.at, 24), ..plan(&world) };
    world.attempt(Hand::Person(Engineer), Act::Propose { plan: Box::new(nearer.clone()) }).unwrap();
    assert_eq!(world.m().deadline.unwrap().at, nearer.deadline);
}

#[test]
fn only_the_controller_extends_and_not_beyond_cap_or_instruction() {
    let mut world = World::after(&APPROVED);
    let until = |hours| Act::Extend { until: hours_after(world.at, hours), reason: "slow loading".to_owned() };
    let (beyond, back) = (until(41 * 24), until(19 * 24));
    assert_eq!(world.refusal(Hand::Person(Controller), beyond).0, 223);
    assert_eq!(world.refusal(Hand::Person(Controller), back).0, 223);
    assert_eq!(by(&mut world, Approver, Extend), Err(262));
    world.does(&[Extend]);

    let mut world = World::after(&[Open]);
    let mut short = plan(&world);
    short.instruction.deadline = Some(hours_after(world.at, 25 * 24));
    world.attempt(Hand::Person(Engineer), Act::Propose { plan: Box::new(short) }).unwrap();
    let beyond = Act::Extend { until: hours_after(world.at, 26 * 24), reason: "slow loading".to_owned() };
    assert_eq!(world.refusal(Hand::Person(Controller), beyond).0, 223);
}

#[test]
fn a_frozen_migration_releases_hands_over_and_begins_nothing() {
    for (length, verbs) in [(8, [Release, OpenFull]), (9, [HandOver, Release]), (10, [BeginLoad, HandOver])] {
        let mut world = World::after(HANDED_OVER.get(..length).unwrap());
        world.does(&[Freeze]);
        for verb in verbs {
            assert_eq!(world.refuses(verb).0, 267, "{verb:?}");
        }
    }
}

#[test]
fn the_controller_and_one_other_person_thaw() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[Freeze]);
    assert_eq!(by(&mut world, Recipient, Thaw), Ok(()));
    assert_eq!(by(&mut world, Recipient, Thaw), Err(226));
    assert_eq!(by(&mut world, Approver, Thaw), Ok(()));
    assert!(world.m().frozen.is_some(), "none of them decides for the laboratory");
    assert_eq!(by(&mut world, Controller, Thaw), Ok(()));
    assert!(world.m().frozen.is_none());
}

#[test]
fn a_voice_for_the_thaw_from_a_stolen_device_does_not_outlive_its_revocation() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[Freeze]);
    assert_eq!(by(&mut world, Spare, Thaw), Ok(()));
    world.does(&[Revoke, Thaw]);
    assert!(world.m().frozen.is_some());
}
