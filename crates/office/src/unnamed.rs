//! Living ring keys that nothing names: no fact, and no note of an opening. A server that was put back to before a
//! consignment was opened has such. Each is noted once, and destroyed with its parcels when the farthest deadline that its
//! consignment may have is over; not before, for a later copy of the registry may yet name it.
//!
//! Damage changes nothing of that. A fact that cannot be read may name the key; but its consignment was opened before the note,
//! with a deadline of its own that no extension moves: it ends by then too.

use std::collections::BTreeSet;
use std::sync::Arc;

use lexicon::{Alarm, Code, ConsignmentId, Result, Timestamp, hours_after};
use registry::{Mark, Marking, Registry};

use crate::{Office, State, broke_off, is_away};

/// How often the ring is asked which keys it holds: it may lie far away, and a server is put back while it is down.
const ASKED_HOURS: i64 = 1;

/// The consignments that a mark stands on.
pub(crate) fn marked(registry: &Registry, mark: Mark) -> Result<BTreeSet<ConsignmentId>> {
    Ok(registry.subjects(mark)?.iter().filter_map(|subject| subject.parse().ok()).collect())
}

impl State {
    /// The consignments that facts name.
    pub(crate) fn consignments(&self) -> BTreeSet<ConsignmentId> {
        let consignments = self.ledgers.values().flat_map(|ledger| &ledger.migration().consignments);
        consignments.map(|consignment| consignment.id).collect()
    }

    /// The consignments that a fact or the note of an opening names.
    pub(crate) fn named(&self, registry: &Registry) -> Result<BTreeSet<ConsignmentId>> {
        let mut named = self.consignments();
        named.append(&mut marked(registry, Mark::Opening)?);
        Ok(named)
    }

    /// Those that were noted as named by nothing, are so still, and are not destroyed, each with when it was noted.
    pub(crate) fn unnamed(&self, registry: &Registry) -> Result<Vec<(ConsignmentId, Timestamp)>> {
        let noted = marked(registry, Mark::Unnamed)?;
        if noted.is_empty() {
            return Ok(Vec::new());
        }
        let (named, destroyed) = (self.named(registry)?, marked(registry, Mark::Destroyed)?);
        let mut unnamed = Vec::new();
        for consignment in noted.into_iter().filter(|id| !named.contains(id) && !destroyed.contains(id)) {
            let noted = registry.marked(Mark::Unnamed, &consignment.to_string())?;
            unnamed.extend(noted.map(|noted| (consignment, noted.at)));
        }
        Ok(unnamed)
    }
}

impl Office {
    /// Asks the ring from time to time which keys live in it, and notes those that nothing names.
    pub(crate) async fn note_unnamed(&self) -> Result<()> {
        let now = self.clock.now();
        {
            let mut state = self.state.lock().await;
            let lately = state.asked_at.is_some_and(|at| (at..hours_after(at, ASKED_HOURS)).contains(&now));
            if lately {
                return Ok(());
            }
            state.asked_at = Some(now);
        }
        let ring = Arc::clone(&self.ring);
        let held = tokio::task::spawn_blocking(move || ring.held()).await.map_err(|_| broke_off())?;
        // A ring that is away is told of by whatever needs it.
        let Ok(held) = held else { return Ok(()) };
        // Asked after the ring: the note of an opening stands before its key is made.
        let state = self.state.lock().await;
        let mut known = state.named(&self.registry)?;
        known.append(&mut marked(&self.registry, Mark::Unnamed)?);
        // A clock that is behind the facts will be set right, and must not have shortened the wait then.
        let from = now.max(state.latest());
        for consignment in held.into_iter().filter(|id| !known.contains(id)) {
            let end = hours_after(from, self.deadline_days_max.saturating_mul(24));
            let alarm = Alarm::new(
                Code(824),
                format!(
                    "the key ring has a living key of consignment {consignment}, which no fact and no note of an opening names: the server was put back to before it was opened; it is destroyed at {end}, unless a later copy of the registry is put in the place of this one before"
                ),
            );
            let marking = Marking { mark: Mark::Unnamed, subject: &consignment.to_string(), forget: None };
            self.mark_at(from, alarm.to_string(), &marking)?;
        }
        Ok(())
    }

    /// Those that were noted long enough ago.
    async fn unnamed_for_long(&self) -> Result<Vec<ConsignmentId>> {
        let now = self.clock.now();
        let unnamed = self.state.lock().await.unnamed(&self.registry)?;
        let is_over = |noted: &Timestamp| now >= hours_after(*noted, self.deadline_days_max.saturating_mul(24));
        Ok(unnamed.into_iter().filter(|(_, noted)| is_over(noted)).map(|(consignment, _)| consignment).collect())
    }

    /// Destroys the keys that nothing names, when they were noted long enough ago, and waits for no shelf.
    pub(crate) async fn destroy_keys_unnamed(&self) -> Result<()> {
        let mut first = Ok(());
        for consignment in self.unnamed_for_long().await? {
            let receipt = self.registry.so_far()?;
            let destroyed = vault::destroy_key(Arc::clone(&self.ring), (consignment, None), &receipt).await.map(drop);
            let away = is_away(&destroyed);
            first = first.and(destroyed);
            if away {
                break;
            }
        }
        first
    }

    /// Deletes the parcels of those keys, and notes the end.
    pub(crate) async fn empty_shelves_unnamed(&self) -> Result<()> {
        let mut first = Ok(());
        for consignment in self.unnamed_for_long().await? {
            first = first.and(self.empty_shelf_unnamed(consignment).await);
        }
        first
    }

    async fn empty_shelf_unnamed(&self, consignment: ConsignmentId) -> Result<()> {
        let receipt = self.registry.so_far()?;
        let (erased, what) = self.erase_without_fact((consignment, None), &receipt).await?;
        let text = format!("consignment {consignment}, which nothing names: {what}");
        let marking = Marking { mark: Mark::Destroyed, subject: &consignment.to_string(), forget: None };
        let mut state = self.state.lock().await;
        self.mark(text, &marking)?;
        state.lingers(consignment, &erased);
        Ok(())
    }
}
