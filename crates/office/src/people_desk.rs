//! Devices present certificates; roots take them back.

use std::collections::BTreeSet;

use lexicon::{Alarm, Code, MigrationId, Result};
use people::{Certificate, Envelope, PayloadType, RootId, Signer, request};
use procedure::Proof;
use registry::Recording;
use wire::{Leaf, MigrationLine, People};

use crate::{Office, State, stage_name};

impl Office {
    /// A device presents its certificate; the request is signed with the certified key itself.
    ///
    /// # Errors
    /// A refusal when the root is not admitted, the certificate breaks a rule or its key is another person's; an alarm
    /// when a signature does not hold.
    pub async fn present(
        &self,
        request: &request::Request<'_>,
        headers: &request::Headers,
        envelope: &Envelope,
    ) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        state.writable()?;
        self.look_for(&mut state, envelope.keyid()?)?;
        let mut roster = state.roster.clone();
        let digest = roster.admit(envelope)?;
        let (_, claim) = request::verify(request, headers, &self.card.origin, &roster, now)?;
        if claim.keyid != digest {
            return Err(Alarm::new(Code(805), "a certificate was presented by another device than its own").into());
        }
        self.spend(&claim, now)?;
        if state.roster.certificate(&digest).is_none() {
            let root = roster.root(&envelope.keyid()?).map(|root| root.key);
            let key = root.ok_or_else(|| Alarm::new(Code(805), "a certificate lost its root between two lines"))?;
            let certificate: Certificate = envelope.open(PayloadType::Certificate, &key)?;
            let leaf = Leaf::Certificate { nonce: self.nonce()?, certificate: envelope.clone() };
            self.registry.record(&leaf, &Recording::Certificate(digest, &certificate, envelope))?;
            state.roster = roster;
        }
        Ok(())
    }

    /// Takes in a root's revocation and makes it a fact of every migration that its organisation is a party to.
    ///
    /// # Errors
    /// A refusal when the root is not admitted or the certificate is not its own.
    pub async fn revoke(&self, envelope: &Envelope) -> Result<()> {
        let mut state = self.state.lock().await;
        state.writable()?;
        state.roster.revocation(envelope)?;
        let digest = envelope.digest()?;
        let known = self.registry.revocations()?.contains(envelope);
        if !known {
            let leaf = Leaf::Revocation { nonce: self.nonce()?, revocation: envelope.clone() };
            self.registry.record(&leaf, &Recording::Revocation(digest, envelope))?;
        }
        // From now on its device is a stranger at every door.
        state.roster.revoke(envelope)?;
        self.spread_revocations(&mut state)
    }

    /// Makes every revocation a fact of every migration that its organisation is a party to; taken up again where a
    /// crash cut it.
    pub(crate) fn spread_revocations(&self, state: &mut State) -> Result<()> {
        for envelope in self.registry.revocations()? {
            let (_, revocation) = state.roster.revocation(&envelope)?;
            let digest = envelope.digest()?;
            let concerned: Vec<MigrationId> = state
                .ledgers
                .iter()
                .filter(|(id, ledger)| {
                    let only_ends = state.damaged.contains(id) || state.behind.contains_key(id);
                    let is_new = ledger.recorded().iter().all(|recorded| recorded.fact.digest != digest);
                    is_new && !only_ends && ledger.migration().side(&revocation.root).is_some()
                })
                .map(|(id, _)| *id)
                .collect();
            for id in concerned {
                self.record(state, id, Proof::Revocation(envelope.clone()), &[], None)?;
            }
        }
        Ok(())
    }

    /// Everyone of the organisations that a signer has a migration with, and of their own: who else is a customer here
    /// is nobody's business.
    ///
    /// # Errors
    /// A fault when the rows cannot be read.
    pub async fn people(&self, signer: &Signer) -> Result<People> {
        let state = self.state.lock().await;
        let mut known: BTreeSet<RootId> = [signer.root()].into();
        for ledger in state.ledgers.values().filter(|ledger| ledger.migration().side(&signer.root()).is_some()) {
            known.extend(ledger.migration().parties.iter().map(|party| party.root));
        }
        let of_known = |envelope: &Envelope| envelope.keyid().is_ok_and(|root| known.contains(&root));
        Ok(People {
            roots: self.registry.roots()?.into_iter().filter(|root| known.contains(&root.id())).collect(),
            certificates: self.registry.certificates()?.into_iter().filter(of_known).collect(),
            revocations: self.registry.revocations()?.into_iter().filter(of_known).collect(),
        })
    }

    /// Everyone: the pack leaves out whom its entries do not need.
    pub(crate) fn everyone(&self) -> Result<People> {
        Ok(People {
            roots: self.registry.roots()?,
            certificates: self.registry.certificates()?,
            revocations: self.registry.revocations()?,
        })
    }

    /// The migrations that a signer's organisation is a party to.
    pub async fn migrations(&self, signer: &Signer) -> Vec<MigrationLine> {
        let state = self.state.lock().await;
        let theirs = state.ledgers.iter().filter(|(_, ledger)| ledger.migration().side(&signer.root()).is_some());
        theirs
            .map(|(id, ledger)| MigrationLine {
                migration: *id,
                facts: ledger.migration().facts,
                stage: stage_name(ledger.migration()).to_owned(),
                says: state.says(ledger.migration()),
            })
            .collect()
    }
}
