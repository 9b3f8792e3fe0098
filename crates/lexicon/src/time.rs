use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

/// Where the time comes from. The answer is UTC in whole milliseconds.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

/// A clock that stands until it is moved: for tests.
#[derive(Debug)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// A clock that stands at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves it, forward or back.
    pub fn set(&self, at: Timestamp) {
        if let Ok(mut now) = self.0.lock() {
            *now = at;
        }
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0.lock().map_or(Timestamp::UNIX_EPOCH, |now| *now)
    }
}

/// `hours` after `at`; the end of time, or its beginning, when that is beyond it.
pub fn hours_after(at: Timestamp, hours: i64) -> Timestamp {
    let span = hours.checked_mul(3600).map(SignedDuration::from_secs);
    let beyond = if hours < 0 { Timestamp::MIN } else { Timestamp::MAX };
    span.and_then(|span| at.checked_add(span).ok()).unwrap_or(beyond)
}

/// The next millisecond; `at` itself at the end of time.
pub fn millisecond_after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_hours_leads_to_a_moment() {
        let (at, day) = (Timestamp::UNIX_EPOCH, 24);
        assert_eq!(hours_after(at, day).as_second(), 86_400);
        for (hours, end) in [(i64::MAX, Timestamp::MAX), (i64::MIN, Timestamp::MIN), (i64::MAX / 3600, Timestamp::MAX)]
        {
            assert_eq!(hours_after(at, hours), end);
        }
    }
}
