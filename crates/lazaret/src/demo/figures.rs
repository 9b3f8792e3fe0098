//! Figures as people read them.

use std::time::Duration;

/// `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len().saturating_mul(2));
    for (left, digit) in (0..digits.len()).rev().zip(digits.chars()) {
        out.push(digit);
        if left > 0 && left.is_multiple_of(3) {
            out.push(',');
        }
    }
    out
}

/// `1.2 MB`, in decimal units, cut and not rounded.
pub(super) fn bytes(number: u64) -> String {
    let (unit, name) = match number {
        0..1_000 => return format!("{number} bytes"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    let tenths = number.saturating_mul(10).checked_div(unit).unwrap_or(0);
    format!("{}.{} {name}", count(tenths / 10), tenths % 10)
}

/// How many a second; at least a millisecond is taken to have passed.
pub(super) fn rate(number: u64, seconds: f64) -> u64 {
    let passed = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_millis().max(1);
    u64::try_from(u128::from(number).saturating_mul(1_000).checked_div(passed).unwrap_or(0)).unwrap_or(u64::MAX)
}

/// `1 row`, `2 rows`.
pub(super) fn of(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number)) }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 20_000, 1_234_567].map(count), ["0", "999", "1,000", "20,000", "1,234,567"]);
        assert_eq!([of(1, "row"), of(1_000, "row")], ["1 row", "1,000 rows"]);
    }

    #[test]
    fn hexadecimal_digits_come_two_a_byte() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }

    #[test]
    fn bytes_are_told_in_decimal_units() {
        assert_eq!([999, 1_000, 1_250_000, 3_999_999_999].map(bytes), ["999 bytes", "1.0 kB", "1.2 MB", "3.9 GB"]);
    }

    #[test]
    fn a_rate_is_finite_even_if_no_time_passed() {
        assert_eq!(rate(100, 0.5), 200);
        assert_eq!(rate(100, 0.0), 100_000);
        assert_eq!(rate(100, f64::NAN), 100_000);
    }
}
