//! Parcels of bytes that no scope can look into, in a format that other programs read.
//!
//! It is Tink's streaming AEAD with the key type AES256-GCM-HKDF-1MB, as Tink's page "AES-GCM-HKDF Streaming AEAD"
//! defines it; `vectors/tink.txt` was made by Tink, and a test lets Tink's Python package and this room open what the
//! other sealed.
//!
//! ```text
//! parcel    = header ‖ segment 0 ‖ … ‖ segment n-1
//! header    = 0x28 ‖ salt (32) ‖ nonce prefix (7)                              40 bytes, its own length first
//! segment i = AES-256-GCM(file key, nonce prefix ‖ i (4, highest first) ‖ last) ‖ tag (16); last = 1 for n-1, else 0
//! file key  = HKDF-SHA-256(material, salt, info = associated data)
//! ```
//!
//! Header and segment 0 have 1 MiB together, and every later segment but the last has 1 MiB. So segment i > 0 begins at
//! i · 2²⁰: a place in the file is found by arithmetic, and parts of an upload can be cut between segments. Only segment
//! 0 may be empty. The number in the nonce refuses segments that changed places, the last byte a parcel that was cut, the
//! salt segments of another parcel. At most 2³² segments, 4 PiB. No length stands in the parcel: a reader that is told a
//! wrong one finds no last segment there. Bytes behind the last segment are refused; Tink does not look at them when that
//! segment is full.
//!
//! *Associated data* are the purpose `lazaret/1/parcel/file` and the parcel's whole [`ParcelName`]. *Material* is not
//! K but a child of K for this one parcel. With K itself a Tink key set that opens one file would open the
//! consignment; this one can be given to another program or to an auditor, as the key of a table parcel can. The
//! price is one HKDF for each parcel. The ids stand in both: the material separates parcels whatever a program gives
//! as associated data.

mod carry;
mod cut;
mod open;
mod range;
mod seal;

use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lexicon::{Code, Entropy, Fault, Result, Retry, Trouble};

pub use range::{FileRanges, SealedBytes};

use crate::keys::{Key, SALT_BYTES, hkdf};
use crate::parcel::ParcelName;

/// 1 MiB of sealed bytes, tag included: the `1MB` in the key type's name.
const SEGMENT_BYTES: usize = 1024 * 1024;
const PREFIX_BYTES: usize = 7;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// One byte of length, salt, nonce prefix: 1 + 32 + 7.
const HEADER_BYTES: usize = 40;
/// 0x28: the header begins with its own length.
pub(crate) const HEADER_BEGINS: u8 = 40;

/// The key of one opaque parcel: seals it, opens it, reads parts of it. It is wiped when dropped and never printed.
pub struct FileKey {
    material: Key,
    associated: Vec<u8>,
    name: ParcelName,
    shape: Shape,
}

impl FileKey {
    pub(crate) fn new(material: Key, name: &ParcelName) -> Self {
        Self { material, associated: name.associated(), name: name.clone(), shape: Shape::TINK_1MB }
    }

    /// The cipher of the parcel that begins with this header.
    fn cipher(&self, header: &Header) -> Result<Cipher> {
        let key = hkdf(self.material.as_ref(), &header.salt, &self.associated)?;
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref())
            .map_err(|_| Fault::new(Code(501), Retry::Never, "a key could not be derived"))?;
        Ok(Cipher { key: LessSafeKey::new(key), prefix: header.prefix })
    }

    /// What a reader said that was handed in: its own trouble, if it carried one.
    pub(crate) fn unread(&self, error: io::Error) -> Trouble {
        self.trouble_of(error, |name, kind| {
            let message = format!("the bytes of parcel {} (table {}) cannot be read: {kind}", name.parcel, name.table);
            Fault::new(Code(509), Retry::Later, message)
        })
    }

    fn unwritten(&self, error: io::Error) -> Trouble {
        self.trouble_of(error, |name, kind| {
            let message = format!("the bytes of parcel {} (table {}) are not taken: {kind}", name.parcel, name.table);
            Fault::new(Code(510), Retry::Later, message)
        })
    }

    /// The error's kind only: its own words may name a file.
    fn trouble_of(&self, error: io::Error, otherwise: impl Fn(&ParcelName, io::ErrorKind) -> Fault) -> Trouble {
        error.downcast::<Trouble>().unwrap_or_else(|error| otherwise(&self.name, error.kind()).into())
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// How many bytes a parcel has that seals `clear` bytes: the header, and a tag for each segment.
pub fn sealed_file_bytes(clear: u64) -> u64 {
    Shape::TINK_1MB.sealed_bytes(clear)
}

/// How many bytes in clear make a parcel of `sealed` bytes, a whole number of segments.
pub(crate) fn clear_file_bytes(sealed: u64) -> u64 {
    let segments = sealed.checked_div(wide(SEGMENT_BYTES)).unwrap_or(0);
    sealed.saturating_sub(wide(HEADER_BYTES)).saturating_sub(segments.saturating_mul(wide(TAG_BYTES)))
}

/// How large the segments are. Outside this room's tests there is one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    segment_bytes: usize,
}

impl Shape {
    const TINK_1MB: Self = Self { segment_bytes: SEGMENT_BYTES };

    /// What a segment behind the header has room for, with its tag.
    const fn first_sealed(self) -> usize {
        self.segment_bytes.saturating_sub(HEADER_BYTES)
    }

    /// What such a segment has room for in clear; the header counts as clear bytes of segment 0.
    fn later_clear(self) -> u64 {
        wide(self.segment_bytes.saturating_sub(TAG_BYTES))
    }

    /// The segment in which a place in clear lies.
    fn segment_of(self, clear: u64) -> u64 {
        clear.saturating_add(wide(HEADER_BYTES)).checked_div(self.later_clear()).unwrap_or(0)
    }

    /// The place in clear at which a segment begins.
    fn clear_start(self, number: u32) -> u64 {
        u64::from(number).saturating_mul(self.later_clear()).saturating_sub(wide(HEADER_BYTES))
    }

    fn sealed_bytes(self, clear: u64) -> u64 {
        // The segment of the last byte; of nothing there is one segment too.
        let segments = self.segment_of(clear.saturating_sub(1)).saturating_add(1);
        clear.saturating_add(wide(HEADER_BYTES)).saturating_add(segments.saturating_mul(wide(TAG_BYTES)))
    }
}

/// What stands before the first segment.
struct Header {
    salt: [u8; SALT_BYTES],
    prefix: [u8; PREFIX_BYTES],
}

impl Header {
    fn draw(entropy: &dyn Entropy) -> Result<Self> {
        Ok(Self { salt: entropy.bytes()?, prefix: entropy.bytes()? })
    }

    fn bytes(&self) -> Vec<u8> {
        [[HEADER_BEGINS].as_slice(), &self.salt, &self.prefix].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (salt, prefix) = bytes.strip_prefix(&[HEADER_BEGINS])?.split_first_chunk()?;
        Some(Self { salt: *salt, prefix: prefix.try_into().ok()? })
    }
}

/// Where a segment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    number: u32,
    last: bool,
}

/// Seals and opens the segments of one parcel, in any order and on any thread.
struct Cipher {
    key: LessSafeKey,
    prefix: [u8; PREFIX_BYTES],
}

impl Cipher {
    /// Every place of a parcel has its own nonce, and every parcel its own key.
    fn nonce(&self, place: Place) -> Nonce {
        let mut nonce = [0; NONCE_BYTES];
        let place = place.number.to_be_bytes().into_iter().chain([u8::from(place.last)]);
        for (to, from) in nonce.iter_mut().zip(self.prefix.into_iter().chain(place)) {
            *to = from;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// Seals `clear` where it lies and gives the tag that follows it.
    fn seal(&self, place: Place, clear: &mut [u8]) -> Option<impl AsRef<[u8]> + use<>> {
        self.key.seal_in_place_separate_tag(self.nonce(place), Aad::empty(), clear).ok()
    }

    /// Opens a segment with its tag where it lies: how many bytes it has in clear, or none when it is not the one
    /// that was sealed at this place.
    fn open(&self, place: Place, sealed: &mut [u8]) -> Option<usize> {
        let clear = self.key.open_in_place(self.nonce(place), Aad::empty(), sealed).ok()?.len();
        // The format knows one way to cut bytes: no empty segment follows another.
        (clear > 0 || place.number == 0).then_some(clear)
    }
}

pub(crate) fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
