//! Ids, digests, keys, kinds and times as people and programs write them.

use std::fmt::{Debug, Display};
use std::path::{Component, Path};
use std::str::FromStr;

use lexicon::{ConsignmentId, Digest, MigrationId, ParcelId, PersonId, Refusal, Serial, Timestamp};
use people::{AgeIdentity, PublicKey, Recipient};
use scope::{DocumentKind, DocumentName, Kind};

use crate::promises::{said_plainly, told_nothing};

pub(crate) fn words(bytes: &[u8]) {
    // What begins a document says its kind, and a name can only agree or not.
    let content = DocumentKind::of_content(bytes);
    for kind in DocumentKind::ALL {
        let agreed = DocumentKind::of(&format!("report.{}", kind.name()), bytes);
        assert_eq!(agreed, content.filter(|found| *found == kind), "a name makes a kind");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    one_spelling::<Digest>(text);
    one_spelling::<MigrationId>(text);
    one_spelling::<ConsignmentId>(text);
    one_spelling::<ParcelId>(text);
    one_spelling::<PersonId>(text);
    one_spelling::<Serial>(text);
    one_spelling::<PublicKey>(text);
    if let Some(recipient) = read::<Recipient>(text) {
        assert_eq!(read::<Recipient>(&recipient.to_string()), Some(recipient), "an opening key means another one");
    }
    if let Some(kind) = read::<Kind>(text) {
        assert_eq!(read::<Kind>(&kind.to_string()), Some(kind), "a kind means another one");
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        assert_eq!(at.to_string().parse::<Timestamp>().ok(), Some(at), "a moment means another one");
    }
    if let Err(trouble) = AgeIdentity::parse(text) {
        told_nothing(bytes, &trouble);
    }
    if let Some(name) = DocumentName::parse(text) {
        let mut parts = Path::new(name.as_str()).components();
        assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{name:?} leads out of its folder");
        assert_eq!(name.as_str(), text, "a document is renamed");
    }
}

/// What parses is written in exactly one way, and what does not is refused in the same words whatever it was.
fn one_spelling<T: FromStr<Err = Refusal> + Display>(text: &str) {
    match text.parse::<T>() {
        Ok(word) => assert_eq!(word.to_string(), text, "a second spelling"),
        Err(refusal) => {
            assert_eq!(Some(refusal), "".parse::<T>().err(), "the refusal depends on what was read");
        }
    }
}

fn read<T: FromStr<Err = Refusal> + Debug>(text: &str) -> Option<T> {
    text.parse().map_err(|refusal: Refusal| said_plainly(&refusal.into())).ok()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let hex = Digest::of(b"seed").to_string();
    let texts = [
        &hex,
        hex.get(..32).unwrap(),
        hex.get(..16).unwrap(),
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "decimal(38, 10)",
        "timestamp with time zone",
        "timestamptz",
        "int64",
        "2026-03-02T08:00:00.125Z",
        "2026-03-02T08:00:00+01:00[Europe/Paris]",
        crate::sealed::IDENTITY,
        "2019/report 12.pdf",
    ];
    let dicom = [&[0_u8; 128][..], b"DICM"].concat();
    let beginnings: [&[u8]; 6] =
        [b"%PDF-1.4\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"{\\rtf1", &dicom];
    let texts = texts.iter().map(|text| text.as_bytes().to_vec());
    texts.chain(beginnings.map(<[u8]>::to_vec)).collect()
}
