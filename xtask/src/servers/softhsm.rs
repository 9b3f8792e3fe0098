//! SoftHSM, which is no server but a library that plays a token: what the tests get is its module, and settings by which
//! the tokens that they make lie in the servers' folder.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::place::{self, Place};

/// The package, and the program by which it is known to be there.
pub(super) const PACKAGE: (&str, &str) = ("softhsm2", "softhsm2-util");

/// Debian puts the module into a folder of the machine's kind, or beside those.
fn module() -> Option<PathBuf> {
    let kinds = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = kinds.chain(["/usr/lib", "/usr/local/lib"].map(PathBuf::from));
    folders.map(|folder| folder.join("softhsm").join("libsofthsm2.so")).find(|module| module.is_file())
}

/// What the tests need to know.
pub(super) fn make(place: &Place) -> Result<[(&'static str, String); 2]> {
    let module = module().context("SoftHSM's module is not where it is looked for")?;
    let folder = place.folder_of("softhsm", None)?;
    let (tokens, settings) = (folder.join("tokens"), folder.join("softhsm2.conf"));
    std::fs::create_dir(&tokens)?;
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    place::write_private(&settings, &text, None)?;
    Ok([("LAZARET_TEST_SOFTHSM", module.display().to_string()), ("SOFTHSM2_CONF", settings.display().to_string())])
}
