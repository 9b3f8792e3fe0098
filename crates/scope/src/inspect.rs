use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{Array, RecordBatch};
use lexicon::Result;
use lexicon::limits::SINGLE_OUT_PATIENTS;
use serde::{Deserialize, Serialize};

use crate::nir::is_nir;
use crate::value::Column;
use crate::{DocumentCount, DocumentKind, Kind, TableScope, persons, row};

/// Text longer than this is called long: names, codes and results with their units are shorter.
const LONG_TEXT_CHARACTERS: usize = 80;

/// Looks at the content of one table's rows in scope and counts what its names may not have given away. Knows values
/// only while it looks.
pub struct Inspector {
    table: String,
    schema: arrow_schema::SchemaRef,
    kinds: Vec<Kind>,
    /// Which columns hold documents.
    holds: Vec<bool>,
    findings: TableFindings,
    /// Where each taken column stands that identifies a patient, and the first of its values.
    patients: Vec<(usize, BTreeSet<String>)>,
}

/// What was found in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFindings {
    /// Rows looked at.
    pub rows: u64,
    /// Different patients that the rows name, in the column that names the fewest, all rows that name none counted as
    /// one more; 50 stands for 50 or more. None where no taken column identifies a patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patients: Option<u64>,
    /// By column, in the order of the target.
    pub columns: Vec<ColumnFindings>,
}

/// What was found in one column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnFindings {
    /// The column, by its name in the source.
    pub column: String,
    /// Nulls.
    pub nulls: u64,
    /// Values that are a social security number, with its key or in its shape.
    pub nir_like: u64,
    /// Values that hold an e-mail address.
    pub email_like: u64,
    /// Values that look like a password or its hash.
    pub password_like: u64,
    /// Texts of more than 80 characters.
    pub long_text: u64,
    /// Values by their kind, where the scope says that the column holds documents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub documents: BTreeMap<DocumentKind, DocumentCount>,
}

impl Inspector {
    /// An inspector that has seen no row.
    pub fn new(table: &TableScope) -> Self {
        let column = |take: &crate::Take| ColumnFindings { column: take.column.clone(), ..ColumnFindings::default() };
        Self {
            table: table.target.clone(),
            schema: table.target_schema(),
            kinds: table.take.iter().map(|take| take.kind).collect(),
            holds: table.take.iter().map(|take| !take.holds.is_empty()).collect(),
            findings: TableFindings { columns: table.take.iter().map(column).collect(), ..TableFindings::default() },
            patients: persons::places_of_patient(&table.take)
                .into_iter()
                .map(|place| (place, BTreeSet::new()))
                .collect(),
        }
    }

    /// Looks at the rows of a batch in the table's target schema.
    ///
    /// # Errors
    /// A fault when the batch has other columns.
    pub fn look(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = row::columns(&self.table, &self.schema, &self.kinds, batch)?;
        let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        self.findings.rows = self.findings.rows.saturating_add(rows);
        let few = usize::try_from(SINGLE_OUT_PATIENTS).unwrap_or(usize::MAX);
        for (place, patients) in &mut self.patients {
            let Some(column) = columns.get(*place) else { continue };
            for row in 0..batch.num_rows() {
                if patients.len() >= few {
                    break;
                }
                patients.extend(column.text(row));
            }
        }
        let found = self.findings.columns.iter_mut().zip(&self.holds);
        for (((findings, holds), column), array) in found.zip(&columns).zip(batch.columns()) {
            findings.nulls = findings.nulls.saturating_add(u64::try_from(array.null_count()).unwrap_or(u64::MAX));
            match column {
                Column::Text(texts) => {
                    for text in texts.iter().flatten() {
                        findings.see(text);
                        findings.see_document(text.as_bytes(), *holds);
                    }
                }
                Column::Int64(numbers) => {
                    for number in numbers.iter().flatten() {
                        findings.see_number(u64::try_from(number).ok());
                    }
                }
                Column::UInt64(numbers) => {
                    for number in numbers.iter().flatten() {
                        findings.see_number(Some(number));
                    }
                }
                Column::Decimal(..) => {
                    for text in (0..array.len()).filter_map(|row| column.text(row)) {
                        findings.see(&text);
                    }
                }
                Column::Bytes(values) => {
                    for bytes in values.iter().flatten() {
                        findings.see_document(bytes, *holds);
                        if let Ok(text) = std::str::from_utf8(bytes) {
                            findings.see(text);
                        }
                    }
                }
                Column::Bool(_)
                | Column::Float64(_)
                | Column::Date(_)
                | Column::Time(_)
                | Column::Timestamp(_)
                | Column::TimestampTz(_) => {}
            }
        }
        Ok(())
    }

    /// What was found: counts only.
    pub fn finish(self) -> TableFindings {
        TableFindings { patients: self.patients(), ..self.findings }
    }

    fn patients(&self) -> Option<u64> {
        // A column that is null throughout tells nobody apart: the others do.
        let naming = self.patients.iter().filter(|(_, patients)| !patients.is_empty());
        let fewest = naming.map(|(place, patients)| {
            let unnamed = self.findings.columns.get(*place).is_some_and(|column| column.nulls > 0);
            u64::try_from(patients.len()).unwrap_or(u64::MAX).saturating_add(u64::from(unnamed))
        });
        let fewest = fewest.min().unwrap_or(self.findings.rows.min(1));
        (!self.patients.is_empty()).then_some(fewest.min(SINGLE_OUT_PATIENTS))
    }
}

/// Below this a number has fewer than the 13 digits of a social security number.
const THIRTEEN_DIGITS: u64 = 1_000_000_000_000;

impl ColumnFindings {
    fn see_number(&mut self, number: Option<u64>) {
        let long = number.filter(|number| *number >= THIRTEEN_DIGITS);
        count(&mut self.nir_like, long.is_some_and(|number| is_nir(&number.to_string())));
    }

    fn see_document(&mut self, bytes: &[u8], holds: bool) {
        if let Some(kind) = DocumentKind::of_content(bytes).filter(|_| holds) {
            let count = self.documents.entry(kind).or_default();
            count.add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
    }

    fn see(&mut self, text: &str) {
        count(&mut self.nir_like, holds_nir(text));
        count(&mut self.email_like, holds_email(text));
        count(&mut self.password_like, is_password_like(text));
        count(&mut self.long_text, text.len() > LONG_TEXT_CHARACTERS && text.chars().count() > LONG_TEXT_CHARACTERS);
    }
}

fn count(counter: &mut u64, seen: bool) {
    *counter = counter.saturating_add(u64::from(seen));
}

/// The whole text, or one word of it, is a social security number; or a run of its words is (`1 85 05 78 006 084 36`).
fn holds_nir(text: &str) -> bool {
    if text.len() < 13 || text.bytes().filter(u8::is_ascii_digit).count() < 12 {
        return false;
    }
    if is_nir(text) {
        return true;
    }
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    (0..words.len()).any(|from| {
        let mut run = String::new();
        words.iter().skip(from).take_while(|word| word.len() <= 15).any(|word| {
            run.push_str(word);
            run.len() <= 15 && is_nir(&run)
        })
    })
}

fn holds_email(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || ",;<>()\"'".contains(c)).any(|word| {
        let Some((local, domain)) = word.split_once('@') else { return false };
        let Some((host, top)) = domain.trim_end_matches('.').rsplit_once('.') else { return false };
        let named = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-.".contains(c));
        !local.is_empty() && named(host) && top.len() >= 2 && top.chars().all(char::is_alphabetic)
    })
}

/// A password's hash (crypt and LDAP forms, or 32, 40, 56, 64, 96 or 128 hexadecimal digits with letters among them),
/// or one word of 8 to 64 characters that mixes small letters, capitals, digits and signs as only a password does.
fn is_password_like(text: &str) -> bool {
    let hash = [
        "$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$argon2", "$pbkdf2", "$scrypt", "$y$", "pbkdf2_", "{SSHA}",
        "{SHA}",
    ];
    if hash.iter().any(|start| text.starts_with(start)) {
        return true;
    }
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    let hexadecimal = matches!(text.len(), 32 | 40 | 56 | 64 | 96 | 128) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) {
        return true;
    }
    let sign = |byte: &u8| b"!#$%&*?@^~+=".contains(byte);
    let word = (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    word && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit)
        && has(sign)
        && !holds_email(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_sentence_is_found() {
        assert!(holds_nir("NIR: 269054958815780, to be checked"));
        assert!(holds_nir("NIR 2 69 05 49 588 157 80 (card seen)"));
        assert!(holds_nir("2 69 05 49 588 157"));
        assert!(!holds_nir("glucose 5.4 mmol/l, ferritin 120, tube 0000123456"));
    }

    #[test]
    fn an_address_is_found_and_a_dose_is_not() {
        assert!(holds_email("write to marie.durand@example.fr please"));
        assert!(!holds_email("2 tabs @ 10h"));
        assert!(!holds_email("a@b"));
    }

    #[test]
    fn passwords_and_their_hashes_are_found() {
        for text in ["$2y$10$abcdefghijklmnopqrstuv", "5f4dcc3b5aa765d61d8327deb882cf99", "{SSHA}x", "Tr0ub4dor&3"] {
            assert!(is_password_like(text), "{text}");
        }
        for text in
            ["Marie Durand", "NEGATIVE", "12345678901234567890123456789012", "<0.5 mg/L", "HLA-B27", "positif++"]
        {
            assert!(!is_password_like(text), "{text}");
        }
    }
}
