//! The one folder in which a demonstration happens.

use std::path::{Path, PathBuf};

use lexicon::{Code, Entropy, Fault, Refusal, Result, Retry};

use super::figures::hex;

/// Where everything lies. What the parties name to each other is relative to it, so that what is shown can be typed.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    dir: PathBuf,
}

/// The server's data folder, and the copy of it that somebody made in the middle.
pub(super) const SERVER: &str = "server";
pub(super) const SERVER_COPY: &str = "copy-of-server";
/// The key ring, outside the server's data folder, and the copy of it of the same moment.
pub(super) const RING: &str = "ring";
pub(super) const RING_COPY: &str = "copy-of-ring";
/// Copies that are opened and removed.
pub(super) const DATA_LOOKED_INTO: &str = "temporary/data";
pub(super) const RING_LOOKED_INTO: &str = "temporary/ring";
/// What the search practises on; gone at the end.
pub(super) const PRACTICE: &str = "practice";
pub(super) const OLD: &str = "old/old.sqlite";
pub(super) const NEW: &str = "new/new.sqlite";
/// The old system's reports, and the new system's folder for documents.
pub(super) const REPORTS: &str = "old/reports";
pub(super) const DOCUMENTS: &str = "new/documents";
pub(super) const SCOPE: &str = "old/scope.toml";
pub(super) const EVIDENCE: &str = "evidence.zip";
pub(super) const CERTIFICATE: &str = "certificate.json";

const FOLDERS: [&str; 8] = ["old", "new", DOCUMENTS, "secrets", "homes", "papers", "logs", "temporary"];

impl Ground {
    /// Makes the folder, for its owner only; one that holds something already is not used.
    pub(super) fn make(named: Option<&Path>, entropy: &dyn Entropy) -> Result<Self> {
        let dir = match named {
            Some(dir) => std::path::absolute(dir).map_err(|error| unusable(dir, &error))?,
            None => std::env::temp_dir().join(format!("lazaret-demo-{}", hex(&entropy.bytes::<4>()?))),
        };
        let builder = closed_folder();
        builder.create(&dir).map_err(|error| unusable(&dir, &error))?;
        let mut entries = std::fs::read_dir(&dir).map_err(|error| unusable(&dir, &error))?;
        if entries.next().is_some() {
            return Err(Refusal::new(
                Code(1083),
                format!("the folder {} is not empty", dir.display()),
                "Name a folder that is new or empty: a demonstration touches nothing that exists.",
            )
            .into());
        }
        let ground = Self { dir };
        for folder in FOLDERS {
            builder.create(ground.path(folder)).map_err(|error| unusable(&ground.path(folder), &error))?;
        }
        Ok(ground)
    }

    /// All of it.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// One place in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A database as `--source` and `--target` take it.
    pub(super) fn database(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name).display())
    }

    /// Everything in it but what lies under the old and the new system's own names: databases, their journals, and their
    /// folders of documents.
    pub(super) fn besides_the_systems(&self) -> Result<Vec<PathBuf>> {
        let (old, new) = (self.path(OLD), self.path(NEW));
        let folders = [self.path(REPORTS), self.path(DOCUMENTS)];
        let mut found = Vec::new();
        for path in entries(&self.dir)? {
            if path == self.path("old") || path == self.path("new") {
                let inside = entries(&path)?.into_iter();
                let theirs = |path: &PathBuf| belongs(path, &old) || belongs(path, &new) || folders.contains(path);
                found.extend(inside.filter(|path| !theirs(path)));
            } else {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// The old system: its database, and its reports where there are any.
    pub(super) fn old_system(&self) -> Vec<PathBuf> {
        [OLD, REPORTS].map(|name| self.path(name)).into_iter().filter(|path| path.exists()).collect()
    }

    /// The new system's database with its journals, and its documents.
    pub(super) fn new_system(&self) -> Result<Vec<PathBuf>> {
        let (new, documents) = (self.path(NEW), self.path(DOCUMENTS));
        let inside = entries(&self.path("new"))?.into_iter();
        Ok(inside.filter(|path| belongs(path, &new) || *path == documents).collect())
    }

    /// How many objects lie on a server's shelf, beside its id.
    pub(super) fn objects(&self, server: &str) -> Result<u64> {
        let files = self.files(&format!("{server}/shelf"))?;
        let objects = files.iter().filter(|file| !file.ends_with("shelf.id")).count();
        Ok(u64::try_from(objects).unwrap_or(u64::MAX))
    }

    /// Every file below a folder; none when there is no such folder, as of an empty shelf.
    pub(super) fn files(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let (mut left, mut files) = (vec![self.path(folder)], Vec::new());
        left.retain(|folder| folder.exists());
        while let Some(folder) = left.pop() {
            let (folders, inside): (Vec<_>, Vec<_>) = entries(&folder)?.into_iter().partition(|path| path.is_dir());
            left.extend(folders);
            files.extend(inside);
        }
        Ok(files)
    }

    /// Copies a folder as it is at this moment, without what is named.
    pub(super) fn copy(&self, from: &str, to: &str, without: &[&str]) -> Result<Copied> {
        let mut copied = Copied::default();
        let without: Vec<PathBuf> = without.iter().map(|name| self.path(from).join(name)).collect();
        let mut left = vec![(self.path(from), self.path(to))];
        while let Some((from, to)) = left.pop() {
            closed_folder().create(&to).map_err(|error| unusable(&to, &error))?;
            for path in entries(&from)?.into_iter().filter(|path| !without.contains(path)) {
                let beside = to.join(path.file_name().unwrap_or_default());
                if path.is_dir() {
                    left.push((path, beside));
                } else {
                    let bytes = std::fs::copy(&path, &beside).map_err(|error| unusable(&path, &error))?;
                    copied.files = copied.files.saturating_add(1);
                    copied.bytes = copied.bytes.saturating_add(bytes);
                }
            }
        }
        Ok(copied)
    }

    /// Removes a folder that was made only to be looked into.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let folder = self.path(name);
        Ok(std::fs::remove_dir_all(&folder).map_err(|error| unusable(&folder, &error))?)
    }
}

/// Makes folders for their owner only: a key ring is opened in no other.
fn closed_folder() -> std::fs::DirBuilder {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// What a copy holds.
#[derive(Default)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Whether a file is this database, or one that `SQLite` puts beside it.
fn belongs(path: &Path, database: &Path) -> bool {
    let (name, stem) = (path.file_name().unwrap_or_default(), database.file_name().unwrap_or_default());
    let behind = name.as_encoded_bytes().strip_prefix(stem.as_encoded_bytes());
    behind.is_some_and(|behind| [&b""[..], b"-wal", b"-shm", b"-journal"].contains(&behind))
}

/// What a folder holds, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = listed.map_err(|error| unusable(folder, &error))?;
    paths.sort_unstable();
    Ok(paths)
}

pub(super) fn unusable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Code(1084), Retry::Never, format!("{} cannot be used: {}", path.display(), error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_systems_are_left_out_of_the_search() {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::make(Some(&folder.path().join("fresh")), &lexicon::SystemEntropy::new()).unwrap();
        for name in [OLD, SCOPE, "old/old.sqlite.bak", NEW, "new/new.sqlite-journal", "new/notes.txt", "papers/plan"] {
            crate::files::write_new(&ground.path(name), b"x").unwrap();
        }
        let searched = ground.besides_the_systems().unwrap();
        for name in [SCOPE, "old/old.sqlite.bak", "new/notes.txt", "papers", "homes", "logs", "temporary"] {
            assert!(searched.contains(&ground.path(name)), "{name}");
        }
        for name in [OLD, NEW, "new/new.sqlite-journal", REPORTS, DOCUMENTS, "old", "new"] {
            assert!(!searched.contains(&ground.path(name)), "{name}");
        }
        let new = [DOCUMENTS, NEW, "new/new.sqlite-journal"].map(|name| ground.path(name));
        assert_eq!(ground.new_system().unwrap(), new);
        assert_eq!(ground.old_system(), [ground.path(OLD)]);
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        crate::files::write_new(&folder.path().join("mine"), b"x").unwrap();
        let refused = Ground::make(Some(folder.path()), &lexicon::SystemEntropy::new()).unwrap_err();
        assert_eq!(refused.code(), Code(1083));
        assert_eq!(entries(folder.path()).unwrap(), [folder.path().join("mine")]);
    }
}
