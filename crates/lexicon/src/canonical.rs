use serde::Serialize;

use crate::{Code, Digest, Fault, Result, Retry};

/// The one byte string that a value has under RFC 8785 (JSON Canonicalization Scheme). Everything that is signed or
/// digested goes through here, so that two parties that agree on a value agree on its bytes.
///
/// # Errors
/// A fault when the value has no JSON form (a map with keys that are not text, for example); a defect of ours.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value).map_err(|error| {
        Fault::new(Code(101), Retry::Never, format!("a value has no canonical JSON form: {error}")).into()
    })
}

/// SHA-256 of [`canonical`].
///
/// # Errors
/// As [`canonical`].
pub fn digest_of<T: Serialize>(value: &T) -> Result<Digest> {
    Ok(Digest::of(&canonical(value)?))
}
