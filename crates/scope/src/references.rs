use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use lexicon::Result;

use crate::predicate::{Node, eval};
use crate::{Dialect, Kind, Lookups, Predicate, Reference, Scope, SourceTable, TableScope, Take};

/// What leads from rows of one table to rows of another, in names of the source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableReference {
    /// The table here.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table there; the same one when rows lead to rows beside them.
    pub other: String,
    /// Its columns, in the same order.
    pub other_columns: Vec<String>,
}

/// A reference as one system can follow it.
#[derive(Clone, Debug)]
pub struct Followed {
    scope: Arc<Scope>,
    /// The rows whose reference is not null.
    pointing: TableScope,
    /// The rows whose reference leads to a row. Those that point and do not arrive are counted by subtraction: a
    /// database answers `exists` by joining, and `not exists` by looking for every row, or with the answer in memory.
    arriving: TableScope,
}

impl Scope {
    /// The references between its tables that can be followed in the target: foreign keys of the source, as `found`
    /// describes them, and what `exists in` follows; each once. Both sides are taken, and are integers or are text.
    pub fn references(&self, found: &[SourceTable]) -> Vec<TableReference> {
        let found: BTreeMap<&str, &SourceTable> = found.iter().map(|found| (found.name.as_str(), found)).collect();
        let (mut references, mut known) = (Vec::new(), BTreeSet::new());
        for table in self.tables() {
            let declared = found.get(table.name.as_str()).into_iter().flat_map(|described| &described.references);
            let declared = declared.map(|reference| declared_by(table, reference, &found));
            for reference in declared.chain(table.filter.iter().flat_map(|filter| followed_by(table, filter))) {
                if reference.in_target(self).is_some() && known.insert(reference.clone()) {
                    references.push(reference);
                }
            }
        }
        references
    }
}

fn declared_by(table: &TableScope, reference: &Reference, found: &BTreeMap<&str, &SourceTable>) -> TableReference {
    // SQLite may name no columns there, and means the primary key.
    let unnamed = reference.other_columns.iter().all(String::is_empty);
    let key = found.get(reference.table.as_str()).filter(|_| unnamed).map(|found| &found.primary_key);
    TableReference {
        table: table.name.clone(),
        columns: reference.columns.clone(),
        other: reference.table.clone(),
        other_columns: key.unwrap_or(&reference.other_columns).clone(),
    }
}

fn followed_by(table: &TableScope, filter: &Predicate) -> Vec<TableReference> {
    let mut followed = Vec::new();
    filter.0.visit(&mut |node| {
        if let Node::Exists { table: other, pairs } = node {
            let (columns, other_columns) = pairs.iter().cloned().unzip();
            let (table, other) = (table.name.clone(), other.clone());
            followed.push(TableReference { table, columns, other, other_columns });
        }
    });
    followed
}

impl TableReference {
    /// Followed among the rows in scope of the source. None when a transform changes one of its columns: the source has
    /// other values there than the target.
    pub fn in_source(&self, scope: &Arc<Scope>) -> Option<Followed> {
        let (here, there) = (scope.table(&self.table)?, scope.table(&self.other)?);
        let pairs = self.pairs(here, there, Take::source_kind)?;
        let unchanged = |table: &TableScope, column: &String| table.taken(column).is_some_and(|take| !take.changes());
        let stays = pairs.iter().all(|(this, that)| unchanged(here, this) && unchanged(there, that));
        stays.then(|| Followed::of(Arc::clone(scope), here, there, pairs))
    }

    /// Followed among all rows of the target's tables.
    pub fn in_target(&self, scope: &Scope) -> Option<Followed> {
        let (here, there) = (scope.table(&self.table)?, scope.table(&self.other)?);
        let target = |table: &TableScope, column: &String| table.taken(column).map(|take| take.target.clone());
        let pairs = self.pairs(here, there, |take| take.kind)?;
        let pairs = pairs.iter().map(|(this, that)| Some((target(here, this)?, target(there, that)?)));
        let (here, there) = (here.loaded(), there.loaded());
        let scope = Scope::of_loaded(vec![here.clone(), there.clone()]);
        Some(Followed::of(Arc::new(scope), &here, &there, pairs.collect::<Option<_>>()?))
    }

    /// The columns side by side, when they compare in the kinds that `kind` tells.
    fn pairs(
        &self,
        here: &TableScope,
        there: &TableScope,
        kind: impl Fn(&Take) -> Kind,
    ) -> Option<Vec<(String, String)>> {
        let compare = |this: Kind, that: Kind| {
            (this.is_integer() && that.is_integer()) || (this == Kind::Text && that == Kind::Text)
        };
        let whole = !self.columns.is_empty() && self.columns.len() == self.other_columns.len();
        let pairs = self.columns.iter().zip(&self.other_columns).map(|(this, that)| {
            let comparing = compare(kind(here.taken(this)?), kind(there.taken(that)?));
            comparing.then(|| (this.clone(), that.clone()))
        });
        pairs.collect::<Option<Vec<_>>>().filter(|_| whole)
    }
}

impl Followed {
    fn of(scope: Arc<Scope>, here: &TableScope, there: &TableScope, pairs: Vec<(String, String)>) -> Self {
        let narrowed = |more: Vec<Node>| {
            let nodes = here.filter.iter().map(|filter| filter.0.clone()).chain(more).collect();
            TableScope { filter: Some(Predicate(Node::And(nodes))), ..here.clone() }
        };
        let given = pairs.iter().map(|(this, _)| Node::Not(Box::new(Node::IsNull { column: this.clone() })));
        let pointing = narrowed(given.collect());
        let arriving = narrowed(vec![Node::Exists { table: there.name.clone(), pairs }]);
        Self { scope, pointing, arriving }
    }

    /// The table whose rows point.
    pub fn table(&self) -> &str {
        &self.pointing.name
    }

    /// Two counting queries, of the rows that point and of those that arrive. The orphans are the difference.
    ///
    /// # Errors
    /// As [`TableScope::select_sql`].
    pub fn counts_sql(&self, dialect: Dialect) -> Result<[String; 2]> {
        let counting = |table: &TableScope| -> Result<String> {
            let select = table.select_sql(&self.scope, dialect)?;
            let condition = select.condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
            Ok(format!("SELECT count(*) FROM {}{condition}", select.from))
        };
        Ok([counting(&self.pointing)?, counting(&self.arriving)?])
    }

    /// The orphans of a batch, for a source that cannot count: the batch and `lookups` as for [`Lookups::collect`].
    ///
    /// # Errors
    /// A fault when the batch lacks a column, or the keys of the table there were not collected.
    pub fn orphans_in(&self, batch: &RecordBatch, lookups: &Lookups) -> Result<u64> {
        let rows = |table: &TableScope| -> Result<usize> {
            Ok(eval::passing(table, batch, lookups)?.as_ref().map_or(0, BooleanArray::true_count))
        };
        let orphans = rows(&self.pointing)?.saturating_sub(rows(&self.arriving)?);
        Ok(u64::try_from(orphans).unwrap_or(u64::MAX))
    }
}
