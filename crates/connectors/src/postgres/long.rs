//! Rows that no parcel carries. The driver holds a row whole before anybody here can look at it, and a row may have a
//! gigabyte: so the server is asked for lengths first, and leaves such rows out of the COPY. It keeps long values beside
//! their table (TOAST) and knows the length of a text or of bytes without reading them.

use std::pin::pin;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use lexicon::Result;
use lexicon::limits::ROW_BYTES_MAX;
use tokio_postgres::Client;

use super::catalog::{Column, Table};
use super::decode::Decoder;
use super::failed;
use super::source::Rows;
use super::types::Wire;
use crate::at_fault::{AtFault, ROWS_KEPT_MAX};

const DOING: &str = "looking for long rows";
/// 64 KiB: a key that is longer names no row. An index of the server's holds less than 3 KB.
const KEY_BYTES_MAX: usize = 64 * 1024;

/// How one column is read.
pub(super) struct Part {
    pub(super) expression: String,
    pub(super) wire: Wire,
    /// The expression for its bytes, where it can have many.
    pub(super) length: Option<String>,
}

/// The expression for the bytes of a quoted column, as the database keeps its texts.
pub(super) fn length(column: &Column, quoted: &str, wire: Wire) -> Option<String> {
    let text = if column.base == "bytea" { quoted.to_owned() } else { format!("({quoted})::text") };
    matches!(wire, Wire::Bytes | Wire::Text).then(|| format!("pg_catalog.octet_length({text})"))
}

/// What is left out.
pub(super) struct Long {
    /// True for all other rows.
    pub(super) others: String,
    /// By column, how many values take their row over what a parcel carries.
    pub(super) values: Vec<(usize, u64)>,
}

// A row whose every value stands in its own page of 8 KB has 17 MB at most: compressed at most 255 times, and spelled as
// text in at most eight times its bytes. What is no plain table keeps its long values elsewhere.
const HAS_LONG_VALUES: &str = "SELECT c.relkind NOT IN ('r', 'm') OR c.relhassubclass \
       OR coalesce(pg_catalog.pg_relation_size(c.reltoastrelid), 0) > 0 \
     FROM pg_catalog.pg_class c WHERE c.oid = $1";

/// Looks for rows in scope that no parcel carries, and keeps the keys of the first. None for nearly every table, after a
/// look into the catalog; one with long values is read through once more.
pub(super) async fn look(client: &Client, rows: &Rows<'_>, found: &Table, parts: &[Part]) -> Result<Option<Long>> {
    let lengths: Vec<(usize, &str)> =
        parts.iter().enumerate().filter_map(|(index, part)| Some((index, part.length.as_deref()?))).collect();
    if lengths.is_empty() || !has_long_values(client, found).await? {
        return Ok(None);
    }
    let sum: Vec<_> = lengths.iter().map(|(_, length)| format!("coalesce({length}, 0)::int8")).collect();
    let sum = sum.join(" + ");
    let long = rows.condition_and(Some(&format!("{sum} > {ROW_BYTES_MAX}")));
    let from = format!("FROM {}{long}", rows.from);
    let values = count(client, &lengths, &from).await?;
    if values.is_empty() {
        return Ok(None);
    }
    // A row that cannot be named is counted all the same.
    for batch in keys(client, rows, parts, &from).await.unwrap_or_default() {
        for row in 0..batch.num_rows() {
            rows.at_fault.keep(rows.table, batch.slice(row, 1));
        }
    }
    Ok(Some(Long { others: format!("{sum} <= {ROW_BYTES_MAX}"), values }))
}

async fn has_long_values(client: &Client, found: &Table) -> Result<bool> {
    let answer = client.query_one(HAS_LONG_VALUES, &[&found.oid]).await.and_then(|row| row.try_get(0));
    answer.map_err(|error| failed(DOING, &error))
}

/// Of each row, every value that is too long alone; of a row that has none, its longest.
async fn count(client: &Client, lengths: &[(usize, &str)], from: &str) -> Result<Vec<(usize, u64)>> {
    let cells: Vec<_> = lengths.iter().map(|(index, length)| format!("{length} AS length_{index}")).collect();
    let all: Vec<_> = lengths.iter().map(|(_, length)| *length).collect();
    let counts: Vec<_> = lengths
        .iter()
        .map(|(index, _)| {
            format!("count(*) FILTER (WHERE length_{index} > {ROW_BYTES_MAX} OR length_{index} = longest)")
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM (SELECT {}, greatest({}) AS longest {from}) AS lazaret_long",
        counts.join(", "),
        cells.join(", "),
        all.join(", ")
    );
    let row = client.query_one(&sql, &[]).await.map_err(|error| failed(DOING, &error))?;
    let mut values = Vec::new();
    for (place, (index, _)) in lengths.iter().enumerate() {
        let count: i64 = row.try_get(place).map_err(|error| failed(DOING, &error))?;
        values.extend(u64::try_from(count).ok().filter(|count| *count > 0).map(|count| (*index, count)));
    }
    Ok(values)
}

/// The first of these rows with their keys alone.
async fn keys(client: &Client, rows: &Rows<'_>, parts: &[Part], from: &str) -> Result<Vec<RecordBatch>> {
    if rows.key.is_empty() {
        return Ok(Vec::new());
    }
    let cells = rows.schema.fields().iter().zip(parts).map(|(field, part)| match &part.length {
        _ if !rows.key.contains(field.name()) => "NULL".to_owned(),
        Some(length) => format!("CASE WHEN {length} <= {KEY_BYTES_MAX} THEN {} END", part.expression),
        None => part.expression.clone(),
    });
    let cells = cells.collect::<Vec<_>>().join(", ");
    let copy = format!("COPY (SELECT {cells} {from} LIMIT {ROWS_KEPT_MAX}) TO STDOUT (FORMAT binary)");
    let mut copy = pin!(client.copy_out(&copy).await.map_err(|error| failed(DOING, &error))?);
    let wires = parts.iter().map(|part| part.wire).collect();
    let mut decoder = Decoder::new(rows.table, Arc::clone(&rows.schema), wires, &AtFault::default())?;
    let mut batches = Vec::new();
    while let Some(piece) = copy.try_next().await.map_err(|error| failed(DOING, &error))? {
        decoder.feed(&piece, &mut batches)?;
    }
    batches.extend(decoder.finish()?);
    Ok(batches)
}
