//! The beat on which a server does what nobody asks it for. It has two halves: first every key goes whose time is over, of
//! whole and of damaged facts, of openings that came to nothing and of what nothing names; then shelves are emptied, which
//! may take hours, and which no key waits for.

use std::convert::Infallible;
use std::sync::Arc;

use lexicon::{MigrationId, Result};
use tokio::sync::oneshot;

use crate::{Office, State, aside};

/// Sweeps an office beat by beat. Whoever drops it stops the emptying of shelves that still runs, as a crash would: it is
/// taken up by the next sweep.
pub struct Sweeper {
    office: Arc<Office>,
    /// Of the emptying that was begun last: it drops the other end when it is over, and stops when this one is dropped.
    emptying: oneshot::Sender<Infallible>,
}

impl Sweeper {
    /// One whose first beat is yet to come.
    pub fn new(office: Arc<Office>) -> Self {
        let (emptying, _) = oneshot::channel();
        Self { office, emptying }
    }

    /// One beat: what is due loses its key. Shelves are emptied from then on, beside the beats that follow, one emptying at a
    /// time; what trouble that has stands in the log.
    ///
    /// # Errors
    /// As [`Office::sweep_keys`].
    pub async fn beat(&mut self) -> Result<()> {
        let office = Arc::clone(&self.office);
        let keys = aside(async move { office.sweep_keys().await }).await;
        if self.emptying.is_closed() {
            self.emptying = begin_emptying(Arc::clone(&self.office));
        }
        keys
    }
}

fn begin_emptying(office: Arc<Office>) -> oneshot::Sender<Infallible> {
    let (emptying, dropped) = oneshot::channel();
    let swept = aside(async move {
        tokio::select! {
            swept = office.sweep_shelves() => swept,
            _ = dropped => Ok(()),
        }
    });
    tokio::spawn(async move {
        if let Err(trouble) = swept.await {
            tracing::error!(code = %trouble.code(), "The shelves could not all be emptied: {trouble}.");
        }
    });
    emptying
}

impl State {
    /// The migrations whose facts are damaged, and those whose facts are whole.
    fn by_damage(&self) -> (Vec<MigrationId>, Vec<MigrationId>) {
        self.ledgers.keys().copied().partition(|id| self.damaged.contains(id))
    }
}

impl Office {
    /// Both halves of a beat, one after the other, for whoever may wait for the shelves.
    ///
    /// # Errors
    /// A fault when something could not be destroyed; it is tried again at the next call.
    pub async fn sweep(&self) -> Result<()> {
        let keys = self.sweep_keys().await;
        keys.and(self.sweep_shelves().await)
    }

    /// Carries out deadlines that have passed and destroys every key whose time is over, those included whose destruction
    /// was cut. Waits for rows and ring, and for no shelf.
    ///
    /// # Errors
    /// A fault when something could not be destroyed; it is tried again at the next call.
    pub async fn sweep_keys(&self) -> Result<()> {
        let (mut first, whole, damaged, unwritten) = {
            let mut state = self.state.lock().await;
            // What cannot be taken up or spread holds up no deadline; its trouble is told at the end.
            let mut first = self.take_up_admissions(&mut state);
            first = first.and(self.spread_revocations(&mut state));
            let (damaged, whole) = state.by_damage();
            let mut unwritten = Vec::new();
            for id in &whole {
                let carried_out = self.carry_out_deadlines(&mut state, *id);
                if carried_out.is_err() {
                    unwritten.extend(self.due(&state, *id).into_iter().map(|consignment| (*id, consignment)));
                }
                first = first.and(carried_out);
            }
            (first, whole, damaged, unwritten)
        };
        for id in whole {
            first = first.and(self.destroy_keys(id).await);
        }
        for due in &unwritten {
            first = first.and(self.destroy_unwritten(*due).await);
        }
        for id in damaged {
            first = first.and(self.destroy_keys_damaged(id).await);
        }
        // First, for it may put openings in doubt.
        first = first.and(self.note_unnamed().await);
        first = first.and(self.destroy_unopened().await);
        first = first.and(self.destroy_keys_unnamed().await);
        first.and(self.look_back_at_a_key().await)
    }

    /// Deletes the parcels of what ended, records that, and goes on where it was cut. Takes as long as the shelf does.
    ///
    /// # Errors
    /// A fault when something could not be deleted; it is tried again at the next call.
    pub async fn sweep_shelves(&self) -> Result<()> {
        let (damaged, whole) = self.state.lock().await.by_damage();
        let mut first = Ok(());
        for id in whole {
            first = first.and(self.empty_shelves(id).await);
        }
        // As for each of those: who comes second finds it done.
        let _alone = self.destroying.lock().await;
        for id in damaged {
            first = first.and(self.empty_shelves_damaged(id).await);
        }
        first = first.and(self.empty_shelves_unnamed().await);
        first = first.and(self.look_back_at_a_shelf().await);
        first.and(self.delete_what_was_held().await)
    }
}
