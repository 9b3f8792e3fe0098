//! Every step once, then every step again; and the figures that come of it.

use anyhow::{Context, Result, bail};

use super::meter::{Cost, Meter};
use super::pair::Step;
use super::report::{self, CPU, LOAD, NOT_OURS, PEAK, Row, WALL};
use super::tables::Sizes;

/// The costs of each step, a cost for each run.
pub(super) type Costs = Vec<(&'static str, Vec<Cost>)>;

/// Runs the steps of `of` so often. Where rows arrive, it must be so many.
pub(super) fn runs(
    meter: &Meter,
    of: &str,
    steps: &[Step<'_>],
    (runs, sizes): (usize, Option<Sizes>),
) -> Result<Costs> {
    let mut costs: Costs = steps.iter().map(|step| (step.name, Vec::new())).collect();
    for run in 1..=runs {
        for (step, (name, of_step)) in steps.iter().zip(&mut costs) {
            let told = format!("{of} run {run}/{runs} {name}");
            step.prepare().with_context(|| format!("before {told}"))?;
            let cost = meter.measure(|watch| step.work(watch)).with_context(|| told.clone())?;
            let arrived = step.arrived()?;
            if arrived.is_some() && arrived != sizes {
                bail!("{told}: {arrived:?} arrived, of {sizes:?}");
            }
            let memory: Vec<String> = cost.peaks.iter().map(|(of, mib)| format!("{of} {mib:.0} MiB")).collect();
            eprintln!(
                "{told}: {:.2} CPU-s, {:.2} s wall, {:.2} CPU-s not ours, load {:.2}; {}",
                cost.cpu,
                cost.wall,
                cost.not_ours,
                cost.load,
                memory.join(", ")
            );
            of_step.push(cost);
        }
    }
    Ok(costs)
}

/// The figures of each step. Its memory must be no more than `peak_mib_max`.
pub(super) fn figures(system: &str, costs: &Costs, peak_mib_max: Option<f64>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (step, of_step) in costs {
        let median = |figure: fn(&Cost) -> f64| median_of(costs, step, figure);
        let mut row = |what, value, unit| rows.push(Row::new([system, step, what], value, unit));
        row(CPU, median(|cost| cost.cpu), "s");
        row(WALL, median(|cost| cost.wall), "s");
        row(NOT_OURS, median(|cost| cost.not_ours), "s");
        row(LOAD, median(|cost| cost.load), "processes");
        if let Some(peak) = highest(of_step, step) {
            rows.push(Row::new([system, step, PEAK], peak, "MiB").at_most(peak_mib_max));
        }
    }
    rows
}

/// The median of one figure of a step.
pub(super) fn median_of(costs: &Costs, step: &str, figure: fn(&Cost) -> f64) -> f64 {
    let of_step = costs.iter().find(|(name, _)| *name == step).map(|(_, costs)| costs.as_slice());
    report::median(of_step.unwrap_or_default().iter().map(figure).collect())
}

/// The most memory of one of our processes.
pub(super) fn highest(costs: &[Cost], of: &str) -> Option<f64> {
    costs.iter().filter_map(|cost| cost.peaks.get(of).copied()).max_by(f64::total_cmp)
}
