//! `cargo xtask mutants`: each control of the case and each refusal of the procedure, switched off one at a time. A
//! control whose absence no test notices is a finding.

mod list;
mod page;
mod refusals;
mod run;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;

use crate::steps;
use list::{Mutant, Story};
use run::{Copy, Seen, Verdict};

const USAGE: &str = "cargo xtask mutants [--only NAME].. [--list] [--json]

  --only NAME  those whose name begins so; may be said several times
  --list       says which there are and runs none
  --json       prints the result as JSON

A run that ends with 0 saw a test go red for each that can be noticed. It takes a minute for most mutants that a story of the drill must notice.";

#[derive(Default)]
struct Wanted<'a> {
    only: Vec<&'a str>,
    list: bool,
    json: bool,
}

pub(crate) fn command(root: &Path, words: &[&str]) -> Result<ExitCode> {
    let wanted = wanted(words)?;
    let mutants = list::all(root)?;
    let mut chosen: Vec<&Mutant> = mutants
        .iter()
        .filter(|mutant| wanted.only.is_empty() || wanted.only.iter().any(|name| mutant.name.starts_with(name)))
        .collect();
    if chosen.is_empty() {
        bail!("no mutant has such a name; `cargo xtask mutants --list` says which there are");
    }
    if wanted.list {
        show(&chosen, wanted.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    // What one crate's change made new is compiled once for all that change that crate.
    chosen.sort_by_key(|mutant| (&mutant.story, &mutant.file, mutant.at.start));
    let results = run(root, &mutants, &chosen)?;
    tell(&results, wanted.json)?;
    let as_wanted = results.iter().all(|(mutant, seen)| is_as_wanted(mutant, seen));
    Ok(if as_wanted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Red, or green where no test can notice: one that is noticed after all must leave that list.
fn is_as_wanted(mutant: &Mutant, seen: &Seen) -> bool {
    seen.verdict == if mutant.unreachable.is_some() { Verdict::Green } else { Verdict::Red }
}

fn wanted<'a>(words: &[&'a str]) -> Result<Wanted<'a>> {
    let mut wanted = Wanted::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match (*word, words.as_slice()) {
            ("--list", _) => wanted.list = true,
            ("--json", _) => wanted.json = true,
            ("--only", [name, ..]) => {
                wanted.only.push(name);
                words.next();
            }
            _ => bail!("{USAGE}"),
        }
    }
    Ok(wanted)
}

fn run<'a>(root: &Path, mutants: &[Mutant], chosen: &[&'a Mutant]) -> Result<Vec<(&'a Mutant, Seen)>> {
    let mut copy = Copy::of(root, &steps::cache()?)?;
    let stories: BTreeSet<Story> = chosen.iter().map(|mutant| mutant.story.clone()).collect();
    copy.baseline(&stories)?;
    let mut page = page::Page::open(root)?;
    let mut results = Vec::new();
    for mutant in chosen {
        let seen = copy.switched_off(mutant)?;
        let why = seen.why.as_deref().unwrap_or_default();
        eprintln!("{} {} {} s {why}", mutant.name, seen.verdict.word(), seen.seconds);
        page.note(root, mutants, mutant, &seen)?;
        results.push((*mutant, seen));
    }
    Ok(results)
}

fn show(chosen: &[&Mutant], as_json: bool) -> Result<()> {
    if as_json {
        let lines: Vec<_> = chosen.iter().map(|mutant| described(mutant, None)).collect();
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    for mutant in chosen {
        println!("{}: {} ({})", mutant.name, mutant.control, mutant.file);
    }
    println!("{} mutants", chosen.len());
    Ok(())
}

fn tell(results: &[(&Mutant, Seen)], as_json: bool) -> Result<()> {
    if as_json {
        let lines: Vec<_> = results.iter().map(|(mutant, seen)| described(mutant, Some(seen))).collect();
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    for (mutant, seen) in results {
        println!("{:<13} {:>4} s  {}", seen.verdict.word(), seen.seconds, mutant.name);
    }
    let wrong: Vec<&str> = results
        .iter()
        .filter(|(mutant, seen)| !is_as_wanted(mutant, seen))
        .map(|(mutant, _)| mutant.name.as_str())
        .collect();
    if wrong.is_empty() {
        println!("mutants: {} as they should be", results.len());
    } else {
        println!("mutants: {} of {} to mend: {}", wrong.len(), results.len(), wrong.join(", "));
    }
    Ok(())
}

fn described(mutant: &Mutant, seen: Option<&Seen>) -> serde_json::Value {
    json!({
        "name": mutant.name,
        "finding": mutant.finding,
        "control": mutant.control,
        "file": mutant.file,
        "room": mutant.story.room,
        "story": mutant.story.name,
        "verdict": seen.map(|seen| seen.verdict.word()),
        "seconds": seen.map(|seen| seen.seconds),
        "fell": seen.map(|seen| seen.fell.as_slice()),
        "why": seen.and_then(|seen| seen.why.as_deref()),
    })
}
