//! The steps of a migration as the five persons take them, each over the real door.

use std::sync::Arc;

use connectors::{DocumentTarget, Sink, Source};
use desk::Desk;
use lexicon::{Clock, ConsignmentId, Digest, MigrationId, Result, canonical, hours_after};
use passage::{Errand, LoadReport, Quiet, Receiving};
use people::Passphrase;
use procedure::{Act, Allowed, History, Kind, Manifest, Migration, Plan, PlanParty, Side, System, Target};
use scope::Scope;

use crate::paper::{instruction, scope_report};
use crate::world::{Name, Party, World, entropy, passphrase};

/// Tells when a table is through.
struct Through(tokio::sync::mpsc::UnboundedSender<()>);

impl passage::Progress for Through {
    fn seen(&self, seen: passage::Seen<'_>) {
        if matches!(seen, passage::Seen::Through { .. }) {
            // Nobody listens once enough tables are through.
            self.0.send(()).unwrap_or_default();
        }
    }
}

/// A person's errand that tells nobody how far it is.
fn errand<'a>(desk: &'a Desk, secret: &'a Passphrase, plan: &Plan, consignment: ConsignmentId) -> Errand<'a> {
    Errand { desk, passphrase: secret, migration: plan.migration, consignment, progress: &Quiet }
}

impl World {
    /// The two organisations as a plan names them.
    pub fn parties(&self) -> Vec<PlanParty> {
        let party = |party: Party, side| {
            let root = self.organisation(party).root();
            PlanParty { root: root.id(), organisation: root.organisation.clone(), side }
        };
        vec![party(Party::Laboratory, Side::Controller), party(Party::Vendor, Side::Processor)]
    }

    /// One person acts; the answer is the trouble, if there was any.
    ///
    /// # Errors
    /// Whatever the desk or the server said.
    pub async fn act(&self, name: Name, id: MigrationId, act: Act) -> Result<()> {
        let mut build = |_: &Migration| Ok(act.clone());
        self.desk(name).act(id, &mut build, &[]).await.map(|_| ())
    }

    /// The engineer opens a migration.
    pub async fn open(&self) -> MigrationId {
        let id = MigrationId::draw(entropy().as_ref()).unwrap();
        self.act(Name::Engineer, id, Act::Open { parties: self.parties() }).await.unwrap();
        id
    }

    /// A plan for this source and target, with the documents that it names.
    pub async fn plan(
        &self,
        id: MigrationId,
        scope: &str,
        source: &dyn Source,
        sink: &dyn Sink,
    ) -> (Plan, Vec<Vec<u8>>) {
        let now = self.clock.now();
        let parsed = Scope::parse(scope).unwrap();
        let report = scope_report(source, &parsed, now).await;
        let report = canonical(&self.desk(Name::Operator).state(&report).unwrap()).unwrap();
        let device = |name| self.desk(name).me().device.key;
        let prepared = sink.prepare(&parsed).await.unwrap();
        let plan = Plan {
            purpose: Plan::PURPOSE.to_owned(),
            migration: id,
            serial: 1,
            previous: None,
            parties: self.parties(),
            instruction: instruction(now),
            scope: Digest::of(scope.as_bytes()),
            report: Digest::of(&report),
            source: System {
                identity: source.identity(),
                schema: connectors::schema_digest(&source.describe().await.unwrap()).unwrap(),
                live: false,
            },
            targets: vec![Target {
                kinds: vec![Kind::Full, Kind::Delta],
                identity: sink.identity(),
                schema: prepared.schema,
                declared: prepared.declared,
                documents: (!parsed.documents().is_empty()).then(|| self.documents().identity()),
            }],
            extracting: vec![device(Name::Operator)],
            loading: vec![device(Name::Recipient)],
            allowed: vec![Allowed { kind: Kind::Full, count_max: 3, hours_max: 240 }],
            deadline: hours_after(now, 20 * 24),
            extension_cap: hours_after(now, 40 * 24),
            key_ring: "local".to_owned(),
            one_operator_both_ends: false,
        };
        (plan, vec![scope.as_bytes().to_vec(), report])
    }

    /// The engineer proposes it.
    ///
    /// # Errors
    /// Whatever the desk or the server said.
    pub async fn propose(&self, plan: &Plan, documents: &[Vec<u8>]) -> Result<()> {
        let boxed = Box::new(plan.clone());
        let mut build = |_: &Migration| Ok(Act::Propose { plan: boxed.clone() });
        self.desk(Name::Engineer).act(plan.migration, &mut build, documents).await.map(|_| ())
    }

    /// Approver and controller approve it.
    pub async fn approve(&self, plan: &Plan) {
        for name in [Name::Approver, Name::Controller] {
            self.act(name, plan.migration, Act::Approve { plan: plan.digest().unwrap() }).await.unwrap();
        }
    }

    /// A migration with an approved plan.
    pub async fn approved(&self, scope: &str, source: &dyn Source, sink: &dyn Sink) -> Plan {
        let id = self.open().await;
        let (plan, documents) = self.plan(id, scope, source, sink).await;
        self.propose(&plan, &documents).await.unwrap();
        self.approve(&plan).await;
        plan
    }

    /// The operator opens a full consignment, the recipient offers a key.
    pub async fn consign(&self, plan: &Plan) -> ConsignmentId {
        self.consign_as(plan, Kind::Full, (1, procedure::EVERYTHING)).await
    }

    /// What opens a consignment for three days.
    pub fn opening(
        &self,
        plan: &Plan,
        consignment: ConsignmentId,
        kind: Kind,
        (seed, basis_points): (u32, u32),
    ) -> Act {
        Act::OpenConsignment {
            consignment,
            plan: plan.digest().unwrap(),
            kind,
            seed,
            basis_points,
            target: plan.target(kind).unwrap().identity.clone(),
            deadline: hours_after(self.clock.now(), 72),
        }
    }

    /// The operator opens a consignment of a kind, with a seed and so many hundredths of a percent; the recipient offers a
    /// key.
    pub async fn consign_as(&self, plan: &Plan, kind: Kind, (seed, basis_points): (u32, u32)) -> ConsignmentId {
        let consignment = ConsignmentId::draw(entropy().as_ref()).unwrap();
        let act = self.opening(plan, consignment, kind, (seed, basis_points));
        self.act(Name::Operator, plan.migration, act).await.unwrap();
        let desk = self.desk(Name::Recipient);
        let secret = passphrase();
        passage::offer(&errand(&desk, &secret, plan, consignment)).await.unwrap();
        consignment
    }

    /// The operator extracts.
    ///
    /// # Errors
    /// Whatever the passage said.
    pub async fn extract(&self, plan: &Plan, consignment: ConsignmentId, source: &dyn Source) -> Result<Arc<Manifest>> {
        let desk = self.desk(Name::Operator);
        let secret = passphrase();
        passage::extract(&errand(&desk, &secret, plan, consignment), source, entropy()).await
    }

    /// The operator extracts until so many tables are through; then the machine dies: nothing more is said or stored.
    ///
    /// # Panics
    /// When the extraction ends before that.
    pub async fn extract_until(&self, plan: &Plan, consignment: ConsignmentId, source: &dyn Source, tables: usize) {
        let (through, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let (desk, secret, progress) = (self.desk(Name::Operator), passphrase(), Through(through));
        let migration = plan.migration;
        let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &progress };
        let dying = async {
            for _ in 0..tables {
                seen.recv().await.unwrap();
            }
            // The next table's stored note is written after its last row: let the one that is through be noted.
            while passage::stored_tables(&desk, migration, consignment).unwrap() < tables {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = passage::extract(&errand, source, entropy()) => { unreachable!("it was not cut: {:?}", ended.map(|manifest| manifest.attempt)) }
            () = dying => {}
        }
    }

    /// The controller releases to every key that is offered, the operator hands over.
    ///
    /// # Errors
    /// Whatever the desks or the server said.
    pub async fn release(&self, plan: &Plan, consignment: ConsignmentId) -> Result<()> {
        let load_by = hours_after(self.clock.now(), 20);
        let mut build = |migration: &Migration| {
            let round = migration.consignment(consignment).unwrap();
            let close = round.manifest.as_ref().map_or(Digest([0; 32]), |(close, _)| *close);
            let offers = round.offers.iter().map(|offer| offer.digest).collect();
            Ok(Act::Release { consignment, close, offers, load_by })
        };
        self.desk(Name::Controller).act(plan.migration, &mut build, &[]).await?;
        let desk = self.desk(Name::Operator);
        let secret = passphrase();
        passage::hand_over(&errand(&desk, &secret, plan, consignment)).await
    }

    /// The new system's folder for documents, beside its database.
    pub fn documents(&self) -> DocumentTarget {
        let folder = self.path("new.sqlite-documents");
        std::fs::create_dir_all(&folder).unwrap();
        DocumentTarget::open(&folder.display().to_string()).unwrap()
    }

    /// The recipient loads.
    ///
    /// # Errors
    /// Whatever the passage said.
    pub async fn load(&self, plan: &Plan, consignment: ConsignmentId, sink: &dyn Sink) -> Result<LoadReport> {
        let (desk, secret) = (self.desk(Name::Recipient), passphrase());
        let documents = Some(&self.documents());
        passage::load(&errand(&desk, &secret, plan, consignment), Receiving { sink, documents }).await
    }

    /// The recipient reads the target again.
    ///
    /// # Errors
    /// Whatever the passage said.
    pub async fn reconcile(&self, plan: &Plan, consignment: ConsignmentId, sink: &dyn Sink) -> Result<LoadReport> {
        let (desk, secret) = (self.desk(Name::Recipient), passphrase());
        let documents = Some(&self.documents());
        passage::reconcile(&errand(&desk, &secret, plan, consignment), Receiving { sink, documents }).await
    }

    /// The controller signs off over the reports that stand.
    ///
    /// # Errors
    /// Whatever the desk or the server said.
    pub async fn sign_off(&self, plan: &Plan) -> Result<()> {
        let mut build = |migration: &Migration| {
            let reports = migration.standing().filter_map(|round| round.outcome.as_ref()).map(|outcome| outcome.digest);
            Ok(Act::SignOff { reports: reports.collect(), history: History::Target })
        };
        self.desk(Name::Controller).act(plan.migration, &mut build, &[]).await.map(|_| ())
    }

    /// A person destroys what their device holds of rounds that ended.
    ///
    /// # Errors
    /// Whatever the passage said.
    pub async fn destroy_part(
        &self,
        name: Name,
        id: MigrationId,
        more: &[Vec<u8>],
    ) -> Result<Vec<passage::PartReport>> {
        passage::destroy_part(&self.desk(name), &passphrase(), id, more).await
    }
}
