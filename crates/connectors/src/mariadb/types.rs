//! Which types of `MariaDB` and `MySQL` carry which kinds: for reading, and (more strictly) for loading.

use arrow_schema::DataType;
use scope::Kind;

use super::catalog::Column;
use crate::columns::kind_name;

/// How the bytes of one value of the binary protocol are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bits,
    Bytes,
    Date,
    Decimal,
    Float,
    /// A `TIMESTAMP`: a moment, sent in this connection's UTC.
    Moment,
    Signed,
    Text,
    Time,
    Timestamp,
    Unsigned,
}

fn is_integer(base: &str) -> bool {
    matches!(base, "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year")
}

fn is_text(base: &str) -> bool {
    matches!(base, "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" | "json")
}

fn is_binary(base: &str) -> bool {
    matches!(base, "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob")
}

/// The kind that carries a column without loss, for drafts.
pub(super) fn likely_kind(column: &Column) -> Option<Kind> {
    match column.base.as_str() {
        "bit" if column.precision == Some(1) => Some(Kind::Bool),
        "bit" => Some(Kind::UInt64),
        "bigint" if column.unsigned => Some(Kind::UInt64),
        "date" => Some(Kind::Date),
        "datetime" => Some(Kind::Timestamp),
        "decimal" => {
            let (precision, scale) = (u8::try_from(column.precision?).ok()?, i8::try_from(column.scale?).ok()?);
            (precision <= 38).then_some(Kind::Decimal { precision, scale })
        }
        "double" | "float" => Some(Kind::Float64),
        "inet4" | "inet6" | "uuid" => Some(Kind::Text),
        "time" => Some(Kind::Time),
        "timestamp" => Some(Kind::TimestampTz),
        base if is_integer(base) => Some(Kind::Int64),
        base if is_text(base) => Some(Kind::Text),
        base if is_binary(base) => Some(Kind::Bytes),
        _ => None,
    }
}

/// The expression that reads a quoted column as a kind, and its bytes' meaning; none if something would be lost.
pub(super) fn read(column: &Column, quoted: &str, data: &DataType) -> Option<(String, Wire)> {
    let plain = |wire| Some((quoted.to_owned(), wire));
    let base = column.base.as_str();
    // A year is sent without a sign.
    let integer = if column.unsigned || base == "year" { Wire::Unsigned } else { Wire::Signed };
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
    match data {
        DataType::Boolean | DataType::Int64 | DataType::UInt64 if base == "bit" => plain(Wire::Bits),
        DataType::Boolean if base == "tinyint" => plain(integer),
        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..) if is_integer(base) => plain(integer),
        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..) if base == "decimal" => plain(Wire::Decimal),
        DataType::Float64 if matches!(base, "double" | "float") => plain(Wire::Float),
        // As text they are read as they stand, zeros included, and spelled here.
        DataType::Date32 | DataType::Utf8 if base == "date" => plain(Wire::Date),
        DataType::Time64(_) | DataType::Utf8 if base == "time" => plain(Wire::Time),
        DataType::Timestamp(_, None) | DataType::Utf8 if base == "datetime" => plain(Wire::Timestamp),
        DataType::Timestamp(_, Some(_)) | DataType::Utf8 if base == "timestamp" => plain(Wire::Moment),
        DataType::Binary if is_binary(base) => plain(Wire::Bytes),
        // The bytes as the table keeps them, for a scope that names their character set.
        // Not by CAST, which makes NULL of a value longer than the server's max_allowed_packet.
        DataType::Binary if is_text(base) && base != "json" => {
            Some((format!("CONVERT({quoted} USING binary)"), Wire::Bytes))
        }
        DataType::Utf8 if is_text(base) => match column.charset.as_deref() {
            Some(charset) if !WHOLLY_MAPPED.contains(&charset) => Some((mapped(quoted), Wire::Text)),
            // MySQL tells none of its JSON, which is utf8mb4.
            _ => plain(Wire::Text),
        },
        DataType::Utf8 if is_integer(base) || matches!(base, "decimal" | "inet4" | "inet6" | "uuid") => {
            Some((format!("CAST({quoted} AS CHAR CHARACTER SET utf8mb4)"), Wire::Text))
        }
        _ => None,
    }
}

/// The character sets whose every code is a character of Unicode, or of which the server sends what it keeps.
const WHOLLY_MAPPED: [&str; 8] = ["latin1", "ucs2", "utf16", "utf16le", "utf32", "utf8", "utf8mb3", "utf8mb4"];

/// The text of a quoted column; bytes that are none where the server would put question marks of its own, which it does
/// without an error for each code that Unicode lacks. They are what is there once those of the text are taken out; bytes too
/// of a text longer than the server's `max_allowed_packet` of which it takes out none. Bytes that came back from Unicode
/// would tell nothing: several codes may be one character.
fn mapped(quoted: &str) -> String {
    let text = |of: &str| format!("CONVERT(CONVERT({of} USING utf8mb4) USING binary)");
    let (whole, others) = (text(quoted), text(&format!("REPLACE({quoted}, '?', '')")));
    format!("IF({quoted} IS NULL OR LOCATE('?', {others}) = 0, {whole}, x'ff')")
}

/// The expression for the bytes of a quoted column that may hold a value which no parcel carries: as many as are sent, or
/// fewer, told without making another text of it.
pub(super) fn length(column: &Column, quoted: &str, wire: Wire) -> Option<String> {
    // What these keep in two or four bytes may be sent in one.
    let sent_shorter = matches!(column.charset.as_deref(), Some("ucs2" | "utf16" | "utf16le" | "utf32"));
    let measure = if sent_shorter && wire == Wire::Text { "CHAR_LENGTH" } else { "OCTET_LENGTH" };
    matches!(column.base.as_str(), "longblob" | "longtext").then(|| format!("{measure}({quoted})"))
}

/// How a kind goes into a target column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Landing {
    /// The type of the staging column: wide enough for every value of the kind, without a constraint.
    pub(super) staging: String,
    /// A condition on the staged column `{}` that is true for values that the target's type cannot hold, and its name.
    pub(super) too_much: Vec<(String, String)>,
}

/// The staging type of a kind.
pub(super) fn staging(data: &DataType) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
    Some(match data {
        DataType::Boolean => "tinyint".to_owned(),
        DataType::Binary => "longblob".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Float64 => "double".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::UInt64 => "bigint unsigned".to_owned(),
        DataType::Utf8 => "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin".to_owned(),
        DataType::Time64(_) => "time(6)".to_owned(),
        DataType::Timestamp(..) => "datetime(6)".to_owned(),
        _ => return None,
    })
}

/// The bounds of an integer type, as SQL.
fn bounds(column: &Column) -> Option<(&'static str, &'static str)> {
    Some(match (column.base.as_str(), column.unsigned) {
        ("tinyint", false) => ("-128", "127"),
        ("tinyint", true) => ("0", "255"),
        ("smallint", false) => ("-32768", "32767"),
        ("smallint", true) => ("0", "65535"),
        ("mediumint", false) => ("-8388608", "8388607"),
        ("mediumint", true) => ("0", "16777215"),
        ("int", false) => ("-2147483648", "2147483647"),
        ("int", true) => ("0", "4294967295"),
        ("bigint", false) => ("-9223372036854775808", "9223372036854775807"),
        ("bigint", true) => ("0", "18446744073709551615"),
        ("year", _) => ("1901", "2155"),
        _ => return None,
    })
}

/// The landing of a kind in a column; none if the types do not hold the same values.
pub(super) fn land(column: &Column, data: &DataType) -> Option<Landing> {
    let staging = staging(data)?;
    let name = format!("{} in {}", kind_name(data), column.declared);
    let plain = || Some(Landing { staging: staging.clone(), too_much: Vec::new() });
    let tested =
        |condition: String| Some(Landing { staging: staging.clone(), too_much: vec![(condition, name.clone())] });
    let base = column.base.as_str();
    let whole_digits = column.precision.unwrap_or(0).saturating_sub(column.scale.unwrap_or(0));
    // A fraction that the column would round away, in microseconds.
    let lost = 10_u32.checked_pow(6_u32.saturating_sub(column.fraction.unwrap_or(0))).unwrap_or(1);
    let fraction = format!("MICROSECOND({{}}) MOD {lost} <> 0");
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has many types, a scope's kinds are eleven")]
    match data {
        DataType::Boolean if matches!(base, "tinyint" | "bit") => plain(),
        DataType::UInt64 if base == "bit" => match column.precision {
            Some(bits) if bits < 64 => tested(format!("({{}} >> {bits}) <> 0")),
            _ => plain(),
        },
        DataType::Int64 | DataType::UInt64 | DataType::Decimal128(_, 0) if is_integer(base) => {
            let (low, high) = bounds(column)?;
            tested(format!("{{}} < {low} OR {{}} > {high}"))
        }
        DataType::Int64 | DataType::UInt64 if base == "decimal" && whole_digits >= 20 && !column.unsigned => plain(),
        DataType::Decimal128(precision, scale) if base == "decimal" => {
            let (precision, scale) = (u32::from(*precision), u32::try_from(*scale).ok()?);
            if whole_digits < precision.saturating_sub(scale) || column.scale.unwrap_or(0) < scale {
                return None;
            }
            if column.unsigned { tested("{} < 0".to_owned()) } else { plain() }
        }
        // double(10,2) rounds.
        DataType::Float64 if base == "double" && column.scale.is_none() => {
            if column.unsigned {
                tested("{} < 0".to_owned())
            } else {
                plain()
            }
        }
        DataType::Date32 if base == "date" => plain(),
        DataType::Time64(_) if base == "time" => tested(fraction),
        DataType::Timestamp(_, None) if base == "datetime" => tested(fraction),
        // The range of every version; MariaDB 11.5 would go on to 2106.
        DataType::Timestamp(_, Some(_)) if base == "timestamp" => {
            tested(format!("{fraction} OR {{}} < '1970-01-01 00:00:01' OR {{}} > '2038-01-19 03:14:07.999999'"))
        }
        DataType::Binary => match (base, column.length) {
            // binary(n) fills shorter values with zeros.
            ("binary", Some(length)) => tested(format!("OCTET_LENGTH({{}}) <> {length}")),
            (base, Some(length)) if is_binary(base) => tested(format!("OCTET_LENGTH({{}}) > {length}")),
            _ => None,
        },
        DataType::Utf8 => land_text(column, staging, name),
        _ => None,
    }
}

fn land_text(column: &Column, staging: String, name: String) -> Option<Landing> {
    let charset = column.charset.as_deref()?;
    if !charset.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let converted = format!("CONVERT({{}} USING {charset})");
    let length = column.length?;
    let mut too_much = Vec::new();
    match column.base.as_str() {
        // Blanks at the end of a char are lost when it is read.
        "char" => too_much.push((format!("CHAR_LENGTH({{}}) > {length} OR {{}} LIKE '% '"), name)),
        "varchar" => too_much.push((format!("CHAR_LENGTH({{}}) > {length}"), name)),
        "tinytext" | "text" | "mediumtext" | "longtext" => {
            too_much.push((format!("OCTET_LENGTH({converted}) > {length}"), name));
        }
        // Compared by bytes: the server would take another case for the same word.
        "enum" => {
            let words = enum_words(&column.declared)?;
            let words: Vec<_> = words.iter().map(|word| format!("x'{word}'")).collect();
            too_much.push((format!("BINARY {{}} NOT IN ({})", words.join(", ")), name));
        }
        _ => return None,
    }
    if charset != "utf8mb4" {
        let lost = format!("BINARY CONVERT({converted} USING utf8mb4) <> BINARY {{}}");
        too_much.push((lost, format!("characters outside {charset}")));
    }
    Some(Landing { staging, too_much })
}

/// The words of `enum('a','it''s')`, each in hexadecimal UTF-8.
fn enum_words(declared: &str) -> Option<Vec<String>> {
    let mut inside = declared.get(4..)?.strip_prefix('(')?.strip_suffix(')')?;
    let mut words = Vec::new();
    loop {
        inside = inside.strip_prefix('\'')?;
        let mut word = String::new();
        loop {
            let end = inside.find('\'')?;
            word.push_str(inside.get(..end)?);
            inside = inside.get(end..)?.strip_prefix('\'')?;
            match inside.strip_prefix('\'') {
                Some(rest) => {
                    word.push('\'');
                    inside = rest;
                }
                None => break,
            }
        }
        words.push(word.bytes().fold(String::new(), |out, byte| out + &format!("{byte:02x}")));
        match inside.strip_prefix(',') {
            Some(rest) => inside = rest,
            None => return inside.is_empty().then_some(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Otherwise;

    #[test]
    fn a_double_takes_floats_if_it_rounds_none_and_one_without_a_sign_those_that_have_none() {
        let land = |declared: &str, scale| {
            let column = Column {
                name: "held".to_owned(),
                declared: declared.to_owned(),
                base: "double".to_owned(),
                unsigned: declared.ends_with("unsigned"),
                nullable: true,
                default: None,
                otherwise: Otherwise::Null,
                length: None,
                precision: Some(22),
                scale,
                fraction: None,
                charset: None,
                collation: None,
            };
            land(&column, &DataType::Float64).map(|landing| landing.too_much)
        };
        assert_eq!(land("double", None), Some(Vec::new()));
        let tested = ("{} < 0".to_owned(), "float64 in double unsigned".to_owned());
        assert_eq!(land("double unsigned", None), Some(vec![tested]));
        assert_eq!((land("double(10,2)", Some(2)), land("double(10,0)", Some(0))), (None, None));
    }

    #[test]
    fn the_words_of_an_enum_are_read_with_their_quotes() {
        assert_eq!(enum_words("enum('M','F')").unwrap(), ["4d", "46"]);
        assert_eq!(enum_words("enum('it''s',')',',')").unwrap(), ["69742773", "29", "2c"]);
        assert_eq!(enum_words("enum('')").unwrap(), [""]);
        assert!(enum_words("enum('a").is_none() && enum_words("set").is_none());
    }
}
