use std::collections::BTreeSet;

use journal::Tree;
use lexicon::{Alarm, Code, ConsignmentId, Digest, MigrationId, Result, Timestamp};
use people::{Envelope, Root};
use rusqlite::{OptionalExtension, params};
use serde::de::DeserializeOwned;
use wire::Placed;

use crate::compare::unread;
use crate::{Registry, broken, intact};

/// A projection row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationRow {
    /// Which.
    pub id: MigrationId,
    /// How many facts.
    pub facts: u64,
    /// Its stage's name.
    pub stage: String,
    /// The digest of the migration after its last fact.
    pub state: Digest,
}

/// A stored fact with its leaf.
pub type FactRow = Placed;

/// Leaf, nonce and entry of a fact as they are stored.
type FactText = (i64, String, String);

/// Everyone whose rows can still be read.
pub struct People {
    /// Admitted.
    pub roots: Vec<Root>,
    /// Presented, in the order in which they came.
    pub certificates: Vec<Envelope>,
    /// In the order in which they came.
    pub revocations: Vec<Envelope>,
}

const ROOTS: &str = "SELECT body FROM root ORDER BY id";
const CERTIFICATES: &str = "SELECT body FROM certificate ORDER BY rowid";
const REVOCATIONS: &str = "SELECT body FROM revocation ORDER BY rowid";

impl Registry {
    /// The tree over all leaves.
    ///
    /// # Errors
    /// A fault when the registry is lost; an alarm when leaves and head do not agree.
    pub fn tree(&self) -> Result<Tree> {
        self.sound()?;
        Ok(self.lock()?.tree.clone())
    }

    /// All leaf hashes in order.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn leaf_hashes(&self) -> Result<Vec<Digest>> {
        self.column("SELECT hash FROM leaf ORDER BY number")?.iter().map(|hash| Ok(hash.parse()?)).collect()
    }

    /// One leaf's bytes.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn leaf(&self, number: u64) -> Result<Option<Vec<u8>>> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.lock()?
            .connection
            .query_row("SELECT body FROM leaf WHERE number = ?1", [number], |row| row.get(0))
            .optional()
            .map_err(broken)
    }

    /// Admitted roots.
    ///
    /// # Errors
    /// A fault when SQLite fails; an alarm when a row does not parse.
    pub fn roots(&self) -> Result<Vec<Root>> {
        self.parsed(ROOTS)
    }

    /// Presented certificates, in the order in which they came.
    ///
    /// # Errors
    /// As [`Self::roots`].
    pub fn certificates(&self) -> Result<Vec<Envelope>> {
        self.parsed(CERTIFICATES)
    }

    /// Revocations, in the order in which they came.
    ///
    /// # Errors
    /// As [`Self::roots`].
    pub fn revocations(&self) -> Result<Vec<Envelope>> {
        self.parsed(REVOCATIONS)
    }

    /// Roots, certificates and revocations, without those whose rows do not say what was written there, and each up to the
    /// first that is lost: that they are missing is for [`Self::compare`] to say.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn readable_people(&self) -> Result<People> {
        Ok(People {
            roots: self.readable(ROOTS)?,
            certificates: self.readable(CERTIFICATES)?,
            revocations: self.readable(REVOCATIONS)?,
        })
    }

    /// All projections.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn migrations(&self) -> Result<Vec<MigrationRow>> {
        let inner = self.lock()?;
        let mut statement =
            inner.connection.prepare("SELECT id, facts, stage, state FROM migration ORDER BY rowid").map_err(broken)?;
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get(2)?, row.get::<_, String>(3)?))
            })
            .map_err(broken)?;
        rows.map(|row| {
            let (id, facts, stage, digest) = row.map_err(broken)?;
            let facts = u64::try_from(facts).unwrap_or(0);
            Ok(MigrationRow { id: id.parse()?, facts, stage, state: digest.parse()? })
        })
        .collect()
    }

    /// Every migration that a projection or a fact names, as far as these can be read; and that they cannot, if so.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn migration_ids(&self) -> Result<(BTreeSet<MigrationId>, Option<Alarm>)> {
        let (mut ids, mut lost) = (BTreeSet::new(), None);
        for (table, query) in
            [("migration", "SELECT id FROM migration"), ("fact", "SELECT DISTINCT migration FROM fact")]
        {
            let (named, all) = self.intact_column(query)?;
            ids.extend(named.iter().filter_map(|id| id.parse::<MigrationId>().ok()));
            lost = lost.or_else(|| (!all).then(|| unread(table)));
        }
        Ok((ids, lost))
    }

    /// Every migration of which a wrapped share is kept.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn migrations_with_shares(&self) -> Result<BTreeSet<MigrationId>> {
        Ok(self.column("SELECT migration FROM strongroom")?.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Whether the projection of a migration says this many facts and this state. One that is lost says nothing.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn projects(&self, migration: MigrationId, facts: u64, state: Digest) -> Result<bool> {
        let facts = i64::try_from(facts).unwrap_or(i64::MAX);
        let query = "SELECT EXISTS (SELECT 1 FROM migration WHERE id = ?1 AND facts = ?2 AND state = ?3)";
        let named = params![migration.to_string(), facts, state.to_string()];
        let projected = self.lock()?.connection.query_row(query, named, |row| row.get(0));
        Ok(intact(projected)?.unwrap_or(false))
    }

    /// Facts of a migration from a number on.
    ///
    /// # Errors
    /// As [`Self::roots`].
    pub fn facts(&self, migration: MigrationId, from: u64) -> Result<Vec<FactRow>> {
        self.fact_rows(migration, from)?.into_iter().map(|row| placed(row.map_err(broken)?)).collect()
    }

    /// Facts of a migration from the first on, up to the first whose row is lost or does not say what was written there.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn readable_facts(&self, migration: MigrationId) -> Result<Vec<FactRow>> {
        let mut facts = Vec::new();
        for row in self.fact_rows(migration, 1)? {
            let Some(Ok(fact)) = intact(row)?.map(placed) else { break };
            facts.push(fact);
        }
        Ok(facts)
    }

    fn fact_rows(&self, migration: MigrationId, from: u64) -> Result<Vec<rusqlite::Result<FactText>>> {
        let inner = self.lock()?;
        let mut statement = inner
            .connection
            .prepare("SELECT leaf, nonce, entry FROM fact WHERE migration = ?1 AND number >= ?2 ORDER BY number")
            .map_err(broken)?;
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![migration.to_string(), from], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(broken)?;
        Ok(rows.collect())
    }

    /// The wrapped strongroom share of a consignment.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn wrapped_share(&self, consignment: ConsignmentId) -> Result<Option<Vec<u8>>> {
        self.lock()?
            .connection
            .query_row("SELECT wrapped FROM strongroom WHERE consignment = ?1", [consignment.to_string()], |row| {
                row.get(0)
            })
            .optional()
            .map_err(broken)
    }

    /// A document of a migration.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn document(&self, migration: MigrationId, digest: Digest) -> Result<Option<Vec<u8>>> {
        self.lock()?
            .connection
            .query_row(
                "SELECT body FROM document WHERE migration = ?1 AND digest = ?2",
                [migration.to_string(), digest.to_string()],
                |row| row.get(0),
            )
            .optional()
            .map_err(broken)
    }

    /// All documents of a migration.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn documents(&self, migration: MigrationId) -> Result<Vec<(Digest, Vec<u8>)>> {
        let inner = self.lock()?;
        let mut statement = inner
            .connection
            .prepare("SELECT digest, body FROM document WHERE migration = ?1 ORDER BY digest")
            .map_err(broken)?;
        let rows = statement
            .query_map([migration.to_string()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
            .map_err(broken)?;
        rows.map(|row| {
            let (digest, body) = row.map_err(broken)?;
            Ok((digest.parse()?, body))
        })
        .collect()
    }

    /// Whether this nonce of this key is new; it is not afterwards. Forgets those that are too old to be played again.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn spend_nonce(&self, keyid: Digest, nonce: Digest, until: Timestamp, now: Timestamp) -> Result<bool> {
        let inner = self.lock()?;
        inner.connection.execute("DELETE FROM nonce WHERE until < ?1", [now.as_second()]).map_err(broken)?;
        let made = inner
            .connection
            .execute(
                "INSERT OR IGNORE INTO nonce VALUES (?1, ?2, ?3)",
                params![keyid.to_string(), nonce.to_string(), until.as_second()],
            )
            .map_err(broken)?;
        Ok(made == 1)
    }

    fn column(&self, query: &str) -> Result<Vec<String>> {
        let inner = self.lock()?;
        let mut statement = inner.connection.prepare(query).map_err(broken)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(broken)?;
        rows.map(|row| row.map_err(broken)).collect()
    }

    /// The rows up to the first that is lost, and whether these are all.
    fn intact_column(&self, query: &str) -> Result<(Vec<String>, bool)> {
        let inner = self.lock()?;
        let mut statement = inner.connection.prepare(query).map_err(broken)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(broken)?;
        let mut texts = Vec::new();
        for row in rows {
            let Some(text) = intact(row)? else { return Ok((texts, false)) };
            texts.push(text);
        }
        Ok((texts, true))
    }

    fn readable<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<T>> {
        let (texts, _) = self.intact_column(query)?;
        Ok(texts.iter().filter_map(|text| parse(text).ok()).collect())
    }

    fn parsed<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<T>> {
        self.column(query)?.iter().map(|text| parse(text)).collect()
    }
}

fn placed((leaf, nonce, entry): FactText) -> Result<FactRow> {
    Ok(Placed { entry: parse(&entry)?, leaf: u64::try_from(leaf).unwrap_or(0), nonce: nonce.parse()? })
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|_| Alarm::new(Code(754), "a row of the registry does not say what was written there").into())
}
