//! Folders of documents on their way out: read, admitted, sealed one behind the other, and listed in an index that is
//! sealed and fingerprinted like a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use connectors::{DocumentSource, Snapshot, Stand};
use lexicon::{Code, Digest, Entropy, ParcelId, Refusal, Result, Trouble};
use procedure::{DocumentsOfKind, ManifestDocuments, ManifestParcel, ManifestTable};
use scope::{
    CarriedDocument, DocumentCount, DocumentKind, DocumentsScope, Fingerprinter, Listed, Report, Sample, Scope,
    TableFingerprint, TableScope,
};
use seal::{ConsignmentKey, DocumentsSealer, ParcelName, ParcelWriter, SealedDocuments};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::fingerprint::Fingerprinting;
use crate::locate::{Names, naming};
use crate::resume::Resume;
use crate::sums::SumsOut;
use crate::table::{cut, line};
use crate::{Errand, Seen};

/// 4 MiB: an index's parcel is filled while one of documents is, and both stay small.
const INDEX_BYTES_ENOUGH: usize = 4 * 1024 * 1024;
/// Lines that are written and fingerprinted together.
const LINES_AT_ONCE: usize = 1024;

/// One folder that an attempt has stored to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredDocuments {
    pub line: ManifestDocuments,
    /// The parcels of its index.
    pub index: Vec<ManifestParcel>,
}

/// What rows in scope name, of each folder in the scope's order.
pub(crate) async fn listings(snapshot: &dyn Snapshot, scope: &Scope) -> Result<Vec<Option<Arc<Listed>>>> {
    let mut listings = Vec::new();
    for part in scope.documents() {
        listings.push(connectors::listed(snapshot, scope, part).await?);
    }
    Ok(listings)
}

/// What the extraction of every folder shares.
pub(crate) struct Outward<'a> {
    pub errand: &'a Errand<'a>,
    pub scope: &'a Arc<Scope>,
    /// Of a rehearsal.
    pub sample: Option<Sample>,
    pub attempt: u32,
    pub key: &'a Arc<ConsignmentKey>,
    pub entropy: &'a Arc<dyn Entropy>,
    /// Whether the old system is written to meanwhile.
    pub live: bool,
}

impl Outward<'_> {
    /// Each folder in the scope's order, one after the other: its line and its index's parcels.
    pub(crate) async fn all(
        &self,
        listings: Vec<Option<Arc<Listed>>>,
        report: &Report,
        (resume, sums): (&Resume<'_>, &mut SumsOut<'_>),
    ) -> Result<Vec<StoredDocuments>> {
        let mut done = Vec::new();
        for (part, listed) in self.scope.documents().iter().zip(listings) {
            let (stored, fingerprint) = self.part((part, listed), report, resume).await?;
            sums.take(&fingerprint).await?;
            done.push(stored);
        }
        Ok(done)
    }

    async fn part(
        &self,
        (part, listed): (&DocumentsScope, Option<Arc<Listed>>),
        report: &Report,
        resume: &Resume<'_>,
    ) -> Result<(StoredDocuments, TableFingerprint)> {
        let (name, progress) = (part.name.as_str(), self.errand.progress);
        let source = DocumentSource::open(self.scope, name, listed)?;
        let counting = source.clone();
        // Before anything leaves, as tables are counted.
        let (counted, stand) = tokio::task::spawn_blocking(move || counting.look()).await.map_err(|_| cut())??;
        report.holds_documents(name, &counted.kinds)?;
        let documents = counted.kinds.values().map(|kind| kind.documents).fold(0, u64::saturating_add);
        progress.seen(Seen::Table { name, rows: documents });
        if let Some(mut stored) = resume.documents(name).cloned() {
            let keys = self.errand.names(self.key)?;
            let now = Fingerprinting::start(&keys.secret, &part.index()).over(source.index(self.sample)).await?;
            if now.fingerprint.root() == stored.line.index.root {
                if !self.live {
                    let (part, source) = (part.clone(), source.clone());
                    let looking = move || stood_still((&part, &source, &keys), stand);
                    tokio::task::spawn_blocking(looking).await.map_err(|_| cut())??;
                }
                stored.line.in_scope = by_name(&counted.kinds);
                stored.line.stayed = counted.stays.values().copied().fold(0, u64::saturating_add);
                progress.seen(Seen::Through { name });
                return Ok((stored, now.fingerprint));
            }
        }
        let (line, index, fingerprint) = self.sealed(part, source).await?;
        let stored = StoredDocuments { line, index };
        resume.store_documents(name, stored.clone())?;
        progress.seen(Seen::Through { name });
        Ok((stored, fingerprint))
    }

    /// Seals on a thread of its own, and stores what is ready meanwhile.
    async fn sealed(
        &self,
        part: &DocumentsScope,
        source: DocumentSource,
    ) -> Result<(ManifestDocuments, Vec<ManifestParcel>, TableFingerprint)> {
        let name = part.name.as_str();
        let entropy = self.entropy.as_ref();
        let sealing = Sealing {
            key: Arc::clone(self.key),
            keys: self.errand.names(self.key)?,
            entropy: Arc::clone(self.entropy),
            name: self.errand.name(self.attempt, ParcelId::draw(entropy)?, name, 0),
            part: part.clone(),
            source,
            sample: self.sample,
            live: self.live,
        };
        let (ready, mut leaving) = mpsc::channel(1);
        let thread = tokio::task::spawn_blocking(move || sealing.run(&ready));
        let (mut index, mut parcels) = (Vec::new(), Vec::new());
        let storing = async {
            while let Some(Leaving { line, bytes, documents }) = leaving.recv().await {
                self.errand.put(self.attempt, line.parcel, bytes, line.digest).await?;
                self.errand.progress.seen(Seen::Bytes { name, bytes: line.bytes });
                self.errand.progress.seen(Seen::Rows { name, rows: documents.unwrap_or(0) });
                if documents.is_some() { parcels.push(line) } else { index.push(line) }
            }
            Ok::<_, Trouble>(())
        };
        // Whoever cannot store closes the pipe, and the thread ends with it.
        let stored = storing.await;
        drop(leaving);
        let sealed = thread.await.map_err(|_| cut())?;
        stored?;
        let Sealed { fingerprint, kinds, in_scope, stayed } = sealed?;
        let total = in_scope.values().map(|kind| kind.documents).fold(0, u64::saturating_add);
        let index_line = ManifestTable {
            name: part.name.clone(),
            target: part.target.clone(),
            rows_source: total,
            rows: fingerprint.rows,
            root: fingerprint.root(),
            columns_taken: u32::try_from(part.index().take.len()).unwrap_or(u32::MAX),
            columns_left: 0,
            transforms: BTreeMap::new(),
            nulls: None,
        };
        let line = ManifestDocuments { index: index_line, in_scope, kinds, stayed, parcels };
        Ok((line, index, fingerprint))
    }
}

/// A parcel that is ready to leave.
struct Leaving {
    line: ManifestParcel,
    bytes: Bytes,
    /// How many documents end in it; none of an index.
    documents: Option<u64>,
}

/// A folder that is sealed.
struct Sealed {
    fingerprint: TableFingerprint,
    kinds: BTreeMap<String, DocumentsOfKind>,
    in_scope: BTreeMap<String, DocumentsOfKind>,
    stayed: u64,
}

/// What the sealing thread needs.
struct Sealing {
    key: Arc<ConsignmentKey>,
    keys: Names,
    entropy: Arc<dyn Entropy>,
    name: ParcelName,
    part: DocumentsScope,
    source: DocumentSource,
    sample: Option<Sample>,
    live: bool,
}

impl Sealing {
    /// Runs until every document is sealed; blocking, on a thread of its own.
    fn run(self, ready: &mpsc::Sender<Leaving>) -> Result<Sealed> {
        let entropy = self.entropy.as_ref();
        let mut index = Index::new(&self);
        let send = |full| ready.blocking_send(full).map_err(|_| cut());
        let documents = self.source.read(self.sample)?;
        let mut sealer = DocumentsSealer::new(&self.key, entropy, self.name.clone(), documents);
        loop {
            // A place first, then the parcel: one is filled while another leaves, and there is no third.
            let place = futures::executor::block_on(ready.reserve()).map_err(|_| cut())?;
            let mut ended = 0_u64;
            let parcel = sealer.seal_next(&mut |document| {
                ended = ended.saturating_add(1);
                index.take(document)
            });
            let parcel = parcel.map_err(|trouble| self.about(trouble, sealer.documents().stand()))?;
            let Some(SealedDocuments { name, bytes, digest }) = parcel else { break };
            let line = contents_line(&name, &bytes, digest);
            place.send(Leaving { line, bytes, documents: Some(ended) });
            index.full.drain(..).try_for_each(send)?;
        }
        let stand = sealer.into_documents().into_stand();
        let in_scope = by_name(&stand.kinds);
        let stayed = stand.stays.values().copied().fold(0, u64::saturating_add);
        let (kinds, fingerprint, full) = index.finish()?;
        if !self.live {
            stood_still((&self.part, &self.source, &self.keys), stand)?;
        }
        full.into_iter().try_for_each(send)?;
        Ok(Sealed { fingerprint, kinds, in_scope, stayed })
    }

    /// A refusal together with the document that it is about, by the keyed digest of its name.
    fn about(&self, trouble: Trouble, stand: &Stand) -> Trouble {
        let rows = stand.last.iter().filter_map(|name| self.part.named(name).ok()).collect::<Vec<_>>();
        naming(trouble, &self.keys, &self.part.index(), &rows)
    }
}

/// No file came, went or was written to since it was looked at.
fn stood_still((part, source, keys): (&DocumentsScope, &DocumentSource, &Names), stand: Stand) -> Result<()> {
    let changed = source.changed(stand)?;
    if changed.nothing() {
        return Ok(());
    }
    let refusal = Refusal::new(
        Code(622),
        format!(
            "the folder of documents '{}' did not stand still while it was extracted: {} files came or were written to, {} \
             are gone",
            part.name, changed.files, changed.gone
        ),
        "Stop whatever writes to the folder, and extract again.",
    );
    let rows = changed.first.iter().filter_map(|name| part.named(name).ok()).collect::<Vec<_>>();
    Err(naming(refusal.into(), keys, &part.index(), &rows))
}

fn contents_line(name: &ParcelName, bytes: &Bytes, digest: Digest) -> ManifestParcel {
    ManifestParcel {
        parcel: name.parcel,
        attempt: name.attempt,
        table: name.table.clone(),
        sequence: name.sequence,
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        rows: 0,
        digest,
    }
}

fn by_name(kinds: &BTreeMap<DocumentKind, DocumentCount>) -> BTreeMap<String, DocumentsOfKind> {
    let named = kinds.iter().map(|(kind, count)| {
        let DocumentCount { documents, bytes } = *count;
        (kind.name().to_owned(), DocumentsOfKind { documents, bytes })
    });
    named.collect()
}

/// The index in the making.
struct Index {
    part: DocumentsScope,
    table: TableScope,
    key: Arc<ConsignmentKey>,
    entropy: Arc<dyn Entropy>,
    name: ParcelName,
    waiting: Vec<CarriedDocument>,
    open: Option<ParcelWriter>,
    full: Vec<Leaving>,
    kinds: BTreeMap<String, DocumentsOfKind>,
    fingerprint: Fingerprinter,
}

impl Index {
    fn new(of: &Sealing) -> Self {
        let table = of.part.index();
        Self {
            part: of.part.clone(),
            key: Arc::clone(&of.key),
            entropy: Arc::clone(&of.entropy),
            name: of.name.clone(),
            waiting: Vec::new(),
            open: None,
            full: Vec::new(),
            kinds: BTreeMap::new(),
            fingerprint: Fingerprinter::new(&of.keys.secret, &table),
            table,
        }
    }

    fn take(&mut self, document: CarriedDocument) -> Result<()> {
        let line = document.line();
        let kind = line.kind.map_or("", DocumentKind::name).to_owned();
        self.kinds.entry(kind).or_default().add(line.bytes);
        self.waiting.push(document);
        if self.waiting.len() < LINES_AT_ONCE { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = self.part.carried(&std::mem::take(&mut self.waiting))?;
        self.fingerprint.add(rows.batch())?;
        let mut open = if let Some(open) = self.open.take() {
            open
        } else {
            self.name.parcel = ParcelId::draw(self.entropy.as_ref())?;
            ParcelWriter::new(&self.key, self.entropy.as_ref(), self.name.clone(), self.table.target_schema())?
        };
        open.write(&rows)?;
        if open.sealed_bytes_estimate() < INDEX_BYTES_ENOUGH {
            self.open = Some(open);
            return Ok(());
        }
        self.leave(open)
    }

    fn leave(&mut self, open: ParcelWriter) -> Result<()> {
        let sealed = open.finish()?;
        self.full.push(Leaving { line: line(&self.name, &sealed), bytes: sealed.bytes, documents: None });
        self.name.sequence = self.name.sequence.saturating_add(1);
        Ok(())
    }

    fn finish(mut self) -> Result<(BTreeMap<String, DocumentsOfKind>, TableFingerprint, Vec<Leaving>)> {
        self.write()?;
        if let Some(open) = self.open.take() {
            self.leave(open)?;
        }
        Ok((self.kinds, self.fingerprint.finish(), self.full))
    }
}
