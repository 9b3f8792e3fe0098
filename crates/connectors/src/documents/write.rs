use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use lexicon::{Digest, Hasher, Result};
use scope::{DocumentName, DocumentsScope, IndexLine, OWN_FILES};
use serde::{Deserialize, Serialize};

use super::folder;
use super::walk::Walk;
use crate::{Mark, trouble};

/// 64 KiB: a document that is there already is read in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// The folder of the new system in which each part of documents gets a folder of its own.
#[derive(Clone, Debug)]
pub struct DocumentTarget {
    root: PathBuf,
}

/// Who brought a folder's documents; stands in the folder as the marker row stands in a database.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    consignment: lexicon::ConsignmentId,
    attempt: u32,
}

/// What a marker says, if it is one.
pub(crate) fn marked(marker: &[u8]) -> Option<Mark> {
    let Marker { consignment, attempt } = serde_json::from_slice(marker).ok()?;
    Some(Mark { consignment, attempt })
}

/// The marker of a load.
pub(crate) fn marker_of(mark: Mark) -> Result<Vec<u8>> {
    let Mark { consignment, attempt } = mark;
    lexicon::canonical(&Marker { consignment, attempt })
}

impl DocumentTarget {
    /// The folder at a path, written `folder:/path` or `/path`.
    ///
    /// # Errors
    /// A refusal when there is no such folder.
    pub fn open(typed: &str) -> Result<Self> {
        folder(typed).map(|root| Self { root })
    }

    /// `folder:` and the absolute path.
    pub fn identity(&self) -> String {
        format!("folder:{}", self.root.display())
    }

    /// Where a part's documents go.
    pub(super) fn place(&self, part: &DocumentsScope) -> PathBuf {
        self.root.join(&part.target)
    }

    /// Removes what a load that was killed left of a document of a part, if it can be removed.
    pub fn clear(&self, part: &DocumentsScope) {
        drop(remove(&staged_in(&self.place(part))));
    }

    /// Makes a part's folder, or takes up the one that this consignment made before. What a load that was killed left
    /// of a document is removed first, whatever else stands there.
    ///
    /// # Errors
    /// A refusal when something stands there that this consignment did not bring; a fault when it cannot be made.
    pub fn part(&self, part: &DocumentsScope, mark: Mark) -> Result<Folder> {
        let root = self.place(part);
        make_folder(&root).map_err(|error| unmade(&part.name, &error))?;
        let marker = root.join(format!("{OWN_FILES}load"));
        let folder = Folder { part: part.name.clone(), root, mark };
        // Whoever fills this folder or filled it: half a document that a killed process left is of use to nobody.
        folder.clear()?;
        match std::fs::read(&marker) {
            Ok(bytes) => {
                if marked(&bytes).is_none_or(|found| found.consignment != mark.consignment) {
                    return Err(folder.foreign()?);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if Walk::over(&folder.root)?.next().is_some() {
                    return Err(folder.foreign()?);
                }
                folder.mark(&marker)?;
            }
            Err(error) => return Err(unmade(&part.name, &error)),
        }
        Ok(folder)
    }
}

fn unmade(part: &str, error: &std::io::Error) -> lexicon::Trouble {
    trouble::document_unwritten(part, error.kind())
}

/// Makes a folder, whose name is on the disk then; one that is there is as good, a link or a file in its place is not.
fn make_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let is_folder = std::fs::symlink_metadata(path)?.is_dir();
            if is_folder { Ok(()) } else { Err(ErrorKind::NotADirectory.into()) }
        }
        Err(error) => Err(error),
    }
}

/// One part's folder in the new system, marked with who fills it. One process fills it at a time.
#[derive(Debug)]
pub struct Folder {
    part: String,
    root: PathBuf,
    mark: Mark,
}

/// What became of a document that was to be written.
pub enum Writing {
    /// It is there already, byte for byte.
    There,
    /// It is on its way.
    Begun(Arriving),
}

/// A document on its way: nobody sees it under its name before it is whole, and nothing of it stays when it is let go
/// before.
pub struct Arriving {
    // Closed before it is removed.
    file: File,
    staged: Staged,
    place: PathBuf,
    part: String,
}

/// The file of a document that has no name yet; it goes when nobody writes it any more.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // What does not go now goes when the next load begins.
        drop(remove(&self.0));
    }
}

impl Folder {
    fn foreign(&self) -> Result<lexicon::Trouble> {
        let files = Walk::over(&self.root)?.count();
        Ok(trouble::folder_not_empty(&self.part, u64::try_from(files).unwrap_or(u64::MAX)))
    }

    fn mark(&self, marker: &Path) -> Result<()> {
        let bytes = marker_of(self.mark)?;
        let staged = self.staged();
        let write = || {
            let mut file = fresh(&staged)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&staged, marker)?;
            sync_folder(&self.root)
        };
        write().map_err(|error| unmade(&self.part, &error))
    }

    fn staged(&self) -> PathBuf {
        staged_in(&self.root)
    }

    /// Nothing stands here that is on its way.
    fn clear(&self) -> Result<()> {
        remove(&self.staged()).map_err(|error| unmade(&self.part, &error))
    }

    /// Begins to write a document whose index line is known.
    ///
    /// # Errors
    /// A refusal when another file stands in its place; a fault when it cannot be written.
    pub fn begin(&self, line: &IndexLine) -> Result<Writing> {
        let name = DocumentName::parse(&line.name).filter(here).ok_or_else(|| self.in_the_way())?;
        let mut place = self.root.clone();
        let mut parts = name.as_str().split('/').peekable();
        while let Some(part) = parts.next() {
            place.push(part);
            if parts.peek().is_some() {
                make_folder(&place).map_err(|error| {
                    let taken = error.kind() == ErrorKind::NotADirectory;
                    if taken { self.in_the_way() } else { unmade(&self.part, &error) }
                })?;
            }
        }
        match std::fs::symlink_metadata(&place) {
            Ok(there) if there.is_file() && there.len() == line.bytes && digest(&place)? == line.digest => {
                return Ok(Writing::There);
            }
            Ok(_) => return Err(self.in_the_way()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unmade(&self.part, &error)),
        }
        let staged = Staged(self.staged());
        let file = fresh(&staged.0).map_err(|error| unmade(&self.part, &error))?;
        Ok(Writing::Begun(Arriving { file, staged, place, part: self.part.clone() }))
    }

    fn in_the_way(&self) -> lexicon::Trouble {
        trouble::document_in_the_way(&self.part)
    }

    /// Says that everything is written: the folders' entries are on the disk too, and nothing is on its way.
    ///
    /// # Errors
    /// A fault when the disk does not say so.
    pub fn settle(&self) -> Result<()> {
        self.clear()?;
        sync_folder(&self.root).map_err(|error| unmade(&self.part, &error))
    }
}

fn digest(place: &Path) -> Result<Digest> {
    let digest = || {
        let (mut file, mut hasher, mut piece) = (File::open(place)?, Hasher::default(), vec![0; PIECE_BYTES]);
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(read) => hasher.update(piece.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    digest().map_err(|error: std::io::Error| trouble::folder_unread(error.kind()))
}

/// Where a document lies that is on its way into a part's folder.
fn staged_in(root: &Path) -> PathBuf {
    root.join(format!("{OWN_FILES}arriving"))
}

/// Removes a file of our own; that there is none is as good.
fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A file that nobody else wrote: what an earlier process left of one is gone.
fn fresh(path: &Path) -> std::io::Result<File> {
    remove(path)?;
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// What stands in a folder is on the disk once the folder is. Windows has no call for it.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Whether this machine's file system means by a name what the scope's rules mean by it.
fn here(name: &DocumentName) -> bool {
    let devices = ["CON", "PRN", "AUX", "NUL", "COM", "LPT"];
    let plain = |part: &str| {
        let stem = part.split('.').next().unwrap_or_default().to_ascii_uppercase();
        let device =
            devices.iter().any(|device| stem.trim_end_matches(|letter: char| letter.is_ascii_digit()) == *device);
        !device && !part.contains(['<', '>', ':', '"', '|', '?', '*']) && !part.ends_with(['.', ' '])
    };
    !cfg!(windows) || name.as_str().split('/').all(plain)
}

impl Arriving {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// A fault when the disk does not take them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| unmade(&self.part, &error))
    }

    /// Gives it its name, once it is on the disk whole. Nothing is replaced.
    ///
    /// # Errors
    /// A refusal when another file stands there by now; a fault when the disk does not take it.
    pub fn finish(self) -> Result<()> {
        let Self { staged, place, part, file } = self;
        file.sync_all().map_err(|error| unmade(&part, &error))?;
        drop(file);
        // A link is refused where a name is taken; renaming would replace it.
        match std::fs::hard_link(&staged.0, &place) {
            Ok(()) => remove(&staged.0).map_err(|error| unmade(&part, &error))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(trouble::document_in_the_way(&part)),
            // File systems without links: one process at a time fills a folder.
            Err(_) if std::fs::symlink_metadata(&place).is_ok() => return Err(trouble::document_in_the_way(&part)),
            Err(_) => std::fs::rename(&staged.0, &place).map_err(|error| unmade(&part, &error))?,
        }
        let folder = place.parent().unwrap_or(&place);
        sync_folder(folder).map_err(|error| unmade(&part, &error))
    }
}
