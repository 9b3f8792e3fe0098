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

/// Encrypts a secret under a passphrase, in the age format.
///
/// # Errors
/// A fault when the encryption fails.
pub fn lock(secret: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.0.clone());
    recipient.set_work_factor(WORK_FACTOR);
    let failed = |_| Fault::new(Code(130), Retry::Never, "a key file could not be encrypted");
    let encryptor = age::Encryptor::with_recipients(std::iter::once::<&dyn age::Recipient>(&recipient))
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
    let decryptor = age::Decryptor::new(locked).map_err(|_| wrong())?;
    let mut reader = decryptor.decrypt(std::iter::once::<&dyn age::Identity>(&identity)).map_err(|_| wrong())?;
    let mut out = Zeroizing::new(Vec::new());
    reader.read_to_end(&mut out).map_err(|_| wrong())?;
    Ok(out)
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
}
