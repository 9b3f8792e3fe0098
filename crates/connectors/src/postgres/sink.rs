use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef};
use bytes::BytesMut;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, SinkExt, TryFutureExt, TryStreamExt};
use lexicon::{Refusals, Result};
use scope::{Dialect, Followed, Scope, SourceTable, TableScope};
use tokio_postgres::Client;

use super::catalog::{self, Column, Table};
use super::constraints::{self, Test};
use super::encode::{Encoder, Form};
use super::source::{Rows, found};
use super::types::{self, Landing};
use super::{Database, count, failed, run, straight};
use crate::aside::Aside;
use crate::at_fault::{AtFault, ROWS_KEPT_MAX, key_of};
use crate::columns::{Otherwise, kind_name};
use crate::gate::{orphans_of, read_again, same_shape, table_scope};
use crate::order::{Node, waves};
use crate::{Loaded, MARKER_TABLE, Mark, Prepared, Sink, schema_digest, trouble};

/// The session's own table, gone with its transaction.
pub(super) const STAGING: &str = "pg_temp.lazaret_staging";
/// 256 KiB of COPY bytes go out at once: past the size where a send's own cost matters.
const PIECE_BYTES: usize = 256 * 1024;
/// Two: each COPY and its INSERT keep one core of the server busy, and each table in passage holds two parcels here.
const TABLES_AT_ONCE: usize = 2;

impl Sink for Database {
    fn identity(&self) -> String {
        self.server.identity()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        async { catalog::describe_all(&self.connect().await?).await }.boxed()
    }

    fn prepare<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Prepared>> {
        async move { prepare(&self.connect().await?, scope).await }.boxed()
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
            // Dropped on the way out, the session takes an unfinished transaction with it.
            let aside = Aside::begin();
            let loaded = load(&self.connect().await?, taken, (mark, aside), batches, &self.at_fault).await;
            loaded.map_err(trouble::of_target(&taken.target))
        }
        .boxed()
    }

    fn load_straight<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        mark: Mark,
        batches: BoxStream<'a, Result<RecordBatch>>,
    ) -> BoxFuture<'a, Result<Option<Loaded>>> {
        async move {
            let (taken, aside) = (table_scope(scope, table)?, Aside::begin());
            let loaded = straight::load(&self.connect().await?, taken, (mark, aside), batches).await;
            loaded.map_err(trouble::of_target(&taken.target))
        }
        .boxed()
    }

    fn at_fault(&self, table: &str) -> Vec<RecordBatch> {
        self.at_fault.rows(table)
    }

    fn sizes<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<BTreeMap<String, u64>>> {
        async move {
            let client = self.connect().await?;
            let mut sizes = BTreeMap::new();
            for taken in scope.tables() {
                let found = found(&client, "the target", &taken.target).await?;
                let sql = format!("SELECT pg_catalog.pg_total_relation_size({}::oid)", found.oid);
                sizes.insert(taken.name.clone(), count(&client, "asking for sizes", &sql).await?);
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
            let client = self.connect().await?;
            let found = found(&client, "the target", &taken.target).await?;
            let from = Dialect::Postgres.quote(&taken.target)?;
            let rows = Rows {
                table: &taken.target,
                schema: taken.target_schema(),
                from: &from,
                condition: None,
                key: &[],
                at_fault: &AtFault::default(),
            };
            rows.stream(client, &found).await
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
    pub(super) fn new(taken: &TableScope, found: &'a Table) -> Result<Self> {
        let target = &taken.target;
        if found.form != "r" || found.is_partition {
            return Err(trouble::untestable(target, "another form than an ordinary table (a view or a partition)"));
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
        for column in left.filter(|column| !constraints::can_stay_empty(column)) {
            refused.keep::<()>(Err(trouble::unfilled(target, &column.name)))?;
        }
        refused.verdict(trouble::together)?;
        Ok(Self { target: target.clone(), schema, columns, landings })
    }
}

/// Where one wanted column lands.
fn landing<'a>(target: &str, field: &Field, found: &'a Table) -> Result<(&'a Column, Landing)> {
    let column = found.columns.iter().find(|column| column.name == *field.name());
    let column = column.ok_or_else(|| trouble::no_column(target, field.name()))?;
    if column.is_tested_domain {
        return Err(trouble::untestable(target, &format!("a domain with constraints in `{}`", column.name)));
    }
    let lossy = |declared: &str| trouble::lossy(target, &column.name, declared, &kind_name(field.data_type()));
    if column.otherwise == Otherwise::Computed {
        return Err(lossy("a computed column"));
    }
    let landing = types::land(column, field.data_type()).ok_or_else(|| lossy(&column.declared))?;
    Ok((column, landing))
}

async fn prepare(client: &Client, scope: &Scope) -> Result<Prepared> {
    let marker = catalog::table(client, MARKER_TABLE).await?.map(|table| table.columns).unwrap_or_default();
    let has = |name: &str| marker.iter().any(|column| column.name == name);
    if !["consignment", "target_table", "attempt", "row_count"].into_iter().all(has) {
        return Err(trouble::no_marker("the target"));
    }
    let by_target: BTreeMap<_, _> = scope.tables().iter().map(|table| (&table.target, &table.name)).collect();
    let (mut nodes, mut counts, mut described, mut remarks) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
    let (may_silence, mut straight) = (straight::may(client).await?, BTreeSet::new());
    let mut refused = Refusals::default();
    for taken in scope.tables() {
        let Some(found) = refused.keep(fitting(client, taken).await.map_err(trouble::of_target(&taken.target)))? else {
            continue;
        };
        if may_silence
            && straight::is_plain(client, &found).await?
            && straight::forms(&Wanted::new(taken, &found)?).is_some()
        {
            straight.insert(taken.name.clone());
        }
        let rows = rows_in(client, &taken.target).await.map_err(trouble::of_target(&taken.target));
        let Some(rows) = refused.keep(rows)? else { continue };
        counts.insert(taken.name.clone(), rows);
        remarks.extend(notes_on(client, taken, &found).await?);
        let table = catalog::describe(client, &taken.target, &found).await?;
        let after = table.references.iter().filter_map(|reference| by_target.get(&reference.table));
        nodes.push(Node { name: taken.name.clone(), after: after.map(|name| (*name).clone()).collect() });
        described.push(table);
    }
    refused.verdict(trouble::together)?;
    let (waves, schema, declared) = (waves(nodes)?, schema_digest(&described)?, scope::marks(&described)?);
    Ok(Prepared { waves, at_once: TABLES_AT_ONCE, straight, schema, declared, counts, notes: remarks })
}

/// A target table that every wanted column fits and whose constraints can be tested.
async fn fitting(client: &Client, taken: &TableScope) -> Result<Table> {
    let found = found(client, "the target", &taken.target).await?;
    constraints::of_rows(client, &Wanted::new(taken, &found)?, &found).await?;
    Ok(found)
}

async fn notes_on(client: &Client, taken: &TableScope, found: &Table) -> Result<Vec<String>> {
    let target = &taken.target;
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = {} AND NOT tgisinternal AND tgenabled <> 'D'",
        found.oid
    );
    let triggers = count(client, "listing triggers", &sql).await?;
    let mut notes = Vec::new();
    if triggers > 0 {
        notes.push(format!("target table `{target}` has {triggers} triggers, which may run while it is loaded"));
    }
    for column in found.columns.iter().filter(|column| column.otherwise == Otherwise::Numbered) {
        if taken.take.iter().any(|take| take.target == column.name) {
            let name = &column.name;
            notes.push(format!("target table `{target}`: the load does not move the sequence of column `{name}`"));
        }
    }
    Ok(notes)
}

async fn rows_in(client: &Client, target: &str) -> Result<u64> {
    let from = Dialect::Postgres.quote(target)?;
    count(client, "counting rows", &format!("SELECT count(*) FROM {from}")).await
}

async fn load(
    client: &Client,
    taken: &TableScope,
    (mark, mut aside): (Mark, Aside),
    batches: BoxStream<'_, Result<RecordBatch>>,
    at_fault: &AtFault,
) -> Result<Loaded> {
    let found = found(client, "the target", &taken.target).await?;
    let wanted = Wanted::new(taken, &found)?;
    let target = &wanted.target;
    let quoted = Dialect::Postgres.quote(target)?;
    if let Ready::Already(rows) = ready(client, &found, &wanted, mark).await? {
        return Ok(Loaded { rows, already: true, aside: aside.total() });
    }
    aside.pause();
    let rows = stage(client, &wanted, batches, (taken.name.clone(), at_fault.clone())).await?;
    test(client, taken, constraints::of_values(&wanted)?, at_fault).await?;
    test(client, taken, constraints::of_rows(client, &wanted, &found).await?, at_fault).await?;
    let names = quoted_names(&wanted)?;
    let typed: Vec<_> =
        names.iter().zip(&wanted.columns).map(|(name, column)| format!("{name}::{}", column.declared)).collect();
    // The key's own values go in even where the target would number rows itself.
    let sql = format!(
        "INSERT INTO {quoted} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {STAGING}",
        names.join(", "),
        typed.join(", ")
    );
    run(client, "loading", &sql).await?;
    let inserted = rows_in(client, target).await?;
    if inserted != rows {
        return Err(trouble::marker_differs(target, inserted, rows));
    }
    aside.go_on();
    write_marker(client, target, mark, rows).await?;
    run(client, "committing", "COMMIT").await?;
    Ok(Loaded { rows, already: false, aside: aside.total() })
}

/// What a table is before its load.
pub(super) enum Ready {
    /// This consignment's rows are in it: so many.
    Already(u64),
    /// It has none.
    Empty,
}

/// Begins the transaction that loads a table, and looks at what is there.
pub(super) async fn ready(client: &Client, found: &Table, wanted: &Wanted<'_>, mark: Mark) -> Result<Ready> {
    let target = &wanted.target;
    // On either way: counting cannot foresee everything that a database refuses, a trigger for instance.
    if straight::may(client).await? {
        run(client, "keeping errors out of the log", straight::SILENCE).await?;
    }
    run(client, "beginning", "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    lock(client, found, &Dialect::Postgres.quote(target)?).await?;
    let there = rows_in(client, target).await?;
    match marked(client, target, mark).await? {
        Some(marked) if marked == there => Ok(Ready::Already(there)),
        Some(marked) => Err(trouble::marker_differs(target, there, marked)),
        None if there > 0 => Err(trouble::not_empty(target, there)),
        None => Ok(Ready::Empty),
    }
}

/// Keeps other writers out between the counts and the commit, where the account may ask for that.
async fn lock(client: &Client, found: &Table, quoted: &str) -> Result<()> {
    let may = client
        .query_one("SELECT pg_catalog.has_table_privilege($1::oid, 'UPDATE, DELETE, TRUNCATE')", &[&found.oid])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| failed("locking the table", &error))?;
    let mode = if may { "SHARE ROW EXCLUSIVE" } else { "ROW EXCLUSIVE" };
    run(client, "locking the table", &format!("LOCK TABLE {quoted} IN {mode} MODE")).await
}

async fn marked(client: &Client, target: &str, mark: Mark) -> Result<Option<u64>> {
    let fail = |error: &tokio_postgres::Error| failed("reading the marker", error);
    let sql = format!("SELECT row_count::int8 FROM {MARKER_TABLE} WHERE consignment = $1 AND target_table = $2");
    let row = client.query_opt(&sql, &[&mark.consignment.to_string(), &target]).await.map_err(|error| fail(&error))?;
    let rows: Option<i64> = row.map(|row| row.try_get(0)).transpose().map_err(|error| fail(&error))?;
    Ok(rows.and_then(|rows| u64::try_from(rows).ok()))
}

pub(super) async fn write_marker(client: &Client, target: &str, mark: Mark, rows: u64) -> Result<()> {
    let sql = format!(
        "INSERT INTO {MARKER_TABLE} (consignment, target_table, attempt, row_count) VALUES ($1, $2, $3::int8, $4::int8)"
    );
    let rows = i64::try_from(rows).map_err(|_| trouble::shape(target, "too many rows"))?;
    client
        .execute(&sql, &[&mark.consignment.to_string(), &target, &i64::from(mark.attempt), &rows])
        .await
        .map_err(|error| failed("writing the marker", &error))?;
    Ok(())
}

pub(super) fn quoted_names(wanted: &Wanted<'_>) -> Result<Vec<String>> {
    wanted.columns.iter().map(|column| Dialect::Postgres.quote(&column.name)).collect()
}

/// Sends every batch into the session's own table.
async fn stage(
    client: &Client,
    wanted: &Wanted<'_>,
    batches: BoxStream<'_, Result<RecordBatch>>,
    at_fault: (String, AtFault),
) -> Result<u64> {
    let doing = "staging rows";
    let columns: Vec<_> = quoted_names(wanted)?
        .into_iter()
        .zip(&wanted.landings)
        .map(|(name, landing)| format!("{name} {}", landing.staging))
        .collect();
    let sql = format!("CREATE TEMPORARY TABLE lazaret_staging ({}) ON COMMIT DROP", columns.join(", "));
    run(client, doing, &sql).await?;
    let forms = wanted.landings.iter().map(|landing| if landing.json { Form::Json } else { Form::Plain }).collect();
    let mut encoder = Encoder::new(&wanted.target, forms, at_fault);
    let into = format!("COPY {STAGING} FROM STDIN (FORMAT binary)");
    let answer = send(client, (doing, &into), wanted, &mut encoder, batches).await?;
    encoder.verdict()?;
    answer.transpose().map_err(|error| failed(doing, &error))?;
    Ok(encoder.rows())
}

/// Sends every batch by COPY, and says how many rows the database took. Nothing if a value cannot be sent: the encoder has
/// counted it.
pub(super) async fn send(
    client: &Client,
    (doing, into): (&str, &str),
    wanted: &Wanted<'_>,
    encoder: &mut Encoder,
    mut batches: BoxStream<'_, Result<RecordBatch>>,
) -> Result<Option<Result<u64, tokio_postgres::Error>>> {
    let copy = client.copy_in::<_, bytes::Bytes>(into).await.map_err(|error| failed(doing, &error))?;
    let mut copy = std::pin::pin!(copy);
    let mut out = BytesMut::new();
    Encoder::begin(&mut out);
    while let Some(batch) = batches.try_next().await? {
        same_shape(&wanted.target, &wanted.schema, &batch)?;
        encoder.write(&batch, &mut out)?;
        while out.len() >= PIECE_BYTES {
            let piece = out.split_to(PIECE_BYTES).freeze();
            copy.feed(piece).await.map_err(|error| failed(doing, &error))?;
        }
    }
    if encoder.verdict().is_err() {
        return Ok(None);
    }
    Encoder::end(&mut out);
    copy.feed(out.freeze()).await.map_err(|error| failed(doing, &error))?;
    Ok(Some(copy.finish().await))
}

/// Counts; refuses with every broken constraint at once.
async fn test(client: &Client, taken: &TableScope, tests: Vec<Test>, at_fault: &AtFault) -> Result<()> {
    let (mut broken, mut first) = (Vec::new(), None);
    for test in tests {
        match count(client, "testing constraints", &test.sql).await? {
            0 => {}
            rows => {
                broken.push((test.name, rows));
                first.get_or_insert(test.rows);
            }
        }
    }
    let Some(rows) = first else { return Ok(()) };
    // A row that cannot be named is counted all the same.
    at_fault.keep_keys(taken, keys_of(client, taken, &rows).await.unwrap_or_default());
    Err(trouble::broken_constraints(&taken.target, &broken))
}

/// The keys of the first of these rows.
async fn keys_of(client: &Client, taken: &TableScope, rows: &str) -> Result<Vec<Vec<Option<String>>>> {
    let Some(key) = key_of(taken) else { return Ok(Vec::new()) };
    let texts = key.iter().map(|(name, _)| Ok(format!("{}::text", Dialect::Postgres.quote(name)?)));
    let columns = texts.collect::<Result<Vec<_>>>()?.join(", ");
    let sql = format!("SELECT {columns} {rows} LIMIT {ROWS_KEPT_MAX}");
    let failed = |error| failed("naming rows", &error);
    let found = client.query(&sql, &[]).await.map_err(failed)?;
    let texts = |row: &tokio_postgres::Row| (0..key.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>();
    found.iter().map(|row| texts(row).map_err(failed)).collect()
}
