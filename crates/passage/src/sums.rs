//! S by buckets: sealed and stored as tables end, held against the manifest and read again for one table. Nobody holds more
//! of it than a parcel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use lexicon::{Alarm, Code, Entropy, ParcelId, Result};
use procedure::{Manifest, ManifestParcel};
use scope::TableFingerprint;
use seal::{ConsignmentKey, ParcelName, Sealed, SumsSealer};

use crate::Errand;
use crate::table::line;

/// On their way out.
pub(crate) struct SumsOut<'a> {
    errand: &'a Errand<'a>,
    sealer: SumsSealer<'a>,
    full: Vec<ManifestParcel>,
}

impl<'a> SumsOut<'a> {
    pub(crate) fn begin(
        errand: &'a Errand<'a>,
        (attempt, key): (u32, &'a ConsignmentKey),
        entropy: &'a dyn Entropy,
    ) -> Result<Self> {
        let name = errand.name(attempt, ParcelId::draw(entropy)?, "sums", 0);
        Ok(Self { errand, sealer: SumsSealer::begin(key, entropy, name)?, full: Vec::new() })
    }

    pub(crate) async fn take(&mut self, fingerprint: &TableFingerprint) -> Result<()> {
        if let Some(full) = self.sealer.take(fingerprint)? {
            self.full.push(store(self.errand, full).await?);
        }
        Ok(())
    }

    /// The full parcels and the last one.
    pub(crate) async fn finish(self) -> Result<(Vec<ManifestParcel>, ManifestParcel)> {
        let last = store(self.errand, self.sealer.finish()?).await?;
        Ok((self.full, last))
    }
}

async fn store(errand: &Errand<'_>, (name, sealed): (ParcelName, Sealed)) -> Result<ManifestParcel> {
    let stored = line(&name, &sealed);
    errand.put(name.attempt, name.parcel, sealed.bytes, sealed.digest).await?;
    Ok(stored)
}

/// Where the sums of each table lie, by its name in the target; they give the manifest's roots.
pub(crate) struct SumsIn<'a>(BTreeMap<String, &'a ManifestParcel>);

impl<'a> SumsIn<'a> {
    pub(crate) async fn check(errand: &Errand<'_>, key: &Arc<ConsignmentKey>, manifest: &'a Manifest) -> Result<Self> {
        let signed: BTreeSet<_> = manifest.indexed().map(|table| (table.target.as_str(), table.root)).collect();
        let mut places = BTreeMap::new();
        for parcel in manifest.all_sums() {
            for found in errand.opened_sums(key, parcel).await? {
                if signed.contains(&(found.table.as_str(), found.root())) {
                    places.insert(found.table, parcel);
                }
            }
        }
        // A table without rows has no bucket to seal.
        match manifest.indexed().find(|table| table.rows > 0 && !places.contains_key(&table.target)) {
            None => Ok(Self(places)),
            Some(table) => Err(Alarm::new(
                Code(620),
                format!("the sealed bucket sums of table '{}' are not those that the manifest signs", table.name),
            )
            .into()),
        }
    }

    /// Those of one table; none of a table without rows.
    pub(crate) async fn of(
        &self,
        errand: &Errand<'_>,
        key: &Arc<ConsignmentKey>,
        target: &str,
    ) -> Result<Option<TableFingerprint>> {
        let Some(parcel) = self.0.get(target) else { return Ok(None) };
        Ok(errand.opened_sums(key, parcel).await?.into_iter().find(|found| found.table == target))
    }
}

impl Errand<'_> {
    async fn opened_sums(&self, key: &Arc<ConsignmentKey>, line: &ManifestParcel) -> Result<Vec<TableFingerprint>> {
        let name = self.name(line.attempt, line.parcel, &line.table, line.sequence);
        let opened = seal::open_parcel(key, &name, self.parcel(line).await?, line.digest)?;
        TableFingerprint::from_batches(&opened.collect::<Result<Vec<RecordBatch>>>()?)
    }
}
