//! Values of the binary protocol, read as the column's kind. The layout is that of the `MySQL` protocol's "Binary
//! Protocol Value"; numbers are little-endian.

use bytes::Buf;

use super::types::Wire;
use crate::columns::{Cells, ODD_KIND, ODD_PRECISION, ODD_RANGE, ODD_SPELLING, ODD_ZERO_DATE, Odd};
use crate::spelling::{self, DAY, SECOND};

/// Reads one value; none is NULL.
pub(super) fn put(cells: &mut Cells, wire: Wire, value: Option<&[u8]>) -> Result<(), Odd> {
    let Some(value) = value else {
        cells.null();
        return Ok(());
    };
    match (cells, wire) {
        (Cells::Bool(to), Wire::Bits | Wire::Signed | Wire::Unsigned) => match integer(wire, value)? {
            0 => to.append_value(false),
            1 => to.append_value(true),
            _ => return Err(ODD_KIND),
        },
        (Cells::Bytes(to), Wire::Bytes) | (Cells::Text(to), Wire::Text) => to.append_value(value),
        (Cells::Date(to), Wire::Date) => to.append_value(Moment::read(value)?.days()?),
        (Cells::Decimal(to, precision, scale), Wire::Decimal) => {
            let text = std::str::from_utf8(value).map_err(|_| ODD_SPELLING)?;
            to.append_value(spelling::read_decimal(text, *precision, *scale).ok_or(ODD_PRECISION)?);
        }
        (Cells::Decimal(to, precision, scale), Wire::Signed | Wire::Unsigned) => {
            to.append_value(spelling::rescale(integer(wire, value)?, 0, *precision, *scale).ok_or(ODD_PRECISION)?);
        }
        (Cells::Float64(to), Wire::Float) => to.append_value(float(value)?),
        (Cells::Int64(to), Wire::Bits | Wire::Decimal | Wire::Signed | Wire::Unsigned) => {
            to.append_value(i64::try_from(integer(wire, value)?).map_err(|_| ODD_RANGE)?);
        }
        (Cells::Text(to), Wire::Date) => to.append_value(Moment::read(value)?.spell_date()),
        (Cells::Text(to), Wire::Time) => to.append_value(Span::read(value)?.spell()),
        (Cells::Text(to), Wire::Timestamp) => to.append_value(Moment::read(value)?.spell()),
        (Cells::Time(to), Wire::Time) => to.append_value(Span::read(value)?.time_of_day()?),
        (Cells::Text(to), Wire::Moment) => to.append_value(Moment::read(value)?.spell_utc()),
        (Cells::Timestamp(to), Wire::Timestamp) | (Cells::TimestampTz(to), Wire::Moment) => {
            to.append_value(Moment::read(value)?.micros()?);
        }
        (Cells::UInt64(to), Wire::Bits | Wire::Decimal | Wire::Signed | Wire::Unsigned) => {
            to.append_value(u64::try_from(integer(wire, value)?).map_err(|_| ODD_RANGE)?);
        }
        _ => return Err(ODD_KIND),
    }
    Ok(())
}

/// An integer in any of its forms: bits are big-endian, of any number of bytes.
fn integer(wire: Wire, value: &[u8]) -> Result<i128, Odd> {
    if wire == Wire::Decimal {
        let text = std::str::from_utf8(value).map_err(|_| ODD_SPELLING)?;
        return spelling::read_decimal(text, 38, 0).ok_or(ODD_PRECISION);
    }
    if wire == Wire::Bits {
        return Ok(value.iter().fold(0, |bits, byte| (bits << 8) | i128::from(*byte)));
    }
    let unsigned = value.iter().rev().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    if wire == Wire::Unsigned {
        return Ok(i128::from(unsigned));
    }
    let bits = u32::try_from(value.len()).unwrap_or(8).saturating_mul(8).min(64);
    // The sign of a narrow number is its own highest bit: up to the top of 64 bits and down again.
    let shift = 64_u32.saturating_sub(bits);
    let signed = unsigned.checked_shl(shift).unwrap_or(0).cast_signed().checked_shr(shift).unwrap_or(0);
    Ok(i128::from(signed))
}

fn float(value: &[u8]) -> Result<f64, Odd> {
    match value.len() {
        4 => Ok(f64::from(f32::from_le_bytes(value.try_into().map_err(|_| ODD_KIND)?))),
        8 => Ok(f64::from_le_bytes(value.try_into().map_err(|_| ODD_KIND)?)),
        _ => Err(ODD_KIND),
    }
}

/// A day and a time as they stand in the table, zeros included.
#[derive(Default)]
struct Moment {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    micros: u32,
}

impl Moment {
    /// The first byte counts those that follow: 0, 4, 7 or 11; what is left out is zero.
    fn read(value: &[u8]) -> Result<Self, Odd> {
        let mut moment = Self::default();
        let Some((length, mut rest)) = value.split_first() else { return Err(ODD_KIND) };
        let cut = |_| ODD_KIND;
        if *length >= 4 {
            moment.year = rest.try_get_u16_le().map_err(cut)?;
            moment.month = rest.try_get_u8().map_err(cut)?;
            moment.day = rest.try_get_u8().map_err(cut)?;
        }
        if *length >= 7 {
            moment.hour = rest.try_get_u8().map_err(cut)?;
            moment.minute = rest.try_get_u8().map_err(cut)?;
            moment.second = rest.try_get_u8().map_err(cut)?;
        }
        if *length >= 11 {
            moment.micros = rest.try_get_u32_le().map_err(cut)?;
        }
        Ok(moment)
    }

    fn days(&self) -> Result<i32, Odd> {
        if self.month == 0 || self.day == 0 {
            return Err(ODD_ZERO_DATE);
        }
        // The year 0 and days such as 31 February, which an old SQL mode lets in.
        spelling::days(i64::from(self.year), i64::from(self.month), i64::from(self.day)).ok_or(ODD_RANGE)
    }

    fn micros(&self) -> Result<i64, Odd> {
        let time = clock(self.hour.into(), self.minute, self.second, self.micros).ok_or(ODD_RANGE)?;
        i64::from(self.days()?).checked_mul(DAY).and_then(|day| day.checked_add(time)).ok_or(ODD_RANGE)
    }

    fn spell_date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn spell(&self) -> String {
        let fraction = spell_fraction(self.micros);
        format!("{} {:02}:{:02}:{:02}{fraction}", self.spell_date(), self.hour, self.minute, self.second)
    }

    /// With its offset, except for the zero date, which is no moment.
    fn spell_utc(&self) -> String {
        let zone = if self.month == 0 { "" } else { "Z" };
        self.spell() + zone
    }
}

fn spell_fraction(micros: u32) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}") }
}

/// Microseconds of a time.
fn clock(hours: i64, minute: u8, second: u8, micros: u32) -> Option<i64> {
    let seconds =
        hours.checked_mul(3600)?.checked_add(i64::from(minute).checked_mul(60)?)?.checked_add(second.into())?;
    seconds.checked_mul(SECOND)?.checked_add(micros.into())
}

/// A `TIME`, which may be negative or longer than a day.
#[derive(Default)]
struct Span {
    negative: bool,
    hours: i64,
    minute: u8,
    second: u8,
    micros: u32,
}

impl Span {
    /// The first byte counts those that follow: 0, 8 or 12.
    fn read(value: &[u8]) -> Result<Self, Odd> {
        let mut span = Self::default();
        let Some((length, mut rest)) = value.split_first() else { return Err(ODD_KIND) };
        let cut = |_| ODD_KIND;
        if *length >= 8 {
            span.negative = rest.try_get_u8().map_err(cut)? != 0;
            let days = i64::from(rest.try_get_u32_le().map_err(cut)?);
            let hours = i64::from(rest.try_get_u8().map_err(cut)?);
            span.hours = days.saturating_mul(24).saturating_add(hours);
            span.minute = rest.try_get_u8().map_err(cut)?;
            span.second = rest.try_get_u8().map_err(cut)?;
        }
        if *length >= 12 {
            span.micros = rest.try_get_u32_le().map_err(cut)?;
        }
        Ok(span)
    }

    fn time_of_day(&self) -> Result<i64, Odd> {
        let micros = clock(self.hours, self.minute, self.second, self.micros).ok_or(ODD_RANGE)?;
        if self.negative || micros >= DAY { Err(ODD_RANGE) } else { Ok(micros) }
    }

    fn spell(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{:02}:{:02}:{:02}{}", self.hours, self.minute, self.second, spell_fraction(self.micros))
    }
}

#[cfg(feature = "parsers")]
const ALL: [Wire; 11] = [
    Wire::Bits,
    Wire::Bytes,
    Wire::Date,
    Wire::Decimal,
    Wire::Float,
    Wire::Moment,
    Wire::Signed,
    Wire::Text,
    Wire::Time,
    Wire::Timestamp,
    Wire::Unsigned,
];

/// How many types there are in which the protocol carries a value.
#[cfg(feature = "parsers")]
pub(crate) const WIRES: usize = ALL.len();

#[cfg(feature = "parsers")]
pub(crate) fn valued(
    wire: usize,
    value: Option<&[u8]>,
    taken: &scope::TableScope,
) -> lexicon::Result<Option<arrow_array::RecordBatch>> {
    let (schema, at_fault) = (taken.source_schema(), crate::at_fault::AtFault::default());
    let mut batcher = crate::columns::Batcher::new(&taken.name, schema, &at_fault)?;
    let wire = ALL.get(wire).copied().unwrap_or(Wire::Text);
    for index in 0..batcher.width() {
        batcher.cell(index, value.map_or(0, <[u8]>::len), |cells| put(cells, wire, value));
    }
    batcher.end_row()?;
    batcher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_number_keeps_its_sign() {
        assert_eq!(integer(Wire::Signed, &[0xff]), Ok(-1));
        assert_eq!(integer(Wire::Unsigned, &[0xff]), Ok(255));
        assert_eq!(integer(Wire::Signed, &[0x00, 0x80]), Ok(-32_768));
        assert_eq!(integer(Wire::Signed, &i64::MIN.to_le_bytes()), Ok(i128::from(i64::MIN)));
        assert_eq!(integer(Wire::Unsigned, &u64::MAX.to_le_bytes()), Ok(i128::from(u64::MAX)));
        assert_eq!(integer(Wire::Bits, &[1, 0]), Ok(256));
    }

    #[test]
    fn a_zero_date_is_text_or_refused_and_never_null() {
        for zero in [&[0_u8][..], &[4, 0, 0, 0, 0], &[4, 0xE4, 0x07, 0, 0], &[4, 0xE4, 0x07, 5, 0]] {
            assert_eq!(Moment::read(zero).unwrap().days(), Err(ODD_ZERO_DATE));
        }
        assert_eq!(Moment::read(&[0]).unwrap().spell(), "0000-00-00 00:00:00");
        assert_eq!(Moment::read(&[0]).unwrap().spell_date(), "0000-00-00");
        let moment = Moment::read(&[11, 0xE4, 0x07, 2, 29, 23, 59, 58, 1, 0, 0, 0]).unwrap();
        assert_eq!(moment.spell(), "2020-02-29 23:59:58.000001");
        assert_eq!(moment.micros().ok(), spelling::read_timestamp("2020-02-29 23:59:58.000001"));
    }

    #[test]
    fn a_time_beyond_a_day_is_no_time_of_day() {
        assert_eq!(Span::read(&[0]).unwrap().time_of_day(), Ok(0));
        let long = Span::read(&[8, 1, 34, 0, 0, 0, 22, 59, 59]).unwrap();
        assert_eq!(long.time_of_day(), Err(ODD_RANGE));
        assert_eq!(long.spell(), "-838:59:59");
    }
}
