use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};
use lexicon::Result;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use super::needles::Magic;
use super::scan::{Scanner, Sight, defect};

/// How much comes out of a decoder at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// The longest header that is waited for: a gzip header with a long name or a ZIP entry's with both 64 KiB fields.
const HEADER_BYTES_MAX: usize = 192 * 1024;

/// What became of a wrapped stream after a piece.
pub(super) enum Outcome {
    GoesOn,
    Ended,
    /// What came out until here was searched; the rest could not be.
    Broken(&'static str),
    /// It is what it seems, and cannot be looked into.
    Locked(&'static str),
}

/// One wrapped stream, unwrapped as its bytes arrive.
pub(super) struct Wrapped {
    magic: Magic,
    first: bool,
    /// The header so far, while it is not complete (gzip and ZIP).
    header: Option<Vec<u8>>,
    codec: Codec,
    inner: Box<Scanner>,
    counted: bool,
}

enum Codec {
    Deflate(Box<Decompress>),
    Zstd(Decoder<'static>),
}

enum Header {
    Incomplete,
    /// The stream itself begins here.
    BodyAt(usize),
    /// Its bytes are not compressed, so the search has them already.
    Stored,
    Locked(&'static str),
    No,
}

impl Wrapped {
    /// A stream that begins with this mark; `first` if the mark is what the stream around it begins with.
    pub(super) fn begin(magic: Magic, first: bool, around: &str, depth: usize, sight: &Sight<'_>) -> Result<Self> {
        let codec = match magic {
            Magic::Zstd => Codec::Zstd(Decoder::new().map_err(|_| defect())?),
            Magic::Zlib => Codec::Deflate(Box::new(Decompress::new(true))),
            Magic::Gzip | Magic::Zip | Magic::Closed(_) => Codec::Deflate(Box::new(Decompress::new(false))),
        };
        let header = matches!(magic, Magic::Gzip | Magic::Zip).then(Vec::new);
        let within: Arc<str> =
            if around.is_empty() { name(magic).into() } else { format!("{around} > {}", name(magic)).into() };
        let inner = Box::new(Scanner::new(sight, within, depth, !first && magic == Magic::Zlib)?);
        Ok(Self { magic, first, header, codec, inner, counted: false })
    }

    /// Whether it is what the stream around it begins with.
    pub(super) fn is_first(&self) -> bool {
        self.first
    }

    /// The format's name.
    pub(super) fn name(&self) -> &'static str {
        name(self.magic)
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, bytes: &[u8], sight: &mut Sight<'_>) -> Result<Outcome> {
        let Some(mut header) = self.header.take() else { return self.unwrap_bytes(bytes, sight) };
        header.extend_from_slice(bytes);
        let parsed = if self.magic == Magic::Gzip { gzip_header(&header) } else { zip_header(&header) };
        match parsed {
            Header::Incomplete if header.len() > HEADER_BYTES_MAX => Ok(Outcome::Broken("with an endless header")),
            Header::Incomplete => {
                self.header = Some(header);
                Ok(Outcome::GoesOn)
            }
            Header::BodyAt(at) => self.unwrap_bytes(header.get(at..).unwrap_or_default(), sight),
            Header::Stored => Ok(Outcome::Ended),
            Header::Locked(why) => Ok(Outcome::Locked(why)),
            Header::No => Ok(Outcome::Broken("with a header that makes no sense")),
        }
    }

    /// Ends what is inside.
    pub(super) fn finish(self, sight: &mut Sight<'_>) -> Result<()> {
        self.inner.finish(sight)
    }

    fn unwrap_bytes(&mut self, mut bytes: &[u8], sight: &mut Sight<'_>) -> Result<Outcome> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let Step { taken, made, end } = self.codec.step(bytes, &mut piece);
            bytes = bytes.get(taken..).unwrap_or_default();
            if made > 0 && !self.counted {
                self.counted = true;
                sight.wrapped = sight.wrapped.saturating_add(1);
            }
            sight.decoded_bytes = sight.decoded_bytes.saturating_add(u64::try_from(made).unwrap_or(0));
            self.inner.feed(piece.get(..made).unwrap_or_default(), sight)?;
            match end {
                End::Reached => return Ok(Outcome::Ended),
                End::Broken => return Ok(Outcome::Broken("that cannot be decoded to its end")),
                End::Ahead => {}
            }
            if sight.decoded_bytes > sight.limits.decoded_bytes_max {
                return Ok(Outcome::Locked("that unwraps to more than the search's limit"));
            }
            // A full piece may mean that more is waiting, even when every byte was taken.
            if bytes.is_empty() && made < PIECE_BYTES {
                return Ok(Outcome::GoesOn);
            }
            if taken == 0 && made == 0 {
                return Ok(Outcome::Broken("that cannot be decoded to its end"));
            }
        }
    }
}

/// What one call of a decoder did.
struct Step {
    taken: usize,
    /// Even of a broken stream: what came out before the break is searched as well.
    made: usize,
    end: End,
}

enum End {
    Ahead,
    Reached,
    Broken,
}

impl Codec {
    fn step(&mut self, bytes: &[u8], piece: &mut [u8]) -> Step {
        match self {
            Self::Deflate(inflate) => {
                let (taken, made) = (inflate.total_in(), inflate.total_out());
                let end = match inflate.decompress(bytes, piece, FlushDecompress::None) {
                    Ok(Status::StreamEnd) => End::Reached,
                    Ok(Status::Ok | Status::BufError) => End::Ahead,
                    Err(_) => End::Broken,
                };
                let since = |total: u64, before: u64| usize::try_from(total.saturating_sub(before)).unwrap_or(0);
                Step { taken: since(inflate.total_in(), taken), made: since(inflate.total_out(), made), end }
            }
            Self::Zstd(decoder) => {
                let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(piece));
                let end = match decoder.run(&mut input, &mut output) {
                    Ok(0) => End::Reached,
                    Ok(_) => End::Ahead,
                    Err(_) => End::Broken,
                };
                Step { taken: input.pos(), made: output.pos(), end }
            }
        }
    }
}

fn name(magic: Magic) -> &'static str {
    match magic {
        Magic::Gzip => "gzip",
        Magic::Zip => "zip",
        Magic::Zlib => "zlib",
        Magic::Zstd => "zstd",
        Magic::Closed(name) => name,
    }
}

/// RFC 1952, section 2.3: 10 bytes, then by flag: extra field, name, comment, header check.
fn gzip_header(header: &[u8]) -> Header {
    let Some(flags) = header.get(3) else { return Header::Incomplete };
    if flags & 0b1110_0000 != 0 {
        return Header::No;
    }
    let mut at = 10_usize;
    if flags & 0b0000_0100 != 0 {
        let Some(length) = little(header, at) else { return Header::Incomplete };
        at = at.saturating_add(2).saturating_add(length);
    }
    for text in [0b0000_1000, 0b0001_0000] {
        if flags & text != 0 {
            let rest = header.get(at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == 0) else { return Header::Incomplete };
            at = at.saturating_add(length).saturating_add(1);
        }
    }
    if flags & 0b0000_0010 != 0 {
        at = at.saturating_add(2);
    }
    if header.len() < at { Header::Incomplete } else { Header::BodyAt(at) }
}

/// APPNOTE.TXT, section 4.3.7: 30 bytes, then name and extra field. The name was searched as bytes of the file.
fn zip_header(header: &[u8]) -> Header {
    let (Some(flags), Some(method), Some(name), Some(extra)) =
        (little(header, 6), little(header, 8), little(header, 26), little(header, 28))
    else {
        return Header::Incomplete;
    };
    let at = 30_usize.saturating_add(name).saturating_add(extra);
    match (flags & 1, method) {
        // A version of 6.3 or less and a name: it is an entry and not four bytes met by chance.
        (1, _) if little(header, 4).is_some_and(|version| version <= 63) && name > 0 => {
            Header::Locked("behind a password")
        }
        (0, 8) if header.len() < at => Header::Incomplete,
        (0, 8) => Header::BodyAt(at),
        // zstd's own mark is found by the search itself.
        (0, 0 | 93) => Header::Stored,
        (0, 9 | 12 | 14 | 95 | 98) => Header::Locked("of a method that the search does not open"),
        _ => Header::No,
    }
}

fn little(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    pair.first().zip(pair.get(1)).map(|(low, high)| usize::from(*low) | (usize::from(*high) << 8))
}
