//! The search for planted values, as several stories make it.

use synth::Sentinel;
use synth::search::{Needles, Report};

/// What a sentinel is looked for under: where it was planted, and whether that moves.
pub(super) fn label(sentinel: &Sentinel) -> String {
    format!("{}:{:?}", sentinel.label(), sentinel.place)
}

pub(super) fn needles<'a>(sentinels: impl IntoIterator<Item = &'a Sentinel>) -> Needles {
    let labelled = sentinels.into_iter().map(|sentinel| (label(sentinel), &sentinel.value));
    Needles::new(labelled).unwrap()
}

/// As many values of each kind as were planted were seen.
pub(super) fn missed_nothing<'a>(report: &Report, planted: impl Iterator<Item = &'a Sentinel>) {
    let mut owed = std::collections::BTreeMap::<String, u64>::new();
    for sentinel in planted {
        let count = owed.entry(label(sentinel)).or_default();
        *count = count.saturating_add(1);
    }
    assert!(!owed.is_empty());
    for (label, count) in owed {
        let seen: u64 = report.hits.iter().filter(|hit| hit.label == label).map(|hit| hit.count).sum();
        assert!(seen >= count, "the control: {seen} of {count} values of {label} were seen");
    }
}

/// A text in the other spellings that a leak can have.
pub(super) fn spelled(text: &str) -> [(&'static str, Vec<u8>); 4] {
    use base64::Engine;
    let latin1 = text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect();
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(text);
    [("latin-1", latin1), ("utf-16le", wide), ("hex", hex.into_bytes()), ("base64", base64.into_bytes())]
}
