//! The binary COPY format, written. Every column lands in a staging column of one type per kind, so that the database
//! has nothing to convert and nothing to refuse.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
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

/// Turns batches into COPY bytes. Rows that cannot be sent are counted and left out; the load ends in a refusal then.
pub(super) struct Encoder {
    table: String,
    json: Vec<bool>,
    /// The table's name in the source, and where its rows that cannot be sent are kept.
    at_fault: (String, AtFault),
    odd: BTreeMap<(String, Odd), u64>,
    rows: u64,
}

impl Encoder {
    /// `json` says which columns must hold JSON.
    pub(super) fn new(table: &str, json: Vec<bool>, at_fault: (String, AtFault)) -> Self {
        Self { table: table.to_owned(), json, at_fault, odd: BTreeMap::new(), rows: 0 }
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
        for row in 0..batch.num_rows() {
            let start = out.len();
            out.put_i16(width);
            for (index, column) in batch.columns().iter().enumerate() {
                if let Err(odd) = self.put(column, index, row, out) {
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

    fn put(&self, column: &ArrayRef, index: usize, row: usize, out: &mut BytesMut) -> Result<(), Odd> {
        if column.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
        match column.data_type() {
            DataType::Boolean => fixed(out, [u8::from(column.as_boolean().value(row))]),
            DataType::Binary => field(out, column.as_binary::<i32>().value(row))?,
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>().value(row).checked_sub(EPOCH_DAYS);
                let days = days.filter(|days| (FIRST_DAY..END_DAY).contains(days)).ok_or(ODD_RANGE)?;
                fixed(out, days.to_be_bytes());
            }
            DataType::Decimal128(_, scale) => {
                numeric(column.as_primitive::<Decimal128Type>().value(row), *scale, out)?;
            }
            DataType::Float64 => fixed(out, column.as_primitive::<Float64Type>().value(row).to_be_bytes()),
            DataType::Int64 => fixed(out, column.as_primitive::<Int64Type>().value(row).to_be_bytes()),
            DataType::Utf8 => {
                let text = column.as_string::<i32>().value(row);
                if text.as_bytes().contains(&0) {
                    return Err(ODD_NUL);
                }
                if self.json.get(index) == Some(&true) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
                    return Err(ODD_JSON);
                }
                field(out, text.as_bytes())?;
            }
            DataType::Time64(_) => fixed(out, column.as_primitive::<Time64MicrosecondType>().value(row).to_be_bytes()),
            DataType::Timestamp(..) => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row).checked_sub(EPOCH_MICROS);
                let micros = micros.filter(|at| (FIRST_MICRO..END_MICRO).contains(at)).ok_or(ODD_RANGE)?;
                fixed(out, micros.to_be_bytes());
            }
            DataType::UInt64 => numeric(i128::from(column.as_primitive::<UInt64Type>().value(row)), 0, out)?,
            _ => return Err(ODD_KIND),
        }
        Ok(())
    }
}

fn fixed<const N: usize>(out: &mut BytesMut, bytes: [u8; N]) {
    // N is at most 8.
    out.put_i32(i32::try_from(N).unwrap_or(0));
    out.put_slice(&bytes);
}

fn field(out: &mut BytesMut, bytes: &[u8]) -> Result<(), Odd> {
    out.put_i32(i32::try_from(bytes.len()).map_err(|_| ODD_RANGE)?);
    out.put_slice(bytes);
    Ok(())
}

/// A numeric as `numeric_recv` takes it: groups of four digits around the point, the first worth 10,000^weight.
fn numeric(value: i128, scale: i8, out: &mut BytesMut) -> Result<(), Odd> {
    let scale = u16::from(u8::try_from(scale).map_err(|_| ODD_RANGE)?);
    let unit = 10_u128.checked_pow(u32::from(scale)).ok_or(ODD_RANGE)?;
    let digits = value.unsigned_abs();
    let (mut whole, mut fraction) =
        (digits.checked_div(unit).ok_or(ODD_RANGE)?, digits.checked_rem(unit).ok_or(ODD_RANGE)?);
    let mut groups = Vec::with_capacity(12);
    while whole > 0 {
        groups.push(group(whole)?);
        whole = whole.checked_div(10_000).ok_or(ODD_RANGE)?;
    }
    groups.reverse();
    let weight = i16::try_from(groups.len()).map_err(|_| ODD_RANGE)?.saturating_sub(1);
    let mut left = unit;
    while fraction > 0 {
        if left >= 10_000 {
            left = left.checked_div(10_000).ok_or(ODD_RANGE)?;
            groups.push(group(fraction.checked_div(left).ok_or(ODD_RANGE)?)?);
            fraction = fraction.checked_rem(left).ok_or(ODD_RANGE)?;
        } else {
            // The last group is filled with zeros on its right.
            let fill = 10_000_u128.checked_div(left).ok_or(ODD_RANGE)?;
            groups.push(group(fraction.checked_mul(fill).ok_or(ODD_RANGE)?)?);
            fraction = 0;
        }
    }
    let bytes = i32::try_from(groups.len()).map_err(|_| ODD_RANGE)?.saturating_mul(2).saturating_add(8);
    out.put_i32(bytes);
    out.put_u16(u16::try_from(groups.len()).map_err(|_| ODD_RANGE)?);
    out.put_i16(weight);
    out.put_u16(if value < 0 { 0x4000 } else { 0 });
    out.put_u16(scale);
    for group in groups {
        out.put_u16(group);
    }
    Ok(())
}

fn group(digits: u128) -> Result<u16, Odd> {
    digits.checked_rem(10_000).and_then(|group| u16::try_from(group).ok()).ok_or(ODD_RANGE)
}
