//! The old system's database and the new one's, both made for one story and dropped at its end, whatever that is.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use lexicon::{MigrationId, SystemEntropy};
use scope::{Account, Dialect, Scope};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions};

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    MariaDb,
    Postgres,
}

impl Server {
    pub(super) fn dialect(self) -> Dialect {
        if self == Self::MariaDb { Dialect::MariaDb } else { Dialect::Postgres }
    }
}

/// Both databases.
pub(super) struct Databases {
    /// The old system's address.
    pub(super) mariadb: String,
    /// The new system's address.
    pub(super) postgres: String,
    servers: (String, String),
    name: String,
}

pub(super) type Story = for<'a> fn(&'a Databases) -> LocalBoxFuture<'a, ()>;

/// Tells a story on two fresh databases; without servers it says that it was skipped.
pub(super) async fn with(name: &str, story: Story) {
    let [Some(mariadb), Some(postgres)] = ["LAZARET_TEST_MARIADB", "LAZARET_TEST_POSTGRES"].map(|variable| {
        let value = std::env::var(variable).ok();
        if value.is_none() {
            drill::skipped!("{name} ({variable} is not set)");
        }
        value
    }) else {
        return;
    };
    let databases = Databases::open((mariadb, postgres)).await;
    let ended = AssertUnwindSafe(story(&databases)).catch_unwind().await;
    databases.close().await;
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

impl Databases {
    async fn open(servers: (String, String)) -> Self {
        let name = format!("lazaret_{}", MigrationId::draw(&SystemEntropy::new()).unwrap());
        let at = |server: &str| format!("{}/{name}", server.rsplit_once('/').unwrap().0);
        run_on_mariadb(&servers.0, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
        run_on_postgres(&servers.1, &format!("CREATE DATABASE {name}")).await;
        Self { mariadb: at(&servers.0), postgres: at(&servers.1), servers, name }
    }

    async fn close(self) {
        run_on_mariadb(&self.servers.0, &format!("DROP DATABASE {0}; DROP USER IF EXISTS {0}", self.name)).await;
        run_on_postgres(&self.servers.1, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        run_on_postgres(&self.servers.1, &format!("DROP ROLE IF EXISTS {}", self.name)).await;
    }

    /// The name of the throw-away account.
    pub(super) fn account(&self) -> &str {
        &self.name
    }

    /// Runs the grants of the throw-away account and sets its password, as the laboratory would; the old system's
    /// address for it.
    pub(super) async fn reader(&self, grants: &str) -> String {
        let word = MigrationId::draw(&SystemEntropy::new()).unwrap();
        let (account, any_host) = (&self.name, grants.replace("@'localhost'", "@'%'"));
        run_on_mariadb(&self.mariadb, &format!("{any_host}SET PASSWORD FOR {account} = PASSWORD('{word}')")).await;
        signed_in(&self.mariadb, account, &word.to_string())
    }

    /// As [`Self::reader`], of an old system on either server under this scope.
    pub(super) async fn reader_on(&self, server: Server, scope: &Scope) -> String {
        let grants = scope::grants(scope, server.dialect(), Account::local(&self.name)).unwrap();
        if server == Server::MariaDb {
            return self.reader(&grants).await;
        }
        let word = MigrationId::draw(&SystemEntropy::new()).unwrap();
        self.on_postgres(&format!("{grants}\nALTER ROLE {} PASSWORD '{word}'", self.name)).await;
        signed_in(&self.postgres, &self.name, &word.to_string())
    }

    /// Makes an account that may fill the new system's tables and do nothing else there; the new system's address for it.
    pub(super) async fn writer(&self) -> String {
        self.writer_on(Server::Postgres).await
    }

    /// As [`Self::writer`], of a new system on either server.
    pub(super) async fn writer_on(&self, server: Server) -> String {
        let (account, word) = (&self.name, MigrationId::draw(&SystemEntropy::new()).unwrap());
        let sql = match server {
            Server::MariaDb => format!(
                "CREATE USER {account} IDENTIFIED BY '{word}'; \
                 GRANT SELECT, INSERT, CREATE TEMPORARY TABLES ON {account}.* TO {account}"
            ),
            Server::Postgres => format!(
                "CREATE ROLE {account} LOGIN PASSWORD '{word}'; \
                 GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {account}"
            ),
        };
        self.on(server, &sql).await;
        signed_in(self.at(server), account, &word.to_string())
    }

    /// Drops the database, or makes it anew without a table.
    pub(super) async fn away(&self, server: Server, away: bool) {
        let what = if away { "DROP DATABASE" } else { "CREATE DATABASE" };
        match server {
            Server::MariaDb => run_on_mariadb(&self.servers.0, &format!("{what} {}", self.name)).await,
            Server::Postgres => run_on_postgres(&self.servers.1, &format!("{what} {}", self.name)).await,
        }
    }

    /// Its address for the server's own account.
    pub(super) fn at(&self, server: Server) -> &str {
        if server == Server::MariaDb { &self.mariadb } else { &self.postgres }
    }

    /// How many rows a table has for everybody.
    pub(super) async fn rows(&self, server: Server, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match server {
            Server::MariaDb => {
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut mariadb(&self.mariadb).await).await.unwrap()
            }
            Server::Postgres => postgres(&self.postgres).await.query_one(&sql, &[]).await.unwrap().get(0),
        }
    }

    /// What stands in a column of text for everybody, a line each.
    pub(super) async fn texts(&self, server: Server, table: &str, column: &str) -> String {
        let sql = format!("SELECT {column} FROM {table}");
        let texts: Vec<String> = match server {
            Server::MariaDb => {
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut mariadb(&self.mariadb).await).await.unwrap()
            }
            Server::Postgres => {
                let rows = postgres(&self.postgres).await.query(&sql, &[]).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        };
        texts.join("\n")
    }

    /// Runs SQL, as its people would.
    pub(super) async fn on(&self, server: Server, sql: &str) {
        match server {
            Server::MariaDb => run_on_mariadb(&self.mariadb, sql).await,
            Server::Postgres => run_on_postgres(&self.postgres, sql).await,
        }
    }

    /// Runs SQL on the old system, as its people would.
    pub(super) async fn on_mariadb(&self, sql: &str) {
        run_on_mariadb(&self.mariadb, sql).await;
    }

    /// Runs SQL on the new system, as its people would.
    pub(super) async fn on_postgres(&self, sql: &str) {
        run_on_postgres(&self.postgres, sql).await;
    }
}

fn signed_in(address: &str, account: &str, word: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap();
    format!("{scheme}://{account}:{word}@{}", rest.rsplit_once('@').unwrap().1)
}

/// A session that is none of the connector's, in UTC.
pub(super) async fn mariadb(address: &str) -> MySqlConnection {
    calling(address).connect().await.unwrap()
}

/// Whether the server lets in who comes with this name and password.
pub(super) async fn mariadb_lets_in(address: &str) -> bool {
    calling(address).connect().await.is_ok()
}

fn calling(address: &str) -> MySqlConnectOptions {
    let options: MySqlConnectOptions = address.parse().unwrap();
    // What a story itself puts into the old system is no leak in the log of all rooms.
    options.ssl_mode(MySqlSslMode::Disabled).timezone(Some("+00:00".to_owned())).disable_statement_logging()
}

/// A session that is none of the connector's.
pub(super) async fn postgres(address: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn run_on_mariadb(address: &str, sql: &str) {
    // The server's own mode, as its command line client would have it: zero dates go in.
    let sql = format!("SET SESSION sql_mode = @@GLOBAL.sql_mode;\n{sql}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut mariadb(address).await).await.unwrap();
}

async fn run_on_postgres(address: &str, sql: &str) {
    postgres(address).await.batch_execute(sql).await.unwrap();
}
