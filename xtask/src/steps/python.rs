//! The Python packages that tests compare us with: Tink's. Versions and digests stand in `xtask/python.txt`; they are
//! installed once, into a cache outside the repository, and are no part of the product.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Tally, cache};
use crate::process;
use crate::servers::{self, Servers};

/// Where tests find the Python that has them.
const VARIABLE: &str = "LAZARET_TEST_PYTHON";
const PACKAGES: &str = include_str!("../../python.txt");

/// Fails unless every `name==version` that it is given is what is installed.
const COMPARE: &str = "import sys; from importlib.metadata import version
sys.exit(any(version(name) != wanted for name, _, wanted in (word.partition('==') for word in sys.argv[1:])))";

/// Makes that Python, unless it is there, and tells the tests where.
pub(super) fn ready(root: &Path, servers: &mut Servers, tally: &mut Tally) -> Result<()> {
    let wanted = wanted(PACKAGES);
    let folder = cache()?.join(format!("python-{}", wanted.join("-").replace("==", "-")));
    let python = folder.join("bin").join("python");
    let is_right = || process::answer(&python, &[&["-c", COMPARE], wanted.as_slice()].concat()).is_some();
    if !is_right() {
        servers::install_packages(&|| {
            let there = process::answer("python3", &["-c", "import ensurepip, venv"]).is_some();
            if there { Vec::new() } else { vec!["python3-venv"] }
        })?;
        std::fs::create_dir_all(&folder)?;
        let mut make = Command::new("python3");
        tally.step(servers, "python", make.args(["-m", "venv", "--clear"]).arg(&folder), 5)?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes"]);
        install.args(["--only-binary", ":all:", "--requirement"]).arg(root.join("xtask").join("python.txt"));
        tally.step(servers, "python-install", &mut install, 15)?;
    }
    // Not set when a step above failed: the run is red by then, and the tests that want it say that they are skipped.
    if is_right() {
        servers.environment.insert(VARIABLE.to_owned(), python.to_string_lossy().into_owned());
    }
    Ok(())
}

/// The `name==version` of each package.
fn wanted(packages: &str) -> Vec<&str> {
    packages.lines().filter_map(|line| line.split(' ').next().filter(|word| word.contains("=="))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_with_its_digests() {
        let pinned = wanted(PACKAGES);
        assert!(pinned.iter().any(|word| word.starts_with("tink==")), "{pinned:?}");
        let entries = PACKAGES.split_inclusive("==").count() - 1;
        assert_eq!(pinned.len(), entries);
        assert_eq!(wanted("# a==1\na==1 \\\n    --hash=sha256:00\nb==2.0\n"), ["a==1", "b==2.0"]);
    }
}
