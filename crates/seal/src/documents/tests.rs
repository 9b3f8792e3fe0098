use std::io::Cursor;

use lexicon::{Code, ConsignmentId, MigrationId, SeededEntropy, Trouble};
use scope::{FoundDocument, Scope};

use super::*;
use crate::{Share, open_header};

const TOML: &str = "[[table]]\nname = \"p\"\ntake = [{ column = \"a\", type = \"int64\" }]\n\
                    [[documents]]\nname = \"reports\"\nfolder = \"/r\"\ntake = [\"pdf\"]\n\
                    reason = \"the reports are shown to patients\"\n";

fn key(share: u8) -> ConsignmentKey {
    let shares = [[share; 32], [2; 32]].map(|bytes| Share::take(&bytes).unwrap());
    ConsignmentKey::derive(&shares[0], &shares[1], Digest([3; 32])).unwrap()
}

fn first() -> ParcelName {
    ParcelName {
        migration: MigrationId([1; 16]),
        consignment: ConsignmentId([2; 16]),
        attempt: 1,
        parcel: ParcelId([0; 16]),
        table: "reports".to_owned(),
        sequence: 0,
    }
}

/// A document of so many bytes, of which no two megabytes are alike.
fn pdf(number: u32, bytes: usize) -> Vec<u8> {
    let mut content = format!("%PDF-1.7 {number} ").into_bytes();
    content.extend((0..).flat_map(|at: u32| (at.wrapping_mul(0x9e37_79b1) ^ number).to_be_bytes()).take(bytes));
    content.truncate(bytes.max(9));
    content
}

fn admitted(name: &str, content: Vec<u8>, still: bool) -> Result<ScopedDocument> {
    let bytes = wide(content.len());
    let content = Box::new(Cursor::new(content));
    let found = FoundDocument { name: name.to_owned(), bytes, content, still: Box::new(move || still) };
    Ok(Scope::parse(TOML).unwrap().admit_document("reports", None, found)?.unwrap())
}

fn sealed(contents: &[Vec<u8>]) -> (Vec<SealedDocuments>, Vec<CarriedDocument>) {
    let (key, entropy) = (key(1), SeededEntropy::new(7));
    let documents =
        contents.iter().enumerate().map(|(at, content)| admitted(&format!("{at}.pdf"), content.clone(), true));
    let mut sealer = DocumentsSealer::new(&key, &entropy, first(), documents);
    let (mut parcels, mut carried) = (Vec::new(), Vec::new());
    while let Some(parcel) = sealer
        .seal_next(&mut |one| {
            carried.push(one);
            Ok(())
        })
        .unwrap()
    {
        parcels.push(parcel);
    }
    (parcels, carried)
}

fn opened(parcels: &[SealedDocuments]) -> Result<Vec<u8>> {
    let mut clear = Vec::new();
    for SealedDocuments { name, bytes, digest } in parcels {
        open_documents(&key(1), name, bytes, *digest, &mut clear)?;
    }
    Ok(clear)
}

#[test]
fn small_documents_share_a_parcel_and_a_large_one_spans_several_and_all_come_back() {
    let contents: Vec<Vec<u8>> =
        [10, 3_000, 40 * 1024 * 1024, 9, 1_048_536, 77].iter().zip(0..).map(|(bytes, at)| pdf(at, *bytes)).collect();
    let (parcels, carried) = sealed(&contents);

    assert_eq!(opened(&parcels).unwrap(), contents.concat());
    let digests: Vec<Digest> = carried.iter().map(|one| one.line().digest).collect();
    assert_eq!(digests, contents.iter().map(|content| Digest::of(content)).collect::<Vec<_>>());
    assert_eq!(parcels.iter().map(|parcel| parcel.name.sequence).collect::<Vec<_>>(), [0, 1, 2]);
    let full = &parcels[..2];
    assert!(full.iter().all(|parcel| parcel.bytes.len() == DOCUMENTS_PARCEL_BYTES), "full to the last byte");
    assert!(parcels[2].bytes.len() < DOCUMENTS_PARCEL_BYTES);
}

#[test]
fn nothing_of_a_document_lies_in_clear() {
    let (parcels, _) = sealed(&[pdf(1, 30_000), pdf(2, 500)]);
    for parcel in &parcels {
        assert!(!parcel.bytes.windows(5).any(|window| window == b"%PDF-"));
        assert!(!parcel.bytes.windows(7).any(|window| window == b"reports"), "the part's name is not stored either");
    }
}

#[test]
fn no_documents_make_no_parcel_and_a_parcels_measure_of_them_makes_one() {
    assert!(sealed(&[]).0.is_empty());
    let room = usize::try_from(clear_file_bytes(wide(DOCUMENTS_PARCEL_BYTES))).unwrap();
    for (bytes, parcels) in [(room - 1, 1), (room, 1), (room + 1, 2)] {
        let contents = [pdf(1, bytes)];
        let (sealed, carried) = sealed(&contents);
        assert_eq!((sealed.len(), carried.len()), (parcels, 1), "{bytes}");
        assert_eq!(opened(&sealed).unwrap(), contents[0]);
    }
}

#[test]
fn a_document_that_changes_ends_the_sealing() {
    let (key, entropy) = (key(1), SeededEntropy::new(7));
    let documents = [admitted("a.pdf", pdf(1, 50), true), admitted("b.pdf", pdf(2, 50), false)];
    let mut sealer = DocumentsSealer::new(&key, &entropy, first(), documents.into_iter());
    let mut carried = Vec::new();
    let ended = sealer.seal_next(&mut |one| {
        carried.push(one.line().name.clone());
        Ok(())
    });
    assert_eq!(ended.unwrap_err().code(), Code(329));
    assert_eq!(carried, ["a.pdf"]);
}

#[test]
fn parcels_that_were_altered_cut_or_exchanged_do_not_open() {
    let (parcels, _) = sealed(&[pdf(1, 20 * 1024 * 1024)]);
    let code = |parcels: &[SealedDocuments]| opened(parcels).unwrap_err().code();
    for at in [0, 20, 39, 40, 1_048_575, 1_048_576, 5_000_000] {
        let mut altered = parcels.clone();
        let mut bytes = altered[0].bytes.to_vec();
        bytes[at] ^= 1;
        altered[0].bytes = bytes.into();
        assert_eq!(code(&altered), Code(503), "{at}: the manifest's digest is another");
        altered[0].digest = Digest::of(&altered[0].bytes);
        assert!([Code(504), Code(508)].contains(&code(&altered)), "{at}: its tag is another too");
    }
    let exchanged =
        [1, 0].map(|other: usize| SealedDocuments { name: parcels[1 - other].name.clone(), ..parcels[other].clone() });
    assert_eq!(code(&exchanged), Code(504));
    let bytes = parcels[0].bytes.slice(..3 * 1_048_576);
    let cut = SealedDocuments { digest: Digest::of(&bytes), bytes, ..parcels[0].clone() };
    assert_eq!(code(&[cut]), Code(508));
}

#[test]
fn the_probe_opens_a_parcel_of_documents_with_the_right_shares_only() {
    let (parcels, _) = sealed(&[pdf(1, 3_000_000)]);
    let SealedDocuments { name, bytes, digest } = &parcels[0];
    open_header(&key(1), name, bytes, *digest).unwrap();
    let refused = |key: &ConsignmentKey, name: &ParcelName| open_header(key, name, bytes, *digest).unwrap_err().code();
    assert_eq!(refused(&key(9), name), Code(504));
    assert_eq!(refused(&key(1), &ParcelName { sequence: 1, ..name.clone() }), Code(504));
    assert_eq!(open_header(&key(1), name, bytes, Digest([0; 32])).unwrap_err().code(), Code(503));
}

/// Takes nothing, and says so.
struct Refusing;

impl Write for Refusing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let no = lexicon::Fault::new(Code(999), lexicon::Retry::Never, "no");
        Err(io::Error::other(Trouble::from(no)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_reader_says_comes_out_as_it_is() {
    let (parcels, _) = sealed(&[pdf(1, 3_000)]);
    let SealedDocuments { name, bytes, digest } = &parcels[0];
    let said = open_documents(&key(1), name, bytes, *digest, &mut Refusing).unwrap_err();
    assert_eq!(said.code(), Code(999));
}
