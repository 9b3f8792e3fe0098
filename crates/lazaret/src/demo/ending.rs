//! The end: destruction, evidence, the search, and what was proved.

use lexicon::{Result, canonical};
use serde_json::Value;
use synth::Made;

use super::cast::{CONTROLLER, LABORATORY, OPERATOR, RECIPIENT, VENDOR};
use super::child::{Commands, field, text as said_text};
use super::copy::{self, Round, Tried};
use super::figures::{bytes, count, of};
use super::ground::{CERTIFICATE, EVIDENCE, Ground, RING_COPY, SERVER, SERVER_COPY};
use super::opening::{Approved, blocking, public};
use super::passing::Passed;
use super::report::{Journal, Report, folders, page, tables};
use super::search::{Looked, look};
use super::serving::Serving;
use crate::cli::Context;
use crate::files;

/// What was left of the migration when it was over.
pub(super) struct Ended {
    /// What the recipient and the copy of the server came to afterwards.
    after: Tried,
    stage: String,
    journal: Journal,
    failed: Vec<String>,
}

/// Sign-off, the destruction of each part, then the evidence, verified with the server down.
pub(super) async fn destruction(
    context: &Context,
    commands: &Commands,
    serving: Serving,
    round: Round,
) -> Result<Ended> {
    commands.tell.stage("Sign-off and destruction");
    let yes = commands.to_confirm("sign_off").await?;
    commands.person(&CONTROLLER, &["migration", "sign-off", "--history", "target", "--yes", &yes]).await?;
    commands
        .tell
        .acted(&format!("{} signs off; the server destroys its ring key and its parcels", CONTROLLER.introduced()));
    let left = commands.ground.objects(SERVER)?;
    let copied = commands.ground.objects(SERVER_COPY)?;
    commands.tell.happened(&format!(
        "On the server's shelf: {}; in the copy of it: {}.",
        of(left, "object"),
        count(copied)
    ));
    let after = copy::recipient_destroys(context, commands, round).await?;
    commands.person(&OPERATOR, &["migration", "destroy"]).await?;
    commands.tell.acted(&format!("{} destroys the laboratory share", OPERATOR.introduced()));
    commands
        .tell
        .proved("each part is stated by whoever destroyed it, and by nobody else; no absence of copies is proved");

    commands.tell.stage("The evidence, without the server");
    commands.person(&CONTROLLER, &["evidence", "export", "--out", EVIDENCE]).await?;
    serving.stop().await?;
    let (laboratory, vendor) = (public(LABORATORY), public(VENDOR));
    let said = commands
        .anybody(&[
            "evidence",
            "verify",
            EVIDENCE,
            "--trust",
            &laboratory,
            "--trust",
            &vendor,
            "--server",
            "server/card.json",
        ])
        .await?;
    let verdict: Value = field(&said, "verdict")?;
    let journal = commands.server(&["journal", "verify", "--data", SERVER]).await?;
    let journal = Journal { size: field(&journal, "size")?, root: field(&journal, "root")? };
    let mut failed = evidence_told(commands, &verdict, &journal)?;
    if left > 0 || copied == 0 {
        failed.push(format!("{left} objects are left on the server's shelf, of {copied} that lay there"));
    }
    keep_certificate(commands)?;
    Ok(Ended { after, stage: said_text(&verdict, "stage")?.to_owned(), journal, failed })
}

fn evidence_told(commands: &Commands, verdict: &Value, journal: &Journal) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    for (name, what) in [
        ("established", "the evidence does not rest on the roots of both organisations"),
        ("server_pinned", "the evidence does not rest on the server's card"),
        ("certificate_complete", "the certificate of destruction is not complete"),
        ("demonstration", "the evidence does not say that it is a demonstration"),
    ] {
        if !field::<bool>(verdict, name)? {
            failed.push(what.to_owned());
        }
    }
    failed.extend(field::<Vec<String>>(verdict, "missing")?);
    let statements: Vec<Value> = field(verdict, "statements")?;
    let mut by_strength: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for statement in &statements {
        let number = by_strength.entry(said_text(statement, "strength")?.replace('_', " ")).or_insert(0);
        *number = number.saturating_add(1);
    }
    let sorted: Vec<String> = by_strength.iter().map(|(strength, number)| format!("{number} {strength}")).collect();
    commands.tell.happened(&format!(
        "The server is down. {} replayed from their signatures alone; journal of {} leaves, every hash recomputed.",
        of(field(verdict, "facts")?, "fact"),
        count(journal.size)
    ));
    commands.tell.happened(&format!(
        "{}: {}.",
        of(u64::try_from(statements.len()).unwrap_or(0), "statement"),
        sorted.join(", ")
    ));
    commands.tell.proved("anybody with the two roots can do this, with the file alone");
    Ok(failed)
}

/// The signed certificate as a file of its own; it stands in the pack as well.
fn keep_certificate(commands: &Commands) -> Result<()> {
    let pack = evidence::read(&files::read(&commands.ground.path(EVIDENCE))?)?;
    match pack.certificate {
        Some(certificate) => files::write_new(&commands.ground.path(CERTIFICATE), &canonical(&certificate)?),
        None => Ok(()),
    }
}

/// Looks for everything that must not be anywhere.
pub(super) async fn search(commands: &Commands, made: Made, accented: String) -> Result<Looked> {
    commands.tell.stage("The search");
    let ground = commands.ground.clone();
    let started = std::time::Instant::now();
    let looked = blocking(move || look(&ground, &made.sentinels, &accented)).await?;
    let seconds = started.elapsed().as_secs_f64();
    commands.tell.happened(&format!(
        "{} values, each as UTF-8, Latin-1, UTF-16, hexadecimal and base64, compressed or not, {seconds:.1} s.",
        count(u64::try_from(looked.values).unwrap_or(u64::MAX))
    ));
    for control in &looked.controls {
        commands.tell.happened(&format!("Must be found, in {}: {} found", control.place, count(control.found)));
    }
    commands.tell.happened(&format!(
        "Must not be found, in {} ({}) of every party, of the server, its ring, its copy and all logs: {} found",
        of(looked.outside.files, "file"),
        bytes(looked.outside.bytes),
        count(looked.outside.found())
    ));
    commands.tell.happened(&format!(
        "Must not be found, in the new system, of what is out of scope: {} found",
        count(looked.out_of_scope)
    ));
    Ok(looked)
}

/// Brings everything together.
pub(super) fn report(
    commands: &Commands,
    (approved, passed): (Approved, Passed),
    (before, ended): (Tried, Ended),
    looked: &Looked,
) -> Report {
    let mut report = Report {
        migration: approved.migration,
        stage: ended.stage,
        tables: tables(&approved.counted, &passed.sealed, &passed.found),
        documents: folders(&approved.documents, &passed.documents),
        sentinel_hits: looked.hits(),
        sentinel_control_hits: looked.control_hits(),
        parcel_readable_before_destruction: passed.opened && before.opened,
        parcel_readable_after_destruction: ended.after.opened,
        copy_opened_with_ring_of_that_moment: before.with_copy,
        copy_opened_with_todays_ring: ended.after.with_copy,
        certificate: commands.ground.path(CERTIFICATE),
        evidence: commands.ground.path(EVIDENCE),
        journal: ended.journal,
        seconds: passed.seconds,
        failed: Vec::new(),
    };
    let missing = [&report.certificate, &report.evidence].into_iter().filter(|path| !path.exists());
    let missing = missing.map(|path| format!("there is no {}", path.display())).collect();
    report.failed = [report.broken(), ended.failed, looked.failed.clone(), missing].concat();
    report
}

/// What was proved, and where the files are.
pub(super) fn text(report: &Report, ground: &Ground) -> String {
    let mut text = format!("\n{}\n\n", page(&report.tables));
    let mut line = |what: String| text.extend([what.as_str(), "\n"]);
    if report.failed.is_empty() {
        line("What was shown".to_owned());
        line("  Every row in scope arrived as it left: the fingerprints are equal at S, F and T.".to_owned());
        for part in &report.documents {
            line(format!(
                "  So did {} of {}, {}, whole and under their names; {} stayed behind.",
                of(part.documents_target, "document"),
                part.name,
                bytes(part.bytes_sealed),
                of(part.files_left, "file")
            ));
        }
        line(format!(
            "  Nothing out of scope is in the new system, and no value that was looked for is in any other file here; \
             the same search found {} where they must be.",
            count(report.sentinel_control_hits)
        ));
        line(
            "  Before destruction a parcel opened, also with the copy of the server: data, ring and passphrase of that \
             moment."
                .to_owned(),
        );
        line(
            "  Afterwards none did: the same copied data gave no share with today's ring, and what the recipient held \
             was not enough."
                .to_owned(),
        );
        line("  The certificate is complete and the evidence holds without the server.".to_owned());
        line("What no destruction here reaches".to_owned());
        line(
            "  Whoever copied data and ring in the middle and has the server's passphrase opens the parcels, for ever, \
             if they kept the recipient's opening key or the laboratory share too. This is why the ring is in no backup."
                .to_owned(),
        );
    } else {
        line("NOT EVERYTHING HOLDS".to_owned());
        for what in &report.failed {
            line(format!("  {what}"));
        }
    }
    line(String::new());
    line(format!("Files, in {}", ground.dir().display()));
    line(format!("  {EVIDENCE}       the evidence; begin with statements.md in it"));
    line(format!("  {CERTIFICATE}   the certificate of destruction, signed by the server"));
    line("  papers/            what people handed each other, and the plan".to_owned());
    line(format!("  {SERVER_COPY}/    the server's data in the middle; {RING_COPY}/ its ring of that moment"));
    line("  logs/              every command that was run, and what it said".to_owned());
    line("  old/, new/         the two laboratory systems, their reports with them".to_owned());
    line(format!("This was a DEMONSTRATION with synthetic records. Journal: {} leaves.", count(report.journal.size)));
    text
}

/// What to try while the server is up.
pub(super) fn next(ground: &Ground) -> String {
    let person = |role: &str| format!("lazaret --home homes/{role} --passphrase-file secrets/{role}");
    format!(
        "The server is up again; Ctrl-C stops it. In another terminal:\n  cd {}\n  {} migration show\n  {} next\n  \
         lazaret evidence verify {EVIDENCE} --trust {} --trust {}\n  {} journal verify",
        ground.dir().display(),
        person(CONTROLLER.role),
        person(OPERATOR.role),
        public(LABORATORY),
        public(VENDOR),
        person(RECIPIENT.role),
    )
}
