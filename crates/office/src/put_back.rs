//! A server that was put back to before a destruction hears of it at its start, from its key ring: tombstones are in no
//! backup of the data folder, and never removed. It is told each time; the rounds that live again by their facts are
//! destroyed in their time, and nothing else is done in their migrations.

use std::collections::BTreeSet;

use lexicon::{Alarm, Code, ConsignmentId, MigrationId, Result, Trouble};
use procedure::{Consignment, ConsignmentStage, Migration};
use registry::{Mark, Registry};
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
        let mut there =
            migration.consignments.iter().filter(|consignment| consignment.stage != ConsignmentStage::Destroyed);
        let found = there.find_map(|consignment| Some((consignment, destroyed(ring, consignment)?)));
        if let Some((consignment, (what, proven))) = found {
            let (stands, consignment) = (if consignment.alive() { "lives" } else { "ended" }, consignment.id);
            let text = format!(
                "consignment {consignment} of migration {id} {stands} by this server's facts, and {what}: the server was put back behind its key ring, or has another one; it only destroys this migration"
            );
            self.put_back(Some(id), Alarm::new(Code(821), text), proven);
        }
    }

    /// Notices tombstones of consignments that neither a fact nor the note of an opening names. Facts that are damaged name
    /// too few.
    pub(crate) fn compare_tombstones(&mut self, ring: &dyn KeyRing, registry: &Registry) -> Result<()> {
        let whole = self.alarm.is_none();
        let ledgers = self.ledgers.values().flat_map(|ledger| &ledger.migration().consignments);
        let mut known: BTreeSet<ConsignmentId> = ledgers.map(|consignment| consignment.id).collect();
        known.extend(
            registry.subjects(Mark::Opening)?.iter().filter_map(|subject| subject.parse::<ConsignmentId>().ok()),
        );
        // A folder that cannot be listed is told of by whatever needs it.
        let buried = ring.buried().unwrap_or_default();
        let unknown = buried.iter().filter(|id| !known.contains(id)).count();
        if whole && unknown > 0 {
            let text = format!(
                "the key ring destroyed the keys of {unknown} consignments that this server knows nothing of: the server was put back to before they were opened, or has another's key ring"
            );
            self.put_back(None, Alarm::new(Code(822), text), false);
        }
        Ok(())
    }

    pub(crate) fn put_back(&mut self, migration: Option<MigrationId>, alarm: Alarm, proven: bool) {
        if let Some(id) = migration {
            self.behind.insert(id, alarm.clone());
        }
        self.found_at_start.push(PutBack { migration, alarm, proven });
    }
}

/// What the ring says of the key of a consignment that facts say is not destroyed, if it cannot be so; and whether it has a
/// tombstone for it.
fn destroyed(ring: &dyn KeyRing, consignment: &Consignment) -> Option<(String, bool)> {
    let ended = !consignment.alive();
    match ring.attest(consignment.id) {
        Ok(KeyState::Destroyed { at, recorded: true }) if ended => {
            Some((format!("its key was destroyed at {at}, which the journal said"), true))
        }
        // It is being destroyed, and that may have been cut anywhere before the journal said so.
        _ if ended => None,
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
