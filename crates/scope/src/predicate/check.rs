//! Whether a predicate speaks of columns that exist, in their types, and of tables that can be reached.

use std::collections::BTreeSet;

use lexicon::Result;

use super::Node;
use crate::{Kind, TableScope, trouble};

/// The type in which the predicate of `table` compares `column`; `None` when only `is null` looks at it.
pub(crate) fn kind_of(table: &TableScope, column: &str) -> Option<Kind> {
    match table.taken(column) {
        Some(take) => Some(take.source_kind()),
        None => table.filter.as_ref().and_then(|filter| filter.kind_by_constants(column)),
    }
}

/// Checks the predicates of all tables.
///
/// # Errors
/// A refusal for an unknown column, a constant of another type, or an `exists` that leads nowhere or in a circle.
pub(crate) fn check(tables: &[TableScope]) -> Result<()> {
    for table in tables {
        let Some(filter) = &table.filter else { continue };
        let mut outcome = Ok(());
        filter.0.visit(&mut |node| {
            if outcome.is_ok() {
                outcome = check_node(tables, table, node);
            }
        });
        outcome?;
        no_circle(tables, table, &mut BTreeSet::new())?;
    }
    Ok(())
}

fn check_node(tables: &[TableScope], table: &TableScope, node: &Node) -> Result<()> {
    match node {
        Node::And(_) | Node::Or(_) | Node::Not(_) => Ok(()),
        Node::IsNull { column } => known(table, column),
        Node::Compare { column, constant, .. } => check_constants(table, column, std::slice::from_ref(constant)),
        Node::In { column, constants } => check_constants(table, column, constants),
        Node::Exists { table: other, pairs } => {
            let Some(other) = tables.iter().find(|candidate| candidate.name == *other) else {
                return Err(trouble::exists(&table.name, format!("table {other} is not in the scope")));
            };
            pairs.iter().try_for_each(|(this, there)| {
                let (left, right) = (joinable(table, this), joinable(other, there));
                match (left, right) {
                    (Some(left), Some(right)) if left == right => Ok(()),
                    _ => {
                        let pair = format!("{this} and {there} of table {} do not compare", other.name);
                        Err(trouble::exists(&table.name, pair))
                    }
                }
            })
        }
    }
}

fn known(table: &TableScope, column: &str) -> Result<()> {
    let known = table.taken(column).is_some() || table.leave.iter().any(|left| left == column);
    if known { Ok(()) } else { Err(trouble::predicate_kind(&table.name, column, "it is neither in take nor in leave")) }
}

fn check_constants(table: &TableScope, column: &str, constants: &[super::Literal]) -> Result<()> {
    known(table, column)?;
    let Some(kind) = kind_of(table, column) else {
        return Err(trouble::predicate_kind(
            &table.name,
            column,
            "a constant with a point does not tell its type: take it",
        ));
    };
    let wrong = constants.iter().find_map(|constant| constant.in_kind(kind).err());
    wrong.map_or(Ok(()), |why| Err(trouble::predicate_kind(&table.name, column, why)))
}

/// How a column compares across tables: as an integer (true) or as text (false); `None` when it does not.
fn joinable(table: &TableScope, column: &str) -> Option<bool> {
    let kind = table.taken(column)?.source_kind();
    if kind.is_integer() {
        Some(true)
    } else if kind == Kind::Text {
        Some(false)
    } else {
        None
    }
}

fn no_circle<'a>(tables: &'a [TableScope], table: &'a TableScope, above: &mut BTreeSet<&'a str>) -> Result<()> {
    if !above.insert(&table.name) {
        return Err(trouble::exists(&table.name, "it leads back to this table"));
    }
    for other in table.filter.iter().flat_map(super::Predicate::tables) {
        if let Some(other) = tables.iter().find(|candidate| candidate.name == other) {
            no_circle(tables, other, above)?;
        }
    }
    above.remove(table.name.as_str());
    Ok(())
}
