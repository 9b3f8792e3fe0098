use lexicon::Result;
use serde::{Deserialize, Serialize};

use crate::trouble;

/// A kind of SQL that predicates compile to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `MariaDB` and `MySQL`.
    MariaDb,
    /// `PostgreSQL`.
    Postgres,
    /// `SQLite`.
    Sqlite,
}

/// More than any of the three keeps (128 characters in Oracle, 63 bytes in `PostgreSQL`).
const IDENTIFIER_BYTES_MAX: usize = 256;

impl Dialect {
    /// The name between the quotation marks of the dialect, so that no name can be read as SQL.
    ///
    /// # Errors
    /// A refusal for a name that is empty, longer than 256 bytes, or holds a control character: no quoting makes it
    /// safe everywhere.
    pub fn quote(&self, identifier: &str) -> Result<String> {
        if identifier.is_empty() || identifier.len() > IDENTIFIER_BYTES_MAX || identifier.chars().any(char::is_control)
        {
            return Err(trouble::identifier(identifier));
        }
        Ok(match self {
            Self::MariaDb => format!("`{}`", identifier.replace('`', "``")),
            Self::Postgres | Self::Sqlite => format!("\"{}\"", identifier.replace('"', "\"\"")),
        })
    }

    /// A text constant. Anything but plain letters, digits and a few marks goes as hexadecimal, so that no server
    /// setting (backslash escapes, `ANSI_QUOTES`, the connection's character set) can change its meaning.
    pub(crate) fn text(self, value: &str) -> String {
        let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-.:/".contains(&byte));
        match self {
            Self::MariaDb => format!("x'{}'", hex(value)),
            Self::Postgres | Self::Sqlite if plain => format!("'{value}'"),
            Self::Postgres => format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex(value)),
            Self::Sqlite => format!("CAST(x'{}' AS TEXT)", hex(value)),
        }
    }
}

fn hex(value: &str) -> String {
    use std::fmt::Write;
    value.bytes().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ignored = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_one_name() {
        assert_eq!(Dialect::Postgres.quote("a\"; drop table x; --").unwrap(), "\"a\"\"; drop table x; --\"");
        assert_eq!(Dialect::Sqlite.quote("a\"b").unwrap(), "\"a\"\"b\"");
        assert_eq!(Dialect::MariaDb.quote("a`; drop").unwrap(), "`a``; drop`");
    }

    #[test]
    fn a_name_that_no_quoting_makes_safe_is_refused() {
        for name in ["", "a\0b", "a\nb", &"x".repeat(257)] {
            assert_eq!(Dialect::Sqlite.quote(name).unwrap_err().code(), lexicon::Code(315));
        }
    }

    #[test]
    fn a_quotation_mark_in_a_constant_never_reaches_the_server() {
        for dialect in [Dialect::MariaDb, Dialect::Postgres, Dialect::Sqlite] {
            let sql = dialect.text("a'\\' or 1=1 --");
            assert!(!sql.contains("or 1=1"), "{sql}");
            assert!(!sql.contains('\\'), "{sql}");
        }
    }
}
