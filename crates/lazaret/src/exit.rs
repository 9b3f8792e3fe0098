//! Exit statuses: what a script can know without reading.

use lexicon::{Retry, Trouble};

/// Done.
pub(crate) const OK: u8 = 0;
/// The environment failed; trying again will not help.
pub(crate) const FAILURE: u8 = 1;
/// The command line does not parse.
pub(crate) const USAGE: u8 = 2;
/// A rule says no.
pub(crate) const REFUSED: u8 = 3;
/// It is another person's turn first.
pub(crate) const ANOTHER_PERSON: u8 = 4;
/// Evidence does not hold, or something is not as it was signed.
pub(crate) const MISMATCH: u8 = 5;
/// Who asks is not known, or the passphrase is wrong.
pub(crate) const AUTHENTICATION: u8 = 6;
/// The server or a database cannot be reached.
pub(crate) const UNREACHABLE: u8 = 7;
/// Try again later.
pub(crate) const RETRY: u8 = 75;

/// The status that a trouble ends with.
pub(crate) fn status(trouble: &Trouble) -> u8 {
    match trouble {
        Trouble::Alarm(_) => MISMATCH,
        Trouble::Fault(fault) if matches!(fault.code.0, 402 | 1201) => UNREACHABLE,
        Trouble::Fault(fault) if fault.retry == Retry::Never => FAILURE,
        Trouble::Fault(_) => RETRY,
        Trouble::Refusal(refusal) => match refusal.code.0 {
            120..=128 | 131 | 140 | 141 | 423 | 803 => AUTHENTICATION,
            229 | 241 | 244 | 245 | 612 | 631 | 634 => ANOTHER_PERSON,
            273 | 1226 => RETRY,
            900..=999 => MISMATCH,
            _ => REFUSED,
        },
    }
}
