//! `lazaret next`: what waits for this person, why, until when, and the exact command.

mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::Args;
use desk::Desk;
use lexicon::{Code, ConsignmentId, MigrationId, Refusal, Result, Trouble};
use people::Roster;
use procedure::{Ledger, Migration, Side};
use serde_json::{Value, json};
use wire::MigrationLine;

use self::waits::{Kept, View, Wait, quoted};
use super::Context;
use super::context::value;
use super::journal::nothing_hidden;
use crate::exit;
use crate::output::{self, Done, add};

/// What waits for me.
#[derive(Args)]
pub(crate) struct Next {
    /// This migration only
    #[arg(long)]
    migration: Option<MigrationId>,
}

/// One migration, as this device could verify it.
struct Line {
    id: MigrationId,
    /// Parties and stage in words; nothing when it could not be replayed.
    about: String,
    waits: Vec<Wait>,
    /// Why it could not be replayed.
    refused: Option<Refusal>,
    /// What the server says of its own part; its word, and no fact.
    says: Vec<String>,
}

impl Next {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        let desk = context.desk()?;
        let listed = match desk.client().migrations(desk.keeper()).await {
            Ok(lines) => lines,
            Err(Trouble::Fault(fault)) => return self.offline(context, &desk, &fault.to_string()),
            Err(trouble) => return Err(trouble),
        };
        let ids: Vec<MigrationId> = listed.iter().map(|line| line.migration).collect();
        nothing_hidden(&desk, &ids)?;
        if let Some(id) = self.migration.filter(|only| !ids.contains(only)) {
            let text = format!("your organisation has no migration {id} here");
            return Err(Refusal::new(Code(1057), text, "Copy the whole id again; `lazaret next` lists them.").into());
        }
        let (_, roster) = desk.people().await?;
        let mut lines = Vec::new();
        let asked = listed.into_iter().filter(|line| self.migration.is_none_or(|only| only == line.migration));
        for MigrationLine { migration: id, says, .. } in asked {
            match desk.follow(id).await {
                Ok(ledger) => lines.push(Line { says, ..line(&desk, &roster, &ledger, true)? }),
                Err(Trouble::Refusal(refusal)) => {
                    lines.push(Line { id, about: String::new(), waits: Vec::new(), refused: Some(refusal), says });
                }
                Err(Trouble::Fault(fault)) => return self.offline(context, &desk, &fault.to_string()),
                Err(alarm) => {
                    for said in says {
                        output::error_line(&format!("The server says: {said}."));
                    }
                    return Err(alarm);
                }
            }
        }
        Ok(said(context, &lines, None))
    }

    /// Without the server nothing is opened, begun or released; what is due is destroyed all the same.
    fn offline(&self, context: &Context, desk: &Desk, why: &str) -> Result<Done> {
        let mut lines = Vec::new();
        let kept = desk.home().migrations()?;
        for id in kept.into_iter().filter(|id| self.migration.is_none_or(|only| only == *id)) {
            let ledger = desk.kept(id)?;
            if ledger.migration().facts > 0 {
                lines.push(line(desk, &Roster::default(), &ledger, false)?);
            }
        }
        let mut done = said(context, &lines, Some(why));
        done.status = exit::UNREACHABLE;
        Ok(done)
    }
}

fn line(desk: &Desk, roster: &Roster, ledger: &Ledger, online: bool) -> Result<Line> {
    let migration = ledger.migration();
    let view = View { migration, me: desk.me(), roster, now: desk.now()? };
    let mut waits = view.destroy(&kept(desk, migration)?);
    if online {
        waits.extend(view.waits());
    }
    Ok(Line { id: migration.id, about: about(migration), waits, refused: None, says: Vec::new() })
}

/// What this device's folder holds of the migration's rounds.
fn kept(desk: &Desk, migration: &Migration) -> Result<Kept> {
    let mut kept = Kept { held: BTreeSet::<ConsignmentId>::new(), gone: BTreeMap::new() };
    for round in desk.home().rounds()?.into_iter().filter(|round| round.migration == migration.id) {
        if let Some(gone) = desk.home().gone(round)? {
            kept.gone.insert(round.consignment, gone.deadline);
        } else {
            kept.held.insert(round.consignment);
        }
    }
    Ok(kept)
}

fn about(migration: &Migration) -> String {
    let of = |side| {
        let parties = migration.parties.iter().filter(move |party| party.side == side);
        parties.map(|party| party.organisation.as_str()).collect::<Vec<_>>().join(", ")
    };
    let ending = if migration.ending() { ", ended" } else { "" };
    let frozen = if migration.frozen.is_some() { ", FROZEN" } else { "" };
    let deadline = migration.deadline.map(|deadline| format!(", until {}", deadline.at)).unwrap_or_default();
    format!("{} with {}: {:?}{ending}{frozen}{deadline}", of(Side::Controller), of(Side::Processor), migration.stage)
}

/// The command's first words: the home is named unless the environment names it.
fn program(context: &Context) -> String {
    match &context.global.home {
        Some(home) if std::env::var_os("LAZARET_HOME").is_none_or(|set| Path::new(&set) != home) => {
            format!("lazaret --home {}", quoted(&home.display().to_string()))
        }
        _ => "lazaret".to_owned(),
    }
}

fn said(context: &Context, lines: &[Line], offline: Option<&str>) -> Done {
    let program = program(context);
    let mut text = String::new();
    if let Some(why) = offline {
        add(&mut text, format_args!("The server cannot be asked: {why}\nWhat this device last verified says:\n"));
    }
    for line in lines {
        add(&mut text, format_args!("Migration {} {}\n", line.id, line.about));
        for said in &line.says {
            add(&mut text, format_args!("  the server says: {said}\n"));
        }
        if let Some(refusal) = &line.refused {
            add(&mut text, format_args!("  YOU FIRST: {refusal}\n    {}\n", refusal.remedy));
        }
        for wait in &line.waits {
            let until = wait.until.map(|until| format!(", until {until}")).unwrap_or_default();
            if wait.mine {
                add(&mut text, format_args!("  YOUR TURN{until}: {}\n    {program} {}\n", wait.why, wait.command));
            } else {
                add(&mut text, format_args!("  waits for {}{until}: {}\n", wait.who, wait.why));
            }
        }
    }
    if lines.is_empty() {
        text.push_str("There is no migration of your organisation here.\n");
    }
    text.push_str(&last_line(lines, &program, offline.is_some()));
    let json = json!({
        "offline": offline.is_some(),
        "migrations": lines.iter().map(|line| line_json(line, &program)).collect::<Vec<_>>(),
    });
    Done::new(text, json)
}

fn line_json(line: &Line, program: &str) -> Value {
    let waits = line.waits.iter().map(|wait| {
        let mut json = value(wait);
        if let Some(fields) = json.as_object_mut() {
            fields.insert("command".to_owned(), json!(format!("{program} {}", wait.command)));
        }
        json
    });
    json!({ "migration": line.id, "about": line.about, "waits": waits.collect::<Vec<_>>(), "refused": line.refused, "server_says": line.says })
}

fn last_line(lines: &[Line], program: &str, offline: bool) -> String {
    let mine = lines.iter().flat_map(|line| &line.waits).find(|wait| wait.mine);
    let refused = lines.iter().find_map(|line| line.refused.as_ref());
    let other = lines.iter().flat_map(|line| &line.waits).next();
    match (mine, refused, other) {
        (Some(wait), _, _) => format!("Next: you: `{program} {}`.", wait.command),
        (None, Some(refusal), _) => format!("Next: you: {}", refusal.remedy),
        (None, None, Some(wait)) => format!("Next: {}. Nothing waits for you.", wait.who),
        (None, None, None) if offline => {
            "Nothing here is due to be destroyed. Ask again when the server is back.".to_owned()
        }
        (None, None, None) => "Nothing waits for anybody.".to_owned(),
    }
}
