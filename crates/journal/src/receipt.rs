use lexicon::Digest;

/// Proof that a leaf stands in the journal, durably. An irreversible call asks for one, so that nothing is destroyed
/// that was not first recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    root: Digest,
}

impl Receipt {
    /// Made by the registry after the transaction that holds the leaf has been committed, and by nobody else.
    pub fn of_committed(index: u64, root: Digest) -> Self {
        Self { index, root }
    }

    /// The leaf's number, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The journal's root with that leaf in it.
    pub fn root(&self) -> Digest {
        self.root
    }
}
