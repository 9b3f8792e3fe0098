//! The closed language that says which rows: comparisons with constants, `in`, `is null`, `and`, `or`, `not`, and
//! `exists in TABLE (COLUMN = COLUMN)`. It has the three truth values of SQL and compares text by bytes.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use lexicon::Refusal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Kind;
use crate::calendar;

#[cfg(test)]
mod agreement;
pub(crate) mod check;
pub(crate) mod constant;
pub(crate) mod eval;
mod parse;
pub(crate) mod sql;
mod words;

/// A predicate over the rows of one table. It is written and read as text; two predicates are equal when their texts
/// say the same, whatever their blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate(pub(crate) Node);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Compare { column: String, operator: Operator, constant: Literal },
    In { column: String, constants: Vec<Literal> },
    IsNull { column: String },
    Exists { table: String, pairs: Vec<(String, String)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A constant as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    Bool(bool),
    Integer(i128),
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00:00 UTC.
    TimestampTz(i64),
}

impl Predicate {
    /// The columns of this table that it looks at, in alphabetical order.
    pub fn columns(&self) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        self.0.visit(&mut |node| match node {
            Node::Compare { column, .. } | Node::In { column, .. } | Node::IsNull { column } => {
                columns.insert(column.clone());
            }
            Node::Exists { pairs, .. } => columns.extend(pairs.iter().map(|(this, _)| this.clone())),
            Node::And(_) | Node::Or(_) | Node::Not(_) => {}
        });
        columns
    }

    /// The other tables that it reaches through, in alphabetical order.
    pub fn tables(&self) -> BTreeSet<String> {
        let mut tables = BTreeSet::new();
        self.0.visit(&mut |node| {
            if let Node::Exists { table, .. } = node {
                tables.insert(table.clone());
            }
        });
        tables
    }

    /// The columns of another table that it compares there, in alphabetical order.
    pub(crate) fn columns_reached(&self, other: &str) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        self.0.visit(&mut |node| {
            if let Node::Exists { table, pairs } = node
                && table == other
            {
                columns.extend(pairs.iter().map(|(_, there)| there.clone()));
            }
        });
        columns
    }

    /// The type of a column that is not taken, told by the constants that it is compared with.
    pub(crate) fn kind_by_constants(&self, name: &str) -> Option<Kind> {
        let mut kind = None;
        self.0.visit(&mut |node| {
            let first = match node {
                Node::Compare { column, constant, .. } if column == name => Some(constant),
                Node::In { column, constants } if column == name => constants.first(),
                Node::Compare { .. }
                | Node::In { .. }
                | Node::IsNull { .. }
                | Node::Exists { .. }
                | Node::And(_)
                | Node::Or(_)
                | Node::Not(_) => None,
            };
            kind = kind.or(first.and_then(Literal::own_kind));
        });
        kind
    }
}

impl Node {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        see(self);
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(see)),
            Self::Not(part) => part.visit(see),
            Self::Compare { .. } | Self::In { .. } | Self::IsNull { .. } | Self::Exists { .. } => {}
        }
    }
}

impl Literal {
    /// The type that a column has when only this constant tells; a decimal constant does not tell its precision.
    pub(crate) fn own_kind(&self) -> Option<Kind> {
        match self {
            Self::Bool(_) => Some(Kind::Bool),
            Self::Integer(_) => Some(Kind::Int64),
            Self::Decimal { .. } => None,
            Self::Text(_) => Some(Kind::Text),
            Self::Date(_) => Some(Kind::Date),
            Self::Time(_) => Some(Kind::Time),
            Self::Timestamp(_) => Some(Kind::Timestamp),
            Self::TimestampTz(_) => Some(Kind::TimestampTz),
        }
    }
}

impl Operator {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, false)
    }
}

impl Node {
    fn write(&self, f: &mut fmt::Formatter<'_>, inside: bool) -> fmt::Result {
        match self {
            Self::And(parts) => join(f, parts, " and ", inside),
            Self::Or(parts) => join(f, parts, " or ", inside),
            Self::Not(part) => {
                f.write_str("not ")?;
                part.write(f, true)
            }
            Self::Compare { column, operator, constant } => {
                write!(f, "{} {} {constant}", words::Name(column), operator.sign())
            }
            Self::In { column, constants } => {
                write!(f, "{} in (", words::Name(column))?;
                commas(f, constants.iter())?;
                f.write_str(")")
            }
            Self::IsNull { column } => write!(f, "{} is null", words::Name(column)),
            Self::Exists { table, pairs } => {
                write!(f, "exists in {} (", words::Name(table))?;
                commas(f, pairs.iter().map(|(this, other)| words::Pair(this, other)))?;
                f.write_str(")")
            }
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Node], between: &str, inside: bool) -> fmt::Result {
    if inside {
        f.write_str("(")?;
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        part.write(f, true)?;
    }
    if inside { f.write_str(")") } else { Ok(()) }
}

fn commas<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = T>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Decimal { unscaled, scale } => f.write_str(&crate::value::decimal_text(*unscaled, *scale)),
            Self::Text(value) => write!(f, "'{}'", value.replace('\'', "''")),
            Self::Date(days) => write!(f, "date '{}'", calendar::date_text(*days)),
            Self::Time(micros) => write!(f, "time '{}'", calendar::time_text(*micros)),
            Self::Timestamp(micros) => write!(f, "timestamp '{}'", calendar::timestamp_text(*micros)),
            Self::TimestampTz(micros) => write!(f, "timestamp '{}Z'", calendar::timestamp_text(*micros)),
        }
    }
}

impl FromStr for Predicate {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        parse::parse(text).map(Self)
    }
}

impl Serialize for Predicate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Predicate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
