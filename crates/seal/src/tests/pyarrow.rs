//! Arrow's C++ reader: what another implementation of Parquet's encryption reads in a parcel, given its key.

use super::python::Python;
use super::*;

/// As `pyarrow` calls the types of [`rows`].
const TYPES: &str = "\
flag bool
int int64
uint uint64
float double
decimal decimal128(10, 2)
sentinel_column string
bytes binary
date date32[day]
time time64[us]
naive timestamp[us]
utc timestamp[us, tz=UTC]
";

/// All rows of a plain file, in one batch.
fn read(plain: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(plain)).unwrap();
    let mut batches = reader.with_batch_size(1_000_000).build().unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

#[test]
fn pyarrow_reads_a_parcel_with_the_parcels_key_and_with_no_other() {
    let test = "pyarrow_reads_a_parcel_with_the_parcels_key_and_with_no_other";
    let Some(mut pyarrow) = Python::start(test, &["ask_pyarrow.py"]) else { return };
    let question = |verb: &str, sealed: &Sealed, name: &ParcelName| {
        let key = key().parcel_key(&sealed.salt, name).unwrap();
        format!("{verb} {} {}", hex(key.as_ref()), hex(&name.aad()))
    };

    let sealed = seal_as(&name(), &[rows(), rows()]);
    let types = pyarrow.answer(&question("types", &sealed, &name()), &sealed.bytes).unwrap();
    assert_eq!(String::from_utf8(types).unwrap(), TYPES);
    let read_there = read(pyarrow.answer(&question("open", &sealed, &name()), &sealed.bytes).unwrap());
    assert_eq!(read_there.schema().fields(), rows().schema().fields());
    assert_eq!([read_there.slice(0, 3), read_there.slice(3, 3)], [rows(), rows()]);

    // Several row groups and dictionaries, made on several threads.
    let batches = [noise(8192, 1), noise(4096, 2)];
    let writer = ParcelWriter::new(&key(), &SystemEntropy::new(), name(), batches[0].schema()).unwrap();
    let mut writer = writer.on(NonZeroUsize::new(3).unwrap());
    for batch in &batches {
        writer.write_rows(batch).unwrap();
    }
    let large = writer.finish().unwrap();
    let read_there = read(pyarrow.answer(&question("open", &large, &name()), &large.bytes).unwrap());
    assert_eq!([read_there.slice(0, 8192), read_there.slice(8192, 4096)], batches);

    let key_in = |key: &ConsignmentKey, salt| hex(key.parcel_key(salt, &name()).unwrap().as_ref());
    let (right, aad) = (key_in(&key(), &sealed.salt), hex(&name().aad()));
    let elsewhere = hex(&ParcelName { sequence: 1, ..name() }.aad());
    for (what, key, aad) in [
        ("another consignment's key", key_in(&key_of(9, 2, 3), &sealed.salt), &aad),
        ("the key of another parcel", key_in(&key(), &large.salt), &aad),
        ("another place", right.clone(), &elsewhere),
    ] {
        assert!(pyarrow.answer(&format!("open {key} {aad}"), &sealed.bytes).is_none(), "{what}");
    }
    let mut flipped = sealed.bytes.to_vec();
    flipped[40] ^= 1;
    assert!(pyarrow.answer(&format!("open {right} {aad}"), &flipped).is_none(), "a bit of the first page");
    pyarrow.end();
}
