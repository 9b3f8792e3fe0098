use std::fmt;
use std::str::FromStr;

use arrow_schema::{DataType, TimeUnit};
use lexicon::Refusal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::trouble;

/// The type of a column as the scope names it. Written in the file as `int64`, `decimal(10,2)`,
/// `timestamp with time zone` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A signed integer of up to 64 bits.
    Int64,
    /// An unsigned integer of up to 64 bits.
    UInt64,
    /// A binary floating-point number of up to 64 bits.
    Float64,
    /// A decimal number of `precision` digits (1 to 38), `scale` of them after the point.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point; 0 to `precision`.
        scale: i8,
    },
    /// Text in UTF-8.
    Text,
    /// Bytes without meaning to us.
    Bytes,
    /// A day of the Gregorian calendar.
    Date,
    /// A time of day in microseconds.
    Time,
    /// A day and a time without a zone; stays so.
    Timestamp,
    /// A moment, in UTC.
    TimestampTz,
}

impl Kind {
    /// The Arrow type that carries it.
    pub fn arrow(&self) -> DataType {
        match *self {
            Self::Bool => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::UInt64 => DataType::UInt64,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// A day, a time, or both.
    pub(crate) fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::Time | Self::Timestamp | Self::TimestampTz)
    }

    /// Signed or not.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::Int64 | Self::UInt64)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int64 => f.write_str("int64"),
            Self::UInt64 => f.write_str("uint64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Bytes => f.write_str("bytes"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamp with time zone"),
        }
    }
}

impl FromStr for Kind {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let plain = match text {
            "bool" => Self::Bool,
            "int64" => Self::Int64,
            "uint64" => Self::UInt64,
            "float64" => Self::Float64,
            "text" => Self::Text,
            "bytes" => Self::Bytes,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamp with time zone" => Self::TimestampTz,
            _ => return decimal(text).ok_or_else(trouble::kind_unknown),
        };
        Ok(plain)
    }
}

fn decimal(text: &str) -> Option<Kind> {
    let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale) = (precision.trim().parse::<u8>().ok()?, scale.trim().parse::<i8>().ok()?);
    let fits = (1..=38).contains(&precision) && scale >= 0 && i16::from(scale) <= i16::from(precision);
    fits.then_some(Kind::Decimal { precision, scale })
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_as_it_is_written() {
        for text in [
            "bool",
            "int64",
            "uint64",
            "float64",
            "decimal(10,2)",
            "text",
            "bytes",
            "date",
            "time",
            "timestamp",
            "timestamp with time zone",
        ] {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_type_outside_the_list_is_refused() {
        for text in
            ["", "int", "varchar(20)", "decimal", "decimal(0,0)", "decimal(39,2)", "decimal(4,5)", "decimal(4,-1)"]
        {
            assert_eq!(text.parse::<Kind>().unwrap_err().code, lexicon::Code(305));
        }
    }
}
