//! `PostgreSQL`, by binary COPY both ways.

mod catalog;
mod constraints;
mod decode;
mod encode;
mod long;
mod sink;
mod source;
mod straight;
mod types;

use std::path::Path;
use std::time::Duration;

use lexicon::{Result, Trouble};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::address::{Line, Server};
use crate::at_fault::AtFault;
use crate::trouble;

#[cfg(feature = "parsers")]
pub(crate) use self::decode::copied;

const SYSTEM: &str = "PostgreSQL";

/// What a session must not take from the server's or the account's settings: how values are spelled where they are
/// read as text, timeouts that would end a long moment or wait without end for a lock, and messages of triggers, which
/// may quote a row. With row security off, a statement from which it would hide rows fails: they would be in no count.
const SETTINGS: &str = "-c datestyle=ISO,YMD -c intervalstyle=postgres -c timezone=UTC -c bytea_output=hex \
     -c extra_float_digits=1 -c xmlbinary=base64 -c standard_conforming_strings=on \
     -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=60000 \
     -c client_min_messages=error -c row_security=off";

/// One database, as a source or a target.
#[derive(Clone)]
pub(crate) struct Database {
    server: Server,
    /// As a target.
    at_fault: AtFault,
}

impl Database {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, at_fault: AtFault::default() }
    }

    /// A new session. It ends when the client is dropped.
    async fn connect(&self) -> Result<Client> {
        let mut config = Config::new();
        config
            .host(&self.server.host)
            .port(self.server.port)
            .user(&self.server.user)
            .dbname(&self.server.database)
            .application_name("lazaret")
            // Of several addresses of one name, each has its turn within the minute of all.
            .connect_timeout(Duration::from_secs(20))
            // A machine that is gone without a word is noticed after a minute and a half while it is waited for; with rows
            // on their way to it, when the system gives up sending them.
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(6)
            .options(SETTINGS);
        if let Some(credential) = &self.server.credential {
            config.password(credential.expose());
        }
        let system = self.server.identity();
        let unreachable = |error: &tokio_postgres::Error| match error.code() {
            Some(state)
                if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(state) =>
            {
                trouble::not_signed_in(&system)
            }
            Some(state) if *state == SqlState::INVALID_CATALOG_NAME => trouble::no_database(&system),
            Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => trouble::not_opened(&system),
            Some(state) => trouble::unreachable(&system, &format!("database code {}", state.code())),
            None if asks_for_password(error) => trouble::not_signed_in(&system),
            None if is_of_tls(error) => trouble::unreachable(&system, trouble::NO_TLS),
            None => trouble::unreachable(&system, "no connection"),
        };
        trouble::in_time(&system, async {
            match &self.server.line {
                Line::Clear => {
                    config.ssl_mode(SslMode::Disable);
                    let (client, connection) = config.connect(NoTls).await.map_err(|error| unreachable(&error))?;
                    tokio::spawn(connection);
                    Ok(client)
                }
                Line::Tls { authority } => {
                    config.ssl_mode(SslMode::Require);
                    let tls = tls(authority.as_deref())?;
                    let (client, connection) = config.connect(tls).await.map_err(|error| unreachable(&error))?;
                    tokio::spawn(connection);
                    Ok(client)
                }
            }
        })
        .await
    }
}

/// The server offers no TLS, which the driver tells by its words alone, or the handshake found something wrong.
fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| {
        let found = source.downcast_ref().is_some_and(trouble::is_of_handshake);
        found || source.to_string() == "server does not support TLS"
    })
}

/// The server asks for a password and none was given: the driver says so itself, in words and by no code.
fn asks_for_password(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string() == "password missing")
}

/// TLS whose certificate is verified, against one authority's file or against the machine's own roots.
fn tls(authority: Option<&Path>) -> Result<MakeRustlsConnect> {
    let Some(file) = authority else {
        return MakeRustlsConnect::with_native_certs()
            .map(|(tls, _)| tls)
            .map_err(|_| trouble::address("this machine's own certificate authorities cannot be read"));
    };
    let unreadable = || trouble::address("the certificate authority's file cannot be read");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|_| unreadable())? {
        roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
    }
    Ok(MakeRustlsConnect::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// Row security would hide rows from the account. The state is that of a missing right, and the words are in the server's
/// language; the name of its routine is neither.
fn is_of_row_security(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().and_then(DbError::routine) == Some("check_enable_rls")
}

const BUSY: [&str; 8] = ["55P03", "40P01", "40001", "53300", "57014", "57P01", "57P02", "57P03"];

/// The SQLSTATE alone: message, DETAIL and CONTEXT quote rows.
fn failed(doing: &str, error: &tokio_postgres::Error) -> Trouble {
    match error.code() {
        Some(_) if is_of_row_security(error) => trouble::not_all_rows(SYSTEM, doing),
        Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => trouble::not_granted(SYSTEM, doing),
        // A lock that was not given, a deadlock, a conflict, too many connections, a shutdown; a statement that somebody
        // there ended, or a session.
        Some(state) if BUSY.contains(&state.code()) => {
            trouble::unreachable(SYSTEM, &format!("it is busy while {doing}"))
        }
        Some(state) if *state == SqlState::DISK_FULL => trouble::disk_full(SYSTEM, doing, state.code()),
        // Too wide a row, too many columns, too long a value, more locks than the server has room for.
        Some(state) if matches!(state.code(), "54000" | "54001" | "54011" | "53200") => {
            trouble::over_limit(SYSTEM, doing, state.code())
        }
        Some(state) => trouble::statement(SYSTEM, doing, state.code()),
        None => trouble::unreachable(SYSTEM, &format!("the connection ended while {doing}")),
    }
}

/// Runs statements without parameters and without rows.
async fn run(client: &Client, doing: &str, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(|error| failed(doing, &error))
}

/// One count.
async fn count(client: &Client, doing: &str, sql: &str) -> Result<u64> {
    let row = client.query_one(sql, &[]).await.map_err(|error| failed(doing, &error))?;
    let rows: i64 = row.try_get(0).map_err(|error| failed(doing, &error))?;
    u64::try_from(rows).map_err(|_| trouble::statement(SYSTEM, doing, "negative count"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::connect_source;

    /// What is said of a server that answers the question for TLS so, and then hangs up.
    async fn said_of(answer: &'static [u8]) -> String {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("postgres://somebody@{}/old?tls=on", server.local_addr().unwrap());
        let answering = tokio::spawn(async move {
            let (mut line, _) = server.accept().await.unwrap();
            let mut question = [0; 8];
            line.read_exact(&mut question).await.unwrap();
            line.write_all(answer).await.unwrap();
        });
        let told = connect_source(&address, None).unwrap().begin(true).await.map(drop).unwrap_err();
        answering.await.unwrap();
        told.to_string()
    }

    #[tokio::test]
    async fn what_a_handshake_finds_wrong_is_told_from_a_line_that_ends() {
        for answer in [&b"N"[..], b"SThis is no handshake at all."] {
            let told = said_of(answer).await;
            assert!(told.contains("certificate does not verify"), "{told}");
        }
        let told = said_of(b"S").await;
        assert!(told.contains("no connection"), "{told}");
    }
}
