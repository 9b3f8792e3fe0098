//! Which types of `PostgreSQL` carry which kinds: for reading, and (more strictly) for loading.

use arrow_schema::DataType;
use scope::Kind;

use super::catalog::Column;
use crate::columns::kind_name;

/// How the bytes of one field of a binary COPY are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    Bytes,
    Date,
    Float,
    Integer,
    Numeric,
    Text,
    Time,
    Timestamp,
}

/// The kind that carries a column without loss, for drafts.
pub(super) fn likely_kind(column: &Column) -> Option<Kind> {
    match column.base.as_str() {
        "bool" => Some(Kind::Bool),
        "int2" | "int4" | "int8" => Some(Kind::Int64),
        "float4" | "float8" => Some(Kind::Float64),
        "numeric" => {
            let (precision, scale) = column.numeric()?;
            let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
            (precision <= 38 && scale >= 0 && i16::from(scale) <= i16::from(precision))
                .then_some(Kind::Decimal { precision, scale })
        }
        "bytea" => Some(Kind::Bytes),
        "date" => Some(Kind::Date),
        "time" => Some(Kind::Time),
        "timestamp" => Some(Kind::Timestamp),
        "timestamptz" => Some(Kind::TimestampTz),
        "text" | "varchar" | "bpchar" | "name" | "citext" | "uuid" | "json" | "jsonb" | "xml" => Some(Kind::Text),
        _ if column.is_enum => Some(Kind::Text),
        _ => None,
    }
}

/// The expression that reads a quoted column as a kind, and its bytes' meaning; none if something would be lost.
pub(super) fn read(column: &Column, quoted: &str, data: &DataType) -> Option<(String, Wire)> {
    let plain = |wire| Some((quoted.to_owned(), wire));
    let base = column.base.as_str();
    let integer = matches!(base, "int2" | "int4" | "int8");
    let text = matches!(base, "text" | "varchar" | "name" | "citext" | "json") || column.is_enum;
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
    match data {
        DataType::Boolean if base == "bool" => plain(Wire::Bool),
        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..) if integer => plain(Wire::Integer),
        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..) if base == "numeric" => plain(Wire::Numeric),
        DataType::Float64 if matches!(base, "float4" | "float8") => plain(Wire::Float),
        DataType::Date32 if base == "date" => plain(Wire::Date),
        DataType::Time64(_) if base == "time" => plain(Wire::Time),
        DataType::Timestamp(_, None) if base == "timestamp" => plain(Wire::Timestamp),
        DataType::Timestamp(_, Some(_)) if base == "timestamptz" => plain(Wire::Timestamp),
        DataType::Binary if base == "bytea" => plain(Wire::Bytes),
        // The bytes as the database keeps them, for a scope that names their character set.
        DataType::Binary if text || base == "bpchar" => {
            Some((format!("convert_to(({quoted})::text, getdatabaseencoding()::name)"), Wire::Bytes))
        }
        DataType::Utf8 if text => plain(Wire::Text),
        // Everything else has one spelling under this connection's settings; char(n) loses its padding, as it does in
        // every comparison.
        DataType::Utf8 if base != "bytea" => Some((format!("({quoted})::text"), Wire::Text)),
        _ => None,
    }
}

/// How a kind goes into a target column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Landing {
    /// The type of the staging column: wide enough for every value of the kind, without a constraint.
    pub(super) staging: &'static str,
    /// A condition on the staged column `{}` that is true for values that the target's type cannot hold, and its name.
    pub(super) too_much: Option<(String, String)>,
    /// The text must be JSON, which is looked at before it is sent.
    pub(super) json: bool,
}

/// The staging type of a kind.
pub(super) fn staging(data: &DataType) -> Option<&'static str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
    Some(match data {
        DataType::Boolean => "bool",
        DataType::Binary => "bytea",
        DataType::Date32 => "date",
        DataType::Decimal128(..) | DataType::UInt64 => "numeric",
        DataType::Float64 => "float8",
        DataType::Int64 => "int8",
        DataType::Utf8 => "text",
        DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        _ => return None,
    })
}

fn tested_fraction(
    column: &Column,
    plain: Option<Landing>,
    tested: impl Fn(String) -> Option<Landing>,
) -> Option<Landing> {
    if column.whole_microseconds() { plain } else { tested(format!("{{}}::{} <> {{}}", column.declared)) }
}

/// The landing of a kind in a column; none if the types do not hold the same values.
pub(super) fn land(column: &Column, data: &DataType) -> Option<Landing> {
    let staging = staging(data)?;
    let plain = Some(Landing { staging, too_much: None, json: false });
    let tested = |condition: String| {
        let name = format!("{} in {}", kind_name(data), column.declared);
        Some(Landing { staging, too_much: Some((condition, name)), json: false })
    };
    let base = column.base.as_str();
    let range = match base {
        "int2" => Some("{} NOT BETWEEN -32768 AND 32767"),
        "int4" => Some("{} NOT BETWEEN -2147483648 AND 2147483647"),
        "int8" => Some("{} NOT BETWEEN -9223372036854775808 AND 9223372036854775807"),
        _ => None,
    };
    // Digits before the point that the column has room for; none at all means without limit.
    let whole_digits = column.numeric().map(|(precision, scale)| precision.saturating_sub(scale));
    let scale = column.numeric().map(|(_, scale)| scale);
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
    match data {
        DataType::Boolean if base == "bool" => plain,
        DataType::Int64 if base == "int8" => plain,
        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(_, 0) if range.is_some() => {
            tested(range.unwrap_or_default().to_owned())
        }
        DataType::Int64 | DataType::UInt64 if base == "numeric" => {
            // A scale below zero, which PostgreSQL has since version 15, rounds whole numbers.
            let exact = scale.is_none_or(|scale| scale >= 0);
            if exact && whole_digits.is_none_or(|digits| digits >= 20) { plain } else { None }
        }
        DataType::Decimal128(precision, kept) if base == "numeric" => {
            let whole = i32::from(*precision).saturating_sub(i32::from(*kept));
            let room = whole_digits.is_none_or(|digits| digits >= whole);
            if room && scale.is_none_or(|scale| scale >= i32::from(*kept)) { plain } else { None }
        }
        DataType::Float64 if base == "float8" => plain,
        DataType::Date32 if base == "date" => plain,
        // A column of fewer digits rounds: values with more are counted.
        DataType::Time64(_) if base == "time" => tested_fraction(column, plain, tested),
        DataType::Timestamp(_, None) if base == "timestamp" => tested_fraction(column, plain, tested),
        DataType::Timestamp(_, Some(_)) if base == "timestamptz" => tested_fraction(column, plain, tested),
        DataType::Binary if base == "bytea" => plain,
        DataType::Utf8 => match (base, column.length()) {
            ("text" | "citext", _) | ("varchar", None) => plain,
            ("varchar", Some(length)) => tested(format!("char_length({{}}) > {length}")),
            // Blanks at the end mean nothing in char(n), so a text that ends in one would come back without it.
            ("bpchar", Some(length)) => tested(format!("(char_length({{}}) > {length} OR {{}} LIKE '% ')")),
            ("uuid", _) => tested("{} !~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'".to_owned()),
            ("json", _) => Some(Landing { staging, too_much: None, json: true }),
            _ if column.is_enum => tested(format!(
                "{{}} NOT IN (SELECT enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = {})",
                column.type_oid
            )),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Otherwise;

    #[test]
    fn a_numeric_that_rounds_whole_numbers_takes_none() {
        let lands = |declared: &str, modifier, data: &DataType| {
            let column = Column {
                name: "held".to_owned(),
                declared: declared.to_owned(),
                type_oid: 1700,
                base: "numeric".to_owned(),
                modifier,
                is_enum: false,
                is_tested_domain: false,
                not_null: false,
                expression: None,
                otherwise: Otherwise::Null,
                collation: None,
            };
            land(&column, data).is_some()
        };
        for data in [DataType::Int64, DataType::UInt64, DataType::Decimal128(18, 0)] {
            assert!(lands("numeric", -1, &data), "{data}");
            assert!(lands("numeric(20,0)", 0x0014_0004, &data), "{data}");
            assert!(lands("numeric(22,2)", 0x0016_0006, &data), "{data}");
            assert!(!lands("numeric(20,-2)", 0x0014_0802, &data), "{data}");
            assert!(!lands("numeric(19,2)", 0x0013_0006, &data), "{data}");
        }
    }
}
