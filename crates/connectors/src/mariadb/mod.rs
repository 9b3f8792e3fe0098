//! `MariaDB` and `MySQL`, by prepared statements (the binary protocol) both ways.

mod catalog;
mod constraints;
mod decode;
mod encode;
mod sink;
mod source;
mod types;

use lexicon::{Result, Trouble};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Decode, MySql, Row, ValueRef};

use crate::address::{Line, Server};
use crate::at_fault::AtFault;
use crate::trouble;

#[cfg(feature = "parsers")]
pub(crate) use self::decode::{WIRES, valued};

const SYSTEM: &str = "MariaDB";
/// What an account or a server allows a statement would end a count or a reading of a large table. Each family of servers
/// executes its own comment and takes the other one for none.
const NO_LIMIT: &str = " /*M!100101 , max_statement_time = 0 */ /*!50708 , max_execution_time = 0 */";
const LEASE_SECONDS: i64 = lexicon::limits::LEASE_HOURS * 60 * 60;

/// One database, as a source or a target.
#[derive(Clone)]
pub(crate) struct Database {
    server: Server,
    /// As a target.
    at_fault: AtFault,
}

/// What a session is for: reading takes everything as it stands, writing lets the server change nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reading,
    Writing,
}

impl Database {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, at_fault: AtFault::default() }
    }

    /// A new session in UTC and utf8mb4, with an SQL mode of our own: an account's or a server's mode can change what
    /// quotes mean, pad texts, or cut values silently.
    async fn connect(&self, purpose: Purpose) -> Result<MySqlConnection> {
        let mut options = MySqlConnectOptions::new()
            .host(&self.server.host)
            .port(self.server.port)
            .username(&self.server.user)
            .database(&self.server.database)
            .charset("utf8mb4")
            .timezone(Some("+00:00".to_owned()))
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .disable_statement_logging();
        if let Some(credential) = &self.server.credential {
            options = options.password(credential.expose());
        }
        options = match &self.server.line {
            Line::Clear => options.ssl_mode(MySqlSslMode::Disabled),
            Line::Tls { authority } => {
                let options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
                authority.iter().fold(options, MySqlConnectOptions::ssl_ca)
            }
        };
        let system = self.server.identity();
        let refused = |error| match number(&error) {
            // Access denied, to an account or because its way of signing in is another; from this machine; with a password
            // that has expired; to an account that is locked (MariaDB's number, MySQL's).
            Some(1045 | 1698 | 1130 | 1862 | 4151 | 3118) => trouble::not_signed_in(&system),
            Some(1044) => trouble::not_opened(&system),
            Some(1049) => trouble::no_database(&system),
            Some(number) => trouble::unreachable(&system, &format!("database code {number}")),
            None if is_of_tls(&error) => trouble::unreachable(&system, trouble::NO_TLS),
            None => trouble::unreachable(&system, "no connection"),
        };
        let mode = match purpose {
            // A table may wait for another one's rows, for as long as the lease of an attempt runs.
            Purpose::Reading => &format!("sql_mode = '', net_write_timeout = {LEASE_SECONDS}"),
            Purpose::Writing => {
                "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,\
                 NO_ENGINE_SUBSTITUTION', net_read_timeout = 3600"
            }
        };
        // A lock that is not given within a minute is told: by itself the server waits for a day, or for a year.
        let settings = format!(
            "SET SESSION {mode}, wait_timeout = 86400, lock_wait_timeout = 60, innodb_lock_wait_timeout = 60{NO_LIMIT}"
        );
        trouble::in_time(&system, async {
            let mut session = options.connect().await.map_err(refused)?;
            run(&mut session, "setting up a session", &settings).await?;
            Ok(session)
        })
        .await
    }
}

/// The server offers no TLS, or the handshake found something wrong.
fn is_of_tls(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Io(error) = error {
        return trouble::is_of_handshake(error);
    }
    matches!(error, sqlx::Error::Tls(_))
}

fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

/// The server's error number alone: its message quotes values ("Duplicate entry ...").
fn failed(doing: &str, error: &sqlx::Error) -> Trouble {
    of_number(doing, number(error))
}

fn of_number(doing: &str, number: Option<u16>) -> Trouble {
    match number {
        // Access denied: to a database, to a table, to a column, for want of a global privilege.
        Some(1044 | 1045 | 1142 | 1143 | 1227) => trouble::not_granted(SYSTEM, doing),
        // The password has expired: a server that is told nothing else lets such an account in and does nothing for it.
        Some(1820) => trouble::not_signed_in(SYSTEM),
        // A lock that was not given, a deadlock, a table that was altered under a moment, too many connections, a shutdown; a
        // statement that somebody there ended, or its time (MariaDB's number, MySQL's), or a session.
        Some(1205 | 1213 | 1412 | 1040 | 1053 | 1317 | 1969 | 3024 | 1927) => {
            trouble::unreachable(SYSTEM, &format!("it is busy while {doing}"))
        }
        // No space on the disk, or no more of it for this table's file.
        Some(number @ (1021 | 1114)) => trouble::disk_full(SYSTEM, doing, &number.to_string()),
        // An error while a file was written, of temporary rows for instance: nearly always a full disk.
        Some(number @ (3 | 1026)) => trouble::unwritten(SYSTEM, doing, &number.to_string()),
        // Too wide a row, too many columns, a packet beyond max_allowed_packet.
        Some(number @ (1117 | 1118 | 1153)) => trouble::over_limit(SYSTEM, doing, &number.to_string()),
        Some(number) => trouble::statement(SYSTEM, doing, &number.to_string()),
        None => trouble::unreachable(SYSTEM, &format!("the connection ended while {doing}")),
    }
}

/// Runs a statement without parameters and without rows, by the text protocol: some statements cannot be prepared.
async fn run(session: &mut MySqlConnection, doing: &str, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(session)
        .await
        .map(|_| ())
        .map_err(|error| failed(doing, &error))
}

/// One count.
async fn count(session: &mut MySqlConnection, doing: &str, sql: &str) -> Result<u64> {
    let sql = format!("SELECT CAST(({sql}) AS CHAR)");
    let rows = texts(session, doing, &sql, &[]).await?;
    let only = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    only.and_then(|text| text.parse().ok()).ok_or_else(|| trouble::statement(SYSTEM, doing, "no count"))
}

/// Every row of a small query, each column as text. Catalog columns change their types between servers; the queries
/// cast what is not text.
async fn texts(
    session: &mut MySqlConnection,
    doing: &str,
    sql: &str,
    parameters: &[&str],
) -> Result<Vec<Vec<Option<String>>>> {
    let query = parameters.iter().fold(sqlx::query(AssertSqlSafe(sql.to_owned())), |query, text| query.bind(*text));
    let rows = query.fetch_all(session).await.map_err(|error| failed(doing, &error))?;
    let text = |row: &MySqlRow, index| -> Result<Option<String>> {
        let bytes = raw(row, index).map_err(|error| failed(doing, &error))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    rows.iter().map(|row| (0..row.columns().len()).map(|index| text(row, index)).collect()).collect()
}

/// The bytes of one value as the protocol sent them; none for NULL. The driver calls a zero date NULL, its bytes do
/// not.
fn raw(row: &MySqlRow, index: usize) -> Result<Option<&[u8]>, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    // For every type but dates the driver's word is enough; asking for the bytes of a NULL is an error we know.
    if value.is_null() && !is_dated(&value) {
        return Ok(None);
    }
    Ok(<&[u8] as Decode<MySql>>::decode(value).ok())
}

fn is_dated(value: &sqlx::mysql::MySqlValueRef<'_>) -> bool {
    use sqlx::TypeInfo;
    matches!(value.type_info().name(), "DATE" | "DATETIME" | "TIMESTAMP")
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use lexicon::{Code, Retry};

    use super::*;

    /// What is said of a number, and whether to try again.
    fn told(number: u16) -> (Code, Retry, String) {
        let Trouble::Fault(fault) = of_number("reading rows", Some(number)) else { unreachable!("no fault: {number}") };
        (fault.code, fault.retry, fault.message)
    }

    #[test]
    fn what_may_go_better_the_next_time_is_told_from_what_may_not() {
        for number in [1205, 1213, 1412, 1317, 1969, 3024] {
            let busy = "MariaDB does not answer: it is busy while reading rows".to_owned();
            assert_eq!(told(number), (Code(402), Retry::Later, busy));
        }
        for number in [1021, 1114, 3, 1026] {
            let (code, retry, message) = told(number);
            let known = if matches!(number, 1021 | 1114) { "is full" } else { "cannot write to its disk" };
            assert_eq!((code, retry), (Code(432), Retry::Later));
            assert!(message.contains(known) && message.contains(&format!("(database code {number})")), "{message}");
        }
        let failed = "MariaDB failed while reading rows (database code 1064)".to_owned();
        assert_eq!(told(1064), (Code(403), Retry::Never, failed));
    }

    #[test]
    fn what_a_handshake_finds_wrong_is_told_from_a_line_that_ends() {
        let wrong = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(is_of_tls(&sqlx::Error::Io(Error::new(ErrorKind::InvalidData, wrong))));
        assert!(is_of_tls(&sqlx::Error::Tls("server does not support TLS".into())));
        assert!(!is_of_tls(&sqlx::Error::Io(ErrorKind::UnexpectedEof.into())));
    }
}
