//! What a server's secrets are under: its passphrase, or an age identity in its stead.

use lexicon::Result;
use people::{AgeIdentity, Passphrase};
use zeroize::Zeroizing;

/// One of the two.
pub(crate) enum Opener {
    Passphrase(Passphrase),
    Identity(AgeIdentity),
}

impl Opener {
    pub(crate) fn lock(&self, secret: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Passphrase(passphrase) => people::lock(secret, passphrase),
            Self::Identity(identity) => people::lock_to(secret, identity),
        }
    }

    pub(crate) fn unlock(&self, locked: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Passphrase(passphrase) => people::unlock(locked, passphrase),
            Self::Identity(identity) => people::unlock_with(locked, identity),
        }
    }
}
