//! Which rows a rehearsal takes: a pure function of a seed, of what was drawn after it, and of the rows themselves, closed
//! under `exists in`.
//!
//! * A table whose predicate reaches no other (a *root*) gives each row in scope whose key, hashed under both, falls below
//!   the percentage. Without a key the whole taken row is hashed.
//! * A table whose predicate has an `exists in` gives each row in scope for which the predicate also holds when only
//!   sampled rows of the other tables exist: whatever a sampled row reaches through is in the sample.
//! * A root that no predicate reaches through, with at most [`WHOLE_ROWS_MAX`] rows in scope, is taken whole: lists that
//!   rows of other tables point to without a predicate saying so.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{BooleanArray, RecordBatch};
use lexicon::{Digest, Result};

use crate::predicate::{Node, eval};
use crate::value::Column;
use crate::{Lookups, Scope, TableScope, Take, row, trouble};

/// Prescribers, wards, tests: the longest such list of a French laboratory has some hundred lines.
pub const WHOLE_ROWS_MAX: u64 = 1_000;
/// Rows that are hashed at once.
const ROWS_AT_ONCE: usize = 256;
/// Basis points of everything.
const EVERYTHING: u32 = 10_000;
/// How much wider a table's sample may spread than that of the root it hangs on: rows come in clusters (all results of
/// one patient), and where the sizes of clusters vary by a factor v (standard deviation over mean), the spread is the
/// root's times √(1 + v²). 3 allows v = 2.8.
const CLUSTERS: u128 = 3;
/// Standard deviations: one honest sample of 15,000 lies beyond.
const DEVIATIONS: u128 = 4;

/// Which sample, and how much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Named by whoever opens the rehearsal. Another seed, another sample.
    pub seed: u32,
    /// What somebody else drew once the seed was signed: whoever names the seed cannot search for one whose sample has a
    /// patient of their choice in it.
    pub drawn: Digest,
    /// Hundredths of a percent: 1 to 10,000.
    pub basis_points: u32,
}

impl Sample {
    /// Each table is drawn by a key of its own, so that equal numbers in two tables are not drawn together.
    fn key(&self, table: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("lazaret/1/sample");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&self.drawn.0);
        hasher.update(table.as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn falls_below(&self, key: &[u8; 32], row: &[u8]) -> bool {
        let hash = blake3::keyed_hash(key, row);
        let number = hash.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
        // 2^64 is so much larger than 10,000 that what the remainder prefers is below one row of any table.
        number.checked_rem(u64::from(EVERYTHING)).is_some_and(|number| number < u64::from(self.basis_points))
    }

    /// Whether a document is in the sample: by its name, like a row by its key.
    pub fn takes_document(&self, part: &str, name: &str) -> bool {
        self.falls_below(&self.key(part), name.as_bytes())
    }

    /// Whether a part's sample has the size that it should, as [`Sampling::holds`] says it of a root.
    ///
    /// # Errors
    /// A refusal with the part and the three numbers.
    pub fn holds_documents(&self, part: &str, in_scope: u64, sampled: u64) -> Result<()> {
        let (least, most) = self.bounds(in_scope, in_scope, 1);
        if (least..=most).contains(&sampled) {
            return Ok(());
        }
        Err(trouble::outside_sample_of_documents(part, sampled, (least, most)))
    }

    /// The least and the most rows, of `in_scope`, when `root` rows are what is drawn from.
    fn bounds(&self, in_scope: u64, root: u64, clusters: u128) -> (u64, u64) {
        let (rows, root) = (u128::from(in_scope), u128::from(root).max(1));
        let (taken, left) = (u128::from(self.basis_points), u128::from(EVERYTHING.saturating_sub(self.basis_points)));
        // Everything in ten-thousandths of a row.
        let unit = u128::from(EVERYTHING);
        let expected = rows.saturating_mul(taken);
        let deviation = root.saturating_mul(taken).saturating_mul(left).isqrt();
        // The root's relative spread, on this table's rows.
        let deviation = deviation.saturating_mul(rows).checked_div(root).unwrap_or(0);
        let chance = deviation.saturating_mul(DEVIATIONS).saturating_mul(clusters);
        let beyond = (expected / 50).saturating_add(chance).saturating_add(unit);
        let least = expected.saturating_sub(beyond).div_ceil(unit);
        let most = expected.saturating_add(beyond).checked_div(unit).unwrap_or(0).min(rows);
        (u64::try_from(least).unwrap_or(u64::MAX), u64::try_from(most).unwrap_or(u64::MAX))
    }
}

/// A sample of one moment of a source: built by one pass over each table that [`Lookups::order`] names, in that order.
/// About 40 bytes of memory for each different key of a sampled row.
pub struct Sampling {
    sample: Sample,
    /// Rows in scope, by source table.
    rows: BTreeMap<String, u64>,
    /// Tables that some predicate reaches through.
    reached: BTreeSet<String>,
    /// Keys of sampled rows only.
    lookups: Lookups,
}

impl Sampling {
    /// Nothing is drawn yet. `rows` are those in scope, by source table.
    pub fn new(scope: &Scope, sample: Sample, rows: BTreeMap<String, u64>) -> Self {
        let reached: BTreeSet<String> = Lookups::order(scope).into_iter().map(str::to_owned).collect();
        let mut lookups = Lookups::default();
        for table in &reached {
            lookups.expect(scope, table);
        }
        Self { sample, rows, reached, lookups }
    }

    /// Takes the keys of sampled rows out of a source's batch of a table that [`Lookups::order`] names. `all` are the
    /// keys of all rows in scope, for a source that did not apply the predicate.
    ///
    /// # Errors
    /// As [`Lookups::collect`].
    pub fn collect(&mut self, scope: &Scope, table: &str, batch: &RecordBatch, all: Option<&Lookups>) -> Result<()> {
        let table = scope.known(table)?;
        let passing = self.passing(table, batch, all)?;
        self.lookups.take(scope, table, batch, passing.as_ref())
    }

    /// Which rows of a source's batch are in scope and in the sample; `None` when all are.
    pub(crate) fn passing(
        &self,
        table: &TableScope,
        batch: &RecordBatch,
        all: Option<&Lookups>,
    ) -> Result<Option<BooleanArray>> {
        let in_scope = all.map(|all| eval::passing(table, batch, all)).transpose()?.flatten();
        let drawn = if is_root(table) {
            if self.is_whole(table) { None } else { Some(self.drawn(table, batch)?) }
        } else {
            eval::passing(table, batch, &self.lookups)?
        };
        Ok(match (in_scope, drawn) {
            (Some(one), Some(other)) => {
                let both = one.values().iter().zip(other.values().iter()).map(|(one, other)| Some(one && other));
                Some(both.collect())
            }
            (one, other) => one.or(other),
        })
    }

    fn is_whole(&self, table: &TableScope) -> bool {
        let few = self.rows.get(&table.name).is_some_and(|rows| *rows <= WHOLE_ROWS_MAX);
        few && !self.reached.contains(&table.name)
    }

    fn drawn(&self, table: &TableScope, batch: &RecordBatch) -> Result<BooleanArray> {
        let key = self.sample.key(&table.name);
        let hashed = |take: &&Take| table.key.is_empty() || table.key.contains(&take.column);
        let columns = table.take.iter().filter(hashed).map(|take| {
            let array = batch.column_by_name(&take.column);
            let column = array.and_then(|array| Column::of(take.read_kind(), array));
            column.ok_or_else(|| trouble::batch_shape(&table.name, &take.column, "its rows are drawn by it"))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut buffers: Vec<Vec<u8>> = vec![Vec::new(); ROWS_AT_ONCE];
        let mut drawn = Vec::with_capacity(batch.num_rows());
        for from in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
            buffers.iter_mut().for_each(Vec::clear);
            for column in &columns {
                row::push(&mut buffers, column, from);
            }
            let rows = batch.num_rows().saturating_sub(from);
            drawn.extend(buffers.iter().take(rows).map(|bytes| self.sample.falls_below(&key, bytes)));
        }
        Ok(drawn.into_iter().map(Some).collect())
    }

    /// Whether a table's sample has the size that it should: its expectation give or take 2 %, and room for chance:
    /// four standard deviations of the binomial, three times as much for a table that hangs on a sampled root, and one
    /// row. Of a table that reaches others in any other way than by one `exists in` that must hold, only that it has no
    /// more rows than the scope is known.
    ///
    /// # Errors
    /// A refusal with the table and the three numbers.
    pub fn holds(&self, scope: &Scope, table: &str, sampled: u64) -> Result<()> {
        let table = scope.known(table)?;
        let in_scope = self.rows.get(&table.name).copied().unwrap_or(0);
        let (least, most) = if is_root(table) && self.is_whole(table) {
            (in_scope, in_scope)
        } else {
            self.root_of(scope, table).map_or((0, in_scope), |root| {
                let clusters = if is_root(table) { 1 } else { CLUSTERS };
                self.sample.bounds(in_scope, root, clusters)
            })
        };
        if (least..=most).contains(&sampled) {
            return Ok(());
        }
        Err(trouble::outside_sample(&table.name, sampled, (least, most)))
    }

    /// How many rows in scope the root has that a table hangs on by one `exists in` after the other.
    fn root_of(&self, scope: &Scope, table: &TableScope) -> Option<u64> {
        let Some(filter) = table.filter.as_ref().filter(|_| !is_root(table)) else {
            return self.rows.get(&table.name).copied();
        };
        self.root_of(scope, scope.table(only_way(&filter.0)?)?)
    }
}

/// Whether its predicate reaches no other table.
fn is_root(table: &TableScope) -> bool {
    table.filter.as_ref().is_none_or(|filter| filter.tables().is_empty())
}

/// The table that a predicate reaches by the one `exists in` that must hold, when it has exactly one.
fn only_way(node: &Node) -> Option<&str> {
    let mut ways = 0_u32;
    node.visit(&mut |node| ways = ways.saturating_add(u32::from(reached(node).is_some())));
    let must_hold = if let Node::And(parts) = node { parts.as_slice() } else { std::slice::from_ref(node) };
    must_hold.iter().find_map(reached).filter(|_| ways == 1)
}

fn reached(node: &Node) -> Option<&str> {
    if let Node::Exists { table, .. } = node { Some(table) } else { None }
}
