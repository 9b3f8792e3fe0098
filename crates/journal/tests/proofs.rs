//! A proof of every pair verifies, and nothing but the truth does.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that counts past an end must fail"
)]

use journal::{Tree, consistency, inclusion, leaf_hash, verify_consistency, verify_inclusion};
use lexicon::{Code, Digest};
use proptest::prelude::*;

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
}

fn root(leaves: &[Digest]) -> Digest {
    Tree::of(leaves).root()
}

/// The tree by the definition in RFC 6962, written down once more without the frontier.
fn root_by_definition(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => *leaf,
        many => {
            let mut half = 1;
            while half * 2 < many.len() {
                half *= 2;
            }
            let (left, right) = many.split_at(half);
            let mut bytes = vec![1];
            bytes.extend(root_by_definition(left).0);
            bytes.extend(root_by_definition(right).0);
            Digest::of(&bytes)
        }
    }
}

fn published() -> Vec<Digest> {
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
        .iter()
        .map(|hex| {
            let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
            leaf_hash(&bytes.collect::<Vec<_>>())
        })
        .collect()
}

fn digests(hex: &[&str]) -> Vec<Digest> {
    hex.iter().map(|digest| digest.parse().unwrap()).collect()
}

#[test]
fn proofs_are_those_of_the_certificate_transparency_tests() {
    let leaves = published();
    let first = digests(&[
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]);
    assert_eq!(inclusion(&leaves, 0, 8).unwrap(), first);
    assert_eq!(consistency(&leaves, 1, 8).unwrap(), first);
    assert_eq!(
        inclusion(&leaves, 5, 8).unwrap(),
        digests(&[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
    assert_eq!(
        consistency(&leaves, 6, 8).unwrap(),
        digests(&[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
    assert_eq!(
        consistency(&leaves, 2, 5).unwrap(),
        digests(&[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ])
    );
}

#[test]
fn every_leaf_of_every_size_up_to_70_has_a_proof_that_verifies_there_and_nowhere_else() {
    let leaves = leaves(70);
    for size in 1..=70_u64 {
        let root = root(&leaves[..usize::try_from(size).unwrap()]);
        for index in 0..size {
            let proof = inclusion(&leaves, index, size).unwrap();
            let leaf = leaves[usize::try_from(index).unwrap()];
            verify_inclusion(leaf, index, size, &proof, root).unwrap();
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(leaf, other, size, &proof, root).is_err(), "{index} as {other} of {size}");
            }
        }
    }
}

#[test]
fn every_pair_of_sizes_up_to_70_has_a_proof_that_verifies_for_it_and_no_other_old_size() {
    let leaves = leaves(70);
    let roots: Vec<Digest> = (0..=leaves.len()).map(|size| root(&leaves[..size])).collect();
    let at = |size: u64| (size, roots[usize::try_from(size).unwrap()]);
    for new in 0..=70_u64 {
        for old in 0..=new {
            let proof = consistency(&leaves, old, new).unwrap();
            verify_consistency(at(old), at(new), &proof).unwrap();
            for other in (1..new).filter(|other| *other != old) {
                assert!(verify_consistency(at(other), at(new), &proof).is_err(), "{old} as {other} in {new}");
            }
        }
    }
}

#[test]
fn a_shorter_journal_never_goes_on_from_a_longer_one() {
    let leaves = leaves(9);
    let proof = consistency(&leaves, 5, 9).unwrap();
    let (long, short) = ((9, root(&leaves)), (5, root(&leaves[..5])));
    assert_eq!(verify_consistency(long, short, &proof).unwrap_err().code(), Code(1304));
    assert_eq!(consistency(&leaves, 9, 5).unwrap_err().code(), Code(1302));
    assert_eq!(verify_consistency((0, long.1), long, &[]).unwrap_err().code(), Code(1304), "no leaves have one root");
}

#[test]
fn a_proof_of_what_is_not_there_is_refused() {
    let leaves = leaves(4);
    assert_eq!(inclusion(&leaves, 4, 4).unwrap_err().code(), Code(1302));
    assert_eq!(inclusion(&leaves, 0, 5).unwrap_err().code(), Code(1302));
    assert_eq!(inclusion(&[], 0, 0).unwrap_err().code(), Code(1302));
    assert_eq!(consistency(&leaves, 1, 5).unwrap_err().code(), Code(1302));
    assert_eq!(verify_inclusion(leaves[0], 4, 4, &[], leaves[0]).unwrap_err().code(), Code(1303));
}

/// What a server that rewrites its history can do to it, all of it after some leaf that an agent has seen.
#[derive(Clone, Copy, Debug)]
enum Rewrite {
    Change,
    Remove,
    Swap,
    Insert,
}

fn rewritten(leaves: &[Digest], how: Rewrite, at: usize) -> Vec<Digest> {
    let mut forged = leaves.to_vec();
    match how {
        Rewrite::Change => forged[at] = leaf_hash(b"another entry"),
        Rewrite::Remove => {
            forged.remove(at);
        }
        Rewrite::Swap => forged.swap(at, at + 1),
        Rewrite::Insert => forged.insert(at, leaf_hash(b"another entry")),
    }
    forged
}

proptest! {
    #[test]
    fn the_frontier_gives_the_root_of_the_definition(count in 0..600_u64) {
        let leaves = leaves(count);
        prop_assert_eq!(root(&leaves), root_by_definition(&leaves));
    }

    #[test]
    fn every_inclusion_proof_verifies((size, index) in (1..600_u64).prop_flat_map(|size| (Just(size), 0..size))) {
        let leaves = leaves(size);
        let proof = inclusion(&leaves, index, size).unwrap();
        prop_assert!(proof.len() <= 10);
        verify_inclusion(leaves[usize::try_from(index).unwrap()], index, size, &proof, root(&leaves)).unwrap();
    }

    #[test]
    fn every_consistency_proof_verifies((new, old) in (0..600_u64).prop_flat_map(|new| (Just(new), 0..=new))) {
        let leaves = leaves(new);
        let proof = consistency(&leaves, old, new).unwrap();
        let old_root = root(&leaves[..usize::try_from(old).unwrap()]);
        verify_consistency((old, old_root), (new, root(&leaves)), &proof).unwrap();
    }

    /// The agent holds the root over the true leaves; the server makes the best proof that it can from its forged ones.
    #[test]
    fn a_changed_removed_moved_or_added_leaf_is_found(
        (count, at) in (2..200_usize).prop_flat_map(|count| (Just(count), 0..count - 1)),
        more in 1..100_u64,
        how in prop_oneof![
            Just(Rewrite::Change), Just(Rewrite::Remove), Just(Rewrite::Swap), Just(Rewrite::Insert),
        ],
    ) {
        let truth = leaves(u64::try_from(count).unwrap());
        let mut forged = rewritten(&truth, how, at);
        forged.extend((0..more).map(|number| leaf_hash(&(1000 + number).to_be_bytes())));
        let (old, new) = (u64::try_from(count).unwrap(), u64::try_from(forged.len()).unwrap());
        let proof = consistency(&forged, old, new).unwrap();
        prop_assert!(verify_consistency((old, root(&truth)), (new, root(&forged)), &proof).is_err());
        let index = u64::try_from(at).unwrap();
        let proof = inclusion(&forged, index, new).unwrap();
        prop_assert!(verify_inclusion(truth[at], index, new, &proof, root(&forged)).is_err());
    }

    #[test]
    fn a_proof_with_a_hash_changed_missing_or_added_does_not_verify(
        (new, old, index) in (2..300_u64).prop_flat_map(|new| (Just(new), 1..new, 0..new)),
        at in any::<prop::sample::Index>(),
        bit in 0..256_usize,
    ) {
        let leaves = leaves(new);
        let old_root = root(&leaves[..usize::try_from(old).unwrap()]);
        let leaf = leaves[usize::try_from(index).unwrap()];
        let within = inclusion(&leaves, index, new).unwrap();
        let onward = consistency(&leaves, old, new).unwrap();
        let spoils: [fn(&mut Vec<Digest>, usize, usize); 4] = [
            |proof, at, bit| proof[at].0[bit / 8] ^= 1 << (bit % 8),
            |proof, at, _| {
                proof.remove(at);
            },
            |proof, at, _| proof.insert(at, leaf_hash(b"added")),
            |proof, at, _| proof.truncate(at),
        ];
        for spoil in spoils {
            let (mut within, mut onward) = (within.clone(), onward.clone());
            let (first, second) = (at.index(within.len()), at.index(onward.len()));
            spoil(&mut within, first, bit);
            spoil(&mut onward, second, bit);
            prop_assert!(verify_inclusion(leaf, index, new, &within, root(&leaves)).is_err());
            prop_assert!(verify_consistency((old, old_root), (new, root(&leaves)), &onward).is_err());
        }
    }
}
