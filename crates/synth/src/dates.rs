//! The days of the synthetic laboratory: 1925-01-01 to 2020-12-31.

use jiff::civil::Date;
use lexicon::{Code, Fault, Result, Retry};

use crate::dice::Dice;

/// Every day, counted from 1925-01-01.
pub(crate) struct Calendar(Vec<Date>);

/// Share of last visits per year, as in the 2021 file: 2015 to October 2020, mostly 2018 and 2019.
const VISITS: &[(i16, u32)] = &[(2015, 4), (2016, 6), (2017, 10), (2018, 30), (2019, 35), (2020, 15)];

impl Calendar {
    /// All days.
    ///
    /// # Errors
    /// A fault when a date cannot be made; a defect of ours.
    pub(crate) fn new() -> Result<Self> {
        let first = Date::new(1925, 1, 1)
            .map_err(|_| Fault::new(Code(1101), Retry::Never, "the calendar's first day is no date"))?;
        Ok(Self(first.series(jiff::Span::new().days(1)).take_while(|day| day.year() <= 2020).collect()))
    }

    /// The number of a day; the last one when it is outside.
    pub(crate) fn number(&self, year: i16, month: i8, day: i8) -> u64 {
        let found = self.0.partition_point(|have| (have.year(), have.month(), have.day()) < (year, month, day));
        u64::try_from(found).unwrap_or(u64::MAX).min(self.last())
    }

    /// The number of the last day.
    pub(crate) fn last(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(0).saturating_sub(1)
    }

    /// One day.
    pub(crate) fn day(&self, number: u64) -> Date {
        usize::try_from(number).ok().and_then(|number| self.0.get(number)).copied().unwrap_or(Date::ZERO)
    }

    /// `YYYY-MM-DD`.
    pub(crate) fn text(&self, number: u64) -> String {
        self.day(number).to_string()
    }

    /// A day between two, both included.
    pub(crate) fn between(&self, dice: &mut Dice, first: u64, last: u64) -> u64 {
        dice.between(first, last.max(first)).min(self.last())
    }

    /// The day of a last visit.
    pub(crate) fn visit(&self, dice: &mut Dice) -> u64 {
        let year = dice.weighted(VISITS);
        let last_month = if year == 2020 { 10 } else { 12 };
        let (first, last) = (self.number(year, 1, 1), self.number(year, last_month, 31));
        self.between(dice, first, last)
    }
}

/// `YYYY-MM-DD HH:MM:SS`, in the hours in which a laboratory takes samples.
pub(crate) fn moment(dice: &mut Dice, day: &str, from_hour: u64) -> String {
    let hour = from_hour.saturating_add(dice.below(6));
    format!("{day} {hour:02}:{:02}:{:02}", dice.below(60), dice.below(60))
}
