//! What a laboratory system hands over: its address, files, and rows as its server sends them.

use std::sync::LazyLock;

use arrow_array::RecordBatch;
use connectors::parsers;
use connectors::{connect_sink, connect_source};
use scope::Scope;

use crate::promises::{told_nothing, values};

pub(crate) fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A path is looked at on the disk of whoever tries this; a server is not called.
    let of_server = ["postgres", "mysql", "mariadb"].iter().any(|scheme| text.starts_with(scheme));
    if text.starts_with("csv:") || text.starts_with("sqlite:") {
        return;
    }
    match connect_source(text, None) {
        Ok(source) => {
            assert!(of_server, "a system of an unknown scheme");
            let identity = source.identity();
            let (account, place) = text.rsplit_once('@').unwrap_or(("", text));
            let secret =
                account.split_once(':').map_or("", |(_, rest)| rest.split_once(':').map_or("", |(_, word)| word));
            let told = values(secret.as_bytes()).find(|word| identity.contains(*word) && !place.contains(*word));
            assert_eq!(told, None, "the identity of a system tells a password");
        }
        Err(trouble) => told_nothing(bytes, &trouble),
    }
    if let Err(trouble) = connect_sink(text, None) {
        told_nothing(bytes, &trouble);
    }
}

pub(crate) fn address_seeds() -> Vec<Vec<u8>> {
    [
        "postgres://jean:s3cr3tword%40x@db.example:5433/lis?tls=off",
        "postgresql://u@[::1]/d?tls=on&ca=%2Fetc%2Fca.pem",
        "mariadb://u:p4ssw0rd9x@127.0.0.1:3306/lis",
        "mysql://u@h/d?",
        "csv:/nowhere",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

/// A table with a column of every kind, and one table for each kind alone.
static KINDS: LazyLock<Scope> = LazyLock::new(|| {
    let kinds = [
        "bool",
        "bytes",
        "date",
        "decimal(12, 2)",
        "float64",
        "int64",
        "text",
        "time",
        "timestamp",
        "timestamp with time zone",
        "uint64",
    ];
    let column = |place: usize, kind: &str| format!("{{ column = \"c{place}\", type = \"{kind}\" }}");
    let all: Vec<_> = kinds.iter().enumerate().map(|(place, kind)| column(place, kind)).collect();
    let table = |name: &str, columns: &str| format!("[[table]]\nname = \"{name}\"\ntake = [{columns}]\n");
    let each = kinds.iter().enumerate().map(|(place, kind)| table(&format!("k{place}"), &column(place, kind)));
    let tables: String = std::iter::once(table("all", &all.join(", "))).chain(each).collect();
    Scope::parse(&tables).unwrap()
});

const HEADER: &str = "c0,c1,c2,c3,c4,c5,c6,c7,c8,c9,c10\n";

pub(crate) fn separated(bytes: &[u8]) {
    // As the first line too, where separator and names are found out.
    if let Err(trouble) = parsers::csv_fields(bytes) {
        told_nothing(bytes, &trouble);
    }
    let whole = [HEADER.as_bytes(), bytes].concat();
    match parsers::csv_fields(&whole) {
        Ok(found) => {
            let again = parsers::csv_fields(&written(&found)).unwrap();
            assert_eq!(again, found, "a file means another one");
        }
        Err(trouble) => told_nothing(bytes, &trouble),
    }
    match parsers::csv_rows(&whole, KINDS.table("all").unwrap()) {
        Ok(batches) => {
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let found = parsers::csv_fields(&whole).unwrap();
            assert_eq!(rows.saturating_add(1), found.len(), "a row was lost");
        }
        Err(trouble) => told_nothing(bytes, &trouble),
    }
}

/// The same fields as RFC 4180 writes them; the quotes that mean something are kept.
fn written(records: &[Vec<(Vec<u8>, bool)>]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        for (place, (bytes, quoted)) in record.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            // A carriage return or a quote in the middle of a plain field stands for itself.
            if !*quoted {
                out.extend(bytes);
                // Before a line's end one carriage return is not the field's.
                let last = place.saturating_add(1) == record.len();
                out.extend((last && bytes.last() == Some(&b'\r')).then_some(b'\r'));
                continue;
            }
            out.push(b'"');
            for byte in bytes {
                out.extend((*byte == b'"').then_some(b'"'));
                out.push(*byte);
            }
            out.push(b'"');
        }
        out.push(b'\n');
    }
    out
}

pub(crate) fn separated_seeds() -> Vec<Vec<u8>> {
    [
        "1,abc,2020-02-29,12.50,1.5,-7,\"a \"\"quoted\"\" text\",23:59:59,2020-01-01 00:00:00,2020-01-01T00:00:00Z,7\n",
        ",,,,,,\"\",,,,\r\n\"t\",x,1999-12-31,0,1e5,9223372036854775807,\"line\nbreak\",00:00,2020-01-01,,0",
        "value4711x,1,x,1.234,nan,9999999999999999999,\u{e9}t\u{e9},25:00,2020-13-01,z,-1\n",
        "a;b;c\n1;2;\"3;4\"\n",
        "\u{feff}a\tb\n1\t2\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

/// The first byte says how the stream is cut; what comes out does not depend on it.
pub(crate) fn copied(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let whole = parsers::copied_rows([stream]);
    let pieces = parsers::copied_rows(stream.chunks(usize::from(*cut).max(1)));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces, "the pieces of a stream make other rows"),
        (Err(whole), Err(pieces)) => {
            told_nothing(stream, &whole);
            assert_eq!(whole.code(), pieces.code(), "the pieces of a stream are refused otherwise");
        }
        (whole, pieces) => {
            assert_eq!(
                whole.is_ok(),
                pieces.is_ok(),
                "the pieces of a stream are taken otherwise: {whole:?} {pieces:?}"
            );
        }
    }
}

pub(crate) fn copied_seeds() -> Vec<Vec<u8>> {
    let numeric = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let row: [Option<Vec<u8>>; 10] = [
        Some(vec![1]),
        Some(b"value4711x".to_vec()),
        Some(7_i32.to_be_bytes().to_vec()),
        Some(1.5_f64.to_be_bytes().to_vec()),
        Some(42_i64.to_be_bytes().to_vec()),
        Some(numeric(&[2, 0, 0, 2, 12, 5000])),
        Some(numeric(&[1, 0, 0, 0, 99])),
        Some(b"a text".to_vec()),
        Some(3_600_000_000_i64.to_be_bytes().to_vec()),
        Some(0_i64.to_be_bytes().to_vec()),
    ];
    let stream = |rows: &[&[Option<Vec<u8>>]]| {
        let mut out = b"PGCOPY\n\xff\r\n\0".to_vec();
        out.extend([0; 8]);
        for row in rows {
            out.extend(i16::try_from(row.len()).unwrap().to_be_bytes());
            for field in *row {
                out.extend(field.as_ref().map_or(-1, |field| i32::try_from(field.len()).unwrap()).to_be_bytes());
                out.extend(field.iter().flatten());
            }
        }
        out.extend((-1_i16).to_be_bytes());
        out
    };
    let nothing: [Option<Vec<u8>>; 10] = Default::default();
    let odd: Vec<_> = row.iter().map(|_| Some(b"value4711x".to_vec())).collect();
    [stream(&[]), stream(&[&row, &nothing]), stream(&[&row, &odd, &row])]
        .iter()
        .zip([0_u8, 1, 19])
        .map(|(stream, cut)| [&[cut], stream.as_slice()].concat())
        .collect()
}

/// The first byte says in which of the protocol's types the value came.
pub(crate) fn mariadb(bytes: &[u8]) {
    let Some((wire, value)) = bytes.split_first() else { return };
    let wire = usize::from(*wire).checked_rem(parsers::WIRES).unwrap();
    for table in KINDS.tables() {
        match parsers::mariadb_value(wire, Some(value), table) {
            Ok(batch) => assert_eq!(batch.map(|batch| batch.num_rows()), Some(1)),
            Err(trouble) => told_nothing(value, &trouble),
        }
    }
    assert!(parsers::mariadb_value(wire, None, KINDS.tables().first().unwrap()).is_ok(), "NULL is refused");
}

pub(crate) fn mariadb_seeds() -> Vec<Vec<u8>> {
    let values: [&[u8]; 9] = [
        &[1],
        b"value4711x",
        b"-12.50",
        &[4, 0xE4, 0x07, 2, 29],
        &[11, 0xE4, 0x07, 2, 29, 23, 59, 58, 1, 0, 0, 0],
        &[8, 1, 34, 0, 0, 0, 22, 59, 59],
        &[12, 0, 0, 0, 0, 0, 22, 59, 59, 1, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0xF8, 0x3F],
        &[0xff; 8],
    ];
    let wires = 0..u8::try_from(parsers::WIRES).unwrap();
    wires.flat_map(|wire| values.map(|value| [&[wire], value].concat())).collect()
}

/// The first byte says in which storage class the value stands.
pub(crate) fn sqlite(bytes: &[u8]) {
    let Some((class, value)) = bytes.split_first() else { return };
    let class = class.checked_rem(CLASSES).unwrap();
    for table in KINDS.tables() {
        match parsers::sqlite_value(class, value, table) {
            Ok(batch) => assert_eq!(batch.map(|batch| batch.num_rows()), Some(1)),
            Err(trouble) => told_nothing(value, &trouble),
        }
    }
}

/// NULL, INTEGER, REAL, TEXT, BLOB.
const CLASSES: u8 = 5;

pub(crate) fn sqlite_seeds() -> Vec<Vec<u8>> {
    let values: [&[u8]; 10] = [
        &[],
        &1_i64.to_le_bytes(),
        &i64::MIN.to_le_bytes(),
        &12.5_f64.to_le_bytes(),
        &f64::INFINITY.to_le_bytes(),
        b"value4711x",
        b"-12.50",
        b"2020-02-29 23:59:58.000001",
        b"2020-02-29T23:59:58Z",
        b"23:59:59",
    ];
    (0..CLASSES).flat_map(|class| values.map(|value| [&[class], value].concat())).collect()
}
