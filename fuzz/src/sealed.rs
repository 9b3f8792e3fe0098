//! What is encrypted: key files, parcels of rows and of documents. What was altered does not open.

use std::io::{Cursor, Write};
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use lexicon::{ConsignmentId, Digest, MigrationId, ParcelId, SeededEntropy};
use people::{AgeIdentity, OpeningKey, lock_to, seal_to, unlock_with};
use scope::{Rows, Scope, Tally};
use seal::{ConsignmentKey, FileKey, ParcelName, ParcelWriter, Share, open_header, open_parcel};

use crate::promises::{said_plainly, told_nothing};

/// The identity of the age crate's own tests.
pub(crate) const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const SECRET: &[u8] = b"thirty-two bytes of a secret kept";

pub(crate) fn key_file(bytes: &[u8]) {
    let identity = AgeIdentity::parse(IDENTITY).unwrap();
    match unlock_with(bytes, &identity) {
        Ok(plain) => assert_eq!(plain.as_slice(), SECRET, "a key file that nobody locked"),
        Err(trouble) => said_plainly(&trouble),
    }
    let key = OpeningKey::from_secret(IDENTITY).unwrap();
    match key.open(bytes) {
        Ok(plain) => assert_eq!(plain.as_slice(), SECRET, "a secret that nobody sealed"),
        Err(trouble) => said_plainly(&trouble),
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(trouble) = OpeningKey::from_secret(text)
    {
        told_nothing(bytes, &trouble);
    }
}

pub(crate) fn key_file_seeds() -> Vec<Vec<u8>> {
    let key = OpeningKey::from_secret(IDENTITY).unwrap();
    let identity = AgeIdentity::parse(IDENTITY).unwrap();
    vec![
        lock_to(SECRET, &identity).unwrap(),
        seal_to(&[key.recipient(), OpeningKey::draw().recipient()], SECRET).unwrap(),
        IDENTITY.as_bytes().to_vec(),
    ]
}

fn key() -> ConsignmentKey {
    let share = |byte| Share::take(&[byte; 32]).unwrap();
    ConsignmentKey::derive(&share(1), &share(2), Digest([3; 32])).unwrap()
}

fn name() -> ParcelName {
    ParcelName {
        migration: MigrationId([1; 16]),
        consignment: ConsignmentId([2; 16]),
        attempt: 1,
        parcel: ParcelId([3; 16]),
        table: "result".to_owned(),
        sequence: 0,
    }
}

/// What lies in the parcel. The values are invented.
static ROWS: LazyLock<RecordBatch> = LazyLock::new(|| {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40));
    let texts = (0..40).map(|row| (row % 7 != 0).then(|| format!("value4711x{row}")));
    let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("text", texts, true)]).unwrap()
});

static PARCEL: LazyLock<Bytes> = LazyLock::new(|| {
    let take = "[{ column = \"id\", type = \"int64\" }, { column = \"text\", type = \"text\" }]";
    let scope = Scope::parse(&format!("[[table]]\nname = \"result\"\nkey = [\"id\"]\ntake = {take}\n")).unwrap();
    let scoped = scope.admit("result", &ROWS, Rows::AlreadyFiltered, &mut Tally::default()).unwrap();
    let entropy = SeededEntropy::new(5);
    let mut writer = ParcelWriter::new(&key(), &entropy, name(), scoped.batch().schema()).unwrap();
    writer.write(&scoped).unwrap();
    writer.finish().unwrap().bytes
});

/// As whoever could also change the signed manifest would hand it over.
pub(crate) fn parcel(bytes: &[u8]) {
    let (bytes, digest) = (Bytes::copy_from_slice(bytes), Digest::of(bytes));
    let key = key();
    if let Err(trouble) = open_header(&key, &name(), &bytes, digest) {
        told_nothing(b"", &trouble);
    }
    let rows = open_parcel(&key, &name(), bytes.clone(), digest).and_then(Iterator::collect::<lexicon::Result<Vec<_>>>);
    match rows {
        Ok(batches) => {
            let end = batches.iter().fold(0_usize, |from, batch| {
                assert_eq!(*batch, ROWS.slice(from, batch.num_rows()), "other rows than were sealed");
                from.saturating_add(batch.num_rows())
            });
            assert_eq!(end, ROWS.num_rows(), "fewer rows than were sealed");
        }
        Err(trouble) => told_nothing(b"value4711x", &trouble),
    }
    if bytes != *PARCEL {
        assert!(
            open_parcel(&key, &name(), bytes, Digest::of(&PARCEL)).is_err(),
            "bytes that the manifest does not list"
        );
    }
}

pub(crate) fn parcel_seeds() -> Vec<Vec<u8>> {
    vec![PARCEL.to_vec()]
}

const DOCUMENT: &[u8] = b"%PDF-1.4 a report of nobody";

fn file_key() -> FileKey {
    key().file_key(&name()).unwrap()
}

fn sealed(clear: &[u8], seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let entropy = SeededEntropy::new(seed);
    file_key().seal(&entropy, &mut Cursor::new(clear), &mut out, NonZeroUsize::MIN).unwrap();
    out
}

pub(crate) fn documents(bytes: &[u8]) {
    let (key, mut clear) = (file_key(), Vec::new());
    match key.open(&mut Cursor::new(bytes), &mut clear, NonZeroUsize::MIN) {
        Ok(length) => {
            assert_eq!(length, u64::try_from(clear.len()).unwrap());
            assert!(clear.is_empty() || clear == DOCUMENT, "other documents than were sealed");
        }
        Err(trouble) => {
            said_plainly(&trouble);
            assert!(clear.is_empty(), "bytes of a segment that does not open");
        }
    }
    match key.ranges(&bytes) {
        Ok(ranges) => {
            let mut part = Vec::new();
            let end = ranges.bytes();
            ranges.read(end / 2..end, &mut part, NonZeroUsize::MIN).unwrap();
            assert!(DOCUMENT.ends_with(&part), "another part than was sealed");
        }
        Err(trouble) => said_plainly(&trouble),
    }
    let all = Bytes::copy_from_slice(bytes);
    let mut nothing = std::io::sink();
    let opened = seal::open_documents(&self::key(), &name(), &all, Digest::of(b"another"), &mut nothing);
    assert!(opened.is_err() && nothing.flush().is_ok(), "bytes that the manifest does not list");
}

pub(crate) fn documents_seeds() -> Vec<Vec<u8>> {
    vec![sealed(DOCUMENT, 1), sealed(b"", 2)]
}
