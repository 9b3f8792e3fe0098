//! The evidence pack, put together from what the registry holds.

use std::collections::BTreeMap;

use evidence::{Noted, Pack};
use journal::inclusion;
use lexicon::{Digest, MigrationId, Result};
use people::{Envelope, Signer};
use procedure::{Act, Migration};
use registry::Mark;

use crate::Office;

impl Office {
    /// The evidence pack of a migration as a zip file; possible at every stage, and after the server's own alarm.
    ///
    /// # Errors
    /// A refusal when the migration is not the signer's.
    pub async fn evidence(&self, signer: &Signer, migration: MigrationId) -> Result<Vec<u8>> {
        let state = self.state.lock().await;
        let ledger = state.party_ledger(migration, signer)?;
        let entries = self.registry.facts(migration, 1)?;
        let leaves = self.registry.leaf_hashes()?;
        let (checkpoint, size) = self.checkpoint()?;
        let inclusion =
            entries.iter().map(|placed| inclusion(&leaves, placed.leaf, size)).collect::<Result<Vec<_>>>()?;
        let mut documents = BTreeMap::new();
        let mut certificate = None;
        for recorded in ledger.recorded() {
            if let Act::Propose { plan } = &recorded.fact.act {
                for digest in [plan.scope, plan.report] {
                    self.add(migration, digest, &mut documents)?;
                }
            }
            if let Act::Finish { certificate: digest } = &recorded.fact.act {
                let body = self.registry.document(migration, *digest)?;
                certificate = body.and_then(|body| serde_json::from_slice::<Envelope>(&body).ok());
            }
        }
        evidence::write(&Pack {
            card: self.card.clone(),
            migration,
            entries,
            people: self.everyone()?,
            checkpoint,
            inclusion,
            notes: self.after_the_fact(ledger.migration(), &leaves, size)?,
            documents,
            certificate,
            stamp: None,
            told: BTreeMap::new(),
        })
    }

    /// The journal's notes on destructions of a migration after their facts. One that is not in the journal, or cannot be
    /// read there, is not in the pack: nothing shows where it stands.
    fn after_the_fact(&self, migration: &Migration, leaves: &[Digest], size: u64) -> Result<Vec<Noted>> {
        let mut told = Vec::new();
        for subject in self.registry.subjects(Mark::DestroyedAgain)? {
            let marked = self.registry.marked(Mark::DestroyedAgain, &subject)?.and_then(|marked| marked.leaf);
            let Some(number) = marked.filter(|number| *number < size) else { continue };
            let Some(body) = self.registry.leaf(number)? else { continue };
            let Ok(leaf) = serde_json::from_slice(&body) else { continue };
            let noted = Noted { number, leaf, inclusion: inclusion(leaves, number, size)? };
            told.extend(Some(noted).filter(|noted| noted.tells_of(migration).is_some()));
        }
        told.sort_unstable_by_key(|noted: &Noted| noted.number);
        Ok(told)
    }

    fn add(&self, migration: MigrationId, digest: Digest, documents: &mut BTreeMap<Digest, Vec<u8>>) -> Result<()> {
        if let Some(body) = self.registry.document(migration, digest)? {
            documents.insert(digest, body);
        }
        Ok(())
    }
}
