use std::collections::BTreeSet;
use std::sync::{self, Arc, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use lexicon::Result;
use lexicon::limits::ROW_BYTES_MAX;
use scope::{Dialect, Followed, Sampling, Scope, ScopedBatch, SourceTable, TableScope, TableTally};
use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

use super::catalog::{self, Column, Table};
use super::types::Wire;
use super::{Database, Purpose, SYSTEM, count, decode, failed, raw, run, texts, types};
use crate::address::Line;
use crate::at_fault::AtFault;
use crate::columns::{Batcher, give, given, kind_name};
use crate::gate::{Gate, drawn, hanging, table_scope};
use crate::{Snapshot, Source, trouble};

const BATCHES_WAITING: usize = 2;

impl Source for Database {
    fn identity(&self) -> String {
        self.server.identity()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        async { catalog::describe_all(&mut self.connect(Purpose::Reading).await?).await }.boxed()
    }

    fn begin(&self, live: bool) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        async move {
            let doing = "fixing one moment";
            let mut session = self.connect(Purpose::Reading).await?;
            run(&mut session, doing, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
            run(&mut session, doing, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
            let version = texts(&mut session, doing, "SELECT VERSION()", &[]).await?;
            let version = version.into_iter().flatten().flatten().next().unwrap_or_default();
            let family = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
            let how = match self.server.line {
                Line::Clear => "in clear",
                Line::Tls { .. } => "over TLS",
            };
            let number = version.split('-').next().unwrap_or_default();
            let moment: Box<dyn Snapshot> = Box::new(Moment {
                description: format!(
                    "{family} {number}: one consistent snapshot of its InnoDB tables, on one connection, read {how}"
                ),
                live,
                session: Arc::new(Mutex::new(session)),
                gate: Gate::default(),
                loose: sync::Mutex::default(),
            });
            Ok(moment)
        }
        .boxed()
    }
}

/// One consistent snapshot on one connection: this server cannot share one among several.
struct Moment {
    description: String,
    live: bool,
    session: Arc<Mutex<MySqlConnection>>,
    gate: Gate,
    loose: sync::Mutex<BTreeSet<String>>,
}

impl Moment {
    async fn raw(
        &self,
        scope: &Scope,
        table: &str,
        schema: fn(&TableScope) -> SchemaRef,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let taken = table_scope(scope, table)?;
        let mut session = Arc::clone(&self.session).lock_owned().await;
        let found = found(&mut session, "the source", table).await?;
        if found.definition.as_deref() == Some("") {
            return Err(trouble::not_shown(SYSTEM, table));
        }
        if let Some(engine) = without_versions(&mut session, &found).await? {
            if self.live {
                let what = if found.definition.is_some() { "may read what is" } else { "is" };
                return Err(trouble::moved(&format!(
                    "table `{table}` {what} kept by {engine}, which has no snapshots"
                )));
            }
            self.loose.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned());
        }
        taken.check_columns(&visible(&mut session, taken, &found).await?)?;
        let select = taken.select_sql(scope, Dialect::MariaDb)?;
        let (schema, at_fault) = (schema(taken), self.gate.at_fault());
        let (from, condition) = (&select.from, select.condition);
        Rows { table, schema, from, condition, may_be_long: true, at_fault }.stream(session, &found.columns)
    }
}

impl Snapshot for Moment {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn count<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxFuture<'a, Result<(u64, u64)>> {
        async move {
            let doing = "counting rows";
            let select = table_scope(scope, table)?.select_sql(scope, Dialect::MariaDb)?;
            let from = &select.from;
            let mut session = self.session.lock().await;
            let all = count(&mut session, doing, &format!("SELECT COUNT(*) FROM {from}")).await?;
            let taken = match select.condition {
                None => all,
                Some(condition) => {
                    count(&mut session, doing, &format!("SELECT COUNT(*) FROM {from} WHERE {condition}")).await?
                }
            };
            Ok((all, taken))
        }
        .map_err(trouble::of_source(table))
        .boxed()
    }

    fn orphans<'a>(&'a self, _scope: &'a Scope, followed: &'a Followed) -> BoxFuture<'a, Result<u64>> {
        async move {
            let [pointing, arriving] = followed.counts_sql(Dialect::MariaDb)?;
            let (mut session, doing) = (self.session.lock().await, "counting orphans");
            let pointing = count(&mut session, doing, &pointing).await?;
            Ok(pointing.saturating_sub(count(&mut session, doing, &arriving).await?))
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
        async move { run(&mut *self.session.lock().await, "ending the moment", "COMMIT").await }.boxed()
    }
}

/// The engine that keeps the table without old versions. Of a view, one that keeps any table so that this account sees:
/// the server does not say which tables a view reads.
async fn without_versions(session: &mut MySqlConnection, found: &Table) -> Result<Option<String>> {
    if found.definition.is_none() {
        return Ok((!found.keeps_versions()).then(|| found.engine.clone()));
    }
    let engines = texts(session, "listing engines", ENGINES_WITHOUT_VERSIONS, &[]).await?;
    Ok(engines.into_iter().flatten().flatten().next())
}

const ENGINES_WITHOUT_VERSIONS: &str = "SELECT COALESCE(ENGINE, 'an unknown engine') FROM information_schema.TABLES \
     WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND COALESCE(ENGINE, '') <> 'InnoDB' \
     AND TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') LIMIT 1";

/// The table's columns. An account that was granted columns one by one sees no others, and those that the scope leaves
/// are taken to be there: what this account cannot see it cannot read either.
async fn visible(session: &mut MySqlConnection, taken: &TableScope, found: &Table) -> Result<Vec<String>> {
    let mut names: Vec<_> = found.columns.iter().map(|column| column.name.clone()).collect();
    let hidden: Vec<_> = taken.leave.iter().filter(|left| !names.contains(left)).cloned().collect();
    if !hidden.is_empty() && !texts(session, "listing rights", COLUMN_RIGHTS, &[&taken.name]).await?.is_empty() {
        names.extend(hidden);
    }
    Ok(names)
}

const COLUMN_RIGHTS: &str = "SELECT COLUMN_NAME FROM information_schema.COLUMN_PRIVILEGES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND PRIVILEGE_TYPE = 'SELECT' LIMIT 1";

/// The table of that name, or a refusal that says on which side it is missing.
pub(super) async fn found(session: &mut MySqlConnection, side: &str, table: &str) -> Result<Table> {
    catalog::table(session, table).await?.ok_or_else(|| trouble::no_table(side, table))
}

/// Rows of one table as Arrow batches.
pub(super) struct Rows<'a> {
    pub(super) table: &'a str,
    pub(super) schema: SchemaRef,
    pub(super) from: &'a str,
    pub(super) condition: Option<String>,
    /// Whether it may hold values that no parcel carries: not where all came out of parcels.
    pub(super) may_be_long: bool,
    pub(super) at_fault: &'a AtFault,
}

impl Rows<'_> {
    /// Starts the query; its batches come out of a bounded channel, so that decoding and what follows run beside each
    /// other. A receiver that is dropped ends it.
    pub(super) fn stream(
        self,
        mut session: OwnedMutexGuard<MySqlConnection>,
        found: &[Column],
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (mut expressions, mut lengths, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for field in self.schema.fields() {
            let column = found
                .iter()
                .find(|column| column.name == *field.name())
                .ok_or_else(|| trouble::no_column(self.table, field.name()))?;
            let quoted = Dialect::MariaDb.quote(&column.name)?;
            let (expression, wire) = types::read(column, &quoted, field.data_type()).ok_or_else(|| {
                trouble::lossy(self.table, &column.name, &column.declared, &kind_name(field.data_type()))
            })?;
            let length = types::length(column, &quoted, wire).filter(|_| self.may_be_long);
            let length_at = length.as_ref().map(|_| self.schema.fields().len().saturating_add(lengths.len()));
            parts.push(Part { wire, length_at });
            // The driver holds a row whole: of a value that no parcel carries its length is sent in its place.
            expressions.push(match &length {
                Some(length) => format!("IF({length} > {ROW_BYTES_MAX}, NULL, {expression})"),
                None => expression,
            });
            lengths
                .extend(length.map(|length| format!("CAST(IF({length} > {ROW_BYTES_MAX}, {length}, NULL) AS CHAR)")));
        }
        expressions.extend(lengths);
        let condition = self.condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let sql = format!("SELECT {} FROM {}{condition}", expressions.join(", "), self.from);
        let mut batcher = Batcher::new(self.table, self.schema, self.at_fault)?;
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
        let reading = tokio::spawn(async move { send_rows(&mut session, sql, &parts, &mut batcher, &sender).await });
        Ok(given(receiver, reading, "a reading of MariaDB"))
    }
}

/// How one column is read, and where its length is told if its value is too long to be sent.
struct Part {
    wire: Wire,
    length_at: Option<usize>,
}

fn number_at(row: &MySqlRow, place: usize) -> Result<Option<usize>, sqlx::Error> {
    let text = raw(row, place)?.and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(text.and_then(|text| text.parse().ok()))
}

async fn send_rows(
    session: &mut MySqlConnection,
    sql: String,
    parts: &[Part],
    batcher: &mut Batcher,
    sender: &mpsc::Sender<RecordBatch>,
) -> Result<()> {
    let fail = |error: &sqlx::Error| failed("reading rows", error);
    let mut rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch(session);
    while let Some(row) = rows.try_next().await.map_err(|error| fail(&error))? {
        for (index, part) in parts.iter().enumerate() {
            let value = raw(&row, index).map_err(|error| fail(&error))?;
            let beyond =
                part.length_at.map(|place| number_at(&row, place)).transpose().map_err(|error| fail(&error))?;
            let bytes = beyond.flatten().unwrap_or(value.map_or(0, <[u8]>::len));
            batcher.cell(index, bytes, |cells| decode::put(cells, part.wire, value));
        }
        // It may have 48 MiB, and whoever takes the batch takes its time.
        drop(row);
        if let Some(batch) = batcher.end_row()?
            && !give(sender, batch).await
        {
            return Ok(());
        }
    }
    if let Some(batch) = batcher.finish()? {
        give(sender, batch).await;
    }
    Ok(())
}
