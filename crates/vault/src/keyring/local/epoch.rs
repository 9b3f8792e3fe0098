//! The ring's epoch: 32 random bytes that every key file is wrapped under, changed at each destruction, so that what
//! is left of a destroyed key file on the medium needs the epoch of its time, which is written over.
//!
//! Two slots of one file, a page apart. The epoch of number n lies in slot n mod 2: the next one is written and made
//! durable beside the present one, and the present one is written over last. Two valid slots therefore mean a
//! change that was cut, and it is always finished forwards.

use std::fs;
use std::path::Path;

use lexicon::{Alarm, Code, Digest, Entropy, Guarded, Refusal, Result};
use zeroize::Zeroizing;

use super::cipher::{self, KEY_BYTES};
use crate::disk::{Disk, fault};
use crate::keyring::Secret;

/// 4 KiB: one page and one sector of any usual disk, so that writing one slot never touches the other.
pub(super) const SLOT_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"LZEPOCH1";

pub(super) struct Epoch {
    pub(super) number: u64,
    /// What key files are wrapped under: from the server secret and the epoch's bytes.
    pub(super) wrapping: Guarded,
}

/// A slot of `content` and then noise, so that no slot shows by zeros how much of it was ever written.
pub(super) fn slot(entropy: &dyn Entropy, content: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; SLOT_BYTES]);
    entropy.fill(&mut bytes)?;
    for (to, from) in bytes.iter_mut().zip(content) {
        *to = *from;
    }
    Ok(bytes)
}

/// Where the slot of a number begins in its file.
pub(super) fn offset(number: u64) -> u64 {
    if number.is_multiple_of(2) { 0 } else { 4096 }
}

/// A new epoch: what is written and what is used.
fn make(entropy: &dyn Entropy, secret: &Secret, number: u64) -> Result<(Zeroizing<Vec<u8>>, Epoch)> {
    let bytes = Zeroizing::new(entropy.bytes::<KEY_BYTES>()?);
    // Of its whole size from the start, so that it is never moved and no copy stays behind.
    let mut content = Zeroizing::new(Vec::with_capacity(SLOT_BYTES));
    content.extend(MAGIC);
    content.extend(number.to_be_bytes());
    content.extend(*bytes);
    content.extend(check(secret, number, &bytes)?.expose());
    let digest = Digest::of(&content);
    content.extend(digest.0);
    Ok((slot(entropy, &content)?, Epoch { number, wrapping: wrapping(secret, number, &bytes)? }))
}

fn material(secret: &Secret, bytes: &[u8; KEY_BYTES]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([secret.expose(), bytes].concat())
}

fn wrapping(secret: &Secret, number: u64, bytes: &[u8; KEY_BYTES]) -> Result<Guarded> {
    cipher::derive(&material(secret, bytes), &[], &[b"lazaret/1/ring/wrap", &number.to_be_bytes()])
}

/// Tells a wrong server secret from a damaged file.
fn check(secret: &Secret, number: u64, bytes: &[u8; KEY_BYTES]) -> Result<Guarded> {
    cipher::derive(&material(secret, bytes), &[], &[b"lazaret/1/ring/check", &number.to_be_bytes()])
}

fn read_slot(secret: &Secret, bytes: &[u8]) -> Result<Option<Epoch>> {
    let parts = || {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (epoch, rest) = rest.split_first_chunk::<KEY_BYTES>()?;
        let (told, rest) = rest.split_first_chunk::<KEY_BYTES>()?;
        let (digest, _) = rest.split_first_chunk::<32>()?;
        let content = bytes.get(..80)?;
        (magic == MAGIC && Digest::of(content).0 == *digest).then(|| (u64::from_be_bytes(*number), epoch, told))
    };
    let Some((number, epoch, told)) = parts() else {
        return Ok(None);
    };
    if check(secret, number, epoch)?.expose() != told {
        return Err(Refusal::new(
            Code(704),
            "this server secret is not the one that the key ring was made with",
            "Start the server with the secret that it had before; a new secret needs a new, empty ring folder.",
        )
        .into());
    }
    Ok(Some(Epoch { number, wrapping: wrapping(secret, number, epoch)? }))
}

/// The epochs that the file holds, oldest first: one, or two in the middle of a change.
pub(super) fn read(path: &Path, secret: &Secret) -> Result<Vec<Epoch>> {
    let bytes = Zeroizing::new(fs::read(path).map_err(|error| fault("read the ring's epoch", &error))?);
    let mut epochs = Vec::new();
    for part in bytes.chunks(SLOT_BYTES) {
        epochs.extend(read_slot(secret, part)?);
    }
    epochs.sort_by_key(|epoch| epoch.number);
    if epochs.is_empty() {
        return Err(Alarm::new(Code(708), "the key ring's epoch file holds no epoch; its keys are lost").into());
    }
    Ok(epochs)
}

/// The first epoch of a new ring.
pub(super) fn found(disk: &Disk, path: &Path, entropy: &dyn Entropy, secret: &Secret) -> Result<()> {
    let (written, _) = make(entropy, secret, 0)?;
    let other = slot(entropy, &[])?;
    disk.place(path, &Zeroizing::new([written.as_slice(), other.as_slice()].concat()))
}

/// Writes the epoch after `number` beside it.
pub(super) fn begin(disk: &Disk, path: &Path, entropy: &dyn Entropy, secret: &Secret, number: u64) -> Result<Epoch> {
    let (written, epoch) = make(entropy, secret, number.wrapping_add(1))?;
    disk.overwrite(path, offset(epoch.number), &written)?;
    Ok(epoch)
}

/// Writes over the epoch of `number`: from here on nothing that was wrapped under it opens.
pub(super) fn forget(disk: &Disk, path: &Path, entropy: &dyn Entropy, number: u64) -> Result<()> {
    disk.overwrite(path, offset(number), &slot(entropy, &[])?)
}
