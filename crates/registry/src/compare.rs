use std::collections::{BTreeMap, BTreeSet};

use lexicon::{Alarm, Code, Digest, MigrationId, Result, canonical};
use procedure::{Entry, FactBody};
use rusqlite::Connection;
use serde::Serialize;
use wire::Leaf;

use crate::{Registry, broken, intact};

/// Which rows: a table's name, and for facts their migration's too.
type Place = (&'static str, String);

/// By place, the digest of what stands in each row, in the order in which the rows came.
type Rows = BTreeMap<Place, Vec<Digest>>;

/// The tables whose rows the journal made: to what a row belongs, and the row as one text.
const TABLES: [(&str, &str); 4] = [
    ("fact", "SELECT migration, leaf || ' ' || nonce || ' ' || entry FROM fact ORDER BY leaf"),
    ("root", "SELECT '', body FROM root ORDER BY rowid"),
    ("certificate", "SELECT '', body FROM certificate ORDER BY rowid"),
    ("revocation", "SELECT '', body FROM revocation ORDER BY rowid"),
];

/// Where rows and leaves do not say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Differences {
    /// Nowhere.
    None,
    /// In these tables, with the migrations whose facts are among them.
    Some(Alarm, BTreeSet<MigrationId>),
    /// Leaves or rows cannot be read, so that it may be anywhere.
    Anywhere(Alarm),
}

impl Registry {
    /// Whether facts, roots, certificates and revocations are those that the journal's leaves made, no more and no
    /// fewer and in their order. What the rows say is not looked at. Cost: reads every leaf.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn compare(&self) -> Result<Differences> {
        let inner = self.lock()?;
        let made = match made(&inner.connection)? {
            Ok(made) => made,
            Err(alarm) => return Ok(Differences::Anywhere(alarm)),
        };
        let found = match found(&inner.connection)? {
            Ok(found) => found,
            Err(alarm) => return Ok(Differences::Anywhere(alarm)),
        };
        let places: BTreeSet<&Place> = made.keys().chain(found.keys()).collect();
        let differing: Vec<&Place> = places.into_iter().filter(|place| made.get(*place) != found.get(*place)).collect();
        let Some((table, _)) = differing.first() else { return Ok(Differences::None) };
        let text = format!("the rows of table {table} are not those that the journal's leaves made");
        let migrations = differing.iter().filter_map(|(_, migration)| migration.parse().ok()).collect();
        Ok(Differences::Some(Alarm::new(Code(757), text), migrations))
    }
}

fn made(connection: &Connection) -> Result<Result<Rows, Alarm>> {
    let mut rows = Rows::new();
    let mut statement = connection.prepare("SELECT number, body FROM leaf ORDER BY number").map_err(broken)?;
    let leaves = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(broken)?;
    for leaf in leaves {
        let Some((number, body)): Option<(i64, Vec<u8>)> = intact(leaf)? else { return Ok(Err(unread("leaf"))) };
        let Ok(leaf) = serde_json::from_slice::<Leaf>(&body) else {
            let text = format!("leaf {number} of the journal is none that a server writes");
            return Ok(Err(Alarm::new(Code(757), text)));
        };
        let whole = String::new();
        let (place, row) = match &leaf {
            Leaf::Fact { nonce, entry } => (("fact", migration(entry)), text(&format!("{number} {nonce} "), entry)?),
            Leaf::Root { root, .. } => (("root", whole), text("", root)?),
            Leaf::Certificate { certificate, .. } => (("certificate", whole), text("", certificate)?),
            Leaf::Revocation { revocation, .. } => (("revocation", whole), text("", revocation)?),
            Leaf::Note { .. } => continue,
        };
        rows.entry(place).or_default().push(row);
    }
    Ok(Ok(rows))
}

/// Of which migration a fact says that it is; of none when it says nothing.
fn migration(entry: &Entry) -> String {
    let body = entry.fact.bytes().ok().and_then(|bytes| serde_json::from_slice::<FactBody>(&bytes).ok());
    body.map_or_else(String::new, |body| body.migration.to_string())
}

fn text<T: Serialize>(before: &str, value: &T) -> Result<Digest> {
    Ok(Digest::of(&[before.as_bytes(), &canonical(value)?].concat()))
}

fn found(connection: &Connection) -> Result<Result<Rows, Alarm>> {
    let mut rows = Rows::new();
    for (table, query) in TABLES {
        let mut statement = connection.prepare(query).map_err(broken)?;
        let texts = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).map_err(broken)?;
        for text in texts {
            let Some((whose, text)): Option<(String, String)> = intact(text)? else { return Ok(Err(unread(table))) };
            rows.entry((table, whose)).or_default().push(Digest::of(text.as_bytes()));
        }
    }
    Ok(Ok(rows))
}

/// Some rows of a table are lost.
pub(crate) fn unread(table: &str) -> Alarm {
    Alarm::new(Code(757), format!("the rows of table {table} cannot all be read"))
}
