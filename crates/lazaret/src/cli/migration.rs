//! `lazaret migration`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lexicon::{Code, Digest, MigrationId, Refusal, Result, Timestamp, hours_after};
use people::Root;
use procedure::{Act, Kind, Migration as State, Plan, PlanParty, Side};
use serde_json::json;
use zeroize::Zeroizing;

use super::context::{acted, confirm, turn, value};
use super::shown::{self, Question, shown_first};
use super::sign_off::SignOff;
use super::{Context, counted, plan_file};
use crate::files;
use crate::output::{Done, add};

/// Migrations.
#[derive(Subcommand)]
pub(crate) enum Migration {
    /// Begin one, between a laboratory and a vendor
    Open(Open),
    /// Propose a plan; amending voids the approvals
    Propose(Propose),
    /// Show the plan from the bytes that are signed, and approve them
    Approve(Approve),
    /// Show where it stands
    Show(Which),
    /// Move the deadline forward
    Extend(Extend),
    /// Stop releases and hand-overs
    Freeze(Reasoned),
    /// One of the two voices that end a freeze
    Thaw(Reasoned),
    /// End it without carrying it out; everything is destroyed
    Cancel(Cancel),
    /// Say that the laboratory has what it wanted in the new system; everything is destroyed
    SignOff(SignOff),
    /// Destroy what this device holds of rounds that have ended, and state so
    Destroy(Destroy),
}

/// Which migration.
#[derive(Args, Clone)]
pub(crate) struct Which {
    /// The migration; not needed when there is only one
    #[arg(long)]
    pub migration: Option<MigrationId>,
}

/// An act with a reason.
#[derive(Args)]
pub(crate) struct Reasoned {
    #[command(flatten)]
    which: Which,
    /// Why
    #[arg(long)]
    reason: String,
}

impl Migration {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Open(command) => command.run(context).await,
            Self::Propose(command) => command.run(context).await,
            Self::Approve(command) => command.run(context).await,
            Self::Show(command) => show(context, &command).await,
            Self::Extend(command) => command.run(context).await,
            Self::Freeze(Reasoned { which, reason }) => {
                simple(
                    context,
                    &which,
                    Act::Freeze { reason },
                    "The migration is frozen: nothing is released or handed over.",
                )
                .await
            }
            Self::Thaw(Reasoned { which, reason }) => {
                simple(context, &which, Act::Thaw { reason }, "Your voice to thaw is recorded.").await
            }
            Self::Cancel(command) => command.run(context).await,
            Self::SignOff(command) => command.run(context).await,
            Self::Destroy(command) => command.run(context).await,
        }
    }
}

async fn simple(context: &Context, which: &Which, act: Act, what: &str) -> Result<Done> {
    // A freeze only stops: in an emergency an unlocked key does it without a passphrase.
    let desk = if desk::is_binding(&act) { context.binding_desk()?.0 } else { context.desk()? };
    let id = context.migration(&desk, which.migration).await?;
    let (_, ledger) = desk.act(id, &mut |_: &State| Ok(act.clone()), &[]).await?;
    Ok(acted(&ledger, what))
}

/// Begin one.
#[derive(Args)]
pub(crate) struct Open {
    /// The laboratory's root
    #[arg(long)]
    controller: PathBuf,
    /// The vendor's root; several for several
    #[arg(long, required = true)]
    processor: Vec<PathBuf>,
}

impl Open {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let party = |path: &PathBuf, side| {
            let root: Root = files::json(path)?;
            Ok::<_, lexicon::Trouble>(PlanParty { root: root.id(), organisation: root.organisation, side })
        };
        let mut parties = vec![party(&self.controller, Side::Controller)?];
        for path in &self.processor {
            parties.push(party(path, Side::Processor)?);
        }
        let id = MigrationId::draw(context.entropy.as_ref())?;
        let (_, ledger) = desk.act(id, &mut |_: &State| Ok(Act::Open { parties: parties.clone() }), &[]).await?;
        Ok(acted(&ledger, &format!("Migration {id} is open.")))
    }
}

/// Propose a plan.
#[derive(Args)]
pub(crate) struct Propose {
    #[command(flatten)]
    which: Which,
    /// The plan file
    #[arg(long)]
    plan: PathBuf,
}

impl Propose {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let id = context.migration(&desk, self.which.migration).await?;
        let ledger = desk.follow(id).await?;
        let proposal = plan_file::read(&self.plan, id, ledger.migration(), context.now())?;
        let text =
            String::from_utf8_lossy(proposal.documents.first().map(Vec::as_slice).unwrap_or_default()).into_owned();
        scope::Scope::parse(&text)?.ready()?;
        for document in &proposal.documents {
            desk.home().keep_document(id, document)?;
        }
        let digest = proposal.plan.digest()?;
        let plan = Box::new(proposal.plan);
        let (_, ledger) =
            desk.act(id, &mut |_: &State| Ok(Act::Propose { plan: plan.clone() }), &proposal.documents).await?;
        let mut done = acted(&ledger, &format!("Plan {} of migration {id} stands: {digest}.", plan.serial));
        done.json = json!({ "migration": id, "plan": digest, "turn": ledger.migration().turn() });
        Ok(done)
    }
}

/// Approve the plan.
#[derive(Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    which: Which,
    /// The plan's digest, when it was read before
    #[arg(long)]
    yes: Option<String>,
}

impl Approve {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let id = context.migration(&desk, self.which.migration).await?;
        let ledger = desk.follow(id).await?;
        let (digest, plan, _) = ledger.migration().plan.clone().ok_or_else(|| {
            Refusal::new(Code(1060), "there is no plan to approve", "Wait until one is proposed; see `lazaret next`.")
        })?;
        let text = String::from_utf8(desk.document(id, plan.scope).await?)
            .map_err(|_| Refusal::new(Code(1061), "the plan's scope is not text", "Have the plan proposed again."))?;
        let taken = passage::check_papers(&desk, id, &ledger).await?;
        shown_first(context, self.yes.as_deref())?;
        if !context.global.json {
            crate::output::out(&plan_text(&plan, digest, &text));
            for table in &taken.tables {
                crate::output::out(&format!("  {} → {}: {} rows in scope", table.name, table.target, table.rows));
                table.documents.iter().for_each(|line| crate::output::out(&format!("    {line}")));
            }
            for line in taken.documents.iter().flat_map(passage::PreviewDocuments::lines) {
                crate::output::out(&format!("  {line}"));
            }
        }
        confirm("Approve these bytes?", &digest.to_string(), self.yes.as_deref())?;
        let (_, ledger) = desk.act(id, &mut |_: &State| Ok(Act::Approve { plan: digest }), &[]).await?;
        Ok(acted(&ledger, &format!("You approved plan {digest}.")))
    }
}

/// The plan in words, from the bytes that are approved.
fn plan_text(plan: &Plan, digest: Digest, scope: &str) -> String {
    let mut text = format!("Plan {} of migration {}, digest {digest}\n", plan.serial, plan.migration);
    let instruction = &plan.instruction;
    let mut line = |name: &str, what: String| {
        add(&mut text, format_args!("  {name:18} {what}\n"));
    };
    for party in &plan.parties {
        line(
            if party.side == Side::Controller { "controller" } else { "processor" },
            format!("{} (root {})", party.organisation, party.root.short()),
        );
    }
    instruction_lines(instruction, &mut line);
    line("from", format!("{}{}", plan.source.identity, if plan.source.live { " (live)" } else { " (frozen)" }));
    for target in &plan.targets {
        line("to", format!("{} for {:?}", target.identity, target.kinds));
        if let Some(folder) = &target.documents {
            line("documents to", folder.clone());
        }
    }
    for allowed in &plan.allowed {
        line("allowed", format!("{} × {:?}, {} hours each", allowed.count_max, allowed.kind, allowed.hours_max));
    }
    line("extracting", plan.extracting.iter().map(|key| key.digest().short()).collect::<Vec<_>>().join(", "));
    line("loading", plan.loading.iter().map(|key| key.digest().short()).collect::<Vec<_>>().join(", "));
    line(
        "one person",
        if plan.one_operator_both_ends { "may extract and load" } else { "may not extract and load" }.to_owned(),
    );
    line("deadline", format!("{}, never beyond {}", plan.deadline, plan.extension_cap));
    line("key ring", plan.key_ring.clone());
    line("scope report", plan.report.to_string());
    format!("{text}Scope {}:\n{scope}", plan.scope)
}

/// Every item of the instruction that is approved with the plan.
fn instruction_lines(instruction: &procedure::Instruction, line: &mut impl FnMut(&str, String)) {
    let party = |party: &procedure::Party| format!("{}, {}", party.name, party.contact);
    line("controller is", party(&instruction.controller));
    line("processor is", party(&instruction.processor));
    line("purpose", instruction.purpose.clone());
    line("nature", instruction.nature.clone());
    line("duration", instruction.duration.clone());
    line("data", instruction.data.join(", "));
    line("persons", instruction.persons.join(", "));
    line("recipients", instruction.recipients.join(", "));
    line("sub-processors", instruction.sub_processors.join(", "));
    let clauses = &instruction.clauses;
    let places = [&clauses.a, &clauses.b, &clauses.c, &clauses.d, &clauses.e, &clauses.f, &clauses.g, &clauses.h];
    let places = "abcdefgh".chars().zip(places).map(|(item, clause)| format!("({item}) {}", clause.place));
    line("art. 28(3)", places.collect::<Vec<_>>().join(", "));
    let contract = instruction.contract.digest.map(|digest| digest.short()).unwrap_or_default();
    line("contract", format!("{contract}, signed by {}", instruction.contract.signatory));
    line("assessment", instruction.dpia.as_ref().map(|dpia| format!("{dpia:?}")).unwrap_or_default());
    line("at the end", instruction.ending.map(|ending| format!("{ending:?}")).unwrap_or_default());
    line("other channels", if instruction.no_other_channel { "none" } else { "not excluded" }.to_owned());
}

/// Where it stands, in words.
pub(crate) fn state_text(migration: &State) -> String {
    let mut text = format!("Migration {}: {:?}, {} facts\n", migration.id, migration.stage, migration.facts);
    let mut line = |what: String| add(&mut text, format_args!("  {what}\n"));
    if let Some((digest, plan, _)) = &migration.plan {
        line(format!("plan {} {}", plan.serial, digest.short()));
    }
    for approval in &migration.approvals {
        line(format!("approved by {} (fact {})", approval.name, approval.fact));
    }
    if let Some(deadline) = migration.deadline {
        line(format!("deadline {}", deadline.at));
    }
    if let Some(frozen) = &migration.frozen {
        line(format!("FROZEN: {}", frozen.reason));
    }
    for consignment in &migration.consignments {
        let rows = consignment
            .manifest
            .as_ref()
            .map_or(0, |(_, manifest)| manifest.tables.iter().map(|table| table.rows).sum());
        let ending = consignment.ending.map(|ending| format!(", {ending:?}")).unwrap_or_default();
        line(format!(
            "{:?} consignment {}: {:?}{ending}, {rows} rows, until {}",
            consignment.kind, consignment.id, consignment.stage, consignment.deadline
        ));
        if consignment.kind == Kind::Rehearsal {
            let part = procedure::percent(consignment.basis_points);
            line(format!("  a sample of {part} of the rows in scope, seed {}", consignment.seed));
        }
        for device in &consignment.clear_swap {
            line(format!("  device {}: its machine may write memory in clear to its swap", device.digest().short()));
        }
        if let Some(outcome) = &consignment.outcome {
            for table in outcome.reconciliation.compared() {
                let broken = outcome.arrived.broken(table);
                let verdict =
                    broken.map_or_else(|| "equal at S, F and T".to_owned(), |link| format!("DIFFERENT {link}"));
                let (what, rows) = (counted::what(&outcome.reconciliation, table), table.rows_target);
                line(format!("  {} → {}: {rows} {what}, {verdict}", table.name, table.target));
                counted::nulls(table).lines().for_each(|counted| line(counted.to_owned()));
            }
            line(format!("  report {}", outcome.digest));
            counted::orphans(&outcome.reconciliation.orphans).lines().for_each(|counted| line(counted.to_owned()));
        }
    }
    if let Some(certificate) = migration.certificate {
        line(format!("certificate of destruction {certificate}"));
    }
    text
}

async fn show(context: &Context, which: &Which) -> Result<Done> {
    let desk = context.desk()?;
    let id = context.migration(&desk, which.migration).await?;
    let ledger = desk.follow(id).await?;
    let migration = ledger.migration();
    Ok(Done::new(
        format!("{}{}", state_text(migration), turn(migration)),
        json!({ "migration": value(migration), "turn": migration.turn(), "confirm": shown::to_confirm(migration)? }),
    ))
}

/// Cancel it.
#[derive(Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    reasoned: Reasoned,
    /// The migration's id, when where it stands was looked at before
    #[arg(long)]
    yes: Option<String>,
}

impl Cancel {
    async fn run(self, context: &Context) -> Result<Done> {
        let (desk, _) = context.binding_desk()?;
        let Reasoned { which, reason } = self.reasoned;
        let id = context.migration(&desk, which.migration).await?;
        let ledger = desk.follow(id).await?;
        let question = Question { asked: "Cancel this migration?", expected: id.to_string() };
        shown::show_and_ask(context, &state_text(ledger.migration()), &question, self.yes.as_deref())?;
        let (_, ledger) = desk.act(id, &mut |_: &State| Ok(Act::Cancel { reason: reason.clone() }), &[]).await?;
        Ok(acted(&ledger, "The migration is cancelled; the server destroys its part."))
    }
}

/// Extend the deadline.
#[derive(Args)]
pub(crate) struct Extend {
    #[command(flatten)]
    which: Which,
    /// Until when
    #[arg(long)]
    until: Timestamp,
    /// Why
    #[arg(long)]
    reason: String,
}

impl Extend {
    async fn run(self, context: &Context) -> Result<Done> {
        let act = Act::Extend { until: self.until, reason: self.reason };
        simple(context, &self.which, act, &format!("Everything lives until {} at the latest.", self.until)).await
    }
}

/// Destroy this device's part.
#[derive(Args)]
pub(crate) struct Destroy {
    #[command(flatten)]
    which: Which,
    /// Also try the bytes of these files in the probe, `-` for standard input: a copy of the server's registry, or the
    /// share that somebody took out of one
    #[arg(long)]
    try_with: Vec<PathBuf>,
    /// Only ask and try, and destroy nothing
    #[arg(long)]
    pub(super) only_probe: bool,
    /// Only what is past its deadline, of every migration; asks for no passphrase and no server: for a timer
    #[arg(long, conflicts_with_all = ["migration", "try_with", "only_probe"])]
    pub(super) due: bool,
}

impl Destroy {
    async fn run(self, context: &Context) -> Result<Done> {
        if self.due {
            return super::overdue::run(context);
        }
        let (desk, passphrase) = context.binding_desk()?;
        let id = match self.which.migration {
            Some(id) => id,
            None => context.migration(&desk, None).await?,
        };
        let given = |path: &PathBuf| if path == Path::new("-") { files::standard_input() } else { files::read(path) };
        let more = Zeroizing::new(self.try_with.iter().map(given).collect::<Result<Vec<_>>>()?);
        if self.only_probe {
            return only_probe(&desk, &passphrase, id, &more).await;
        }
        let reports = passage::destroy_part(&desk, &passphrase, id, &more).await?;
        let mut text = String::new();
        for report in &reports {
            add(
                &mut text,
                format_args!("Consignment {}: {} keys destroyed on this device.\n", report.consignment, report.keys),
            );
            if let Some(probe) = &report.probe {
                let verdict = if probe.opened { "A PARCEL OPENED" } else { "nothing opened" };
                add(
                    &mut text,
                    format_args!(
                        "  Probe before that: {} combinations tried, {verdict}; the server said: {}\n",
                        probe.tried, probe.server
                    ),
                );
            }
            if !report.stated {
                add(&mut text, format_args!("  The server could not be told; run this again when it is back.\n"));
            }
        }
        if reports.is_empty() {
            text.push_str("This device holds nothing of a round that has ended.\n");
        }
        let ledger = desk.kept(id)?;
        text.push_str(&turn(ledger.migration()));
        let opened = reports.iter().any(|report| report.probe.as_ref().is_some_and(|probe| probe.opened));
        let untold = reports.iter().any(|report| !report.stated);
        let status = match (opened, untold) {
            (true, _) => crate::exit::MISMATCH,
            (false, true) => crate::exit::RETRY,
            (false, false) => crate::exit::OK,
        };
        let json = json!({ "migration": id, "destroyed": reports, "turn": ledger.migration().turn() });
        Ok(Done { status, ..Done::new(text, json) })
    }
}

/// Asks the server and tries what this device holds, for every round that was loaded here.
async fn only_probe(
    desk: &desk::Desk,
    passphrase: &people::Passphrase,
    id: MigrationId,
    more: &[Vec<u8>],
) -> Result<Done> {
    let ledger = desk.follow(id).await?;
    let mut probes = Vec::new();
    for round in &ledger.migration().consignments {
        let errand =
            passage::Errand { desk, passphrase, migration: id, consignment: round.id, progress: &passage::Quiet };
        if desk.home().gone(desk::Round { migration: id, consignment: round.id })?.is_none()
            && let Some(probe) = passage::probe(&errand, more).await?
        {
            probes.push((round.id, probe));
        }
    }
    let mut text = String::new();
    for (round, probe) in &probes {
        let verdict = if probe.opened { "a parcel opened" } else { "nothing opened" };
        add(
            &mut text,
            format_args!("Consignment {round}: {} tried, {verdict}; the server said: {}\n", probe.tried, probe.server),
        );
    }
    let json: Vec<_> = probes.iter().map(|(round, probe)| json!({ "consignment": round, "probe": probe })).collect();
    text.push_str(&turn(ledger.migration()));
    Ok(Done::new(text, json!({ "migration": id, "probes": json, "turn": ledger.migration().turn() })))
}

/// A deadline some hours from now, not after the migration's.
pub(crate) fn within(migration: &State, now: Timestamp, hours: i64) -> Timestamp {
    let wanted = hours_after(now, hours);
    migration.deadline.map_or(wanted, |deadline| wanted.min(deadline.at))
}
