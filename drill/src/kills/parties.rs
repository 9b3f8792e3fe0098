//! The parties of all migrations of a run, and the server as a process that can be killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lexicon::{Clock, Digest, SystemClock};
use tokio::time::interval;

use super::figures::Figures;
use super::pair::Account;
use super::points::{Point, Stride, Victim};
use super::running::{Ended, Running, Way};
use super::source;
use crate::program::{Program, clean};
use crate::{Command, Name, World, files_below, write_file};

/// A small folder beside the tables; its last report spans a segment of a parcel.
const REPORTS: u64 = 40;

/// Far longer than a step waits for a server that is started again at once.
const AT_MOST: Duration = Duration::from_mins(5);

pub(super) struct Parties {
    program: PathBuf,
    world: World,
    server: Option<Program>,
    /// The part of the scope that takes the reports.
    reports: String,
}

impl Parties {
    /// Five persons, and a server that is up and was not made as a demonstration: those take no `MariaDB`.
    pub(super) async fn start(program: &Path) -> Self {
        let mut world = World::start_as(false).await;
        world.stop().await;
        world.write_program_files("sweep_seconds = 1\n");
        write_file(&world.path("passphrase"), b"a passphrase of the drill\n");
        world.plant(&source::planted());
        let (_, folder, _) = world.reports(7, REPORTS);
        let reports = synth::reports_toml(&folder);
        let mut parties = Self { program: program.to_path_buf(), world, server: None, reports };
        parties.serve();
        parties.answers().await;
        parties
    }

    /// Everybody's folders; the story's clock shows the time by which the processes go.
    pub(super) fn world(&self) -> &World {
        self.world.clock.set(SystemClock.now());
        &self.world
    }

    /// The part of a scope that takes the old system's folder of reports.
    pub(super) fn reports(&self) -> &str {
        &self.reports
    }

    /// The reports of the old system, and those of the new one, by name. What is on its way there has no name yet.
    pub(super) fn both_reports(&self) -> [BTreeMap<String, Digest>; 2] {
        ["old.sqlite-reports", "new.sqlite-documents/reports"].map(|folder| {
            let folder = self.world.path(folder);
            let named = files_below(&[&folder]).into_iter().filter_map(|path| {
                let name = path.strip_prefix(&folder).unwrap().display().to_string();
                name.starts_with("20").then(|| (name, Digest::of(&std::fs::read(path).unwrap())))
            });
            named.collect()
        })
    }

    /// Another new system begins without reports.
    pub(super) fn forget_reports(&self) {
        let folder = self.world.path("new.sqlite-documents");
        if folder.exists() {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    fn serve(&mut self) {
        self.server = Some(Program::serve(&self.program, &self.world));
    }

    /// Waits until the server is up.
    pub(super) async fn answers(&self) {
        self.server.as_ref().unwrap().answers(&self.world).await;
    }

    /// What the server complained of since it was made.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.world.path("server.log")).unwrap()
    }

    /// A command of a person.
    pub(super) fn command(&self, name: Name, words: &[&str]) -> Command {
        let mut command = clean(&self.program);
        command.arg("--json").arg("--home").arg(self.world.home(name));
        command.arg("--passphrase-file").arg(self.world.path("passphrase")).args(words);
        command
    }

    /// Runs a command. At each point that comes while it runs a process is killed; after the server, which is started
    /// again at once, the next point is waited for. Whose were killed: counted at once, so that what fails is told of a kill.
    pub(super) async fn run(
        &mut self,
        mut command: Command,
        next: &mut dyn FnMut(&Figures) -> Option<Point>,
        (usual, stored): (Duration, &dyn Fn() -> usize),
        (figures, of): (&mut Figures, (Stride, Account)),
    ) -> (Ended, Vec<Victim>) {
        let mut running = Running::start(&mut command);
        let (mut point, mut since, mut killed) = (next(figures), Instant::now(), Vec::new());
        let mut beat = interval(Duration::from_millis(1));
        while running.has_ended().is_none() {
            if let Some(Point { victim, .. }) =
                point.take_if(|point| running.has_reached(point.when, (since, usual), stored))
            {
                match victim {
                    Victim::Agent => running.kill(),
                    Victim::Server => {
                        self.server.take().unwrap().kill();
                        figures.count(of, victim);
                        killed.push(victim);
                        self.serve();
                        (point, since) = (next(figures), Instant::now());
                    }
                }
            }
            let server = self.server.as_mut().unwrap().has_ended();
            assert!(server.is_none(), "the server ended, and nobody killed it: {server:?}");
            assert!(running.lasts() < AT_MOST, "a command does not end");
            beat.tick().await;
        }
        let ended = running.end();
        if ended.way == Way::Killed {
            figures.count(of, Victim::Agent);
            killed.push(Victim::Agent);
        }
        self.answers().await;
        (ended, killed)
    }
}
