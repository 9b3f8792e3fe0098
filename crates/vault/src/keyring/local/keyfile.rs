//! One consignment's key on the disk: 32 random bytes, wrapped under the ring's epoch, in two slots like the epoch's.

use std::fs;
use std::path::Path;

use aws_lc_rs::aead::NONCE_LEN;
use lexicon::{ConsignmentId, Entropy, Guarded, Result};
use zeroize::Zeroizing;

use super::cipher::{self, KEY_BYTES};
use super::epoch::{self, Epoch, SLOT_BYTES};
use crate::disk::{Disk, bytes_left, fault};

const MAGIC: &[u8; 8] = b"LZRKEY01";
/// Nonce, wrapped key, tag.
const WRAPPED_BYTES: usize = NONCE_LEN + KEY_BYTES + 16;

/// Binds a wrap to its owner and epoch, so that key files cannot be exchanged.
fn owner(id: ConsignmentId, number: u64) -> Vec<u8> {
    [id.0.as_slice(), &number.to_be_bytes()].concat()
}

fn wrap(entropy: &dyn Entropy, id: ConsignmentId, epoch: &Epoch, key: &Guarded) -> Result<Zeroizing<Vec<u8>>> {
    let mut content = MAGIC.to_vec();
    content.extend(epoch.number.to_be_bytes());
    content.extend(cipher::seal(entropy, &epoch.wrapping, &owner(id, epoch.number), key.expose())?);
    epoch::slot(entropy, &content)
}

fn unwrap(id: ConsignmentId, epoch: &Epoch, slot: &[u8]) -> Result<Option<Guarded>> {
    let parts = || {
        let (magic, rest) = slot.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let wrapped = rest.get(..WRAPPED_BYTES)?;
        (magic == MAGIC && u64::from_be_bytes(*number) == epoch.number).then_some(wrapped)
    };
    let Some(wrapped) = parts() else {
        return Ok(None);
    };
    let plain = cipher::open(&epoch.wrapping, &owner(id, epoch.number), wrapped)?;
    Ok(plain.map(|plain| Guarded::copied(&plain)))
}

/// Draws a key and keeps it under `epoch`.
pub(super) fn make(disk: &Disk, path: &Path, entropy: &dyn Entropy, id: ConsignmentId, epoch: &Epoch) -> Result<()> {
    let key = Guarded::written(KEY_BYTES, |place| entropy.fill(place))?;
    let written = wrap(entropy, id, epoch, &key)?;
    let noise = epoch::slot(entropy, &[])?;
    let both = if epoch::offset(epoch.number) == 0 { [written, noise] } else { [noise, written] };
    disk.place(path, &both.iter().flat_map(|slot| slot.iter().copied()).collect::<Vec<_>>())
}

/// The key, under the newest of `epochs` that it opens with; nothing when it opens with none.
pub(super) fn read(path: &Path, id: ConsignmentId, epochs: &[Epoch]) -> Result<Option<Guarded>> {
    opened(&fs::read(path).map_err(|error| fault("read a ring key", &error))?, id, epochs)
}

fn opened(bytes: &[u8], id: ConsignmentId, epochs: &[Epoch]) -> Result<Option<Guarded>> {
    for epoch in epochs.iter().rev() {
        for slot in bytes.chunks(SLOT_BYTES) {
            if let Some(key) = unwrap(id, epoch, slot)? {
                return Ok(Some(key));
            }
        }
    }
    Ok(None)
}

/// Carries the key from `old` to `new` and writes over its wrap under `old`. False when it opens under neither, and when
/// its bytes are lost: it holds back no other key's end.
pub(super) fn carry(
    disk: &Disk,
    path: &Path,
    entropy: &dyn Entropy,
    id: ConsignmentId,
    (old, new): (&Epoch, &Epoch),
) -> Result<bool> {
    let Some(bytes) = bytes_left(path).map_err(|error| fault("read a ring key", &error))? else { return Ok(false) };
    if opened(&bytes, id, std::slice::from_ref(new))?.is_none() {
        let Some(key) = opened(&bytes, id, std::slice::from_ref(old))? else {
            return Ok(false);
        };
        disk.overwrite(path, epoch::offset(new.number), &wrap(entropy, id, new, &key)?)?;
    }
    disk.overwrite(path, epoch::offset(old.number), &epoch::slot(entropy, &[])?)?;
    Ok(true)
}

/// Writes noise over the whole file, then takes its name away; how many bytes it had.
pub(super) fn destroy(disk: &Disk, path: &Path, entropy: &dyn Entropy) -> Result<u64> {
    let length = fs::metadata(path).map_err(|error| fault("look at a ring key", &error))?.len();
    let mut noise = vec![0; usize::try_from(length).unwrap_or(SLOT_BYTES)];
    entropy.fill(&mut noise)?;
    disk.overwrite(path, 0, &noise)?;
    disk.remove(path)?;
    Ok(length)
}
