//! The passage of one consignment: extract, hand over, load, reconcile, and each party's part of the destruction.
//!
//! Runs where the data already is. Plaintext exists here and in the two laboratory systems, in memory, as a stream:
//! nothing in this room writes a file; documents are written by `connectors`, into the new system's folder. The strongroom share and the consignment key live as long as one call.

mod arrive;
mod differing;
mod documents;
mod errand;
mod extract;
mod fetch;
mod fingerprint;
mod forecast;
mod keys;
mod load;
mod locate;
mod measured;
mod orphans;
mod part;
mod progress;
mod rehearsal;
mod resume;
mod shares;
mod sums;
mod table;
mod whole;

pub use arrive::Receiving;
pub use errand::{Errand, Preview, PreviewDocuments, PreviewTable, Taken, check_papers, preview};
pub use extract::{extract, extract_as, hand_over};
pub use forecast::{Came, Forecast, RefusedAttempt, TableForecast, Window, forecast};
pub use keys::{ColumnInClear, KeyInClear, KeysInClear};
pub use load::{LoadReport, load, load_beside, reconcile};
pub use locate::{Found, Located, SHOW_KEYS, Suspected};
pub use part::{PartReport, Probe, destroy_part, offer, probe};
pub use progress::{Progress, Quiet, Seen};
pub use resume::stored_tables;
pub use shares::shares_within;
pub use whole::check_manifest;
