//! The sequence: servers, the cast, then every step of every pair, run after run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use super::carriage::{self, Carriage};
use super::cast::Cast;
use super::forecast;
use super::mariadb::{self, MariaDb};
use super::meter::{Meter, Watch};
use super::pair::Pair;
use super::postgres::{self, Postgres};
use super::report::{self, CPU, Measured, PEAK, Row, WALL, Words};
use super::runs::{Costs, figures, highest, median_of, runs};
use super::sqlite::{self, Sqlite};
use super::tables::{self, Sizes};
use super::{Family, Options, Telling, built, copied, procfs};
use crate::servers::{self, Purpose, Servers};

/// What is used beside the servers' own programs: package and program.
const TOOLS: [(&str, &str); 2] = [("age", "age"), ("sqlite3", "sqlite3")];
/// How the two programs are built that are measured.
const LAZARET: [&str; 4] = ["--package", "lazaret", "--bin", "lazaret"];
const MEASURE: [&str; 4] = ["--package", "drill", "--example", "measure"];
/// What an agent may hold, whatever the size of a table.
const PEAK_MIB_MAX: f64 = 256.0;
/// So many rows of `result` are more than 10 GB (about 150 bytes each in PostgreSQL).
const HUGE: Sizes = Sizes { patients: 1_000, results: 76_000_000 };
/// What stands around the figures.
pub(super) const WORDS: Words = Words {
    name: "passage",
    command: "bench passage",
    head: "What carrying records costs",
    foot: "
## How to read this

* CPU is of everything that works for a step: the program's processes, the other programs, the lazaret, the database's
  processes. CPU and wall are medians of the runs; memory is the highest of all runs. The runs are interleaved: every
  step once, then every step again.
* No process of the program may hold more than 256 MiB; one that does is named among the targets.
* *Not ours* is CPU that the machine spent on something else meanwhile, kernel and host included; with the load average it
  tells how quiet the machine was. Ratios are of CPU, so they bear some of it; wall times do not.
* From run to run on one quiet machine with AVX-512 the `COPY` pipe takes 17.6 to 20.6 CPU-s, so that ratios near their target fall on
  either side: *move* came to 1.20 to 1.25, *move + fingerprint* to 1.25 to 1.38, *seal + load* to 1.86, *migrate* to 2.39 to 2.55 (ADR 16).
  Parts may be of different days and machines, as their dates and seconds tell: on one without it the pipe took 40.7 CPU-s.
* `move` and `T` are no commands of the program: connectors and scope alone, from `drill/examples/measure.rs`. `extract`,
  `load`, `reconcile` and `migrate` are the program, with a lazaret on loopback. `migrate` includes the release.
* A load reads the target again and fingerprints it (T). *seal + load* is extraction and load without that: T is taken off
  as measured by itself.
* In PostgreSQL everything is done as an account that may set `log_min_messages`, so that rows go straight into their table; but for
  *load, staged first*: that account may fill the tables and no more, and rows are staged in its session before.
* The forecast is of a rehearsal on 1 %. Its time to extract is that of what takes longest of reading, sealing and storing, which go on
  side by side; where they share two cores with the database, they take longer.
* `pg_dump -Fc` compresses as it does when nobody says otherwise, by gzip; parcels are compressed by ZSTD at level 1. That comparison
  is of what people run, not of ciphers.
* The tables have a primary key, and no foreign key, `CHECK` or second index.
* The `COPY` pipe and the dump's restore prove nothing about what arrived; `pg_restore` makes the tables and their indexes,
  the other steps find them there, empty.
",
};
/// The name of the lazaret's rows.
const SERVER: &str = "lazaret serve";

/// Ratios of a family: the floor, and what is asked of each; all none when figures are told as they are.
struct Asked {
    floor: &'static str,
    by_hand: Option<[&'static str; 2]>,
    /// What else the whole way is compared with.
    beside: Option<&'static str>,
    targets: bool,
}

/// `cargo xtask bench passage`.
pub(super) fn command(root: &Path, options: &Options) -> Result<ExitCode> {
    servers::install_with(&TOOLS)?;
    let built = built(root, options.build, &[LAZARET, MEASURE])?;
    eprintln!("starting the servers");
    let mut servers = Servers::start_for(Purpose::Bench)?;
    let folder = servers.place.join("bench");
    std::fs::create_dir(&folder)?;
    let lazaret = copied(&built.join("lazaret"), &folder)?;
    let measure = copied(&built.join("examples").join("measure"), &folder)?;
    let mut meter = Meter::new()?;
    let port = servers::free_port()?;
    let cast = Cast::create(&lazaret, &folder, port, |server| servers.watch_over(server))?;
    meter.servers = vec![cast.server()];
    Watch::looks_at(&meter, SERVER, cast.server());
    let mut bench = Bench { options, meter, cast, measure, folder, rows: Vec::new(), about: BTreeMap::new() };
    bench.families(&servers)?;
    let measured = Measured { machine: procfs::machine(), about: bench.about, rows: &bench.rows };
    report::told(root, Telling { kept: options.is_standard(), json: options.json }, &WORDS, &measured)
}

struct Bench<'a> {
    options: &'a Options,
    meter: Meter,
    cast: Cast,
    measure: PathBuf,
    folder: PathBuf,
    rows: Vec<Row>,
    /// Versions and settings of each system.
    about: BTreeMap<String, String>,
}

impl Bench<'_> {
    fn families(&mut self, servers: &Servers) -> Result<()> {
        let asked = |floor| Asked { floor, by_hand: None, beside: None, targets: false };
        if self.options.wants(Family::Postgres) {
            let pair = Postgres::new("PostgreSQL", servers, &self.folder)?;
            let by_hand = Some([postgres::DUMP, postgres::RESTORE]);
            self.family(&pair, self.options.sizes, &Asked { by_hand, targets: true, ..asked(postgres::PIPE) })?;
        }
        if self.options.wants(Family::MariaDb) {
            self.family(&MariaDb::new(servers)?, self.options.sizes, &asked(mariadb::PIPE))?;
        }
        if self.options.wants(Family::Sqlite) {
            self.family(
                &Sqlite::new(&self.folder),
                self.options.sizes,
                &Asked { beside: Some(sqlite::BACKUP), ..asked(sqlite::DUMP) },
            )?;
        }
        if self.options.wants(Family::Forecast) {
            let pair = Postgres::new("PostgreSQL, forecast", servers, &self.folder)?;
            self.rows.extend(forecast::rows(&pair, &self.cast, self.options.sizes)?);
            self.about.insert(pair.name().to_owned(), pair.about()?);
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
        Ok(Carriage::new(pair, &self.cast, systems, &self.measure))
    }

    /// Every step of one family, run after run.
    fn family(&mut self, pair: &dyn Pair, sizes: Sizes, asked: &Asked) -> Result<()> {
        self.meter.trees = pair.process().into_iter().collect();
        let costs = {
            let carriage = self.carriage(pair, sizes)?;
            let mut steps = pair.rivals();
            steps.extend(carriage.steps());
            runs(&self.meter, pair.name(), &steps, (self.options.runs, Some(sizes)))?
        };
        self.about.insert(pair.name().to_owned(), pair.about()?);
        let name = pair.name();
        self.told(name, sizes, &costs);
        self.rows.extend(ratios(name, &costs, asked));
        Ok(())
    }

    /// One huge table, for the memory that it takes.
    fn huge(&mut self, pair: &Postgres) -> Result<()> {
        self.meter.trees = pair.process().into_iter().collect();
        let costs = {
            let carriage = self.carriage(pair, HUGE)?;
            runs(&self.meter, pair.name(), &carriage.sealed_steps(), (1, Some(HUGE)))?
        };
        self.about.insert(pair.name().to_owned(), pair.about()?);
        self.told(pair.name(), HUGE, &costs);
        self.rows.push(Row::new([pair.name(), "table", "on disk"], pair.source_bytes()? / 1e9, "GB"));
        Ok(())
    }

    /// The figures of each step.
    fn told(&mut self, system: &str, sizes: Sizes, costs: &Costs) {
        self.rows.extend(figures(system, costs, Some(PEAK_MIB_MAX)));
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

/// What the requirements ask for, of medians.
fn ratios(system: &str, costs: &Costs, asked: &Asked) -> Vec<Row> {
    let cpu = |name: &str| median_of(costs, name, |cost| cost.cpu);
    let wall = |name: &str| median_of(costs, name, |cost| cost.wall);
    let floor = cpu(asked.floor);
    let sealed = cpu(carriage::EXTRACT) + cpu(carriage::LOAD) - cpu(carriage::AGAIN);
    let waited = wall(carriage::EXTRACT) + wall(carriage::LOAD);
    let over = |what: &str| format!("{what} ÷ {}", asked.floor);
    let (migrate, one_by_one) = (cpu(carriage::MIGRATE) / floor, waited / wall(asked.floor));
    let staged = sealed - cpu(carriage::LOAD) + cpu(carriage::STAGED);
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
    if let Some(beside) = asked.beside {
        ratios.push((format!("migrate, with T ÷ {beside}"), CPU, cpu(carriage::MIGRATE) / cpu(beside), None));
    }
    if asked.targets {
        ratios.push((over("seal + load, S and F, staged first"), CPU, staged / floor, None));
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
    use super::super::meter::Cost;
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
        let asked = Asked { floor: "pipe", by_hand: None, beside: None, targets: true };
        let rows = ratios("A", &costs, &asked);
        let found = rows.iter().find(|row| row.name.contains("seal + load")).unwrap();
        assert!((found.value - 1.7).abs() < 1e-9, "{found:?}");
        let told = Asked { targets: false, ..asked };
        assert!(ratios("A", &costs, &told).iter().all(|row| row.target.is_none()));
    }
}
