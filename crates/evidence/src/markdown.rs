//! What a pack tells people: pages that they read, with the same statements for machines beside them.

use std::collections::BTreeMap;
use std::fmt::Write;

use lexicon::{MigrationId, Result, canonical, spoken};
use people::Role;
use procedure::{ProbeResult, Stage};
use serde::{Deserialize, Serialize};

use crate::certificate::DestructionCertificate;
use crate::certified::CertifiedConsignment;
use crate::round::Round;
use crate::rounds::{kind, listed};
use crate::statements::{Strength, count};
use crate::story::{organisation, when, who};
use crate::trouble::unwritten;
use crate::verdict::{Shown, Verdict};
use crate::{counts, documents, timeline, wording};

/// The names of what is told, in the order in which they stand in the file: what people open comes first.
pub(crate) const TOLD: [&str; 5] = ["statements.md", "timeline.svg", "certificate.md", "statements.json", ABOUT];
/// What the pack is and in which version's words.
pub(crate) const ABOUT: &str = "about.json";

/// The content of [`ABOUT`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    purpose: String,
    /// The version of the words; a reader of another version cannot compare them.
    pub(crate) words: u32,
    demonstration: bool,
    pub(crate) migration: MigrationId,
    origin: String,
}

/// Everything that the pack of this story tells, by member name. Without trust of its own: a pack speaks the same
/// whoever reads it.
pub(crate) fn told(shown: &Shown<'_>) -> Result<BTreeMap<String, Vec<u8>>> {
    let verdict = shown.verdict();
    let card = &shown.story.pack.card;
    let about = About {
        purpose: "lazaret/1/evidence".to_owned(),
        words: wording::VERSION,
        demonstration: card.demonstration,
        migration: verdict.migration,
        origin: card.origin.clone(),
    };
    let page = statements(shown, &verdict).map_err(|_| unwritten("a page could not be formatted"))?;
    let picture = timeline::draw(shown).map_err(|_| unwritten("the picture could not be formatted"))?;
    let mut told = BTreeMap::from([
        ("statements.md".to_owned(), page.into_bytes()),
        ("timeline.svg".to_owned(), picture.into_bytes()),
        ("statements.json".to_owned(), canonical(&verdict)?),
        (ABOUT.to_owned(), canonical(&about)?),
    ]);
    if let Some((_, signed)) = &shown.certificate {
        let page = certificate(shown, signed).map_err(|_| unwritten("a page could not be formatted"))?;
        told.insert("certificate.md".to_owned(), page.into_bytes());
    }
    Ok(told)
}

/// A stage as people read it.
pub(crate) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Drafted => "drafted",
        Stage::Approved => "approved",
        Stage::SignedOff => "signed off",
        Stage::Destroyed => "destroyed",
    }
}

/// Text that Markdown shows as it is, in a table too.
pub(crate) fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '<' | '>' | '`' | '*' | '[' | ']' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn statements(shown: &Shown<'_>, verdict: &Verdict) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    let migration = shown.story.migration();
    writeln!(page, "# Evidence of migration {}\n", migration.id)?;
    if verdict.demonstration {
        writeln!(page, "> **{}**\n", wording::DEMONSTRATION)?;
    }
    writeln!(page, "`timeline.svg` shows it at a glance. This page says the same in words, and who says it.\n")?;
    writeln!(
        page,
        "* Stage: **{}**, after {} facts; the last was recorded at {}.",
        stage(verdict.stage),
        verdict.facts,
        when(migration.last_at)
    )?;
    writeln!(page, "* Certificate of destruction: **{}**.", shown.completeness.title)?;
    writeln!(page, "* Journal: `{}`, {} leaves.\n", cell(&shown.story.checkpoint.origin), verdict.journal_size)?;
    list(&mut page, "What is missing", &verdict.missing)?;
    list(&mut page, "What to look at", &verdict.warnings)?;
    let groups = [
        (Strength::Signed, "What persons signed"),
        (Strength::AssertedByServer, "What the server asserts, and nobody else"),
        (Strength::NotProvable, "What nothing here can prove"),
    ];
    for (strength, heading) in groups {
        writeln!(page, "## {heading}\n\n| statement | by whom |\n|---|---|")?;
        for statement in verdict.statements.iter().filter(|statement| statement.strength == strength) {
            writeln!(page, "| {} | {} |", cell(&statement.text), cell(&statement.who))?;
        }
        writeln!(page)?;
    }
    tables(&mut page, shown)?;
    facts(&mut page, shown)?;
    people(&mut page, shown)?;
    documents(&mut page, shown)?;
    writeln!(page, "## How to check this\n")?;
    writeln!(
        page,
        "This page proves nothing by itself. `lazaret evidence verify FILE` replays the signed acts in \
         `entries.jsonl`, checks each one's place in the journal under `checkpoint.txt`, and compares this page, \
         the picture and the \
         certificate with them, without a server. Give it the roots that you have pinned."
    )?;
    Ok(page)
}

fn list(page: &mut String, heading: &str, items: &[String]) -> std::fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(page, "## {heading}\n")?;
    items.iter().try_for_each(|item| writeln!(page, "* {}", cell(item)))?;
    writeln!(page)
}

fn tables(page: &mut String, shown: &Shown<'_>) -> std::fmt::Result {
    for round in Round::all(&shown.story.ledger) {
        let Some((_, manifest)) = round.closed else { continue };
        writeln!(page, "## Tables of consignment {} ({})\n", round.id().short(), kind(round.consignment.kind))?;
        writeln!(
            page,
            "| table | rows in the old system | sealed | columns taken | columns left | target | rows there | |"
        )?;
        writeln!(page, "|---|---:|---:|---:|---:|---|---:|---|")?;
        let outcome = round.outcomes.last().map(|(_, outcome)| outcome);
        let arrived = &round.arrived(round.outcomes.len());
        for (index, table) in manifest.tables.iter().enumerate() {
            let found = outcome.and_then(|outcome| outcome.tables.get(index));
            let rows = found.map_or_else(|| "—".to_owned(), |found| count(found.rows_target));
            let same = found.map_or("not loaded", |found| arrived.broken(found).unwrap_or("equal"));
            writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {rows} | {same} |",
                cell(&table.name),
                count(table.rows_source),
                count(table.rows),
                table.columns_taken,
                table.columns_left,
                cell(&table.target)
            )?;
        }
        writeln!(page)?;
        documents::table(page, manifest, (outcome.copied(), arrived))?;
        counts::tables(page, manifest, outcome.copied())?;
    }
    Ok(())
}

fn facts(page: &mut String, shown: &Shown<'_>) -> std::fmt::Result {
    let ledger = &shown.story.ledger;
    writeln!(
        page,
        "## All facts\n\n| fact | recorded | act | by whom | signed at | leaf |\n|---:|---|---|---|---|---:|"
    )?;
    let placed = shown.story.pack.entries.iter().zip(&shown.story.bodies);
    for (recorded, (placed, body)) in ledger.recorded().iter().zip(placed) {
        let fact = &recorded.fact;
        let signed = body.as_ref().map_or_else(|| "—".to_owned(), |body| when(body.at));
        let by = cell(&who(ledger, &fact.by));
        writeln!(
            page,
            "| {} | {} | {} | {by} | {signed} | {} |",
            fact.number,
            when(fact.at),
            fact.act.name(),
            placed.leaf
        )?;
    }
    writeln!(page)
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Controller => "controller",
        Role::Operator => "operator",
        Role::Engineer => "engineer",
        Role::Approver => "approver",
        Role::Recipient => "recipient",
        Role::Auditor => "auditor",
    }
}

fn people(page: &mut String, shown: &Shown<'_>) -> std::fmt::Result {
    let (story, migration) = (&shown.story, shown.story.migration());
    writeln!(page, "## Organisations\n\n| organisation | side | root, in six words |\n|---|---|---|")?;
    for party in &migration.parties {
        let side = match party.side {
            procedure::Side::Controller => "controller",
            procedure::Side::Processor => "processor",
        };
        writeln!(page, "| {} | {side} | {} |", cell(&party.organisation), spoken(&party.root))?;
    }
    writeln!(
        page,
        "\n## Persons who acted\n\n| person | organisation | roles | device | certificate |\n|---|---|---|---|---|"
    )?;
    for digest in acting(shown) {
        let Some(certificate) = story.roster.certificate(&digest) else { continue };
        let roles: Vec<&str> = certificate.roles.iter().map(|which| role(*which)).collect();
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            cell(&certificate.person.name),
            cell(&organisation(migration, &certificate.root)),
            roles.join(", "),
            cell(&certificate.device.name),
            digest.short()
        )?;
    }
    writeln!(page)
}

/// The certificates under which persons acted, in the order of their first act.
pub(crate) fn acting(shown: &Shown<'_>) -> Vec<lexicon::Digest> {
    let mut found = Vec::new();
    for signer in shown.story.ledger.recorded().iter().filter_map(|recorded| recorded.fact.by.person()) {
        if !found.contains(&signer.certificate()) {
            found.push(signer.certificate());
        }
    }
    found
}

fn documents(page: &mut String, shown: &Shown<'_>) -> std::fmt::Result {
    if shown.story.pack.documents.is_empty() {
        return Ok(());
    }
    let named = crate::certificate::named_documents(&shown.story.ledger);
    writeln!(page, "## Documents\n")?;
    for (digest, bytes) in &shown.story.pack.documents {
        let what = named.iter().find(|(name, _)| name == digest).map_or("document", |(_, what)| *what);
        writeln!(page, "* {what} `documents/{digest}`, {} bytes", bytes.len())?;
    }
    writeln!(page)
}

/// The certificate, to be printed and filed.
fn certificate(shown: &Shown<'_>, signed: &DestructionCertificate) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    writeln!(page, "# Certificate of destruction: {}\n", shown.completeness.title)?;
    for sentence in &signed.wording {
        let mark = if sentence == wording::DEMONSTRATION { "**" } else { "" };
        writeln!(page, "> {mark}{}{mark}\n>", cell(sentence))?;
    }
    writeln!(page, "\n| | |\n|---|---|")?;
    let digest =
        |digest: Option<lexicon::Digest>| digest.map_or_else(|| "none".to_owned(), |digest| format!("`{digest}`"));
    let lines = [
        ("certificate", format!("`{}`", signed.id)),
        ("migration", format!("`{}`", signed.migration)),
        ("controller", cell(&signed.controller)),
        ("processor", cell(&signed.processors.join(", "))),
        ("plan", digest(signed.plan)),
        ("instruction", digest(signed.instruction)),
        ("scope", digest(signed.scope)),
        ("level of the key ring", signed.level.clone()),
        ("facts taken into account", signed.facts.number.to_string()),
        ("issued", when(signed.issued_at)),
        ("in effect from", signed.effective.map_or_else(|| "not known".to_owned(), when)),
        ("journal", cell(&signed.origin)),
    ];
    lines.iter().try_for_each(|(name, value)| writeln!(page, "| {name} | {value} |"))?;
    for certified in &signed.consignments {
        consignment(&mut page, certified)?;
    }
    writeln!(page)?;
    list(&mut page, "What is missing for it to be complete", &shown.completeness.missing)?;
    writeln!(page, "## Who\n\n| act | person | organisation | fact |\n|---|---|---|---:|")?;
    for deed in &signed.persons {
        writeln!(page, "| {} | {} | {} | {} |", deed.what, cell(&deed.name), cell(&deed.organisation), deed.fact)?;
    }
    Ok(page)
}

/// One consignment of it.
fn consignment(page: &mut String, certified: &CertifiedConsignment) -> std::fmt::Result {
    let CertifiedConsignment { key, probes, inventory, .. } = certified;
    writeln!(page, "\n## Consignment {} ({})\n", certified.id, kind(certified.kind))?;
    let key_act = if key.found { "Ring key destroyed" } else { "The ring had no key to destroy when it was asked" };
    writeln!(
        page,
        "Ended because {}. {key_act} at {}; {} sealed objects of {} bytes deleted; afterwards {} (fact {}).\n",
        certified.ended,
        when(key.at),
        count(certified.deleted),
        count(certified.deleted_bytes),
        listed(certified.left),
        certified.fact
    )?;
    certified.wording.iter().try_for_each(|sentence| writeln!(page, "* {}", cell(sentence)))?;
    let shown = probes.share_refused.map_or_else(
        || "refused to seal; no wrapped share was left to show it".to_owned(),
        |share| format!("refused to seal, and to open the wrapped share `{share}`"),
    );
    let achieves = if key.found { cell(&key.achieves) } else { "the ring had none".to_owned() };
    let lines = [
        ("ring key", format!("{}: {achieves}", cell(&key.id))),
        ("its commitment", format!("`{}` (SHA-256 of the strongroom share)", certified.key_commitment)),
        ("the ring, asked afterwards", shown),
        (
            "inventory",
            format!(
                "{} parcels of {} bytes, each in `certificate.json`",
                count(inventory.parcels),
                count(inventory.bytes)
            ),
        ),
        ("its root", format!("`{}`", inventory.root)),
    ];
    writeln!(page, "\n| | |\n|---|---|")?;
    lines.iter().try_for_each(|(name, value)| writeln!(page, "| {name} | {value} |"))?;
    for said in &probes.recipients {
        let probe = match said.probe {
            None => "destroyed its keys without a probe",
            Some(ProbeResult::Failed) => "its real keys opened none of the parcels that it kept",
            Some(ProbeResult::Opened) => "a parcel STILL OPENED",
        };
        writeln!(page, "| recipient {} | {probe} (fact {}) |", cell(&said.name), said.fact)?;
    }
    writeln!(page)?;
    let answers: Vec<String> = key.said.iter().map(ToString::to_string).collect();
    items(page, "What the place of the key answered:", &answers)?;
    let left: Vec<String> = certified.residues.iter().map(wording::residue).collect();
    items(page, "Known to be left:", &left)
}

fn items(page: &mut String, heading: &str, items: &[String]) -> std::fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(page, "{heading}\n")?;
    items.iter().try_for_each(|item| writeln!(page, "* {}", cell(item)))?;
    writeln!(page)
}
