//! The start: every migration replayed from its facts and compared with leaves and rows. What does not agree is an alarm
//! and never a reason not to open: deadlines are carried out all the same.

use std::collections::BTreeSet;

use lexicon::{Alarm, Code, Digest, MigrationId, Result, Trouble, digest_of};
use people::Roster;
use procedure::{Ledger, Migration};
use registry::{Differences, Mark, Marking, Registry};
use tokio::sync::Mutex;
use vault::{KeyRing, KeyState};
use wire::{Leaf, ServerCard};

use crate::{Furniture, Office, State};

impl Office {
    /// Opens the office: replays every migration from its facts and compares what follows with leaves and rows. A renewed
    /// card is noted in the journal when it opens with it for the first time.
    ///
    /// # Errors
    /// A fault when the registry cannot be read. A mismatch is no error: the office opens, serves evidence only, and
    /// [`Self::alarm`] says why.
    pub fn open(furniture: Furniture) -> Result<Self> {
        let state = State::read(&furniture)?;
        let Furniture { registry, ring, shelf, key, card, clock, entropy, deadline_days_max } = furniture;
        let state = Mutex::new(state);
        let destroying = Mutex::default();
        let office = Self { registry, ring, shelf, key, card, clock, entropy, deadline_days_max, state, destroying };
        if let Err(trouble) = office.note_card() {
            tracing::error!(code = %trouble.code(), "That the card was renewed could not be noted: {trouble}.");
        }
        Ok(office)
    }

    /// Whoever audits sees since when devices are to pin another certificate.
    fn note_card(&self) -> Result<()> {
        let ServerCard { fingerprint, serial: Some(serial), .. } = &self.card else { return Ok(()) };
        let text = format!("the card was renewed: serial {serial}, TLS certificate {fingerprint}");
        self.note_once(Mark::Renewed, &digest_of(&self.card)?.to_string(), text)
    }

    /// Notes in the journal, once, that the server runs with something that its settings call a danger.
    ///
    /// # Errors
    /// A fault when the registry takes no note; an alarm when the journal is damaged.
    pub fn note_danger(&self, danger: &str) -> Result<()> {
        let subject = Digest::of(danger.as_bytes()).to_string();
        self.note_once(Mark::Danger, &subject, format!("a danger that the settings accept: {danger}"))
    }

    fn note_once(&self, mark: Mark, subject: &str, text: String) -> Result<()> {
        if self.registry.marked(mark, subject)?.is_none() {
            let leaf = Leaf::Note { nonce: self.nonce()?, at: self.clock.now(), text };
            self.registry.mark(&leaf, &Marking { mark, subject, forget: None })?;
        }
        Ok(())
    }
}

impl State {
    fn read(furniture: &Furniture) -> Result<Self> {
        let registry = &furniture.registry;
        let mut state = Self::default();
        let suspect = state.compare(registry)?;
        state.take_in_people(registry)?;
        for id in registry.migration_ids()? {
            let ledger = state.replay(furniture, id)?;
            let doubted = state.damaged.contains(&id)
                || registry.damage().is_some()
                || suspect.as_ref().is_none_or(|suspect| suspect.contains(&id));
            if doubted || !registry.projects(id, ledger.migration().facts, digest_of(ledger.migration())?)? {
                let text = format!("the row of migration {id} is not what its facts give");
                state.raise(Alarm::new(Code(802), text));
                state.damaged.insert(id);
            } else if registry.marked(Mark::Damaged, &id.to_string())?.is_some() {
                registry.unmark(Mark::Damaged, &id.to_string())?;
            }
            let marked = registry.marked(Mark::Behind, &id.to_string())?.is_some();
            if marked || is_behind(ledger.migration(), furniture.ring.as_ref()) {
                tracing::error!(migration = %id, "Its rows are older than its agents or the key ring: it may only be destroyed.");
                state.behind.insert(id);
            }
            state.ledgers.insert(id, ledger);
        }
        Ok(state)
    }

    /// The first alarm is the one that is told.
    fn raise(&mut self, alarm: Alarm) {
        self.alarm.get_or_insert(alarm);
    }

    /// The migrations whose facts are not those of the leaves; none when it may be any.
    fn compare(&mut self, registry: &Registry) -> Result<Option<BTreeSet<MigrationId>>> {
        if let Some(alarm) = registry.damage() {
            self.raise(alarm.clone());
        }
        Ok(match registry.compare()? {
            Differences::None => Some(BTreeSet::new()),
            Differences::Some(alarm, migrations) => {
                self.raise(alarm);
                Some(migrations)
            }
            Differences::Anywhere(alarm) => {
                self.raise(alarm);
                None
            }
        })
    }

    fn take_in_people(&mut self, registry: &Registry) -> Result<()> {
        let people = registry.readable_people()?;
        let mut roster = Roster::default();
        people.roots.into_iter().for_each(|root| roster.trust(root));
        let admitted = people.certificates.iter().map(|envelope| roster.admit(envelope).map(drop)).collect::<Vec<_>>();
        let revoked = people.revocations.iter().map(|envelope| roster.revoke(envelope).map(drop)).collect::<Vec<_>>();
        if let Some(trouble) = admitted.into_iter().chain(revoked).find_map(Result::err) {
            let text = format!("a certificate or revocation in the registry does not hold: {trouble}");
            self.raise(Alarm::new(Code(806), text));
        }
        self.roster = roster;
        Ok(())
    }

    /// The ledger of a migration, up to where its facts do not replay.
    fn replay(&mut self, furniture: &Furniture, id: MigrationId) -> Result<Ledger> {
        let mut ledger = Ledger::new(&furniture.card.origin, furniture.key.public(), id);
        for placed in furniture.registry.readable_facts(id)? {
            if let Err(trouble) = ledger.admit(&placed.entry, &self.roster, None) {
                let text = format!("the facts of migration {id} do not replay: {trouble}");
                self.raise(Alarm::new(Code(801), text));
                self.damaged.insert(id);
                break;
            }
        }
        Ok(ledger)
    }
}

/// Whether a round lives by its facts and its key was destroyed, or never lay in this ring: then facts or ring are another
/// time's, or another server's.
fn is_behind(migration: &Migration, ring: &dyn KeyRing) -> bool {
    let mut living = migration.consignments.iter().filter(|consignment| consignment.alive());
    living.any(|consignment| match ring.attest(consignment.id) {
        Ok(KeyState::Absent | KeyState::Destroying | KeyState::Destroyed { .. }) | Err(Trouble::Alarm(_)) => true,
        Ok(KeyState::Alive) | Err(_) => false,
    })
}
