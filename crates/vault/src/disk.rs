//! Files that stay: every change is on the disk when its call returns, or the call failed.
//!
//! A crash can fall between any two changes. [`Disk::step`] stands before each, so that the tests can stop there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use lexicon::{Code, Fault, Result, Retry, Trouble};

/// The ending of a file that is being written and does not count yet.
pub(crate) const UNFINISHED: &str = "new";

#[derive(Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) stop: tests::Stop,
}

/// A failure of the disk, without the path: paths of the ring name consignments, and those are enough.
pub(crate) fn fault(what: &str, error: &io::Error) -> Trouble {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        let text = format!("the disk under the key ring is full: it failed to {what}");
        return Fault::new(Code(742), Retry::Later, text).into();
    }
    Fault::new(Code(701), Retry::Later, format!("the disk failed to {what}: {}", error.kind())).into()
}

/// How often a failing medium is asked: what fails once for a line that was away, which its file system waits for, is there again.
const READINGS: u32 = 5;

/// The file's bytes; none when no later reading will give them: its medium or its file system lost them, or it is no file.
/// What its operator can mend, as the rights of a file, is an error.
pub(crate) fn bytes_left(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // EIO, and EUCLEAN, which is Linux's word for a file system that does not add up.
    let is_lost = |error: &io::Error| {
        error.kind() == io::ErrorKind::IsADirectory || matches!(error.raw_os_error(), Some(5 | 117))
    };
    for _ in 0..READINGS {
        match fs::read(path) {
            Err(error) if is_lost(&error) => {}
            read => return read.map(Some),
        }
    }
    Ok(None)
}

impl Disk {
    /// A whole file, present entirely or not at all: written beside, made durable, then renamed.
    pub(crate) fn place(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let beside = path.with_added_extension(UNFINISHED);
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true))
            .open(&beside)
            .map_err(|error| fault("make a file", &error))?;
        self.write(&mut file, bytes)?;
        self.step()?;
        fs::rename(&beside, path).map_err(|error| fault("name a file", &error))?;
        self.step()?;
        sync_folder_of(path)
    }

    /// Changes bytes where they lie, so that what was there is written over.
    pub(crate) fn overwrite(&self, path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut file =
            OpenOptions::new().write(true).open(path).map_err(|error| fault("open a file to write over", &error))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| fault("seek in a file", &error))?;
        self.write(&mut file, bytes)
    }

    /// Takes a name out of its folder.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        self.step()?;
        fs::remove_file(path).map_err(|error| fault("remove a file", &error))?;
        self.step()?;
        sync_folder_of(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> Result<()> {
        #[cfg(test)]
        if let Some(torn) = self.stop.tears(bytes) {
            file.write_all(torn).map_err(|error| fault("write", &error))?;
        }
        self.step()?;
        file.write_all(bytes).map_err(|error| fault("write", &error))?;
        file.sync_all().map_err(|error| fault("make a file durable", &error))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the tests stop here")]
    fn step(&self) -> Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> Result<()> {
        self.stop.pass()
    }
}

/// Makes a folder that only its owner can enter; one that is there already is left as it is.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(|error| fault("make a folder", &error))?;
    sync_folder_of(path)
}

/// Whether other people of the machine can enter or read. Only Unix permissions are looked at.
pub(crate) fn open_to_others(path: &Path) -> Result<bool> {
    let found = fs::metadata(path).map_err(|error| fault("look at a folder", &error))?;
    #[cfg(unix)]
    let open = {
        use std::os::unix::fs::PermissionsExt;
        found.permissions().mode().trailing_zeros() < 6
    };
    #[cfg(not(unix))]
    let open = !found.is_dir();
    Ok(open)
}

pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

fn sync_folder_of(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable. Windows has no such call and needs none: its journal orders them.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    #[cfg(unix)]
    if !path.as_os_str().is_empty() {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| fault("make a folder durable", &error))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use lexicon::{Code, Fault, Result, Retry};

    /// Stops the disk dead before its n-th change and at every one after, as a crash would.
    pub(crate) struct Stop {
        left: AtomicUsize,
        torn: AtomicBool,
    }

    impl Default for Stop {
        fn default() -> Self {
            Self { left: AtomicUsize::new(usize::MAX), torn: AtomicBool::new(false) }
        }
    }

    impl Stop {
        /// `torn`: half of the bytes of the stopped write reach the disk.
        pub(crate) fn after(&self, changes: usize, torn: bool) {
            self.left.store(changes, Ordering::SeqCst);
            self.torn.store(torn, Ordering::SeqCst);
        }

        pub(crate) fn pass(&self) -> Result<()> {
            let Some(left) = self.left.load(Ordering::SeqCst).checked_sub(1) else {
                return Err(Fault::new(Code(701), Retry::Now, "stopped by the test").into());
            };
            self.left.store(left, Ordering::SeqCst);
            Ok(())
        }

        pub(crate) fn tears<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
            let torn = self.left.load(Ordering::SeqCst) == 0 && self.torn.swap(false, Ordering::SeqCst);
            torn.then(|| &bytes[..bytes.len() / 2])
        }
    }
}
