use std::fmt;

use lexicon::{Code, Digest, Entropy, Refusal, Result};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 256 bits.
const SHARE_BYTES: usize = 32;

/// One of the two halves that a consignment's key is made of: the laboratory's or the strongroom's. Alone it opens
/// nothing. It is wiped from memory when dropped, has no clone, and is never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Share([u8; SHARE_BYTES]);

impl Share {
    /// A new share.
    ///
    /// # Errors
    /// A fault when no random bytes can be had.
    pub fn draw(entropy: &dyn Entropy) -> Result<Self> {
        Ok(Self(entropy.bytes()?))
    }

    /// A share that another party sent, or that was kept.
    ///
    /// # Errors
    /// A refusal when there are not 32 bytes. Compare [`Share::digest`] with the one that was signed before using it.
    pub fn take(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| {
            Refusal::new(
                Code(507),
                format!("a share has {SHARE_BYTES} bytes; {} were given", bytes.len()),
                "Ask for the share again.",
            )
            .into()
        })
    }

    /// SHA-256 of the share: names it in acts and tells nothing about it, since it is 256 random bits.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// The bytes, to wrap or to send under encryption.
    pub fn expose(&self) -> &[u8; SHARE_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(..)")
    }
}
