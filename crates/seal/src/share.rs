use lexicon::{Code, Digest, Entropy, Guarded, Refusal, Result};

/// 256 bits.
const SHARE_BYTES: usize = 32;

/// One of the two halves that a consignment's key is made of: the laboratory's or the strongroom's. Alone it opens
/// nothing. It lies in [`Guarded`] memory: wiped when dropped, no clone, never printed.
#[derive(Debug)]
pub struct Share(Guarded);

impl Share {
    /// A new share.
    ///
    /// # Errors
    /// A fault when no random bytes can be had.
    pub fn draw(entropy: &dyn Entropy) -> Result<Self> {
        Guarded::written(SHARE_BYTES, |share| entropy.fill(share)).map(Self)
    }

    /// A share that another party sent, or that was kept.
    ///
    /// # Errors
    /// A refusal when there are not 32 bytes. Compare [`Share::digest`] with the one that was signed before using it.
    pub fn take(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != SHARE_BYTES {
            let message = format!("a share has {SHARE_BYTES} bytes; {} were given", bytes.len());
            return Err(Refusal::new(Code(507), message, "Ask for the share again.").into());
        }
        Ok(Self(Guarded::copied(bytes)))
    }

    /// SHA-256 of the share: names it in acts and tells nothing about it, since it is 256 random bits.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.expose())
    }

    /// The bytes, to wrap or to send under encryption.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}
