use std::path::Path;

use lexicon::{Result, canonical};
use people::{Envelope, RootId};
use rusqlite::params;

use crate::{Registry, broken, connect};

impl Registry {
    /// Leaves a signed admission in the file for the server that has it open, or will have.
    ///
    /// # Errors
    /// A fault when the file cannot be opened or written.
    pub fn leave_admission(path: &Path, root: RootId, admission: &Envelope) -> Result<()> {
        let body = String::from_utf8_lossy(&canonical(admission)?).into_owned();
        connect(path)?
            .execute("INSERT OR REPLACE INTO admission VALUES (?1, ?2)", params![root.to_string(), body])
            .map_err(broken)?;
        Ok(())
    }

    /// The admissions that were left: what each says that its root is, and its text.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn admissions(&self) -> Result<Vec<(String, String)>> {
        let inner = self.lock()?;
        let mut statement = inner.connection.prepare("SELECT root, body FROM admission").map_err(broken)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(broken)?;
        rows.map(|row| row.map_err(broken)).collect()
    }

    /// Forgets an admission that was taken up or is none.
    ///
    /// # Errors
    /// A fault when SQLite fails.
    pub fn forget_admission(&self, root: &str) -> Result<()> {
        self.lock()?.connection.execute("DELETE FROM admission WHERE root = ?1", [root]).map_err(broken)?;
        Ok(())
    }
}
