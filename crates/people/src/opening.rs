use std::fmt;
use std::io::Write;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519;
use lexicon::{Code, Fault, Refusal, Result, Retry};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::keyfile::opened;

/// The public half of an opening key: what a share is sealed to. An age X25519 recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(x25519::Recipient);

/// A fresh key that opens what is sealed to its recipient. One per offer, or one per attempt and then in memory only.
pub struct OpeningKey(x25519::Identity);

impl OpeningKey {
    /// A new key, from the operating system's generator (the age crate draws it itself).
    pub fn draw() -> Self {
        Self(x25519::Identity::generate())
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    /// The secret, to be locked into a key file at once.
    pub fn secret(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    /// The key that [`Self::secret`] stands for.
    ///
    /// # Errors
    /// A refusal when it is none.
    pub fn from_secret(secret: &str) -> Result<Self> {
        secret.parse().map(Self).map_err(|_| {
            Refusal::new(Code(132), "this is not an opening key", "Restore the file or offer a new key.").into()
        })
    }

    /// Opens what was sealed to its recipient.
    ///
    /// # Errors
    /// A refusal when it was sealed to another key or is damaged.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        opened(sealed, &self.0).ok_or_else(|| {
            Refusal::new(
                Code(133),
                "this opening key does not open what was sealed",
                "Offer a new key and have the consignment released again.",
            )
            .into()
        })
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpeningKey(..)")
    }
}

/// Seals a small secret to one or more opening keys.
///
/// # Errors
/// A fault when the encryption fails or nobody is to receive it.
pub fn seal_to(recipients: &[Recipient], secret: &[u8]) -> Result<Vec<u8>> {
    let failed = || Fault::new(Code(134), Retry::Never, "a secret could not be sealed to its opening keys");
    let keys = recipients.iter().map(|recipient| {
        let key: &dyn age::Recipient = &recipient.0;
        key
    });
    let encryptor = age::Encryptor::with_recipients(keys).map_err(|_| failed())?;
    let mut out = Vec::new();
    let mut writer = encryptor.wrap_output(&mut out).map_err(|_| failed())?;
    writer.write_all(secret).map_err(|_| failed())?;
    writer.finish().map_err(|_| failed())?;
    Ok(out)
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Recipient {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.parse()
            .map(Self)
            .map_err(|_| Refusal::new(Code(132), "this is not an opening key", "Copy the whole key again."))
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_each_key_it_was_sealed_to_and_no_other() {
        let (one, two, other) = (OpeningKey::draw(), OpeningKey::draw(), OpeningKey::draw());
        let sealed = seal_to(&[one.recipient(), two.recipient()], b"share").unwrap();
        assert_eq!(one.open(&sealed).unwrap().as_slice(), b"share");
        let restored = OpeningKey::from_secret(&two.secret()).unwrap();
        assert_eq!(restored.open(&sealed).unwrap().as_slice(), b"share");
        assert_eq!(other.open(&sealed).unwrap_err().code(), Code(133));
    }
}
