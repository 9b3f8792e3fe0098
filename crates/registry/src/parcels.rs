use std::collections::BTreeSet;

use lexicon::{Code, ConsignmentId, ParcelId, Refusal, Result, ShelfId, limits};
use rusqlite::{Connection, OptionalExtension, params};
use wire::ParcelLine;

use crate::{Registry, broken};

/// What was not on a shelf when its emptying began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The shelf.
    pub shelf: ShelfId,
    /// Stored parcels, by attempt and name.
    pub absent: BTreeSet<(u32, ParcelId)>,
}

impl Registry {
    /// Whether a parcel may be noted: it is noted already, or one more is not too many.
    ///
    /// # Errors
    /// A refusal when its consignment has [`limits::PARCELS_MAX`] others; a fault when SQLite fails.
    pub fn takes_parcel(&self, consignment: ConsignmentId, (attempt, parcel): (u32, ParcelId)) -> Result<()> {
        takes(&self.lock()?.connection, consignment, (attempt, parcel))
    }

    /// Notes a parcel that is on the shelf. The same one again is fine.
    ///
    /// # Errors
    /// A refusal when another parcel of that name is noted, and as [`Self::takes_parcel`]; a fault when SQLite fails.
    pub fn note_parcel(&self, consignment: ConsignmentId, line: &ParcelLine) -> Result<()> {
        // Under one lock: of those who come at once nobody is one too many.
        let inner = self.lock()?;
        takes(&inner.connection, consignment, (line.attempt, line.parcel))?;
        let bytes = i64::try_from(line.bytes).unwrap_or(i64::MAX);
        inner
            .connection
            .execute(
                "INSERT OR IGNORE INTO parcel (consignment, attempt, parcel, bytes, digest) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![consignment.to_string(), line.attempt, line.parcel.to_string(), bytes, line.digest.to_string()],
            )
            .map_err(broken)?;
        let stored = noted(&inner.connection, consignment, (line.attempt, line.parcel))?;
        if stored.as_deref() == Some(line.digest.to_string().as_str()) {
            return Ok(());
        }
        Err(Refusal::new(Code(755), "another parcel of this name is stored", "Draw a new name for the parcel.").into())
    }

    /// Parcels of a consignment.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn parcels(&self, consignment: ConsignmentId) -> Result<Vec<ParcelLine>> {
        let inner = self.lock()?;
        let mut statement = inner
            .connection
            .prepare(
                "SELECT attempt, parcel, bytes, digest FROM parcel WHERE consignment = ?1 ORDER BY attempt, parcel",
            )
            .map_err(broken)?;
        let rows = statement
            .query_map([consignment.to_string()], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, String>(3)?))
            })
            .map_err(broken)?;
        rows.map(|row| {
            let (attempt, parcel, bytes, digest) = row.map_err(broken)?;
            let parcel: ParcelId = parcel.parse()?;
            Ok(ParcelLine { attempt, parcel, bytes: u64::try_from(bytes).unwrap_or(0), digest: digest.parse()? })
        })
        .collect()
    }
}

impl Registry {
    /// Keeps which parcels of a consignment were not on the shelf when its emptying began, in the place of what was kept of
    /// another shelf.
    ///
    /// # Errors
    /// A fault when SQLite fails; nothing is kept then.
    pub fn keep_absent(&self, consignment: ConsignmentId, look: &Look) -> Result<()> {
        let inner = self.lock()?;
        let transaction = inner.connection.unchecked_transaction().map_err(broken)?;
        let id = consignment.to_string();
        let query = "UPDATE parcel SET absent = 0 WHERE consignment = ?1 AND absent = 1";
        transaction.execute(query, [&id]).map_err(broken)?;
        for (attempt, parcel) in &look.absent {
            let query = "UPDATE parcel SET absent = 1 WHERE consignment = ?1 AND attempt = ?2 AND parcel = ?3";
            transaction.execute(query, params![id, attempt, parcel.to_string()]).map_err(broken)?;
        }
        let query = "UPDATE strongroom SET shelf = ?2 WHERE consignment = ?1";
        transaction.execute(query, params![id, look.shelf.to_string()]).map_err(broken)?;
        transaction.commit().map_err(broken)
    }

    /// Which parcels of a consignment were not on the shelf when its emptying began; none while nobody looked.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn absent(&self, consignment: ConsignmentId) -> Result<Option<Look>> {
        let (inner, id) = (self.lock()?, consignment.to_string());
        let query = "SELECT shelf FROM strongroom WHERE consignment = ?1";
        let looked_at = inner.connection.query_row(query, [&id], |row| row.get::<_, Option<String>>(0));
        let Some(looked_at) = looked_at.optional().map_err(broken)?.flatten() else { return Ok(None) };
        let query = "SELECT attempt, parcel FROM parcel WHERE consignment = ?1 AND absent = 1 ORDER BY attempt, parcel";
        let mut statement = inner.connection.prepare(query).map_err(broken)?;
        let rows =
            statement.query_map([&id], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))).map_err(broken)?;
        let named = rows.map(|row| {
            let (attempt, parcel) = row.map_err(broken)?;
            Ok((attempt, parcel.parse::<ParcelId>()?))
        });
        Ok(Some(Look { shelf: looked_at.parse()?, absent: named.collect::<Result<_>>()? }))
    }
}

/// The digest under which a parcel is noted.
fn noted(connection: &Connection, id: ConsignmentId, (attempt, parcel): (u32, ParcelId)) -> Result<Option<String>> {
    let query = "SELECT digest FROM parcel WHERE consignment = ?1 AND attempt = ?2 AND parcel = ?3";
    let name = params![id.to_string(), attempt, parcel.to_string()];
    connection.query_row(query, name, |row| row.get(0)).optional().map_err(broken)
}

fn takes(connection: &Connection, consignment: ConsignmentId, name: (u32, ParcelId)) -> Result<()> {
    let query = "SELECT count(*) FROM parcel WHERE consignment = ?1";
    let count: i64 = connection.query_row(query, [consignment.to_string()], |row| row.get(0)).map_err(broken)?;
    let full = usize::try_from(count).is_ok_and(|count| count >= limits::PARCELS_MAX);
    if !full || noted(connection, consignment, name)?.is_some() {
        return Ok(());
    }
    Err(Refusal::new(
        Code(761),
        format!("this consignment has {} parcels, and the server takes no more of one", limits::PARCELS_MAX),
        "Abandon it, and find out why the extraction makes so many parcels before you open another.",
    )
    .into())
}
