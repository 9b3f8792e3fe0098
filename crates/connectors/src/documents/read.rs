use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use lexicon::{Hasher, Result};
use scope::{
    DocumentCount, DocumentKind, DocumentsScope, HEAD_BYTES, IndexLine, Listed, ReportDocuments, Sample, Scope,
    ScopedDocument, Unfit,
};
use tokio::sync::mpsc;

use super::state::Census;
use super::walk::{Met, Standing, Walk};
use super::{DocumentTarget, folder};
use crate::columns::given;
use crate::{Snapshot, trouble};

/// Rows of an index that are looked at together.
pub(crate) const LINES_AT_ONCE: usize = 1024;
/// 64 KiB: a document that is only digested is read in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// One folder of documents of the old system, as a scope names it.
#[derive(Clone)]
pub struct DocumentSource {
    scope: Arc<Scope>,
    part: DocumentsScope,
    root: PathBuf,
    listed: Option<Arc<Listed>>,
}

/// What was seen of a folder so far.
#[derive(Default)]
pub struct Stand {
    /// What the scope takes, by kind; of a sample, what it is a part of.
    pub kinds: BTreeMap<DocumentKind, DocumentCount>,
    /// What it does not, by reason.
    pub stays: BTreeMap<Unfit, u64>,
    /// The file that was met last: what a trouble of the reading is about.
    pub last: Option<String>,
    /// Files with a name.
    met: u64,
    census: Census,
}

/// What changed in a folder while it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Files that came or were written to: the first three of them.
    pub first: Vec<String>,
    /// How many came or were written to.
    pub files: u64,
    /// How many are gone.
    pub gone: u64,
}

impl Changed {
    /// Whether the folder stood still.
    pub fn nothing(&self) -> bool {
        (self.files, self.gone) == (0, 0)
    }
}

impl DocumentSource {
    /// The folder that the scope calls `part`. `listed` is what rows in scope name, where the part has a listing; without
    /// it nothing of such a part is let go.
    ///
    /// # Errors
    /// A refusal when there is no such part, or no such folder on this machine.
    pub fn open(scope: &Arc<Scope>, part: &str, listed: Option<Arc<Listed>>) -> Result<Self> {
        let part = scope.documents_called(part)?.clone();
        let root = folder(&part.folder)?;
        Ok(Self { scope: Arc::clone(scope), part, root, listed })
    }

    /// Every document that the scope lets go, or a sample of them. Reads the beginning of each, the rest only as far as
    /// somebody reads on.
    ///
    /// # Errors
    /// A fault when the folder cannot be listed.
    pub fn read(&self, sample: Option<Sample>) -> Result<Documents> {
        Ok(Documents { source: self.clone(), sample, walk: Walk::over(&self.root)?, stand: Stand::default() })
    }

    /// Counts everything in it, for a report. Reads the beginning of each file.
    ///
    /// # Errors
    /// A fault when something in it cannot be read.
    pub fn count(&self) -> Result<ReportDocuments> {
        Ok(self.look()?.0)
    }

    /// As [`Self::count`], with how every file stood, for [`Self::changed`].
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn look(&self) -> Result<(ReportDocuments, Stand)> {
        let mut walk = Walk::over(&self.root)?;
        let mut stand = Stand::default();
        while let Some(met) = walk.next().transpose()? {
            self.admitted(met, &mut stand)?;
        }
        let unlisted = stand.stays.get(&Unfit::Unlisted).copied().unwrap_or(0);
        let named = stand.met.saturating_sub(unlisted);
        let missing = self.listed.as_ref().map_or(0, |listed| listed.names().saturating_sub(named));
        let counted = ReportDocuments::new(&self.part, stand.kinds.clone(), stand.stays.clone());
        Ok((ReportDocuments { missing, ..counted }, stand))
    }

    fn admitted(&self, met: Met, stand: &mut Stand) -> Result<Option<ScopedDocument>> {
        let admitted = match met {
            Met::Unfit(unfit) => Err(unfit),
            Met::File(standing) => {
                stand.last = Some(standing.name.clone());
                stand.met = stand.met.saturating_add(1);
                stand.census.take(&standing.name, &standing.state);
                self.scope.admit_document(&self.part.name, self.listed.as_deref(), standing.found())?
            }
        };
        match admitted {
            Ok(document) => {
                stand.kinds.entry(document.kind()).or_default().add(document.length());
                Ok(Some(document))
            }
            Err(unfit) => {
                let count = stand.stays.entry(unfit).or_default();
                *count = count.saturating_add(1);
                Ok(None)
            }
        }
    }

    /// What of the folder is not as it was when it was read to its end: told by the size, the times and the place of each
    /// file, without reading one.
    ///
    /// # Errors
    /// A fault when the folder cannot be listed.
    pub fn changed(&self, stand: Stand) -> Result<Changed> {
        let census = stand.census.closed();
        let (mut changed, mut there) = (Changed::default(), 0_usize);
        let mut walk = Walk::over(&self.root)?;
        while let Some(met) = walk.next().transpose()? {
            let Met::File(Standing { name, state, .. }) = met else { continue };
            there = there.saturating_add(usize::from(census.knows_name(&name)));
            if !census.knows(&name, &state) {
                changed.files = changed.files.saturating_add(1);
                if changed.first.len() < 3 {
                    changed.first.push(name);
                }
            }
        }
        changed.gone = u64::try_from(census.len().saturating_sub(there)).unwrap_or(u64::MAX);
        Ok(changed)
    }

    /// The rows of the folder's index, every document read to its end and digested, and none kept.
    pub fn index(&self, sample: Option<Sample>) -> BoxStream<'static, Result<RecordBatch>> {
        let source = self.clone();
        in_batches(self.part.clone(), move |give| {
            for document in source.read(sample)? {
                let mut document = document?;
                // It digests as it is read.
                let copied = io::copy(&mut document, &mut io::sink());
                copied
                    .map_err(|error| said(error, |error| trouble::documents_unread(&source.part.name, error.kind())))?;
                give(document.finish()?.line().clone())?;
            }
            Ok(())
        })
    }
}

/// The trouble that an error carries, or else what its kind is.
fn said(error: io::Error, otherwise: impl Fn(io::Error) -> lexicon::Trouble) -> lexicon::Trouble {
    error.downcast::<lexicon::Trouble>().unwrap_or_else(otherwise)
}

/// What rows in scope name of a part's documents, read from the moment that its table is read at; none without a listing.
///
/// # Errors
/// As [`Snapshot::read`].
pub async fn listed(snapshot: &dyn Snapshot, scope: &Scope, part: &DocumentsScope) -> Result<Option<Arc<Listed>>> {
    let Some(listing) = &part.listed else { return Ok(None) };
    let mut listed = Listed::default();
    let mut rows = snapshot.read(scope, &listing.table);
    while let Some(batch) = rows.try_next().await? {
        scope.list(&part.name, &batch, &mut listed)?;
    }
    Ok(Some(Arc::new(listed)))
}

/// The documents of a folder that the scope lets go.
pub struct Documents {
    source: DocumentSource,
    sample: Option<Sample>,
    walk: Walk,
    stand: Stand,
}

impl Documents {
    /// What was seen so far.
    pub fn stand(&self) -> &Stand {
        &self.stand
    }

    /// What was seen, once nothing is read any more.
    pub fn into_stand(self) -> Stand {
        self.stand
    }

    fn next_document(&mut self) -> Result<Option<ScopedDocument>> {
        let (part, sample) = (&self.source.part, self.sample);
        while let Some(met) = self.walk.next().transpose()? {
            let document = self.source.admitted(met, &mut self.stand)?;
            if part.refuses(&self.stand.stays) {
                return Err(trouble::documents_unfit(&part.name, &self.stand.stays));
            }
            let drawn = |document: &ScopedDocument| {
                sample.is_none_or(|sample| sample.takes_document(&part.name, document.name()))
            };
            if let Some(document) = document.filter(drawn) {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }
}

impl Iterator for Documents {
    type Item = Result<ScopedDocument>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_document().transpose()
    }
}

/// The rows of a folder of the target as it stands now: every file in it but our own, read to its end and digested. What
/// is no file has a row too, that no index has.
pub fn documents_again(target: &DocumentTarget, part: &DocumentsScope) -> BoxStream<'static, Result<RecordBatch>> {
    let root = target.place(part);
    in_batches(part.clone(), move |give| {
        if !root.is_dir() {
            return Ok(());
        }
        let mut foreign = 0_u64;
        for met in Walk::over(&root)? {
            let line = match met? {
                Met::File(standing) => digested(standing)?,
                Met::Unfit(_) => {
                    foreign = foreign.saturating_add(1);
                    let digest = lexicon::Digest::of(b"");
                    IndexLine { name: format!("/{foreign}"), kind: None, bytes: 0, digest }
                }
            };
            give(line)?;
        }
        Ok(())
    })
}

fn digested(standing: Standing) -> Result<IndexLine> {
    let mut found = standing.found();
    let (mut hasher, mut bytes, mut head) = (Hasher::default(), 0_u64, Vec::new());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match found.content.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(said(error, |error| trouble::folder_unread(error.kind()))),
        };
        let wanted = HEAD_BYTES.saturating_sub(head.len()).min(read.len());
        head.extend_from_slice(read.get(..wanted).unwrap_or_default());
        hasher.update(read);
        bytes = bytes.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
    }
    let kind = DocumentKind::of(&found.name, &head);
    Ok(IndexLine { name: found.name, kind, bytes, digest: hasher.finish() })
}

/// Runs a reading on a thread of its own and gives its lines out in batches.
fn in_batches(
    part: DocumentsScope,
    read: impl FnOnce(&mut dyn FnMut(IndexLine) -> Result<()>) -> Result<()> + Send + 'static,
) -> BoxStream<'static, Result<RecordBatch>> {
    let (batches, waiting) = mpsc::channel(1);
    let thread = tokio::task::spawn_blocking(move || {
        let mut lines: Vec<IndexLine> = Vec::new();
        let send = |lines: &mut Vec<IndexLine>| {
            let batch = part.rows(&std::mem::take(lines))?;
            batches.blocking_send(batch).map_err(|_| trouble::gone("whoever compares documents"))
        };
        read(&mut |line| {
            lines.push(line);
            if lines.len() < LINES_AT_ONCE { Ok(()) } else { send(&mut lines) }
        })?;
        if lines.is_empty() { Ok(()) } else { send(&mut lines) }
    });
    given(waiting, thread, "a thread that reads documents")
}
