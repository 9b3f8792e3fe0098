//! An instruction with an item missing carries nothing.

use lexicon::Digest;
use procedure::{Act, Clause, Contract, Dpia, Instruction, Party};

use crate::cast::Who;
use crate::verbs::Verb::*;
use crate::verbs::plan;
use crate::world::{Hand, World};

type Removal = (&'static str, fn(&mut Instruction));

const NO_CLAUSE: Clause = Clause { place: String::new() };

/// Each way to leave something out, with the article that asks for it.
const REMOVALS: [Removal; 34] = [
    ("28(3)", |i| i.controller = Party::default()),
    ("28(3)", |i| i.controller.name.clear()),
    ("28(3)", |i| i.controller.contact.clear()),
    ("28(3)", |i| i.processor = Party::default()),
    ("28(3)", |i| i.processor.contact.clear()),
    ("28(3)", |i| "  ".clone_into(&mut i.processor.name)),
    ("28(3)", |i| i.purpose.clear()),
    ("28(3)", |i| i.nature.clear()),
    ("28(3)", |i| i.duration.clear()),
    ("28(3)", |i| i.data.clear()),
    ("28(3)", |i| i.data.push(String::new())),
    ("28(3)", |i| i.persons.clear()),
    ("28(3)(a)", |i| i.clauses.a = NO_CLAUSE),
    ("28(3)(b)", |i| i.clauses.b = NO_CLAUSE),
    ("28(3)(c)", |i| i.clauses.c = NO_CLAUSE),
    ("28(3)(d)", |i| i.clauses.d = NO_CLAUSE),
    ("28(3)(e)", |i| i.clauses.e = NO_CLAUSE),
    ("28(3)(f)", |i| i.clauses.f = NO_CLAUSE),
    ("28(3)(g)", |i| i.clauses.g = NO_CLAUSE),
    ("28(3)(h)", |i| i.clauses.h = NO_CLAUSE),
    ("28(3)(h)", |i| "\t".clone_into(&mut i.clauses.h.place)),
    ("28(9)", |i| i.contract.digest = None),
    ("28(9)", |i| i.contract = Contract { digest: Some(Digest([1; 32])), signatory: String::new() }),
    ("35", |i| i.dpia = None),
    ("35", |i| i.dpia = Some(Dpia::Reference(String::new()))),
    ("35", |i| i.dpia = Some(Dpia::Exempt(" ".to_owned()))),
    ("28(2)", |i| i.sub_processors.clear()),
    ("28(2)", |i| i.sub_processors = vec![String::new()]),
    ("30(1)(d)", |i| i.recipients.clear()),
    ("30(1)(d)", |i| i.recipients = vec![" ".to_owned()]),
    ("5(1)(e)", |i| i.deadline = None),
    ("28(3)(g)", |i| i.ending = None),
    ("32", |i| i.no_other_channel = false),
    ("28(3)", |i| i.persons = vec![String::new()]),
];

#[test]
fn an_instruction_with_an_item_removed_is_refused_with_its_article() {
    let mut world = World::after(&[Open]);
    for (number, (article, remove)) in REMOVALS.iter().enumerate() {
        let mut broken = plan(&world);
        remove(&mut broken.instruction);
        let act = Act::Propose { plan: Box::new(broken) };
        let trouble = world.attempt(Hand::Person(Who::Engineer), act).unwrap_err();
        assert_eq!(trouble.code().0, 201, "removal {number}");
        assert!(trouble.to_string().contains(&format!("(GDPR art. {article})")), "removal {number}: {trouble}");
    }
    world.does(&[Propose]);
}

#[test]
fn every_field_of_the_instruction_is_among_the_removals() {
    let whole = serde_json::to_value(plan(&World::after(&[Open])).instruction).unwrap();
    let fields = whole.as_object().unwrap();
    for name in fields.keys() {
        let touched = REMOVALS.iter().any(|(_, remove)| {
            let mut broken: Instruction = serde_json::from_value(whole.clone()).unwrap();
            remove(&mut broken);
            serde_json::to_value(broken).unwrap().get(name) != fields.get(name)
        });
        assert!(touched, "{name}");
    }
}
