//! NIRs (French social security numbers) that pass every check and belong to nobody.
//!
//! A NIR is `S YY MM DD CCC OOO KK`: sex, year, month, department of birth, commune, order number in that commune and
//! month, key. INSEE numbers the communes of a department from 001; 990 is kept for an unknown commune and is issued.
//! **Commune 000 is never issued**, in any department 01 to 95, 2A and 2B, so every number made here has it. The
//! pattern used by insurers (`[12]`, `\d\d`, `01` to `12`, `\d\d|2A|2B`, `\d{3}`, `\d{3}`) and the key accept it all
//! the same, so nothing on the way can tell the difference.

use std::collections::HashMap;

use crate::dice::Dice;

/// The departments of birth that are drawn, with their weights: those of the 2021 file, then Corsica, then others.
const DEPARTMENTS: &[(&str, u32)] = &[
    ("56", 300),
    ("45", 190),
    ("27", 170),
    ("22", 60),
    ("35", 60),
    ("41", 40),
    ("2A", 12),
    ("2B", 12),
    ("75", 50),
    ("29", 40),
    ("44", 25),
    ("59", 15),
    ("13", 12),
    ("76", 10),
    ("01", 4),
];

/// Where numbers go when a month of a department is full (999 numbers per sex, year, month and department).
const OVERFLOW: std::ops::RangeInclusive<u64> = 3..=95;

/// Hands out numbers, none twice.
#[derive(Default)]
pub(crate) struct Nirs(HashMap<(bool, u64, u64, String), u64>);

impl Nirs {
    /// The next number for a birth in this year (two digits) and month; with it the department of birth.
    pub(crate) fn issue(&mut self, dice: &mut Dice, female: bool, year: u64, month: u64) -> (String, String) {
        let mut department = dice.weighted(DEPARTMENTS).to_owned();
        let mut overflow = OVERFLOW;
        loop {
            let used = self.0.entry((female, year, month, department.clone())).or_insert(0);
            if *used < 999 {
                *used = used.saturating_add(1);
                let sex = if female { '2' } else { '1' };
                let stem = format!("{sex}{year:02}{month:02}{department}000{used:03}");
                let key = key(&stem).unwrap_or(0);
                return (format!("{stem}{key:02}"), department);
            }
            let Some(next) = overflow.next() else { return (String::new(), department) };
            department = if next == 20 { "2A".to_owned() } else { format!("{next:02}") };
        }
    }
}

/// The key of the 13 characters in front of it: 97 minus the number modulo 97, where 2A counts as 19 and 2B as 18.
/// `None` when they are not 13 characters of a NIR.
pub(crate) fn key(stem: &str) -> Option<u64> {
    if stem.len() != 13 || !stem.is_ascii() {
        return None;
    }
    let department = match stem.get(5..7)? {
        "2A" => "19",
        "2B" => "18",
        digits => digits,
    };
    let number: u64 = [stem.get(..5)?, department, stem.get(7..)?].concat().parse().ok()?;
    number.checked_rem(97).and_then(|rest| 97_u64.checked_sub(rest))
}

/// Whether these 15 characters have a NIR's form (months 01 to 12) and the right key.
pub fn is_valid(nir: &str) -> bool {
    let (Some(stem), Some(end)) = (nir.get(..13), nir.get(13..15)) else { return false };
    let month: u64 = stem.get(3..5).and_then(|month| month.parse().ok()).unwrap_or(0);
    nir.len() == 15
        && matches!(stem.as_bytes().first(), Some(b'1' | b'2'))
        && (1..=12).contains(&month)
        && end.parse().ok() == key(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corsican_numbers_keep_their_letter_and_their_key() {
        // 2A counts as 19: 1 85 05 19 006 084 -> 1850519006084 = 97 * 19077515526 + 62, and 97 - 62 = 35.
        assert_eq!(key("185052A006084"), Some(35));
        assert!(is_valid("185052A00608435"));
        assert!(!is_valid("185052B00608435"));
    }

    #[test]
    fn a_month_that_is_full_spills_into_another_department_and_repeats_no_number() {
        let (mut nirs, mut dice) = (Nirs::default(), Dice::new(1, "nir", 0));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..20_000 {
            let (nir, _) = nirs.issue(&mut dice, true, 60, 2);
            assert!(is_valid(&nir), "{nir}");
            assert!(seen.insert(nir));
        }
    }
}
