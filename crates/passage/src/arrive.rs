//! Folders of documents on their way in: their index and their bytes are fetched side by side, each document is compared
//! with its line before it gets its name, and the folder is read again at the end.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use connectors::{Arriving, DocumentTarget, Folder, Mark, Sink, Writing, documents_again};
use futures::TryStreamExt;
use lexicon::{Alarm, Code, Hasher, Refusal, Result, Trouble};
use procedure::{DocumentsOfKind, Kind, ManifestDocuments, ManifestParcel, Step, TableOutcome};
use scope::{DocumentKind, DocumentsScope, Fingerprinter, HEAD_BYTES, IndexLine, TableFingerprint, TableScope};
use seal::{ConsignmentKey, ParcelName, open_documents};
use tokio::sync::mpsc;

use crate::Seen;
use crate::differing::Differences;
use crate::errand::Papers;
use crate::fingerprint::{Fingerprinting, Point, Total};
use crate::load::Passing;
use crate::locate::{Names, named_key, naming};
use crate::sums::SumsIn;
use crate::table::cut;

/// Lines that are fingerprinted together.
const LINES_AT_ONCE: usize = 1024;

/// The new system: a database, and beside it a folder where documents come too.
#[derive(Clone, Copy)]
pub struct Receiving<'a> {
    /// What takes the rows.
    pub sink: &'a dyn Sink,
    /// What takes the documents.
    pub documents: Option<&'a DocumentTarget>,
}

impl<'a, 'b: 'a> From<&'a (dyn Sink + 'b)> for Receiving<'a> {
    fn from(sink: &'a (dyn Sink + 'b)) -> Self {
        Self { sink, documents: None }
    }
}

impl<'a, S: Sink> From<&'a S> for Receiving<'a> {
    fn from(sink: &'a S) -> Self {
        Self { sink, documents: None }
    }
}

/// The folder that documents go to, when it is the plan's; none when the scope has no documents.
pub(crate) fn planned<'a>(
    papers: &Papers,
    kind: Kind,
    given: Option<&'a DocumentTarget>,
) -> Result<Option<&'a DocumentTarget>> {
    if papers.scope.documents().is_empty() {
        return Ok(None);
    }
    let planned = papers.plan.target(kind).and_then(|target| target.documents.as_deref()).unwrap_or_default();
    let Some(given) = given else {
        let why = format!("this consignment brings documents to {planned}, and no folder for them was given");
        return Err(Refusal::new(Code(646), why, "Name it with `--documents`.").into());
    };
    if given.identity() != planned {
        let why = format!("this consignment's documents go to {planned}, this folder is {}", given.identity());
        return Err(Refusal::new(Code(647), why, "Name the folder of the plan with `--documents`.").into());
    }
    Ok(Some(given))
}

impl Passing<'_> {
    /// What a load that was killed left of a document goes before anything is asked of anybody. What does not go is told
    /// when the folder is taken up.
    pub(crate) fn clear_folders(&self, step: Step) {
        if let Some(target) = self.documents.filter(|_| step == Step::Load) {
            self.papers.scope.documents().iter().for_each(|part| target.clear(part));
        }
    }

    /// The parts' folders, made or taken up: before any row, so that a folder in which others wrote stops everything.
    pub(crate) fn folders(&self, step: Step) -> Result<Vec<Option<Folder>>> {
        let mark = Mark { consignment: self.errand.consignment, attempt: self.attempt };
        let target = self.documents.filter(|_| step == Step::Load);
        let parts = self.papers.scope.documents().iter();
        parts.map(|part| target.map(|target| target.part(part, mark)).transpose()).collect()
    }

    /// F of every folder; with a load, its documents are in the target then.
    pub(crate) async fn documents_in(&self, folders: Vec<Option<Folder>>) -> Result<Vec<Total>> {
        let mut points = Vec::new();
        for ((line, part), folder) in self.parts().zip(folders) {
            points.push(self.document_folder(line, part, folder).await?);
        }
        Ok(points)
    }

    fn parts(&self) -> impl Iterator<Item = (&ManifestDocuments, &DocumentsScope)> {
        self.manifest.documents.iter().zip(self.papers.scope.documents())
    }

    async fn document_folder(
        &self,
        line: &ManifestDocuments,
        part: &DocumentsScope,
        folder: Option<Folder>,
    ) -> Result<Total> {
        let (errand, table) = (self.errand, part.index());
        errand.progress.seen(Seen::Table { name: &part.name, rows: line.index.rows });
        let unpacking = Unpacking {
            key: Arc::clone(&self.key),
            name: errand.name(0, lexicon::ParcelId([0; 16]), &part.name, 0),
            parcels: line.parcels.clone(),
        };
        let splitting = Splitting::new(self.errand.names(&self.key)?, part, folder);
        let (index_in, index_out) = mpsc::channel(2);
        let (sealed_in, sealed_out) = mpsc::channel(1);
        let thread = tokio::task::spawn_blocking(move || unpacking.run(splitting.reading(index_out), sealed_out));
        let index = errand.pour(&table, self.lines(&table), &self.key, |mut rows| async move {
            while let Some(batch) = rows.try_next().await? {
                // A closed pipe means that the thread gave up: its own trouble is told below.
                if index_in.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        let contents = async move {
            for line in &line.parcels {
                // A place first, then the parcel: one is fetched or waits while another is opened, and there is no third.
                let Ok(place) = sealed_in.reserve().await else { break };
                place.send(errand.parcel(line).await?);
            }
            Ok::<_, Trouble>(())
        };
        let fetched = futures::future::try_join(index, contents).await;
        let arrived = thread.await.map_err(|_| cut())?;
        fetched?;
        let (kinds, fingerprint) = arrived?;
        if kinds != line.kinds {
            let why =
                format!("the documents of '{}' are not as many or as large, by kind, as the manifest says", part.name);
            return Err(Alarm::new(Code(648), why).into());
        }
        errand.progress.seen(Seen::Through { name: &part.name });
        Ok(Point { fingerprint, nulls: BTreeMap::new() }.total())
    }

    /// T of every folder, and how it compares.
    pub(crate) async fn documents_compared(
        &self,
        sums: &SumsIn<'_>,
        fetched: &[Total],
    ) -> Result<(Vec<TableOutcome>, Vec<Differences>)> {
        let (mut outcomes, mut differences) = (Vec::new(), Vec::new());
        for ((line, part), f) in self.parts().zip(fetched) {
            let table = &part.index();
            let target = self.documents.ok_or_else(cut)?;
            let again = Fingerprinting::start(&self.keys()?, table).over(documents_again(target, part)).await?;
            let rows = || documents_again(target, part);
            let (outcome, found) = self.compared(&line.index, table, sums, (f, again), rows).await?;
            outcomes.push(outcome);
            differences.push(found);
        }
        Ok((outcomes, differences))
    }
}

/// Opens the parcels of documents in order, each after it was compared with the manifest.
struct Unpacking {
    key: Arc<ConsignmentKey>,
    /// As the first parcel's, but for what each line says of its own.
    name: ParcelName,
    parcels: Vec<ManifestParcel>,
}

impl Unpacking {
    fn run(self, mut splitting: Splitting, mut sealed: mpsc::Receiver<Bytes>) -> Result<Arrived> {
        for line in self.parcels {
            let bytes = sealed.blocking_recv().ok_or_else(cut)?;
            let (attempt, parcel, sequence) = (line.attempt, line.parcel, line.sequence);
            let name = ParcelName { attempt, parcel, sequence, ..self.name.clone() };
            open_documents(&self.key, &name, &bytes, line.digest, &mut splitting)?;
        }
        splitting.finish()
    }
}

/// What arrived, by kind, and F.
type Arrived = (BTreeMap<String, DocumentsOfKind>, TableFingerprint);

/// Takes the bytes of documents that lie one behind the other apart, as their index says.
struct Splitting {
    part: DocumentsScope,
    table: TableScope,
    keys: Names,
    folder: Option<Folder>,
    index: Option<mpsc::Receiver<RecordBatch>>,
    lines: std::vec::IntoIter<IndexLine>,
    open: Option<Open>,
    arrived: Vec<IndexLine>,
    kinds: BTreeMap<String, DocumentsOfKind>,
    fingerprint: Fingerprinter,
}

/// The document whose bytes are coming.
struct Open {
    line: IndexLine,
    left: u64,
    head: Vec<u8>,
    hasher: Hasher,
    /// Where it is written; nowhere when it is only compared, or there already.
    place: Option<Arriving>,
}

impl Splitting {
    fn new(keys: Names, part: &DocumentsScope, folder: Option<Folder>) -> Self {
        let table = part.index();
        Self {
            fingerprint: Fingerprinter::new(&keys.secret, &table),
            part: part.clone(),
            table,
            keys,
            folder,
            index: None,
            lines: Vec::new().into_iter(),
            open: None,
            arrived: Vec::new(),
            kinds: BTreeMap::new(),
        }
    }

    /// With the rows of the index, in order.
    fn reading(mut self, index: mpsc::Receiver<RecordBatch>) -> Self {
        self.index = Some(index);
        self
    }

    fn next_line(&mut self) -> Result<Option<IndexLine>> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(Some(line));
            }
            let Some(batch) = self.index.as_mut().and_then(mpsc::Receiver::blocking_recv) else { return Ok(None) };
            self.lines = self.part.lines(&batch)?.into_iter();
        }
    }

    fn begin(&mut self) -> Result<Open> {
        let Some(line) = self.next_line()? else { return Err(self.forged("they go on behind its last")) };
        let writing = self.folder.as_ref().map(|folder| folder.begin(&line)).transpose();
        let place = match writing.map_err(|trouble| self.about(trouble, &line.name))? {
            Some(Writing::Begun(arriving)) => Some(arriving),
            Some(Writing::There) | None => None,
        };
        Ok(Open { left: line.bytes, line, head: Vec::new(), hasher: Hasher::default(), place })
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.begin()?,
            };
            let many = usize::try_from(open.left).unwrap_or(usize::MAX).min(bytes.len());
            let (theirs, rest) = bytes.split_at(many);
            open.write(theirs)?;
            bytes = rest;
            if open.left == 0 {
                self.end(open)?;
            } else {
                self.open = Some(open);
            }
        }
        Ok(())
    }

    /// A document is whole: it gets its name if it is the one that the index lists.
    fn end(&mut self, open: Open) -> Result<()> {
        let Open { line, head, hasher, place, .. } = open;
        let found = IndexLine { kind: DocumentKind::of(&line.name, &head), digest: hasher.finish(), ..line.clone() };
        if found != line {
            let key = named_key(&self.keys, &self.table, &self.part.named(&line.name)?);
            return Err(self.forged(&format!("document {key} has another content or kind")));
        }
        if let Some(place) = place {
            place.finish().map_err(|trouble| self.about(trouble, &line.name))?;
        }
        let kind = found.kind.map_or("", DocumentKind::name).to_owned();
        self.kinds.entry(kind).or_default().add(found.bytes);
        self.arrived.push(found);
        if self.arrived.len() < LINES_AT_ONCE { Ok(()) } else { self.fingerprinted() }
    }

    fn fingerprinted(&mut self) -> Result<()> {
        let rows = self.part.rows(&std::mem::take(&mut self.arrived))?;
        self.fingerprint.add(&rows)
    }

    fn finish(mut self) -> Result<Arrived> {
        if self.open.is_some() || self.next_line()?.is_some() {
            return Err(self.forged("they end before it does"));
        }
        self.fingerprinted()?;
        if let Some(folder) = &self.folder {
            folder.settle()?;
        }
        Ok((self.kinds, self.fingerprint.finish()))
    }

    fn forged(&self, why: &str) -> Trouble {
        Alarm::new(
            Code(644),
            format!("the documents of '{}' are not those of their sealed index: {why}", self.part.name),
        )
        .into()
    }

    /// A refusal together with the document that it is about, by the keyed digest of its name.
    fn about(&self, trouble: Trouble, name: &str) -> Trouble {
        let rows = self.part.named(name).into_iter().collect::<Vec<_>>();
        naming(trouble, &self.keys, &self.table, &rows)
    }
}

impl Open {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        self.hasher.update(bytes);
        self.left = self.left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.place.as_mut().map_or(Ok(()), |place| place.write(bytes))
    }
}

impl Write for Splitting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
