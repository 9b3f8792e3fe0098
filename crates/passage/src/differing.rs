//! Tables whose points differ: parcels and target, or parcels and old system, are looked through again, for the rows.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use connectors::Source;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lexicon::Result;
use procedure::{Differing, ManifestTable};
use scope::{RowDigest, ScopedBatch, TableFingerprint, TableScope, row_digests};

use crate::fingerprint::Fingerprinting;
use crate::load::Passing;
use crate::locate::{Comparison, Located, ROWS_COMPARED_MAX, Suspected, Suspects, spelled};
use crate::sums::SumsIn;

/// What is known of the rows of one table that differ.
#[derive(Default)]
pub(crate) struct Differences {
    pub(crate) located: Vec<Located>,
    pub(crate) suspected: Option<Suspected>,
}

impl Passing<'_> {
    /// How many keys differ between the parcels and the target, and the first of them; the rows of differing buckets are
    /// looked at again on both sides, as many as can be held. None when the table has no key.
    pub(crate) async fn locate(
        &self,
        table: &TableScope,
        again: &TableFingerprint,
        rows: BoxStream<'_, Result<RecordBatch>>,
    ) -> Result<(Option<Differing>, Vec<Located>)> {
        if table.key.is_empty() {
            return Ok((None, Vec::new()));
        }
        let _alone = self.locating.lock().await;
        let comparison = Comparison::of(&self.buckets(table).await?, again, ROWS_COMPARED_MAX);
        let (differing, located) = self.weighed(table, comparison, rows).await?.finish(&table.name);
        Ok((Some(differing), located))
    }

    /// Parcels against the rows of a system.
    async fn weighed(
        &self,
        table: &TableScope,
        mut comparison: Comparison,
        mut rows: BoxStream<'_, Result<RecordBatch>>,
    ) -> Result<Comparison> {
        self.through(table, |_, rows| comparison.fetched(rows)).await?;
        let keys = &self.keys()?;
        while let Some(batch) = rows.try_next().await? {
            comparison.target(row_digests(keys, table, &batch)?);
        }
        Ok(comparison)
    }

    /// Which rows were sealed otherwise than they were read, if the old system is at hand and still says what was signed;
    /// else among which of the parcels' they lie.
    pub(crate) async fn unsealed(
        &self,
        line: &ManifestTable,
        table: &TableScope,
        sums: &SumsIn<'_>,
        found: &mut Differences,
    ) -> Result<()> {
        let Some(sealed) = sums.of(self.errand, &self.key, &line.target).await? else { return Ok(()) };
        let _alone = self.locating.lock().await;
        let fetched = self.buckets(table).await?;
        let source = self.source.filter(|source| source.identity() == self.papers.plan.source.identity);
        if let Some(source) = source
            && let Some(rows) = self.unlike(table, source, (&sealed, &fetched)).await?
        {
            found.located.extend(rows);
            return Ok(());
        }
        let mut suspects = Suspects::of(&sealed, &fetched);
        self.through(table, |_, rows| suspects.fetched(rows)).await?;
        let (suspected, located) = suspects.finish(&table.name);
        found.located.extend(located);
        found.suspected = Some(suspected);
        Ok(())
    }

    /// The rows of the parcels that are not the old system's; none when that does not have what was signed any more, as
    /// it never has for a rehearsal, or for an index of documents, which no table of it is.
    async fn unlike(
        &self,
        table: &TableScope,
        source: &dyn Source,
        (sealed, fetched): (&TableFingerprint, &TableFingerprint),
    ) -> Result<Option<Vec<Located>>> {
        if self.papers.scope.table(&table.name).is_none_or(|taken| taken.target != table.target) {
            return Ok(None);
        }
        let snapshot = source.begin(self.papers.plan.source.live).await?;
        let rows = || snapshot.read(&self.papers.scope, &table.name).map_ok(ScopedBatch::into_batch).boxed();
        let now = Fingerprinting::start(&self.keys()?, table).over(rows()).await?;
        if now.fingerprint.root() != sealed.root() {
            return Ok(None);
        }
        let comparison = Comparison::of(fetched, sealed, ROWS_COMPARED_MAX);
        let located = self.weighed(table, comparison, rows()).await?.of_source(&table.name);
        snapshot.finish().await?;
        Ok(Some(located))
    }

    /// The keys of these rows in clear, for whoever asked to see them: from the parcels, and from the target what only that
    /// has. Rows that are in neither have no key here.
    pub(crate) async fn show<'t>(
        &self,
        table: &TableScope,
        located: &[Located],
        again: impl Fn() -> BoxStream<'t, Result<RecordBatch>>,
    ) -> Result<()> {
        let Some(shown) = self.errand.progress.keys() else { return Ok(()) };
        let mut wanted: BTreeSet<String> = located.iter().map(|row| row.key.clone()).collect();
        let mut see = |batch: &RecordBatch, rows: Vec<RowDigest>| {
            for (row, digest) in rows.iter().enumerate() {
                if !wanted.is_empty() && wanted.remove(&spelled(digest.key)) {
                    shown.keep(table, spelled(digest.key), &batch.slice(row, 1));
                }
            }
            wanted.is_empty()
        };
        if see(&RecordBatch::new_empty(table.target_schema()), Vec::new()) {
            return Ok(());
        }
        self.through(table, |batch, rows| {
            see(batch, rows);
        })
        .await?;
        let (keys, mut rows) = (&self.keys()?, again());
        while let Some(batch) = rows.try_next().await? {
            if see(&batch, row_digests(keys, table, &batch)?) {
                break;
            }
        }
        Ok(())
    }

    /// F with its buckets, which are not kept: fetched once more.
    async fn buckets(&self, table: &TableScope) -> Result<TableFingerprint> {
        let fingerprinting = Fingerprinting::start(&self.keys()?, table);
        let taking = |rows| fingerprinting.over(rows);
        Ok(self.errand.pour(table, self.lines(table), &self.key, taking).await?.fingerprint)
    }

    /// Shows all rows in the parcels of a table, and their digests.
    async fn through(
        &self,
        table: &TableScope,
        mut see: impl FnMut(&RecordBatch, Vec<RowDigest>) + Send,
    ) -> Result<()> {
        let (keys, see) = (&self.keys()?, &mut see);
        let taking = self.errand.pour(table, self.lines(table), &self.key, |mut rows| async move {
            while let Some(batch) = rows.try_next().await? {
                see(&batch, row_digests(keys, table, &batch)?);
            }
            Ok(())
        });
        taking.await
    }
}
