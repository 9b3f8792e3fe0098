use std::io::{Read, Write};
use std::num::NonZeroUsize;

use lexicon::{Code, Entropy, Fault, Result, Retry};

use super::carry::{Steps, carry};
use super::cut::{Cutter, Segment};
use super::{FileKey, HEADER_BYTES, Header, TAG_BYTES, wide};

impl FileKey {
    /// Seals what `clear` gives, to its end, and hands the sealed bytes to `sealed` in their order: to memory, to a
    /// file, or to the parts of an upload. Returns how many bytes there were in clear; [`super::sealed_file_bytes`]
    /// says how many they became. Each thread has 1 MiB in hand, whatever the length, and they are 16 at most.
    ///
    /// A salt is drawn at each call, so that the same file sealed twice shares no byte.
    ///
    /// # Errors
    /// A fault when the bytes cannot be read, are not taken, or are more than 4 PiB; when there are no random bytes. A trouble that an [`std::io::Error`] carries comes out as it is. What was handed out until then
    /// is no parcel.
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        clear: &mut (dyn Read + Send),
        sealed: &mut (dyn Write + Send),
        threads: NonZeroUsize,
    ) -> Result<u64> {
        let header = Header::draw(entropy)?;
        let cipher = self.cipher(&header)?;
        sealed.write_all(&header.bytes()).map_err(|error| self.unwritten(error))?;

        let first_bytes = self.shape.first_sealed().saturating_sub(TAG_BYTES);
        let mut cutter = Cutter::new(clear, 0, (first_bytes, first_bytes.saturating_add(HEADER_BYTES)));
        let mut total = 0_u64;
        let steps = Steps {
            take: &mut |segment: &mut Segment| {
                let more = cutter.fill(segment).map_err(|error| self.unread(error))?;
                total = total.saturating_add(if more { wide(segment.bytes().len()) } else { 0 });
                Ok(more)
            },
            work: &|segment: &mut Segment| {
                let tag = cipher.seal(segment.place, segment.bytes_mut()).ok_or_else(|| self.unsealed())?;
                segment.append(tag.as_ref());
                Ok(())
            },
            give: &mut |segment: &Segment| sealed.write_all(segment.bytes()).map_err(|error| self.unwritten(error)),
        };
        carry(threads, self.shape.segment_bytes, steps)?;
        Ok(total)
    }

    fn unsealed(&self) -> Fault {
        let message = format!("parcel {} (table {}) could not be sealed", self.name.parcel, self.name.table);
        Fault::new(Code(512), Retry::Never, message)
    }
}
