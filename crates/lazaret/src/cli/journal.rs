//! `lazaret journal`: the server's own copy, and what an agent can say of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::journal::{Checkpoint, Tree};
use clap::{Args, Subcommand};
use desk::Desk;
use lexicon::{Alarm, Code, MigrationId, Refusal, Result, Timestamp, Trouble, canonical, digest_of};
use people::Roster;
use procedure::Ledger;
use registry::{MigrationRow, Registry};
use serde_json::json;
use wire::{Leaf, Placed, ServerCard};

use super::Context;
use crate::files;
use crate::output::{Done, add};

/// The server's journal.
#[derive(Subcommand)]
pub(crate) enum Journal {
    /// Check every leaf and replay every migration: with --data the server's own copy, otherwise what it shows us
    Verify(Verify),
}

impl Journal {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Verify(Verify { data: Some(data) }) => verify_data(&data),
            Self::Verify(Verify { data: None }) => verify_served(context).await,
        }
    }
}

/// Verify.
#[derive(Args)]
pub(crate) struct Verify {
    /// The server's data folder; neither its passphrase nor its key ring is needed
    #[arg(long)]
    pub(super) data: Option<PathBuf>,
}

/// A leaf of the server's own.
#[derive(serde::Serialize)]
struct Note {
    leaf: u64,
    at: Timestamp,
    text: String,
}

/// What the leaves hold.
#[derive(Default)]
struct Read {
    count: Leaves,
    /// The entries of the facts, by leaf.
    facts: BTreeMap<u64, Placed>,
    notes: Vec<Note>,
}

/// How many leaves of each kind there are.
#[derive(Default, serde::Serialize)]
struct Leaves {
    facts: u64,
    roots: u64,
    certificates: u64,
    revocations: u64,
    notes: u64,
}

fn verify_data(data: &Path) -> Result<Done> {
    let file = data.join("registry.sqlite");
    if !file.is_file() {
        return Err(Refusal::new(
            Code(1052),
            format!("there is no server's registry in {}", data.display()),
            "Name the data folder of a server, or leave --data out to check from this device.",
        )
        .into());
    }
    let card: ServerCard = files::json(&data.join("card.json"))?;
    let registry = Registry::open(&file)?;
    let tree = registry.tree()?;
    let Read { count: leaves, facts, notes } = read_leaves(&registry, tree.size())?;
    let replayed = replay(&registry, &card, &facts)?;
    let mut text = format!(
        "Journal {}\n{} leaves, root {}\n  {} facts, {} roots, {} certificates, {} revocations, {} notes\n",
        card.origin,
        tree.size(),
        tree.root(),
        leaves.facts,
        leaves.roots,
        leaves.certificates,
        leaves.revocations,
        leaves.notes
    );
    for Note { leaf, at, text: note } in &notes {
        add(&mut text, format_args!("Note, leaf {leaf}, {at}: {note}\n"));
    }
    for row in &replayed {
        add(&mut text, format_args!("Migration {}: {} facts replayed, {}\n", row.id, row.facts, row.stage));
    }
    text.push_str(
        "Every leaf is as it was hashed, in its place, and every fact follows from the signed acts.\n\
         That the newest leaves were not cut off together with all that follows from them is what the parties' kept \
         checkpoints show: `lazaret journal verify` on their devices.",
    );
    let migrations: Vec<_> =
        replayed.iter().map(|row| json!({ "migration": row.id, "facts": row.facts, "stage": row.stage })).collect();
    let json = json!({
        "origin": card.origin,
        "size": tree.size(),
        "root": tree.root(),
        "leaves": leaves,
        "notes": notes,
        "migrations": migrations,
    });
    Ok(Done::new(text, json))
}

fn damaged(leaf: u64, why: &str) -> Trouble {
    Alarm::new(Code(1053), format!("leaf {leaf} of the journal {why}")).into()
}

/// Every leaf parsed.
fn read_leaves(registry: &Registry, size: u64) -> Result<Read> {
    let Read { mut count, mut facts, mut notes } = Read::default();
    let mut tree = Tree::new();
    for number in 0..size {
        let body = registry.leaf(number)?.ok_or_else(|| damaged(number, "is missing"))?;
        tree.append(::journal::leaf_hash(&body));
        let leaf: Leaf =
            serde_json::from_slice(&body).map_err(|_| damaged(number, "does not say what is written there"))?;
        if canonical(&leaf)? != body {
            return Err(damaged(number, "is not in its canonical form"));
        }
        let counter = match leaf {
            Leaf::Fact { nonce, entry } => {
                facts.insert(number, Placed { entry: *entry, leaf: number, nonce });
                &mut count.facts
            }
            Leaf::Root { .. } => &mut count.roots,
            Leaf::Certificate { .. } => &mut count.certificates,
            Leaf::Revocation { .. } => &mut count.revocations,
            Leaf::Note { at, text, .. } => {
                notes.push(Note { leaf: number, at, text });
                &mut count.notes
            }
        };
        *counter = counter.saturating_add(1);
    }
    Ok(Read { count, facts, notes })
}

/// Replays every migration from its facts, which must be those of the leaves and lead to what the rows say.
fn replay(registry: &Registry, card: &ServerCard, leaves: &BTreeMap<u64, Placed>) -> Result<Vec<MigrationRow>> {
    let mut roster = Roster::default();
    registry.roots()?.into_iter().for_each(|root| roster.trust(root));
    for envelope in registry.certificates()? {
        roster.admit(&envelope)?;
    }
    let mut left = leaves.clone();
    let rows = registry.migrations()?;
    for row in &rows {
        let mut ledger = Ledger::new(&card.origin, card.key, row.id);
        for placed in registry.facts(row.id, 1)? {
            if left.remove(&placed.leaf).as_ref() != Some(&placed) {
                return Err(damaged(
                    placed.leaf,
                    &format!("is not the fact that the row of migration {} says", row.id),
                ));
            }
            ledger.admit(&placed.entry, &roster, None).map_err(|trouble| {
                damaged(placed.leaf, &format!("does not follow from the leaves before it: {trouble}"))
            })?;
        }
        if ledger.migration().facts != row.facts || digest_of(ledger.migration())? != row.state {
            let text = format!("the row of migration {} is not what its facts give", row.id);
            return Err(Alarm::new(Code(1054), text).into());
        }
    }
    match left.keys().next() {
        Some(leaf) => Err(damaged(*leaf, "is a fact of which there is no row")),
        None => Ok(rows),
    }
}

async fn verify_served(context: &Context) -> Result<Done> {
    let desk = context.desk()?;
    let before = kept_checkpoint(&desk)?;
    let listed = desk.client().migrations(desk.keeper()).await?;
    let listed: Vec<MigrationId> = listed.into_iter().map(|line| line.migration).collect();
    nothing_hidden(&desk, &listed)?;
    let mut replayed = Vec::new();
    for id in listed {
        let ledger = desk.follow(id).await?;
        replayed.push((id, ledger.migration().facts));
    }
    let card = desk.client().card();
    let Some(after) = kept_checkpoint(&desk)? else {
        let text = "Your organisation has no migration here, and so there is no fact whose place could be verified.";
        return Ok(Done::new(text, json!({ "origin": card.origin, "migrations": [] })));
    };
    let mut text = format!("Journal {}\n{} leaves, root {}\n", card.origin, after.size, after.root);
    match &before {
        Some(before) => add(
            &mut text,
            format_args!("It holds, unchanged, the {} leaves that this device saw before.\n", before.size),
        ),
        None => text.push_str("This device had seen no checkpoint of it before.\n"),
    }
    for (id, facts) in &replayed {
        add(&mut text, format_args!("Migration {id}: {facts} facts replayed; the last one stands in the journal.\n"));
    }
    text.push_str("Leaves of other organisations are covered by the root only: their parties replay those.");
    let migrations: Vec<_> = replayed.iter().map(|(id, facts)| json!({ "migration": id, "facts": facts })).collect();
    let json = json!({
        "origin": card.origin,
        "size": after.size,
        "root": after.root,
        "before": before.map(|before| json!({ "size": before.size, "root": before.root })),
        "migrations": migrations,
    });
    Ok(Done::new(text, json))
}

/// A migration of which this device verified facts cannot disappear from the server's list.
pub(super) fn nothing_hidden(desk: &Desk, listed: &[MigrationId]) -> Result<()> {
    for id in desk.home().migrations()? {
        let facts = if listed.contains(&id) { 0 } else { desk.kept(id)?.migration().facts };
        if facts > 0 {
            let text =
                format!("the server does not list migration {id} any more, of which this device has {facts} facts");
            return Err(Alarm::new(Code(1055), text).into());
        }
    }
    Ok(())
}

/// The last checkpoint that this device verified.
fn kept_checkpoint(desk: &Desk) -> Result<Option<Checkpoint>> {
    let path = desk.home().folder().join("checkpoint");
    if !path.exists() {
        return Ok(None);
    }
    let card = desk.client().card();
    Checkpoint::verify(&files::text(&path)?, &card.origin, &card.key.0).map(Some)
}
