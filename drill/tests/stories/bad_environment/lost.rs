//! A database that goes away in the middle: while rows are read out of it, while rows go into it, and because somebody
//! there ends the session or its statement. And one that says nothing, or holds a table from us for ever.

use std::collections::BTreeMap;

use drill::Command;
use futures::FutureExt;
use lexicon::Digest;
use scope::Scope as Wanted;
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlConnection;
use tokio::time::timeout;

use super::databases::{BACK, THERE, Way, line_to, over, scene};
use super::line::{Line, after};
use super::wire::there_is_time;
use super::{AT_MOST, Ended, Scene, UNREACHABLE, ended, until};
use crate::stories::databases::{self, Databases, Server};

/// 8 MiB in rows of 1 KiB.
const ROWS: i64 = 8_000;
const SCOPE: &str = "[[table]]\nname = 'letter'\ntarget = 'import_letter'\nkey = ['letter_id']\nleave = []\n\
     take = [{ column = 'letter_id', type = 'int64' }, { column = 'body', type = 'text' }]\n";
/// Pieces of at most 16 KiB: far less than the rows, and more than all that is said before them.
const SOME: usize = 200;

fn old(server: Server) -> String {
    let (body, numbers) = match server {
        Server::MariaDb => ("REPEAT(SHA2(seq, 256), 16)", format!("seq_1_to_{ROWS}")),
        Server::Postgres => (
            "repeat(encode(sha256(seq::text::bytea), 'hex'), 16)",
            format!("generate_series(1, {ROWS}) AS numbers (seq)"),
        ),
    };
    format!(
        "CREATE TABLE letter (letter_id BIGINT PRIMARY KEY, body TEXT NOT NULL); \
         INSERT INTO letter SELECT seq, {body} FROM {numbers}"
    )
}

/// What stands in every fortieth letter, sixteen times.
fn planted() -> impl Iterator<Item = String> {
    (40..=ROWS).step_by(40).map(|letter| Digest::of(letter.to_string().as_bytes()).to_string())
}

/// Both systems, each over a line of its own.
struct Lost<'a> {
    databases: &'a Databases,
    way: Way,
    scene: Scene,
    lines: [Line; 2],
    old: String,
    new: String,
}

impl<'a> Lost<'a> {
    async fn set(databases: &'a Databases, way: Way) -> Self {
        let wanted = Wanted::parse(SCOPE).unwrap();
        databases.on(way.old, &old(way.old)).await;
        databases.on(way.new, &scope::target_ddl(&wanted, way.new.dialect()).unwrap()).await;
        let (reader, writer) = (databases.reader_on(way.old, &wanted).await, databases.writer_on(way.new).await);
        let lines = [line_to(&reader).await, line_to(&writer).await];
        let ((old, old_word), (new, new_word)) = (over(&reader, &lines[0]), over(&writer, &lines[1]));
        let scene = scene((&old, &old_word), (&new, &new_word), SCOPE).await;
        scene.world.plant_in("letter", "body", planted());
        let held = databases.texts(way.old, "letter", "body").await;
        let met = BTreeMap::from([("letter.body".to_owned(), 16 * 200)]);
        assert_eq!(scene.world.met_in(held.as_bytes()), met, "the control: met in the old system");
        Self { databases, way, scene, lines, old, new }
    }

    fn extracting(&self) -> Command {
        self.scene.now();
        let mut command = self.scene.extracting_from(&self.old);
        command.arg("--source-credential").arg(self.scene.world.path("old.word"));
        command
    }

    fn loading(&self) -> Command {
        self.scene.now();
        let mut command = self.scene.loading_into(&self.new);
        command.arg("--target-credential").arg(self.scene.world.path("new.word"));
        command
    }

    /// As whoever may keep their errors out of the log: straight into the table.
    fn loading_as_the_owner(&self) -> Command {
        let (own, word) = over(self.databases.at(self.way.new), &self.lines[1]);
        super::replace(&self.scene.world.path("own.word"), word.as_bytes());
        self.scene.now();
        let mut command = self.scene.loading_into(&own);
        command.arg("--target-credential").arg(self.scene.world.path("own.word"));
        command
    }

    /// Runs a command that has to wait for what another session holds, and ends it there meanwhile.
    async fn ended_at(&self, server: Server, holds: &[&str; 2], what: End, command: Command) -> Ended {
        let holder = Holder::of(self.databases, server, holds).await;
        let running = tokio::spawn(ended(command));
        timeout(AT_MOST, until(async || end_who_waits(self.databases, server, what).await)).await.unwrap();
        let ended = running.await.unwrap();
        drop(holder);
        ended
    }

    async fn nothing_is_there(&self) {
        for table in ["import_letter", "lazaret_load"] {
            let there = self.databases.rows(self.way.new, table).await;
            assert_eq!(there, 0, "half of a load is in the new system: {table}");
        }
    }
}

/// What somebody there ends.
#[derive(Clone, Copy)]
enum End {
    Session,
    Statement,
}

/// A session that holds a table until it is dropped.
enum Holder {
    MariaDb(#[expect(dead_code, reason = "held")] MySqlConnection),
    Postgres(#[expect(dead_code, reason = "held")] tokio_postgres::Client),
}

impl Holder {
    async fn of(databases: &Databases, server: Server, [mariadb, postgres]: &[&str; 2]) -> Self {
        match server {
            Server::MariaDb => {
                let mut session = databases::mariadb(&databases.mariadb).await;
                sqlx::raw_sql(AssertSqlSafe(mariadb.to_owned())).execute(&mut session).await.unwrap();
                Self::MariaDb(session)
            }
            Server::Postgres => {
                let session = databases::postgres(&databases.postgres).await;
                session.batch_execute(&format!("BEGIN; {postgres}")).await.unwrap();
                Self::Postgres(session)
            }
        }
    }
}

/// Ends a session that waits for a table, or what it runs; whether there was one.
async fn end_who_waits(databases: &Databases, server: Server, what: End) -> bool {
    match server {
        Server::MariaDb => {
            let mut session = databases::mariadb(&databases.mariadb).await;
            let waits = "SELECT id FROM information_schema.processlist \
                         WHERE db = DATABASE() AND state LIKE 'Waiting for table%'";
            let Some(id) = sqlx::query_scalar::<_, i64>(waits).fetch_optional(&mut session).await.unwrap() else {
                return false;
            };
            let word = if matches!(what, End::Session) { "CONNECTION" } else { "QUERY" };
            databases.on_mariadb(&format!("KILL {word} {id}")).await;
            true
        }
        Server::Postgres => {
            let by = if matches!(what, End::Session) { "pg_terminate_backend" } else { "pg_cancel_backend" };
            let ends = format!(
                "SELECT count({by}(pid)) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'lazaret' AND wait_event_type = 'Lock'"
            );
            let ended = databases::postgres(&databases.postgres).await.query_one(&ends, &[]).await.unwrap();
            ended.get::<_, i64>(0) > 0
        }
    }
}

/// How that is told. Of a session that it ends MariaDB says nothing: it hangs up.
fn told(server: Server, what: End) -> &'static str {
    match (server, what) {
        (Server::MariaDb, End::Session) => "the connection ended while",
        (Server::MariaDb, End::Statement) | (Server::Postgres, _) => "it is busy while",
    }
}

fn called(server: Server) -> &'static str {
    if server == Server::MariaDb { "MariaDB does not answer: " } else { "PostgreSQL does not answer: " }
}

/// Nobody reads it.
const UNREADABLE: [&str; 2] = ["LOCK TABLES letter WRITE", "LOCK TABLE letter IN ACCESS EXCLUSIVE MODE"];
/// Whoever loads reads it, and has put every row into the target when it wants to write into this.
const UNMARKABLE: [&str; 2] = ["LOCK TABLES lazaret_load READ", "LOCK TABLE lazaret_load IN SHARE MODE"];

async fn lost(databases: &Databases, way: Way) {
    let lost = Lost::set(databases, way).await;
    let (from, to) = (called(way.old), called(way.new));

    lost.lines[0].cut_answers_when(after(SOME));
    ended(lost.extracting()).await.says(UNREACHABLE, 402, &[from, "the connection ended while reading rows"]);
    lost.lines[0].mend();
    for what in [End::Session, End::Statement] {
        let ended = lost.ended_at(way.old, &UNREADABLE, what, lost.extracting()).await;
        ended.says(UNREACHABLE, 402, &[from, told(way.old, what)]);
    }
    assert_eq!(lost.scene.given_up().await, [402; 3]);
    ended(lost.extracting()).await.done();
    lost.scene.world.release(&lost.scene.plan, lost.scene.consignment).await.unwrap();

    for loading in [Lost::loading, Lost::loading_as_the_owner] {
        lost.lines[1].cut_when(after(SOME));
        ended(loading(&lost)).await.says(UNREACHABLE, 402, &[to, "the connection ended while"]);
        lost.lines[1].mend();
        lost.nothing_is_there().await;
        for what in [End::Session, End::Statement] {
            let ended = lost.ended_at(way.new, &UNMARKABLE, what, loading(&lost)).await;
            ended.says(UNREACHABLE, 402, &[to, told(way.new, what), "writing the marker"]);
            lost.nothing_is_there().await;
        }
    }
    assert_eq!(lost.scene.given_up().await, [402; 9]);
    assert_eq!(ended(lost.loading()).await.done()["equal"], true);
    assert_eq!(databases.rows(way.new, "import_letter").await, ROWS);
    lost.scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_lost_in_the_middle_is_told_and_leaves_nothing_half() {
    let name = "a_database_that_is_lost_in_the_middle_is_told_and_leaves_nothing_half";
    databases::with(name, |databases| lost(databases, THERE).boxed_local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_lost_in_the_middle_is_told_the_other_way_too() {
    let name = "a_database_that_is_lost_in_the_middle_is_told_the_other_way_too";
    databases::with(name, |databases| lost(databases, BACK).boxed_local()).await;
}

/// Each is given up after a minute.
async fn waited_for(databases: &Databases, way: Way) {
    let lost = Lost::set(databases, way).await;
    let from = called(way.old);
    let holder = Holder::of(databases, way.old, &UNREADABLE).await;
    ended(lost.extracting()).await.says(UNREACHABLE, 402, &[from, "it is busy while"]);
    drop(holder);

    lost.lines[0].hold();
    ended(lost.extracting()).await.says(UNREACHABLE, 402, &["does not answer: it let nobody in within a minute"]);
    lost.lines[0].mend();
    assert_eq!(lost.scene.given_up().await, [402; 2]);
    ended(lost.extracting()).await.done();
    lost.scene.abandoned().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_or_holds_a_table_is_given_up_after_a_minute() {
    let name = "a_database_that_says_nothing_or_holds_a_table_is_given_up_after_a_minute";
    if there_is_time(name) {
        databases::with(name, |databases| waited_for(databases, THERE).boxed_local()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_or_holds_a_table_is_given_up_the_other_way_too() {
    let name = "a_database_that_says_nothing_or_holds_a_table_is_given_up_the_other_way_too";
    if there_is_time(name) {
        databases::with(name, |databases| waited_for(databases, BACK).boxed_local()).await;
    }
}
