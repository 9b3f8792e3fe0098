use std::path::Path;

use lexicon::{ConsignmentId, Digest};
use scope::{FingerprintKeys, Scope};

use super::*;

fn part() -> DocumentsScope {
    let toml = "[[table]]\nname = \"p\"\ntake = [{ column = \"a\", type = \"int64\" }]\n\
                [[documents]]\nname = \"reports\"\nfolder = \"/r\"\ntake = [\"pdf\"]\n\
                reason = \"the reports are shown to patients\"\n";
    Scope::parse(toml).unwrap().documents()[0].clone()
}

fn line(name: &str, content: &[u8]) -> IndexLine {
    let (kind, bytes) = (Some(DocumentKind::Pdf), u64::try_from(content.len()).unwrap());
    IndexLine { name: name.to_owned(), kind, bytes, digest: Digest::of(content) }
}

fn names() -> Names {
    Names { secret: FingerprintKeys::new([1; 32], [2; 32]), shown: None }
}

fn splitting(lines: &[IndexLine], folder: Option<Folder>) -> Splitting {
    let (index_in, index_out) = mpsc::channel(8);
    for lines in lines.chunks(2) {
        index_in.try_send(part().rows(lines).unwrap()).unwrap();
    }
    Splitting::new(names(), &part(), folder).reading(index_out)
}

fn folder(dir: &Path) -> Folder {
    let target = DocumentTarget::open(&dir.display().to_string()).unwrap();
    target.part(&part(), Mark { consignment: ConsignmentId([3; 16]), attempt: 1 }).unwrap()
}

const CONTENTS: [&[u8]; 3] = [b"%PDF-1.7 one", b"%PDF-1.4 the second", b"%PDF-1.7 3"];

fn lines() -> Vec<IndexLine> {
    CONTENTS.iter().zip(["a.pdf", "b/b.pdf", "c.pdf"]).map(|(content, name)| line(name, content)).collect()
}

/// Takes everything in pieces of so many bytes.
fn through(mut splitting: Splitting, bytes: &[u8], piece: usize) -> Result<Arrived> {
    for piece in bytes.chunks(piece) {
        splitting.take(piece)?;
    }
    splitting.finish()
}

#[test]
fn documents_get_their_names_however_their_bytes_are_cut() {
    for piece in [1, 7, 12, 1000] {
        let dir = tempfile::tempdir().unwrap();
        let (kinds, fingerprint) =
            through(splitting(&lines(), Some(folder(dir.path()))), &CONTENTS.concat(), piece).unwrap();
        assert_eq!((kinds["pdf"].documents, kinds["pdf"].bytes, fingerprint.rows), (3, 41, 3));
        for (content, line) in CONTENTS.iter().zip(lines()) {
            assert_eq!(std::fs::read(dir.path().join("reports").join(&line.name)).unwrap(), *content);
        }
        let compared = through(splitting(&lines(), None), &CONTENTS.concat(), piece).unwrap();
        assert_eq!(compared.1.root(), fingerprint.root());
    }
}

#[test]
fn bytes_that_are_not_those_of_the_index_alarm_and_get_no_name() {
    let whole = CONTENTS.concat();
    let mut altered = whole.clone();
    altered[15] ^= 1;
    let exchanged = [CONTENTS[1], CONTENTS[0], CONTENTS[2]].concat();
    let longer = [whole.as_slice(), b"x"].concat();
    let shorter = &whole[..whole.len() - 1];
    for bytes in [altered.as_slice(), &exchanged, &longer, shorter, CONTENTS[0], b""] {
        let dir = tempfile::tempdir().unwrap();
        let refused = through(splitting(&lines(), Some(folder(dir.path()))), bytes, 7).unwrap_err();
        assert_eq!(refused.code(), Code(644), "{refused}");
        assert!(matches!(refused, Trouble::Alarm(_)));
        assert!(!["a.pdf", "b.pdf", "c.pdf"].iter().any(|name| refused.to_string().contains(name)), "{refused}");
        assert!(!dir.path().join("reports/.lazaret-arriving").exists(), "half a document stays");
    }
    let dir = tempfile::tempdir().unwrap();
    through(splitting(&lines(), Some(folder(dir.path()))), &altered, 7).unwrap_err();
    assert!(!dir.path().join("reports/b/b.pdf").exists(), "what is not the document got its name");
}

#[test]
fn a_kind_that_the_bytes_do_not_have_is_an_alarm() {
    let content = b"MZ\x90 no report at all";
    let refused = through(splitting(&[line("a.pdf", content)], None), content, 100).unwrap_err();
    assert_eq!(refused.code(), Code(644), "{refused}");
}

#[test]
fn another_file_in_a_documents_place_is_told_by_the_keyed_digest_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    std::fs::create_dir(dir.path().join("reports/c.pdf")).unwrap();
    let refused = through(splitting(&lines(), Some(folder)), &CONTENTS.concat(), 100).unwrap_err();
    assert_eq!(refused.code(), Code(429));
    let key = named_key(&names(), &part().index(), &part().named("c.pdf").unwrap());
    assert!(refused.to_string().contains(&key) && !refused.to_string().contains("c.pdf"), "{refused}");
}
