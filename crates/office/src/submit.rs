//! An act arrives, is decided, recorded, and only then has consequences.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lexicon::{
    Alarm, Code, ConsignmentId, Digest, Guarded, MigrationId, Refusal, Result, Timestamp, Trouble, hours_after,
};
use people::{Recipient, Signer, seal_to};
use procedure::{Act, ActBody, Decided, Entry, Ledger, Proof, prepare, sign_fact};
use registry::{Fresh, NewShare, Recording, Registry};
use vault::KeyRing;
use wire::{Leaf, Placed, SubmitAct, Submitted};
use zeroize::Zeroizing;

use crate::{Office, State, stage_name, unknown_migration};

/// 256 bits: half of what a consignment's key is derived from.
const SHARE_BYTES: usize = 32;

/// The strongroom share of a consignment that is being opened, wrapped under its ring key.
pub(crate) struct FreshShare {
    consignment: ConsignmentId,
    deadline: Timestamp,
    share: Guarded,
    wrapped: Vec<u8>,
}

impl Office {
    /// Takes an act from a party.
    ///
    /// # Errors
    /// A refusal of signature, staleness or procedure; nothing has happened then. An alarm when the signer knows facts
    /// that this server does not.
    pub async fn submit(&self, signer: &Signer, migration: MigrationId, submitted: SubmitAct) -> Result<Submitted> {
        self.state.lock().await.writable()?;
        let Proof::Signed(envelope) = &submitted.proof else {
            let why = "only acts that a device signed are taken here";
            return Err(Refusal::new(Code(810), why, "Hand a revocation in with `lazaret organisation revoke`.").into());
        };
        let body: ActBody = serde_json::from_slice(&envelope.bytes()?).map_err(|_| {
            Refusal::new(Code(811), "this act does not parse", "Use the lazaret command of the server's version.")
        })?;
        if matches!(body.body, Act::Open { .. } | Act::OpenConsignment { .. }) {
            // Without the lock: a store far away may take its time.
            self.shelf_keeps().await?;
        }
        if envelope.keyid()? != signer.certificate() {
            return Err(Alarm::new(Code(812), "an act was sent by another device than the one that signed it").into());
        }
        let documents = checked_documents(&body.body, submitted.documents)?;
        let check = |state: &State| {
            state.writable()?;
            self.check_party(state, signer, migration, &body)?;
            self.check_ring(state, migration, &body.body)
        };
        let share = self.draw_share(&body.body)?;
        {
            // Nobody waits for a key store for an act that is refused anyway. One opening at a time begins, under the lock.
            let state = self.state.lock().await;
            check(&state)?;
            let new = Ledger::new(&self.card.origin, self.key.public(), migration);
            self.decided(&state, state.ledgers.get(&migration).unwrap_or(&new), &submitted.proof, share.as_ref())?;
            self.begin_opening(migration, &body.body)?;
        }
        let proof = submitted.proof;
        let recorded = async {
            // Without the lock. What is needed from the key store is there before the fact is recorded: a begin that could
            // not be served is not begun.
            let fresh = share.map(|share| self.wrap(migration, &body.body, share)).transpose()?;
            let share = if let Act::Begin { consignment, key, .. } = &body.body {
                Some(STANDARD.encode(self.sealed_share(migration, *consignment, key)?))
            } else {
                None
            };
            let mut state = self.state.lock().await;
            check(&state)?;
            let entry = self.record(&mut state, migration, proof, &documents, fresh.as_ref())?;
            Ok::<_, Trouble>(Submitted { entry, share })
        };
        let recorded = recorded.await;
        self.end_opening(&body.body).await;
        let submitted = recorded?;
        // The act is a fact whatever comes of its consequences: the sweep takes up what could not be done now.
        if let Err(trouble) = self.destroy_what_ended(migration).await {
            tracing::error!(code = %trouble.code(), "What ended could not be destroyed yet: {trouble}.");
        }
        Ok(submitted)
    }

    /// The plan names the kind of key ring that people approved: what a destruction can achieve depends on it.
    fn check_ring(&self, state: &State, migration: MigrationId, act: &Act) -> Result<()> {
        let standing = state.ledgers.get(&migration).and_then(|ledger| ledger.migration().plan.as_ref());
        let plan = if let Act::Propose { plan } = act {
            Some(plan.as_ref())
        } else if matches!(act, Act::OpenConsignment { .. }) {
            standing.map(|(_, plan, _)| plan)
        } else {
            None
        };
        let own = self.ring.level().key_ring();
        match plan {
            Some(plan) if plan.key_ring != own => Err(Refusal::new(
                Code(819),
                format!("the plan asks for a key ring of kind '{}', and this server's is '{own}'", plan.key_ring),
                format!("Propose a plan with key_ring = \"{own}\", and have it approved."),
            )
            .into()),
            _ => Ok(()),
        }
    }

    fn check_party(&self, state: &State, signer: &Signer, migration: MigrationId, body: &ActBody) -> Result<()> {
        if matches!(body.body, Act::Open { .. }) && !state.ledgers.contains_key(&migration) {
            return Ok(());
        }
        let facts = state.party_ledger(migration, signer)?.migration().facts;
        state.changeable(migration)?;
        if body.last.number > facts {
            return Err(Refusal::new(
                Code(816),
                format!("this act was signed over fact {}, and this server has {facts}", body.last.number),
                "Show the server that fact: `lazaret next` does so by itself. A server that was put back then says so to everybody.",
            )
            .into());
        }
        self.check_deadline(body)?;
        Ok(())
    }

    /// What this server's settings allow, whatever the procedure does.
    fn check_deadline(&self, body: &ActBody) -> Result<(), Refusal> {
        let deadline = if let Act::Propose { plan } = &body.body {
            plan.deadline
        } else if let Act::Extend { until, .. } = &body.body {
            *until
        } else {
            return Ok(());
        };
        // From the signer's own time, where that is ahead: how far it may be is the procedure's to say.
        let latest = hours_after(self.clock.now().max(body.at), self.deadline_days_max.saturating_mul(24));
        if deadline <= latest {
            return Ok(());
        }
        let days = self.deadline_days_max;
        let what = format!("this server takes no deadline that is more than {days} days ahead");
        Err(Refusal::new(Code(818), what, "Name an earlier one, or ask the server's operator for `deadline_days_max`."))
    }

    fn decided(&self, state: &State, ledger: &Ledger, proof: &Proof, share: Option<&Guarded>) -> Result<Decided> {
        let at = self.clock.now().max(ledger.migration().last_at);
        ledger.decided(proof, &state.roster, at, share.map(|share| Digest::of(share.expose())))
    }

    /// Decides, signs and records one proof, whoever it is from. With the share of the consignment that it opens.
    pub(crate) fn record(
        &self,
        state: &mut State,
        migration: MigrationId,
        proof: Proof,
        documents: &[(Digest, Vec<u8>)],
        fresh: Option<&FreshShare>,
    ) -> Result<Placed> {
        if state.damaged.contains(&migration) {
            // What is missing may be known to agents: another fact of that number would be a second history.
            return Err(
                Alarm::new(Code(801), format!("migration {migration} takes no fact: its facts are damaged")).into()
            );
        }
        let new = Ledger::new(&self.card.origin, self.key.public(), migration);
        let ledger = state.ledgers.get(&migration).unwrap_or(&new);
        let decided = self.decided(state, ledger, &proof, fresh.map(|fresh| &fresh.share))?;
        let (leaf, state_after) = self.signed(ledger, proof, &decided)?;
        let recording = Recording::Fact {
            migration,
            number: decided.fact.number,
            stage: stage_name(&decided.next),
            state: state_after,
            fresh: Fresh {
                share: fresh.map(|fresh| {
                    let FreshShare { consignment, deadline, wrapped, .. } = fresh;
                    NewShare { consignment: *consignment, wrapped, deadline: *deadline }
                }),
                documents: documents.iter().map(|(digest, body)| (*digest, body.as_slice())).collect(),
                forget: forgotten(&decided),
            },
        };
        let receipt = self.registry.record(&leaf, &recording)?;
        drop(recording);
        drop(decided);
        let Leaf::Fact { nonce, entry } = leaf else { return Err(unknown_migration().into()) };
        let ledger = state.ledgers.entry(migration).or_insert(new);
        ledger.admit(&entry, &state.roster, None)?;
        Ok(Placed { entry: *entry, leaf: receipt.index(), nonce })
    }

    /// The leaf of a decided act, and the digest of the migration after it.
    fn signed(&self, ledger: &Ledger, proof: Proof, decided: &Decided) -> Result<(Leaf, Digest)> {
        let body = prepare(ledger, &proof, decided)?;
        let fact = sign_fact(&body, &self.key)?;
        Ok((Leaf::Fact { nonce: self.nonce()?, entry: Box::new(Entry { proof, fact }) }, body.state))
    }

    /// The strongroom share of a consignment that an act opens.
    fn draw_share(&self, act: &Act) -> Result<Option<Guarded>> {
        let opens = matches!(act, Act::OpenConsignment { .. });
        opens.then(|| Guarded::written(SHARE_BYTES, |place| self.entropy.fill(place))).transpose()
    }

    fn wrap(&self, migration: MigrationId, act: &Act, share: Guarded) -> Result<FreshShare> {
        let Act::OpenConsignment { consignment, deadline, .. } = act else { return Err(unknown_migration().into()) };
        self.ring.create(*consignment)?;
        let wrapped = self.ring.encrypt(*consignment, &bound(migration, *consignment), share.expose())?;
        Ok(FreshShare { consignment: *consignment, deadline: *deadline, share, wrapped })
    }

    /// The strongroom share, sealed to a key whose private half is in an agent's memory only. Never stored.
    fn sealed_share(&self, migration: MigrationId, consignment: ConsignmentId, key: &Recipient) -> Result<Vec<u8>> {
        let share = strongroom_share(&self.registry, self.ring.as_ref(), migration, consignment)?.ok_or_else(|| {
            Refusal::new(
                Code(814),
                "the strongroom holds no share of this consignment",
                "It is destroyed, or was never opened.",
            )
        })?;
        seal_to(std::slice::from_ref(key), &share)
    }
}

/// The strongroom share of a consignment, as rows and key ring give it together; neither does alone. None when the rows
/// hold none, or no longer. Public for whoever asks what copies of a server's folders are good for.
///
/// # Errors
/// A refusal when the ring has no living key for it; an alarm when the rows hold something else than that key wrapped;
/// a fault of either place.
pub fn strongroom_share(
    registry: &Registry,
    ring: &dyn KeyRing,
    migration: MigrationId,
    consignment: ConsignmentId,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(wrapped) = registry.wrapped_share(consignment)? else { return Ok(None) };
    ring.decrypt(consignment, &bound(migration, consignment), &wrapped).map(Some)
}

/// What a wrapped share is bound to.
pub(crate) fn bound(migration: MigrationId, consignment: ConsignmentId) -> Vec<u8> {
    format!("lazaret/1/strongroom|{migration}|{consignment}").into_bytes()
}

fn forgotten(decided: &Decided) -> Option<(ConsignmentId, Option<Digest>)> {
    let Act::Destroyed { consignment, .. } = &decided.fact.act else { return None };
    let released = decided.next.consignment(*consignment).and_then(|consignment| consignment.released.as_ref());
    Some((*consignment, released.and_then(|released| released.share)))
}

/// The documents that an act names, each with the digest that it is named by.
fn checked_documents(act: &Act, given: std::collections::BTreeMap<Digest, String>) -> Result<Vec<(Digest, Vec<u8>)>> {
    let named: Vec<Digest> = if let Act::Propose { plan } = act {
        vec![plan.scope, plan.report]
    } else if let Act::HandOver { share, .. } = act {
        vec![*share]
    } else {
        Vec::new()
    };
    let wrong = |why: &str| {
        Refusal::new(
            Code(815),
            format!("a document of this act is not acceptable: {why}"),
            "Send the act again with the documents that it names.",
        )
    };
    let mut documents = Vec::new();
    for (digest, text) in given {
        let body = STANDARD.decode(text).map_err(|_| wrong("it is not base64"))?;
        if Digest::of(&body) != digest || !named.contains(&digest) {
            return Err(wrong("the act does not name it").into());
        }
        documents.push((digest, body));
    }
    if named.iter().all(|digest| documents.iter().any(|(given, _)| given == digest)) {
        Ok(documents)
    } else {
        Err(wrong("one that the act names is missing").into())
    }
}
