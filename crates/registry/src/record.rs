use journal::{Receipt, Tree, leaf_hash};
use lexicon::{Alarm, Code, ConsignmentId, Digest, MigrationId, Refusal, Result, Timestamp, canonical};
use people::{Certificate, Envelope, Root};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use wire::Leaf;

use crate::{Marking, Registry, broken, intact, marks};

/// What a leaf brings with it, in the same transaction.
pub enum Recording<'a> {
    /// An act became a fact.
    Fact {
        /// Of which migration.
        migration: MigrationId,
        /// Its number.
        number: u64,
        /// The stage's name after it.
        stage: &'a str,
        /// The digest of the migration after it.
        state: Digest,
        /// What else this fact makes.
        fresh: Fresh<'a>,
    },
    /// A root was admitted.
    Root(&'a Root),
    /// A device presented its certificate.
    Certificate(Digest, &'a Certificate, &'a Envelope),
    /// A root took a certificate back.
    Revocation(Digest, &'a Envelope),
    /// Something of the server's own.
    Note,
    /// Something of the server's own that it must know after a restart.
    Mark(&'a Marking<'a>),
}

/// What a fact makes beside itself.
#[derive(Default)]
pub struct Fresh<'a> {
    /// The wrapped strongroom share of a new consignment.
    pub share: Option<NewShare<'a>>,
    /// Documents that the act names.
    pub documents: Vec<(Digest, &'a [u8])>,
    /// A consignment whose rows are to be forgotten, with the document that holds its sealed laboratory share.
    pub forget: Option<(ConsignmentId, Option<Digest>)>,
}

/// The share of a new consignment.
pub struct NewShare<'a> {
    /// Whose.
    pub consignment: ConsignmentId,
    /// As its ring key wrapped it.
    pub wrapped: &'a [u8],
    /// When the consignment is destroyed, whoever does nothing.
    pub deadline: Timestamp,
}

impl Registry {
    /// Appends one leaf and everything that comes with it: all of it or nothing.
    ///
    /// # Errors
    /// A fault when SQLite fails; a refusal when the key of a certificate is another person's; an alarm when the journal
    /// is damaged.
    pub fn record(&self, leaf: &Leaf, recording: &Recording<'_>) -> Result<Receipt> {
        self.sound()?;
        let body = canonical(leaf)?;
        let mut inner = self.lock()?;
        let mut tree = inner.tree.clone();
        let hash = leaf_hash(&body);
        let index = tree.append(hash);
        let transaction =
            inner.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(broken)?;
        let number = i64::try_from(index).unwrap_or(i64::MAX);
        transaction
            .execute("INSERT INTO leaf VALUES (?1, ?2, ?3)", params![number, hash.to_string(), body])
            .map_err(broken)?;
        rows(&transaction, number, leaf, recording)?;
        let size = i64::try_from(tree.size()).unwrap_or(i64::MAX);
        transaction
            .execute("UPDATE head SET size = ?1, root = ?2", params![size, tree.root().to_string()])
            .map_err(broken)?;
        transaction.commit().map_err(broken)?;
        let receipt = Receipt::of_committed(index, tree.root());
        inner.tree = tree;
        Ok(receipt)
    }
}

impl Registry {
    /// The receipt of a leaf that is stored.
    ///
    /// # Errors
    /// An alarm when there is no such leaf, or the journal is damaged.
    pub fn receipt(&self, leaf: u64) -> Result<Receipt> {
        self.sound()?;
        let inner = self.lock()?;
        if leaf >= inner.tree.size() {
            return Err(Alarm::new(Code(756), format!("leaf {leaf} is not in the journal")).into());
        }
        Ok(Receipt::of_committed(leaf, inner.tree.root()))
    }

    /// The receipt of everything that was recorded so far, by its last leaf; also of what is left of a damaged journal, which
    /// holds up no destruction.
    ///
    /// # Errors
    /// A fault when the registry is lost.
    pub fn so_far(&self) -> Result<Receipt> {
        let inner = self.lock()?;
        Ok(Receipt::of_committed(inner.tree.size().saturating_sub(1), inner.tree.root()))
    }
}

fn rows(transaction: &Transaction<'_>, leaf: i64, body: &Leaf, recording: &Recording<'_>) -> Result<()> {
    match recording {
        Recording::Fact { migration, number, stage, state, fresh } => {
            let Leaf::Fact { nonce, entry } = body else { return Ok(()) };
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            let id = migration.to_string();
            transaction
                .execute(
                    "INSERT INTO migration VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (id) DO UPDATE SET facts = excluded.facts, stage = excluded.stage, state = excluded.state",
                    params![id, number, stage, state.to_string()],
                )
                .map_err(broken)?;
            let entry = String::from_utf8_lossy(&canonical(entry)?).into_owned();
            transaction
                .execute(
                    "INSERT INTO fact VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![id, number, leaf, nonce.to_string(), entry],
                )
                .map_err(broken)?;
            with(transaction, &id, fresh)
        }
        Recording::Root(root) => {
            let body = String::from_utf8_lossy(&canonical(*root)?).into_owned();
            let id = root.id().to_string();
            transaction.execute("INSERT INTO root VALUES (?1, ?2)", params![id, body]).map_err(broken)?;
            transaction.execute("DELETE FROM admission WHERE root = ?1", [id]).map_err(broken)?;
            Ok(())
        }
        Recording::Certificate(digest, certificate, envelope) => person(transaction, *digest, certificate, envelope),
        Recording::Revocation(digest, envelope) => {
            let body = String::from_utf8_lossy(&canonical(*envelope)?).into_owned();
            transaction
                .execute("INSERT INTO revocation VALUES (?1, ?2)", params![digest.to_string(), body])
                .map_err(broken)?;
            Ok(())
        }
        Recording::Note => Ok(()),
        Recording::Mark(marking) => marks::set(transaction, body, marking, Some(leaf)),
    }
}

fn with(transaction: &Transaction<'_>, migration: &str, fresh: &Fresh<'_>) -> Result<()> {
    if let Some(NewShare { consignment, wrapped, deadline }) = &fresh.share {
        transaction
            .execute(
                "INSERT INTO strongroom (consignment, migration, wrapped, deadline) VALUES (?1, ?2, ?3, ?4)",
                params![consignment.to_string(), migration, wrapped, deadline.to_string()],
            )
            .map_err(broken)?;
    }
    for (digest, body) in &fresh.documents {
        transaction
            .execute("INSERT OR IGNORE INTO document VALUES (?1, ?2, ?3)", params![migration, digest.to_string(), body])
            .map_err(broken)?;
    }
    if let Some((consignment, share)) = fresh.forget {
        if let Some(share) = share {
            transaction
                .execute(
                    "DELETE FROM document WHERE migration = ?1 AND digest = ?2",
                    params![migration, share.to_string()],
                )
                .map_err(broken)?;
        }
        forget(transaction, consignment)?;
    }
    Ok(())
}

/// The rows of a destroyed consignment.
pub(crate) fn forget(connection: &Connection, consignment: ConsignmentId) -> Result<()> {
    let id = consignment.to_string();
    connection.execute("DELETE FROM strongroom WHERE consignment = ?1", [&id]).map_err(broken)?;
    connection.execute("DELETE FROM parcel WHERE consignment = ?1", [&id]).map_err(broken)?;
    Ok(())
}

fn person(transaction: &Transaction<'_>, digest: Digest, certificate: &Certificate, envelope: &Envelope) -> Result<()> {
    let (key, root, id) =
        (certificate.device.key.to_string(), certificate.root.to_string(), certificate.person.id.to_string());
    transaction.execute("INSERT OR IGNORE INTO device VALUES (?1, ?2, ?3)", params![key, root, id]).map_err(broken)?;
    let body = String::from_utf8_lossy(&canonical(envelope)?).into_owned();
    let made = transaction.execute(
        "INSERT INTO certificate VALUES (?1, ?2, ?3, ?4, ?5)",
        params![digest.to_string(), key, root, id, body],
    );
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Err(Refusal::new(
            Code(752),
            "this device's key is already another person's, or its organisation is not admitted here",
            "Each person makes a key of their own with `lazaret person enrol`; the server's operator admits organisations.",
        )
        .into()),
        Err(error) => Err(broken(error)),
    }
}

/// The tree over the stored leaves as they are, up to the first that is lost, and what is wrong with them when they do not
/// agree with the stored head and with their own bytes.
pub(crate) fn tree(connection: &Connection) -> Result<(Tree, Option<Alarm>)> {
    let mut tree = Tree::new();
    let mut wrong = None;
    let mut statement = connection.prepare("SELECT number, hash, body FROM leaf ORDER BY number").map_err(broken)?;
    let leaves = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(broken)?;
    for leaf in leaves {
        let expected = i64::try_from(tree.size()).unwrap_or(i64::MAX);
        let Some((number, hash, body)): Option<(i64, String, Vec<u8>)> = intact(leaf)? else {
            wrong = wrong.or_else(|| Some(format!("leaf {expected} cannot be read")));
            break;
        };
        let found = leaf_hash(&body);
        if number != expected || hash != found.to_string() {
            wrong = wrong.or_else(|| Some(format!("leaf {expected} is changed, missing or out of order")));
        }
        tree.append(found);
    }
    let wrong = wrong.map_or_else(|| other_head(connection, &tree), |wrong| Ok(Some(wrong)))?;
    let alarm = wrong.map(|what| Alarm::new(Code(753), format!("the journal in the registry is damaged: {what}")));
    Ok((tree, alarm))
}

/// In what the stored head is not that of the tree.
fn other_head(connection: &Connection, tree: &Tree) -> Result<Option<String>> {
    let head = connection
        .query_row("SELECT size, root FROM head", [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let Some(head) = intact(head.optional())? else { return Ok(Some("its head cannot be read".to_owned())) };
    let size = i64::try_from(tree.size()).unwrap_or(i64::MAX);
    Ok(match head {
        Some((stored, root)) if stored == size && root == tree.root().to_string() => None,
        Some((stored, _)) if stored > size => Some(format!("leaf {size} is missing at its end")),
        Some((stored, _)) if stored < size => Some(format!("leaf {stored} stands after its end")),
        _ => {
            let which = misplaced(connection)?
                .map_or_else(String::new, |leaf| format!("; the first in a wrong place is leaf {leaf}"));
            Some(format!("its leaves do not give its head{which}"))
        }
    })
}

/// The first leaf that is not the fact for which the rows name it: what tells leaves apart that were put in another
/// order together with their hashes.
fn misplaced(connection: &Connection) -> Result<Option<i64>> {
    let query = "SELECT fact.leaf, fact.nonce, fact.entry, leaf.body FROM fact JOIN leaf ON leaf.number = fact.leaf \
                 ORDER BY fact.leaf";
    let mut statement = connection.prepare(query).map_err(broken)?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).map_err(broken)?;
    for row in rows {
        // That facts are lost is for the comparison of rows to say.
        let Some((number, nonce, entry, body)): Option<(i64, String, String, Vec<u8>)> = intact(row)? else { break };
        let leaf: Option<Leaf> = serde_json::from_slice(&body).ok();
        let same = matches!(&leaf, Some(Leaf::Fact { nonce: drawn, entry: said })
            if drawn.to_string() == nonce && canonical(said)? == entry.as_bytes());
        if !same {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
