#![expect(clippy::arithmetic_side_effects, reason = "places in a file that this test has just made")]

use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{BinaryArray, BooleanArray, PrimitiveArray, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use lexicon::{Entropy, SeededEntropy, SystemEntropy};
use parquet::file::metadata::RowGroupMetaData;

use super::*;
use crate::tests::{key, name};
use crate::{ParcelWriter, Sealed};

fn count(threads: usize) -> NonZeroUsize {
    NonZeroUsize::new(threads).unwrap()
}

/// Rows that fill more than one row group: texts that do not compress, few different ones, numbers, NULLs.
fn rows(rows: usize, seed: u64) -> RecordBatch {
    let mut noise = vec![0_u8; 64 * rows];
    SeededEntropy::new(seed).fill(&mut noise).unwrap();
    let number = |row: usize| i64::from_le_bytes(*noise[64 * row..].first_chunk().unwrap());
    let all = || 0..rows;
    let some = |row: usize| (row % 7 != 3).then(|| number(row));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(PrimitiveArray::<Int64Type>::from_iter_values((0..).take(rows)))),
        ("number", Arc::new(all().map(some).collect::<PrimitiveArray<Int64Type>>())),
        ("noise", Arc::new(BinaryArray::from_iter_values(noise.chunks(64)))),
        ("word", Arc::new(all().map(|row| Some(["H", "L", "", "Hémoglobine"][row % 4])).collect::<StringArray>())),
        ("text", Arc::new(all().map(|row| some(row).map(|number| number.to_string())).collect::<StringArray>())),
        ("yes", Arc::new(all().map(|row| Some(number(row) > 0)).collect::<BooleanArray>())),
        ("nothing", Arc::new(all().map(|_| None::<i64>).collect::<PrimitiveArray<Int64Type>>())),
        (
            "decimal",
            Arc::new(
                all()
                    .map(|row| some(row).map(|number| i128::from(number % 1_000_000)))
                    .collect::<PrimitiveArray<Decimal128Type>>()
                    .with_precision_and_scale(12, 4)
                    .unwrap(),
            ),
        ),
        ("real", Arc::new(all().map(|row| some(row).map(|_| 0.5)).collect::<PrimitiveArray<Float64Type>>())),
        ("moment", Arc::new(all().map(some).collect::<PrimitiveArray<TimestampMicrosecondType>>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// 60,000 rows of some 120 bytes once encoded, in batches of several sizes: one row group that ends inside a batch.
fn batches() -> Vec<RecordBatch> {
    [20_000, 1, 20_000, 3, 100, 39_896].into_iter().zip(0..).map(|(many, seed)| rows(many, seed)).collect()
}

fn sealed(threads: usize) -> Sealed {
    let batches = batches();
    let writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), batches[0].schema()).unwrap();
    let mut writer = writer.on(count(threads));
    for batch in &batches {
        writer.write_rows(batch).unwrap();
    }
    writer.finish().unwrap()
}

/// What a parcel's modules hold in clear, in order, and the nonces they were sealed under; the footer is the last. Without
/// their tags, which `open_parcel` is tested for.
fn modules(sealed: &Sealed) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let key = key().parcel_key(&sealed.salt, &name()).unwrap();
    let bytes = sealed.bytes.as_ref();
    let length = |at: usize| usize::try_from(u32::from_le_bytes(*bytes[at..].first_chunk().unwrap())).unwrap();
    let (tail, mut at) = (bytes.len() - 8, 4);
    let footer = tail - length(tail);
    let (mut clear, mut nonces) = (Vec::new(), Vec::new());
    while at < tail {
        if at == footer {
            // Behind what the file says about its key.
            at = (footer..tail).find(|at| at + 4 + length(*at) == tail).unwrap();
        }
        let module = &bytes[at + 4..at + 4 + length(at)];
        let (nonce, body) = module.split_at(12);
        let mut body = body[..body.len() - 16].to_vec();
        // GCM's counter begins at 1 with the tag's own block.
        let counter: [u8; 16] = [nonce, &[0, 0, 0, 2]].concat().try_into().unwrap();
        let cipher = DecryptingKey::ctr(UnboundCipherKey::new(&AES_256, key.as_ref()).unwrap()).unwrap();
        cipher.decrypt(&mut body, DecryptionContext::Iv128((&counter).into())).unwrap();
        clear.push(body);
        nonces.push(nonce.to_vec());
        at += 4 + module.len();
    }
    (clear, nonces)
}

#[test]
fn one_thread_and_many_make_the_same_parcel_but_for_what_is_drawn() {
    let distinct = |nonces: &[Vec<u8>]| nonces.iter().collect::<BTreeSet<_>>().len() == nonces.len();
    let (one, one_nonces) = modules(&sealed(1));
    assert!(distinct(&one_nonces), "no nonce is used twice under one key");
    assert!(one.len() > 2 * 10 * 2, "a page and its head of each column, in two row groups: {}", one.len());
    // The footer of Thrift's compact form begins with the version, 1 or 2; so it was read, not guessed.
    assert!(matches!(one.last().unwrap()[..2], [0x15, 2 | 4]));
    for threads in [2, 3, 16] {
        let (many, nonces) = modules(&sealed(threads));
        assert!(many == one, "{threads} threads");
        assert!(
            distinct(&nonces) && nonces.len() == many.len(),
            "{threads} threads: no nonce is used twice under one key"
        );
        assert!(nonces.iter().all(|nonce| !one_nonces.contains(nonce)), "nor in two parcels");
    }
}

#[test]
fn in_clear_the_file_is_the_one_that_parquets_own_writer_makes() {
    let batches = batches();
    let properties = || WriterProperties::builder().set_max_row_group_bytes(Some(ROW_GROUP_BYTES)).build();
    let mut theirs = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties())).unwrap();
    for batch in &batches {
        theirs.write(batch).unwrap();
    }
    assert_eq!(theirs.flushed_row_groups().len(), 1, "and one is in the making");
    let theirs = theirs.into_inner().unwrap();
    for threads in [1, 2, 3, 16] {
        let mut ours = Columns::begin(&batches[0].schema(), properties()).unwrap().on(count(threads));
        for batch in &batches {
            ours.write(batch).unwrap();
        }
        let (ours, digest) = ours.finish().unwrap();
        assert!(ours == theirs, "{threads} threads");
        assert_eq!(digest, Digest::of(&theirs), "{threads} threads");
    }
}

#[test]
fn rows_of_next_to_no_bytes_still_end_a_row_group() {
    let nothing: ArrayRef = Arc::new(arrow_array::Int64Array::new_null(ROW_GROUP_ROWS / 2 + 1));
    let batch = RecordBatch::try_from_iter_with_nullable([("nothing", nothing, true)]).unwrap();
    let mut columns = Columns::begin(&batch.schema(), WriterProperties::default()).unwrap();
    columns.write(&batch).unwrap();
    columns.write(&batch).unwrap();
    let groups = columns.file.flushed_row_groups();
    assert_eq!(groups.iter().map(RowGroupMetaData::num_rows).collect::<Vec<_>>(), [1024 * 1024]);
    assert_eq!(columns.rows, 2);
}

#[test]
fn a_column_that_is_two_is_refused() {
    let one = || -> ArrayRef { Arc::new(PrimitiveArray::<Int64Type>::from(vec![1])) };
    let field = |name| Arc::new(Field::new(name, DataType::Int64, false));
    let pair: ArrayRef = Arc::new(StructArray::from(vec![(field("a"), one()), (field("b"), one())]));
    let schema = RecordBatch::try_from_iter([("pair", pair)]).unwrap().schema();
    assert!(matches!(Columns::begin(&schema, WriterProperties::default()), Err(ParquetError::NYI(_))));
}

#[test]
fn work_is_shared_and_told_in_its_order() {
    // Each of two items waits for the other: on one thread neither would end.
    let (to, from) = sync_channel(0);
    let from = Mutex::new(from);
    let met = on_threads(count(2), vec![false, true], &|sends| {
        let met =
            if sends { to.send(()).is_ok() } else { from.lock().unwrap().recv_timeout(Duration::from_mins(1)).is_ok() };
        if met { Ok(()) } else { Err(ParquetError::General("alone".to_owned())) }
    });
    met.unwrap();
    for threads in [1, 2, 5, 100] {
        let squares = on_threads(count(threads), (0..50_u64).collect(), &|item| Ok(item * item)).unwrap();
        assert_eq!(squares, (0..50).map(|item| item * item).collect::<Vec<u64>>());
        let told = on_threads(count(threads), (0..50_u64).collect(), &|item| {
            if item % 7 == 6 { Err(ParquetError::General(item.to_string())) } else { Ok(()) }
        });
        assert!(matches!(told, Err(ParquetError::General(first)) if first == "6"), "the first in order");
    }
    assert!(on_threads(count(4), Vec::<u8>::new(), &|item| Ok(item)).unwrap().is_empty());
}
