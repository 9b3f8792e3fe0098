//! The sentences of this room's errors. No function here takes a value of a row, so none can show one.

use std::collections::BTreeMap;
use std::time::Duration;

use lexicon::{Code, Fault, Refusal, Result, Retry, Trouble};
use scope::Unfit;

/// The address of a system cannot be read.
pub(crate) fn address(why: &str) -> Trouble {
    Refusal::new(
        Code(401),
        format!("the address of the system cannot be used: {why}"),
        "Write sqlite:/path/file.db, postgres://user@host:port/database, mariadb://user@host:port/database or \
         csv:/folder.",
    )
    .into()
}

/// The system cannot be reached, or stopped answering. `why` is this room's or the driver's own words about the
/// connection, never a server's message about a row.
pub(crate) fn unreachable(system: &str, why: &str) -> Trouble {
    Fault::new(Code(402), Retry::Later, format!("{system} does not answer: {why}")).into()
}

/// How long a database may take until it lets a session in.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// A session, or the sentence on a server that takes the line and says nothing: it is stopped, or its disk hangs.
pub(crate) async fn in_time<T>(system: &str, connecting: impl Future<Output = Result<T>>) -> Result<T> {
    let answer = tokio::time::timeout(ANSWER_MAX, connecting).await;
    answer.unwrap_or_else(|_| Err(unreachable(system, "it let nobody in within a minute")))
}

/// Whether a handshake of TLS found something wrong; the drivers give it as an error of the line.
pub(crate) fn is_of_handshake(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

/// What is said of a line that must be protected and cannot be.
pub(crate) const NO_TLS: &str = "its TLS certificate does not verify, or it offers no TLS";

/// The database said no to one of our own statements. `state` is the SQLSTATE or the driver's number: a database's
/// message, detail and context may quote a row, its number cannot.
pub(crate) fn statement(system: &str, doing: &str, state: &str) -> Trouble {
    Fault::new(Code(403), Retry::Never, format!("{system} failed while {doing} (database code {state})")).into()
}

/// The account may not do what is needed.
pub(crate) fn not_granted(system: &str, doing: &str) -> Trouble {
    Refusal::new(
        Code(404),
        format!("{system} does not allow this account to go on while {doing}"),
        "Run the GRANT statements of `lazaret scope statements` for this account, or use another one.",
    )
    .into()
}

/// Row security would hide rows from the account.
pub(crate) fn not_all_rows(system: &str, doing: &str) -> Trouble {
    Refusal::new(
        Code(404),
        format!("{system} has row security that may hide rows from this account, seen while {doing}"),
        "Have a superuser run ALTER ROLE account BYPASSRLS, or use the account that owns the table, if the table's row \
         security is not forced. For a view, the account is the view's owner.",
    )
    .into()
}

/// The account is not shown what a view asks for.
pub(crate) fn not_shown(system: &str, view: &str) -> Trouble {
    Refusal::new(
        Code(404),
        format!(
            "{system} does not show this account the definition of view `{view}`, and a change of it would go unseen"
        ),
        "Grant the account SELECT and SHOW VIEW on the whole view.",
    )
    .into()
}

/// The account may not open the database.
pub(crate) fn not_opened(system: &str) -> Trouble {
    Refusal::new(
        Code(404),
        format!("{system} does not allow this account to open the database"),
        "Give it the right to: in PostgreSQL CONNECT on the database, in MariaDB any right on one of its tables; or use \
         another account.",
    )
    .into()
}

/// The system answers and does not know the account, or not by this password.
pub(crate) fn not_signed_in(system: &str) -> Trouble {
    Refusal::new(
        Code(423),
        format!("{system} does not let this account in"),
        "Look at the account in the address, and at the password in the file of --source-credential or \
         --target-credential; if both are right, the account is locked, expired or not allowed from this machine.",
    )
    .into()
}

/// The system answers and has no database of this name.
pub(crate) fn no_database(system: &str) -> Trouble {
    Refusal::new(
        Code(424),
        format!("the server of {system} answers and has no such database"),
        "Correct the database's name at the end of the address.",
    )
    .into()
}

/// A table of the scope is not there.
pub(crate) fn no_table(system: &str, table: &str) -> Trouble {
    Refusal::new(
        Code(405),
        format!("{system} has no table `{table}`"),
        "Correct the table's name in the scope, or create the table in the target.",
    )
    .into()
}

/// A column of the scope is not there.
pub(crate) fn no_column(table: &str, column: &str) -> Trouble {
    Refusal::new(
        Code(406),
        format!("table `{table}` has no column `{column}`"),
        "Correct the column's name in the scope, or add the column to the target.",
    )
    .into()
}

/// A column cannot hold, or be read as, the kind that the scope declares without losing something.
pub(crate) fn lossy(table: &str, column: &str, declared: &str, kind: &str) -> Trouble {
    Refusal::new(
        Code(407),
        format!("table `{table}`, column `{column}`: `{declared}` and {kind} do not hold the same values"),
        "Change the column's type in the scope or in the target so that nothing is lost.",
    )
    .into()
}

/// Values that the declared kind cannot hold, by table, column, reason and count.
pub(crate) fn odd_values(table: &str, findings: &[(String, &'static str, u64)]) -> Trouble {
    let lines: Vec<_> =
        findings.iter().map(|(column, reason, count)| format!("column `{column}`: {count} {reason}")).collect();
    Refusal::new(
        Code(408),
        format!("table `{table}` holds values that its scope cannot carry: {}", lines.join("; ")),
        "Change the column's type in the scope, name the values with null_if, leave the column, or correct them in the \
         source.",
    )
    .into()
}

/// The target table already holds rows that no marker of this consignment accounts for.
pub(crate) fn not_empty(table: &str, rows: u64) -> Trouble {
    Refusal::new(
        Code(409),
        format!("target table `{table}` already holds {rows} rows that this consignment did not bring"),
        "Load into an empty table, or empty this one by hand if its rows are from a rehearsal.",
    )
    .into()
}

/// The marker speaks of another number of rows than the table holds.
pub(crate) fn marker_differs(table: &str, rows: u64, marked: u64) -> Trouble {
    Refusal::new(
        Code(410),
        format!("target table `{table}` holds {rows} rows, but this consignment's marker says {marked}"),
        "Somebody changed the table after the load: find out who, then empty it and its marker and load again.",
    )
    .into()
}

/// How a constraint is called: by its name, and the columns that it is about where the database tells them.
pub(crate) fn constraint(name: &str, columns: &[String]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| format!("`{column}`")).collect();
    if columns.is_empty() { name.to_owned() } else { format!("{name} on {}", columns.join(", ")) }
}

/// Constraints of the target that rows would break, by name and count. Nothing was loaded.
pub(crate) fn broken_constraints(table: &str, findings: &[(String, u64)]) -> Trouble {
    let lines: Vec<_> = findings.iter().map(|(name, count)| format!("{name}: {count} rows")).collect();
    Refusal::new(
        Code(411),
        format!("nothing was loaded into target table `{table}`: rows break its constraints ({})", lines.join("; ")),
        "Correct the rows in the source or the constraint in the target, then load again.",
    )
    .into()
}

/// A constraint or type that this room cannot test beforehand.
pub(crate) fn untestable(table: &str, what: &str) -> Trouble {
    Refusal::new(
        Code(412),
        format!("target table `{table}` has {what}, which cannot be tested before loading"),
        "Drop it for the time of the load; the new system's maker knows how.",
    )
    .into()
}

/// The target has no marker table.
pub(crate) fn no_marker(system: &str) -> Trouble {
    Refusal::new(
        Code(413),
        format!("{system} has no usable marker table `lazaret_load`"),
        "Run the DDL that `lazaret scope statements` prints for the target.",
    )
    .into()
}

/// The source moved while it was read, or cannot show one moment.
pub(crate) fn moved(what: &str) -> Trouble {
    Refusal::new(
        Code(414),
        format!("the source does not show one moment: {what}"),
        "Stop writing to the source (a frozen plan) and extract again.",
    )
    .into()
}

/// A file is not what it should be.
pub(crate) fn file(name: &str, why: &str) -> Trouble {
    Refusal::new(
        Code(415),
        format!("file `{name}`: {why}"),
        "Export the file again: one file for each table, one name for each column.",
    )
    .into()
}

/// The batch handed to a sink is not of the table's shape; a defect of ours.
pub(crate) fn shape(table: &str, why: &str) -> Trouble {
    Fault::new(Code(416), Retry::Never, format!("table `{table}`: a batch has another shape than its scope: {why}"))
        .into()
}

/// The other side of a channel or a thread is gone; a defect of ours or a shutdown.
pub(crate) fn gone(what: &str) -> Trouble {
    Fault::new(Code(417), Retry::Later, format!("{what} ended before its work was done")).into()
}

/// Foreign keys that run in a circle give no order to load in.
pub(crate) fn circle(tables: &[String]) -> Trouble {
    Refusal::new(
        Code(418),
        format!("the foreign keys of the target run in a circle through: {}", tables.join(", ")),
        "Drop one of these foreign keys for the time of the load.",
    )
    .into()
}

/// A target column that must be filled and that the scope does not fill.
pub(crate) fn unfilled(table: &str, column: &str) -> Trouble {
    Refusal::new(
        Code(419),
        format!("target table `{table}` needs a value in column `{column}`, which the scope does not fill"),
        "Take the column in the scope, or give it a default in the target.",
    )
    .into()
}

/// Rows whose values in columns that the predicate compares are of another type, by column and count: they are in no
/// scope.
pub(crate) fn misfits(table: &str, findings: &[(String, u64)]) -> Trouble {
    let lines: Vec<_> = findings.iter().map(|(column, rows)| format!("column `{column}`: {rows} rows")).collect();
    Refusal::new(
        Code(420),
        format!("table `{table}` holds values of another type than its `where` compares: {}", lines.join("; ")),
        "Correct these rows in the source, or compare other columns: nothing says whether they are in scope.",
    )
    .into()
}

/// A row or a table is larger than the system itself allows.
pub(crate) fn over_limit(system: &str, doing: &str, state: &str) -> Trouble {
    Refusal::new(
        Code(421),
        format!("a row or table is beyond what {system} itself can hold, seen while {doing} (database code {state})"),
        "Take fewer or shorter columns, or raise the limit in the system's own settings.",
    )
    .into()
}

/// The system's disk is full. The transaction that met it is gone, and the rows with it.
pub(crate) fn disk_full(system: &str, doing: &str, state: &str) -> Trouble {
    Fault::new(
        Code(432),
        Retry::Later,
        format!(
            "the disk under the {system} database is full, seen while {doing} (database code {state}): make space on it"
        ),
    )
    .into()
}

/// The system could not write a file of its own, and does not say why. Code and remedy are those of a full disk.
pub(crate) fn unwritten(system: &str, doing: &str, state: &str) -> Trouble {
    Fault::new(
        Code(432),
        Retry::Later,
        format!(
            "the {system} database cannot write to its disk or to that of its temporary files, seen while {doing} \
             (database code {state}): make space there, or look for the reason in its log"
        ),
    )
    .into()
}

/// Troubles that a database tells by a number alone: which table it was about is added by whoever asked.
const OF_NO_TABLE: [Code; 4] = [Code(403), Code(404), Code(421), Code(432)];

/// The same trouble, of a table of the old system.
pub(crate) fn of_source(table: &str) -> impl Fn(Trouble) -> Trouble + use<> {
    of(format!("table `{table}`"))
}

/// The same trouble, of a table of the new system.
pub(crate) fn of_target(table: &str) -> impl Fn(Trouble) -> Trouble + use<> {
    of(format!("target table `{table}`"))
}

fn of(what: String) -> impl Fn(Trouble) -> Trouble + use<> {
    move |trouble| match trouble {
        trouble if !OF_NO_TABLE.contains(&trouble.code()) => trouble,
        Trouble::Refusal(refusal) => Refusal { message: format!("{what}: {}", refusal.message), ..refusal }.into(),
        Trouble::Fault(fault) => Fault { message: format!("{what}: {}", fault.message), ..fault }.into(),
        Trouble::Alarm(_) => trouble,
    }
}

/// Refusals of several tables and columns, told as one.
pub(crate) fn together(refusals: &[Refusal]) -> Refusal {
    // One that tells of several already has their codes in it.
    let told = refusals.iter().map(|refusal| match refusal.code {
        TOGETHER => refusal.message.clone(),
        _ => refusal.to_string(),
    });
    let message = told.collect::<Vec<_>>().join("; ");
    Refusal::new(Code(422), message, "Mend each in the scope or in the target, then try again.")
}

const TOGETHER: Code = Code(422);

/// The folder of documents is not there.
pub(crate) fn no_folder() -> Trouble {
    Refusal::new(
        Code(425),
        "the folder of documents is not there, or is no folder",
        "Correct its path in the scope or the plan, or make the folder.",
    )
    .into()
}

/// Something in a folder of documents cannot be read. The kind of error only: its own words may name the file.
pub(crate) fn folder_unread(kind: std::io::ErrorKind) -> Trouble {
    Fault::new(Code(426), Retry::Later, format!("something in a folder of documents cannot be read: {kind}")).into()
}

/// As [`folder_unread`], of a known part.
pub(crate) fn documents_unread(part: &str, kind: std::io::ErrorKind) -> Trouble {
    Fault::new(Code(426), Retry::Later, format!("something in the folder of documents {part} cannot be read: {kind}"))
        .into()
}

/// A file became another between the listing and the opening.
pub(crate) fn document_exchanged() -> Trouble {
    Refusal::new(
        Code(427),
        "a file in a folder of documents was written to or exchanged before it could be read",
        "Stop whatever writes to the folder, and extract again.",
    )
    .into()
}

/// The part's folder in the target holds what this consignment did not bring.
pub(crate) fn folder_not_empty(part: &str, files: u64) -> Trouble {
    Refusal::new(
        Code(428),
        format!(
            "the target's folder for documents {part} already holds {files} files that this consignment did not bring"
        ),
        "Load into a folder without such a part, or move this one away by hand if it is from a rehearsal.",
    )
    .into()
}

/// A document's place is taken by something else, or cannot exist on this machine.
pub(crate) fn document_in_the_way(part: &str) -> Trouble {
    Refusal::new(
        Code(429),
        format!("a document of {part} cannot be written: another file or link stands there, or no file can be called so here"),
        "Find out who wrote there and move it away, or load on a machine that can hold the name; then load again.",
    )
    .into()
}

/// The disk does not take a document. The kind of error only.
pub(crate) fn document_unwritten(part: &str, kind: std::io::ErrorKind) -> Trouble {
    Fault::new(
        Code(430),
        Retry::Later,
        format!("a document of {part} cannot be written to the target's folder: {kind}"),
    )
    .into()
}

/// What a folder holds that its scope does not take, found at the extraction.
pub(crate) fn documents_unfit(part: &str, stays: &BTreeMap<Unfit, u64>) -> Trouble {
    let counted: Vec<String> = stays.iter().map(|(unfit, count)| format!("{count} {}", unfit.words())).collect();
    Refusal::new(
        Code(431),
        format!(
            "the folder of documents {part} now holds files that the scope does not take, first {}",
            counted.join(", ")
        ),
        "Take them out of the folder, or check the scope again and have the new report approved.",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use lexicon::Refusals;

    use super::*;

    #[test]
    fn refusals_are_told_together_each_with_its_code_and_one_alone_as_it_is() {
        let mut columns = Refusals::default();
        for column in ["x", "y"] {
            assert_eq!(columns.keep::<()>(Err(no_column("t", column))).unwrap(), None);
        }
        let mut tables = Refusals::default();
        tables.keep(columns.verdict(together)).unwrap();
        tables.keep::<()>(Err(no_table("the target", "u"))).unwrap();
        assert_eq!(tables.keep(Ok(1)).unwrap(), Some(1));
        assert_eq!(tables.keep::<()>(Err(gone("the thread"))).unwrap_err().code(), Code(417));
        assert_eq!(
            tables.verdict(together).unwrap_err().to_string(),
            "table `t` has no column `x` [LZ-0406]; table `t` has no column `y` [LZ-0406]; \
             the target has no table `u` [LZ-0405] [LZ-0422]"
        );
        let mut one = Refusals::default();
        one.keep::<()>(Err(no_table("the target", "u"))).unwrap();
        assert_eq!(one.verdict(together).unwrap_err().code(), Code(405));
        Refusals::default().verdict(together).unwrap();
    }
    #[test]
    fn what_a_database_tells_by_a_number_alone_is_named_by_its_table() {
        let told = |trouble: Trouble| of_source("patient")(trouble).to_string();
        for trouble in
            [statement("A", "x", "1"), not_granted("A", "x"), over_limit("A", "x", "1"), disk_full("A", "x", "1")]
        {
            let (code, before) = (trouble.code(), trouble.to_string());
            let target = of_target("import_patient")(trouble.clone());
            assert_eq!((target.code(), target.to_string()), (code, format!("target table `import_patient`: {before}")));
            assert_eq!(told(trouble), format!("table `patient`: {before}"));
        }
        assert_eq!(told(no_column("t", "x")), no_column("t", "x").to_string());
    }
}
