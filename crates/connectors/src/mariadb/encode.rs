//! Values of a batch as parameters of a prepared statement. Numbers and texts go in their own types, decimals, dates
//! and times as the text that the server reads exactly.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use sqlx::mysql::{MySql, MySqlArguments};
use sqlx::query::Query;

use crate::columns::{ODD_INFINITE, ODD_KIND, ODD_NAN, ODD_RANGE, Odd};
use crate::spelling;

/// One value, checked and ready to be bound.
pub(super) enum Value<'a> {
    Null,
    Bytes(&'a [u8]),
    Float(f64),
    Signed(i64),
    Spelled(String),
    Text(&'a str),
    Unsigned(u64),
}

impl<'a> Value<'a> {
    /// The value of one row; its reason if the server cannot hold it.
    pub(super) fn of(column: &'a ArrayRef, row: usize) -> Result<Self, Odd> {
        if column.is_null(row) {
            return Ok(Self::Null);
        }
        let spelled = |text: Option<String>| text.map(Self::Spelled).ok_or(ODD_RANGE);
        #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
        Ok(match column.data_type() {
            DataType::Boolean => Self::Signed(i64::from(column.as_boolean().value(row))),
            DataType::Binary => Self::Bytes(column.as_binary::<i32>().value(row)),
            DataType::Date32 => spelled(spelling::write_date(column.as_primitive::<Date32Type>().value(row)))?,
            DataType::Decimal128(_, scale) => {
                Self::Spelled(spelling::write_decimal(column.as_primitive::<Decimal128Type>().value(row), *scale))
            }
            DataType::Float64 => match column.as_primitive::<Float64Type>().value(row) {
                number if number.is_nan() => return Err(ODD_NAN),
                number if number.is_infinite() => return Err(ODD_INFINITE),
                number => Self::Float(number),
            },
            DataType::Int64 => Self::Signed(column.as_primitive::<Int64Type>().value(row)),
            DataType::Utf8 => Self::Text(column.as_string::<i32>().value(row)),
            DataType::Time64(_) => {
                spelled(spelling::write_time(column.as_primitive::<Time64MicrosecondType>().value(row)))?
            }
            DataType::Timestamp(..) => {
                spelled(spelling::write_timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row)))?
            }
            DataType::UInt64 => Self::Unsigned(column.as_primitive::<UInt64Type>().value(row)),
            _ => return Err(ODD_KIND),
        })
    }

    /// About how many bytes it takes in a packet.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Float(_) | Self::Signed(_) | Self::Unsigned(_) => 8,
            Self::Spelled(text) => text.len(),
            Self::Text(text) => text.len(),
        }
    }

    pub(super) fn bind<'q>(self, query: Query<'q, MySql, MySqlArguments>) -> Query<'q, MySql, MySqlArguments>
    where
        'a: 'q,
    {
        match self {
            Self::Null => query.bind(None::<i64>),
            Self::Bytes(bytes) => query.bind(bytes),
            Self::Float(number) => query.bind(number),
            Self::Signed(number) => query.bind(number),
            Self::Spelled(text) => query.bind(text),
            Self::Text(text) => query.bind(text),
            Self::Unsigned(number) => query.bind(number),
        }
    }
}
