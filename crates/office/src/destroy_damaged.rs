//! The end of what no fact can be added to any more: a deadline needs no whole ledger.
//!
//! Damaged facts still say a deadline as far as they replay, and the row of the wrapped share says one too: the earlier
//! holds, and never later than the longest that this server allows, counted from the day on which the damage was seen.
//! What is done is said in notes, in the journal or beside it: facts over a ledger that has a hole would be a second
//! history.

use std::collections::BTreeMap;
use std::sync::Arc;

use lexicon::{Code, ConsignmentId, Digest, Fault, MigrationId, Result, Retry, Timestamp, hours_after};
use procedure::{Act, ConsignmentStage, Ledger};
use registry::{Mark, Marking};
use vault::{Erased, Erasure, KeyState, Receipt, ShelfErasure, Wrapped};

use crate::destroy::lingers;
use crate::{Office, State};

impl Office {
    /// Destroys the keys of a damaged migration whose deadline has passed, and waits for no shelf.
    pub(crate) async fn destroy_keys_damaged(&self, id: MigrationId) -> Result<()> {
        let (mut first, due) = self.due_without_facts(id).await;
        for (consignment, deadline) in due {
            first = first.and(self.destroy_key_without_fact((id, consignment), deadline).await);
        }
        first
    }

    /// Deletes the parcels of a damaged migration whose deadline has passed, and notes the end.
    pub(crate) async fn empty_shelves_damaged(&self, id: MigrationId) -> Result<()> {
        let (mut first, due) = self.due_without_facts(id).await;
        for (consignment, deadline) in due {
            first = first.and(self.destroy_without_fact((id, consignment), deadline).await);
        }
        first
    }

    /// What is due, and the trouble of saying so: a mark that cannot be set and a row that cannot be read hold up no deadline
    /// that is known.
    async fn due_without_facts(&self, id: MigrationId) -> (Result<()>, Vec<(ConsignmentId, Timestamp)>) {
        let state = self.state.lock().await;
        let last = state.ledgers.get(&id).map_or(Timestamp::MIN, |ledger| ledger.migration().last_at);
        let now = self.clock.now().max(last);
        let (seen, first) = match self.damage_seen(id, now) {
            Ok(seen) => (seen, Ok(())),
            Err(trouble) => (now, Err(trouble)),
        };
        let latest = hours_after(seen, self.deadline_days_max.saturating_mul(24));
        let (told, read) = self.deadlines(&state, id);
        let deadlines = told
            .into_iter()
            .map(|(consignment, told)| (consignment, told.map_or(latest, |deadline| deadline.min(latest))));
        let due = deadlines.filter(|(consignment, deadline)| now >= *deadline && !state.settled.contains(consignment));
        (first.and(read), due.collect())
    }

    /// When the damage was seen first: now, if nobody wrote it down before.
    fn damage_seen(&self, id: MigrationId, now: Timestamp) -> Result<Timestamp> {
        if let Some(marked) = self.registry.marked(Mark::Damaged, &id.to_string())? {
            return Ok(marked.at);
        }
        let days = self.deadline_days_max;
        let text = format!(
            "migration {id}: its facts are damaged; its consignments are destroyed at their deadlines, and at the latest in {days} days"
        );
        self.mark_migration(id, Mark::Damaged, text)?;
        Ok(now)
    }

    /// Every consignment that anything tells of, with the earliest deadline that it is told to have; and whether the rows of
    /// wrapped shares could be asked.
    fn deadlines(&self, state: &State, id: MigrationId) -> (BTreeMap<ConsignmentId, Option<Timestamp>>, Result<()>) {
        let mut deadlines: BTreeMap<ConsignmentId, Option<Timestamp>> = BTreeMap::new();
        let replayed = state.ledgers.get(&id).map(Ledger::migration);
        for consignment in replayed.iter().flat_map(|migration| &migration.consignments) {
            let whole = replayed.and_then(|migration| migration.deadline).map(|deadline| deadline.at);
            let deadline = if consignment.ending.is_some() { Timestamp::MIN } else { consignment.deadline };
            if consignment.stage != ConsignmentStage::Destroyed {
                deadlines.insert(consignment.id, Some(whole.map_or(deadline, |whole| whole.min(deadline))));
            }
        }
        let rows = self.registry.strongroom(id);
        for (consignment, deadline) in rows.iter().flatten() {
            let told = deadlines.entry(*consignment).or_default();
            *told = [*told, *deadline].into_iter().flatten().min();
        }
        (deadlines, rows.map(drop))
    }

    async fn destroy_key_without_fact(
        &self,
        (id, consignment): (MigrationId, ConsignmentId),
        deadline: Timestamp,
    ) -> Result<()> {
        // Where that cannot be learned it is destroyed, once more if need be.
        if self.key_is_gone(consignment).unwrap_or(false) {
            return Ok(());
        }
        let wrapped = (consignment, self.share_to_show(id, consignment));
        let (receipt, noted) = match self.overdue_receipt(id, consignment, deadline).await {
            Ok(receipt) => (receipt, Ok(())),
            // Neither journal nor disk takes why: its key goes all the same, and all of it is noted when that can be.
            Err(trouble) => (self.registry.so_far()?, Err(trouble)),
        };
        vault::destroy_key(Arc::clone(&self.ring), wrapped, &receipt).await?;
        noted
    }

    async fn destroy_without_fact(
        &self,
        (id, consignment): (MigrationId, ConsignmentId),
        deadline: Timestamp,
    ) -> Result<()> {
        if self.is_gone(consignment).await? {
            let mut state = self.state.lock().await;
            state.ask_what_is_held(consignment, &self.registry)?;
            state.settled.insert(consignment);
            return Ok(());
        }
        let wrapped = (consignment, self.wrapped(id, consignment)?);
        let receipt = self.overdue_receipt(id, consignment, deadline).await?;
        let (erased, what) = self.erase_without_fact(wrapped, &receipt).await?;
        let text = format!("consignment {consignment} of migration {id}: {what}");
        let mut state = self.state.lock().await;
        let (subject, kept) = (consignment.to_string(), state.ledgers.get(&id).map(planned).unwrap_or_default());
        let marking = Marking { mark: Mark::Destroyed, subject: &subject, forget: Some((id, consignment, &kept)) };
        self.mark(text, &marking)?;
        state.lingers(consignment, &erased);
        state.settled.insert(consignment);
        Ok(())
    }

    /// Destroys the key, then the parcels: what the shelf says, and all of it in words for a note.
    pub(crate) async fn erase_without_fact(
        &self,
        consignment: (ConsignmentId, Option<Wrapped>),
        receipt: &Receipt,
    ) -> Result<(Erased, String)> {
        let Erasure { ring, shelf, .. } =
            vault::erase(Arc::clone(&self.ring), self.shelf.as_ref(), consignment, receipt).await?;
        let ShelfErasure::Empty(erased) = shelf else {
            let text = "parcels whose key is destroyed could not all be deleted yet";
            return Err(Fault::new(Code(840), Retry::Later, text).into());
        };
        self.tell_of_a_copy(&ring)?;
        let what = format!(
            "destroyed without a fact, its ring key at {} ({}), then {} parcels of {} bytes{}",
            ring.destroyed_at,
            ring.words(),
            erased.objects,
            erased.bytes,
            lingering(&erased)
        );
        Ok((erased, what))
    }

    /// The proof that it is recorded why the key is destroyed.
    async fn overdue_receipt(
        &self,
        id: MigrationId,
        consignment: ConsignmentId,
        deadline: Timestamp,
    ) -> Result<Receipt> {
        // Both halves of a sweep may ask at once, and it is noted once.
        let _state = self.state.lock().await;
        let subject = consignment.to_string();
        if self.registry.marked(Mark::Overdue, &subject)?.is_some() {
            return self.registry.so_far();
        }
        let text = format!("consignment {consignment} of migration {id}: its end of {deadline} has passed");
        self.mark(text, &Marking { mark: Mark::Overdue, subject: &subject, forget: None })
    }

    /// Whether nothing is to be done about its key: its end is noted, or its key went before its facts were damaged.
    fn key_is_gone(&self, consignment: ConsignmentId) -> Result<bool> {
        let subject = consignment.to_string();
        if self.registry.marked(Mark::Destroyed, &subject)?.is_some() {
            return Ok(true);
        }
        let begun = self.registry.marked(Mark::Overdue, &subject)?.is_some();
        let destroyed = matches!(self.ring.attest(consignment), Ok(KeyState::Destroyed { .. }));
        Ok(destroyed && !begun && self.registry.wrapped_share(consignment)?.is_none())
    }

    /// Whether nothing of it is left: its end is noted, or it was destroyed before its facts were damaged.
    async fn is_gone(&self, consignment: ConsignmentId) -> Result<bool> {
        let noted = self.registry.marked(Mark::Destroyed, &consignment.to_string())?.is_some();
        Ok(noted || (self.key_is_gone(consignment)? && self.shelf.list(consignment).await?.is_empty()))
    }
}

impl State {
    /// Keeps what an object store lets nobody delete yet, to be deleted later.
    pub(crate) fn lingers(&mut self, consignment: ConsignmentId, erased: &Erased) {
        if !erased.lingering.is_empty() {
            self.held.insert(consignment, erased.lingering.iter().map(lingers).collect());
        }
    }
}

/// The documents that plans name: all others may be sealed shares.
fn planned(ledger: &Ledger) -> Vec<Digest> {
    let plans = ledger.recorded().iter().filter_map(|recorded| {
        if let Act::Propose { plan } = &recorded.fact.act { Some([plan.scope, plan.report]) } else { None }
    });
    plans.flatten().collect()
}

/// What the store lets nobody delete yet, for the note.
fn lingering(erased: &Erased) -> String {
    let named = erased.lingering.iter().map(|kept| {
        let until = kept.until.map_or_else(|| "its hold is lifted".to_owned(), |until| until.to_string());
        format!("; parcel {} is kept by the object store until {until}", kept.parcel)
    });
    named.collect()
}
