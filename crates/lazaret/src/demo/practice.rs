//! The ways in which a text leaks: what the search is tried on before it is believed.

use std::io::{Result, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::figures::hex;

/// The text as each file would hold it, by name. What Latin-1 does not have becomes a question mark.
///
/// # Errors
/// None that comes from the text: the encoders write into memory.
pub(super) fn leaks(text: &str) -> Result<[(&'static str, Vec<u8>); 8]> {
    let latin1: Vec<u8> = text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes())?;
    let mut zlib = ZlibEncoder::new(b"in front ".to_vec(), Compression::default());
    zlib.write_all(text.as_bytes())?;
    Ok([
        ("utf-8", text.as_bytes().to_vec()),
        ("latin-1", latin1),
        ("utf-16le", wide),
        ("hexadecimal", hex(text.as_bytes()).into_bytes()),
        ("base64", STANDARD.encode(text).into_bytes()),
        ("gzip", gzip.finish()?),
        ("zlib", zlib.finish()?),
        ("zstd", zstd::encode_all(text.as_bytes(), 1)?),
    ])
}
