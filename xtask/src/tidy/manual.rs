//! The manual's page of codes, which is written from the sources, and its table of contents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::codes::{GivenCode, HUNDREDS, room};
use super::{Finding, source};

const FOLDER: &str = "docs/manual/src";
const PAGE: &str = "docs/manual/src/codes.md";

/// What stands above it on the page is written by people.
const MARK: &str = "<!-- From here on this page is written by `cargo xtask codes`. -->\n";

/// `cargo xtask codes`.
#[expect(clippy::disallowed_methods, reason = "the page is of the workspace, not of a server or a device")]
pub(crate) fn command(root: &Path) -> Result<ExitCode> {
    let (_, codes) = source::pages(root, super::FOLDERS)?;
    let page = page(&standing(root)?, &codes);
    std::fs::write(root.join(PAGE), page).with_context(|| format!("{PAGE} cannot be written"))?;
    println!("codes: {PAGE} says what the sources say");
    Ok(ExitCode::SUCCESS)
}

/// Whether the page of codes says what the sources say, and the table of contents leads to every page and nowhere else.
pub(super) fn findings(root: &Path, codes: &[GivenCode]) -> Result<Vec<Finding>> {
    let standing = standing(root)?;
    let expected = page(&standing, codes);
    let differs = standing.lines().zip(expected.lines()).position(|(one, other)| one != other);
    let mut found = Vec::new();
    if standing != expected {
        let line = differs.unwrap_or_else(|| standing.lines().count().min(expected.lines().count()));
        let sentence = "this is not what the sources say: run `cargo xtask codes`";
        found.push(Finding::new(Path::new(PAGE), line.saturating_add(1), sentence));
    }
    let contents = std::fs::read_to_string(root.join(FOLDER).join("SUMMARY.md")).context("SUMMARY.md")?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(root.join(FOLDER)).context(FOLDER)? {
        pages.push(entry?.file_name().to_string_lossy().into_owned());
    }
    found.extend(contents_findings(&contents, &pages));
    Ok(found)
}

fn standing(root: &Path) -> Result<String> {
    std::fs::read_to_string(root.join(PAGE)).with_context(|| format!("{PAGE} cannot be read"))
}

fn contents_findings(contents: &str, pages: &[String]) -> Vec<Finding> {
    let file = Path::new(FOLDER).join("SUMMARY.md");
    let link = |line: &str| Some(line.split_once("](")?.1.split_once(')')?.0.to_owned());
    let links: Vec<(usize, String)> =
        (1..).zip(contents.lines()).filter_map(|(at, line)| Some((at, link(line)?))).collect();
    let nowhere = links.iter().filter(|(_, page)| !pages.contains(page));
    let nowhere = nowhere.map(|(line, page)| Finding::new(&file, *line, format!("there is no page {page}")));
    let unnamed = pages.iter().filter(|page| *page != "SUMMARY.md" && links.iter().all(|(_, link)| link != *page));
    nowhere.chain(unnamed.map(|page| Finding::new(&file, 1, format!("no line leads to {page}")))).collect()
}

/// All words of one code, from wherever it is given out.
#[derive(Default)]
struct Line {
    family: Option<String>,
    sentences: Vec<String>,
    remedies: Vec<String>,
}

/// The page, with what people wrote above the mark as it stands.
fn page(standing: &str, codes: &[GivenCode]) -> String {
    let head = standing.split(MARK).next().unwrap_or_default();
    let mut lines: BTreeMap<u16, Line> = BTreeMap::new();
    for code in codes.iter().filter(|code| room(&code.file).is_some()) {
        let line = lines.entry(code.number).or_default();
        line.family = line.family.take().or_else(|| code.family.clone());
        let add = |to: &mut Vec<String>, from: &[String]| {
            for text in from {
                if !to.contains(text) {
                    to.push(text.clone());
                }
            }
        };
        add(&mut line.sentences, &code.said.sentences);
        add(&mut line.remedies, &code.said.remedies);
    }
    let mut page = format!("{head}{MARK}");
    let mut hundred = None;
    for (number, mut line) in lines {
        let theirs = number.checked_div(100);
        if theirs != hundred {
            hundred = theirs;
            let rooms = HUNDREDS.iter().filter(|(_, own)| Some(*own) == hundred).map(|(room, _)| *room);
            let rooms = rooms.collect::<Vec<_>>().join(", ");
            let first = number.checked_div(100).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ignored = write!(
                page,
                "\n## `LZ-{first:02}xx`: {rooms}\n\n| code | | it says | what to do |\n|---|---|---|---|\n"
            );
        }
        let family = match line.family.as_deref() {
            Some("Alarm") => "ALARM",
            Some("Refusal") => "refusal",
            Some("Fault") => "fault",
            _ => "in a fact",
        };
        if line.family.is_none() && line.sentences.is_empty() {
            line.sentences.push("an attempt gave up".to_owned());
        }
        let (sentences, remedies) = (cell(&line.sentences), cell(&line.remedies));
        let _ignored = writeln!(page, "| `LZ-{number:04}` | {family} | {sentences} | {remedies} |");
    }
    page
}

fn cell(texts: &[String]) -> String {
    let escaped = texts.iter().map(|text| text.replace('|', "\\|").replace('<', "&lt;"));
    escaped.collect::<Vec<_>>().join("<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<GivenCode> {
        source::read(Path::new("crates/people/src/act.rs"), text).unwrap().codes
    }

    #[test]
    fn the_page_says_what_the_sources_say() {
        let text = r#"
            pub const OLD: Code = Code(103);
            fn f(name: &str) -> Result<()> {
                let why = if a { "it is a | b" } else { "it is none" };
                hold(a == b, 101, "this is not theirs", "Ask another, with `x`.")?;
                Err(Refusal::new(OLD, format!("{name} is old: {}", "very"), "Take a new\
                    er one.").into())
            }
            fn g(why: &str) { Fault::new(Code(104), Retry::Later, why); failed(Step::Load, Code(105)); }
            fn h() { let text = format!("{{x}} of {}", y); g("the disk is full"); Alarm::new(Code(102), text) }
            fn j() { let new = |why: &str, of: u8| Refusal::new(Code(108), why, "Wait."); new("it is new", 1) }
            fn i() { let why = "it is a | b"; error_line(&format!("ALARM: it came back. [LZ-0106]")); Refusal::new(Code(107), why, "") }
        "#;
        let expected = "A head.\n".to_owned()
            + MARK
            + "\n## `LZ-01xx`: lexicon, people\n\n| code | | it says | what to do |\n|---|---|---|---|\n\
               | `LZ-0101` | refusal | this is not theirs | Ask another, with `x`. |\n\
               | `LZ-0102` | ALARM | {x} of … |  |\n\
               | `LZ-0103` | refusal | … is old: … | Take a newer one. |\n\
               | `LZ-0104` | fault | the disk is full | try again later |\n\
               | `LZ-0105` | in a fact | an attempt gave up |  |\n\
               | `LZ-0106` | ALARM | it came back. |  |\n\
               | `LZ-0107` | refusal | it is a \\| b |  |\n\
               | `LZ-0108` | refusal | it is new | Wait. |\n";
        assert_eq!(page(&format!("A head.\n{MARK}old"), &codes(text)), expected);
    }

    #[test]
    fn a_page_that_nobody_is_led_to_and_a_line_that_leads_nowhere_are_found() {
        let pages = ["SUMMARY.md", "a.md", "b.md"].map(str::to_owned);
        let lines = |contents: &str| {
            contents_findings(contents, &pages).into_iter().map(|found| found.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("# It\n[A](a.md)\n- [B](b.md)\n"), [0; 0]);
        assert_eq!(lines("# It\n[A](a.md)\n- [B](c.md)\n"), [3, 1]);
    }
}
