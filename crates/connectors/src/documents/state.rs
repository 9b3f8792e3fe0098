use std::fs::Metadata;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::Path;
use std::time::SystemTime;

/// What is known of a file without reading it: another file, or the same one written to, has another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) bytes: u64,
    modified: Option<SystemTime>,
    /// Which file of which device, and when its entry last changed: nobody can set that back.
    #[cfg(unix)]
    entry: (u64, u64, i64, i64),
}

impl State {
    pub(super) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            entry: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The state of what stands at a path, if that is a file and no link.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        metadata.is_file().then(|| Self::of(&metadata))
    }
}

/// Which files stood in a folder, and in which state: 16 bytes each, names not among them.
#[derive(Default)]
pub(super) struct Census {
    hasher: RandomState,
    files: Vec<(u64, u64)>,
}

impl Census {
    pub(super) fn take(&mut self, name: &str, state: &State) {
        self.files.push((self.hash(name), self.hash(state)));
    }

    fn hash<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        self.hasher.hash_one(value)
    }

    /// To be asked, once every file is taken.
    pub(super) fn closed(mut self) -> Closed {
        self.files.sort_unstable();
        Closed(self)
    }
}

/// A census that nothing is added to.
pub(super) struct Closed(Census);

impl Closed {
    pub(super) fn len(&self) -> usize {
        self.0.files.len()
    }

    /// Whether this file was there in this state.
    pub(super) fn knows(&self, name: &str, state: &State) -> bool {
        self.0.files.binary_search(&(self.0.hash(name), self.0.hash(state))).is_ok()
    }

    /// Whether it was there at all.
    pub(super) fn knows_name(&self, name: &str) -> bool {
        let hash = self.0.hash(name);
        let at = self.0.files.partition_point(|(of, _)| *of < hash);
        self.0.files.get(at).is_some_and(|(of, _)| *of == hash)
    }
}
