//! A server that was put back to before a destruction hears of it at its start, from its key ring: tombstones are in no
//! backup of the data folder, and never removed. It is told each time; the rounds that live again by their facts are
//! destroyed in their time, and nothing else is done in their migrations.

use std::collections::BTreeSet;

use lexicon::{Alarm, Code, ConsignmentId, MigrationId, Trouble};
use procedure::Migration;
use registry::Mark;
use vault::{KeyRing, KeyState};

use crate::{Office, State};

/// What was found at the start.
#[derive(Clone)]
pub(crate) struct PutBack {
    /// In which migration; none when its facts do not even name it.
    migration: Option<MigrationId>,
    alarm: Alarm,
    /// Whether the ring's own tombstone says it: that holds for good. A ring that merely has no key may be the wrong one.
    proven: bool,
}

impl State {
    /// Compares facts with the ring.
    pub(crate) fn compare_with_ring(&mut self, migration: &Migration, ring: &dyn KeyRing) {
        let id = migration.id;
        let mut living = migration.consignments.iter().filter(|consignment| consignment.alive());
        let found = living.find_map(|consignment| Some((consignment.id, destroyed(ring, consignment.id)?)));
        if let Some((consignment, (what, proven))) = found {
            let text = format!(
                "consignment {consignment} of migration {id} lives by this server's facts, and {what}: the server was put back behind its key ring, or has another one; it only destroys this migration"
            );
            self.put_back(Some(id), Alarm::new(Code(821), text), proven);
        }
    }

    /// Notices tombstones of consignments that no fact names. Facts that are damaged name too few.
    pub(crate) fn compare_tombstones(&mut self, ring: &dyn KeyRing) {
        let whole = self.alarm.is_none();
        let ledgers = self.ledgers.values().flat_map(|ledger| &ledger.migration().consignments);
        let known: BTreeSet<ConsignmentId> = ledgers.map(|consignment| consignment.id).collect();
        // A folder that cannot be listed is told of by whatever needs it.
        let buried = ring.buried().unwrap_or_default();
        let unknown = buried.iter().filter(|id| !known.contains(id)).count();
        if whole && unknown > 0 {
            let text = format!(
                "the key ring destroyed the keys of {unknown} consignments that this server knows nothing of: the server was put back to before they were opened, or has another's key ring"
            );
            self.put_back(None, Alarm::new(Code(822), text), false);
        }
    }

    pub(crate) fn put_back(&mut self, migration: Option<MigrationId>, alarm: Alarm, proven: bool) {
        if let Some(id) = migration {
            self.behind.insert(id, alarm.clone());
        }
        self.found_at_start.push(PutBack { migration, alarm, proven });
    }
}

/// What the ring says of a key that facts say lives, if it is not that; and whether it has a tombstone for it.
fn destroyed(ring: &dyn KeyRing, consignment: ConsignmentId) -> Option<(String, bool)> {
    match ring.attest(consignment) {
        Ok(KeyState::Destroyed { at }) => Some((format!("its key was destroyed at {at}"), true)),
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
        for PutBack { migration, alarm, proven } in found {
            let noted = match migration {
                Some(id) if *proven => self.mark_migration(*id, Mark::Behind, alarm.to_string()),
                _ => self.note(alarm.to_string()),
            };
            if let Err(trouble) = noted {
                tracing::error!(code = %trouble.code(), "That the server was put back could not be noted: {trouble}.");
            }
        }
    }
}
