use std::fs::OpenOptions;
use std::io::Write;

use journal::Receipt;
use lexicon::{Code, ConsignmentId, Digest, Fault, MigrationId, Result, Retry, Timestamp, canonical};
use rusqlite::{Connection, OptionalExtension, params};
use wire::Leaf;

use crate::record::forget;
use crate::{Recording, Registry, broken};

/// What the server found out or did and no fact says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Of a consignment: its ring key is about to be made, and a fact of its opening is to follow.
    Opening,
    /// Of a consignment: its ring key lives, and no fact and no note of an opening names it. When it was seen first.
    Unnamed,
    /// Of a migration: its facts are damaged. When it was seen first.
    Damaged,
    /// Of a migration: this server was put back behind its agents.
    Behind,
    /// Of a consignment of a damaged migration: its deadline passed.
    Overdue,
    /// Of a consignment of a damaged migration, or of one that nothing names: it is destroyed.
    Destroyed,
    /// Of a key act after the fact, or the note, of its consignment's destruction, by its digest.
    DestroyedAgain,
    /// Of a destroyed consignment: what an object store had to keep of it is gone too.
    LetGo,
    /// Of a card, by its digest: the server opened with it, and it is a renewed one.
    Renewed,
    /// Of a danger that the settings accept, by the digest of its words: the server runs with it.
    Danger,
    /// Of the time of the latest fact: the server opened with a clock that showed an earlier one.
    Clock,
}

impl Mark {
    fn text(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Unnamed => "unnamed",
            Self::Damaged => "damaged",
            Self::Behind => "behind",
            Self::Overdue => "overdue",
            Self::Destroyed => "destroyed",
            Self::DestroyedAgain => "destroyed_again",
            Self::LetGo => "let_go",
            Self::Renewed => "renewed",
            Self::Danger => "danger",
            Self::Clock => "clock",
        }
    }
}

/// A mark with what goes with it.
pub struct Marking<'a> {
    /// Which.
    pub mark: Mark,
    /// The id of what it is set on.
    pub subject: &'a str,
    /// A consignment whose rows are to be forgotten, of this migration, with every document but these: which of them is
    /// a sealed share cannot be told when the facts cannot be read.
    pub forget: Option<(MigrationId, ConsignmentId, &'a [Digest])>,
}

/// A mark that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Since when.
    pub at: Timestamp,
    /// The leaf of its note; none when the journal took none.
    pub leaf: Option<u64>,
}

impl Registry {
    /// Sets a mark with its note. A journal that takes no leaf holds up no destruction: the note then goes into the file
    /// beside the registry, and the receipt is over the leaves that are left.
    ///
    /// # Errors
    /// A fault when neither takes it.
    pub fn mark(&self, note: &Leaf, marking: &Marking<'_>) -> Result<Receipt> {
        let recorded = self.record(note, &Recording::Mark(marking));
        if recorded.is_ok() {
            return recorded;
        }
        self.note_beside(note)?;
        // Rows that can be written are; what was done stands in the file whether they can or not.
        drop(set(&self.lock()?.connection, note, marking, None));
        self.so_far()
    }

    /// Everything on which a mark stands.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn subjects(&self, mark: Mark) -> Result<Vec<String>> {
        let inner = self.lock()?;
        let query = "SELECT subject FROM mark WHERE kind = ?1 ORDER BY subject";
        let mut statement = inner.connection.prepare(query).map_err(broken)?;
        let rows = statement.query_map([mark.text()], |row| row.get(0)).map_err(broken)?;
        rows.map(|row| row.map_err(broken)).collect()
    }

    /// A mark that was set.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn marked(&self, mark: Mark, subject: &str) -> Result<Option<Marked>> {
        let row: Option<(String, Option<i64>)> = self
            .lock()?
            .connection
            .query_row("SELECT at, leaf FROM mark WHERE subject = ?1 AND kind = ?2", [subject, mark.text()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(broken)?;
        Ok(row.map(|(at, leaf)| Marked {
            // A moment that cannot be read is the earliest: a deadline that counts from it has passed.
            at: at.parse().unwrap_or(Timestamp::MIN),
            leaf: leaf.and_then(|leaf| u64::try_from(leaf).ok()),
        }))
    }

    /// Takes a mark away that does not hold any more; its note stays.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn unmark(&self, mark: Mark, subject: &str) -> Result<()> {
        let gone = "DELETE FROM mark WHERE subject = ?1 AND kind = ?2";
        self.lock()?.connection.execute(gone, [subject, mark.text()]).map_err(broken)?;
        Ok(())
    }

    /// The consignments of a migration whose wrapped share is here, each with its deadline where that can be read.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn strongroom(&self, migration: MigrationId) -> Result<Vec<(ConsignmentId, Option<Timestamp>)>> {
        let inner = self.lock()?;
        let query = "SELECT consignment, deadline FROM strongroom WHERE migration = ?1";
        let mut statement = inner.connection.prepare(query).map_err(broken)?;
        let rows = statement
            .query_map([migration.to_string()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))
            .map_err(broken)?;
        let mut found = Vec::new();
        for row in rows {
            let (consignment, deadline) = row.map_err(broken)?;
            if let Ok(consignment) = consignment.parse() {
                found.push((consignment, deadline.and_then(|deadline| deadline.parse().ok())));
            }
        }
        Ok(found)
    }

    /// Writes a note into the file beside the registry.
    ///
    /// # Errors
    /// A fault when the disk does not take it.
    pub fn note_beside(&self, note: &Leaf) -> Result<()> {
        let mut line = canonical(note)?;
        line.push(b'\n');
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.notes)
            .and_then(|mut file| file.write_all(&line).and_then(|()| file.sync_all()));
        written.map_err(|error| {
            let text = format!("neither journal nor disk takes a note: {}", error.kind());
            Fault::new(Code(758), Retry::Later, text).into()
        })
    }
}

/// The row of a mark, and what is forgotten with it. The first one stands.
pub(crate) fn set(connection: &Connection, note: &Leaf, marking: &Marking<'_>, leaf: Option<i64>) -> Result<()> {
    let Leaf::Note { at, .. } = note else { return Ok(()) };
    connection
        .execute(
            "INSERT OR IGNORE INTO mark VALUES (?1, ?2, ?3, ?4)",
            params![marking.subject, marking.mark.text(), at.to_string(), leaf],
        )
        .map_err(broken)?;
    let Some((migration, consignment, kept)) = marking.forget else { return Ok(()) };
    let kept: Vec<String> = kept.iter().map(Digest::to_string).collect();
    let (migration, kept) = (migration.to_string(), kept.join(" "));
    connection
        .execute("DELETE FROM document WHERE migration = ?1 AND instr(?2, digest) = 0", [&migration, &kept])
        .map_err(broken)?;
    forget(connection, consignment)
}
