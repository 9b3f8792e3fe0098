//! A predicate as SQL that decides exactly as the evaluation on batches does.
//!
//! Text is compared by bytes: `COLLATE "C"` in `PostgreSQL`, `BINARY` of the UTF-8 form in `MariaDB`, `COLLATE BINARY`
//! in `SQLite`. `SQLite` columns can hold any type, so each operand there is guarded: a value of another type counts as
//! null, and [`misfits`] finds it. `MariaDB`'s `0000-00-00` and its like count as null in comparisons.

use lexicon::Result;

use super::constant::Constant;
use super::{Node, check};
use crate::{Dialect, Kind, Scope, TableScope, calendar, trouble, value};

/// More digits than a `SQLite` number keeps.
const SQLITE_DIGITS_MAX: u8 = 15;

struct Compiler<'a> {
    scope: &'a Scope,
    table: &'a TableScope,
    dialect: Dialect,
    /// How many `exists` this table stands under; its alias is `t` and that number.
    level: usize,
}

/// The condition for the rows in scope of `table`, whose alias is `t0`.
pub(crate) fn condition(scope: &Scope, table: &TableScope, dialect: Dialect) -> Result<Option<String>> {
    let compiler = Compiler { scope, table, dialect, level: 0 };
    table.filter.as_ref().map(|filter| compiler.node(&filter.0)).transpose()
}

/// For `SQLite`: each compared column, and the condition for rows that hold a value of another type there.
pub(crate) fn misfits(table: &TableScope) -> Result<Vec<(String, String)>> {
    let Some(filter) = &table.filter else { return Ok(Vec::new()) };
    let mut parts = Vec::new();
    for column in filter.columns() {
        let read = table.taken(&column).map(crate::Take::read_kind);
        let Some(kind) = check::kind_of(table, &column) else { continue };
        // A column that is read in another type than it is compared in may hold anything: it is a null in both worlds.
        if read.is_some_and(|read| read != kind) || kind == Kind::Bytes {
            continue;
        }
        let quoted = format!("t0.{}", Dialect::Sqlite.quote(&column)?);
        let operand = sqlite_operand(table, &column, &quoted, kind)?;
        parts.push((column, format!("({quoted} IS NOT NULL AND ({operand}) IS NULL)")));
    }
    Ok(parts)
}

impl Compiler<'_> {
    fn node(&self, node: &Node) -> Result<String> {
        match node {
            Node::And(parts) => self.joined(parts, " AND "),
            Node::Or(parts) => self.joined(parts, " OR "),
            Node::Not(part) => Ok(format!("(NOT {})", self.node(part)?)),
            Node::IsNull { column } => {
                let column = self.quoted(column)?;
                Ok(match self.dialect {
                    // `IS NULL` would also find `0000-00-00` in a column that is NOT NULL.
                    Dialect::MariaDb => format!("({column} <=> NULL)"),
                    Dialect::Postgres | Dialect::Sqlite => format!("({column} IS NULL)"),
                })
            }
            Node::Compare { column, operator, constant } => {
                let kind = self.kind(column)?;
                let constant = self.constant(column, constant, kind)?;
                Ok(format!("({} {} {constant})", self.operand(column, kind)?, operator.sign()))
            }
            Node::In { column, constants } => {
                let kind = self.kind(column)?;
                let constants = constants.iter().map(|constant| self.constant(column, constant, kind));
                let constants = constants.collect::<Result<Vec<_>>>()?.join(", ");
                Ok(format!("({} IN ({constants}))", self.operand(column, kind)?))
            }
            Node::Exists { table, pairs } => self.exists(table, pairs),
        }
    }

    fn joined(&self, parts: &[Node], between: &str) -> Result<String> {
        let parts = parts.iter().map(|part| self.node(part)).collect::<Result<Vec<_>>>()?;
        Ok(format!("({})", parts.join(between)))
    }

    fn exists(&self, table: &str, pairs: &[(String, String)]) -> Result<String> {
        let other = self.scope.known(table)?;
        let inner =
            Compiler { scope: self.scope, table: other, dialect: self.dialect, level: self.level.saturating_add(1) };
        let mut here = Vec::new();
        let mut there = Vec::new();
        for (this, that) in pairs {
            here.push(self.operand(this, self.kind(this)?)?);
            there.push(inner.operand(that, inner.kind(that)?)?);
        }
        let from = format!("{} AS t{}", self.dialect.quote(&other.name)?, inner.level);
        let filter = other.filter.as_ref().map(|filter| inner.node(&filter.0)).transpose()?;
        if self.dialect == Dialect::Postgres {
            let pairs = there.iter().zip(&here).map(|(there, here)| format!("{there} = {here}"));
            let conditions = pairs.chain(filter).collect::<Vec<_>>().join(" AND ");
            return Ok(format!("EXISTS (SELECT 1 FROM {from} WHERE {conditions})"));
        }
        // SQLite indexes the result of an uncorrelated IN once, where a correlated EXISTS would scan for each row. And
        // MariaDB 10.11 caches the answer of a correlated EXISTS under the outer column's own collation, so that the
        // answer for 'a' is given for 'A'; the answer of an IN is cached under the bytes on its left.
        let conditions = there.iter().map(|there| format!("{there} IS NOT NULL"));
        let conditions = conditions.chain(filter).collect::<Vec<_>>().join(" AND ");
        let (here, there) = (here.join(", "), there.join(", "));
        Ok(format!("COALESCE(({here}) IN (SELECT {there} FROM {from} WHERE {conditions}), 0)"))
    }

    fn kind(&self, column: &str) -> Result<Kind> {
        check::kind_of(self.table, column)
            .ok_or_else(|| trouble::predicate_kind(&self.table.name, column, "its type is not told"))
    }

    fn quoted(&self, column: &str) -> Result<String> {
        Ok(format!("t{}.{}", self.level, self.dialect.quote(column)?))
    }

    fn operand(&self, column: &str, kind: Kind) -> Result<String> {
        let quoted = self.quoted(column)?;
        match self.dialect {
            Dialect::Sqlite => sqlite_operand(self.table, column, &quoted, kind),
            Dialect::Postgres if kind == Kind::Text => Ok(format!("{quoted}::text COLLATE \"C\"")),
            Dialect::Postgres => Ok(quoted),
            Dialect::MariaDb => Ok(match kind {
                // Not by CAST, which makes NULL of a text longer than the server's max_allowed_packet.
                Kind::Text => format!("CONVERT(CONVERT({quoted} USING utf8mb4) USING binary)"),
                Kind::Date | Kind::Timestamp | Kind::TimestampTz => format!(
                    "CASE WHEN YEAR({quoted}) > 0 AND \
                     MONTH({quoted}) > 0 AND DAYOFMONTH({quoted}) > 0 THEN {quoted} END"
                ),
                Kind::Bool
                | Kind::Int64
                | Kind::UInt64
                | Kind::Float64
                | Kind::Decimal { .. }
                | Kind::Bytes
                | Kind::Time => quoted,
            }),
        }
    }

    fn constant(&self, column: &str, literal: &super::Literal, kind: Kind) -> Result<String> {
        let constant = literal.in_kind(kind).map_err(|why| trouble::predicate_kind(&self.table.name, column, why))?;
        Ok(render(self.dialect, &constant))
    }
}

fn render(dialect: Dialect, constant: &Constant) -> String {
    let sqlite = dialect == Dialect::Sqlite;
    match constant {
        Constant::Bool(value) if dialect == Dialect::Postgres => value.to_string(),
        Constant::Bool(value) => u8::from(*value).to_string(),
        Constant::Integer(value) => value.to_string(),
        Constant::Float(value) if dialect == Dialect::Postgres => format!("'{value:e}'::float8"),
        Constant::Float(value) => format!("{value:e}"),
        // An exponent makes it a REAL in SQLite, whatever its digits.
        Constant::Decimal { unscaled, scale } if sqlite => format!("{}e0", value::decimal_text(*unscaled, *scale)),
        Constant::Decimal { unscaled, scale } => value::decimal_text(*unscaled, *scale),
        Constant::Text(value) => dialect.text(value),
        Constant::Date(days) if sqlite => format!("'{}'", calendar::date_text(*days)),
        Constant::Date(days) => format!("DATE '{}'", calendar::date_text(*days)),
        Constant::Time(micros) if sqlite => format!("'{}'", padded(&calendar::time_text(*micros), 8)),
        Constant::Time(micros) => format!("TIME '{}'", calendar::time_text(*micros)),
        Constant::Timestamp(micros) | Constant::TimestampTz(micros) if sqlite => {
            format!("'{}'", padded(&calendar::timestamp_text(*micros), 19))
        }
        Constant::TimestampTz(micros) if dialect == Dialect::Postgres => {
            format!("TIMESTAMPTZ '{}+00'", calendar::timestamp_text(*micros))
        }
        // MariaDB's TIMESTAMP columns are read in a session whose zone is UTC.
        Constant::Timestamp(micros) | Constant::TimestampTz(micros) => {
            format!("TIMESTAMP '{}'", calendar::timestamp_text(*micros))
        }
    }
}

/// The text with six digits of a fraction, so that texts order as times do.
fn padded(text: &str, whole: usize) -> String {
    if text.len() == whole { format!("{text}.000000") } else { text.to_owned() }
}

/// The column's value when it is of `kind`, and null when it is not.
fn sqlite_operand(table: &TableScope, column: &str, x: &str, kind: Kind) -> Result<String> {
    Ok(match kind {
        Kind::Int64 | Kind::UInt64 => format!("CASE WHEN typeof({x}) = 'integer' THEN {x} END"),
        Kind::Bool => format!("CASE WHEN typeof({x}) = 'integer' AND {x} IN (0, 1) THEN {x} END"),
        Kind::Float64 => format!("CASE WHEN typeof({x}) IN ('integer', 'real') THEN CAST({x} AS REAL) END"),
        Kind::Decimal { precision, .. } if precision > SQLITE_DIGITS_MAX => {
            let why = format!("SQLite keeps {SQLITE_DIGITS_MAX} digits of a decimal and the type has {precision}");
            return Err(trouble::dialect_cannot(&table.name, column, why));
        }
        Kind::Decimal { .. } => format!(
            "CASE WHEN typeof({x}) IN ('integer', 'real') OR (typeof({x}) = 'text' AND {x} <> '' \
             AND {x} NOT GLOB '*[^0-9.-]*') THEN CAST({x} AS REAL) END"
        ),
        Kind::Text => {
            format!("(CASE typeof({x}) WHEN 'text' THEN {x} WHEN 'integer' THEN CAST({x} AS TEXT) END) COLLATE BINARY")
        }
        Kind::Bytes => return Err(trouble::dialect_cannot(&table.name, column, "bytes have no order")),
        Kind::Date => format!("CASE WHEN typeof({x}) = 'text' AND date({x}) = {x} AND {x} >= '0001' THEN {x} END"),
        Kind::Time => sqlite_time(x),
        Kind::Timestamp => sqlite_timestamp(x),
        Kind::TimestampTz => sqlite_timestamp(&format!(
            "(CASE WHEN {x} GLOB '*Z' THEN substr({x}, 1, length({x}) - 1) \
             WHEN {x} GLOB '*+00:00' THEN substr({x}, 1, length({x}) - 6) \
             WHEN {x} GLOB '*+00' THEN substr({x}, 1, length({x}) - 3) END)"
        )),
    })
}

/// What follows the seconds: nothing, or a point and one to six digits.
fn sqlite_fraction(x: &str, whole: usize) -> String {
    let (point, first, least, most) =
        (whole.saturating_add(1), whole.saturating_add(2), whole.saturating_add(2), whole.saturating_add(7));
    format!(
        "(length({x}) = {whole} OR (length({x}) BETWEEN {least} AND {most} AND substr({x}, {point}, 1) = '.' \
         AND substr({x}, {first}) NOT GLOB '*[^0-9]*'))"
    )
}

fn sqlite_time(x: &str) -> String {
    format!(
        "CASE WHEN typeof({x}) = 'text' AND time(substr({x}, 1, 8)) = substr({x}, 1, 8) AND {} \
         THEN substr({x}, 1, 8) || '.' || substr(substr({x}, 10) || '000000', 1, 6) END",
        sqlite_fraction(x, 8)
    )
}

fn sqlite_timestamp(x: &str) -> String {
    format!(
        "CASE WHEN typeof({x}) = 'text' AND datetime(substr({x}, 1, 19)) = replace(substr({x}, 1, 19), 'T', ' ') \
         AND {x} >= '0001' AND {} \
         THEN replace(substr({x}, 1, 19), 'T', ' ') || '.' || substr(substr({x}, 21) || '000000', 1, 6) END",
        sqlite_fraction(x, 19)
    )
}
