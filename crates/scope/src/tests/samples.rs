//! A rehearsal's sample, as a function of seed and rows.
#![expect(clippy::arithmetic_side_effects, reason = "numbers of rows that this file makes itself")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use lexicon::{Code, Digest};

use super::batch;
use crate::{Kind, Lookups, Rows, Sample, Sampling, Scope, Tally, WHOLE_ROWS_MAX};

const DRAWN: Digest = Digest([1; 32]);

const SCOPE: &str = r#"
[[table]]
name = "result"
key = ["result_id"]
take = [{ column = "result_id", type = "int64" }, { column = "request_id", type = "int64" }]
where = "result_id <> 3 and exists in request (request_id = request_id)"

[[table]]
name = "request"
key = ["request_id"]
take = [{ column = "request_id", type = "int64" }, { column = "patient_id", type = "int64" }]
where = "exists in patient (patient_id = patient_id)"

[[table]]
name = "patient"
key = ["patient_id"]
take = [{ column = "patient_id", type = "int64" }]
where = "patient_id > 10"

[[table]]
name = "ward"
take = [{ column = "ward", type = "int64" }]
"#;

const PATIENTS: u64 = 3_000;

fn column(name: &str, values: impl Iterator<Item = u64>) -> RecordBatch {
    let texts: Vec<String> = values.map(|value| value.to_string()).collect();
    let values: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    batch(&[(name, Kind::Int64, &values)])
}

fn beside(one: &RecordBatch, other: &RecordBatch) -> RecordBatch {
    let fields: Vec<_> = one.schema().fields().iter().chain(other.schema().fields()).cloned().collect();
    let columns = one.columns().iter().chain(other.columns()).cloned().collect();
    RecordBatch::try_new(std::sync::Arc::new(arrow_schema::Schema::new(fields)), columns).unwrap()
}

/// Patients 1 to 3,000; of each a request of the same number; of each of those two results.
fn dump(table: &str) -> RecordBatch {
    DUMPS[table].clone()
}

static DUMPS: LazyLock<BTreeMap<&str, RecordBatch>> =
    LazyLock::new(|| ["patient", "request", "result", "ward"].map(|table| (table, dumped(table))).into());

fn dumped(table: &str) -> RecordBatch {
    match table {
        "patient" => column("patient_id", 1..=PATIENTS),
        "request" => beside(&column("request_id", 1..=PATIENTS), &column("patient_id", 1..=PATIENTS)),
        "result" => beside(
            &column("result_id", 1..=PATIENTS * 2),
            &column("request_id", (0..PATIENTS * 2).map(|result| result / 2 + 1)),
        ),
        _ => column("ward", 1..=WHOLE_ROWS_MAX),
    }
}

fn rows() -> BTreeMap<String, u64> {
    let rows = [
        ("patient", PATIENTS - 10),
        ("request", PATIENTS - 10),
        ("result", (PATIENTS - 10) * 2),
        ("ward", WHOLE_ROWS_MAX),
    ];
    rows.map(|(table, rows)| (table.to_owned(), rows)).into()
}

/// The sampled values of each table, column by column.
fn drawn(scope: &Scope, sample: Sample) -> (Sampling, BTreeMap<String, Vec<Vec<i64>>>) {
    let mut all = Lookups::default();
    for table in Lookups::order(scope) {
        all.collect(scope, table, &dump(table)).unwrap();
    }
    let mut sampling = Sampling::new(scope, sample, rows());
    for table in Lookups::order(scope) {
        // However a source cuts its rows.
        let whole = dump(table);
        let cut = whole.num_rows() / 3;
        sampling.collect(scope, table, &whole.slice(0, cut), Some(&all)).unwrap();
        sampling.collect(scope, table, &whole.slice(cut, whole.num_rows() - cut), Some(&all)).unwrap();
    }
    let tables = scope.tables().iter().map(|table| {
        let rows = Rows::Sample(&sampling, Some(&all));
        let admitted = scope.admit(&table.name, &dump(&table.name), rows, &mut Tally::default()).unwrap();
        let columns = admitted.batch().columns().iter();
        let columns = columns.map(|column| column.as_primitive::<Int64Type>().values().to_vec()).collect();
        (table.name.clone(), columns)
    });
    let tables = tables.collect();
    (sampling, tables)
}

#[test]
fn a_sample_is_closed_in_scope_of_its_size_and_the_same_for_the_same_seed() {
    let scope = Scope::parse(SCOPE).unwrap();
    let mut different = BTreeSet::new();
    for seed in 0..20 {
        let sample = Sample { seed, drawn: DRAWN, basis_points: 500 };
        let (sampling, tables) = drawn(&scope, sample);
        let set = |table: &str, column: usize| tables[table][column].iter().copied().collect::<BTreeSet<i64>>();
        assert!(set("request", 1).is_subset(&set("patient", 0)), "seed {seed}: a request without its patient");
        assert!(set("result", 1).is_subset(&set("request", 0)), "seed {seed}: a result without its request");
        // And nothing of a sampled patient is missing.
        assert_eq!(set("request", 1), set("patient", 0), "seed {seed}");
        assert_eq!(set("result", 1), set("request", 0), "seed {seed}");
        assert!(set("patient", 0).iter().all(|patient| *patient > 10), "seed {seed}");
        assert_eq!(u64::try_from(tables["ward"][0].len()).unwrap(), WHOLE_ROWS_MAX);
        for (table, columns) in &tables {
            sampling.holds(&scope, table, u64::try_from(columns[0].len()).unwrap()).unwrap();
        }
        assert_eq!(tables, drawn(&scope, sample).1, "seed {seed}");
        different.insert(tables["patient"][0].clone());
    }
    assert!(different.len() == 20, "another seed is another sample");
    let drawn_otherwise = Sample { seed: 0, drawn: Digest([2; 32]), basis_points: 500 };
    assert!(different.insert(drawn(&scope, drawn_otherwise).1["patient"][0].clone()), "the seed alone chose it");
}

#[test]
fn each_table_and_each_row_is_drawn_by_itself() {
    // One percentage includes every smaller one of the same seed: a larger rehearsal holds the smaller.
    let scope = Scope::parse(SCOPE).unwrap();
    let patients = |basis_points| {
        let (_, tables) = drawn(&scope, Sample { seed: 3, drawn: DRAWN, basis_points });
        tables["patient"][0].iter().copied().collect::<BTreeSet<i64>>()
    };
    let (small, large, all) = (patients(100), patients(1_000), patients(10_000));
    assert!(small.is_subset(&large) && small.len() < large.len());
    assert_eq!(u64::try_from(all.len()).unwrap(), PATIENTS - 10);
}

#[test]
fn a_sample_of_another_size_is_refused() {
    let scope = Scope::parse(SCOPE).unwrap();
    let (sampling, tables) = drawn(&scope, Sample { seed: 1, drawn: DRAWN, basis_points: 1_000 });
    let expected = 299;
    sampling.holds(&scope, "patient", expected).unwrap();
    // 2 % are 6 rows, four deviations of the binomial 65.
    for (rows, holds) in [(226, false), (227, true), (371, true), (372, false)] {
        assert_eq!(sampling.holds(&scope, "patient", rows).is_ok(), holds, "{rows}");
    }
    assert_eq!(sampling.holds(&scope, "patient", 600).unwrap_err().code(), Code(326));
    // A table that hangs on patients spreads as their clusters do.
    let results = u64::try_from(tables["result"][0].len()).unwrap();
    sampling.holds(&scope, "result", results).unwrap();
    assert_eq!(sampling.holds(&scope, "result", 1_300).unwrap_err().code(), Code(326));
    assert_eq!(sampling.holds(&scope, "ward", WHOLE_ROWS_MAX - 1).unwrap_err().code(), Code(326));
    assert_eq!(sampling.holds(&scope, "request", PATIENTS).unwrap_err().code(), Code(326));
}

#[test]
fn a_long_list_without_a_predicate_is_drawn_row_by_row() {
    let scope = Scope::parse(SCOPE).unwrap();
    let mut many = rows();
    many.insert("ward".to_owned(), WHOLE_ROWS_MAX + 1);
    let sampling = Sampling::new(&scope, Sample { seed: 1, drawn: DRAWN, basis_points: 2_000 }, many);
    let rows = Rows::Sample(&sampling, None);
    let admitted = scope.admit("ward", &dump("ward"), rows, &mut Tally::default()).unwrap();
    assert!((150..250).contains(&admitted.rows()), "{}", admitted.rows());
}

#[test]
fn values_without_an_image_are_added_up_over_batches() {
    let toml = "[[table]]\nname = \"t\"\ntake = [\n  { column = \"a\", type = \"int64\", from = \"text\" },\n  \
                { column = \"b\", type = \"text\", map = { x = \"y\" } },\n]\n";
    let scope = Scope::parse(toml).unwrap();
    let mut tally = Tally::default();
    for _ in 0..3 {
        let raw = batch(&[("a", Kind::Text, &[Some("1"), Some("one")]), ("b", Kind::Text, &[Some("q"), Some("x")])]);
        scope.admit("t", &raw, Rows::AlreadyFiltered, &mut tally).unwrap_err();
    }
    let told = tally.tables["t"].refusal("t").unwrap().to_string();
    assert!(told.contains("3 values in column a of table t do not become"), "{told}");
    assert!(told.contains("3 values in column b of table t are not in the code map"), "{told}");
    assert!(!told.contains("one") && !told.contains('q'), "{told}");
    assert_eq!(tally.tables["t"].rows_admitted, 0);
}
