//! `docs/controls.md`: each control, where it lives, which test goes red without it, and when that was last seen.
//!
//! The page is what earlier runs saw and what this one saw: a run of some mutants leaves the lines of the others.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::list::Mutant;
use super::run::{Seen, Verdict};
use crate::process;

pub(super) const PAGE: &str = "docs/controls.md";

const HEAD: &str = "# Controls, and what notices when one is off

Each line is one control and one change of the code that switches it off. `cargo xtask mutants` makes the change in a copy
of the workspace, runs the named test, and wants it to fail: then somebody would miss the control. The command writes this
page; a date says when that was last seen, by UTC, and the digits behind it of which change and which test: when either is
another, the line says `not yet` again. Nothing here says that a control is enough, only that it is there and tested.

The changes themselves stand in `xtask/mutants.toml`; those of the procedure's refusals are made from its source, one for
each condition that stands where it refuses (`xtask/src/mutants/refusals.rs`). No line is about watching rules and alerts, or about the notice of patients:
there are none yet. Nor is one about noticing that several people use one person's device and passphrase: nothing looks for that.
";

/// The findings of the decision that have code, by number.
const FINDINGS: [&str; 8] = [
    "No procedure for data migrations",
    "Personal data unencrypted on the server",
    "No automatic deletion after migration",
    "No authentication on the public zone",
    "Accounts shared between employees",
    "No supervision: so far, the journal",
    "More was extracted than the laboratories asked",
    "Contracts without the items of GDPR art. 28(3)",
];

const NOT_YET: &str = "not yet";
const BEFORE_MARK: &str = ", ";

/// What a line says beside its mutant's own words.
#[derive(Clone)]
struct Said {
    story: String,
    seen: String,
    /// Of the mutant that was tried.
    mark: String,
}

/// The page, and what it is going to say.
pub(super) struct Page {
    said: BTreeMap<String, Said>,
    today: String,
}

impl Page {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let today = process::answer("date", &["-u", "+%F"]).context("this machine does not tell its date")?;
        let text = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
        Ok(Self { said: said(&text), today })
    }

    /// Notes what came of a mutant, and writes the page: a long run may be cut.
    pub(super) fn note(&mut self, root: &Path, mutants: &[Mutant], mutant: &Mutant, seen: &Seen) -> Result<()> {
        let story = match seen.fell.as_slice() {
            [] => String::new(),
            [one] => format!("`{one}`"),
            [one, others @ ..] => format!("`{one}` and {} more", others.len()),
        };
        let seen = match seen.verdict {
            Verdict::Red => self.today.clone(),
            Verdict::Green if mutant.unreachable.is_some() => format!("never ({})", self.today),
            Verdict::Green | Verdict::CompileError | Verdict::Unclear => {
                format!("{} ({})", seen.verdict.word(), self.today)
            }
        };
        self.said.insert(mutant.name.clone(), Said { story, seen, mark: mutant.mark.clone() });
        #[expect(clippy::disallowed_methods, reason = "a page of the house's own")]
        std::fs::write(root.join(PAGE), self.text(mutants)).with_context(|| format!("{PAGE} cannot be written"))
    }

    fn text(&self, mutants: &[Mutant]) -> String {
        let of_findings = (1..).zip(FINDINGS).map(|(number, title)| {
            let lines = mutants.iter().filter(|mutant| mutant.finding == Some(number));
            self.table(&format!("{number}. {title}"), lines)
        });
        let refusals = mutants.iter().filter(|mutant| mutant.finding.is_none());
        let tables: String = of_findings.collect();
        format!("{HEAD}{tables}{}", self.table("Refusals of the procedure", refusals))
    }

    fn table<'a>(&self, title: &str, mutants: impl Iterator<Item = &'a Mutant>) -> String {
        let lines: String = mutants.map(|mutant| self.line(mutant)).collect();
        let head = "| mutant | control | where it lives | test that goes red | seen red |\n|---|---|---|---|---|";
        format!("\n## {title}\n\n{head}\n{lines}")
    }

    fn line(&self, mutant: &Mutant) -> String {
        let said = self.said.get(&mutant.name).filter(|said| said.mark == mutant.mark);
        let story = match (&mutant.unreachable, &mutant.story.name) {
            (Some(why), _) => format!("none can: {why}"),
            (None, Some(name)) => format!("`{name}` in {}", mutant.story.room),
            (None, None) => said.map(|said| said.story.clone()).unwrap_or_default(),
        };
        let seen = said.map_or_else(|| NOT_YET.to_owned(), |said| format!("{}{BEFORE_MARK}{}", said.seen, said.mark));
        let control = mutant.control.replace('|', "\\|");
        format!("| `{}` | {control} | `{}` | {story} | {seen} |\n", mutant.name, mutant.file)
    }
}

/// The names on a page with what stands behind them.
fn said(page: &str) -> BTreeMap<String, Said> {
    let line = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
        let [name, .., story, seen] = cells.as_slice() else { return None };
        let (seen, mark) = seen.rsplit_once(BEFORE_MARK)?;
        let said = Said { story: (*story).to_owned(), seen: seen.to_owned(), mark: mark.to_owned() };
        Some((name.strip_suffix('`')?.to_owned(), said))
    };
    page.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_of_another_change_of_the_same_name_is_not_said_again() {
        let root = crate::root().unwrap();
        let mut mutants = super::super::list::all(&root).unwrap();
        let mutant = mutants.first().unwrap();
        let said = Said { story: String::new(), seen: "2026-01-01".to_owned(), mark: mutant.mark.clone() };
        let page = Page { said: [(mutant.name.clone(), said)].into(), today: String::new() };
        let line = page.line(mutant);
        assert!(line.ends_with(&format!("| 2026-01-01, {} |\n", mutant.mark)), "{line}");
        let page = Page { said: super::said(&line), today: String::new() };
        assert_eq!(page.line(mutant), line, "it is read as it is written");

        mutants[0].mark = "00000000".to_owned();
        assert!(page.line(&mutants[0]).ends_with(&format!("| {NOT_YET} |\n")));
    }

    #[test]
    fn the_page_names_every_mutant_as_it_is_now() {
        let root = crate::root().unwrap();
        let mutants = super::super::list::all(&root).unwrap();
        let text = std::fs::read_to_string(root.join(PAGE)).unwrap();

        let page = Page { said: said(&text), today: "2026-01-01".to_owned() };

        assert!(
            text == page.text(&mutants),
            "{PAGE} is not of these mutants: run `cargo xtask mutants --only NAME` for the new one"
        );
    }
}
