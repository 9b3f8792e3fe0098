//! A predicate over a batch, with the three truth values of SQL.

use std::cmp::Ordering;

use arrow_array::{BooleanArray, RecordBatch};
use lexicon::Result;

use super::{Node, Operator, check};
use crate::value::Column;
use crate::{Kind, Lookups, TableScope, Take, trouble};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    False,
    True,
    Unknown,
}

impl Truth {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            (Self::Unknown, Self::True | Self::Unknown) | (Self::True, Self::Unknown) => Self::Unknown,
        }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::True => Self::False,
            Self::Unknown => Self::Unknown,
        }
    }

    fn of(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Which rows of a source's batch the predicate of `table` lets pass; `None` when it has none.
///
/// # Errors
/// A fault when the batch lacks a column that the predicate looks at, or has it in another type, or when the keys of
/// another table were not collected before.
pub(crate) fn passing(table: &TableScope, batch: &RecordBatch, lookups: &Lookups) -> Result<Option<BooleanArray>> {
    let Some(filter) = &table.filter else { return Ok(None) };
    let truths = truths(&Context { table, batch, lookups }, &filter.0)?;
    Ok(Some(truths.into_iter().map(|truth| Some(truth == Truth::True)).collect()))
}

struct Context<'a> {
    table: &'a TableScope,
    batch: &'a RecordBatch,
    lookups: &'a Lookups,
}

fn truths(context: &Context<'_>, node: &Node) -> Result<Vec<Truth>> {
    match node {
        Node::And(parts) => fold(context, parts, Truth::True, Truth::and),
        Node::Or(parts) => fold(context, parts, Truth::False, Truth::or),
        Node::Not(part) => Ok(truths(context, part)?.into_iter().map(Truth::not).collect()),
        Node::IsNull { column } => {
            let column = context.batch.column_by_name(column).ok_or_else(|| context.lacks(column))?;
            Ok((0..context.batch.num_rows()).map(|row| Truth::of(column.is_null(row))).collect())
        }
        Node::Compare { column, operator, constant } => {
            let kind = context.kind(column)?;
            let constant = constant.in_kind(kind).map_err(|why| context.unfit(column, why))?;
            let column = context.column(column)?;
            let truth = |row| column.compare(row, &constant).map_or(Truth::Unknown, |order| operator.holds(order));
            Ok((0..context.batch.num_rows()).map(truth).collect())
        }
        Node::In { column, constants } => {
            let kind = context.kind(column)?;
            let constants = constants.iter().map(|constant| constant.in_kind(kind));
            let constants = constants.collect::<Result<Vec<_>, _>>().map_err(|why| context.unfit(column, why))?;
            let column = context.column(column)?;
            let truth = |row| {
                let one = |constant| column.compare(row, constant).map_or(Truth::Unknown, |o| Truth::of(o.is_eq()));
                constants.iter().map(one).fold(Truth::False, Truth::or)
            };
            Ok((0..context.batch.num_rows()).map(truth).collect())
        }
        Node::Exists { table: other, pairs } => {
            let columns = pairs.iter().map(|(this, _)| context.column(this)).collect::<Result<Vec<_>>>()?;
            let keys = context
                .lookups
                .keys(other, pairs)
                .ok_or_else(|| trouble::lookups_missing(&context.table.name, other))?;
            Ok((0..context.batch.num_rows()).map(|row| Truth::of(keys.holds(&columns, row))).collect())
        }
    }
}

fn fold(context: &Context<'_>, parts: &[Node], start: Truth, combine: fn(Truth, Truth) -> Truth) -> Result<Vec<Truth>> {
    let mut out = vec![start; context.batch.num_rows()];
    for part in parts {
        for (left, right) in out.iter_mut().zip(truths(context, part)?) {
            *left = combine(*left, right);
        }
    }
    Ok(out)
}

impl Context<'_> {
    fn kind(&self, column: &str) -> Result<Kind> {
        check::kind_of(self.table, column).ok_or_else(|| self.unfit(column, "its type is not told"))
    }

    fn column(&self, name: &str) -> Result<Column<'_>> {
        let kind = self.table.taken(name).map_or_else(|| self.kind(name), |take| Ok(Take::read_kind(take)))?;
        let array = self.batch.column_by_name(name).ok_or_else(|| self.lacks(name))?;
        Column::of(kind, array)
            .ok_or_else(|| trouble::batch_shape(&self.table.name, name, format!("{kind} is expected")))
    }

    fn lacks(&self, column: &str) -> lexicon::Trouble {
        trouble::batch_shape(&self.table.name, column, "the predicate looks at it and the batch lacks it")
    }

    fn unfit(&self, column: &str, why: &str) -> lexicon::Trouble {
        trouble::predicate_kind(&self.table.name, column, why)
    }
}

impl Operator {
    fn holds(self, order: Ordering) -> Truth {
        Truth::of(match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        })
    }
}
