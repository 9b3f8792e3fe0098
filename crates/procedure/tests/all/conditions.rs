//! Refusals that rest on several conditions, each of them broken alone.

use lexicon::{ConsignmentId, Digest, MigrationId, SeededEntropy, hours_after};
use people::{Envelope, PayloadType, Role, SigningKey};
use procedure::{
    Act, ActBody, DocumentsOfKind, Kind, Manifest, ManifestDocuments, ManifestParcel, ManifestTable, Plan, Proof, Side,
    Target,
};

use crate::cast::{CAST, Who::*, certificate};
use crate::life::{APPROVED, HANDED_OVER};
use crate::verbs::Verb::*;
use crate::verbs::{fitting, focus, manifest, parties, plan};
use crate::world::{Hand, World, minutes_after};

/// What is broken, in the words of the refusal, and how.
type Broken<T> = (&'static str, fn(&mut T));

const PLANS: [Broken<Plan>; 15] = [
    ("purpose", |it| "lazaret/1/act".clone_into(&mut it.purpose)),
    ("exactly one controller", |it| it.parties.iter_mut().for_each(|party| party.side = Side::Controller)),
    ("no full consignment", |it| it.allowed.retain(|allowed| allowed.kind != Kind::Full)),
    ("no full consignment", |it| it.targets.retain(|target| !target.kinds.contains(&Kind::Full))),
    ("two targets", |it| {
        let (kinds, identity) = (vec![Kind::Delta], "sqlite:spare".to_owned());
        let spare = Target {
            kinds,
            identity,
            schema: Digest([1; 32]),
            declared: std::collections::BTreeMap::new(),
            documents: None,
        };
        it.targets.push(spare);
    }),
    ("rehearsal would load the full target", |it| {
        it.targets.iter_mut().for_each(|target| "sqlite:one".clone_into(&mut target.identity));
    }),
    ("rehearsal would load the full target", |it| {
        it.targets.iter_mut().for_each(|target| target.documents = Some("folder:/new".to_owned()));
    }),
    ("no extracting or no loading", |it| it.extracting.clear()),
    ("no extracting or no loading", |it| it.loading.clear()),
    ("within the next 90 days", |it| it.deadline = hours_after(it.deadline, -20 * 24)),
    ("within the next 90 days", |it| {
        it.deadline = hours_after(it.deadline, 71 * 24);
        it.extension_cap = it.deadline;
        it.instruction.deadline = Some(it.deadline);
    }),
    ("extension cap", |it| it.extension_cap = hours_after(it.deadline, -1)),
    ("extension cap", |it| it.extension_cap = hours_after(it.deadline, 161 * 24)),
    ("after the instruction's", |it| it.instruction.deadline = Some(hours_after(it.deadline, -1))),
    ("key ring", |it| "another".clone_into(&mut it.key_ring)),
];

#[test]
fn a_plan_that_contradicts_itself_is_refused_with_what_is_wrong() {
    let world = World::after(&[Open]);
    plan(&world).check(world.at).unwrap();
    for (number, (words, spoil)) in PLANS.iter().enumerate() {
        let mut broken = plan(&world);
        spoil(&mut broken);
        let refusal = broken.check(world.at).unwrap_err();
        assert_eq!(refusal.code.0, 202, "plan {number}: {refusal}");
        assert!(refusal.to_string().contains(words), "plan {number}: {refusal}");
    }
}

/// A manifest with a folder of documents: two of them in two parcels, and their index in one.
fn with_documents() -> Manifest {
    let mut whole = manifest(ConsignmentId([1; 16]), 1);
    let table = whole.tables.first().unwrap().clone();
    let name = "reports".to_owned();
    let index =
        ManifestTable { name: name.clone(), target: name.clone(), rows_source: 3, rows: 2, nulls: None, ..table };
    let parcel = whole.parcels.first().unwrap().clone();
    let contents = (0..2).map(|sequence| ManifestParcel { table: name.clone(), sequence, rows: 0, ..parcel.clone() });
    let pdf = |documents, bytes| [("pdf".to_owned(), DocumentsOfKind { documents, bytes })].into();
    let (in_scope, kinds) = (pdf(3, 12_000), pdf(2, 8_000));
    whole.documents = vec![ManifestDocuments { index, in_scope, kinds, stayed: 1, parcels: contents.collect() }];
    whole.parcels.push(ManifestParcel { table: name, rows: 2, ..parcel });
    whole
}

const DOCUMENTS: [fn(&mut Manifest); 9] = [
    |it| drop(it.parcels.pop()),
    |it| it.documents.iter_mut().for_each(|part| part.index.rows = 1),
    |it| it.documents.iter_mut().for_each(|part| part.kinds.clear()),
    |it| it.documents.iter_mut().for_each(|part| part.in_scope.clear()),
    |it| it.documents.iter_mut().for_each(|part| part.parcels.reverse()),
    |it| it.documents.iter_mut().for_each(|part| part.parcels.clear()),
    |it| it.documents.iter_mut().for_each(|part| drop(part.parcels.remove(0))),
    |it| it.documents.iter_mut().for_each(|part| "patient".clone_into(&mut part.parcels.first_mut().unwrap().table)),
    |it| it.documents.iter_mut().for_each(|part| part.kinds.values_mut().for_each(|kind| kind.bytes = 9_000)),
];

#[test]
fn documents_that_do_not_add_up_are_refused_by_their_folder() {
    with_documents().check().unwrap();
    for (number, spoil) in DOCUMENTS.iter().enumerate() {
        let mut broken = with_documents();
        spoil(&mut broken);
        let refusal = broken.check().unwrap_err();
        assert_eq!(refusal.code.0, 203, "{number}: {refusal}");
        assert!(refusal.to_string().contains("'reports'"), "{number}: {refusal}");
    }
}

#[test]
fn a_report_without_the_documents_is_no_answer_and_a_difference_in_them_is_one() {
    let manifest = with_documents();
    let mut report = crate::verbs::outcome(None, true);
    assert!(!report.answers(&manifest));
    let of_table = report.tables.first().unwrap().clone();
    let (name, nulls) = ("reports".to_owned(), None);
    report.documents = vec![procedure::TableOutcome { name: name.clone(), target: name, nulls, ..of_table }];
    assert!(report.answers(&manifest) && report.equal());
    report.documents.iter_mut().for_each(|part| part.target_root = Digest([9; 32]));
    assert!(report.answers(&manifest) && !report.equal());
}

const MANIFESTS: [Broken<Manifest>; 5] = [
    ("names no table", |it| {
        it.tables.clear();
        it.parcels.clear();
    }),
    ("'patient'", |it| it.parcels.iter_mut().for_each(|parcel| parcel.sequence = 1)),
    ("'patient'", |it| it.tables.iter_mut().for_each(|table| table.rows = 2)),
    ("'patient'", |it| it.tables.iter_mut().for_each(|table| table.rows_source = 2)),
    ("'stray'", |it| it.parcels.iter_mut().for_each(|parcel| "stray".clone_into(&mut parcel.table))),
];

#[test]
fn a_manifest_that_does_not_add_up_is_refused_by_its_table() {
    let whole = manifest(ConsignmentId([1; 16]), 1);
    whole.check().unwrap();
    for (number, (words, spoil)) in MANIFESTS.iter().enumerate() {
        let mut broken = whole.clone();
        spoil(&mut broken);
        if *words == "'stray'" {
            broken.tables.iter_mut().for_each(|table| table.rows = 0);
        }
        let refusal = broken.check().unwrap_err();
        assert_eq!(refusal.code.0, 203, "manifest {number}: {refusal}");
        assert!(refusal.to_string().contains(words), "manifest {number}: {refusal}");
    }
}

#[test]
fn a_migration_names_its_authors_organisation_one_controller_and_nobody_twice() {
    let [laboratory, vendor] = <[_; 2]>::try_from(parties()).unwrap();
    let second = procedure::PlanParty { side: Side::Controller, ..vendor.clone() };
    let mut world = World::new();
    for wrong in [vec![laboratory.clone()], vec![laboratory.clone(), second], vec![laboratory, vendor.clone(), vendor]]
    {
        assert_eq!(world.refusal(Hand::Person(Engineer), Act::Open { parties: wrong }).0, 216);
    }
}

#[test]
fn a_plan_is_the_next_one_of_its_own_migration() {
    let mut world = World::after(&[Open, Propose]);
    let wrong: [fn(&mut Plan); 4] = [
        |it| it.migration = MigrationId([8; 16]),
        |it| it.serial = it.serial.wrapping_add(1),
        |it| it.previous = None,
        |it| it.parties.iter_mut().for_each(|party| "Renamed".clone_into(&mut party.organisation)),
    ];
    for spoil in wrong {
        let mut broken = plan(&world);
        spoil(&mut broken);
        assert_eq!(world.refusal(Hand::Person(Engineer), Act::Propose { plan: Box::new(broken) }).0, 218);
    }
}

#[test]
fn no_fact_is_dated_before_the_one_before_it() {
    let world = World::after(&[Open, Propose]);
    let approve = Proof::Signed(world.sign(Controller, fitting(&world, Approve, 0), world.ledger.last()));
    let decided = |at| world.ledger.decided(&approve, &world.roster, at, None).map_err(|trouble| trouble.code().0);
    assert_eq!(decided(minutes_after(world.m().last_at, -1)).err(), Some(209));
    assert!(decided(world.m().last_at).is_ok());
}

#[test]
fn a_fact_of_the_future_is_an_alarm_however_well_it_follows() {
    let mut world = World::after(&[Open, Propose]);
    let (now, approve) = (world.at, fitting(&world, Approve, 0));
    let approve = Proof::Signed(world.sign(Controller, approve, world.ledger.last()));
    world.pass(6);
    let entry = world.receipt(approve).unwrap();
    let believed =
        |now| world.ledger.clone().admit(&entry, &world.roster, Some(now)).map_err(|trouble| trouble.code().0);
    assert_eq!(believed(now), Err(270));
    assert_eq!(believed(minutes_after(now, 1)), Ok(()));
}

#[test]
fn no_consignment_is_opened_without_a_share_of_the_strongroom() {
    let world = World::after(&APPROVED);
    let open = Proof::Signed(world.sign(Operator, fitting(&world, OpenFull, 0), world.ledger.last()));
    let decided = world.ledger.decided(&open, &world.roster, world.at, None);
    assert_eq!(decided.err().map(|trouble| trouble.code().0), Some(236));
}

#[test]
fn a_consignment_that_was_destroyed_is_not_opened_again_by_its_name() {
    let mut world = World::after(&APPROVED);
    let opened = fitting(&world, OpenFull, 0);
    world.does(&[OpenFull, Abandon, Destroyed]);
    assert_eq!(world.refusal(Hand::Person(Operator), opened).0, 231);
}

#[test]
fn a_consignment_is_opened_under_the_plan_that_stands() {
    let mut world = World::after(&APPROVED);
    let opened = fitting(&world, OpenFull, 0);
    world.does(&[Propose, Approve, Approve]);
    assert_eq!(world.refusal(Hand::Person(Operator), opened).0, 220);
}

#[test]
fn a_lease_begins_now_and_ends_within_six_hours_and_the_deadline() {
    let mut world = World::after(&APPROVED);
    world.does(&[OpenFull]);
    let leased = |world: &mut World, hours| {
        let mut act = fitting(world, BeginExtract, 0);
        let Act::Begin { lease, .. } = &mut act else { panic!("no begin") };
        *lease = hours_after(world.at, hours);
        world.attempt(Hand::Person(Operator), act).map_err(|trouble| trouble.code().0)
    };
    assert_eq!(leased(&mut world, 0), Err(240));
    assert_eq!(leased(&mut world, 7), Err(240));
    let mut late = world.clone();
    late.pass(17 * 60);
    assert_eq!(leased(&mut late, 4), Err(240), "beyond the deadline");
    assert_eq!(leased(&mut world, 6), Ok(()));
}

#[test]
fn what_is_signed_on_a_machine_with_swap_in_clear_says_so_and_anything_else_is_spelled_as_ever() {
    let mut world = World::after(&APPROVED);
    world.does(&[OpenFull]);
    let mut act = fitting(&world, BeginExtract, 0);
    let spelled = |act: &Act| String::from_utf8(lexicon::canonical(act).unwrap()).unwrap();
    assert!(!spelled(&act).contains("swap"));
    let before = world.clone();
    let Act::Begin { clear_swap, .. } = &mut act else { panic!("no begin") };
    *clear_swap = true;
    assert!(spelled(&act).contains("\"clear_swap\":true"));
    assert_eq!(serde_json::from_str::<Act>(&spelled(&act)).unwrap(), act);
    world.attempt(Hand::Person(Operator), act).unwrap();
    let said = |world: &World| {
        let round = world.m().consignments.last().unwrap();
        (round.clear_swap.clone(), String::from_utf8(lexicon::canonical(round).unwrap()).unwrap())
    };
    let device = |who| CAST.member(who).key.public();
    assert_eq!(said(&world).0, [device(Operator)].into());
    assert!(said(&world).1.contains("clear_swap"));
    let mut other = before;
    other.does(&[BeginExtract]);
    assert!(said(&other).0.is_empty() && !said(&other).1.contains("clear_swap"), "the digest that it always had");

    other.does(&[Close]);
    for (verb, who) in [(Offer, Recipient), (HandOver, Operator)] {
        if verb == HandOver {
            other.does(&[Release]);
        }
        let mut act = fitting(&other, verb, 0);
        assert!(!spelled(&act).contains("swap"));
        let (Act::Offer { clear_swap, .. } | Act::HandOver { clear_swap, .. }) = &mut act else { panic!("{act:?}") };
        *clear_swap = true;
        assert_eq!(serde_json::from_str::<Act>(&spelled(&act)).unwrap(), act);
        other.attempt(Hand::Person(who), act).unwrap();
        assert!(said(&other).0.contains(&device(who)), "{verb:?}");
    }
}

#[test]
fn a_release_is_of_the_manifest_that_stands_for_somebody_and_for_a_day_at_most() {
    let mut world = World::after(HANDED_OVER.get(..8).unwrap());
    let Act::Release { consignment, close, offers, .. } = fitting(&world, Release, 0) else { panic!("no release") };
    let mut released = |close, offers: &[Digest], hours| {
        let (offers, load_by) = (offers.to_vec(), hours_after(world.at, hours));
        let act = Act::Release { consignment, close, offers, load_by };
        world.attempt(Hand::Person(Controller), act).map_err(|trouble| trouble.code().0)
    };
    assert_eq!(released(Digest::of(b"superseded"), &offers, 12), Err(252));
    assert_eq!(released(close, &[], 12), Err(253));
    assert_eq!(released(close, &offers, 0), Err(254));
    assert_eq!(released(close, &offers, 25), Err(254));
    assert_eq!(released(close, &offers, 24), Ok(()));
}

#[test]
fn nothing_is_signed_off_while_another_round_is_under_way_or_unequal() {
    let mut world = World::after(&HANDED_OVER);
    world.does(&[BeginLoad, DoneEqual]);
    let mut rehearsing = world.clone();
    rehearsing.does(&[OpenRehearsal]);
    assert_eq!(rehearsing.refuses(SignOff).0, 227, "a rehearsal is open");
    world.does(&[OpenDelta, BeginExtract, Close, Offer, Release, HandOver, BeginLoad, DoneUnequal]);
    assert!(world.m().current().is_none());
    assert_eq!(world.refuses(SignOff).0, 227, "the delta is unequal");
    world.does(&[AcceptDifference, SignOff]);
}

#[test]
fn only_a_device_that_the_plan_names_opens_a_consignment() {
    let mut world = World::after(&[Open]);
    let mut other = plan(&world);
    other.extracting = vec![CAST.member(Controller).key.public()];
    world.attempt(Hand::Person(Engineer), Act::Propose { plan: Box::new(other) }).unwrap();
    world.does(&[Approve, Approve]);
    assert_eq!(world.refuses(OpenFull).0, 230);
    assert!(focus(world.m()).is_none());
}

#[test]
fn a_controller_whom_the_vendor_certified_does_not_decide_for_the_laboratory() {
    let mut world = World::after(HANDED_OVER.get(..8).unwrap());
    let entropy = SeededEntropy::new(2);
    let key = SigningKey::draw(&entropy).unwrap();
    let own = certificate(&CAST.vendor, &key, "Iris Lamy", &[Role::Controller], &entropy);
    let certificate = world.roster.admit(&own).unwrap();
    let body = ActBody { certificate, ..world.body(Controller, fitting(&world, Release, 0), world.ledger.last()) };
    let release = Envelope::sign(PayloadType::Act, &body, certificate, &key).unwrap();
    assert_eq!(world.submit(Proof::Signed(release)).unwrap_err().code().0, 263);
    world.does(&[Release]);
}
