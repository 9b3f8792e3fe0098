use std::collections::{BTreeMap, HashSet};

use arrow_array::{BooleanArray, RecordBatch};
use lexicon::Result;

use crate::predicate::Node;
use crate::predicate::eval;
use crate::value::Column;
use crate::{Scope, TableScope, trouble};

/// The keys of the rows in scope of other tables, for `exists in` where the source cannot filter. Built by one pass
/// over each table that [`Lookups::order`] names, in that order. About 40 bytes of memory for each different key.
#[derive(Default)]
pub struct Lookups {
    /// By table, then by the columns that some predicate compares there.
    tables: BTreeMap<String, BTreeMap<Vec<String>, Keys>>,
}

/// The different keys of one list of columns, each as 16 bytes of its hash: with 10^9 keys, two different ones meet by
/// chance with a probability of 10^18 / 2^129, under 10^-20.
#[derive(Default)]
pub(crate) struct Keys(HashSet<[u8; 16]>);

impl Lookups {
    /// The tables whose keys must be collected before other tables can be filtered; a table comes after those that its
    /// own predicate needs.
    pub fn order(scope: &Scope) -> Vec<&str> {
        fn add<'a>(scope: &'a Scope, table: &'a TableScope, out: &mut Vec<&'a str>) {
            for other in table.filter.iter().flat_map(crate::Predicate::tables) {
                if let Some(other) = scope.table(&other) {
                    add(scope, other, out);
                    if !out.contains(&other.name.as_str()) {
                        out.push(&other.name);
                    }
                }
            }
        }
        let mut out = Vec::new();
        for table in scope.tables() {
            add(scope, table, &mut out);
        }
        out
    }

    /// Takes the keys of the rows in scope out of a source's batch (the columns of `source_schema` and
    /// `filter_schema`). A table that no predicate reaches through is passed over.
    ///
    /// # Errors
    /// A refusal for a table outside the scope; a fault when the batch lacks a column or a table's turn has not come.
    pub fn collect(&mut self, scope: &Scope, table: &str, batch: &RecordBatch) -> Result<()> {
        let table = scope.known(table)?;
        if wanted(scope, &table.name).is_empty() {
            return Ok(());
        }
        let passing = eval::passing(table, batch, self)?;
        self.take(scope, table, batch, passing.as_ref())
    }

    /// Says that a table's keys are collected from here on: one without rows has none.
    pub fn expect(&mut self, scope: &Scope, table: &str) {
        let here = self.tables.entry(table.to_owned()).or_default();
        here.extend(wanted(scope, table).into_iter().map(|names| (names, Keys::default())));
    }

    /// The keys of the rows that pass.
    pub(crate) fn take(
        &mut self,
        scope: &Scope,
        table: &TableScope,
        batch: &RecordBatch,
        passing: Option<&BooleanArray>,
    ) -> Result<()> {
        let wanted = wanted(scope, &table.name);
        let here = self.tables.entry(table.name.clone()).or_default();
        for names in wanted {
            let columns = names.iter().map(|name| column(table, batch, name)).collect::<Result<Vec<_>>>()?;
            let keys = here.entry(names).or_default();
            for row in 0..batch.num_rows() {
                if passing.is_none_or(|passing| passing.value(row)) {
                    keys.0.extend(key(&columns, row));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn keys(&self, table: &str, pairs: &[(String, String)]) -> Option<&Keys> {
        let names: Vec<String> = pairs.iter().map(|(_, there)| there.clone()).collect();
        self.tables.get(table)?.get(&names)
    }
}

impl Keys {
    /// Whether the row's values are a key here; a row with a null among them never is.
    pub(crate) fn holds(&self, columns: &[Column<'_>], row: usize) -> bool {
        key(columns, row).is_some_and(|key| self.0.contains(&key))
    }
}

fn column<'a>(table: &TableScope, batch: &'a RecordBatch, name: &str) -> Result<Column<'a>> {
    let lacks = || trouble::batch_shape(&table.name, name, "another table's predicate looks at it");
    let take = table.taken(name).ok_or_else(lacks)?;
    batch.column_by_name(name).and_then(|array| Column::of(take.read_kind(), array)).ok_or_else(lacks)
}

/// The lists of columns of `table` that some predicate compares, each once.
fn wanted(scope: &Scope, table: &str) -> Vec<Vec<String>> {
    let mut lists: Vec<Vec<String>> = Vec::new();
    for filter in scope.tables().iter().filter_map(|other| other.filter.as_ref()) {
        filter.0.visit(&mut |node| {
            if let Node::Exists { table: other, pairs } = node
                && other == table
            {
                let list: Vec<String> = pairs.iter().map(|(_, there)| there.clone()).collect();
                if !lists.contains(&list) {
                    lists.push(list);
                }
            }
        });
    }
    lists
}

fn key(columns: &[Column<'_>], row: usize) -> Option<[u8; 16]> {
    let mut hasher = blake3::Hasher::new();
    for column in columns {
        if column.is_null(row) {
            return None;
        }
        match column {
            Column::Int64(array) => {
                hasher.update(&i128::from(array.value(row)).to_le_bytes());
            }
            Column::UInt64(array) => {
                hasher.update(&i128::from(array.value(row)).to_le_bytes());
            }
            Column::Text(array) => {
                let text = array.value(row);
                hasher.update(&u64::try_from(text.len()).ok()?.to_le_bytes());
                hasher.update(text.as_bytes());
            }
            Column::Bool(_)
            | Column::Float64(_)
            | Column::Decimal(..)
            | Column::Bytes(_)
            | Column::Date(_)
            | Column::Time(_)
            | Column::Timestamp(_)
            | Column::TimestampTz(_) => return None,
        }
    }
    hasher.finalize().as_bytes().first_chunk().copied()
}
