//! Bytes in memory, through one cipher or another.

use std::io::{Read, Write, sink};
use std::num::NonZeroUsize;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lexicon::{Entropy, Result, SeededEntropy, SystemEntropy};

use crate::{MIB, Took, failed, key, measured, name, usage};

/// 64 MiB, more than a processor's caches hold: what is sealed comes from memory.
const BUFFER: usize = 64 * MIB;

fn noise(bytes: usize) -> Result<Vec<u8>> {
    let mut noise = vec![0; bytes];
    SeededEntropy::new(1).fill(&mut noise)?;
    Ok(noise)
}

/// How often a buffer goes through, for so many MiB.
fn passes(mib: usize) -> (usize, usize) {
    let bytes = mib.saturating_mul(MIB).clamp(MIB, BUFFER);
    (bytes, mib.saturating_mul(MIB).div_ceil(bytes))
}

/// Plain AES-256-GCM, a MiB at a time, where it lies. What does not open is not counted as opened.
pub(crate) fn cipher(verb: &str, mib: usize) -> Result<Took> {
    let (bytes, passes) = passes(mib);
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| failed("a key"))?;
    let key = LessSafeKey::new(key);
    let nonce = |segment: usize| {
        let mut nonce = [0; 12];
        nonce.iter_mut().zip(segment.to_be_bytes()).for_each(|(to, from)| *to = from);
        Nonce::assume_unique_for_key(nonce)
    };
    let mut buffer = noise(bytes)?;
    let seal = |segment: usize, clear: &mut [u8]| key.seal_in_place_separate_tag(nonce(segment), Aad::empty(), clear);
    if verb == "seal" {
        return measured(|| {
            for pass in 0..passes {
                for (segment, clear) in buffer.chunks_mut(MIB).enumerate() {
                    let number = pass.wrapping_mul(BUFFER).wrapping_add(segment);
                    let tag = seal(number, clear).map_err(|_| failed("sealing"))?;
                    std::hint::black_box(tag.as_ref());
                }
            }
            Ok(bytes.saturating_mul(passes))
        });
    }
    let mut sealed = Vec::new();
    for (segment, clear) in buffer.chunks_mut(MIB).enumerate() {
        let tag = seal(segment, clear).map_err(|_| failed("sealing"))?;
        sealed.push([clear, tag.as_ref()].concat());
    }
    drop(buffer);
    // Opening where it lies leaves nothing to open again: each pass opens a copy, whose making is not measured.
    let mut took = Took { bytes: 0, cpu: 0.0, wall: 0.0 };
    for _ in 0..passes {
        let mut copy = sealed.clone();
        let once = measured(|| {
            for (segment, sealed) in copy.iter_mut().enumerate() {
                key.open_in_place(nonce(segment), Aad::empty(), sealed).map_err(|_| failed("opening"))?;
            }
            Ok(bytes)
        })?;
        took.bytes = took.bytes.saturating_add(once.bytes);
        took.cpu += once.cpu;
        took.wall += once.wall;
    }
    Ok(took)
}

/// An opaque parcel.
pub(crate) fn opaque(verb: &str, mib: usize, threads: NonZeroUsize) -> Result<Took> {
    let (bytes, passes) = passes(mib);
    let (key, entropy, clear) = (key()?.file_key(&name())?, SystemEntropy::new(), noise(bytes)?);
    let mut sealed = Vec::new();
    match verb {
        "seal" => measured(|| {
            for _ in 0..passes {
                key.seal(&entropy, &mut clear.as_slice(), &mut sink(), threads)?;
            }
            Ok(bytes.saturating_mul(passes))
        }),
        "open" => {
            key.seal(&entropy, &mut clear.as_slice(), &mut sealed, threads)?;
            drop(clear);
            measured(|| {
                for _ in 0..passes {
                    key.open(&mut sealed.as_slice(), &mut sink(), threads)?;
                }
                Ok(bytes.saturating_mul(passes))
            })
        }
        _ => Err(usage().into()),
    }
}

/// The age crate, with an X25519 key.
pub(crate) fn age(verb: &str, mib: usize) -> Result<Took> {
    let (bytes, passes) = passes(mib);
    let identity = age::x25519::Identity::generate();
    let (recipient, clear) = (identity.to_public(), noise(bytes)?);
    let seal = |out: &mut dyn Write| {
        let keys = std::iter::once::<&dyn age::Recipient>(&recipient);
        let encryptor = age::Encryptor::with_recipients(keys).map_err(|_| failed("age"))?;
        let mut writer = encryptor.wrap_output(out).map_err(|_| failed("age"))?;
        writer.write_all(&clear).map_err(|_| failed("age"))?;
        writer.finish().map_err(|_| failed("age")).map(drop)
    };
    if verb == "seal" {
        return measured(|| {
            for _ in 0..passes {
                seal(&mut sink())?;
            }
            Ok(bytes.saturating_mul(passes))
        });
    }
    let mut sealed = Vec::new();
    seal(&mut sealed)?;
    let mut piece = vec![0; MIB];
    measured(|| {
        let mut opened = 0_usize;
        for _ in 0..passes {
            let keys = std::iter::once::<&dyn age::Identity>(&identity);
            let decryptor = age::Decryptor::new(sealed.as_slice()).map_err(|_| failed("age"))?;
            let mut reader = decryptor.decrypt(keys).map_err(|_| failed("age"))?;
            while let read @ 1.. = reader.read(&mut piece).map_err(|_| failed("age"))? {
                opened = opened.saturating_add(read);
            }
        }
        Ok(opened)
    })
}
