//! Random acts by random hands at random times: whatever is accepted keeps the promises in `invariants`, at every
//! state that is reached, for every act and every hand.

use std::collections::BTreeSet;

use procedure::{ConsignmentStage, Fact, Migration, Stage};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::invariants;
use crate::life::HANDED_OVER;
use crate::receipts::replays;
use crate::verbs::Verb::{self, *};
use crate::verbs::{VERBS, fitting, focus, spoiled};
use crate::world::{HANDS, Hand, World};

#[derive(Clone, Debug)]
enum Choice {
    /// The act that is awaited, by the hand that it is awaited of.
    Forward,
    /// Any act by the hand that it is for.
    Rightful(Verb),
    /// Any act by any hand, on a round further back, perhaps with something wrong in it.
    Wild { verb: Verb, hand: Hand, back: usize, spoil: bool },
}

#[derive(Clone, Debug)]
struct Move {
    minutes: i64,
    choice: Choice,
}

fn any_move() -> impl Strategy<Value = Move> {
    let verb = || prop::sample::select(VERBS.to_vec());
    let wild = (verb(), prop::sample::select(HANDS.to_vec()), 0_usize..3, any::<bool>())
        .prop_map(|(verb, hand, back, spoil)| Choice::Wild { verb, hand, back, spoil });
    let choice = prop_oneof![6 => Just(Choice::Forward), 2 => verb().prop_map(Choice::Rightful), 2 => wild];
    let minutes = prop_oneof![60 => 0_i64..20, 3 => 20_i64..400, 1 => 1200_i64..1300, 1 => 8000_i64..9000];
    (minutes, choice).prop_map(|(minutes, choice)| Move { minutes, choice })
}

/// From nothing, or from a load whose round ran out: chance alone hardly comes there.
fn start() -> impl Strategy<Value = World> {
    let ran_out = || {
        let mut world = World::after(&HANDED_OVER);
        world.does(&[BeginLoad, DoneEqual]);
        world.pass(21 * 60);
        world.does(&[OverdueRound]);
        world
    };
    prop_oneof![3 => Just(World::new()), 1 => Just(ran_out())]
}

fn walk() -> impl Strategy<Value = Vec<Move>> {
    prop::collection::vec(any_move(), 10..90)
}

/// The act that the migration says it waits for.
pub(crate) fn forward(m: &Migration) -> Verb {
    if m.facts == 0 {
        return Open;
    }
    let running = focus(m).and_then(|c| c.last_attempt()).is_some_and(|attempt| attempt.running);
    let left = m.consignments.iter().any(|c| c.stage != ConsignmentStage::Destroyed);
    match m.turn().what {
        "migration propose" => Propose,
        "migration approve" => Approve,
        "migration thaw" => Thaw,
        "migration sign-off" => SignOff,
        "consignment open" if m.consignments.is_empty() => OpenRehearsal,
        "consignment open" => OpenFull,
        "extract" if running => Close,
        "extract" => BeginExtract,
        "consignment offer" => Offer,
        "consignment release" => Release,
        "consignment hand-over" => HandOver,
        "load" if running => DoneEqual,
        "load" => BeginLoad,
        "consignment accept-difference" => AcceptDifference,
        "consignment abandon" => Abandon,
        "destroy" if left => Destroyed,
        "destroy" => Finish,
        other => panic!("nobody waits for '{other}'"),
    }
}

/// Tries every act by every hand at this state, as it fits and spoiled, and judges what would be accepted.
fn judges_every_pair(world: &World, history: &[Fact]) {
    for verb in VERBS {
        let act = fitting(world, verb, 0);
        let broken = spoiled(&act);
        for hand in HANDS {
            if let Ok(fact) = world.decides(hand, &act) {
                let after = world.m().clone().apply(&fact);
                invariants::hold(history, world.m(), &fact, &after);
            }
            if broken != act {
                let decided = world.decides(hand, &broken);
                assert!(decided.is_err(), "accepted although spoiled: {broken:?} by {hand:?}");
            }
        }
    }
}

fn chosen(world: &World, choice: &Choice) -> (Hand, procedure::Act) {
    match choice {
        Choice::Forward if world.m().stage == Stage::Destroyed => (Hand::Server, fitting(world, Finish, 0)),
        Choice::Forward => {
            let verb = forward(world.m());
            (verb.hand(world.m()), fitting(world, verb, 0))
        }
        Choice::Rightful(verb) => (verb.hand(world.m()), fitting(world, *verb, 0)),
        Choice::Wild { verb, hand, back, spoil } => {
            let act = fitting(world, *verb, *back);
            (*hand, if *spoil { spoiled(&act) } else { act })
        }
    }
}

/// Walks, judging each accepted fact; returns the stages that it came through.
fn walks(mut world: World, moves: &[Move]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for Move { minutes, choice } in moves {
        world.pass(*minutes);
        let (hand, act) = chosen(&world, choice);
        let (before, history) = (world.m().clone(), world.facts());
        if world.decides(hand, &act).is_err() {
            continue;
        }
        // A root's word carries nothing but a revocation, so whatever else it was to say was refused above.
        world.attempt(hand, act).unwrap();
        let facts = world.facts();
        let (fact, after) = (facts.last().unwrap(), world.m());
        invariants::hold(&history, &before, fact, after);
        judges_every_pair(&world, &facts);
        seen.insert(format!("{:?}", after.stage));
        seen.extend(after.consignments.iter().map(|c| format!("{:?} {:?}", c.kind, c.stage)));
        seen.extend(after.consignments.iter().filter_map(|c| c.ending).map(|ending| format!("{ending:?}")));
        seen.extend(after.standing().filter(|c| c.ending.is_some()).map(|_| "Stands, overdue".to_owned()));
        seen.extend(after.frozen.iter().map(|_| "Frozen".to_owned()));
    }
    replays(&world);
    seen
}

proptest! {
    #![proptest_config(Config { cases: 32, ..Config::default() })]
    #[test]
    fn whatever_is_accepted_keeps_every_promise(world in start(), moves in walk()) {
        walks(world, &moves);
    }
}

#[test]
fn the_walks_come_through_every_stage() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let (world, moves) = (start(), walk()).new_tree(&mut runner).unwrap().current();
        seen.extend(walks(world, &moves));
    }
    for stage in ["Drafted", "Approved", "SignedOff", "Destroyed", "Frozen"] {
        assert!(seen.contains(stage), "{stage} is not among {seen:?}");
    }
    for ending in ["Abandoned", "Cancelled", "SignedOff", "Overdue"] {
        assert!(seen.contains(ending), "{ending} is not among {seen:?}");
    }
    assert!(seen.contains("Stands, overdue"), "no load outlived its deadline: {seen:?}");
    for stage in ["Open", "Closed", "Released", "Loaded", "Destroyed"] {
        for kind in ["Rehearsal", "Full"] {
            assert!(seen.contains(&format!("{kind} {stage}")), "{kind} {stage} is not among {seen:?}");
        }
    }
}
