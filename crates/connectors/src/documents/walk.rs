use std::ffi::OsStr;
use std::fs::{DirEntry, File, ReadDir};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lexicon::Result;
use scope::{DocumentName, FoundDocument, OWN_FILES, Unfit};

use super::state::State;
use crate::trouble;

/// Folders within folders: as many as a name may have.
const DEPTH_MAX: usize = 32;

/// Everything that stands in a folder and below, one thing after the other, but our own files at its top: a marker, a
/// document on its way. Of the names of a folder none is held.
pub(super) struct Walk {
    root: PathBuf,
    open: Vec<(PathBuf, ReadDir)>,
}

/// What a walk meets.
pub(super) enum Met {
    /// A file.
    File(Standing),
    /// Something that is no document, whatever it holds.
    Unfit(Unfit),
}

/// A file that nobody opened yet.
pub(super) struct Standing {
    /// As a document is called.
    pub(super) name: String,
    pub(super) state: State,
    path: PathBuf,
}

impl Walk {
    pub(super) fn over(root: &Path) -> Result<Self> {
        let open = vec![(root.to_owned(), listed(root)?)];
        Ok(Self { root: root.to_owned(), open })
    }

    fn meet(&mut self, folder: &Path, entry: &DirEntry) -> Result<Option<Met>> {
        if folder == self.root && is_ours(&entry.file_name()) {
            return Ok(None);
        }
        let path = entry.path();
        // Of the entry itself: a link is a link, wherever it leads.
        let kind = entry.file_type().map_err(|error| trouble::folder_unread(error.kind()))?;
        if kind.is_symlink() {
            return Ok(Some(Met::Unfit(Unfit::Link)));
        }
        if kind.is_dir() {
            return self.enter(path);
        }
        if !kind.is_file() {
            return Ok(Some(Met::Unfit(Unfit::Special)));
        }
        let Some(name) = self.name_of(&path) else { return Ok(Some(Met::Unfit(Unfit::Name))) };
        // Gone since the folder was listed: it was never there.
        Ok(State::at(&path).map(|state| Met::File(Standing { name, state, path })))
    }

    fn enter(&mut self, path: PathBuf) -> Result<Option<Met>> {
        if self.open.len() >= DEPTH_MAX {
            return Ok(Some(Met::Unfit(Unfit::Name)));
        }
        // A folder that became a link since it was listed leads elsewhere.
        if path.canonicalize().ok().as_ref() != Some(&path) {
            return Ok(Some(Met::Unfit(Unfit::Link)));
        }
        let inside = listed(&path)?;
        self.open.push((path, inside));
        Ok(None)
    }

    /// The way from the root, if it is a document's name.
    fn name_of(&self, path: &Path) -> Option<String> {
        let parts = path.strip_prefix(&self.root).ok()?.iter().map(OsStr::to_str);
        let name = parts.collect::<Option<Vec<_>>>()?.join("/");
        DocumentName::parse(&name).map(DocumentName::into_text)
    }
}

fn listed(folder: &Path) -> Result<ReadDir> {
    std::fs::read_dir(folder).map_err(|error| trouble::folder_unread(error.kind()))
}

fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(OWN_FILES.as_bytes())
}

impl Iterator for Walk {
    type Item = Result<Met>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (folder, inside) = self.open.last_mut()?;
            let Some(entry) = inside.next() else {
                self.open.pop();
                continue;
            };
            let folder = folder.clone();
            let met = entry
                .map_err(|error| trouble::folder_unread(error.kind()))
                .and_then(|entry| self.meet(&folder, &entry));
            match met {
                Ok(None) => {}
                Ok(Some(met)) => return Some(Ok(met)),
                Err(trouble) => return Some(Err(trouble)),
            }
        }
    }
}

impl Standing {
    /// As a document that nobody looked at yet. It is opened when somebody reads it, and not before: what a scope leaves
    /// by its name alone is never opened.
    pub(super) fn found(self) -> FoundDocument {
        let Self { name, state, path } = self;
        let content = Box::new(Content { path: path.clone(), state, file: None });
        let still = Box::new(move || State::at(&path) == Some(state));
        FoundDocument { name, bytes: state.bytes, content, still }
    }
}

/// The bytes of a file, if it is still the file that was met.
struct Content {
    path: PathBuf,
    state: State,
    file: Option<File>,
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            return file.read(into);
        }
        let mut file = File::open(&self.path)?;
        let opened = file.metadata()?;
        if !opened.is_file() || State::of(&opened) != self.state {
            return Err(io::Error::other(trouble::document_exchanged()));
        }
        let read = file.read(into);
        self.file = Some(file);
        read
    }
}
