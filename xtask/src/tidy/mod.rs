//! The rules of the house that the compiler does not know. Each finding is one line, `file:line: sentence`.

mod arrows;
mod codes;
mod hook;
mod manual;
mod said;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

pub(crate) use manual::command as write_codes;

use crate::process;

/// Where our Rust files are.
const FOLDERS: &[&str] = &["crates", "drill", "fuzz", "xtask"];

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: PathBuf,
    line: usize,
    sentence: String,
}

impl Finding {
    fn new(file: &Path, line: usize, sentence: impl Into<String>) -> Self {
        Self { file: file.to_path_buf(), line, sentence: sentence.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.sentence)
    }
}

/// `cargo xtask tidy`.
pub(crate) fn command(root: &Path) -> Result<ExitCode> {
    let findings = findings(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    let Some(count) = (!findings.is_empty()).then_some(findings.len()) else {
        println!("tidy: nothing found");
        return Ok(ExitCode::SUCCESS);
    };
    println!("tidy: {count} to mend");
    Ok(ExitCode::FAILURE)
}

/// Everything that breaks a rule, in the order of the files.
fn findings(root: &Path) -> Result<Vec<Finding>> {
    let metadata = metadata(root)?;
    let mut found = arrows::findings(&metadata, root)?;
    found.extend(hook::findings(&metadata, root)?);
    let (in_sources, codes) = source::pages(root, FOLDERS)?;
    found.extend(in_sources);
    found.extend(manual::findings(root, &codes)?);
    found.extend(codes::findings(codes));
    found.sort();
    Ok(found)
}

fn metadata(root: &Path) -> Result<serde_json::Value> {
    let output = process::cargo(root)
        .args(["metadata", "--format-version", "1"])
        .output()
        .context("cargo metadata cannot be started")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata wrote no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let found = findings(&crate::root().unwrap()).unwrap();
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
