//! Shares that stand somewhere in bytes of any kind, as they are or as text writes them.

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lexicon::{Digest, Result};
use seal::Share;

/// Bytes of a share.
const SHARE_BYTES: usize = 32;
/// Digits, in hexadecimal.
const HEX_DIGITS: usize = 64;
/// Characters, in base64 without its padding.
const BASE64_CHARACTERS: usize = 43;

/// The shares that stand anywhere in `places`, and how many strings of 32 bytes were looked at: every one of the bytes
/// themselves, and every one that hexadecimal digits or base64 characters of either alphabet spell, wherever in a longer
/// run of them it begins. The manifest names the digest of each share of the round, so that no other string can be one:
/// pairing them all would be a square of places.
///
/// # Errors
/// A fault when memory for a share cannot be had.
pub fn shares_within<'a>(named: &[Digest], places: impl IntoIterator<Item = &'a [u8]>) -> Result<(u64, Vec<Share>)> {
    let (mut looked_at, mut found) = (0_u64, Vec::new());
    for place in places {
        let spelled = spelled(place);
        for window in
            std::iter::once(place).chain(spelled.iter().map(Vec::as_slice)).flat_map(|b| b.windows(SHARE_BYTES))
        {
            looked_at = looked_at.saturating_add(1);
            if named.contains(&Digest::of(window)) {
                found.push(Share::take(window)?);
            }
        }
    }
    Ok((looked_at, found))
}

/// What text in these bytes spells, wherever a spelling may begin.
fn spelled(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut spelled = Vec::new();
    for run in runs(bytes, HEX_DIGITS, u8::is_ascii_hexdigit) {
        spelled.extend((0..2).filter_map(|from| run.get(from..)).map(from_hex));
    }
    let (standard, url) = (base64(&STANDARD), base64(&URL_SAFE));
    for run in runs(bytes, BASE64_CHARACTERS, |byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)) {
        spelled.extend(from_base64(&standard, run));
    }
    let of_url = runs(bytes, BASE64_CHARACTERS, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    // The others were read above: letters and digits are the same in both.
    for run in of_url.filter(|run| run.iter().any(|byte| b"-_".contains(byte))) {
        spelled.extend(from_base64(&url, run));
    }
    spelled
}

/// The longest runs of such characters, as far as they are long enough.
fn runs<'a>(bytes: &'a [u8], least: usize, of: impl Fn(&u8) -> bool + 'a) -> impl Iterator<Item = &'a [u8]> {
    bytes.split(move |byte| !of(byte)).filter(move |run| run.len() >= least)
}

fn from_hex(digits: &[u8]) -> Vec<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = digits.chunks_exact(2).filter_map(|pair| Some(value(pair.first()?)? << 4 | value(pair.last()?)?));
    pairs.collect()
}

/// What follows a share in the same run, and the bits behind its last byte, are no reason not to read it.
fn base64(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config.with_decode_padding_mode(DecodePaddingMode::Indifferent))
}

fn from_base64(engine: &GeneralPurpose, run: &[u8]) -> Vec<Vec<u8>> {
    let decoded = (0..4).filter_map(|from| {
        let run = run.get(from..)?;
        // One character alone behind the last four is six bits of nothing.
        let whole = run.len().saturating_sub(usize::from(run.len() % 4 == 1));
        engine.decode(run.get(..whole)?).ok()
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};

    use super::*;

    /// A share whose base64 differs between the two alphabets.
    fn share() -> Vec<u8> {
        let mut share: Vec<u8> = (1..=32).collect();
        share[..3].copy_from_slice(&[0xfb, 0xff, 0xbe]);
        share
    }

    fn found_in(text: &[u8]) -> usize {
        let found = shares_within(&[Digest::of(&share())], [text]).unwrap().1;
        assert!(found.iter().all(|one| one.digest() == Digest::of(&share())));
        found.len()
    }

    #[test]
    fn a_share_is_found_wherever_it_stands_and_nothing_else_is_taken_for_one() {
        let copy = [&[7; 1_001][..], &share(), &[9; 5]].concat();
        let (looked_at, found) = shares_within(&[Digest::of(&share())], [&[0; 31][..], &copy]).unwrap();
        assert_eq!((looked_at, found.len()), (1_001 + 32 + 5 - 31, 1));
        assert!(shares_within(&[Digest::of(b"another")], [share().as_slice()]).unwrap().1.is_empty());
    }

    #[test]
    fn a_share_is_found_as_hexadecimal_digits_of_either_case_and_behind_others() {
        let hex = Digest(share().try_into().unwrap()).to_string();
        let text = format!("{{\"share\":\"{hex}\"}}");
        assert_eq!(found_in(text.as_bytes()), 1);
        assert_eq!(found_in(text.to_uppercase().as_bytes()), 1);
        assert_eq!(found_in(format!("0a1{hex}b").as_bytes()), 1);
        assert_eq!(found_in(hex.get(1..).unwrap().as_bytes()), 0);
    }

    #[test]
    fn a_share_is_found_as_base64_of_either_alphabet_with_and_without_padding_and_within_more() {
        let (standard, url) = (base64::engine::general_purpose::STANDARD.encode(share()), URL_SAFE.encode(share()));
        assert!(standard.contains(['+', '/']) && url.contains(['-', '_']));
        for text in [&standard, &url, standard.trim_end_matches('='), url.trim_end_matches('=')] {
            assert_eq!(found_in(format!("{{\"share\":\"{text}\"}}").as_bytes()), 1, "{text}");
        }
        for before in 0..4 {
            let more = STANDARD_NO_PAD.encode([&vec![7; before][..], &share(), b"and more"].concat());
            assert_eq!(found_in(more.as_bytes()), 1, "{before} bytes before");
            assert_eq!(found_in(format!("{}{standard}", "x".repeat(before)).as_bytes()), 1, "{before} letters before");
        }
    }
}
