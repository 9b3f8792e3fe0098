use std::collections::BTreeMap;
use std::fmt::Write;

use lexicon::Result;
use serde::{Deserialize, Serialize};

use crate::sensitive::{Sensitive, sensitive};
use crate::statements::{Account, grants, target_ddl};
use crate::{Dialect, Kind, Scope, SourceColumn, SourceTable};

/// A first scope and the statements that go with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The scope file: every column in leave, with a proposal in a comment.
    pub scope_toml: String,
    /// By dialect: the rights of a throw-away account under this draft, which are none; run [`grants`] again on the
    /// finished scope.
    pub grants: BTreeMap<Dialect, String>,
    /// By dialect: tables for a target that takes every column that may cross, and the marker table.
    pub target_ddl: BTreeMap<Dialect, String>,
}

/// Drafts a scope for the tables of a source.
///
/// # Errors
/// A refusal when a name cannot be quoted or occurs twice, or the account's host is none.
pub fn draft(tables: &[SourceTable], account: Account<'_>) -> Result<Draft> {
    let mut file = String::from(
        "# A draft: everything stays. Move what the new system needs from leave to take; each table needs one.\n\
         # Remove the tables that are not needed at all.\n",
    );
    let (tables, views): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.definition.is_none());
    let (named, nameless): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| nameable(table));
    for table in nameless {
        let name = comment(&table.name);
        // Writing to a String cannot fail.
        let _ignored = writeln!(
            file,
            "\n# {name}: its name or a column's is too long or holds a control character; rename it in a view."
        );
    }
    for table in &named {
        describe(&mut file, table);
    }
    for view in views {
        let columns: Vec<_> = view.columns.iter().map(|column| comment(&column.name)).collect();
        // As above. No target is proposed for it: its rows are those of tables.
        let _ignored = writeln!(
            file,
            "\n# {}: a view of {}; to read it in their place, write it like a table.",
            comment(&view.name),
            columns.join(", ")
        );
    }
    let scope = Scope::parse(&file)?;
    let wide = Scope::parse(&wide(&named))?;
    let dialects = [Dialect::MariaDb, Dialect::Postgres, Dialect::Sqlite];
    let grants = dialects.map(|dialect| Ok((dialect, grants(&scope, dialect, account)?)));
    let ddl = dialects.map(|dialect| Ok((dialect, target_ddl(&wide, dialect)?)));
    Ok(Draft {
        scope_toml: file,
        grants: grants.into_iter().collect::<Result<_>>()?,
        target_ddl: ddl.into_iter().collect::<Result<_>>()?,
    })
}

/// Whether a scope can hold the table's names.
fn nameable(table: &SourceTable) -> bool {
    let columns = table.columns.iter().map(|column| &column.name);
    columns.chain([&table.name]).all(|name| Dialect::Sqlite.quote(name).is_ok())
}

fn describe(out: &mut String, table: &SourceTable) {
    let mut say = |text: &str| {
        // Writing to a String cannot fail.
        let _ignored = writeln!(out, "{text}");
    };
    say("");
    if let Some(rows) = table.rows {
        say(&format!("# About {rows} rows."));
    }
    if let Some(kept) = sensitive(&table.name) {
        say(&format!("# Looks like {}: {}", kept.words(), consequence(kept)));
    }
    for reference in &table.references {
        let (here, there) = (comment(&reference.columns.join(", ")), comment(&reference.other_columns.join(", ")));
        say(&format!("# {here} leads to {there} of {}.", comment(&reference.table)));
    }
    say("[[table]]");
    say(&format!("name = {}", quoted(&table.name)));
    say(&format!("key = [{}]", table.primary_key.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ")));
    say("take = [");
    for column in &table.columns {
        say(&format!("  {}", proposal(column)));
    }
    say("]");
    say("leave = [");
    for column in &table.columns {
        say(&format!("  {},", quoted(&column.name)));
    }
    say("]");
}

/// A line of take, as a comment.
fn proposal(column: &SourceColumn) -> String {
    let declared = comment(&column.declared);
    let Some(kind) = column.kind else {
        return format!("# {}: no type carries {declared} without loss", comment(&column.name));
    };
    match sensitive(&column.name) {
        Some(Sensitive::Credentials) => format!("# {}: credentials never cross", comment(&column.name)),
        Some(kept) => format!(
            "# {{ column = {}, type = \"{kind}\", reason = \"\" }}, # {declared}; looks like {}: {}",
            quoted(&column.name),
            kept.words(),
            consequence(kept)
        ),
        None => format!("# {{ column = {}, type = \"{kind}\" }}, # {declared}", quoted(&column.name)),
    }
}

fn consequence(kept: Sensitive) -> &'static str {
    if kept == Sensitive::Credentials { "never crosses" } else { "crosses for a written reason only" }
}

/// The scope file that takes everything that may cross; only the target's tables are made from it.
fn wide(tables: &[&SourceTable]) -> String {
    const REASON: &str = "only to propose a target table";
    let mut out = String::new();
    for table in tables.iter().filter(|table| sensitive(&table.name) != Some(Sensitive::Credentials)) {
        let crosses = |column: &&SourceColumn| sensitive(&column.name) != Some(Sensitive::Credentials);
        let takes: Vec<(&SourceColumn, Kind)> =
            table.columns.iter().filter(crosses).filter_map(|column| column.kind.map(|kind| (column, kind))).collect();
        let keyed = |key: &&String| takes.iter().any(|(column, kind)| column.name == **key && *kind != Kind::Float64);
        let keys: Vec<String> = table.primary_key.iter().filter(keyed).map(|key| quoted(key)).collect();
        let takes: Vec<String> = takes
            .iter()
            .map(|(column, kind)| {
                format!("{{ column = {}, type = \"{kind}\", reason = \"{REASON}\" }}", quoted(&column.name))
            })
            .collect();
        // Writing to a String cannot fail.
        let _ignored = writeln!(
            out,
            "[[table]]\nname = {}\nkey = [{}]\nreason = \"{REASON}\"\ntake = [{}]",
            quoted(&table.name),
            keys.join(", "),
            takes.join(", ")
        );
    }
    out
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Text that cannot end a comment.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
