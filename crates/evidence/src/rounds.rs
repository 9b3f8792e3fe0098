//! The statements about one consignment.

use people::Signer;
use procedure::{Act, Destroyed, Kind, Manifest, Part, ProbeResult, Reconciliation, Recorded};

use crate::round::{PartSaid, Round};
use crate::statements::{Told, count, quoted, sum};
use crate::story::when;

/// A kind of consignment as people read it.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Rehearsal => "rehearsal",
        Kind::Full => "full",
        Kind::Delta => "delta",
    }
}

/// What came across, each consignment in turn.
pub(crate) fn passages(told: &mut Told<'_>) {
    for round in Round::all(told.ledger) {
        let named = format!("Consignment {}", round.id().short());
        passage(told, &round, &named);
        result(told, &round, &named);
    }
}

/// What was destroyed, each consignment in turn.
pub(crate) fn destructions(told: &mut Told<'_>) {
    for round in Round::all(told.ledger) {
        let named = format!("Consignment {}", round.id().short());
        destruction(told, &round, &named);
    }
}

/// From the old system to a recipient's machine.
fn passage(told: &mut Told<'_>, round: &Round<'_>, named: &str) {
    let (kind, target) = (kind(round.consignment.kind), &round.consignment.target);
    let until = when(round.consignment.deadline);
    told.signed(round.opened, &format!("{named} ({kind}) was opened, for '{target}', to live until {until} at most."));
    if let Some((recorded, manifest)) = round.closed {
        told.signed(recorded, &format!("{named}: {}", sealed(manifest)));
        if manifest.forgotten {
            told.signed(
                recorded,
                &format!(
                    "{named}: the extracting machine forgot the strongroom share and the consignment key at closing."
                ),
            );
        }
    }
    let recipients = |release: &Recorded| {
        let Act::Release { offers, .. } = &release.fact.act else { return String::new() };
        let offered = round.offers.iter().filter(|offer| offers.contains(&offer.fact.digest));
        let theirs: Vec<&str> = offered.filter_map(|offer| offer.fact.by.person()).map(Signer::name).collect();
        theirs.join(" and ")
    };
    for release in &round.releases {
        let to = recipients(release);
        told.signed(release, &format!("{named}: the laboratory share may go to the opening keys of {to}."));
    }
    for handed_over in &round.handed_over {
        told.signed(handed_over, &format!("{named}: the laboratory share was handed over, sealed to those keys."));
    }
    if let Some(load) = round.loads.first() {
        let name = load.fact.by.person().map_or("the recipient", Signer::name);
        told.signed(load, &format!("{named}: {name} began to load, and with that received the strongroom share."));
    }
}

fn sealed(manifest: &Manifest) -> String {
    let tables = &manifest.tables;
    let bytes = manifest.parcels.iter().map(|parcel| parcel.bytes).fold(0, u64::saturating_add);
    let changed = sum(tables, |table| table.transforms.values().copied().fold(0, u64::saturating_add));
    format!(
        "of {} rows in {} tables of '{}' {} were in scope and sealed, in {} parcels of {} bytes; {} columns were \
         taken and {} stayed; declared transforms changed {changed} values. The moment read: {}.",
        sum(tables, |table| table.rows_source),
        tables.len(),
        manifest.source,
        sum(tables, |table| table.rows),
        manifest.parcels.len(),
        count(bytes),
        sum(tables, |table| u64::from(table.columns_taken)),
        sum(tables, |table| u64::from(table.columns_left)),
        quoted(&manifest.snapshot)
    )
}

/// What the target holds.
fn result(told: &mut Told<'_>, round: &Round<'_>, named: &str) {
    for (recorded, outcome) in &round.outcomes {
        told.signed(recorded, &format!("{named}: {}", compared(outcome)));
    }
    if let Some((recorded, reason)) = round.accepted {
        told.signed(recorded, &format!("{named}: the laboratory takes the difference as it is: '{}'.", quoted(reason)));
    }
    if let Some((recorded, reason)) = round.abandoned {
        told.signed(recorded, &format!("{named} was given up: '{}'.", quoted(reason)));
    }
    if let Some(recorded) = round.overdue {
        told.server(recorded, &format!("{named}: its deadline passed, and it went to destruction."));
    }
}

fn compared(outcome: &Reconciliation) -> String {
    let rows = count(outcome.tables.iter().map(|table| table.rows_target).fold(0, u64::saturating_add));
    let unequal: Vec<String> = outcome
        .tables
        .iter()
        .filter_map(|table| {
            let link = table.broken()?;
            let rows =
                table.differing.map_or_else(|| "rows not located".to_owned(), |rows| format!("{} rows", count(rows)));
            Some(format!("'{}' {link} ({rows})", table.target))
        })
        .collect();
    let tables = outcome.tables.len();
    if unequal.is_empty() {
        format!(
            "what was sealed, what was fetched and what '{}' holds agree in all {tables} tables, {rows} rows.",
            outcome.target
        )
    } else {
        format!("of {tables} tables in '{}' these differ: {}.", outcome.target, unequal.join("; "))
    }
}

/// What each party says it destroyed.
fn destruction(told: &mut Told<'_>, round: &Round<'_>, named: &str) {
    if let Some((recorded, destroyed)) = round.destroyed {
        told.server(recorded, &format!("{named}: {}", erased(destroyed)));
    }
    for said in &round.parts {
        told.signed(said.recorded, &format!("{named}: {}", part(round, said)));
    }
}

fn erased(destroyed: &Destroyed) -> String {
    format!(
        "the ring key was destroyed at {} ({}); asked again, the ring refused the wrapped share. {} sealed objects of \
         {} bytes were deleted, {} were listed afterwards.",
        when(destroyed.key_at),
        quoted(&destroyed.key),
        count(destroyed.parcels),
        count(destroyed.bytes),
        count(destroyed.listed_after)
    )
}

fn part(round: &Round<'_>, said: &PartSaid<'_>) -> String {
    let what = match said.part {
        Part::Laboratory => "the laboratory share",
        Part::Recipient => "the opening keys",
    };
    let probe = match said.probe {
        None => "",
        Some(_) if !round.probe_counts(said) => {
            " The probe was made before the server destroyed its part and shows nothing."
        }
        Some(ProbeResult::Failed) => {
            " Asked again with the recipient's real keys, the server gave no strongroom share and nothing held opened \
             the kept parcel."
        }
        Some(ProbeResult::Opened) => " A parcel STILL OPENED with the recipient's keys.",
    };
    format!("the signer destroyed {what} on this device ({} in all).{probe}", said.keys)
}
