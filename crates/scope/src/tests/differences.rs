use arrow_array::RecordBatch;
use proptest::prelude::*;

use super::batch;
use crate::{FingerprintKeys, Fingerprinter, Kind, Scope, TableFingerprint, row_digests};

fn scope(key: &str) -> Scope {
    Scope::parse(&format!(
        "[[table]]\nname = \"t\"\nkey = [{key}]\ntake = [{{ column = \"id\", type = \"int64\" }}, \
         {{ column = \"a\", type = \"text\" }}, {{ column = \"b\", type = \"text\" }}]"
    ))
    .unwrap()
}

fn keys() -> FingerprintKeys {
    FingerprintKeys::new([1; 32], [2; 32])
}

type Row<'a> = (i64, Option<&'a str>, Option<&'a str>);

fn rows(rows: &[Row<'_>]) -> RecordBatch {
    let ids: Vec<String> = rows.iter().map(|row| row.0.to_string()).collect();
    let ids: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
    let (a, b): (Vec<_>, Vec<_>) = rows.iter().map(|row| (row.1, row.2)).unzip();
    batch(&[("id", Kind::Int64, &ids), ("a", Kind::Text, &a), ("b", Kind::Text, &b)])
}

fn print(scope: &Scope, batches: &[RecordBatch]) -> TableFingerprint {
    let mut fingerprinter = Fingerprinter::new(&keys(), &scope.tables()[0]);
    for batch in batches {
        fingerprinter.add(batch).unwrap();
    }
    fingerprinter.finish()
}

#[test]
fn null_is_not_empty_and_neighbours_do_not_run_together() {
    let scope = scope("\"id\"");
    let prints = [
        (1, None, Some("x")),
        (1, Some(""), Some("x")),
        (1, Some("x"), None),
        (1, Some("x"), Some("")),
        (1, Some("ab"), Some("c")),
        (1, Some("a"), Some("bc")),
        (1, Some("A"), Some("bc")),
        (1, Some("a "), Some("bc")),
    ]
    .map(|row| print(&scope, &[rows(&[row])]).root());
    for (place, one) in prints.iter().enumerate() {
        assert!(!prints.iter().skip(place).skip(1).any(|other| other == one), "{place}");
    }
}

#[test]
fn a_row_that_occurs_twice_is_not_a_row_that_occurs_once_or_never() {
    let scope = scope("");
    let row = (1, Some("a"), None);
    let once = print(&scope, &[rows(&[row])]);
    let twice = print(&scope, &[rows(&[row, row])]);
    let never = print(&scope, &[rows(&[])]);
    assert_eq!((never.rows, once.rows, twice.rows), (0, 1, 2));
    assert!(never.sum != twice.sum && once.sum != twice.sum);
}

#[test]
fn the_differing_row_is_found_by_its_bucket() {
    let scope = scope("\"id\"");
    let table = &scope.tables()[0];
    let source: Vec<Row<'_>> = (0..5000).map(|id| (id, Some("a"), Some("b"))).collect();
    let mut target = source.clone();
    target[1234].2 = Some("B");
    let (ours, theirs) = (print(&scope, &[rows(&source)]), print(&scope, &[rows(&target)]));
    let buckets = ours.differing(&theirs);
    assert_eq!(buckets.len(), 1);
    let ours = row_digests(&keys(), table, &rows(&source)).unwrap();
    let theirs = row_digests(&keys(), table, &rows(&target)).unwrap();
    let differing: Vec<usize> = (0..5000)
        .filter(|row| {
            buckets.contains(&ours[*row].bucket)
                && ours[*row].key == theirs[*row].key
                && ours[*row].row != theirs[*row].row
        })
        .collect();
    assert_eq!(differing, [1234]);
}

#[test]
fn the_table_its_columns_and_the_keys_are_bound_into_it() {
    let data = [rows(&[(1, Some("a"), Some("b"))])];
    let sum = |scope: &Scope, keys: &FingerprintKeys| {
        let mut fingerprinter = Fingerprinter::new(keys, &scope.tables()[0]);
        fingerprinter.add(&data[0]).unwrap();
        fingerprinter.finish().sum
    };
    let toml = scope("\"id\"").to_toml().unwrap();
    let other_table = Scope::parse(&toml.replace("\"t\"", "\"u\"")).unwrap();
    let sums = [
        sum(&scope("\"id\""), &keys()),
        sum(&other_table, &keys()),
        sum(&scope(""), &keys()),
        sum(&scope("\"id\""), &FingerprintKeys::new([3; 32], [2; 32])),
    ];
    for (place, one) in sums.iter().enumerate() {
        assert!(!sums.iter().skip(place).skip(1).any(|other| other == one), "{place}");
    }
}

#[test]
fn sums_under_other_keys_are_not_merged() {
    let scope = scope("\"id\"");
    let mut ours = Fingerprinter::new(&keys(), &scope.tables()[0]);
    let theirs = Fingerprinter::new(&FingerprintKeys::new([1; 32], [9; 32]), &scope.tables()[0]);
    assert_eq!(ours.merge(theirs).unwrap_err().code(), lexicon::Code(318));
}

#[test]
fn keys_show_nothing_of_themselves() {
    assert_eq!(format!("{:?}", keys()), "FingerprintKeys(..)");
}

#[test]
fn zero_and_not_a_number_have_one_form_each() {
    let scope = Scope::parse("[[table]]\nname = \"t\"\ntake = [{ column = \"f\", type = \"float64\" }]").unwrap();
    let of = |value: f64| {
        let column: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::Float64Array::from(vec![value]));
        print(&scope, &[RecordBatch::try_from_iter([("f", column)]).unwrap()]).sum
    };
    assert_eq!(of(0.0), of(-0.0));
    assert_eq!(of(f64::NAN), of(-f64::NAN));
    assert_ne!(of(0.0), of(f64::MIN_POSITIVE));
}

#[test]
fn a_batch_in_another_shape_is_not_fingerprinted() {
    let scope = scope("\"id\"");
    let mut fingerprinter = Fingerprinter::new(&keys(), &scope.tables()[0]);
    let ids: &[Option<&str>] = &[Some("1")];
    for wrong in [
        batch(&[("id", Kind::Int64, ids), ("a", Kind::Text, ids)]),
        batch(&[("id", Kind::Int64, ids), ("b", Kind::Text, ids), ("a", Kind::Text, ids)]),
        batch(&[("id", Kind::UInt64, ids), ("a", Kind::Text, ids), ("b", Kind::Text, ids)]),
    ] {
        assert_eq!(fingerprinter.add(&wrong).unwrap_err().code(), lexicon::Code(318));
    }
    assert_eq!(fingerprinter.finish().rows, 0);
}

#[test]
fn a_fingerprint_reads_back_from_its_rows_and_a_forged_one_is_an_alarm() {
    let scope = scope("\"id\"");
    let all: Vec<Row<'_>> = (0..100).map(|id| (id, Some("a"), None)).collect();
    let (full, empty) = (print(&scope, &[rows(&all)]), print(&scope, &[]));
    let written = full.to_batch().unwrap();
    let cut = [written.slice(0, 7), written.slice(7, written.num_rows().saturating_sub(7))];
    assert_eq!(TableFingerprint::from_batches(&cut).unwrap().first(), Some(&full));
    assert_eq!(TableFingerprint::from_batches(&[empty.to_batch().unwrap()]).unwrap(), [empty]);
    let twice = [written.clone(), written];
    assert_eq!(TableFingerprint::from_batches(&twice).unwrap_err().code(), lexicon::Code(319));
}

proptest! {
    #[test]
    fn neither_the_order_of_rows_nor_the_cut_into_batches_matters(
        texts in proptest::collection::vec(proptest::option::of("[a-c]{0,3}"), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let scope = scope("\"id\"");
        let all: Vec<Row<'_>> = (0..).zip(&texts).map(|(id, text)| (id, text.as_deref(), Some("b"))).collect();
        let reversed: Vec<Row<'_>> = all.iter().rev().copied().collect();
        let (first, second) = reversed.split_at(cut.index(all.len()));
        let whole = print(&scope, &[rows(&all)]);
        let mut merged = Fingerprinter::new(&keys(), &scope.tables()[0]);
        merged.add(&rows(first)).unwrap();
        let mut other = Fingerprinter::new(&keys(), &scope.tables()[0]);
        other.add(&rows(second)).unwrap();
        merged.merge(other).unwrap();
        prop_assert_eq!(merged.finish().root(), whole.root());
    }

    #[test]
    fn one_changed_value_changes_the_fingerprint_in_one_bucket(
        texts in proptest::collection::vec("[a-c]{0,3}", 1..40),
        at in any::<prop::sample::Index>(),
    ) {
        let scope = scope("\"id\"");
        let all: Vec<Row<'_>> = (0..).zip(&texts).map(|(id, text)| (id, Some(text.as_str()), None)).collect();
        let mut changed = all.clone();
        changed[at.index(all.len())].1 = Some("d");
        let (ours, theirs) = (print(&scope, &[rows(&all)]), print(&scope, &[rows(&changed)]));
        prop_assert_ne!(ours.root(), theirs.root());
        prop_assert_eq!(ours.differing(&theirs).len(), 1);
    }
}
