//! Fields of a file, read as the column's kind.

use super::records::Field;
use crate::columns::{Cells, ODD_PRECISION, ODD_SPELLING, ODD_UTF8, Odd};
use crate::spelling;

/// Reads one field. An empty field is NULL; in quotes it is an empty text, and NULL where the kind is not text.
pub(super) fn put(cells: &mut Cells, field: Field<'_>) -> Result<(), Odd> {
    let is_text = matches!(cells, Cells::Text(_) | Cells::Bytes(_));
    if field.bytes.is_empty() && !(field.quoted && is_text) {
        cells.null();
        return Ok(());
    }
    if let Cells::Bytes(to) = cells {
        to.append_value(field.bytes);
        return Ok(());
    }
    let text = std::str::from_utf8(field.bytes).map_err(|_| ODD_UTF8)?;
    match cells {
        Cells::Bool(to) => match text {
            "0" | "f" | "false" => to.append_value(false),
            "1" | "t" | "true" => to.append_value(true),
            _ => return Err(ODD_SPELLING),
        },
        Cells::Bytes(_) => {}
        Cells::Date(to) => to.append_value(spelling::read_date(text).ok_or(ODD_SPELLING)?),
        Cells::Decimal(to, precision, scale) => {
            to.append_value(spelling::read_decimal(text, *precision, *scale).ok_or(ODD_PRECISION)?);
        }
        Cells::Float64(to) => to.append_value(float(text).ok_or(ODD_SPELLING)?),
        Cells::Int64(to) => to.append_value(text.parse().map_err(|_| ODD_SPELLING)?),
        Cells::Text(to) => to.append_value(text),
        Cells::Time(to) => to.append_value(spelling::read_time(text).ok_or(ODD_SPELLING)?),
        Cells::Timestamp(to) => to.append_value(spelling::read_timestamp(text).ok_or(ODD_SPELLING)?),
        Cells::TimestampTz(to) => to.append_value(spelling::read_timestamp_zoned(text).ok_or(ODD_SPELLING)?),
        Cells::UInt64(to) => to.append_value(text.parse().map_err(|_| ODD_SPELLING)?),
    }
    Ok(())
}

/// Digits, point and exponent; not the words for infinity and for what is no number.
fn float(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}
