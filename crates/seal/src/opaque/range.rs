use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::Range;

use lexicon::{Code, Fault, Result, Retry};

use super::carry::{Steps, carry};
use super::cut::Segment;
use super::{Cipher, FileKey, HEADER_BYTES, Header, Place, TAG_BYTES, wide};

/// Sealed bytes that can be read at any place: in memory, in a file, or on a store that answers for ranges.
pub trait SealedBytes: Sync {
    /// How many there are. A wrong number is found out.
    fn bytes(&self) -> u64;

    /// Fills `into` with the bytes from `from` on.
    ///
    /// # Errors
    /// When they cannot be had, all of them. A [`lexicon::Trouble`] that the error carries comes out as it is.
    fn read_at(&self, from: u64, into: &mut [u8]) -> io::Result<()>;
}

impl SealedBytes for &[u8] {
    fn bytes(&self) -> u64 {
        wide(self.len())
    }

    fn read_at(&self, from: u64, into: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(from).ok();
        let found = from.and_then(|from| self.get(from..from.checked_add(into.len())?));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A parcel of which parts are read: it was found whole, its key right.
pub struct FileRanges<'a> {
    key: &'a FileKey,
    sealed: &'a dyn SealedBytes,
    cipher: Cipher,
    sealed_bytes: u64,
    last: u32,
    clear_bytes: u64,
}

impl FileKey {
    /// Begins to read parts of a parcel. Header and last segment are read, so that a parcel that was cut or
    /// lengthened is refused before any part of it is believed.
    ///
    /// # Errors
    /// The alarm LZ-0504 when the last segment does not open. A fault when the bytes cannot be read.
    pub fn ranges<'a>(&'a self, sealed: &'a dyn SealedBytes) -> Result<FileRanges<'a>> {
        let refused = || self.name.does_not_open();
        let sealed_bytes = sealed.bytes();
        let behind = sealed_bytes.checked_sub(wide(HEADER_BYTES.saturating_add(TAG_BYTES))).ok_or_else(refused)?;
        let mut header = [0; HEADER_BYTES];
        sealed.read_at(0, &mut header).map_err(|error| self.unread(error))?;
        let cipher = self.cipher(&Header::read(&header).ok_or_else(refused)?)?;

        let last = sealed_bytes.saturating_sub(1).checked_div(wide(self.shape.segment_bytes)).unwrap_or(0);
        let last = u32::try_from(last).map_err(|_| refused())?;
        let tags = u64::from(last).saturating_mul(wide(TAG_BYTES));
        let clear_bytes = behind.checked_sub(tags).ok_or_else(refused)?;
        let ranges = FileRanges { key: self, sealed, cipher, sealed_bytes, last, clear_bytes };
        let mut segment = Segment::new(self.shape.segment_bytes);
        ranges.take(last, &mut segment)?;
        self.open_segment(&ranges.cipher, &mut segment, false)?;
        Ok(ranges)
    }
}

impl FileRanges<'_> {
    /// How many bytes there are in clear.
    pub fn bytes(&self) -> u64 {
        self.clear_bytes
    }

    /// Opens the segments that `range` of the clear bytes lies in, and those only, and hands the range to `clear` in
    /// order. No byte is handed out before the tag of its segment was checked. Memory as for [`FileKey::seal`].
    ///
    /// # Errors
    /// The alarm LZ-0508 when a segment does not open; nothing of it or behind it is handed out. A fault when the range
    /// ends behind the parcel, when the bytes cannot be read, or when they are not taken.
    pub fn read(&self, range: Range<u64>, clear: &mut (dyn Write + Send), threads: NonZeroUsize) -> Result<()> {
        if range.end > self.clear_bytes {
            let (name, end) = (&self.key.name, range.end);
            let message = format!(
                "bytes up to {end} of parcel {} (table {}) were asked for; it has {}",
                name.parcel, name.table, self.clear_bytes
            );
            return Err(Fault::new(Code(513), Retry::Never, message).into());
        }
        if range.is_empty() {
            return Ok(());
        }
        let Self { key, cipher, .. } = self;
        let shape = key.shape;
        let number = |clear| u32::try_from(shape.segment_of(clear)).unwrap_or(self.last);
        let mut numbers = number(range.start)..=number(range.end.saturating_sub(1));
        let steps = Steps {
            take: &mut |segment: &mut Segment| {
                let Some(number) = numbers.next() else { return Ok(false) };
                self.take(number, segment)?;
                Ok(true)
            },
            work: &|segment: &mut Segment| key.open_segment(cipher, segment, true),
            give: &mut |segment: &Segment| {
                let start = shape.clear_start(segment.place.number);
                let within = |place: u64| usize::try_from(place.saturating_sub(start)).unwrap_or(usize::MAX);
                let to = within(range.end).min(segment.bytes().len());
                let part = segment.bytes().get(within(range.start)..to).unwrap_or_default();
                clear.write_all(part).map_err(|error| key.unwritten(error))
            },
        };
        carry(threads, shape.segment_bytes, steps)
    }

    fn take(&self, number: u32, segment: &mut Segment) -> Result<()> {
        let segment_bytes = wide(self.key.shape.segment_bytes);
        let start = u64::from(number).saturating_mul(segment_bytes);
        let end = start.saturating_add(segment_bytes).min(self.sealed_bytes);
        // The header lies before segment 0.
        let start = start.max(wide(HEADER_BYTES));
        let bytes = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        self.sealed.read_at(start, segment.laid(start, bytes)).map_err(|error| self.key.unread(error))?;
        segment.place = Place { number, last: number == self.last };
        Ok(())
    }
}
