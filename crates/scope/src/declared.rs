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
    /// Digest of the order of its columns, its primary key, its foreign keys and, of a view, its definition.
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
        let form = digest_of(&(names, &table.primary_key, references, table.definition))?;
        let columns = columns.map(|column| Ok((column.name.clone(), digest_of(&(&column.declared, column.nullable))?)));
        Ok(Self { columns: columns.collect::<Result<_>>()?, form })
    }

    /// What is declared otherwise now, in a clause that names the columns; none when nothing is.
    pub(crate) fn changed(&self, name: &str, now: &Self) -> Option<String> {
        changed(name, (&self.columns, &now.columns), self.form != now.form)
    }
}

/// What is declared otherwise of a table, in a clause that names the columns; none when nothing is.
fn changed<Mark: PartialEq>(
    name: &str,
    (before, now): (&BTreeMap<String, Mark>, &BTreeMap<String, Mark>),
    form: bool,
) -> Option<String> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).filter(|name| *name != FORM).collect();
    let differ = |name: &&&String| before.get(**name) != now.get(**name);
    let columns: Vec<String> = names.iter().filter(differ).map(|name| format!("`{name}`")).collect();
    let what = match columns.as_slice() {
        [] if !form => return None,
        [] => "its keys, the order of its columns or what it asks for as a view".to_owned(),
        [one] => format!("column {one}"),
        several => format!("columns {}", several.join(", ")),
    };
    Some(format!("table `{name}`: {what}"))
}

/// How tables are declared, short enough for a plan: by table and column the first eight digits of the digests of
/// [`Declared`], and by [`FORM`] those of its form. They name what has changed; whether anything has, a whole digest says.
pub type Marks = BTreeMap<String, BTreeMap<String, String>>;

/// No column has this name.
const FORM: &str = "";

/// The marks of these tables.
///
/// # Errors
/// As [`declared`].
pub fn marks(found: &[SourceTable]) -> Result<Marks> {
    let short = |digest: &Digest| digest.to_string().chars().take(8).collect::<String>();
    let marks = found.iter().map(|table| {
        let declared = Declared::of(table)?;
        let columns = declared.columns.iter().map(|(name, digest)| (name.clone(), short(digest)));
        Ok((table.name.clone(), columns.chain([(FORM.to_owned(), short(&declared.form))]).collect()))
    });
    marks.collect()
}

/// The tables that are marked otherwise now, each in a clause that names the columns.
pub fn marked_otherwise(before: &Marks, now: &Marks) -> Vec<String> {
    let both = before.iter().filter_map(|(name, before)| Some((name, before, now.get(name)?)));
    both.filter_map(|(name, before, now)| changed(name, (before, now), before.get(FORM) != now.get(FORM))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceColumn;

    #[test]
    fn marks_name_the_column_that_is_declared_otherwise() {
        let column = |name: &str, declared: &str| SourceColumn {
            name: name.to_owned(),
            declared: declared.to_owned(),
            kind: None,
            nullable: true,
        };
        let table = |name: &str, columns: &[(&str, &str)]| SourceTable {
            name: name.to_owned(),
            columns: columns.iter().map(|(name, declared)| column(name, declared)).collect(),
            primary_key: Vec::new(),
            references: Vec::new(),
            definition: None,
            rows: None,
        };
        let of = |columns: &[(&str, &str)]| marks(&[table("p", columns), table("q", &[("c", "int")])]).unwrap();
        let before = of(&[("a", "int"), ("b", "text")]);
        let told = |columns: &[(&str, &str)]| marked_otherwise(&before, &of(columns)).join("; ");
        assert_eq!(told(&[("a", "int"), ("b", "text")]), "");
        assert_eq!(told(&[("a", "int"), ("b", "varchar(2)")]), "table `p`: column `b`");
        assert_eq!(told(&[("a", "int"), ("b", "text"), ("d", "int")]), "table `p`: column `d`");
        assert_eq!(told(&[("a", "bigint")]), "table `p`: columns `a`, `b`");
        let form = "table `p`: its keys, the order of its columns or what it asks for as a view";
        assert_eq!(told(&[("b", "text"), ("a", "int")]), form);
        assert_eq!(marked_otherwise(&BTreeMap::new(), &before), [""; 0]);
    }
}
