//! Acting: sign over what is known, and believe the receipt only when it follows.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lexicon::{Alarm, Code, Digest, Fault, MigrationId, Refusal, Result, Trouble};
use people::Envelope;
use procedure::{Act, ActBody, Ledger, Migration, Proof, SeenCheckpoint};
use wire::{Placed, Submitted};

use crate::Desk;
use crate::check::{Evidence, count, told_alone, two_facts};
use crate::desk::Standing;

/// How often an act is signed again because others acted in between. More means that something is wrong.
const TRIES: u32 = 5;

impl Desk {
    /// Makes an act: follows the migration, lets `build` say what is to be done in it, signs that and submits it with
    /// the documents that it names. When others acted in between, all of it again: `build` must look at what it is
    /// given, not at what it saw before.
    ///
    /// # Errors
    /// What `build`, the keeper, the procedure or [`Desk::follow`] refuse. Fault 1218 when the server gives no receipt:
    /// then the act is not in force, and the message says whom to telephone. An alarm when the receipt is not one.
    pub async fn act(
        &self,
        migration: MigrationId,
        build: &mut (dyn FnMut(&Migration) -> Result<Act> + Send),
        documents: &[Vec<u8>],
    ) -> Result<(Submitted, Ledger)> {
        let documents: BTreeMap<Digest, String> =
            documents.iter().map(|document| (Digest::of(document), STANDARD.encode(document))).collect();
        let mut stale = None;
        for _ in 0..TRIES {
            let standing =
                self.catch_up(migration).await.map_err(|trouble| self.not_in_force(migration, "act", trouble))?;
            let body = self.body(migration, &standing, build(standing.ledger.migration())?)?;
            let envelope = self.keeper.sign_act(&body)?;
            let proof = Proof::Signed(envelope.clone());
            self.check_alone(&standing, &proof, &body.body)?;
            match self.client.submit(self.keeper(), migration, proof, documents.clone()).await {
                Ok(submitted) => {
                    let ledger = self.take_receipt(migration, standing, &envelope, &body.body, &submitted).await?;
                    return Ok((submitted, ledger));
                }
                // The procedure's word for "signed over an older fact".
                Err(Trouble::Refusal(refusal)) if refusal.code == procedure::STALE => stale = Some(refusal),
                Err(trouble) => return Err(self.not_in_force(migration, body.body.name(), trouble)),
            }
        }
        Err(stale.unwrap_or_else(|| Refusal::new(Code(1225), "the act could not be made", "Try again.")).into())
    }

    fn body(&self, migration: MigrationId, standing: &Standing, act: Act) -> Result<ActBody> {
        Ok(ActBody {
            purpose: ActBody::PURPOSE.to_owned(),
            origin: self.client.card().origin.clone(),
            migration,
            last: standing.ledger.last(),
            checkpoint: SeenCheckpoint { size: standing.checkpoint.size, root: standing.checkpoint.root },
            certificate: self.keeper.certificate(),
            at: self.now()?,
            body: act,
        })
    }

    /// What the server cannot be trusted to refuse is refused here, before anything leaves: a hand-over, because newer
    /// facts may be withheld and a share that was sent is gone; and whatever rests on a certificate that only this
    /// device was told is taken back. Everything else the server is asked about, and its receipt is checked.
    fn check_alone(&self, standing: &Standing, proof: &Proof, act: &Act) -> Result<()> {
        let Standing { ledger, roster, .. } = standing;
        let told = told_alone(ledger, roster, &self.home.revocations()?);
        let hands_over = matches!(act, Act::HandOver { .. });
        if !hands_over && told.is_empty() {
            return Ok(());
        }
        let at = self.now()?.max(ledger.migration().last_at);
        // Of a share that the server has yet to make, nothing is asked but that there will be one.
        let decided = |ledger: &Ledger| ledger.decided(proof, roster, at, Some(Digest([0; 32]))).map(drop);
        if hands_over || decided(ledger).is_ok() { decided(&ledger.told(&told)) } else { Ok(()) }
    }

    /// The ledger with the act in it, once the receipt is seen to be one.
    async fn take_receipt(
        &self,
        migration: MigrationId,
        standing: Standing,
        sent: &Envelope,
        act: &Act,
        submitted: &Submitted,
    ) -> Result<Ledger> {
        let Standing { mut ledger, roster, checkpoint } = standing;
        let placed = &submitted.entry;
        let is_ours = matches!(&placed.entry.proof, Proof::Signed(envelope) if envelope == sent);
        let checked = if !is_ours {
            let message = format!("the server's receipt is not of the act ({}) that this device sent", act.name());
            Err(Alarm::new(Code(1223), message).into())
        } else if act.may_be_stale() {
            // Others may have acted first; then the receipt follows from facts that are yet to be fetched.
            return self.find_receipt(migration, sent, act, placed).await;
        } else {
            ledger.admit(&placed.entry, &roster, Some(self.now()?)).map(|()| ledger.last().number)
        };
        let kept = self.home.facts(migration)?;
        let number = checked.map_err(|trouble| {
            self.found_out(migration, trouble, &Evidence { kept: &kept, checkpoint: Some(&checkpoint), said: placed })
        })?;
        self.keep_receipt(migration, number, placed).await?;
        Ok(ledger)
    }

    /// Follows the migration and looks for the receipt among its facts.
    async fn find_receipt(
        &self,
        migration: MigrationId,
        sent: &Envelope,
        act: &Act,
        placed: &Placed,
    ) -> Result<Ledger> {
        let ledger = self.follow(migration).await?;
        let digest = sent.digest()?;
        if ledger.recorded().iter().any(|recorded| recorded.fact.digest == digest) {
            return Ok(ledger);
        }
        let kept = self.home.facts(migration)?;
        let message = format!("the server gave a receipt for the act ({}) and then shows no such fact", act.name());
        let evidence = Evidence { kept: &kept, checkpoint: None, said: placed };
        Err(self.found_out(migration, Alarm::new(Code(1223), message).into(), &evidence))
    }

    /// Keeps the receipt as the next fact, so that the server cannot take it back unnoticed.
    async fn keep_receipt(&self, migration: MigrationId, number: u64, placed: &Placed) -> Result<()> {
        let _locked = self.home.lock().await?;
        let mut kept = self.home.facts(migration)?;
        let before = number.saturating_sub(1);
        if count(&kept) == before {
            kept.push(placed.clone());
            return self.home.keep_facts(migration, &kept);
        }
        // Another process of this device has followed meanwhile, and was shown this number too.
        let same = usize::try_from(before).ok().and_then(|at| kept.get(at)) == Some(placed);
        if same {
            return Ok(());
        }
        let evidence = Evidence { kept: &kept, checkpoint: None, said: placed };
        Err(self.found_out(migration, two_facts(migration, number), &evidence))
    }

    /// An environment that failed leaves the person with an act that counts nowhere: say so, and whom to tell.
    fn not_in_force(&self, migration: MigrationId, act: &str, trouble: Trouble) -> Trouble {
        let Trouble::Fault(fault) = trouble else { return trouble };
        let whom = self.kept(migration).map(|ledger| contacts(ledger.migration())).unwrap_or_default();
        let whom = if whom.is_empty() { "whoever invited you".to_owned() } else { whom };
        let message =
            format!("the {act} is NOT in force: there is no receipt for it ({}); telephone {whom}", fault.message);
        Fault { code: Code(1218), message, ..fault }.into()
    }
}

/// Who else must know, as the instruction says, or else as the migration names them.
fn contacts(migration: &Migration) -> String {
    let whom: Vec<String> = match &migration.plan {
        Some((_, plan, _)) => [&plan.instruction.controller, &plan.instruction.processor]
            .map(|party| format!("{} ({})", party.name, party.contact))
            .to_vec(),
        None => migration.parties.iter().map(|party| party.organisation.clone()).collect(),
    };
    whom.join(" and ").chars().filter(|letter| !letter.is_control()).collect()
}
