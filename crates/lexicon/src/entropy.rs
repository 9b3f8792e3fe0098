use std::sync::Mutex;

use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::{Code, Fault, Result, Retry};

/// Where random bytes come from. Keys, shares, salts, nonces and identifiers are drawn from the one that is handed in.
pub trait Entropy: Send + Sync {
    /// Fills `out` with bytes nobody can predict.
    ///
    /// # Errors
    /// A fault when the operating system gives none; nothing may go on without.
    fn fill(&self, out: &mut [u8]) -> Result<()>;
}

impl dyn Entropy + '_ {
    /// `N` random bytes.
    ///
    /// # Errors
    /// As [`Entropy::fill`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// The operating system's generator, through aws-lc-rs.
#[derive(Debug, Default)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// The generator of this process.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        self.0
            .fill(out)
            .map_err(|_| Fault::new(Code(102), Retry::Later, "the operating system gave no random bytes").into())
    }
}

/// The same bytes for the same seed: for synthetic data and for tests, never for keys.
pub struct SeededEntropy(Mutex<(u64, u64)>);

impl SeededEntropy {
    /// A generator that repeats itself for equal `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new((seed, 0)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        let mut state =
            self.0.lock().map_err(|_| Fault::new(Code(102), Retry::Never, "the seeded generator is lost"))?;
        for chunk in out.chunks_mut(32) {
            let mut block = state.0.to_le_bytes().to_vec();
            block.extend(state.1.to_le_bytes());
            state.1 = state.1.wrapping_add(1);
            let bytes = digest::digest(&digest::SHA256, &block);
            for (to, from) in chunk.iter_mut().zip(bytes.as_ref()) {
                *to = *from;
            }
        }
        Ok(())
    }
}
