//! A server that was put back to before a destruction hears of it at its start, from its key ring: tombstones are in no
//! backup of the data folder, and never removed. It is told each time; the rounds that live again by their facts are
//! destroyed in their time, and nothing else is done in their migrations. Of keys that live and that nothing names it hears
//! too: what becomes of them is in [`crate::unnamed`].

use std::collections::BTreeSet;

use lexicon::{Alarm, Code, ConsignmentId, MigrationId, Result, Timestamp, Trouble};
use procedure::{Consignment, ConsignmentStage, Migration};
use registry::Mark;
use vault::{KeyRing, KeyState};

use crate::destroy::is_due;
use crate::unnamed::marked;
use crate::{Furniture, Office, State};

/// What the journal keeps of what was found at a start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A note at each start: it may not hold at the next. A ring that merely has no key may be the wrong one.
    Note,
    /// A mark of the migration, for good: the ring's own tombstone says it.
    Mark,
    /// Nothing: there is a note already, of that itself or of each consignment that it concerns.
    Noted,
}

/// What was found at the start.
#[derive(Clone)]
pub(crate) struct PutBack {
    /// In which migration; none when its facts do not even name it.
    migration: Option<MigrationId>,
    alarm: Alarm,
    kept: Kept,
}

impl State {
    /// Compares facts with the ring.
    pub(crate) fn compare_with_ring(&mut self, migration: &Migration, ring: &dyn KeyRing, now: Timestamp) {
        let id = migration.id;
        // A key goes at its deadline also where the journal does not take that: it need not be ended by the facts.
        let over = |consignment: &Consignment| !consignment.alive() || is_due(migration, consignment, now);
        let mut there =
            migration.consignments.iter().filter(|consignment| consignment.stage != ConsignmentStage::Destroyed);
        let found = there.find_map(|consignment| Some((consignment, destroyed(ring, consignment, over(consignment))?)));
        if let Some((consignment, (what, proven))) = found {
            let (stands, consignment) = (if consignment.alive() { "lives" } else { "ended" }, consignment.id);
            let text = format!(
                "consignment {consignment} of migration {id} {stands} by this server's facts, and {what}: the server was put back behind its key ring, or has another one; it only destroys this migration"
            );
            self.put_back(Some(id), Alarm::new(Code(821), text), if proven { Kept::Mark } else { Kept::Note });
        }
    }

    /// Notices what the ring has of consignments that this server's facts do not know: living keys, and tombstones. Of those
    /// damaged facts know too few.
    pub(crate) fn compare_keys(&mut self, furniture: &Furniture) -> Result<()> {
        let whole = self.alarm.is_none();
        let Furniture { registry, ring, deadline_days_max, .. } = furniture;
        let facts = self.consignments();
        let noted: BTreeSet<ConsignmentId> =
            marked(registry, Mark::Opening)?.into_iter().chain(marked(registry, Mark::Unnamed)?).collect();
        // A ring that cannot be asked is told of by whatever needs it.
        let (buried, held) = (ring.buried().unwrap_or_default(), ring.held().unwrap_or_default());
        let unknown = buried.iter().filter(|id| {
            // What this server destroys without a fact has no fact that the tombstone could be told of.
            whole && !facts.contains(*id) && (!noted.contains(*id) || journal_said_so(ring.as_ref(), **id))
        });
        let unknown = unknown.count();
        if unknown > 0 {
            let text = format!(
                "the key ring destroyed the keys of {unknown} consignments that no fact of this server names: the server was put back to before they were opened, or has another's key ring"
            );
            self.put_back(None, Alarm::new(Code(822), text), Kept::Note);
        }
        let named = self.named(registry)?;
        let unnamed = held.iter().filter(|id| !named.contains(*id)).count();
        if unnamed > 0 {
            let text = format!(
                "the key ring has living keys of {unnamed} consignments that no fact and no note of an opening names: the server was put back to before they were opened; each is destroyed {deadline_days_max} days after it was noted first"
            );
            self.put_back(None, Alarm::new(Code(824), text), Kept::Noted);
        }
        Ok(())
    }

    pub(crate) fn put_back(&mut self, migration: Option<MigrationId>, alarm: Alarm, kept: Kept) {
        if let Some(id) = migration {
            self.behind.insert(id, alarm.clone());
        }
        self.found_at_start.push(PutBack { migration, alarm, kept });
    }
}

/// Whether a tombstone was told that the journal had the fact of its destruction.
fn journal_said_so(ring: &dyn KeyRing, consignment: ConsignmentId) -> bool {
    matches!(ring.attest(consignment), Ok(KeyState::Destroyed { recorded: true, .. }))
}

/// What the ring says of the key of a consignment that facts say is not destroyed, if it cannot be so; and whether it has a
/// tombstone for it.
fn destroyed(ring: &dyn KeyRing, consignment: &Consignment, over: bool) -> Option<(String, bool)> {
    match ring.attest(consignment.id) {
        Ok(KeyState::Destroyed { at, recorded: true }) if over => {
            Some((format!("its key was destroyed at {at}, which the journal said"), true))
        }
        // It is being destroyed, and that may have been cut anywhere before the journal said so.
        _ if over => None,
        Ok(KeyState::Destroyed { at, .. }) => Some((format!("its key was destroyed at {at}"), true)),
        Ok(KeyState::Destroying) => Some(("the destruction of its key has begun".to_owned(), true)),
        Ok(KeyState::Absent) => Some(("the key ring has no key of it".to_owned(), false)),
        Err(Trouble::Alarm(alarm)) => Some((alarm.to_string(), false)),
        Ok(KeyState::Alive) | Err(_) => None,
    }
}

impl Office {
    /// What the start found out about an older state of this server, for whoever starts it.
    pub async fn put_back(&self) -> Vec<Alarm> {
        self.state.lock().await.found_at_start.iter().map(|found| found.alarm.clone()).collect()
    }

    /// In the journal at every start; what is proven is known from then on whatever the ring says.
    pub(crate) fn note_put_back(&self, found: &[PutBack]) {
        for PutBack { migration, alarm, kept } in found {
            let noted = match (kept, migration) {
                (Kept::Noted, _) => Ok(()),
                (Kept::Mark, Some(id)) => self.mark_migration(*id, Mark::Behind, alarm.to_string()),
                (Kept::Mark | Kept::Note, _) => self.note(alarm.to_string()),
            };
            if let Err(trouble) = noted {
                tracing::error!(code = %trouble.code(), "That the server was put back could not be noted: {trouble}.");
            }
        }
    }
}
