mod pyarrow;
pub(crate) mod python;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType};
use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, StringArray, UInt16Array,
};
use bytes::Bytes;
use lexicon::{Code, ConsignmentId, Digest, Entropy, MigrationId, ParcelId, SeededEntropy, SystemEntropy, Trouble};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use scope::TableFingerprint;

use crate::*;

mod altered;

const SENTINELS: [&str; 3] = ["SENTINEL-VALUE-NIR-1850578006084", "sentinel_column", "sentinel_table"];

pub(crate) fn key() -> ConsignmentKey {
    key_of(1, 2, 3)
}

pub(crate) fn key_of(laboratory: u8, strongroom: u8, act: u8) -> ConsignmentKey {
    let share = |byte| Share::take(&[byte; 32]).unwrap();
    ConsignmentKey::derive(&share(laboratory), &share(strongroom), Digest([act; 32])).unwrap()
}

pub(crate) fn name() -> ParcelName {
    ParcelName {
        migration: MigrationId([1; 16]),
        consignment: ConsignmentId([2; 16]),
        attempt: 1,
        parcel: ParcelId([3; 16]),
        table: SENTINELS[2].to_owned(),
        sequence: 0,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A row of every kind that a scope knows, a row of nothing, and a sentinel.
fn rows() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("int", Arc::new(PrimitiveArray::<Int64Type>::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("uint", Arc::new(PrimitiveArray::<UInt64Type>::from(vec![Some(0), None, Some(u64::MAX)]))),
        ("float", Arc::new(PrimitiveArray::<Float64Type>::from(vec![Some(-0.0), None, Some(f64::INFINITY)]))),
        (
            "decimal",
            Arc::new(
                PrimitiveArray::<Decimal128Type>::from(vec![Some(-12_345), None, Some(1)])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        (SENTINELS[1], Arc::new(StringArray::from(vec![Some(SENTINELS[0]), None, Some("")]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some([0, 255].as_slice()), None, Some(&[])]))),
        ("date", Arc::new(PrimitiveArray::<Date32Type>::from(vec![Some(-719_162), None, Some(20_000)]))),
        ("time", Arc::new(PrimitiveArray::<Time64MicrosecondType>::from(vec![Some(0), None, Some(86_399_999_999)]))),
        ("naive", Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(vec![Some(-1), None, Some(1)]))),
        (
            "utc",
            Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::from(vec![Some(-1), None, Some(1)]).with_timezone("UTC"),
            ),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn seal_as(name: &ParcelName, batches: &[RecordBatch]) -> Sealed {
    let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name.clone(), batches[0].schema()).unwrap();
    for batch in batches {
        writer.write_rows(batch).unwrap();
    }
    writer.finish().unwrap()
}

/// All rows of a parcel in one batch; none where there are no rows.
fn open(key: &ConsignmentKey, name: &ParcelName, bytes: &Bytes, digest: Digest) -> lexicon::Result<Vec<RecordBatch>> {
    together(open_parcel(key, name, bytes.clone(), digest)?)
}

fn together(opened: ParcelRows) -> lexicon::Result<Vec<RecordBatch>> {
    let schema = opened.schema();
    let batches: Vec<_> = opened.collect::<lexicon::Result<_>>()?;
    let whole = || arrow_select::concat::concat_batches(&schema, &batches).unwrap();
    Ok(if batches.is_empty() { batches } else { vec![whole()] })
}

/// As an attacker who could also change the signed manifest: what the encryption alone refuses.
fn open_unlisted(bytes: &[u8]) -> lexicon::Result<Vec<RecordBatch>> {
    open(&key(), &name(), &Bytes::copy_from_slice(bytes), Digest::of(bytes))
}

fn assert_alarm<T: std::fmt::Debug>(result: &lexicon::Result<T>, code: u16, what: &str) {
    assert!(matches!(result, Err(Trouble::Alarm(alarm)) if alarm.code == Code(code)), "{what}: {result:?}");
}

fn finds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

#[test]
fn rows_of_every_kind_come_back_as_they_were_sealed() {
    let sealed = seal_as(&name(), &[rows(), rows()]);
    assert_eq!((sealed.rows, sealed.digest), (6, Digest::of(&sealed.bytes)));
    let opened = open_parcel(&key(), &name(), sealed.bytes.clone(), sealed.digest).unwrap();
    assert_eq!((opened.schema(), opened.rows()), (rows().schema(), 6));
    let opened = together(opened).unwrap();
    assert_eq!(opened[0].slice(0, 3), rows());
    assert_eq!(opened[0].slice(3, 3), rows());
}

#[test]
fn a_parcel_of_no_rows_is_a_parcel() {
    let sealed = seal_as(&name(), &[rows().slice(0, 0)]);
    assert_eq!(sealed.rows, 0);
    assert!(open(&key(), &name(), &sealed.bytes, sealed.digest).unwrap().is_empty());
}

#[test]
fn one_share_or_another_act_opens_nothing() {
    let sealed = seal_as(&name(), &[rows()]);
    for (what, key) in [
        ("another laboratory share", key_of(9, 2, 3)),
        ("another strongroom share", key_of(1, 9, 3)),
        ("another act", key_of(1, 2, 9)),
        ("shares exchanged", key_of(2, 1, 3)),
    ] {
        assert_alarm(&open(&key, &name(), &sealed.bytes, sealed.digest), 504, what);
        assert_alarm(&open_header(&key, &name(), &sealed.bytes, sealed.digest), 504, what);
    }
    open_header(&key(), &name(), &sealed.bytes, sealed.digest).unwrap();
    assert_alarm(&open_header(&key(), &name(), &sealed.bytes, Digest([0; 32])), 503, "not the listed bytes");
}

#[test]
fn a_parcel_opens_under_its_whole_name_only() {
    let sealed = seal_as(&name(), &[rows()]);
    let others = [
        ParcelName { migration: MigrationId([9; 16]), ..name() },
        ParcelName { consignment: ConsignmentId([9; 16]), ..name() },
        ParcelName { attempt: 2, ..name() },
        ParcelName { parcel: ParcelId([9; 16]), ..name() },
        ParcelName { table: "other".to_owned(), ..name() },
        ParcelName { sequence: 1, ..name() },
    ];
    for other in others {
        assert_alarm(&open(&key(), &other, &sealed.bytes, sealed.digest), 504, &format!("{other:?}"));
    }
}

#[test]
fn a_parcel_in_anothers_place_is_an_alarm() {
    let (one, two) = (name(), ParcelName { parcel: ParcelId([4; 16]), sequence: 1, ..name() });
    let (first, second) = (seal_as(&one, &[rows()]), seal_as(&two, &[rows()]));
    assert_alarm(&open(&key(), &two, &first.bytes, second.digest), 503, "by its digest");
    assert_alarm(&open(&key(), &two, &first.bytes, first.digest), 504, "by its seal");
    open(&key(), &two, &second.bytes, second.digest).unwrap();
}

#[test]
fn a_parcel_that_is_cut_anywhere_is_an_alarm() {
    let sealed = seal_as(&name(), &[rows()]);
    let length = sealed.bytes.len();
    for at in (0..length).step_by(7).chain(length - 16..length) {
        let cut = sealed.bytes.slice(..at);
        assert_alarm(&open(&key(), &name(), &cut, sealed.digest), 503, &format!("cut at {at}"));
        assert_alarm(&open_unlisted(&cut), 504, &format!("cut at {at}, relisted"));
        assert_alarm(&open_unlisted(&sealed.bytes.slice(length - at..)), 504, &format!("tail of {at}, relisted"));
    }
    assert_alarm(&open_unlisted(&[sealed.bytes.as_ref(), b"PARE"].concat()), 504, "longer, relisted");
}

#[test]
fn a_bit_that_flips_anywhere_is_an_alarm() {
    let sealed = seal_as(&name(), &[rows()]);
    let mut harmless = Vec::new();
    for at in 0..sealed.bytes.len() {
        let mut altered = sealed.bytes.to_vec();
        altered[at] ^= 1 << (at % 8);
        let altered = Bytes::from(altered);
        assert_alarm(&open(&key(), &name(), &altered, sealed.digest), 503, &format!("byte {at}"));
        match open_unlisted(&altered) {
            Ok(opened) => {
                assert_eq!(opened, [rows()], "byte {at}: altered rows were given out");
                harmless.push(at);
            }
            other => assert_alarm(&other, 504, &format!("byte {at}, relisted")),
        }
    }
    // Without the digest nobody would notice a change in the frame of the footer, which the reader does not use.
    assert!(harmless.len() <= 8, "{harmless:?} of {}", sealed.bytes.len());
}

#[test]
fn nothing_of_a_row_a_column_or_a_table_lies_in_clear() {
    let plain = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows().schema(), Some(plain)).unwrap();
    writer.write(&rows()).unwrap();
    let plain = writer.into_inner().unwrap();
    assert!(finds(&plain, SENTINELS[0]) && finds(&plain, SENTINELS[1]), "the search must be able to find");

    let sealed = seal_as(&name(), &[rows()]);
    for needle in SENTINELS.into_iter().chain(["decimal", "naive", "arrow", "parquet", "1850578006084"]) {
        assert!(!finds(&sealed.bytes, needle), "{needle}");
    }
    // The search sees what does lie in clear: the key metadata.
    assert!(finds(&sealed.bytes, "lazaret1"));
    assert!(sealed.bytes.windows(32).any(|window| window == sealed.salt));
}

#[test]
fn no_key_lies_in_a_parcel() {
    let sealed = seal_as(&name(), &[rows()]);
    let file_key = key().parcel_key(&sealed.salt, &name()).unwrap();
    for (what, secret) in [("file key", *file_key), ("laboratory share", [1; 32]), ("strongroom share", [2; 32])] {
        assert!(!sealed.bytes.windows(32).any(|window| window == secret), "{what}");
    }
}

#[test]
fn no_bloom_filter_and_no_statistics_are_written() {
    let sealed = seal_as(&name(), &[rows()]);
    let metadata = open::header(&key(), &name(), &sealed.bytes, sealed.digest).unwrap();
    let groups = metadata.metadata().row_groups();
    assert_eq!(groups.len(), 1);
    for column in groups.iter().flat_map(parquet::file::metadata::RowGroupMetaData::columns) {
        assert_eq!(column.bloom_filter_offset(), None, "{}", column.column_path());
        assert!(column.statistics().is_none() && column.offset_index_offset().is_none(), "{}", column.column_path());
    }
}

#[test]
fn the_same_rows_are_never_sealed_alike() {
    let (one, two) = (seal_as(&name(), &[rows()]), seal_as(&name(), &[rows()]));
    assert_ne!(one.salt, two.salt);
    assert_ne!(one.digest, two.digest);
    assert_ne!(key().parcel_key(&one.salt, &name()).unwrap(), key().parcel_key(&two.salt, &name()).unwrap());
}

#[test]
fn a_file_that_nobody_sealed_is_an_alarm() {
    let mut writer = ArrowWriter::try_new(Vec::new(), rows().schema(), None).unwrap();
    writer.write(&rows()).unwrap();
    let plain = Bytes::from(writer.into_inner().unwrap());
    assert!(ParquetRecordBatchReaderBuilder::try_new(plain.clone()).is_ok());
    assert_alarm(&open_unlisted(&plain), 504, "plain");
    assert_alarm(&open_unlisted(b""), 504, "empty");
    assert_alarm(&open_unlisted(b"PARE"), 504, "one mark");
    assert_alarm(&open_unlisted(b"PAREPARE"), 504, "two marks");
}

#[test]
fn an_alarm_names_the_parcel_and_quotes_nothing_of_it() {
    let sealed = seal_as(&name(), &[rows()]);
    let mut altered = sealed.bytes.to_vec();
    altered[100] ^= 1;
    for trouble in [open_unlisted(&altered), open(&key(), &name(), &altered.into(), sealed.digest)] {
        let text = trouble.unwrap_err().to_string();
        assert!(text.contains(&name().parcel.to_string()) && text.contains(SENTINELS[2]), "{text}");
        assert!(!text.contains(SENTINELS[0]) && !text.contains(SENTINELS[1]), "{text}");
    }
}

#[test]
fn rows_of_another_shape_are_not_sealed() {
    let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), rows().schema()).unwrap();
    let fewer = rows().project(&[0, 1]).unwrap();
    assert_eq!(writer.write_rows(&fewer).unwrap_err().code(), Code(506));
    let renamed = RecordBatch::try_from_iter_with_nullable(
        rows().columns().iter().enumerate().map(|(at, column)| (format!("c{at}"), column.clone(), true)),
    );
    assert_eq!(writer.write_rows(&renamed.unwrap()).unwrap_err().code(), Code(506));
}

fn admitted() -> (scope::Scope, scope::ScopedBatch) {
    let scope = scope::Scope::parse(
        r#"
        [[table]]
        name = "patient"
        target = "import_patient"
        key = ["patient_id"]
        take = [ { column = "patient_id", type = "int64" }, { column = "name", as = "full_name", type = "text" } ]
        leave = []
        "#,
    )
    .unwrap();
    let columns: [(&str, ArrayRef, bool); 2] = [
        ("patient_id", Arc::new(PrimitiveArray::<Int64Type>::from(vec![1, 2])), true),
        ("name", Arc::new(StringArray::from(vec![Some(SENTINELS[0]), None])), true),
    ];
    let source = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let tally = &mut scope::Tally::default();
    let batch = scope.admit("patient", &source, scope::Rows::AlreadyFiltered, tally).unwrap();
    (scope, batch)
}

#[test]
fn what_the_scope_admits_is_sealed_and_opens_in_the_targets_shape() {
    let (scope, batch) = admitted();
    let schema = scope.table("patient").unwrap().target_schema();
    let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), schema.clone()).unwrap();
    writer.write(&batch).unwrap();
    let sealed = writer.finish().unwrap();
    let opened = open_parcel(&key(), &name(), sealed.bytes, sealed.digest).unwrap();
    assert_eq!(opened.schema().fields(), schema.fields());
    assert_eq!(&together(opened).unwrap()[0], batch.batch());
}

#[test]
fn both_agents_come_to_one_fingerprint_and_its_sums_travel_sealed() {
    let (scope, batch) = admitted();
    let table = scope.table("patient").unwrap();
    let sum = |key: &ConsignmentKey, consignment| {
        let mut sum = scope::Fingerprinter::new(&key.fingerprint_keys(consignment).unwrap(), table);
        sum.add(batch.batch()).unwrap();
        sum.finish()
    };
    let extracted = sum(&key(), name().consignment);
    let (key_of_sums, entropy) = (key(), SystemEntropy::new());
    let mut sums = SumsSealer::begin(&key_of_sums, &entropy, name()).unwrap();
    assert!(sums.take(&extracted).unwrap().is_none());
    let (_, sealed) = sums.finish().unwrap();
    let opened = open(&key(), &name(), &sealed.bytes, sealed.digest).unwrap();
    let received = scope::TableFingerprint::from_batches(&opened).unwrap();
    let loaded = sum(&key(), name().consignment);
    assert_eq!((received[0].root(), received[0].rows), (loaded.root(), 2));
    assert_ne!(loaded.root(), sum(&key(), ConsignmentId([9; 16])).root(), "another consignment, other sums");
    assert_ne!(loaded.root(), sum(&key_of(1, 9, 3), name().consignment).root(), "another share, other sums");
}

/// A fingerprint of which every bucket holds rows.
fn filled(table: usize) -> TableFingerprint {
    let buckets = || 0_u16..4096;
    let sums = buckets().map(|at| Digest::of(format!("{table} {at}").as_bytes()).0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(buckets().map(|_| format!("table {table}")))),
        Arc::new(UInt16Array::from_iter_values(buckets())),
        Arc::new(PrimitiveArray::<UInt64Type>::from_iter_values((1..).take(4096))),
        Arc::new(FixedSizeBinaryArray::try_from_iter(sums).unwrap()),
    ];
    let rows = RecordBatch::try_new(TableFingerprint::schema(), columns).unwrap();
    TableFingerprint::from_batches([&rows]).unwrap().pop().unwrap()
}

#[test]
fn the_sums_of_many_large_tables_take_several_parcels_and_each_is_read_by_itself() {
    const TABLES: usize = 500;
    let (key, entropy) = (key(), SystemEntropy::new());
    let mut all = SumsSealer::begin(&key, &entropy, name()).unwrap();
    let (mut parcels, mut roots) = (Vec::new(), BTreeMap::new());
    for table in 0..TABLES {
        let sums = filled(table);
        parcels.extend(all.take(&sums).unwrap());
        roots.insert(sums.table.clone(), sums.root());
    }
    parcels.push(all.finish().unwrap());
    assert!((15..30).contains(&parcels.len()), "{}", parcels.len());
    assert_eq!(parcels.iter().map(|(_, sealed)| sealed.rows).sum::<u64>(), 500 * 4096);
    for (sequence, (name, sealed)) in (0..).zip(&parcels) {
        assert_eq!(name.sequence, sequence);
        assert!(sealed.bytes.len() < 5 * 1024 * 1024, "{}", sealed.bytes.len());
        let opened = open(&key, name, &sealed.bytes, sealed.digest).unwrap();
        for found in TableFingerprint::from_batches(&opened).unwrap() {
            assert_eq!(roots.remove(&found.table), Some(found.root()), "whole, and once");
        }
    }
    assert!(roots.is_empty());
}

/// `count` rows of 1,024 bytes that do not compress.
fn noise(count: usize, seed: u64) -> RecordBatch {
    let mut bytes = [0; 1024].repeat(count);
    SeededEntropy::new(seed).fill(&mut bytes).unwrap();
    let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(bytes.chunks(1024)));
    RecordBatch::try_from_iter([("noise", column)]).unwrap()
}

#[test]
fn a_parcel_says_when_it_is_full_and_its_row_groups_are_bounded() {
    let batch = noise(4096, 1);
    let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), batch.schema()).unwrap();
    let mut batches = 0;
    while !writer.is_full() {
        writer.write_rows(&batch).unwrap();
        batches += 1;
    }
    assert_eq!(batches, 4, "four batches of 4 MiB are 16 MiB");
    let sealed = writer.finish().unwrap();
    assert!(sealed.bytes.len() < lexicon::limits::PARCEL_BYTES_MAX);
    let metadata = open::header(&key(), &name(), &sealed.bytes, sealed.digest).unwrap();
    for group in metadata.metadata().row_groups() {
        assert!(group.compressed_size() < 13 * 1024 * 1024, "{}", group.compressed_size());
    }
    assert!(metadata.metadata().num_row_groups() > 1);
    let opened = open(&key(), &name(), &sealed.bytes, sealed.digest).unwrap();
    assert_eq!(opened.iter().map(RecordBatch::num_rows).sum::<usize>(), 4 * 4096);
    assert_eq!(opened[0].slice(0, 4096), batch);
}

/// However little is left of rows once they are compressed, as much of them comes out at once as anybody may hold.
#[test]
fn rows_that_compress_to_nothing_come_out_in_batches_that_are_as_small_as_others() {
    let page = "Le patient ne présente aucune anomalie. ".repeat(2500);
    let letters: ArrayRef = Arc::new(StringArray::from(vec![page.as_str(); 20]));
    let other = |at: usize| format!("{at:08} {page}");
    let reports: ArrayRef = Arc::new(StringArray::from_iter_values((0..20).map(other)));
    let empty = || -> ArrayRef { Arc::new(PrimitiveArray::<Int64Type>::new_null(4096)) };
    let wide = (0..60).map(|column| (format!("c{column}"), empty()));
    for (batch, times) in [
        (RecordBatch::try_from_iter([("letter", letters)]).unwrap(), 100),
        (RecordBatch::try_from_iter([("report", reports)]).unwrap(), 100),
        (RecordBatch::try_from_iter(wide).unwrap(), 100),
    ] {
        let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), batch.schema()).unwrap();
        for _ in 0..times {
            writer.write_rows(&batch).unwrap();
        }
        let sealed = writer.finish().unwrap();
        assert!(sealed.bytes.len() < 2 * 1024 * 1024, "{}: this is to compress", sealed.bytes.len());

        let opened = open_parcel(&key(), &name(), sealed.bytes, sealed.digest).unwrap();
        let sizes: Vec<_> = opened.map(|batch| batch.unwrap().get_array_memory_size()).collect();
        assert!(sizes.iter().all(|size| *size <= 5 * 1024 * 1024), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() > 150 * 1024 * 1024);
    }
}

#[test]
fn the_largest_row_goes_into_an_empty_parcel_and_not_into_one_that_is_nearly_full() {
    let before = noise(8191, 1);
    let largest = noise(lexicon::limits::ROW_BYTES_MAX / 1024, 2);
    let mut bytes = largest.column(0).as_any().downcast_ref::<BinaryArray>().unwrap().value_data().to_vec();
    let mut values: Vec<_> = (0..8191).map(|_| bytes[..1024].to_vec()).collect();
    values.push(std::mem::take(&mut bytes));
    // More than a source puts before it: just below 8 MiB of other rows, then the row.
    let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(values));
    let batch = RecordBatch::try_from_iter([("noise", column)]).unwrap();
    let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), batch.schema()).unwrap();
    assert!(writer.has_room_for(&batch));
    writer.write_rows(&batch).unwrap();
    assert!(writer.finish().unwrap().bytes.len() <= lexicon::limits::PARCEL_BYTES_MAX);
    let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), batch.schema()).unwrap();
    writer.write_rows(&before).unwrap();
    assert!(writer.has_room_for(&before) && !writer.has_room_for(&batch));
}

#[test]
fn a_parcel_larger_than_the_limit_is_not_made() {
    let batch = noise(8192, 1);
    let mut writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), batch.schema()).unwrap();
    for _ in 0..8 {
        writer.write_rows(&batch).unwrap();
    }
    assert_eq!(writer.finish().unwrap_err().code(), Code(505));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_rows_come_back(rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<String>>()), 1..50)) {
        let numbers = rows.iter().map(|row| row.0).collect::<PrimitiveArray<Int64Type>>();
        let texts = rows.iter().map(|row| row.1.clone()).collect::<StringArray>();
        let columns: [(&str, ArrayRef, bool); 2] = [("n", Arc::new(numbers), true), ("t", Arc::new(texts), true)];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let sealed = seal_as(&name(), std::slice::from_ref(&batch));
        prop_assert_eq!(open(&key(), &name(), &sealed.bytes, sealed.digest).unwrap(), vec![batch]);
    }
}
