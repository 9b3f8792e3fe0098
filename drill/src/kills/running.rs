//! One command of one person as a process of its own, which may not come to its end.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::points::When;
use crate::program::{KILL, signal};
use crate::{Child, Command};

/// A process that runs.
pub(super) struct Running {
    child: Child,
    started: Instant,
    /// Whether we killed it.
    struck: bool,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    text: String,
    /// When each table was through.
    through: Vec<Instant>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By itself, with this status.
    Status(i32),
    /// By our kill.
    Killed,
    /// By a signal that we did not send: it crashed, or the machine had no memory left.
    ForeignSignal(i32),
}

impl Way {
    fn of(status: ExitStatus, struck: bool) -> Self {
        match (status.code(), signal(status)) {
            (Some(code), _) => Self::Status(code),
            (None, Some(KILL)) if struck => Self::Killed,
            (None, signal) => Self::ForeignSignal(signal.unwrap_or_default()),
        }
    }
}

impl Told {
    fn hear(&mut self, line: &str) {
        if line.contains(" rows in ") {
            self.through.push(Instant::now());
        }
        self.text.extend([line, "\n"]);
    }
}

/// A process that ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) way: Way,
    /// All that it said.
    pub(super) text: String,
    /// How many tables it told of.
    pub(super) tables: usize,
    pub(super) took: Duration,
}

impl Running {
    pub(super) fn start(command: &mut Command) -> Self {
        let told = Arc::<Mutex<Told>>::default();
        let hears = Arc::clone(&told);
        let child = command.spawn_heard(move |line| hears.lock().unwrap().hear(line)).unwrap();
        Self { child, started: Instant::now(), struck: false, told }
    }

    /// Whether a point is reached, for which a share of the usual time counts from `since`; `stored` says how many parcels of
    /// the largest table there are that were not before.
    pub(super) fn has_reached(
        &self,
        when: When,
        (since, usual): (Instant, Duration),
        stored: &dyn Fn() -> usize,
    ) -> bool {
        let since = match when {
            When::Share(_) => Some(since),
            When::Parcels(number) => (stored() >= number).then_some(since),
            When::Line(number, _) => {
                let through = &self.told.lock().unwrap().through;
                number.checked_sub(1).and_then(|at| through.get(at)).copied()
            }
        };
        since.is_some_and(|since| since.elapsed() >= when.delay(usual))
    }

    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(super) fn lasts(&self) -> Duration {
        self.started.elapsed()
    }

    /// As `kill -9` does it, whatever it is doing.
    pub(super) fn kill(&mut self) {
        self.struck = true;
        self.child.kill().unwrap();
    }

    pub(super) fn end(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let took = self.started.elapsed();
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        Ended { way: Way::of(status, self.struck), text: told.text, tables: told.through.len(), took }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn only_a_process_that_we_killed_was_killed() {
        let ended = |wait: i32, struck| Way::of(ExitStatus::from_raw(wait), struck);
        assert_eq!(ended(KILL, true), Way::Killed);
        // As when memory runs out.
        assert_eq!(ended(KILL, false), Way::ForeignSignal(KILL));
        for signal in [4, 6, 11] {
            // It crashed, perhaps right before it would have been killed.
            assert_eq!([ended(signal, true), ended(signal, false)], [Way::ForeignSignal(signal); 2]);
        }
        for struck in [true, false] {
            assert_eq!(ended(75 << 8, struck), Way::Status(75), "it came to its end before its point");
        }
    }

    #[test]
    fn a_process_that_another_signal_ended_is_told_from_one_that_was_killed() {
        let running = |signal: &str| Running::start(Command::new("sh").args(["-c", &format!("kill -{signal} $$")]));
        assert_eq!(running("TERM").end().way, Way::ForeignSignal(15));
        assert_eq!(running("KILL").end().way, Way::ForeignSignal(KILL));
        // It stands still until it is killed.
        let mut still = running("STOP");
        still.kill();
        assert_eq!(still.end().way, Way::Killed);
    }
}
