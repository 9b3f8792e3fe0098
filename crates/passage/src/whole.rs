//! Whether a manifest is of everything that was approved. The procedure knows the scope by its digest only; what it lists
//! is held here, by whoever extracts, releases and loads.

use std::sync::Arc;

use desk::Desk;
use lexicon::{Alarm, Code, ConsignmentId, MigrationId, Result};
use procedure::{Consignment, Kind, Ledger, Manifest, ManifestDocuments, ManifestTable};
use scope::{DocumentCount, DocumentKind, DocumentsScope, Others, Sampling, TableScope};

use crate::errand::{Papers, known, papers};
use crate::rehearsal;

/// Whether what was closed is what was approved, as far as a manifest shows: for whoever is about to release it.
///
/// # Errors
/// A refusal when nothing is closed, or when a table has not the rows that it should have; an alarm when the manifest is of
/// other tables or columns than the approved scope. What [`check_papers`](crate::check_papers) refuses.
pub async fn check_manifest(
    desk: &Desk,
    migration: MigrationId,
    ledger: &Ledger,
    consignment: ConsignmentId,
) -> Result<()> {
    let papers = papers(desk, migration, ledger).await?;
    let consignment = known(ledger.migration(), consignment)?;
    whole(&papers, consignment, closed(consignment)?)
}

/// The manifest that stands.
pub(crate) fn closed(consignment: &Consignment) -> Result<&Arc<Manifest>> {
    let (_, manifest) = consignment.manifest.as_ref().ok_or_else(|| {
        lexicon::Refusal::new(
            Code(631),
            "the consignment is not closed",
            "Wait for the extraction; see `lazaret next`.",
        )
    })?;
    Ok(manifest)
}

/// Holds a manifest against scope and report: exactly the scope's tables, in its order, each under its target's name and
/// with as many columns taken and left, and its folders of documents, of taken kinds only. Of a full round each table has
/// the rows that the report counted, of a rehearsal a sample of them, of the size that extraction holds it to.
pub(crate) fn whole(papers: &Papers, consignment: &Consignment, manifest: &Manifest) -> Result<()> {
    let count = |columns: usize| u32::try_from(columns).unwrap_or(u32::MAX);
    let same = |(line, table): (&ManifestTable, &TableScope)| {
        (&line.name, &line.target) == (&table.name, &table.target)
            && (line.columns_taken, line.columns_left) == (count(table.take.len()), count(table.leave.len()))
    };
    let (tables, parts) = (papers.scope.tables(), papers.scope.documents());
    let every = (manifest.tables.len(), manifest.documents.len()) == (tables.len(), parts.len());
    let documents = || manifest.documents.iter().zip(parts);
    if !every || !manifest.tables.iter().zip(tables).all(same) || !documents().all(of_part) {
        let text =
            "the manifest is not of the tables and columns of the approved scope: something was left out or added";
        return Err(Alarm::new(Code(643), text).into());
    }
    let everything = consignment.kind == Kind::Full;
    for (line, part) in documents().filter(|_| consignment.kind != Kind::Delta) {
        papers.report.holds_documents(&part.name, &in_scope(line))?;
        if everything && line.kinds != line.in_scope {
            let text = format!("the manifest leaves documents of '{}' out that are in scope", part.name);
            return Err(Alarm::new(Code(649), text).into());
        }
        if let Some(sample) = rehearsal::sample(consignment) {
            sample.holds_documents(&part.name, line.index.rows_source, line.index.rows)?;
        }
    }
    match consignment.kind {
        Kind::Full => manifest.tables.iter().try_for_each(|line| papers.report.holds(&line.name, line.rows)),
        Kind::Rehearsal => sampled(papers, consignment, manifest),
        // What changed since the full round was counted by no report.
        Kind::Delta => Ok(()),
    }
}

fn sampled(papers: &Papers, consignment: &Consignment, manifest: &Manifest) -> Result<()> {
    let Some(sample) = rehearsal::sample(consignment) else { return Ok(()) };
    let in_scope = manifest.measured.iter().map(|measure| (measure.name.clone(), measure.rows_in_scope));
    let sampling = Sampling::new(&papers.scope, sample, in_scope.collect());
    for measure in &manifest.measured {
        papers.report.holds(&measure.name, measure.rows_in_scope)?;
    }
    manifest.tables.iter().try_for_each(|line| sampling.holds(&papers.scope, &line.name, line.rows))
}

/// Whether it is the part's, of taken kinds, with nothing beside them that the scope refuses.
fn of_part((line, part): (&ManifestDocuments, &DocumentsScope)) -> bool {
    let index = part.index();
    let taken = |kind: &String| DocumentKind::named(kind).is_some_and(|kind| part.take.contains(&kind));
    (&line.index.name, &line.index.target) == (&part.name, &part.target)
        && usize::try_from(line.index.columns_taken).is_ok_and(|columns| columns == index.take.len())
        && line.kinds.keys().chain(line.in_scope.keys()).all(taken)
        && (part.others == Others::Leave || part.listed.is_some() || line.stayed == 0)
}

fn in_scope(line: &ManifestDocuments) -> std::collections::BTreeMap<DocumentKind, DocumentCount> {
    let counted = line.in_scope.iter().filter_map(|(kind, count)| {
        let (documents, bytes) = (count.documents, count.bytes);
        Some((DocumentKind::named(kind)?, DocumentCount { documents, bytes }))
    });
    counted.collect()
}
