//! The folders of inputs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// What is kept for each target at most: enough for years of findings, little enough to be looked through in a second.
const FILES_MAX: usize = 200;
const BYTES_MAX: u64 = 1024 * 1024;

/// The folder, with nothing in it.
pub(super) fn emptied(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// Copies every file; their names.
pub(super) fn copied(from: &Path, to: &Path) -> Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for (_, path) in by_size(from)? {
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, to.join(name))?;
        names.insert(name.to_owned());
    }
    Ok(names)
}

/// The files of a folder with their bytes, the smallest first.
fn by_size(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    files.sort();
    Ok(files)
}

/// Puts the inputs of `merged` but those in `left` into `kept`, in place of what is there, within the bounds; how many
/// files and bytes that are.
pub(super) fn keep(merged: &Path, left: &BTreeSet<OsString>, kept: &Path) -> Result<(usize, u64)> {
    let found = by_size(merged)?;
    emptied(kept)?;
    let (mut files, mut bytes) = (0_usize, 0_u64);
    for (size, path) in found {
        let name = path.file_name().unwrap_or_default();
        let with = bytes.saturating_add(size);
        if left.contains(name) || files >= FILES_MAX || with > BYTES_MAX {
            continue;
        }
        fs::copy(&path, kept.join(name))?;
        (files, bytes) = (files.saturating_add(1), with);
    }
    Ok((files, bytes))
}

/// What was said last, where the reason stands.
pub(super) fn ending(log: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, gone with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("lazaret-{name}-{}", std::process::id()));
            emptied(&folder).unwrap();
            Self(folder)
        }

        #[expect(clippy::disallowed_methods, reason = "the inputs of a test")]
        fn put(&self, name: &str, bytes: usize) {
            fs::write(self.0.join(name), vec![b'x'; bytes]).unwrap();
        }

        fn names(&self) -> Vec<String> {
            by_size(&self.0)
                .unwrap()
                .iter()
                .map(|(_, path)| path.file_name().unwrap().to_str().unwrap().into())
                .collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn the_smallest_inputs_are_kept_without_the_seeds() {
        let (merged, kept) = (Folder::new("merged"), Folder::new("kept"));
        for (name, bytes) in [("0", 1), ("a", 30), ("b", 20), ("c", 2 * 1024 * 1024)] {
            merged.put(name, bytes);
        }
        kept.put("old", 5);
        assert_eq!(keep(&merged.0, &BTreeSet::from(["0".into()]), &kept.0).unwrap(), (2, 50));
        assert_eq!(kept.names(), ["b", "a"]);
    }

    #[test]
    fn no_more_than_two_hundred_inputs_are_kept() {
        let (merged, kept) = (Folder::new("many"), Folder::new("few"));
        (0..250).for_each(|number| merged.put(&number.to_string(), 1));
        assert_eq!(keep(&merged.0, &BTreeSet::new(), &kept.0).unwrap(), (200, 200));
    }
}
