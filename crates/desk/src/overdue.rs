//! A device's own deadline: what is due goes by itself, without server, passphrase or anybody's command.
//!
//! Only a deadline that has passed destroys here. After a sign-off or a cancelling the recipient's probe comes first,
//! which needs its keys; whoever lets that wait meets the deadline all the same.

use lexicon::{
    Alarm, Clock, Code, ConsignmentId, MigrationId, Result, Timestamp, Trouble, hours_after, limits::DEADLINE_DAYS_MAX,
};
use procedure::Migration;
use serde::Serialize;
use wire::ServerCard;

use crate::{Gone, Home, Round};

/// What a device destroyed by itself when it looked.
#[derive(Debug, Default)]
pub struct Overdue {
    /// The rounds that were due.
    pub destroyed: Vec<OverdueRound>,
    /// Rounds whose keys were destroyed before and were found again: a backup was restored, or a copy put back. They
    /// are destroyed again; that they came back is an alarm that the caller raises.
    pub returned: Vec<Round>,
    /// Migrations whose deadline cannot be read from what is kept here, and until when their keys are kept all the same;
    /// and those whose keys could not be removed.
    pub failed: Vec<(MigrationId, Trouble)>,
    /// Why the card of this device's server could not be read, without which no deadline can.
    pub card: Option<Trouble>,
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
    /// The deadline, as this device last verified it; the longest, where it knows of none.
    pub deadline: Timestamp,
    /// Shares and keys destroyed.
    pub keys: u32,
}

/// Destroys what this device keeps of every round whose deadline, or whose migration's, has passed: by the facts that it
/// last verified, and by the larger of its clock and its own last recorded time. An extension that it was not told of
/// does not count. Where these facts tell no deadline, for they are gone, cut or damaged, the longest that a plan may name
/// holds, counted from when that was first seen. What is left to say to the server is said by the next
/// `lazaret migration destroy`.
///
/// A deadline that is known needs no space: a full disk keeps no such key. Costs a replay of every migration of which keys
/// are kept.
///
/// # Errors
/// What keeps it from looking at all; a trouble with one migration stands in [`Overdue::failed`].
pub fn destroy_overdue(home: &Home, clock: &dyn Clock) -> Result<Overdue> {
    let card = home.card();
    let (now, kept) = home.now_at_least(clock);
    let mut overdue = Overdue { time: kept.err(), ..Overdue::default() };
    for migration in home.migrations()? {
        if let Some(rounds) = overdue.or_told(migration, home.rounds_of(migration)) {
            look(home, card.as_ref().ok(), (migration, &rounds, now), &mut overdue);
        }
    }
    overdue.card = card.err();
    Ok(overdue)
}

/// Of one migration: what is due goes, and what was begun is finished. No trouble with one round keeps another's keys.
fn look(
    home: &Home,
    card: Option<&ServerCard>,
    (migration, rounds, now): (MigrationId, &[Round], Timestamp),
    overdue: &mut Overdue,
) {
    // Of a stone that cannot be read, settling its round tells.
    let kept: Vec<Round> = rounds.iter().copied().filter(|round| matches!(home.gone(*round), Ok(None))).collect();
    let card = card.filter(|_| !kept.is_empty());
    let ledger = card.and_then(|card| overdue.or_told(migration, home.replay(card, migration, now)));
    let known = |round: Round| ledger.as_ref().and_then(|ledger| deadline(ledger.migration(), round.consignment));
    let longest = if kept.iter().all(|round| known(*round).is_some()) {
        overdue.or_told(migration, home.forget_undated(migration));
        None
    } else {
        let since = overdue.or_told(migration, home.undated_since(migration, now));
        since.map(|since| hours_after(since, DEADLINE_DAYS_MAX.saturating_mul(24)))
    };
    for round in kept {
        let own = known(round);
        let due = own.or(longest).filter(|deadline| now >= *deadline);
        let Some(deadline) = due else {
            let until = longest.filter(|_| own.is_none());
            overdue.failed.extend(until.map(|until| (migration, undated(round, until))));
            continue;
        };
        let begun = Gone { deadline: Some(deadline), ..Gone::begun(now) };
        let gone = overdue.or_told(migration, home.end(round, begun));
        overdue.destroyed.extend(gone.map(|Gone { keys, .. }| OverdueRound { round, deadline, keys }));
    }
    for round in rounds {
        if overdue.or_told(migration, home.settle(*round)) == Some(true) {
            overdue.returned.push(*round);
        }
    }
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
        let Self { destroyed, returned, failed, card, time } = self;
        destroyed.is_empty() && returned.is_empty() && failed.is_empty() && card.is_none() && time.is_none()
    }

    /// What came of it; nothing where it failed, and that is told.
    fn or_told<T>(&mut self, migration: MigrationId, came: Result<T>) -> Option<T> {
        match came {
            Ok(came) => Some(came),
            Err(trouble) => {
                self.failed.push((migration, trouble));
                None
            }
        }
    }
}

/// A round that no fact knows (its offer never became one) lives no longer than its migration.
fn deadline(migration: &Migration, consignment: ConsignmentId) -> Option<Timestamp> {
    let own = migration.consignment(consignment).map(|consignment| consignment.deadline);
    own.into_iter().chain(migration.deadline.map(|deadline| deadline.at)).min()
}

/// Keys are kept after the facts that tell their deadline: that none tells it is never only a look that came too early.
fn undated(round: Round, until: Timestamp) -> Trouble {
    let message = format!(
        "nothing on this device tells the deadline of consignment {} any more, of which it keeps keys: they go at {until}, unless `lazaret next` brings its facts back from the server before",
        round.consignment.short()
    );
    Alarm::new(Code(1227), message).into()
}
