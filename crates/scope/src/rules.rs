//! The rules that every scope keeps.

use std::collections::BTreeSet;

use lexicon::Result;

use crate::predicate::check;
use crate::sensitive::{Sensitive, sensitive};
use crate::{Dialect, DocumentsScope, Kind, TableScope, Take, transform, trouble};

/// Shorter than this, a reason says nothing.
const REASON_CHARACTERS_MIN: usize = 10;

pub(crate) fn check(tables: &[TableScope], documents: &[DocumentsScope]) -> Result<()> {
    let mut names = BTreeSet::new();
    let mut targets = BTreeSet::new();
    for table in tables {
        quotable(&table.name)?;
        quotable(&table.target)?;
        if !names.insert(&table.name) {
            return Err(trouble::twice(format!("table {}", table.name)));
        }
        if !targets.insert(&table.target) {
            return Err(trouble::twice(format!("target table {}", table.target)));
        }
        columns(table)?;
        secrecy(table)?;
        table.take.iter().try_for_each(|take| transform::check(&table.name, take))?;
        key(table)?;
    }
    for part in documents {
        if !names.insert(&part.name) {
            return Err(trouble::twice(format!("table or folder of documents {}", part.name)));
        }
        if !targets.insert(&part.target) {
            return Err(trouble::twice(format!("target table or folder {}", part.target)));
        }
        folder_of_documents(part)?;
        listing(part, tables)?;
    }
    check::check(tables)
}

fn folder_of_documents(part: &DocumentsScope) -> Result<()> {
    let refuse = |why: &str| Err(trouble::documents(&part.name, why));
    if ![&part.name, &part.target].into_iter().all(|name| is_folder_name(name)) {
        return refuse("its names have 1 to 64 letters, digits, dots, hyphens and underscores, and begin with no dot");
    }
    if [&part.name, &part.target].into_iter().any(|name| sensitive(name) == Some(Sensitive::Credentials)) {
        return refuse("it looks like credentials, which never cross");
    }
    if !is_absolute(&part.folder) {
        return refuse("its folder is no absolute path without `..` and control characters");
    }
    let mut kinds = BTreeSet::new();
    if let Some(kind) = part.take.iter().find(|kind| !kinds.insert(**kind)) {
        return Err(trouble::twice(format!("kind {kind} of documents {}", part.name)));
    }
    if given(part.reason.as_ref()) { Ok(()) } else { Err(trouble::documents_reason(&part.name)) }
}

/// The rows that name documents are of a table of this scope, and show the name.
fn listing(part: &DocumentsScope, tables: &[TableScope]) -> Result<()> {
    let Some(listing) = &part.listed else { return Ok(()) };
    let column = tables.iter().find(|table| table.name == listing.table).and_then(|table| table.taken(&listing.column));
    if column.is_some_and(|take| take.kind == Kind::Text) {
        return Ok(());
    }
    Err(trouble::documents(&part.name, "what lists its documents is no column of a table here that is taken as text"))
}

fn is_folder_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
}

/// A path of the extracting machine, which may be of another family than the one that reads this.
fn is_absolute(folder: &str) -> bool {
    let below = folder.strip_prefix('/').or_else(|| {
        let behind_drive = folder.get(1..).filter(|_| folder.starts_with(|letter: char| letter.is_ascii_alphabetic()));
        behind_drive.and_then(|rest| rest.strip_prefix(":\\").or_else(|| rest.strip_prefix(":/")))
    });
    below.is_some_and(|below| {
        !below.chars().any(char::is_control) && below.split(['/', '\\']).all(|part| !matches!(part, "." | ".."))
    })
}

fn quotable(name: &str) -> Result<()> {
    Dialect::Sqlite.quote(name).map(drop)
}

fn columns(table: &TableScope) -> Result<()> {
    let mut names = BTreeSet::new();
    for column in table.take.iter().map(|take| &take.column).chain(&table.leave) {
        quotable(column)?;
        if !names.insert(column) {
            return Err(trouble::twice(format!("column {column} of table {}", table.name)));
        }
    }
    let mut targets = BTreeSet::new();
    for take in &table.take {
        quotable(&take.target)?;
        if !targets.insert(&take.target) {
            return Err(trouble::twice(format!("column {} of target table {}", take.target, table.target)));
        }
    }
    Ok(())
}

fn secrecy(table: &TableScope) -> Result<()> {
    if table.take.is_empty() {
        return Ok(());
    }
    let kept = sensitive(&table.name).or_else(|| sensitive(&table.target));
    match kept {
        Some(Sensitive::Credentials) => {
            let first = table.take.first().map_or("", |take| &take.column);
            return Err(trouble::credentials(&table.name, first));
        }
        Some(kept) if !given(table.reason.as_ref()) => {
            return Err(trouble::reason_missing(&table.name, None, kept.words()));
        }
        Some(_) | None => {}
    }
    table.take.iter().try_for_each(|take| column_secrecy(&table.name, take))
}

fn column_secrecy(table: &str, take: &Take) -> Result<()> {
    for name in [&take.column, &take.target] {
        match sensitive(name) {
            Some(Sensitive::Credentials) => return Err(trouble::credentials(table, &take.column)),
            Some(kept) if !given(take.reason.as_ref()) => {
                return Err(trouble::reason_missing(table, Some(&take.column), kept.words()));
            }
            Some(_) | None => {}
        }
    }
    if !take.holds.is_empty() && !given(take.reason.as_ref()) {
        return Err(trouble::reason_missing(table, Some(&take.column), "whole documents"));
    }
    let mut kinds = BTreeSet::new();
    match take.holds.iter().find(|kind| !kinds.insert(**kind)) {
        Some(kind) => Err(trouble::twice(format!("kind {kind} of column {} of table {table}", take.column))),
        None => Ok(()),
    }
}

/// Whether a reason is written.
pub(crate) fn given(reason: Option<&String>) -> bool {
    reason.is_some_and(|reason| reason.trim().chars().count() >= REASON_CHARACTERS_MIN)
}

fn key(table: &TableScope) -> Result<()> {
    if table.take.is_empty() {
        return Ok(());
    }
    let mut names = BTreeSet::new();
    for column in &table.key {
        let kind = table.taken(column).map(|take| take.kind);
        if kind.is_none_or(|kind| kind == Kind::Float64) {
            return Err(trouble::key(&table.name, column));
        }
        if !names.insert(column) {
            return Err(trouble::twice(format!("key column {column} of table {}", table.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lexicon::Code;

    use crate::Scope;

    fn refused(toml: &str) -> Code {
        Scope::parse(toml).unwrap_err().code()
    }

    fn table(rest: &str) -> String {
        format!("[[table]]\nname = \"patient\"\n{rest}")
    }

    #[test]
    fn credentials_are_refused_even_with_a_reason() {
        let toml =
            table(r#"take = [{ column = "portal_password", type = "text", reason = "the laboratory insists on it" }]"#);
        assert_eq!(refused(&toml), Code(302));
        let toml =
            table(r#"take = [{ column = "x1", as = "password", type = "text", reason = "nobody will see it" }]"#);
        assert_eq!(refused(&toml), Code(302));
    }

    #[test]
    fn a_free_comment_crosses_for_a_written_reason_only() {
        assert_eq!(refused(&table(r#"take = [{ column = "comment_1", type = "text" }]"#)), Code(303));
        assert_eq!(refused(&table(r#"take = [{ column = "comment_1", type = "text", reason = "ok" }]"#)), Code(303));
        let toml = table(r#"take = [{ column = "comment_1", type = "text", reason = "holds the fasting state" }]"#);
        Scope::parse(&toml).unwrap();
    }

    #[test]
    fn a_billing_table_crosses_for_a_written_reason_only() {
        let toml = "[[table]]\nname = \"bills\"\ntake = [{ column = \"id\", type = \"int64\" }]";
        assert_eq!(refused(toml), Code(303));
        Scope::parse(&format!("{toml}\nreason = \"open claims are collected by the new system\"")).unwrap();
    }

    #[test]
    fn nothing_is_named_twice() {
        for rest in [
            r#"take = [{ column = "a", type = "text" }, { column = "a", type = "text" }]"#,
            r#"take = [{ column = "a", type = "text" }]
leave = ["a"]"#,
            r#"leave = ["a", "a"]"#,
            r#"take = [{ column = "a", as = "x", type = "text" }, { column = "b", as = "x", type = "text" }]"#,
            "[[table]]\nname = \"patient\"",
            "target = \"t\"\n[[table]]\nname = \"other\"\ntarget = \"t\"",
        ] {
            assert_eq!(refused(&table(rest)), Code(304), "{rest}");
        }
    }

    #[test]
    fn a_key_that_is_not_taken_is_refused() {
        assert_eq!(
            refused(&table("key = [\"id\"]\ntake = [{ column = \"a\", type = \"text\" }]\nleave = [\"id\"]")),
            Code(308)
        );
    }

    #[test]
    fn an_unknown_type_is_refused() {
        assert_eq!(refused(&table(r#"take = [{ column = "a", type = "varchar(20)" }]"#)), Code(301));
    }

    #[test]
    fn a_predicate_about_an_unknown_column_or_of_another_type_is_refused() {
        let take = r#"take = [{ column = "a", type = "int64" }, { column = "b", type = "bytes" }]"#;
        for predicate in ["c = 1", "a = '1'", "a = 1.5", "a = 99999999999999999999", "b = 'x'", "a in (1, 'x')"] {
            assert_eq!(refused(&table(&format!("{take}\nwhere = \"{predicate}\""))), Code(310), "{predicate}");
        }
        Scope::parse(&table(&format!("{take}\nwhere = \"a = 1 and b is null\""))).unwrap();
    }

    #[test]
    fn an_exists_that_leads_nowhere_or_in_a_circle_is_refused() {
        let pair = |first: &str, second: &str| {
            format!(
                "[[table]]\nname = \"a\"\ntake = [{{ column = \"k\", type = \"int64\" }}]\n\
                 where = \"exists in {first} (k = k)\"\n\
                 [[table]]\nname = \"b\"\ntake = [{{ column = \"k\", type = \"{second}\" }}]\n\
                 where = \"exists in a (k = k)\"\n"
            )
        };
        assert_eq!(refused(&pair("c", "int64")), Code(307));
        assert_eq!(refused(&pair("a", "int64")), Code(307));
        assert_eq!(refused(&pair("b", "int64")), Code(307));
        assert_eq!(refused(&pair("b", "text")), Code(307));
    }

    #[test]
    fn a_name_that_cannot_be_quoted_is_refused() {
        assert_eq!(refused("[[table]]\nname = \"a\\u0000b\""), Code(315));
    }
}
