//! What is due goes by itself: by what this device last verified, and by its own time.

use lexicon::{ConsignmentId, limits::DEADLINE_DAYS_MAX};
use people::Passphrase;
use procedure::{
    Allowed, Clause, Clauses, Contract, Dpia, Instruction, InstructionEnding, Kind, Party, Plan, System, Target,
};

use super::*;
use crate::{Gone, Overdue, OverdueRound, Round, destroy_overdue, files, watch};

/// No fact knows it, so it lives as long as its migration.
const ROUND: Round = Round { migration: MIGRATION, consignment: ConsignmentId([5; 16]) };
const DEADLINE_HOURS: i64 = 24 * 10;
const LONGEST_HOURS: i64 = 24 * DEADLINE_DAYS_MAX;

fn plan(world: &World) -> Plan {
    let party = |name: &str| Party { name: name.into(), contact: "dpo@example.org".into() };
    let clause = || Clause { place: "4".into() };
    let (a, b, c, d) = (clause(), clause(), clause(), clause());
    let clauses = Clauses { a, b, c, d, e: clause(), f: clause(), g: clause(), h: clause() };
    let instruction = Instruction {
        controller: party("Laboratoire des Abers"),
        processor: party("Iroise Logiciels"),
        purpose: "a new system".into(),
        nature: "extraction and loading".into(),
        duration: "30 days".into(),
        data: vec!["results".into()],
        persons: vec!["patients".into()],
        clauses,
        contract: Contract { digest: Some(Digest::of(b"contract")), signatory: "Claire Le Goff".into() },
        dpia: Some(Dpia::Reference("DPIA-1".into())),
        sub_processors: vec!["none".into()],
        recipients: vec!["Iroise Logiciels".into()],
        deadline: Some(hours_after(start(), 24 * 30)),
        ending: Some(InstructionEnding::Delete),
        no_other_channel: true,
    };
    let (identity, schema) = ("sqlite:/old".to_owned(), Digest::of(b"schema"));
    Plan {
        purpose: Plan::PURPOSE.into(),
        migration: MIGRATION,
        serial: 1,
        previous: None,
        parties: world.parties(),
        instruction,
        scope: Digest::of(b"scope"),
        report: Digest::of(b"report"),
        source: System { identity, schema, live: false },
        targets: vec![Target {
            kinds: vec![Kind::Full],
            identity: "sqlite:/new".into(),
            schema,
            declared: std::collections::BTreeMap::new(),
            documents: None,
        }],
        extracting: vec![world.claire.key().public()],
        loading: vec![world.yann.key().public()],
        allowed: vec![Allowed { kind: Kind::Full, count_max: 1, hours_max: 100 }],
        deadline: hours_after(start(), DEADLINE_HOURS),
        extension_cap: hours_after(start(), DEADLINE_HOURS * 2),
        key_ring: "local".into(),
        one_operator_both_ends: false,
    }
}

/// A migration with a deadline that both devices verified, and a share or key kept on each.
async fn kept() -> World {
    let world = World::new();
    act(&world.claire.desk, Act::Open { parties: world.parties() }).await.unwrap();
    act(&world.yann.desk, Act::Propose { plan: Box::new(plan(&world)) }).await.unwrap();
    world.claire.desk.follow(MIGRATION).await.unwrap();
    let passphrase = Passphrase::new("p");
    world.claire.home().keep_share(ROUND, b"share", &passphrase).unwrap();
    world.yann.home().keep_opening_key(ROUND, &people::OpeningKey::draw(), &passphrase).unwrap();
    world.server.books().is_down = true;
    world
}

fn left(seat: &Seat) -> Vec<String> {
    files::all_names(&seat.home().of(MIGRATION).join(format!("consignments/{}", ROUND.consignment))).unwrap()
}

fn at(world: &World, hours: i64) {
    world.clock.set(hours_after(start(), hours));
}

/// Claire's look, at this hour.
fn look(world: &World, hours: i64) -> Overdue {
    at(world, hours);
    destroy_overdue(world.claire.home(), world.clock.as_ref()).unwrap()
}

fn told(overdue: &Overdue) -> Vec<u16> {
    overdue.failed.iter().map(|(_, trouble)| trouble.code().0).collect()
}

#[tokio::test]
async fn at_the_deadline_opening_the_desk_destroys_share_and_opening_key_without_the_server() {
    let world = kept().await;
    at(&world, DEADLINE_HOURS - 1);
    for seat in [&world.claire, &world.yann] {
        assert!(seat.reopened(&world).overdue().is_quiet());
        assert_eq!(left(seat).len(), 1, "an hour before everything is there");
    }
    at(&world, DEADLINE_HOURS);
    for seat in [&world.claire, &world.yann] {
        let desk = seat.reopened(&world);
        let deadline = hours_after(start(), DEADLINE_HOURS);
        assert_eq!(desk.overdue().destroyed, [OverdueRound { round: ROUND, deadline, keys: 1 }]);
        assert_eq!(left(seat), ["gone.json"]);
        let gone = Gone { keys: 1, finished: true, deadline: Some(deadline), ..Gone::begun(deadline) };
        assert_eq!(seat.home().gone(ROUND).unwrap(), Some(gone));
        assert!(seat.reopened(&world).overdue().is_quiet(), "told once");
    }
}

#[tokio::test]
async fn an_extension_that_was_verified_keeps_and_one_that_was_missed_does_not() {
    let world = kept().await;
    world.server.books().is_down = false;
    let until = hours_after(start(), DEADLINE_HOURS + 24);
    act(&world.claire.desk, Act::Extend { until, reason: "a holiday".into() }).await.unwrap();
    at(&world, DEADLINE_HOURS + 1);
    assert!(world.claire.reopened(&world).overdue().is_quiet());
    assert_eq!(left(&world.claire), ["laboratory.share"]);
    assert_eq!(world.yann.reopened(&world).overdue().destroyed.len(), 1);
    assert_eq!(left(&world.yann), ["gone.json"]);
    at(&world, DEADLINE_HOURS + 24);
    assert_eq!(world.claire.reopened(&world).overdue().destroyed[0].deadline, until);
}

#[tokio::test]
async fn a_clock_that_was_ahead_and_is_set_back_gains_nothing() {
    let world = kept().await;
    at(&world, DEADLINE_HOURS);
    // Any look at the time records it.
    world.claire.desk.now().unwrap();
    at(&world, 1);
    assert_eq!(world.claire.reopened(&world).overdue().destroyed.len(), 1);
    // The control: the device that was not looked at in the future.
    assert!(world.yann.reopened(&world).overdue().is_quiet());
    assert_eq!(left(&world.yann), ["opening.key"]);
}

#[tokio::test]
async fn what_ended_before_its_deadline_keeps_its_keys_for_the_probe_until_then() {
    let world = kept().await;
    world.server.books().is_down = false;
    act(&world.claire.desk, Act::Cancel { reason: "no longer wanted".into() }).await.unwrap();
    assert!(world.claire.reopened(&world).overdue().is_quiet());
    assert_eq!(left(&world.claire), ["laboratory.share"]);
    at(&world, DEADLINE_HOURS);
    assert_eq!(world.claire.reopened(&world).overdue().destroyed.len(), 1);
}

#[tokio::test]
async fn facts_that_cannot_be_read_are_told_and_hold_up_no_other_migration() {
    let world = kept().await;
    let home = world.claire.home();
    let [torn, blocked] = [1, 2].map(|id| Round { migration: MigrationId([id; 16]), ..ROUND });
    for other in [torn, blocked] {
        home.keep_share(other, b"share", &Passphrase::new("p")).unwrap();
    }
    files::write(&home.of(torn.migration).join("facts.jsonl"), b"torn\n").unwrap();
    // Where a folder lies, no file can be written.
    std::fs::create_dir(home.of(blocked.migration).join("undated")).unwrap();
    let overdue = look(&world, DEADLINE_HOURS);
    assert_eq!(overdue.destroyed.iter().map(|round| round.round).collect::<Vec<_>>(), [ROUND]);
    assert_eq!(told(&overdue), [1212, 1227, 1211]);
    let whose: Vec<_> = overdue.failed.iter().map(|(migration, _)| *migration).collect();
    assert_eq!(whose, [torn.migration, torn.migration, blocked.migration]);
    for other in [torn, blocked] {
        assert_eq!(home.held(other.migration).unwrap(), [other]);
    }
}

#[tokio::test]
async fn where_no_deadline_is_known_that_is_told_and_the_longest_destroys() {
    for (damage, codes) in [(None, vec![1227]), (Some(b"torn\n"), vec![1212, 1227])] {
        let world = kept().await;
        let folder = world.claire.home().of(MIGRATION);
        std::fs::remove_file(folder.join("facts.jsonl")).unwrap();
        if let Some(torn) = damage {
            files::write(&folder.join("facts.jsonl"), torn).unwrap();
        }
        let first = DEADLINE_HOURS + 1;
        let deadline = hours_after(start(), first + LONGEST_HOURS);
        for hours in [first, first + LONGEST_HOURS - 1] {
            let overdue = look(&world, hours);
            assert_eq!((overdue.destroyed.len(), told(&overdue)), (0, codes.clone()), "{hours}");
            let (_, trouble) = overdue.failed.last().unwrap();
            assert!(trouble.to_string().contains(&format!("they go at {deadline}")), "{trouble}");
            assert_eq!(left(&world.claire), ["laboratory.share"]);
        }
        let overdue = look(&world, first + LONGEST_HOURS);
        assert_eq!(overdue.destroyed, [OverdueRound { round: ROUND, deadline, keys: 1 }]);
        assert_eq!(left(&world.claire), ["gone.json"]);
        assert!(look(&world, first + LONGEST_HOURS).is_quiet(), "told once");
        assert!(!folder.join("undated").exists(), "it counts for no later key");
    }
}

#[tokio::test]
async fn facts_that_come_back_bring_their_deadline_back() {
    let world = kept().await;
    let folder = world.claire.home().of(MIGRATION);
    let whole = files::read(&folder.join("facts.jsonl")).unwrap().unwrap();
    // Cut at a line's end, before the plan.
    let opened = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    files::write(&folder.join("facts.jsonl"), opened).unwrap();
    assert_eq!(told(&look(&world, 1)), [1227]);
    assert!(folder.join("undated").exists());
    world.server.books().is_down = false;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    assert!(look(&world, 2).is_quiet());
    assert!(!folder.join("undated").exists());
    let deadline = hours_after(start(), DEADLINE_HOURS);
    assert_eq!(look(&world, DEADLINE_HOURS).destroyed, [OverdueRound { round: ROUND, deadline, keys: 1 }]);
}

#[tokio::test]
async fn a_moment_of_a_damage_that_was_changed_keeps_no_key() {
    let world = kept().await;
    let folder = world.claire.home().of(MIGRATION);
    std::fs::remove_file(folder.join("facts.jsonl")).unwrap();
    let ahead = hours_after(start(), LONGEST_HOURS * 10);
    files::write(&folder.join("undated"), format!("{ahead}\n").as_bytes()).unwrap();
    assert_eq!(told(&look(&world, 1)), [1227]);
    assert_eq!(files::read(&folder.join("undated")).unwrap().unwrap(), format!("{}\n", world.clock.now()).as_bytes());
    files::write(&folder.join("undated"), b"yesterday\n").unwrap();
    assert_eq!(look(&world, 2).destroyed.len(), 1);
    assert_eq!(left(&world.claire), ["gone.json"]);
}

#[tokio::test]
async fn a_card_that_cannot_be_read_holds_up_no_destruction_that_was_cut_and_the_longest_deadline_holds() {
    let world = kept().await;
    let home = world.claire.home();
    let cut = Round { consignment: ConsignmentId([6; 16]), ..ROUND };
    home.keep_share(cut, b"share", &Passphrase::new("p")).unwrap();
    let stone = home.of(MIGRATION).join(format!("consignments/{}/gone.json", cut.consignment));
    files::write_json(&stone, &Gone { keys: 1, ..Gone::begun(start()) }).unwrap();
    files::write(&home.folder().join("server.json"), b"torn\n").unwrap();
    let overdue = look(&world, 1);
    assert_eq!(overdue.card.as_ref().map(Trouble::code), Some(Code(1212)));
    assert_eq!((overdue.destroyed.len(), told(&overdue)), (0, vec![1227]));
    assert!(home.gone(cut).unwrap().unwrap().finished);
    let deadline = hours_after(start(), 1 + LONGEST_HOURS);
    assert_eq!(look(&world, 1 + LONGEST_HOURS).destroyed, [OverdueRound { round: ROUND, deadline, keys: 1 }]);
    assert_eq!(left(&world.claire), ["gone.json"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_erased_keeps_no_other_and_no_other_rounds_key() {
    let world = kept().await;
    let home = world.claire.home();
    let stuck = Round { consignment: ConsignmentId([1; 16]), ..ROUND };
    home.keep_share(stuck, b"share", &Passphrase::new("p")).unwrap();
    let folder = home.of(MIGRATION).join(format!("consignments/{}", stuck.consignment));
    // It comes before the share in the order of names, and is no file.
    std::fs::create_dir(folder.join(".draft")).unwrap();
    at(&world, DEADLINE_HOURS);
    let overdue = destroy_overdue(home, world.clock.as_ref()).unwrap();
    assert_eq!(overdue.destroyed.iter().map(|round| round.round).collect::<Vec<_>>(), [ROUND]);
    assert!(overdue.failed.iter().any(|(migration, _)| *migration == MIGRATION), "{overdue:?}");
    assert_eq!(files::all_names(&folder).unwrap(), [".draft", "gone.json"]);
    assert_eq!(left(&world.claire), ["gone.json"]);
}

#[tokio::test]
async fn a_recorded_time_that_cannot_be_read_keeps_no_key_and_is_told() {
    let world = kept().await;
    files::write(&world.claire.home().folder().join("time"), b"yesterday\n").unwrap();
    at(&world, DEADLINE_HOURS - 1);
    let overdue = destroy_overdue(world.claire.home(), world.clock.as_ref()).unwrap();
    assert_eq!((overdue.destroyed.len(), overdue.time.map(|trouble| trouble.code())), (0, Some(Code(1212))));
    at(&world, DEADLINE_HOURS);
    let reopened = world.claire.reopened(&world);
    assert_eq!(reopened.overdue().destroyed.len(), 1);
    assert_eq!(left(&world.claire), ["gone.json"]);
    assert_eq!(outcome(reopened.now()), (1212, true), "nothing is dated by such a device");
}

#[tokio::test]
async fn a_keeper_looks_at_every_beat_and_tells_only_what_happened() {
    let world = kept().await;
    let home = world.yann.home().clone();
    let (beat, mut beats) = tokio::sync::mpsc::unbounded_channel();
    let (mut told, mut looks) = (Vec::new(), 0);
    let clock = Arc::clone(&world.clock);
    for _ in 0..4 {
        beat.send(()).unwrap();
    }
    drop(beat);
    let beating = async || {
        looks += 1;
        // The clock goes on to the deadline before the third look.
        clock.set(hours_after(start(), if looks < 3 { 1 } else { DEADLINE_HOURS }));
        beats.recv().await
    };
    watch(&home, world.clock.clone(), beating, |looked| told.push(looked.unwrap())).await;
    assert_eq!(looks, 5, "four beats and the end");
    assert_eq!(told.iter().map(|overdue| overdue.destroyed.len()).collect::<Vec<_>>(), [1]);
    assert_eq!(world.yann.home().gone(ROUND).unwrap().unwrap().at, hours_after(start(), DEADLINE_HOURS));
}

#[test]
fn one_process_of_a_device_works_on_a_round_at_a_time() {
    let world = World::new();
    let (one, other) = (world.claire.home(), Home::open(world.claire.home().folder()).unwrap());
    let alone = one.alone(ROUND).unwrap();
    assert_eq!(outcome(other.alone(ROUND)), (1226, false));
    let another = Round { consignment: ConsignmentId([6; 16]), ..ROUND };
    drop(other.alone(another).unwrap());
    drop(alone);
    drop(other.alone(ROUND).unwrap());
    // Whoever hangs keeps nobody from destroying, and leaves nothing that looks like a key put back.
    let _hanging = one.alone(ROUND).unwrap();
    one.keep_share(ROUND, b"share", &Passphrase::new("p")).unwrap();
    assert_eq!(other.destroy(ROUND, start()).unwrap().keys, 1);
    assert!(destroy_overdue(&other, world.clock.as_ref()).unwrap().is_quiet());
}
