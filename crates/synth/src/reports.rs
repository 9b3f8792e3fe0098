//! A folder of reports beside the made laboratory: small PDFs that open, one above a megabyte, and what a scope leaves.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use lexicon::{Code, Fault, Refusal, Result, Retry, Trouble};

use crate::dice::Dice;
use crate::names;
use crate::sentinels::{Place, Sentinel};

/// What a folder that was made here holds: a word, not a proof.
const MARK: &str = ".lazaret-synthetic";
/// How the reports are called in scope, labels and the new system.
pub const REPORTS: &str = "reports";
/// A report of one page has this many lines at most, so that all fit.
const LINES_MAX: u64 = 40;
/// 1.5 MB of text: a report that is larger than a segment of a parcel.
const LARGE_LINES: u64 = 30_000;
/// Every how many reports one has a sentinel in its name, and one in its text.
const NAMED_EVERY: u64 = 7;
const TOLD_EVERY: u64 = 5;
/// 20 symbols of 56, as in the laboratory.
const TOKEN_LENGTH: usize = 20;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeReports {
    /// Reports that [`reports_toml`] moves.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that it leaves.
    pub stay: u64,
    /// What was planted, in names and contents.
    pub sentinels: Vec<Sentinel>,
}

/// Makes a folder of so many reports at `folder`, entirely from `seed`, with some files that no scope should take. Equal
/// arguments give equal files.
///
/// # Errors
/// A refusal when something is there already; a fault when it cannot be written.
pub fn reports(folder: &Path, seed: u64, count: u64) -> Result<MadeReports> {
    if folder.exists() {
        let remedy = "Name a folder that does not exist.";
        return Err(
            Refusal::new(Code(1111), "there is something already where the reports would be made", remedy).into()
        );
    }
    let mut made = MadeReports { documents: 0, bytes: 0, stay: 0, sentinels: Vec::new() };
    std::fs::create_dir_all(folder).map_err(|error| unwritten(&error))?;
    write(&folder.join(MARK), b"synthetic\n")?;
    for number in 1..=count {
        let mut dice = Dice::new(seed, "report", number);
        let year = dice.between(2018, 2025);
        let lines = if number == count { LARGE_LINES } else { dice.between(5, LINES_MAX) };
        let name = made.plant(NAMED_EVERY, number, "name", &mut dice);
        let told = made.plant(TOLD_EVERY, number, "content", &mut dice);
        let family = names::family(&mut dice);
        let pdf = pdf(&text(&family, &told, lines, &mut dice));
        let of_year = folder.join(year.to_string());
        std::fs::create_dir_all(&of_year).map_err(|error| unwritten(&error))?;
        write(&of_year.join(format!("CR-{number:06}{name}.pdf")), &pdf)?;
        made.documents = made.documents.saturating_add(1);
        made.bytes = made.bytes.saturating_add(u64::try_from(pdf.len()).unwrap_or(u64::MAX));
    }
    made.leave(folder, seed)?;
    Ok(made)
}

/// The part of a scope file that fits them; it stands behind the tables.
pub fn reports_toml(folder: &Path) -> String {
    let folder = folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "\n[[documents]]\nname = \"{REPORTS}\"\nfolder = \"{folder}\"\ntake = [\"pdf\"]\nothers = \"leave\"\n\
         reason = \"the new system shows the signed reports of earlier requests\"\n"
    )
}

/// Whether a folder does not say of itself that it was made here. What is not there is not foreign.
pub fn is_foreign_folder(folder: &Path) -> bool {
    folder.exists() && !folder.join(MARK).exists()
}

impl MadeReports {
    /// A sentinel where this report's turn has come; nothing otherwise.
    fn plant(&mut self, every: u64, number: u64, column: &str, dice: &mut Dice) -> String {
        let token = dice.token(TOKEN_LENGTH);
        if !number.is_multiple_of(every) {
            return String::new();
        }
        self.keep(column, Place::Moves, &token);
        format!("-{token}")
    }

    fn keep(&mut self, column: &str, place: Place, token: &str) {
        let (table, column, value) = (REPORTS.to_owned(), column.to_owned(), token.to_owned());
        self.sentinels.push(Sentinel { table, column, place, value });
    }

    /// What lies in such folders too: notes of another kind, and a program that calls itself a report.
    fn leave(&mut self, folder: &Path, seed: u64) -> Result<()> {
        for number in 1..=4 {
            let token = Dice::new(seed, "left report", number).token(TOKEN_LENGTH);
            let (name, begins) = match number {
                1 => ("notes.doc".to_owned(), "\u{d0}\u{cf} notes"),
                2 => (format!("internal {token}.txt"), "for the staff only"),
                3 => ("setup.pdf".to_owned(), "MZ\0\0 a program"),
                _ => ("backup.dat".to_owned(), "a backup"),
            };
            write(&folder.join(name), format!("{begins} {token}\n").as_bytes())?;
            self.keep("left", Place::LeftColumn, &token);
            self.stay = self.stay.saturating_add(1);
        }
        Ok(())
    }
}

fn text(family: &str, told: &str, lines: u64, dice: &mut Dice) -> Vec<String> {
    let mut text = vec!["SYNTHETIC REPORT - nobody in it exists".to_owned(), format!("Patient {family}{told}")];
    text.extend((0..lines).map(|_| {
        let (code, value) = (dice.token(6), dice.between(1, 9_999));
        format!("{code}   {}.{:02} g/L   (reference {} - {})", value / 100, value % 100, value / 200, value / 50)
    }));
    text
}

/// One page of text in the smallest form that readers open: five objects, a table of where they begin, a trailer.
fn pdf(lines: &[String]) -> Vec<u8> {
    let mut page = "BT /F1 9 Tf 40 800 Td 11 TL\n".to_owned();
    for line in lines {
        let plain: String = line.chars().filter(|letter| letter.is_ascii() && !"()\\".contains(*letter)).collect();
        page.extend(["(", plain.as_str(), ") Tj T*\n"]);
    }
    page.push_str("ET\n");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{page}endstream", page.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let (mut file, mut places) = ("%PDF-1.4\n".to_owned(), Vec::new());
    for (object, number) in objects.iter().zip(1_u32..) {
        places.push(file.len());
        file.extend([format!("{number} 0 obj\n{object}\nendobj\n")]);
    }
    let begins = file.len();
    file.push_str("xref\n0 6\n0000000000 65535 f \n");
    file.extend(places.iter().map(|place| format!("{place:010} 00000 n \n")));
    file.extend([format!("trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{begins}\n%%EOF\n")]);
    file.into_bytes()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| unwritten(&error))
}

fn unwritten(error: &std::io::Error) -> Trouble {
    Fault::new(Code(1112), Retry::Later, format!("the synthetic reports cannot be written: {}", error.kind())).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let (mut left, mut files) = (vec![folder.to_owned()], BTreeMap::new());
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.insert(path.strip_prefix(folder).unwrap().display().to_string(), std::fs::read(&path).unwrap());
            }
        }
        files
    }

    #[test]
    fn equal_seeds_make_equal_reports_and_another_seed_makes_others() {
        let dir = tempfile::tempdir().unwrap();
        let made = [("a", 3), ("b", 3), ("c", 4)].map(|(name, seed)| {
            let folder = dir.path().join(name);
            (reports(&folder, seed, 30).unwrap(), files(&folder))
        });
        assert_eq!(made[0], made[1]);
        assert_ne!(made[0].1, made[2].1);
        let (made, files) = &made[0];
        assert_eq!((made.documents, made.stay, files.len()), (30, 4, 30 + 4 + 1));
        let pdfs = files.iter().filter(|(name, _)| name.starts_with("20"));
        assert_eq!(pdfs.map(|(_, content)| u64::try_from(content.len()).unwrap()).sum::<u64>(), made.bytes);
        assert!(files.values().any(|content| content.len() > 1024 * 1024), "one is larger than a segment");
    }

    #[test]
    fn every_planted_value_stands_in_a_name_or_a_content() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("reports");
        let made = reports(&folder, 9, 40).unwrap();
        let files = files(&folder);
        for column in ["name", "content", "left"] {
            assert!(made.sentinels.iter().any(|sentinel| sentinel.column == column), "{column}");
        }
        for sentinel in &made.sentinels {
            let value = sentinel.value.as_bytes();
            let stands = |(name, content): (&String, &Vec<u8>)| {
                name.contains(&sentinel.value) || content.windows(value.len()).any(|window| window == value)
            };
            assert!(files.iter().any(stands), "{}", sentinel.label());
        }
        assert!(!is_foreign_folder(&folder) && is_foreign_folder(dir.path()));
        assert_eq!(reports(&folder, 9, 40).unwrap_err().code(), Code(1111));
    }

    #[test]
    fn a_report_says_where_each_of_its_objects_begins() {
        let pdf = String::from_utf8(pdf(&["a (b) \\ c".to_owned()])).unwrap();
        let begins = pdf.split("startxref\n").nth(1).unwrap().lines().next().unwrap().parse::<usize>().unwrap();
        assert!(pdf[begins..].starts_with("xref\n0 6\n"));
        for (line, number) in pdf[begins..].lines().skip(3).zip(1..=5) {
            let place: usize = line[..10].parse().unwrap();
            assert!(pdf[place..].starts_with(&format!("{number} 0 obj\n")), "{line}");
        }
        let length = pdf.split("/Length ").nth(1).unwrap().split(' ').next().unwrap().parse::<usize>().unwrap();
        let stream = pdf.split("stream\n").nth(1).unwrap().trim_end_matches("end");
        assert_eq!(stream.len(), length);
    }
}
