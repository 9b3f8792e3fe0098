use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lexicon::{Code, Digest, Refusal, Result};
use serde::{Deserialize, Serialize};

use crate::note::{sign_note, verify_note};

/// What a journal is at one moment: whose it is, how many leaves, and the root over them. Two checkpoints of one origin
/// and size with different roots, both signed, prove that its server keeps two histories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The journal's name for ever, for example `lazaret.example/journal`; also the name of its key.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The text that is signed: three lines, origin, size and base64 of the root (C2SP tlog-checkpoint).
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// The checkpoint that [`Checkpoint::text`] wrote.
    ///
    /// # Errors
    /// A refusal when it is none. Extension lines are refused too: our journals write none, and what is not
    /// understood is not vouched for.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(no_checkpoint("it needs three lines"));
        };
        let root = STANDARD.decode(root).ok().and_then(|root| <[u8; 32]>::try_from(root).ok());
        let root = Digest(root.ok_or_else(|| no_checkpoint("its third line is no root"))?);
        let number: u64 = size.parse().map_err(|_| no_checkpoint("its second line is no size"))?;
        // `+8` and `08` are numbers too, but a signed text has one spelling.
        if number.to_string() != size || origin.is_empty() {
            return Err(no_checkpoint("its origin is empty or its size is not plainly written"));
        }
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }

    /// The checkpoint as a note signed by the journal's key, ready to be kept or sent: about 200 bytes.
    ///
    /// # Errors
    /// A refusal when the origin is empty or has a space or a plus.
    pub fn sign(&self, pair: &Ed25519KeyPair) -> Result<String> {
        sign_note(&self.text(), &self.origin, pair)
    }

    /// The checkpoint in `note`, once the journal `origin` is seen to have signed it with the key `public`.
    ///
    /// # Errors
    /// A refusal when the note is malformed; an alarm when that key did not sign it. A note of another journal that
    /// uses the same key is refused.
    pub fn verify(note: &str, origin: &str, public: &[u8; 32]) -> Result<Self> {
        let checkpoint = Self::parse(verify_note(note, origin, public)?)?;
        if checkpoint.origin != origin {
            return Err(no_checkpoint("it is of another journal"));
        }
        Ok(checkpoint)
    }
}

fn no_checkpoint(why: &str) -> lexicon::Trouble {
    Refusal::new(Code(1307), format!("this is no checkpoint of the journal: {why}"), "Ask for the checkpoint again.")
        .into()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::KeyPair;

    use super::*;
    use crate::tree::Tree;
    use crate::tree::tests::published_leaves;

    const ORIGIN: &str = "lazaret.example/journal";

    fn pair(seed: u8) -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, public)
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: ORIGIN.into(), size: 8, root: Tree::of(&published_leaves()).root() }
    }

    #[test]
    fn the_text_is_the_three_lines_of_the_specification() {
        let text = "lazaret.example/journal\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
        assert_eq!(checkpoint().text(), text);
        assert_eq!(Checkpoint::parse(text).unwrap(), checkpoint());
    }

    #[test]
    fn a_signed_checkpoint_comes_back_as_it_was() {
        let (pair, public) = pair(1);
        let note = checkpoint().sign(&pair).unwrap();
        assert_eq!(Checkpoint::verify(&note, ORIGIN, &public).unwrap(), checkpoint());
    }

    #[test]
    fn a_checkpoint_by_another_key_is_an_alarm() {
        let note = checkpoint().sign(&pair(1).0).unwrap();
        assert_eq!(Checkpoint::verify(&note, ORIGIN, &pair(2).1).unwrap_err().code(), Code(1306));
    }

    #[test]
    fn a_checkpoint_of_another_journal_with_the_same_key_is_refused() {
        let (pair, public) = pair(1);
        let other = Checkpoint { origin: "other.example/journal".into(), ..checkpoint() };
        let note = sign_note(&other.text(), ORIGIN, &pair).unwrap();
        assert_eq!(Checkpoint::verify(&note, ORIGIN, &public).unwrap_err().code(), Code(1307));
    }

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let root = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=";
        let wrong = [
            format!("{ORIGIN}\n08\n{root}\n"),
            format!("{ORIGIN}\n+8\n{root}\n"),
            format!("{ORIGIN}\n-8\n{root}\n"),
            format!("{ORIGIN}\n8 \n{root}\n"),
            format!("{ORIGIN}\n18446744073709551616\n{root}\n"),
            format!("{ORIGIN}\n8\n{root}"),
            format!("{ORIGIN}\n8\n{root}\nextension\n"),
            format!("{ORIGIN}\n8\n{}\n", &root[4..]),
            format!("{ORIGIN}\n8\n{}\n", root.trim_end_matches('=')),
            format!("\n8\n{root}\n"),
            format!("{ORIGIN}\r\n8\r\n{root}\r\n"),
        ];
        for text in wrong {
            assert_eq!(Checkpoint::parse(&text).unwrap_err().code(), Code(1307), "{text:?}");
        }
    }
}
