use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, Stream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use lexicon::{Result, Trouble};
use scope::{Dialect, Followed, Sampling, Scope, ScopedBatch, SourceTable, TableScope, TableTally};
use tokio_postgres::{Client, CopyOutStream};

use super::catalog::{self, Table};
use super::decode::Decoder;
use super::long::{self, Part};
use super::{BUSY, Database, SYSTEM, count, failed, run, types};
use crate::address::Line;
use crate::at_fault::AtFault;
use crate::columns::kind_name;
use crate::gate::{Gate, drawn, hanging, table_scope};
use crate::{Snapshot, Source, trouble};

/// A database that looks at no encoding (`SQL_ASCII`) ends a COPY at the first text that is none in the session's; sent as it
/// is, each such text is counted and its row named.
const AS_IT_IS: &str = "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) \
     WHERE pg_catalog.current_setting('server_encoding') = 'SQL_ASCII'";

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Source for Database {
    fn identity(&self) -> String {
        self.server.identity()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        async { catalog::describe_all(&self.connect().await?).await }.boxed()
    }

    fn begin(&self, live: bool) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        async move {
            let doing = "fixing one moment";
            let client = self.connect().await?;
            run(&client, doing, BEGIN).await?;
            let row = client
                .query_one("SELECT pg_catalog.pg_export_snapshot(), pg_catalog.current_setting('server_version')", &[])
                .await
                .map_err(|error| failed(doing, &error))?;
            let read = || -> Result<(String, String), tokio_postgres::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
            let (snapshot, version) = read().map_err(|error| failed(doing, &error))?;
            // The name goes into a statement as it is.
            if !snapshot.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
                return Err(trouble::statement(SYSTEM, doing, "unexpected snapshot name"));
            }
            let how = match self.server.line {
                Line::Clear => "in clear",
                Line::Tls { .. } => "over TLS",
            };
            let version = version.split(' ').next().unwrap_or_default();
            let moment: Box<dyn Snapshot> = Box::new(Moment {
                description: format!("PostgreSQL {version}: one exported snapshot, {snapshot}, read {how}"),
                live,
                snapshot,
                database: self.clone(),
                keeper: client,
                gate: Gate::default(),
                loose: Mutex::default(),
            });
            Ok(moment)
        }
        .boxed()
    }
}

/// Why a session cannot join the moment. Whatever else the server says to that, by one number or another, is that nobody
/// holds the moment any more.
fn ended(error: &tokio_postgres::Error) -> Trouble {
    match error.code() {
        Some(state) if !BUSY.contains(&state.code()) => {
            trouble::unreachable(SYSTEM, "the connection ended while it held the moment")
        }
        _ => failed("joining the moment", error),
    }
}

/// One exported snapshot; it lives as long as the transaction of the session that exported it.
struct Moment {
    description: String,
    live: bool,
    snapshot: String,
    database: Database,
    keeper: Client,
    gate: Gate,
    loose: Mutex<BTreeSet<String>>,
}

impl Moment {
    /// A new session that sees the same moment.
    async fn join(&self) -> Result<Client> {
        let client = self.database.connect().await?;
        let sql = format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{}'", self.snapshot);
        client.batch_execute(&sql).await.map_err(|error| ended(&error))?;
        Ok(client)
    }

    /// One count, in a subtransaction that is undone: a transaction keeps a lock on each table that it has looked at, and the
    /// server has room for some thousands.
    async fn count(&self, doing: &str, sql: &str) -> Result<u64> {
        run(&self.keeper, doing, "SAVEPOINT counting").await?;
        let rows = count(&self.keeper, doing, sql).await?;
        run(&self.keeper, doing, "ROLLBACK TO SAVEPOINT counting; RELEASE SAVEPOINT counting").await?;
        Ok(rows)
    }

    async fn raw(
        &self,
        scope: &Scope,
        table: &str,
        schema: fn(&TableScope) -> SchemaRef,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let taken = table_scope(scope, table)?;
        let client = self.join().await?;
        let found = found(&client, "the source", table).await?;
        // Each session has the other server show it another moment.
        if let Some(far) = catalog::kept_elsewhere(&client, &found).await? {
            if self.live {
                return Err(trouble::moved(&format!(
                    "rows of table `{table}` are kept elsewhere (foreign table `{far}`), and no snapshot holds them"
                )));
            }
            self.loose.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned());
        }
        taken.check_columns(&found.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>())?;
        let select = taken.select_sql(scope, Dialect::Postgres)?;
        let (schema, at_fault) = (schema(taken), self.gate.at_fault());
        let (from, condition) = (&select.from, select.condition);
        Rows { table, schema, from, condition, key: &taken.key, at_fault }.stream(client, &found).await
    }
}

impl Snapshot for Moment {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn count<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxFuture<'a, Result<(u64, u64)>> {
        async move {
            let doing = "counting rows";
            let select = table_scope(scope, table)?.select_sql(scope, Dialect::Postgres)?;
            let from = &select.from;
            let all = self.count(doing, &format!("SELECT count(*) FROM {from}")).await?;
            let taken = match select.condition {
                None => all,
                Some(condition) => self.count(doing, &format!("SELECT count(*) FROM {from} WHERE {condition}")).await?,
            };
            Ok((all, taken))
        }
        .map_err(trouble::of_source(table))
        .boxed()
    }

    fn orphans<'a>(&'a self, _scope: &'a Scope, followed: &'a Followed) -> BoxFuture<'a, Result<u64>> {
        async move {
            let [pointing, arriving] = followed.counts_sql(Dialect::Postgres)?;
            let doing = "counting orphans";
            let pointing = self.count(doing, &pointing).await?;
            Ok(pointing.saturating_sub(self.count(doing, &arriving).await?))
        }
        .boxed()
    }

    fn read<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<ScopedBatch>> {
        self.gate.stream(scope, table, self.raw(scope, table, TableScope::source_schema).try_flatten_stream())
    }

    fn sampling<'a>(&'a self, scope: &'a Scope, sampling: Sampling) -> BoxFuture<'a, Result<Sampling>> {
        drawn(scope, sampling, None, move |table| self.raw(scope, table, hanging)).boxed()
    }

    fn sample<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        sampling: &'a Sampling,
    ) -> BoxStream<'a, Result<ScopedBatch>> {
        let raw = self.raw(scope, table, hanging).try_flatten_stream();
        self.gate.sample(scope, table, (sampling, None), raw)
    }

    fn at_fault(&self, scope: &Scope, table: &str) -> Vec<RecordBatch> {
        self.gate.at_fault().keyed(scope, table)
    }

    fn tally(&self, table: &str) -> TableTally {
        self.gate.tally(table)
    }

    fn loose(&self) -> Vec<String> {
        self.loose.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        async move { run(&self.keeper, "ending the moment", "COMMIT").await }.boxed()
    }
}

/// The table of that name, or a refusal that says on which side it is missing.
pub(super) async fn found(client: &Client, side: &str, table: &str) -> Result<Table> {
    catalog::table(client, table).await?.ok_or_else(|| trouble::no_table(side, table))
}

/// Rows of one table as Arrow batches.
pub(super) struct Rows<'a> {
    pub(super) table: &'a str,
    pub(super) schema: SchemaRef,
    pub(super) from: &'a str,
    pub(super) condition: Option<String>,
    /// By which rows that cannot be carried are kept.
    pub(super) key: &'a [String],
    pub(super) at_fault: &'a AtFault,
}

impl Rows<'_> {
    /// Starts the COPY. The stream owns the session.
    pub(super) async fn stream(self, client: Client, found: &Table) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let mut parts = Vec::new();
        for field in self.schema.fields() {
            let column = found
                .columns
                .iter()
                .find(|column| column.name == *field.name())
                .ok_or_else(|| trouble::no_column(self.table, field.name()))?;
            let quoted = Dialect::Postgres.quote(&column.name)?;
            let (expression, wire) = types::read(column, &quoted, field.data_type()).ok_or_else(|| {
                trouble::lossy(self.table, &column.name, &column.declared, &kind_name(field.data_type()))
            })?;
            parts.push(Part { length: long::length(column, &quoted, wire), expression, wire });
        }
        run(&client, "reading rows", AS_IT_IS).await?;
        let long = long::look(&client, &self, found, &parts).await?;
        let condition = self.condition_and(long.as_ref().map(|long| long.others.as_str()));
        let expressions: Vec<_> = parts.iter().map(|part| part.expression.as_str()).collect();
        let select = format!("SELECT {} FROM {}{condition}", expressions.join(", "), self.from);
        let copy = client
            .copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)"))
            .await
            .map_err(|error| failed("reading rows", &error))?;
        let wires = parts.iter().map(|part| part.wire).collect();
        let mut decoder = Decoder::new(self.table, self.schema, wires, self.at_fault)?;
        decoder.left_out(&long.map(|long| long.values).unwrap_or_default());
        Ok(batches(client, Box::pin(copy), decoder).boxed())
    }

    /// What stands behind the table's name for the rows in scope of which this holds too.
    pub(super) fn condition_and(&self, also: Option<&str>) -> String {
        let conditions: Vec<_> =
            self.condition.as_deref().into_iter().chain(also).map(|condition| format!("({condition})")).collect();
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
    }
}

/// What the stream holds between two batches. The client keeps the session open.
struct Reading {
    _client: Client,
    copy: Pin<Box<CopyOutStream>>,
    decoder: Decoder,
    ready: VecDeque<RecordBatch>,
    ended: bool,
}

fn batches(
    client: Client,
    copy: Pin<Box<CopyOutStream>>,
    decoder: Decoder,
) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    let reading = Reading { _client: client, copy, decoder, ready: VecDeque::new(), ended: false };
    stream::try_unfold(reading, |mut reading| async move {
        loop {
            if let Some(batch) = reading.ready.pop_front() {
                return Ok(Some((batch, reading)));
            }
            if reading.ended {
                return Ok(None);
            }
            if let Some(piece) = reading.copy.try_next().await.map_err(|error| failed("reading rows", &error))? {
                let mut full = Vec::new();
                reading.decoder.feed(&piece, &mut full)?;
                reading.ready.extend(full);
            } else {
                reading.ended = true;
                reading.ready.extend(reading.decoder.finish()?);
            }
        }
    })
}
