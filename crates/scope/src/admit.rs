use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_select::filter::filter;
use lexicon::Result;

use crate::predicate::eval;
use crate::{Lookups, Sampling, Scope, TableScope, Tally, transform, trouble};

/// Rows of one table that are in scope, in the columns and types of its `target_schema`. Only [`Scope::admit`] makes
/// one, and
/// [`DocumentsScope::carried`](crate::DocumentsScope::carried) of documents that were admitted; only such rows can be
/// sealed.
#[derive(Clone, Debug)]
pub struct ScopedBatch(RecordBatch);

impl ScopedBatch {
    /// The rows.
    pub fn batch(&self) -> &RecordBatch {
        &self.0
    }

    /// The rows, no longer known as admitted.
    pub fn into_batch(self) -> RecordBatch {
        self.0
    }

    /// Rows of an index of documents, each of which passed [`Scope::admit_document`].
    pub(crate) fn of_documents(index: RecordBatch) -> Self {
        Self(index)
    }

    /// How many.
    pub fn rows(&self) -> usize {
        self.0.num_rows()
    }

    /// The first of them, as many as there are or fewer; not copied.
    #[must_use]
    pub fn first(&self, rows: usize) -> Self {
        Self(self.0.slice(0, rows.min(self.rows())))
    }
}

/// Who applies the predicate.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    /// The source has: it ran the compiled predicate.
    AlreadyFiltered,
    /// The source cannot (a full dump): the predicate is evaluated here, with these keys of other tables.
    Filter(&'a Lookups),
    /// Rows in scope that are also in a sample. The source applied the predicate, unless keys are handed in.
    Sample(&'a Sampling, Option<&'a Lookups>),
}

impl Scope {
    /// Admits a source's batch: keeps the rows in scope and the taken columns, applies their transforms, counts it all.
    ///
    /// The batch has the source's names and the types of `source_schema`; columns in leave may be among them and go no
    /// further. Columns without a transform are passed on without copying when every row is admitted.
    ///
    /// # Errors
    /// A refusal when the table or a column is not in the scope, or when values have no image under a transform (with
    /// the columns and the numbers of such values, which the tally adds up over batches, never one of them); a fault
    /// when a column comes in another type.
    pub fn admit(&self, table: &str, batch: &RecordBatch, rows: Rows<'_>, tally: &mut Tally) -> Result<ScopedBatch> {
        let table = self.known(table)?;
        check_shape(table, batch)?;
        let passing = match rows {
            Rows::AlreadyFiltered => None,
            Rows::Filter(lookups) => eval::passing(table, batch, lookups)?,
            Rows::Sample(sampling, lookups) => sampling.passing(table, batch, lookups)?,
        };
        let admitted = passing.as_ref().map_or(batch.num_rows(), BooleanArray::true_count);
        // Nothing is counted for a batch that is refused half-way.
        let mut counts = Tally::default();
        let here = counts.tables.entry(table.name.clone()).or_default();
        here.rows_in = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        here.rows_admitted = u64::try_from(admitted).unwrap_or(u64::MAX);
        let mut columns = Vec::with_capacity(table.take.len());
        let mut refused = Vec::new();
        for take in &table.take {
            let array = batch
                .column_by_name(&take.column)
                .ok_or_else(|| trouble::columns(&table.name, &[], &[&take.column]))?;
            let kept = kept(array, passing.as_ref())?;
            if take.changes() {
                let (changed, column, bad) = transform::apply(&table.name, take, &kept)?;
                let foreign = transform::foreign(take, &changed);
                refused.extend(foreign.map(|(count, why)| (take.column.clone(), why, count)));
                columns.push(changed);
                here.columns.entry(take.column.clone()).or_default().add(&column);
                refused.extend(bad.into_iter().map(|(count, why)| (take.column.clone(), why, count)));
            } else {
                let foreign = transform::foreign(take, &kept);
                refused.extend(foreign.map(|(count, why)| (take.column.clone(), why, count)));
                columns.push(kept);
            }
        }
        if !refused.is_empty() {
            return Err(tally.refuse(&table.name, &refused));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(admitted));
        let scoped = RecordBatch::try_new_with_options(table.target_schema(), columns, &options)
            .map_err(|error| trouble::arrow("admission", &error))?;
        tally.merge(&counts);
        Ok(ScopedBatch(scoped))
    }
}

fn kept(array: &ArrayRef, passing: Option<&BooleanArray>) -> Result<ArrayRef> {
    match passing {
        Some(passing) if passing.true_count() < array.len() => {
            filter(array, passing).map_err(|error| trouble::arrow("filtering", &error))
        }
        Some(_) | None => Ok(Arc::clone(array)),
    }
}

/// Every column is known, every taken one is there once and in its type.
fn check_shape(table: &TableScope, batch: &RecordBatch) -> Result<()> {
    let schema = batch.schema();
    let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let left = |name: &str| table.leave.iter().any(|left| left == name);
    let unknown: Vec<&str> = found.iter().copied().filter(|name| table.taken(name).is_none() && !left(name)).collect();
    let missing = table.take.iter().map(|take| take.column.as_str()).filter(|name| !found.contains(name));
    let missing: Vec<&str> = missing.collect();
    if !unknown.is_empty() || !missing.is_empty() {
        return Err(trouble::columns(&table.name, &unknown, &missing));
    }
    for take in &table.take {
        let mut same = schema.fields().iter().filter(|field| *field.name() == take.column);
        let kind = take.read_kind();
        if same.next().is_none_or(|field| *field.data_type() != kind.arrow()) {
            return Err(trouble::batch_shape(&table.name, &take.column, format!("{kind} is expected")));
        }
        if same.next().is_some() {
            return Err(trouble::batch_shape(&table.name, &take.column, "it is there twice"));
        }
    }
    Ok(())
}
