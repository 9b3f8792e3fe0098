use lexicon::Code;

use super::{array, batch};
use crate::{ColumnTally, Kind, Rows, Scope, Tally};

/// A scope of one table `t` with the one column `x`.
fn scope(take: &str) -> lexicon::Result<Scope> {
    Scope::parse(&format!("[[table]]\nname = \"t\"\ntake = [{{ column = \"x\", {take} }}]"))
}

/// Sends the values through; gives the column's values as they left, and its counts.
fn through(take: &str, from: Kind, values: &[Option<&str>]) -> lexicon::Result<(Vec<Option<String>>, ColumnTally)> {
    let scope = scope(take).unwrap();
    let mut tally = Tally::default();
    let raw = batch(&[("x", from, values)]);
    let scoped = scope.admit("t", &raw, Rows::AlreadyFiltered, &mut tally)?;
    let kind = scope.table("t").unwrap().take[0].kind;
    let column = crate::value::Column::of(kind, scoped.batch().column(0)).unwrap();
    let texts = (0..values.len()).map(|row| column.text(row)).collect();
    Ok((texts, tally.tables["t"].columns.get("x").copied().unwrap_or_default()))
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[test]
fn a_column_without_a_transform_is_passed_on_as_it_is() {
    let raw = batch(&[("x", Kind::Text, &[Some(" a "), None, Some("")])]);
    let scoped =
        scope("type = \"text\"").unwrap().admit("t", &raw, Rows::AlreadyFiltered, &mut Tally::default()).unwrap();
    assert_eq!(scoped.batch().column(0).to_data(), raw.column(0).to_data());
}

#[test]
fn blanks_are_trimmed_where_asked_and_counted() {
    let values = [Some("a "), Some(" b "), Some("c"), None];
    let (texts, counts) = through("type = \"text\", trim = \"end\"", Kind::Text, &values).unwrap();
    assert_eq!(texts, [some(&["a", " b", "c"]), vec![None]].concat());
    assert_eq!(counts, ColumnTally { trimmed: 2, ..ColumnTally::default() });
    let (texts, _) = through("type = \"text\", trim = \"both\"", Kind::Text, &values).unwrap();
    assert_eq!(texts, [some(&["a", "b", "c"]), vec![None]].concat());
}

#[test]
fn a_day_that_is_none_becomes_null_and_is_counted() {
    let values = [Some("0000-00-00"), Some("2019-01-31"), None];
    let (texts, counts) = through("type = \"date\", null_if = [\"0000-00-00\"]", Kind::Text, &values).unwrap();
    assert_eq!(texts, [None, Some("2019-01-31".to_owned()), None]);
    assert_eq!(counts, ColumnTally { nulled: 1, ..ColumnTally::default() });
}

#[test]
fn a_day_that_is_none_and_is_not_listed_is_refused_with_its_number_only() {
    let trouble = through("type = \"date\", null_if = [\"0000-00-00\"]", Kind::Text, &[Some("2019-02-30"), Some("x")])
        .unwrap_err();
    assert_eq!(trouble.code(), Code(314));
    assert!(trouble.to_string().starts_with("2 values in column x of table t"), "{trouble}");
    assert!(!trouble.to_string().contains("2019"));
}

#[test]
fn a_code_outside_the_map_is_refused() {
    let take = "type = \"text\", map = { M = \"H\", F = \"F\" }";
    let (texts, counts) = through(take, Kind::Text, &[Some("M"), Some("F"), None]).unwrap();
    assert_eq!(texts, [Some("H".to_owned()), Some("F".to_owned()), None]);
    assert_eq!(counts.mapped, 1);
    assert_eq!(through(take, Kind::Text, &[Some("m")]).unwrap_err().code(), Code(314));
}

#[test]
fn a_code_map_may_lead_to_another_type() {
    let take = "type = \"bool\", from = \"int64\", map = { 1 = \"true\", 2 = \"false\" }";
    assert_eq!(through(take, Kind::Int64, &[Some("1"), Some("2")]).unwrap().0, some(&["true", "false"]));
}

#[test]
fn old_character_sets_are_decoded_strictly() {
    let scope = scope("type = \"text\", charset = \"cp1252\"").unwrap();
    let admit = |bytes: &[u8]| {
        let column: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::BinaryArray::from(vec![bytes]));
        let raw = arrow_array::RecordBatch::try_from_iter([("x", column)]).unwrap();
        scope.admit("t", &raw, Rows::AlreadyFiltered, &mut Tally::default())
    };
    assert_eq!(admit(b"c\x9cur").unwrap().batch().column(0).to_data(), array(Kind::Text, &[Some("cœur")]).to_data());
    assert_eq!(admit(b"\x81").unwrap_err().code(), Code(314));
}

#[test]
fn casts_lose_nothing_or_refuse() {
    let cast =
        |take: &str, from: Kind, value: &str| through(take, from, &[Some(value)]).map(|out| out.0[0].clone().unwrap());
    let decimal = Kind::Decimal { precision: 10, scale: 2 };
    for (take, from, value, expected) in [
        ("type = \"int64\", from = \"text\"", Kind::Text, "42", "42"),
        ("type = \"text\", from = \"int64\"", Kind::Int64, "42", "42"),
        ("type = \"int64\", from = \"decimal(10,2)\"", decimal, "42", "42"),
        ("type = \"decimal(10,2)\", from = \"text\"", Kind::Text, "4.5", "4.50"),
        ("type = \"uint64\", from = \"int64\"", Kind::Int64, "42", "42"),
        ("type = \"int64\", from = \"bool\"", Kind::Bool, "true", "1"),
        ("type = \"timestamp\", from = \"date\"", Kind::Date, "2019-01-31", "2019-01-31 00:00:00"),
        ("type = \"date\", from = \"timestamp\"", Kind::Timestamp, "2019-01-31 00:00:00", "2019-01-31"),
    ] {
        assert_eq!(cast(take, from, value).unwrap(), expected, "{take}");
    }
    for (take, from, value) in [
        ("type = \"int64\", from = \"text\"", Kind::Text, "007"),
        ("type = \"int64\", from = \"decimal(10,2)\"", decimal, "42.01"),
        ("type = \"decimal(10,2)\", from = \"text\"", Kind::Text, "4,5"),
        ("type = \"float64\", from = \"text\"", Kind::Text, "9007199254740993"),
        ("type = \"float64\", from = \"text\"", Kind::Text, "1e-400"),
        ("type = \"uint64\", from = \"int64\"", Kind::Int64, "-1"),
        ("type = \"bool\", from = \"int64\"", Kind::Int64, "2"),
        ("type = \"date\", from = \"timestamp\"", Kind::Timestamp, "2019-01-31 00:00:01"),
    ] {
        assert_eq!(cast(take, from, value).unwrap_err().code(), Code(314), "{take}");
    }
}

#[test]
fn a_local_time_becomes_a_moment_by_its_named_zone() {
    let take = "type = \"timestamp with time zone\", from = \"timestamp\", zone = \"Europe/Paris\"";
    let values = [
        Some("2019-01-31 12:00:00"),
        Some("2019-07-31 12:00:00"),
        Some("2019-10-27 02:30:00"), // happened twice
        Some("2019-03-31 02:30:00"), // never happened
        None,
    ];
    let (texts, counts) = through(take, Kind::Timestamp, &values).unwrap();
    let expected = ["2019-01-31 11:00:00Z", "2019-07-31 10:00:00Z", "2019-10-27 00:30:00Z", "2019-03-31 01:30:00Z"];
    assert_eq!(texts, [some(&expected), vec![None]].concat());
    assert_eq!(counts, ColumnTally { cast: 4, ambiguous: 1, nonexistent: 1, ..ColumnTally::default() });
    let back = "type = \"timestamp\", from = \"timestamp with time zone\", zone = \"Europe/Paris\"";
    let (texts, _) = through(back, Kind::TimestampTz, &[Some("2019-07-31 10:00:00Z")]).unwrap();
    assert_eq!(texts, some(&["2019-07-31 12:00:00"]));
}

#[test]
fn transforms_that_make_no_sense_are_refused() {
    for take in [
        "type = \"int64\", from = \"float64\"",
        "type = \"float64\", from = \"decimal(10,2)\"",
        "type = \"int64\", trim = \"end\"",
        "type = \"bytes\", charset = \"latin1\"",
        "type = \"timestamp with time zone\", from = \"timestamp\"",
        "type = \"timestamp\", zone = \"Europe/Paris\"",
        "type = \"float64\", null_if = [\"0\"]",
        "type = \"int64\", from = \"text\", map = { a = \"x\" }",
    ] {
        assert_eq!(scope(take).unwrap_err().code(), Code(306), "{take}");
    }
    let take = "type = \"timestamp with time zone\", from = \"timestamp\", zone = \"Europe/Lutetia\"";
    assert_eq!(scope(take).unwrap_err().code(), Code(323));
}
