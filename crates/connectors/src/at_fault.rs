//! The rows that a refusal is about. This room holds no key and names no row: it keeps the first of them in memory, for
//! whoever holds the consignment's keys to name by keyed digest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{RecordBatch, new_null_array};
use scope::{Rows, Scope, Tally};

/// Three rows of a table: enough to see a pattern, and each keeps the whole batch that it stood in.
const ROWS_KEPT_MAX: usize = 3;

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

fn keys_alone(scope: &Scope, table: &str, row: &RecordBatch) -> Option<RecordBatch> {
    let key = &scope.table(table)?.key;
    let columns = row.schema_ref().fields().iter().zip(row.columns()).map(|(field, column)| {
        if key.contains(field.name()) { column.clone() } else { new_null_array(field.data_type(), row.num_rows()) }
    });
    let whole = key.iter().all(|name| row.column_by_name(name).is_some_and(|column| column.null_count() == 0));
    let keys = RecordBatch::try_new(row.schema(), columns.collect()).ok().filter(|_| whole)?;
    Some(scope.admit(table, &keys, Rows::AlreadyFiltered, &mut Tally::default()).ok()?.into_batch())
}
