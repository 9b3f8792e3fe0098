//! The tests that the synthetic laboratory runs: real LOINC codes with usual units and reference ranges.

/// How a test's results look.
#[derive(Clone, Copy, Default)]
pub(crate) struct Analyte {
    /// LOINC code.
    pub(crate) code: &'static str,
    /// The laboratory's own name of it.
    pub(crate) label: &'static str,
    /// Unit; empty for a test answered in words.
    pub(crate) unit: &'static str,
    /// Reference range in units of 10^-`decimals`.
    pub(crate) range: (u64, u64),
    /// Digits behind the decimal sign.
    pub(crate) decimals: usize,
}

const fn of(
    code: &'static str,
    label: &'static str,
    unit: &'static str,
    range: (u64, u64),
    decimals: usize,
) -> Analyte {
    Analyte { code, label, unit, range, decimals }
}

pub(crate) const ANALYTES: &[Analyte] = &[
    of("14749-6", "Glucose à jeun", "mmol/L", (410, 610), 2),
    of("14682-9", "Créatinine", "µmol/L", (45, 104), 0),
    of("22664-7", "Urée", "mmol/L", (25, 76), 1),
    of("718-7", "Hémoglobine", "g/dL", (115, 175), 1),
    of("6690-2", "Leucocytes", "G/L", (400, 1_000), 2),
    of("789-8", "Hématies", "T/L", (380, 590), 2),
    of("4544-3", "Hématocrite", "%", (350, 500), 1),
    of("787-2", "VGM", "fL", (800, 1_000), 1),
    of("777-3", "Plaquettes", "G/L", (150, 400), 0),
    of("3016-3", "TSH", "mUI/L", (270, 4_200), 3),
    of("4548-4", "HbA1c", "%", (40, 60), 1),
    of("2951-2", "Sodium", "mmol/L", (136, 145), 0),
    of("2823-3", "Potassium", "mmol/L", (350, 510), 2),
    of("2075-0", "Chlorures", "mmol/L", (98, 107), 0),
    of("1988-5", "CRP", "mg/L", (0, 50), 1),
    of("14647-2", "Cholestérol total", "mmol/L", (310, 620), 2),
    of("14646-4", "Cholestérol HDL", "mmol/L", (103, 210), 2),
    of("14927-8", "Triglycérides", "mmol/L", (40, 170), 2),
    of("1742-6", "ALAT", "U/L", (7, 41), 0),
    of("1920-8", "ASAT", "U/L", (8, 40), 0),
    of("2324-2", "Gamma-GT", "U/L", (6, 60), 0),
    of("2276-4", "Ferritine", "µg/L", (15, 300), 0),
    of("14933-6", "Acide urique", "µmol/L", (150, 420), 0),
    of("6301-6", "INR", "", (90, 120), 2),
    of("2857-1", "PSA total", "µg/L", (0, 4_000), 3),
    of("56888-1", "VIH 1+2 : Ac + Ag p24", "", (0, 0), 0),
    of("5195-3", "Antigène HBs", "", (0, 0), 0),
    of("13955-0", "Ac anti-VHC", "", (0, 0), 0),
    of("883-9", "Groupe sanguin ABO", "", (0, 0), 0),
    of("10331-7", "Rhésus D", "", (0, 0), 0),
];

/// Whether a code has LOINC's form, one to six digits, a hyphen and their Luhn check digit.
pub fn is_valid(code: &str) -> bool {
    let Some((stem, check)) = code.split_once('-') else { return false };
    let digits: Option<Vec<u32>> = stem.chars().map(|digit| digit.to_digit(10)).collect();
    let (Some(digits), Ok(check), true) = (digits, check.parse::<u32>(), check.len() == 1) else { return false };
    !digits.is_empty() && digits.len() <= 6 && luhn(&digits) == check
}

/// The Luhn check digit of digits that it will follow.
pub(crate) fn luhn(digits: &[u32]) -> u32 {
    let sum = digits.iter().rev().enumerate().fold(0_u32, |sum, (place, digit)| {
        let doubled = if place.is_multiple_of(2) { digit.saturating_mul(2) } else { *digit };
        let folded = if doubled > 9 { doubled.saturating_sub(9) } else { doubled };
        sum.saturating_add(folded)
    });
    let rest = sum.checked_rem(10).unwrap_or(0);
    if rest == 0 { 0 } else { 10_u32.saturating_sub(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_check_digit_and_a_wrong_one_is_seen() {
        for analyte in ANALYTES {
            assert!(is_valid(analyte.code), "{}", analyte.code);
        }
        assert!(!is_valid("14749-7") && !is_valid("14794-6") && !is_valid("-6") && !is_valid("718"));
    }
}
