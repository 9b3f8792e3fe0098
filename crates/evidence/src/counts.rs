//! Nulls and orphans of a consignment, as statement and as tables.

use std::fmt::{Result, Write};

use procedure::{Manifest, Nulls, Orphans, Reconciliation, TableOutcome};

use crate::markdown::cell;
use crate::statements::{count, quoted};

/// What a report says of both; nothing when its agents did not count.
pub(crate) fn told(outcome: &Reconciliation) -> Vec<String> {
    [nulls(outcome), orphans(&outcome.orphans)].into_iter().flatten().collect()
}

fn columns(outcome: &Reconciliation) -> impl Iterator<Item = (&TableOutcome, &String, Nulls)> {
    outcome
        .tables
        .iter()
        .flat_map(|table| table.nulls.iter().flatten().map(move |(column, nulls)| (table, column, *nulls)))
}

fn nulls(outcome: &Reconciliation) -> Option<String> {
    outcome.tables.iter().find(|table| table.nulls.is_some())?;
    let differing: Vec<String> = columns(outcome)
        .filter(|(.., nulls)| !nulls.same())
        .map(|(table, column, nulls)| {
            let [sealed, fetched, target] = [nulls.sealed, nulls.fetched, nulls.target].map(count);
            format!("'{}' of '{}' ({sealed}, {fetched}, {target})", quoted(column), table.target)
        })
        .collect();
    Some(if differing.is_empty() {
        let many = count(u64::try_from(columns(outcome).count()).unwrap_or(u64::MAX));
        format!("{many} columns hold nulls, each as many sealed as fetched and in the target.")
    } else {
        format!("the numbers of nulls (sealed, fetched, in the target) differ in {}.", differing.join("; "))
    })
}

fn orphans(all: &[Orphans]) -> Option<String> {
    let many = all.len();
    let some: Vec<String> = all.iter().filter(|orphans| !orphans.none()).map(orphan).collect();
    match (many, some.is_empty()) {
        (0, _) => None,
        (_, true) => Some(format!("references between tables: {many}; no row leads nowhere.")),
        (_, false) => {
            Some(format!("references between tables: {many}; rows lead nowhere by these: {}.", some.join("; ")))
        }
    }
}

fn orphan(orphans: &Orphans) -> String {
    let different = if orphans.differ() { "DIFFERENT, " } else { "" };
    format!("'{}' ({different}{})", quoted(&orphans.reference()), orphans.told())
}

/// Every column that holds nulls and every reference, of the report or, before there is one, of the manifest.
pub(crate) fn tables(page: &mut String, manifest: &Manifest, outcome: Option<&Reconciliation>) -> Result {
    let found = |number: Option<u64>| number.map_or_else(|| "—".to_owned(), count);
    if manifest.tables.iter().any(|table| table.nulls.as_ref().is_some_and(|nulls| !nulls.is_empty())) {
        writeln!(page, "| table | column | nulls sealed | fetched | in the target |\n|---|---|---:|---:|---:|")?;
    }
    for (place, table) in manifest.tables.iter().enumerate() {
        let reported = outcome.and_then(|outcome| outcome.tables.get(place)?.nulls.as_ref());
        let sealed = table.nulls.iter().flatten().map(|(column, sealed)| (column, *sealed));
        let late = reported.into_iter().flatten().filter(|(_, nulls)| nulls.sealed == 0).map(|(column, _)| (column, 0));
        for (column, sealed) in sealed.chain(late) {
            let nulls = reported.and_then(|reported| reported.get(column));
            let (fetched, target) = (nulls.map(|nulls| nulls.fetched), nulls.map(|nulls| nulls.target));
            let (sealed, fetched, target) = (count(sealed), found(fetched), found(target));
            writeln!(page, "| {} | {} | {sealed} | {fetched} | {target} |", cell(&table.target), cell(column))?;
        }
    }
    let orphans = outcome.map_or(&manifest.orphans, |outcome| &outcome.orphans);
    if !orphans.is_empty() {
        writeln!(page, "\n| reference | orphans in the old system's scope | in the target |\n|---|---:|---:|")?;
    }
    for reference in orphans {
        let (source, target) = (found(reference.source), found(reference.target));
        writeln!(page, "| {} | {source} | {target} |", cell(&reference.reference()))?;
    }
    writeln!(page)
}
