use crate::Digest;

const CONSONANTS: [char; 16] = ['b', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'z'];
const VOWELS: [char; 4] = ['a', 'i', 'o', 'u'];

/// The first 96 bits of a digest as six words that can be read out by telephone: proquints, 16 bits each.
///
/// D. S. Wilkerson, "A Proposal for Proquints: Identifiers that are Readable, Spellable, and Pronounceable",
/// arXiv:0901.4016.
pub fn spoken(digest: &Digest) -> String {
    let words = digest.0.chunks(2).take(6).map(|pair| {
        let bits = pair.iter().fold(0_u16, |bits, byte| (bits << 8) | u16::from(*byte));
        let pick = |set: &[char], shift: u32, mask: u16| set.get(usize::from((bits >> shift) & mask)).copied();
        [
            pick(&CONSONANTS, 12, 15),
            pick(&VOWELS, 10, 3),
            pick(&CONSONANTS, 6, 15),
            pick(&VOWELS, 4, 3),
            pick(&CONSONANTS, 0, 15),
        ]
        .into_iter()
        .flatten()
        .collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

/// 200 characters: a name and some words around it, or the reason that a parser gives.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// A text that somebody else wrote, as it may stand in an error or in the evidence: one line, bounded, and nothing in it
/// that a terminal obeys.
pub fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(SHOWN_CHARACTERS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_one_line_and_not_longer_than_two_hundred_characters() {
        assert_eq!(shown("Élise\u{1b}[2J\nNoël"), "Élise\u{fffd}[2J\u{fffd}Noël");
        assert_eq!(shown(&"é".repeat(300)), "é".repeat(200));
    }

    #[test]
    fn the_words_are_those_of_the_proposal() {
        // 127.0.0.1 = lusab-babad and 63.84.220.193 = gutih-tugad in the proposal's table.
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&[127, 0, 0, 1, 63, 84, 220, 193]);
        assert_eq!(spoken(&Digest(bytes)), "lusab-babad-gutih-tugad-babab-babab");
    }
}
