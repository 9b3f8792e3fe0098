//! The rows that a refusal is about. This room holds no key and names no row: it keeps the first of them in memory, for
//! whoever holds the consignment's keys to name by keyed digest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::DataType;
use scope::{Rows, Scope, TableScope, Tally};

use crate::columns::Batcher;

/// Three rows of a table: enough to see a pattern, and each keeps the whole batch that it stood in.
pub(crate) const ROWS_KEPT_MAX: usize = 3;

/// By table. Clones share what they keep.
#[derive(Clone, Default)]
pub(crate) struct AtFault(Arc<Mutex<BTreeMap<String, Vec<RecordBatch>>>>);

impl AtFault {
    /// Keeps the first rows of a table, each a batch of one.
    pub(crate) fn keep(&self, table: &str, row: RecordBatch) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = tables.entry(table.to_owned()).or_default();
        if rows.len() < ROWS_KEPT_MAX {
            rows.push(row);
        }
    }

    /// A table is read or loaded anew.
    pub(crate) fn forget(&self, table: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(table);
    }

    /// Keeps rows of a target of which nothing but the key is known, each value as text in the order of [`key_of`].
    pub(crate) fn keep_keys(&self, table: &TableScope, keys: Vec<Vec<Option<String>>>) {
        let rows = keys.into_iter().filter_map(|key| key_alone(table, &key.into_iter().collect::<Option<Vec<_>>>()?));
        rows.take(ROWS_KEPT_MAX).for_each(|row| self.keep(&table.name, row));
    }

    /// As they were kept.
    pub(crate) fn rows(&self, table: &str) -> Vec<RecordBatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned().unwrap_or_default()
    }

    /// Rows of a source, with their keys alone, as the scope's target would have them. What a column cannot hold is in
    /// none of them; a row whose key is what cannot be held has no name and is left out.
    pub(crate) fn keyed(&self, scope: &Scope, table: &str) -> Vec<RecordBatch> {
        self.rows(table).iter().filter_map(|row| keys_alone(scope, table, row)).collect()
    }

    /// Keeps the rows that admission refuses one by one. Not when it would refuse any batch of this form.
    pub(crate) fn keep_refused(&self, scope: &Scope, table: &str, batch: &RecordBatch, rows: Rows<'_>) {
        let refused = |part: &RecordBatch| scope.admit(table, part, rows, &mut Tally::default()).is_err();
        if refused(&batch.slice(0, 0)) {
            return;
        }
        let one_by_one = (0..batch.num_rows()).map(|row| batch.slice(row, 1));
        one_by_one.filter(refused).take(ROWS_KEPT_MAX).for_each(|row| self.keep(table, row));
    }
}

/// The columns of a table's key in the target, with their kinds. None when there is no key, or one of floats, bytes or
/// truth values, which a system can spell in several ways.
pub(crate) fn key_of(table: &TableScope) -> Option<Vec<(&str, DataType)>> {
    let schema = table.target_schema();
    let columns = table.key.iter().map(|key| {
        let target = table.take.iter().find(|take| take.column == *key)?.target.as_str();
        let kind = schema.field_with_name(target).ok()?.data_type();
        let has_one_spelling = !matches!(kind, DataType::Boolean | DataType::Binary | DataType::Float64);
        has_one_spelling.then(|| (target, kind.clone()))
    });
    columns.collect::<Option<Vec<_>>>().filter(|columns| !columns.is_empty())
}

fn key_alone(table: &TableScope, key: &[String]) -> Option<RecordBatch> {
    let (schema, names) = (table.target_schema(), key_of(table)?);
    // Read into the key's own kinds, so that the same value has the same digest however a system spells it.
    let mut batcher = Batcher::new(&table.target, Arc::clone(&schema), &AtFault::default()).ok()?;
    for (index, field) in schema.fields().iter().enumerate() {
        let text = names.iter().zip(key).find_map(|((name, _), text)| (name == field.name()).then_some(text));
        batcher.cell(index, text.map_or(0, String::len), |cells| {
            if let Some(text) = text {
                return cells.read(text);
            }
            cells.null();
            Ok(())
        });
    }
    let full = batcher.end_row().ok()?;
    full.or(batcher.finish().ok()?)
}

fn keys_alone(scope: &Scope, table: &str, row: &RecordBatch) -> Option<RecordBatch> {
    let key = &scope.table(table)?.key;
    let columns = row.schema_ref().fields().iter().zip(row.columns()).map(|(field, column)| {
        if key.contains(field.name()) { column.clone() } else { new_null_array(field.data_type(), row.num_rows()) }
    });
    let whole = key.iter().all(|name| row.column_by_name(name).is_some_and(|column| column.null_count() == 0));
    let keys = RecordBatch::try_new(row.schema(), columns.collect()).ok().filter(|_| whole)?;
    Some(scope.admit(table, &keys, Rows::AlreadyFiltered, &mut Tally::default()).ok()?.into_batch())
}
