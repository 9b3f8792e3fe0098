//! The one way out of a source: batches pass `Scope::admit` here, and the scope's table is found here.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use futures::stream::{BoxStream, Stream};
use futures::{StreamExt, TryStreamExt};
use lexicon::{Result, Trouble};
use scope::{Followed, Lookups, Rows, Sampling, Scope, ScopedBatch, TableScope, TableTally, Tally};

use crate::at_fault::AtFault;
use crate::{Source, trouble};

/// What a snapshot's transforms changed so far, and the rows that could not pass.
#[derive(Default)]
pub(crate) struct Gate {
    tally: Mutex<Tally>,
    at_fault: AtFault,
}

impl Gate {
    /// With a tally of its own; rows at fault are kept where `at_fault` keeps them.
    pub(crate) fn beside(at_fault: &AtFault) -> Self {
        Self { tally: Mutex::default(), at_fault: at_fault.clone() }
    }

    /// Where rows that cannot pass are kept.
    pub(crate) fn at_fault(&self) -> &AtFault {
        &self.at_fault
    }

    /// Admits one batch.
    pub(crate) fn admit(&self, scope: &Scope, table: &str, batch: &RecordBatch, rows: Rows<'_>) -> Result<ScopedBatch> {
        let admitted = {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            scope.admit(table, batch, rows, &mut tally)
        };
        if let Err(Trouble::Refusal(_)) = &admitted {
            self.at_fault.keep_refused(scope, table, batch, rows);
        }
        admitted
    }

    /// Admits a whole stream whose source already applied the predicate.
    pub(crate) fn stream<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        raw: impl Stream<Item = Result<RecordBatch>> + Send + 'a,
    ) -> BoxStream<'a, Result<ScopedBatch>> {
        let raw = raw.map_err(trouble::of_source(table));
        raw.map(move |batch| self.admit(scope, table, &batch?, Rows::AlreadyFiltered)).boxed()
    }

    /// Admits the rows of a sample out of a whole stream. `all` are the keys in scope, for a source that cannot filter.
    pub(crate) fn sample<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        (sampling, all): (&'a Sampling, Option<Arc<Lookups>>),
        raw: impl Stream<Item = Result<RecordBatch>> + Send + 'a,
    ) -> BoxStream<'a, Result<ScopedBatch>> {
        let raw = raw.map_err(trouble::of_source(table));
        raw.map(move |batch| self.admit(scope, table, &batch?, Rows::Sample(sampling, all.as_deref()))).boxed()
    }

    /// The counts of one table so far.
    pub(crate) fn tally(&self, table: &str) -> TableTally {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.tables.get(table).cloned().unwrap_or_default()
    }
}

/// The scope of a table by its source name.
pub(crate) fn table_scope<'a>(scope: &'a Scope, table: &str) -> Result<&'a TableScope> {
    scope.table(table).ok_or_else(|| trouble::no_table("the scope", table))
}

/// The orphans of a target: whatever can be loaded can be read at one moment as well.
pub(crate) async fn orphans_of(target: &dyn Source, scope: &Scope, followed: &[Followed]) -> Result<Vec<u64>> {
    let moment = target.begin(false).await?;
    let mut orphans = Vec::with_capacity(followed.len());
    for reference in followed {
        orphans.push(moment.orphans(scope, reference).await?);
    }
    moment.finish().await?;
    Ok(orphans)
}

/// The columns taken, then those that only the predicate looks at.
pub(crate) fn wanted(taken: &TableScope) -> SchemaRef {
    let mut fields: Vec<_> = taken.source_schema().fields().iter().cloned().collect();
    for field in taken.filter_schema().fields() {
        if !fields.iter().any(|known| known.name() == field.name()) {
            fields.push(Arc::clone(field));
        }
    }
    Arc::new(Schema::new(fields))
}

/// The columns taken, and those that tell which other rows a row hangs on: what a database that has filtered still has to
/// show for a sample.
pub(crate) fn hanging(taken: &TableScope) -> SchemaRef {
    let reaches = taken.filter.as_ref().is_some_and(|filter| !filter.tables().is_empty());
    if reaches { wanted(taken) } else { taken.source_schema() }
}

/// Draws a sample: one pass over each table that predicates reach through, with the columns that this takes.
pub(crate) async fn drawn<'a, Reading>(
    scope: &'a Scope,
    mut sampling: Sampling,
    all: Option<&Lookups>,
    raw: impl Fn(&'a str) -> Reading,
) -> Result<Sampling>
where
    Reading: Future<Output = Result<BoxStream<'static, Result<RecordBatch>>>>,
{
    for table in Lookups::order(scope) {
        let named = trouble::of_source(table);
        let mut batches = raw(table).await.map_err(&named)?;
        while let Some(batch) = batches.try_next().await.map_err(&named)? {
            sampling.collect(scope, table, &batch, all)?;
        }
    }
    Ok(sampling)
}

/// The rows of a target table, each trouble named by it.
pub(crate) fn read_again<'a>(
    scope: &Scope,
    table: &str,
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'a,
) -> BoxStream<'a, Result<RecordBatch>> {
    let target = scope.table(table).map_or(table, |taken| taken.target.as_str());
    rows.map_err(trouble::of_target(target)).boxed()
}

/// Whether a batch has exactly the columns that a table expects.
pub(crate) fn same_shape(table: &str, schema: &SchemaRef, batch: &RecordBatch) -> Result<()> {
    let ours = schema.fields().iter().map(|field| (field.name(), field.data_type()));
    let same = ours.eq(batch.schema_ref().fields().iter().map(|field| (field.name(), field.data_type())));
    if same { Ok(()) } else { Err(trouble::shape(table, "its columns are not the target schema's")) }
}
