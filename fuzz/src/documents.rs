//! Folders of documents: the index that is sealed beside them, and the marker in the new system's folder.

use std::fs;
use std::path::{Component, Path};
use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use connectors::parsers::{marked, marker_of};
use connectors::{DocumentTarget, Mark};
use lexicon::{Code, ConsignmentId};
use scope::{DocumentsScope, IndexLine, OWN_FILES, Scope};

use crate::papers;
use crate::promises::told_nothing;

static PART: LazyLock<DocumentsScope> =
    LazyLock::new(|| Scope::parse(FILE).unwrap().documents().first().unwrap().clone());

const FILE: &str = r#"
[[table]]
name = "t"
take = [{ column = "x", type = "int64" }]

[[documents]]
name = "reports"
folder = "/srv/lis/reports"
target = "old_reports"
take = ["pdf", "jpeg"]
reason = "the signed reports of ten years"
"#;

/// What a row says of its document. Its bytes are what it leaves out, the kind, the length of the digest, that of the
/// name, that of the document, and the name.
struct Row<'a> {
    name: Option<&'a str>,
    kind: Option<&'static str>,
    bytes: Option<u64>,
    digest: Option<Vec<u8>>,
}

/// Those that are taken first, then one that is known and not taken, then none.
const KINDS: [&str; 6] = ["pdf", "jpeg", "txt", "PDF", "exe", ""];

/// What a row may leave out.
const NAME: u8 = 1;
const KIND: u8 = 2;
const BYTES: u8 = 4;
const DIGEST: u8 = 8;

impl<'a> Row<'a> {
    /// The row that these bytes begin with, and the rest.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let ([without, kind, digest, low, high], rest) = bytes.split_first_chunk::<5>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let end = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (name, rest) = rest.split_at(end);
        let says = |what: u8| without & what == 0;
        let kind = KINDS.get(usize::from(*kind).checked_rem(KINDS.len())?).copied();
        let row = Self {
            name: std::str::from_utf8(name).ok().filter(|_| says(NAME)),
            kind: kind.filter(|_| says(KIND)),
            bytes: says(BYTES).then(|| u64::from_le_bytes(*length)),
            digest: says(DIGEST).then(|| vec![7; usize::from(*digest)]),
        };
        Some((row, rest))
    }
}

/// The columns of an index, one of which is missing (1 to 4) or of another kind (5 to 8).
fn batch(odd: u8, rows: &[Row<'_>]) -> RecordBatch {
    let columns: [ArrayRef; 4] = [
        Arc::new(rows.iter().map(|row| row.name).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.kind).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.bytes).collect::<UInt64Array>()),
        Arc::new(rows.iter().map(|row| row.digest.as_deref()).collect::<BinaryArray>()),
    ];
    let schema = PART.index().target_schema();
    let named = schema.fields().iter().zip(columns).zip(1_u8..);
    let columns = named.filter(|(_, place)| odd != *place).map(|((field, column), place)| {
        let other = odd == place.saturating_add(4);
        let column: ArrayRef = if other { Arc::new(Int64Array::from_value(1, rows.len())) } else { column };
        (field.name(), column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The first byte says which column is odd, if one is; whoever sealed the rows had the key.
pub(crate) fn index(bytes: &[u8]) {
    let Some((odd, mut rest)) = bytes.split_first() else { return };
    let mut rows = Vec::new();
    while let Some((row, behind)) = Row::read(rest) {
        rows.push(row);
        rest = behind;
    }
    let batch = batch(*odd, &rows);
    match PART.lines(&batch) {
        Ok(lines) => {
            assert_eq!(lines.len(), rows.len(), "a row was lost");
            lines.iter().for_each(can_be_carried);
            let again = PART.rows(&lines).unwrap();
            assert_eq!(again.columns(), batch.columns(), "an index means another one");
        }
        Err(trouble) => {
            told_nothing(bytes, &trouble);
            assert_eq!(trouble.code(), Code(331), "a forged index is no alarm");
        }
    }
}

/// What every line promises to whoever makes a file of it.
fn can_be_carried(line: &IndexLine) {
    let name = &line.name;
    let parts = || name.split('/');
    assert!(name.len() <= 1024 && parts().count() <= 32, "{name:?} is longer than every system takes");
    assert!(parts().all(|part| part.len() <= 255), "a part of {name:?} is longer than file systems take");
    assert!(!parts().any(|part| matches!(part, "" | "." | "..")), "{name:?} has a second spelling");
    assert!(!parts().any(|part| part.starts_with(OWN_FILES)), "{name:?} is called as a file of ours");
    assert!(!name.chars().any(|letter| letter.is_control() || letter == '\\'), "{name:?} is no plain name");
    let mut components = Path::new(name).components();
    assert!(components.all(|part| matches!(part, Component::Normal(_))), "{name:?} leads out of its folder");
    assert!(line.kind.is_some_and(|kind| PART.take.contains(&kind)), "a kind that is not taken");
    assert!(line.bytes > 0, "a document without content");
}

pub(crate) fn index_seeds() -> Vec<Vec<u8>> {
    let row = |[without, kind, digest]: [u8; 3], name: &str, bytes: u64| {
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        [&[without, kind, digest][..], &length, &bytes.to_le_bytes(), name.as_bytes()].concat()
    };
    let taken = |name: &str| row([0, 0, 32], name, 7);
    let valid = [taken("2019/compte rendu.pdf"), row([0, 1, 32], "\u{e9}.jpg", u64::MAX)].concat();
    let mut seeds = vec![vec![0], [&[0], valid.as_slice()].concat()];
    seeds.extend((1..=8).map(|odd| [&[odd], valid.as_slice()].concat()));
    let names = [
        "../../etc/cron.d/value4711x.pdf".to_owned(),
        "/etc/value4711x.pdf".to_owned(),
        "a//b.pdf".to_owned(),
        "a/./b.pdf".to_owned(),
        "a\nb.pdf".to_owned(),
        "a\\b.pdf".to_owned(),
        format!("{OWN_FILES}load"),
        "x".repeat(255),
        "x".repeat(256),
        format!("{}a.pdf", "x/".repeat(31)),
        format!("{}a.pdf", "x/".repeat(32)),
        format!("{}/", "x".repeat(250)).repeat(5),
    ];
    let odd = names.iter().map(|name| taken(name));
    let others = [NAME, KIND, BYTES, DIGEST].map(|without| row([without, 0, 32], "value4711x.pdf", 7));
    let kinds = [2, 3, 4, 5].map(|kind| row([0, kind, 32], "value4711x.pdf", 7));
    let lengths = [row([0, 0, 31], "a.pdf", 7), row([0, 0, 33], "a.pdf", 7), row([0, 0, 32], "a.pdf", 0)];
    seeds.extend(odd.chain(others).chain(kinds).chain(lengths).map(|row| [&[0], row.as_slice()].concat()));
    seeds
}

/// Whoever loads.
const OURS: Mark = Mark { consignment: ConsignmentId([2; 16]), attempt: 3 };

/// What stands as a marker in the part's folder of the new system: only the same consignment goes on there.
pub(crate) fn marker(bytes: &[u8]) {
    let found = marked(bytes);
    if let Some(mark) = found {
        assert_eq!(marked(&marker_of(mark).unwrap()), Some(mark), "a marker means another one");
    }
    fs::create_dir_all(papers::folder().join(&PART.target)).unwrap();
    let place = papers::put(&format!("{}/{OWN_FILES}load", PART.target), bytes);
    let target = DocumentTarget::open(papers::folder().to_str().unwrap()).unwrap();
    let taken = target.part(&PART, OURS);
    let ours = found.is_some_and(|mark| mark.consignment == OURS.consignment);
    assert_eq!(taken.is_ok(), ours, "a folder is not taken by what its marker says");
    if let Err(trouble) = taken {
        told_nothing(bytes, &trouble);
    }
    assert_eq!(fs::read(&place).unwrap(), bytes, "a marker is written over");
}

pub(crate) fn marker_seeds() -> Vec<Vec<u8>> {
    let own = marker_of(OURS).unwrap();
    let other = marker_of(Mark { consignment: ConsignmentId([4; 16]), attempt: u32::MAX }).unwrap();
    let text = String::from_utf8(own.clone()).unwrap();
    let spelled = [
        text.replace(':', " :\n "),
        text.replace('3', "4294967296"),
        text.replace('3', "-1"),
        text.replace('{', "{\"by\":\"value4711x\","),
        text.replace("02", "0g"),
    ];
    let spelled = spelled.map(String::into_bytes);
    [own, other, Vec::new(), b"{}".to_vec(), b"value4711x".to_vec()].into_iter().chain(spelled).collect()
}
