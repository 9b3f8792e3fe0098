//! Where the processes of one migration are killed: drawn from its seed and from nothing else.

use std::time::Duration;

use procedure::Step;
use serde::Serialize;

/// A step of a migration that one command of one person takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stride {
    /// `lazaret extract`, by the laboratory's operator.
    Extract,
    /// `lazaret load`, by the vendor's recipient.
    Load,
    /// `lazaret reconcile`, by the same.
    Reconcile,
    /// `lazaret migration sign-off`, by the controller: the server destroys its part.
    SignOff,
    /// `lazaret migration destroy`, by the recipient, with the probe.
    DestroyOpeningKey,
    /// `lazaret migration destroy`, by the operator.
    DestroyShare,
}

impl Stride {
    /// In the order of a life.
    pub(super) const ALL: [Self; 6] =
        [Self::Extract, Self::Load, Self::Reconcile, Self::SignOff, Self::DestroyOpeningKey, Self::DestroyShare];

    /// Of which step it is an attempt in the journal, if it is one; it tells of each table then that is through.
    pub(super) fn step(self) -> Option<Step> {
        match self {
            Self::Extract => Some(Step::Extract),
            Self::Load => Some(Step::Load),
            Self::Reconcile => Some(Step::Reconcile),
            Self::SignOff | Self::DestroyOpeningKey | Self::DestroyShare => None,
        }
    }

    /// How long the step takes that was cut so often before: what is stored or loaded already is not done again.
    pub(super) fn left(self, usual: Duration, cuts: u32) -> Duration {
        let parts = if matches!(self, Self::Extract | Self::Load) { cuts.saturating_add(1) } else { 1 };
        usual.checked_div(parts).unwrap_or(usual)
    }

    /// How often it is cut at least and at most, before it is let through.
    fn cuts(self) -> (u64, u64) {
        match self {
            Self::Extract => (1, 4),
            // What is cut here can be half in a system that is not ours.
            Self::Load => (2, 6),
            Self::Reconcile | Self::SignOff | Self::DestroyOpeningKey | Self::DestroyShare => (0, 3),
        }
    }
}

/// Whose process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Victim {
    /// That of the person whose step it is.
    Agent,
    /// The server's, which is started again at once.
    Server,
}

impl Victim {
    pub(super) const ALL: [Self; 2] = [Self::Agent, Self::Server];
}

/// When.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// At this share of the time that the step usually takes.
    Share(f64),
    /// After so many tables are through, and then this share of the usual time.
    Line(usize, f64),
    /// When so many parcels of the largest table are stored that were not before: in the middle of it.
    Parcels(usize),
}

impl When {
    /// How long after the start, or after its line. The machine may be slower or faster than it was for the usual time.
    pub(super) fn delay(self, usual: Duration) -> Duration {
        match self {
            Self::Share(share) | Self::Line(_, share) => usual.mul_f64(share),
            Self::Parcels(_) => Duration::ZERO,
        }
    }
}

/// One kill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) victim: Victim,
    pub(super) when: When,
}

/// Migrations for processes that came through unharmed so far, at most.
pub(super) const ROUNDS_MAX: u32 = 8;
/// In so many of them, the last ones, each account has its turn, also where a kept seed is passed over.
const ROUNDS_AT_ONCE: u32 = 4;

/// Points for processes that came through unharmed so far: one for each of every stride, in each round in half of the time of
/// the round before, and in the last ones as soon as the process runs. However fast or slow a machine is, and however long
/// a step took when it was undisturbed: nobody comes through all of them.
pub(super) fn earlier(round: u32) -> Vec<(Stride, Vec<Point>)> {
    let at_once = round > ROUNDS_MAX.saturating_sub(ROUNDS_AT_ONCE);
    let share = if at_once { 0.0 } else { 0.5_f64.powi(i32::try_from(round).unwrap()) };
    let points = Victim::ALL.map(|victim| Point { victim, when: When::Share(share) });
    Vec::from(Stride::ALL.map(|stride| (stride, points.to_vec())))
}

/// The points of every stride. No process is spared in any: one that none of a stride's points is for gets another.
pub(super) fn drawn(seed: u64, tables: usize) -> Vec<(Stride, Vec<Point>)> {
    // Dice of their own for those others: they come before or behind a seed's own points, and move none of them. What another
    // number of tables moves is the line that a point waits for, and nothing else.
    let (mut dice, mut others, mut parcels) = (Dice(seed), Dice(!seed), Dice(seed.rotate_left(32)));
    let strides = Stride::ALL.into_iter().map(|stride| {
        let (least, most) = stride.cuts();
        let cuts = least.saturating_add(dice.below(most.saturating_sub(least).saturating_add(1)));
        let mut points: Vec<Point> = (0..cuts).map(|_| dice.point(stride, tables)).collect();
        for victim in Victim::ALL {
            if points.iter().all(|point| point.victim != victim) {
                let other = Point { victim, when: When::Share(others.share()) };
                // An agent that outlives its server often takes the step, and what stands behind comes too late.
                points.insert(if victim == Victim::Agent { 0 } else { points.len() }, other);
            }
        }
        // Few of the others fall into the middle of one table.
        if stride == Stride::Extract && parcels.below(2) == 0 {
            let number = usize::try_from(parcels.below(2)).unwrap().saturating_add(1);
            points.insert(0, Point { victim: Victim::Agent, when: When::Parcels(number) });
        }
        (stride, points)
    });
    strides.collect()
}

/// `SplitMix64`: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }

    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX)
    }

    fn point(&mut self, stride: Stride, tables: usize) -> Point {
        // Most agents outlive their server's death, and the step is taken then: fewer, or little else would be cut.
        let victim = if self.below(4) < 3 { Victim::Agent } else { Victim::Server };
        let when = if stride.step().is_some() && self.below(2) == 0 {
            let line = self.below(u64::try_from(tables).unwrap()).saturating_add(1);
            When::Line(usize::try_from(line).unwrap(), self.share() / 10.0)
        } else if stride.step().is_some() {
            When::Share(self.share())
        } else {
            // The later of two: a command begins with a passphrase, and at the end stand its acts.
            When::Share(self.share().max(self.share()))
        };
        Point { victim, when }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kills::source::TARGETS;

    #[test]
    fn every_seed_cuts_every_process_of_every_step() {
        for seed in 0..500 {
            for (stride, points) in drawn(seed, TARGETS.len()) {
                for victim in Victim::ALL {
                    assert!(points.iter().any(|point| point.victim == victim), "{seed}: {stride:?} spares {victim:?}");
                }
            }
        }
    }
    #[test]
    fn with_another_table_a_seed_waits_for_other_lines_and_draws_all_else_as_before() {
        let but_for_the_line = |tables: usize| {
            let without = |point: Point| match point.when {
                When::Line(_, share) => Point { when: When::Line(0, share), ..point },
                When::Share(_) | When::Parcels(_) => point,
            };
            let drawn = (0..500).flat_map(|seed| drawn(seed, tables)).flat_map(|(_, points)| points);
            drawn.map(|point| format!("{:?}", without(point))).collect::<Vec<_>>()
        };
        assert_eq!(but_for_the_line(TARGETS.len()), but_for_the_line(TARGETS.len() + 1));
        assert_ne!(format!("{:?}", drawn(2, TARGETS.len())), format!("{:?}", drawn(2, TARGETS.len() - 1)));
    }

    #[test]
    fn whoever_came_through_is_struck_earlier_in_each_round_and_at_once_in_the_last() {
        let delay = |round| {
            let delays: Vec<Duration> = earlier(round)
                .into_iter()
                .flat_map(|(_, points)| points.into_iter().map(|point| point.when.delay(Duration::from_mins(5))))
                .collect();
            assert_eq!(delays.len(), Stride::ALL.len() * Victim::ALL.len());
            delays[0]
        };
        let delays: Vec<Duration> = (1..=ROUNDS_MAX).map(delay).collect();
        let (shorter, at_once) = delays.split_at(delays.len() - usize::try_from(ROUNDS_AT_ONCE).unwrap());
        assert!(shorter.is_sorted_by(|one, next| one > next), "{delays:?}");
        assert!(at_once.iter().all(Duration::is_zero), "{delays:?}");
    }
}
