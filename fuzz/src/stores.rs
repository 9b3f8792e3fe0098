//! What the server reads beside its door: answers of an object store and of a service that holds keys, and the files of
//! its own key ring.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use lexicon::{ConsignmentId, Digest, FixedClock, Result, SeededEntropy};
use tempfile::TempDir;
use vault::parsers::{bucket_answer, openbao_answer, openbao_sealed, openbao_text, parcel_name};
use vault::{KeyRing, KeyState, LocalRing, Receipt, Secret};

use crate::cast::start;
use crate::promises::{said_plainly, told_nothing};

/// 1,000 bytes: what stands in the evidence of one answer.
const SAID_BYTES_MAX: usize = 1000;

pub(crate) fn bucket(bytes: &[u8]) {
    let Ok(body) = std::str::from_utf8(bytes) else { return };
    for status in [200, 403, 404, 503] {
        let answer = bucket_answer(status, body);
        said_plainly(&answer.refused);
        // Each line has its own tags.
        assert!(answer.lines <= bytes.len(), "more lines than bytes");
    }
    if let Some(name) = parcel_name(body) {
        assert_eq!(name, body, "a second spelling");
    }
}

pub(crate) fn bucket_seeds() -> Vec<Vec<u8>> {
    let consignment = ConsignmentId([2; 16]);
    let key = format!("{consignment}/1/{consignment}");
    let page = "<IsTruncated>true</IsTruncated>";
    let line = format!("<Key>{key}</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest><Size>12</Size>");
    [
        format!(
            "<ListVersionsResult>{page}<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>2</NextVersionIdMarker>\
             <Version>{line}</Version><DeleteMarker>{line}</DeleteMarker><Version>{line}</Version></ListVersionsResult>"
        ),
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{page}\
             <NextContinuationToken>t</NextContinuationToken><Contents><Key>{key}</Key><Size>12</Size></Contents>\
             </ListBucketResult>"
        ),
        format!(
            "<ListMultipartUploadsResult>{page}<Upload><Key>{key}</Key><UploadId>u</UploadId></Upload>\
             </ListMultipartUploadsResult>"
        ),
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>".to_owned(),
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>".to_owned(),
        "<Error><Code>AccessDenied</Code><Message>no &amp; no</Message></Error>".to_owned(),
        key,
    ]
    .map(String::into_bytes)
    .to_vec()
}

pub(crate) fn service(bytes: &[u8]) {
    for status in [200, 400, 404] {
        let (said, read) = openbao_answer(status, bytes);
        let words = said.to_string();
        assert!(words.len() <= SAID_BYTES_MAX, "the evidence of one answer has {} bytes", words.len());
        assert!(!words.chars().any(char::is_control), "the evidence has control characters");
        read.iter().filter_map(|read| read.as_ref().err()).for_each(said_plainly);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some((sealed, again)) = openbao_sealed(text)
    {
        let again = again.unwrap();
        assert_eq!(openbao_sealed(&again).map(|(sealed, _)| sealed), Some(sealed), "a wrapped share becomes another");
    }
    if let Some(text) = openbao_text(bytes) {
        assert_eq!(openbao_sealed(&text).map(|(sealed, _)| sealed).as_deref(), Some(bytes), "a second spelling");
    }
}

pub(crate) fn service_seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"request_id":"0f9-1","data":{"type":"aes256-gcm96","exportable":false,"allow_plaintext_backup":false}}"#,
        r#"{"request_id":"2","data":{"ciphertext":"vault:v1:AAAA"}}"#,
        r#"{"data":{"plaintext":"AAAA"}}"#,
        r#"{"data":{"keys":["lazaret-0101010101010101-02020202020202020202020202020202","other"]}}"#,
        r#"{"cluster_id":"c-1","initialized":true}"#,
        r#"{"errors":["encryption key not found"]}"#,
        r#"{"errors":[]}"#,
        "vault:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push([&[3, 0, 0, 0, 1][..], &[7; 40]].concat());
    seeds
}

const ID: ConsignmentId = ConsignmentId([2; 16]);
const DEAD: ConsignmentId = ConsignmentId([4; 16]);
const SHARE: &[u8] = b"a strongroom share of 32 bytes ..";

/// A ring with one living key, one destroyed one, and what the first wrapped.
struct Ring {
    folder: TempDir,
    files: [(PathBuf, Vec<u8>); 3],
    sealed: Vec<u8>,
}

/// In memory where the machine has a folder for that: its files are written at every turn.
static RING: LazyLock<Mutex<Ring>> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let ring = opened(&folder).unwrap();
    ring.create(ID).unwrap();
    ring.create(DEAD).unwrap();
    ring.destroy(DEAD, &Receipt::of_committed(7, Digest::of(b"root"))).unwrap();
    let sealed = ring.encrypt(ID, b"aad", SHARE).unwrap();
    drop(ring);
    let at = |name: String| folder.path().join("ring").join(name);
    let paths = [at("epoch".to_owned()), at(format!("keys/{ID}.key")), at(format!("tombs/{DEAD}.tomb"))];
    let files = paths.map(|path| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    });
    Mutex::new(Ring { folder, files, sealed })
});

fn opened(folder: &TempDir) -> Result<LocalRing> {
    let (ring, data) = (folder.path().join("ring"), folder.path().join("data"));
    let (clock, entropy) = (Arc::new(FixedClock::new(start())), Arc::new(SeededEntropy::new(9)));
    LocalRing::open(&ring, Secret::new(vec![7; 32]).unwrap(), &data, clock, entropy)
}

/// The first byte says which file these are the bytes of; 3 is what the ring wrapped.
pub(crate) fn ring(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    let which = usize::from(*which % 4);
    for (place, (path, whole)) in ring.files.iter().enumerate() {
        put(path, if place == which { bytes } else { whole });
    }
    let sealed = if which == 3 { bytes } else { &ring.sealed };
    match opened(&ring.folder) {
        Ok(open) => {
            match open.decrypt(ID, b"aad", sealed) {
                Ok(plain) => assert_eq!(plain.as_slice(), SHARE, "a share that nobody wrapped"),
                Err(trouble) => told_nothing(bytes, &trouble),
            }
            assert!(open.decrypt(DEAD, b"aad", sealed).is_err(), "a destroyed key opens");
            match open.attest(DEAD) {
                Ok(state) => {
                    assert!(!matches!(state, KeyState::Alive | KeyState::Absent), "a destroyed key is {state:?}");
                }
                Err(trouble) => told_nothing(bytes, &trouble),
            }
        }
        Err(trouble) => told_nothing(bytes, &trouble),
    }
}

#[expect(clippy::disallowed_methods, reason = "the files of a ring that is made for this alone")]
fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

pub(crate) fn ring_seeds() -> Vec<Vec<u8>> {
    let ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    let files = ring.files.iter().map(|(_, bytes)| bytes).chain([&ring.sealed]);
    files.zip(0_u8..).map(|(bytes, which)| [&[which], bytes.as_slice()].concat()).collect()
}
