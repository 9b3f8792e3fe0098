//! What is switched off, and which test must notice.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::refusals;

/// The controls of the case, by hand.
const CONTROLS: &str = "xtask/mutants.toml";
/// Where the refusals stand.
const PROCEDURE: &str = "crates/procedure/src";

/// The refusal of an instruction that lacks an item.
const INSTRUCTION: u16 = 201;

/// One change of one file that switches one control off.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) name: String,
    /// The finding of the case that the control answers; none for a refusal of the procedure.
    pub(super) finding: Option<u8>,
    /// What is switched off.
    pub(super) control: String,
    /// From the workspace's folder on, with slashes.
    pub(super) file: String,
    /// The bytes that are replaced.
    pub(super) at: Range<usize>,
    pub(super) replacement: String,
    pub(super) story: Story,
    /// Why no test can notice, if none can.
    pub(super) unreachable: Option<String>,
    /// Eight hexadecimal digits of what is changed, into what, and of the test: another change of this name has others.
    pub(super) mark: String,
}

/// The mark of a change of `file` that puts `replacement` where `was` stands.
fn mark(file: &str, was: &str, replacement: &str, story: &Story) -> String {
    let digest = blake3::hash(format!("{:?}", (file, was, replacement, story)).as_bytes());
    digest.to_hex().chars().take(8).collect()
}

/// The test that must go red.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Story {
    /// The crate.
    pub(super) room: String,
    /// The integration test; none for the tests beside the code.
    pub(super) test: Option<String>,
    /// Its whole name; none for every test there.
    pub(super) name: Option<String>,
}

impl Story {
    /// The words after `cargo test`, before what is said to the tests themselves.
    pub(super) fn words(&self) -> Vec<&str> {
        let mut words = vec!["--locked", "--package", &self.room];
        // Its stories run the program, which cargo builds for the tests of its own package only.
        if self.room == "drill" {
            words.extend(["--package", "lazaret"]);
        }
        match &self.test {
            Some(test) => words.extend(["--test", test]),
            None => words.push("--lib"),
        }
        words
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Controls {
    mutant: Vec<Written>,
    unreachable: Vec<Unreachable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreachable {
    name: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    finding: u8,
    control: String,
    file: String,
    text: String,
    replacement: String,
    room: String,
    test: Option<String>,
    story: String,
}

/// Every mutant: by finding, then the procedure's refusals in the order of their codes.
pub(super) fn all(root: &Path) -> Result<Vec<Mutant>> {
    let written: Controls = toml::from_str(&read(&root.join(CONTROLS))?).with_context(|| format!("in {CONTROLS}"))?;
    let mut mutants = controls(root, written.mutant)?;
    mutants.extend(refused(root)?);
    for Unreachable { name, why } in written.unreachable {
        let mutant = mutants.iter_mut().find(|mutant| mutant.name == name);
        mutant.with_context(|| format!("no mutant is called {name}, as {CONTROLS} says"))?.unreachable = Some(why);
    }
    mutants.sort_by_key(|mutant| mutant.finding.unwrap_or(u8::MAX));
    let mut names: Vec<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    names.sort_unstable();
    if let Some([one, _]) = names.array_windows().find(|[one, other]| one == other) {
        bail!("two mutants are called {one}");
    }
    Ok(mutants)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn controls(root: &Path, written: Vec<Written>) -> Result<Vec<Mutant>> {
    let (mut mutants, mut lost) = (Vec::new(), Vec::new());
    for Written { name, finding, control, file, text, replacement, room, test, story } in written {
        let source = read(&root.join(&file)).with_context(|| format!("for mutant {name}"))?;
        let [start] = source.match_indices(&text).map(|(start, _)| start).collect::<Vec<_>>()[..] else {
            lost.push(format!("{name}: {file}: {text}"));
            continue;
        };
        let at = start..start.saturating_add(text.len());
        let story = Story { room, test, name: Some(story) };
        let mark = mark(&file, &text, &replacement, &story);
        let finding = Some(finding);
        mutants.push(Mutant { name, finding, control, file, at, replacement, story, unreachable: None, mark });
    }
    if !lost.is_empty() {
        bail!("these texts of {CONTROLS} do not stand exactly once where they should:\n{}", lost.join("\n"));
    }
    Ok(mutants)
}

fn refused(root: &Path) -> Result<Vec<Mutant>> {
    let mut found = Vec::new();
    for file in sources(&root.join(PROCEDURE))? {
        let name = file.strip_prefix(root)?.components().map(|part| part.as_os_str().to_string_lossy());
        let name = name.collect::<Vec<_>>().join("/");
        let text = read(&file)?;
        for refusal in refusals::read(&file, &text)? {
            let was = text.get(refusal.at.clone()).unwrap_or_default().to_owned();
            found.push((name.clone(), was, refusal));
        }
    }
    found.sort_by_cached_key(|(file, _, refusal)| (refusal.code, file.clone(), refusal.at.start));
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mutants = found.into_iter().map(|(file, was, refusal)| {
        // A whole error says nothing that its sentence does not say.
        let condition = if refusal.replacement.contains(&was) {
            format!(" (`{}`)", was.split_whitespace().collect::<Vec<_>>().join(" "))
        } else {
            String::new()
        };
        let stem = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy();
        let place = format!("lz-{:04}-{stem}-{}", refusal.code, refusal.place.replace('_', "-"));
        let count = counts.entry(place.clone()).or_default();
        *count = count.saturating_add(1);
        let story = Story { room: "procedure".to_owned(), test: Some("all".to_owned()), name: None };
        Mutant {
            name: format!("{place}-{count}"),
            // Each item of the instruction is a control of the case.
            finding: (refusal.code == INSTRUCTION).then_some(8),
            control: format!("LZ-{:04}: {}{condition}", refusal.code, refusal.sentence),
            mark: mark(&file, &was, &refusal.replacement, &story),
            file,
            at: refusal.at,
            replacement: refusal.replacement,
            story,
            unreachable: None,
        }
    });
    Ok(mutants.collect())
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `all` itself wants every text exactly once, and every name.
    #[test]
    fn every_mutant_changes_what_is_there_and_every_finding_with_code_has_one() {
        let root = crate::root().unwrap();
        let mutants = all(&root).unwrap();
        for mutant in &mutants {
            let text = read(&root.join(&mutant.file)).unwrap();
            assert_ne!(text[mutant.at.clone()], mutant.replacement, "{} changes nothing", mutant.name);
        }
        let findings: BTreeSet<u8> = mutants.iter().filter_map(|mutant| mutant.finding).collect();
        assert!((1..=8).all(|finding| findings.contains(&finding)), "{findings:?}");
    }

    #[test]
    fn every_code_of_the_procedure_has_a_mutant() {
        let root = crate::root().unwrap();
        let mut given: BTreeMap<u16, PathBuf> = BTreeMap::new();
        for file in sources(&root.join(PROCEDURE)).unwrap() {
            given.extend(refusals::codes(&read(&file).unwrap()).into_iter().map(|code| (code, file.clone())));
        }
        for mutant in refused(&root).unwrap() {
            let code = mutant.name[3..7].parse().unwrap();
            given.remove(&code);
        }
        assert!(given.is_empty(), "nothing takes these refusals away: {given:?}");
    }

    /// The names of the stories are written in their source; whether they run is seen when they do.
    #[test]
    fn every_story_that_must_go_red_is_there() {
        let root = crate::root().unwrap();
        for mutant in all(&root).unwrap() {
            let Some(name) = mutant.story.name else { continue };
            let test = format!("fn {}(", name.rsplit("::").next().unwrap());
            // An integration test stands elsewhere than the tests beside the code.
            let below = if mutant.story.test.is_some() { "tests" } else { "src" };
            let folder = ["crates", "."].map(|above| root.join(above).join(&mutant.story.room).join(below));
            let folder = folder.iter().find(|folder| folder.is_dir()).unwrap();
            let is_there = sources(folder).unwrap().iter().any(|file| read(file).unwrap().contains(&test));
            assert!(is_there, "{}: there is no {name} in {}/{below}", mutant.name, mutant.story.room);
        }
    }
}
