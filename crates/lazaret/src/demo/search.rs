//! Looks for planted values in everything that the parties left behind, and shows that it finds them where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lexicon::Result;
use synth::search::{self, Needles, Report};
use synth::{Place, Sentinel};

use super::ground::{Ground, NEW, PRACTICE, unusable};
use super::practice;

/// What the search saw.
pub(super) struct Looked {
    /// Values that were looked for.
    pub(super) values: usize,
    /// Everything besides the two systems.
    pub(super) outside: Report,
    /// Values in the new system that should have stayed in the old one.
    pub(super) out_of_scope: u64,
    /// The positive controls, in the order of [`CONTROLS`].
    pub(super) controls: Vec<Control>,
    /// What did not hold, one sentence each.
    pub(super) failed: Vec<String>,
}

/// A place where something must be found.
pub(super) struct Control {
    pub(super) place: &'static str,
    pub(super) found: u64,
}

impl Looked {
    /// Values found where none may be.
    pub(super) fn hits(&self) -> u64 {
        self.outside.found().saturating_add(self.out_of_scope)
    }

    /// Values found where they must be.
    pub(super) fn control_hits(&self) -> u64 {
        self.controls.iter().fold(0, |sum, control| sum.saturating_add(control.found))
    }
}

/// Searches the old system and a practice folder for what must be found, then everything for what must not.
///
/// # Errors
/// A fault when something cannot be written or listed.
pub(super) fn look(ground: &Ground, sentinels: &[Sentinel], accented: &str) -> Result<Looked> {
    let accented = Sentinel {
        table: "practice".to_owned(),
        column: "accented".to_owned(),
        place: Place::LeftColumn,
        value: accented.to_owned(),
    };
    let everything = || sentinels.iter().chain([&accented]);
    let needles = Needles::new(everything().map(|sentinel| (label(sentinel), &sentinel.value)))?;
    let mut failed = Vec::new();

    let old = search::files(&needles, &ground.old_system())?;
    failed.extend(too_few(&old, sentinels, "the old system"));
    let (practised, unseen) = practise(ground, &needles, &one_of_each(everything()))?;
    failed.extend(unseen);

    // The practice folder is gone by now; a rest of it would be found here.
    let outside = search::files(&needles, &ground.besides_the_systems()?)?;
    failed.extend(told(&outside));
    let new = search::files(&needles, &ground.new_system()?)?;
    let suffix = format!(":{:?}", Place::Moves);
    let (moving, staying): (Vec<_>, Vec<_>) = new.hits.iter().partition(|hit| hit.label.ends_with(&suffix));
    let out_of_scope = staying.iter().fold(0, |sum: u64, hit| sum.saturating_add(hit.count));
    failed.extend(staying.iter().map(|hit| format!("{NEW} holds {} of {}", hit.count, hit.label)));
    failed
        .extend(new.missed.iter().map(|missed| format!("{} was not searched: {}", missed.file.display(), missed.why)));
    let moves: Vec<Sentinel> = sentinels.iter().filter(|sentinel| sentinel.place == Place::Moves).cloned().collect();
    failed.extend(too_few(&new, &moves, "the new system"));

    let controls = vec![
        Control { place: "the old system", found: old.found() },
        Control {
            place: "the new system, values that moved",
            found: moving.iter().fold(0, |sum, hit| hit.count.saturating_add(sum)),
        },
        Control { place: "eight files written for practice, since deleted", found: practised },
    ];
    Ok(Looked { values: needles.count(), outside, out_of_scope, controls, failed })
}

/// What a report calls a value: never the value.
fn label(sentinel: &Sentinel) -> String {
    format!("{}:{:?}", sentinel.label(), sentinel.place)
}

/// One value of each table, column and place.
fn one_of_each<'a>(sentinels: impl Iterator<Item = &'a Sentinel>) -> Vec<&'a Sentinel> {
    sentinels.map(|sentinel| (label(sentinel), sentinel)).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// The labels of which fewer were met than were planted.
fn too_few(report: &Report, planted: &[Sentinel], place: &str) -> Vec<String> {
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for sentinel in planted {
        let count = expected.entry(label(sentinel)).or_insert(0);
        *count = count.saturating_add(1);
    }
    let met = |label: &str| {
        let hits = report.hits.iter().filter(|hit| hit.label == label);
        hits.fold(0_u64, |sum, hit| sum.saturating_add(hit.count))
    };
    let few = expected.iter().filter(|(label, count)| met(label) < **count);
    few.map(|(label, count)| format!("the search met {} of {count} values of {label} in {place}", met(label))).collect()
}

/// Where something was found that may not be there, and what was not looked at.
fn told(report: &Report) -> Vec<String> {
    let hits = report.hits.iter().map(|hit| {
        format!("{} holds {} of {} ({:?} {})", hit.file.display(), hit.count, hit.label, hit.encoding, hit.within)
    });
    let missed =
        report.missed.iter().map(|missed| format!("{} was not searched: {}", missed.file.display(), missed.why));
    hits.chain(missed).collect()
}

/// Writes the values in every way in which they could leak, searches, and deletes them: how many were met, and what
/// was not.
fn practise(ground: &Ground, needles: &Needles, values: &[&Sentinel]) -> Result<(u64, Vec<String>)> {
    let folder = ground.path(PRACTICE);
    std::fs::create_dir(&folder).map_err(|error| unusable(&folder, &error))?;
    let searched = write_and_search(&folder, needles, values);
    std::fs::remove_dir_all(&folder).map_err(|error| unusable(&folder, &error))?;
    let (report, files) = searched?;
    let met: BTreeSet<(&Path, &str)> = report.hits.iter().map(|hit| (hit.file.as_path(), hit.label.as_str())).collect();
    let mut unseen = Vec::new();
    for file in &files {
        let count = values.iter().filter(|value| !met.contains(&(file.as_path(), label(value).as_str()))).count();
        if count > 0 {
            unseen.push(format!("the search did not see {count} of {} values in {}", values.len(), file.display()));
        }
    }
    Ok((report.found(), unseen))
}

fn write_and_search(folder: &Path, needles: &Needles, values: &[&Sentinel]) -> Result<(Report, Vec<PathBuf>)> {
    let text: Vec<&str> = values.iter().map(|sentinel| sentinel.value.as_str()).collect();
    let mut files = Vec::new();
    for (name, bytes) in practice::leaks(&text.join("; ")).map_err(|error| unusable(folder, &error))? {
        let path = folder.join(name);
        crate::files::write_new(&path, &bytes)?;
        files.push(path);
    }
    Ok((search::files(needles, &[folder])?, files))
}

#[cfg(test)]
mod tests {
    use super::super::ground::OLD;
    use super::*;

    fn sentinel(column: &str, place: Place, value: &str) -> Sentinel {
        Sentinel { table: "patient".to_owned(), column: column.to_owned(), place, value: value.to_owned() }
    }

    /// A ground with an old system that holds all three values, and a new one that holds the one that moves.
    fn ground() -> (tempfile::TempDir, Ground, Vec<Sentinel>) {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::make(Some(&folder.path().join("fresh")), &lexicon::SystemEntropy::new()).unwrap();
        let sentinels = vec![
            sentinel("nir", Place::Moves, "kQ7wZr2mXb9TnYc4HsLd"),
            sentinel("nir", Place::LeftRow, "pW3vNc8fJt5RgKz6MqXy"),
            sentinel("password", Place::LeftColumn, "aB4cD7eF2gH9jK3mN6pQ"),
        ];
        let all: Vec<&str> = sentinels.iter().map(|sentinel| sentinel.value.as_str()).collect();
        crate::files::write_new(&ground.path(OLD), all.join("\0").as_bytes()).unwrap();
        crate::files::write_new(&ground.path(NEW), all[0].as_bytes()).unwrap();
        (folder, ground, sentinels)
    }

    #[test]
    fn a_clean_folder_is_clean_and_every_control_is_met() {
        let (_folder, ground, sentinels) = ground();
        let looked = look(&ground, &sentinels, "témoin-9RfTqL").unwrap();
        assert_eq!((looked.hits(), looked.failed.len()), (0, 0), "{:?}", looked.failed);
        // 3 in the old system, 1 in the new one, 4 in each of eight files and those of the stored pieces among them.
        assert!(looked.control_hits() >= 3 + 1 + 8 * 4, "{}", looked.control_hits());
        assert!(!ground.path(PRACTICE).exists());
    }

    #[test]
    fn a_value_anywhere_else_is_found_also_one_that_moves() {
        let (_folder, ground, sentinels) = ground();
        crate::files::write_new(&ground.path("logs/server.log"), sentinels[0].value.as_bytes()).unwrap();
        let looked = look(&ground, &sentinels, "témoin-9RfTqL").unwrap();
        assert_eq!((looked.hits(), looked.failed.len()), (1, 1), "{:?}", looked.failed);
    }

    #[test]
    fn a_row_outside_the_scope_is_found_in_the_new_system() {
        let (_folder, ground, sentinels) = ground();
        let both = [sentinels[0].value.as_str(), &sentinels[1].value].join(" ");
        crate::files::write(&ground.path(NEW), both.as_bytes()).unwrap();
        let looked = look(&ground, &sentinels, "témoin-9RfTqL").unwrap();
        assert_eq!((looked.hits(), looked.failed.len()), (1, 1), "{:?}", looked.failed);
    }

    #[test]
    fn a_search_that_does_not_meet_what_is_there_fails() {
        let (_folder, ground, mut sentinels) = ground();
        sentinels.push(sentinel("email", Place::LeftColumn, "never-planted@courriel.example"));
        let looked = look(&ground, &sentinels, "témoin-9RfTqL").unwrap();
        assert_eq!((looked.hits(), looked.failed.len()), (0, 1), "{:?}", looked.failed);
    }
}
