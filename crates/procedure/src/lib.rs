//! The procedure: what may happen to a migration, in which order, by whom.
//!
//! One pure function, [`decide`], serves the server, the agents' checks and every replay. No clock, no disk, no
//! network, no async in this room: time and what the server commits to are handed in as [`Given`].

mod act;
mod apply;
mod arrived;
mod consignment;
mod counts;
mod decide;
mod destroyed;
mod documents;
mod instruction;
mod ledger;
mod manifest;
mod measured;
mod migration;
mod plan;

pub use act::{Act, ActBody, EVERYTHING, History, Kind, LastFact, Part, ProbeResult, SeenCheckpoint, Step, percent};
pub use arrived::Arrived;
pub use consignment::{Attempt, Consignment, Ending, Offer, Outcome, Released, Stage as ConsignmentStage};
pub use counts::{Nulls, Orphans};
pub use decide::{Given, decide};
pub use destroyed::{Absent, Destroyed, KeyAct, KeyLevel, Left, Lingering, Said, Stored};
pub use documents::{DocumentsOfKind, ManifestDocuments};
pub use instruction::{Clause, Clauses, Contract, Dpia, Ending as InstructionEnding, Instruction, Party};
pub use ledger::{Decided, Entry, FactBody, Ledger, Proof, Recorded, STALE, prepare, sign_fact};
pub use manifest::{Differing, Manifest, ManifestParcel, ManifestTable, Reconciliation, TableOutcome};
pub use measured::{ExtractMeasure, HalfSealed, LoadMeasure, LoadingMeasure};
pub use migration::{Approval, Deadline, Fact, Frozen, Migration, SignOff, Stage, Turn};
pub use plan::{Allowed, Plan, PlanParty, Side, System, Target};
