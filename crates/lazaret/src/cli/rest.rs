//! Verbs that stand in a file of their own as soon as they are written.

use clap::{Args, Subcommand};
use lexicon::{Code, Refusal, Result};

use super::Context;
use crate::output::Done;

fn absent() -> Result<Done> {
    Err(Refusal::new(Code(1099), "not written", "wait").into())
}
macro_rules! verb { ($($name:ident),*) => { $( #[derive(Args)] pub(crate) struct $name {} impl $name { pub async fn run(self, _: &Context) -> Result<Done> { absent() } } )* } }
verb!(Next, Unlock, Demo);
macro_rules! noun { ($($name:ident),*) => { $( #[derive(Subcommand)] pub(crate) enum $name { /// x
 X } impl $name { pub async fn run(self, _: &Context) -> Result<Done> { absent() } } )* } }
noun!(Scope, Journal, Evidence);
#[derive(Args)]
pub(crate) struct Synth {}
impl Synth {
    pub fn run(self, _: &Context) -> Result<Done> {
        absent()
    }
}
#[derive(Subcommand)]
pub(crate) enum Config {
    /// x
    X,
}
impl Config {
    pub fn run(self, _: &Context) -> Result<Done> {
        absent()
    }
}
