//! A story as it happens: persons sign, the server records, the journal grows with other people's leaves in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use evidence::{Noted, Pack};
use journal::{Checkpoint, Tree, inclusion, leaf_hash};
use lexicon::{ConsignmentId, Digest, MigrationId, ParcelId, Timestamp, canonical, hours_after};
use people::{Envelope, PayloadType, Recipient, Roster};
use procedure::{
    Act, ActBody, Allowed, Clause, Clauses, Contract, Differing, Dpia, Entry, History, Instruction, InstructionEnding,
    Kind, Ledger, Manifest, ManifestParcel, ManifestTable, Nulls, Orphans, Part, Party, Plan, PlanParty, ProbeResult,
    Proof, Reconciliation, SeenCheckpoint, Side, Step, System, TableOutcome, Target, prepare, sign_fact,
};
use wire::{Leaf, People, Placed};

use crate::cast::{CAST, Who, origin, start};
use crate::shelved::Shelved;
use crate::stamps;

pub(crate) const SCOPE: &[u8] = b"{\"tables\":[\"patient\",\"result\"]}";
pub(crate) const REPORT: &[u8] = b"{\"patient\":491840}";
const OLD: &str = "sqlite:old.db";
const NEW: &str = "postgres://new:5432/lis";
pub(crate) const ROUND: ConsignmentId = ConsignmentId([0x1a; 16]);

/// How a story differs from the usual one.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one way for a story to differ")]
pub(crate) struct Setting {
    pub(crate) demonstration: bool,
    pub(crate) vendor_extracts: bool,
    pub(crate) not_forgotten: bool,
    pub(crate) unequal: bool,
    /// There was no wrapped share any more to show the ring.
    pub(crate) share_lost: bool,
    /// The object store keeps two parcels, one of them until somebody lifts a hold.
    pub(crate) lingering: bool,
    /// The ring key lay where bytes are not written over.
    pub(crate) unlinked: bool,
    /// The ring key lay where it could be taken out.
    pub(crate) could_leave: bool,
    /// The ring that was asked had no key.
    pub(crate) key_missing: bool,
    /// For how many days snapshots are declared to be kept.
    pub(crate) snapshot_days: u32,
    /// What the server says lay on the shelf.
    pub(crate) inventory: Shelved,
    /// What kind of key ring the plan asks for; `local` when it says nothing.
    pub(crate) key_ring: &'static str,
    /// The recipient's keys open no parcel.
    pub(crate) opens_nothing: bool,
    /// The vendor's engineer extracts and loads.
    pub(crate) one_operator: bool,
    /// The extracting machine may write its memory in clear to its swap.
    pub(crate) clear_swap: bool,
    /// Somebody put a time stamp into the pack, whose signature does not hold: without its authority nobody can tell.
    pub(crate) stamped: bool,
}

#[derive(Clone)]
pub(crate) struct Tale {
    pub(crate) setting: Setting,
    pub(crate) at: Timestamp,
    pub(crate) ledger: Ledger,
    pub(crate) placed: Vec<Placed>,
    pub(crate) leaves: Vec<Digest>,
    /// What the journal notes, with the number of its leaf.
    pub(crate) noted: Vec<(u64, Leaf)>,
    pub(crate) certificate: Option<Envelope>,
    pub(crate) revocations: Vec<Envelope>,
    /// What the next signers believe to have seen, instead of what is there.
    pub(crate) seen: Option<SeenCheckpoint>,
    /// Everybody who can sign.
    pub(crate) roster: Roster,
}

impl Tale {
    pub(crate) fn new(setting: Setting) -> Self {
        let mut roster = Roster::default();
        CAST.roots().into_iter().for_each(|root| roster.trust(root));
        for certificate in CAST.certificates() {
            roster.admit(&certificate).unwrap();
        }
        Self {
            setting,
            at: start(),
            ledger: Ledger::new(origin(setting.demonstration), CAST.server.public(), MigrationId([7; 16])),
            placed: Vec::new(),
            leaves: Vec::new(),
            noted: Vec::new(),
            certificate: None,
            revocations: Vec::new(),
            seen: None,
            roster,
        }
    }

    pub(crate) fn does(&mut self, who: Who, act: Act) {
        let member = CAST.member(who);
        let here =
            SeenCheckpoint { size: u64::try_from(self.leaves.len()).unwrap(), root: Tree::of(&self.leaves).root() };
        let body = ActBody {
            purpose: ActBody::PURPOSE.to_owned(),
            origin: origin(self.setting.demonstration).to_owned(),
            migration: self.ledger.migration().id,
            last: self.ledger.last(),
            checkpoint: self.seen.take().unwrap_or(here),
            certificate: member.digest,
            at: self.at,
            body: act,
        };
        self.records(Proof::Signed(Envelope::sign(PayloadType::Act, &body, member.digest, &member.key).unwrap()));
    }

    pub(crate) fn records(&mut self, proof: Proof) {
        let at = self.at.checked_add(jiff::SignedDuration::from_secs(2)).unwrap();
        let share = Some(Digest::of(b"strongroom share"));
        let decided = self.ledger.decided(&proof, &self.roster, at, share).unwrap();
        let fact = sign_fact(&prepare(&self.ledger, &proof, &decided).unwrap(), &CAST.server).unwrap();
        let entry = Entry { proof, fact };
        self.ledger.admit(&entry, &self.roster, Some(at)).unwrap();
        let nonce = Digest::of(&self.leaves.len().to_le_bytes());
        let leaf = u64::try_from(self.leaves.len()).unwrap();
        self.leaves.push(leaf_of(&entry, nonce));
        self.placed.push(Placed { entry, leaf, nonce });
        // Another migration's leaf.
        self.leaves.push(leaf_hash(&leaf.to_le_bytes()));
        self.pass_minutes(7);
    }

    fn shown(&self, (number, leaf): &(u64, Leaf), size: u64) -> Noted {
        Noted { number: *number, leaf: leaf.clone(), inclusion: inclusion(&self.leaves, *number, size).unwrap() }
    }

    pub(crate) fn pass_minutes(&mut self, minutes: i64) {
        self.at = self.at.checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap();
    }

    pub(crate) fn pack(&self) -> Pack {
        let size = u64::try_from(self.leaves.len()).unwrap();
        let checkpoint =
            Checkpoint { origin: origin(self.setting.demonstration).into(), size, root: Tree::of(&self.leaves).root() };
        let proof = |placed: &Placed| inclusion(&self.leaves, placed.leaf, size).unwrap();
        let people =
            People { roots: CAST.roots(), certificates: CAST.certificates(), revocations: self.revocations.clone() };
        Pack {
            card: CAST.card(self.setting.demonstration),
            migration: self.ledger.migration().id,
            entries: self.placed.clone(),
            people,
            checkpoint: checkpoint.sign(CAST.server.pair()).unwrap(),
            inclusion: self.placed.iter().map(proof).collect(),
            notes: self.noted.iter().map(|noted| self.shown(noted, size)).collect(),
            documents: [SCOPE, REPORT].map(|bytes| (Digest::of(bytes), bytes.to_vec())).into_iter().collect(),
            certificate: self.certificate.clone(),
            stamp: self.certificate.as_ref().filter(|_| self.setting.stamped).map(stamps::moved_to),
            told: BTreeMap::new(),
        }
    }

    fn operator(&self) -> Who {
        if self.setting.vendor_extracts || self.setting.one_operator { Who::Engineer } else { Who::Operator }
    }

    fn recipient(&self) -> Who {
        if self.setting.one_operator { Who::Engineer } else { Who::Recipient }
    }

    /// Up to a plan that two persons approved.
    pub(crate) fn approved(setting: Setting) -> Self {
        let mut tale = Self::new(setting);
        tale.does(Who::Engineer, Act::Open { parties: parties() });
        tale.does(Who::Engineer, Act::Propose { plan: Box::new(plan(tale.at, setting)) });
        let plan = tale.standing();
        tale.does(Who::Approver, Act::Approve { plan });
        tale.pass_minutes(24 * 60);
        tale.does(Who::Controller, Act::Approve { plan });
        tale
    }

    pub(crate) fn standing(&self) -> Digest {
        self.ledger.migration().plan.as_ref().unwrap().0
    }

    pub(crate) fn opens(mut self) -> Self {
        let (plan, deadline) = (self.standing(), hours_after(self.at, 48));
        let target = NEW.to_owned();
        self.does(
            self.operator(),
            Act::OpenConsignment {
                consignment: ROUND,
                plan,
                kind: Kind::Full,
                seed: 0,
                basis_points: procedure::EVERYTHING,
                target,
                deadline,
            },
        );
        self
    }

    pub(crate) fn begins(&mut self, who: Who, step: Step) {
        let attempt = self.ledger.migration().consignment(ROUND).unwrap().next_attempt();
        let lease = hours_after(self.at, 2);
        let (key, clear_swap) = (opening_key(), self.setting.clear_swap && step == Step::Extract);
        self.does(who, Act::Begin { consignment: ROUND, step, attempt, lease, key, clear_swap });
    }

    pub(crate) fn begins_to_extract(mut self) -> Self {
        self.begins(self.operator(), Step::Extract);
        self
    }

    pub(crate) fn closes(mut self) -> Self {
        let manifest = manifest(!self.setting.not_forgotten);
        self.does(self.operator(), Act::Close { manifest: Arc::new(manifest) });
        self.does(
            self.recipient(),
            Act::Offer { consignment: ROUND, key: opening_key(), clear_swap: self.setting.clear_swap },
        );
        self
    }

    pub(crate) fn releases(mut self) -> Self {
        let consignment = &self.ledger.migration().consignment(ROUND).unwrap();
        let close = consignment.manifest.as_ref().unwrap().0;
        let offers = consignment.offers.iter().map(|offer| offer.digest).collect();
        let load_by = hours_after(self.at, 24);
        self.does(Who::Controller, Act::Release { consignment: ROUND, close, offers, load_by });
        let share = Digest::of(b"sealed laboratory share");
        self.does(self.operator(), Act::HandOver { consignment: ROUND, share, clear_swap: self.setting.clear_swap });
        self
    }

    pub(crate) fn loads(mut self) -> Self {
        self.begins(self.recipient(), Step::Load);
        let outcome = Arc::new(outcome(!self.setting.unequal, !self.setting.opens_nothing));
        self.does(self.recipient(), Act::Done { consignment: ROUND, step: Step::Load, attempt: 2, outcome });
        if self.setting.unequal {
            let report = self.ledger.migration().consignment(ROUND).unwrap().outcome.as_ref().unwrap().digest;
            let reason = "two results of 1997 had no date | *agreed* with the laboratory".to_owned();
            self.does(Who::Controller, Act::AcceptDifference { consignment: ROUND, report, reason });
        }
        self
    }

    pub(crate) fn signs_off(mut self) -> Self {
        self.pass_minutes(20 * 60);
        let reports = self.ledger.migration().consignments.iter().filter_map(|c| c.outcome.as_ref());
        let reports = reports.map(|outcome| outcome.digest).collect();
        self.does(Who::Controller, Act::SignOff { reports, history: History::Target });
        self
    }

    pub(crate) fn cancels(mut self) -> Self {
        self.does(Who::Controller, Act::Cancel { reason: "the contract ended".to_owned() });
        self
    }

    pub(crate) fn finishes(mut self) -> Self {
        let card = CAST.card(self.setting.demonstration);
        let certificate = evidence::issue(&self.ledger, &card, self.at, &CAST.server).unwrap();
        self.names(certificate);
        self
    }

    /// The server names this certificate, whatever it says.
    pub(crate) fn names(&mut self, certificate: Envelope) {
        self.records(Proof::Server(Act::Finish { certificate: certificate.digest().unwrap() }));
        self.certificate = Some(certificate);
    }

    pub(crate) fn recipient_says(mut self, probe: Option<ProbeResult>) -> Self {
        self.does(self.recipient(), Act::PartDestroyed { consignment: ROUND, part: Part::Recipient, keys: 1, probe });
        self
    }

    pub(crate) fn laboratory_says(mut self) -> Self {
        let part = Part::Laboratory;
        self.does(self.operator(), Act::PartDestroyed { consignment: ROUND, part, keys: 1, probe: None });
        self
    }

    /// From the opening to the last statement.
    pub(crate) fn whole(setting: Setting) -> Self {
        Self::approved(setting)
            .opens()
            .begins_to_extract()
            .closes()
            .releases()
            .loads()
            .signs_off()
            .destroys()
            .finishes()
            .recipient_says(Some(ProbeResult::Failed))
            .laboratory_says()
    }
}

pub(crate) fn leaf_of(entry: &Entry, nonce: Digest) -> Digest {
    leaf_hash(&canonical(&Leaf::Fact { nonce, entry: Box::new(entry.clone()) }).unwrap())
}

/// The example key of the age specification: nothing is sealed to it here.
fn opening_key() -> Recipient {
    "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".parse().unwrap()
}

fn parties() -> Vec<PlanParty> {
    let sides = [Side::Controller, Side::Processor];
    let party =
        |(root, side): (people::Root, Side)| PlanParty { root: root.id(), organisation: root.organisation, side };
    CAST.roots().into_iter().zip(sides).map(party).collect()
}

fn instruction(deadline: Timestamp) -> Instruction {
    let at = |place: &str| Clause { place: place.to_owned() };
    Instruction {
        controller: Party { name: "Laboratoire du Port".into(), contact: "dpo@port.example".into() },
        processor: Party { name: "Vendor of Systems".into(), contact: "dpo@vendor.example".into() },
        purpose: "change of system".into(),
        nature: "copy, load, compare".into(),
        duration: "thirty days".into(),
        data: vec!["results".into()],
        persons: vec!["patients".into()],
        clauses: Clauses {
            a: at("art. 4"),
            b: at("art. 5"),
            c: at("art. 6"),
            d: at("art. 7"),
            e: at("art. 8"),
            f: at("art. 9"),
            g: at("art. 10"),
            h: at("art. 11"),
        },
        contract: Contract { digest: Some(Digest::of(b"contract")), signatory: "Claire Le Goff".into() },
        dpia: Some(Dpia::Reference("DPIA 2026-2".into())),
        sub_processors: vec!["none".into()],
        recipients: vec!["Vendor of Systems".into()],
        deadline: Some(deadline),
        ending: Some(InstructionEnding::Delete),
        no_other_channel: true,
    }
}

fn plan(at: Timestamp, setting: Setting) -> Plan {
    let device = |who| CAST.member(who).key.public();
    Plan {
        purpose: Plan::PURPOSE.to_owned(),
        migration: MigrationId([7; 16]),
        serial: 1,
        previous: None,
        parties: parties(),
        instruction: instruction(hours_after(at, 50 * 24)),
        scope: Digest::of(SCOPE),
        report: Digest::of(REPORT),
        source: System { identity: OLD.into(), schema: Digest::of(b"old schema"), live: false },
        targets: vec![Target {
            kinds: vec![Kind::Full],
            identity: NEW.into(),
            schema: Digest::of(b"new schema"),
            declared: std::collections::BTreeMap::new(),
            documents: None,
        }],
        extracting: vec![device(Who::Operator), device(Who::Engineer)],
        loading: vec![device(if setting.one_operator { Who::Engineer } else { Who::Recipient })],
        allowed: vec![Allowed { kind: Kind::Full, count_max: 2, hours_max: 72 }],
        deadline: hours_after(at, 30 * 24),
        extension_cap: hours_after(at, 40 * 24),
        key_ring: if setting.key_ring.is_empty() { "local" } else { setting.key_ring }.into(),
        one_operator_both_ends: setting.one_operator,
    }
}

fn manifest(forgotten: bool) -> Manifest {
    let parcel = |number: u8, table: &str, rows| ManifestParcel {
        parcel: ParcelId([number; 16]),
        attempt: 1,
        table: table.to_owned(),
        sequence: 0,
        bytes: 27_000_000,
        rows,
        digest: Digest::of(&[number]),
    };
    let table = |name: &str, rows_source, rows, taken, left| ManifestTable {
        name: name.to_owned(),
        target: format!("import_{name}"),
        rows_source,
        rows,
        root: Digest::of(name.as_bytes()),
        columns_taken: taken,
        columns_left: left,
        transforms: BTreeMap::from([("birth_date: null_if".to_owned(), 12)]),
        nulls: Some(BTreeMap::from([("birth_date".to_owned(), 12)])),
    };
    Manifest {
        consignment: ROUND,
        attempt: 1,
        source: OLD.into(),
        schema: Digest::of(b"old schema"),
        snapshot: "one read transaction".into(),
        scope: Digest::of(SCOPE),
        laboratory_share: Digest::of(b"laboratory share"),
        strongroom_share: Digest::of(b"strongroom share"),
        tables: vec![table("patient", 500_000, 491_840, 26, 34), table("result", 3_000_000, 2_812_345, 11, 4)],
        orphans: vec![orphans(None)],
        documents: Vec::new(),
        parcels: vec![parcel(1, "patient", 491_840), parcel(2, "result", 2_812_345)],
        sums: parcel(3, "", 8192),
        full_sums: Vec::new(),
        forgotten,
        measured: Vec::new(),
    }
}

/// Results of patients whom the scope leaves, or whom nobody has.
fn orphans(target: Option<u64>) -> Orphans {
    Orphans {
        table: "result".to_owned(),
        columns: vec!["patient_id".to_owned()],
        other: "patient".to_owned(),
        other_columns: vec!["patient_id".to_owned()],
        source: Some(7),
        target,
    }
}

fn outcome(equal: bool, opened: bool) -> Reconciliation {
    let table = |name: &str, rows_target, equal: bool| TableOutcome {
        name: name.to_owned(),
        target: format!("import_{name}"),
        rows_target,
        sealed: Digest::of(name.as_bytes()),
        fetched: Digest::of(name.as_bytes()),
        target_root: if equal { Digest::of(name.as_bytes()) } else { Digest::of(b"other") },
        differing: (!equal).then_some(Differing::AtLeast(2)),
        nulls: Some(BTreeMap::from([(
            "birth_date".to_owned(),
            Nulls { sealed: 12, fetched: 12, target: if equal { 12 } else { 14 } },
        )])),
    };
    Reconciliation {
        target: NEW.into(),
        schema: Digest::of(b"new schema"),
        tables: vec![
            table("patient", 491_840, true),
            table("result", if equal { 2_812_345 } else { 2_812_343 }, equal),
        ],
        documents: Vec::new(),
        orphans: vec![orphans(Some(if equal { 7 } else { 9 }))],
        opened,
        measured: Vec::new(),
    }
}
