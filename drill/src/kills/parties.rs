//! The parties of all migrations of a run, and the server as a process that can be killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lexicon::{Clock, SystemClock};
use tokio::time::interval;

use super::points::{Point, Victim};
use super::running::{Ended, Running};
use crate::program::{Program, clean};
use crate::{Name, World, write_file};

/// Far longer than a step waits for a server that is started again at once.
const AT_MOST: Duration = Duration::from_mins(5);

pub(super) struct Parties {
    program: PathBuf,
    world: World,
    server: Option<Program>,
}

impl Parties {
    /// Five persons, and a server that is up and was not made as a demonstration: those take no `MariaDB`.
    pub(super) async fn start(program: &Path) -> Self {
        let mut world = World::start_as(false).await;
        world.stop().await;
        world.write_program_files("sweep_seconds = 1\n");
        write_file(&world.path("passphrase"), b"a passphrase of the drill\n");
        let mut parties = Self { program: program.to_path_buf(), world, server: None };
        parties.serve();
        parties.answers().await;
        parties
    }

    /// Everybody's folders; the story's clock shows the time by which the processes go.
    pub(super) fn world(&self) -> &World {
        self.world.clock.set(SystemClock.now());
        &self.world
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
    /// again at once, the next point is waited for. Whose were killed.
    pub(super) async fn run(
        &mut self,
        mut command: Command,
        next: &mut dyn FnMut() -> Option<Point>,
        usual: Duration,
    ) -> (Ended, Vec<Victim>) {
        let mut running = Running::start(&mut command);
        let (mut point, mut since, mut killed) = (next(), Instant::now(), Vec::new());
        let mut beat = interval(Duration::from_millis(1));
        while running.has_ended().is_none() {
            if let Some(Point { victim, .. }) = point.take_if(|point| running.has_reached(point.when, since, usual)) {
                match victim {
                    Victim::Agent => running.kill(),
                    Victim::Server => {
                        self.server.take().unwrap().kill();
                        self.serve();
                        killed.push(victim);
                        (point, since) = (next(), Instant::now());
                    }
                }
            }
            assert!(running.lasts() < AT_MOST, "a command does not end");
            beat.tick().await;
        }
        let ended = running.end();
        if ended.status.is_none() {
            killed.push(Victim::Agent);
        }
        self.answers().await;
        (ended, killed)
    }
}
