//! The statements about one consignment.

use people::Signer;
use procedure::{
    Absent, Act, Arrived, Consignment, Destroyed, Differing, Kind, Left, Manifest, Part, ProbeResult, Reconciliation,
    Recorded, TableOutcome,
};

use crate::round::{PartSaid, Round};
use crate::statements::{Strength, Told, count, quoted, sum};
use crate::story::{facts, organisation, when, who};
use crate::{counts, documents};

/// A kind of consignment as people read it.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Rehearsal => "rehearsal",
        Kind::Full => "full",
        Kind::Delta => "delta",
    }
}

/// The kind, and of a rehearsal which sample.
fn told_kind(consignment: &Consignment) -> String {
    let kind = kind(consignment.kind);
    if consignment.kind != Kind::Rehearsal {
        return kind.to_owned();
    }
    let part = procedure::percent(consignment.basis_points);
    format!("{kind} on a sample of {part} of the rows in scope, seed {}", consignment.seed)
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
    let (kind, target) = (told_kind(round.consignment), &round.consignment.target);
    let until = when(round.consignment.deadline);
    told.signed(round.opened, &format!("{named} ({kind}) was opened, for '{target}', to live until {until} at most."));
    if let Some((recorded, manifest)) = round.closed {
        told.signed(recorded, &format!("{named}: {}", sealed(manifest, round.consignment.kind)));
        for part in &manifest.documents {
            told.signed(recorded, &format!("{named}: {}", documents::sealed(part)));
        }
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
    for (recorded, signer) in round.in_clear_swap() {
        let name = signer.name();
        told.signed(
            recorded,
            &format!("{named}: the machine on which {name} did this may write its memory in clear to its swap."),
        );
    }
    both_ends(told, round, named);
}

/// Whether one person, or one organisation, extracted and loaded. Signatures say who did; that two certificates are two
/// persons' is their roots' word.
fn both_ends(told: &mut Told<'_>, round: &Round<'_>, named: &str) {
    let signed = |recorded: &&'_ Recorded| recorded.fact.by.person().is_some();
    let Some(extracted) = round.extractions.iter().copied().rfind(signed) else { return };
    let Some(one) = extracted.fact.by.person() else { return };
    let mut seen = Vec::new();
    for loaded in &round.loads {
        let Some(other) = loaded.fact.by.person().filter(|other| !seen.contains(&other.person())) else { continue };
        seen.push(other.person());
        let says =
            |recorded: &Recorded| format!("{}, fact {}", who(told.ledger, &recorded.fact.by), recorded.fact.number);
        let says = format!("{}; {}", says(extracted), says(loaded));
        let text = if one.person() == other.person() {
            format!("one operator held both ends: {} extracted and loaded", one.name())
        } else if one.root() == other.root() {
            let both = organisation(told.ledger.migration(), &one.root());
            format!(
                "no one operator held both ends, but one organisation did: {} extracted and {} loaded, two persons \
                 whom {both} certified",
                one.name(),
                other.name()
            )
        } else {
            format!(
                "no one operator and no one organisation held both ends: {} extracted and {} loaded, certified by \
                 two roots",
                one.name(),
                other.name()
            )
        };
        let plan = facts(told.ledger, |act| if let Act::Propose { plan } = act { Some(plan) } else { None });
        let plan = plan.iter().find(|(_, plan)| plan.digest().ok() == Some(round.consignment.plan));
        let may = plan.map_or_else(String::new, |(_, plan)| {
            let says = if plan.one_operator_both_ends { "allows" } else { "forbids" };
            format!(" The plan {says} one operator at both ends.")
        });
        told.put(&format!("{named}: {text}.{may}"), &says, Strength::Signed);
    }
}

fn sealed(manifest: &Manifest, kind: Kind) -> String {
    let tables = &manifest.tables;
    let bytes = manifest.sealed().map(|parcel| parcel.bytes).fold(0, u64::saturating_add);
    let changed = sum(tables, |table| table.transforms.values().copied().fold(0, u64::saturating_add));
    let in_scope = manifest.measured.iter().map(|measure| measure.rows_in_scope).fold(0, u64::saturating_add);
    let drawn = if kind == Kind::Rehearsal {
        format!("were drawn out of {} in scope, and sealed", count(in_scope))
    } else {
        "were in scope and sealed".to_owned()
    };
    format!(
        "of {} rows in {} tables of '{}' {} {drawn}, in {} parcels of {} bytes; {} columns were \
         taken and {} stayed; declared transforms changed {changed} values. The moment read: {}.",
        sum(tables, |table| table.rows_source),
        tables.len(),
        manifest.source,
        sum(tables, |table| table.rows),
        manifest.sealed().count(),
        count(bytes),
        sum(tables, |table| u64::from(table.columns_taken)),
        sum(tables, |table| u64::from(table.columns_left)),
        quoted(&manifest.snapshot)
    )
}

/// What the target holds.
fn result(told: &mut Told<'_>, round: &Round<'_>, named: &str) {
    for (place, (recorded, outcome)) in round.outcomes.iter().enumerate() {
        let arrived = &round.arrived(place);
        told.signed(recorded, &format!("{named}: {}", compared(outcome, arrived)));
        if let Some(text) = documents::compared(&outcome.documents, arrived) {
            told.signed(recorded, &format!("{named}: {text}"));
        }
        for counts in counts::told(outcome) {
            told.signed(recorded, &format!("{named}: {counts}"));
        }
        let opened = if outcome.opened { "a parcel opened" } else { "NO parcel opened" };
        told.signed(recorded, &format!("{named}: with both shares, before destruction, {opened} on this device."));
    }
    if let Some((recorded, reason)) = round.accepted {
        told.signed(recorded, &format!("{named}: the laboratory takes the difference as it is: '{}'.", quoted(reason)));
    }
    if let Some((recorded, reason)) = round.abandoned {
        told.signed(recorded, &format!("{named} was given up: '{}'.", quoted(reason)));
    }
    if let Some(recorded) = round.overdue {
        let load = if round.consignment.stands() { " What was loaded and reconciled before stands." } else { "" };
        told.server(recorded, &format!("{named}: its deadline passed, and it went to destruction.{load}"));
    }
}

fn compared(outcome: &Reconciliation, arrived: &Arrived) -> String {
    let rows = count(outcome.tables.iter().map(|table| table.rows_target).fold(0, u64::saturating_add));
    let unequal: Vec<String> = outcome.tables.iter().filter_map(|table| broken(table, arrived, "rows")).collect();
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

/// Where a table, or an index of documents, differs; nothing when it does not.
pub(crate) fn broken(table: &TableOutcome, arrived: &Arrived, what: &str) -> Option<String> {
    let link = arrived.broken(table)?;
    // What is counted is what differs between the parcels and the target.
    let rows = table.differing.filter(|_| table.fetched != table.target_root).map(Differing::told);
    let rows =
        rows.map_or_else(|| format!("{what} not located"), |(least, rows)| format!("{least}{} {what}", count(rows)));
    Some(format!("'{}' {link} ({rows})", table.target))
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
    let refused = if destroyed.share_shown.is_some() {
        "the ring refused the wrapped share"
    } else {
        "the ring refused to seal; there was no wrapped share left to show it"
    };
    // What a destruction there achieves is said of a key that was there.
    let achieves = destroyed.key.found.then(|| destroyed.key.achieves.clone());
    let answers: Vec<String> = achieves.into_iter().chain(destroyed.key.said.iter().map(ToString::to_string)).collect();
    let said = quoted(&answers.join("; "));
    let at = when(destroyed.key.at);
    let key = if destroyed.key.found {
        let copy = if destroyed.key.may_be_copied() { ", a copy of it may have been taken out before" } else { "" };
        format!("the ring key was destroyed at {at} ({said}){copy}; asked again, {refused}")
    } else {
        format!(
            "the key ring that was asked at {at} ({said}) had no key to destroy, and what became of the ring key is not known"
        )
    };
    format!(
        "{key}. {} sealed objects of {} bytes were deleted; afterwards {}.{}{}",
        count(destroyed.parcels),
        count(destroyed.bytes),
        listed(destroyed.left),
        lingering(destroyed),
        absent(destroyed)
    )
}

/// What a look at the shelf found.
pub(crate) fn listed(left: Left) -> String {
    let [objects, versions, unfinished] = [left.objects, left.versions, left.unfinished].map(count);
    format!("{objects} objects, {versions} older versions and {unfinished} cut uploads were listed")
}

/// What an object store keeps all the same, by name and date.
pub(crate) fn lingering(destroyed: &Destroyed) -> String {
    if destroyed.lingering.is_empty() {
        return String::new();
    }
    let named = destroyed.lingering.iter().map(|kept| {
        let until =
            kept.until.map_or_else(|| "until somebody lifts its hold".to_owned(), |at| format!("until {}", when(at)));
        format!("parcel {} of attempt {}, {} bytes, {until}", kept.parcel, kept.attempt, count(kept.bytes))
    });
    format!(" The object store lets nobody delete these yet, and keeps: {}.", named.collect::<Vec<_>>().join("; "))
}

/// What was stored and was not there any more.
fn absent(destroyed: &Destroyed) -> String {
    destroyed.absent.map_or_else(String::new, |Absent { parcels, bytes }| {
        format!(
            " {} sealed objects of {} bytes had been stored and were not on the shelf any more when it was emptied.",
            count(parcels),
            count(bytes)
        )
    })
}

fn part(round: &Round<'_>, said: &PartSaid<'_>) -> String {
    let what = match said.part {
        Part::Laboratory => "the laboratory share",
        Part::Recipient => "the opening keys",
    };
    let probe = match (said.part, said.probe, round.unshown(said)) {
        (Part::Laboratory, ..) => String::new(),
        (Part::Recipient, None, None) => " It never began to load, so that it owes no probe.".to_owned(),
        (Part::Recipient, None, Some(_)) => {
            " No probe was made before: that nothing opened any more is not shown.".to_owned()
        }
        (Part::Recipient, Some(ProbeResult::Failed), None) => {
            " Asked again with the recipient's real keys, the server gave no strongroom share and nothing held opened \
             the kept parcel."
                .to_owned()
        }
        (Part::Recipient, Some(ProbeResult::Opened), _) => {
            " A parcel STILL OPENED with the recipient's keys.".to_owned()
        }
        (Part::Recipient, Some(ProbeResult::Failed), Some(why)) => format!(" As a proof it lacks this: {why}."),
    };
    format!("the signer destroyed {what} on this device ({} in all).{probe}", said.keys)
}
