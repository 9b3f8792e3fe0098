//! The canonical row: for each column, in the order of the target's schema, a tag and the value's bytes. Two rows have
//! the same bytes exactly when they are equal, because every value tells its own length.
//!
//! | value | tag | number | then |
//! |---|---|---|---|
//! | null | 0 | none | |
//! | bool | 1 | 0 or 1 | |
//! | int64 | 2 | the value, signs folded in | |
//! | uint64 | 3 | the value | |
//! | float64 | 4 | its bits, with one zero and one not-a-number | |
//! | decimal | 5 | its digits at the declared scale, signs folded in | |
//! | text, bytes | 6, 7 | its length | the value |
//! | date | 8 | days, signs folded in | |
//! | time, timestamp, timestamp with time zone | 9, 10, 11 | microseconds, signs folded in | |
//!
//! The first byte of a value holds the tag and how many bytes its number has: the fewest that hold it, least
//! significant first, none for 0. Signs are folded in as 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4. So short values make
//! short rows, and a row of 15 columns fits two blocks of BLAKE3 where fixed widths took three. A decimal of 16 bytes
//! has tag 12.

use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use lexicon::Result;

use crate::value::Column;
use crate::{TableScope, trouble};

/// The columns of a batch of `table` in its target schema.
///
/// # Errors
/// A fault when the batch has other names or types.
pub(crate) fn columns<'a>(
    table: &str,
    schema: &SchemaRef,
    kinds: &[crate::Kind],
    batch: &'a RecordBatch,
) -> Result<Vec<Column<'a>>> {
    let found = batch.schema_ref();
    if found.fields().len() != schema.fields().len() {
        return Err(trouble::fingerprint_shape(table, "it has another number of columns"));
    }
    let expected = schema.fields().iter().zip(kinds);
    expected
        .zip(found.fields().iter().zip(batch.columns()))
        .map(|((field, kind), (found, array))| {
            let column = if field.name() == found.name() { Column::of(*kind, array) } else { None };
            column.ok_or_else(|| {
                let why = format!("column {} is not where it should be, or not {kind}", field.name());
                trouble::fingerprint_shape(table, why)
            })
        })
        .collect()
}

/// Where the key columns stand in the target's schema.
pub(crate) fn key_places(table: &TableScope) -> Vec<usize> {
    let place = |key: &String| table.take.iter().position(|take| take.column == *key);
    table.key.iter().filter_map(place).collect()
}

/// Appends the value of one column to as many rows as there are buffers, the first of them at row `from`. Column by
/// column, because the type is then told once for many values.
pub(crate) fn push(rows: &mut [Vec<u8>], column: &Column<'_>, from: usize) {
    match column {
        Column::Bool(array) => each(rows, *array, from, |out, row| number(out, 1, u64::from(array.value(row)))),
        Column::Int64(array) => each(rows, *array, from, |out, row| number(out, 2, folded(array.value(row)))),
        Column::UInt64(array) => each(rows, *array, from, |out, row| number(out, 3, array.value(row))),
        Column::Float64(array) => each(rows, *array, from, |out, row| number(out, 4, float_bits(array.value(row)))),
        Column::Decimal(array, _) => each(rows, *array, from, |out, row| wide_number(out, array.value(row))),
        Column::Text(array) => each(rows, *array, from, |out, row| sized(out, 6, array.value(row).as_bytes())),
        Column::Bytes(array) => each(rows, *array, from, |out, row| sized(out, 7, array.value(row))),
        Column::Date(array) => each(rows, *array, from, |out, row| number(out, 8, folded(array.value(row).into()))),
        Column::Time(array) => each(rows, *array, from, |out, row| number(out, 9, folded(array.value(row)))),
        Column::Timestamp(array) => each(rows, *array, from, |out, row| number(out, 10, folded(array.value(row)))),
        Column::TimestampTz(array) => each(rows, *array, from, |out, row| number(out, 11, folded(array.value(row)))),
    }
}

#[inline]
fn each(rows: &mut [Vec<u8>], array: &dyn Array, from: usize, write: impl Fn(&mut Vec<u8>, usize)) {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    for (out, row) in rows.iter_mut().zip(from..array.len()) {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.push(0);
        } else {
            write(out, row);
        }
    }
}

/// Signs folded in: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4.
#[inline]
fn folded(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The tag and the size in one byte, then the fewest bytes that hold the number.
#[inline]
fn number(out: &mut Vec<u8>, tag: u8, number: u64) {
    // 64 bits at most, so a size of 8 at most.
    let size = u8::try_from(64_u32.saturating_sub(number.leading_zeros()).div_ceil(8)).unwrap_or(8);
    let mut cell = [(tag << 4) | size; 9];
    if let Some(rest) = cell.last_chunk_mut::<8>() {
        *rest = number.to_le_bytes();
    }
    let end = out.len().wrapping_add(usize::from(size)).wrapping_add(1);
    // Nine bytes at once and the surplus cut off: faster than as many bytes as there are.
    out.extend_from_slice(&cell);
    out.truncate(end);
}

/// As [`number`], for a decimal.
#[inline]
fn wide_number(out: &mut Vec<u8>, value: i128) {
    if let Ok(value) = i64::try_from(value) {
        return number(out, 5, folded(value));
    }
    let folded = (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned();
    let size = u8::try_from(128_u32.saturating_sub(folded.leading_zeros()).div_ceil(8)).unwrap_or(16);
    out.push(if size == 16 { 12 << 4 } else { (5 << 4) | size });
    out.extend(folded.to_le_bytes().iter().take(usize::from(size)));
}

#[inline]
fn sized(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    // An Arrow array of i32 offsets holds no value longer than 2 GiB.
    number(out, tag, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

#[inline]
fn float_bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Kind;
    use crate::value::Writer;

    fn bytes(kind: Kind, values: &[&str]) -> Vec<Vec<u8>> {
        let mut writer = Writer::new(kind);
        for value in values {
            writer.text(value).unwrap();
        }
        writer.null();
        let array = writer.finish();
        let column = Column::of(kind, &array).unwrap();
        let mut rows = vec![Vec::new(); array.len()];
        push(&mut rows, &column, 0);
        rows
    }

    #[test]
    fn every_value_has_its_own_bytes_and_none_begins_with_another_s() {
        let long = "x".repeat(300);
        let decimal = Kind::Decimal { precision: 38, scale: 2 };
        let wide = [
            "0",
            "1",
            "-1",
            "92233720368547758.08",
            "-92233720368547758.09",
            "999999999999999999999999999999999999.99",
        ];
        let whole = ["0", "-1", "1", "127", "-128", "128", "255", "256", "-9223372036854775808", "9223372036854775807"];
        let mut all = bytes(Kind::Int64, &whole);
        all.extend(bytes(Kind::UInt64, &["0", "1", "255", "256", "18446744073709551615"]).into_iter().take(5));
        all.extend(bytes(decimal, &wide).into_iter().take(6));
        all.extend(
            bytes(decimal, &["-999999999999999999999999999999999999.99", "9999999999999999999999999999999999.99"])
                .into_iter()
                .take(2),
        );
        all.extend(bytes(Kind::Text, &["", "a", "ab", "b", &long]).into_iter().take(5));
        all.extend(bytes(Kind::Bool, &["true", "false"]).into_iter().take(2));
        all.extend(bytes(Kind::Float64, &["0", "1", "-1", "1e300"]).into_iter().take(4));
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        for (place, one) in all.iter().enumerate() {
            assert!(!all.iter().enumerate().any(|(other, bytes)| other != place && bytes.starts_with(one)), "{one:?}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_table_above() {
        assert_eq!(
            bytes(Kind::Int64, &["0", "-1", "1", "300"]),
            [vec![0x20], vec![0x21, 1], vec![0x21, 2], vec![0x22, 88, 2], vec![0]]
        );
        assert_eq!(bytes(Kind::Text, &["", "ab"]), [vec![0x60], vec![0x61, 2, b'a', b'b'], vec![0]]);
        assert_eq!(bytes(Kind::Date, &["1970-01-02"]), [vec![0x81, 2], vec![0]]);
    }
}
