//! Processes that end by `kill -9`: migrations from `MariaDB` to `PostgreSQL` by the program itself, killed at points drawn
//! from a seed, each of which must end as the one that nobody disturbed.
//!
//! A seed names one migration: which steps are cut, how often, whose process, and where. What the machine does between
//! the points it does not name, so a seed that found something finds it often, not always.

mod checks;
mod figures;
mod pair;
mod parties;
mod passing;
mod points;
mod running;
mod source;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::FutureExt;

pub use figures::{Failure, Figures};
use pair::{Account, Pair};
use parties::Parties;
use passing::Bound;
use source::TARGETS;

/// When to stop; the migration that is under way then comes to its end undisturbed.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many kills.
    Kills(u32),
    /// After this time, but not before every kept seed had its turn. Then processes that were killed in no run of a step
    /// have theirs, in as many migrations as that takes, eight at most: nobody comes through all of those.
    Elapsed(Duration),
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The first seed after those that are kept; each migration takes the next.
    pub seed: u64,
    /// When to stop.
    pub until: Until,
}

/// Where the seeds stand that found something.
fn seeds_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kills.seeds")
}

/// The seeds that found something once: the first word of each line that is no remark.
fn kept_seeds() -> Vec<u64> {
    let text = std::fs::read_to_string(seeds_file()).unwrap();
    let seeds = text.lines().filter_map(|line| line.split_whitespace().next()).filter(|word| !word.starts_with('#'));
    seeds.map(|seed| seed.parse().unwrap()).collect()
}

fn keep_seed(failure: &Failure) {
    if kept_seeds().contains(&failure.seed) {
        return;
    }
    let mut file = OpenOptions::new().append(true).open(seeds_file()).unwrap();
    writeln!(file, "{} {}", failure.seed, failure.what.lines().next().unwrap_or_default()).unwrap();
}

/// Kills until it has been enough, and says how it went; `tell` hears of every migration. None without database servers
/// or without the program beside this one.
///
/// # Errors
/// None: what fails stands in the figures, and its seed in `kills.seeds`.
pub async fn run(wanted: Wanted, tell: &mut dyn FnMut(&str)) -> Option<Figures> {
    let [mariadb, postgres] =
        ["LAZARET_TEST_MARIADB", "LAZARET_TEST_POSTGRES"].map(|variable| std::env::var(variable).ok());
    let (mariadb, postgres, program) = (mariadb?, postgres?, crate::program::lazaret()?);
    let pair = Pair::make(mariadb, postgres).await;
    let mut figures = Figures::new(wanted.seed);
    let ended = AssertUnwindSafe(kill_until(wanted, &pair, &program, &mut figures, tell)).catch_unwind().await;
    pair.drop_all().await;
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
    Some(figures)
}

async fn kill_until(wanted: Wanted, pair: &Pair, program: &Path, figures: &mut Figures, tell: &mut dyn FnMut(&str)) {
    let started = Instant::now();
    let mut parties = Parties::start(program).await;
    let mut usual = BTreeMap::new();
    for account in Account::ALL {
        let of = passing::undisturbed(&mut parties, pair, account).await;
        tell(&format!("undisturbed, {account:?}: {of}"));
        usual.insert(account, of);
    }
    let kept = kept_seeds();
    let (mut left, mut more) = (kept.len(), 0_u32);
    for seed in kept.iter().copied().chain((wanted.seed..).filter(|seed| !kept.contains(seed))) {
        let bound = match wanted.until {
            Until::Kills(count) => Bound::Kills(count.saturating_sub(figures.kills())),
            Until::Elapsed(_) if left > 0 => Bound::None,
            Until::Elapsed(enough) if started.elapsed() < enough => Bound::Time { started, enough },
            Until::Elapsed(_) => {
                more = more.saturating_add(1);
                Bound::Spared
            }
        };
        if more > points::ROUNDS_MAX || !bound.allows(!figures.spared().is_empty()) {
            break;
        }
        let points = if more > 0 { points::earlier(more) } else { points::drawn(seed, TARGETS.len()) };
        left = left.saturating_sub(1);
        let killed_before = figures.kills();
        let account = Account::of(seed);
        let wanted = (pair, account, usual.get(&account).unwrap());
        let passing = passing::disturbed(&mut parties, wanted, (points, bound), figures);
        if let Err(panic) = AssertUnwindSafe(passing).catch_unwind().await {
            let what = told(panic.as_ref());
            let what = if more > 0 { format!("in round {more} for the spared, of no seed: {what}") } else { what };
            let failure = Failure { seed, what };
            tell(&format!("seed {seed} FAILED: {}", failure.what));
            let killed = figures.kills() > killed_before;
            // Points that were not drawn from it are none that it brings back.
            if killed && more == 0 {
                keep_seed(&failure);
            }
            figures.failures.push(failure);
            if figures.hopeless(killed) {
                break;
            }
            // Whatever it left behind is not the next one's trouble.
            parties = Parties::start(program).await;
        } else {
            tell(&format!("seed {seed}: {}", figures.line()));
        }
    }
    figures.seconds = started.elapsed().as_secs_f64();
}

/// What a failed assertion said.
fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "it panicked".to_owned())
}
