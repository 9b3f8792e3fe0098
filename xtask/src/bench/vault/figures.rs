//! Figures of every run, their medians, and what is asked of them.

use std::collections::BTreeMap;

use super::Part;
use super::steps::{
    AES_OPEN, AES_SEAL, AGE_OPEN, AGE_SEAL, CRATE_OPEN, CRATE_SEAL, DISK, FILE_OPEN, FILE_SEAL, LARGE, NOTHING_OPEN,
    NOTHING_OPEN_TWO, NOTHING_SEAL, NOTHING_SEAL_TWO, OPEN, OPEN_TWO, PLAIN, PLAIN_OPEN, SEAL, SEAL_TWO, SMALL, TABLE,
    TABLE_TWO, UNDIGESTED, UNDIGESTED_OPEN,
};
use crate::bench::report::{CPU, LOAD, NOT_OURS, PEAK, Row, WALL, median};

pub(super) const SPEED: &str = "speed";
pub(super) const SPEED_BY_WALL: &str = "speed by the wall";
pub(super) const KEY_ACT: &str = "key act";
pub(super) const WHOLE: &str = "whole destruction";
pub(super) const SIZE: &str = "parcels";

/// By what they are figures of.
pub(super) type Figures = BTreeMap<&'static str, f64>;

/// What the runs of each step took, steps in their order.
#[derive(Default)]
pub(super) struct Taken(Vec<(&'static str, Vec<Figures>)>);

impl Taken {
    pub(super) fn note(&mut self, step: &'static str, figures: Figures) {
        match self.0.iter_mut().find(|(name, _)| *name == step) {
            Some((_, runs)) => runs.push(figures),
            None => self.0.push((step, vec![figures])),
        }
    }

    /// The median of a figure; none when it could not be taken in every run.
    fn median(&self, step: &str, what: &str) -> Option<f64> {
        let (_, runs) = self.0.iter().find(|(name, _)| *name == step)?;
        runs.iter().map(|figures| figures.get(what).copied()).collect::<Option<Vec<f64>>>().map(median)
    }

    fn highest(&self, step: &str, what: &str) -> Option<f64> {
        let (_, runs) = self.0.iter().find(|(name, _)| *name == step)?;
        runs.iter().filter_map(|figures| figures.get(what).copied()).max_by(f64::total_cmp)
    }
}

/// The figures of each step.
pub(super) fn rows(part: Part, taken: &Taken) -> Vec<Row> {
    let units = [
        (CPU, "s"),
        (WALL, "s"),
        (PEAK, "MiB"),
        (NOT_OURS, "s"),
        (LOAD, "processes"),
        (SPEED, "GB a CPU second"),
        (SPEED_BY_WALL, "GB/s"),
        (KEY_ACT, "ms"),
        (WHOLE, "ms"),
        (SIZE, "MiB"),
    ];
    let mut rows = Vec::new();
    for (step, _) in &taken.0 {
        for (what, unit) in units {
            let value = if what == PEAK { taken.highest(step, what) } else { taken.median(step, what) };
            rows.extend(value.map(|value| Row::new([part.name(), step, what], value, unit)));
        }
    }
    let runs = taken.0.first().map_or(0, |(_, runs)| runs.len());
    let runs = f64::from(u32::try_from(runs).unwrap_or(u32::MAX));
    rows.push(Row::new([part.name(), "every step", "runs"], runs, "times"));
    rows
}

/// One figure over another.
struct Ratio {
    over: (&'static str, &'static str),
    what: &'static str,
    asked: Asked,
}

#[derive(Clone, Copy)]
enum Asked {
    AtLeast(f64),
    AtMost(f64),
    Nothing,
}

/// What the requirements ask for, of medians. What was not measured has no row.
pub(super) fn ratios(part: Part, taken: &Taken) -> Vec<Row> {
    let ratio = |above, below, what, asked| Ratio { over: (above, below), what, asked };
    let (least, most) = (Asked::AtLeast, Asked::AtMost);
    let ratios = match part {
        Part::Opaque => vec![
            ratio(SEAL, AES_SEAL, SPEED, least(0.7)),
            ratio(OPEN, AES_OPEN, SPEED, least(0.7)),
            ratio(SEAL, CRATE_SEAL, SPEED, least(5.0)),
            ratio(OPEN, CRATE_OPEN, SPEED, least(5.0)),
            ratio(NOTHING_SEAL, AGE_SEAL, SPEED, least(5.0)),
            ratio(NOTHING_OPEN, AGE_OPEN, SPEED, least(5.0)),
            ratio(NOTHING_SEAL_TWO, AGE_SEAL, SPEED_BY_WALL, Asked::Nothing),
            ratio(NOTHING_OPEN_TWO, AGE_OPEN, SPEED_BY_WALL, Asked::Nothing),
            ratio(AES_SEAL, AGE_SEAL, SPEED, Asked::Nothing),
        ],
        Part::Tables => vec![
            ratio(SEAL, PLAIN, CPU, most(1.05)),
            ratio(OPEN, PLAIN_OPEN, CPU, most(1.10)),
            ratio(SEAL, UNDIGESTED, CPU, most(1.05)),
            ratio(OPEN, UNDIGESTED_OPEN, CPU, most(1.10)),
        ],
        Part::Threads => vec![
            ratio(SEAL, SEAL_TWO, WALL, least(1.7)),
            ratio(OPEN, OPEN_TWO, WALL, least(1.7)),
            ratio(TABLE, TABLE_TWO, WALL, least(1.7)),
            ratio(TABLE_TWO, TABLE, CPU, Asked::Nothing),
        ],
        Part::Destruction => vec![ratio(LARGE, SMALL, KEY_ACT, most(2.0)), ratio(LARGE, SMALL, WHOLE, Asked::Nothing)],
        Part::Memory => Vec::new(),
    };
    let told = |Ratio { over: (above, below), what, asked }: Ratio| {
        let value = taken.median(above, what)? / taken.median(below, what)?;
        let (step, what) = (format!("{above} ÷ {below}"), format!("ratio of {what}"));
        Some(asked.of(Row::new([part.name(), &step, &what], value, "×")))
    };
    let mut rows: Vec<Row> = ratios.into_iter().filter_map(told).collect();
    match part {
        Part::Opaque => {
            rows.extend([(FILE_SEAL, AES_SEAL), (FILE_OPEN, AES_OPEN)].into_iter().filter_map(|(step, cipher)| {
                let by_wall = |step| taken.median(step, SPEED_BY_WALL);
                let value = by_wall(step)? / by_wall(cipher)?.min(by_wall(DISK)?);
                let step = format!("{step} ÷ the slower of plain AES-256-GCM and the disk");
                Some(least(0.7).of(Row::new([part.name(), &step, "ratio of speed by the wall"], value, "×")))
            }));
        }
        Part::Destruction => {
            let key_act = taken.median(LARGE, KEY_ACT);
            rows.extend(key_act.map(|ms| most(100.0).of(Row::new([part.name(), LARGE, "key act, in ms"], ms, "ms"))));
        }
        Part::Memory => rows.extend([SEAL, OPEN].into_iter().filter_map(|step| {
            let row = Row::new([part.name(), step, "most memory, in MiB"], taken.highest(step, PEAK)?, "MiB");
            Some(most(64.0).of(row))
        })),
        Part::Tables | Part::Threads => {}
    }
    rows
}

impl Asked {
    fn of(self, row: Row) -> Row {
        match self {
            Self::AtLeast(bound) => row.at_least(Some(bound)),
            Self::AtMost(bound) => row.at_most(Some(bound)),
            Self::Nothing => row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(figures: &[(&'static str, &'static str, f64)]) -> Taken {
        let mut taken = Taken::default();
        for (step, what, value) in figures {
            taken.note(step, Figures::from([(*what, *value)]));
        }
        taken
    }

    fn value(rows: &[Row], step: &str) -> Option<f64> {
        rows.iter().find(|row| row.name.contains(step)).map(|row| row.value)
    }

    #[test]
    fn a_file_is_held_against_whichever_is_slower() {
        let with_disk = |disk| {
            let by_wall = [(FILE_SEAL, 2.0), (AES_SEAL, 4.0), (DISK, disk)];
            ratios(Part::Opaque, &taken(&by_wall.map(|(step, speed)| (step, SPEED_BY_WALL, speed))))
        };
        assert_eq!(value(&with_disk(1.0), FILE_SEAL), Some(2.0));
        assert_eq!(value(&with_disk(8.0), FILE_SEAL), Some(0.5));
    }

    #[test]
    fn what_was_not_measured_has_no_row() {
        assert!(ratios(Part::Threads, &taken(&[(SEAL, WALL, 2.0)])).is_empty());
        let once = taken(&[(SEAL, WALL, 2.0), (SEAL, CPU, 1.0), (SEAL_TWO, WALL, 1.0)]);
        assert!(ratios(Part::Threads, &once).is_empty(), "one run of two did not tell it");
        let both = taken(&[(SEAL, WALL, 2.0), (SEAL, WALL, 4.0), (SEAL_TWO, WALL, 1.5)]);
        assert_eq!(value(&ratios(Part::Threads, &both), SEAL), Some(2.0));
    }

    #[test]
    fn memory_is_the_highest_and_everything_else_the_middle() {
        let taken = taken(&[(SEAL, PEAK, 10.0), (SEAL, PEAK, 70.0), (SEAL, PEAK, 20.0)]);
        let told = ratios(Part::Memory, &taken);
        assert_eq!(value(&told, SEAL), Some(70.0));
        assert_eq!(told[0].target, Some(64.0));
    }
}
