//! The rooms' hands on the two laboratory systems: one file or folder per family of systems, behind three traits.
//!
//! * [`Source`] is the old system; [`Source::begin`] fixes one moment of it, a [`Snapshot`].
//! * [`Snapshot::read`] gives rows only after [`Scope::admit`]: no other way out of a source exists.
//! * [`Sink`] is the new system: it prepares (and refuses) before any row, loads one table in one transaction together
//!   with a marker row, and reads back over a new connection.
//!
//! Documents, where there are any, stand in folders: [`DocumentSource`] and [`DocumentTarget`].
//!
//! This room writes no file but documents and their marker, into the folder of the new system; it holds no key and never
//! creates or alters a table of a laboratory system. Its errors carry
//! tables, columns, constraint names and counts, never a value; a database's own message is reduced to its number.

mod address;
mod aside;
mod at_fault;
mod columns;
mod csv;
mod documents;
mod gate;
mod mariadb;
mod order;
#[cfg(feature = "parsers")]
pub mod parsers;
mod postgres;
mod spelling;
mod sqlite;
mod trouble;

#[cfg(test)]
mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow_array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use lexicon::{ConsignmentId, Digest, Result};
use scope::{Followed, Marks, Sampling, Scope, ScopedBatch, SourceTable, TableTally};

use crate::address::Address;
pub use crate::address::Credential;
pub use crate::columns::{hand, is_heavy};
pub use crate::documents::{
    Arriving, Changed, DocumentSource, DocumentTarget, Documents, Folder, Stand, Writing, documents_again, listed,
};

/// The name of the marker table, which every target has beside the tables of its own.
pub use scope::MARKER_TABLE;

/// The old laboratory system.
pub trait Source: Send + Sync {
    /// `scheme://host:port/database` or an absolute path, without account or password.
    fn identity(&self) -> String;

    /// Every table with its columns, keys, references and number of rows, and every view with its columns and the digest
    /// of its definition, for a scope's draft and check.
    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>>;

    /// Fixes one moment. `live` says that the old system is still written to: a source that cannot show one moment of
    /// a living system refuses then.
    fn begin(&self, live: bool) -> BoxFuture<'_, Result<Box<dyn Snapshot>>>;
}

/// One moment of a source.
pub trait Snapshot: Send + Sync {
    /// What the manifest says about the moment; no account, no password, no value.
    fn description(&self) -> String;

    /// Rows in `table`, and rows of it in scope.
    fn count<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxFuture<'a, Result<(u64, u64)>>;

    /// Rows in scope whose reference leads to no row in scope: the reference as [`scope::TableReference::in_source`]
    /// follows it. Two counts by the database; of files, one pass over the table.
    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a Followed) -> BoxFuture<'a, Result<u64>>;

    /// The rows of `table` that the scope takes, in batches of at most about 2 MiB or 65,536 rows. The source's columns
    /// are compared with the scope first. PostgreSQL reads several tables at once; the others one after the other: a
    /// stream that is held without being polled keeps the next one waiting.
    fn read<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<ScopedBatch>>;

    /// Draws a sample that is new: reads each table that predicates reach through once.
    fn sampling<'a>(&'a self, scope: &'a Scope, sampling: Sampling) -> BoxFuture<'a, Result<Sampling>>;

    /// As [`Self::read`], those rows only that are in the sample. Reads every row in scope all the same.
    fn sample<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        sampling: &'a Sampling,
    ) -> BoxStream<'a, Result<ScopedBatch>>;

    /// Rows of `table` that its last refusal was about: the first three at most, each a batch of the table's target
    /// schema with the key's columns alone and NULL in the others. For whoever can name them by keyed digest; values of
    /// these rows stand in no error.
    fn at_fault(&self, scope: &Scope, table: &str) -> Vec<RecordBatch>;

    /// What the transforms changed so far of what was read of one table.
    fn tally(&self, table: &str) -> TableTally;

    /// Tables read so far that this moment does not hold, since what keeps their rows has no snapshots here. Only a source
    /// that stands still has them; whoever extracts reads them again before closing.
    fn loose(&self) -> Vec<String> {
        Vec::new()
    }

    /// Ends the moment. Files are digested again: a change in between is refused.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// The new laboratory system.
pub trait Sink: Send + Sync {
    /// As [`Source::identity`].
    fn identity(&self) -> String;

    /// As [`Source::describe`].
    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>>;

    /// Looks at every target table before any row: refuses, all of them together, a missing table or column, a type
    /// that would lose something, a constraint that cannot be tested, a column that must be filled and is not, a missing
    /// marker table.
    fn prepare<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Prepared>>;

    /// Loads one table (named as in the source) and its marker row in one transaction. The target must be empty, or
    /// marked by this consignment: then nothing is inserted and its rows are counted. Constraints are tested by
    /// counting before the target is touched, so that no row reaches an error or the database's log.
    fn load<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        mark: Mark,
        batches: BoxStream<'a, Result<RecordBatch>>,
    ) -> BoxFuture<'a, Result<Loaded>>;

    /// As [`Self::load`], without the counting, for the tables that [`Prepared::straight`] names: the database itself
    /// refuses what it cannot take, and keeps that out of its log. None if it does: nothing is left of the rows then,
    /// and a load from the first row on tells which constraint and how many rows.
    fn load_straight<'a>(
        &'a self,
        _scope: &'a Scope,
        _table: &'a str,
        _mark: Mark,
        _batches: BoxStream<'a, Result<RecordBatch>>,
    ) -> BoxFuture<'a, Result<Option<Loaded>>> {
        async { Ok(None) }.boxed()
    }

    /// As [`Snapshot::at_fault`]: rows with values that the target cannot hold, with every column, and rows that break a
    /// constraint, of which a target that tests it by counting has the key alone.
    fn at_fault(&self, table: &str) -> Vec<RecordBatch>;

    /// The rows of the target table, read over a new connection, in the shape of the table's target schema.
    fn read_back<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<RecordBatch>>;

    /// Rows of the target whose reference leads to no row of it, for each of these in turn: references as
    /// [`scope::TableReference::in_target`] follows them. Counted by the database, at one moment, over a new connection.
    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a [Followed]) -> BoxFuture<'a, Result<Vec<u64>>>;

    /// Bytes that each target table takes, indexes included, by its source name. What a system does not tell is left out.
    fn sizes<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<BTreeMap<String, u64>>>;
}

/// Who brings the rows: stands in the marker row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The consignment.
    pub consignment: ConsignmentId,
    /// The attempt at loading it.
    pub attempt: u32,
}

/// What a target looked like before the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The tables by their source names, in waves: each stands in a later wave than those that its foreign keys point
    /// to, so that the tables of one wave know nothing of each other and can be loaded at once.
    pub waves: Vec<Vec<String>>,
    /// How many tables this system takes at once.
    pub at_once: usize,
    /// The tables, by source name, that can be loaded with [`Sink::load_straight`].
    pub straight: BTreeSet<String>,
    /// Digest of the target tables' description, without row counts.
    pub schema: Digest,
    /// The same in marks, to name what has changed.
    pub declared: Marks,
    /// Rows already in each target table, by source name.
    pub counts: BTreeMap<String, u64>,
    /// What a person should know before loading (triggers that will run), one sentence each.
    pub notes: Vec<String>,
}

/// What a load did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Rows of this consignment in the target table.
    pub rows: u64,
    /// The marker was there before: nothing was inserted.
    pub already: bool,
    /// What took as long as it would without any row: a connection, a look at the table, the marker, the end of the
    /// transaction.
    pub aside: Duration,
}

/// The source at `url`: `sqlite:/path`, `postgres://user@host:port/db`, `mariadb://user@host:port/db` (or `mysql`) or
/// `csv:/folder`. Nothing is contacted yet. A line that leaves the machine is TLS with a verified certificate unless
/// the address ends in `?tls=off`; `?ca=FILE` names one's own authority.
///
/// # Errors
/// A refusal when the address cannot be read.
pub fn connect_source(url: &str, credential: Option<Credential>) -> Result<Box<dyn Source>> {
    Ok(match Address::parse(url, credential)? {
        Address::Csv(folder) => Box::new(csv::Folder::new(folder)),
        Address::MariaDb(server) => Box::new(mariadb::Database::new(server)),
        Address::Postgres(server) => Box::new(postgres::Database::new(server)),
        Address::Sqlite(path) => Box::new(sqlite::Database::new(path)),
    })
}

/// The target at `url`, as [`connect_source`]; files are no target.
///
/// # Errors
/// A refusal when the address cannot be read or names a folder of files.
pub fn connect_sink(url: &str, credential: Option<Credential>) -> Result<Box<dyn Sink>> {
    Ok(match Address::parse(url, credential)? {
        Address::Csv(_) => return Err(trouble::address("a folder of files cannot be loaded into")),
        Address::MariaDb(server) => Box::new(mariadb::Database::new(server)),
        Address::Postgres(server) => Box::new(postgres::Database::new(server)),
        Address::Sqlite(path) => Box::new(sqlite::Database::new(path)),
    })
}

/// Digest of a description, without its row counts: what "the schema did not change" means.
///
/// # Errors
/// A fault when it has no canonical form; a defect of ours.
pub fn schema_digest(tables: &[SourceTable]) -> Result<Digest> {
    let mut plain: Vec<_> = tables
        .iter()
        .map(|table| {
            let columns: Vec<_> =
                table.columns.iter().map(|column| (&column.name, &column.declared, column.nullable)).collect();
            let references: Vec<_> = table
                .references
                .iter()
                .map(|reference| (&reference.columns, &reference.table, &reference.other_columns))
                .collect();
            (&table.name, columns, &table.primary_key, references, table.definition)
        })
        .collect();
    plain.sort();
    lexicon::digest_of(&plain)
}
