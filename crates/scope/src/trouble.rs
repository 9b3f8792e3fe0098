//! Every trouble of this room, one function each, so that a code has one meaning and no sentence can hold a value.

use std::collections::BTreeMap;
use std::fmt::Display;

use lexicon::{Alarm, Code, Fault, Refusal, Retry, Trouble};

use crate::{DocumentCount as Told, DocumentKind, Unfit};

pub(crate) fn unreadable(what: impl Display) -> Trouble {
    Refusal::new(Code(301), format!("the scope file cannot be read: {what}"), "Correct the file and check it again.")
        .into()
}

pub(crate) fn credentials(table: &str, column: &str) -> Trouble {
    Refusal::new(
        Code(302),
        format!("column {column} of table {table} looks like credentials, which never cross"),
        "Move it to leave. If it holds none, have the vendor rename it in a view and read that.",
    )
    .into()
}

pub(crate) fn reason_missing(table: &str, column: Option<&str>, what: &str) -> Trouble {
    let subject = column.map_or_else(|| format!("table {table}"), |column| format!("column {column} of table {table}"));
    Refusal::new(
        Code(303),
        format!("{subject} looks like {what} and has no written reason"),
        "Move it to leave, or write the reason (10 characters or more).",
    )
    .into()
}

pub(crate) fn twice(what: impl Display) -> Trouble {
    Refusal::new(Code(304), format!("{what} is named twice in the scope"), "Keep one of the two.").into()
}

pub(crate) fn kind_unknown() -> Refusal {
    Refusal::new(
        Code(305),
        "a type is not one of bool, int64, uint64, float64, decimal(P,S), text, bytes, date, time, timestamp, \
         timestamp with time zone",
        "Choose one of these types.",
    )
}

pub(crate) fn transform(table: &str, column: &str, why: impl Display) -> Trouble {
    Refusal::new(
        Code(306),
        format!("column {column} of table {table} cannot be changed like that: {why}"),
        "See the list of transforms in the manual, or leave the value as it is.",
    )
    .into()
}

pub(crate) fn exists(table: &str, why: impl Display) -> Trouble {
    Refusal::new(
        Code(307),
        format!("the predicate of table {table} has an exists that leads nowhere: {why}"),
        "Name a table of this scope and take the compared columns in both tables, as integers or as text.",
    )
    .into()
}

pub(crate) fn key(table: &str, column: &str) -> Trouble {
    Refusal::new(
        Code(308),
        format!("the key column {column} of table {table} is not taken"),
        "Take it, or leave the key empty: differences can then not be located.",
    )
    .into()
}

pub(crate) fn predicate_syntax(why: impl Display, place: usize) -> Refusal {
    Refusal::new(
        Code(309),
        format!("a predicate cannot be read at character {}: {why}", place.saturating_add(1)),
        "Use comparisons with constants, in, is null, and, or, not, and exists in TABLE (COLUMN = COLUMN).",
    )
}

pub(crate) fn predicate_kind(table: &str, column: &str, why: impl Display) -> Trouble {
    Refusal::new(
        Code(310),
        format!("the predicate of table {table} cannot compare column {column}: {why}"),
        "Compare it with a constant of its own type.",
    )
    .into()
}

pub(crate) fn columns(table: &str, unknown: &[&str], missing: &[&str]) -> Trouble {
    let mut parts = Vec::new();
    if !unknown.is_empty() {
        parts.push(format!("the source has columns that the scope does not name: {}", unknown.join(", ")));
    }
    if !missing.is_empty() {
        parts.push(format!("the scope names columns that the source does not have: {}", missing.join(", ")));
    }
    Refusal::new(
        Code(311),
        format!("table {table} is not the table of the scope: {}", parts.join("; ")),
        "Put each column in take or in leave, and have the new scope approved.",
    )
    .into()
}

pub(crate) fn no_table(table: &str) -> Trouble {
    Refusal::new(Code(312), format!("table {table} is not in the scope"), "Read only the tables that the scope names.")
        .into()
}

pub(crate) fn batch_shape(table: &str, column: &str, why: impl Display) -> Trouble {
    Fault::new(Code(313), Retry::Never, format!("column {column} of table {table} came in another form: {why}")).into()
}

/// Values that have no image under a transform: told batch by batch, and added up by the tally.
pub const WITHOUT_IMAGE: Code = Code(314);

pub(crate) fn values(table: &str, refused: &[(String, &str, u64)]) -> Trouble {
    let lines =
        refused.iter().map(|(column, why, count)| format!("{count} values in column {column} of table {table} {why}"));
    Refusal::new(
        WITHOUT_IMAGE,
        lines.collect::<Vec<_>>().join("; "),
        "Correct them in the source, or change the column's transform and have the new scope approved.",
    )
    .into()
}

/// Control characters are shown as escapes: a name must not write to a terminal by itself.
pub(crate) fn identifier(name: &str) -> Trouble {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    Refusal::new(
        Code(315),
        format!("the table or column name `{shown}` is empty, longer than 256 bytes, or holds a control character"),
        "Rename it in a view and read that.",
    )
    .into()
}

pub(crate) fn lookups_missing(table: &str, other: &str) -> Trouble {
    Fault::new(
        Code(316),
        Retry::Never,
        format!("table {table} was filtered before the keys of table {other} were collected"),
    )
    .into()
}

pub(crate) fn not_ready(why: impl Display) -> Trouble {
    Refusal::new(
        Code(317),
        format!("the scope is a draft: {why}"),
        "Take at least one column of each table, or remove the table.",
    )
    .into()
}

pub(crate) fn fingerprint_shape(table: &str, why: impl Display) -> Trouble {
    Fault::new(Code(318), Retry::Never, format!("a batch of table {table} cannot be fingerprinted: {why}")).into()
}

pub(crate) fn fingerprint_forged(why: impl Display) -> Trouble {
    Alarm::new(Code(319), format!("a sealed fingerprint is not one: {why}")).into()
}

pub(crate) fn dialect_cannot(table: &str, column: &str, why: impl Display) -> Trouble {
    Refusal::new(
        Code(320),
        format!("the source cannot compare column {column} of table {table}: {why}"),
        "Compare another column, or give this one another type.",
    )
    .into()
}

pub(crate) fn arrow(what: &str, error: &arrow_schema::ArrowError) -> Trouble {
    // Arrow's messages can quote a value; only its kind is passed on.
    let kind = error.to_string();
    let kind = kind.split(':').next().unwrap_or_default();
    Fault::new(Code(321), Retry::Never, format!("{what} failed in Arrow ({kind})")).into()
}

pub(crate) fn singled_out(table: &str, patients: u64) -> Trouble {
    Refusal::new(
        Code(322),
        format!("the predicate of table {table} singles out {patients} patients at most and has no written reason"),
        "Widen the predicate, or write the table's reason.",
    )
    .into()
}

pub(crate) fn zone(table: &str, column: &str) -> Trouble {
    Refusal::new(
        Code(323),
        format!("column {column} of table {table} names a time zone that is not in the IANA list"),
        "Name one such as Europe/Paris or Indian/Reunion.",
    )
    .into()
}

pub(crate) fn outside_report(table: &str, expected: u64, found: u64) -> Trouble {
    Refusal::new(
        Code(324),
        format!("table {table} has {found} rows in scope where the approved report counted {expected}"),
        "Check the scope again and have the new report approved.",
    )
    .into()
}

pub(crate) fn account_host() -> Trouble {
    Refusal::new(
        Code(325),
        "that is no host of an account",
        "Give an address, a name, or a pattern like 10.0.0.%: letters, digits and . : - _ % / only.",
    )
    .into()
}

pub(crate) fn outside_sample(table: &str, found: u64, (least, most): (u64, u64)) -> Trouble {
    Refusal::new(
        Code(326),
        format!("the sample of table {table} has {found} rows where {least} to {most} are to be expected"),
        "Abandon the rehearsal and open another, which draws another seed.",
    )
    .into()
}

pub(crate) fn documents(part: &str, why: &str) -> Trouble {
    Refusal::new(
        Code(327),
        format!("the folder of documents {part} cannot stand in a scope: {why}"),
        "Correct the part in the scope file; the manual shows a whole one.",
    )
    .into()
}

/// Only how many of which sort: a file's name may name a patient.
pub(crate) fn documents_unfit(part: &str, stays: &BTreeMap<Unfit, u64>) -> Trouble {
    let counted: Vec<String> = stays.iter().map(|(unfit, count)| format!("{count} {}", unfit.words())).collect();
    Refusal::new(
        Code(328),
        format!("the folder of documents {part} holds files that the scope does not take: {}", counted.join(", ")),
        "Take them out of the folder, take their kind, or write others = \"leave\": they then stay and are counted.",
    )
    .into()
}

pub(crate) fn document_changed(part: &str, how: &str) -> Trouble {
    Refusal::new(
        Code(329),
        format!("a document of {part} {how} while it was read"),
        "Stop whatever writes to the folder, and extract again.",
    )
    .into()
}

pub(crate) fn documents_outside_report(part: &str, kind: DocumentKind, expected: Told, found: Told) -> Trouble {
    Refusal::new(
        Code(330),
        format!(
            "the folder of documents {part} has {} {kind} of {} bytes where the approved report counted {} of {}",
            found.documents, found.bytes, expected.documents, expected.bytes
        ),
        "Check the scope again and have the new report approved.",
    )
    .into()
}

pub(crate) fn index_forged(part: &str) -> Trouble {
    let what = "a name leads elsewhere, a kind is not taken, or a column is another";
    Alarm::new(Code(331), format!("a sealed index of documents {part} is not one of this scope: {what}")).into()
}

pub(crate) fn documents_reason(part: &str) -> Trouble {
    Refusal::new(
        Code(332),
        format!("the folder of documents {part} has no written reason"),
        "Write why whole documents have to move (10 characters or more).",
    )
    .into()
}

pub(crate) fn no_documents(part: &str) -> Trouble {
    Refusal::new(
        Code(333),
        format!("the scope has no folder of documents called {part}"),
        "Read only the folders that the scope names.",
    )
    .into()
}

/// The error's kind only: its own words may name the file.
pub(crate) fn document_unread(part: &str, kind: std::io::ErrorKind) -> Trouble {
    Fault::new(Code(334), Retry::Later, format!("a document of {part} cannot be read: {kind}")).into()
}

pub(crate) fn outside_sample_of_documents(part: &str, found: u64, (least, most): (u64, u64)) -> Trouble {
    Refusal::new(
        Code(335),
        format!("the sample of documents {part} has {found} where {least} to {most} are to be expected"),
        "Abandon the rehearsal and open another, which draws another seed.",
    )
    .into()
}
