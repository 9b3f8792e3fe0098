//! The sequence: servers, the cast, then every step of every pair, run after run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::carriage::{self, Carriage};
use super::cast::Cast;
use super::mariadb::{self, MariaDb};
use super::meter::{Cost, Meter, Watch};
use super::pair::{Pair, Step};
use super::postgres::{self, Postgres};
use super::report::{self, CPU, LOAD, NOT_OURS, PEAK, Row, WALL};
use super::sqlite::{self, Sqlite};
use super::tables::{self, Sizes};
use super::{Family, Options, Programs, procfs};
use crate::process;
use crate::servers::{self, Purpose, Servers};

/// What is used beside the servers' own programs: package and program.
const TOOLS: [(&str, &str); 2] = [("age", "age"), ("sqlite3", "sqlite3")];
/// What an agent may hold, whatever the size of a table.
const PEAK_MIB_MAX: f64 = 256.0;
/// So many rows of `result` are more than 10 GB (about 150 bytes each in PostgreSQL).
const HUGE: Sizes = Sizes { patients: 1_000, results: 76_000_000 };
/// The name of the lazaret's rows.
const SERVER: &str = "lazaret serve";

/// Ratios of a family: the floor, and what is asked of each; all none when figures are told as they are.
struct Asked {
    floor: &'static str,
    by_hand: Option<[&'static str; 2]>,
    targets: bool,
}

/// `cargo xtask bench passage`.
pub(super) fn command(root: &Path, options: &Options) -> Result<ExitCode> {
    servers::install_with(&TOOLS)?;
    let programs = Programs::build(root, options)?;
    eprintln!("starting the servers");
    let mut servers = Servers::start_for(Purpose::Bench)?;
    let folder = servers.place.join("bench");
    std::fs::create_dir(&folder)?;
    let programs = programs.copied(&folder)?;
    let mut meter = Meter::new()?;
    let port = servers::free_port()?;
    let cast = Cast::create(&programs.lazaret, &folder, port, |server| servers.watch_over(server))?;
    meter.servers = vec![cast.server()];
    Watch::looks_at(&meter, SERVER, cast.server());
    let mut bench = Bench { options, meter, cast, programs, folder, rows: Vec::new(), machine: BTreeMap::new() };
    bench.machine.insert("0".to_owned(), procfs::machine());
    bench.families(&servers)?;
    let date = process::answer("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]).context("date gives no answer")?;
    let file = root.join("docs").join("bench").join("passage.json");
    let old = if options.is_standard() { report::read(&file)? } else { None };
    let document = report::document(old.as_ref(), &bench.machine, &date, &bench.rows);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        println!("{}", report::page(&document));
    }
    if options.is_standard() {
        report::keep(&file, &document)?;
        eprintln!("kept in {} and the page beside it", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    options: &'a Options,
    meter: Meter,
    cast: Cast,
    programs: Programs,
    folder: PathBuf,
    rows: Vec<Row>,
    /// What was measured on, by whatever sorts it.
    machine: BTreeMap<String, String>,
}

impl Bench<'_> {
    fn families(&mut self, servers: &Servers) -> Result<()> {
        let asked = |floor| Asked { floor, by_hand: None, targets: false };
        if self.options.wants(Family::Postgres) {
            let pair = Postgres::new("PostgreSQL", servers, &self.folder)?;
            let by_hand = Some([postgres::DUMP, postgres::RESTORE]);
            self.family(&pair, self.options.sizes, &Asked { floor: postgres::PIPE, by_hand, targets: true })?;
        }
        if self.options.wants(Family::MariaDb) {
            self.family(&MariaDb::new(servers)?, self.options.sizes, &asked(mariadb::PIPE))?;
        }
        if self.options.wants(Family::Sqlite) {
            self.family(&Sqlite::new(&self.folder), self.options.sizes, &asked(sqlite::DUMP))?;
        }
        if self.options.wants(Family::Huge) {
            self.huge(&Postgres::new("PostgreSQL, 10 GB", servers, &self.folder)?)?;
        }
        Ok(())
    }

    fn carriage<'a>(&'a self, pair: &'a dyn Pair, sizes: Sizes) -> Result<Carriage<'a>> {
        eprintln!("{}: making {} patients and {} results", pair.name(), sizes.patients, sizes.results);
        pair.fill(sizes)?;
        let (source, target) = pair.addresses();
        let name: String = pair.name().chars().filter(char::is_ascii_alphanumeric).collect();
        let systems = self.cast.look(&name, (&source, &target), &tables::scope())?;
        Ok(Carriage::new(pair, &self.cast, systems, &self.programs.measure))
    }

    /// Every step of one family, run after run.
    fn family(&mut self, pair: &dyn Pair, sizes: Sizes, asked: &Asked) -> Result<()> {
        self.meter.trees = pair.process().into_iter().collect();
        let costs = {
            let carriage = self.carriage(pair, sizes)?;
            let mut steps = pair.rivals();
            steps.extend(carriage.steps());
            self.runs(pair, &steps, (sizes, self.options.runs))?
        };
        self.machine.insert(format!("{}", self.machine.len()), pair.about()?);
        let name = pair.name();
        self.told(name, sizes, &costs);
        self.rows.extend(ratios(name, &costs, asked));
        Ok(())
    }

    /// Extraction and load of one huge table, for the memory that they take.
    fn huge(&mut self, pair: &dyn Pair) -> Result<()> {
        self.meter.trees = pair.process().into_iter().collect();
        let costs = {
            let carriage = self.carriage(pair, HUGE)?;
            self.runs(pair, &carriage.sealed_steps(), (HUGE, 1))?
        };
        self.told(pair.name(), HUGE, &costs);
        Ok(())
    }

    fn runs(&self, pair: &dyn Pair, steps: &[Step<'_>], (sizes, runs): (Sizes, usize)) -> Result<Costs> {
        let mut costs: Costs = steps.iter().map(|step| (step.name, Vec::new())).collect();
        for run in 1..=runs {
            for (step, (name, of_step)) in steps.iter().zip(&mut costs) {
                let told = format!("{} run {run}/{runs} {name}", pair.name());
                step.prepare().with_context(|| format!("before {told}"))?;
                let cost = self.meter.measure(|watch| step.work(watch)).with_context(|| told.clone())?;
                let arrived = step.arrived()?;
                if arrived.is_some_and(|arrived| arrived != sizes) {
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

    /// The figures of each step.
    fn told(&mut self, system: &str, sizes: Sizes, costs: &Costs) {
        for (step, costs) in costs {
            let median = |figure: fn(&Cost) -> f64| report::median(costs.iter().map(figure).collect());
            let mut row = |what, value, unit| self.rows.push(Row::new([system, step, what], value, unit));
            row(CPU, median(|cost| cost.cpu), "s");
            row(WALL, median(|cost| cost.wall), "s");
            row(NOT_OURS, median(|cost| cost.not_ours), "s");
            row(LOAD, median(|cost| cost.load), "processes");
            if let Some(peak) = highest(costs, step) {
                self.rows.push(Row::new([system, step, PEAK], peak, "MiB").at_most(Some(PEAK_MIB_MAX)));
            }
        }
        let server = costs.iter().filter_map(|(_, costs)| highest(costs, SERVER)).fold(0.0, f64::max);
        self.rows.push(Row::new([system, SERVER, PEAK], server, "MiB").at_most(Some(PEAK_MIB_MAX)));
        for (what, rows) in [("patients", sizes.patients), ("results", sizes.results)] {
            let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
            self.rows.push(Row::new([system, "table", what], rows, "rows"));
        }
        let runs = costs.first().map_or(0, |(_, costs)| costs.len());
        let runs = f64::from(u32::try_from(runs).unwrap_or(u32::MAX));
        self.rows.push(Row::new([system, "every step", "runs"], runs, "times"));
    }
}

/// The costs of each step, a cost for each run.
type Costs = Vec<(&'static str, Vec<Cost>)>;

fn highest(costs: &[Cost], of: &str) -> Option<f64> {
    costs.iter().filter_map(|cost| cost.peaks.get(of).copied()).max_by(f64::total_cmp)
}

/// What the requirements ask for, of medians.
fn ratios(system: &str, costs: &Costs, asked: &Asked) -> Vec<Row> {
    let median = |name: &str, figure: fn(&Cost) -> f64| {
        let costs = costs.iter().find(|(step, _)| *step == name).map(|(_, costs)| costs.as_slice());
        report::median(costs.unwrap_or_default().iter().map(figure).collect())
    };
    let cpu = |name: &str| median(name, |cost| cost.cpu);
    let wall = |name: &str| median(name, |cost| cost.wall);
    let floor = cpu(asked.floor);
    let sealed = cpu(carriage::EXTRACT) + cpu(carriage::LOAD) - cpu(carriage::AGAIN);
    let waited = wall(carriage::EXTRACT) + wall(carriage::LOAD);
    let over = |what: &str| format!("{what} ÷ {}", asked.floor);
    let (migrate, one_by_one) = (cpu(carriage::MIGRATE) / floor, waited / wall(asked.floor));
    let mut ratios = vec![
        (over("move"), CPU, cpu(carriage::MOVE) / floor, Some(1.25)),
        (over("move + fingerprint"), CPU, cpu(carriage::SUMMED) / floor, Some(1.35)),
        (over("seal + load, S and F"), CPU, sealed / floor, Some(1.70)),
        (over("migrate, with T"), CPU, migrate, Some(2.5)),
        (over("extract + load, one after the other"), WALL, one_by_one, None),
    ];
    if let Some([there, back]) = asked.by_hand {
        let by_hand = cpu(there) + cpu(back);
        ratios.push((format!("seal + load, S and F ÷ ({there} + {back})"), CPU, sealed / by_hand, Some(0.80)));
    }
    if asked.targets {
        ratios.push((over("stretch: migrate, with T"), CPU, migrate, Some(2.0)));
        ratios.push((over("stretch: extract + load, which do not overlap"), WALL, one_by_one, Some(1.15)));
    }
    let row = |(step, what, value, target): (String, &str, f64, Option<f64>)| {
        let what = format!("ratio of {what}");
        Row::new([system, &step, &what], value, "×").at_most(target.filter(|_| asked.targets))
    };
    ratios.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu: f64) -> Cost {
        Cost { cpu, wall: cpu * 2.0, ..Cost::default() }
    }

    #[test]
    fn sealing_and_loading_are_told_without_what_reads_again() {
        let costs: Costs = vec![
            ("pipe", vec![cost(10.0)]),
            (carriage::EXTRACT, vec![cost(9.0)]),
            (carriage::LOAD, vec![cost(12.0), cost(11.0), cost(13.0)]),
            (carriage::AGAIN, vec![cost(4.0)]),
        ];
        let asked = Asked { floor: "pipe", by_hand: None, targets: true };
        let rows = ratios("A", &costs, &asked);
        let found = rows.iter().find(|row| row.name.contains("seal + load")).unwrap();
        assert!((found.value - 1.7).abs() < 1e-9, "{found:?}");
        let told = Asked { targets: false, ..asked };
        assert!(ratios("A", &costs, &told).iter().all(|row| row.target.is_none()));
    }
}
