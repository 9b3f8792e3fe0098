//! Whoever holds a fact that this server signed and does not have proves that the server was put back to an earlier state.
//! Nothing less does: what a device merely claims to know moves nothing for anybody.

use lexicon::{Code, MigrationId, Refusal, Result};
use people::{Envelope, PayloadType, Signer};
use procedure::FactBody;
use registry::Mark;

use crate::{Office, behind};

impl Office {
    /// Takes in a fact of a migration. One that is among this server's own changes nothing; another one is proof that the
    /// server was put back, and from then on it only destroys that migration.
    ///
    /// # Errors
    /// A refusal when it is no fact of this migration; an alarm when its signature does not hold.
    pub async fn show_fact(&self, signer: &Signer, migration: MigrationId, fact: &Envelope) -> Result<()> {
        let mut state = self.state.lock().await;
        state.writable()?;
        let ledger = state.party_ledger(migration, signer)?;
        let body: FactBody = fact.open(PayloadType::Fact, &self.key.public())?;
        let here = body.purpose == FactBody::PURPOSE && body.origin == self.card.origin && body.migration == migration;
        if !here {
            let what = "this is a fact of another journal or another migration";
            return Err(Refusal::new(Code(817), what, "Show the last fact of this one.").into());
        }
        let digest = fact.digest()?;
        if state.behind.contains_key(&migration) || ledger.recorded().iter().any(|own| own.digest == digest) {
            return Ok(());
        }
        let text = format!(
            "migration {migration}: person {} on certificate {} showed fact {}, signed by this server, which is not among its {}: it was put back, and only destroys this migration",
            signer.person(),
            signer.certificate(),
            body.number,
            ledger.migration().facts
        );
        self.mark_migration(migration, Mark::Behind, text)?;
        state.behind.insert(migration, behind(migration));
        Ok(())
    }
}
