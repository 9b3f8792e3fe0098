//! What a lock or a hold of the object store kept at a destruction: deleted when its date has come, and noted. The key that
//! sealed it is destroyed all the while.

use lexicon::{ConsignmentId, Result};
use procedure::{Act, Ledger, Lingering};
use registry::{Mark, Marking, Registry};

use crate::destroy::lingers;
use crate::{Office, State};

impl State {
    /// Knows again, after a start, what facts say is held and no note says is gone.
    pub(crate) fn take_in_held(&mut self, ledger: &Ledger, registry: &Registry) -> Result<()> {
        for recorded in ledger.recorded() {
            let Act::Destroyed { consignment, evidence } = &recorded.fact.act else { continue };
            let held = !evidence.lingering.is_empty();
            if held && registry.marked(Mark::LetGo, &consignment.to_string())?.is_none() {
                self.held.insert(*consignment, evidence.lingering.clone());
            }
        }
        Ok(())
    }

    /// As [`Self::take_in_held`] for what was destroyed without a fact.
    pub(crate) fn take_in_held_without_fact(&mut self, registry: &Registry) -> Result<()> {
        let destroyed = registry.subjects(Mark::Destroyed)?;
        let mut destroyed = destroyed.iter().filter_map(|subject| subject.parse::<ConsignmentId>().ok());
        destroyed.try_for_each(|consignment| self.ask_what_is_held(consignment, registry))
    }

    /// Of what no whole fact tells the store is asked, until a note says that nothing is held.
    pub(crate) fn ask_what_is_held(&mut self, consignment: ConsignmentId, registry: &Registry) -> Result<()> {
        if registry.marked(Mark::LetGo, &consignment.to_string())?.is_none() {
            self.held.entry(consignment).or_default();
        }
        Ok(())
    }
}

impl Office {
    /// Deletes what is held no longer, when a date has come, or where only asking tells: whether a hold was lifted, or
    /// what there is at all.
    pub(crate) async fn delete_what_was_held(&self) -> Result<()> {
        let now = self.clock.now();
        let is_due =
            |held: &[Lingering]| held.is_empty() || held.iter().any(|kept| kept.until.is_none_or(|until| until <= now));
        let due: Vec<(ConsignmentId, Vec<Lingering>)> = {
            let state = self.state.lock().await;
            state
                .held
                .iter()
                .filter(|(_, held)| is_due(held.as_slice()))
                .map(|(id, held)| (*id, held.clone()))
                .collect()
        };
        let mut first = Ok(());
        for (consignment, held) in due {
            first = first.and(self.let_go(consignment, !held.is_empty()).await);
        }
        first
    }

    /// `told`: somebody said that something is held.
    async fn let_go(&self, consignment: ConsignmentId, told: bool) -> Result<()> {
        let erased = self.shelf.erase(consignment, &self.registry.so_far()?).await?;
        let left: Vec<Lingering> = erased.lingering.iter().map(lingers).collect();
        let (objects, bytes) = (erased.objects, erased.bytes);
        let text = format!(
            "consignment {consignment}: of what the object store had to keep at its destruction {objects} parcels and {bytes} bytes are deleted"
        );
        if left.is_empty() {
            if told || bytes > 0 {
                let marking = Marking { mark: Mark::LetGo, subject: &consignment.to_string(), forget: None };
                let leaf = self.note_leaf(format!("{text}; nothing of it is kept any more"))?;
                self.registry.mark(&leaf, &marking)?;
            }
            self.state.lock().await.held.remove(&consignment);
            return Ok(());
        }
        if bytes > 0 {
            self.note(format!("{text}; {} parcels are still kept", left.len()))?;
        }
        self.state.lock().await.held.insert(consignment, left);
        Ok(())
    }
}

/// What is held of a consignment, in a sentence.
pub(crate) fn sentence(consignment: ConsignmentId, held: &[Lingering]) -> String {
    let bytes = held.iter().map(|kept| kept.bytes).fold(0, u64::saturating_add);
    let until = match held.iter().map(|kept| kept.until).min() {
        Some(Some(until)) => format!("until {until}"),
        _ => "until somebody lifts its hold".to_owned(),
    };
    format!(
        "consignment {consignment} is destroyed; the object store keeps {bytes} bytes of {} of its dead parcels, the first {until}",
        held.len()
    )
}
