//! Single values: their text, and how a text becomes one. Strict both ways: what is read prints as it was written,
//! except for a decimal's closing zeros and a fraction of a second.

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
};
use std::sync::Arc;

use crate::{Kind, calendar};

/// 1,077 bytes: sign, `0.` and the 1,074 digits of 2^-1074, the longest that a double is when it is written in full.
const FLOAT_TEXT_MAX: usize = 1_077;

/// An array whose type is known.
pub(crate) enum Column<'a> {
    Bool(&'a BooleanArray),
    Int64(&'a Int64Array),
    UInt64(&'a UInt64Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    TimestampTz(&'a TimestampMicrosecondArray),
}

impl<'a> Column<'a> {
    /// The array as a column of `kind`; `None` when it is of another type.
    pub(crate) fn of(kind: Kind, array: &'a ArrayRef) -> Option<Self> {
        if *array.data_type() != kind.arrow() {
            return None;
        }
        Some(match kind {
            Kind::Bool => Self::Bool(array.as_boolean_opt()?),
            Kind::Int64 => Self::Int64(array.as_primitive_opt::<Int64Type>()?),
            Kind::UInt64 => Self::UInt64(array.as_primitive_opt::<UInt64Type>()?),
            Kind::Float64 => Self::Float64(array.as_primitive_opt::<Float64Type>()?),
            Kind::Decimal { scale, .. } => {
                Self::Decimal(array.as_primitive_opt::<Decimal128Type>()?, scale.unsigned_abs())
            }
            Kind::Text => Self::Text(array.as_string_opt::<i32>()?),
            Kind::Bytes => Self::Bytes(array.as_binary_opt::<i32>()?),
            Kind::Date => Self::Date(array.as_primitive_opt::<Date32Type>()?),
            Kind::Time => Self::Time(array.as_primitive_opt::<Time64MicrosecondType>()?),
            Kind::Timestamp => Self::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>()?),
            Kind::TimestampTz => Self::TimestampTz(array.as_primitive_opt::<TimestampMicrosecondType>()?),
        })
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bool(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::UInt64(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Timestamp(array) | Self::TimestampTz(array) => array.is_null(row),
        }
    }

    /// The text of the value at `row`; `None` when there is none: null, bytes, a float.
    pub(crate) fn text(&self, row: usize) -> Option<String> {
        if self.is_null(row) {
            return None;
        }
        match self {
            Self::Bool(array) => Some(array.value(row).to_string()),
            Self::Int64(array) => Some(array.value(row).to_string()),
            Self::UInt64(array) => Some(array.value(row).to_string()),
            Self::Decimal(array, scale) => Some(decimal_text(array.value(row), *scale)),
            Self::Text(array) => Some(array.value(row).to_owned()),
            Self::Float64(_) | Self::Bytes(_) => None,
            Self::Date(array) => Some(calendar::date_text(array.value(row))),
            Self::Time(array) => Some(calendar::time_text(array.value(row))),
            Self::Timestamp(array) => Some(calendar::timestamp_text(array.value(row))),
            Self::TimestampTz(array) => Some(format!("{}Z", calendar::timestamp_text(array.value(row)))),
        }
    }
}

/// A decimal with `scale` digits after the point.
pub(crate) fn decimal_text(unscaled: i128, scale: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale.saturating_add(1));
    let (whole, fraction) = digits.split_at_checked(digits.len().saturating_sub(scale)).unwrap_or((&digits, ""));
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The digits of a number without an exponent, before its point and after.
fn halves(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (rest, ""),
    };
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let led_by_zero = whole.len() > 1 && whole.starts_with('0');
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let is_number = has_digits && !led_by_zero && plain(whole) && plain(fraction);
    is_number.then_some((whole, fraction))
}

/// Whether a text is a decimal as databases print it, whatever number of zeros closes it, and as `.5` too, which is Oracle's
/// way: `007.5` and `+7.5` are texts, not numbers, because they would not come back.
pub fn is_decimal(text: &str) -> bool {
    halves(text).is_some()
}

/// Whether a text is an integer as it prints: `007`, `+7` and `-0` are texts, not numbers, because they would not come back.
pub fn is_integer(text: &str) -> bool {
    is_decimal(text) && !text.contains('.') && text != "-0"
}

/// A number without an exponent: its digits, and how many of them follow the point (38 at most).
pub(crate) fn parse_decimal_free(text: &str) -> Option<(i128, u8)> {
    let (whole, fraction) = halves(text)?;
    if fraction.len() > 38 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let unscaled = if text.starts_with('-') { digits.checked_neg()? } else { digits };
    Some((unscaled, u8::try_from(fraction.len()).ok()?))
}

/// A decimal of `precision` digits at `scale`; no digit is lost, but zeros at the end may be.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (unscaled, own) = parse_decimal_free(text)?;
    rescale(unscaled, own, precision, scale)
}

/// `unscaled` at scale `own`, as it is at `scale`, when no digit is lost and it has at most `precision` digits.
pub(crate) fn rescale(unscaled: i128, own: u8, precision: u8, scale: u8) -> Option<i128> {
    let power = 10_i128.checked_pow(u32::from(own.abs_diff(scale)))?;
    let scaled = if scale >= own {
        unscaled.checked_mul(power)?
    } else if unscaled.checked_rem(power)? == 0 {
        unscaled.checked_div(power)?
    } else {
        return None;
    };
    let limit = 10_u128.checked_pow(u32::from(precision))?;
    (scaled.unsigned_abs() < limit).then_some(scaled)
}

/// Builds a column of one kind out of texts.
pub(crate) enum Writer {
    Bool(BooleanBuilder),
    Int64(Int64Builder),
    UInt64(UInt64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampTz(TimestampMicrosecondBuilder),
}

impl Writer {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Int64 => Self::Int64(Int64Builder::new()),
            Kind::UInt64 => Self::UInt64(UInt64Builder::new()),
            Kind::Float64 => Self::Float64(Float64Builder::new()),
            Kind::Decimal { precision, scale } => {
                let builder = Decimal128Builder::new().with_data_type(kind.arrow());
                Self::Decimal(builder, precision, scale.unsigned_abs())
            }
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Bytes => Self::Bytes(BinaryBuilder::new()),
            Kind::Date => Self::Date(Date32Builder::new()),
            Kind::Time => Self::Time(Time64MicrosecondBuilder::new()),
            Kind::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            Kind::TimestampTz => {
                Self::TimestampTz(TimestampMicrosecondBuilder::new().with_data_type(Kind::TimestampTz.arrow()))
            }
        }
    }

    pub(crate) fn null(&mut self) {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::UInt64(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, ..) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Timestamp(builder) | Self::TimestampTz(builder) => builder.append_null(),
        }
    }

    /// Appends the value that the text stands for; `None`, and nothing appended, when it stands for none.
    pub(crate) fn text(&mut self, text: &str) -> Option<()> {
        match self {
            Self::Bool(builder) => builder.append_value(parse_bool(text)?),
            Self::Int64(builder) => builder.append_value(i64::try_from(parse_integer(text)?).ok()?),
            Self::UInt64(builder) => builder.append_value(u64::try_from(parse_integer(text)?).ok()?),
            Self::Float64(builder) => builder.append_value(parse_float(text)?),
            Self::Decimal(builder, precision, scale) => builder.append_value(parse_decimal(text, *precision, *scale)?),
            Self::Text(builder) => builder.append_value(text),
            Self::Bytes(builder) => builder.append_value(text),
            Self::Date(builder) => builder.append_value(calendar::parse_date(text)?),
            Self::Time(builder) => builder.append_value(calendar::parse_time(text)?),
            Self::Timestamp(builder) => builder.append_value(calendar::parse_timestamp(text)?),
            Self::TimestampTz(builder) => builder.append_value(calendar::parse_moment(text)?),
        }
        Some(())
    }

    /// Appends microseconds to a column of timestamps.
    pub(crate) fn micros(&mut self, micros: i64) -> Option<()> {
        match self {
            Self::Timestamp(builder) | Self::TimestampTz(builder) => builder.append_value(micros),
            Self::Bool(_)
            | Self::Int64(_)
            | Self::UInt64(_)
            | Self::Float64(_)
            | Self::Decimal(..)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Date(_)
            | Self::Time(_) => return None,
        }
        Some(())
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::UInt64(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder, ..) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) | Self::TimestampTz(mut builder) => Arc::new(builder.finish()),
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn parse_integer(text: &str) -> Option<i128> {
    if is_integer(text) { text.parse().ok() } else { None }
}

/// The float that a text is: written as short as can be, or with as many digits as the text has, it is that text again, but
/// for zeros that close it.
/// `9007199254740993`, `1e-400`, `007.5` and `+7` would not come back, so they are texts. The point and the exponent may
/// stand elsewhere.
pub fn parse_float(text: &str) -> Option<f64> {
    let shaped = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let led_by_zero = unsigned.starts_with('0') && unsigned.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if !shaped || text.len() > FLOAT_TEXT_MAX || led_by_zero || unsigned.starts_with('+') {
        return None;
    }
    let value = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    let after_first = significant(text).len().saturating_sub(1);
    // The exponents need no look: no two numbers with the same digits are so close that one is read as the other.
    let same = |written: &str| significant(written) == significant(text);
    // As short as can be is not always what rounding to that many digits gives: 2^-44 is 5.684341886080802e-14.
    (same(&format!("{value:e}")) || same(&format!("{value:.after_first$e}"))).then_some(value)
}

/// The digits of a number from the first that is not zero to the last, without its exponent's.
fn significant(number: &str) -> Vec<u8> {
    let mantissa = number.bytes().take_while(|byte| !b"eE".contains(byte));
    let mut digits: Vec<u8> = mantissa.filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_decimal_loses_zeros_but_no_digit() {
        assert_eq!(parse_decimal("12.5", 10, 2), Some(1250));
        assert_eq!(parse_decimal("12.500", 10, 2), Some(1250));
        assert_eq!(parse_decimal("-0.05", 10, 2), Some(-5));
        assert_eq!((parse_decimal("-.5", 10, 2), parse_decimal("-0.00", 10, 2)), (Some(-50), Some(0)));
        for text in ["12.505", "12,5", ".", "-.", "5.", "1e3", "007", "007.5", "+.5", "--1", "123456789.00", ""] {
            assert_eq!(parse_decimal(text, 10, 2), None, "{text}");
        }
    }

    #[test]
    fn an_identifier_with_leading_zeros_is_no_integer() {
        for text in ["007", "+7", "-0", " 7", "7.0", "1_000"] {
            assert_eq!(parse_integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_is_a_float_only_if_it_would_come_back() {
        for (text, value) in [
            ("0.1", 0.1),
            ("0.10", 0.1),
            ("0.10000000000000001", 0.1),
            ("0.10000000000000000000", 0.1),
            (".5", 0.5),
            ("-1.50e3", -1500.0),
            ("1E+05", 100_000.0),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("5.684341886080802e-14", 2_f64.powi(-44)),
            ("5e-324", f64::from_bits(1)),
            ("1e300", 1e300),
            ("0", 0.0),
            ("-0.0", -0.0),
            ("0e5", 0.0),
        ] {
            assert_eq!(parse_float(text).map(f64::to_bits), Some(value.to_bits()), "{text}");
        }
        let long = format!("0.{}", "0".repeat(FLOAT_TEXT_MAX));
        for text in [
            "9007199254740993",
            "1234567890123456789012345",
            "0.1000000000000000001",
            "1e-400",
            "3e-324",
            "1e400",
            "007.5",
            "-007.5",
            "00",
            "+7",
            "1e",
            ".",
            "",
            "NaN",
            "inf",
            long.as_str(),
        ] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_reads_back_as_it_is_written(unscaled in any::<i64>(), scale in 0_u8..=18) {
            let text = decimal_text(i128::from(unscaled), scale);
            prop_assert_eq!(parse_decimal(&text, 38, scale), Some(i128::from(unscaled)));
        }

        #[test]
        fn a_float_reads_back_as_short_as_can_be_and_with_more_digits_than_it_needs(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            for text in [format!("{value:e}"), format!("{value:.16e}"), format!("{value:.30e}")] {
                prop_assert_eq!(parse_float(&text).map(f64::to_bits), Some(value.to_bits()), "{}", text);
            }
        }
    }
}
