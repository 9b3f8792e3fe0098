//! The scope file, its predicates, and the transforms of values.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, UInt16Array, UInt64Array,
};
use scope::{Dialect, Kind, Predicate, Rows, Scope, TableFingerprint, Tally, target_ddl};

use crate::promises::told_nothing;

pub(crate) fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A refusal names tables and columns as the file does, however long.
    let Ok(scope) = Scope::parse(text) else { return };
    let written = scope.to_toml().unwrap();
    let again = Scope::parse(&written).unwrap();
    assert_eq!(again.digest().unwrap(), scope.digest().unwrap(), "a scope means another one");
    drop(scope.ready());
    for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MariaDb] {
        drop(target_ddl(&scope, dialect));
        for table in scope.tables() {
            drop(table.select_sql(&scope, dialect));
        }
    }
}

const FILE: &str = r#"
[[table]]
name = "patient"
target = "person"
key = ["id"]
take = [
    { column = "id", type = "int64" },
    { column = "name", as = "full_name", type = "text", trim = "both", charset = "cp1252" },
    { column = "born", type = "date", from = "text", null_if = ["0000-00-00"] },
    { column = "sex", type = "text", map = { M = "1", F = "2" } },
    { column = "seen", type = "timestamp with time zone", from = "timestamp", zone = "Europe/Paris" },
]
leave = ["note"]
where = "id > 3 and not (sex in ('M', 'F') or born is null) and exists in request (id = patient_id)"
reason = "only those with requests"

[[table]]
name = "request"
key = ["number"]
take = [{ column = "number", type = "decimal(12, 2)" }, { column = "patient_id", type = "int64" }]

[[documents]]
name = "reports"
folder = "/srv/lis/reports"
target = "old_reports"
take = ["pdf", "jpeg"]
others = "leave"
reason = "the signed reports of ten years"
"#;

const PREDICATES: [&str; 7] = [
    "id = 1",
    "name <> 'o''brien' and (born >= date '1990-01-31' or seen < timestamp '2020-02-29 23:59:58.25Z')",
    "not not (a in (1, 2.50, -3) and b is not null)",
    "\"odd name\" = true or \"\"\"\" = 'x'",
    "exists in other (a = b, \"c d\" = e) and at = time '12:00:00'",
    "x not in ('a')",
    "seen > timestamp '2020-01-01 00:00:00'",
];

pub(crate) fn file_seeds() -> Vec<Vec<u8>> {
    vec![FILE.as_bytes().to_vec(), Scope::parse(FILE).unwrap().to_toml().unwrap().into_bytes()]
}

pub(crate) fn predicate(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Predicate>() {
        Ok(predicate) => {
            let written = predicate.to_string();
            let again: Predicate = written.parse().unwrap();
            assert_eq!(again, predicate, "a predicate means another one");
            assert_eq!(again.to_string(), written);
            assert!(predicate.columns().iter().all(|column| !column.is_empty()));
        }
        // The text stands in a file that its author reads; the refusal names the place only.
        Err(refusal) => told_nothing(bytes, &refusal.into()),
    }
}

pub(crate) fn predicate_seeds() -> Vec<Vec<u8>> {
    PREDICATES.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The first line says what is made of the values, which are the other lines.
pub(crate) fn transform(bytes: &[u8]) {
    let (take, values) = bytes.iter().position(|byte| *byte == b'\n').map_or((bytes, &[][..]), |end| {
        let (take, values) = bytes.split_at(end);
        (take, values.get(1..).unwrap_or_default())
    });
    let Ok(take) = std::str::from_utf8(take) else { return };
    let text = format!("[[table]]\nname = \"t\"\ntake = [{{ column = \"x\", {take} }}]");
    let Ok(scope) = Scope::parse(&text) else { return };
    let Some(taken) = scope.table("t") else { return };
    let Some(column) = taken.take.first().and_then(|take| column(take.read_kind(), values)) else { return };
    let count = column.len();
    let Ok(batch) = RecordBatch::try_from_iter_with_nullable([("x", column, true)]) else { return };
    match scope.admit("t", &batch, Rows::AlreadyFiltered, &mut Tally::default()) {
        Ok(scoped) => {
            assert_eq!(scoped.batch().num_rows(), count, "a row was lost");
            assert_eq!(scoped.batch().schema(), taken.target_schema());
        }
        // What the scope's own line says may stand in the refusal.
        Err(trouble) if crate::promises::values(take.as_bytes()).next().is_none() => told_nothing(values, &trouble),
        Err(_) => {}
    }
}

/// The lines as values of a kind; an empty one is no value.
fn column(kind: Kind, lines: &[u8]) -> Option<ArrayRef> {
    let lines = || lines.split(|byte| *byte == b'\n').map(|line| (!line.is_empty()).then_some(line));
    let texts = || lines().map(|line| line.and_then(|line| std::str::from_utf8(line).ok()));
    #[expect(clippy::wildcard_enum_match_arm, reason = "three kinds lead to all transforms")]
    match kind {
        Kind::Text => Some(Arc::new(texts().collect::<StringArray>())),
        Kind::Bytes => Some(Arc::new(lines().collect::<BinaryArray>())),
        Kind::Int64 => {
            Some(Arc::new(texts().map(|text| text.and_then(|text| text.parse().ok())).collect::<Int64Array>()))
        }
        _ => None,
    }
}

pub(crate) fn transform_seeds() -> Vec<Vec<u8>> {
    [
        "type = \"date\", from = \"text\", null_if = [\"0000-00-00\"]\n2019-01-31\n0000-00-00\n\n2019-02-29",
        "type = \"text\", charset = \"cp1252\", trim = \"both\"\n c\u{153}ur \nvalue4711x1",
        "type = \"text\", charset = \"latin1\"\nabc",
        "type = \"bool\", from = \"int64\", map = { 1 = \"true\", 2 = \"false\" }\n1\n2\n3",
        "type = \"decimal(10, 2)\", from = \"text\"\n12.50\n-0.1\nvalue4711x2\n1e5",
        "type = \"timestamp with time zone\", from = \"text\", zone = \"Europe/Paris\"\n\
         2021-03-28 02:30:00\n2021-10-31 02:30:00",
        "type = \"float64\", from = \"text\"\n1.5\n1e300",
        "type = \"time\", from = \"text\"\n23:59:59.999999\n24:00:00",
        "type = \"uint64\", from = \"int64\"\n-1\n18446744073709551615",
        "type = \"bytes\", holds = [\"pdf\"], reason = \"reports\"\n%PDF-1.4",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

/// A bucket of a fingerprint as it came out of its parcel: table, place, count, sum.
const BUCKET_BYTES: usize = 1 + 2 + 8 + 32;

/// The first byte says into how many batches the buckets are cut; what they mean does not depend on it.
pub(crate) fn fingerprints(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let (buckets, _) = bytes.as_chunks::<BUCKET_BYTES>();
    let batches: Vec<_> = buckets.chunks(usize::from(*cut).max(1)).map(batch).collect();
    match (TableFingerprint::from_batches(&batches), TableFingerprint::from_batches([&batch(buckets)])) {
        (Ok(found), Ok(whole)) => {
            assert_eq!(found, whole, "the batches of a fingerprint make another one");
            let written: Vec<_> = found.iter().map(|found| found.to_batch().unwrap()).collect();
            assert_eq!(TableFingerprint::from_batches(&written).unwrap(), found, "a fingerprint means another one");
        }
        (Err(cut), Err(whole)) => {
            told_nothing(bytes, &cut);
            assert_eq!(cut.code(), whole.code(), "the batches of a fingerprint are refused otherwise");
        }
        (cut, whole) => assert_eq!(cut.is_ok(), whole.is_ok(), "the batches of a fingerprint are taken otherwise"),
    }
}

fn batch(buckets: &[[u8; BUCKET_BYTES]]) -> RecordBatch {
    let names = buckets.iter().map(|[table, ..]| format!("t{}", table % 3));
    let places = buckets.iter().map(|[_, low, high, ..]| u16::from_le_bytes([*low, *high]));
    let counts = buckets.iter().map(|bucket| u64::from_le_bytes(*bucket[3..].first_chunk().unwrap()));
    let sums = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        buckets.iter().map(|bucket| bucket.last_chunk::<32>()),
        32,
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(UInt16Array::from_iter_values(places)),
        Arc::new(UInt64Array::from_iter_values(counts)),
        Arc::new(sums.unwrap()),
    ];
    RecordBatch::try_new(TableFingerprint::schema(), columns).unwrap()
}

pub(crate) fn fingerprints_seeds() -> Vec<Vec<u8>> {
    let bucket = |table: u8, place: u16, count: u64, sum: u8| {
        [&[table][..], &place.to_le_bytes(), &count.to_le_bytes(), &[sum; 32]].concat()
    };
    let (first, last) = (bucket(0, 0, 3, 7), bucket(0, 4095, 2, 0xff));
    let (other, beyond) = (bucket(1, 17, u64::MAX, 0xff), bucket(2, 4096, 1, 1));
    [
        vec![1],
        [&[1], first.as_slice()].concat(),
        [&[2], first.as_slice(), &last, &other].concat(),
        [&[1], first.as_slice(), &first].concat(),
        [&[9], other.as_slice(), &bucket(1, 18, u64::MAX, 0xff)].concat(),
        [&[0], beyond.as_slice()].concat(),
    ]
    .into()
}
