//! What the journal notes of a destruction after its fact.

use evidence::{Pack, read, verify, write};
use journal::leaf_hash;
use lexicon::{Code, Digest, canonical};
use wire::Leaf;

use crate::cast::CAST;
use crate::tale::{ROUND, Setting, Tale};

const TOLD: &str =
    "after the fact of its destruction: its key was there, and is destroyed again at 2026-03-05T08:00:00Z";

impl Tale {
    /// The server notes something in its journal.
    fn notes(mut self, text: &str) -> Self {
        let number = u64::try_from(self.leaves.len()).unwrap();
        let leaf = Leaf::Note { nonce: Digest::of(&number.to_le_bytes()), at: self.at, text: text.to_owned() };
        self.leaves.push(leaf_hash(&canonical(&leaf).unwrap()));
        self.noted.push((number, leaf));
        self.pass_minutes(7);
        self
    }
}

fn noted(text: &str) -> Pack {
    Tale::whole(Setting::default()).notes(text).pack()
}

fn again() -> Pack {
    noted(&format!("consignment {ROUND}, {TOLD}"))
}

fn code(pack: &Pack) -> Code {
    verify(pack, &CAST.roots()).unwrap_err().code()
}

#[test]
fn a_key_that_was_destroyed_again_is_told_in_words_and_in_the_picture_and_comes_through_the_file() {
    let zip = write(&again()).unwrap();
    let pack = read(&zip).unwrap();
    assert_eq!((&pack.notes, pack.notes.len()), (&again().notes, 1));
    let verdict = verify(&pack, &CAST.roots()).unwrap();
    let told = verdict.statements.iter().find(|statement| statement.text.contains(TOLD)).unwrap();
    assert!(told.who.starts_with("the server, leaf ") && verdict.certificate_complete, "{told:?}");
    let picture = String::from_utf8(pack.told.get("timeline.svg").unwrap().clone()).unwrap();
    assert!(picture.contains("noted later: its key was there, and is destroyed again"), "{picture}");
    assert_eq!(write(&pack).unwrap(), zip);
}

#[test]
fn a_note_that_is_not_so_in_the_journal_or_tells_of_something_else_is_an_alarm() {
    let altered = |alter: fn(&mut Pack)| {
        let mut pack = again();
        alter(&mut pack);
        code(&pack)
    };
    let reworded = altered(|pack| {
        let Leaf::Note { text, .. } = &mut pack.notes[0].leaf else { unreachable!("it is a note") };
        *text = text.replace("was there", "was gone");
    });
    assert_eq!(reworded, Code(1303));
    assert_eq!(altered(|pack| pack.notes[0].number -= 1), Code(1303));
    assert_eq!(altered(|pack| pack.notes.push(pack.notes[0].clone())), Code(905));
    assert_eq!(
        altered(|pack| pack.notes[0].leaf =
            Leaf::Fact { nonce: pack.entries[0].nonce, entry: Box::new(pack.entries[0].entry.clone()) }),
        Code(905)
    );
    for other in
        ["the server started", "consignment 2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b, after the fact of its destruction: x"]
    {
        assert_eq!(code(&noted(other)), Code(905), "{other}");
    }
}
