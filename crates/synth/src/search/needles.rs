use std::collections::BTreeSet;

use aho_corasick::nfa::contiguous::NFA;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use lexicon::{Code, Fault, Refusal, Result, Retry};
use serde::{Deserialize, Serialize};

use crate::Sentinel;

/// A shorter value is met by chance: 8 bytes are met once in 2^64 places of random data.
const VALUE_BYTES_MIN: usize = 8;

/// States of fewer matched bytes than this answer in one step; text that is no sentinel seldom matches more. 3 costs
/// 13 MB over the default of 2 for 15,000 values.
const DENSE_DEPTH: usize = 3;

/// How a value was written where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// UTF-8; for a value of ASCII only, Latin-1 as well.
    Utf8,
    /// ISO 8859-1.
    Latin1,
    /// UTF-16 of either byte order, or little-endian only for a value beyond ASCII.
    Utf16,
    /// Hexadecimal digits of its UTF-8 or Latin-1 bytes.
    Hex,
    /// Base64 of its UTF-8 or Latin-1 bytes, at any alignment, in either alphabet.
    Base64,
}

/// What a wrapped stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Magic {
    Gzip,
    Zip,
    Zlib,
    Zstd,
    /// A format that is recognised and not opened.
    Closed(&'static str),
}

/// zlib with its usual 32 KiB window, at any of the four levels; others are met by chance too often to be tried.
const MAGICS: &[(&[u8], Magic)] = &[
    (&[0x1f, 0x8b, 0x08], Magic::Gzip),
    (b"PK\x03\x04", Magic::Zip),
    (&[0x78, 0x01], Magic::Zlib),
    (&[0x78, 0x5e], Magic::Zlib),
    (&[0x78, 0x9c], Magic::Zlib),
    (&[0x78, 0xda], Magic::Zlib),
    (&[0x28, 0xb5, 0x2f, 0xfd], Magic::Zstd),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0x00], Magic::Closed("xz")),
    (&[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], Magic::Closed("7z")),
    (b"BZh11AY&SY", Magic::Closed("bzip2")),
    (b"BZh21AY&SY", Magic::Closed("bzip2")),
    (b"BZh31AY&SY", Magic::Closed("bzip2")),
    (b"BZh41AY&SY", Magic::Closed("bzip2")),
    (b"BZh51AY&SY", Magic::Closed("bzip2")),
    (b"BZh61AY&SY", Magic::Closed("bzip2")),
    (b"BZh71AY&SY", Magic::Closed("bzip2")),
    (b"BZh81AY&SY", Magic::Closed("bzip2")),
    (b"BZh91AY&SY", Magic::Closed("bzip2")),
    (b"\x04\x22\x4d\x18", Magic::Closed("lz4")),
    (b"Rar!\x1a\x07", Magic::Closed("rar")),
];

/// What a pattern means when it is met.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    Value { label: usize, encoding: Encoding },
    Wrapped { magic: Magic, bytes: &'static [u8] },
}

/// One automaton and what its patterns mean.
pub(super) struct Lane {
    pub(super) automaton: NFA,
    pub(super) meanings: Vec<Meaning>,
}

/// The values that a search looks for, made ready: every encoding of each, in two automata. Costs about 1 kB of memory
/// and 10 microseconds per value.
pub struct Needles {
    pub(super) labels: Vec<String>,
    /// Looked for in the bytes as they are.
    pub(super) plain: Lane,
    /// Looked for in the bytes without their line breaks: base64 and hexadecimal are broken into lines.
    pub(super) folded: Lane,
    values: usize,
}

impl Needles {
    /// Pairs of a label, which the report shows, and a value, which it never shows.
    ///
    /// # Errors
    /// A refusal when there is no value at all, or one of under 8 bytes, which would be met by chance.
    pub fn new<L: Into<String>, V: AsRef<str>>(values: impl IntoIterator<Item = (L, V)>) -> Result<Self> {
        let (mut plain, mut folded) = (Patterns::default(), Patterns::default());
        let (mut labels, mut count): (Vec<String>, usize) = (Vec::new(), 0);
        let mut numbers = std::collections::BTreeMap::new();
        for (label, value) in values {
            let (label, value) = (label.into(), value.as_ref());
            if value.len() < VALUE_BYTES_MIN {
                return Err(Refusal::new(
                    Code(1105),
                    format!("a value to look for under {label} is shorter than {VALUE_BYTES_MIN} bytes"),
                    "Leave it out: it would be met by chance.",
                )
                .into());
            }
            let number = *numbers.entry(label.clone()).or_insert_with(|| {
                labels.push(label);
                labels.len().saturating_sub(1)
            });
            count = count.saturating_add(1);
            encodings(value, number, &mut plain, &mut folded);
        }
        if count == 0 {
            return Err(Refusal::new(Code(1104), "there is nothing to look for", "Give at least one sentinel.").into());
        }
        for (bytes, magic) in MAGICS {
            plain.bytes.push(bytes.to_vec());
            plain.meanings.push(Meaning::Wrapped { magic: *magic, bytes });
        }
        Ok(Self { labels, plain: plain.build()?, folded: folded.build()?, values: count })
    }

    /// Planted values, labelled with table and column.
    ///
    /// # Errors
    /// As [`Needles::new`].
    pub fn of<'a>(sentinels: impl IntoIterator<Item = &'a Sentinel>) -> Result<Self> {
        Self::new(sentinels.into_iter().map(|sentinel| (sentinel.label(), &sentinel.value)))
    }

    /// How many values are looked for.
    pub fn count(&self) -> usize {
        self.values
    }

    /// How much memory the automata take.
    pub fn memory_bytes(&self) -> usize {
        use aho_corasick::automaton::Automaton as _;
        self.plain.automaton.memory_usage().saturating_add(self.folded.automaton.memory_usage())
    }
}

#[derive(Default)]
struct Patterns {
    bytes: Vec<Vec<u8>>,
    meanings: Vec<Meaning>,
}

impl Patterns {
    fn add(&mut self, bytes: Vec<u8>, label: usize, encoding: Encoding) {
        self.bytes.push(bytes);
        self.meanings.push(Meaning::Value { label, encoding });
    }

    fn build(self) -> Result<Lane> {
        let automaton = NFA::builder()
            .dense_depth(DENSE_DEPTH)
            .build(&self.bytes)
            .map_err(|_| Fault::new(Code(1106), Retry::Never, "there are too many values to look for in one pass"))?;
        Ok(Lane { automaton, meanings: self.meanings })
    }
}

fn encodings(value: &str, label: usize, plain: &mut Patterns, folded: &mut Patterns) {
    let latin1: Option<Vec<u8>> = value.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
    plain.add(value.as_bytes().to_vec(), label, Encoding::Utf8);
    let mut spellings = vec![value.as_bytes().to_vec()];
    if let Some(latin1) = latin1.filter(|_| !value.is_ascii()) {
        plain.add(latin1.clone(), label, Encoding::Latin1);
        spellings.push(latin1);
    }
    let mut wide: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    if value.is_ascii() {
        // Without the last zero, what is left stands in the big-endian form as well: 61 00 62 in 00 61 00 62.
        wide.pop();
    }
    plain.add(wide, label, Encoding::Utf16);
    for spelling in spellings {
        let hex = hex(&spelling);
        let both: BTreeSet<String> = [hex.to_uppercase(), hex].into();
        for hex in both {
            folded.add(hex.into_bytes(), label, Encoding::Hex);
        }
        for form in base64_forms(&spelling) {
            folded.add(form.into_bytes(), label, Encoding::Base64);
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// The base64 of `bytes` behind 0, 1 and 2 other bytes, each without the symbols that the neighbours have a part in.
fn base64_forms(bytes: &[u8]) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    // The first symbol that is wholly ours begins at bit 8 * before, rounded up to 6: symbols 0, 2 and 3.
    for (before, first) in [(0_usize, 0_usize), (1, 2), (2, 3)] {
        let mut padded = vec![0; before];
        padded.extend_from_slice(bytes);
        let last = padded.len().saturating_mul(8) / 6;
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.extend(text.get(first..last).map(str::to_owned));
        }
    }
    forms
}
