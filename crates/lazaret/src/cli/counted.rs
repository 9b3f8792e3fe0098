//! Nulls, orphans and documents of a report, as words for a screen.

use procedure::{ManifestDocuments, Orphans, Reconciliation, TableOutcome};

use crate::output::add;

/// What the rows of a compared table are.
pub(crate) fn what(report: &Reconciliation, table: &TableOutcome) -> &'static str {
    if report.documents.iter().any(|part| part.name == table.name) { "documents" } else { "rows" }
}

/// All documents, behind a number of rows; nothing when there are no folders of them.
pub(crate) fn documents(parts: &[ManifestDocuments]) -> String {
    if parts.is_empty() {
        return String::new();
    }
    let total = |of: fn(&ManifestDocuments) -> u64| parts.iter().map(of).fold(0, u64::saturating_add);
    format!(" and {} documents of {} bytes", total(|part| part.total().documents), total(|part| part.total().bytes))
}

/// Of one table: which columns have other numbers of nulls, or in how many they are the same.
pub(crate) fn nulls(table: &TableOutcome) -> String {
    let mut text = String::new();
    let mut same = 0_usize;
    for (column, nulls) in table.nulls.iter().flatten() {
        if nulls.same() {
            same = same.saturating_add(1);
        } else {
            let (s, f, t) = (nulls.sealed, nulls.fetched, nulls.target);
            add(&mut text, format_args!("    nulls in {column} DIFFERENT: {s} at S, {f} at F, {t} at T\n"));
        }
    }
    if same > 0 {
        add(&mut text, format_args!("    nulls in {same} columns, as many at S, F and T\n"));
    }
    text
}

/// Each reference that rows lead nowhere by, or that none do.
pub(crate) fn orphans(all: &[Orphans]) -> String {
    let mut text = String::new();
    let some = all.iter().filter(|orphans| !orphans.none());
    for orphans in some.clone() {
        let different = if orphans.differ() { "DIFFERENT, " } else { "" };
        add(&mut text, format_args!("  {}: orphans {different}{}\n", orphans.reference(), orphans.told()));
    }
    if !all.is_empty() && some.count() == 0 {
        add(&mut text, format_args!("  {} references between tables: no row leads nowhere\n", all.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lexicon::Digest;
    use procedure::Nulls;

    use super::*;

    #[test]
    fn only_what_differs_and_what_leads_nowhere_is_named() {
        let nulls_of = |target| TableOutcome {
            name: "patient".to_owned(),
            target: "import_patient".to_owned(),
            rows_target: 9,
            sealed: Digest([1; 32]),
            fetched: Digest([1; 32]),
            target_root: Digest([1; 32]),
            differing: None,
            nulls: Some(BTreeMap::from([
                ("born".to_owned(), Nulls { sealed: 3, fetched: 3, target }),
                ("town".to_owned(), Nulls { sealed: 1, fetched: 1, target: 1 }),
            ])),
        };
        assert_eq!(nulls(&nulls_of(3)), "    nulls in 2 columns, as many at S, F and T\n");
        assert!(nulls(&nulls_of(4)).starts_with("    nulls in born DIFFERENT: 3 at S, 3 at F, 4 at T\n"));
        let orphans_of = |source, target| Orphans {
            table: "result".to_owned(),
            columns: vec!["request".to_owned()],
            other: "request".to_owned(),
            other_columns: vec!["id".to_owned()],
            source,
            target: Some(target),
        };
        let none = orphans_of(Some(0), 0);
        assert_eq!(orphans(std::slice::from_ref(&none)), "  1 references between tables: no row leads nowhere\n");
        let told = orphans(&[none, orphans_of(Some(2), 3), orphans_of(None, 4)]);
        assert_eq!(
            told,
            "  result (request) → request (id): orphans DIFFERENT, 2 in the old system's scope, 3 in the target\n  \
             result (request) → request (id): orphans not counted in the old system, 4 in the target\n"
        );
        assert_eq!(orphans(&[]), "");
    }
}
