//! The French social security number (NIR).

/// Whether the text is a NIR with a right key (15 characters), or has the shape of one without a key (13). Blanks are
/// passed over. The month of birth is not checked beyond two digits: registers hold 20 to 42 and 50 upwards for
/// incomplete civil status.
pub(crate) fn is_nir(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').take(16).collect();
    if !matches!(bytes.len(), 13 | 15) || !matches!(bytes.first(), Some(b'1' | b'2')) {
        return false;
    }
    let corsica = match (bytes.get(5), bytes.get(6)) {
        (Some(b'2'), Some(b'A' | b'a')) => Some(b"19"),
        (Some(b'2'), Some(b'B' | b'b')) => Some(b"18"),
        _ => None,
    };
    let number = bytes.iter().take(13).enumerate().try_fold(0_u64, |number, (place, byte)| {
        let digit = match (corsica, place) {
            (Some([tens, _]), 5) => *tens,
            (Some([_, units]), 6) => *units,
            _ => *byte,
        };
        let digit = digit.is_ascii_digit().then(|| u64::from(digit & 0x0F))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    let Some(number) = number else { return false };
    let expected = 97_u64.checked_sub(number.checked_rem(97).unwrap_or_default());
    match bytes.get(13..) {
        Some([tens, units]) if tens.is_ascii_digit() && units.is_ascii_digit() => {
            let key = u64::from(tens & 0x0F).checked_mul(10).and_then(|tens| tens.checked_add(u64::from(units & 0x0F)));
            key == expected
        }
        Some([]) => likely_without_key(&bytes),
        _ => false,
    }
}

/// Thirteen digits alone are also a bar code or a time in milliseconds; a month that civil status knows and a
/// department other than 00 are asked of them.
fn likely_without_key(bytes: &[u8]) -> bool {
    let two = |at: usize| match (bytes.get(at), bytes.get(at.saturating_add(1))) {
        (Some(tens), Some(units)) if tens.is_ascii_digit() && units.is_ascii_digit() => {
            u32::from(tens & 0x0F).checked_mul(10).and_then(|tens| tens.checked_add(u32::from(units & 0x0F)))
        }
        _ => None,
    };
    let month = two(3).is_some_and(|month| matches!(month, 1..=12 | 20..=42 | 50..));
    month && two(5) != Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(thirteen: &str, digits_for_key: &str) -> String {
        let number: u64 = digits_for_key.parse().unwrap();
        format!("{thirteen}{:02}", 97_u64.checked_sub(number.checked_rem(97).unwrap()).unwrap())
    }

    #[test]
    fn a_number_with_its_key_is_known() {
        // The specimen number that the health insurance prints on sample cards.
        assert!(is_nir("2 69 05 49 588 157 80"));
        assert!(is_nir(&with_key("1850578006084", "1850578006084")));
    }

    #[test]
    fn corsica_counts_as_19_and_18() {
        assert!(is_nir(&with_key("185052A006084", "1850519006084")));
        assert!(is_nir(&with_key("285052B006084", "2850518006084")));
        assert!(!is_nir(&with_key("185052A006084", "1850518006084")));
    }

    #[test]
    fn a_wrong_digit_is_found_out() {
        assert!(!is_nir("269054958815781"));
        assert!(!is_nir("369054958815780"));
        assert!(!is_nir("26905495881578"));
        assert!(!is_nir(""));
    }

    #[test]
    fn thirteen_digits_count_when_they_could_be_one() {
        assert!(is_nir("2690549588157"));
        assert!(!is_nir("1600000000000"));
    }
}
