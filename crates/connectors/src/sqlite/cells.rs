//! Values between `SQLite`'s five storage classes and the kinds of a scope. `SQLite` has no dates and no decimals: they
//! stand as text, spelled in one way only, or (decimals of up to 15 digits) as the numbers that affinity makes of it.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each kind takes one or two of the storage classes, and Arrow has many types that are no kind"
)]

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::Affinity;
use crate::columns::{Cells, ODD_KIND, ODD_NAN, ODD_PRECISION, ODD_RANGE, ODD_SPELLING, Odd};
use crate::spelling;

/// Every integer up to 2^53 has an exact double.
const EXACT_IN_DOUBLE: i64 = 1 << 53;
/// NUMERIC and REAL affinity keep 15 significant digits of a number that was written as text.
const AFFINITY_DIGITS: u8 = 15;

/// The size that a value takes in a batch, beside its fixed part.
pub(super) fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
    }
}

/// Reads one value as the column's kind.
pub(super) fn put(cells: &mut Cells, value: ValueRef<'_>) -> Result<(), Odd> {
    if matches!(value, ValueRef::Null) {
        cells.null();
        return Ok(());
    }
    match cells {
        Cells::Bool(to) => match value {
            ValueRef::Integer(0) => to.append_value(false),
            ValueRef::Integer(1) => to.append_value(true),
            _ => return Err(ODD_KIND),
        },
        Cells::Bytes(to) => match value {
            // Text too: a scope that names an old character set reads the bytes that the file holds.
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => to.append_value(bytes),
            _ => return Err(ODD_KIND),
        },
        Cells::Date(to) => to.append_value(spelled(value, spelling::read_date)?),
        Cells::Decimal(to, precision, scale) => to.append_value(decimal(value, *precision, *scale)?),
        Cells::Float64(to) => match value {
            ValueRef::Real(number) => to.append_value(number),
            ValueRef::Integer(number) => to.append_value(exact_double(number).ok_or(ODD_PRECISION)?),
            _ => return Err(ODD_KIND),
        },
        Cells::Int64(to) => match value {
            ValueRef::Integer(number) => to.append_value(number),
            _ => return Err(ODD_KIND),
        },
        Cells::Text(to) => match value {
            ValueRef::Text(bytes) => to.append_value(bytes),
            _ => return Err(ODD_KIND),
        },
        Cells::Time(to) => to.append_value(spelled(value, spelling::read_time)?),
        Cells::Timestamp(to) => to.append_value(spelled(value, spelling::read_timestamp)?),
        Cells::TimestampTz(to) => to.append_value(spelled(value, spelling::read_timestamp_zoned)?),
        Cells::UInt64(to) => match value {
            ValueRef::Integer(number) => to.append_value(u64::try_from(number).map_err(|_| ODD_RANGE)?),
            _ => return Err(ODD_KIND),
        },
    }
    Ok(())
}

fn spelled<T>(value: ValueRef<'_>, read: impl Fn(&str) -> Option<T>) -> Result<T, Odd> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().and_then(read).ok_or(ODD_SPELLING),
        _ => Err(ODD_KIND),
    }
}

fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Result<i128, Odd> {
    match value {
        ValueRef::Integer(number) => spelling::rescale(i128::from(number), 0, precision, scale).ok_or(ODD_PRECISION),
        // The shortest digits that name this double are the ones that were stored, up to 15 of them.
        ValueRef::Real(number) => spelling::read_decimal(&number.to_string(), precision, scale).ok_or(ODD_PRECISION),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).ok().filter(|text| scope::is_decimal(text)).ok_or(ODD_SPELLING)?;
            spelling::read_decimal(text, precision, scale).ok_or(ODD_PRECISION)
        }
        _ => Err(ODD_KIND),
    }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "the range is checked: the double is exact")]
fn exact_double(number: i64) -> Option<f64> {
    (-EXACT_IN_DOUBLE..=EXACT_IN_DOUBLE).contains(&number).then_some(number as f64)
}

/// One value of a storage class, counted from 0: NULL, INTEGER, REAL, TEXT, BLOB.
#[cfg(feature = "parsers")]
pub(crate) fn valued(
    class: u8,
    value: &[u8],
    taken: &scope::TableScope,
) -> lexicon::Result<Option<arrow_array::RecordBatch>> {
    let number = value.first_chunk().copied().unwrap_or_default();
    let value = match class {
        1 => ValueRef::Integer(i64::from_le_bytes(number)),
        // A file holds no NaN: it is NULL there.
        2 if !f64::from_le_bytes(number).is_nan() => ValueRef::Real(f64::from_le_bytes(number)),
        3 => ValueRef::Text(value),
        4 => ValueRef::Blob(value),
        _ => ValueRef::Null,
    };
    let (schema, at_fault) = (taken.source_schema(), crate::at_fault::AtFault::default());
    let mut batcher = crate::columns::Batcher::new(&taken.name, schema, &at_fault)?;
    for index in 0..batcher.width() {
        batcher.cell(index, size(value), |cells| put(cells, value));
    }
    batcher.end_row()?;
    batcher.finish()
}

/// Whether a target column keeps every value of the kind as it is. In a STRICT table the declared type is enforced.
pub(super) fn keeps(affinity: Affinity, strict: bool, declared: &str, data: &DataType) -> bool {
    if strict {
        let wanted: &[&str] = match data {
            DataType::Boolean | DataType::Int64 | DataType::UInt64 => &["INT", "INTEGER"],
            DataType::Float64 => &["REAL"],
            DataType::Binary => &["BLOB"],
            _ => &["TEXT"],
        };
        return wanted.iter().chain(&["ANY"]).any(|name| declared.eq_ignore_ascii_case(name));
    }
    match data {
        DataType::Binary => true,
        DataType::Boolean | DataType::Int64 | DataType::UInt64 => {
            matches!(affinity, Affinity::Integer | Affinity::Numeric | Affinity::Blob)
        }
        // INTEGER and NUMERIC make an integer of 1e17, and no integer beyond 2^53 is read as a float.
        DataType::Float64 => matches!(affinity, Affinity::Real | Affinity::Blob),
        DataType::Decimal128(precision, _) => {
            *precision <= AFFINITY_DIGITS || matches!(affinity, Affinity::Text | Affinity::Blob)
        }
        DataType::Utf8 => matches!(affinity, Affinity::Text | Affinity::Blob),
        // A spelled date does not look like a number, so NUMERIC (which DATE and DATETIME have) leaves it alone;
        // INTEGER and REAL say that the program behind the table keeps epochs there.
        _ => matches!(affinity, Affinity::Text | Affinity::Blob | Affinity::Numeric),
    }
}

/// One value of a batch as `SQLite` takes it.
pub(super) fn bind(column: &ArrayRef, row: usize) -> Result<ToSqlOutput<'_>, Odd> {
    if column.is_null(row) {
        return Ok(ToSqlOutput::Owned(Value::Null));
    }
    let integer = |number: i64| ToSqlOutput::Owned(Value::Integer(number));
    let text = |text: Option<String>| text.map(|text| ToSqlOutput::Owned(Value::Text(text))).ok_or(ODD_RANGE);
    Ok(match column.data_type() {
        DataType::Boolean => integer(i64::from(column.as_boolean().value(row))),
        DataType::Binary => ToSqlOutput::Borrowed(ValueRef::Blob(column.as_binary::<i32>().value(row))),
        DataType::Date32 => text(spelling::write_date(column.as_primitive::<Date32Type>().value(row)))?,
        DataType::Decimal128(_, scale) => {
            text(Some(spelling::write_decimal(column.as_primitive::<Decimal128Type>().value(row), *scale)))?
        }
        DataType::Float64 => {
            let number = column.as_primitive::<Float64Type>().value(row);
            if number.is_nan() {
                // SQLite would store NULL.
                return Err(ODD_NAN);
            }
            ToSqlOutput::Owned(Value::Real(number))
        }
        DataType::Int64 => integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Utf8 => ToSqlOutput::Borrowed(ValueRef::Text(column.as_string::<i32>().value(row).as_bytes())),
        DataType::Time64(_) => text(spelling::write_time(column.as_primitive::<Time64MicrosecondType>().value(row)))?,
        DataType::Timestamp(_, zone) => {
            let spelled = spelling::write_timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row));
            text(spelled.map(|spelled| if zone.is_some() { spelled + "Z" } else { spelled }))?
        }
        DataType::UInt64 => {
            integer(i64::try_from(column.as_primitive::<UInt64Type>().value(row)).map_err(|_| ODD_RANGE)?)
        }
        _ => return Err(ODD_KIND),
    })
}
