//! The end: what signed acts or a deadline ended is destroyed, key first. Every step can be cut and is taken up again.

use std::sync::Arc;

use lexicon::{Code, ConsignmentId, Fault, MigrationId, Result, Retry};
use people::Envelope;
use procedure::{Act, ConsignmentStage, Destroyed, Proof, Stage};
use vault::{ShelfErasure, Wrapped};

use crate::submit::bound;
use crate::{Office, State};

impl Office {
    /// Carries out deadlines that have passed and takes up destructions that were cut. Called at start and on a beat.
    ///
    /// # Errors
    /// A fault when something could not be destroyed; it is tried again at the next call.
    pub async fn sweep(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        // What cannot be taken up or spread holds up no deadline; its trouble is told at the end.
        let mut first = self.take_up_admissions(&mut state);
        first = first.and(self.spread_revocations(&mut state));
        let ids: Vec<MigrationId> = state.ledgers.keys().copied().collect();
        for id in ids {
            let swept = self.sweep_one(&mut state, id).await;
            first = first.and(swept);
        }
        first
    }

    async fn sweep_one(&self, state: &mut State, id: MigrationId) -> Result<()> {
        if state.damaged.contains(&id) {
            return self.destroy_damaged(state, id).await;
        }
        for act in self.overdue(state, id) {
            self.record(state, id, Proof::Deadline(act), &[])?;
        }
        self.destroy_what_ended(state, id).await
    }

    fn overdue(&self, state: &State, id: MigrationId) -> Vec<Act> {
        let Some(migration) = state.ledgers.get(&id).map(procedure::Ledger::migration) else { return Vec::new() };
        let now = self.clock.now().max(migration.last_at);
        if migration.ending() {
            return Vec::new();
        }
        if migration.is_due(now) {
            return vec![Act::Overdue { consignment: None }];
        }
        let due =
            migration.consignments.iter().filter(|consignment| consignment.alive() && now >= consignment.deadline);
        due.map(|consignment| Act::Overdue { consignment: Some(consignment.id) }).collect()
    }

    /// Destroys the server's part of every consignment that has an ending, then certifies the whole when it has one.
    pub(crate) async fn destroy_what_ended(&self, state: &mut State, id: MigrationId) -> Result<()> {
        let Some(ledger) = state.ledgers.get(&id) else { return Ok(()) };
        let ended: Vec<ConsignmentId> = ledger
            .migration()
            .consignments
            .iter()
            .filter(|consignment| consignment.ending.is_some() && consignment.stage != ConsignmentStage::Destroyed)
            .map(|consignment| consignment.id)
            .collect();
        for consignment in ended {
            self.destroy_one(state, id, consignment).await?;
        }
        self.finish(state, id)
    }

    async fn destroy_one(&self, state: &mut State, id: MigrationId, consignment: ConsignmentId) -> Result<()> {
        let last = self.registry.facts(id, 1)?.last().map_or(0, |placed| placed.leaf);
        let receipt = self.registry.receipt(last)?;
        let wrapped = (consignment, self.wrapped(id, consignment)?);
        let erasure = vault::erase(Arc::clone(&self.ring), self.shelf.as_ref(), wrapped, &receipt).await?;
        // What was noted as stored: an erasure that was cut and taken up again would count only the rest.
        let stored = self.registry.parcels(consignment)?;
        let erased = match erasure.shelf {
            ShelfErasure::Empty(erased) => erased,
            ShelfErasure::Left(trouble) => {
                if state.left.insert(consignment) {
                    self.note(format!(
                        "consignment {consignment}: its key is destroyed, its parcels are not deleted yet: {trouble}"
                    ))?;
                }
                return Err(Fault::new(
                    Code(840),
                    Retry::Later,
                    "parcels whose key is destroyed could not all be deleted yet",
                )
                .into());
            }
        };
        let listed = self.shelf.list(consignment).await?.len();
        let evidence = Destroyed {
            key: format!("{}; epoch {}", erasure.ring.level, erasure.ring.epoch),
            key_at: erasure.ring.destroyed_at,
            // There is no erasure otherwise: the ring was asked before the parcels went.
            ring_refuses: true,
            share_shown: Some(erasure.share_shown),
            parcels: erased.objects.max(u64::try_from(stored.len()).unwrap_or(u64::MAX)),
            bytes: erased.bytes.max(stored.iter().map(|line| line.bytes).sum()),
            listed_after: u64::try_from(listed).unwrap_or(u64::MAX),
        };
        self.record(state, id, Proof::Server(Act::Destroyed { consignment, evidence }), &[])?;
        Ok(())
    }

    /// The share that the ring must not open any more; the registry keeps it until the destruction is recorded.
    pub(crate) fn wrapped(&self, id: MigrationId, consignment: ConsignmentId) -> Result<Option<Wrapped>> {
        let sealed = self.registry.wrapped_share(consignment)?;
        Ok(sealed.map(|sealed| Wrapped { aad: bound(id, consignment), sealed }))
    }

    fn finish(&self, state: &mut State, id: MigrationId) -> Result<()> {
        let Some(ledger) = state.ledgers.get(&id) else { return Ok(()) };
        let migration = ledger.migration();
        let done = migration.consignments.iter().all(|consignment| consignment.stage == ConsignmentStage::Destroyed);
        if !migration.ending() || !done || migration.stage == Stage::Destroyed {
            return Ok(());
        }
        let at = self.clock.now().max(migration.last_at);
        let certificate: Envelope = evidence::issue(ledger, &self.card, at, &self.key)?;
        let (digest, body) = (certificate.digest()?, lexicon::canonical(&certificate)?);
        self.record(state, id, Proof::Server(Act::Finish { certificate: digest }), &[(digest, body)])?;
        Ok(())
    }
}
