//! A ring key is made before its consignment is a fact, so that nothing is recorded that the key store did not take. Where
//! no fact came of it, because it was refused after all or the process ended in between, the key goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use lexicon::{Code, ConsignmentId, MigrationId, Refusal, Result, Timestamp, hours_after};
use procedure::Act;
use registry::{Mark, Marking, Recording, Registry};
use vault::KeyState;

use crate::open::shares_unread;
use crate::{Office, State, broke_off, is_away};

impl State {
    /// Knows again, after a start, which openings no fact came of.
    pub(crate) fn take_in_unopened(&mut self, registry: &Registry) -> Result<()> {
        for subject in registry.subjects(Mark::Opening)? {
            let (Some(marked), Ok(consignment)) =
                (registry.marked(Mark::Opening, &subject)?, subject.parse::<ConsignmentId>())
            else {
                continue;
            };
            match self.is_opened(registry, consignment) {
                Ok(true) => continue,
                Ok(false) => {}
                // In doubt, as long as there is an alarm.
                Err(trouble) => self.raise(shares_unread(&trouble)),
            }
            self.openings.insert(consignment, marked.at);
        }
        Ok(())
    }

    /// Whether an opening that was noted before the start may have become a fact that this server does not have: facts are
    /// damaged, or the server was put back.
    fn in_doubt(&self, registry: &Registry) -> Result<bool> {
        let put_back = !self.found_at_start.is_empty() || !self.behind.is_empty();
        Ok(self.alarm.is_some() || put_back || !self.unnamed(registry)?.is_empty())
    }

    /// The openings whose keys are to go now. One that is in doubt keeps its key until the farthest deadline is over that its
    /// consignment may have.
    fn keyless(&self, registry: &Registry, noted_before: Timestamp) -> Result<BTreeSet<ConsignmentId>> {
        let in_doubt = !self.openings.is_empty() && self.in_doubt(registry)?;
        let over = self.openings.iter().filter(|(_, noted)| !in_doubt || **noted <= noted_before);
        Ok(over.map(|(consignment, _)| *consignment).chain(self.unopened.iter().copied()).collect())
    }

    /// Whether anything tells of a consignment. Facts and the share that goes with them are recorded together.
    fn is_opened(&self, registry: &Registry, consignment: ConsignmentId) -> Result<bool> {
        let told = self.ledgers.values().any(|ledger| ledger.migration().consignment(consignment).is_some());
        Ok(told || registry.wrapped_share(consignment)?.is_some())
    }
}

impl Office {
    /// Notes that the ring key of a consignment is about to be made. A name serves for one opening: who destroys the key of
    /// one that came to nothing destroys nobody else's.
    pub(crate) fn begin_opening(&self, migration: MigrationId, act: &Act) -> Result<()> {
        let Act::OpenConsignment { consignment, .. } = act else { return Ok(()) };
        let subject = consignment.to_string();
        if self.registry.marked(Mark::Opening, &subject)?.is_some() {
            let what = "a consignment of this name is being opened, or was to be opened before";
            let remedy = "Open a new one: `lazaret consignment open` draws a new name each time.";
            return Err(Refusal::new(Code(823), what, remedy).into());
        }
        let leaf =
            self.note_leaf(format!("consignment {consignment} of migration {migration}: its ring key is made"))?;
        let marking = Marking { mark: Mark::Opening, subject: &subject, forget: None };
        self.registry.record(&leaf, &Recording::Mark(&marking))?;
        Ok(())
    }

    /// The end of an opening that was begun, whatever came of it.
    pub(crate) async fn end_opening(&self, act: &Act) {
        let Act::OpenConsignment { consignment, .. } = act else { return };
        {
            let mut state = self.state.lock().await;
            // What cannot be asked now is asked at the next start.
            if state.is_opened(&self.registry, *consignment).unwrap_or(true) {
                return;
            }
            state.unopened.insert(*consignment);
        }
        if let Err(trouble) = self.destroy_unopened().await {
            tracing::error!(code = %trouble.code(), "The key of a refused opening is not destroyed yet: {trouble}.");
        }
    }

    /// Destroys the keys of openings that no fact came of.
    pub(crate) async fn destroy_unopened(&self) -> Result<()> {
        let noted_before = hours_after(self.clock.now(), self.deadline_days_max.saturating_mul(-24));
        let unopened = self.state.lock().await.keyless(&self.registry, noted_before)?;
        let mut first = Ok(());
        for consignment in unopened {
            let destroyed = self.destroy_key_unopened(consignment).await;
            let away = is_away(&destroyed);
            first = first.and(destroyed);
            if away {
                break;
            }
        }
        first
    }

    async fn destroy_key_unopened(&self, consignment: ConsignmentId) -> Result<()> {
        let ring = Arc::clone(&self.ring);
        let stands = tokio::task::spawn_blocking(move || ring.attest(consignment)).await.map_err(|_| broke_off())??;
        let subject = consignment.to_string();
        let done = self.registry.marked(Mark::Destroyed, &subject)?.is_some();
        if !done && stands != KeyState::Absent {
            let receipt = self.registry.so_far()?;
            let (ring, _) = vault::destroy_key(Arc::clone(&self.ring), (consignment, None), &receipt).await?;
            self.tell_of_a_copy(&ring)?;
            let text = format!("consignment {consignment}: no fact came of its opening; its ring key is destroyed");
            self.mark(text, &Marking { mark: Mark::Destroyed, subject: &subject, forget: None })?;
        }
        let mut state = self.state.lock().await;
        state.unopened.remove(&consignment);
        state.openings.remove(&consignment);
        Ok(())
    }
}
