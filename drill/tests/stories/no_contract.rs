//! Finding 8 of the decision: the vendor's contracts lacked what GDPR art. 28(3) asks for. "That is the controller's
//! duty" was rejected as a defence; here nothing can be approved until every item is recorded with its article.

use drill::{Name, World, instruction};
use lexicon::{Clock, Code, FixedClock, SystemClock};
use procedure::{Clause, Contract, Dpia, Instruction, Stage};

/// How one item is left out.
type LeaveOut = fn(&mut Instruction);

/// Each item of the instruction: its article, and how it is left out.
const ITEMS: [(&str, LeaveOut); 27] = [
    ("28(3)", |it| it.controller.name.clear()),
    ("28(3)", |it| it.controller.contact.clear()),
    ("28(3)", |it| it.processor.name.clear()),
    ("28(3)", |it| it.processor.contact.clear()),
    ("28(3)", |it| it.purpose.clear()),
    ("28(3)", |it| it.nature.clear()),
    ("28(3)", |it| it.duration.clear()),
    ("28(3)", |it| it.data.clear()),
    ("28(3)", |it| it.persons.clear()),
    ("28(3)(a)", |it| it.clauses.a = Clause::default()),
    ("28(3)(b)", |it| it.clauses.b = Clause::default()),
    ("28(3)(c)", |it| it.clauses.c = Clause::default()),
    ("28(3)(d)", |it| it.clauses.d = Clause::default()),
    ("28(3)(e)", |it| it.clauses.e = Clause::default()),
    ("28(3)(f)", |it| it.clauses.f = Clause::default()),
    ("28(3)(g)", |it| it.clauses.g = Clause::default()),
    ("28(3)(h)", |it| it.clauses.h = Clause { place: "  ".to_owned() }),
    ("28(9)", |it| it.contract = Contract::default()),
    ("28(9)", |it| it.contract.digest = None),
    ("28(9)", |it| it.contract.signatory.clear()),
    ("35", |it| it.dpia = None),
    ("35", |it| it.dpia = Some(Dpia::Exempt(String::new()))),
    ("28(2)", |it| it.sub_processors.clear()),
    ("30(1)(d)", |it| it.recipients = vec![String::new()]),
    ("5(1)(e)", |it| it.deadline = None),
    ("28(3)(g)", |it| it.ending = None),
    ("32", |it| it.no_other_channel = false),
];

#[test]
fn an_instruction_without_any_one_item_is_refused_with_its_article() {
    let whole = instruction(FixedClock::new(SystemClock.now()).now());
    whole.check().unwrap();

    for (number, (article, leave_out)) in ITEMS.iter().enumerate() {
        let mut lacking = whole.clone();
        leave_out(&mut lacking);
        let refusal = lacking.check().unwrap_err();

        assert_eq!(refusal.code, Code(201), "item {number}");
        assert!(refusal.message.ends_with(&format!("(GDPR art. {article})")), "item {number}: {}", refusal.message);
    }
}

#[test]
fn every_field_of_the_instruction_is_one_of_the_items() {
    let whole = instruction(SystemClock.now());
    let mut left_out = whole.clone();

    for (_, leave_out) in ITEMS {
        leave_out(&mut left_out);
    }

    let fields = |instruction: &Instruction| serde_json::to_value(instruction).unwrap().as_object().unwrap().clone();
    let same: Vec<_> =
        fields(&whole).into_iter().filter(|field| fields(&left_out).get(&field.0) == Some(&field.1)).collect();
    assert!(same.is_empty(), "no story leaves these out: {same:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plan_passes_the_door_while_its_instruction_lacks_an_item() {
    let world = World::start().await;
    let systems = world.systems(60);
    let id = world.open().await;
    let (plan, documents) = world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;

    for (number, (article, leave_out)) in ITEMS.iter().enumerate() {
        let mut lacking = plan.clone();
        leave_out(&mut lacking.instruction);
        let refused = world.propose(&lacking, &documents).await.unwrap_err();
        assert_eq!(refused.code(), Code(201), "item {number}: {refused}");
        assert!(refused.to_string().contains(&format!("(GDPR art. {article})")), "item {number}: {refused}");
    }

    let before = world.desk(Name::Controller).follow(id).await.unwrap();
    assert!(before.migration().plan.is_none(), "a plan without a contract stands");
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    let after = world.desk(Name::Controller).follow(id).await.unwrap();
    assert_eq!(after.migration().stage, Stage::Approved);
}
