//! The pack of evidence: a zip file that somebody sent.

use std::io::{Cursor, Read, Write};
use std::sync::LazyLock;

use evidence::{Pack, Trust, read, verify_against, write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::cast::CAST;
use crate::promises::said_plainly;
use crate::stories::STORIES;

/// Of every story.
static PACKED: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| STORIES.iter().map(|story| write(&story.tale.pack()).unwrap()).collect());
/// The same without time stamps, whose only an authority's root can tell.
static UNSTAMPED: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| STORIES.iter().map(|story| unstamped(&story.tale.pack())).collect());
/// Of the one in which something of everything happened, which has a time stamp.
static MEMBERS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| members(PACKED.get(1).unwrap()));

const STAMP: &str = "certificate.tsr";

fn unstamped(pack: &Pack) -> Vec<u8> {
    write(&Pack { stamp: None, ..pack.clone() }).unwrap()
}

fn members(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        found.push((file.name().unwrap().into_owned(), bytes));
    }
    found
}

/// Not compressed: an input that is changed a little is then a member that is changed a little.
fn zip_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// What a reader who compared the roots' words believes, if there is no warning that the words are another version's.
fn believed(pack: &Pack) -> bool {
    let trust = Trust { roots: CAST.roots(), server: Some(CAST.card(false)) };
    match verify_against(pack, &trust) {
        Ok(verdict) => !verdict.warnings.iter().any(|warning| warning.contains("another version")),
        Err(trouble) => {
            said_plainly(&trouble);
            false
        }
    }
}

pub(crate) fn whole(bytes: &[u8]) {
    match read(bytes) {
        Ok(pack) => {
            if believed(&pack) {
                assert!(UNSTAMPED.contains(&unstamped(&pack)), "another story is believed");
            }
        }
        Err(trouble) => said_plainly(&trouble),
    }
}

pub(crate) fn whole_seeds() -> Vec<Vec<u8>> {
    let one = MEMBERS.iter().take(2).cloned().collect::<Vec<_>>();
    PACKED.iter().cloned().chain([zip_of(&one)]).collect()
}

/// The first byte says which member these are the bytes of.
pub(crate) fn member(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let mut altered = MEMBERS.clone();
    let which = usize::from(*which).checked_rem(altered.len()).unwrap();
    let Some((name, place)) = altered.get_mut(which) else { return };
    let name = name.clone();
    let same = place.as_slice() == bytes;
    bytes.clone_into(place);
    match read(&zip_of(&altered)) {
        Ok(pack) => {
            // A server moves and renews its TLS key; who it is, its journal's name and its signing key say.
            let (card, true_card) = (&pack.card, CAST.card(false));
            let is_it = (card.key, &card.origin, card.demonstration) == (true_card.key, &true_card.origin, false);
            let same = same || name == "server.json" && is_it;
            let believed = believed(&pack);
            // Whose stamp it is, only its authority's root tells.
            assert!(
                believed == same || name == STAMP,
                "{name} was altered and is believed, or is the true one and is not"
            );
        }
        Err(trouble) => {
            assert!(!same, "{name} is the true one and is refused: {trouble}");
            said_plainly(&trouble);
        }
    }
}

pub(crate) fn member_seeds() -> Vec<Vec<u8>> {
    MEMBERS.iter().zip(0_u8..).map(|((_, bytes), which)| [&[which], bytes.as_slice()].concat()).collect()
}
