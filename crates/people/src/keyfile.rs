use std::io::{Read, Write};

use age::secrecy::SecretString;
use lexicon::{Code, Fault, Refusal, Result, Retry};
use zeroize::Zeroizing;

/// scrypt with N = 2^15 (32 MiB, some 0.1 s): dear to somebody who guesses, bearable at every command.
const WORK_FACTOR: u8 = 15;

/// What a person types, or an unattended agent reads from a credential file.
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes it over; a line's end is not part of it.
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Passphrase(..)")
    }
}

/// An age identity (X25519), as `age-keygen` writes one: what can open a server's secrets in a passphrase's stead.
pub struct AgeIdentity(age::x25519::Identity);

impl AgeIdentity {
    /// The one identity of a file; lines that begin with `#` are comments.
    ///
    /// # Errors
    /// A refusal when there is none, or more than one.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = lines.next().and_then(|line| line.parse::<age::x25519::Identity>().ok());
        match (first, lines.next()) {
            (Some(identity), None) => Ok(Self(identity)),
            _ => Err(Refusal::new(
                Code(135),
                "this file does not hold one age identity",
                "Make one with `age-keygen -o FILE`, and keep it where no backup of the data folder reaches.",
            )
            .into()),
        }
    }
}

impl std::fmt::Debug for AgeIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgeIdentity(..)")
    }
}

/// Encrypts a secret under a passphrase, in the age format.
///
/// # Errors
/// A fault when the encryption fails.
pub fn lock(secret: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.0.clone());
    recipient.set_work_factor(WORK_FACTOR);
    locked(secret, &recipient)
}

/// Encrypts a secret to an age identity.
///
/// # Errors
/// A fault when the encryption fails.
pub fn lock_to(secret: &[u8], identity: &AgeIdentity) -> Result<Vec<u8>> {
    locked(secret, &identity.0.to_public())
}

fn locked(secret: &[u8], recipient: &dyn age::Recipient) -> Result<Vec<u8>> {
    let failed = |_| Fault::new(Code(130), Retry::Never, "a key file could not be encrypted");
    let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient))
        .map_err(|_| Fault::new(Code(130), Retry::Never, "a key file could not be encrypted"))?;
    let mut out = Vec::new();
    let mut writer = encryptor.wrap_output(&mut out).map_err(failed)?;
    writer.write_all(secret).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

/// Decrypts what [`lock`] made.
///
/// # Errors
/// A refusal when the passphrase is wrong or the file is damaged: age cannot tell which.
pub fn unlock(locked: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = || {
        Refusal::new(
            Code(131),
            "the passphrase does not open this key file, or the file is damaged",
            "Type it again; if it is lost, the organisation certifies a new device.",
        )
    };
    let mut identity = age::scrypt::Identity::new(passphrase.0.clone());
    identity.set_max_work_factor(WORK_FACTOR.saturating_add(3));
    opened(locked, &identity).ok_or_else(|| wrong().into())
}

/// Decrypts what [`lock_to`] made.
///
/// # Errors
/// A refusal when the identity is another one, the file is under a passphrase, or it is damaged.
pub fn unlock_with(locked: &[u8], identity: &AgeIdentity) -> Result<Zeroizing<Vec<u8>>> {
    opened(locked, &identity.0).ok_or_else(|| {
        Refusal::new(
            Code(131),
            "the age identity does not open this key file, or the file is damaged",
            "Name the identity that it was made for, or the passphrase if it is under one.",
        )
        .into()
    })
}

/// What was encrypted for this identity; none when it is for another, or damaged.
pub(crate) fn opened(locked: &[u8], identity: &dyn age::Identity) -> Option<Zeroizing<Vec<u8>>> {
    let mut reader = age::Decryptor::new(locked).ok()?.decrypt(std::iter::once(identity)).ok()?;
    // Never moved while it is filled, which would leave copies behind: what is encrypted is longer than what is in it.
    let mut out = Zeroizing::new(Vec::with_capacity(locked.len()));
    reader.read_to_end(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_opens_with_its_passphrase_only() {
        let locked = lock(b"secret", &Passphrase::new("correct horse\n")).unwrap();
        assert!(!locked.windows(6).any(|w| w == b"secret"));
        assert_eq!(unlock(&locked, &Passphrase::new("correct horse")).unwrap().as_slice(), b"secret");
        assert_eq!(unlock(&locked, &Passphrase::new("wrong")).unwrap_err().code(), Code(131));
    }

    #[test]
    fn a_key_file_for_an_identity_opens_with_that_identity_only() {
        use age::secrecy::ExposeSecret;
        let text = || age::x25519::Identity::generate().to_string().expose_secret().to_owned();
        let (one, other) = (text(), text());
        let identity = AgeIdentity::parse(&format!("# created: 2026-11-26\n# public key: age1\n{one}\n")).unwrap();
        let locked = lock_to(b"secret", &identity).unwrap();
        assert!(!locked.windows(6).any(|w| w == b"secret"));
        assert_eq!(unlock_with(&locked, &identity).unwrap().as_slice(), b"secret");
        let wrong = unlock_with(&locked, &AgeIdentity::parse(&other).unwrap()).unwrap_err();
        assert_eq!(wrong.code(), Code(131));
        assert_eq!(unlock(&locked, &Passphrase::new("correct horse")).unwrap_err().code(), Code(131));
        for none in ["", "# nothing\n", "AGE-SECRET-KEY-1", &format!("{one}\n{other}\n")] {
            let refused = AgeIdentity::parse(none).unwrap_err();
            assert!(refused.code() == Code(135) && !refused.to_string().contains("AGE-SECRET"), "{refused}");
        }
        assert_eq!(format!("{identity:?}"), "AgeIdentity(..)");
    }
}
