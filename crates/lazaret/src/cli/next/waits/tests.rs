use lexicon::{MigrationId, PersonId, Serial};
use people::{Device, Person};
use procedure::{Approval, Deadline, Ending, Instruction, Outcome, PlanParty, Reconciliation, System};

use super::*;

const LABORATORY: Digest = Digest([1; 32]);
const VENDOR: Digest = Digest([2; 32]);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn person(number: u8, root: Digest, role: Role) -> Certificate {
    Certificate {
        serial: Serial([number; 8]),
        root,
        person: Person { id: PersonId([number; 16]), name: format!("Person {number}") },
        device: Device { name: "laptop".to_owned(), key: PublicKey([number; 32]) },
        roles: BTreeSet::from([role]),
        from: Timestamp::UNIX_EPOCH,
        until: Timestamp::MAX,
    }
}

/// Person 3 wrote the plan, person 4 extracts, person 5 loads.
fn migration() -> Migration {
    let party = |root, organisation: &str, side| PlanParty { root, organisation: organisation.to_owned(), side };
    let mut migration = Migration::new(MigrationId([9; 16]));
    migration.parties = vec![party(LABORATORY, "Labo", Side::Controller), party(VENDOR, "Editor", Side::Processor)];
    migration.facts = 2;
    let deadline = at("2026-12-24T00:00:00Z");
    migration.deadline = Some(Deadline { at: deadline, set_by: LABORATORY, fact: 2 });
    let plan = Plan {
        purpose: Plan::PURPOSE.to_owned(),
        migration: migration.id,
        serial: 1,
        previous: None,
        parties: migration.parties.clone(),
        instruction: Instruction::default(),
        scope: Digest([7; 32]),
        report: Digest([8; 32]),
        source: System { identity: "postgres://lab.example:5432/old".to_owned(), schema: LABORATORY, live: false },
        targets: Vec::new(),
        extracting: vec![PublicKey([4; 32])],
        loading: vec![PublicKey([5; 32])],
        allowed: Vec::new(),
        deadline,
        extension_cap: deadline,
        key_ring: "local".to_owned(),
        one_operator_both_ends: false,
    };
    migration.plan = Some((Digest([6; 32]), plan, PersonId([3; 16])));
    migration
}

fn round(migration: &mut Migration, stage: ConsignmentStage) -> &mut Consignment {
    migration.stage = Stage::Approved;
    migration.consignments.push(Consignment {
        id: ConsignmentId([0xc; 16]),
        plan: Digest([6; 32]),
        kind: Kind::Full,
        seed: 1,
        basis_points: procedure::EVERYTHING,
        target: "sqlite:/new system.sqlite".to_owned(),
        deadline: at("2026-12-01T00:00:00Z"),
        set_by: Digest([4; 32]),
        fact: 5,
        opened: Digest([4; 32]),
        operator: PersonId([4; 16]),
        device: PublicKey([4; 32]),
        strongroom_share: Digest([4; 32]),
        stage,
        attempts: Vec::new(),
        clear_swap: std::collections::BTreeSet::new(),
        offers: Vec::new(),
        manifest: None,
        released: None,
        outcome: None,
        ending: None,
        parts: Vec::new(),
    });
    migration.consignments.last_mut().unwrap()
}

fn seen(migration: &Migration, me: &Certificate) -> Vec<Wait> {
    let roster = Roster::default();
    View { migration, me, roster: &roster, now: at("2026-11-25T00:00:00Z") }.waits()
}

fn kept(held: &[ConsignmentId], gone: &[ConsignmentId]) -> Kept {
    Kept { held: held.iter().copied().collect(), gone: gone.iter().map(|id| (*id, None)).collect() }
}

fn to_destroy(migration: &Migration, me: &Certificate, kept: &Kept, now: &str) -> usize {
    let roster = Roster::default();
    View { migration, me, roster: &roster, now: at(now) }.destroy(kept).len()
}

#[test]
fn the_author_of_a_plan_is_not_asked_to_approve_it() {
    let migration = migration();
    assert!(!seen(&migration, &person(3, VENDOR, Role::Approver))[0].mine);
    assert!(seen(&migration, &person(1, LABORATORY, Role::Controller))[0].mine);
    assert!(seen(&migration, &person(2, VENDOR, Role::Approver))[0].mine);
}

#[test]
fn after_the_vendors_approval_only_the_laboratory_is_waited_for() {
    let mut migration = migration();
    let (person_id, name) = (PersonId([2; 16]), "Person 2".to_owned());
    migration.approvals.push(Approval { person: person_id, name, root: VENDOR, certificate: VENDOR, fact: 3 });
    let waits = seen(&migration, &person(6, VENDOR, Role::Approver));
    assert!(!waits[0].mine);
    assert_eq!(waits[0].who, "a controller or approver of Labo");
    assert!(seen(&migration, &person(1, LABORATORY, Role::Controller))[0].mine);
}

#[test]
fn whoever_extracted_is_not_asked_to_release() {
    let mut migration = migration();
    let round = round(&mut migration, ConsignmentStage::Closed);
    let offer = procedure::Offer {
        digest: Digest([5; 32]),
        person: PersonId([5; 16]),
        root: VENDOR,
        certificate: VENDOR,
        device: PublicKey([5; 32]),
        key: people::OpeningKey::draw().recipient(),
    };
    round.offers.push(offer);
    assert!(!seen(&migration, &person(4, LABORATORY, Role::Controller))[0].mine);
    let waits = seen(&migration, &person(1, LABORATORY, Role::Controller));
    assert!(waits[0].mine);
    let ids = format!("--migration {} --consignment {}", "09".repeat(16), "0c".repeat(16));
    assert_eq!(waits[0].command, format!("consignment release {ids}"));
}

#[test]
fn an_open_round_waits_for_its_device_and_for_a_key_of_the_recipient() {
    let mut migration = migration();
    round(&mut migration, ConsignmentStage::Open);
    let mine = |me: &Certificate| seen(&migration, me).iter().map(|wait| wait.mine).collect::<Vec<_>>();
    assert_eq!(mine(&person(4, LABORATORY, Role::Operator)), [true, false]);
    assert_eq!(mine(&person(5, VENDOR, Role::Recipient)), [false, true]);
    let command = seen(&migration, &person(4, LABORATORY, Role::Operator))[0].command.clone();
    assert!(command.ends_with("--source postgres://USER@lab.example:5432/old --source-credential FILE"), "{command}");
}

#[test]
fn keys_that_outlive_their_round_are_to_be_destroyed_even_without_the_server() {
    let mut migration = migration();
    let id = round(&mut migration, ConsignmentStage::Closed).id;
    let me = person(4, LABORATORY, Role::Operator);
    let held = kept(&[id], &[]);
    assert_eq!(to_destroy(&migration, &me, &held, "2026-11-30T23:59:59Z"), 0);
    assert_eq!(to_destroy(&migration, &me, &held, "2026-12-01T00:00:00Z"), 1);
    migration.consignments[0].ending = Some(Ending::Abandoned);
    assert_eq!(to_destroy(&migration, &me, &held, "2026-11-25T00:00:00Z"), 1);
}

#[test]
fn a_load_whose_round_ran_out_still_waits_for_the_sign_off_until_the_migrations_deadline() {
    let mut migration = migration();
    let round = round(&mut migration, ConsignmentStage::Destroyed);
    round.ending = Some(Ending::Overdue);
    let (target, schema) = (round.target.clone(), Digest([3; 32]));
    let reconciliation = Reconciliation {
        target,
        schema,
        tables: Vec::new(),
        documents: Vec::new(),
        orphans: Vec::new(),
        opened: true,
        measured: Vec::new(),
    };
    round.outcome = Some(Outcome {
        digest: Digest([3; 32]),
        reconciliation: reconciliation.into(),
        arrived: std::sync::Arc::default(),
        accepted: None,
    });
    let me = person(1, LABORATORY, Role::Controller);
    let waits = seen(&migration, &me);
    assert_eq!(waits[0].command, format!("migration sign-off --migration {} --history target", "09".repeat(16)));
    assert_eq!((waits[0].mine, waits[0].until), (true, Some(at("2026-12-24T00:00:00Z"))));
    migration.consignments[0].ending = Some(Ending::Abandoned);
    assert!(seen(&migration, &me)[0].command.starts_with("consignment open"));
}

#[test]
fn a_rehearsal_that_the_plan_allows_is_proposed_before_the_full_round_and_once() {
    let mut migration = migration();
    migration.stage = Stage::Approved;
    let operator = person(4, LABORATORY, Role::Operator);
    let commands = |migration: &Migration| {
        let waits = seen(migration, &operator);
        assert!(waits.iter().all(|wait| wait.mine));
        waits.into_iter().map(|wait| wait.command).collect::<Vec<_>>()
    };
    let id = "09".repeat(16);
    let full = format!("consignment open --migration {id} --kind full");
    assert_eq!(commands(&migration), std::slice::from_ref(&full));
    if let Some((_, plan, _)) = &mut migration.plan {
        let (kinds, identity) = (vec![Kind::Rehearsal], "sqlite:/trial.sqlite".to_owned());
        plan.targets.push(procedure::Target {
            kinds,
            identity,
            schema: LABORATORY,
            declared: std::collections::BTreeMap::new(),
            documents: None,
        });
        plan.allowed.push(procedure::Allowed { kind: Kind::Rehearsal, count_max: 1, hours_max: 24 });
    }
    let rehearsal = format!("consignment open --migration {id} --kind rehearsal --percent 1");
    assert_eq!(commands(&migration), [rehearsal, full.clone()]);
    let over = round(&mut migration, ConsignmentStage::Destroyed);
    (over.kind, over.ending) = (Kind::Rehearsal, Some(Ending::Abandoned));
    assert_eq!(commands(&migration), [full]);
}

#[test]
fn a_destruction_that_the_server_does_not_know_is_said_again() {
    let mut migration = migration();
    let round = round(&mut migration, ConsignmentStage::Destroyed);
    round.ending = Some(Ending::Abandoned);
    let id = round.id;
    let me = person(4, LABORATORY, Role::Operator);
    let gone = kept(&[], &[id]);
    assert_eq!(to_destroy(&migration, &me, &gone, "2026-11-25T00:00:00Z"), 1);
    migration.consignments[0].parts.push((procedure::Part::Laboratory, me.device.key, 1, None));
    assert_eq!(to_destroy(&migration, &me, &gone, "2026-11-25T00:00:00Z"), 0);
}

#[test]
fn what_a_deadline_destroyed_here_is_told_and_waits_for_the_server_to_end_the_round() {
    let mut migration = migration();
    let id = round(&mut migration, ConsignmentStage::Closed).id;
    let me = person(4, LABORATORY, Role::Operator);
    let gone = Kept { held: BTreeSet::new(), gone: [(id, Some(at("2026-12-01T00:00:00Z")))].into() };
    let waits = |migration: &Migration| {
        let roster = Roster::default();
        View { migration, me: &me, roster: &roster, now: at("2026-12-01T00:00:01Z") }.destroy(&gone)
    };
    let [wait] = waits(&migration).try_into().unwrap();
    assert!(!wait.mine && wait.why.contains("by the deadline 2026-12-01T00:00:00Z"), "{wait:?}");
    migration.consignments[0].ending = Some(Ending::Overdue);
    assert!(waits(&migration)[0].mine);
}

#[test]
fn a_word_with_blanks_or_quotes_stays_one_word() {
    assert_eq!(quoted("/srv/old.sqlite"), "/srv/old.sqlite");
    assert_eq!(quoted("it's here"), "'it'\\''s here'");
    assert_eq!(quoted("$(x)"), "'$(x)'");
}
