//! The old system on `MariaDB` and the new ones on `PostgreSQL`, looked at by queries that share nothing with ours.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use lexicon::{ConsignmentId, MigrationId, SystemEntropy};
use serde::Serialize;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::time::interval;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::source::{SOURCE, SPELLED, Seen, TARGET, TARGETS};

/// By whose account the new system is loaded, which decides on which way its rows go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Account {
    /// The server's own, which may keep its errors out of the log: straight into the tables.
    Owner,
    /// One that may fill the tables and do nothing else: staged, and counted before.
    Writer,
}

impl Account {
    pub(super) const ALL: [Self; 2] = [Self::Owner, Self::Writer];

    /// That of a seed: they take turns.
    pub(super) fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Owner } else { Self::Writer }
    }
}

/// Both servers, the old system in one, and an empty new system in the other that each migration gets a copy of.
pub(super) struct Pair {
    mariadb: String,
    postgres: String,
    name: String,
    /// The writer's password; its account is called as the old system is.
    word: String,
}

/// The new system of one migration.
pub(super) struct Target {
    /// For the account that loads.
    pub(super) address: String,
    /// For whoever looks.
    own: String,
    server: String,
    name: String,
}

fn at(server: &str, database: &str) -> String {
    format!("{}/{database}", server.rsplit_once('/').unwrap().0)
}

fn signed_in(address: &str, account: &str, word: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap();
    format!("{scheme}://{account}:{word}@{}", rest.rsplit_once('@').unwrap().1)
}

fn drawn(what: &str) -> String {
    format!("{what}_{}", MigrationId::draw(&SystemEntropy::new()).unwrap())
}

async fn mariadb(address: &str) -> MySqlConnection {
    let options: MySqlConnectOptions = address.parse().unwrap();
    options.ssl_mode(MySqlSslMode::Disabled).connect().await.unwrap()
}

async fn postgres(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn on_mariadb(address: &str, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut mariadb(address).await).await.unwrap();
}

async fn on_postgres(address: &str, sql: &str) {
    postgres(address).await.batch_execute(sql).await.unwrap();
}

impl Pair {
    pub(super) async fn make(mariadb: String, postgres: String) -> Self {
        let word = MigrationId::draw(&SystemEntropy::new()).unwrap().to_string();
        let pair = Self { mariadb, postgres, name: drawn("kills"), word };
        let (name, word) = (&pair.name, &pair.word);
        on_mariadb(&pair.mariadb, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
        on_mariadb(&pair.source(), SOURCE).await;
        on_postgres(&pair.postgres, &format!("CREATE DATABASE {name}")).await;
        let role = format!(
            "{TARGET} CREATE ROLE {name} LOGIN PASSWORD '{word}'; \
             GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {name}"
        );
        on_postgres(&at(&pair.postgres, name), &role).await;
        pair
    }

    /// The old system's address.
    pub(super) fn source(&self) -> String {
        at(&self.mariadb, &self.name)
    }

    /// Every row of the old system that crosses, in the order and the spelling of [`Target::dump`].
    pub(super) async fn dump(&self) -> String {
        let mut session = mariadb(&self.source()).await;
        let mut dump = String::new();
        for (Seen { table, .. }, sql) in TARGETS.iter().zip(SPELLED) {
            let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut session).await.unwrap();
            dump.extend([table, "\n"]);
            dump.extend(rows.iter().flat_map(|row| [row, "\n"]));
        }
        dump
    }

    /// What stands in the old system of its patients' names, numbers and passwords.
    pub(super) async fn patients(&self) -> String {
        let sql = "SELECT CONCAT_WS('\t', full_name, nir, portal_password) FROM patient";
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut mariadb(&self.source()).await).await.unwrap();
        rows.join("\n")
    }

    /// An empty new system.
    pub(super) async fn target(&self, account: Account) -> Target {
        let name = drawn(&self.name[..5]);
        on_postgres(&self.postgres, &format!("CREATE DATABASE {name} TEMPLATE {}", self.name)).await;
        let own = at(&self.postgres, &name);
        let address = match account {
            Account::Owner => own.clone(),
            Account::Writer => signed_in(&own, &self.name, &self.word),
        };
        Target { address, own, server: self.postgres.clone(), name }
    }

    pub(super) async fn drop_all(&self) {
        let name = &self.name;
        on_mariadb(&self.mariadb, &format!("DROP DATABASE {name}")).await;
        on_postgres(&self.postgres, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        // It stays where a migration failed, whose new system is left with its rights in it.
        drop(postgres(&self.postgres).await.batch_execute(&format!("DROP ROLE {name}")).await);
    }
}

impl Target {
    /// Tables whose rows are not those of their marker, or that have rows and no marker, at one moment: now.
    pub(super) async fn halves(&self) -> Vec<String> {
        let counts =
            TARGETS.map(|Seen { table, .. }| format!("SELECT '{table}' AS name, count(*) AS rows FROM {table}"));
        let sql = format!(
            "SELECT t.name || ': ' || t.rows || ' rows, marker ' || coalesce(m.row_count::text, 'none') \
             FROM ({}) t LEFT JOIN lazaret_load m ON m.target_table = t.name WHERE coalesce(m.row_count, 0) <> t.rows",
            counts.join(" UNION ALL ")
        );
        self.lines(&sql).await
    }

    /// Every row, in key order, as `COPY` writes it; of large contents their digest.
    pub(super) async fn dump(&self) -> String {
        let client = postgres(&self.own).await;
        let mut dump = Vec::new();
        for Seen { table, columns, order } in TARGETS {
            dump.extend_from_slice(format!("{table}\n").as_bytes());
            let sql = format!("COPY (SELECT {columns} FROM {table} ORDER BY {order}) TO STDOUT");
            let pieces: Vec<bytes::Bytes> = client.copy_out(&sql).await.unwrap().try_collect().await.unwrap();
            dump.extend(pieces.iter().flatten());
        }
        String::from_utf8(dump).unwrap()
    }

    /// Rows of each table as its marker of this consignment says, after making sure that there is no other marker.
    pub(super) async fn markers(&self, consignment: ConsignmentId) -> BTreeMap<String, String> {
        let foreign = format!("SELECT consignment FROM lazaret_load WHERE consignment <> '{consignment}'");
        assert_eq!(self.lines(&foreign).await, Vec::<String>::new(), "markers of another consignment");
        let lines = self.lines("SELECT target_table || '=' || row_count FROM lazaret_load").await;
        let of = |line: &String| line.split_once('=').map(|(table, rows)| (table.to_owned(), rows.to_owned())).unwrap();
        let markers: BTreeMap<_, _> = lines.iter().map(of).collect();
        assert_eq!(markers.len(), lines.len(), "a table with two markers");
        markers
    }

    /// Every relation of the database that is not the server's own, tables of sessions included.
    pub(super) async fn relations(&self) -> Vec<String> {
        self.lines(
            "SELECT c.relkind::text || ' ' || c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1",
        )
        .await
    }

    /// Waits until the sessions of processes that were killed are gone.
    pub(super) async fn alone(&self) {
        let others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let client = postgres(&self.own).await;
        let mut beat = interval(Duration::from_millis(20));
        for _ in 0..3_000 {
            beat.tick().await;
            if client.query(others, &[]).await.unwrap().is_empty() {
                return;
            }
        }
        unreachable!("sessions of killed processes stay in the new system for a minute");
    }

    pub(super) async fn drop_it(self) {
        on_postgres(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    /// The first column of every row.
    async fn lines(&self, sql: &str) -> Vec<String> {
        let messages = postgres(&self.own).await.simple_query(sql).await.unwrap();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            SimpleQueryMessage::CommandComplete(_) | SimpleQueryMessage::RowDescription(_) | _ => None,
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_any_two_seeds_in_a_row_each_account_has_one() {
        for seed in 0..500 {
            let mut both = [seed, seed + 1].map(Account::of);
            both.sort_unstable();
            assert_eq!(both, Account::ALL, "{seed}");
        }
    }
}
