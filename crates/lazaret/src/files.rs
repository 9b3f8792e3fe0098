//! Files that people hand each other: read bounded, written whole or not at all.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use lexicon::{Code, Fault, Refusal, Result, Retry};
use serde::de::DeserializeOwned;

/// 64 MiB: more than any paper that people hand over.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let missing = |_| {
        Refusal::new(
            Code(1001),
            format!("the file {} cannot be read", path.display()),
            "Check its path and who may read it.",
        )
    };
    let length = std::fs::metadata(path).map_err(missing)?.len();
    if length > BYTES_MAX {
        return Err(Refusal::new(
            Code(1002),
            format!("the file {} is larger than 64 MiB", path.display()),
            "Name the right file.",
        )
        .into());
    }
    std::fs::read(path).map_err(|error| missing(error).into())
}

/// The mode of a file that everybody on this machine can use. A group may, as the credentials of a service manager and the
/// keys of some systems are kept.
pub(crate) fn open_to_everybody(path: &Path) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_or(0, |about| about.permissions().mode());
        (mode & 0o007 != 0).then_some(mode & 0o777)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Everything on standard input.
pub(crate) fn standard_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let refused =
        |why: &str| Refusal::new(Code(1007), format!("standard input {why}"), "Pipe the right bytes into it.");
    let read = std::io::stdin().lock().take(BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes);
    let length = read.map_err(|_| refused("cannot be read"))?;
    if u64::try_from(length).unwrap_or(u64::MAX) > BYTES_MAX {
        return Err(refused("is longer than 64 MiB").into());
    }
    Ok(bytes)
}

/// The file as text.
pub(crate) fn text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| {
        Refusal::new(Code(1003), format!("the file {} is not UTF-8 text", path.display()), "Save it as UTF-8.").into()
    })
}

/// The file as JSON.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    // The parser's own words repeat what it met, and the file may hold anything.
    serde_json::from_slice(&read(path)?).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::new(
            Code(1004),
            format!("the file {} does not say what was expected at line {line}, column {column}", path.display()),
            "Name the right file.",
        )
        .into()
    })
}

/// Writes a file beside its name and moves it there once it is on disk; an existing one is not replaced.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() {
        return Err(Refusal::new(
            Code(1005),
            format!("the file {} exists already", path.display()),
            "Name another one.",
        )
        .into());
    }
    write(path, bytes)
}

/// As [`write_new`], replacing what is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| {
        let hopeless = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied);
        let retry = if hopeless { Retry::Never } else { Retry::Later };
        Fault::new(Code(1006), retry, format!("the file {} cannot be written: {}", path.display(), error.kind()))
    };
    let beside = path.with_extension("unfinished");
    #[expect(clippy::disallowed_methods, reason = "the one place where the command line writes a file")]
    let mut file = std::fs::File::create(&beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    Ok(())
}
