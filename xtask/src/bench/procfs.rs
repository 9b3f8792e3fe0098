//! What Linux says about processes under `/proc`. CPU is counted in ticks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use crate::process;

/// CPU of one process: its own, and that of the children that it has waited for.
struct Stat {
    parent: u32,
    own: u64,
    reaped: u64,
}

fn stat(process: &str) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    parse(&text)
}

/// The name stands in parentheses and may hold anything; the numbers come behind the last one. proc(5) counts fields
/// from 1; the state, the first behind the name, is field 3.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        own: field(14)?.saturating_add(field(15)?),
        reaped: field(16)?.saturating_add(field(17)?),
    })
}

/// Ticks of this process itself.
pub(super) fn ours() -> u64 {
    stat("self").map_or(0, |stat| stat.own)
}

/// Ticks of all that this process has started and waited for.
pub(super) fn reaped() -> u64 {
    stat("self").map_or(0, |stat| stat.reaped)
}

/// Ticks of one process that still runs, or not.
pub(super) fn of(process: u32) -> u64 {
    stat(&process.to_string()).map_or(0, |stat| stat.own)
}

/// A process and everything below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// How many processes.
    pub(super) processes: usize,
    /// Their ticks, and those of processes that have ended and been waited for.
    pub(super) ticks: u64,
}

/// What stands below `root`. A child that is waited for while we look would be missed, or counted twice: then we look
/// again.
pub(super) fn tree(root: u32) -> Tree {
    loop {
        let reaped = || stat(&root.to_string()).map(|stat| stat.reaped);
        let (before, all) = (reaped(), all());
        if before == reaped() {
            return below(root, &all);
        }
    }
}

fn all() -> BTreeMap<u32, Stat> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(stat) = stat(&process.to_string()) {
            all.insert(process, stat);
        }
    }
    all
}

fn below(root: u32, all: &BTreeMap<u32, Stat>) -> Tree {
    let mut below = BTreeSet::from([root]);
    loop {
        let known = below.len();
        let found: Vec<u32> =
            all.iter().filter(|(_, stat)| below.contains(&stat.parent)).map(|(process, _)| *process).collect();
        below.extend(found);
        if below.len() == known {
            break;
        }
    }
    let ticks = below.iter().filter_map(|process| all.get(process)).map(|stat| stat.own.saturating_add(stat.reaped));
    Tree { processes: below.len(), ticks: ticks.fold(0, u64::saturating_add) }
}

/// Ticks in which any CPU of this machine was not idle: ours, others', the kernel's, and what the host took.
pub(super) fn busy() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; what follows is counted in user already.
    let ticks = line.split_whitespace().skip(1).take(8).enumerate();
    ticks
        .filter(|(place, _)| !matches!(place, 3 | 4))
        .filter_map(|(_, ticks)| ticks.parse().ok())
        .fold(0, u64::saturating_add)
}

/// The load average of the last minute.
pub(super) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The most memory that a process has held so far, in KiB; none once it has ended.
pub(super) fn peak(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many ticks a second has.
pub(super) fn ticks_per_second() -> Result<f64> {
    let answer = process::answer("getconf", &["CLK_TCK"]).context("getconf CLK_TCK gives no answer")?;
    answer.parse().context("getconf CLK_TCK gives no number")
}

/// The machine in a few words: processor, cores, memory, kernel.
pub(crate) fn machine() -> String {
    let first = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kib: u64 = first("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processor = first("/proc/cpuinfo", "model name");
    format!("{processor}, {cores} cores, {} GiB, Linux {}", kib.div_ceil(1024 * 1024), version(&kernel))
}

/// The kernel's version without its patches and its build: `6.1` of `6.1.0-28-amd64`.
fn version(kernel: &str) -> String {
    kernel.trim().splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_named_without_its_build() {
        assert_eq!((version("6.1.0-28-amd64\n"), version("7")), ("6.1".to_owned(), "7".to_owned()));
    }

    fn stat_of(parent: u32, own: u64, reaped: u64) -> Stat {
        Stat { parent, own, reaped }
    }

    #[test]
    fn a_name_with_parentheses_and_blanks_moves_no_field() {
        let line = "17 (a) b (c) S 4 17 17 0 -1 4194304 1 2 3 4 100 20 3000 400 20 0 1 0 5 6 7";
        let stat = parse(line).unwrap();
        assert_eq!((stat.parent, stat.own, stat.reaped), (4, 120, 3400));
    }

    #[test]
    fn a_tree_is_everything_below_its_root_and_nothing_beside_it() {
        let all = BTreeMap::from([
            (10, stat_of(1, 1, 100)),
            (11, stat_of(10, 20, 0)),
            (12, stat_of(11, 3, 4)),
            (13, stat_of(1, 1000, 1000)),
        ]);
        assert_eq!(below(10, &all), Tree { processes: 3, ticks: 128 });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_lost_between_a_childs_end_and_our_waiting_for_it() {
        let us = std::process::id();
        let ending = std::thread::spawn(|| {
            // Short ones, because what could be lost is lost at their ends.
            for _ in 0..40 {
                let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
                assert!(std::process::Command::new("sh").args(["-c", script]).status().unwrap().success());
            }
        });
        let mut last = 0;
        while !ending.is_finished() {
            let now = tree(us).ticks;
            assert!(now >= last, "{now} ticks after {last}");
            last = now;
        }
        ending.join().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_a_machine_under_it() {
        assert!(peak(std::process::id()).unwrap() > 0);
        assert!(busy() > 0);
        assert!(machine().contains("Linux"));
    }
}
