//! Time stamps that OpenSSL made once, as `stamped.rs` lets it make them anew: by two authorities, over a certificate that
//! stays the same. Whoever keeps inputs for a parser needs such.

use lexicon::{Digest, canonical};
use people::{Envelope, PayloadType};

/// Of an authority that signs with RSA.
pub(crate) const RSA: &[u8] = include_bytes!("stamps/rsa.tsr");
/// Of one that signs on the curve P-256.
pub(crate) const P_256: &[u8] = include_bytes!("stamps/p256.tsr");
/// The roots of both, in PEM.
pub(crate) const ROOTS: &[u8] = include_bytes!("stamps/roots.pem");
/// What both were asked with.
pub(crate) const NONCE: [u8; 16] = [0x5a; 16];

/// What both are over. Nobody signed it.
pub(crate) fn certificate() -> Envelope {
    Envelope { payload_type: PayloadType::InToto, payload: "e30=".to_owned(), signatures: Vec::new() }
}

/// [`RSA`] with the digest of another certificate where that of its own stands: it speaks of that one, and its signature
/// does not hold.
pub(crate) fn moved_to(other: &Envelope) -> Vec<u8> {
    let digest = |envelope: &Envelope| Digest::of(&canonical(envelope).unwrap()).0;
    let mut moved = RSA.to_vec();
    let at = moved.windows(32).position(|part| part == digest(&certificate())).unwrap();
    *moved.get_mut(at..).unwrap().first_chunk_mut().unwrap() = digest(other);
    moved
}
