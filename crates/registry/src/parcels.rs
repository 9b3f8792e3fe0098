use lexicon::{Code, ConsignmentId, ParcelId, Refusal, Result};
use rusqlite::{OptionalExtension, params};
use wire::ParcelLine;

use crate::{Registry, broken};

impl Registry {
    /// Notes a parcel that is on the shelf. The same one again is fine.
    ///
    /// # Errors
    /// A refusal when another parcel of that name is noted; a fault when SQLite fails.
    pub fn note_parcel(&self, consignment: ConsignmentId, line: &ParcelLine) -> Result<()> {
        let inner = self.lock()?;
        let bytes = i64::try_from(line.bytes).unwrap_or(i64::MAX);
        let name = params![consignment.to_string(), line.attempt, line.parcel.to_string()];
        inner
            .connection
            .execute(
                "INSERT OR IGNORE INTO parcel VALUES (?1, ?2, ?3, ?4, ?5)",
                params![consignment.to_string(), line.attempt, line.parcel.to_string(), bytes, line.digest.to_string()],
            )
            .map_err(broken)?;
        let stored: Option<String> = inner
            .connection
            .query_row(
                "SELECT digest FROM parcel WHERE consignment = ?1 AND attempt = ?2 AND parcel = ?3",
                name,
                |row| row.get(0),
            )
            .optional()
            .map_err(broken)?;
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
