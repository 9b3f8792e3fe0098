//! Files that only their owner reads, written whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use lexicon::{Alarm, Code, Fault, Result, Retry, Trouble};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Makes a folder, and those above it, for its owner only.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| failed("made", folder, &error))
}

/// Writes a file as a whole: after a crash there is the old one or the new one, never a part. Makes its folder.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes))
}

/// [`write`], of values as lines of canonical JSON. One line is held at a time: a fact may have megabytes.
pub(crate) fn write_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<()> {
    let line = |value| line(value).map_err(|trouble| io::Error::other(trouble.to_string()));
    replace(path, |file| values.iter().try_for_each(|value| file.write_all(&line(value)?)))
}

fn replace(path: &Path, contents: impl Fn(&mut File) -> io::Result<()>) -> Result<()> {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".{}.{}.{number}", name_of(path), std::process::id()));
    let written =
        write_new(&draft, contents).and_then(|()| fs::rename(&draft, path)).and_then(|()| sync_folder(folder));
    written.map_err(|error| {
        drop(fs::remove_file(&draft));
        failed("written", path, &error)
    })
}

/// [`write`], of canonical JSON.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    write(path, &lexicon::canonical(value)?)
}

/// A value as a line of a file: canonical JSON.
pub(crate) fn line<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut line = lexicon::canonical(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Adds to a file that is there. After a crash a part of it may be there, or nothing.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| failed("written", path, &error))
}

/// The bytes of a file; none when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// What each line of a file of JSON says, in order, read one at a time; nothing when there is no such file.
pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", path, &error)),
    };
    let lines = BufReader::new(file).split(b'\n').filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()));
    let value = |line: io::Result<Vec<u8>>| {
        let line = line.map_err(|error| failed("read", path, &error))?;
        serde_json::from_slice(&line).map_err(|_| damaged(path))
    };
    lines.map(value).collect()
}

/// What a file of JSON says; none when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged(path))
}

/// The names in a folder, in order; none when there is no such folder. Drafts of files are left out.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    Ok(all_names(folder)?.into_iter().filter(|name| !name.starts_with('.')).collect())
}

/// [`names`] with the drafts that a crash may have left.
pub(crate) fn all_names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", folder, &error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>().map_err(|error| failed("read", folder, &error))?;
    names.sort_unstable();
    Ok(names)
}

/// Overwrites a file with zeros, has them written, and removes it; whether there was one. What cannot be overwritten is
/// removed all the same. What a disk keeps of overwritten blocks by itself is beyond any program, so nothing is ever kept
/// here that is not encrypted as well.
pub(crate) fn erase(path: &Path) -> Result<bool> {
    let overwritten = OpenOptions::new().write(true).open(path).and_then(|mut file| {
        let mut left = file.metadata()?.len();
        let zeros = [0; 4_096];
        while left > 0 {
            let piece = zeros.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&zeros);
            file.write_all(piece)?;
            left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(left));
        }
        file.sync_all()
    });
    // A file that is not to be written, a block that takes no byte, a disk on which writing over needs new space: the name
    // goes all the same.
    if overwritten.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::remove_file(path).and_then(|()| sync_folder(folder)).map_err(|error| failed("removed", path, &error))?;
    Ok(true)
}

/// Makes the file by which processes wait for each other where there is none, so that waiting needs no space.
pub(crate) fn make_lock(path: &Path) -> Result<()> {
    lockable(path).map(drop).map_err(|error| failed("made", path, &error))
}

/// Opens the file by which processes wait for each other, and waits.
pub(crate) fn lock(path: &Path) -> Result<File> {
    lockable(path).and_then(|file| file.lock().map(|()| file)).map_err(|error| failed("locked", path, &error))
}

/// As [`lock`], without waiting; none while another process or handle holds it. Makes its folder.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    let file = lockable(path).map_err(|error| failed("locked", path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed("locked", path, &error)),
    }
}

fn lockable(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_new(path: &Path, contents: impl Fn(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let open = || options.open(path);
    let mut file = match open() {
        // Left by a process of the same number that died here.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(path).and_then(|()| open())?,
        opened => opened?,
    };
    contents(&mut file)?;
    file.sync_all()
}

/// A rename is safe once its folder is on the disk. Windows has no such call, and writes it through by itself.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned()
}

pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> Trouble {
    let message = format!("'{}' could not be {what} in this device's folder: {}", name_of(path), error.kind());
    Fault::new(Code(1211), Retry::Later, message).into()
}

pub(crate) fn damaged(path: &Path) -> Trouble {
    let message =
        format!("'{}' in this device's folder is not what was written there: damaged, or changed", name_of(path));
    Alarm::new(Code(1212), message).into()
}
