//! The one way out of a source: batches pass `Scope::admit` here, and the scope's table is found here.

use std::sync::{Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use lexicon::{Result, Trouble};
use scope::{Rows, Scope, ScopedBatch, TableScope, Tally};

use crate::at_fault::AtFault;
use crate::trouble;

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
        raw.map(move |batch| self.admit(scope, table, &batch?, Rows::AlreadyFiltered)).boxed()
    }

    /// The counts so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The scope of a table by its source name.
pub(crate) fn table_scope<'a>(scope: &'a Scope, table: &str) -> Result<&'a TableScope> {
    scope.table(table).ok_or_else(|| trouble::no_table("the scope", table))
}

/// Whether a batch has exactly the columns that a table expects.
pub(crate) fn same_shape(table: &str, schema: &SchemaRef, batch: &RecordBatch) -> Result<()> {
    let ours = schema.fields().iter().map(|field| (field.name(), field.data_type()));
    let same = ours.eq(batch.schema_ref().fields().iter().map(|field| (field.name(), field.data_type())));
    if same { Ok(()) } else { Err(trouble::shape(table, "its columns are not the target schema's")) }
}
