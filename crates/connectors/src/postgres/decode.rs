//! The binary COPY format, read. The layout is that of `PostgreSQL`'s manual ("COPY", binary format) and of each type's
//! send function.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::{Buf, BytesMut};
use lexicon::Result;

use super::SYSTEM;
use super::types::Wire;
use crate::at_fault::AtFault;
use crate::columns::{Batcher, Cells, ODD_INFINITE, ODD_KIND, ODD_LONG, ODD_NAN, ODD_PRECISION, ODD_RANGE, Odd};
use crate::spelling::{self, DAY};
use crate::trouble;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, 32 bits of flags, 32 bits of length of the header's extension.
const HEADER_BYTES: usize = 19;
/// `PostgreSQL` counts days from 2000-01-01, 10,957 days after 1970-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds: 10,957 × 86,400,000,000.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Turns the pieces of a COPY stream into batches, wherever the pieces are cut.
pub(super) struct Decoder {
    batcher: Batcher,
    wires: Vec<Wire>,
    waiting: BytesMut,
    header: bool,
    ended: bool,
}

impl Decoder {
    pub(super) fn new(table: &str, schema: SchemaRef, wires: Vec<Wire>, at_fault: &AtFault) -> Result<Self> {
        let batcher = Batcher::new(table, schema, at_fault)?;
        Ok(Self { batcher, wires, waiting: BytesMut::new(), header: false, ended: false })
    }

    /// Tells of rows that do not come, by column and number of values.
    pub(super) fn left_out(&mut self, long: &[(usize, u64)]) {
        for (index, values) in long {
            self.batcher.left_out(*index, ODD_LONG, *values);
        }
    }

    /// Takes the next piece; full batches come out.
    pub(super) fn feed(&mut self, piece: &[u8], out: &mut Vec<RecordBatch>) -> Result<()> {
        // PostgreSQL sends row by row: a whole row is read where it lies.
        if self.header && self.waiting.is_empty() {
            let taken = self.rows(piece, out)?;
            self.waiting.extend_from_slice(piece.get(taken..).unwrap_or_default());
            return Ok(());
        }
        self.waiting.extend_from_slice(piece);
        if !self.header {
            if self.waiting.len() < HEADER_BYTES {
                return Ok(());
            }
            let header = self.waiting.split_to(HEADER_BYTES);
            // Flags and extension are zero in every version that writes this format.
            if !header.starts_with(SIGNATURE) || header.iter().skip(SIGNATURE.len()).any(|byte| *byte != 0) {
                return Err(malformed());
            }
            self.header = true;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let taken = self.rows(&waiting, out)?;
        self.waiting = waiting;
        self.waiting.advance(taken);
        Ok(())
    }

    /// Reads the whole rows that `bytes` begins with; how many bytes they have.
    fn rows(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<usize> {
        let mut rest = bytes;
        while !self.ended {
            let Some(length) = row_length(rest)? else { break };
            let (row, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
            self.row(row)?;
            rest = after;
            if !self.ended
                && let Some(batch) = self.batcher.end_row()?
            {
                out.push(batch);
            }
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    /// The end of the stream; the last rows come out.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if !self.ended {
            return Err(trouble::unreachable(SYSTEM, "a COPY stream was cut"));
        }
        self.batcher.finish()
    }

    fn row(&mut self, mut row: &[u8]) -> Result<()> {
        let fields = row.try_get_i16().map_err(|_| malformed())?;
        if fields == -1 {
            self.ended = true;
            return Ok(());
        }
        if usize::try_from(fields).ok() != Some(self.wires.len()) {
            return Err(malformed());
        }
        for (index, wire) in self.wires.iter().enumerate() {
            let length = row.try_get_i32().map_err(|_| malformed())?;
            let Ok(length) = usize::try_from(length) else {
                self.batcher.cell(index, 0, |cells| {
                    cells.null();
                    Ok(())
                });
                continue;
            };
            let (field, rest) = row.split_at_checked(length).ok_or_else(malformed)?;
            row = rest;
            self.batcher.cell(index, length, |cells| put(cells, *wire, field));
        }
        Ok(())
    }
}

fn malformed() -> lexicon::Trouble {
    trouble::statement(SYSTEM, "reading a COPY stream", "malformed")
}

/// The length of the first row, if it is all there.
fn row_length(bytes: &[u8]) -> Result<Option<usize>> {
    let mut rest = bytes;
    let Ok(fields) = rest.try_get_i16() else { return Ok(None) };
    if fields < -1 {
        return Err(malformed());
    }
    for _ in 0..fields.max(0) {
        let Ok(length) = rest.try_get_i32() else { return Ok(None) };
        if length < -1 {
            return Err(malformed());
        }
        match rest.get(usize::try_from(length).unwrap_or(0)..) {
            Some(after) => rest = after,
            None => return Ok(None),
        }
    }
    Ok(Some(bytes.len().saturating_sub(rest.len())))
}

/// Reads one field as the column's kind.
fn put(cells: &mut Cells, wire: Wire, field: &[u8]) -> Result<(), Odd> {
    match (cells, wire) {
        (Cells::Bool(to), Wire::Bool) => to.append_value(field.first().is_some_and(|byte| *byte != 0)),
        (Cells::Bytes(to), Wire::Bytes) | (Cells::Text(to), Wire::Text) => to.append_value(field),
        (Cells::Date(to), Wire::Date) => {
            let days = i32::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?);
            if days == i32::MAX || days == i32::MIN {
                return Err(ODD_INFINITE);
            }
            to.append_value(days.checked_add(EPOCH_DAYS).ok_or(ODD_RANGE)?);
        }
        (Cells::Decimal(to, precision, scale), Wire::Numeric) => to.append_value(numeric(field, *precision, *scale)?),
        (Cells::Decimal(to, precision, scale), Wire::Integer) => {
            let value = spelling::rescale(i128::from(integer(field)?), 0, *precision, *scale);
            to.append_value(value.ok_or(ODD_PRECISION)?);
        }
        (Cells::Float64(to), Wire::Float) => to.append_value(float(field)?),
        (Cells::Int64(to), Wire::Integer) => to.append_value(integer(field)?),
        (Cells::Int64(to), Wire::Numeric) => {
            to.append_value(i64::try_from(numeric(field, 38, 0)?).map_err(|_| ODD_RANGE)?);
        }
        (Cells::Time(to), Wire::Time) => {
            let micros = i64::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?);
            // 24:00:00 is a time in PostgreSQL and nowhere else.
            if !(0..DAY).contains(&micros) {
                return Err(ODD_RANGE);
            }
            to.append_value(micros);
        }
        (Cells::Timestamp(to) | Cells::TimestampTz(to), Wire::Timestamp) => {
            let micros = i64::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?);
            if micros == i64::MAX || micros == i64::MIN {
                return Err(ODD_INFINITE);
            }
            to.append_value(micros.checked_add(EPOCH_MICROS).ok_or(ODD_RANGE)?);
        }
        (Cells::UInt64(to), Wire::Integer) => to.append_value(u64::try_from(integer(field)?).map_err(|_| ODD_RANGE)?),
        (Cells::UInt64(to), Wire::Numeric) => {
            to.append_value(u64::try_from(numeric(field, 38, 0)?).map_err(|_| ODD_RANGE)?);
        }
        _ => return Err(ODD_KIND),
    }
    Ok(())
}

fn integer(field: &[u8]) -> Result<i64, Odd> {
    match field.len() {
        2 => Ok(i64::from(i16::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?))),
        4 => Ok(i64::from(i32::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?))),
        8 => Ok(i64::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?)),
        _ => Err(ODD_KIND),
    }
}

fn float(field: &[u8]) -> Result<f64, Odd> {
    match field.len() {
        4 => Ok(f64::from(f32::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?))),
        8 => Ok(f64::from_be_bytes(field.try_into().map_err(|_| ODD_KIND)?)),
        _ => Err(ODD_KIND),
    }
}

/// A numeric as an unscaled number at `scale`: groups of four digits, the first worth 10,000^weight.
pub(super) fn numeric(mut field: &[u8], precision: u8, scale: i8) -> Result<i128, Odd> {
    let mut next = || field.try_get_u16().map_err(|_| ODD_KIND);
    let (groups, weight, sign, _) = (next()?, next()?.cast_signed(), next()?, next()?);
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xC000 => return Err(ODD_NAN),
        _ => return Err(ODD_INFINITE),
    };
    let scale = i32::from(scale);
    let mut value: i128 = 0;
    // Digits after the point up to the end of the last group taken; negative before the point.
    let mut after_point = 0;
    for group in 0..i32::from(groups) {
        let digits = i128::from(next()?);
        after_point = group.saturating_sub(i32::from(weight)).saturating_mul(4);
        let beyond = u32::try_from(after_point.saturating_sub(scale)).unwrap_or(0).min(4);
        let dropped = 10_i128.checked_pow(beyond).ok_or(ODD_PRECISION)?;
        let kept = 10_000_i128.checked_div(dropped).ok_or(ODD_PRECISION)?;
        if digits.checked_rem(dropped) != Some(0) {
            return Err(ODD_PRECISION);
        }
        let digits = digits.checked_div(dropped).ok_or(ODD_PRECISION)?;
        value = value.checked_mul(kept).and_then(|value| value.checked_add(digits)).ok_or(ODD_PRECISION)?;
        after_point = after_point.min(scale);
    }
    let value = if negative { value.checked_neg().ok_or(ODD_PRECISION)? } else { value };
    let scale = i8::try_from(scale).map_err(|_| ODD_PRECISION)?;
    spelling::rescale(value, after_point, precision, scale).ok_or(ODD_PRECISION)
}

/// One column for each way in which a field is understood.
#[cfg(feature = "parsers")]
pub(crate) fn copied<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<RecordBatch>> {
    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    let columns = [
        (DataType::Boolean, Wire::Bool),
        (DataType::Binary, Wire::Bytes),
        (DataType::Date32, Wire::Date),
        (DataType::Float64, Wire::Float),
        (DataType::Int64, Wire::Integer),
        (DataType::Decimal128(12, 2), Wire::Numeric),
        (DataType::UInt64, Wire::Numeric),
        (DataType::Utf8, Wire::Text),
        (DataType::Time64(TimeUnit::Microsecond), Wire::Time),
        (DataType::Timestamp(TimeUnit::Microsecond, None), Wire::Timestamp),
    ];
    let fields = columns.iter().enumerate().map(|(place, (data, _))| Field::new(place.to_string(), data.clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let wires = columns.iter().map(|(_, wire)| *wire).collect();
    let mut decoder = Decoder::new("t", std::sync::Arc::new(schema), wires, &AtFault::default())?;
    let mut found = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut found)?;
    }
    found.extend(decoder.finish()?);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wire form as `numeric_send` writes it.
    fn wire(groups: &[u16], weight: i16, sign: u16) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [u16::try_from(groups.len()).unwrap(), weight.cast_unsigned(), sign, 0].iter().chain(groups) {
            out.extend(word.to_be_bytes());
        }
        out
    }

    #[test]
    fn a_numeric_is_exact_at_the_declared_scale() {
        // 12345.6789 = 1 | 2345 . 6789
        assert_eq!(numeric(&wire(&[1, 2345, 6789], 1, 0), 10, 4), Ok(123_456_789));
        assert_eq!(numeric(&wire(&[1, 2345, 6789], 1, 0x4000), 12, 6), Ok(-12_345_678_900));
        assert_eq!(numeric(&wire(&[1, 2345, 6789], 1, 0), 10, 2), Err(ODD_PRECISION));
        assert_eq!(numeric(&wire(&[1, 2345, 6700], 1, 0), 10, 2), Ok(1_234_567));
        // 0.00001 = 0 . 0000 | 1000, sent without its leading zero group.
        assert_eq!(numeric(&wire(&[1000], -2, 0), 10, 5), Ok(1));
        assert_eq!(numeric(&wire(&[1000], -2, 0), 10, 4), Err(ODD_PRECISION));
        // 30,000,000 is sent as one group.
        assert_eq!(numeric(&wire(&[3000], 1, 0), 10, 2), Ok(3_000_000_000));
        assert_eq!(numeric(&wire(&[], 0, 0), 10, 2), Ok(0));
        assert_eq!(numeric(&wire(&[], 0, 0xC000), 10, 2), Err(ODD_NAN));
        assert_eq!(numeric(&wire(&[], 0, 0xD000), 10, 2), Err(ODD_INFINITE));
    }

    #[test]
    fn the_widest_numeric_of_38_digits_fits() {
        let groups = [9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9900];
        assert_eq!(numeric(&wire(&groups, 6, 0), 38, 10), Ok(10_i128.pow(38) - 1));
        assert_eq!(numeric(&wire(&groups, 6, 0), 37, 10), Err(ODD_PRECISION));
    }
}
