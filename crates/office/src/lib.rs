//! The server's verbs, one file each, and the only room that composes the others: people and procedure decide, the
//! registry records, the vault keeps and destroys.
//!
//! Every change is a leaf of the journal first. The office can refuse, delay and destroy; it has nothing that opens a
//! parcel: the room that knows how is not among its dependencies.

mod admit;
mod destroy;
mod destroy_damaged;
mod emptied;
mod evidence_pack;
mod facts;
mod held;
mod open;
mod parcels;
mod people_desk;
mod put_back;
mod show_fact;
mod submit;
mod sweep;
mod unnamed;
mod unopened;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lexicon::{
    Alarm, Clock, Code, ConsignmentId, Digest, Entropy, Fault, MigrationId, Refusal, Result, Retry, Timestamp, Trouble,
};
use people::{Roster, Signer, SigningKey};
use procedure::{Consignment, ConsignmentStage, Ledger, Lingering, Migration};
use registry::{Look, Mark, Marking, Registry};
use tokio::sync::Mutex;
use vault::{KeyRing, Receipt, Shelf};

use self::put_back::PutBack;

pub use admit::admission;
pub use submit::strongroom_share;
pub use sweep::Sweeper;
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
    /// How many days ahead a deadline may lie, at most [`lexicon::limits::DEADLINE_DAYS_MAX`].
    pub deadline_days_max: i64,
    /// For how many days snapshots of what a ring key lay in may be kept, at most [`lexicon::limits::SNAPSHOT_DAYS_MAX`]: a
    /// destruction is in effect when the last of them is gone.
    pub snapshot_days: u32,
    /// For how long an act that ends something waits until the parcels are deleted, usually [`ERASURE_WAIT`].
    pub erasure_wait: Duration,
}

/// 1 min: a device waits 5 for the answer to its act. What takes longer goes on in the sweep.
pub const ERASURE_WAIT: Duration = Duration::from_mins(1);

/// The open office. One act at a time: the order of facts is the order of this lock.
pub struct Office {
    registry: Registry,
    ring: Arc<dyn KeyRing>,
    shelf: Arc<dyn Shelf>,
    key: SigningKey,
    card: ServerCard,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    deadline_days_max: i64,
    snapshot_days: u32,
    erasure_wait: Duration,
    state: Mutex<State>,
    /// Held while parcels are deleted, by one at a time, which may take longer than the state's lock is held. No key waits
    /// for it.
    destroying: Mutex<()>,
}

/// What follows from the rows, kept in memory.
#[derive(Default)]
struct State {
    roster: Roster,
    ledgers: BTreeMap<MigrationId, Ledger>,
    /// Why only evidence is served, if so.
    alarm: Option<Alarm>,
    /// Consignments whose dead parcels could not be deleted yet, of which that is noted, and why at the last try.
    left: BTreeMap<ConsignmentId, String>,
    /// What was not seen on the shelves of consignments that are being emptied, where the registry could not keep it.
    unseen: BTreeMap<ConsignmentId, Look>,
    /// Consignments whose key could not be destroyed yet, of which that is noted, and why at the last try.
    waiting: BTreeMap<ConsignmentId, String>,
    /// What an object store said last that it keeps of destroyed consignments; nothing where it is yet to be asked.
    held: BTreeMap<ConsignmentId, Vec<Lingering>>,
    /// Consignments whose ring key was made for an opening that came to nothing in this process: it is to be destroyed.
    unopened: BTreeSet<ConsignmentId>,
    /// Openings that were noted before the start and that no fact came of, as far as this server has facts, each with when
    /// it was noted.
    openings: BTreeMap<ConsignmentId, Timestamp>,
    /// When the ring was asked last which keys live in it.
    asked_at: Option<Timestamp>,
    /// The destroyed consignment that the ring was asked about last.
    key_looked_at: Option<ConsignmentId>,
    /// The one that the shelf was asked about last.
    shelf_looked_at: Option<ConsignmentId>,
    /// Migrations whose agents or key ring know more than this server: it was restored, and may only destroy them. How it
    /// came to know.
    behind: BTreeMap<MigrationId, Alarm>,
    /// What of that was known at the start.
    found_at_start: Vec<PutBack>,
    /// Migrations whose facts are not whole: none is added to them, and their deadlines hold all the same.
    damaged: BTreeSet<MigrationId>,
    /// Consignments of those with which this process is done.
    settled: BTreeSet<ConsignmentId>,
}

/// Does what waits for rows, key ring and disk on a thread that may wait, so that those that accept and read go on.
///
/// # Errors
/// Those of `verb`; a fault when it broke off.
pub async fn aside<T: Send + 'static>(verb: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let here = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || here.block_on(verb)).await;
    done.unwrap_or_else(|_| Err(broke_off().into()))
}

/// Whether the key ring was not there to be asked: the next key would only wait for it too, and the same beat has other
/// deadlines to keep.
fn is_away(destroyed: &Result<()>) -> bool {
    matches!(destroyed, Err(Trouble::Fault(fault)) if fault.code == Code(720))
}

fn broke_off() -> Fault {
    Fault::new(Code(807), Retry::Later, "what the server was doing broke off")
}

impl Office {
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

    /// Records something of the server's own; beside the journal where that is damaged.
    fn note(&self, text: String) -> Result<()> {
        let leaf = self.note_leaf(text)?;
        if self.registry.damage().is_some() {
            return self.registry.note_beside(&leaf);
        }
        self.registry.record(&leaf, &registry::Recording::Note)?;
        Ok(())
    }

    fn note_leaf(&self, text: String) -> Result<Leaf> {
        Ok(Leaf::Note { nonce: self.nonce()?, at: self.clock.now(), text })
    }

    /// As [`Self::note`] for what must be known after a restart, and where a journal that takes nothing is no obstacle.
    fn mark(&self, text: String, marking: &Marking<'_>) -> Result<Receipt> {
        self.mark_at(self.clock.now(), text, marking)
    }

    /// As [`Self::mark`], of a moment from which something is counted.
    fn mark_at(&self, at: Timestamp, text: String, marking: &Marking<'_>) -> Result<Receipt> {
        tracing::error!("{text}.");
        self.registry.mark(&Leaf::Note { nonce: self.nonce()?, at, text }, marking)
    }

    /// Marks a migration.
    fn mark_migration(&self, migration: MigrationId, mark: Mark, text: String) -> Result<()> {
        self.mark(text, &Marking { mark, subject: &migration.to_string(), forget: None })?;
        Ok(())
    }
}

impl State {
    fn writable(&self) -> Result<()> {
        self.alarm.clone().map_or(Ok(()), |alarm| Err(alarm.into()))
    }

    /// Whether anything but destruction may happen in a migration.
    fn changeable(&self, migration: MigrationId) -> Result<()> {
        self.writable()?;
        if self.behind.contains_key(&migration) { Err(behind(migration).into()) } else { Ok(()) }
    }

    /// What the server says of its own part of a migration beside its facts.
    fn says(&self, migration: &Migration) -> Vec<String> {
        let mut says: Vec<String> = self.behind.get(&migration.id).map(Alarm::to_string).into_iter().collect();
        for Consignment { id, stage, ending, .. } in &migration.consignments {
            if *stage == ConsignmentStage::Destroyed {
                says.extend(self.held.get(id).filter(|held| !held.is_empty()).map(|held| held::sentence(*id, held)));
            } else if ending.is_some() {
                says.extend(self.waiting.get(id).cloned());
                says.extend(self.left.get(id).cloned());
            }
        }
        says
    }

    /// The ledger of a migration that this signer's organisation is a party to. To others it does not exist.
    fn party_ledger(&self, migration: MigrationId, signer: &Signer) -> Result<&Ledger> {
        let ledger = self.ledgers.get(&migration).filter(|ledger| ledger.migration().side(&signer.root()).is_some());
        ledger.ok_or_else(|| unknown_migration().into())
    }
}

/// Why nothing but destruction happens in a migration.
fn behind(migration: MigrationId) -> Alarm {
    let text = format!(
        "this server was put back behind its agents or its key ring for migration {migration}; it may only destroy it"
    );
    Alarm::new(Code(813), text)
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
