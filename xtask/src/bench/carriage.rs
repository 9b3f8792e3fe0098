//! Our own steps: the program's commands, and what the program has no command for (`drill/examples/measure.rs`).

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::cast::{Approved, CARRIER, CONTROLLER, Cast, Systems};
use super::meter::Watch;
use super::pair::{Pair, Step};

pub(super) const MOVE: &str = "move";
pub(super) const SUMMED: &str = "move + fingerprint";
pub(super) const AGAIN: &str = "read again + fingerprint (T)";
pub(super) const EXTRACT: &str = "extract + seal";
pub(super) const LOAD: &str = "load";
/// A load by an account that may fill tables and no more.
pub(super) const STAGED: &str = "load, staged first";
pub(super) const RECONCILE: &str = "reconcile";
pub(super) const MIGRATE: &str = "migrate";

/// `lazaret migrate` ends so when it is another person's turn: the release.
const ANOTHER_PERSON: i32 = 4;

/// What carries between one pair of systems.
pub(super) struct Carriage<'a> {
    pair: &'a dyn Pair,
    cast: &'a Cast,
    systems: Systems,
    measure: PathBuf,
    approved: RefCell<Approved>,
    /// What the last fingerprinted move said of each table.
    said: RefCell<String>,
}

impl<'a> Carriage<'a> {
    pub(super) fn new(pair: &'a dyn Pair, cast: &'a Cast, systems: Systems, measure: &Path) -> Self {
        let (approved, said) = (RefCell::default(), RefCell::default());
        Self { pair, cast, systems, measure: measure.to_owned(), approved, said }
    }

    /// The steps, in an order in which each finds what it needs.
    pub(super) fn steps(&self) -> Vec<Step<'_>> {
        let mut steps = vec![
            Step::new(MOVE, || self.pair.empty(), |watch| self.measured(watch, "move", MOVE).map(drop))
                .arriving(|| self.pair.loaded()),
            Step::new(
                SUMMED,
                || self.pair.empty(),
                |watch| {
                    *self.said.borrow_mut() = self.measured(watch, "move-fingerprint", SUMMED)?;
                    Ok(())
                },
            )
            .arriving(|| self.pair.loaded()),
            Step::new(AGAIN, || Ok(()), |watch| self.again(watch)),
        ];
        steps.extend(self.sealed_steps());
        steps.extend(self.pair.filling_only().map(|target| self.staged_step(target)));
        steps.push(
            Step::new(
                MIGRATE,
                || {
                    *self.approved.borrow_mut() = self.cast.approved(&self.systems)?;
                    self.pair.empty()
                },
                |watch| self.migrate(watch),
            )
            .arriving(|| self.pair.loaded()),
        );
        steps
    }

    /// Extraction, load and comparison alone.
    pub(super) fn sealed_steps(&self) -> Vec<Step<'_>> {
        let load = Step::new(LOAD, || self.release(), |watch| self.loaded(watch, LOAD, &self.pair.addresses().1));
        let reconcile = Step::new(
            RECONCILE,
            || Ok(()),
            |watch| {
                let words = self.words("reconcile", &["--target", &self.pair.addresses().1]);
                self.carried(watch, RECONCILE, &words)
            },
        );
        vec![
            Step::new(EXTRACT, || self.open(), |watch| self.carried(watch, EXTRACT, &self.extract())),
            load.arriving(|| self.pair.loaded()),
            reconcile,
        ]
    }

    fn staged_step(&self, target: String) -> Step<'_> {
        let before = || {
            self.open()?;
            let extract = self.extract();
            self.cast.said(CARRIER, &extract.iter().map(String::as_str).collect::<Vec<_>>())?;
            self.release()
        };
        Step::new(STAGED, before, move |watch| self.loaded(watch, STAGED, &target)).arriving(|| self.pair.loaded())
    }

    fn measured(&self, watch: &Watch, step: &str, name: &str) -> Result<String> {
        let (source, target) = self.pair.addresses();
        let mut command = Command::new(&self.measure);
        command.args([step, &source, &target]).arg(self.cast.scope(&self.systems));
        watch.ours(name, &mut command, &[0])
    }

    fn again(&self, watch: &Watch) -> Result<()> {
        let again = self.measured(watch, "again", AGAIN)?;
        let (mut moved, mut again): (Vec<_>, Vec<_>) =
            (self.said.borrow().lines().map(str::to_owned).collect(), again.lines().map(str::to_owned).collect());
        moved.sort();
        again.sort();
        // Otherwise a fingerprint of nothing would be the cheapest.
        if moved.is_empty() || moved != again {
            bail!("what was moved is not what was read again: {moved:?}, {again:?}");
        }
        Ok(())
    }

    fn approved(&self) -> Approved {
        self.approved.borrow().clone()
    }

    fn open(&self) -> Result<()> {
        let approved = self.cast.approved(&self.systems)?;
        for verb in ["open", "offer"] {
            self.cast.said(CARRIER, &["consignment", verb, "--migration", &approved.migration])?;
        }
        *self.approved.borrow_mut() = approved;
        Ok(())
    }

    fn release(&self) -> Result<()> {
        let approved = self.approved();
        let yes = self.cast.to_release(&approved.migration)?;
        self.cast.said(CONTROLLER, &["consignment", "release", "--migration", &approved.migration, "--yes", &yes])?;
        self.cast.said(CARRIER, &["consignment", "hand-over", "--migration", &approved.migration])?;
        self.pair.empty()
    }

    fn words(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let migration = self.approved().migration;
        [&[verb, "--migration", &migration][..], more].concat().into_iter().map(str::to_owned).collect()
    }

    fn extract(&self) -> Vec<String> {
        self.words("extract", &["--source", &self.pair.addresses().0, "--yes", &self.approved().plan])
    }

    fn loaded(&self, watch: &Watch, name: &str, target: &str) -> Result<()> {
        self.carried(watch, name, &self.words("load", &["--target", target]))
    }

    /// One command of the carrier.
    fn carried(&self, watch: &Watch, name: &str, words: &[String]) -> Result<()> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        watch.ours(name, &mut self.cast.person(CARRIER, &words), &[0]).map(drop)
    }

    /// The whole way: extraction, release, hand-over, load.
    fn migrate(&self, watch: &Watch) -> Result<()> {
        let (approved, (source, target)) = (self.approved(), self.pair.addresses());
        let of = ["--migration", &approved.migration];
        let words = ["migrate", "--source", &source, "--target", &target, "--yes", &approved.plan];
        let words = [&words[..], &of].concat();
        watch.ours(MIGRATE, &mut self.cast.person(CARRIER, &words), &[ANOTHER_PERSON])?;
        let yes = self.cast.to_release(&approved.migration)?;
        let release = [&["consignment", "release", "--yes", &yes][..], &of].concat();
        watch.ours(MIGRATE, &mut self.cast.person(CONTROLLER, &release), &[0])?;
        watch.ours(MIGRATE, &mut self.cast.person(CARRIER, &words), &[0]).map(drop)
    }
}
