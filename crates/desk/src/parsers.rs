//! What reads bytes from the socket of an unlocked key, without a socket: for the fuzz targets, which alone turn the
//! feature on.

use lexicon::Result;

use crate::KeyHolder;

/// The line with which a process that holds a key answers a line.
///
/// # Errors
/// A fault when the answer cannot be written; a defect of ours.
pub fn answered(holder: &KeyHolder, line: &[u8]) -> Result<Vec<u8>> {
    crate::unlocked::line_answered(holder, line)
}

/// What the process that asked understands of the answer, written again.
///
/// # Errors
/// A fault when it is no answer.
pub fn reply(line: &[u8]) -> Result<Vec<u8>> {
    crate::unlocked::reply_again(line)
}
