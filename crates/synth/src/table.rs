//! One description of each old table, from which its DDL, its rows, its scope and the new system's DDL are all made.

use rusqlite::types::Value;

use crate::dice::Dice;

/// What the scope does with a column.
pub(crate) enum Fate {
    /// It moves: the scope's type, and its name in the new system.
    Take(&'static str, &'static str),
    /// It stays.
    Leave,
}

/// How a sentinel stands in a value.
#[derive(Clone, Copy)]
pub(crate) enum Plant {
    /// Not at all.
    Never,
    /// Behind the value, after a blank.
    Append,
    /// In the value's place.
    Replace,
    /// As the box of an e-mail address.
    Mail,
    /// The value is its own sentinel: it is unique and long.
    Itself,
}

/// One column of rows of kind `R`.
pub(crate) struct Column<R> {
    pub(crate) name: &'static str,
    pub(crate) declared: &'static str,
    pub(crate) fate: Fate,
    /// How many of 100,000 rows have a value, when nothing else about the row forbids one.
    pub(crate) filled: u32,
    pub(crate) plant: Plant,
    pub(crate) make: Make<R>,
}

/// Makes the value of one column of one row.
pub(crate) type Make<R> = fn(&R, &mut Dice) -> Value;

impl<R> Column<R> {
    /// A column that moves under its own name.
    pub(crate) const fn take(
        name: &'static str,
        declared: &'static str,
        kind: &'static str,
        filled: u32,
        make: Make<R>,
    ) -> Self {
        Self { name, declared, fate: Fate::Take(kind, name), filled, plant: Plant::Never, make }
    }

    /// A text column that moves and has sentinels.
    pub(crate) const fn prose(name: &'static str, filled: u32, make: Make<R>) -> Self {
        Self { name, declared: "TEXT", fate: Fate::Take("text", name), filled, plant: Plant::Append, make }
    }

    /// A column that stays. All of them are text, as old systems keep what they do not understand; so all can hold
    /// sentinels.
    pub(crate) const fn leave(name: &'static str, filled: u32, plant: Plant, make: Make<R>) -> Self {
        Self { name, declared: "TEXT", fate: Fate::Leave, filled, plant, make }
    }

    /// The same column under another name in the new system.
    pub(crate) const fn renamed(self, target: &'static str) -> Self {
        let fate = match self.fate {
            Fate::Take(kind, _) => Fate::Take(kind, target),
            Fate::Leave => Fate::Leave,
        };
        Self { fate, ..self }
    }

    /// The same column with another way of holding sentinels.
    pub(crate) const fn planted(self, plant: Plant) -> Self {
        Self { plant, ..self }
    }
}

/// One table of the old system.
pub(crate) struct Table<R: 'static> {
    pub(crate) name: &'static str,
    /// Its name in the new system; empty for a table that stays behind.
    pub(crate) target: &'static str,
    /// The key column.
    pub(crate) key: &'static str,
    /// The scope's predicate; empty for all rows.
    pub(crate) filter: &'static str,
    /// Foreign keys: column, table, the other table's column.
    pub(crate) references: &'static [(&'static str, &'static str, &'static str)],
    /// What moves.
    pub(crate) takes: &'static [Column<R>],
    /// What stays.
    pub(crate) leaves: &'static [Column<R>],
}

impl<R> Table<R> {
    /// All columns, in the old system's order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static Column<R>> + use<R> {
        self.takes.iter().chain(self.leaves)
    }

    /// `CREATE TABLE` in the old system.
    pub(crate) fn ddl(&self) -> String {
        let columns = self.columns().map(|column| (column.name, column.declared));
        create(
            self.name,
            self.key,
            columns,
            self.references.iter().map(|(from, table, to)| (*from, (*table).to_owned(), *to)),
        )
    }

    /// `CREATE TABLE` in the new system: only what the scope takes.
    pub(crate) fn target_ddl(&self) -> String {
        let columns = self.columns().filter_map(|column| match column.fate {
            Fate::Take(_, target) => Some((target, column.declared)),
            Fate::Leave => None,
        });
        let references =
            self.references.iter().map(|(from, table, to)| (self.target_of(from), format!("import_{table}"), *to));
        create(self.target, self.target_of(self.key), columns, references)
    }

    fn target_of(&self, name: &'static str) -> &'static str {
        let found = self.columns().find(|column| column.name == name);
        match found.map(|column| &column.fate) {
            Some(Fate::Take(_, target)) => target,
            Some(Fate::Leave) | None => name,
        }
    }

    /// `INSERT` with one parameter per column.
    pub(crate) fn insert(&self) -> String {
        let names = self.columns().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let marks = vec!["?"; self.columns().count()].join(", ");
        format!("INSERT INTO {} ({names}) VALUES ({marks})", self.name)
    }

    /// The table's part of the scope file.
    pub(crate) fn scope_toml(&self) -> String {
        let takes = self.takes.iter().filter_map(|column| {
            let Fate::Take(kind, target) = column.fate else { return None };
            let renamed = if target == column.name { String::new() } else { format!(", as = \"{target}\"") };
            Some(format!("  {{ column = \"{}\"{renamed}, type = \"{kind}\" }},\n", column.name))
        });
        let leaves = self.leaves.iter().map(|column| format!("  \"{}\",\n", column.name));
        let filter = if self.filter.is_empty() { String::new() } else { format!("where = \"{}\"\n", self.filter) };
        format!(
            "\n[[table]]\nname = \"{}\"\ntarget = \"{}\"\nkey = [\"{}\"]\ntake = [\n{}]\nleave = [\n{}]\n{filter}",
            self.name,
            self.target,
            self.key,
            takes.collect::<Vec<_>>().concat(),
            leaves.collect::<Vec<_>>().concat(),
        )
    }
}

fn create<'a>(
    name: &str,
    key: &str,
    columns: impl Iterator<Item = (&'a str, &'a str)>,
    references: impl Iterator<Item = (&'a str, String, &'a str)>,
) -> String {
    let mut lines: Vec<String> = columns
        .map(|(column, declared)| {
            let key = if column == key { " PRIMARY KEY" } else { "" };
            format!("  {column} {declared}{key}")
        })
        .collect();
    lines.extend(references.map(|(from, table, to)| format!("  FOREIGN KEY ({from}) REFERENCES {table} ({to})")));
    format!("CREATE TABLE {name} (\n{}\n);\n", lines.join(",\n"))
}

/// A text value.
pub(crate) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// A text value, or NULL when there is nothing to say.
pub(crate) fn text_or_null(value: &str) -> Value {
    if value.is_empty() { Value::Null } else { text(value) }
}

/// A whole number.
pub(crate) fn number(value: u64) -> Value {
    i64::try_from(value).map_or(Value::Null, Value::Integer)
}
