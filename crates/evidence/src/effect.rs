//! From when a destruction is in effect.

use lexicon::{Timestamp, hours_after};
use serde::{Deserialize, Serialize};

/// From when a destruction is in effect, and what that follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// When the ring key was destroyed; none when there was none to destroy.
    pub key_act: Option<Timestamp>,
    /// Until when an agent that had received the strongroom share was allowed to hold it in memory; none when none had.
    pub last_lease: Option<Timestamp>,
    /// For how many days snapshots of what the key lay in are kept, as the server's settings declared.
    pub snapshot_days: u32,
    /// When the last snapshot with the key in it is gone; none when none is declared, or no key was destroyed.
    pub snapshots_until: Option<Timestamp>,
    /// The latest of all; none without a key act.
    pub at: Option<Timestamp>,
}

impl Effect {
    /// The latest of key act, last lease and the end of the declared snapshots. Without a key act there is no effect,
    /// whatever else ended.
    pub fn of(key_act: Option<Timestamp>, last_lease: Option<Timestamp>, snapshot_days: u32) -> Self {
        let declared = key_act.filter(|_| snapshot_days > 0);
        let snapshots_until = declared.map(|act| hours_after(act, i64::from(snapshot_days).saturating_mul(24)));
        let at = key_act.map(|act| [last_lease, snapshots_until].into_iter().flatten().fold(act, Timestamp::max));
        Self { key_act, last_lease, snapshot_days, snapshots_until, at }
    }
}

/// From when all of these are in effect: the latest; none when one of them is not, or there is none.
pub(crate) fn of_all(effects: impl Iterator<Item = Effect>) -> Option<Timestamp> {
    let all: Option<Vec<Timestamp>> = effects.map(|effect| effect.at).collect();
    all?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        hours_after("2026-03-01T08:00:00Z".parse().unwrap(), day.saturating_mul(24))
    }

    #[test]
    fn a_destruction_is_in_effect_from_the_latest_of_key_act_lease_and_snapshots() {
        for (key_act, lease, snapshot_days, at) in [
            (3, None, 0, 3),
            (3, Some(1), 0, 3),
            (3, Some(4), 0, 4),
            (3, None, 14, 17),
            (3, Some(4), 14, 17),
            (3, Some(18), 14, 18),
            (3, Some(17), 14, 17),
        ] {
            let effect = Effect::of(Some(day(key_act)), lease.map(day), snapshot_days);
            assert_eq!(effect.at, Some(day(at)), "{effect:?}");
            assert_eq!(effect.snapshots_until, (snapshot_days > 0).then(|| day(key_act + i64::from(snapshot_days))));
        }
    }

    #[test]
    fn without_a_key_act_there_is_no_effect() {
        let effect = Effect::of(None, Some(day(4)), 14);
        assert_eq!((effect.at, effect.snapshots_until, effect.last_lease), (None, None, Some(day(4))));
    }

    #[test]
    fn several_are_in_effect_when_the_last_of_them_is_and_not_while_one_is_not() {
        let at = |act: i64| Effect::of(Some(day(act)), None, 0);
        assert_eq!(of_all([at(3), at(5), at(4)].into_iter()), Some(day(5)));
        assert_eq!(of_all([at(3), Effect::of(None, None, 0)].into_iter()), None);
        assert_eq!(of_all(std::iter::empty()), None);
    }
}
