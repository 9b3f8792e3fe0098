//! Every act at every stage, and every act by every hand: the whole procedure as two tables that people can read.
//!
//! `stages.txt` says, for each stage, what is accepted of its rightful hand and with which code the rest is refused.
//! `hands.txt` says, for each act at a moment when it is possible, which hands can make it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::life::{APPROVED, HANDED_OVER};
use crate::verbs::Verb::{self, *};
use crate::verbs::{VERBS, fitting};
use crate::world::{HANDS, World};

fn walked(start: &[Verb], further: &[Verb]) -> World {
    let mut world = World::after(start);
    world.does(further);
    world
}

fn waited(start: &[Verb], hours: i64, further: &[Verb]) -> World {
    let mut world = World::after(start);
    world.pass(hours.wrapping_mul(60));
    world.does(further);
    world
}

/// Every stage that differs from the others in what it lets through.
fn stages() -> Vec<(&'static str, World)> {
    let early = |count: usize| World::after(HANDED_OVER.get(..count).unwrap());
    let life = &HANDED_OVER[..];
    let loaded = [life, &[BeginLoad, DoneEqual]].concat();
    let rehearsal = [OpenRehearsal, BeginExtract, Close, Offer, Release, HandOver, BeginLoad, DoneEqual];
    vec![
        ("nothing", early(0)),
        ("opened", early(1)),
        ("proposed", early(2)),
        ("approved once", early(3)),
        ("approved", early(4)),
        ("consignment open", early(5)),
        ("extracting", early(6)),
        ("extraction failed", walked(&APPROVED, &[OpenFull, BeginExtract, Failed])),
        ("closed", early(7)),
        ("closed with an offer", early(8)),
        ("released", early(9)),
        ("handed over", early(10)),
        ("loading", walked(life, &[BeginLoad])),
        ("loaded equal", walked(life, &[BeginLoad, DoneEqual])),
        ("loaded unequal", walked(life, &[BeginLoad, DoneUnequal])),
        ("difference accepted", walked(life, &[BeginLoad, DoneUnequal, AcceptDifference])),
        ("reconciling", walked(life, &[BeginLoad, DoneEqual, BeginReconcile])),
        ("rehearsal loaded", walked(&APPROVED, &rehearsal)),
        ("frozen", walked(life, &[Freeze])),
        ("one voice for the thaw", walked(life, &[Freeze, Thaw])),
        ("release stale", waited(life, 13, &[])),
        ("consignment due", waited(life, 21, &[])),
        ("consignment overdue", waited(life, 21, &[OverdueRound])),
        ("loaded, then overdue", waited(&loaded, 21, &[OverdueRound])),
        ("loaded, overdue, destroyed", waited(&loaded, 21, &[OverdueRound, Destroyed])),
        ("abandoned", walked(life, &[Abandon])),
        ("consignment destroyed", walked(life, &[Abandon, Destroyed])),
        ("due", waited(life, 21 * 24, &[])),
        ("overdue", waited(life, 21 * 24, &[Overdue])),
        ("cancelled", walked(life, &[Cancel])),
        ("signed off", walked(life, &[BeginLoad, DoneEqual, SignOff])),
        ("signed off, destroyed", walked(life, &[BeginLoad, DoneEqual, SignOff, Destroyed])),
        ("finished", walked(life, &[BeginLoad, DoneEqual, SignOff, Destroyed, Finish])),
    ]
}

/// One line for the accepted, one for each code.
fn paragraph(title: &str, answers: &[(String, Option<u16>)]) -> String {
    let mut lines: BTreeMap<Option<u16>, Vec<&str>> = BTreeMap::new();
    for (name, code) in answers {
        lines.entry(*code).or_default().push(name);
    }
    let mut text = format!("{title}\n");
    for (code, names) in lines {
        let code = code.map_or("ok ".to_owned(), |code| code.to_string());
        writeln!(text, "  {code}  {}", names.join(" ")).unwrap();
    }
    text
}

#[test]
fn every_act_at_every_stage_is_answered_as_the_table_says() {
    let mut table = Vec::new();
    for (name, world) in stages() {
        let answers: Vec<_> = VERBS
            .iter()
            .map(|verb| {
                let code = world.decides(verb.hand(world.m()), &fitting(&world, *verb, 0)).err();
                (format!("{verb:?}"), code.map(|refusal| refusal.code.0))
            })
            .collect();
        assert_eq!(answers.len(), VERBS.len());
        table.push(paragraph(name, &answers));
    }
    let (found, expected) = (table.join("\n"), include_str!("stages.txt"));
    assert!(found == expected, "the procedure no longer says what stages.txt says; it says now:\n{found}");
}

/// Where each act is possible.
fn moment(verb: Verb) -> &'static str {
    match verb {
        Open => "nothing",
        Propose => "opened",
        Approve | Extend => "proposed",
        OpenRehearsal | OpenFull | Revoke => "approved",
        OpenDelta | SignOff | BeginReconcile => "loaded equal",
        Cancel | Offer | Freeze | Abandon => "closed",
        BeginExtract => "consignment open",
        Failed | Close => "extracting",
        Release => "closed with an offer",
        HandOver => "released",
        BeginLoad => "handed over",
        DoneEqual | DoneUnequal => "loading",
        AcceptDifference => "loaded unequal",
        Thaw => "frozen",
        Overdue => "due",
        OverdueRound => "consignment due",
        Destroyed | LaboratoryPart | RecipientPart => "abandoned",
        Finish => "signed off, destroyed",
    }
}

#[test]
fn every_act_by_every_hand_is_answered_as_the_table_says() {
    let stages = stages();
    let mut table = Vec::new();
    for verb in VERBS {
        let (name, world) = stages.iter().find(|(name, _)| *name == moment(verb)).unwrap();
        let act = fitting(world, verb, 0);
        let answers: Vec<_> = HANDS
            .iter()
            .map(|hand| {
                let hand_name = format!("{hand:?}").replace("Person(", "").replace(')', "");
                (hand_name, world.decides(*hand, &act).err().map(|refusal| refusal.code.0))
            })
            .collect();
        assert!(answers.iter().any(|(_, code)| code.is_none()), "{verb:?} is never accepted when {name}");
        table.push(paragraph(&format!("{verb:?} when {name}"), &answers));
    }
    let (found, expected) = (table.join("\n"), include_str!("hands.txt"));
    assert!(found == expected, "the procedure no longer says what hands.txt says; it says now:\n{found}");
}
