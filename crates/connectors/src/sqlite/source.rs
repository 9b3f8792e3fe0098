use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, TryFutureExt};
use lexicon::Result;
use rusqlite::Connection;
use scope::{Dialect, Followed, Sampling, Scope, ScopedBatch, SelectSql, SourceTable, TableScope, TableTally};
use tokio::sync::mpsc;

use super::{Database, cells, columns, count, describe_all, failed, natural};
use crate::at_fault::{AtFault, ROWS_KEPT_MAX};
use crate::columns::{Batcher, give, given};
use crate::gate::{Gate, drawn, hanging, table_scope};
use crate::{Snapshot, Source, trouble};

/// Two batches wait between the thread that reads and the one that seals: enough to keep both busy.
const BATCHES_WAITING: usize = 2;

impl Source for Database {
    fn identity(&self) -> String {
        self.identity_text()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        self.on_thread(false, |connection| describe_all(connection)).boxed()
    }

    fn begin(&self, _live: bool) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        async {
            let database = self.clone();
            let begun = tokio::task::spawn_blocking(move || {
                let connection = database.open(false)?;
                // BEGIN alone waits for the first read; the read makes the moment.
                connection
                    .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
                    .map_err(|error| failed("fixing one moment", &error))?;
                let journal: String = connection
                    .query_row("PRAGMA journal_mode", [], |row| row.get(0))
                    .map_err(|error| failed("fixing one moment", &error))?;
                Ok::<_, lexicon::Trouble>((connection, journal))
            });
            let (connection, journal) = begun.await.map_err(|_| trouble::gone("a thread that works on SQLite"))??;
            let waiting = if journal == "wal" { "writers go on beside it" } else { "writers wait until it ends" };
            let moment: Box<dyn Snapshot> = Box::new(Moment {
                description: format!(
                    "SQLite {}: one read transaction (journal mode {journal}: {waiting})",
                    rusqlite::version()
                ),
                connection: Arc::new(Mutex::new(connection)),
                gate: Gate::default(),
            });
            Ok(moment)
        }
        .boxed()
    }
}

/// One read transaction on one connection.
struct Moment {
    description: String,
    connection: Arc<Mutex<Connection>>,
    gate: Gate,
}

impl Moment {
    async fn on_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = Arc::clone(&self.connection);
        tokio::task::spawn_blocking(move || work(&connection.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|_| trouble::gone("a thread that works on SQLite"))?
    }

    /// `SQLite` keeps any value in any column; a row whose compared values are of another type is in no scope.
    async fn refuse_misfits(&self, taken: &TableScope, select: &SelectSql) -> Result<()> {
        if select.misfits.is_empty() {
            return Ok(());
        }
        let (taken, select, at_fault) = (taken.clone(), select.clone(), self.gate.at_fault().clone());
        self.on_connection(move |connection| {
            let misfits = misfits(connection, &select)?;
            if misfits.is_empty() {
                return Ok(());
            }
            // A row that cannot be named is counted all the same.
            drop(keep_misfits(connection, &taken, &select, &at_fault));
            Err(trouble::misfits(&taken.name, &misfits))
        })
        .await
    }

    async fn raw(
        &self,
        scope: &Scope,
        table: &str,
        schema: fn(&TableScope) -> SchemaRef,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let taken = table_scope(scope, table)?;
        let name = table.to_owned();
        let found = self.on_connection(move |connection| columns(connection, &name)).await?;
        if found.is_empty() {
            return Err(trouble::no_table("the source", table));
        }
        taken.check_columns(&found.into_iter().map(|column| column.name).collect::<Vec<_>>())?;
        let select = taken.select_sql(scope, Dialect::Sqlite)?;
        self.refuse_misfits(taken, &select).await?;
        let condition = select.condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let schema = schema(taken);
        let columns = schema.fields().iter().map(|field| Ok(format!("t0.{}", Dialect::Sqlite.quote(field.name())?)));
        let columns = columns.collect::<Result<Vec<_>>>()?.join(", ");
        let sql = format!("SELECT {columns} FROM {}{condition}", select.from);
        let batcher = Batcher::new(table, schema, self.gate.at_fault())?;
        let connection = Arc::clone(&self.connection);
        let reading = move |send: &mut dyn FnMut(RecordBatch) -> bool| {
            read_rows(&connection.lock().unwrap_or_else(PoisonError::into_inner), &sql, batcher, send)
        };
        Ok(rows(reading))
    }
}

/// The columns that hold values of another type than they are compared in, and in how many rows.
fn misfits(connection: &Connection, select: &SelectSql) -> Result<Vec<(String, u64)>> {
    let counts: Vec<_> = select.misfits.iter().map(|(_, misfit)| format!("count(*) FILTER (WHERE {misfit})")).collect();
    let sql = format!("SELECT {} FROM {}", counts.join(", "), select.from);
    let counted: rusqlite::Result<Vec<u64>> =
        connection.query_row(&sql, [], |row| (0..counts.len()).map(|at| natural(row, at)).collect());
    let counted = counted.map_err(|error| failed("counting rows", &error))?;
    let columns = select.misfits.iter().map(|(column, _)| column.clone());
    Ok(columns.zip(counted).filter(|(_, rows)| *rows > 0).collect())
}

/// Keeps the first of these rows, with their keys alone. One whose key is what has another type has no name.
fn keep_misfits(connection: &Connection, taken: &TableScope, select: &SelectSql, at_fault: &AtFault) -> Result<()> {
    let schema = taken.source_schema();
    let is_key = |column: &String| taken.key.contains(column);
    let cells = schema.fields().iter().map(|field| {
        let quoted = Dialect::Sqlite.quote(field.name())?;
        Ok(if is_key(field.name()) { format!("t0.{quoted}") } else { "NULL".to_owned() })
    });
    let cells = cells.collect::<Result<Vec<_>>>()?.join(", ");
    let any: Vec<_> = select.misfits.iter().map(|(_, misfit)| misfit.as_str()).collect();
    let mut condition = format!("({})", any.join(" OR "));
    for (_, misfit) in select.misfits.iter().filter(|(column, _)| is_key(column)) {
        condition = format!("{condition} AND NOT {misfit}");
    }
    let sql = format!("SELECT {cells} FROM {} WHERE {condition} LIMIT {ROWS_KEPT_MAX}", select.from);
    let batcher = Batcher::new(&taken.name, schema, &AtFault::default())?;
    read_rows(connection, &sql, batcher, &mut |rows| {
        for row in 0..rows.num_rows() {
            at_fault.keep(&taken.name, rows.slice(row, 1));
        }
        true
    })
}

impl Snapshot for Moment {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn count<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxFuture<'a, Result<(u64, u64)>> {
        async move {
            let taken = table_scope(scope, table)?;
            let select = taken.select_sql(scope, Dialect::Sqlite)?;
            self.refuse_misfits(taken, &select).await?;
            self.on_connection(move |connection| {
                let all = count(connection, &format!("SELECT count(*) FROM {}", select.from))?;
                let taken = match select.condition {
                    None => all,
                    Some(condition) => {
                        count(connection, &format!("SELECT count(*) FROM {} WHERE {condition}", select.from))?
                    }
                };
                Ok((all, taken))
            })
            .await
        }
        .map_err(trouble::of_source(table))
        .boxed()
    }

    fn orphans<'a>(&'a self, _scope: &'a Scope, followed: &'a Followed) -> BoxFuture<'a, Result<u64>> {
        async move {
            let [pointing, arriving] = followed.counts_sql(Dialect::Sqlite)?;
            self.on_connection(move |connection| {
                Ok(count(connection, &pointing)?.saturating_sub(count(connection, &arriving)?))
            })
            .await
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

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        async move {
            self.on_connection(|connection| {
                connection.execute_batch("COMMIT").map_err(|error| failed("ending the moment", &error))
            })
            .await
        }
        .boxed()
    }
}

/// Reads on a thread of its own; the batches come out of a bounded channel. A receiver that is dropped ends it.
pub(super) fn rows(
    read: impl FnOnce(&mut dyn FnMut(RecordBatch) -> bool) -> Result<()> + Send + 'static,
) -> BoxStream<'static, Result<RecordBatch>> {
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    let reading =
        tokio::task::spawn_blocking(move || read(&mut |batch| futures::executor::block_on(give(&sender, batch))));
    given(receiver, reading, "a thread that works on SQLite")
}

pub(super) fn read_rows(
    connection: &Connection,
    sql: &str,
    mut batcher: Batcher,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<()> {
    let doing = "reading rows";
    let mut statement = connection.prepare(sql).map_err(|error| failed(doing, &error))?;
    let mut rows = statement.query([]).map_err(|error| failed(doing, &error))?;
    while let Some(row) = rows.next().map_err(|error| failed(doing, &error))? {
        for index in 0..batcher.width() {
            let value = row.get_ref(index).map_err(|error| failed(doing, &error))?;
            batcher.cell(index, cells::size(value), |to| cells::put(to, value));
        }
        if let Some(batch) = batcher.end_row()?
            && !send(batch)
        {
            return Ok(());
        }
    }
    if let Some(batch) = batcher.finish()? {
        send(batch);
    }
    Ok(())
}
