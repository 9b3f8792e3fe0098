//! Folders of documents of a consignment, as statements and as a table.

use std::fmt::{Result, Write};

use procedure::{Arrived, DocumentsOfKind, Manifest, ManifestDocuments, Reconciliation, TableOutcome};

use crate::markdown::cell;
use crate::rounds::broken;
use crate::statements::{count, quoted};

/// What left the old system.
pub(crate) fn sealed(part: &ManifestDocuments) -> String {
    let kinds: Vec<String> = part.kinds.iter().map(|(kind, counted)| of_kind(kind, *counted)).collect();
    let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
    format!(
        "of {} documents of '{}' in scope {} were sealed, each as a whole, since nothing can look into them: {kinds}. {} \
         files of the folder stayed. Names and digests of documents stand in a sealed index.",
        count(part.index.rows_source),
        quoted(&part.index.name),
        count(part.index.rows),
        count(part.stayed)
    )
}

fn of_kind(kind: &str, counted: DocumentsOfKind) -> String {
    format!("{} {} of {} bytes", count(counted.documents), quoted(kind), count(counted.bytes))
}

/// What the target's folders hold; nothing when there are none.
pub(crate) fn compared(parts: &[TableOutcome], arrived: &Arrived) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let unequal: Vec<String> = parts.iter().filter_map(|part| broken(part, arrived, "documents")).collect();
    let documents = parts.iter().map(|part| part.rows_target).fold(0, u64::saturating_add);
    Some(if unequal.is_empty() {
        format!(
            "by name, kind, length and SHA-256, the documents sealed, those fetched and those in the target's folders are \
             the same {}.",
            count(documents)
        )
    } else {
        format!("of {} folders of documents these differ: {}.", parts.len(), unequal.join("; "))
    })
}

/// Every folder, by kind.
pub(crate) fn table(
    page: &mut String,
    manifest: &Manifest,
    (outcome, arrived): (Option<&Reconciliation>, &Arrived),
) -> Result {
    if manifest.documents.is_empty() {
        return Ok(());
    }
    writeln!(page, "| documents | kind | in scope | sealed | bytes | target | |\n|---|---|---:|---:|---:|---|---|")?;
    for (place, part) in manifest.documents.iter().enumerate() {
        let found = outcome.and_then(|outcome| outcome.documents.get(place));
        let same = found.map_or("not loaded", |found| arrived.broken(found).unwrap_or("equal"));
        for (kind, in_scope) in &part.in_scope {
            let sealed = part.kinds.get(kind).copied().unwrap_or_default();
            writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {same} |",
                cell(&part.index.name),
                cell(kind),
                count(in_scope.documents),
                count(sealed.documents),
                count(sealed.bytes),
                cell(&part.index.target)
            )?;
        }
    }
    writeln!(page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lexicon::Digest;
    use procedure::{Differing, ManifestTable};

    use super::*;

    fn part() -> ManifestDocuments {
        let of = |documents, bytes| BTreeMap::from([("pdf".to_owned(), DocumentsOfKind { documents, bytes })]);
        let index = ManifestTable {
            name: "reports".to_owned(),
            target: "comptes-rendus".to_owned(),
            rows_source: 4_000,
            rows: 1_000,
            root: Digest([1; 32]),
            columns_taken: 4,
            columns_left: 0,
            transforms: BTreeMap::new(),
            nulls: None,
        };
        ManifestDocuments {
            index,
            in_scope: of(4_000, 9_000_000),
            kinds: of(1_000, 2_000_000),
            stayed: 3,
            parcels: vec![],
        }
    }

    fn outcome(target_root: u8) -> TableOutcome {
        TableOutcome {
            name: "reports".to_owned(),
            target: "comptes-rendus".to_owned(),
            rows_target: 1_000,
            sealed: Digest([1; 32]),
            fetched: Digest([1; 32]),
            target_root: Digest([target_root; 32]),
            differing: Some(Differing::Exactly(2)),
            nulls: None,
        }
    }

    #[test]
    fn documents_are_told_by_kind_and_what_stayed_by_number() {
        let told = sealed(&part());
        for words in ["of 4,000 documents of 'reports' in scope 1,000", "1,000 pdf of 2,000,000 bytes", "3 files"] {
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_difference_is_told_with_its_link_and_its_number() {
        let arrived = &Arrived::default();
        assert_eq!(compared(&[], arrived), None);
        assert!(compared(&[outcome(1)], arrived).unwrap().ends_with("the same 1,000."));
        let told = compared(&[outcome(2)], arrived).unwrap();
        assert!(told.contains("'comptes-rendus' between fetching and the target (2 documents)"), "{told}");
    }
}
