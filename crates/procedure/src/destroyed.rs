use std::fmt;

use lexicon::{ConsignmentId, Digest, ParcelId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ManifestParcel;

/// What the server destroyed of one consignment; its own word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destroyed {
    /// What became of the ring key.
    pub key: KeyAct,
    /// Whether the ring refused afterwards, asked to seal and, if there was one, to open the wrapped share.
    pub ring_refuses: bool,
    /// SHA-256 of the wrapped strongroom share that was shown to the ring, and to the place of its keys, and that neither
    /// opened; none when the registry held no share any more.
    pub share_shown: Option<Digest>,
    /// Every parcel of the consignment that was ever stored, in the order of attempt and name: also those of attempts that
    /// a later one took the place of.
    pub inventory: Vec<Stored>,
    /// Parcels deleted.
    pub parcels: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What a look at the shelf found afterwards, beside what lingers.
    pub left: Left,
    /// Parcels that are listed no more and of which an object store lets nobody delete the last bytes yet.
    pub lingering: Vec<Lingering>,
    /// What had been stored and was not on the shelf when its emptying began. Left out when there was no such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
    /// For how many days after it a snapshot of what the key lay in may be kept, as the server's settings declare; 0 when
    /// they declare none.
    pub snapshot_days: u32,
}

/// Where a ring key lay, which is what its destruction can achieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyLevel {
    /// A file of the server's machine.
    K0,
    /// A token.
    K1,
    /// A service.
    K2,
}

/// The destruction of a ring key, as far as its ring can say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAct {
    /// What the place where it lay calls it.
    pub id: String,
    /// Where it lay.
    pub level: KeyLevel,
    /// What a destruction there achieves, in the ring's words.
    pub achieves: String,
    /// Whether there was a key to destroy. If not, it was another ring, or somebody took the key away: what became of it
    /// nobody here knows.
    pub found: bool,
    /// When it stopped serving.
    pub begun_at: Timestamp,
    /// When the last step was done.
    pub at: Timestamp,
    /// Whether it lay in a file that was only unlinked: its file system is not known to write over bytes where they lie.
    pub unlinked: bool,
    /// Whether it lay in a token or a service that gave it out to whoever asked rightly, once or at the end, or that did not
    /// make it: a copy may have been taken. Left out when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub could_leave: bool,
    /// What the place answered, in order; before that, what the ring says of a key that was back, of answers lost, and of all
    /// that was wrong with the key.
    pub said: Vec<Said>,
}

impl KeyAct {
    /// Whether a copy may be elsewhere of a key that was destroyed in a token or a service. Of a file that is always so, and
    /// its level says it.
    pub fn may_be_copied(&self) -> bool {
        self.found && self.could_leave && self.level != KeyLevel::K0
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

/// Parcels that were not where they had been stored: where their sealed bytes are is not known. Which they are the journal
/// does not say; the key of all is the same, and destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// How many.
    pub parcels: u64,
    /// Their sealed bytes, as they were stored.
    pub bytes: u64,
}

/// One parcel that the server had stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The attempt that stored it.
    pub attempt: u32,
    /// The parcel.
    pub parcel: ParcelId,
    /// Sealed bytes.
    pub bytes: u64,
    /// SHA-256 of the sealed bytes.
    pub digest: Digest,
}

impl Stored {
    /// What it was called on the shelf.
    pub fn name(&self, consignment: ConsignmentId) -> String {
        format!("{consignment}/{}/{}", self.attempt, self.parcel)
    }
}

impl From<&ManifestParcel> for Stored {
    fn from(line: &ManifestParcel) -> Self {
        Self { attempt: line.attempt, parcel: line.parcel, bytes: line.bytes, digest: line.digest }
    }
}

/// What a shelf still had of one consignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// Listed objects.
    pub objects: u64,
    /// Versions and markers of deleted objects.
    pub versions: u64,
    /// Uploads that were cut.
    pub unfinished: u64,
}

impl Left {
    /// Whether there is nothing.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What an object store keeps of one parcel, whatever it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lingering {
    /// The attempt that stored it.
    pub attempt: u32,
    /// The parcel.
    pub parcel: ParcelId,
    /// How many bytes of it are left, older versions included.
    pub bytes: u64,
    /// Until when; none when somebody has to lift a hold first.
    pub until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_EVER: &str = r#"{"achieves":"deleted","at":"2026-03-02T08:00:00Z","begun_at":"2026-03-02T08:00:00Z","found":true,"id":"k","level":"K2","said":[],"unlinked":false}"#;

    #[test]
    fn a_key_act_of_a_key_that_could_not_leave_is_read_and_spelled_as_ever() {
        let key: KeyAct = serde_json::from_str(AS_EVER).unwrap();
        assert!(!key.could_leave && !key.may_be_copied());
        assert_eq!(lexicon::canonical(&key).unwrap(), AS_EVER.as_bytes());
        let could = KeyAct { could_leave: true, ..key };
        let spelled = String::from_utf8(lexicon::canonical(&could).unwrap()).unwrap();
        assert!(spelled.contains("\"could_leave\":true"), "{spelled}");
        assert_eq!(serde_json::from_str::<KeyAct>(&spelled).unwrap(), could);
    }

    #[test]
    fn a_copy_may_be_left_of_a_key_that_could_leave_a_token_or_a_service_and_was_there() {
        let key: KeyAct = serde_json::from_str(AS_EVER).unwrap();
        for (level, found, copied) in [
            (KeyLevel::K0, true, false),
            (KeyLevel::K1, true, true),
            (KeyLevel::K2, true, true),
            (KeyLevel::K2, false, false),
        ] {
            let key = KeyAct { level, found, could_leave: true, ..key.clone() };
            assert_eq!(key.may_be_copied(), copied, "{level:?}, {found}");
        }
    }
}
