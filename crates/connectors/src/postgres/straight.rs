//! Rows straight into the target: the database writes them once, and not into a staging table first. PostgreSQL writes a
//! row that breaks a constraint into its log, so this way is open only to an account that may keep its own connection's
//! errors out of it, and only to columns whose values arrive as the column's own type, byte for byte.

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use futures::stream::BoxStream;
use lexicon::Result;
use scope::{Dialect, TableScope};
use tokio_postgres::Client;

use super::catalog::{Column, Table};
use super::encode::{Encoder, Form};
use super::failed;
use super::sink::{Ready, Wanted, quoted_names, ready, send, write_marker};
use super::source::found;
use super::types::Landing;
use crate::aside::Aside;
use crate::at_fault::AtFault;
use crate::{Loaded, Mark};

/// Errors of this connection stay out of the server's log, and so does everything else below what ends it: the lines of
/// `log_statement`, for instance.
pub(super) const SILENCE: &str = "SET log_min_messages = fatal";

// Since PostgreSQL 15 an account that is no superuser can be granted this: GRANT SET ON PARAMETER.
const MAY_SILENCE: &str = "SELECT pg_catalog.has_parameter_privilege('log_min_messages', 'SET')";
const IS_SUPERUSER: &str = "SELECT pg_catalog.current_setting('is_superuser') = 'on'";
const HAS_GRANTS: &str = "SELECT pg_catalog.current_setting('server_version_num')::int >= 150000";

/// Whether this account may keep its errors out of the log.
pub(super) async fn may(client: &Client) -> Result<bool> {
    Ok(yes(client, IS_SUPERUSER).await? || (yes(client, HAS_GRANTS).await? && yes(client, MAY_SILENCE).await?))
}

async fn yes(client: &Client, question: &str) -> Result<bool> {
    let answer = client.query_one(question, &[]).await.and_then(|row| row.try_get(0));
    answer.map_err(|error| failed("asking what the account may do", &error))
}

// COPY does not go by rules; a trigger may write other rows beside ours.
const IS_PLAIN: &str = "SELECT NOT c.relhasrules AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g \
         WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D') \
     FROM pg_catalog.pg_class c WHERE c.oid = $1";

/// Whether a table gets the rows that COPY sends, all of them and no other.
pub(super) async fn is_plain(client: &Client, found: &Table) -> Result<bool> {
    let answer = client.query_one(IS_PLAIN, &[&found.oid]).await.and_then(|row| row.try_get(0));
    answer.map_err(|error| failed("looking at the table's rules", &error))
}

/// How each column is sent so that it arrives as its own type; none if one of them has to be staged.
pub(super) fn forms(wanted: &Wanted<'_>) -> Option<Vec<Form>> {
    let fields = wanted.schema.fields().iter().zip(&wanted.columns).zip(&wanted.landings);
    fields.map(|((field, column), landing)| form(column, field.data_type(), landing)).collect()
}

fn form(column: &Column, data: &DataType, landing: &Landing) -> Option<Form> {
    match (data, column.base.as_str()) {
        (DataType::Int64, "int2") => Some(Form::Bytes2),
        (DataType::Int64, "int4") => Some(Form::Bytes4),
        (DataType::Utf8, "varchar") => match column.length() {
            None => Some(Form::Plain),
            Some(length) => usize::try_from(length).ok().map(Form::Characters),
        },
        // One type, and nothing to test: what is staged as it is would arrive as it is.
        (_, base) if landing.too_much.is_none() && !landing.json && landing.staging == base => Some(Form::Plain),
        _ => None,
    }
}

/// Loads a table and its marker in one transaction. None if the database refuses a row: nothing is left of the rows then,
/// and a load with the constraints counted says which.
pub(super) async fn load(
    client: &Client,
    taken: &TableScope,
    (mark, mut aside): (Mark, Aside),
    batches: BoxStream<'_, Result<RecordBatch>>,
) -> Result<Option<Loaded>> {
    let found = found(client, "the target", &taken.target).await?;
    let wanted = Wanted::new(taken, &found)?;
    let Some(forms) = forms(&wanted) else { return Ok(None) };
    if let Ready::Already(rows) = ready(client, &found, &wanted, mark).await? {
        return Ok(Some(Loaded { rows, already: true, aside: aside.total() }));
    }
    aside.pause();
    match fill(client, &wanted, forms, batches).await? {
        Some(rows) => {
            aside.go_on();
            write_marker(client, &wanted.target, mark, rows).await?;
            let done = client.batch_execute("COMMIT").await;
            let refused = refused("committing", done)?;
            Ok(refused.map(|()| Loaded { rows, already: false, aside: aside.total() }))
        }
        None => Ok(None),
    }
}

/// Sends every batch into the target.
async fn fill(
    client: &Client,
    wanted: &Wanted<'_>,
    forms: Vec<Form>,
    batches: BoxStream<'_, Result<RecordBatch>>,
) -> Result<Option<u64>> {
    let doing = "loading";
    let (target, names) = (Dialect::Postgres.quote(&wanted.target)?, quoted_names(wanted)?);
    let into = format!("COPY {target} ({}) FROM STDIN (FORMAT binary)", names.join(", "));
    // A row that cannot be sent is counted, and kept, by the load that comes after.
    let mut encoder = Encoder::new(&wanted.target, forms, (String::new(), AtFault::default()));
    match send(client, (doing, &into), wanted, &mut encoder, batches).await? {
        Some(answer) => refused(doing, answer),
        None => Ok(None),
    }
}

/// None for what the rows themselves cause: SQLSTATE classes 22 (data) and 23 (constraints).
fn refused<T>(doing: &str, answer: Result<T, tokio_postgres::Error>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let state = error.code().map_or("", tokio_postgres::error::SqlState::code);
            let by_rows = ["22", "23"].iter().any(|class| state.starts_with(class));
            if by_rows { Ok(None) } else { Err(failed(doing, &error)) }
        }
    }
}
