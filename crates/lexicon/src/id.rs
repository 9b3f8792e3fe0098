use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Code, Entropy, Refusal, Result};

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

pub(crate) fn parse_hex<const N: usize>(text: &str, what: &str) -> Result<[u8; N], Refusal> {
    let wrong = || {
        Refusal::new(
            Code(103),
            format!("this is not {what}: it needs {} lower-case hexadecimal digits", N.saturating_mul(2)),
            "Copy the whole value again.",
        )
    };
    let mut out = [0; N];
    if text.len() != N.saturating_mul(2) || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(wrong());
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// A new one, drawn at random.
            ///
            /// # Errors
            /// A fault when no random bytes can be had.
            pub fn draw(entropy: &dyn Entropy) -> Result<Self> {
                Ok(Self(entropy.bytes()?))
            }

            /// The first 8 hexadecimal digits, for a person's eye only.
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<Self, Refusal> {
                parse_hex(text, $what).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One migration: a laboratory's records, from one system to another. Drawn by its author, not by the server.
    MigrationId, 16, "a migration"
);
id!(
    /// What crosses in one round of a migration.
    ConsignmentId, 16, "a consignment"
);
id!(
    /// One sealed object on the shelf.
    ParcelId, 16, "a parcel"
);
id!(
    /// One shelf, by what lies on it.
    ShelfId, 16, "a shelf"
);
id!(
    /// One natural person, as named by the organisation that certifies them.
    PersonId, 16, "a person"
);
id!(
    /// One certificate of one root.
    Serial, 8, "a certificate serial"
);
