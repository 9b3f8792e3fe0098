//! SQL that a person reads and runs by hand: rights for a throw-away account, and tables of a target. Lazaret itself
//! never creates or alters a table.

use std::collections::BTreeSet;
use std::fmt::Write;

use lexicon::Result;

use crate::{Dialect, Kind, Scope, TableScope, trouble};

/// The table of the target in which each load leaves one row.
pub const MARKER_TABLE: &str = "lazaret_load";

/// A throw-away account of the old database, and from where it may come: a matter of `MariaDB` and `MySQL` only, whose
/// accounts are a name at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// Its name.
    pub name: &'a str,
    /// `localhost`; else what the server sees of the machine that reads: an address, a name, or a pattern with `%`.
    pub host: &'a str,
}

impl<'a> Account<'a> {
    /// One that reads on the database's own machine.
    pub fn local(name: &'a str) -> Self {
        Self { name, host: "localhost" }
    }

    fn quoted(self, dialect: Dialect) -> Result<String> {
        let name = dialect.quote(self.name)?;
        if dialect != Dialect::MariaDb {
            return Ok(name);
        }
        // No mark that ends a string or begins an escape, so that quotes of any server setting hold it.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ".:-_%/".contains(letter);
        if self.host.is_empty() || self.host.len() > HOST_BYTES_MAX || !self.host.chars().all(plain) {
            return Err(trouble::account_host());
        }
        Ok(format!("{name}@'{}'", self.host))
    }
}

/// What `MariaDB` keeps of a host at most.
const HOST_BYTES_MAX: usize = 255;

/// The statements that let `account` read exactly what the scope takes and what its predicates look at, so that the old
/// database itself enforces the scope. No password is among them: the person who runs them sets one.
///
/// # Errors
/// A refusal when a name cannot be quoted, or the account's host is none.
pub fn grants(scope: &Scope, dialect: Dialect, account: Account<'_>) -> Result<String> {
    if dialect == Dialect::Sqlite {
        return Ok("-- SQLite has no accounts: give Lazaret a copy of the file that it can only read.\n".to_owned());
    }
    let account = account.quoted(dialect)?;
    let mut out =
        String::from("-- A throw-away account: set a password by hand, and drop it when the migration is over.\n");
    let create = match dialect {
        Dialect::Postgres => format!("CREATE ROLE {account} LOGIN;\n"),
        Dialect::MariaDb | Dialect::Sqlite => format!("CREATE USER {account} ACCOUNT LOCK;\n"),
    };
    out.push_str(&create);
    for table in scope.tables() {
        let columns = read_columns(scope, table);
        if columns.is_empty() {
            continue;
        }
        let columns = columns.iter().map(|column| dialect.quote(column)).collect::<Result<Vec<_>>>()?.join(", ");
        line(&mut out, &format!("GRANT SELECT ({columns}) ON {} TO {account};", dialect.quote(&table.name)?));
    }
    let last = match dialect {
        Dialect::MariaDb => format!("ALTER USER {account} ACCOUNT UNLOCK; -- after setting its password"),
        Dialect::Postgres | Dialect::Sqlite => {
            format!("-- When it is over: DROP OWNED BY {account}; DROP ROLE {account};")
        }
    };
    line(&mut out, &last);
    Ok(out)
}

/// The columns of `table` that are read: taken, or looked at by its own or another table's predicate.
fn read_columns<'a>(scope: &'a Scope, table: &'a TableScope) -> BTreeSet<String> {
    let mut columns: BTreeSet<String> = table.take.iter().map(|take| take.column.clone()).collect();
    columns.extend(table.filter.iter().flat_map(crate::Predicate::columns));
    for filter in scope.tables().iter().filter_map(|other| other.filter.as_ref()) {
        columns.extend(filter.columns_reached(&table.name));
    }
    columns
}

/// Tables for a target that has none yet, the marker table among them: a proposal for the people of the new system.
///
/// # Errors
/// A refusal when a name cannot be quoted.
pub fn target_ddl(scope: &Scope, dialect: Dialect) -> Result<String> {
    let mut out =
        String::from("-- A proposal. Lazaret never creates or alters a table: read it, change it, run it by hand.\n");
    for table in scope.tables().iter().filter(|table| !table.take.is_empty()) {
        let keys: Vec<_> = table.key.iter().filter_map(|key| table.taken(key)).collect();
        let mut lines = Vec::new();
        for take in &table.take {
            let in_key = keys.iter().any(|key| key.column == take.column);
            let not_null = if in_key { " NOT NULL" } else { "" };
            lines.push(format!(
                "  {} {}{not_null}",
                dialect.quote(&take.target)?,
                declared(dialect, take.kind, in_key)
            ));
        }
        if !keys.is_empty() {
            let keys = keys.iter().map(|key| dialect.quote(&key.target)).collect::<Result<Vec<_>>>()?.join(", ");
            lines.push(format!("  PRIMARY KEY ({keys})"));
        }
        line(&mut out, &format!("CREATE TABLE {} (\n{}\n);", dialect.quote(&table.target)?, lines.join(",\n")));
    }
    let text = |length: u16| if dialect == Dialect::Sqlite { "text".to_owned() } else { format!("varchar({length})") };
    let whole = if dialect == Dialect::Sqlite { "integer" } else { "bigint" };
    line(
        &mut out,
        &format!(
            "CREATE TABLE {MARKER_TABLE} (\n  consignment {} NOT NULL,\n  target_table {} NOT NULL,\n  \
             attempt {whole} NOT NULL,\n  \
             row_count {whole} NOT NULL,\n  PRIMARY KEY (consignment, target_table)\n);",
            text(32),
            text(128)
        ),
    );
    Ok(out)
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ignored = writeln!(out, "{text}");
}

fn declared(dialect: Dialect, kind: Kind, in_key: bool) -> String {
    let (maria, postgres, sqlite) = match kind {
        Kind::Bool => ("boolean", "boolean", "boolean"),
        Kind::Int64 => ("bigint", "bigint", "integer"),
        Kind::UInt64 => ("bigint unsigned", "numeric(20,0)", "integer"),
        Kind::Float64 => ("double", "double precision", "real"),
        Kind::Decimal { precision, scale } => {
            return match dialect {
                // A number of SQLite keeps 15 digits; a text keeps all.
                Dialect::Sqlite => "text".to_owned(),
                Dialect::MariaDb => format!("decimal({precision},{scale})"),
                Dialect::Postgres => format!("numeric({precision},{scale})"),
            };
        }
        // MariaDB cannot index a text of any length; 191 characters of 4 bytes fit its smallest index.
        Kind::Text if in_key => ("varchar(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", "text", "text"),
        Kind::Text => ("longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", "text", "text"),
        Kind::Bytes if in_key => ("varbinary(767)", "bytea", "blob"),
        Kind::Bytes => ("longblob", "bytea", "blob"),
        Kind::Date => ("date", "date", "date"),
        Kind::Time => ("time(6)", "time", "time"),
        Kind::Timestamp => ("datetime(6)", "timestamp", "timestamp"),
        Kind::TimestampTz => ("timestamp(6) NULL", "timestamptz", "timestamptz"),
    };
    match dialect {
        Dialect::MariaDb if in_key => maria.trim_end_matches(" NULL").to_owned(),
        Dialect::MariaDb => maria.to_owned(),
        Dialect::Postgres => postgres.to_owned(),
        Dialect::Sqlite => sqlite.to_owned(),
    }
}
