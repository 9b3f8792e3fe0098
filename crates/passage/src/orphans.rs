//! Rows whose reference leads nowhere: counted in the old system's scope and in the target, and never looked at.

use std::sync::Arc;

use connectors::{Sink, Snapshot};
use lexicon::{Alarm, Code, Result};
use procedure::Orphans;
use scope::{Followed, Scope, SourceTable, TableReference};

/// The references between the tables of a scope, each with its orphans among the rows in scope. A `part` of them was
/// sampled: what leads out of a sample says nothing about the old system, and only the target is counted then.
pub(crate) async fn in_source(
    snapshot: &dyn Snapshot,
    scope: &Arc<Scope>,
    found: &[SourceTable],
    part: bool,
) -> Result<Vec<Orphans>> {
    let mut counted = Vec::new();
    for reference in scope.references(found) {
        let source = match reference.in_source(scope).filter(|_| !part) {
            Some(followed) => Some(snapshot.orphans(scope, &followed).await?),
            None => None,
        };
        let TableReference { table, columns, other, other_columns } = reference;
        counted.push(Orphans { table, columns, other, other_columns, source, target: None });
    }
    Ok(counted)
}

/// The manifest's references, each with its orphans in the target as well.
pub(crate) async fn in_target(sink: &dyn Sink, scope: &Scope, sealed: &[Orphans]) -> Result<Vec<Orphans>> {
    let followed = sealed.iter().map(|orphans| {
        let Orphans { table, columns, other, other_columns, .. } = orphans.clone();
        TableReference { table, columns, other, other_columns }.in_target(scope).ok_or_else(|| {
            let what =
                format!("the manifest speaks of a reference that the scope does not have: {}", orphans.reference());
            Alarm::new(Code(639), what).into()
        })
    });
    let followed = followed.collect::<Result<Vec<Followed>>>()?;
    let counted = if followed.is_empty() { Vec::new() } else { sink.orphans(scope, &followed).await? };
    Ok(sealed
        .iter()
        .zip(counted)
        .map(|(orphans, target)| Orphans { target: Some(target), ..orphans.clone() })
        .collect())
}
