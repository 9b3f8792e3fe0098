//! Organisations are admitted by whoever has the server's passphrase, on its own machine. No door leads here.
//!
//! A command that runs beside the server leaves a signed admission in the registry; the server takes it up when somebody
//! of that organisation knocks, and at its next sweep. Only the server writes leaves.

use lexicon::Result;
use people::{Envelope, PayloadType, Root, RootId, SigningKey};
use registry::Recording;
use serde::{Deserialize, Serialize};
use wire::{Leaf, ServerCard};

use crate::{Office, State};

/// What the server's key signs: somebody had its passphrase.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Admission {
    purpose: String,
    origin: String,
    root: Root,
}

const PURPOSE: &str = "lazaret/1/admission";

/// An admission for the server of `card`, to be left in its registry.
///
/// # Errors
/// As [`Envelope::sign`].
pub fn admission(root: &Root, card: &ServerCard, key: &SigningKey) -> Result<Envelope> {
    let admission = Admission { purpose: PURPOSE.to_owned(), origin: card.origin.clone(), root: root.clone() };
    Envelope::sign(PayloadType::Statement, &admission, key.public().digest(), key)
}

impl Office {
    /// Admits an organisation.
    ///
    /// # Errors
    /// A fault when it cannot be recorded.
    pub async fn admit_root(&self, root: &Root) -> Result<()> {
        self.record_root(&mut *self.state.lock().await, root)
    }

    fn record_root(&self, state: &mut State, root: &Root) -> Result<()> {
        if state.roster.root(&root.id()).is_none() {
            let leaf = Leaf::Root { nonce: self.nonce()?, root: root.clone() };
            self.registry.record(&leaf, &Recording::Root(root))?;
            state.roster.trust(root.clone());
        }
        Ok(())
    }

    /// Takes up the admissions that were left while the server ran, or before it started.
    pub(crate) fn take_up_admissions(&self, state: &mut State) -> Result<()> {
        if state.alarm.is_some() {
            return Ok(());
        }
        for (root, text) in self.registry.admissions()? {
            if let Some(admitted) = self.admitted(&text) {
                self.record_root(state, &admitted)?;
            } else {
                tracing::error!(root, "An admission is not signed by this server's key; it is dropped.");
            }
            self.registry.forget_admission(&root)?;
        }
        Ok(())
    }

    fn admitted(&self, text: &str) -> Option<Root> {
        let envelope: Envelope = serde_json::from_str(text).ok()?;
        let admission: Admission = envelope.open(PayloadType::Statement, &self.key.public()).ok()?;
        let ours = admission.purpose == PURPOSE && admission.origin == self.card.origin;
        ours.then_some(admission.root)
    }

    /// As [`Self::take_up_admissions`], when somebody of an organisation knocks that is not known.
    pub(crate) fn look_for(&self, state: &mut State, root: RootId) -> Result<()> {
        if state.roster.root(&root).is_some() { Ok(()) } else { self.take_up_admissions(state) }
    }
}
