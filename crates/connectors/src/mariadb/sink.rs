use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, SchemaRef};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use lexicon::{Refusals, Result};
use scope::{Dialect, Followed, Scope, SourceTable, TableScope};
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlConnection;
use tokio::sync::Mutex;

use super::catalog::{self, Column, Table};
use super::constraints::{self, Test};
use super::encode::Value;
use super::source::{Rows, found};
use super::types::{self, Landing};
use super::{Database, Purpose, SYSTEM, count, failed, number, run, texts};
use crate::aside::Aside;
use crate::at_fault::{AtFault, ROWS_KEPT_MAX, key_of};
use crate::columns::{Odd, Otherwise, kind_name};
use crate::gate::{orphans_of, read_again, same_shape, table_scope};
use crate::order::{Node, waves};
use crate::{Loaded, MARKER_TABLE, Mark, Prepared, Sink, schema_digest, trouble};

/// The session's own table, gone with it.
pub(super) const STAGING: &str = "lazaret_staging";
/// Its rows a second time, for keys that point to their own table.
pub(super) const STAGING_AGAIN: &str = "lazaret_staging_again";
/// A prepared statement has at most 65,535 parameters.
const PARAMETERS_MAX: usize = 65_535;
/// Rows of one INSERT: beyond this, measured loads gained nothing.
const ROWS_MAX: usize = 2_000;
/// 1 MiB: under the smallest default of `max_allowed_packet` in use (4 MiB) unless one single row is larger.
const STATEMENT_BYTES_MAX: usize = 1024 * 1024;
/// At most 9 bytes of length and 2 of type, rounded up.
const BYTES_BESIDE_A_VALUE: usize = 16;
/// The statement's own head.
const PIECE_OF_A_STATEMENT: usize = 1024;
const ODD_PACKET: Odd = "values that take their row over the server's max_allowed_packet";
/// `ER_TOO_BIG_ROWSIZE` and `ER_TOO_MANY_FIELDS`.
const ROW_TOO_WIDE: [u16; 2] = [1118, 1117];
/// Two: each load keeps one core of the server busy, and each table in passage holds two parcels here.
const TABLES_AT_ONCE: usize = 2;

impl Sink for Database {
    fn identity(&self) -> String {
        self.server.identity()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        async { catalog::describe_all(&mut self.connect(Purpose::Reading).await?).await }.boxed()
    }

    fn prepare<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Prepared>> {
        async move { prepare(&mut self.connect(Purpose::Reading).await?, scope).await }.boxed()
    }

    fn load<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        mark: Mark,
        batches: BoxStream<'a, Result<RecordBatch>>,
    ) -> BoxFuture<'a, Result<Loaded>> {
        async move {
            let taken = table_scope(scope, table)?;
            self.at_fault.forget(table);
            // Dropped on the way out, the session takes an unfinished transaction and the staging table with it.
            let aside = Aside::begin();
            let mut session = self.connect(Purpose::Writing).await?;
            let loaded = load(&mut session, taken, (mark, aside), batches, &self.at_fault).await;
            loaded.map_err(trouble::of_target(&taken.target))
        }
        .boxed()
    }

    fn at_fault(&self, table: &str) -> Vec<RecordBatch> {
        self.at_fault.rows(table)
    }

    fn sizes<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<BTreeMap<String, u64>>> {
        async move {
            let (mut session, doing) = (self.connect(Purpose::Reading).await?, "asking for sizes");
            let mut sizes = BTreeMap::new();
            for taken in scope.tables() {
                // InnoDB tells what it last counted; this makes it count its pages, and changes no table.
                let analyse = format!("ANALYZE LOCAL TABLE {}", Dialect::MariaDb.quote(&taken.target)?);
                texts(&mut session, doing, &analyse, &[]).await?;
                let told = texts(&mut session, doing, SIZE, &[&taken.target]).await?;
                let told = told.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok());
                sizes.extend(told.map(|bytes| (taken.name.clone(), bytes)));
            }
            Ok(sizes)
        }
        .boxed()
    }

    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a [Followed]) -> BoxFuture<'a, Result<Vec<u64>>> {
        orphans_of(self, scope, followed).boxed()
    }

    fn read_back<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<RecordBatch>> {
        let rows = async move {
            let taken = table_scope(scope, table)?;
            let mut session = self.connect(Purpose::Reading).await?;
            let found = found(&mut session, "the target", &taken.target).await?;
            let from = Dialect::MariaDb.quote(&taken.target)?;
            let rows = Rows {
                table: &taken.target,
                schema: taken.target_schema(),
                from: &from,
                condition: None,
                may_be_long: false,
                at_fault: &AtFault::default(),
            };
            let session = std::sync::Arc::new(Mutex::new(session)).lock_owned().await;
            rows.stream(session, &found.columns)
        };
        read_again(scope, table, rows.try_flatten_stream())
    }
}

/// What the scope wants of one target table, matched with what is there.
pub(super) struct Wanted<'a> {
    pub(super) target: String,
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<&'a Column>,
    pub(super) landings: Vec<Landing>,
}

impl<'a> Wanted<'a> {
    /// Every wanted column is there and keeps its kind; every other one can stay empty.
    fn new(taken: &TableScope, found: &'a Table) -> Result<Self> {
        let target = &taken.target;
        if found.definition.is_some() {
            return Err(trouble::untestable(target, "another form than an ordinary table (a view)"));
        }
        if !found.keeps_versions() {
            return Err(trouble::untestable(target, &format!("the engine {}, without transactions", found.engine)));
        }
        let schema = taken.target_schema();
        let (mut columns, mut landings, mut refused) = (Vec::new(), Vec::new(), Refusals::default());
        for field in schema.fields() {
            if let Some((column, landing)) = refused.keep(landing(target, field, found))? {
                columns.push(column);
                landings.push(landing);
            }
        }
        let left = found.columns.iter().filter(|column| schema.field_with_name(&column.name).is_err());
        for column in left.filter(|column| !column.nullable && column.otherwise == Otherwise::Null) {
            refused.keep::<()>(Err(trouble::unfilled(target, &column.name)))?;
        }
        refused.verdict(trouble::together)?;
        Ok(Self { target: target.clone(), schema, columns, landings })
    }

    fn quoted_names(&self) -> Result<Vec<String>> {
        self.columns.iter().map(|column| Dialect::MariaDb.quote(&column.name)).collect()
    }
}

/// Where one wanted column lands.
fn landing<'a>(target: &str, field: &Field, found: &'a Table) -> Result<(&'a Column, Landing)> {
    let column = found.columns.iter().find(|column| column.name == *field.name());
    let column = column.ok_or_else(|| trouble::no_column(target, field.name()))?;
    let lossy = |declared: &str| trouble::lossy(target, &column.name, declared, &kind_name(field.data_type()));
    if column.otherwise == Otherwise::Computed {
        return Err(lossy("a computed column"));
    }
    let landing = types::land(column, field.data_type()).ok_or_else(|| lossy(&column.declared))?;
    Ok((column, landing))
}

async fn prepare(session: &mut MySqlConnection, scope: &Scope) -> Result<Prepared> {
    let marker = catalog::table(session, MARKER_TABLE).await?;
    let versioned = marker.as_ref().is_some_and(Table::keeps_versions);
    let marker = marker.map(|table| table.columns).unwrap_or_default();
    let has = |name: &str| marker.iter().any(|column| column.name == name);
    if !versioned || !["consignment", "target_table", "attempt", "row_count"].into_iter().all(has) {
        return Err(trouble::no_marker("the target"));
    }
    let by_target: BTreeMap<_, _> = scope.tables().iter().map(|table| (&table.target, &table.name)).collect();
    let (mut nodes, mut counts, mut described, mut remarks) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
    let mut refused = Refusals::default();
    for taken in scope.tables() {
        let target = &taken.target;
        let Some(found) = refused.keep(fitting(session, taken).await.map_err(trouble::of_target(target)))? else {
            continue;
        };
        counts.insert(taken.name.clone(), rows_in(session, target).await?);
        let triggers = texts(session, "listing triggers", TRIGGERS, &[target]).await?.len();
        if triggers > 0 {
            remarks.push(format!("target table `{target}` has {triggers} triggers, which run while it is loaded"));
        }
        let table = catalog::describe(session, target, &found).await?;
        let after = table.references.iter().filter_map(|reference| by_target.get(&reference.table));
        nodes.push(Node { name: taken.name.clone(), after: after.map(|name| (*name).clone()).collect() });
        described.push(table);
    }
    refused.verdict(trouble::together)?;
    let (waves, schema, declared) = (waves(nodes)?, schema_digest(&described)?, scope::marks(&described)?);
    let straight = BTreeSet::new();
    Ok(Prepared { waves, at_once: TABLES_AT_ONCE, straight, schema, declared, counts, notes: remarks })
}

/// A target table that every wanted column fits and whose constraints can be tested.
async fn fitting(session: &mut MySqlConnection, taken: &TableScope) -> Result<Table> {
    let found = found(session, "the target", &taken.target).await?;
    constraints::of_rows(session, &Wanted::new(taken, &found)?, &found).await?;
    Ok(found)
}

const SIZE: &str = "SELECT CAST(DATA_LENGTH + INDEX_LENGTH AS CHAR) FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";

const TRIGGERS: &str = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() \
     AND EVENT_OBJECT_TABLE = ? AND EVENT_MANIPULATION = 'INSERT'";

async fn rows_in(session: &mut MySqlConnection, target: &str) -> Result<u64> {
    let from = Dialect::MariaDb.quote(target)?;
    count(session, "counting rows", &format!("SELECT COUNT(*) FROM {from}")).await
}

async fn load(
    session: &mut MySqlConnection,
    taken: &TableScope,
    (mark, mut aside): (Mark, Aside),
    batches: BoxStream<'_, Result<RecordBatch>>,
    at_fault: &AtFault,
) -> Result<Loaded> {
    let found = found(session, "the target", &taken.target).await?;
    let wanted = Wanted::new(taken, &found)?;
    let target = &wanted.target;
    let there = rows_in(session, target).await?;
    if let Some(marked) = marked(session, target, mark).await? {
        return if marked == there {
            Ok(Loaded { rows: there, already: true, aside: aside.total() })
        } else {
            Err(trouble::marker_differs(target, there, marked))
        };
    }
    if there > 0 {
        return Err(trouble::not_empty(target, there));
    }
    aside.pause();
    let rows = stage(session, &wanted, batches, (taken.name.clone(), at_fault.clone())).await?;
    test(session, taken, constraints::of_values(&wanted)?, at_fault).await?;
    if constraints::points_to_itself(&catalog::foreign_keys(session, target).await?, target) {
        // InnoDB looks at each row alone, so that a row would have to come after the one it points to. Every key of
        // this table is counted below, over all rows.
        run(session, "staging rows", "SET SESSION foreign_key_checks = 0").await?;
        let sql = format!("CREATE TEMPORARY TABLE {STAGING_AGAIN} ENGINE=InnoDB SELECT * FROM {STAGING}");
        run(session, "staging rows", &sql).await?;
    }
    let tests = constraints::of_rows(session, &wanted, &found).await?;
    test(session, taken, tests, at_fault).await?;
    run(session, "beginning", "START TRANSACTION").await?;
    let (quoted, names) = (Dialect::MariaDb.quote(target)?, wanted.quoted_names()?.join(", "));
    run(session, "loading", &format!("INSERT INTO {quoted} ({names}) SELECT {names} FROM {STAGING}")).await?;
    let inserted = rows_in(session, target).await?;
    if inserted != rows {
        return Err(trouble::marker_differs(target, inserted, rows));
    }
    aside.go_on();
    let sql = format!("INSERT INTO {MARKER_TABLE} (consignment, target_table, attempt, row_count) VALUES (?, ?, ?, ?)");
    sqlx::query(AssertSqlSafe(sql))
        .bind(mark.consignment.to_string())
        .bind(target.as_str())
        .bind(mark.attempt)
        .bind(rows)
        .execute(&mut *session)
        .await
        .map_err(|error| failed("writing the marker", &error))?;
    run(session, "committing", "COMMIT").await?;
    Ok(Loaded { rows, already: false, aside: aside.total() })
}

async fn marked(session: &mut MySqlConnection, target: &str, mark: Mark) -> Result<Option<u64>> {
    let doing = "reading the marker";
    let sql = format!("SELECT CAST(row_count AS CHAR) FROM {MARKER_TABLE} WHERE consignment = ? AND target_table = ?");
    let rows = texts(session, doing, &sql, &[&mark.consignment.to_string(), target]).await?;
    match rows.into_iter().flatten().flatten().next() {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| trouble::statement(SYSTEM, doing, "no count")),
    }
}

/// Sends every batch into the session's own table, many rows to a statement.
async fn stage(
    session: &mut MySqlConnection,
    wanted: &Wanted<'_>,
    mut batches: BoxStream<'_, Result<RecordBatch>>,
    at_fault: (String, AtFault),
) -> Result<u64> {
    let doing = "staging rows";
    let columns: Vec<_> = wanted
        .quoted_names()?
        .into_iter()
        .zip(&wanted.landings)
        .map(|(name, landing)| format!("{name} {} NULL", landing.staging))
        .collect();
    create_staging(session, &columns.join(", ")).await?;
    let packet_bytes_max = packet_bytes_max(session).await?;
    run(session, doing, "START TRANSACTION").await?;
    let width = wanted.columns.len();
    let rows_max = PARAMETERS_MAX.checked_div(width).unwrap_or(1).clamp(1, ROWS_MAX);
    let (odd, row) = (BTreeMap::new(), placeholders(width));
    let mut staging = Staging { rows: 0, odd, row, rows_max, packet_bytes_max, at_fault };
    while let Some(batch) = batches.try_next().await? {
        same_shape(&wanted.target, &wanted.schema, &batch)?;
        staging.insert(session, &batch).await?;
    }
    if !staging.odd.is_empty() {
        let findings: Vec<_> = staging.odd.into_iter().map(|((name, odd), count)| (name, odd, count)).collect();
        return Err(trouble::odd_values(&wanted.target, &findings));
    }
    run(session, doing, "COMMIT").await?;
    Ok(staging.rows)
}

/// `InnoDB` keeps a part of every column in a page, which a few hundred texts of any length fill; `MyISAM` keeps rows of any
/// width, and this table ends with its session either way.
async fn create_staging(session: &mut MySqlConnection, columns: &str) -> Result<()> {
    let create = |engine: &str| AssertSqlSafe(format!("CREATE TEMPORARY TABLE {STAGING} ({columns}) ENGINE={engine}"));
    let made = sqlx::raw_sql(create("InnoDB")).execute(&mut *session).await;
    let made = match made {
        Err(error) if number(&error).is_some_and(|number| ROW_TOO_WIDE.contains(&number)) => {
            sqlx::raw_sql(create("MyISAM")).execute(session).await
        }
        made => made,
    };
    made.map(drop).map_err(|error| failed("staging rows", &error))
}

/// What one statement may hold, here and on the server.
async fn packet_bytes_max(session: &mut MySqlConnection) -> Result<usize> {
    let doing = "asking for max_allowed_packet";
    let found = texts(session, doing, "SELECT CAST(@@max_allowed_packet AS CHAR)", &[]).await?;
    let found = found.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok());
    found.ok_or_else(|| trouble::statement(SYSTEM, doing, "no number"))
}

fn placeholders(columns: usize) -> String {
    format!("({})", vec!["?"; columns].join(", "))
}

/// Rows on their way into the staging table, and what could not be sent.
struct Staging {
    rows: u64,
    odd: BTreeMap<(String, Odd), u64>,
    /// `(?, ?, ?)`, as wide as the table.
    row: String,
    /// Rows of a full statement.
    rows_max: usize,
    packet_bytes_max: usize,
    /// The table's name in the source, and where its rows that cannot be sent are kept.
    at_fault: (String, AtFault),
}

impl Staging {
    async fn insert(&mut self, session: &mut MySqlConnection, batch: &RecordBatch) -> Result<()> {
        let (mut values, mut bytes, mut rows) = (Vec::new(), 0_usize, 0_usize);
        for row in 0..batch.num_rows() {
            self.rows = self.rows.saturating_add(1);
            let Some(cells) = self.cells(batch, row) else { continue };
            let size = cells.iter().map(Value::size).fold(0, usize::saturating_add);
            let full = rows >= self.rows_max || bytes.saturating_add(size) > STATEMENT_BYTES_MAX;
            if full && rows > 0 {
                self.send(session, std::mem::take(&mut values), rows).await?;
                (bytes, rows) = (0, 0);
            }
            bytes = bytes.saturating_add(size);
            rows = rows.saturating_add(1);
            values.extend(cells);
        }
        if rows > 0 { self.send(session, values, rows).await } else { Ok(()) }
    }

    /// One row, or none if a value cannot be sent, which is counted.
    fn cells<'a>(&mut self, batch: &'a RecordBatch, row: usize) -> Option<Vec<Value<'a>>> {
        let mut cells = Vec::with_capacity(batch.num_columns());
        for (index, column) in batch.columns().iter().enumerate() {
            match Value::of(column, row) {
                Ok(value) => cells.push(value),
                Err(odd) => {
                    self.leave_out(batch, (row, index), odd);
                    return None;
                }
            }
        }
        // A value comes with its length and type, a row with a head and a bit for each NULL.
        let sizes = cells.iter().map(|value| value.size().saturating_add(BYTES_BESIDE_A_VALUE));
        if sizes.clone().fold(PIECE_OF_A_STATEMENT, usize::saturating_add) > self.packet_bytes_max {
            let largest = sizes.enumerate().max_by_key(|(_, size)| *size).map_or(0, |(index, _)| index);
            self.leave_out(batch, (row, largest), ODD_PACKET);
            return None;
        }
        Some(cells)
    }

    fn leave_out(&mut self, batch: &RecordBatch, (row, index): (usize, usize), odd: Odd) {
        let name = batch.schema_ref().fields().get(index).map_or("?", |field| field.name());
        let count = self.odd.entry((name.to_owned(), odd)).or_default();
        *count = count.saturating_add(1);
        self.at_fault.1.keep(&self.at_fault.0, batch.slice(row, 1));
    }

    async fn send(&self, session: &mut MySqlConnection, values: Vec<Value<'_>>, rows: usize) -> Result<()> {
        let sql = format!("INSERT INTO {STAGING} VALUES {}", vec![self.row.as_str(); rows].join(", "));
        // The full statement comes again and again; a shorter one hardly ever does.
        let query = sqlx::query(AssertSqlSafe(sql)).persistent(rows == self.rows_max);
        let query = values.into_iter().fold(query, |query, value| value.bind(query));
        query.execute(session).await.map(|_| ()).map_err(|error| failed("staging rows", &error))
    }
}

/// Counts; refuses with every broken constraint at once.
async fn test(session: &mut MySqlConnection, taken: &TableScope, tests: Vec<Test>, at_fault: &AtFault) -> Result<()> {
    let (mut broken, mut first) = (Vec::new(), None);
    for test in tests {
        match count(session, "testing constraints", &test.sql).await? {
            0 => {}
            rows => {
                broken.push((test.name, rows));
                first.get_or_insert(test.rows);
            }
        }
    }
    let Some(rows) = first else { return Ok(()) };
    // A row that cannot be named is counted all the same: servers before MariaDB 10.2 and MySQL 8 have no windows.
    at_fault.keep_keys(taken, keys_of(session, taken, &rows).await.unwrap_or_default());
    Err(trouble::broken_constraints(&taken.target, &broken))
}

/// The keys of the first of these rows.
async fn keys_of(session: &mut MySqlConnection, taken: &TableScope, rows: &str) -> Result<Vec<Vec<Option<String>>>> {
    let Some(key) = key_of(taken) else { return Ok(Vec::new()) };
    let texts = key.iter().map(|(name, kind)| {
        let text = format!("CAST({} AS CHAR)", Dialect::MariaDb.quote(name)?);
        // A staged moment is in UTC and does not say so.
        Ok(if matches!(kind, DataType::Timestamp(_, Some(_))) { format!("CONCAT({text}, 'Z')") } else { text })
    });
    let columns = texts.collect::<Result<Vec<_>>>()?.join(", ");
    super::texts(session, "naming rows", &format!("SELECT {columns} {rows} LIMIT {ROWS_KEPT_MAX}"), &[]).await
}
