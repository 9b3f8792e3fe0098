//! What is measured: an old and a new system of one family, and the steps between them.

use anyhow::Result;

use super::meter::Watch;
use super::tables::Sizes;

type Doing<'a, T> = Box<dyn Fn() -> Result<T> + 'a>;
type Working<'a> = Box<dyn Fn(&Watch) -> Result<()> + 'a>;

/// One measured step.
pub(super) struct Step<'a> {
    pub(super) name: &'static str,
    /// What must have happened before, unmeasured.
    prepare: Doing<'a, ()>,
    work: Working<'a>,
    /// The rows that must have arrived.
    arrived: Option<Doing<'a, Sizes>>,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        name: &'static str,
        prepare: impl Fn() -> Result<()> + 'a,
        work: impl Fn(&Watch) -> Result<()> + 'a,
    ) -> Self {
        Self { name, prepare: Box::new(prepare), work: Box::new(work), arrived: None }
    }

    /// The same step, after which the rows are counted where they should be.
    pub(super) fn arriving(self, arrived: impl Fn() -> Result<Sizes> + 'a) -> Self {
        Self { arrived: Some(Box::new(arrived)), ..self }
    }

    pub(super) fn prepare(&self) -> Result<()> {
        (self.prepare)()
    }

    pub(super) fn work(&self, watch: &Watch) -> Result<()> {
        (self.work)(watch)
    }

    /// What arrived, of a step that brings rows.
    pub(super) fn arrived(&self) -> Result<Option<Sizes>> {
        self.arrived.as_ref().map(|arrived| arrived()).transpose()
    }
}

/// An old and a new system.
pub(super) trait Pair {
    /// What the rows are called.
    fn name(&self) -> &'static str;

    /// The version, and whatever settings matter.
    fn about(&self) -> Result<String>;

    /// Both addresses, as `lazaret` takes them.
    fn addresses(&self) -> (String, String);

    /// The process under which all of the database's work is done; none when there is no server.
    fn process(&self) -> Option<u32>;

    /// Makes the source with its rows, and the empty target.
    fn fill(&self, sizes: Sizes) -> Result<()>;

    /// Empties the target, and writes out what earlier steps left to be written.
    fn empty(&self) -> Result<()>;

    /// The rows in the target.
    fn loaded(&self) -> Result<Sizes>;

    /// The target's address for an account that may fill its tables and do nothing else, where a load costs more then.
    fn filling_only(&self) -> Option<String> {
        None
    }

    /// What the family's own tools do; the first is the floor.
    fn rivals(&self) -> Vec<Step<'_>>;
}
