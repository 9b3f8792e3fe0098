//! `lazaret consignment`.

use clap::{Args, Subcommand, ValueEnum};
use desk::Desk;
use lexicon::{Code, ConsignmentId, Digest, MigrationId, Refusal, Result, Timestamp, hours_after, limits};
use passage::{Errand, Progress};
use people::Passphrase;
use procedure::{Act, Consignment as Round, Kind, Migration as State};
use serde_json::json;

use super::Context;
use super::context::acted;
use super::migration::{Which, within};
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
    /// Which sample, for a rehearsal
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// Hours that it lives at most
    #[arg(long, default_value_t = 72)]
    pub hours: i64,
}

impl Open {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let id = context.migration(&desk, self.which.migration).await?;
        let (consignment, done) = open(context, &desk, id, &self).await?;
        Ok(Done { json: json!({ "migration": id, "consignment": consignment }), ..done })
    }
}

/// Samples and what changed since are kinds that the procedure knows and this version cannot cut out of a source.
fn full_only(kind: Kind) -> Result<()> {
    if kind == Kind::Full {
        return Ok(());
    }
    let why = "this version carries full consignments only, no rehearsal and no delta";
    Err(Refusal::new(Code(1077), why, "Open a full consignment.").into())
}

/// Opens a round and names it.
pub(crate) async fn open(
    context: &Context,
    desk: &Desk,
    id: MigrationId,
    command: &Open,
) -> Result<(ConsignmentId, Done)> {
    let consignment = ConsignmentId::draw(context.entropy.as_ref())?;
    let kind = Kind::from(command.kind);
    full_only(kind)?;
    let now = desk.now()?;
    let mut build = |migration: &State| {
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
            seed: command.seed,
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
}

impl Release {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let round = self.round.find(context, &desk).await?;
        let ledger = desk.follow(round.0).await?;
        if let Some(consignment) = ledger.migration().consignment(round.1).filter(|_| !context.global.json) {
            crate::output::out(&manifest_text(consignment));
        }
        release(&desk, round, self.hours).await
    }
}

/// Releases to every key that is offered.
pub(crate) async fn release(desk: &Desk, (id, consignment): (MigrationId, ConsignmentId), hours: i64) -> Result<Done> {
    let now = desk.now()?;
    let mut build = |migration: &State| {
        let round = known(migration, consignment)?;
        let (close, _) = round.manifest.as_ref().ok_or_else(|| {
            Refusal::new(Code(1074), "the consignment is not closed", "Wait for the extraction; see `lazaret next`.")
        })?;
        Ok(Act::Release {
            consignment,
            close: *close,
            offers: round.offers.iter().map(|offer| offer.digest).collect::<Vec<Digest>>(),
            load_by: load_by(now, hours, round.deadline),
        })
    };
    let (_, ledger) = desk.act(id, &mut build, &[]).await?;
    Ok(acted(&ledger, "Released to the keys that are offered."))
}

/// One minute inside the cap: the server's clock may be behind this one.
fn load_by(now: Timestamp, hours: i64, deadline: Timestamp) -> Timestamp {
    let wanted = hours_after(now, hours).checked_sub(std::time::Duration::from_mins(1)).unwrap_or(now);
    wanted.min(deadline)
}

fn manifest_text(consignment: &Round) -> String {
    let Some((digest, manifest)) = &consignment.manifest else { return String::new() };
    let mut text = format!("Manifest {}: {} parcels\n", digest.short(), manifest.parcels.len());
    for table in &manifest.tables {
        add(
            &mut text,
            format_args!(
                "  {} → {}: {} of {} rows, {} columns taken, {} left\n",
                table.name, table.target, table.rows, table.rows_source, table.columns_taken, table.columns_left
            ),
        );
    }
    for offer in &consignment.offers {
        add(
            &mut text,
            format_args!("  offered key {} of device {}\n", offer.digest.short(), offer.device.digest().short()),
        );
    }
    text
}

fn known(migration: &State, id: ConsignmentId) -> Result<&Round> {
    migration.consignment(id).ok_or_else(|| {
        Refusal::new(
            Code(1075),
            "there is no such consignment in this migration",
            "List them with `lazaret migration show`.",
        )
        .into()
    })
}

/// An act with a reason.
#[derive(Args)]
pub(crate) struct Reasoned {
    #[command(flatten)]
    round: WhichRound,
    /// Why
    #[arg(long)]
    reason: String,
}

impl Reasoned {
    async fn accept(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let (id, consignment) = self.round.find(context, &desk).await?;
        let mut build = |migration: &State| {
            let outcome = known(migration, consignment)?.outcome.as_ref().ok_or_else(|| {
                Refusal::new(Code(1076), "there is no report yet", "Load the consignment first; see `lazaret next`.")
            })?;
            Ok(Act::AcceptDifference { consignment, report: outcome.digest, reason: self.reason.clone() })
        };
        let (_, ledger) = desk.act(id, &mut build, &[]).await?;
        Ok(acted(&ledger, "The difference is accepted by name."))
    }

    async fn abandon(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let (id, consignment) = self.round.find(context, &desk).await?;
        let mut build = |_: &State| Ok(Act::Abandon { consignment, reason: self.reason.clone() });
        desk.act(id, &mut build, &[]).await?;
        let ledger = desk.follow(id).await?;
        Ok(acted(&ledger, "The round is abandoned; the server destroys its part."))
    }
}
