use lexicon::Code;

use super::batch;
use crate::{Kind, Lookups, Rows, Scope, Tally};

const SCOPE: &str = r#"
[[table]]
name = "patient"
target = "import_patient"
key = ["patient_id"]
take = [{ column = "patient_id", type = "int64" }, { column = "name", as = "full_name", type = "text" }]
leave = ["portal_password", "spouse_name", "created_at"]
where = "created_at >= date '2019-01-01' and exists in specimen (patient_id = patient_id)"

[[table]]
name = "specimen"
key = ["specimen_id"]
take = [{ column = "specimen_id", type = "int64" }, { column = "patient_id", type = "int64" }]
leave = ["status"]
where = "status <> 'lost'"
"#;

fn dump() -> arrow_array::RecordBatch {
    batch(&[
        ("patient_id", Kind::Int64, &[Some("1"), Some("2"), Some("3"), Some("4"), None]),
        ("name", Kind::Text, &[Some("Ada"), Some("Bo"), Some("Cy"), Some("Di"), Some("Ed")]),
        ("portal_password", Kind::Text, &[Some("SENTINEL"); 5]),
        ("spouse_name", Kind::Text, &[Some("SENTINEL"); 5]),
        (
            "created_at",
            Kind::Date,
            &[Some("2020-01-01"), Some("2018-12-31"), Some("2019-01-01"), Some("2021-01-01"), Some("2021-01-01")],
        ),
    ])
}

fn specimens() -> arrow_array::RecordBatch {
    batch(&[
        ("specimen_id", Kind::Int64, &[Some("10"), Some("11"), Some("12"), Some("13"), Some("14")]),
        ("patient_id", Kind::Int64, &[Some("1"), Some("2"), Some("3"), Some("4"), None]),
        ("status", Kind::Text, &[Some("done"), Some("done"), Some("done"), Some("lost"), Some("done")]),
    ])
}

#[test]
fn a_full_dump_leaves_everything_out_of_scope_behind() {
    let scope = Scope::parse(SCOPE).unwrap();
    assert_eq!(Lookups::order(&scope), ["specimen"]);
    let mut lookups = Lookups::default();
    lookups.collect(&scope, "specimen", &specimens()).unwrap();
    let mut tally = Tally::default();
    let scoped = scope.admit("patient", &dump(), Rows::Filter(&lookups), &mut tally).unwrap();
    assert_eq!(scoped.rows(), 2);
    assert_eq!(scoped.batch().schema(), scope.table("patient").unwrap().target_schema());
    let shown = format!("{:?}", scoped.batch());
    assert!(shown.contains("Ada") && shown.contains("Cy"));
    for gone in ["SENTINEL", "Bo", "Di", "Ed", "portal_password", "spouse_name"] {
        assert!(!shown.contains(gone), "{gone}");
    }
    let counts = &tally.tables["patient"];
    assert_eq!((counts.rows_in, counts.rows_admitted, counts.columns.len()), (5, 2, 0));
}

#[test]
fn a_column_that_the_scope_does_not_name_stops_the_batch() {
    let scope = Scope::parse(SCOPE).unwrap();
    let ids: &[Option<&str>] = &[Some("1")];
    let raw = batch(&[("patient_id", Kind::Int64, ids), ("name", Kind::Text, ids), ("hiv_status", Kind::Text, ids)]);
    let mut tally = Tally::default();
    let trouble = scope.admit("patient", &raw, Rows::AlreadyFiltered, &mut tally).unwrap_err();
    assert_eq!(trouble.code(), Code(311));
    assert!(trouble.to_string().contains("hiv_status"));
    assert_eq!(tally, Tally::default());
}

#[test]
fn a_column_of_another_type_stops_the_batch() {
    let scope = Scope::parse(SCOPE).unwrap();
    let raw = batch(&[("patient_id", Kind::Text, &[Some("1")]), ("name", Kind::Text, &[Some("Ada")])]);
    let trouble = scope.admit("patient", &raw, Rows::AlreadyFiltered, &mut Tally::default()).unwrap_err();
    assert_eq!(trouble.code(), Code(313));
}

#[test]
fn a_table_outside_the_scope_is_refused() {
    let scope = Scope::parse(SCOPE).unwrap();
    let trouble = scope.admit("user", &dump(), Rows::AlreadyFiltered, &mut Tally::default()).unwrap_err();
    assert_eq!(trouble.code(), Code(312));
}

#[test]
fn a_filter_without_the_other_table_s_keys_admits_nothing() {
    let scope = Scope::parse(SCOPE).unwrap();
    let trouble =
        scope.admit("patient", &dump(), Rows::Filter(&Lookups::default()), &mut Tally::default()).unwrap_err();
    assert_eq!(trouble.code(), Code(316));
}

#[test]
fn a_filter_without_the_column_that_it_looks_at_admits_nothing() {
    let scope = Scope::parse(SCOPE).unwrap();
    let raw = batch(&[("patient_id", Kind::Int64, &[Some("1")]), ("name", Kind::Text, &[Some("Ada")])]);
    let mut lookups = Lookups::default();
    lookups.collect(&scope, "specimen", &specimens()).unwrap();
    let trouble = scope.admit("patient", &raw, Rows::Filter(&lookups), &mut Tally::default()).unwrap_err();
    assert_eq!(trouble.code(), Code(313));
}
