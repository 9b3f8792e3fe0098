//! A document that is larger than any process may be: a film of an operation, a whole slide of a pathologist.

use std::io::Write;

use drill::World;
use lexicon::{Entropy, SeededEntropy};

use crate::stories::held_memory::{self, HELD_MAX};
use crate::stories::program::lazaret;

/// 512 MiB: twice what a process may hold. `LAZARET_TEST_DOCUMENT_MIB` says another size.
const PIECES: usize = 512;
const PIECE_BYTES: usize = 1024 * 1024;
/// It stands in each piece, where it may be cut by a parcel's end or not.
const SOMEBODY: &str = "Guivarch-v8Kd2x-on-film";

#[tokio::test(flavor = "multi_thread")]
async fn a_document_larger_than_any_process_may_be_passes_whole() {
    if lazaret().is_none() {
        drill::skipped!(
            "a_document_larger_than_any_process_may_be_passes_whole (the program is not built beside this test)"
        );
        return;
    }
    let pieces = std::env::var("LAZARET_TEST_DOCUMENT_MIB").map_or(PIECES, |pieces| pieces.parse().unwrap());
    let mut world = World::start_as(false).await;
    let systems = world.systems_of(37, 120);
    let (_, folder, scope) = world.reports(37, 2);
    world.plant_in("reports", "content", [SOMEBODY.to_owned()]);
    let (clip, new) = (folder.join("2024/film.pdf"), world.path("new.sqlite-documents/reports/2024/film.pdf"));
    std::fs::create_dir_all(clip.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create_new(&clip).unwrap();
    let mut piece = vec![0; PIECE_BYTES];
    SeededEntropy::new(37).fill(&mut piece).unwrap();
    piece[..9].copy_from_slice(b"%PDF-1.4\n");
    piece[9..9 + SOMEBODY.len()].copy_from_slice(SOMEBODY.as_bytes());
    for _ in 0..pieces {
        file.write_all(&piece).unwrap();
    }
    drop(file);

    let (source, sink) = (systems.source.as_ref(), systems.sink.as_ref());
    let to = world.path("new.sqlite-documents").display().to_string();
    let (held, report) = held_memory::by_a_passage(&mut world, &scope, source, sink, Some(&to)).await;

    println!("a document of {pieces} MiB: extract, load, reconcile, serve held {held:?} KiB");
    let bytes = |clip: &std::path::Path| clip.metadata().unwrap().len();
    assert!(report.equal() && bytes(&clip) == bytes(&new), "{report:?}");
    assert!(held.iter().all(|held| *held < HELD_MAX), "extract, load, reconcile, serve: {held:?} KiB");
}
