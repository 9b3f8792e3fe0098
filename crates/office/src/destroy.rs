//! The end: what signed acts or a deadline ended is destroyed, key first. Every step can be cut and is taken up again.

use std::collections::BTreeMap;
use std::sync::Arc;

use lexicon::{Alarm, Code, ConsignmentId, MigrationId, Result, Timestamp, Trouble, digest_of};
use people::Envelope;
use procedure::{
    Act, Consignment, ConsignmentStage, Destroyed, KeyAct, KeyLevel, Left, Lingering, Migration, Proof, Said, Stage,
    Stored,
};
use registry::{Mark, Marking, Registry};
use tokio::time::timeout;
use vault::{KeyState, Receipt, RingEvidence, Wrapped};
use wire::ParcelLine;

use crate::emptied::deleted;
use crate::submit::bound;
use crate::unnamed::marked;
use crate::{Office, State, broke_off};

impl Office {
    pub(crate) fn carry_out_deadlines(&self, state: &mut State, id: MigrationId) -> Result<()> {
        self.overdue(state, id).into_iter().try_for_each(|act| {
            self.record(state, id, Proof::Deadline(act), &[], None)?;
            Ok(())
        })
    }

    /// The consignments of a migration that live by its facts and whose time is over.
    pub(crate) fn due(&self, state: &State, id: MigrationId) -> Vec<ConsignmentId> {
        let Some(migration) = state.ledgers.get(&id).map(procedure::Ledger::migration) else { return Vec::new() };
        let now = self.clock.now();
        migration.consignments.iter().filter(|one| is_due(migration, one, now)).map(|one| one.id).collect()
    }

    /// The end of a consignment whose deadline the journal cannot take, for want of space or of a disk: its key goes all the
    /// same. The facts follow at the first beat at which they can; the parcels, which nothing opens any more, with them.
    pub(crate) async fn destroy_unwritten(&self, (id, consignment): (MigrationId, ConsignmentId)) -> Result<()> {
        self.destroy_key(id, consignment).await?;
        let alarm = Alarm::new(
            Code(844),
            format!(
                "the deadline of consignment {consignment} has passed and the journal does not take it: its key is destroyed, and the record follows once the registry can be written"
            ),
        );
        tracing::error!("{alarm}.");
        Ok(())
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
        self.due(state, id).into_iter().map(|consignment| Act::Overdue { consignment: Some(consignment) }).collect()
    }

    /// Destroys the server's part of every consignment that has an ending, then certifies the whole when it has one. The
    /// office goes on meanwhile: its lock is taken for what is recorded, and never while a ring or a shelf is waited for.
    ///
    /// The keys' destruction is waited for, the deletion of parcels so long only that whoever sent the act still waits for
    /// its answer. What is cut here is taken up by the sweep, as after a crash.
    pub(crate) async fn destroy_what_ended(&self, id: MigrationId) -> Result<()> {
        let keys = self.destroy_keys(id).await;
        let Ok(shelves) = timeout(self.erasure_wait, self.empty_shelves(id)).await else {
            tracing::info!(migration = %id, "The deletion of parcels takes longer; it goes on in the sweep.");
            return keys;
        };
        keys.and(shelves)
    }

    async fn ended(&self, id: MigrationId) -> Vec<ConsignmentId> {
        let state = self.state.lock().await;
        let consignments = state.ledgers.get(&id).map(|ledger| ledger.migration().consignments.iter());
        let ended = consignments
            .into_iter()
            .flatten()
            .filter(|consignment| consignment.ending.is_some() && consignment.stage != ConsignmentStage::Destroyed);
        ended.map(|consignment| consignment.id).collect()
    }

    /// The proof that the journal holds the reason, and what the ring must not open any more.
    pub(crate) fn reason(&self, id: MigrationId, consignment: ConsignmentId) -> Result<(Receipt, Option<Wrapped>)> {
        Ok((self.registry.so_far()?, self.wrapped(id, consignment)?))
    }

    /// Destroys one key by what the journal holds so far.
    async fn destroy_key(&self, id: MigrationId, consignment: ConsignmentId) -> Result<()> {
        let shown = (consignment, self.share_to_show(id, consignment));
        vault::destroy_key(Arc::clone(&self.ring), shown, &self.registry.so_far()?).await.map(drop)
    }

    /// What the ring is shown when it destroys a key. A row that cannot be read keeps no key alive: nothing is shown then.
    pub(crate) fn share_to_show(&self, id: MigrationId, consignment: ConsignmentId) -> Option<Wrapped> {
        self.wrapped(id, consignment).unwrap_or_else(|trouble| {
            tracing::error!(code = %trouble.code(), %consignment, "A wrapped share cannot be read: {trouble}.");
            None
        })
    }

    /// Destroys the keys of what facts say is over, and waits for no shelf.
    pub(crate) async fn destroy_keys(&self, id: MigrationId) -> Result<()> {
        let mut first = Ok(());
        for consignment in self.ended(id).await {
            let destroyed = self.destroy_key(id, consignment).await;
            match &destroyed {
                // Destroyed again by then, and certified so.
                Err(Trouble::Alarm(back)) if back.code == Code(709) => first = first.and(self.note(back.to_string())),
                Err(trouble) => self.tell_waiting(consignment, trouble).await,
                Ok(()) => {}
            }
            first = first.and(destroyed);
        }
        first
    }

    /// A destruction that waits for its key ring is in the journal once, and in the log at every beat.
    async fn tell_waiting(&self, consignment: ConsignmentId, trouble: &Trouble) {
        let text = format!("consignment {consignment}: its key is not destroyed yet: {trouble}");
        if self.state.lock().await.waiting.insert(consignment, text.clone()).is_none() {
            let noted = self.note(text);
            if let Err(trouble) = noted {
                tracing::error!(code = %trouble.code(), "That a destruction waits could not be noted: {trouble}.");
            }
        }
    }

    /// Asks the ring about one consignment that is destroyed, the next one at each beat: a key that somebody put back is found,
    /// and destroyed again, without a restart.
    pub(crate) async fn look_back_at_a_key(&self) -> Result<()> {
        let next = {
            let mut state = self.state.lock().await;
            let next = state.destroyed_after(state.key_looked_at, &self.registry);
            state.key_looked_at = next.map(|(consignment, _)| consignment);
            next
        };
        let Some((consignment, migration)) = next else { return Ok(()) };
        self.key_stays_gone(migration, consignment).await
    }

    /// As [`Self::look_back_at_a_key`] for parcels that were put back, or that came late.
    pub(crate) async fn look_back_at_a_shelf(&self) -> Result<()> {
        let next = {
            let mut state = self.state.lock().await;
            let next = state.destroyed_after(state.shelf_looked_at, &self.registry);
            state.shelf_looked_at = next.map(|(consignment, _)| consignment);
            next
        };
        let Some((consignment, _)) = next else { return Ok(()) };
        self.shelf_stays_empty(consignment).await
    }

    /// `migration`: where a fact tells that it is destroyed.
    async fn key_stays_gone(&self, migration: Option<MigrationId>, consignment: ConsignmentId) -> Result<()> {
        let ring = Arc::clone(&self.ring);
        let asked = tokio::task::spawn_blocking(move || ring.attest(consignment)).await;
        let alarm = match asked.map_err(|_| broke_off())? {
            // A ring that is away is told of by whatever needs it.
            Err(Trouble::Fault(_) | Trouble::Refusal(_)) => return Ok(()),
            Ok(KeyState::Destroyed { at, recorded }) => {
                // A tombstone that was told of a fact which there never was would say that this server was put back.
                if !recorded && migration.is_some() {
                    self.engrave(consignment).await?;
                }
                if self.is_told(migration, consignment, at).await? {
                    return Ok(());
                }
                // It was back when the ring was opened, and whoever opened it was told.
                None
            }
            Err(Trouble::Alarm(alarm)) => Some(alarm),
            Ok(KeyState::Absent | KeyState::Alive | KeyState::Destroying) => Some(Alarm::new(
                Code(842),
                format!(
                    "the key ring does not know that it destroyed the key of consignment {consignment}: it is an old copy, or another ring"
                ),
            )),
        };
        if let Some(alarm) = alarm {
            tracing::error!("{alarm}.");
            self.note(format!("{alarm}"))?;
        }
        let receipt = self.registry.so_far()?;
        let shown = migration.and_then(|migration| self.share_to_show(migration, consignment));
        let (again, _) = vault::destroy_key(Arc::clone(&self.ring), (consignment, shown), &receipt).await?;
        self.tell_of_a_copy(&again)?;
        self.supplement(migration, again).await
    }

    /// Whether a key act is the one that its fact tells, or one that a note tells.
    async fn is_told(&self, migration: Option<MigrationId>, consignment: ConsignmentId, at: Timestamp) -> Result<bool> {
        let by_fact = {
            let state = self.state.lock().await;
            let ledger = migration.and_then(|migration| state.ledgers.get(&migration));
            let recorded = ledger.into_iter().flat_map(procedure::Ledger::recorded);
            let mut key_acts = recorded.filter_map(|recorded| {
                let Act::Destroyed { consignment: of, evidence } = &recorded.fact.act else { return None };
                (*of == consignment).then_some(evidence.key.at)
            });
            key_acts.next()
        };
        let told = if by_fact.is_some() {
            by_fact
        } else {
            self.registry.marked(Mark::Destroyed, &consignment.to_string())?.map(|marked| marked.at)
        };
        // Where what told it is lost, nothing says that this came after it.
        Ok(told.is_none_or(|told| at <= told)
            || self.registry.marked(Mark::DestroyedAgain, &key_act_subject(consignment, at)?)?.is_some())
    }

    /// Neither a fact nor a note is changed: of a key act that came after it, the journal notes once what the ring says.
    async fn supplement(&self, migration: Option<MigrationId>, again: RingEvidence) -> Result<()> {
        let (consignment, at) = (again.consignment, again.destroyed_at);
        // A note has the time of a clock that may have been set back since the ring's act.
        let is_the_first = migration.is_none() && again.found && !again.was_back();
        if is_the_first || self.is_told(migration, consignment, at).await? {
            return Ok(());
        }
        let what = if again.found { "its key was there, and is destroyed again" } else { "there was no key of it" };
        let (words, told_by) = (again.words(), if migration.is_some() { "fact" } else { "note" });
        let text =
            format!("consignment {consignment}, after the {told_by} of its destruction: {what} at {at}; {words}");
        let subject = key_act_subject(consignment, at)?;
        self.mark(text, &Marking { mark: Mark::DestroyedAgain, subject: &subject, forget: None }).map(drop)
    }

    async fn shelf_stays_empty(&self, consignment: ConsignmentId) -> Result<()> {
        let listed = match self.shelf.list(consignment).await {
            Ok(parcels) => parcels.len(),
            // Something that is no parcel: it goes too.
            Err(Trouble::Alarm(_)) => 1,
            Err(trouble) => return Err(trouble),
        };
        let unfinished = self.shelf.unfinished(consignment).await?;
        if listed == 0 && unfinished == 0 {
            return Ok(());
        }
        let what = format!(
            "{listed} parcels and {unfinished} uploads that were cut of consignment {consignment} lay on the shelf after its destruction; they are deleted"
        );
        tracing::error!("{what}.");
        self.note(what)?;
        self.shelf.erase(consignment, &self.registry.so_far()?).await.map(drop)
    }

    /// Deletes the parcels of what facts say is over, and certifies that.
    pub(crate) async fn empty_shelves(&self, id: MigrationId) -> Result<()> {
        if !self.ended(id).await.is_empty() {
            // One at a time: who comes second finds it done.
            let _alone = self.destroying.lock().await;
            let mut first = Ok(());
            for consignment in self.ended(id).await {
                first = first.and(self.destroy_one(id, consignment).await);
            }
            first?;
        }
        self.finish(&mut *self.state.lock().await, id)
    }

    async fn destroy_one(&self, id: MigrationId, consignment: ConsignmentId) -> Result<()> {
        let (receipt, wrapped) = self.reason(id, consignment)?;
        let (ring, share_shown) = vault::destroy_key(Arc::clone(&self.ring), (consignment, wrapped), &receipt).await?;
        let stored = self.registry.parcels(consignment)?;
        let (absent, erased) = match self.empty_shelf((consignment, &stored), &receipt).await {
            Ok(emptied) => emptied,
            Err(trouble) => return self.tell_left(consignment, &trouble).await,
        };
        // What came since.
        let listed = counted(self.shelf.list(consignment).await?.len());
        let unfinished = self.shelf.unfinished(consignment).await?;
        // Every consignment has had a key since it was opened.
        if !ring.found {
            let alarm = Alarm::new(
                Code(843),
                format!(
                    "the key ring had no key of consignment {consignment} to destroy: what became of it is not known"
                ),
            );
            tracing::error!("{alarm}.");
            self.note(format!("{alarm}"))?;
        }
        let ring = self.last_word(id, ring).await?;
        self.tell_of_a_copy(&ring)?;
        let lingering: Vec<Lingering> = erased.lingering.iter().map(lingers).collect();
        let (parcels, bytes) = deleted(&stored, absent, &lingering);
        let evidence = Destroyed {
            key: key_act(ring),
            // There is no erasure otherwise: the ring was asked before the parcels went.
            ring_refuses: true,
            share_shown,
            // An erasure that was cut and taken up again counts only the rest.
            parcels: erased.objects.max(parcels),
            bytes: erased.bytes.max(bytes),
            inventory: stored.into_iter().map(stored_line).collect(),
            left: Left {
                objects: erased.left.objects.max(listed),
                versions: erased.left.versions,
                unfinished: erased.left.unfinished.max(unfinished),
            },
            lingering,
            absent,
            snapshot_days: self.snapshot_days,
        };
        let held = evidence.lingering.clone();
        {
            let mut state = self.state.lock().await;
            self.record(&mut state, id, Proof::Server(Act::Destroyed { consignment, evidence }), &[], None)?;
            state.unseen.remove(&consignment);
            if !held.is_empty() {
                state.held.insert(consignment, held);
            }
        }
        self.engrave(consignment).await
    }

    /// The ring's evidence as it is when all parcels are gone, which may be hours after its key was destroyed. One that was
    /// put back meanwhile is destroyed again, and that is certified.
    async fn last_word(&self, id: MigrationId, evidence: RingEvidence) -> Result<RingEvidence> {
        let (ring, consignment) = (Arc::clone(&self.ring), evidence.consignment);
        let stands = tokio::task::spawn_blocking(move || ring.attest(consignment)).await.map_err(|_| broke_off())?;
        match stands {
            Ok(KeyState::Destroyed { at, .. }) if at == evidence.destroyed_at => return Ok(evidence),
            Err(Trouble::Alarm(back)) if back.code == Code(709) => self.note(back.to_string())?,
            Err(trouble) => return Err(trouble),
            Ok(KeyState::Absent | KeyState::Alive | KeyState::Destroying | KeyState::Destroyed { .. }) => {}
        }
        let (receipt, wrapped) = self.reason(id, consignment)?;
        let (again, _) = vault::destroy_key(Arc::clone(&self.ring), (consignment, wrapped), &receipt).await?;
        Ok(again)
    }

    /// A key that its place would have given out may be elsewhere, whatever became of it there.
    pub(crate) fn tell_of_a_copy(&self, ring: &RingEvidence) -> Result<()> {
        if !ring.could_leave {
            return Ok(());
        }
        let consignment = ring.consignment;
        let alarm = Alarm::new(
            Code(845),
            format!(
                "the ring key of consignment {consignment} could leave the place where it lay: it is destroyed there, and a copy of it may have been taken out before"
            ),
        );
        tracing::error!("{alarm}.");
        self.note(format!("{alarm}"))
    }

    /// Has the ring write on its tombstone that the journal has the fact of a destruction: a server that is put back to before
    /// that fact hears of it.
    async fn engrave(&self, consignment: ConsignmentId) -> Result<()> {
        let (ring, recorded) = (Arc::clone(&self.ring), self.registry.so_far()?);
        let engraved = tokio::task::spawn_blocking(move || ring.engrave(consignment, &recorded)).await;
        engraved.map_err(|_| broke_off())?
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
        // Facts that are known to be old say too little: who received a share, which parcels there were, when the key went.
        if state.behind.contains_key(&id) {
            return Ok(());
        }
        let at = self.clock.now().max(migration.last_at);
        let certificate: Envelope = evidence::issue(ledger, &self.card, at, &self.key)?;
        let (digest, body) = (certificate.digest()?, lexicon::canonical(&certificate)?);
        self.record(state, id, Proof::Server(Act::Finish { certificate: digest }), &[(digest, body)], None)?;
        Ok(())
    }
}

impl State {
    /// The destroyed consignment that comes next after this one, round and round; with its migration where a fact tells that
    /// it is destroyed.
    fn destroyed_after(
        &self,
        last: Option<ConsignmentId>,
        registry: &Registry,
    ) -> Option<(ConsignmentId, Option<MigrationId>)> {
        // Marks that cannot be read are told of by whatever needs them.
        let noted = marked(registry, Mark::Destroyed).unwrap_or_default();
        let mut gone: BTreeMap<ConsignmentId, Option<MigrationId>> =
            noted.iter().chain(&self.settled).map(|consignment| (*consignment, None)).collect();
        for (id, ledger) in &self.ledgers {
            let consignments = ledger.migration().consignments.iter();
            let of_facts = consignments.filter(|consignment| consignment.stage == ConsignmentStage::Destroyed);
            gone.extend(of_facts.map(|consignment| (consignment.id, Some(*id))));
        }
        let next = gone.iter().find(|(id, _)| Some(**id) > last).or_else(|| gone.first_key_value());
        next.map(|(consignment, migration)| (*consignment, *migration))
    }
}

/// Whether a consignment's time is over although no fact says so yet.
pub(crate) fn is_due(migration: &Migration, consignment: &Consignment, now: Timestamp) -> bool {
    let now = now.max(migration.last_at);
    consignment.alive() && (migration.is_due(now) || now >= consignment.deadline)
}

/// What a mark on one act upon a key is set on.
fn key_act_subject(consignment: ConsignmentId, at: Timestamp) -> Result<String> {
    Ok(digest_of(&(consignment, at))?.to_string())
}

pub(crate) fn counted(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn key_act(ring: RingEvidence) -> KeyAct {
    KeyAct {
        id: ring.key,
        level: match ring.kind {
            vault::Level::K0 => KeyLevel::K0,
            vault::Level::K1 => KeyLevel::K1,
            vault::Level::K2 => KeyLevel::K2,
        },
        achieves: ring.level,
        found: ring.found,
        begun_at: ring.begun_at,
        at: ring.destroyed_at,
        unlinked: ring.unlinked,
        could_leave: ring.could_leave,
        said: ring.said.into_iter().map(said).collect(),
    }
}

fn said(vault::Said { asked, answered, request }: vault::Said) -> Said {
    Said { asked, answered, request }
}

fn stored_line(ParcelLine { attempt, parcel, bytes, digest }: ParcelLine) -> Stored {
    Stored { attempt, parcel, bytes, digest }
}

pub(crate) fn lingers(parcel: &vault::Lingering) -> Lingering {
    let vault::Lingering { attempt, parcel, bytes, until } = *parcel;
    Lingering { attempt, parcel, bytes, until }
}
