//! Tink's own word: what it sealed opens here and the other way round.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::tests::python::Python;
use crate::tests::{hex, unhex};

const VECTORS: &str = include_str!("../../../vectors/tink.txt");

fn key_of_tink(material: &[u8], associated: &[u8], segment_bytes: usize) -> FileKey {
    let material = Key::new(material.try_into().unwrap());
    FileKey { material, associated: associated.to_vec(), name: name(), shape: Shape { segment_bytes } }
}

/// Gives the bytes of a header that is known, so that sealing comes to known bytes.
struct Given(Mutex<Vec<u8>>);

impl Entropy for Given {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        let mut left = self.0.lock().unwrap();
        out.copy_from_slice(&left.drain(..out.len()).collect::<Vec<_>>());
        Ok(())
    }
}

fn sealed_with_header(key: &FileKey, header: &[u8], clear: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    key.seal(&Given(Mutex::new(header[1..HEADER_BYTES].to_vec())), &mut &*clear, &mut out, threads(2)).unwrap();
    out
}

#[test]
fn the_vectors_of_tink_open_or_are_refused_as_they_say() {
    let mut seen = BTreeMap::new();
    for case in VECTORS.split("\n\n").skip(1) {
        let case: BTreeMap<&str, &str> = case.lines().filter_map(|line| line.split_once(": ")).collect();
        let why = case["case"];
        let segment_bytes = case["segment_bytes"].parse().unwrap();
        let key = key_of_tink(&unhex(case["material"]), &unhex(case["associated"]), segment_bytes);
        let clear = counted(case["clear_bytes"].parse().unwrap());
        *seen.entry(case["expect"]).or_insert(0) += 1;
        match (case["expect"], case.get("sealed").map(|sealed| unhex(sealed))) {
            ("open", Some(sealed)) => {
                let (out, ended) = opened(&key, &sealed, 1);
                assert_eq!((out, ended.unwrap()), (clear.clone(), wide(clear.len())), "{why}");
                assert_eq!(sealed_with_header(&key, &sealed, &clear), sealed, "{why}");
            }
            ("open", None) => {
                let sealed = sealed_with_header(&key, &unhex(case["header"]), &clear);
                assert_eq!(sealed.len().to_string(), case["sealed_bytes"], "{why}");
                assert_eq!(Digest::of(&sealed).to_string(), case["sealed_digest"], "{why}");
            }
            ("refuse", Some(sealed)) => {
                let (out, ended) = opened(&key, &sealed, 1);
                assert!([504, 508].contains(&code(&ended)), "{why}");
                assert!(out.len() < clear.len() && clear.starts_with(&out), "{why}");
            }
            _ => panic!("{why}: neither opens nor is refused"),
        }
    }
    assert_eq!(seen, BTreeMap::from([("open", 16), ("refuse", 18)]));
}

/// What Tink makes of `given`; none when it refuses.
fn answer(tink: &mut Python, verb: &str, key: &FileKey, given: &[u8]) -> Option<Vec<u8>> {
    let (material, associated) = (hex(key.material.as_ref()), hex(&key.associated));
    tink.answer(&format!("{verb} {} {material} {associated}", key.shape.segment_bytes), given)
}

#[test]
fn tink_and_this_room_open_what_the_other_sealed() {
    let test = "tink_and_this_room_open_what_the_other_sealed";
    let Some(mut tink) = Python::start(test, &["ask_tink.py", "answer"]) else { return };
    let small = [0, 1, 23, 24, 25, 87, 88, 89, 24 + 9 * 64, 24 + 9 * 64 + 1].map(|clear| (SMALL, clear));
    let large = [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + LATER, FIRST + LATER + 1, FIRST + 5 * LATER + 77];
    for (shape, clear) in small.into_iter().chain(large.map(|clear| (Shape::TINK_1MB, clear))) {
        let (key, clear) = (key(shape), counted(clear));
        let theirs = answer(&mut tink, "seal", &key, &clear).unwrap();
        let (out, ended) = opened(&key, &theirs, 2);
        ended.unwrap();
        assert!(out == clear, "Tink's parcel of {} bytes", clear.len());

        let ours = sealed(&key, &clear, 2);
        assert_eq!(ours.len(), theirs.len());
        assert!(answer(&mut tink, "open", &key, &ours).as_ref() == Some(&clear), "our parcel of {} bytes", clear.len());

        // And neither opens it under another name, or with its last bit flipped.
        let other = key_of(&ParcelName { sequence: 1, ..name() }, shape);
        assert!(answer(&mut tink, "open", &other, &ours).is_none());
        let flipped = [&ours[..ours.len() - 1], &[ours[ours.len() - 1] ^ 1]].concat();
        assert!(answer(&mut tink, "open", &key, &flipped).is_none());
    }
    tink.end();
}
