//! The two laboratory systems of a story, and how far it has brought a consignment between them.

use std::path::PathBuf;

use connectors::{Sink, Source};
use lexicon::ConsignmentId;
use procedure::{Manifest, Plan};
use synth::Made;

use crate::World;

/// The old system with its sentinels, and the empty new one.
pub struct Systems {
    /// What was planted where.
    pub made: Made,
    /// The old system's file.
    pub old: PathBuf,
    /// The new system's file.
    pub new: PathBuf,
    /// The old system.
    pub source: Box<dyn Source>,
    /// The new system.
    pub sink: Box<dyn Sink>,
}

/// A consignment whose manifest stands.
pub struct Round {
    /// Under which plan.
    pub plan: Plan,
    /// Which.
    pub consignment: ConsignmentId,
    /// What was sealed.
    pub manifest: Manifest,
}

impl World {
    /// A laboratory with so many patients, and the empty new system beside it.
    pub fn systems(&self, patients: u64) -> Systems {
        let (old, new) = (self.path("old.sqlite"), self.path("new.sqlite"));
        let made = synth::laboratory(&old, 7, patients, &mut |_| {}).unwrap();
        synth::new_system(&new).unwrap();
        let source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
        let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
        Systems { made, old, new, source, sink }
    }

    /// An approved plan, one consignment under it, extracted and closed.
    pub async fn closed(&self, systems: &Systems) -> Round {
        let plan = self.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
        let consignment = self.consign(&plan).await;
        let manifest = self.extract(&plan, consignment, systems.source.as_ref()).await.unwrap();
        Round { plan, consignment, manifest }
    }
}
