use std::cmp::Ordering;

use super::Literal;
use crate::value::{self, Column};
use crate::{Kind, calendar};

/// A constant in the type of the column that it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Bool(bool),
    Integer(i128),
    Float(f64),
    Decimal { unscaled: i128, scale: u8 },
    Text(String),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    TimestampTz(i64),
}

impl Literal {
    /// The constant in the type of the column, or why it has none.
    pub(crate) fn in_kind(&self, kind: Kind) -> Result<Constant, &'static str> {
        match (kind, self) {
            (Kind::Bool, Self::Bool(value)) => Ok(Constant::Bool(*value)),
            (Kind::Int64, Self::Integer(value)) if i64::try_from(*value).is_ok() => Ok(Constant::Integer(*value)),
            (Kind::UInt64, Self::Integer(value)) if u64::try_from(*value).is_ok() => Ok(Constant::Integer(*value)),
            (Kind::Int64 | Kind::UInt64, Self::Integer(_)) => Err("the constant is outside the column's range"),
            (Kind::Float64, Self::Integer(_) | Self::Decimal { .. }) => {
                // The same text that SQL is given, read by the same rule: the nearest binary number.
                self.to_string().parse().map(Constant::Float).map_err(|_| "the constant is not a number")
            }
            (Kind::Decimal { .. }, Self::Integer(value)) => Ok(Constant::Decimal { unscaled: *value, scale: 0 }),
            (Kind::Decimal { .. }, Self::Decimal { unscaled, scale }) => {
                Ok(Constant::Decimal { unscaled: *unscaled, scale: *scale })
            }
            (Kind::Text, Self::Text(value)) => Ok(Constant::Text(value.clone())),
            (Kind::Date, Self::Date(days)) => Ok(Constant::Date(*days)),
            (Kind::Time, Self::Time(micros)) => Ok(Constant::Time(*micros)),
            (Kind::Timestamp, Self::Timestamp(micros)) => Ok(Constant::Timestamp(*micros)),
            // A day is its midnight, where no zone is in play.
            (Kind::Timestamp, Self::Date(days)) => {
                Ok(Constant::Timestamp(i64::from(*days).saturating_mul(calendar::DAY_MICROS)))
            }
            (Kind::TimestampTz, Self::TimestampTz(micros)) => Ok(Constant::TimestampTz(*micros)),
            (Kind::TimestampTz, Self::Timestamp(_) | Self::Date(_)) => Err("the constant needs an offset such as Z"),
            (Kind::Bytes, _) => Err("bytes can only be tested with is null"),
            (
                Kind::Bool
                | Kind::Int64
                | Kind::UInt64
                | Kind::Float64
                | Kind::Decimal { .. }
                | Kind::Text
                | Kind::Date
                | Kind::Time
                | Kind::Timestamp
                | Kind::TimestampTz,
                _,
            ) => Err("the constant is of another type"),
        }
    }
}

impl Column<'_> {
    /// How the value at `row` stands to the constant; `None` when it is null or has no value of the constant's type.
    pub(crate) fn compare(&self, row: usize, constant: &Constant) -> Option<Ordering> {
        if self.is_null(row) {
            return None;
        }
        match (self, constant) {
            (Self::Bool(array), Constant::Bool(value)) => Some(array.value(row).cmp(value)),
            (Self::Int64(array), Constant::Integer(value)) => Some(i128::from(array.value(row)).cmp(value)),
            (Self::UInt64(array), Constant::Integer(value)) => Some(i128::from(array.value(row)).cmp(value)),
            (Self::Float64(array), Constant::Float(value)) => Some(compare_floats(array.value(row), *value)),
            (Self::Decimal(array, own), Constant::Decimal { unscaled, scale }) => {
                Some(compare_decimals(array.value(row), *own, *unscaled, *scale))
            }
            (Self::Text(array), Constant::Text(value)) => Some(array.value(row).as_bytes().cmp(value.as_bytes())),
            (Self::Date(array), Constant::Date(days)) => Some(array.value(row).cmp(days)),
            (Self::Time(array), Constant::Time(micros)) => Some(array.value(row).cmp(micros)),
            (Self::Timestamp(array), Constant::Timestamp(micros))
            | (Self::TimestampTz(array), Constant::TimestampTz(micros)) => Some(array.value(row).cmp(micros)),
            // A day or a time that is read as text, because some of its values are none.
            (Self::Text(array), Constant::Date(days)) => Some(calendar::parse_date(array.value(row))?.cmp(days)),
            (Self::Text(array), Constant::Time(micros)) => Some(calendar::parse_time(array.value(row))?.cmp(micros)),
            (Self::Text(array), Constant::Timestamp(micros)) => {
                Some(calendar::parse_timestamp(array.value(row))?.cmp(micros))
            }
            (Self::Text(array), Constant::TimestampTz(micros)) => {
                Some(calendar::parse_moment(array.value(row))?.cmp(micros))
            }
            (_, _) => None,
        }
    }
}

/// As `PostgreSQL` orders them: not-a-number equals itself and stands above everything.
fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

fn compare_decimals(left: i128, left_scale: u8, right: i128, right_scale: u8) -> Ordering {
    let scale = left_scale.max(right_scale);
    match (value::rescale(left, left_scale, 38, scale), value::rescale(right, right_scale, 38, scale)) {
        (Some(left), Some(right)) => left.cmp(&right),
        // Too large to be brought to one scale: the sign and then the whole parts decide, because the smaller scale
        // has the longer whole part.
        (_, _) => whole(left, left_scale).cmp(&whole(right, right_scale)),
    }
}

fn whole(unscaled: i128, scale: u8) -> i128 {
    10_i128.checked_pow(u32::from(scale)).and_then(|power| unscaled.checked_div(power)).unwrap_or_default()
}
