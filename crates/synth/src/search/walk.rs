use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use lexicon::{Code, Fault, Refusal, Result, Retry};
use serde::{Deserialize, Serialize};

use super::needles::Encoding;
use super::scan::{Scanner, Sight};
use super::{Limits, Needles};

/// How much of a file is held at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Values of one label, found in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The file.
    pub file: PathBuf,
    /// What the values were wrapped in, outermost first (`zip > gzip`); `name` for the file's name; empty for none.
    pub within: String,
    /// How they were written.
    pub encoding: Encoding,
    /// What they were looked for under; never the value.
    pub label: String,
    /// How many were met. One value counts in each wrapping that shows it: a wrapping that stores what it cannot
    /// compress shows it outside as well.
    pub count: u64,
}

/// Something that was not looked at, or not wholly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The file or folder.
    pub file: PathBuf,
    /// Why.
    pub why: String,
}

/// What a search saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What was found, by file.
    pub hits: Vec<Hit>,
    /// What was not looked at.
    pub missed: Vec<Missed>,
    /// Files looked at.
    pub files: u64,
    /// Their bytes, as read.
    pub bytes: u64,
    /// Bytes that came out of wrapped streams.
    pub decoded_bytes: u64,
    /// Wrapped streams that gave any byte; a few of them by chance.
    pub wrapped: u64,
}

impl Report {
    /// Whether everything was looked at and nothing was found.
    pub fn is_clean(&self) -> bool {
        self.hits.is_empty() && self.missed.is_empty()
    }

    /// How many values were met, of all labels and encodings.
    pub fn found(&self) -> u64 {
        self.hits.iter().fold(0, |sum, hit| sum.saturating_add(hit.count))
    }

    fn add(&mut self, file: &Path, sight: Sight<'_>) {
        let labels = &sight.needles.labels;
        self.hits.extend(sight.hits.into_iter().map(|((within, label, encoding), count)| Hit {
            file: file.to_owned(),
            within: within.to_string(),
            encoding,
            label: labels.get(label).cloned().unwrap_or_default(),
            count,
        }));
        self.missed.extend(sight.missed.into_iter().map(|why| Missed { file: file.to_owned(), why }));
        self.decoded_bytes = self.decoded_bytes.saturating_add(sight.decoded_bytes);
        self.wrapped = self.wrapped.saturating_add(sight.wrapped);
    }

    fn miss(&mut self, file: &Path, why: impl Into<String>) {
        self.missed.push(Missed { file: file.to_owned(), why: why.into() });
    }
}

/// Searches these files and everything in these folders, with the usual [`Limits`]. Links are not followed, and their
/// names and targets are searched as text; what is neither file nor folder is missed.
///
/// # Errors
/// A refusal when one of `paths` does not exist: a search that looked at nothing must not pass for a clean one.
pub fn files<P: AsRef<Path>>(needles: &Needles, paths: &[P]) -> Result<Report> {
    files_within(needles, paths, Limits::default())
}

/// As [`files`], with limits of one's own.
///
/// # Errors
/// As [`files`].
pub fn files_within<P: AsRef<Path>>(needles: &Needles, paths: &[P], limits: Limits) -> Result<Report> {
    let mut report = Report::default();
    for path in paths {
        let path = path.as_ref();
        if fs::symlink_metadata(path).is_err() {
            return Err(Refusal::new(
                Code(1108),
                format!("there is nothing to search at {}", path.display()),
                "Name files and folders that exist.",
            )
            .into());
        }
        visit(needles, limits, path, &mut report)?;
    }
    Ok(report)
}

/// Searches what comes out of a reader: a pipe, a process's output. `name` stands for it in the report.
///
/// # Errors
/// A fault when it cannot be read to its end.
pub fn reader(needles: &Needles, name: &Path, source: &mut dyn Read) -> Result<Report> {
    let mut report = Report::default();
    stream(needles, Limits::default(), name, source, &mut report)?.map_err(|kind| {
        Fault::new(Code(1109), Retry::Later, format!("{} could not be read to its end ({kind})", name.display()))
    })?;
    Ok(report)
}

fn visit(needles: &Needles, limits: Limits, path: &Path, report: &mut Report) -> Result<()> {
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        title(needles, limits, &path, report)?;
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => {
                report.miss(&path, format!("could not be looked at ({})", error.kind()));
                continue;
            }
        };
        if kind.is_dir() {
            match entries(&path) {
                Ok(inside) => left.extend(inside),
                Err(kind) => report.miss(&path, format!("could not be listed ({kind})")),
            }
        } else if kind.is_file() {
            file(needles, limits, &path, report)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap_or_default();
            bytes(needles, limits, &path, target.as_os_str().as_encoded_bytes(), "link", report)?;
        } else {
            report.miss(&path, "is neither a file nor a folder");
        }
    }
    Ok(())
}

/// What a folder holds, last name first, so that the first is taken first.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ErrorKind> {
    let entries = fs::read_dir(folder).map_err(|error| error.kind())?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|error| error.kind())?;
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

/// A file's own name can be the leak.
fn title(needles: &Needles, limits: Limits, path: &Path, report: &mut Report) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    bytes(needles, limits, path, name.as_encoded_bytes(), "name", report)
}

fn bytes(
    needles: &Needles,
    limits: Limits,
    path: &Path,
    bytes: &[u8],
    within: &str,
    report: &mut Report,
) -> Result<()> {
    let mut sight = Sight::new(needles, limits);
    let mut scanner = Scanner::new(&sight, within.into(), limits.depth_max, false)?;
    scanner.feed(bytes, &mut sight)?;
    scanner.finish(&mut sight)?;
    report.add(path, sight);
    Ok(())
}

fn file(needles: &Needles, limits: Limits, path: &Path, report: &mut Report) -> Result<()> {
    let read = match fs::File::open(path) {
        Ok(mut file) => stream(needles, limits, path, &mut file, report)?,
        Err(error) => Err(error.kind()),
    };
    if let Err(kind) = read {
        report.miss(path, format!("could not be read to its end ({kind})"));
    }
    Ok(())
}

/// The inner error is the reader's.
fn stream(
    needles: &Needles,
    limits: Limits,
    path: &Path,
    source: &mut dyn Read,
    report: &mut Report,
) -> Result<Result<(), ErrorKind>> {
    let mut sight = Sight::new(needles, limits);
    let mut scanner = Scanner::new(&sight, "".into(), 0, false)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let outcome = loop {
        match source.read(&mut chunk) {
            Ok(0) => break Ok(()),
            Ok(length) => {
                report.bytes = report.bytes.saturating_add(u64::try_from(length).unwrap_or(0));
                scanner.feed(chunk.get(..length).unwrap_or_default(), &mut sight)?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(error.kind()),
        }
    };
    scanner.finish(&mut sight)?;
    report.files = report.files.saturating_add(1);
    report.add(path, sight);
    Ok(outcome)
}
