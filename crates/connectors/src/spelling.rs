//! How dates, times and decimals are spelled in text: read strictly, written in one way only. Used for files, `SQLite`
//! and `MariaDB`, which hold or take some kinds as text.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "calendar arithmetic on fields that were checked to be below 10,000; decimals use checked operations"
)]

/// Microseconds of a second, a minute, an hour and a day.
pub(crate) const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Microseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// 31 December 9999 as days since 1970: the last day that four digits can spell.
const LAST_DAY: i32 = 2_932_896;
/// 1 January 0001 as days since 1970.
const FIRST_DAY: i32 = -719_162;

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; none if there is no such day.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day < 1 || day > last || !(1..=9999).contains(&year) {
        return None;
    }
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil: years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// Year, month and day of days since 1970; none outside the years 1 to 9999.
pub(crate) fn civil(days: i32) -> Option<(i64, i64, i64)> {
    if !(FIRST_DAY..=LAST_DAY).contains(&days) {
        return None;
    }
    // The same paper's civil_from_days.
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    Some((year_of_era + era * 400 + i64::from(month <= 2), month, day))
}

/// A number of exactly `text.len()` digits.
fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `YYYY-MM-DD` as days since 1970.
pub(crate) fn read_date(text: &str) -> Option<i32> {
    if text.len() != 10 || text.get(4..5)? != "-" || text.get(7..8)? != "-" {
        return None;
    }
    days(digits(text.get(..4)?)?, digits(text.get(5..7)?)?, digits(text.get(8..)?)?)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f` with up to six digits, as microseconds since midnight.
pub(crate) fn read_time(text: &str) -> Option<i64> {
    let hour = digits(text.get(..2)?)?;
    let minute = digits(text.get(3..5)?)?;
    if text.get(2..3)? != ":" || hour > 23 || minute > 59 {
        return None;
    }
    let rest = text.get(5..)?;
    let seconds = if rest.is_empty() {
        0
    } else {
        let second = digits(rest.get(1..3)?)?;
        if !rest.starts_with(':') || second > 59 {
            return None;
        }
        let fraction = match rest.get(3..)? {
            "" => 0,
            fraction => {
                let fraction = fraction.strip_prefix('.')?;
                if fraction.len() > 6 {
                    return None;
                }
                let scale = 10_i64.pow(6 - u32::try_from(fraction.len()).ok()?);
                digits(fraction)? * scale
            }
        };
        second * SECOND + fraction
    };
    Some(hour * HOUR + minute * MINUTE + seconds)
}

/// `YYYY-MM-DD HH:MM[:SS[.f]]` (or with `T`), or a date alone, without a zone, as microseconds since 1970.
pub(crate) fn read_timestamp(text: &str) -> Option<i64> {
    let date = i64::from(read_date(text.get(..10)?)?) * DAY;
    match text.get(10..11) {
        None => Some(date),
        Some(" " | "T") => Some(date + read_time(text.get(11..)?)?),
        Some(_) => None,
    }
}

/// As [`read_timestamp`], with `Z` or an offset `+HH`, `+HHMM` or `+HH:MM` at its end, as microseconds since 1970 UTC.
pub(crate) fn read_timestamp_zoned(text: &str) -> Option<i64> {
    if let Some(naive) = text.strip_suffix('Z') {
        return read_timestamp(naive);
    }
    let at = text.get(10..)?.find(['+', '-'])? + 10;
    let (naive, offset) = (text.get(..at)?.trim_end_matches(' '), text.get(at..)?);
    let (hours, minutes) = (digits(offset.get(1..3)?)?, offset.get(3..)?);
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes.strip_prefix(':').unwrap_or(minutes))? };
    if hours > 15 || minutes > 59 || naive.len() <= 10 {
        return None;
    }
    let offset_micros = hours * HOUR + minutes * MINUTE;
    let naive = read_timestamp(naive)?;
    Some(if offset.starts_with('-') { naive + offset_micros } else { naive - offset_micros })
}

/// `YYYY-MM-DD`; none outside the years 1 to 9999.
pub(crate) fn write_date(days: i32) -> Option<String> {
    let (year, month, day) = civil(days)?;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// `HH:MM:SS`, with six digits of fraction when there is one; none outside one day.
pub(crate) fn write_time(micros: i64) -> Option<String> {
    if !(0..DAY).contains(&micros) {
        return None;
    }
    let (hour, minute, second) = (micros / HOUR, micros / MINUTE % 60, micros / SECOND % 60);
    let fraction = micros % SECOND;
    Some(if fraction == 0 {
        format!("{hour:02}:{minute:02}:{second:02}")
    } else {
        format!("{hour:02}:{minute:02}:{second:02}.{fraction:06}")
    })
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]`; none outside the years 1 to 9999.
pub(crate) fn write_timestamp(micros: i64) -> Option<String> {
    let date = write_date(i32::try_from(micros.div_euclid(DAY)).ok()?)?;
    Some(format!("{date} {}", write_time(micros.rem_euclid(DAY))?))
}

/// A plain decimal (`-12.50`, no exponent) as an unscaled number at `scale`; none if it needs more digits after the
/// point than `scale`, or more in all than `precision`.
pub(crate) fn read_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, plain) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    let mut after_point: i32 = 0;
    for (byte, is_fraction) in whole.bytes().map(|b| (b, false)).chain(fraction.bytes().map(|b| (b, true))) {
        if !byte.is_ascii_digit() {
            return None;
        }
        if is_fraction && after_point >= i32::from(scale) {
            // Beyond the scale only zeros are the same number.
            if byte != b'0' {
                return None;
            }
            continue;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        after_point += i32::from(is_fraction);
    }
    rescale(if negative { -value } else { value }, after_point, precision, scale)
}

/// `value` × 10^-`from_scale` at `scale`, if exact and within `precision` digits.
pub(crate) fn rescale(value: i128, from_scale: i32, precision: u8, scale: i8) -> Option<i128> {
    let mut value = value;
    let mut at = from_scale;
    while at < i32::from(scale) && value != 0 {
        value = value.checked_mul(10)?;
        at += 1;
    }
    while at > i32::from(scale) && value != 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        at -= 1;
    }
    let limit = 10_u128.checked_pow(u32::from(precision));
    (limit.is_none_or(|limit| value.unsigned_abs() < limit)).then_some(value)
}

/// A decimal in plain spelling, with exactly `scale` digits after the point.
pub(crate) fn write_decimal(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        // A negative scale counts zeros before the point.
        Err(_) if value == 0 => "0".to_owned(),
        Err(_) => format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days_are_where_the_calendar_has_them() {
        assert_eq!(read_date("1970-01-01"), Some(0));
        assert_eq!(read_date("2000-02-29"), Some(11_016));
        assert_eq!(read_date("0001-01-01"), Some(FIRST_DAY));
        assert_eq!(read_date("9999-12-31"), Some(LAST_DAY));
        for wrong in ["1900-02-29", "2021-13-01", "2021-00-10", "0000-00-00", "2021-1-01", "2021/01/01", "é021-01-01"]
        {
            assert_eq!(read_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_moment_needs_its_offset_and_a_naive_one_has_none() {
        let utc = read_timestamp("2021-02-03 04:05:06.5").unwrap();
        assert_eq!(read_timestamp_zoned("2021-02-03T05:05:06.5+01:00"), Some(utc));
        assert_eq!(read_timestamp_zoned("2021-02-03 01:35:06.500-0230"), Some(utc));
        assert_eq!(read_timestamp_zoned("2021-02-03 04:05:06.5Z"), Some(utc));
        assert_eq!(read_timestamp_zoned("2021-02-03 04:05:06.5"), None);
        assert_eq!(read_timestamp("2021-02-03 04:05:06.5Z"), None);
        assert_eq!(read_timestamp("2021-02-03 24:00:00"), None);
        assert_eq!(read_timestamp("2021-02-03 04:05:06.1234567"), None);
    }

    #[test]
    fn a_decimal_is_exact_or_refused() {
        assert_eq!(read_decimal("-12.5", 10, 2), Some(-1250));
        assert_eq!(read_decimal("12.500", 10, 2), Some(1250));
        assert_eq!(read_decimal("12.505", 10, 2), None);
        assert_eq!(read_decimal("100000000", 10, 2), None);
        assert_eq!(read_decimal("1e3", 10, 2), None);
        assert_eq!(read_decimal(".5", 3, 2), Some(50));
        assert_eq!(read_decimal("", 3, 2), None);
        assert_eq!(write_decimal(-5, 2), "-0.05");
        assert_eq!(write_decimal(5, 0), "5");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            days in FIRST_DAY..=LAST_DAY, micros in 0..DAY, value in any::<i64>(), scale in 0_i8..20
        ) {
            prop_assert_eq!(read_date(&write_date(days).unwrap()), Some(days));
            let at = i64::from(days) * DAY + micros;
            prop_assert_eq!(read_timestamp(&write_timestamp(at).unwrap()), Some(at));
            prop_assert_eq!(read_decimal(&write_decimal(i128::from(value), scale), 38, scale), Some(i128::from(value)));
        }
    }
}
