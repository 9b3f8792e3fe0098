//! The promise of the language: a database and a batch decide alike, for every predicate and every row.

mod servers;
mod sqlite;
mod world;
