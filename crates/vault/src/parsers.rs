//! What reads the answers of an object store and of a service in this room, one by one and without either behind it:
//! for the fuzz targets, which alone turn the feature on.

use lexicon::{Result, Trouble};

use crate::Said;

/// What was read in the answer of an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAnswer {
    /// Objects, versions and cut uploads of a listing.
    pub lines: usize,
    /// What a person is told when the same body comes with a status that says no.
    pub refused: Trouble,
}

/// The body of an answer of an object store, read as everything that we ask one for.
pub fn bucket_answer(status: u16, body: &str) -> BucketAnswer {
    let (lines, refused) = crate::shelf::bucket_answer(status, body);
    BucketAnswer { lines, refused }
}

/// An answer of `OpenBao`, read as everything that we ask it for: what the evidence says of it, and what a person is
/// told when it is not what was asked for.
pub fn openbao_answer(status: u16, body: &[u8]) -> (Said, Vec<Result<()>>) {
    crate::keyring::openbao_answer(status, body)
}

/// The bytes that we store of a share that `OpenBao` wrapped, and the text that we make of them again.
pub fn openbao_sealed(text: &str) -> Option<(Vec<u8>, Option<String>)> {
    crate::keyring::openbao_sealed(text)
}

/// What [`openbao_sealed`] made, as it is sent to `OpenBao`.
pub fn openbao_text(sealed: &[u8]) -> Option<String> {
    crate::keyring::openbao_text(sealed)
}

/// Whether a listed name is a parcel's address; the name that this address has.
pub fn parcel_name(listed: &str) -> Option<String> {
    crate::shelf::parcel_name(listed)
}
