//! What outlives the keys of a ring: a folder of its own, held by one process, with a tombstone for every consignment
//! whose key's destruction has begun. A tombstone is set before the first step of a destruction and never removed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use journal::Receipt;
use lexicon::{Alarm, Code, ConsignmentId, Refusal, Result, Timestamp, canonical, millisecond_after};
use serde::{Deserialize, Serialize};

use super::flaw::Flaw;
use super::{RingEvidence, Said, WAS_BACK};
use crate::disk::{self, Disk, bytes_left, fault};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tombstone {
    pub(super) consignment: ConsignmentId,
    pub(super) receipt_index: u64,
    pub(super) receipt_root: lexicon::Digest,
    pub(super) found: bool,
    pub(super) begun_at: Timestamp,
    /// Of a key that was destroyed and was then there again: when it was destroyed before. The evidence is of the last
    /// destruction that was needed.
    pub(super) back: Option<Timestamp>,
    /// What the ring says of the destruction; none until its last step is done.
    pub(super) evidence: Option<RingEvidence>,
    /// That the journal has the fact of the destruction, as the number of its last leaf when the ring was told so; none
    /// until then. See [`super::KeyRing::engrave`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recorded: Option<u64>,
    /// All that was wrong with the key when it was looked at, before it was deleted; each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) flaws: Vec<Flaw>,
}

/// Beside the tombstones: a file of nothing.
const RESERVE: &str = "reserve";
/// 256 KiB: a tombstone of some KiB that is written twice, an epoch, and one living key of 8 KiB that is carried into it at
/// a time, each beside what it takes the place of.
const RESERVE_BYTES: usize = 256 * 1024;

/// What stands on the grave.
pub(super) enum Mark {
    Nothing,
    /// There is a tombstone and it cannot be read: as good as begun, since only a destruction ever sets one.
    Illegible,
    Legible(Box<Tombstone>),
}

impl Tombstone {
    pub(super) fn begin(id: ConsignmentId, seen: &Receipt, found: bool, begun_at: Timestamp) -> Self {
        Self {
            consignment: id,
            receipt_index: seen.index(),
            receipt_root: seen.root(),
            found,
            begun_at,
            back: None,
            evidence: None,
            recorded: None,
            flaws: Vec::new(),
        }
    }

    /// Takes down that the key is there and what is wrong with it; whether that says more than was known.
    pub(super) fn sees(&mut self, flaws: &[Flaw]) -> bool {
        let known = (self.found, self.flaws.len());
        self.found = true;
        for flaw in flaws {
            if !self.flaws.contains(flaw) {
                self.flaws.push(*flaw);
            }
        }
        known != (self.found, self.flaws.len())
    }

    /// Whether the key was never wholly destroyed: its first destruction has begun and is not finished. Of a key that came
    /// back the first one was.
    pub(super) fn is_fresh(&self) -> bool {
        self.evidence.is_none() && self.back.is_none()
    }

    /// The sentence of the ring's own that comes first in the evidence of a key that was destroyed and was then there
    /// again; the answers of the key's place follow it. None of a key that never came back.
    pub(super) fn was_back(&self) -> Option<Said> {
        let before = self.back?;
        Some(Said {
            asked: format!("whether the key that was destroyed at {before} is gone"),
            answered: WAS_BACK.to_owned(),
            request: None,
        })
    }
}

/// The folder of a ring, and in it the folder with a file for each tombstone.
pub(super) struct Tombs {
    folder: PathBuf,
    /// The second of the two.
    stones: PathBuf,
    /// Locked while the ring is open: two processes would each believe to be the one that destroys.
    _held: File,
}

impl Tombs {
    /// Takes the folder, making it when it is not there.
    ///
    /// # Errors
    /// A refusal when it lies under `data_folder` or around it, when other people can enter it, or when another
    /// process holds it; a fault of the disk.
    pub(super) fn open(folder: &Path, data_folder: &Path) -> Result<Self> {
        let folder = apart(folder, data_folder)?;
        disk::make_folder(&folder)?;
        closed_to_others(&folder)?;
        let held = hold(&folder.join("lock"))?;
        let stones = folder.join("tombs");
        disk::make_folder(&stones)?;
        let tombs = Self { folder, stones, _held: held };
        tombs.keep_reserve();
        Ok(tombs)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder with the tombstones themselves.
    pub(super) fn stones(&self) -> &Path {
        &self.stones
    }

    pub(super) fn path(&self, id: ConsignmentId) -> PathBuf {
        self.stones.join(format!("{id}.tomb"))
    }

    pub(super) fn mark(&self, id: ConsignmentId) -> Result<Mark> {
        self.marked(id, bytes_left(&self.path(id)))
    }

    /// What was read at a tombstone's place says. Where the folder itself gives a name out no more, a living key, which has no
    /// tombstone, must not pass for a dying one: the next destruction would leave it behind.
    pub(super) fn marked(&self, id: ConsignmentId, left: io::Result<Option<Vec<u8>>>) -> Result<Mark> {
        let bytes = match left {
            Ok(Some(bytes)) => bytes,
            Ok(None) if self.ids()?.contains(&id) => return Ok(Mark::Illegible),
            Ok(None) => return Err(fault("look for a tombstone", &ErrorKind::Other.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Mark::Nothing),
            Err(error) => return Err(fault("read a tombstone", &error)),
        };
        let tombstone = serde_json::from_slice::<Tombstone>(&bytes).ok().filter(|stone| stone.consignment == id);
        Ok(tombstone.map_or(Mark::Illegible, |stone| Mark::Legible(Box::new(stone))))
    }

    /// Refuses what a key whose destruction has begun must not do any more.
    pub(super) fn unmarked(&self, id: ConsignmentId) -> Result<()> {
        if matches!(self.mark(id)?, Mark::Nothing) { Ok(()) } else { Err(destroyed(id).into()) }
    }

    /// A full disk holds up no destruction: what was kept for it is given up. Nor does a folder in a tombstone's
    /// place, which a file cannot take: it is moved aside.
    pub(super) fn set(&self, disk: &Disk, stone: &Tombstone) -> Result<()> {
        let (path, bytes) = (self.path(stone.consignment), canonical(stone)?);
        if path.is_dir() {
            // Where that fails, so does what follows, and says so.
            drop(fs::rename(&path, path.with_added_extension("lost")));
        }
        match disk.place(&path, &bytes) {
            Err(full) if full.code() == Code(742) && fs::remove_file(self.folder.join(RESERVE)).is_ok() => {
                disk.place(&path, &bytes)
            }
            set => set,
        }
    }

    /// Takes the space that a destruction needs while there is some. A disk that gives none is told of by what needs it.
    fn keep_reserve(&self) {
        let path = self.folder.join(RESERVE);
        let whole = u64::try_from(RESERVE_BYTES).unwrap_or(u64::MAX);
        if fs::metadata(&path).is_ok_and(|reserve| reserve.len() == whole) {
            return;
        }
        let made = disk::private(OpenOptions::new().write(true).create(true).truncate(true))
            .open(&path)
            .and_then(|mut file| file.write_all(&vec![0; RESERVE_BYTES]).and_then(|()| file.sync_all()));
        if made.is_err() {
            // Half of it would be in the way of what it is for.
            drop(fs::remove_file(&path));
        }
    }

    /// As [`super::KeyRing::engrave`].
    pub(super) fn engrave(&self, disk: &Disk, id: ConsignmentId, recorded: &Receipt) -> Result<()> {
        match self.mark(id)? {
            Mark::Legible(stone) if stone.evidence.is_some() && stone.recorded.is_none() => {
                self.set(disk, &Tombstone { recorded: Some(recorded.index()), ..*stone })?;
                self.keep_reserve();
                Ok(())
            }
            Mark::Nothing | Mark::Illegible | Mark::Legible(_) => Ok(()),
        }
    }

    /// Begins again for a key that is back, before anything is done to it: were that cut, the evidence of the destruction
    /// before must not stand any more.
    pub(super) fn begin_again(
        &self,
        disk: &Disk,
        stone: &Tombstone,
        before: &RingEvidence,
        now: Timestamp,
    ) -> Result<Tombstone> {
        // Later than that, whatever the clock says, or nobody could tell the two apart.
        let begun_at = now.max(millisecond_after(before.destroyed_at));
        let back = Some(before.destroyed_at);
        let stone = Tombstone { found: true, begun_at, back, evidence: None, ..stone.clone() };
        self.set(disk, &stone)?;
        Ok(stone)
    }

    /// The consignments that have a tombstone, sorted.
    pub(super) fn ids(&self) -> Result<Vec<ConsignmentId>> {
        listed(&self.stones, "tomb")
    }

    /// Those of these consignments that have no tombstone, sorted, each once.
    pub(super) fn without_tombstone(&self, ids: Vec<ConsignmentId>) -> Result<Vec<ConsignmentId>> {
        let dying: BTreeSet<ConsignmentId> = self.ids()?.into_iter().collect();
        let living: BTreeSet<ConsignmentId> = ids.into_iter().filter(|id| !dying.contains(id)).collect();
        Ok(living.into_iter().collect())
    }
}

pub(super) fn destroyed(id: ConsignmentId) -> Refusal {
    Refusal::new(
        Code(707),
        format!("the ring key of consignment {id} is destroyed or being destroyed; there is no other"),
        "Open a new consignment.",
    )
}

/// A key that lies in another kind of place is not destroyed by asking this one.
pub(super) fn of_another_kind(where_keys_lie: &str) -> Refusal {
    Refusal::new(
        Code(719),
        format!("the key ring's folder is one of another kind of ring: {where_keys_lie}"),
        "Configure the kind of key ring that it was made for, or name a new, empty folder for this one.",
    )
}

pub(super) fn absent(id: ConsignmentId) -> Refusal {
    Refusal::new(
        Code(705),
        format!("the key ring has no key for consignment {id}"),
        "Abandon the consignment and open a new one: ring keys are not backed up, on purpose.",
    )
}

fn returned(id: ConsignmentId) -> Alarm {
    Alarm::new(
        Code(709),
        format!("the destroyed ring key of consignment {id} was back in the key ring, and is destroyed again"),
    )
}

/// The evidence of a destruction, unless it had to be done again.
pub(super) fn unless_back(id: ConsignmentId, (evidence, back): (RingEvidence, bool)) -> Result<RingEvidence> {
    if back { Err(returned(id).into()) } else { Ok(evidence) }
}

pub(super) fn does_not_open(id: ConsignmentId) -> Alarm {
    Alarm::new(Code(706), format!("what should be wrapped under the ring key of consignment {id} does not open"))
}

/// What is sealed is bound to its consignment too.
pub(super) fn bound(id: ConsignmentId, aad: &[u8]) -> Vec<u8> {
    [id.0.as_slice(), aad].concat()
}

/// The ring's folder, resolved, when neither it nor the data folder lies within the other.
fn apart(folder: &Path, data_folder: &Path) -> Result<PathBuf> {
    let (ring, data) = (resolved(folder)?, resolved(data_folder)?);
    if ring.starts_with(&data) || data.starts_with(&ring) {
        return Err(Refusal::new(
            Code(702),
            "the key ring's folder and the data folder lie one within the other",
            "Give the key ring a folder of its own that no backup of the data reaches.",
        )
        .into());
    }
    Ok(ring)
}

/// A path without links, as far as it exists.
fn resolved(path: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(path).map_err(|error| disk::fault("resolve a folder", &error))?;
    for there in whole.ancestors() {
        if let Ok(real) = there.canonicalize() {
            let rest = whole.strip_prefix(there).unwrap_or(Path::new(""));
            if rest.components().any(|part| matches!(part, Component::ParentDir)) {
                break;
            }
            return Ok(real.join(rest));
        }
    }
    Err(Refusal::new(
        Code(702),
        "the folder of the key ring or of the data cannot be resolved",
        "Give a plain absolute path.",
    )
    .into())
}

fn closed_to_others(folder: &Path) -> Result<()> {
    if disk::open_to_others(folder)? {
        return Err(Refusal::new(
            Code(710),
            "other people of this machine can enter the key ring's folder",
            "Take their permissions away (chmod 700) and ask who has read it.",
        )
        .into());
    }
    Ok(())
}

fn hold(path: &Path) -> Result<File> {
    let file = disk::private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(path)
        .map_err(|error| disk::fault("open the ring's lock", &error))?;
    file.try_lock().map_err(|_| {
        Refusal::new(
            Code(711),
            "another process holds the key ring",
            "Stop the other server first; one ring, one server.",
        )
    })?;
    Ok(file)
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = fs::read_dir(folder)
        .and_then(|list| list.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(|error| disk::fault("list a folder", &error))?;
    found.sort();
    Ok(found)
}

/// The consignments that have a file with this ending, sorted. Other names are not ours and not touched.
pub(super) fn listed(folder: &Path, ending: &str) -> Result<Vec<ConsignmentId>> {
    let ours = |path: PathBuf| {
        let ending_fits = path.extension() == Some(OsStr::new(ending));
        let name = path.file_stem().and_then(OsStr::to_str).filter(|_| ending_fits)?;
        name.parse::<ConsignmentId>().ok()
    };
    Ok(entries(folder)?.into_iter().filter_map(ours).collect())
}
