//! The binary COPY format, written: a value as the one type of its kind, into a staging column that is wide enough for
//! each, or as the target column's own type.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use bytes::{BufMut, BytesMut};
use lexicon::Result;

use super::decode::{EPOCH_DAYS, EPOCH_MICROS};
use crate::at_fault::AtFault;
use crate::columns::{ODD_KIND, ODD_RANGE, Odd};
use crate::trouble;

const ODD_NUL: Odd = "texts with a NUL character, which PostgreSQL cannot hold";
const ODD_JSON: Odd = "texts that are not JSON";

/// 24 November 4714 before our era: `PostgreSQL`'s first day, as days since 2000-01-01.
const FIRST_DAY: i32 = -2_451_545;
/// The day after its last, 31 December 5874897.
const END_DAY: i32 = 2_145_031_949;
/// Its first and its end as microseconds since 2000-01-01.
const FIRST_MICRO: i64 = -211_813_488_000_000_000;
const END_MICRO: i64 = 9_223_371_331_200_000_000;

/// How a column's values are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the one type of their kind.
    Plain,
    /// Text that must be JSON.
    Json,
    /// Whole numbers in two bytes.
    Bytes2,
    /// Whole numbers in four bytes.
    Bytes4,
    /// Text of at most so many characters.
    Characters(usize),
}

/// Turns batches into COPY bytes. Rows that cannot be sent are counted and left out; the load ends in a refusal then.
pub(super) struct Encoder {
    table: String,
    forms: Vec<Form>,
    /// The table's name in the source, and where its rows that cannot be sent are kept.
    at_fault: (String, AtFault),
    odd: BTreeMap<(String, Odd), u64>,
    rows: u64,
}

impl Encoder {
    /// `forms`: one for each column.
    pub(super) fn new(table: &str, forms: Vec<Form>, at_fault: (String, AtFault)) -> Self {
        Self { table: table.to_owned(), forms, at_fault, odd: BTreeMap::new(), rows: 0 }
    }

    /// The signature and a header without flags.
    pub(super) fn begin(out: &mut BytesMut) {
        out.put_slice(b"PGCOPY\n\xff\r\n\0");
        out.put_u64(0);
    }

    /// The end of the rows.
    pub(super) fn end(out: &mut BytesMut) {
        out.put_i16(-1);
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends a batch.
    pub(super) fn write(&mut self, batch: &RecordBatch, out: &mut BytesMut) -> Result<()> {
        let width = i16::try_from(batch.num_columns()).map_err(|_| trouble::shape(&self.table, "too many columns"))?;
        let columns: Vec<_> =
            batch.columns().iter().zip(&self.forms).map(|(array, form)| Cells::of(array, *form)).collect();
        for row in 0..batch.num_rows() {
            let start = out.len();
            out.put_i16(width);
            for (index, column) in columns.iter().enumerate() {
                if let Err(odd) = column.put(row, out) {
                    out.truncate(start);
                    let name = batch.schema_ref().fields().get(index).map_or("?", |field| field.name());
                    let count = self.odd.entry((name.to_owned(), odd)).or_default();
                    *count = count.saturating_add(1);
                    self.at_fault.1.keep(&self.at_fault.0, batch.slice(row, 1));
                    break;
                }
            }
            self.rows = self.rows.saturating_add(1);
        }
        Ok(())
    }

    /// The refusal of all that could not be sent.
    pub(super) fn verdict(&self) -> Result<()> {
        if self.odd.is_empty() {
            return Ok(());
        }
        let findings: Vec<_> = self.odd.iter().map(|((name, odd), count)| (name.clone(), *odd, *count)).collect();
        Err(trouble::odd_values(&self.table, &findings))
    }
}

/// One column of a batch, with its type looked up once and not for every cell.
struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Decimal(&'a Decimal128Array, i8),
    Float(&'a Float64Array),
    Int(&'a Int64Array, Form),
    Text(&'a StringArray, Form),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    UInt(&'a UInt64Array),
    Unknown,
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef, form: Form) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean()),
            DataType::Binary => Values::Bytes(array.as_binary()),
            DataType::Date32 => Values::Date(array.as_primitive()),
            DataType::Decimal128(_, scale) => Values::Decimal(array.as_primitive(), *scale),
            DataType::Float64 => Values::Float(array.as_primitive()),
            DataType::Int64 => Values::Int(array.as_primitive(), form),
            DataType::Utf8 => Values::Text(array.as_string(), form),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Values::Timestamp(array.as_primitive()),
            DataType::UInt64 => Values::UInt(array.as_primitive()),
            _ => Values::Unknown,
        };
        Self { nulls: array.nulls(), values }
    }

    #[inline]
    fn put(&self, row: usize, out: &mut BytesMut) -> Result<(), Odd> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.put_i32(-1);
            return Ok(());
        }
        match self.values {
            Values::Bool(array) => fixed(out, [u8::from(array.value(row))]),
            Values::Bytes(array) => field(out, array.value(row))?,
            Values::Date(array) => {
                let days = array.value(row).checked_sub(EPOCH_DAYS);
                let days = days.filter(|days| (FIRST_DAY..END_DAY).contains(days)).ok_or(ODD_RANGE)?;
                fixed(out, days.to_be_bytes());
            }
            Values::Decimal(array, scale) => numeric(array.value(row), scale, out)?,
            Values::Float(array) => fixed(out, array.value(row).to_be_bytes()),
            Values::Int(array, form) => match form {
                Form::Bytes2 => fixed(out, i16::try_from(array.value(row)).map_err(|_| ODD_RANGE)?.to_be_bytes()),
                Form::Bytes4 => fixed(out, i32::try_from(array.value(row)).map_err(|_| ODD_RANGE)?.to_be_bytes()),
                Form::Plain | Form::Json | Form::Characters(_) => fixed(out, array.value(row).to_be_bytes()),
            },
            Values::Text(array, form) => text(array.value(row), form, out)?,
            Values::Time(array) => fixed(out, array.value(row).to_be_bytes()),
            Values::Timestamp(array) => {
                let micros = array.value(row).checked_sub(EPOCH_MICROS);
                let micros = micros.filter(|at| (FIRST_MICRO..END_MICRO).contains(at)).ok_or(ODD_RANGE)?;
                fixed(out, micros.to_be_bytes());
            }
            Values::UInt(array) => numeric(i128::from(array.value(row)), 0, out)?,
            Values::Unknown => return Err(ODD_KIND),
        }
        Ok(())
    }
}

fn text(text: &str, form: Form, out: &mut BytesMut) -> Result<(), Odd> {
    if text.as_bytes().contains(&0) {
        return Err(ODD_NUL);
    }
    match form {
        Form::Json if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() => return Err(ODD_JSON),
        // A text has no more characters than bytes.
        Form::Characters(most) if text.len() > most && text.chars().count() > most => return Err(ODD_RANGE),
        Form::Plain | Form::Json | Form::Bytes2 | Form::Bytes4 | Form::Characters(_) => {}
    }
    field(out, text.as_bytes())
}

#[inline]
fn fixed<const N: usize>(out: &mut BytesMut, bytes: [u8; N]) {
    // N is at most 8.
    out.put_i32(i32::try_from(N).unwrap_or(0));
    out.put_slice(&bytes);
}

#[inline]
fn field(out: &mut BytesMut, bytes: &[u8]) -> Result<(), Odd> {
    out.put_i32(i32::try_from(bytes.len()).map_err(|_| ODD_RANGE)?);
    out.put_slice(bytes);
    Ok(())
}

/// Groups of four digits that a numeric of 38 digits has at most, wherever its point is.
const GROUPS_MAX: usize = 11;

/// A numeric as `numeric_recv` takes it: groups of four digits around the point, the first worth 10,000^weight.
fn numeric(value: i128, scale: i8, out: &mut BytesMut) -> Result<(), Odd> {
    let scale = u16::from(u8::try_from(scale).map_err(|_| ODD_RANGE)?);
    let after_point = scale.div_ceil(4);
    let mut left = value.unsigned_abs();
    // From the last group to the first.
    let mut groups = [0_u16; GROUPS_MAX];
    let mut count: usize = 0;
    let mut unit = match scale % 4 {
        0 => 10_000,
        // Fewer digits than a group has: it is filled with zeros on its right.
        digits => 10_u64.saturating_pow(u32::from(digits)),
    };
    while left > 0 {
        let digits;
        (left, digits) = split(left, unit);
        let fill = 10_000_u64.checked_div(unit).ok_or(ODD_RANGE)?;
        let group = u16::try_from(digits.saturating_mul(fill)).map_err(|_| ODD_RANGE)?;
        *groups.get_mut(count).ok_or(ODD_RANGE)? = group;
        (count, unit) = (count.saturating_add(1), 10_000);
    }
    let written = groups.get(..count).unwrap_or_default();
    let words = i16::try_from(count).map_err(|_| ODD_RANGE)?;
    let weight = words.saturating_sub(after_point.cast_signed()).saturating_sub(1);
    out.put_i32(i32::from(words).saturating_mul(2).saturating_add(8));
    out.put_i16(words);
    out.put_i16(weight);
    out.put_u16(if value < 0 { 0x4000 } else { 0 });
    out.put_u16(scale);
    for group in written.iter().rev() {
        out.put_u16(*group);
    }
    Ok(())
}

/// Quotient and remainder. A division of 128 bits costs ten times one of 64, and most numbers are small.
fn split(number: u128, by: u64) -> (u128, u64) {
    if let Ok(small) = u64::try_from(number) {
        return (u128::from(small.checked_div(by).unwrap_or(0)), small.checked_rem(by).unwrap_or(0));
    }
    let rest = number.checked_rem(u128::from(by)).unwrap_or(0);
    (number.checked_div(u128::from(by)).unwrap_or(0), u64::try_from(rest).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;

    #[test]
    fn a_numeric_that_is_written_is_read_as_the_same_number() {
        let most = 10_i128.pow(38) - 1;
        let numbers = [0, 1, -1, 9_999, 10_000, 123_456_789, -12_345_678_900, i128::from(u64::MAX) + 1, most, -most];
        for (scale, number) in (0..=12).flat_map(|scale| numbers.map(|number| (scale, number))) {
            let mut out = BytesMut::new();
            numeric(number, scale, &mut out).unwrap();
            let length = i32::from_be_bytes(out.get(..4).unwrap().try_into().unwrap());
            assert_eq!(usize::try_from(length).unwrap() + 4, out.len());
            assert_eq!(decode::numeric(out.get(4..).unwrap(), 38, scale), Ok(number), "{number} at {scale}");
        }
    }
}
