//! `lazaret extract`, `load`, `reconcile`, `migrate`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use connectors::{DocumentTarget, connect_sink, connect_source};
use desk::Desk;
use lexicon::{Code, ConsignmentId, MigrationId, Refusal, Result};
use passage::{Errand, KeysInClear, LoadReport, Preview, Receiving};
use procedure::{ConsignmentStage, Differing, Kind, Manifest, Migration};
use serde_json::{Value, json};

use super::consignment::{self, KindName, WhichRound, errand};
use super::context::{acted, credential, turn, value};
use super::keys::ShowKeys;
use super::shown::{Question, show_and_ask, unchanged};
use super::{Context, counted, forecast};
use crate::output::{Bars, Done, add};

/// A database and how to sign in to it.
#[derive(Args)]
pub(crate) struct Old {
    /// The old system: `sqlite:/path`, `postgres://user@host/db`, `mariadb://user@host/db`, `csv:/folder`
    #[arg(long)]
    source: String,
    /// The file that holds its password
    #[arg(long)]
    source_credential: Option<PathBuf>,
}

/// A database and how to sign in to it.
#[derive(Args)]
pub(crate) struct New {
    /// The new system: `sqlite:/path`, `postgres://user@host/db`, `mariadb://user@host/db`
    #[arg(long)]
    target: String,
    /// The file that holds its password
    #[arg(long)]
    target_credential: Option<PathBuf>,
    /// The folder for documents that the plan names beside the new system, where there are documents
    #[arg(long)]
    documents: Option<String>,
}

/// Extract.
#[derive(Args)]
pub(crate) struct Extract {
    #[command(flatten)]
    round: WhichRound,
    #[command(flatten)]
    old: Old,
    /// The plan's digest, when what leaves was looked at before
    #[arg(long)]
    yes: Option<String>,
    #[command(flatten)]
    keys: ShowKeys,
}

impl Extract {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        let keys = self.keys.kept(context)?;
        let (desk, passphrase) = context.binding_desk()?;
        demonstration_only(&desk, &self.old.source)?;
        let round = self.round.find(context, &desk).await?;
        let preview = passage::preview(&desk, round.0, Some(round.1)).await?;
        synthetic_folders(&desk, &preview)?;
        ask(context, "Extract these?", &preview, self.yes.as_deref())?;
        let bars = Bars::new(&context.global).showing(keys);
        let errand = errand(&desk, &passphrase, round, &bars);
        let (manifest, seconds) = extracted(context, &errand, &self.old).await?;
        let done = acted(&desk.kept(round.0)?, &extract_text(&manifest, seconds));
        Ok(done.with(extract_json(round, &manifest, seconds)))
    }
}

/// Shows what will cross and asks, before the first row.
fn ask(context: &Context, asked: &str, preview: &Preview, yes: Option<&str>) -> Result<()> {
    let question = Question { asked, expected: preview.plan.to_string() };
    show_and_ask(context, &preview_text(preview), &question, yes)
}

fn preview_text(preview: &Preview) -> String {
    let Preview { source, target, share_held_by, .. } = preview;
    let recipients = preview.recipients.join(", ");
    let mut text = format!("From {source} to {target}; share held by {share_held_by}.\nRecipients: {recipients}\n");
    if preview.kind == Kind::Rehearsal {
        let (part, seed) = (procedure::percent(preview.basis_points), preview.seed);
        add(
            &mut text,
            format_args!(
                "A rehearsal: a sample of {part} of the rows below, seed {seed}. Every row in scope is read.\n"
            ),
        );
    }
    for table in &preview.tables {
        let (taken, left) = (table.taken.join(", "), table.left.join(", "));
        add(
            &mut text,
            format_args!(
                "  {} → {}: about {} rows\n    leaves: {taken}\n    stays:  {left}\n",
                table.name, table.target, table.rows
            ),
        );
        for line in &table.documents {
            add(&mut text, format_args!("    {line}\n"));
        }
    }
    for line in preview.documents.iter().flat_map(passage::PreviewDocuments::lines) {
        add(&mut text, format_args!("  {line}\n"));
    }
    text
}

async fn extracted(context: &Context, errand: &Errand<'_>, old: &Old) -> Result<(Arc<Manifest>, f64)> {
    let source = connect_source(&old.source, credential(old.source_credential.as_ref())?)?;
    let started = std::time::Instant::now();
    let manifest = passage::extract(errand, source.as_ref(), Arc::clone(&context.entropy)).await?;
    Ok((manifest, started.elapsed().as_secs_f64()))
}

fn extract_text(manifest: &Manifest, seconds: f64) -> String {
    let rows: u64 = manifest.tables.iter().map(|table| table.rows).sum();
    let (parcels, bytes) = (manifest.sealed().count(), sealed_bytes(manifest));
    let documents = counted::documents(&manifest.documents);
    format!(
        "Extracted and closed: {rows} rows{documents} in {parcels} parcels, {bytes} sealed bytes, {seconds:.1} s. The strongroom share and the consignment key are forgotten here."
    )
}

fn sealed_bytes(manifest: &Manifest) -> u64 {
    manifest.sealed().map(|parcel| parcel.bytes).sum()
}

fn extract_json((migration, consignment): (MigrationId, ConsignmentId), manifest: &Manifest, seconds: f64) -> Value {
    json!({
        "migration": migration,
        "consignment": consignment,
        "tables": value(&manifest.tables),
        "documents": value(&manifest.documents),
        "parcels": manifest.sealed().count(),
        "bytes": sealed_bytes(manifest),
        "seconds": seconds,
    })
}

/// Load or reconcile.
#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    round: WhichRound,
    #[command(flatten)]
    new: New,
    #[command(flatten)]
    keys: ShowKeys,
}

impl Load {
    pub(crate) async fn load(self, context: &Context) -> Result<Done> {
        self.step(context, false).await
    }

    pub(crate) async fn reconcile(self, context: &Context) -> Result<Done> {
        self.step(context, true).await
    }

    async fn step(self, context: &Context, again: bool) -> Result<Done> {
        let keys = self.keys.kept(context)?;
        let (desk, passphrase) = context.binding_desk()?;
        let round = self.round.find(context, &desk).await?;
        let bars = Bars::new(&context.global).showing(keys);
        let how = if again { How::Again } else { How::Load };
        let report = loaded(&errand(&desk, &passphrase, round, &bars), &self.new, how).await?;
        let ledger = desk.kept(round.0)?;
        let rehearsed = ledger.migration().consignment(round.1).filter(|round| round.kind == Kind::Rehearsal);
        let forecast = rehearsed.map(|round| passage::forecast(&ledger, Some(round.id))).transpose()?;
        let foretold = forecast.as_ref().map(|forecast| format!("\n{}", forecast::text(forecast))).unwrap_or_default();
        let mut done =
            acted(&ledger, &format!("{}{foretold}", load_text(&report, &context.keys))).with(load_json(round, &report));
        if let Some(forecast) = forecast {
            done = done.with(json!({ "forecast": forecast }));
        }
        if !report.reconciliation.equal() {
            done.status = crate::exit::MISMATCH;
        }
        Ok(done)
    }
}

enum How<'a> {
    Load,
    /// With the old system at hand.
    Beside(&'a Old),
    Again,
}

async fn loaded(errand: &Errand<'_>, new: &New, how: How<'_>) -> Result<LoadReport> {
    let sink = connect_sink(&new.target, credential(new.target_credential.as_ref())?)?;
    let documents = new.documents.as_deref().map(DocumentTarget::open).transpose()?;
    let into = Receiving { sink: sink.as_ref(), documents: documents.as_ref() };
    match how {
        How::Load => passage::load(errand, into).await,
        How::Again => passage::reconcile(errand, into).await,
        How::Beside(old) => {
            let source = connect_source(&old.source, credential(old.source_credential.as_ref())?)?;
            passage::load_beside(errand, into, source.as_ref()).await
        }
    }
}

fn load_text(report: &LoadReport, keys: &KeysInClear) -> String {
    let mut text = String::new();
    for note in &report.notes {
        add(&mut text, format_args!("Note: {note}\n"));
    }
    for table in report.reconciliation.compared() {
        let differing = table.differing.map(Differing::told).filter(|(_, keys)| *keys > 0);
        let located = differing.map(|(least, keys)| format!(", {least}{keys} keys differ")).unwrap_or_default();
        let verdict = report
            .arrived
            .broken(table)
            .map_or_else(|| "equal at S, F and T".to_owned(), |link| format!("DIFFERENT {link}{located}"));
        let what = counted::what(&report.reconciliation, table);
        add(&mut text, format_args!("  {} → {}: {} {what}, {verdict}\n", table.name, table.target, table.rows_target));
        text.push_str(&counted::nulls(table));
        let suspected = report.suspected.iter().filter(|suspected| suspected.table == table.name);
        suspected.for_each(|suspected| text.push_str(&counted::suspected(suspected)));
        for located in report.located.iter().filter(|located| located.table == table.name) {
            text.push_str(&counted::located(located, keys));
        }
    }
    text.push_str(&counted::orphans(&report.reconciliation.orphans));
    if report.located.iter().any(|located| keys.of(&located.table, &located.key).is_none()) {
        text.push_str(
            "  `lazaret reconcile --show-keys` shows the keys of these rows, on this machine's screen only.\n",
        );
    }
    let verdict = if report.reconciliation.equal() { "Loaded and equal" } else { "Loaded, and NOT equal" };
    format!("{text}{verdict}; {:.1} s to load, {:.1} s to read again and compare.", report.seconds.0, report.seconds.1)
}

fn load_json((migration, consignment): (MigrationId, ConsignmentId), report: &LoadReport) -> Value {
    let compared = report.reconciliation.compared();
    let broken = compared.filter_map(|table| Some((&table.name, report.arrived.broken(table)?)));
    json!({
        "migration": migration,
        "consignment": consignment,
        "equal": report.reconciliation.equal(),
        "different": broken.map(|(name, link)| (name.clone(), link)).collect::<BTreeMap<_, _>>(),
        "opened": report.reconciliation.opened,
        "tables": value(&report.reconciliation.tables),
        "documents": value(&report.reconciliation.documents),
        "orphans": value(&report.reconciliation.orphans),
        "located": value(&report.located),
        "suspected": value(&report.suspected),
        "notes": report.notes,
        "seconds": { "load": report.seconds.0, "reconcile": report.seconds.1 }
    })
}

/// One person with both ends.
#[derive(Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    round: WhichRound,
    #[command(flatten)]
    old: Old,
    #[command(flatten)]
    new: New,
    /// The plan's digest, when what leaves was looked at before
    #[arg(long)]
    yes: Option<String>,
    #[command(flatten)]
    keys: ShowKeys,
}

impl Migrate {
    /// Goes as far as this person can: to the release, which is another person's, and, called again, to the report.
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        let keys = self.keys.kept(context)?;
        let (desk, passphrase) = context.binding_desk()?;
        demonstration_only(&desk, &self.old.source)?;
        let bars = Bars::new(&context.global).showing(keys);
        let id = context.migration(&desk, self.round.which.migration).await?;
        let ledger = desk.follow(id).await?;
        let plan = ledger.migration().plan.as_ref();
        if !plan.is_some_and(|(_, plan, _)| plan.one_operator_both_ends) {
            let why = "the plan forbids that one person extracts and loads";
            let remedy = "Extract and load as two persons, or have an amended plan approved.";
            return Err(Refusal::new(Code(1080), why, remedy).into());
        }
        if let Some(nothing) = nothing_left(ledger.migration()) {
            return Ok(nothing);
        }
        let unequal = || ledger.migration().consignments.iter().find(|round| round.alive() && !round.settled());
        match ledger.migration().current().or_else(unequal) {
            Some(round) if matches!(round.stage, ConsignmentStage::Released | ConsignmentStage::Loaded) => {
                let (round, handed_over) =
                    ((id, round.id), round.released.as_ref().is_some_and(|of| of.share.is_some()));
                if !handed_over {
                    passage::hand_over(&errand(&desk, &passphrase, round, &passage::Quiet)).await?;
                }
                let errand = errand(&desk, &passphrase, round, &bars);
                let report = loaded(&errand, &self.new, How::Beside(&self.old)).await?;
                let mut done =
                    acted(&desk.kept(id)?, &load_text(&report, &context.keys)).with(load_json(round, &report));
                if !report.reconciliation.equal() {
                    done.status = crate::exit::MISMATCH;
                }
                Ok(done)
            }
            Some(round) if round.stage == ConsignmentStage::Closed => {
                let text = format!("Extracted and offered.\n{}", turn(ledger.migration()));
                Ok(waiting(Done::new(text, json!({ "migration": id, "consignment": round.id })), ledger.migration()))
            }
            current => self.first_half(context, (&desk, &passphrase, &bars), (id, current.map(|round| round.id))).await,
        }
    }

    async fn first_half(
        &self,
        context: &Context,
        (desk, passphrase, bars): (&Desk, &people::Passphrase, &Bars),
        (id, current): (MigrationId, Option<ConsignmentId>),
    ) -> Result<Done> {
        let preview = passage::preview(desk, id, current).await?;
        synthetic_folders(desk, &preview)?;
        ask(context, "Migrate these?", &preview, self.yes.as_deref())?;
        let consignment = if let Some(consignment) = current {
            consignment
        } else {
            let which = self.round.which.clone();
            let open = consignment::Open { which, kind: KindName::Full, percent: None, seed: None, hours: 72 };
            consignment::open(context, desk, id, &open).await?.0
        };
        // While a round is under way no plan is amended: what it is opened under stands from here on.
        let stands = desk.kept(id)?.migration().plan.as_ref().map(|(digest, _, _)| *digest);
        unchanged(&Some(preview.plan), stands)?;
        let round = (id, consignment);
        let errand = errand(desk, passphrase, round, bars);
        passage::offer(&errand).await?;
        let (manifest, seconds) = extracted(context, &errand, &self.old).await?;
        let ledger = desk.kept(id)?;
        let done = acted(&ledger, &extract_text(&manifest, seconds)).with(extract_json(round, &manifest, seconds));
        Ok(waiting(done, ledger.migration()))
    }
}

/// The release is another person's; the same command goes on after it.
fn waiting(mut done: Done, migration: &Migration) -> Done {
    done.text.push_str("\nOnce it is released, give the same command again to load.");
    done.status = crate::exit::ANOTHER_PERSON;
    done.with(json!({ "turn": migration.turn() }))
}

/// What there is to say once the round is loaded and settled, or the migration has ended: the rest is others' to do.
fn nothing_left(migration: &Migration) -> Option<Done> {
    if !migration.ending() && migration.standing().next().is_none() {
        return None;
    }
    let text = format!("There is nothing left to extract or load.\n{}", turn(migration));
    Some(Done::new(text, json!({ "migration": migration.id, "left": false, "turn": migration.turn() })))
}

/// An instance that was made as a demonstration takes what `lazaret synth` made and nothing else.
fn demonstration_only(desk: &Desk, source: &str) -> Result<()> {
    if !desk.client().card().demonstration {
        return Ok(());
    }
    let foreign = source.strip_prefix("sqlite:").is_none_or(|path| synth::is_foreign(Path::new(path)));
    if foreign { Err(takes_synthetic_only()) } else { Ok(()) }
}

/// As [`demonstration_only`], of folders of documents.
fn synthetic_folders(desk: &Desk, preview: &Preview) -> Result<()> {
    let foreign = |documents: &passage::PreviewDocuments| synth::is_foreign_folder(Path::new(&documents.report.folder));
    let refused = desk.client().card().demonstration && preview.documents.iter().any(foreign);
    if refused { Err(takes_synthetic_only()) } else { Ok(()) }
}

fn takes_synthetic_only() -> lexicon::Trouble {
    Refusal::new(
        Code(1081),
        "this server was made as a demonstration and takes synthetic sources only",
        "Make a server with `lazaret init`, without --demonstration.",
    )
    .into()
}
