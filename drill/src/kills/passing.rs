//! One migration, from its plan to the last key, whose steps are cut and taken again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use desk::Desk;
use lexicon::{ConsignmentId, digest_of};
use people::PayloadType;
use procedure::{Act, ActBody, Consignment, ConsignmentStage, Ledger, Part, Plan, Proof, Stage, Step};
use tokio::time::interval;
use wire::Placed;

use super::checks;
use super::figures::Figures;
use super::pair::{Account, Pair, Target};
use super::parties::Parties;
use super::points::{Point, Stride, Victim};
use super::running::{Ended, Way};
use super::source::{PARCEL_BYTES_LEAST, PARCELS, SCOPE};
use crate::{Command, Name, files_below};

/// What may still be killed.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    None,
    Kills(u32),
    /// After so long only those that were spared so far.
    Time {
        started: Instant,
        enough: Duration,
    },
    /// Only those that were spared so far.
    Spared,
}

impl Bound {
    /// Whether there may be another kill, and whether of one that was spared so far.
    pub(super) fn allows(self, spared: bool) -> bool {
        match self {
            Self::None => true,
            Self::Kills(left) => left > 0,
            Self::Time { started, enough } => spared || started.elapsed() < enough,
            Self::Spared => spared,
        }
    }

    fn after(self, kills: u32) -> Self {
        if let Self::Kills(left) = self { Self::Kills(left.saturating_sub(kills)) } else { self }
    }
}

/// What a migration comes to that nobody disturbs.
pub(super) struct Usual {
    /// How long each step takes.
    pub(super) took: BTreeMap<Stride, Duration>,
    pub(super) end: checks::End,
}

impl fmt::Display for Usual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<_> =
            self.took.iter().map(|(stride, took)| format!("{stride:?} {:.2} s", took.as_secs_f64())).collect();
        write!(f, "{}; {} bytes of rows", steps.join(", "), self.end.rows.len())
    }
}

/// What is known of a step's attempts without the journal.
#[derive(Clone, Default)]
pub(super) struct Tries {
    /// How often its command was given: each makes one attempt at most.
    pub(super) given: usize,
    /// The attempts of which its device had the server's signed receipt, at the end of any of these commands.
    pub(super) receipts: BTreeSet<u32>,
}

pub(super) struct Passing<'a> {
    pub(super) parties: &'a mut Parties,
    pub(super) plan: Plan,
    pub(super) consignment: ConsignmentId,
    pub(super) target: Target,
    /// Somebody who only looks.
    pub(super) observer: Desk,
    pub(super) tries: BTreeMap<Stride, Tries>,
    account: Account,
    source: String,
    took: BTreeMap<Stride, Duration>,
}

/// A migration that nobody disturbs; its rows are those of the old system, and what is looked for at the story's end
/// stands among them.
pub(super) async fn undisturbed(parties: &mut Parties, pair: &Pair, account: Account) -> Usual {
    let mut figures = Figures::new(0);
    let mut passing = Passing::begin(parties, pair, account).await;
    for stride in Stride::ALL {
        passing.take(stride, (&[], Bound::None, None), &mut figures).await;
    }
    let end = checks::end(&passing).await;
    let parcels = passing.parcels_of_the_largest().await;
    assert_eq!(parcels, PARCELS, "parcels of the largest table");
    assert!(end.rows == pair.dump().await, "an undisturbed migration does not bring the rows of the old system");
    let patients = pair.patients().await;
    checks::planted_is_met(passing.parties.world(), &patients, &end.rows);
    let took = std::mem::take(&mut passing.took);
    passing.target.drop_it().await;
    Usual { took, end }
}

/// A migration that is cut at these points, and must come to the same end.
pub(super) async fn disturbed(
    parties: &mut Parties,
    (pair, account, usual): (&Pair, Account, &Usual),
    (points, mut bound): (Vec<(Stride, Vec<Point>)>, Bound),
    figures: &mut Figures,
) {
    let mut passing = Passing::begin(parties, pair, account).await;
    for (stride, points) in points {
        bound = passing.take(stride, (&points, bound, Some(usual)), figures).await;
    }
    let end = checks::end(&passing).await;
    end.is_as(&usual.end);
    figures.attempts = figures.attempts.saturating_add(end.attempts);
    figures.migrations = figures.migrations.saturating_add(1);
    passing.target.drop_it().await;
}

impl<'a> Passing<'a> {
    /// Approved, opened and offered: as far as persons go before the first long step.
    async fn begin(parties: &'a mut Parties, pair: &Pair, account: Account) -> Self {
        let target = pair.target(account).await;
        let source = pair.source();
        let world = parties.world();
        let old = connectors::connect_source(&source, None).unwrap();
        let new = connectors::connect_sink(&target.address, None).unwrap();
        parties.forget_reports();
        let scope = [SCOPE, parties.reports()].concat();
        let plan = world.approved(&scope, old.as_ref(), new.as_ref()).await;
        let consignment = world.consign(&plan).await;
        let observer = world.desk(Name::Engineer);
        let (tries, took) = (BTreeMap::new(), BTreeMap::new());
        Self { parties, plan, consignment, target, observer, tries, account, source, took }
    }

    pub(super) async fn ledger(&self) -> Ledger {
        self.parties.world();
        self.observer.follow(self.plan.migration).await.unwrap()
    }

    pub(super) fn round<'l>(&self, ledger: &'l Ledger) -> &'l Consignment {
        ledger.migration().consignment(self.consignment).unwrap()
    }

    /// Takes one step: once for each point, as long as there is something left to take, and then to its end. What may
    /// still be killed afterwards.
    async fn take(
        &mut self,
        stride: Stride,
        (points, mut bound, usual): (&[Point], Bound, Option<&Usual>),
        figures: &mut Figures,
    ) -> Bound {
        let mut points = points.iter().copied();
        let (mut cut, mut cuts) = (false, 0_u32);
        while !self.is_taken(stride).await {
            let took = usual.and_then(|usual| usual.took.get(&stride)).copied().unwrap_or_default();
            let mut drawn = 0_u32;
            let mut next = |figures: &Figures| {
                let spared = |of: &Point| figures.spares(stride, of.victim) || figures.spares_way(stride, self.account);
                let allows = |of: &Point| bound.after(drawn).allows(spared(of));
                let point = points.find(allows);
                drawn = drawn.saturating_add(u32::from(point.is_some()));
                point
            };
            let (words, folder) = (self.words(stride).await, self.shelf());
            let before = if stride == Stride::Extract { large_parcels(&folder) } else { BTreeSet::new() };
            let stored = || large_parcels(&folder).difference(&before).count();
            let (left, of) = (stride.left(took, cuts), (stride, self.account));
            let run = self.parties.run(words, &mut next, (left, &stored), (&mut *figures, of));
            let (ended, killed) = run.await;
            self.judge(stride, &ended, &killed).await;
            if stride == Stride::Extract && !killed.is_empty() && (1..PARCELS).contains(&stored()) {
                figures.between_parcels = figures.between_parcels.saturating_add(1);
            }
            let kills = u32::try_from(killed.len()).unwrap();
            figures.missed = figures.missed.saturating_add(drawn.saturating_sub(kills));
            (cut, cuts, bound) = (kills > 0, cuts.saturating_add(kills), bound.after(kills));
            assert!(cut || self.is_taken(stride).await, "{stride:?} ended well and is not in the journal");
            self.took.insert(stride, ended.took);
        }
        if cut {
            self.again(stride, figures).await;
        }
        match stride {
            Stride::Extract => self.parties.world().release(&self.plan, self.consignment).await.unwrap(),
            Stride::SignOff => self.destroyed().await,
            Stride::Load | Stride::Reconcile | Stride::DestroyOpeningKey | Stride::DestroyShare => {}
        }
        bound
    }

    fn shelf(&self) -> PathBuf {
        self.parties.world().server_folder().join("shelf").join(self.consignment.to_string())
    }

    async fn parcels_of_the_largest(&self) -> usize {
        let ledger = self.ledger().await;
        let (_, manifest) = self.round(&ledger).manifest.as_ref().unwrap();
        let large = |bytes| bytes >= PARCEL_BYTES_LEAST;
        let many = manifest.parcels.iter().filter(|parcel| parcel.table == "scan" && large(parcel.bytes)).count();
        assert_eq!(
            many,
            manifest.sealed().filter(|parcel| large(parcel.bytes)).count(),
            "large parcels of other tables"
        );
        many
    }

    /// Whether the journal says that the step is taken.
    async fn is_taken(&self, stride: Stride) -> bool {
        let ledger = self.ledger().await;
        let round = self.round(&ledger);
        let said = |part| round.parts.iter().any(|(of, ..)| *of == part);
        match stride {
            Stride::Extract => round.stage >= ConsignmentStage::Closed,
            Stride::Load => round.stage >= ConsignmentStage::Loaded,
            Stride::Reconcile => ledger
                .recorded()
                .iter()
                .any(|recorded| matches!(recorded.fact.act, Act::Done { step: Step::Reconcile, .. })),
            Stride::SignOff => ledger.migration().ending(),
            Stride::DestroyOpeningKey => said(Part::Recipient),
            Stride::DestroyShare => said(Part::Laboratory),
        }
    }

    async fn words(&self, stride: Stride) -> Command {
        let (migration, consignment) = (self.plan.migration.to_string(), self.consignment.to_string());
        let plan = self.plan.digest().unwrap().to_string();
        let (of, round) = (["--migration", migration.as_str()], ["--consignment", consignment.as_str()]);
        let folder = self.parties.world().documents().identity();
        let new = ["--target", self.target.address.as_str(), "--documents", folder.as_str()];
        let ledger = self.ledger().await;
        let reports = ledger.migration().standing().filter_map(|round| round.outcome.as_ref());
        let reports = digest_of(&reports.map(|outcome| outcome.digest).collect::<Vec<_>>()).unwrap().to_string();
        let (name, words) = match stride {
            Stride::Extract => {
                (Name::Operator, [&["extract"], &of[..], &round, &["--source", &self.source, "--yes", &plan]].concat())
            }
            Stride::Load => (Name::Recipient, [&["load"], &of[..], &round, &new].concat()),
            Stride::Reconcile => (Name::Recipient, [&["reconcile"], &of[..], &round, &new].concat()),
            Stride::SignOff => (
                Name::Controller,
                [&["migration", "sign-off", "--yes", &reports], &of[..], &["--history", "target"]].concat(),
            ),
            Stride::DestroyOpeningKey => (Name::Recipient, [&["migration", "destroy"], &of[..]].concat()),
            Stride::DestroyShare => (Name::Operator, [&["migration", "destroy"], &of[..]].concat()),
        };
        self.parties.command(name, &words)
    }

    /// Whether a run ended as it may: well, killed, or, when its server was killed, with a status that says to try again.
    async fn judge(&mut self, stride: Stride, ended: &Ended, killed: &[Victim]) {
        let fits = match ended.way {
            Way::Status(0) | Way::Killed => true,
            // Unreachable, or try again.
            Way::Status(status) => killed.contains(&Victim::Server) && matches!(status, 7 | 75),
            Way::ForeignSignal(_) => false,
        };
        assert!(fits, "{stride:?} (killed: {killed:?}) ended with {:?}: {}", ended.way, ended.text);
        checks::nobody_cries(&stride, &ended.text);
        if let Some(step) = stride.step() {
            self.tried(stride, step, ended);
        }
        let halves = self.target.halves().await;
        assert!(halves.is_empty(), "{stride:?} (killed: {killed:?}) left {halves:?}");
        let [old, new] = self.parties.both_reports();
        let halves: Vec<_> = new.iter().filter(|(name, digest)| old.get(*name) != Some(*digest)).collect();
        assert!(halves.is_empty(), "{stride:?} (killed: {killed:?}) left {halves:?}");
    }

    /// One more attempt, or none: whoever was killed early enough had begun nothing.
    fn tried(&mut self, stride: Stride, step: Step, ended: &Ended) {
        let receipts = self.receipts(step);
        let tries = self.tries.entry(stride).or_default();
        tries.given = tries.given.saturating_add(1);
        let before = tries.receipts.len();
        tries.receipts.extend(receipts);
        let is_new = tries.receipts.len() > before;
        let has_worked = ended.tables > 0 || ended.way == Way::Status(0);
        assert!(is_new || !has_worked, "{stride:?} worked without a receipt of its beginning: {}", ended.text);
    }

    /// The attempts of a step that the device of its person holds receipts of.
    fn receipts(&self, step: Step) -> BTreeSet<u32> {
        let world = self.parties.world();
        let name = if step == Step::Extract { Name::Operator } else { Name::Recipient };
        let facts = world.home(name).join(format!("migrations/{}/facts.jsonl", self.plan.migration));
        let attempt = |line: &str| {
            let Placed { entry, .. } = serde_json::from_str(line).unwrap();
            entry.fact.verified(PayloadType::Fact, &world.card.key).unwrap();
            let Proof::Signed(act) = entry.proof else { return None };
            let ActBody { body, .. } = serde_json::from_slice(&act.bytes().unwrap()).unwrap();
            if let Act::Begin { step: of, attempt, .. } = body { (of == step).then_some(attempt) } else { None }
        };
        std::fs::read_to_string(facts).unwrap().lines().filter_map(attempt).collect()
    }

    /// Somebody whose process was killed does not know that the step is taken, and gives the command again.
    async fn again(&mut self, stride: Stride, figures: &mut Figures) {
        // Reading the target once more is no second time of anything.
        if stride == Stride::Reconcile {
            return;
        }
        let words = self.words(stride).await;
        let (ended, _) =
            self.parties.run(words, &mut |_| None, (Duration::ZERO, &|| 0), (figures, (stride, self.account))).await;
        let done = matches!(stride, Stride::DestroyOpeningKey | Stride::DestroyShare);
        let fits = if done { ended.way == Way::Status(0) } else { matches!(ended.way, Way::Status(3 | 4)) };
        assert!(fits, "{stride:?}, given again, ended with {:?}: {}", ended.way, ended.text);
        checks::nobody_cries(&stride, &ended.text);
    }

    /// Waits until the server has destroyed its part: at once, or in a sweep when it was killed.
    async fn destroyed(&self) {
        let mut beat = interval(Duration::from_millis(100));
        for _ in 0..600 {
            beat.tick().await;
            if self.ledger().await.migration().stage == Stage::Destroyed {
                return;
            }
        }
        unreachable!("the server does not destroy its part within a minute");
    }
}

/// The parcels of the largest table that lie wholly on a shelf, of whichever attempt.
fn large_parcels(shelf: &Path) -> BTreeSet<PathBuf> {
    let is_large = |file: &PathBuf| {
        // What is being written has another name.
        let is_whole = !file.to_string_lossy().contains('#');
        is_whole && std::fs::metadata(file).is_ok_and(|of| of.len() >= PARCEL_BYTES_LEAST)
    };
    files_below(&[shelf]).into_iter().filter(is_large).collect()
}
