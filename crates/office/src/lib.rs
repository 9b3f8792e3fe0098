//! The server's verbs, one file each, and the only room that composes the others: people and procedure decide, the
//! registry records, the vault keeps and destroys.
//!
//! Every change is a leaf of the journal first. The office can refuse, delay and destroy; it has nothing that opens a
//! parcel: the room that knows how is not among its dependencies.

mod destroy;
mod evidence_pack;
mod facts;
mod parcels;
mod people_desk;
mod submit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lexicon::{
    Alarm, Clock, Code, ConsignmentId, Digest, Entropy, MigrationId, Refusal, Result, Timestamp, Trouble, digest_of,
};
use people::{Roster, Signer, SigningKey};
use procedure::{Ledger, Migration};
use registry::Registry;
use tokio::sync::{Mutex, MutexGuard};
use vault::{KeyRing, KeyState, Shelf};

pub use vault::ParcelAddress;
use wire::{Leaf, ServerCard};

/// What the office is made of; all of it is handed in.
pub struct Furniture {
    /// Rows.
    pub registry: Registry,
    /// The strongroom.
    pub ring: Arc<dyn KeyRing>,
    /// The parcels.
    pub shelf: Arc<dyn Shelf>,
    /// Signs facts and checkpoints.
    pub key: SigningKey,
    /// How the server is known.
    pub card: ServerCard,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// The open office. One act at a time: the order of facts is the order of this lock.
pub struct Office {
    registry: Registry,
    ring: Arc<dyn KeyRing>,
    shelf: Arc<dyn Shelf>,
    key: SigningKey,
    card: ServerCard,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    state: Mutex<State>,
}

/// What follows from the rows, kept in memory.
struct State {
    roster: Roster,
    ledgers: BTreeMap<MigrationId, Ledger>,
    /// Why only evidence is served, if so.
    alarm: Option<Alarm>,
    /// Consignments whose dead parcels could not be deleted yet, and of which that is noted.
    left: BTreeSet<ConsignmentId>,
    /// Migrations whose agents know facts that this server does not: it was restored, and may only destroy them.
    behind: BTreeSet<MigrationId>,
}

impl Office {
    /// Opens the office: replays every migration from its facts and compares what follows with the rows.
    ///
    /// # Errors
    /// A fault when the registry cannot be read. A mismatch is no error: the office opens, serves evidence only, and
    /// [`Self::alarm`] says why.
    pub fn open(furniture: Furniture) -> Result<Self> {
        let Furniture { registry, ring, shelf, key, card, clock, entropy } = furniture;
        let mut roster = Roster::default();
        registry.roots()?.into_iter().for_each(|root| roster.trust(root));
        for envelope in registry.certificates()? {
            roster.admit(&envelope)?;
        }
        for envelope in registry.revocations()? {
            roster.revoke(&envelope)?;
        }
        let mut state =
            State { roster, ledgers: BTreeMap::new(), alarm: None, behind: BTreeSet::new(), left: BTreeSet::new() };
        match registry.compare() {
            Err(Trouble::Alarm(alarm)) => state.alarm = Some(alarm),
            compared => compared?,
        }
        for row in registry.migrations()? {
            let mut ledger = Ledger::new(&card.origin, key.public(), row.id);
            for placed in registry.facts(row.id, 1)? {
                if let Err(trouble) = ledger.admit(&placed.entry, &state.roster, None) {
                    state.alarm = Some(Alarm::new(
                        Code(801),
                        format!("the facts of migration {} do not replay: {trouble}", row.id),
                    ));
                    break;
                }
            }
            let same = ledger.migration().facts == row.facts && digest_of(ledger.migration())? == row.state;
            if !same && state.alarm.is_none() {
                let text = format!("the row of migration {} is not what its facts give", row.id);
                state.alarm = Some(Alarm::new(Code(802), text));
            }
            if is_behind(ledger.migration(), ring.as_ref()) {
                tracing::error!(migration = %row.id, "Its rows are older than the key ring: it may only be destroyed.");
                state.behind.insert(row.id);
            }
            state.ledgers.insert(row.id, ledger);
        }
        let office = Self { registry, ring, shelf, key, card, clock, entropy, state: Mutex::new(state) };
        Ok(office)
    }

    /// How this server is known.
    pub fn card(&self) -> &ServerCard {
        &self.card
    }

    /// The server's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Why only evidence is served, if so.
    pub async fn alarm(&self) -> Option<Alarm> {
        self.state.lock().await.alarm.clone()
    }

    /// Every signed request ends here: who sent it, if the signature holds and was not seen before.
    ///
    /// # Errors
    /// A refusal when it is unsigned, stale, replayed or of a certificate that is not good; an alarm when the signature
    /// does not hold.
    pub async fn identify(
        &self,
        request: &people::request::Request<'_>,
        headers: &people::request::Headers,
    ) -> Result<Signer> {
        let now = self.clock.now();
        let state = self.state.lock().await;
        let (signer, claim) = people::request::verify(request, headers, &self.card.origin, &state.roster, now)?;
        self.spend(&claim, now)?;
        Ok(signer)
    }

    fn spend(&self, claim: &people::request::Claim, now: Timestamp) -> Result<()> {
        let twice = people::request::GOOD_FOR_SECONDS.saturating_mul(2);
        let until = Timestamp::from_second(now.as_second().saturating_add(twice)).unwrap_or(Timestamp::MAX);
        if self.registry.spend_nonce(claim.keyid, claim.nonce, until, now)? {
            return Ok(());
        }
        Err(Refusal::new(
            Code(803),
            "this request was received before",
            "Send a new request; the command does so by itself.",
        )
        .into())
    }

    fn nonce(&self) -> Result<Digest> {
        Ok(Digest(self.entropy.bytes()?))
    }

    /// Records something of the server's own.
    fn note(&self, text: String) -> Result<()> {
        let leaf = Leaf::Note { nonce: self.nonce()?, at: self.clock.now(), text };
        self.registry.record(&leaf, &registry::Recording::Note)?;
        Ok(())
    }
}

impl State {
    fn writable(&self) -> Result<()> {
        self.alarm.clone().map_or(Ok(()), |alarm| Err(alarm.into()))
    }

    /// The ledger of a migration that this signer's organisation is a party to. To others it does not exist.
    fn party_ledger(&self, migration: MigrationId, signer: &Signer) -> Result<&Ledger> {
        let ledger = self.ledgers.get(&migration).filter(|ledger| ledger.migration().side(&signer.root()).is_some());
        ledger.ok_or_else(|| unknown_migration().into())
    }
}

/// Whether a round lives by its facts and its key was destroyed: then the facts are a copy from before.
fn is_behind(migration: &Migration, ring: &dyn KeyRing) -> bool {
    let mut living = migration.consignments.iter().filter(|consignment| consignment.alive());
    living.any(|consignment| match ring.attest(consignment.id) {
        Ok(KeyState::Destroying | KeyState::Destroyed { .. }) | Err(Trouble::Alarm(_)) => true,
        Ok(KeyState::Absent | KeyState::Alive) | Err(_) => false,
    })
}

fn unknown_migration() -> Refusal {
    Refusal::new(Code(804), "there is no such migration for this organisation", "List them with `lazaret next`.")
}

/// The name of a stage, for rows and lists.
fn stage_name(migration: &Migration) -> &'static str {
    match migration.stage {
        procedure::Stage::Drafted => "drafted",
        procedure::Stage::Approved => "approved",
        procedure::Stage::SignedOff => "signed_off",
        procedure::Stage::Destroyed => "destroyed",
    }
}

type Held<'a> = MutexGuard<'a, State>;
