//! What a cut extraction need not do again: tables that are wholly on the shelf, when the old system stands still.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use lexicon::{Code, ConsignmentId, Digest, Fault, MigrationId, Result, Retry};
use procedure::{ExtractMeasure, ManifestParcel};
use scope::TableFingerprint;
use seal::{ConsignmentKey, open_parcel};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::Errand;
use crate::documents::StoredDocuments;

/// One table that an attempt has stored to its end. Its fingerprint is sealed beside its rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// Rows in the table and in scope, when it was read.
    pub counts: (u64, u64),
    pub parcels: Vec<ManifestParcel>,
    pub sums: ManifestParcel,
    pub transforms: BTreeMap<String, u64>,
    /// What a rehearsal measured of it.
    #[serde(default)]
    pub measured: Option<ExtractMeasure>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The source's schema and the scope: under others nothing is kept.
    under: Option<(Digest, Digest)>,
    tables: BTreeMap<String, Stored>,
    #[serde(default)]
    documents: BTreeMap<String, StoredDocuments>,
}

/// How many tables of a round this device has stored to their end.
///
/// # Errors
/// A fault or an alarm of the home.
pub fn stored_tables(desk: &desk::Desk, migration: MigrationId, consignment: ConsignmentId) -> Result<usize> {
    let kept: Option<Kept> = desk.home().progress(desk::Round { migration, consignment })?;
    Ok(kept.map_or(0, |kept| kept.tables.len()))
}

/// The stored tables of a round, on this device.
pub(crate) struct Resume<'a> {
    errand: &'a Errand<'a>,
    kept: Mutex<Kept>,
}

impl<'a> Resume<'a> {
    /// What earlier attempts stored. Nothing of it counts when the source is written to: tables of two moments do not
    /// belong together.
    pub(crate) fn open(errand: &'a Errand<'a>, live: bool, under: (Digest, Digest)) -> Result<Self> {
        let kept: Option<Kept> = if live { None } else { errand.desk.home().progress(errand.round())? };
        let kept = kept.filter(|kept| kept.under == Some(under));
        let kept = kept.unwrap_or(Kept { under: Some(under), ..Kept::default() });
        Ok(Self { errand, kept: Mutex::new(kept) })
    }

    /// A table that is stored, with its fingerprint, if its counts are still the same.
    pub(crate) async fn table(
        &self,
        name: &str,
        counts: (u64, u64),
        key: &Arc<ConsignmentKey>,
    ) -> Result<Option<(Stored, TableFingerprint)>> {
        let stored = self.kept.lock().await.tables.get(name).filter(|stored| stored.counts == counts).cloned();
        let Some(stored) = stored else { return Ok(None) };
        // A table without rows has no bucket; reading it again costs nothing.
        Ok(self.fingerprint(&stored.sums, key).await?.map(|fingerprint| (stored, fingerprint)))
    }

    /// A folder of documents that is stored, with its fingerprint.
    pub(crate) async fn documents(
        &self,
        name: &str,
        key: &Arc<ConsignmentKey>,
    ) -> Result<Option<(StoredDocuments, TableFingerprint)>> {
        let Some(stored) = self.kept.lock().await.documents.get(name).cloned() else { return Ok(None) };
        Ok(self.fingerprint(&stored.sums, key).await?.map(|fingerprint| (stored, fingerprint)))
    }

    async fn fingerprint(&self, line: &ManifestParcel, key: &Arc<ConsignmentKey>) -> Result<Option<TableFingerprint>> {
        let name = self.errand.name(line.attempt, line.parcel, &line.table, line.sequence);
        let batches: Vec<RecordBatch> =
            open_parcel(key, &name, self.errand.parcel(line).await?, line.digest)?.collect::<Result<_>>()?;
        Ok(TableFingerprint::from_batches(&batches)?.pop())
    }

    /// The moment, with the tables that an earlier attempt had read of the source that stands still.
    pub(crate) fn told(moment: String, attempt: u32, parcels: &[&ManifestParcel]) -> String {
        let mut earlier: Vec<&str> =
            parcels.iter().filter(|parcel| parcel.attempt != attempt).map(|parcel| parcel.table.as_str()).collect();
        earlier.dedup();
        if earlier.is_empty() {
            moment
        } else {
            format!(
                "{moment}; stored by an earlier attempt and read again with the same fingerprint: {}",
                earlier.join(", ")
            )
        }
    }

    /// Notes a table that is stored to its end.
    pub(crate) async fn store(&self, name: &str, stored: Stored) -> Result<()> {
        let mut kept = self.kept.lock().await;
        kept.tables.insert(name.to_owned(), stored);
        self.note(&kept)
    }

    /// Notes a folder of documents that is stored to its end.
    pub(crate) async fn store_documents(&self, name: &str, stored: StoredDocuments) -> Result<()> {
        let mut kept = self.kept.lock().await;
        kept.documents.insert(name.to_owned(), stored);
        self.note(&kept)
    }

    fn note(&self, kept: &Kept) -> Result<()> {
        self.errand.desk.home().keep_progress(self.errand.round(), kept).map_err(|_| {
            Fault::new(Code(614), Retry::Later, "how far the extraction came cannot be noted on this device").into()
        })
    }
}
