//! What one step costs: CPU of everything that works for it, wall time, and the memory of our own processes.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::procfs;
use crate::process;

/// How often the memory of our processes is looked at. The kernel keeps the highest value, so only what a process adds in
/// its last moments is missed.
const LOOK: Duration = Duration::from_millis(20);

/// How long a database may take to end a session.
const SETTLED: Duration = Duration::from_secs(5);

/// What one step cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost {
    /// CPU seconds of our processes, of the other programs of the step and of the database's processes.
    pub(super) cpu: f64,
    pub(super) wall: f64,
    /// CPU seconds that this machine spent on something else meanwhile.
    pub(super) not_ours: f64,
    /// Load average when the step began.
    pub(super) load: f64,
    /// The most memory of each of our processes, in MiB.
    pub(super) peaks: BTreeMap<String, f64>,
}

type Watched = Arc<Mutex<BTreeMap<u32, String>>>;

/// Measures steps.
pub(super) struct Meter {
    ticks_per_second: f64,
    /// Processes that run all the time: the lazaret, and the trees of the databases.
    pub(super) servers: Vec<u32>,
    pub(super) trees: Vec<u32>,
    watched: Watched,
}

impl Meter {
    pub(super) fn new() -> Result<Self> {
        let ticks_per_second = procfs::ticks_per_second()?;
        Ok(Self { ticks_per_second, servers: Vec::new(), trees: Vec::new(), watched: Watched::default() })
    }

    /// Does the work and says what it cost.
    pub(super) fn measure(&self, work: impl FnOnce(&Watch) -> Result<()>) -> Result<Cost> {
        let watch = Watch { watched: Arc::clone(&self.watched) };
        let (stop, stopped) = channel::<()>();
        let watched = Arc::clone(&self.watched);
        let looking = std::thread::spawn(move || {
            let mut peaks: BTreeMap<String, u64> = BTreeMap::new();
            loop {
                for (process, name) in lock(&watched).iter() {
                    let peak = procfs::peak(*process).unwrap_or_default();
                    let highest = peaks.entry(name.clone()).or_default();
                    *highest = peak.max(*highest);
                }
                if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return peaks;
                }
            }
        });
        let (load, processes) = (procfs::load(), self.processes());
        let (before, others, started) = (self.ticks(), self.all_ticks(), Instant::now());
        let worked = work(&watch);
        let wall = started.elapsed().as_secs_f64();
        self.settle(processes);
        let (ticks, all) = (self.ticks().saturating_sub(before), self.all_ticks());
        drop(stop);
        let Ok(peaks) = looking.join() else { bail!("the memory could not be looked at") };
        worked?;
        let peaks = peaks.into_iter().map(|(name, kib)| (name, decimal(kib) / 1024.0)).collect();
        let not_ours = self.seconds(all.0.saturating_sub(others.0).saturating_sub(all.1.saturating_sub(others.1)));
        Ok(Cost { cpu: self.seconds(ticks), wall, not_ours, load, peaks })
    }

    fn processes(&self) -> usize {
        self.trees.iter().map(|root| procfs::tree(*root).processes).fold(0, usize::saturating_add)
    }

    /// Waits until the databases' processes for the step's sessions have ended: they do so a moment after their clients.
    fn settle(&self, processes: usize) {
        let begun = Instant::now();
        while self.processes() > processes && begun.elapsed() < SETTLED {
            process::pause();
        }
    }

    /// Ticks of what works for a step.
    fn ticks(&self) -> u64 {
        let servers = self.servers.iter().map(|process| procfs::of(*process));
        let trees = self.trees.iter().map(|root| procfs::tree(*root).ticks);
        servers.chain(trees).fold(procfs::reaped(), u64::saturating_add)
    }

    /// Ticks of the whole machine, and those of the step and of this process, which looks on.
    fn all_ticks(&self) -> (u64, u64) {
        (procfs::busy(), self.ticks().saturating_add(procfs::ours()))
    }

    fn seconds(&self, ticks: u64) -> f64 {
        decimal(ticks) / self.ticks_per_second
    }
}

fn decimal(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn lock(watched: &Watched) -> std::sync::MutexGuard<'_, BTreeMap<u32, String>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the programs of a step.
pub(super) struct Watch {
    watched: Watched,
}

impl Watch {
    /// Runs a program of ours, whose memory is looked at under `name`; what it printed. It must end with one of these
    /// statuses.
    pub(super) fn ours(&self, name: &str, command: &mut Command, statuses: &[i32]) -> Result<String> {
        let child = started(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let process = child.id();
        lock(&self.watched).insert(process, name.to_owned());
        let output = child.wait_with_output();
        lock(&self.watched).remove(&process);
        let output = output?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.code().is_none_or(|status| !statuses.contains(&status)) {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("{name} ended with {}: {} {}", output.status, said.trim(), words.trim());
        }
        Ok(said)
    }

    /// Looks at the memory of a process that goes on, under `name`, in every step from here on.
    pub(super) fn looks_at(meter: &Meter, name: &str, process: u32) {
        lock(&meter.watched).insert(process, name.to_owned());
    }
}

/// Runs programs of others, each one's output being the next one's input.
pub(super) fn pipe(commands: &mut [Command]) -> Result<()> {
    let mut children: Vec<(String, Child)> = Vec::new();
    let last = commands.len().saturating_sub(1);
    let mut input = Stdio::null();
    for (place, command) in commands.iter_mut().enumerate() {
        command.stdin(input).stderr(Stdio::piped());
        if place < last {
            command.stdout(Stdio::piped());
        }
        let mut child = started(command)?;
        input = child.stdout.take().filter(|_| place < last).map_or_else(Stdio::null, Stdio::from);
        children.push((command.get_program().to_string_lossy().into_owned(), child));
    }
    // Dropped here, so that a program whose reader ends hears of it.
    drop(input);
    let mut failed = Vec::new();
    for (name, mut child) in children {
        let mut words = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut words)?;
        }
        let status = child.wait()?;
        if !status.success() {
            failed.push(format!("{name} ended with {status}: {}", words.trim()));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

/// What a program of others prints.
pub(super) fn said(command: &mut Command) -> Result<String> {
    let output =
        started(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?.wait_with_output()?;
    if !output.status.success() {
        let name = command.get_program().to_string_lossy().into_owned();
        bail!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn started(command: &mut Command) -> Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.spawn().with_context(|| format!("{name} cannot be started"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_child_computes_is_counted_and_its_memory_seen() {
        let meter = Meter::new().unwrap();
        let cost = meter
            .measure(|watch| {
                let said = watch.ours(
                    "counting",
                    &mut shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo $i"),
                    &[0],
                )?;
                assert_eq!(said.trim(), "300000");
                Ok(())
            })
            .unwrap();
        assert!(cost.cpu > 0.02 && cost.cpu < 60.0, "{cost:?}");
        assert!(cost.peaks.get("counting").copied().unwrap_or_default() > 0.1, "{cost:?}");
    }

    #[test]
    fn a_failure_in_the_middle_of_a_pipe_is_told() {
        pipe(&mut [shell("echo a"), shell("cat >/dev/null")]).unwrap();
        let told = pipe(&mut [shell("echo a"), shell("cat >/dev/null; exit 3"), shell("cat >/dev/null")]).unwrap_err();
        assert!(told.to_string().contains('3'), "{told}");
        let meter = Meter::new().unwrap();
        let refused = meter.measure(|watch| watch.ours("refusing", &mut shell("exit 4"), &[0]).map(drop));
        assert!(refused.is_err());
        meter.measure(|watch| watch.ours("waiting", &mut shell("exit 4"), &[4]).map(drop)).unwrap();
    }
}
