//! `lazaret consignment`.

use clap::{Args, Subcommand, ValueEnum};
use desk::Desk;
use lexicon::{Code, ConsignmentId, MigrationId, Refusal, Result, Timestamp, digest_of, hours_after, limits};
use passage::{Errand, Progress};
use people::Passphrase;
use procedure::{Act, Consignment as Round, EVERYTHING, Kind, Migration as State};
use serde_json::json;

use super::context::acted;
use super::migration::{Which, state_text, within};
use super::shown::{self, Question};
use super::{Context, forecast};
use crate::output::{Done, add};

/// Rounds of a migration.
#[derive(Subcommand)]
pub(crate) enum Consignment {
    /// Begin a round
    Open(Open),
    /// Make an opening key on this device and offer it
    Offer(WhichRound),
    /// Let those who offered have the laboratory share
    Release(Release),
    /// Seal the laboratory share to the released keys
    HandOver(WhichRound),
    /// Take the target as it is, although it differs
    AcceptDifference(Reasoned),
    /// End the round; it is destroyed
    Abandon(Reasoned),
    /// What the full round will take, from a rehearsal: rows, bytes, minutes, disk
    Forecast(WhichRound),
}

/// Which round.
#[derive(Args, Clone)]
pub(crate) struct WhichRound {
    #[command(flatten)]
    pub which: Which,
    /// The consignment; not needed when only one is under way
    #[arg(long)]
    pub consignment: Option<ConsignmentId>,
}

impl WhichRound {
    /// The migration and the round that are meant.
    pub(crate) async fn find(&self, context: &Context, desk: &Desk) -> Result<(MigrationId, ConsignmentId)> {
        let migration = context.migration(desk, self.which.migration).await?;
        if let Some(consignment) = self.consignment {
            return Ok((migration, consignment));
        }
        let ledger = desk.follow(migration).await?;
        let alive: Vec<&Round> = ledger.migration().consignments.iter().filter(|round| round.alive()).collect();
        match alive.as_slice() {
            [only] => Ok((migration, only.id)),
            [] => Err(Refusal::new(
                Code(1070),
                "no consignment is under way",
                "Open one with `lazaret consignment open`.",
            )
            .into()),
            _ => Err(Refusal::new(Code(1071), "several consignments are under way", "Name one with --consignment ID.")
                .into()),
        }
    }
}

/// The errand of this device for a round.
pub(crate) fn errand<'a>(
    desk: &'a Desk,
    passphrase: &'a Passphrase,
    (migration, consignment): (MigrationId, ConsignmentId),
    progress: &'a dyn Progress,
) -> Errand<'a> {
    Errand { desk, passphrase, migration, consignment, progress }
}

impl Consignment {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Open(command) => command.run(context).await,
            Self::Offer(which) => {
                let (desk, passphrase) = context.binding_desk()?;
                let round = which.find(context, &desk).await?;
                passage::offer(&errand(&desk, &passphrase, round, &passage::Quiet)).await?;
                Ok(acted(&desk.kept(round.0)?, "This device's opening key is offered."))
            }
            Self::Release(command) => command.run(context).await,
            Self::HandOver(which) => {
                let (desk, passphrase) = context.binding_desk()?;
                let round = which.find(context, &desk).await?;
                passage::hand_over(&errand(&desk, &passphrase, round, &passage::Quiet)).await?;
                Ok(acted(&desk.kept(round.0)?, "The laboratory share is handed over, sealed to the released keys."))
            }
            Self::AcceptDifference(command) => command.accept(context).await,
            Self::Abandon(command) => command.abandon(context).await,
            Self::Forecast(which) => forecast::run(context, &which).await,
        }
    }
}

/// What a round is for.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum KindName {
    /// A sample, into a target of its own
    Rehearsal,
    /// Everything in scope
    Full,
    /// What changed after the full one
    Delta,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Rehearsal => Self::Rehearsal,
            KindName::Full => Self::Full,
            KindName::Delta => Self::Delta,
        }
    }
}

/// Begin a round.
#[derive(Args)]
pub(crate) struct Open {
    #[command(flatten)]
    pub which: Which,
    /// What for
    #[arg(long, value_enum, default_value = "full")]
    pub kind: KindName,
    /// How much a rehearsal takes of the rows in scope: 1, 0.5, 12.25
    #[arg(long, value_parser = forecast::basis_points)]
    pub percent: Option<u32>,
    /// Which sample; drawn when it is not given. With what the server draws then it chooses the rows
    #[arg(long)]
    pub seed: Option<u32>,
    /// Hours that it lives at most
    #[arg(long, default_value_t = 72)]
    pub hours: i64,
}

impl Open {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let id = context.migration(&desk, self.which.migration).await?;
        let (consignment, done) = open(context, &desk, id, &self).await?;
        Ok(done.with(json!({ "consignment": consignment })))
    }
}

/// How much a round takes, in hundredths of a percent. What changed since is a kind that the procedure knows and this
/// version cannot cut out of a source.
fn basis_points(command: &Open) -> Result<u32> {
    match (command.kind, command.percent) {
        (KindName::Delta, _) => {
            let why = "this version carries rehearsals and full consignments, no delta";
            Err(Refusal::new(Code(1077), why, "Open a full consignment.").into())
        }
        (KindName::Rehearsal, None) => {
            let why = "a rehearsal takes a percentage of the rows in scope";
            Err(Refusal::new(Code(1078), why, "Say how much with `--percent`, for example `--percent 1`.").into())
        }
        (KindName::Full, None) => Ok(EVERYTHING),
        // Whether a part may be taken is decided where everything is.
        (KindName::Rehearsal | KindName::Full, Some(part)) => Ok(part),
    }
}

/// Opens a round and names it.
pub(crate) async fn open(
    context: &Context,
    desk: &Desk,
    id: MigrationId,
    command: &Open,
) -> Result<(ConsignmentId, Done)> {
    let mut consignment = ConsignmentId::draw(context.entropy.as_ref())?;
    let (kind, basis_points) = (Kind::from(command.kind), basis_points(command)?);
    let seed = match command.seed {
        Some(seed) => seed,
        None => u32::from_le_bytes(context.entropy.as_ref().bytes()?),
    };
    let now = desk.now()?;
    let mut build = |migration: &State| {
        // Another one at each try: a name serves for one opening, also where that came to nothing.
        consignment = ConsignmentId::draw(context.entropy.as_ref())?;
        let (digest, plan, _) = migration.plan.as_ref().ok_or_else(|| {
            Refusal::new(Code(1072), "there is no plan", "Propose one with `lazaret migration propose`.")
        })?;
        let target = plan.target(kind).ok_or_else(|| {
            Refusal::new(Code(1073), "the plan names no target for this kind", "Amend the plan, or open another kind.")
        })?;
        let allowed =
            plan.allowed(kind).map_or(command.hours, |allowed| i64::from(allowed.hours_max).min(command.hours));
        Ok(Act::OpenConsignment {
            consignment,
            plan: *digest,
            kind,
            seed,
            basis_points,
            target: target.identity.clone(),
            deadline: within(migration, now, allowed),
        })
    };
    let (_, ledger) = desk.act(id, &mut build, &[]).await?;
    Ok((consignment, acted(&ledger, &format!("Consignment {consignment} is open."))))
}

/// Release.
#[derive(Args)]
pub(crate) struct Release {
    #[command(flatten)]
    pub round: WhichRound,
    /// Hours in which loading must begin
    #[arg(long, default_value_t = limits::RELEASE_HOURS)]
    pub hours: i64,
    /// The digest of manifest and offers, when they were looked at before
    #[arg(long)]
    yes: Option<String>,
}

impl Release {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let (id, consignment) = self.round.find(context, &desk).await?;
        let ledger = desk.follow(id).await?;
        let round = shown::known(ledger.migration(), consignment)?;
        let released = shown::to_release(round)?;
        passage::check_manifest(&desk, id, &ledger, consignment).await?;
        let question = Question { asked: "Release to these keys?", expected: digest_of(&released)?.to_string() };
        shown::show_and_ask(context, &manifest_text(round), &question, self.yes.as_deref())?;
        let now = desk.now()?;
        let by = |round: &Round| load_by(now, self.hours, round.deadline);
        let mut build = |migration: &State| shown::release(migration, (consignment, &released), by);
        let (_, ledger) = desk.act(id, &mut build, &[]).await?;
        Ok(acted(&ledger, "Released to the keys that were shown."))
    }
}

/// One minute inside the cap: the server's clock may be behind this one.
fn load_by(now: Timestamp, hours: i64, deadline: Timestamp) -> Timestamp {
    let wanted = hours_after(now, hours).checked_sub(std::time::Duration::from_mins(1)).unwrap_or(now);
    wanted.min(deadline)
}

fn manifest_text(consignment: &Round) -> String {
    let Some((digest, manifest)) = &consignment.manifest else { return String::new() };
    let mut text = format!("Manifest {}: {} parcels\n", digest.short(), manifest.sealed().count());
    for table in &manifest.tables {
        add(
            &mut text,
            format_args!(
                "  {} → {}: {} of {} rows, {} columns taken, {} left\n",
                table.name, table.target, table.rows, table.rows_source, table.columns_taken, table.columns_left
            ),
        );
    }
    for part in &manifest.documents {
        let stayed = if part.stayed > 0 { format!(", {} files stayed", part.stayed) } else { String::new() };
        add(&mut text, format_args!("  documents {} → {}{stayed}\n", part.index.name, part.index.target));
        for (kind, count) in &part.kinds {
            let scope = part.in_scope.get(kind).copied().unwrap_or_default().documents;
            add(
                &mut text,
                format_args!("    {kind}: {} of {scope} documents, {} bytes\n", count.documents, count.bytes),
            );
        }
    }
    for offer in &consignment.offers {
        add(
            &mut text,
            format_args!("  offered key {} of device {}\n", offer.digest.short(), offer.device.digest().short()),
        );
    }
    text
}

/// An act with a reason.
#[derive(Args)]
pub(crate) struct Reasoned {
    #[command(flatten)]
    round: WhichRound,
    /// Why
    #[arg(long)]
    reason: String,
    /// The report's digest, or the consignment's id to abandon it, when it was looked at before
    #[arg(long)]
    yes: Option<String>,
}

impl Reasoned {
    async fn accept(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let (id, consignment) = self.round.find(context, &desk).await?;
        let ledger = desk.follow(id).await?;
        let report = shown::to_accept(shown::known(ledger.migration(), consignment)?)?;
        let question = Question { asked: "Take the target as it is?", expected: report.to_string() };
        shown::show_and_ask(context, &state_text(ledger.migration()), &question, self.yes.as_deref())?;
        let mut build = |migration: &State| {
            let report = shown::unchanged(&report, shown::to_accept(shown::known(migration, consignment)?)?)?;
            Ok(Act::AcceptDifference { consignment, report, reason: self.reason.clone() })
        };
        let (_, ledger) = desk.act(id, &mut build, &[]).await?;
        Ok(acted(&ledger, "The difference is accepted by name."))
    }

    async fn abandon(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let (id, consignment) = self.round.find(context, &desk).await?;
        let ledger = desk.follow(id).await?;
        shown::known(ledger.migration(), consignment)?;
        let question = Question { asked: "Abandon this round?", expected: consignment.to_string() };
        shown::show_and_ask(context, &state_text(ledger.migration()), &question, self.yes.as_deref())?;
        let mut build = |_: &State| Ok(Act::Abandon { consignment, reason: self.reason.clone() });
        desk.act(id, &mut build, &[]).await?;
        let ledger = desk.follow(id).await?;
        Ok(acted(&ledger, "The round is abandoned; the server destroys its part."))
    }
}
