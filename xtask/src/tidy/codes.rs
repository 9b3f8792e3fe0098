//! The codes of trouble: each room has a hundred, and one code is one kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Finding;
use super::said::Said;

/// The hundred of each room's codes, as `lexicon` lists them.
pub(super) const HUNDREDS: [(&str, u16); 17] = [
    ("lexicon", 1),
    ("people", 1),
    ("procedure", 2),
    ("scope", 3),
    ("connectors", 4),
    ("seal", 5),
    ("passage", 6),
    ("vault", 7),
    ("registry", 7),
    ("office", 8),
    ("doors", 8),
    ("evidence", 9),
    ("lazaret", 10),
    ("journal", 13),
    ("wire", 12),
    ("desk", 12),
    ("synth", 11),
];

/// `Code(107)`, and as which family of trouble if that stands beside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenCode {
    pub(super) number: u16,
    pub(super) family: Option<String>,
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) said: Said,
}

/// Every code outside its room's hundred, given out by two rooms, or as two families of trouble.
pub(super) fn findings(codes: Vec<GivenCode>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut first_places: BTreeMap<u16, GivenCode> = BTreeMap::new();
    for code in codes {
        let Some(room) = room(&code.file) else { continue };
        let number = code.number;
        let mut complain = |sentence| found.push(Finding::new(&code.file, code.line, sentence));
        match HUNDREDS.iter().find(|(name, _)| *name == room) {
            Some((_, hundred)) if number.checked_div(100) == Some(*hundred) => {}
            Some((_, hundred)) => {
                complain(format!("LZ-{number:04} is not a code of `{room}`: its codes are LZ-{hundred:02}xx"));
            }
            None => complain(format!("`{room}` gives out LZ-{number:04} but has no hundred of codes")),
        }
        let Some(first) = first_places.get_mut(&number) else {
            first_places.insert(number, code);
            continue;
        };
        let place = format!("{}:{}", first.file.display(), first.line);
        if self::room(&first.file).as_ref() != Some(&room) {
            complain(format!("LZ-{number:04} is given out at {place} too, by another room; one code is one kind"));
        }
        match (&first.family, &code.family) {
            (Some(one), Some(other)) if one != other => {
                complain(format!("LZ-{number:04} makes `{other}` here and `{one}` at {place}; one code is one kind"));
            }
            (None, Some(_)) => first.family = code.family,
            _ => {}
        }
    }
    found
}

/// The room of a file; the stories and the house's own commands are none: they compare codes and give none out.
pub(super) fn room(file: &Path) -> Option<String> {
    let mut parts = file.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    (parts.next()? == "crates").then(|| parts.next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::source::read;
    use super::*;

    /// The lines with a finding, over pages that each give out codes.
    fn lines_found(pages: &[(&str, &str)]) -> Vec<usize> {
        let codes = pages.iter().flat_map(|(file, text)| read(Path::new(file), text).unwrap().codes);
        findings(codes.collect()).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn a_code_outside_its_rooms_hundred_is_found() {
        let text = "fn f() {\nRefusal::new(Code(214), \"\", \"\") }";
        assert!(lines_found(&[("crates/procedure/src/decide.rs", text)]).is_empty());
        assert_eq!(lines_found(&[("crates/people/src/act.rs", text)]), [2]);
        assert_eq!(lines_found(&[("crates/annex/src/lib.rs", text)]), [2]);
        assert!(lines_found(&[("drill/src/lib.rs", text)]).is_empty());
    }

    #[test]
    fn one_code_of_two_rooms_or_two_families_is_found() {
        let (refusal, alarm) = ("fn f() { Refusal::new(Code(701), a, b) }", "fn f() { Alarm::new(Code(701), a) }");
        assert!(lines_found(&[("crates/vault/src/a.rs", refusal), ("crates/vault/src/b.rs", refusal)]).is_empty());
        assert_eq!(lines_found(&[("crates/vault/src/a.rs", refusal), ("crates/vault/src/b.rs", alarm)]), [1]);
        assert_eq!(lines_found(&[("crates/vault/src/a.rs", refusal), ("crates/registry/src/b.rs", refusal)]), [1]);
    }
}
