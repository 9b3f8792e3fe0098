//! Synthetic old systems, and the search for what leaked out of them.
//!
//! [`laboratory`] makes the old system of a French laboratory from a seed: the columns and fill rates of the file that
//! leaked in 2021, invented people, NIRs that pass every check and were never issued. It plants [`Sentinel`]s: values
//! that stand in one place only. [`scope_toml`] and [`target_ddl`] are the other two thirds of a migration. [`reports`]
//! makes a folder of documents to go with it.
//! [`search`] then looks for the sentinels in every byte that the parties left behind.

mod dates;
mod dice;
mod laboratory;
mod loinc;
mod names;
mod new_system;
mod nir;
mod patient;
mod reports;
mod request;
pub mod search;
mod sentinels;
mod table;

pub use laboratory::{Made, Rows, digest, is_foreign, laboratory};
pub use loinc::is_valid as loinc_is_valid;
pub use new_system::{new_system, scope_toml, target_ddl};
pub use nir::is_valid as nir_is_valid;
pub use reports::{MadeReports, REPORTS, is_foreign_folder, reports, reports_toml};
pub use sentinels::{PER_PLACE, Place, Sentinel};
