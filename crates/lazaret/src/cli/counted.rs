//! Nulls, orphans and documents of a report, as words for a screen.

use passage::{Found, KeysInClear, Located, Suspected};
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

/// What the sums tell of a table that was sealed otherwise than it was read.
pub(crate) fn suspected(of: &Suspected) -> String {
    let Suspected { buckets, rows_among, rows_missing, keys_named, .. } = *of;
    let mut text = format!("    in {buckets} of 4096 buckets of keys at least one row was not sealed as it was read");
    if rows_missing > 0 {
        add(&mut text, format_args!("; the parcels have {rows_missing} rows fewer there than were read"));
    }
    add(&mut text, format_args!("; the parcels have {rows_among} rows there"));
    text.push_str(match rows_among.saturating_sub(keys_named) {
        0 if keys_named == 0 => "\n",
        0 => ", any of which it may be:\n",
        _ => ", any of which it may be, and ",
    });
    if rows_among > keys_named {
        add(&mut text, format_args!("no more than {keys_named} of them are named:\n"));
    }
    text
}

/// One row that differs, with its key in clear where that was asked for.
pub(crate) fn located(row: &Located, keys: &KeysInClear) -> String {
    let found = match row.found {
        Found::Missing => "missing in the target",
        Found::Changed => "other values in the target",
        Found::Surplus => "in the target only",
        Found::Suspect => "one of those",
        Found::NotSealed => "in the old system, and in no parcel",
        Found::SealedOtherwise => "sealed with other values than the old system has",
        Found::SealedOnly => "in the parcels, and not in the old system",
    };
    let key = keys.of(&row.table, &row.key).map(|key| format!(" ({})", key.told())).unwrap_or_default();
    format!("    key {}{key}: {found}\n", row.key)
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
    fn a_list_of_suspects_that_is_cut_says_so() {
        let suspected_of = |rows_among, rows_missing, keys_named| {
            suspected(&Suspected { table: "result".to_owned(), buckets: 1, rows_among, rows_missing, keys_named })
        };
        let there = "    in 1 of 4096 buckets of keys at least one row was not sealed as it was read; the parcels have";
        let of_many =
            format!("{there} 1220 rows there, any of which it may be, and no more than 20 of them are named:\n");
        assert_eq!(suspected_of(1_220, 0, 20), of_many);
        assert_eq!(suspected_of(2, 0, 2), format!("{there} 2 rows there, any of which it may be:\n"));
        let fewer = format!("{there} 1 rows fewer there than were read; the parcels have 0 rows there\n");
        assert_eq!(suspected_of(0, 1, 0), fewer);
    }

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
