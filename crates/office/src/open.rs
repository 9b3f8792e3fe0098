//! The start: every migration replayed from its facts and compared with leaves and rows. What does not agree is an alarm
//! and never a reason not to open: deadlines are carried out all the same.

use std::collections::BTreeSet;

use lexicon::{Alarm, Code, Digest, MigrationId, Result, Timestamp, Trouble, digest_of, limits};
use people::Roster;
use procedure::Ledger;
use registry::{Differences, Mark, Marking, Registry};
use tokio::sync::Mutex;
use wire::ServerCard;

use crate::put_back::Kept;
use crate::{Furniture, Office, State, behind};

impl Office {
    /// Opens the office: replays every migration from its facts and compares what follows with leaves and rows. A renewed
    /// card is noted in the journal when it opens with it for the first time.
    ///
    /// # Errors
    /// A fault when the registry or its marks cannot be read. A mismatch, or another table of which a part is lost, is no
    /// error: the office opens, serves evidence only, and [`Self::alarm`] says why.
    pub fn open(furniture: Furniture) -> Result<Self> {
        let state = State::read(&furniture)?;
        let Furniture {
            registry,
            ring,
            shelf,
            key,
            card,
            clock,
            entropy,
            deadline_days_max,
            snapshot_days,
            erasure_wait,
        } = furniture;
        let latest = state.latest();
        let (found, state) = (state.found_at_start.clone(), Mutex::new(state));
        let destroying = Mutex::default();
        let office = Self {
            registry,
            ring,
            shelf,
            key,
            card,
            clock,
            entropy,
            deadline_days_max,
            snapshot_days,
            erasure_wait,
            state,
            destroying,
        };
        office.note_put_back(&found);
        if let Err(trouble) = office.note_card() {
            tracing::error!(code = %trouble.code(), "That the card was renewed could not be noted: {trouble}.");
        }
        if let Err(trouble) = office.note_clock(latest) {
            tracing::error!(code = %trouble.code(), "That the clock is behind could not be noted: {trouble}.");
        }
        Ok(office)
    }

    /// A clock that shows an earlier time than the latest fact is wrong, or was wrong then: it is told at each start and noted
    /// once for each such fact. It ends nothing of another migration: a clock that was once ahead for a minute would do so for
    /// as long as it had been ahead.
    fn note_clock(&self, latest: Timestamp) -> Result<()> {
        let behind = latest.as_second().saturating_sub(self.clock.now().as_second()).checked_div(60).unwrap_or(0);
        if behind <= limits::AHEAD_MINUTES_MAX {
            return Ok(());
        }
        let alarm = Alarm::new(
            Code(847),
            format!(
                "this machine's clock is {behind} minutes behind the latest fact, which is of {latest}: it is wrong, or was wrong then; deadlines wait for it"
            ),
        );
        tracing::error!("{alarm}.");
        self.note_once(Mark::Clock, &latest.to_string(), alarm.to_string())
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
            self.registry.mark(&self.note_leaf(text)?, &Marking { mark, subject, forget: None })?;
        }
        Ok(())
    }
}

impl State {
    /// When the latest fact of all migrations was recorded.
    pub(crate) fn latest(&self) -> Timestamp {
        self.ledgers.values().map(|ledger| ledger.migration().last_at).max().unwrap_or_default()
    }

    fn read(furniture: &Furniture) -> Result<Self> {
        let registry = &furniture.registry;
        let mut state = Self::default();
        let suspect = state.compare(registry)?;
        state.take_in_people(registry)?;
        for id in state.migrations(registry)? {
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
            state.take_in_held(&ledger, registry)?;
            // What was destroyed without a fact lives by facts that have a hole; why, is told by that.
            if !state.damaged.contains(&id) {
                state.compare_with_ring(ledger.migration(), furniture.ring.as_ref(), furniture.clock.now());
            }
            let marked = registry.marked(Mark::Behind, &id.to_string())?.is_some();
            if marked && !state.behind.contains_key(&id) {
                state.put_back(Some(id), behind(id), Kept::Note);
            }
            state.ledgers.insert(id, ledger);
        }
        state.compare_keys(furniture)?;
        state.take_in_held_without_fact(registry)?;
        state.take_in_unopened(registry)?;
        Ok(state)
    }

    /// Every migration that any row names. Rows that are lost keep no server from its start: no deadline needs all of them.
    fn migrations(&mut self, registry: &Registry) -> Result<BTreeSet<MigrationId>> {
        let (mut ids, lost) = registry.migration_ids()?;
        if let Some(alarm) = lost {
            self.raise(alarm);
        }
        match registry.migrations_with_shares() {
            Ok(mut more) => ids.append(&mut more),
            Err(trouble) => self.raise(shares_unread(&trouble)),
        }
        Ok(ids)
    }

    /// The first alarm is the one that is told.
    pub(crate) fn raise(&mut self, alarm: Alarm) {
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

/// A part of the registry that the server does without, but for taking acts.
pub(crate) fn shares_unread(trouble: &Trouble) -> Alarm {
    Alarm::new(Code(808), format!("the wrapped shares cannot be read: {trouble}"))
}
