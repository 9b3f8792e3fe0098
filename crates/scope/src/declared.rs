use std::collections::{BTreeMap, BTreeSet};

use lexicon::{Digest, Result, digest_of};
use serde::{Deserialize, Serialize};

use crate::{Scope, SourceTable};

/// How a table of the scope was declared in the source when the scope was checked. In digests: enough to name what has
/// changed since, and the words of a type may list what a column holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// By column: digest of its type in the words of the source, and of whether it may be null.
    pub columns: BTreeMap<String, Digest>,
    /// Digest of the order of its columns, its primary key and its foreign keys.
    pub form: Digest,
}

/// How the tables of a scope are declared in a source, by their names there. What the source does not have is left out.
///
/// # Errors
/// A fault when a description has no canonical form; a defect of ours.
pub fn declared(scope: &Scope, found: &[SourceTable]) -> Result<BTreeMap<String, Declared>> {
    let wanted = found.iter().filter(|table| scope.table(&table.name).is_some());
    wanted.map(|table| Ok((table.name.clone(), Declared::of(table)?))).collect()
}

impl Declared {
    fn of(table: &SourceTable) -> Result<Self> {
        let columns = table.columns.iter();
        let names: Vec<_> = columns.clone().map(|column| &column.name).collect();
        let references = table.references.iter();
        let references: Vec<_> =
            references.map(|reference| (&reference.columns, &reference.table, &reference.other_columns)).collect();
        let form = digest_of(&(names, &table.primary_key, references))?;
        let columns = columns.map(|column| Ok((column.name.clone(), digest_of(&(&column.declared, column.nullable))?)));
        Ok(Self { columns: columns.collect::<Result<_>>()?, form })
    }

    /// What is declared otherwise now, in a clause that names the columns; none when nothing is.
    pub(crate) fn changed(&self, name: &str, now: &Self) -> Option<String> {
        let names: BTreeSet<&String> = self.columns.keys().chain(now.columns.keys()).collect();
        let differ = |name: &&&String| self.columns.get(**name) != now.columns.get(**name);
        let columns: Vec<String> = names.iter().filter(differ).map(|name| format!("`{name}`")).collect();
        let what = match columns.as_slice() {
            [] if self.form == now.form => return None,
            [] => "its keys or the order of its columns".to_owned(),
            [one] => format!("column {one}"),
            several => format!("columns {}", several.join(", ")),
        };
        Some(format!("table `{name}`: {what}"))
    }
}
