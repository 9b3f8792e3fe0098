//! One round offered in the place of another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use connectors::Sink;
use drill::{Name, World, entropy};
use lexicon::{Clock, ConsignmentId, Digest, ParcelId, hours_after};
use people::OpeningKey;
use procedure::{
    Act, Allowed, ConsignmentStage, Differing, ExtractMeasure, History, Kind, Manifest, ManifestParcel, ManifestTable,
    Plan, Proof, Reconciliation, Step, TableOutcome, Target,
};
use scope::ReportTable;
use wire::{Answer, SubmitAct, path};

use super::server::{Hostile, bytes};
use super::story::{By, Story, body_of};
use super::{Hands, approved, hears, not_theirs, refused, said};

const WHATEVER: Act = Act::Overdue { consignment: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_manifest_is_refused() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let consignment = world.consign(&plan).await;
    // The server keeps the first manifest to itself and answers nothing: the attempt fails, a second one closes.
    let held: Arc<Mutex<Option<Proof>>> = Arc::default();
    let (keep, acts) = (Arc::clone(&held), path::acts(plan.migration));
    let server = Hostile::answering(&world, move |outgoing| {
        let sent: SubmitAct = (outgoing.path == acts).then(|| serde_json::from_slice(&outgoing.body).unwrap())?;
        matches!(body_of(&sent.proof).body, Act::Close { .. }).then(|| {
            *keep.lock().unwrap() = Some(sent.proof);
            Answer { status: 503, ..bytes(Vec::new()) }
        })
    });
    let hands = Hands::of(&world, Name::Operator, &server);
    let errand = hands.errand(plan.migration, consignment);
    let cut = said(passage::extract(&errand, systems.source.as_ref(), entropy()).await);
    let whom = "Laboratoire des Halles (dpo@example.org) and Editeur Biolog (dpo@example.org)";
    assert_eq!(
        cut,
        format!(
            "the close is NOT in force: there is no receipt for it \
             (the server's answer (status 503) is not one of ours); telephone {whom} [LZ-1218]"
        )
    );
    let first = held.lock().unwrap().take().unwrap();
    world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap();
    world.release(&plan, consignment).await.unwrap();

    // Once the attempt is known to have failed, its manifest comes too late.
    let truth = Story::so_far(&world, plan.migration).await;
    let failed = truth.number_of(|act| matches!(act, Act::Failed { .. }));
    let close = truth.number_of(|act| matches!(act, Act::Close { .. }));
    let stale = |number: u64, signed: u64| {
        let last = number - 1;
        refused(number, &format!("this act was signed over fact {signed}, and {last} is the last [LZ-0273]"))
    };
    let instead = truth.hiding_after(close - 1).and(&world, &By::Again(first.clone()), &WHATEVER);
    assert_eq!(instead.state.consignment(consignment).unwrap().stage, ConsignmentStage::Closed);
    assert_eq!(hears(&world, Name::Recipient, instead).await, stale(close, failed - 1));
    // In a history without that failure it could stand; but no release of the true one can follow it there.
    let fork = truth.hiding_after(failed - 1).and(&world, &By::Again(first.clone()), &WHATEVER);
    let believer = world.desk_over(Name::Engineer, Hostile::telling(&world, fork.clone()));
    assert_eq!(believer.follow(plan.migration).await.unwrap().last().number, failed);
    let release = truth.number_of(|act| matches!(act, Act::Release { .. }));
    let released = fork.and(&world, &By::Again(truth.proof(release)), &WHATEVER);
    assert_eq!(hears(&world, Name::Recipient, released).await, stale(failed + 1, close));
    // And a release that names it is none of the manifest that stands.
    let offers = truth.state.consignment(consignment).unwrap().offers.iter().map(|offer| offer.digest).collect();
    let load_by = hours_after(world.clock.now(), 20);
    let misled = Act::Release { consignment, close: first.digest().unwrap(), offers, load_by };
    let lie = truth.hiding_after(close).and(&world, &By::Signed(Name::Controller), &misled);
    let other = "the release is not of the manifest that stands [LZ-0252]";
    assert_eq!(hears(&world, Name::Recipient, lie).await, refused(close + 1, other));
}

/// A plan with a rehearsal into a target of its own.
async fn with_rehearsal(world: &World, systems: &drill::Systems) -> (Box<dyn Sink>, Plan) {
    let small = world.system("rehearsal.sqlite");
    synth::new_system(&small).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", small.display()), None).unwrap();
    let id = world.open().await;
    let (mut plan, documents) =
        world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let schema = plan.target(Kind::Full).unwrap().schema;
    plan.targets.push(Target {
        kinds: vec![Kind::Rehearsal],
        identity: sink.identity(),
        schema,
        declared: std::collections::BTreeMap::new(),
        documents: None,
    });
    plan.allowed.push(Allowed { kind: Kind::Rehearsal, count_max: 2, hours_max: 240 });
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    (sink, plan)
}

fn opening(world: &World, plan: &Plan, consignment: ConsignmentId, (kind, target): (Kind, Kind)) -> Act {
    Act::OpenConsignment {
        consignment,
        plan: plan.digest().unwrap(),
        kind,
        seed: 1,
        basis_points: procedure::EVERYTHING,
        target: plan.target(target).unwrap().identity.clone(),
        deadline: hours_after(world.clock.now(), 72),
    }
}

/// A rehearsal from its opening to its report, each act truly signed by whoever may make it. Its manifest lists these.
fn rehearsed(
    world: &World,
    (plan, tables): (&Plan, &[ReportTable]),
    consignment: ConsignmentId,
    truth: &Story,
) -> Story {
    let now = world.clock.now();
    let key = || OpeningKey::draw().recipient();
    let lease = hours_after(now, 1);
    let begin = |step, attempt| Act::Begin { consignment, step, attempt, lease, key: key(), clear_swap: false };
    let (operator, recipient) = (By::Signed(Name::Operator), By::Signed(Name::Recipient));
    let opened = opening(world, plan, consignment, (Kind::Rehearsal, Kind::Rehearsal));
    let mut story = truth.and(world, &operator, &opened);
    let strongroom_share = story.state.consignment(consignment).unwrap().strongroom_share;
    let manifest = manifest_of(plan, tables, (consignment, strongroom_share));
    story = story.and(world, &recipient, &Act::Offer { consignment, key: key(), clear_swap: false });
    story = story.and(world, &operator, &begin(Step::Extract, 1));
    story = story.and(world, &operator, &Act::Close { manifest: Arc::new(manifest.clone()) });
    let closed = story.state.consignment(consignment).unwrap();
    let (close, offers) =
        (closed.manifest.as_ref().unwrap().0, closed.offers.iter().map(|offer| offer.digest).collect());
    let release = Act::Release { consignment, close, offers, load_by: hours_after(now, 2) };
    story = story.and(world, &By::Signed(Name::Controller), &release);
    story = story.and(world, &operator, &Act::HandOver { consignment, share: Digest([9; 32]), clear_swap: false });
    story = story.and(world, &recipient, &begin(Step::Load, 2));
    let target = plan.target(Kind::Rehearsal).unwrap();
    let outcomes = manifest.tables.iter().map(|table| TableOutcome {
        name: table.name.clone(),
        target: table.target.clone(),
        rows_target: table.rows,
        sealed: table.root,
        fetched: table.root,
        target_root: table.root,
        differing: Some(Differing::Exactly(0)),
        nulls: None,
    });
    let tables = outcomes.collect();
    let (identity, schema) = (target.identity.clone(), target.schema);
    let outcome = Reconciliation {
        target: identity,
        schema,
        tables,
        documents: Vec::new(),
        orphans: Vec::new(),
        opened: true,
        measured: Vec::new(),
    };
    let done = Act::Done { consignment, step: Step::Load, attempt: 2, outcome: Arc::new(outcome) };
    story.and(world, &recipient, &done)
}

/// A manifest of these tables, each a parcel that nobody stored: a sample of everything.
fn manifest_of(
    plan: &Plan,
    tables: &[ReportTable],
    (consignment, strongroom_share): (ConsignmentId, Digest),
) -> Manifest {
    let parcel = |table: &str, rows| ManifestParcel {
        parcel: ParcelId([1; 16]),
        attempt: 1,
        table: table.to_owned(),
        sequence: 0,
        bytes: 0,
        rows,
        digest: Digest::of(b""),
    };
    let count = |columns: &[String]| u32::try_from(columns.len()).unwrap();
    let line = |table: &ReportTable| ManifestTable {
        name: table.name.clone(),
        target: format!("import_{}", table.name),
        rows_source: table.rows_source,
        rows: table.rows_in_scope,
        root: Digest([8; 32]),
        columns_taken: count(&table.columns_taken),
        columns_left: count(&table.columns_left),
        transforms: BTreeMap::new(),
        nulls: None,
    };
    let measured = |table: &ReportTable| ExtractMeasure {
        name: table.name.clone(),
        rows_in_scope: table.rows_in_scope,
        reading_us: 1,
        sealing_us: 1,
        storing_us: 1,
        half: None,
    };
    Manifest {
        consignment,
        attempt: 1,
        source: plan.source.identity.clone(),
        schema: plan.source.schema,
        snapshot: "one connection".to_owned(),
        scope: plan.scope,
        laboratory_share: Digest([6; 32]),
        strongroom_share,
        tables: tables.iter().map(line).collect(),
        orphans: Vec::new(),
        documents: Vec::new(),
        parcels: tables.iter().map(|table| parcel(&table.name, table.rows_in_scope)).collect(),
        sums: parcel("sums", 0),
        full_sums: Vec::new(),
        forgotten: true,
        measured: tables.iter().map(measured).collect(),
    }
}

/// What a scope report counts in the old system.
async fn counted(world: &World, systems: &drill::Systems) -> Vec<ReportTable> {
    let scope = scope::Scope::parse(&synth::scope_toml()).unwrap();
    drill::scope_report(systems.source.as_ref(), &scope, world.clock.now()).await.tables
}

/// What controller and recipient hear of a rehearsal whose manifest is bent like this; a world for each, since devices
/// remember what they were told.
async fn released_and_loaded(bend: fn(&mut Vec<ReportTable>)) -> (Option<String>, String) {
    let world = World::start().await;
    let systems = world.systems(60);
    let (sink, plan) = with_rehearsal(&world, &systems).await;
    let (id, consignment) = (plan.migration, ConsignmentId::draw(entropy().as_ref()).unwrap());
    let (truth, mut tables) = (Story::so_far(&world, id).await, counted(&world, &systems).await);
    bend(&mut tables);
    let story = rehearsed(&world, (&plan, &tables), consignment, &truth);
    let controller = Hands::of(&world, Name::Controller, &Hostile::telling(&world, story.clone()));
    let ledger = controller.desk.follow(id).await.unwrap();
    let released = passage::check_manifest(&controller.desk, id, &ledger, consignment).await;
    let recipient = Hands::of(&world, Name::Recipient, &Hostile::telling(&world, story));
    let loaded = passage::load(&recipient.errand(id, consignment), sink.as_ref()).await.map(|_| ());
    (released.err().map(|trouble| trouble.to_string()), said(loaded))
}

/// The operator signs it, and it agrees with itself: only whoever knows the scope can see that it is not all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_with_a_table_or_rows_left_out_is_neither_released_nor_loaded() {
    let left_out = "ALARM: the manifest is not of the tables and columns of the approved scope: \
                    something was left out or added [LZ-0643]";
    let bent: [fn(&mut Vec<ReportTable>); 2] =
        [|tables| drop(tables.pop()), |tables| drop(tables[0].columns_taken.pop())];
    for bend in bent {
        assert_eq!(released_and_loaded(bend).await, (Some(left_out.to_owned()), left_out.to_owned()));
    }
    let (released, loaded) = released_and_loaded(|tables| tables[0].rows_in_scope = 0).await;
    assert!(loaded.contains("where the approved report counted") && loaded.ends_with("[LZ-0324]"), "{loaded}");
    assert_eq!(released, Some(loaded));
    // The control: a whole one is released, and fails in the loader's hands for want of a key only.
    let (released, loaded) = released_and_loaded(|_| {}).await;
    assert_eq!(released, None);
    assert!(loaded.ends_with("[LZ-0632]"), "{loaded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_is_not_taken_for_a_full_round() {
    let world = World::start().await;
    let systems = world.systems(60);
    let (sink, plan) = with_rehearsal(&world, &systems).await;
    let (id, consignment) = (plan.migration, ConsignmentId::draw(entropy().as_ref()).unwrap());
    let truth = Story::so_far(&world, id).await;

    // Its opening is told as that of a full one; or the operator helps, and mixes kind and target.
    let full = opening(&world, &plan, consignment, (Kind::Full, Kind::Full));
    let lie = truth.and(&world, &By::Forged(Name::Operator), &full);
    assert_eq!(hears(&world, Name::Approver, lie).await, refused(5, &not_theirs(&world, Name::Operator)));
    for mixed in [(Kind::Full, Kind::Rehearsal), (Kind::Rehearsal, Kind::Full)] {
        let lie = truth.and(&world, &By::Signed(Name::Operator), &opening(&world, &plan, consignment, mixed));
        let other = "the plan names another target for this kind [LZ-0234]";
        assert_eq!(hears(&world, Name::Approver, lie).await, refused(5, other));
    }
    // A true one is believed, and its report is signed off as if it were the full one's.
    let done = rehearsed(&world, (&plan, &counted(&world, &systems).await), consignment, &truth);
    let believer = world.desk_over(Name::Engineer, Hostile::telling(&world, done.clone()));
    let ledger = believer.follow(id).await.unwrap();
    let outcome = ledger.migration().consignment(consignment).unwrap().outcome.clone().unwrap();
    assert!(outcome.reconciliation.equal());
    let sign_off = Act::SignOff { reports: vec![outcome.digest], history: History::Target };
    let lie = done.and(&world, &By::Signed(Name::Controller), &sign_off);
    let none = "there is no full consignment loaded, or one is not reconciled [LZ-0227]";
    assert_eq!(hears(&world, Name::Operator, lie).await, refused(done.last().number + 1, none));
    // The recipient is sent to the full target with it.
    let recipient = Hands::of(&world, Name::Recipient, &Hostile::telling(&world, done));
    let outcome = passage::load(&recipient.errand(id, consignment), systems.sink.as_ref()).await;
    let (is_for, is) = (sink.identity(), systems.sink.identity());
    let rehearsal = format!("this consignment is for {is_for}, this system is {is} [LZ-0630]");
    assert_eq!(said(outcome.map(|report| report.notes)), rehearsal);
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_of_an_earlier_round_are_none_of_this_one() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let id = plan.migration;
    let earlier = world.consign(&plan).await;
    let shelf = Hostile::answering(&world, |_| None);
    let operator = Hands::of(&world, Name::Operator, &shelf);
    let sealed = passage::extract(&operator.errand(id, earlier), systems.source.as_ref(), entropy()).await.unwrap();
    let line = sealed.parcels.iter().find(|line| line.table == "patient").unwrap();
    let place = path::parcel(id, earlier, line.attempt, line.parcel);
    let (_, kept) = shelf.parcels().into_iter().find(|(stored, _)| *stored == place).unwrap();
    let abandon = Act::Abandon { consignment: earlier, reason: "once more".to_owned() };
    world.act(Name::Controller, id, abandon).await.unwrap();

    let full = world.consign(&plan).await;
    let manifest = world.extract(&plan, full, systems.source.as_ref()).await.unwrap();
    world.release(&plan, full).await.unwrap();
    let line = manifest.parcels.iter().find(|line| line.table == "patient").unwrap();
    let place = path::parcel(id, full, line.attempt, line.parcel);
    let found = Digest::of(&kept).short();
    let server = Hostile::answering(&world, move |outgoing| (outgoing.path == place).then(|| bytes(kept.clone())));
    let recipient = Hands::of(&world, Name::Recipient, &server);
    let outcome = passage::load(&recipient.errand(id, full), systems.sink.as_ref()).await;
    let (parcel, expected) = (line.parcel, line.digest.short());
    let other = format!(
        "ALARM: parcel {parcel} (table patient, number 0) is not the one in the manifest: \
         digest {expected} expected, {found} found [LZ-0503]"
    );
    assert_eq!(said(outcome.map(|report| report.notes)), other);
}
