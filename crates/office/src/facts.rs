//! What anybody of a party may read: facts with their proofs, documents, the evidence pack.

use journal::{Checkpoint, consistency, inclusion};
use lexicon::{Code, Digest, MigrationId, Refusal, Result};
use people::Signer;
use wire::{Facts, FactsQuery};

use crate::Office;

impl Office {
    /// Facts from a number on, with the proofs that the journal only grew and holds the last of them. A migration of
    /// others looks like one that does not exist yet: it has no facts.
    ///
    /// Whoever knows more facts or leaves than there are is answered with what there is: from the signed checkpoint they
    /// see that this server was put back, and prove it with [`Self::show_fact`].
    ///
    /// # Errors
    /// A fault when the rows cannot be read.
    pub async fn facts(&self, signer: &Signer, migration: MigrationId, query: FactsQuery) -> Result<Facts> {
        let state = self.state.lock().await;
        let recorded = state.party_ledger(migration, signer).map_or(0, |ledger| ledger.migration().facts);
        // The last one is read in any case: its leaf is what is proved. Those before `from` may be long and stay where
        // they are.
        let from = query.from.clamp(1, recorded.max(1));
        let mut entries = if recorded == 0 { Vec::new() } else { self.registry.facts(migration, from)? };
        let last = entries.last().map(|placed| placed.leaf);
        if query.from > recorded {
            entries.clear();
        }
        let leaves = self.registry.leaf_hashes()?;
        let (checkpoint, size) = self.checkpoint()?;
        Ok(Facts {
            entries,
            checkpoint,
            consistency: if (1..=size).contains(&query.size) {
                consistency(&leaves, query.size, size)?
            } else {
                Vec::new()
            },
            inclusion: last.map_or(Ok(Vec::new()), |leaf| inclusion(&leaves, leaf, size))?,
            last,
        })
    }

    /// The signed note over the tree as it is now, and its size.
    pub(crate) fn checkpoint(&self) -> Result<(String, u64)> {
        let tree = self.registry.tree()?;
        let checkpoint = Checkpoint { origin: self.card.origin.clone(), size: tree.size(), root: tree.root() };
        Ok((checkpoint.sign(self.key.pair())?, tree.size()))
    }

    /// A document that an act of the migration names.
    ///
    /// # Errors
    /// A refusal when there is none for this signer.
    pub async fn document(&self, signer: &Signer, migration: MigrationId, digest: Digest) -> Result<Vec<u8>> {
        let state = self.state.lock().await;
        state.party_ledger(migration, signer)?;
        let document = self.registry.document(migration, digest)?;
        document.ok_or_else(|| {
            Refusal::new(
                Code(820),
                format!("there is no document {} in this migration", digest.short()),
                "It is destroyed, or was never handed in.",
            )
            .into()
        })
    }
}
