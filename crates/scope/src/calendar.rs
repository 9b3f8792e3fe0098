//! Days and times as text and as numbers, over the years 0001 to 9999 of the Gregorian calendar.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "every number here is bounded: years by four digits, times of day by parsing, and text output by i64 days"
)]

use std::fmt::Write;

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// Days since 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day (the same paper, `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The digits of `text`, all of it, as a number.
fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

/// `2019-01-31`, and nothing else.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let shape = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let (year, month, day) = (digits(text.get(0..4)?)?, digits(text.get(5..7)?)?, digits(text.get(8..10)?)?);
    let days = days_from_civil(year, month, day);
    // A day that the month does not have comes back as another.
    let real = shape && year >= 1 && civil_from_days(days) == (year, month, day);
    if real { i32::try_from(days).ok() } else { None }
}

/// `12:30:00`, with one to six digits of a fraction.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let shape = text.get(2..3) == Some(":") && text.get(5..6) == Some(":");
    let (hour, minute, second) = (digits(text.get(0..2)?)?, digits(text.get(3..5)?)?, digits(text.get(6..8)?)?);
    let fraction = match text.get(8..)? {
        "" => 0,
        rest => {
            let rest = rest.strip_prefix('.')?;
            let power = u32::try_from(6_usize.checked_sub(rest.len())?).ok()?;
            digits(rest)? * 10_i64.pow(power)
        }
    };
    let real = shape && hour < 24 && minute < 60 && second < 60;
    real.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}

/// A day and a time with a blank or a `T` between them, and no zone.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    if !matches!(text.get(10..11)?, " " | "T") {
        return None;
    }
    let days = parse_date(text.get(..10)?)?;
    Some(i64::from(days) * DAY_MICROS + parse_time(text.get(11..)?)?)
}

/// A day and a time with `Z` or an offset such as `+01`, `+0100` or `+01:00`; in UTC.
pub(crate) fn parse_moment(text: &str) -> Option<i64> {
    let (naive, offset) = if let Some(naive) = text.strip_suffix('Z') {
        (naive, 0)
    } else {
        let at = text.rfind(['+', '-']).filter(|at| *at > 10)?;
        let (naive, offset) = text.split_at_checked(at)?;
        (naive, offset_micros(offset)?)
    };
    parse_timestamp(naive)?.checked_sub(offset)
}

fn offset_micros(offset: &str) -> Option<i64> {
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let rest = offset.get(1..)?;
    let (hours, minutes) = match rest.len() {
        2 => (digits(rest)?, 0),
        4 => (digits(rest.get(..2)?)?, digits(rest.get(2..)?)?),
        5 if rest.get(2..3) == Some(":") => (digits(rest.get(..2)?)?, digits(rest.get(3..)?)?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000)
}

/// `2019-01-31`.
pub(crate) fn date_text(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `12:30:00`, with six digits of a fraction when there is one.
pub(crate) fn time_text(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        // Writing to a String cannot fail.
        let _ignored = write!(text, ".{fraction:06}");
    }
    text
}

/// `2019-01-31 12:30:00`, with six digits of a fraction when there is one.
pub(crate) fn timestamp_text(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    // i64 microseconds span 292,000 years either way: 107 million days, which an i32 holds.
    format!("{} {}", date_text(i32::try_from(days).unwrap_or_default()), time_text(rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days_have_their_numbers() {
        for (text, days) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("1969-12-31", -1), ("2026-11-23", 20_780)] {
            assert_eq!(parse_date(text), Some(days));
        }
    }

    #[test]
    fn a_day_that_does_not_exist_is_not_read() {
        for text in [
            "0000-00-00",
            "2019-02-29",
            "2019-00-10",
            "2019-13-01",
            "2019-1-01",
            "19-01-01",
            "2019-01-01 ",
            "+019-01-01",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn an_offset_leads_to_utc() {
        assert_eq!(parse_moment("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_moment("1969-12-31 23:30:00-0030"), Some(0));
        assert_eq!(parse_moment("1970-01-01 00:00:00.000001Z"), Some(1));
        assert_eq!(parse_moment("1970-01-01 00:00:00"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            prop_assert_eq!(parse_timestamp(&timestamp_text(micros)), Some(micros));
        }
    }
}
