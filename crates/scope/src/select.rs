use lexicon::Result;

use crate::predicate::sql;
use crate::{Dialect, Scope, TableScope};

/// What a source asks its database: `SELECT columns FROM from WHERE condition`. Compiled from the closed language and
/// quoted names; no part of it is free SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectSql {
    /// The taken columns, each as `t0."name"`, in the order of `source_schema`.
    pub columns: Vec<String>,
    /// The table, as `"name" AS t0`.
    pub from: String,
    /// True for the rows in scope; none when all are.
    pub condition: Option<String>,
    /// Each column that the condition compares, and a condition that is true for rows that hold a value of another type
    /// there. Only `SQLite` can have such rows. They are in no scope, so a source counts them first and refuses when there
    /// is one.
    pub misfits: Vec<(String, String)>,
}

impl TableScope {
    /// Compiles the table for a database that speaks `dialect`.
    ///
    /// # Errors
    /// A refusal when a name cannot be quoted or the dialect cannot make a comparison exactly.
    pub fn select_sql(&self, scope: &Scope, dialect: Dialect) -> Result<SelectSql> {
        let columns = self.take.iter().map(|take| Ok(format!("t0.{}", dialect.quote(&take.column)?)));
        Ok(SelectSql {
            columns: columns.collect::<Result<_>>()?,
            from: format!("{} AS t0", dialect.quote(&self.name)?),
            condition: sql::condition(scope, self, dialect)?,
            misfits: if dialect == Dialect::Sqlite { sql::misfits(self)? } else { Vec::new() },
        })
    }
}
