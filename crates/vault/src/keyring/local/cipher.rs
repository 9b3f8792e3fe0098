//! The two primitives of the ring: HKDF-SHA-256 (RFC 5869) and AES-256-GCM, both of aws-lc-rs.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use lexicon::{Code, Entropy, Fault, Guarded, Result, Retry};
use zeroize::Zeroizing;

/// 256 bits: keys, epochs.
pub(super) const KEY_BYTES: usize = 32;

fn defect(what: &str) -> Fault {
    Fault::new(Code(718), Retry::Never, format!("the cipher of the ring failed to {what}"))
}

/// 32 bytes from `material`, for one purpose.
pub(super) fn derive(material: &[u8], salt: &[u8], info: &[&[u8]]) -> Result<Guarded> {
    Guarded::written(KEY_BYTES, |out| {
        let filled =
            Salt::new(HKDF_SHA256, salt).extract(material).expand(info, HKDF_SHA256).and_then(|key| key.fill(out));
        filled.map_err(|_| defect("derive a key").into())
    })
}

/// Nonce, ciphertext, tag: 28 bytes longer than `plain`.
///
/// Nonces are random: 2^32 messages under one key keep the chance of a repeated one under 2^-32 (NIST SP 800-38D,
/// 8.3), and a ring key seals a few shares.
pub(super) fn seal(entropy: &dyn Entropy, key: &Guarded, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let nonce = entropy.bytes::<NONCE_LEN>()?;
    // Encrypted where it lies: a tag appended to it could move it and leave what is in clear behind.
    let mut body = Zeroizing::new(plain.to_vec());
    let tag = cipher(key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .map_err(|_| defect("seal"))?;
    Ok([&nonce[..], &body, tag.as_ref()].concat())
}

/// What [`seal`] sealed, or nothing when a bit, the key or `aad` is another.
pub(super) fn open(key: &Guarded, aad: &[u8], sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let Some((nonce, body)) = sealed.split_first_chunk::<NONCE_LEN>() else {
        return Ok(None);
    };
    let mut body = Zeroizing::new(body.to_vec());
    let opened = cipher(key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut body)
        .map(|plain| plain.len())
        .ok();
    Ok(opened.map(|length| {
        body.truncate(length);
        body
    }))
}

fn cipher(key: &Guarded) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| defect("take a key"))?;
    Ok(LessSafeKey::new(key))
}
