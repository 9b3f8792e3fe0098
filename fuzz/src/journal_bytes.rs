//! Checkpoints and proofs of the journal.

use std::sync::LazyLock;

use journal::{Checkpoint, Tree, consistency, inclusion, leaf_hash, verify_consistency, verify_inclusion, verify_note};
use lexicon::Digest;

use crate::cast::{CAST, ORIGIN};
use crate::promises::told_nothing;

static LEAVES: LazyLock<Vec<Digest>> = LazyLock::new(|| (0..21_u8).map(|leaf| leaf_hash(&[leaf])).collect());

fn known() -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: 21, root: Tree::of(&LEAVES).root() }
}

pub(crate) fn checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Checkpoint::parse(text) {
        Ok(checkpoint) => assert_eq!(checkpoint.text(), text, "a second spelling"),
        Err(trouble) => told_nothing(bytes, &trouble),
    }
    let public = CAST.server.public().0;
    match Checkpoint::verify(text, ORIGIN, &public) {
        Ok(checkpoint) => assert_eq!(checkpoint, known(), "a checkpoint that nobody signed"),
        Err(trouble) => told_nothing(bytes, &trouble),
    }
    if let Ok(said) = verify_note(text, ORIGIN, &public) {
        assert_eq!(said, known().text(), "a note that nobody signed");
    }
}

pub(crate) fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let note = known().sign(CAST.server.pair()).unwrap();
    let witness = known().sign(CAST.vendor.pair()).unwrap().replace(ORIGIN, "witness");
    let with_a_witness = format!("{note}{}\n", witness.trim_end().lines().next_back().unwrap());
    [known().text(), note, with_a_witness].into_iter().map(String::into_bytes).collect()
}

/// The kind of proof, two numbers and the hashes.
pub(crate) fn proof(bytes: &[u8]) {
    let Some(([kind, first, second], hashes)) = bytes.split_first_chunk::<3>() else { return };
    let hashes: Vec<Digest> =
        hashes.chunks(32).map(|hash| <[u8; 32]>::try_from(hash).map_or(Digest([0; 32]), Digest)).collect();
    let size = u64::from(*second).checked_rem(22).unwrap();
    let root = |size: u64| Tree::of(LEAVES.get(..usize::try_from(size).unwrap()).unwrap()).root();
    if kind.is_multiple_of(2) {
        let index = u64::from(*first);
        let leaf = LEAVES.get(usize::from(*first)).copied().unwrap_or(Digest([0; 32]));
        if verify_inclusion(leaf, index, size, &hashes, root(size)).is_ok() {
            assert_eq!(inclusion(&LEAVES, index, size).ok(), Some(hashes), "another proof of the same leaf");
        }
    } else {
        let old = u64::from(*first).checked_rem(22).unwrap();
        if verify_consistency((old, root(old)), (size, root(size)), &hashes).is_ok() {
            assert_eq!(consistency(&LEAVES, old, size).ok(), Some(hashes), "another proof of the same growth");
        }
        // A journal that was rewritten does not go on from the old one, whatever it is proved with.
        let other = Digest::of(&root(old).0);
        let hashes: Vec<_> = consistency(&LEAVES, old, size).unwrap_or_default();
        assert!(verify_consistency((old, other), (size, root(size)), &hashes).is_err(), "a rewritten journal");
    }
}

pub(crate) fn proof_seeds() -> Vec<Vec<u8>> {
    let bytes = |head: [u8; 3], hashes: Vec<Digest>| {
        head.into_iter().chain(hashes.iter().flat_map(|hash| hash.0)).collect::<Vec<u8>>()
    };
    let mut seeds = Vec::new();
    for (first, second) in [(0, 1), (3, 8), (6, 7), (20, 21), (12, 21)] {
        seeds.push(bytes([0, first, second], inclusion(&LEAVES, first.into(), second.into()).unwrap()));
        seeds.push(bytes([1, first, second], consistency(&LEAVES, first.into(), second.into()).unwrap()));
    }
    seeds
}
