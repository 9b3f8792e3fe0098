//! The shape that a pack's zip file must have: members back to back from the first byte to the last, and nothing else.
//!
//! Zip files can say one thing to one tool and another to the next: bytes before the archive, two members of one name,
//! local headers that name another file. A person opens `statements.md` with their own tool, so whatever it shows must
//! be what was checked here.

use lexicon::Result;

use crate::trouble::no_pack;

/// One member as the central directory tells it.
pub(crate) struct Member<'z> {
    pub(crate) name: &'z str,
    pub(crate) header_start: u64,
    pub(crate) central_start: u64,
    pub(crate) compressed: u64,
}

/// A local header without name and extra field, a central header, and the end of the directory: APPNOTE 4.3.7, 4.3.12,
/// 4.3.16.
const LOCAL_BYTES: u64 = 30;
const CENTRAL_BYTES: u64 = 46;
const END_BYTES: u64 = 22;

/// Checks that `members`, in the directory's order, fill the file with no gap, no overlap and no extra fields.
pub(crate) fn check(zip: &[u8], directory_start: u64, members: &[Member<'_>]) -> Result<()> {
    let mut at = 0_u64;
    for member in members {
        let name = u64::try_from(member.name.len()).unwrap_or(u64::MAX);
        let data = at.saturating_add(LOCAL_BYTES).saturating_add(name);
        if member.header_start != at || local_name(zip, at, data) != Some(member.name.as_bytes()) {
            return Err(no_pack("its members do not stand back to back under their own names"));
        }
        if bytes(zip, at, 4) != Some(b"PK\x03\x04") || bytes(zip, at.saturating_add(28), 2) != Some(&[0, 0]) {
            return Err(no_pack("a member has fields that no pack has"));
        }
        at = data.saturating_add(member.compressed);
    }
    let found = bytes(zip, directory_start, 4);
    if directory_start != at || (found != Some(b"PK\x01\x02") && !members.is_empty()) {
        return Err(no_pack("there are bytes between its members and its directory"));
    }
    for member in members {
        if member.central_start != at {
            return Err(no_pack("its directory has gaps"));
        }
        let name = u64::try_from(member.name.len()).unwrap_or(u64::MAX);
        at = at.saturating_add(CENTRAL_BYTES).saturating_add(name);
    }
    if u64::try_from(zip.len()) != Ok(at.saturating_add(END_BYTES)) || bytes(zip, at, 4) != Some(b"PK\x05\x06") {
        return Err(no_pack("there are bytes after its directory"));
    }
    Ok(())
}

fn bytes(zip: &[u8], from: u64, count: u64) -> Option<&[u8]> {
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(from.checked_add(count)?).ok()?);
    zip.get(from..to)
}

/// The name in the local header at `at`, whose data begins at `data`.
fn local_name(zip: &[u8], at: u64, data: u64) -> Option<&[u8]> {
    let from = at.checked_add(LOCAL_BYTES)?;
    let said = bytes(zip, at.checked_add(26)?, 2)?;
    let length = u64::from(u16::from_le_bytes(said.try_into().ok()?));
    if from.checked_add(length)? != data {
        return None;
    }
    bytes(zip, from, length)
}
