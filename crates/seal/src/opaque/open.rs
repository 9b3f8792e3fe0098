use std::io::{Read, Write};
use std::num::NonZeroUsize;

use lexicon::{Alarm, Code, Result};

use super::carry::{Steps, carry};
use super::cut::{Cutter, Segment, read_all};
use super::{Cipher, FileKey, HEADER_BYTES, Header, wide};
use crate::parcel::ParcelName;

impl FileKey {
    /// Opens a whole parcel from its first byte on and hands what it held to `clear`, in order. No byte is handed out
    /// before the tag of its segment was checked; **that the parcel is whole is known only when this returns**, so what
    /// `clear` took must not be acted on before. Returns how many bytes there were. Memory as for [`FileKey::seal`].
    ///
    /// # Errors
    /// The alarm LZ-0504 when nothing opens: the key is another one, or its first segment is. The alarm LZ-0508 when
    /// a later segment does not open. Nothing of that segment and of those behind it is handed out. A fault when the
    /// bytes cannot be read or are not taken.
    pub fn open(
        &self,
        sealed: &mut (dyn Read + Send),
        clear: &mut (dyn Write + Send),
        threads: NonZeroUsize,
    ) -> Result<u64> {
        let mut header = [0; HEADER_BYTES];
        let found = read_all(sealed, &mut header).map_err(|error| self.unread(error))?;
        let header = header.get(..found).and_then(Header::read).ok_or_else(|| self.name.does_not_open())?;
        let cipher = self.cipher(&header)?;

        let mut cutter = Cutter::new(sealed, wide(HEADER_BYTES), (self.shape.first_sealed(), self.shape.segment_bytes));
        let mut total = 0_u64;
        let steps = Steps {
            take: &mut |segment: &mut Segment| cutter.fill(segment).map_err(|error| self.unread(error)),
            work: &|segment: &mut Segment| self.open_segment(&cipher, segment, segment.place.number > 0),
            give: &mut |segment: &Segment| {
                total = total.saturating_add(wide(segment.bytes().len()));
                clear.write_all(segment.bytes()).map_err(|error| self.unwritten(error))
            },
        };
        carry(threads, self.shape.segment_bytes, steps)?;
        Ok(total)
    }

    /// Opens one segment where it lies. Only where another one has opened is it known that the key is the right one.
    pub(super) fn open_segment(&self, cipher: &Cipher, segment: &mut Segment, key_is_right: bool) -> Result<()> {
        let place = segment.place;
        let Some(clear) = cipher.open(place, segment.bytes_mut()) else {
            return Err(if key_is_right { self.altered(place.number) } else { self.name.does_not_open() }.into());
        };
        segment.resized(clear);
        Ok(())
    }

    fn altered(&self, number: u32) -> Alarm {
        let ParcelName { parcel, table, sequence, .. } = &self.name;
        Alarm::new(
            Code(508),
            format!(
                "parcel {parcel} (table {table}, number {sequence}) was altered, exchanged or cut at its segment \
                 {number}; its key is the right one"
            ),
        )
    }
}
