use lexicon::{Alarm, Code, Digest, Result};

/// The hash by which a leaf stands in the tree: SHA-256 of 0x00 and the leaf's bytes (RFC 6962 section 2.1).
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    let mut hasher = lexicon::Hasher::default();
    hasher.update(&[0]);
    hasher.update(leaf);
    hasher.finish()
}

/// The hash of two neighbours: SHA-256 of 0x01, left and right. The leading byte keeps a node from passing for a leaf.
pub(crate) fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    let (_, both) = bytes.split_at_mut(1);
    for (to, from) in both.iter_mut().zip(left.0.iter().chain(&right.0)) {
        *to = *from;
    }
    Digest::of(&bytes)
}

/// The tree as far as its writer needs it: how many leaves, and the root of each full subtree, largest first. That is
/// at most 64 digests however many leaves there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    peaks: Vec<Digest>,
}

impl Tree {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree over these leaf hashes, in order. Costs one hash per leaf.
    pub fn of(leaves: &[Digest]) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.append(*leaf);
        }
        tree
    }

    /// The tree whose writer stopped at `size` with `peaks`, as [`Tree::peaks`] gave them.
    ///
    /// # Errors
    /// An alarm when so many leaves cannot leave so many peaks: the record of the tree was altered or cut.
    pub fn resume(size: u64, peaks: Vec<Digest>) -> Result<Self> {
        if u32::try_from(peaks.len()) != Ok(size.count_ones()) {
            let found = peaks.len();
            return Err(Alarm::new(
                Code(1301),
                format!(
                    "the journal's record of its tree is damaged: {size} leaves cannot leave {found} subtree roots"
                ),
            )
            .into());
        }
        Ok(Self { size, peaks })
    }

    /// Adds a leaf by its [`leaf_hash`] and gives its number, from 0.
    pub fn append(&mut self, leaf: Digest) -> u64 {
        let index = self.size;
        let mut hash = leaf;
        // Each trailing one bit of the size is a full subtree as large as the one that has just become full.
        for _ in 0..index.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        // 2^64 leaves are out of reach: at a million a second they take half a million years.
        self.size = index.saturating_add(1);
        index
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees, largest first; one for each one bit of the size.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// The root; of the tree without leaves, SHA-256 of nothing.
    pub fn root(&self) -> Digest {
        let mut smallest_first = self.peaks.iter().rev();
        let Some(last) = smallest_first.next() else { return Digest::of(&[]) };
        smallest_first.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The eight leaves of the certificate-transparency reference tests, used by every implementation since.
    pub(crate) fn published_leaves() -> Vec<Digest> {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    /// Their roots at each size, from none to eight.
    pub(crate) const PUBLISHED_ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_roots_are_those_that_everybody_else_computes() {
        let leaves = published_leaves();
        for (size, root) in PUBLISHED_ROOTS.iter().enumerate() {
            assert_eq!(Tree::of(&leaves[..size]).root().to_string(), *root, "at size {size}");
        }
    }

    #[test]
    fn a_tree_goes_on_where_its_writer_stopped() {
        let leaves = published_leaves();
        for stop in 0..=leaves.len() {
            let stopped = Tree::of(&leaves[..stop]);
            let mut tree = Tree::resume(stopped.size(), stopped.peaks().to_vec()).unwrap();
            for (index, leaf) in leaves.iter().enumerate().skip(stop) {
                assert_eq!(usize::try_from(tree.append(*leaf)), Ok(index));
            }
            assert_eq!(tree, Tree::of(&leaves));
        }
    }

    #[test]
    fn a_record_of_the_tree_that_lost_a_subtree_is_an_alarm() {
        let tree = Tree::of(&published_leaves()[..7]);
        let mut peaks = tree.peaks().to_vec();
        peaks.pop();
        assert_eq!(Tree::resume(7, peaks).unwrap_err().code(), Code(1301));
    }
}
