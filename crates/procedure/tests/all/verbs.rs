//! Every act, in the form that fits the moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use lexicon::{ConsignmentId, Digest, ParcelId, Timestamp, hours_after};
use people::RootId;
use procedure::{
    Act, Allowed, Clause, Clauses, Consignment, ConsignmentStage, Contract, Destroyed, Differing, Dpia, EVERYTHING,
    ExtractMeasure, History, Instruction, InstructionEnding, KeyAct, KeyLevel, Kind, Left, Manifest, ManifestParcel,
    ManifestTable, Migration, Nulls, Orphans, Part, Party, Plan, PlanParty, ProbeResult, Reconciliation, Side, Step,
    System, TableOutcome, Target,
};

use crate::cast::{CAST, Who};
use crate::world::{Hand, World, strongroom_share};

/// What can be done, in the order of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Open,
    Propose,
    Approve,
    Extend,
    Freeze,
    Thaw,
    Cancel,
    OpenRehearsal,
    OpenFull,
    OpenDelta,
    Offer,
    BeginExtract,
    Failed,
    Close,
    Release,
    HandOver,
    BeginLoad,
    BeginReconcile,
    DoneEqual,
    DoneUnequal,
    AcceptDifference,
    Abandon,
    SignOff,
    /// Of the spare recipient's certificate.
    Revoke,
    Overdue,
    OverdueRound,
    Destroyed,
    LaboratoryPart,
    RecipientPart,
    Finish,
}

pub(crate) const VERBS: [Verb; 30] = [
    Verb::Open,
    Verb::Propose,
    Verb::Approve,
    Verb::Extend,
    Verb::Freeze,
    Verb::Thaw,
    Verb::Cancel,
    Verb::OpenRehearsal,
    Verb::OpenFull,
    Verb::OpenDelta,
    Verb::Offer,
    Verb::BeginExtract,
    Verb::Failed,
    Verb::Close,
    Verb::Release,
    Verb::HandOver,
    Verb::BeginLoad,
    Verb::BeginReconcile,
    Verb::DoneEqual,
    Verb::DoneUnequal,
    Verb::AcceptDifference,
    Verb::Abandon,
    Verb::SignOff,
    Verb::Revoke,
    Verb::Overdue,
    Verb::OverdueRound,
    Verb::Destroyed,
    Verb::LaboratoryPart,
    Verb::RecipientPart,
    Verb::Finish,
];

impl Verb {
    /// The hand that this is for.
    pub(crate) fn hand(self, m: &Migration) -> Hand {
        match self {
            Self::Open | Self::Propose => Hand::Person(Who::Engineer),
            Self::Approve if m.approvals.is_empty() => Hand::Person(Who::Controller),
            Self::Thaw if m.frozen.as_ref().is_none_or(|frozen| frozen.thaw.is_empty()) => {
                Hand::Person(Who::Controller)
            }
            Self::Approve | Self::Thaw => Hand::Person(Who::Approver),
            Self::Freeze
            | Self::Offer
            | Self::BeginLoad
            | Self::BeginReconcile
            | Self::DoneEqual
            | Self::DoneUnequal
            | Self::RecipientPart => Hand::Person(Who::Recipient),
            Self::Extend | Self::Cancel | Self::Release | Self::AcceptDifference | Self::Abandon | Self::SignOff => {
                Hand::Person(Who::Controller)
            }
            Self::OpenRehearsal
            | Self::OpenFull
            | Self::OpenDelta
            | Self::BeginExtract
            | Self::Failed
            | Self::Close
            | Self::HandOver
            | Self::LaboratoryPart => Hand::Person(Who::Operator),
            Self::Revoke => Hand::VendorRoot,
            Self::Overdue | Self::OverdueRound => Hand::Deadline,
            Self::Destroyed | Self::Finish => Hand::Server,
        }
    }
}

const NOTHING: Digest = Digest([0; 32]);

pub(crate) fn parties() -> Vec<PlanParty> {
    let party =
        |root: RootId, organisation: &str, side| PlanParty { root, organisation: organisation.to_owned(), side };
    vec![
        party(CAST.laboratory.public().digest(), "Laboratoire du Port", Side::Controller),
        party(CAST.vendor.public().digest(), "Vendor", Side::Processor),
    ]
}

/// An instruction with every item recorded.
pub(crate) fn instruction(deadline: Timestamp) -> Instruction {
    let clause = |place: &str| Clause { place: format!("art. {place} of the contract") };
    let party = |name: &str| Party { name: name.to_owned(), contact: "1 quai du Port".to_owned() };
    Instruction {
        controller: party("Laboratoire du Port"),
        processor: party("Vendor"),
        purpose: "change of laboratory system".to_owned(),
        nature: "extraction, carriage, loading".to_owned(),
        duration: "thirty days".to_owned(),
        data: vec!["requests and results".to_owned()],
        persons: vec!["patients".to_owned()],
        clauses: Clauses {
            a: clause("1"),
            b: clause("2"),
            c: clause("3"),
            d: clause("4"),
            e: clause("5"),
            f: clause("6"),
            g: clause("7"),
            h: clause("8"),
        },
        contract: Contract { digest: Some(Digest::of(b"contract")), signatory: "Claire Le Goff".to_owned() },
        dpia: Some(Dpia::Reference("DPIA 12".to_owned())),
        sub_processors: vec!["none".to_owned()],
        recipients: vec!["Laboratoire du Port".to_owned()],
        deadline: Some(deadline),
        ending: Some(InstructionEnding::Delete),
        no_other_channel: true,
    }
}

/// The plan that can be proposed next: 20 days, extensible to 40.
pub(crate) fn plan(world: &World) -> Plan {
    let m = world.m();
    let days = |days: i64| hours_after(world.at, days.saturating_mul(24));
    let device = |who| CAST.member(who).key.public();
    let allow = |kind, count_max, hours_max| Allowed { kind, count_max, hours_max };
    let target = |kinds, identity: &str| Target {
        kinds,
        identity: identity.to_owned(),
        schema: Digest::of(identity.as_bytes()),
        declared: BTreeMap::new(),
        documents: None,
    };
    Plan {
        purpose: Plan::PURPOSE.to_owned(),
        migration: m.id,
        serial: m.plan.as_ref().map_or(1, |(_, plan, _)| plan.serial.saturating_add(1)),
        previous: m.plan.as_ref().map(|(digest, _, _)| *digest),
        parties: parties(),
        instruction: instruction(days(50)),
        scope: Digest::of(b"scope"),
        report: Digest::of(b"report"),
        source: System { identity: "sqlite:old.db".to_owned(), schema: Digest::of(b"old schema"), live: false },
        targets: vec![target(vec![Kind::Rehearsal], REHEARSED), target(vec![Kind::Full, Kind::Delta], TARGET)],
        extracting: vec![device(Who::Operator)],
        loading: vec![device(Who::Recipient), device(Who::Spare), device(Who::Operator)],
        allowed: vec![allow(Kind::Rehearsal, 2, 24), allow(Kind::Full, 2, 72), allow(Kind::Delta, 2, 24)],
        deadline: days(20),
        extension_cap: days(40),
        key_ring: "local".to_owned(),
        one_operator_both_ends: world.one_operator_both_ends,
    }
}

pub(crate) const TARGET: &str = "postgres://new:5432/lis";
pub(crate) const REHEARSED: &str = "postgres://new:5432/rehearsal";

/// The round that an act is about when nothing else is said: the last that lives, or the last of all.
pub(crate) fn focus(m: &Migration) -> Option<&Consignment> {
    m.consignments.iter().rev().find(|c| c.alive()).or(m.consignments.last())
}

/// The act as its rightful hand would make it now. `back` turns it to an earlier round.
pub(crate) fn fitting(world: &World, verb: Verb, back: usize) -> Act {
    let m = world.m();
    let reason = || "because it is so".to_owned();
    let doomed = m.consignments.iter().find(|c| c.ending.is_some() && c.stage != ConsignmentStage::Destroyed);
    let round = match (back, verb) {
        (0, Verb::Destroyed) => doomed.or(focus(m)),
        (0, _) => focus(m),
        (back, _) => m.consignments.iter().rev().cycle().nth(back),
    };
    match verb {
        Verb::Open => Act::Open { parties: parties() },
        Verb::Propose => Act::Propose { plan: Box::new(plan(world)) },
        Verb::Approve => Act::Approve { plan: standing(m) },
        Verb::Extend => {
            let until = m.deadline.map_or(world.at, |deadline| hours_after(deadline.at, 24));
            Act::Extend { until, reason: reason() }
        }
        Verb::Freeze => Act::Freeze { reason: reason() },
        Verb::Thaw => Act::Thaw { reason: reason() },
        Verb::Cancel => Act::Cancel { reason: reason() },
        Verb::SignOff => Act::SignOff {
            reports: m.standing().filter_map(|c| c.outcome.as_ref()).map(|outcome| outcome.digest).collect(),
            history: History::Target,
        },
        Verb::OpenRehearsal => opening(world, Kind::Rehearsal),
        Verb::OpenFull => opening(world, Kind::Full),
        Verb::OpenDelta => opening(world, Kind::Delta),
        Verb::Revoke => revoking(world, Who::Spare),
        Verb::Overdue => Act::Overdue { consignment: None },
        Verb::Finish => Act::Finish { certificate: Digest::of(b"certificate") },
        Verb::Offer
        | Verb::BeginExtract
        | Verb::Failed
        | Verb::Close
        | Verb::Release
        | Verb::HandOver
        | Verb::BeginLoad
        | Verb::BeginReconcile
        | Verb::DoneEqual
        | Verb::DoneUnequal
        | Verb::AcceptDifference
        | Verb::Abandon
        | Verb::OverdueRound
        | Verb::Destroyed
        | Verb::LaboratoryPart
        | Verb::RecipientPart => fitting_round(world, verb, round),
    }
}

fn fitting_round(world: &World, verb: Verb, round: Option<&Consignment>) -> Act {
    let consignment = round.map_or(ConsignmentId([1; 16]), |c| c.id);
    let reason = "because it is so".to_owned();
    let running = round.and_then(Consignment::last_attempt);
    let (step, attempt) = running.map_or((Step::Extract, 1), |attempt| (attempt.step, attempt.number));
    let loading = if step == Step::Reconcile { Step::Reconcile } else { Step::Load };
    let part = |part, probe| Act::PartDestroyed { consignment, part, keys: 1, probe };
    match verb {
        Verb::Offer => Act::Offer { consignment, key: CAST.member(Who::Recipient).opening.clone(), clear_swap: false },
        Verb::BeginExtract => begin(world, round, Step::Extract),
        Verb::BeginLoad => begin(world, round, Step::Load),
        Verb::BeginReconcile => begin(world, round, Step::Reconcile),
        Verb::Failed => Act::Failed { consignment, step, attempt, code: 407 },
        Verb::Close => {
            let sampled = round.is_some_and(|c| c.kind == Kind::Rehearsal);
            let whole = manifest(consignment, attempt);
            let measured = whole.tables.iter().filter(|_| sampled).map(measured).collect();
            Act::Close { manifest: Arc::new(Manifest { measured, ..whole }) }
        }
        Verb::Release => Act::Release {
            consignment,
            close: round.and_then(|c| c.manifest.as_ref()).map_or(NOTHING, |(digest, _)| *digest),
            offers: round.map_or(Vec::new(), |c| standing_offers(world.m(), c)),
            load_by: hours_after(world.at, 12),
        },
        Verb::HandOver => {
            Act::HandOver { consignment, share: Digest::of(b"sealed laboratory share"), clear_swap: false }
        }
        Verb::DoneUnequal => {
            Act::Done { consignment, step: loading, attempt, outcome: Arc::new(outcome(round, false)) }
        }
        Verb::AcceptDifference => Act::AcceptDifference {
            consignment,
            report: round.and_then(|c| c.outcome.as_ref()).map_or(NOTHING, |outcome| outcome.digest),
            reason,
        },
        Verb::Abandon => Act::Abandon { consignment, reason },
        Verb::OverdueRound => Act::Overdue { consignment: Some(consignment) },
        Verb::Destroyed => Act::Destroyed { consignment, evidence: evidence(world.at) },
        Verb::LaboratoryPart => part(Part::Laboratory, None),
        Verb::RecipientPart => part(Part::Recipient, Some(ProbeResult::Failed)),
        Verb::DoneEqual
        | Verb::Open
        | Verb::Propose
        | Verb::Approve
        | Verb::Extend
        | Verb::Freeze
        | Verb::Thaw
        | Verb::Cancel
        | Verb::SignOff
        | Verb::OpenRehearsal
        | Verb::OpenFull
        | Verb::OpenDelta
        | Verb::Revoke
        | Verb::Overdue
        | Verb::Finish => Act::Done { consignment, step: loading, attempt, outcome: Arc::new(outcome(round, true)) },
    }
}

fn standing(m: &Migration) -> Digest {
    m.plan.as_ref().map_or(NOTHING, |(digest, _, _)| *digest)
}

fn standing_offers(m: &Migration, round: &Consignment) -> Vec<Digest> {
    let stands = round.offers.iter().filter(|offer| !m.is_taken_back(offer.root, offer.certificate));
    stands.map(|offer| offer.digest).collect()
}

pub(crate) fn revoking(world: &World, who: Who) -> Act {
    let member = CAST.member(who);
    Act::Revoke { root: member.root, certificate: member.certificate, compromised_since: world.at }
}

fn opening(world: &World, kind: Kind) -> Act {
    let m = world.m();
    let number = u8::try_from(m.consignments.len()).unwrap().wrapping_add(1);
    let deadline = hours_after(world.at, 20);
    Act::OpenConsignment {
        consignment: ConsignmentId([number; 16]),
        plan: standing(m),
        kind,
        seed: 7,
        basis_points: if kind == Kind::Rehearsal { 100 } else { EVERYTHING },
        target: if kind == Kind::Rehearsal { REHEARSED } else { TARGET }.to_owned(),
        deadline: m.deadline.map_or(deadline, |whole| whole.at.min(deadline)),
    }
}

fn begin(world: &World, round: Option<&Consignment>, step: Step) -> Act {
    let lease = hours_after(world.at, 2);
    Act::Begin {
        consignment: round.map_or(ConsignmentId([1; 16]), |c| c.id),
        step,
        attempt: round.map_or(1, Consignment::next_attempt),
        lease: round.map_or(lease, |c| c.deadline.min(lease)),
        key: CAST.member(Who::Operator).opening.clone(),
        clear_swap: false,
    }
}

/// One table in one parcel.
pub(crate) fn manifest(consignment: ConsignmentId, attempt: u32) -> Manifest {
    let parcel = |table: &str, bytes: &[u8]| ManifestParcel {
        parcel: ParcelId([1; 16]),
        attempt,
        table: table.to_owned(),
        sequence: 0,
        bytes: 4096,
        rows: 3,
        digest: Digest::of(bytes),
    };
    Manifest {
        consignment,
        attempt,
        source: "sqlite:old.db".to_owned(),
        schema: Digest::of(b"old schema"),
        snapshot: "one read transaction".to_owned(),
        scope: Digest::of(b"scope"),
        laboratory_share: Digest::of(b"laboratory share"),
        strongroom_share: strongroom_share(),
        tables: vec![ManifestTable {
            name: "patient".to_owned(),
            target: "import_patient".to_owned(),
            rows_source: 5,
            rows: 3,
            root: Digest::of(b"S"),
            columns_taken: 4,
            columns_left: 2,
            transforms: BTreeMap::new(),
            nulls: Some(BTreeMap::from([("comment".to_owned(), 1)])),
        }],
        orphans: vec![orphans(None)],
        documents: Vec::new(),
        parcels: vec![parcel("patient", b"parcel")],
        sums: parcel("", b"sums"),
        full_sums: Vec::new(),
        forgotten: true,
        measured: Vec::new(),
    }
}

/// A sample of one more row.
pub(crate) fn measured(table: &ManifestTable) -> ExtractMeasure {
    let rows_in_scope = table.rows.saturating_add(1);
    ExtractMeasure { name: table.name.clone(), rows_in_scope, reading_us: 1, sealing_us: 1, storing_us: 1, half: None }
}

/// One patient's other record is missing.
fn orphans(target: Option<u64>) -> Orphans {
    Orphans {
        table: "patient".to_owned(),
        columns: vec!["same_as".to_owned()],
        other: "patient".to_owned(),
        other_columns: vec!["id".to_owned()],
        source: Some(1),
        target,
    }
}

/// What the loading device finds; unequal when a row was lost in the target.
pub(crate) fn outcome(round: Option<&Consignment>, equal: bool) -> Reconciliation {
    let target = round.map_or(TARGET, |c| c.target.as_str());
    Reconciliation {
        target: target.to_owned(),
        schema: Digest::of(target.as_bytes()),
        tables: vec![TableOutcome {
            name: "patient".to_owned(),
            target: "import_patient".to_owned(),
            rows_target: if equal { 3 } else { 2 },
            sealed: Digest::of(b"S"),
            fetched: Digest::of(b"S"),
            target_root: if equal { Digest::of(b"S") } else { Digest::of(b"T") },
            differing: Some(Differing::Exactly(u64::from(!equal))),
            nulls: Some(BTreeMap::from([("comment".to_owned(), Nulls { sealed: 1, fetched: 1, target: 1 })])),
        }],
        documents: Vec::new(),
        orphans: vec![orphans(Some(1))],
        opened: true,
        measured: Vec::new(),
    }
}

fn evidence(at: Timestamp) -> Destroyed {
    Destroyed {
        key: KeyAct {
            id: "keys/one.key".to_owned(),
            level: KeyLevel::K0,
            achieves: "local file".to_owned(),
            found: true,
            begun_at: at,
            at,
            unlinked: false,
            could_leave: false,
            said: Vec::new(),
        },
        ring_refuses: true,
        share_shown: Some(NOTHING),
        inventory: Vec::new(),
        parcels: 2,
        bytes: 8192,
        left: Left::default(),
        lingering: Vec::new(),
        absent: None,
        snapshot_days: 0,
    }
}

/// The same act with something wrong in it; the act itself where there is nothing to get wrong.
pub(crate) fn spoiled(act: &Act) -> Act {
    let mut act = act.clone();
    match &mut act {
        Act::Open { parties } => parties.clear(),
        Act::Propose { plan } => plan.serial = plan.serial.wrapping_add(5),
        Act::Approve { plan } => *plan = NOTHING,
        Act::Extend { until, .. } => *until = hours_after(*until, 400 * 24),
        Act::Freeze { reason }
        | Act::Thaw { reason }
        | Act::Cancel { reason }
        | Act::Abandon { reason, .. }
        | Act::AcceptDifference { reason, .. } => " ".clone_into(reason),
        Act::SignOff { reports, .. } => reports.push(NOTHING),
        Act::OpenConsignment { target, kind, .. } => {
            if *kind == Kind::Rehearsal { TARGET } else { REHEARSED }.clone_into(target);
        }
        Act::Begin { attempt, .. } | Act::Failed { attempt, .. } => *attempt = attempt.wrapping_add(1),
        Act::Close { manifest } => Arc::make_mut(manifest).scope = NOTHING,
        Act::Release { offers, .. } => offers.push(NOTHING),
        Act::Done { outcome, .. } => Arc::make_mut(outcome).schema = NOTHING,
        Act::Destroyed { evidence, .. } => evidence.left.objects = 1,
        Act::Offer { .. }
        | Act::HandOver { .. }
        | Act::Revoke { .. }
        | Act::Overdue { .. }
        | Act::PartDestroyed { .. }
        | Act::Finish { .. } => {}
    }
    act
}
