use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use desk::{Desk, Round};
use lexicon::{
    Alarm, Code, ConsignmentId, Digest, MigrationId, ParcelId, Refusal, Result, Retry, Timestamp, Trouble, hours_after,
    limits,
};
use people::{OpeningKey, Passphrase};
use procedure::{Act, Consignment, EVERYTHING, Kind, Ledger, Migration, Plan, Step};
use scope::{Report, ReportDocuments, ReportTable, Scope};
use seal::{ConsignmentKey, ParcelName, Share};
use tokio::time::timeout;

use crate::locate::Names;
use crate::{Progress, Seen};

/// How often a call to a server that is away is made, with twice the wait each time: 1 s, 2 s, … 128 s between nine
/// calls, 255 s in all, longer than a restart and shorter than a lease.
const TRIES: u32 = 9;

/// How often a step looks whether its lease is over.
const LEASE_LOOKED_AT: Duration = Duration::from_secs(1);

/// Whose hands, for which consignment, with what.
pub struct Errand<'a> {
    /// This person's device.
    pub desk: &'a Desk,
    /// Opens the shares and keys kept on it.
    pub passphrase: &'a Passphrase,
    /// The migration.
    pub migration: MigrationId,
    /// The consignment.
    pub consignment: ConsignmentId,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// What will cross, from the signed bytes: shown before the first row.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Preview {
    /// What has to be typed, or given to `--yes`: the plan's digest.
    pub plan: Digest,
    /// From where.
    pub source: String,
    /// To where.
    pub target: String,
    /// Which kind of consignment.
    pub kind: Kind,
    /// Which sample, for a rehearsal.
    pub seed: u32,
    /// How much of everything, in hundredths of a percent.
    pub basis_points: u32,
    /// What.
    pub tables: Vec<PreviewTable>,
    /// Which documents.
    pub documents: Vec<PreviewDocuments>,
    /// Who receives it, by the instruction.
    pub recipients: Vec<String>,
    /// Whether the laboratory share is held by the controller's own device.
    pub share_held_by: String,
}

/// One table of a preview.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PreviewTable {
    /// In the old system.
    pub name: String,
    /// In the new one.
    pub target: String,
    /// Rows that the approved report counted in scope.
    pub rows: u64,
    /// Columns that leave.
    pub taken: Vec<String>,
    /// Columns that stay.
    pub left: Vec<String>,
    /// What is told of documents in its columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
}

/// One folder of documents of a preview: what the approved report counted, with the sentence that it tells.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PreviewDocuments {
    /// As the report says it.
    #[serde(flatten)]
    pub report: ReportDocuments,
    /// The folder's name in the target's folder for documents.
    pub target: String,
    /// Why whole documents have to move.
    pub reason: String,
}

impl PreviewDocuments {
    /// As people read it, on a screen or on a page.
    pub fn lines(&self) -> Vec<String> {
        let ReportDocuments { name, folder, kinds, stays, missing, sentence } = &self.report;
        let mut lines = vec![format!("documents {name}: {folder} → {}", self.target)];
        lines.extend(
            kinds.iter().map(|(kind, count)| format!("  {kind}: {} documents, {} bytes", count.documents, count.bytes)),
        );
        lines.extend(stays.iter().map(|(unfit, count)| format!("  stays: {count} {}", unfit.words())));
        if *missing > 0 {
            lines.push(format!("  not there: {missing} that rows in scope name"));
        }
        lines.push(format!("  {sentence}"));
        lines.push(format!("  reason: {}", self.reason));
        lines
    }
}

/// What the plan that stands would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Of tables.
    pub tables: Vec<PreviewTable>,
    /// Of folders of documents.
    pub documents: Vec<PreviewDocuments>,
}

/// Plan, scope and report as they were signed.
pub(crate) struct Papers {
    pub plan: Plan,
    pub plan_digest: Digest,
    pub scope: Arc<Scope>,
    pub report: Report,
}

pub(crate) async fn papers(desk: &Desk, migration: MigrationId, ledger: &Ledger) -> Result<Papers> {
    let (plan_digest, plan, _) = ledger.migration().plan.clone().ok_or_else(|| {
        Refusal::new(Code(601), "there is no plan yet", "Propose one with `lazaret migration propose`.")
    })?;
    let text = String::from_utf8(desk.document(migration, plan.scope).await?).map_err(|_| unreadable("scope"))?;
    let scope = Scope::parse(&text)?;
    scope.ready()?;
    let envelope: people::Envelope = serde_json::from_slice(&desk.document(migration, plan.report).await?)
        .map_err(|_| unreadable("scope report"))?;
    let (_, roster) = desk.people().await?;
    let (signer, report): (_, Report) = roster.open(&envelope, people::PayloadType::Statement, desk.now()?)?;
    if plan.side(&signer.root()) != Some(procedure::Side::Controller) {
        return Err(Refusal::new(
            Code(616),
            "the scope report is not signed by a person of the laboratory",
            "Have the laboratory check the scope and propose the plan anew.",
        )
        .into());
    }
    let same_source = report.source == plan.source.identity && report.schema == plan.source.schema;
    if report.scope != scope.digest()? || !same_source {
        return Err(Refusal::new(
            Code(602),
            "the scope report is of another scope, source or schema than the plan's",
            "Check the scope again and propose the plan anew.",
        )
        .into());
    }
    report.check(&scope)?;
    if !scope.documents().is_empty()
        && let Some(target) = plan.targets.iter().find(|target| target.documents.is_none())
    {
        return Err(Refusal::new(
            Code(645),
            format!("the scope has documents, and the plan names no folder for them beside {}", target.identity),
            "Write `documents = \"folder:/path\"` in each target of the plan file, and propose it again.",
        )
        .into());
    }
    Ok(Papers { plan, plan_digest, scope: Arc::new(scope), report })
}

fn unreadable(what: &str) -> Refusal {
    Refusal::new(
        Code(603),
        format!("the plan's {what} does not parse"),
        "Propose the plan again with a document of this version.",
    )
}

/// What the plan that stands would take, from the signed bytes, once its papers are seen to belong together: the report is
/// a laboratory person's, of this scope, this source and this schema.
///
/// # Errors
/// A refusal that says which paper does not belong.
pub async fn check_papers(desk: &Desk, migration: MigrationId, ledger: &Ledger) -> Result<Taken> {
    let papers = papers(desk, migration, ledger).await?;
    Ok(Taken { tables: preview_tables(&papers), documents: preview_documents(&papers) })
}

/// The report was held against the scope: its folders are the scope's, in its order.
fn preview_documents(papers: &Papers) -> Vec<PreviewDocuments> {
    let parts = papers.report.documents.iter().zip(papers.scope.documents());
    let documents = parts.map(|(report, part)| PreviewDocuments {
        report: report.clone(),
        target: part.target.clone(),
        reason: part.reason.clone().unwrap_or_default(),
    });
    documents.collect()
}

fn preview_tables(papers: &Papers) -> Vec<PreviewTable> {
    let lines: HashMap<&str, &ReportTable> =
        papers.report.tables.iter().map(|line| (line.name.as_str(), line)).collect();
    let tables = papers.scope.tables().iter().map(|table| {
        let line = lines.get(table.name.as_str()).copied();
        PreviewTable {
            name: table.name.clone(),
            target: table.target.clone(),
            rows: line.map_or(0, |line| line.rows_in_scope),
            taken: table.take.iter().map(|take| take.column.clone()).collect(),
            left: table.leave.clone(),
            documents: line.map(scope::ReportTable::documents_lines).unwrap_or_default(),
        }
    });
    tables.collect()
}

/// What a consignment would take, from the signed bytes; without one, what a full round would that is yet to be opened.
///
/// # Errors
/// A refusal when there is no plan, no such consignment, or no target for a full round.
pub async fn preview(desk: &Desk, migration: MigrationId, consignment: Option<ConsignmentId>) -> Result<Preview> {
    let ledger = desk.follow(migration).await?;
    let papers = papers(desk, migration, &ledger).await?;
    let (kind, target, seed, basis_points) = if let Some(consignment) = consignment {
        let round = known(ledger.migration(), consignment)?;
        (round.kind, round.target.clone(), round.seed, round.basis_points)
    } else {
        let target = papers.plan.target(Kind::Full).ok_or_else(|| {
            Refusal::new(Code(650), "the plan names no target for a full round", "Have an amended plan approved.")
        })?;
        (Kind::Full, target.identity.clone(), 0, EVERYTHING)
    };
    let own = papers.plan.side(&desk.me().root) == Some(procedure::Side::Controller);
    Ok(Preview {
        plan: papers.plan_digest,
        source: papers.plan.source.identity.clone(),
        target,
        kind,
        seed,
        basis_points,
        tables: preview_tables(&papers),
        documents: preview_documents(&papers),
        recipients: papers.plan.instruction.recipients.clone(),
        share_held_by: if own { "the laboratory" } else { "the vendor: the laboratory share was held by the vendor" }
            .to_owned(),
    })
}

pub(crate) fn known(migration: &Migration, id: ConsignmentId) -> Result<&Consignment> {
    migration.consignment(id).ok_or_else(|| {
        Refusal::new(
            Code(604),
            "there is no such consignment in this migration",
            "List them with `lazaret migration show`.",
        )
        .into()
    })
}

impl Errand<'_> {
    pub(crate) fn round(&self) -> Round {
        Round { migration: self.migration, consignment: self.consignment }
    }

    pub(crate) fn name(&self, attempt: u32, parcel: ParcelId, table: &str, sequence: u32) -> ParcelName {
        let (migration, consignment) = (self.migration, self.consignment);
        ParcelName { migration, consignment, attempt, parcel, table: table.to_owned(), sequence }
    }

    /// What names the rows of the consignment on this machine.
    pub(crate) fn names(&self, key: &ConsignmentKey) -> Result<Names> {
        Ok(Names { secret: key.fingerprint_keys(self.consignment)?, shown: self.progress.keys() })
    }

    /// Makes a step a fact and comes back with the strongroom share, opened with a key that exists in this call only.
    pub(crate) async fn begin(&self, step: Step) -> Result<(Begun, Ledger, Share)> {
        let key = OpeningKey::draw();
        self.give_up_interrupted().await?;
        let now = self.desk.now()?;
        let mut begun = Begun { step, attempt: 0, lease: now };
        let mut build = |migration: &procedure::Migration| {
            let consignment = known(migration, self.consignment)?;
            // One minute less than the most allowed: the server's clock may be behind.
            let lease = hours_after(now, limits::LEASE_HOURS)
                .checked_sub(jiff_minute())
                .unwrap_or(now)
                .min(consignment.deadline);
            let attempt = consignment.next_attempt();
            begun = Begun { step, attempt, lease };
            let (consignment, key, clear_swap) = (self.consignment, key.recipient(), self.desk.clear_swap());
            Ok(Act::Begin { consignment, step, attempt, lease, key, clear_swap })
        };
        let (submitted, ledger) = self.desk.act(self.migration, &mut build, &[]).await?;
        let sealed = submitted.share.and_then(|text| STANDARD.decode(text).ok());
        let sealed =
            sealed.ok_or_else(|| Alarm::new(Code(605), "the server recorded a begin and gave no strongroom share"))?;
        let share = Share::take(&key.open(&sealed)?)?;
        if share.digest() != known(ledger.migration(), self.consignment)?.strongroom_share {
            return Err(
                Alarm::new(Code(606), "the server gave another strongroom share than the one it committed to").into()
            );
        }
        Ok((begun, ledger, share))
    }

    /// An attempt of this very device that still counts as running was cut: say so before beginning again.
    async fn give_up_interrupted(&self) -> Result<()> {
        let ledger = self.desk.follow(self.migration).await?;
        let device = self.desk.me().device.key;
        let running = known(ledger.migration(), self.consignment)?
            .last_attempt()
            .filter(|attempt| attempt.running && attempt.device == device);
        if let Some(attempt) = running {
            self.failed(attempt.step, attempt.number, Code(607)).await?;
        }
        Ok(())
    }

    /// Says that an attempt gave up.
    pub(crate) async fn failed(&self, step: Step, attempt: u32, code: Code) -> Result<()> {
        let mut build =
            |_: &procedure::Migration| Ok(Act::Failed { consignment: self.consignment, step, attempt, code: code.0 });
        self.desk.act(self.migration, &mut build, &[]).await.map(|_| ())
    }

    /// Runs the body of a step, within its lease; when it fails, says so in the journal and gives the first trouble back.
    pub(crate) async fn within<T>(&self, begun: Begun, body: impl Future<Output = Result<T>>) -> Result<T> {
        let Begun { step, attempt, lease } = begun;
        let ended = tokio::select! {
            // What is through at the last moment is through.
            biased;
            ended = body => ended,
            over = self.over(lease) => Err(over.into()),
        };
        match ended {
            Ok(value) => Ok(value),
            Err(trouble) => {
                let said = self.failed(step, attempt, trouble.code()).await;
                if let Err(also) = said {
                    self.progress.seen(Seen::Waiting { why: format!("the failure could not be journalled: {also}") });
                }
                Err(trouble)
            }
        }
    }

    /// Comes back when the lease is over. What a certificate says of the time at which nobody holds a share any more rests on
    /// it: a step that asks the server nothing for hours ends then too, and forgets the key. The clock is looked at again and
    /// again, for a machine that slept is late all the same; and so is one whose clock was set back, by the time that went by.
    async fn over(&self, lease: Timestamp) -> Refusal {
        let by_the_clock = async {
            while self.desk.now_at_least() < lease {
                tokio::time::sleep(LEASE_LOOKED_AT).await;
            }
        };
        let left = lease.duration_since(self.desk.now_at_least()).try_into().unwrap_or_default();
        // Whichever comes first.
        timeout(left, by_the_clock).await.unwrap_or_default();
        Refusal::new(
            Code(652),
            "the attempt outlived its lease: six hours at most, and not beyond the consignment's deadline",
            "Give the command again. If that cannot come to its end within six hours either, move fewer tables in a round. After the deadline, open another consignment.",
        )
    }

    pub(crate) fn key(
        laboratory: &Share,
        strongroom: &Share,
        consignment: &Consignment,
    ) -> Result<Arc<ConsignmentKey>> {
        Ok(Arc::new(ConsignmentKey::derive(laboratory, strongroom, consignment.opened)?))
    }

    pub(crate) async fn put(&self, attempt: u32, parcel: ParcelId, bytes: Bytes, digest: Digest) -> Result<()> {
        let (client, keeper, place) = (self.desk.client(), self.desk.keeper(), (attempt, parcel));
        let put = || client.put_parcel(keeper, self.migration, self.consignment, place, (bytes.clone(), digest));
        self.patiently(put).await.map(drop)
    }

    /// Makes a call again while the environment says that trying makes sense. The parcel in hand is kept meanwhile, so
    /// that a cut upload costs no second reading of the source.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        let mut wait = Duration::from_secs(1);
        for _ in 1..TRIES {
            match call().await {
                Err(Trouble::Fault(fault)) if fault.retry != Retry::Never => {
                    self.progress.seen(Seen::Waiting { why: fault.to_string() });
                    tokio::time::sleep(wait).await;
                    wait = wait.saturating_mul(2);
                }
                answer => return answer,
            }
        }
        call().await
    }
}

/// An attempt that is a fact, and until when it may hold the strongroom share.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) step: Step,
    pub(crate) attempt: u32,
    pub(crate) lease: Timestamp,
}

fn jiff_minute() -> std::time::Duration {
    std::time::Duration::from_mins(1)
}
