use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use lexicon::{Refusals, Result};
use rusqlite::{Connection, OptionalExtension, Statement, Transaction, params_from_iter};
use scope::{Dialect, Followed, Scope, SourceTable, TableScope};
use tokio::sync::mpsc;

use super::{
    Column, Database, affinity, cells, code, columns, count_rows, describe_all, describe_table, failed, natural,
};
use super::{references, source};
use crate::aside::Aside;
use crate::at_fault::{AtFault, ROWS_KEPT_MAX, key_of};
use crate::columns::{Batcher, Odd, Otherwise, kind_name};
use crate::gate::{orphans_of, read_again, same_shape, table_scope};
use crate::order::{Node, waves};
use crate::{Loaded, MARKER_TABLE, Mark, Prepared, Sink, schema_digest, trouble};

const BATCHES_WAITING: usize = 2;
/// Whole pages, of the table and of its indexes.
const SIZE: &str = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name IN \
     (SELECT name FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('table', 'index'))";
/// Each foreign key of a table that rows break: where it leads, its columns, and in how many rows.
const FOREIGN_KEYS_BROKEN: &str = r#"SELECT c."parent", (SELECT group_concat(l."from", '`, `' ORDER BY l.seq)
       FROM pragma_foreign_key_list(?1) AS l WHERE l.id = c.fkid), count(*)
     FROM pragma_foreign_key_check(?1) AS c GROUP BY c.fkid"#;
/// Whether a table's declaration may say what becomes of a row that breaks a constraint (`ON CONFLICT`).
const SAYS_ON_CONFLICT: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema \
     WHERE type = 'table' AND name = ?1 COLLATE NOCASE AND sql LIKE '%conflict%')";
/// `SQLite` has one writer at a time.
const TABLES_AT_ONCE: usize = 1;

impl Sink for Database {
    fn identity(&self) -> String {
        self.identity_text()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        self.on_thread(false, |connection| describe_all(connection)).boxed()
    }

    fn prepare<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Prepared>> {
        async move {
            self.writing.forget();
            self.reading.forget();
            let wanted: Vec<_> = scope.tables().iter().map(Wanted::of).collect();
            self.on_thread(false, move |connection| prepare(connection, &wanted)).await
        }
        .boxed()
    }

    fn load<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        mark: Mark,
        mut batches: BoxStream<'a, Result<RecordBatch>>,
    ) -> BoxFuture<'a, Result<Loaded>> {
        async move {
            let wanted = Wanted::of(table_scope(scope, table)?);
            self.at_fault.forget(table);
            // What is read again is read over a connection that was opened after it.
            self.reading.forget();
            let (sender, receiver) = mpsc::channel::<RecordBatch>(BATCHES_WAITING);
            let (end, ended) = tokio::sync::oneshot::channel();
            let database = self.clone();
            let writer = tokio::task::spawn_blocking(move || {
                let aside = Aside::begin();
                let broken = Broken::of(&wanted, &database.at_fault);
                let mut connection = database.writing.take(|| database.open(true))?;
                let ended = || ended.blocking_recv().is_ok();
                let loaded = load(&mut connection, &wanted, (mark, aside), (receiver, broken), ended);
                let loaded = loaded.map_err(trouble::of_target(&wanted.target))?;
                database.writing.give_back(connection);
                Ok(loaded)
            });
            let fed = feed(&mut batches, &sender).await;
            drop(sender);
            // Only a stream that came to its end commits: a writer that hears nothing rolls back.
            if fed.is_ok() {
                let _unheard = end.send(());
            } else {
                drop(end);
            }
            let loaded = writer.await.map_err(|_| trouble::gone("a thread that works on SQLite"))?;
            fed.and(loaded)
        }
        .boxed()
    }

    fn at_fault(&self, table: &str) -> Vec<RecordBatch> {
        self.at_fault.rows(table)
    }

    fn sizes<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<BTreeMap<String, u64>>> {
        let wanted: Vec<_> = scope.tables().iter().map(Wanted::of).collect();
        let sizes = |connection: &mut Connection| {
            let mut statement = connection.prepare(SIZE)?;
            let sizes = wanted.into_iter().map(|table| {
                let bytes = statement.query_row([&table.target], |row| natural(row, 0))?;
                Ok((table.name, bytes))
            });
            sizes.collect::<rusqlite::Result<BTreeMap<_, _>>>()
        };
        self.on_thread(false, |connection| sizes(connection).map_err(|error| failed("asking for sizes", &error)))
            .boxed()
    }

    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a [Followed]) -> BoxFuture<'a, Result<Vec<u64>>> {
        orphans_of(self, scope, followed).boxed()
    }

    fn read_back<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<RecordBatch>> {
        let rows = async move {
            let wanted = Wanted::of(table_scope(scope, table)?);
            let (database, spare) = (self.clone(), self.reading.clone());
            let connection = tokio::task::spawn_blocking(move || database.reading.take(|| database.open(false)))
                .await
                .map_err(|_| trouble::gone("a thread that works on SQLite"))??;
            let sql = format!("SELECT {} FROM {}", wanted.quoted_columns()?, quote(&wanted.target)?);
            let batcher = Batcher::new(&wanted.target, wanted.schema, &AtFault::default())?;
            let reading = move |send: &mut dyn FnMut(RecordBatch) -> bool| {
                source::read_rows(&connection, &sql, batcher, send)?;
                spare.give_back(connection);
                Ok(())
            };
            Ok(source::rows(reading))
        };
        read_again(scope, table, rows.try_flatten_stream())
    }
}

/// Hands the stream to the writer. A writer that has ended early (the table is loaded already, or refused) closes the
/// channel, and its own answer counts.
async fn feed(batches: &mut BoxStream<'_, Result<RecordBatch>>, sender: &mpsc::Sender<RecordBatch>) -> Result<()> {
    while !sender.is_closed() {
        let Some(batch) = batches.try_next().await? else { break };
        if sender.send(batch).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn quote(name: &str) -> Result<String> {
    Dialect::Sqlite.quote(name)
}

/// What the scope wants of one target table.
struct Wanted {
    name: String,
    target: String,
    schema: SchemaRef,
    scope: TableScope,
}

impl Wanted {
    fn of(table: &TableScope) -> Self {
        let (name, target, schema) = (table.name.clone(), table.target.clone(), table.target_schema());
        Self { name, target, schema, scope: table.clone() }
    }

    fn quoted_columns(&self) -> Result<String> {
        let names = self.schema.fields().iter().map(|field| quote(field.name())).collect::<Result<Vec<_>>>()?;
        Ok(names.join(", "))
    }
}

fn prepare(connection: &Connection, wanted: &[Wanted]) -> Result<Prepared> {
    let marker: BTreeSet<_> = columns(connection, MARKER_TABLE)?.into_iter().map(|column| column.name).collect();
    if !["consignment", "target_table", "attempt", "row_count"].iter().all(|name| marker.contains(*name)) {
        return Err(trouble::no_marker("the target"));
    }
    let by_target: BTreeMap<_, _> = wanted.iter().map(|table| (table.target.to_lowercase(), &table.name)).collect();
    let (mut nodes, mut counts, mut described, mut remarks) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
    let (mut refused, triggers) = (Refusals::default(), triggers(connection)?);
    for table in wanted {
        if refused.keep(check(connection, table).map_err(trouble::of_target(&table.target)))?.is_none() {
            continue;
        }
        counts.insert(table.name.clone(), count_rows(connection, &table.target)?);
        described.push(describe_table(connection, &table.target, false)?);
        let after = references(connection, &table.target)?
            .into_iter()
            .filter_map(|reference| by_target.get(&reference.table.to_lowercase()).map(|name| (*name).clone()))
            .collect();
        nodes.push(Node { name: table.name.clone(), after });
        if let Some(triggers) = triggers.get(&table.target.to_lowercase()) {
            remarks
                .push(format!("target table `{}` has {triggers} triggers, which run while it is loaded", table.target));
        }
    }
    refused.verdict(trouble::together)?;
    let (waves, schema, declared) = (waves(nodes)?, schema_digest(&described)?, scope::marks(&described)?);
    let straight = BTreeSet::new();
    Ok(Prepared { waves, at_once: TABLES_AT_ONCE, straight, schema, declared, counts, notes: remarks })
}

/// How many triggers each table has, by its name in small letters.
fn triggers(connection: &Connection) -> Result<BTreeMap<String, u64>> {
    let counting = "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger'";
    let names: rusqlite::Result<Vec<String>> =
        connection.prepare(counting).and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect());
    let mut triggers = BTreeMap::new();
    for name in names.map_err(|error| failed("listing triggers", &error))? {
        let count: &mut u64 = triggers.entry(name.to_lowercase()).or_default();
        *count = count.saturating_add(1);
    }
    Ok(triggers)
}

/// The table is there, with every wanted column, which keeps its kind; every other one can stay empty.
fn check(connection: &Connection, table: &Wanted) -> Result<()> {
    let found = columns(connection, &table.target)?;
    if found.is_empty() {
        return Err(trouble::no_table("the target", &table.target));
    }
    let strict: bool = connection
        .query_row("SELECT strict FROM pragma_table_list(?1) WHERE schema = 'main'", [&table.target], |row| row.get(0))
        .map_err(|error| failed("listing tables", &error))?;
    let mut refused = Refusals::default();
    for field in table.schema.fields() {
        refused.keep(keeps(table, field, &found, strict))?;
    }
    let filled = |name: &str| table.schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let must_be_filled = |column: &&Column| column.not_null && column.otherwise == Otherwise::Null;
    for column in found.iter().filter(must_be_filled).filter(|column| !filled(&column.name)) {
        refused.keep::<()>(Err(trouble::unfilled(&table.target, &column.name)))?;
    }
    refused.verdict(trouble::together)
}

/// One wanted column is there and keeps its kind.
fn keeps(table: &Wanted, field: &Field, found: &[Column], strict: bool) -> Result<()> {
    let column = found
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(field.name()))
        .ok_or_else(|| trouble::no_column(&table.target, field.name()))?;
    let kept = cells::keeps(affinity(&column.declared), strict, &column.declared, field.data_type());
    let computed = column.otherwise == Otherwise::Computed;
    if kept && !computed {
        return Ok(());
    }
    let declared = if computed { "a computed column" } else { &column.declared };
    Err(trouble::lossy(&table.target, field.name(), declared, &kind_name(field.data_type())))
}

fn load(
    connection: &mut Connection,
    table: &Wanted,
    (mark, mut aside): (Mark, Aside),
    (mut batches, mut broken): (mpsc::Receiver<RecordBatch>, Broken),
    stream_ended: impl FnOnce() -> bool,
) -> Result<Loaded> {
    let doing = "loading";
    // Foreign keys are counted over the whole table before the commit instead of row by row; triggers that the new
    // system relies on still run. Journal and temporary pages never leave the target's own folder.
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;")
        .map_err(|error| failed(doing, &error))?;
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(|error| failed(doing, &error))?;
    let there = count_rows(&transaction, &table.target)?;
    if let Some(marked) = marked(&transaction, table, mark)? {
        return if marked == there {
            Ok(Loaded { rows: there, already: true, aside: aside.total() })
        } else {
            Err(trouble::marker_differs(&table.target, there, marked))
        };
    }
    if there > 0 {
        return Err(trouble::not_empty(&table.target, there));
    }
    aside.pause();
    let rows = insert_all(&transaction, table, &mut batches, &mut broken)?;
    if !stream_ended() {
        return Err(trouble::gone("the stream of rows"));
    }
    broken.foreign_keys(&transaction, table)?;
    broken.verdict(table)?;
    let inserted = count_rows(&transaction, &table.target)?;
    if inserted != rows {
        return Err(trouble::marker_differs(&table.target, inserted, rows));
    }
    aside.go_on();
    let marked = i64::try_from(rows).map_err(|_| trouble::shape(&table.target, "too many rows"))?;
    transaction
        .execute(
            &format!(
                "INSERT INTO {MARKER_TABLE} (consignment, target_table, attempt, row_count) VALUES (?1, ?2, ?3, ?4)"
            ),
            (mark.consignment.to_string(), &table.target, mark.attempt, marked),
        )
        .map_err(|error| failed("writing the marker", &error))?;
    transaction.commit().map_err(|error| failed("committing", &error))?;
    Ok(Loaded { rows, already: false, aside: aside.total() })
}

fn marked(connection: &Connection, table: &Wanted, mark: Mark) -> Result<Option<u64>> {
    connection
        .query_row(
            &format!("SELECT row_count FROM {MARKER_TABLE} WHERE consignment = ?1 AND target_table = ?2"),
            (mark.consignment.to_string(), &table.target),
            |row| natural(row, 0),
        )
        .optional()
        .map_err(|error| failed("reading the marker", &error))
}

/// Inserts every row that can be; counts the others. Rows are tested where they go: `SQLite` undoes a refused row
/// alone, keeps the transaction, and has no log, so that a staging copy would only write everything twice. Only a trigger
/// may take back the transaction itself: no row is tried after that.
fn insert_all(
    transaction: &Transaction<'_>,
    table: &Wanted,
    batches: &mut mpsc::Receiver<RecordBatch>,
    broken: &mut Broken,
) -> Result<u64> {
    let failed = |error| failed("loading", &error);
    let on_conflict: bool =
        transaction.query_row(SAYS_ON_CONFLICT, [&table.target], |row| row.get(0)).map_err(failed)?;
    // Such a table would replace a row or a value, drop the row, or take back the transaction. The word overrides the
    // statements of triggers too, so that it stands only where it must.
    let verb = if on_conflict { "INSERT OR ABORT" } else { "INSERT" };
    let marks = vec!["?"; table.schema.fields().len()].join(", ");
    let sql = format!("{verb} INTO {} ({}) VALUES ({marks})", quote(&table.target)?, table.quoted_columns()?);
    let mut statement = transaction.prepare(&sql).map_err(failed)?;
    let mut rows: u64 = 0;
    while let Some(batch) = batches.blocking_recv() {
        same_shape(&table.target, &table.schema, &batch)?;
        for row in 0..batch.num_rows() {
            // Outside the transaction each row would be committed alone.
            if transaction.is_autocommit() {
                break;
            }
            insert((transaction, &mut statement), &batch, row, broken)?;
            rows = rows.saturating_add(1);
        }
    }
    Ok(rows)
}

fn insert(
    (transaction, statement): (&Transaction<'_>, &mut Statement<'_>),
    batch: &RecordBatch,
    row: usize,
    broken: &mut Broken,
) -> Result<()> {
    let mut values = Vec::with_capacity(batch.num_columns());
    for (index, column) in batch.columns().iter().enumerate() {
        match cells::bind(column, row) {
            Ok(value) => values.push(value),
            Err(odd) => {
                let name = batch.schema_ref().fields().get(index).map_or("?", |field| field.name()).to_owned();
                broken.odd(name, odd);
                broken.at_fault.keep(&broken.name, batch.slice(row, 1));
                return Ok(());
            }
        }
    }
    match statement.execute(params_from_iter(values)) {
        Ok(_) => Ok(()),
        Err(error) => {
            broken.constraint(&error, transaction.is_autocommit())?;
            broken.at_fault.keep(&broken.name, batch.slice(row, 1));
            Ok(())
        }
    }
}

/// The keys of the first rows that point nowhere.
fn orphans_keys(connection: &Connection, table: &Wanted) -> Result<Vec<Vec<Option<String>>>> {
    let Some(key) = key_of(&table.scope) else { return Ok(Vec::new()) };
    let texts = key.iter().map(|(name, _)| Ok(format!("CAST({} AS TEXT)", quote(name)?)));
    let sql = format!(
        "SELECT {} FROM {} WHERE rowid IN (SELECT \"rowid\" FROM pragma_foreign_key_check(?1)) LIMIT {ROWS_KEPT_MAX}",
        texts.collect::<Result<Vec<_>>>()?.join(", "),
        quote(&table.target)?
    );
    let failed = |error| failed("naming rows", &error);
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let texts = |row: &rusqlite::Row<'_>| (0..key.len()).map(|at| row.get(at)).collect();
    statement.query_map([&table.target], texts).and_then(Iterator::collect).map_err(failed)
}

/// What rows would break, by name and count.
struct Broken {
    /// The table's name in the source.
    name: String,
    at_fault: AtFault,
    constraints: BTreeMap<String, u64>,
    odd: BTreeMap<(String, Odd), u64>,
}

impl Broken {
    fn of(table: &Wanted, at_fault: &AtFault) -> Self {
        let (constraints, odd) = (BTreeMap::new(), BTreeMap::new());
        Self { name: table.name.clone(), at_fault: at_fault.clone(), constraints, odd }
    }

    fn odd(&mut self, column: String, odd: Odd) {
        let count = self.odd.entry((column, odd)).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts a refused row under its constraint, which may have `ended` the transaction; anything but a refused row is a
    /// failure.
    fn constraint(&mut self, error: &rusqlite::Error, ended: bool) -> Result<()> {
        use rusqlite::ffi;
        let Some(inner) = error.sqlite_error().filter(|inner| inner.code == rusqlite::ErrorCode::ConstraintViolation)
        else {
            return Err(failed("loading", error));
        };
        // SQLite's words for these name table, columns or the constraint, all of them schema; for the others (a
        // trigger's RAISE above all) they may hold anything.
        let said = if let rusqlite::Error::SqliteFailure(_, Some(message)) = error {
            message.split_once("failed: ").map(|(_, name)| name)
        } else {
            None
        };
        let name = match (inner.extended_code, said) {
            (ffi::SQLITE_CONSTRAINT_CHECK, Some(said)) => format!("check {said}"),
            (ffi::SQLITE_CONSTRAINT_NOTNULL, Some(said)) => format!("not null {said}"),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE, Some(said)) => format!("unique {said}"),
            (ffi::SQLITE_CONSTRAINT_TRIGGER, _) => "a trigger".to_owned(),
            _ => format!("database code {}", code(error)),
        };
        let name = if ended { format!("{name}, after which no row was tried") } else { name };
        let count = self.constraints.entry(name).or_default();
        *count = count.saturating_add(1);
        Ok(())
    }

    fn foreign_keys(&mut self, connection: &Connection, table: &Wanted) -> Result<()> {
        let doing = "checking foreign keys";
        let mut statement = connection.prepare(FOREIGN_KEYS_BROKEN).map_err(|error| failed(doing, &error))?;
        let found: rusqlite::Result<Vec<(String, String, u64)>> = statement
            .query_map([&table.target], |row| Ok((row.get(0)?, row.get(1)?, natural(row, 2)?)))
            .and_then(Iterator::collect);
        for (parent, columns, rows) in found.map_err(|error| failed(doing, &error))? {
            self.constraints.insert(trouble::constraint(&format!("foreign key to `{parent}`"), &[columns]), rows);
            // A row that cannot be named is counted all the same: tables WITHOUT ROWID do not say which it is.
            self.at_fault.keep_keys(&table.scope, orphans_keys(connection, table).unwrap_or_default());
        }
        Ok(())
    }

    fn verdict(self, table: &Wanted) -> Result<()> {
        if !self.odd.is_empty() {
            let findings: Vec<_> = self.odd.into_iter().map(|((column, odd), count)| (column, odd, count)).collect();
            return Err(trouble::odd_values(&table.target, &findings));
        }
        if !self.constraints.is_empty() {
            return Err(trouble::broken_constraints(&table.target, &self.constraints.into_iter().collect::<Vec<_>>()));
        }
        Ok(())
    }
}
