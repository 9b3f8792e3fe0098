//! Everything that can go wrong, sorted by who must act.
//!
//! * [`Refusal`]: a person must act. Safe to show; carries what to do.
//! * [`Fault`]: the environment failed; says whether trying again makes sense.
//! * [`Alarm`]: integrity or secrecy is broken; never tried again.
//!
//! No patient value may stand in any of them: tables, columns, counts and keyed digests only.
//!
//! Codes are stable and belong to rooms by their hundreds: 1 lexicon and people, 2 procedure, 3 scope, 4 connectors,
//! 5 seal, 6 passage, 7 vault and registry, 8 office and doors, 9 evidence, 10 command line, 11 synth,
//! 12 wire and desk, 13 journal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Result;

/// The stable number of one kind of trouble, printed as `LZ-0131`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LZ-{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The procedure, a rule or a person's input says no; a person can do something about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct Refusal {
    /// Which kind.
    pub code: Code,
    /// What was refused, in one sentence.
    pub message: String,
    /// What to do about it, in one sentence.
    pub remedy: String,
}

/// Whether the same call can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Try again at once.
    Now,
    /// Try again when the environment is back.
    Later,
    /// The same call will fail again.
    Never,
}

/// The environment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct Fault {
    /// Which kind.
    pub code: Code,
    /// Whether to try again.
    pub retry: Retry,
    /// What failed, in one sentence.
    pub message: String,
}

/// Integrity or secrecy is broken, or may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("ALARM: {message} [{code}]")]
pub struct Alarm {
    /// Which kind.
    pub code: Code,
    /// What was seen, in one sentence.
    pub message: String,
}

/// Any of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Trouble {
    /// A person must act.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The environment failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Integrity or secrecy is broken.
    #[error(transparent)]
    Alarm(#[from] Alarm),
}

impl Refusal {
    /// A refusal with its sentence and its remedy.
    pub fn new(code: Code, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: remedy.into() }
    }
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(code: Code, retry: Retry, message: impl Into<String>) -> Self {
        Self { code, retry, message: message.into() }
    }
}

impl Alarm {
    /// An alarm with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What was refused so far, where whoever goes on learns more than from the first refusal alone.
#[derive(Default)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// The value; or nothing, if it was refused, and the refusal is kept.
    ///
    /// # Errors
    /// Any other trouble: there is no going on after it.
    pub fn keep<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Refusal(refusal)) => {
                self.0.push(refusal);
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Forgets those of one kind, and says whether there were any.
    pub fn forget(&mut self, code: Code) -> bool {
        let before = self.0.len();
        self.0.retain(|refusal| refusal.code != code);
        self.0.len() < before
    }

    /// # Errors
    /// The one refusal, or the one that `together` makes of several.
    pub fn verdict(self, together: impl FnOnce(&[Refusal]) -> Refusal) -> Result<()> {
        match self.0.as_slice() {
            [] => Ok(()),
            [only] => Err(only.clone().into()),
            several => Err(together(several).into()),
        }
    }
}

impl Trouble {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refusal(refusal) => refusal.code,
            Self::Fault(fault) => fault.code,
            Self::Alarm(alarm) => alarm.code,
        }
    }
}
