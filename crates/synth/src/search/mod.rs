//! Looks for sentinels in every byte of files and folders, whatever they are wrapped in.
//!
//! Each value is looked for as UTF-8, Latin-1, UTF-16 (both byte orders), hexadecimal (both cases) and base64 (all
//! three alignments, standard and URL alphabets; line breaks inside hexadecimal and base64 do not hide it), in the
//! names of files, in their bytes, and in every gzip, zlib, zstd and ZIP stream that begins anywhere in those bytes,
//! and in the streams inside those. So a zstd page of an unencrypted Parquet file or a compressed object of a PDF is
//! looked into too. Nothing is ever held whole: memory is the automaton, one chunk, and the decoders' windows.
//!
//! What it does not see: values cut in two by the format around them (a database row that overflows its page),
//! escaped in another way (`\u00e9`, `%C3%A9`), or encrypted. A search that could not look everywhere says so in
//! [`Report::missed`]; it is clean only if that is empty as well.

mod decode;
mod needles;
mod scan;
mod walk;

pub use needles::{Encoding, Needles};
pub use walk::{Hit, Missed, Report, files, files_within, reader};

/// How far a search goes into what is wrapped. Beyond, it gives up on the file and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many wrappings, one in another, are opened.
    pub depth_max: usize,
    /// How many bytes may come out of one file's wrappings.
    pub decoded_bytes_max: u64,
}

impl Default for Limits {
    /// 8 wrappings, and 1 TiB: at 100 MB/s that is three hours, long after which a person has looked at the file.
    fn default() -> Self {
        Self { depth_max: 8, decoded_bytes_max: 1 << 40 }
    }
}

#[cfg(test)]
mod tests;
