use std::collections::BTreeSet;

use lexicon::{Digest, PersonId};
use serde::Serialize;

use crate::{PublicKey, Role, RootId};

/// A certified person on one device, proven by a signature. Made by [`crate::Roster`] only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signer {
    pub(crate) person: PersonId,
    pub(crate) name: String,
    pub(crate) root: RootId,
    pub(crate) certificate: Digest,
    pub(crate) device: PublicKey,
    pub(crate) roles: BTreeSet<Role>,
}

impl Signer {
    /// Who.
    pub fn person(&self) -> PersonId {
        self.person
    }

    /// Their name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of which organisation.
    pub fn root(&self) -> RootId {
        self.root
    }

    /// By which certificate.
    pub fn certificate(&self) -> Digest {
        self.certificate
    }

    /// On which device.
    pub fn device(&self) -> PublicKey {
        self.device
    }

    /// Whether the certificate gives this role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Whoever acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person, by a signature that held.
    Person(Signer),
    /// A root, taking a certificate back.
    Root(RootId),
    /// The deadline that a person set; the sweep only carries it out.
    Deadline {
        /// The certificate of the person who set it.
        set_by: Digest,
        /// The number of the fact that set it.
        fact: u64,
    },
    /// The server, saying what it destroyed of its own.
    Strongroom,
}

impl Actor {
    /// The person, when it is one.
    pub fn person(&self) -> Option<&Signer> {
        match self {
            Self::Person(signer) => Some(signer),
            Self::Root(_) | Self::Deadline { .. } | Self::Strongroom => None,
        }
    }
}
