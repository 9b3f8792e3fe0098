//! What a lock or a hold of the object store kept at a destruction: deleted when its date has come, and noted. The key that
//! sealed it is destroyed all the while.

use lexicon::{ConsignmentId, MigrationId, Result};
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
}

impl Office {
    /// Deletes what is held no longer, when a date has come, or where only asking tells whether a hold was lifted.
    pub(crate) async fn delete_what_was_held(&self, migration: MigrationId, consignment: ConsignmentId) -> Result<()> {
        let now = self.clock.now();
        let due = {
            let state = self.state.lock().await;
            let held = state.held.get(&consignment);
            held.is_some_and(|held| held.iter().any(|kept| kept.until.is_none_or(|until| until <= now)))
        };
        if !due {
            return Ok(());
        }
        let (receipt, _) = self.reason(migration, consignment)?;
        let erased = self.shelf.erase(consignment, &receipt).await?;
        let left: Vec<Lingering> = erased.lingering.iter().map(lingers).collect();
        let (objects, bytes) = (erased.objects, erased.bytes);
        let text = format!(
            "consignment {consignment}: of what the object store had to keep at its destruction {objects} parcels and {bytes} bytes are deleted"
        );
        if left.is_empty() {
            let marking = Marking { mark: Mark::LetGo, subject: &consignment.to_string(), forget: None };
            let leaf = self.note_leaf(format!("{text}; nothing of it is kept any more"))?;
            self.registry.mark(&leaf, &marking)?;
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
