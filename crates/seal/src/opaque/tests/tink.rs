//! Tink's own word: what it sealed opens here and the other way round.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use super::*;
use crate::tests::{hex, unhex};

const VECTORS: &str = include_str!("../../../vectors/tink.txt");
const ASK_TINK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/ask_tink.py");
/// The Python that has the packages of `xtask/python.txt`; set by `cargo xtask test`.
const PYTHON: &str = "LAZARET_TEST_PYTHON";

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

/// Tink in a process of its own, which answers one question after another.
struct Tink(Child, ChildStdin, BufReader<ChildStdout>);

impl Tink {
    fn start(python: &str) -> Self {
        let mut command = Command::new(python);
        command.args(["-B", ASK_TINK, "answer"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{PYTHON}={python} does not start: {error}"));
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self(child, to, BufReader::new(from))
    }

    /// What Tink makes of `given`; none when it refuses.
    fn answer(&mut self, verb: &str, key: &FileKey, given: &[u8]) -> Option<Vec<u8>> {
        let (material, associated) = (hex(key.material.as_ref()), hex(&key.associated));
        let bytes = key.shape.segment_bytes;
        writeln!(self.1, "{verb} {bytes} {material} {associated} {}", given.len()).unwrap();
        self.1.write_all(given).unwrap();
        self.1.flush().unwrap();
        let mut line = String::new();
        self.2.read_line(&mut line).unwrap();
        let (word, length) = line.trim_end().split_once(' ').expect("Tink's Python package does not answer");
        let mut answer = vec![0; length.parse().unwrap()];
        self.2.read_exact(&mut answer).unwrap();
        (word == "ok").then_some(answer)
    }

    fn end(self) {
        let Self(mut child, to, from) = self;
        drop((to, from));
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn tink_and_this_room_open_what_the_other_sealed() {
    let Ok(python) = std::env::var(PYTHON) else {
        // Past the capture of what tests print: a person must see it.
        let skipped = format!("skipped: tink_and_this_room_open_what_the_other_sealed ({PYTHON} is not set)\n");
        return std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    };
    let mut tink = Tink::start(&python);
    let small = [0, 1, 23, 24, 25, 87, 88, 89, 24 + 9 * 64, 24 + 9 * 64 + 1].map(|clear| (SMALL, clear));
    let large = [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + LATER, FIRST + LATER + 1, FIRST + 5 * LATER + 77];
    for (shape, clear) in small.into_iter().chain(large.map(|clear| (Shape::TINK_1MB, clear))) {
        let (key, clear) = (key(shape), counted(clear));
        let theirs = tink.answer("seal", &key, &clear).unwrap();
        let (out, ended) = opened(&key, &theirs, 2);
        ended.unwrap();
        assert!(out == clear, "Tink's parcel of {} bytes", clear.len());

        let ours = sealed(&key, &clear, 2);
        assert_eq!(ours.len(), theirs.len());
        assert!(tink.answer("open", &key, &ours).as_ref() == Some(&clear), "our parcel of {} bytes", clear.len());

        // And neither opens it under another name, or with its last bit flipped.
        let other = key_of(&ParcelName { sequence: 1, ..name() }, shape);
        assert!(tink.answer("open", &other, &ours).is_none());
        let flipped = [&ours[..ours.len() - 1], &[ours[ours.len() - 1] ^ 1]].concat();
        assert!(tink.answer("open", &key, &flipped).is_none());
    }
    tink.end();
}
