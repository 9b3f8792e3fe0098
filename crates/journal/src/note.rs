//! C2SP signed note: a text, an empty line, and lines of signatures by named keys.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lexicon::{Alarm, Code, Hasher, Refusal, Result};

/// 16 KiB: a checkpoint with its log's signature is about 200 bytes and each witness adds about 130, so this holds over
/// a hundred witnesses; more is refused before it is read.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;

/// The signature type of Ed25519 in the signed-note specification.
const ED25519_TYPE: u8 = 1;

/// `text` signed as a note by `pair` under `name`.
///
/// # Errors
/// A refusal when the text does not end with a line's end, holds control characters, or the name is empty or has a
/// space or a plus: other people's tools would not read it.
pub fn sign_note(text: &str, name: &str, pair: &Ed25519KeyPair) -> Result<String> {
    check_text(text)?;
    check_name(name)?;
    let public: [u8; 32] = public_key(pair)?;
    let mut blob = key_hash(name, &public).to_vec();
    blob.extend_from_slice(pair.sign(text.as_bytes()).as_ref());
    Ok(format!("{text}\n— {name} {}\n", STANDARD.encode(blob)))
}

/// The text of `note`, once the key `public` of `name` is seen to have signed it. Lines of other keys are passed over,
/// as the specification asks.
///
/// # Errors
/// A refusal when this is no signed note; an alarm when that key did not sign it, or signed something else.
pub fn verify_note<'a>(note: &'a str, name: &str, public: &[u8; 32]) -> Result<&'a str> {
    check_name(name)?;
    if note.len() > NOTE_BYTES_MAX {
        return Err(no_note("it is too long"));
    }
    let end = note.rfind("\n\n").ok_or_else(|| no_note("it has no signature"))?;
    let (text, rest) = note.split_at(end.saturating_add(1));
    check_text(text)?;
    let lines = rest
        .strip_prefix('\n')
        .and_then(|lines| lines.strip_suffix('\n'))
        .ok_or_else(|| no_note("its last line is cut"))?;
    let expected = key_hash(name, public);
    let mut seen = false;
    for line in lines.split('\n') {
        let (signer, blob) = signature_line(line)?;
        let Some((hash, signature)) = blob.split_at_checked(4) else { return Err(no_note("a signature is cut")) };
        if signer == name && hash == expected {
            let key = UnparsedPublicKey::new(&ED25519, public);
            key.verify(text.as_bytes(), signature)
                .map_err(|_| Alarm::new(Code(1306), format!("the note's signature by {name} is false")))?;
            seen = true;
        }
    }
    if seen {
        return Ok(text);
    }
    Err(Alarm::new(Code(1306), format!("the note is not signed by the known key of {name}")).into())
}

/// The key as the signed-note specification writes it for verifiers: `name+hash+key`.
///
/// # Errors
/// A refusal when the name cannot stand in a note.
pub fn verifier_key(name: &str, public: &[u8; 32]) -> Result<String> {
    check_name(name)?;
    let hash = u32::from_be_bytes(key_hash(name, public));
    let mut key = vec![ED25519_TYPE];
    key.extend_from_slice(public);
    Ok(format!("{name}+{hash:08x}+{}", STANDARD.encode(key)))
}

/// The first four bytes of SHA-256 of name, line's end, type and key: they say which key a line claims, no more.
fn key_hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut hasher = Hasher::default();
    hasher.update(name.as_bytes());
    hasher.update(&[b'\n', ED25519_TYPE]);
    hasher.update(public);
    let [a, b, c, d, ..] = hasher.finish().0;
    [a, b, c, d]
}

fn public_key(pair: &Ed25519KeyPair) -> Result<[u8; 32]> {
    pair.public_key().as_ref().try_into().map_err(|_| no_note("the signing key is not an Ed25519 key"))
}

fn signature_line(line: &str) -> Result<(&str, Vec<u8>)> {
    let parts = line.strip_prefix("— ").and_then(|line| line.split_once(' '));
    let (name, blob) = parts.ok_or_else(|| no_note("a line after its text is not a signature"))?;
    check_name(name)?;
    let blob = STANDARD.decode(blob).map_err(|_| no_note("a signature is not base64"))?;
    Ok((name, blob))
}

fn check_text(text: &str) -> Result<()> {
    if text.is_empty() || !text.ends_with('\n') || text.chars().any(|c| c < ' ' && c != '\n') {
        return Err(no_note("its text must be lines without control characters"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(no_note("a key's name must not be empty or hold a space or a plus"));
    }
    Ok(())
}

fn no_note(why: &str) -> lexicon::Trouble {
    Refusal::new(Code(1305), format!("this is no signed note: {why}"), "Ask for the whole note again.").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's golang.org/x/mod/sumdb/note, which the specification was written from.
    const PUBLISHED_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PUBLISHED_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLISHED_TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const PUBLISHED_LINE: &str =
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const OTHER_LINE: &str =
        "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

    fn published_pair() -> Ed25519KeyPair {
        let seed = STANDARD.decode(PUBLISHED_SEED).unwrap();
        Ed25519KeyPair::from_seed_unchecked(&seed[1..]).unwrap()
    }

    fn published_public() -> [u8; 32] {
        let key = STANDARD.decode(PUBLISHED_KEY.rsplit('+').next().unwrap()).unwrap();
        key[1..].try_into().unwrap()
    }

    #[test]
    fn our_note_is_byte_for_byte_the_published_one() {
        let note = sign_note(PUBLISHED_TEXT, "PeterNeumann", &published_pair()).unwrap();
        assert_eq!(note, format!("{PUBLISHED_TEXT}\n{PUBLISHED_LINE}"));
        assert_eq!(verifier_key("PeterNeumann", &published_public()).unwrap(), PUBLISHED_KEY);
    }

    #[test]
    fn the_published_note_verifies_with_another_signature_beside_it() {
        let note = format!("{PUBLISHED_TEXT}\n{OTHER_LINE}{PUBLISHED_LINE}");
        assert_eq!(verify_note(&note, "PeterNeumann", &published_public()).unwrap(), PUBLISHED_TEXT);
    }

    #[test]
    fn a_note_without_the_named_signature_is_an_alarm() {
        let note = format!("{PUBLISHED_TEXT}\n{OTHER_LINE}");
        assert_eq!(verify_note(&note, "PeterNeumann", &published_public()).unwrap_err().code(), Code(1306));
        let renamed = format!("{PUBLISHED_TEXT}\n{}", PUBLISHED_LINE.replace("PeterNeumann", "Mallory"));
        assert_eq!(verify_note(&renamed, "Mallory", &published_public()).unwrap_err().code(), Code(1306));
    }

    #[test]
    fn every_changed_byte_of_a_note_is_found() {
        let note = format!("{PUBLISHED_TEXT}\n{PUBLISHED_LINE}");
        for at in 0..note.len() {
            for flip in [1, 2, 0x20] {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= flip;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(verify_note(&changed, "PeterNeumann", &published_public()).is_err(), "byte {at}: {changed}");
            }
        }
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let key = published_public();
        let too_long = format!("{}\n{PUBLISHED_LINE}", "a\n".repeat(NOTE_BYTES_MAX));
        let cut = format!("{PUBLISHED_TEXT}\n{}", PUBLISHED_LINE.trim_end());
        let control = format!("a\tb\n\n{PUBLISHED_LINE}");
        let short = format!("{PUBLISHED_TEXT}\n— PeterNeumann x08\n");
        for note in ["", "\n\n", "text\n", PUBLISHED_TEXT, &too_long, &cut, &control, &short] {
            assert_eq!(verify_note(note, "PeterNeumann", &key).unwrap_err().code(), Code(1305), "{note:?}");
        }
        for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb"] {
            assert_eq!(sign_note("text\n", name, &published_pair()).unwrap_err().code(), Code(1305), "{name:?}");
        }
        for text in ["", "text", "a\u{7}b\n"] {
            assert_eq!(sign_note(text, "name", &published_pair()).unwrap_err().code(), Code(1305), "{text:?}");
        }
    }
}
