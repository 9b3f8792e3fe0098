//! Which tables speak of patients, told by names and content, and what identifies a patient in them.
//!
//! As in [`crate::sensitive()`], the words are English and French and err towards asking.

use std::collections::BTreeSet;

use crate::sensitive::words;
use crate::{Kind, Report, Scope, TableScope, Take};

/// Who a patient is called.
const PATIENT: [&str; 6] = ["patients", "patient", "malades", "malade", "ipp", "nip"];
/// What stands beside that in the name of a column that identifies one.
const IDENTIFIER: [&str; 16] = [
    "",
    "id",
    "ids",
    "no",
    "nr",
    "num",
    "number",
    "numero",
    "code",
    "key",
    "ref",
    "uid",
    "uuid",
    "identifier",
    "identifiant",
    "fk",
];
/// Found anywhere in the name of a column that only persons have, once its separators are gone.
const PERSONAL_INSIDE: [&str; 14] = [
    "birth",
    "naissance",
    "datenais",
    "datnais",
    "firstname",
    "forename",
    "givenname",
    "prenom",
    "maiden",
    "jeunefille",
    "socialsecurity",
    "securitesociale",
    "numinsee",
    "numsecu",
];
/// Found as a word of it.
const PERSONAL: [&str; 5] = ["dob", "ddn", "nir", "ssn", "born"];

/// Whether each row is one patient: by the table's name, a column that only persons have, taken or left, or content that
/// looks like a social security number.
fn stands_for_patients(table: &TableScope, report: &Report) -> bool {
    let columns = table.take.iter().map(|take| take.column.as_str()).chain(table.leave.iter().map(String::as_str));
    let line = report.tables.iter().find(|line| line.name == table.name);
    words(&table.name).last().is_some_and(|word| PATIENT.contains(&word.as_str()))
        || columns.into_iter().any(is_personal)
        || line.is_some_and(|line| line.findings.columns.iter().any(|column| column.nir_like > 0))
}

fn is_personal(column: &str) -> bool {
    let words = words(column);
    let squashed = words.concat();
    PERSONAL_INSIDE.iter().any(|part| squashed.contains(part))
        || words.iter().any(|word| PERSONAL.contains(&word.as_str()))
}

/// Whether a column of this name identifies a patient: `patient_id`, `NumPatient`, `ipp`.
fn identifies_patient(column: &str) -> bool {
    let words = words(column);
    let beside = |word: &str| {
        let beside = PATIENT.iter().find_map(|who| word.strip_prefix(who).or_else(|| word.strip_suffix(who)));
        beside.map(str::to_owned)
    };
    let identifier = |word: &String| IDENTIFIER.contains(&beside(word).as_deref().unwrap_or(word));
    words.iter().any(|word| beside(word).is_some()) && words.iter().all(identifier)
}

/// Which taken columns identify a patient: their places among the taken ones.
pub(crate) fn places_of_patient(take: &[Take]) -> Vec<usize> {
    let countable = |kind| matches!(kind, Kind::Int64 | Kind::UInt64 | Kind::Text | Kind::Decimal { .. });
    let places = take.iter().enumerate();
    let places = places.filter(|(_, take)| countable(take.kind) && identifies_patient(&take.column));
    places.map(|(place, _)| place).collect()
}

/// The tables of a scope that speak of patients.
pub(crate) struct Persons<'a> {
    /// Those of which each row is one.
    pub standing: BTreeSet<&'a str>,
    /// Those, the ones with a column that identifies a patient, and all that an `exists in` ties to one of them, by
    /// whichever end.
    pub speaking: BTreeSet<&'a str>,
}

impl<'a> Persons<'a> {
    pub(crate) fn of(scope: &'a Scope, report: &Report) -> Self {
        let names = |test: &dyn Fn(&TableScope) -> bool| -> BTreeSet<&'a str> {
            scope.tables().iter().filter(|table| test(table)).map(|table| table.name.as_str()).collect()
        };
        let standing = names(&|table| stands_for_patients(table, report));
        let mut speaking = names(&|table| {
            let left = table.leave.iter().any(|column| identifies_patient(column));
            standing.contains(table.name.as_str()) || left || !places_of_patient(&table.take).is_empty()
        });
        let through = |table: &TableScope| table.filter.as_ref().map(crate::Predicate::tables).unwrap_or_default();
        loop {
            let heard = scope.tables().iter().filter(|table| speaking.contains(table.name.as_str()));
            let heard: BTreeSet<String> = heard.flat_map(through).collect();
            let reached = names(&|table| {
                heard.contains(&table.name) || through(table).iter().any(|other| speaking.contains(other.as_str()))
            });
            let known = speaking.len();
            speaking.extend(reached);
            if speaking.len() == known {
                return Self { standing, speaking };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_identifies_a_patient_is_known_by_its_name() {
        for column in
            ["patient_id", "PatientID", "patientid", "NumPatient", "id_patient", "patient", "IPP", "no_malade"]
        {
            assert!(identifies_patient(column), "{column}");
        }
        for column in ["id", "patient_name", "patient_sex", "inpatient_ward", "nipple_side", "request_id", "ward_code"]
        {
            assert!(!identifies_patient(column), "{column}");
        }
    }

    #[test]
    fn what_only_persons_have_is_known_by_its_name() {
        for column in ["birth_date", "DateNaissance", "dob", "prenom", "NIR", "nom_jeune_fille", "patient_ssn"] {
            assert!(is_personal(column), "{column}");
        }
        for column in ["name", "code", "sex", "unit", "code_insee", "created_at", "reborn_flag"] {
            assert!(!is_personal(column), "{column}");
        }
    }
}
