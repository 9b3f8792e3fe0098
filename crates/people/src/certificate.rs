use std::collections::BTreeSet;

use lexicon::{Code, Digest, PersonId, Refusal, Result, Serial, Timestamp, hours_after, limits};
use serde::{Deserialize, Serialize};

use crate::{Envelope, PayloadType, PublicKey, SigningKey};

/// A root, named by the SHA-256 of its public key.
pub type RootId = Digest;

/// An organisation's root as others know it: pinned by agents, admitted by the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The organisation's name.
    pub organisation: String,
    /// Its root key.
    pub key: PublicKey,
}

impl Root {
    /// What others name it by.
    pub fn id(&self) -> RootId {
        self.key.digest()
    }
}

/// What a person may do for their organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides for the laboratory: approves, releases, extends, accepts differences, signs off.
    Controller,
    /// Runs the extraction on the laboratory's machine.
    Operator,
    /// Writes instruction, scope and plan.
    Engineer,
    /// Gives the second approval.
    Approver,
    /// Runs the loading into the new system.
    Recipient,
    /// Reads; acts in nothing.
    Auditor,
}

/// One natural person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Drawn by the organisation.
    pub id: PersonId,
    /// First name and family name.
    pub name: String,
}

/// One device of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// What its person calls it.
    pub name: String,
    /// Its only key.
    pub key: PublicKey,
}

/// A root's word that this device is this person's and may do this until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Names it among the root's certificates.
    pub serial: Serial,
    /// Whose word it is.
    pub root: RootId,
    /// Whose.
    pub person: Person,
    /// On which.
    pub device: Device,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// From when.
    pub from: Timestamp,
    /// Until when: at most 13 months later.
    pub until: Timestamp,
}

impl Certificate {
    /// Signs it with its root.
    ///
    /// # Errors
    /// A refusal when the name is no natural person's or the certificate lasts too long.
    pub fn sign(&self, root: &SigningKey) -> Result<Envelope> {
        self.check()?;
        Envelope::sign(PayloadType::Certificate, self, self.root, root)
    }

    /// What every party checks whoever signed it.
    pub(crate) fn check(&self) -> Result<()> {
        if is_generic_name(&self.person.name) {
            return Err(Refusal::new(
                Code(120),
                format!("'{}' does not name one natural person", self.person.name),
                "Give first name and family name of the person who will hold the key; functions and teams hold none.",
            )
            .into());
        }
        if self.until > hours_after(self.from, limits::CERTIFICATE_HOURS_MAX) || self.until <= self.from {
            return Err(Refusal::new(
                Code(121),
                "a certificate lasts more than nothing and at most 13 months",
                "Certify the device with a shorter end.",
            )
            .into());
        }
        if self.roles.is_empty() {
            return Err(Refusal::new(Code(122), "a certificate names no role", "Give at least one role.").into());
        }
        Ok(())
    }
}

/// A root takes a certificate back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Whose word it is.
    pub root: RootId,
    /// Which certificate: the digest of its payload.
    pub certificate: Digest,
    /// Since when its key may have been in other hands.
    pub compromised_since: Timestamp,
    /// When the root said so.
    pub at: Timestamp,
}

/// Names of functions and teams. One word of these is enough: an account called so is a shared account.
const GENERIC: [&str; 33] = [
    "admin",
    "administrateur",
    "administrator",
    "accueil",
    "agent",
    "biologie",
    "compta",
    "comptabilite",
    "comptabilité",
    "contact",
    "dba",
    "demo",
    "equipe",
    "équipe",
    "guest",
    "hotline",
    "info",
    "informatique",
    "lab",
    "labo",
    "laboratoire",
    "laboratory",
    "migration",
    "operator",
    "root",
    "secretariat",
    "secrétariat",
    "service",
    "support",
    "system",
    "team",
    "test",
    "user",
];

/// Whether a name cannot be one natural person's: fewer than two words, a digit, or the word of a function.
pub fn is_generic_name(name: &str) -> bool {
    let words: Vec<String> =
        name.split([' ', '\u{a0}']).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let spelled = |word: &String| {
        word.chars().any(char::is_alphabetic)
            && word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '.'))
    };
    words.len() < 2
        || name.len() > 120
        || !words.iter().all(spelled)
        || words.iter().flat_map(|word| word.split(['-', '.'])).any(|word| GENERIC.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_teams_are_no_persons() {
        for name in ["labo", "Support", "Equipe Support", "admin admin", "Claire", "Labo 35", "test-labo Rennes", ""] {
            assert!(is_generic_name(name), "{name}");
        }
        for name in ["Claire Le Goff", "Jean-Marc D'Anjou", "Ana de la Cruz", "Élise Noël", "J. Testard"] {
            assert!(!is_generic_name(name), "{name}");
        }
    }
}
