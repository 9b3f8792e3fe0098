//! Old character sets, decoded strictly.

use std::borrow::Cow;

use crate::Charset;

/// What Windows-1252 has at 0x80 to 0x9F; `None` where it defines nothing.
const CP1252: [Option<char>; 32] = [
    Some('\u{20AC}'),
    None,
    Some('\u{201A}'),
    Some('\u{0192}'),
    Some('\u{201E}'),
    Some('\u{2026}'),
    Some('\u{2020}'),
    Some('\u{2021}'),
    Some('\u{02C6}'),
    Some('\u{2030}'),
    Some('\u{0160}'),
    Some('\u{2039}'),
    Some('\u{0152}'),
    None,
    Some('\u{017D}'),
    None,
    None,
    Some('\u{2018}'),
    Some('\u{2019}'),
    Some('\u{201C}'),
    Some('\u{201D}'),
    Some('\u{2022}'),
    Some('\u{2013}'),
    Some('\u{2014}'),
    Some('\u{02DC}'),
    Some('\u{2122}'),
    Some('\u{0161}'),
    Some('\u{203A}'),
    Some('\u{0153}'),
    None,
    Some('\u{017E}'),
    Some('\u{0178}'),
];

/// The text of the bytes; `None` when a byte has no meaning in the set.
pub(crate) fn decode(charset: Charset, bytes: &[u8]) -> Option<Cow<'_, str>> {
    if bytes.is_ascii() {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let character = |byte: u8| match (byte, charset) {
        (0x80..=0x9F, Charset::Cp1252) => CP1252.get(usize::from(byte & 0x1F)).copied().flatten(),
        (0x80..=0x9F, Charset::Latin1) => None,
        (_, Charset::Cp1252 | Charset::Latin1) => Some(char::from(byte)),
    };
    bytes.iter().map(|byte| character(*byte)).collect::<Option<String>>().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_decodes_its_own_letters() {
        assert_eq!(decode(Charset::Latin1, b"H\xe9l\xe8ne").as_deref(), Some("Hélène"));
        assert_eq!(decode(Charset::Cp1252, b"c\x9cur \x80").as_deref(), Some("cœur €"));
    }

    #[test]
    fn a_byte_without_meaning_is_never_replaced() {
        assert_eq!(decode(Charset::Latin1, b"c\x9cur"), None);
        for byte in [0x81, 0x8D, 0x8F, 0x90, 0x9D] {
            assert_eq!(decode(Charset::Cp1252, &[byte]), None);
        }
    }
}
