use lexicon::{Alarm, Code, Digest, Refusal, Result};

use crate::tree::{Tree, node_hash};

/// The hashes that lead from leaf `index` to the root of the first `size` leaves, nearest first (RFC 6962 section
/// 2.1.1). `leaves` are the stored leaf hashes from number 0, at least `size` of them; each is hashed once: a million
/// leaves cost one core some 0.4 s, and the proof has 20 hashes.
///
/// # Errors
/// A refusal when there is no such leaf in a tree of that size, or fewer leaves than `size`.
pub fn inclusion(leaves: &[Digest], index: u64, size: u64) -> Result<Vec<Digest>> {
    let (tree, index) = (first(leaves, size)?, position(index)?);
    if index >= tree.len() {
        return Err(not_there(format!("leaf {index} does not stand among the first {size}")));
    }
    let mut proof = path(tree, index);
    proof.reverse();
    Ok(proof)
}

/// The hashes that show that the first `old` leaves stand unchanged at the head of the first `new` (RFC 6962 section
/// 2.1.2). Costs as [`inclusion`].
///
/// # Errors
/// A refusal when `old` is larger than `new`, or there are fewer leaves than `new`.
pub fn consistency(leaves: &[Digest], old: u64, new: u64) -> Result<Vec<Digest>> {
    let (tree, old) = (first(leaves, new)?, position(old)?);
    if old > tree.len() {
        return Err(not_there(format!("{old} leaves are not the beginning of {new}")));
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let mut proof = subproof(tree, old);
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is number `index` of the tree of `size` leaves that has this `root` (RFC 9162 section 2.1.3.2).
/// Costs one hash per hash in the proof.
///
/// # Errors
/// An alarm when it is not: the entry, its place, the proof or the root was altered.
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, proof: &[Digest], root: Digest) -> Result<()> {
    let broken =
        || Alarm::new(Code(1303), format!("leaf {index} is not shown to stand in the journal of {size} leaves"));
    if index >= size {
        return Err(broken().into());
    }
    let mut climb = Climb::new(index, size.saturating_sub(1));
    let mut hash = leaf;
    for sibling in proof {
        match climb.step().ok_or_else(broken)? {
            Side::Left => hash = node_hash(sibling, &hash),
            Side::Right => hash = node_hash(&hash, sibling),
        }
    }
    if climb.at_the_top() && hash == root { Ok(()) } else { Err(broken().into()) }
}

/// Checks that the tree with `old_root` is the beginning of the tree with `new_root`: nothing that was in it has been
/// changed, removed or moved (RFC 9162 section 2.1.4.2). Costs two hashes per hash in the proof.
///
/// # Errors
/// An alarm when it is not: the journal was rewritten, or cut back.
pub fn verify_consistency(
    (old, old_root): (u64, Digest),
    (new, new_root): (u64, Digest),
    proof: &[Digest],
) -> Result<()> {
    let broken = || {
        Alarm::new(Code(1304), format!("the journal of {new} leaves does not go on from the one of {old} seen before"))
    };
    if old == 0 || old == new {
        // Nothing to climb: from no leaves everything goes on, and the same size has the same root.
        let (from, to) = if old == 0 { (old_root, Tree::new().root()) } else { (old_root, new_root) };
        return if proof.is_empty() && from == to { Ok(()) } else { Err(broken().into()) };
    }
    if old > new {
        return Err(broken().into());
    }
    let mut climb = Climb::new(old.saturating_sub(1), new.saturating_sub(1));
    climb.skip_right_edges();
    let mut hashes = proof.iter();
    // When the old tree is one full subtree its root is a node of the new one and is not sent again.
    let start = if old.is_power_of_two() { old_root } else { *hashes.next().ok_or_else(broken)? };
    let (mut from, mut to) = (start, start);
    for sibling in hashes {
        match climb.step().ok_or_else(broken)? {
            Side::Left => {
                from = node_hash(sibling, &from);
                to = node_hash(sibling, &to);
            }
            Side::Right => to = node_hash(&to, sibling),
        }
    }
    if climb.at_the_top() && from == old_root && to == new_root { Ok(()) } else { Err(broken().into()) }
}

/// On which side of the node the next sibling stands.
enum Side {
    Left,
    Right,
}

/// The way from a node to the root: its place on its level, and that of the level's last node.
struct Climb {
    place: u64,
    last: u64,
}

impl Climb {
    fn new(place: u64, last: u64) -> Self {
        Self { place, last }
    }

    /// One sibling further; none when the root has been reached already.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.place & 1 == 1 || self.place == self.last {
            // The last node of a level without a neighbour goes up unhashed until it has one on its left.
            while self.place & 1 == 0 && self.place != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Some(side)
    }

    /// To the root of the largest full subtree that ends here.
    fn skip_right_edges(&mut self) {
        while self.place & 1 == 1 {
            self.up();
        }
    }

    fn up(&mut self) {
        self.place >>= 1;
        self.last >>= 1;
    }

    fn at_the_top(&self) -> bool {
        self.last == 0
    }
}

/// Where a tree of `size` > 1 leaves parts: the largest power of two below its size.
fn half(size: usize) -> usize {
    size.checked_next_power_of_two().map_or(size, |power| power >> 1)
}

/// PATH of RFC 6962, farthest hash first.
fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
    let (mut tree, mut index, mut hashes) = (leaves, index, Vec::new());
    while tree.len() > 1 {
        let (left, right) = tree.split_at(half(tree.len()));
        let (near, far) = if index < left.len() { (left, right) } else { (right, left) };
        index = if index < left.len() { index } else { index.saturating_sub(left.len()) };
        hashes.push(Tree::of(far).root());
        tree = near;
    }
    hashes
}

/// SUBPROOF of RFC 6962, farthest hash first; 0 < old <= leaves.
fn subproof(leaves: &[Digest], old: usize) -> Vec<Digest> {
    let (mut tree, mut old, mut whole, mut hashes) = (leaves, old, true, Vec::new());
    while old < tree.len() {
        let (left, right) = tree.split_at(half(tree.len()));
        if old <= left.len() {
            hashes.push(Tree::of(right).root());
            tree = left;
        } else {
            hashes.push(Tree::of(left).root());
            old = old.saturating_sub(left.len());
            // From here on the old tree is no longer one that its keeper knows the root of.
            whole = false;
            tree = right;
        }
    }
    if !whole {
        hashes.push(Tree::of(tree).root());
    }
    hashes
}

fn first(leaves: &[Digest], size: u64) -> Result<&[Digest]> {
    let found = leaves.len();
    leaves.get(..position(size)?).ok_or_else(|| not_there(format!("the journal has {found} leaves, not {size}")))
}

fn position(number: u64) -> Result<usize> {
    usize::try_from(number).map_err(|_| not_there(format!("leaf {number} is beyond this machine's memory")))
}

fn not_there(message: String) -> lexicon::Trouble {
    Refusal::new(Code(1302), message, "Ask for a proof within a checkpoint's size.").into()
}
