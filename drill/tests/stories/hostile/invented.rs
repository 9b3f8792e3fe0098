//! Acts that nobody made, or that nobody may make.

use std::collections::BTreeSet;
use std::sync::Arc;

use drill::{Name, World, entropy};
use lexicon::{Clock, ConsignmentId, Digest, Entropy, PersonId, Serial, hours_after};
use people::{Certificate, Device, OpeningKey, Person, Role, Root, SigningKey};
use procedure::{Act, Kind, Plan, Stage};
use wire::path;

use super::server::{Hostile, bytes, json};
use super::story::{By, Story};
use super::{Hands, alarms, approved, dishonest, hears, not_theirs, proposed, refused, said};

const NOT_THEIRS: &str = "this act is not theirs to make [LZ-0210]";
const NOT_THE_ROLE: &str = "their certificate does not give the role that this act asks for [LZ-0262]";

#[tokio::test(flavor = "multi_thread")]
async fn a_true_act_is_believed_from_a_hostile_server_so_that_only_lies_are_refused() {
    let world = World::start().await;
    world.plants_nothing("a migration is opened and frozen; there is no old system");
    let id = world.open().await;
    let story = Story::so_far(&world, id).await;
    let story = story.and(&world, &By::Signed(Name::Controller), &Act::Freeze { reason: "as I said".to_owned() });
    let server = Hostile::telling(&world, story);
    let hands = Hands::of(&world, Name::Operator, &server);
    assert!(hands.desk.follow(id).await.unwrap().migration().frozen.is_some());
    let mut build = |_: &procedure::Migration| Ok(Act::Thaw { reason: "looked at".to_owned() });
    let (_, ledger) = hands.desk.act(id, &mut build, &[]).await.unwrap();
    assert_eq!((ledger.last().number, server.acts(id).len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_approval_is_refused() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = proposed(&world, &systems).await;
    let approve = Act::Approve { plan: plan.digest().unwrap() };
    world.act(Name::Approver, plan.migration, approve.clone()).await.unwrap();
    let truth = Story::so_far(&world, plan.migration).await;
    let twice = "the second approval must come from another person than the first [LZ-0222]";
    let lies = [
        (By::Forged(Name::Controller), not_theirs(&world, Name::Controller)),
        (By::Server, NOT_THEIRS.to_owned()),
        (By::Deadline, NOT_THEIRS.to_owned()),
        (By::Signed(Name::Engineer), NOT_THE_ROLE.to_owned()),
        (By::Signed(Name::Approver), twice.to_owned()),
        (By::Again(truth.proof(3)), "these signed bytes are a fact already [LZ-0275]".to_owned()),
    ];
    let count = lies.len();
    let forged = truth.and(&world, &By::Forged(Name::Controller), &approve);
    assert_eq!(forged.state.stage, Stage::Approved, "whoever believed it would extract");
    for (by, why) in lies {
        let lie = truth.and(&world, &by, &approve);
        assert_eq!(hears(&world, Name::Operator, lie).await, refused(4, &why));
    }
    assert_eq!(alarms(&world, Name::Operator, plan.migration), count);
    let known = world.desk(Name::Operator).follow(plan.migration).await.unwrap();
    assert_eq!(known.migration().stage, Stage::Drafted, "nothing of it was kept");
}

/// A certificate of a root that the server made, in the name of the recipient's organisation.
fn strangers(world: &World) -> (Root, people::Envelope, Arc<SigningKey>) {
    let random = entropy();
    let random: &dyn Entropy = random.as_ref();
    let (root_key, key) = (SigningKey::draw(random).unwrap(), Arc::new(SigningKey::draw(random).unwrap()));
    let root = Root { organisation: "Editeur Biolog".to_owned(), key: root_key.public() };
    let certificate = Certificate {
        serial: Serial::draw(random).unwrap(),
        root: root.id(),
        person: Person { id: PersonId::draw(random).unwrap(), name: Name::Recipient.called().to_owned() },
        device: Device { name: "laptop".to_owned(), key: key.public() },
        roles: BTreeSet::from([Role::Recipient]),
        from: hours_after(world.clock.now(), -1),
        until: hours_after(world.clock.now(), 24),
    };
    (root, certificate.sign(&root_key).unwrap(), key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_recipients_key_is_refused_and_no_share_is_sealed_to_it() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let consignment = world.consign(&plan).await;
    let mut truth = Story::so_far(&world, plan.migration).await;
    let number = truth.number_of(|act| matches!(act, Act::Offer { .. }));
    truth = truth.hiding_after(number - 1);
    let (root, envelope, key) = strangers(&world);
    truth.roster.trust(root.clone());
    let certificate = truth.roster.admit(&envelope).unwrap();
    let offer = Act::Offer { consignment, key: OpeningKey::draw().recipient(), clear_swap: false };
    let unknown = format!("certificate {} is not one of a root trusted here [LZ-0125]", certificate.short());
    for (by, sentence) in [
        (By::Forged(Name::Recipient), refused(number, &not_theirs(&world, Name::Recipient))),
        (By::Server, refused(number, NOT_THEIRS)),
        (By::Signed(Name::Approver), refused(number, NOT_THE_ROLE)),
        (By::Stranger(key, certificate), unknown),
    ] {
        let (root, envelope) = (root.clone(), envelope.clone());
        // Everybody is shown the stranger's certificate, and its root among the admitted ones.
        let server = Hostile::telling_and_changing(&world, truth.and(&world, &by, &offer), move |outgoing, answer| {
            if outgoing.path != path::PEOPLE {
                return answer;
            }
            let mut people: wire::People = serde_json::from_slice(&answer.body).unwrap();
            people.roots.push(root.clone());
            people.certificates.push(envelope.clone());
            json(&people)
        });
        let hands = Hands::of(&world, Name::Operator, &server);
        let outcome = passage::hand_over(&hands.errand(plan.migration, consignment)).await;
        assert_eq!(said(outcome), sentence);
        assert!(server.acts(plan.migration).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_scope_column_is_refused_whoever_is_asked_for_it() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let wider = wider(&synth::scope_toml());
    assert!(scope::Scope::parse(&wider).is_ok());
    let truth = Story::so_far(&world, plan.migration).await;

    // In the plan, in the name of its author.
    let widened = Plan { scope: Digest::of(wider.as_bytes()), ..plan.clone() };
    let propose = Act::Propose { plan: Box::new(widened.clone()) };
    let lie = truth.hiding_after(1).and(&world, &By::Forged(Name::Engineer), &propose);
    assert_eq!(hears(&world, Name::Operator, lie).await, refused(2, &not_theirs(&world, Name::Engineer)));

    // By its author, who is in it with the server: the approvals of the other plan are none of this one.
    let amended = Plan { serial: 2, previous: Some(plan.digest().unwrap()), ..widened };
    let lie = truth.and(&world, &By::Signed(Name::Engineer), &Act::Propose { plan: Box::new(amended.clone()) });
    let lie = lie.and(&world, &By::Signed(Name::Operator), &open_consignment(&world, &amended));
    let unapproved = refused(6, "the plan is not approved by two persons [LZ-0229]");
    assert_eq!(hears(&world, Name::Controller, lie).await, unapproved);

    // In the document that the plan names.
    let consignment = world.consign(&plan).await;
    let document = path::document(plan.migration, plan.scope);
    let server = Hostile::answering(&world, move |outgoing| (outgoing.path == document).then(|| bytes(wider.clone())));
    let hands = Hands::of(&world, Name::Operator, &server);
    let errand = hands.errand(plan.migration, consignment);
    let outcome = passage::extract(&errand, systems.source.as_ref(), entropy()).await;
    let other = format!(
        "ALARM: the server sends other bytes for document {} than those that were signed [LZ-1224]",
        plan.scope.short()
    );
    assert_eq!(said(outcome), other);
    assert!(server.acts(plan.migration).is_empty(), "no extraction was begun");
}

/// A scope that takes the first column that was to stay.
fn wider(scope: &str) -> String {
    let (taken, left) = scope.split_once("]\nleave = [\n").unwrap();
    let (column, left) = left.split_once(",\n").unwrap();
    format!("{taken}  {{ column = {}, type = \"text\" }},\n]\nleave = [\n{left}", column.trim())
}

fn open_consignment(world: &World, plan: &Plan) -> Act {
    Act::OpenConsignment {
        consignment: ConsignmentId::draw(entropy().as_ref()).unwrap(),
        plan: plan.digest().unwrap(),
        kind: Kind::Full,
        seed: 1,
        basis_points: procedure::EVERYTHING,
        target: plan.target(Kind::Full).unwrap().identity.clone(),
        deadline: hours_after(world.clock.now(), 72),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_deadline_is_refused() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let truth = Story::so_far(&world, plan.migration).await;
    let until =
        |days: i64| Act::Extend { until: hours_after(world.clock.now(), days * 24), reason: "more time".into() };
    let beyond =
        "the deadline moves forward only, and not beyond the plan's cap or the instruction's deadline [LZ-0223]";
    for (by, days, why) in [
        (By::Forged(Name::Controller), 25, not_theirs(&world, Name::Controller)),
        (By::Server, 25, NOT_THEIRS.to_owned()),
        (By::Deadline, 25, NOT_THEIRS.to_owned()),
        (By::Signed(Name::Approver), 25, NOT_THE_ROLE.to_owned()),
        (By::Signed(Name::Operator), 25, NOT_THE_ROLE.to_owned()),
        (By::Signed(Name::Controller), 60, beyond.to_owned()),
    ] {
        let lie = truth.and(&world, &by, &until(days));
        assert_eq!(hears(&world, Name::Recipient, lie).await, refused(5, &why));
    }
    let later = Plan { deadline: hours_after(plan.deadline, 24), ..plan.clone() };
    let propose = Act::Propose { plan: Box::new(later) };
    let lie = truth.hiding_after(1).and(&world, &By::Forged(Name::Engineer), &propose);
    assert_eq!(hears(&world, Name::Recipient, lie).await, refused(2, &not_theirs(&world, Name::Engineer)));
    let known = world.desk(Name::Recipient).follow(plan.migration).await.unwrap();
    assert_eq!(known.migration().deadline.unwrap().at, plan.deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_consignment_is_refused() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let truth = Story::so_far(&world, plan.migration).await;
    let open = open_consignment(&world, &plan);
    for (by, why) in [
        (By::Forged(Name::Operator), not_theirs(&world, Name::Operator)),
        (By::Server, NOT_THEIRS.to_owned()),
        (By::Deadline, NOT_THEIRS.to_owned()),
        (By::Signed(Name::Recipient), NOT_THE_ROLE.to_owned()),
    ] {
        assert_eq!(hears(&world, Name::Controller, truth.and(&world, &by, &open)).await, refused(5, &why));
    }
    // Beside one that is open, or into another target, even with the operator's help.
    let both = truth.and(&world, &By::Signed(Name::Operator), &open);
    let second = both.and(&world, &By::Signed(Name::Operator), &open_consignment(&world, &plan));
    let one = refused(6, "one consignment at a time [LZ-0231]");
    assert_eq!(hears(&world, Name::Controller, second).await, one);
    let mut elsewhere = open_consignment(&world, &plan);
    if let Act::OpenConsignment { target, .. } = &mut elsewhere {
        "sqlite:mine".clone_into(target);
    }
    let lie = truth.and(&world, &By::Signed(Name::Operator), &elsewhere);
    let other = refused(5, "the plan names another target for this kind [LZ-0234]");
    assert_eq!(hears(&world, Name::Controller, lie).await, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_dated_into_the_future_is_refused_and_moves_nobodys_time() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let truth = Story::so_far(&world, plan.migration).await;
    let now = world.clock.now();
    let freeze = Act::Freeze { reason: "tomorrow".to_owned() };
    let dated = |(receipt, signed), by: &By, act: &Act| truth.clone().dated_ahead(receipt, signed).and(&world, by, act);
    let future = dishonest(5, "its time is before the fact before it, or in the future");
    let ahead = refused(5, "this act is dated more than five minutes ahead [LZ-0272]");
    let not_due = refused(5, "the deadline has not passed [LZ-0258]");
    let overdue = Act::Overdue { consignment: None };
    let days = 20 * 24 * 60;
    for (lie, sentence) in [
        (dated((6, 0), &By::Signed(Name::Approver), &freeze), &future),
        (dated((6, 6), &By::Signed(Name::Approver), &freeze), &future),
        (dated((0, 6), &By::Signed(Name::Approver), &freeze), &ahead),
        (dated((-60, -60), &By::Signed(Name::Approver), &freeze), &future),
        (dated((days, 0), &By::Deadline, &overdue), &future),
        (dated((4, 0), &By::Deadline, &overdue), &not_due),
    ] {
        assert_eq!(&hears(&world, Name::Controller, lie).await, sentence);
    }
    let bearable = dated((4, 4), &By::Signed(Name::Approver), &freeze);
    let desk = world.desk_over(Name::Controller, Hostile::telling(&world, bearable));
    assert!(desk.follow(plan.migration).await.unwrap().migration().frozen.is_some());
    assert_eq!(desk.now().unwrap(), now);
}
