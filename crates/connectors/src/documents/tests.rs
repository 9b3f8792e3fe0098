use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use lexicon::{Code, ConsignmentId, Digest};
use scope::{DocumentKind, DocumentsScope, IndexLine, Sample, Scope, Unfit};

use super::*;
use crate::Mark;

fn scope(folder: &Path, more: &str) -> Arc<Scope> {
    let toml = format!(
        "[[table]]\nname = \"p\"\ntake = [{{ column = \"a\", type = \"int64\" }}]\n\
         [[documents]]\nname = \"reports\"\nfolder = {:?}\ntake = [\"pdf\", \"txt\"]\n\
         reason = \"the reports are shown to patients\"\n{more}",
        folder.display().to_string()
    );
    Arc::new(Scope::parse(&toml).unwrap())
}

fn source(folder: &Path, more: &str) -> DocumentSource {
    DocumentSource::open(&scope(folder, more), "reports", None).unwrap()
}

fn part(folder: &Path) -> DocumentsScope {
    scope(folder, "").documents()[0].clone()
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, content).unwrap();
}

fn lines(part: &DocumentsScope, batches: &[RecordBatch]) -> Vec<IndexLine> {
    let mut lines: Vec<IndexLine> = batches.iter().flat_map(|batch| part.lines(batch).unwrap()).collect();
    lines.sort_by(|one, other| one.name.cmp(&other.name));
    lines
}

fn line(name: &str, content: &[u8]) -> IndexLine {
    let kind = DocumentKind::of(name, content);
    IndexLine { name: name.to_owned(), kind, bytes: content.len().try_into().unwrap(), digest: Digest::of(content) }
}

const MARK: Mark = Mark { consignment: ConsignmentId([7; 16]), attempt: 3 };

fn write(folder: &Folder, name: &str, content: &[u8]) -> lexicon::Result<bool> {
    match folder.begin(&line(name, content))? {
        Writing::There => Ok(false),
        Writing::Begun(mut arriving) => {
            arriving.write(content)?;
            arriving.finish().map(|()| true)
        }
    }
}

#[tokio::test]
async fn every_document_of_a_taken_kind_is_found_wherever_it_lies_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "a.pdf", b"%PDF-1.7 a");
    put(root, "2019/01/b c é.PDF", b"%PDF-1.4 b");
    put(root, "2019/note.txt", b"sans particularit\xe9\r\n");
    put(root, "scan.png", b"\x89PNG\r\n\x1a\n");
    put(root, "virus.pdf", b"MZ");
    put(root, "empty.pdf", b"");
    let source = source(root, "others = \"leave\"");

    let report = source.count().unwrap();
    let kinds = report.kinds.iter().map(|(kind, count)| (*kind, count.documents, count.bytes));
    assert_eq!(kinds.collect::<Vec<_>>(), [(DocumentKind::Pdf, 2, 20), (DocumentKind::Txt, 1, 20)]);
    let stays = [(Unfit::Empty, 1), (Unfit::Kind, 1), (Unfit::Disagrees, 1)];
    assert_eq!(report.stays, stays.into());
    let batches: Vec<RecordBatch> = source.index(None).try_collect().await.unwrap();
    let names: Vec<String> = lines(&part(root), &batches).into_iter().map(|line| line.name).collect();
    assert_eq!(names, ["2019/01/b c é.PDF", "2019/note.txt", "a.pdf"]);
}

#[test]
fn what_a_name_alone_leaves_is_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "a.pdf", b"%PDF-1.7 a");
    put(root, "b.exe", b"MZ");
    let mut walk = walk::Walk::over(root).unwrap();
    let mut opened = Vec::new();
    while let Some(walk::Met::File(standing)) = walk.next().transpose().unwrap() {
        let (name, path) = (standing.name.clone(), root.join(&standing.name));
        // Whoever opens it now finds another file.
        fs::remove_file(&path).unwrap();
        put(root, &name, b"%PDF-1.7 another");
        opened.push((name, scope(root, "").admit_document("reports", None, standing.found()).map(Result::err)));
    }
    opened.sort_by(|one, other| one.0.cmp(&other.0));
    let codes = opened.into_iter().map(|(_, outcome)| outcome.map_err(|trouble| trouble.code()));
    assert_eq!(codes.collect::<Vec<_>>(), [Err(Code(427)), Ok(Some(Unfit::Kind))]);
}

#[cfg(unix)]
#[test]
fn links_special_files_and_names_that_cannot_be_carried_stay_and_are_counted() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (dir.path().join("reports"), dir.path().join("elsewhere"));
    put(&elsewhere, "secret.pdf", b"%PDF-1.7 secret");
    put(&root, "a.pdf", b"%PDF-1.7 a");
    std::os::unix::fs::symlink(elsewhere.join("secret.pdf"), root.join("link.pdf")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.join("folder")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket.pdf")).unwrap());
    put(&root, "line\nbreak.pdf", b"%PDF-1.7 b");
    put(&root, ".lazaret-load", b"a marker is passed over");
    put(&root, "below/.lazaret-load.pdf", b"%PDF-1.7 c");
    let latin = root.join(std::ffi::OsStr::from_bytes(b"r\xe9sultat.pdf"));
    fs::copy(root.join("a.pdf"), latin).unwrap();

    let report = source(&root, "others = \"leave\"").count().unwrap();

    assert_eq!(report.kinds[&DocumentKind::Pdf].documents, 1);
    assert_eq!(report.stays, [(Unfit::Name, 3), (Unfit::Link, 2), (Unfit::Special, 1)].into());
    let refused = source(&root, "").read(None).unwrap().find_map(Result::err).unwrap();
    assert_eq!(refused.code(), Code(431));
}

#[test]
fn a_folder_that_changed_is_told_by_what_came_what_changed_and_what_went() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for name in ["a.pdf", "b.pdf", "c/d.pdf"] {
        put(root, name, b"%PDF-1.7 x");
    }
    let source = source(root, "");
    let stand = || {
        let mut documents = source.read(None).unwrap();
        assert_eq!(documents.by_ref().map(Result::unwrap).count(), 3);
        documents.into_stand()
    };
    assert!(source.changed(stand()).unwrap().nothing());
    let before = stand();
    put(root, "b.pdf", b"%PDF-1.7 y");
    let changed = source.changed(before).unwrap();
    assert_eq!((changed.first, changed.files, changed.gone), (vec!["b.pdf".to_owned()], 1, 0));
    let before = stand();
    fs::rename(root.join("a.pdf"), root.join("e.pdf")).unwrap();
    let changed = source.changed(before).unwrap();
    assert_eq!((changed.first, changed.files, changed.gone), (vec!["e.pdf".to_owned()], 1, 1));
}

fn long(of: u8) -> Vec<u8> {
    [b"%PDF-1.7 ".to_vec(), vec![of; 100_000]].concat()
}

#[test]
fn a_document_that_is_removed_written_to_or_exchanged_while_it_is_read_is_no_document() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let changes: [fn(&Path); 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| put(path.parent().unwrap(), "a.pdf", &long(8)),
        |path| {
            put(path.parent().unwrap(), "other", &long(7));
            fs::rename(path.with_file_name("other"), path).unwrap();
        },
    ];
    for change in changes {
        put(root, "a.pdf", &long(7));
        let mut document = source(root, "").read(None).unwrap().next().unwrap().unwrap();
        document.by_ref().take(2_000).read_to_end(&mut Vec::new()).unwrap();
        change(&root.join("a.pdf"));
        let rest = document.read_to_end(&mut Vec::new());
        assert!(rest.is_err() || document.finish().is_err_and(|trouble| trouble.code() == Code(329)));
    }
}

#[test]
fn a_sample_of_documents_is_the_same_for_the_same_seed() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..400 {
        put(dir.path(), &format!("{number}.pdf"), b"%PDF-1.7 x");
    }
    let source = source(dir.path(), "");
    let drawn = |seed| {
        let sample = Sample { seed, drawn: Digest([1; 32]), basis_points: 2_500 };
        let mut documents = source.read(Some(sample)).unwrap();
        let mut names: Vec<String> = documents.by_ref().map(|document| document.unwrap().name().to_owned()).collect();
        let stand = documents.into_stand();
        assert_eq!(stand.kinds[&DocumentKind::Pdf].documents, 400);
        sample.holds_documents("reports", 400, names.len().try_into().unwrap()).unwrap();
        names.sort();
        names
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let sample = Sample { seed: 1, drawn: Digest([1; 32]), basis_points: 2_500 };
    assert_eq!(sample.holds_documents("reports", 400, 30).unwrap_err().code(), Code(335));
}

#[tokio::test]
async fn what_is_written_is_read_again_and_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let (part, target) = (part(dir.path()), DocumentTarget::open(&dir.path().display().to_string()).unwrap());
    let folder = target.part(&part, MARK).unwrap();
    assert!(write(&folder, "2019/a b.pdf", b"%PDF-1.7 a").unwrap());
    assert!(write(&folder, "n.txt", b"note").unwrap());
    folder.settle().unwrap();

    let again = target.part(&part, Mark { attempt: 4, ..MARK }).unwrap();
    assert!(!write(&again, "2019/a b.pdf", b"%PDF-1.7 a").unwrap(), "it is there already");
    let batches: Vec<RecordBatch> = documents_again(&target, &part).try_collect().await.unwrap();
    assert_eq!(lines(&part, &batches), [line("2019/a b.pdf", b"%PDF-1.7 a"), line("n.txt", b"note")]);
    let left: Vec<_> =
        fs::read_dir(dir.path().join("reports")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name != ".lazaret-arriving"), "{left:?}");
}

#[test]
fn nothing_is_replaced_and_nothing_is_written_beside_what_others_brought() {
    let dir = tempfile::tempdir().unwrap();
    let (part, target) = (part(dir.path()), DocumentTarget::open(&dir.path().display().to_string()).unwrap());
    let folder = target.part(&part, MARK).unwrap();
    put(dir.path(), "reports/a.pdf", b"%PDF-1.7 theirs");
    let refused = |name: &str| write(&folder, name, b"%PDF-1.7 ours").unwrap_err().code();
    assert_eq!(refused("a.pdf"), Code(429));
    assert_eq!(refused("a.pdf/b.pdf"), Code(429), "a file stands where a folder should");
    assert_eq!(refused("../out.pdf"), Code(429));
    assert_eq!(fs::read(dir.path().join("reports/a.pdf")).unwrap(), b"%PDF-1.7 theirs");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path(), dir.path().join("reports/way")).unwrap();
        assert_eq!(refused("way/out.pdf"), Code(429), "a link is no folder");
        std::os::unix::fs::symlink(dir.path().join("out.pdf"), dir.path().join("reports/l.pdf")).unwrap();
        assert_eq!(refused("l.pdf"), Code(429));
        assert!(!dir.path().join("out.pdf").exists());
    }
    let other = Mark { consignment: ConsignmentId([8; 16]), attempt: 1 };
    assert_eq!(target.part(&part, other).unwrap_err().code(), Code(428));
    fs::remove_file(dir.path().join("reports/.lazaret-load")).unwrap();
    assert_eq!(target.part(&part, MARK).unwrap_err().code(), Code(428));
}

#[test]
fn a_document_that_came_there_meanwhile_is_not_replaced_and_half_a_document_has_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let (part, target) = (part(dir.path()), DocumentTarget::open(&dir.path().display().to_string()).unwrap());
    let folder = target.part(&part, MARK).unwrap();
    let Writing::Begun(mut arriving) = folder.begin(&line("a.pdf", b"%PDF-1.7 ours")).unwrap() else { panic!() };
    arriving.write(b"%PDF-1.7").unwrap();
    assert!(!dir.path().join("reports/a.pdf").exists());
    put(dir.path(), "reports/a.pdf", b"%PDF-1.7 theirs");
    arriving.write(b" ours").unwrap();
    assert_eq!(arriving.finish().unwrap_err().code(), Code(429));
    assert_eq!(fs::read(dir.path().join("reports/a.pdf")).unwrap(), b"%PDF-1.7 theirs");
    // What a killed process left is taken for nothing.
    fs::remove_file(dir.path().join("reports/a.pdf")).unwrap();
    assert!(write(&folder, "a.pdf", b"%PDF-1.7 ours").unwrap());
}

/// Everything in the part's folder, by its name, our own files too.
fn standing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("reports")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn of_a_document_that_does_not_come_whole_nothing_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (part, target) = (part(dir.path()), DocumentTarget::open(&dir.path().display().to_string()).unwrap());
    let folder = target.part(&part, MARK).unwrap();
    let begun = || {
        let Writing::Begun(mut arriving) = folder.begin(&line("a.pdf", b"%PDF-1.7 ours")).unwrap() else { panic!() };
        arriving.write(b"%PDF-1.7").unwrap();
        assert_eq!(standing(dir.path()), [".lazaret-arriving", ".lazaret-load"]);
        arriving
    };
    drop(begun());
    assert_eq!(standing(dir.path()), [".lazaret-load"]);
    let arriving = begun();
    put(dir.path(), "reports/a.pdf", b"%PDF-1.7 theirs");
    assert_eq!(arriving.finish().unwrap_err().code(), Code(429));
    assert_eq!(standing(dir.path()), [".lazaret-load", "a.pdf"]);
}

#[test]
fn what_a_killed_load_left_of_a_document_goes_when_the_next_begins_whatever_it_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (part, target) = (part(dir.path()), DocumentTarget::open(&dir.path().display().to_string()).unwrap());
    let left = || put(dir.path(), "reports/.lazaret-arriving", b"%PDF-1.7 half");
    let other = Mark { consignment: ConsignmentId([8; 16]), attempt: 1 };
    // In a folder that nobody marked yet, of this consignment, and of another.
    for (mark, code) in [(MARK, None), (MARK, None), (other, Some(Code(428)))] {
        left();
        assert_eq!(target.part(&part, mark).err().map(|trouble| trouble.code()), code);
        assert_eq!(standing(dir.path()), [".lazaret-load"]);
    }
    // And none is there once a part is whole.
    let folder = target.part(&part, MARK).unwrap();
    left();
    folder.settle().unwrap();
    assert_eq!(standing(dir.path()), [".lazaret-load"]);
}

#[tokio::test]
async fn what_somebody_put_there_or_took_away_is_seen_when_it_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (part, target) = (part(dir.path()), DocumentTarget::open(&dir.path().display().to_string()).unwrap());
    let folder = target.part(&part, MARK).unwrap();
    write(&folder, "a.pdf", b"%PDF-1.7 a").unwrap();
    put(dir.path(), "reports/z.exe", b"MZ");
    #[cfg(unix)]
    std::os::unix::fs::symlink("a.pdf", dir.path().join("reports/l.pdf")).unwrap();
    let batches: Vec<RecordBatch> = documents_again(&target, &part).try_collect().await.unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, if cfg!(unix) { 3 } else { 2 });
    fs::remove_dir_all(dir.path().join("reports")).unwrap();
    let batches: Vec<RecordBatch> = documents_again(&target, &part).try_collect().await.unwrap();
    assert!(batches.is_empty());
}

#[test]
fn a_folder_that_is_not_there_is_no_source_and_no_target() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert_eq!(DocumentSource::open(&scope(&missing, ""), "reports", None).err().unwrap().code(), Code(425));
    assert_eq!(DocumentTarget::open(&format!("folder:{}", missing.display())).unwrap_err().code(), Code(425));
    let target = DocumentTarget::open(&format!("folder:{}", dir.path().display())).unwrap();
    assert_eq!(target.identity(), format!("folder:{}", dir.path().canonicalize().unwrap().display()));
}
