use std::collections::BTreeMap;

use lexicon::{Alarm, Code, Digest, Result, canonical};
use rusqlite::Connection;
use serde::Serialize;
use wire::Leaf;

use crate::{Registry, broken};

/// By table, the digest of what stands in each row, in the order in which the rows came.
type Rows = BTreeMap<&'static str, Vec<Digest>>;

/// The tables whose rows the journal made, each row as one text.
const TABLES: [(&str, &str); 4] = [
    ("fact", "SELECT leaf || ' ' || nonce || ' ' || entry FROM fact ORDER BY leaf"),
    ("root", "SELECT body FROM root ORDER BY rowid"),
    ("certificate", "SELECT body FROM certificate ORDER BY rowid"),
    ("revocation", "SELECT body FROM revocation ORDER BY rowid"),
];

impl Registry {
    /// Whether facts, roots, certificates and revocations are those that the journal's leaves made, no more and no
    /// fewer and in their order, and every migration that has facts has its row. What the rows say is not looked at. Cost: reads every
    /// leaf.
    ///
    /// # Errors
    /// An alarm that names the first table that differs; a fault when SQLite fails.
    pub fn compare(&self) -> Result<()> {
        let inner = self.lock()?;
        let (made, found) = (made(&inner.connection)?, found(&inner.connection)?);
        if let Some((table, _)) = TABLES.iter().find(|(table, _)| made.get(table) != found.get(table)) {
            let text = format!("the rows of table {table} are not those that the journal's leaves made");
            return Err(Alarm::new(Code(757), text).into());
        }
        let rowless = "SELECT count(*) FROM fact WHERE migration NOT IN (SELECT id FROM migration)";
        let rowless: i64 = inner.connection.query_row(rowless, [], |row| row.get(0)).map_err(broken)?;
        if rowless > 0 {
            return Err(Alarm::new(Code(757), "a migration has facts and no row").into());
        }
        Ok(())
    }
}

fn made(connection: &Connection) -> Result<Rows> {
    let mut rows: Rows = TABLES.iter().map(|(table, _)| (*table, Vec::new())).collect();
    let mut statement = connection.prepare("SELECT number, body FROM leaf ORDER BY number").map_err(broken)?;
    let mut leaves = statement.query([]).map_err(broken)?;
    while let Some(row) = leaves.next().map_err(broken)? {
        let (number, body): (i64, Vec<u8>) = (row.get(0).map_err(broken)?, row.get(1).map_err(broken)?);
        let leaf: Leaf = serde_json::from_slice(&body)
            .map_err(|_| Alarm::new(Code(757), format!("leaf {number} of the journal is none that a server writes")))?;
        let (table, row) = match &leaf {
            Leaf::Fact { nonce, entry } => ("fact", text(&format!("{number} {nonce} "), entry)?),
            Leaf::Root { root, .. } => ("root", text("", root)?),
            Leaf::Certificate { certificate, .. } => ("certificate", text("", certificate)?),
            Leaf::Revocation { revocation, .. } => ("revocation", text("", revocation)?),
            Leaf::Note { .. } => continue,
        };
        rows.entry(table).or_default().push(row);
    }
    Ok(rows)
}

fn text<T: Serialize>(before: &str, value: &T) -> Result<Digest> {
    Ok(Digest::of(&[before.as_bytes(), &canonical(value)?].concat()))
}

fn found(connection: &Connection) -> Result<Rows> {
    let mut rows = Rows::new();
    for (table, query) in TABLES {
        let mut statement = connection.prepare(query).map_err(broken)?;
        let texts = statement.query_map([], |row| row.get::<_, String>(0)).map_err(broken)?;
        let digests = texts.map(|text| Ok(Digest::of(text.map_err(broken)?.as_bytes())));
        rows.insert(table, digests.collect::<Result<_>>()?);
    }
    Ok(rows)
}
