//! The key ring: one ring key per consignment, in one place that can be erased, never in a database.

mod flaw;
#[cfg(test)]
mod kit;
mod local;
mod medium;
mod names;
mod openbao;
mod patient;
mod pkcs11;
mod store;
mod tombs;

use std::fmt;

use journal::Receipt;
use lexicon::{Code, ConsignmentId, Digest, Guarded, Refusal, Result, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use local::LocalRing;
pub use openbao::OpenBaoPlace;
#[cfg(feature = "parsers")]
pub(crate) use openbao::{openbao_answer, openbao_sealed, openbao_text};
pub use pkcs11::TokenPlace;
pub use store::StoreRing;

/// 256 bits: a server secret that is shorter could be guessed by whoever holds a copy of the ring's folder.
const SECRET_BYTES_MIN: usize = 32;

/// The server's own secret: random bytes from outside the ring's folder (a credential file, a service credential).
/// Forgotten with the value; never printed.
pub struct Secret(Guarded);

impl Secret {
    /// Takes the bytes over.
    ///
    /// # Errors
    /// A refusal when there are fewer than 32.
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(Refusal::new(
                Code(703),
                format!("the server secret has {} bytes; it needs at least {SECRET_BYTES_MIN}", bytes.len()),
                "Make one of 32 random bytes and keep it outside the ring's folder and the data folder.",
            )
            .into());
        }
        Ok(Self(Guarded::copied(&bytes)))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(..)")
    }
}

/// Where a ring keeps its keys, which is what a destruction in it can achieve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// A file of this machine.
    #[default]
    K0,
    /// A token: a hardware module behind PKCS#11, which gives no key out.
    K1,
    /// A service on another machine, which gives no key out and says what it did.
    K2,
}

impl Level {
    /// What plans and settings call such a ring.
    pub fn key_ring(self) -> &'static str {
        match self {
            Self::K0 => "local",
            Self::K1 => "pkcs11",
            Self::K2 => "openbao",
        }
    }
}

/// One answer of the place where a key lay, as it gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// What was asked of it.
    pub asked: String,
    /// Its answer.
    pub answered: String,
    /// Under which name the place's own records have it, where it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.answered)?;
        self.request.as_ref().map_or(Ok(()), |request| write!(f, " (request {request})"))
    }
}

/// Where a consignment's ring key stands, in life order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum KeyState {
    /// Never made here.
    Absent,
    /// It wraps and unwraps.
    Alive,
    /// Its destruction has begun and cannot be taken back; it serves nobody any more.
    Destroying,
    /// Gone, as far as this kind of ring can say; see [`RingEvidence::level`].
    Destroyed {
        /// When the last step was on disk, by the server's clock.
        at: Timestamp,
        /// Whether the tombstone says that the journal has the fact of this destruction: see [`KeyRing::engrave`].
        recorded: bool,
    },
}

/// What the ring says about one destruction; stored beside the ring, so that asking twice gives the same answer. Of a key
/// that was back it is the last destruction that was needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingEvidence {
    /// Whose key it was.
    pub consignment: ConsignmentId,
    /// What the place where it lay calls it.
    pub key: String,
    /// What a destruction in this ring achieves, in the words of the certificate.
    pub level: String,
    /// [`KeyRing::level`] of the ring that destroyed it.
    pub kind: Level,
    /// Whether there was a key to destroy; without one only the tombstone was set.
    pub found: bool,
    /// The number of the journal leaf that the caller showed.
    pub receipt_index: u64,
    /// The journal's root with that leaf.
    pub receipt_root: Digest,
    /// When the tombstone stood and the key stopped serving.
    pub begun_at: Timestamp,
    /// When the last step was on disk.
    pub destroyed_at: Timestamp,
    /// How many key files of a local ring could not be read and were therefore not carried over: lost keys.
    pub unreadable: u64,
    /// Whether the key's file was only unlinked: its file system is not known to write over bytes where they lie.
    pub unlinked: bool,
    /// Whether a copy of the key may be elsewhere: its token or service gave it out to whoever asked rightly, or did not make
    /// it. Left out when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub could_leave: bool,
    /// What the place of the key said, in order; of a file, what was done to it. Before that the ring says whether the key
    /// was back, whether the answer to its deletion was lost, and all that was wrong with it when it was last looked at.
    pub said: Vec<Said>,
}

/// What the ring itself says first of a key that it had destroyed and that was there again.
const WAS_BACK: &str = "it was there again";

impl RingEvidence {
    /// Whether the key had been destroyed before, and was there again.
    pub fn was_back(&self) -> bool {
        self.said.first().is_some_and(|said| said.answered == WAS_BACK)
    }

    /// All of it that people read where there is no certificate, in one line.
    pub fn words(&self) -> String {
        let said: Vec<String> = self.said.iter().map(Said::to_string).collect();
        let level = if self.found { self.level.as_str() } else { "it had no key to destroy" };
        let copy = if self.could_leave { "; a copy of it may have been taken out before" } else { "" };
        format!("{level}{copy}; {}", said.join("; "))
    }
}

/// Holds one key per consignment and lends its use, never its bytes.
///
/// Calls block on a disk or a device: call them off the async threads.
pub trait KeyRing: Send + Sync {
    /// Makes the key. Making it again while it lives changes nothing, so that a crash before the caller's commit is
    /// harmless.
    ///
    /// # Errors
    /// A refusal once its destruction has begun; a fault of the place where keys live.
    fn create(&self, id: ConsignmentId) -> Result<()>;

    /// Wraps `plain`; `aad` must be given again to unwrap it.
    ///
    /// # Errors
    /// A refusal when there is no living key; an alarm when its file does not open; a fault of the place.
    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>>;

    /// Unwraps what [`KeyRing::encrypt`] made under the same id and `aad`.
    ///
    /// # Errors
    /// A refusal when there is no living key; an alarm when `sealed` was altered or belongs elsewhere.
    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>>;

    /// Destroys the key, for good. Doing it again gives the same evidence.
    ///
    /// # Errors
    /// A fault when a step could not be made durable or the place of the key could not be reached: the key serves
    /// nobody, call again. An alarm when the key of an already destroyed consignment was found again; it has then been
    /// destroyed again, and that is what the evidence is of.
    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence>;

    /// Writes on the tombstone of a destroyed key that the journal now has the fact of its destruction, with the number of
    /// the journal's last leaf at that time (`recorded`). A registry in which that fact is missing later was put back to an
    /// earlier state: [`KeyState::Destroyed`] shows it. A key that has no finished tombstone, or one that says so already,
    /// is left as it is. Only the ring's folder is written; the place of the keys is not asked.
    ///
    /// # Errors
    /// A fault of the disk.
    fn engrave(&self, id: ConsignmentId, recorded: &Receipt) -> Result<()>;

    /// Where the key stands. What was once seen destroyed stays so while its place cannot be reached.
    ///
    /// # Errors
    /// An alarm when a destroyed key is back; a fault of the place.
    fn attest(&self, id: ConsignmentId) -> Result<KeyState>;

    /// Every consignment whose key's destruction has begun here, sorted. Tombstones are never removed, so that this tells a
    /// server that was put back what it forgot. No place of keys is asked.
    ///
    /// # Errors
    /// A fault of the disk.
    fn buried(&self) -> Result<Vec<ConsignmentId>>;

    /// Every consignment whose key lives here, sorted: its key is there, and no destruction of it has begun. This tells a
    /// server that was put back of keys that it knows nothing of. The place of the keys is asked.
    ///
    /// # Errors
    /// A fault of the disk or of the place.
    fn held(&self) -> Result<Vec<ConsignmentId>>;

    /// Whether the place of the key could still open what it sealed, whatever a tombstone says: what shows that a destroyed
    /// key is gone, and not only out of use.
    ///
    /// # Errors
    /// A fault of the place.
    fn still_opens(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<bool>;

    /// Where the keys lie.
    fn level(&self) -> Level;
}
