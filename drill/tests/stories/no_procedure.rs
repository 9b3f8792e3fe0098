//! Finding 1 of the decision: there was no procedure for migrating data. Here nothing moves before two persons have
//! approved the same bytes, and the machine that extracts checks by itself what was approved.

use drill::{Name, Party, Systems, World, entropy, lies_on};
use lexicon::{Clock, Code, ConsignmentId, Digest, PersonId, Result, Trouble, hours_after};
use people::Person;
use procedure::{Act, Kind, Migration, Plan, Stage};

/// The operator tries to begin a round under the plan.
async fn try_to_consign(world: &World, plan: &Plan) -> Result<ConsignmentId> {
    let consignment = ConsignmentId::draw(entropy().as_ref()).unwrap();
    let act = Act::OpenConsignment {
        consignment,
        plan: plan.digest().unwrap(),
        kind: Kind::Full,
        seed: 1,
        basis_points: procedure::EVERYTHING,
        target: plan.target(Kind::Full).unwrap().identity.clone(),
        deadline: hours_after(world.clock.now(), 72),
    };
    world.act(Name::Operator, plan.migration, act).await.map(|()| consignment)
}

async fn proposed(world: &World, systems: &Systems) -> Plan {
    let id = world.open().await;
    let (plan, documents) = world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    world.propose(&plan, &documents).await.unwrap();
    plan
}

fn parcels_on_the_shelf(world: &World) -> usize {
    lies_on(&world.server_folder().join("shelf")).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_before_two_persons_of_both_sides_approved_the_same_bytes() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = proposed(&world, &systems).await;
    let approve = Act::Approve { plan: plan.digest().unwrap() };
    let vendor = world.organisation(Party::Vendor);
    let approver = world.desk(Name::Approver).me().person.clone();
    world.newcomer(vendor, &world.path("second device"), approver, Name::Approver.role());
    let colleague = Person { id: PersonId::draw(entropy().as_ref()).unwrap(), name: "Marc Petit".to_owned() };
    world.newcomer(vendor, &world.path("colleague"), colleague, Name::Approver.role());

    assert_eq!(try_to_consign(&world, &plan).await.unwrap_err().code(), Code(229));
    world.act(Name::Approver, plan.migration, approve.clone()).await.unwrap();
    let again = world.act(Name::Approver, plan.migration, approve.clone()).await.unwrap_err();
    let device = world.desk_at(&world.path("second device"));
    device.present().await.unwrap();
    let mut build = |_: &Migration| Ok(approve.clone());
    let elsewhere = device.act(plan.migration, &mut build, &[]).await.unwrap_err();
    let author = world.act(Name::Engineer, plan.migration, approve.clone()).await.unwrap_err();
    let other_bytes = world.act(Name::Controller, plan.migration, Act::Approve { plan: Digest::of(b"other") }).await;
    assert_eq!((again.code(), elsewhere.code(), author.code()), (Code(222), Code(222), Code(262)));
    assert_eq!(other_bytes.unwrap_err().code(), Code(220));
    let colleague = world.desk_at(&world.path("colleague"));
    colleague.present().await.unwrap();
    colleague.act(plan.migration, &mut build, &[]).await.unwrap();
    let two_of_the_vendor = try_to_consign(&world, &plan).await.unwrap_err();
    assert_eq!(two_of_the_vendor.code(), Code(229), "two approvals of one side are not two sides");

    world.act(Name::Controller, plan.migration, approve.clone()).await.unwrap();
    assert_eq!(parcels_on_the_shelf(&world), 0);
    try_to_consign(&world, &plan).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_changed_after_approval_is_refused_by_the_machine_that_extracts() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = world.consign(&plan).await;
    let wider = synth::scope_toml().replace("2018-01-01", "1999-01-01");
    assert_ne!(Digest::of(wider.as_bytes()), plan.scope);

    // The server's own operator puts another scope in the place of the approved one.
    let registry = rusqlite::Connection::open(world.server_folder().join("registry.sqlite")).unwrap();
    let put = |body: &str| {
        registry.execute("UPDATE document SET body = ?1 WHERE digest = ?2", (body.as_bytes(), plan.scope.to_string()))
    };
    assert_eq!(put(&wider).unwrap(), 1);
    let refused = world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap_err();
    let (amended, documents) = amendment(&world, &plan, &wider, &systems).await;
    let amending = world.propose(&amended, &documents).await.unwrap_err();

    assert!(matches!(&refused, Trouble::Alarm(alarm) if alarm.code == Code(1224)), "{refused}");
    assert_eq!(amending.code(), Code(217), "a plan was amended while a consignment lives");
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    assert!(ledger.migration().consignment(consignment).unwrap().attempts.is_empty(), "an attempt was begun");
    assert_eq!(parcels_on_the_shelf(&world), 0);
    put(&synth::scope_toml()).unwrap();
    world.act(Name::Operator, plan.migration, Act::Abandon { consignment, reason: "amend".to_owned() }).await.unwrap();
    let (amended, documents) = amendment(&world, &plan, &wider, &systems).await;
    world.propose(&amended, &documents).await.unwrap();
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    assert_eq!((ledger.migration().stage, ledger.migration().approvals.len()), (Stage::Drafted, 0));
    assert_eq!(try_to_consign(&world, &amended).await.unwrap_err().code(), Code(229));
}

/// The plan that follows, with another scope.
async fn amendment(world: &World, plan: &Plan, scope: &str, systems: &Systems) -> (Plan, Vec<Vec<u8>>) {
    let (next, documents) = world.plan(plan.migration, scope, systems.source.as_ref(), systems.sink.as_ref()).await;
    (Plan { serial: plan.serial.checked_add(1).unwrap(), previous: Some(plan.digest().unwrap()), ..next }, documents)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_in_the_old_system_stops_the_run_with_its_name() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = world.consign(&plan).await;

    let old = rusqlite::Connection::open(&systems.old).unwrap();
    old.execute_batch("ALTER TABLE patient ADD COLUMN genetic_risk TEXT; UPDATE patient SET genetic_risk = 'high';")
        .unwrap();
    let refused = world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap_err();

    assert_eq!(refused.code(), Code(311), "{refused}");
    assert!(refused.to_string().contains("genetic_risk"), "{refused}");
    assert!(!refused.to_string().contains("high"), "{refused}");
    let ledger = world.desk(Name::Controller).follow(plan.migration).await.unwrap();
    let round = ledger.migration().consignment(consignment).unwrap();
    assert!(round.manifest.is_none() && round.last_attempt().is_some_and(|attempt| !attempt.running), "{round:?}");
    assert_eq!(parcels_on_the_shelf(&world), 0);
}
