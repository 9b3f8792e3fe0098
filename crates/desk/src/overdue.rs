//! A device's own deadline: what is due goes by itself, without server, passphrase or anybody's command.
//!
//! Only a deadline that has passed destroys here. After a sign-off or a cancelling the recipient's probe comes first,
//! which needs its keys; whoever lets that wait meets the deadline all the same.

use lexicon::{Clock, ConsignmentId, MigrationId, Result, Timestamp, Trouble};
use procedure::Migration;
use serde::Serialize;

use crate::{Gone, Home, Round};

/// What a device destroyed by itself when it looked.
#[derive(Debug, Default)]
pub struct Overdue {
    /// The rounds that were due.
    pub destroyed: Vec<OverdueRound>,
    /// Rounds whose keys were destroyed before and were found again: a backup was restored, or a copy put back. They
    /// are destroyed again; that they came back is an alarm that the caller raises.
    pub returned: Vec<Round>,
    /// Migrations whose deadline cannot be read from what is kept here, or whose keys could not be overwritten.
    pub failed: Vec<(MigrationId, Trouble)>,
    /// Why this device's recorded time could not be read, or not be recorded: what was due went all the same, and what is
    /// to be kept from now on cannot be.
    pub time: Option<Trouble>,
}

/// One round that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OverdueRound {
    /// Which.
    #[serde(flatten)]
    pub round: Round,
    /// The deadline, as this device last verified it.
    pub deadline: Timestamp,
    /// Shares and keys destroyed.
    pub keys: u32,
}

/// Destroys what this device keeps of every round whose deadline, or whose migration's, has passed: by the facts that it
/// last verified, and by the larger of its clock and its own last recorded time. An extension that it was not told of
/// does not count. What is left to say to the server is said by the next `lazaret migration destroy`.
///
/// Needs no space: a full disk keeps no key. Costs a replay of every migration of which keys are kept.
///
/// # Errors
/// What keeps it from looking at all; a trouble with one migration stands in [`Overdue::failed`].
pub fn destroy_overdue(home: &Home, clock: &dyn Clock) -> Result<Overdue> {
    let card = home.card()?;
    let (now, kept) = home.now_at_least(clock);
    let mut overdue = Overdue { time: kept.err(), ..Overdue::default() };
    for migration in home.migrations()? {
        let destroyed = (|| {
            let kept = home.held(migration)?;
            if kept.is_empty() {
                return Ok(());
            }
            let ledger = home.replay(&card, migration, now)?;
            let mut first = Ok(());
            for round in kept {
                let due = deadline(ledger.migration(), round.consignment).filter(|deadline| now >= *deadline);
                let Some(deadline) = due else { continue };
                // One that cannot be destroyed keeps no other round's keys.
                match home.end(round, Gone { deadline: Some(deadline), ..Gone::begun(now) }) {
                    Ok(Gone { keys, .. }) => overdue.destroyed.push(OverdueRound { round, deadline, keys }),
                    Err(trouble) => first = first.and(Err(trouble)),
                }
            }
            first
        })();
        overdue.failed.extend(destroyed.err().map(|trouble: Trouble| (migration, trouble)));
    }
    for round in home.rounds()? {
        match home.settle(round) {
            Ok(true) => overdue.returned.push(round),
            Ok(false) => {}
            Err(trouble) => overdue.failed.push((round.migration, trouble)),
        }
    }
    Ok(overdue)
}

/// [`destroy_overdue`] at every beat, until the beat ends. `told` hears of each look that destroyed, found or failed at
/// something, and of each that could not be made.
pub async fn watch(
    home: &Home,
    clock: std::sync::Arc<dyn Clock>,
    mut beat: impl AsyncFnMut() -> Option<()>,
    mut told: impl FnMut(Result<Overdue>),
) {
    while beat().await.is_some() {
        let (home, clock) = (home.clone(), std::sync::Arc::clone(&clock));
        let looked = tokio::task::spawn_blocking(move || destroy_overdue(&home, clock.as_ref())).await;
        // A look that was cut ends with the runtime; there is nobody left to tell.
        let Ok(looked) = looked else { return };
        if !looked.as_ref().is_ok_and(Overdue::is_quiet) {
            told(looked);
        }
    }
}

impl Overdue {
    /// Whether there is nothing to tell.
    pub fn is_quiet(&self) -> bool {
        self.destroyed.is_empty() && self.returned.is_empty() && self.failed.is_empty() && self.time.is_none()
    }
}

/// A round that no fact knows (its offer never became one) lives no longer than its migration.
fn deadline(migration: &Migration, consignment: ConsignmentId) -> Option<Timestamp> {
    let own = migration.consignment(consignment).map(|consignment| consignment.deadline);
    own.into_iter().chain(migration.deadline.map(|deadline| deadline.at)).min()
}
