mod back;
mod lost;

use std::collections::BTreeMap;
use std::fs;

use lexicon::{Digest, FixedClock, SystemEntropy, Timestamp, Trouble};
use tempfile::TempDir;

use super::*;

const DYING: ConsignmentId = ConsignmentId([1; 16]);
const LIVING: [ConsignmentId; 2] = [ConsignmentId([2; 16]), ConsignmentId([3; 16])];

struct Place {
    _dir: TempDir,
    ring: PathBuf,
    data: PathBuf,
    clock: Arc<FixedClock>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ring, data) = (dir.path().join("ring"), dir.path().join("data"));
        fs::create_dir(&data).unwrap();
        Self { _dir: dir, ring, data, clock: Arc::new(FixedClock::new(Timestamp::from_second(1_800_000_000).unwrap())) }
    }

    fn open_at(&self, folder: &Path, secret: u8) -> Result<LocalRing> {
        let secret = Secret::new(vec![secret; 32])?;
        LocalRing::open(folder, secret, &self.data, self.clock.clone(), Arc::new(SystemEntropy::new()))
    }

    fn open(&self) -> LocalRing {
        self.open_at(&self.ring, 7).unwrap()
    }

    /// A ring with three living keys, and what each has wrapped.
    fn peopled(&self) -> (LocalRing, BTreeMap<ConsignmentId, Vec<u8>>) {
        let ring = self.open();
        let mut sealed = BTreeMap::new();
        for id in [DYING, LIVING[0], LIVING[1]] {
            ring.create(id).unwrap();
            sealed.insert(id, ring.encrypt(id, b"aad", &id.0).unwrap());
        }
        (ring, sealed)
    }
}

fn receipt() -> Receipt {
    Receipt::of_committed(41, Digest([4; 32]))
}

fn code(trouble: &Trouble) -> u16 {
    trouble.code().0
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in entries(folder).unwrap() {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    disk::make_folder(to).unwrap();
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        disk::make_folder(target.parent().unwrap()).unwrap();
        Disk::default().place(&target, &bytes).unwrap();
    }
}

fn holds(folder: &Path, needle: &[u8]) -> bool {
    files(folder).values().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

/// The secret bytes of the first epoch, and the wrapped key of one file made in it.
fn traces(place: &Place) -> [Vec<u8>; 2] {
    let epoch = fs::read(place.ring.join("epoch")).unwrap()[16..48].to_vec();
    let wrapped = fs::read(place.ring.join("keys").join(format!("{DYING}.key"))).unwrap()[16..76].to_vec();
    [epoch, wrapped]
}

/// What the ring says of its new epoch.
fn told(evidence: &RingEvidence) -> &str {
    &evidence.said.last().unwrap().answered
}

#[test]
fn what_one_key_wrapped_opens_under_that_key_and_its_aad_only() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    let wrapped = &sealed[&DYING];
    assert_eq!(ring.decrypt(DYING, b"aad", wrapped).unwrap().as_slice(), DYING.0);
    assert!(!wrapped.windows(16).any(|window| window == DYING.0), "the share must not lie in clear");

    assert_eq!(code(&ring.decrypt(DYING, b"other", wrapped).unwrap_err()), 706);
    assert_eq!(code(&ring.decrypt(LIVING[0], b"aad", wrapped).unwrap_err()), 706);
    assert_eq!(code(&ring.decrypt(DYING, b"aad", b"").unwrap_err()), 706);
    for at in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[at] ^= 1;
        assert!(matches!(ring.decrypt(DYING, b"aad", &altered), Err(Trouble::Alarm(_))), "byte {at}");
        assert!(matches!(ring.decrypt(DYING, b"aad", &wrapped[..at]), Err(Trouble::Alarm(_))), "cut at {at}");
    }
}

#[test]
fn a_key_outlives_the_process_and_is_not_made_twice() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    ring.create(DYING).unwrap();
    drop(ring);
    assert_eq!(place.open().decrypt(DYING, b"aad", &sealed[&DYING]).unwrap().as_slice(), DYING.0);
}

#[test]
fn a_ring_within_the_data_folder_or_around_it_is_refused() {
    let place = Place::new();
    for folder in [
        place.data.clone(),
        place.data.join("ring"),
        place.data.join("a/b/c"),
        place.data.parent().unwrap().to_owned(),
        place.ring.join("../data/ring"),
        place.data.join("../data/ring"),
    ] {
        assert_eq!(code(&place.open_at(&folder, 7).err().unwrap()), 702, "{folder:?}");
    }
    assert!(files(&place.data).is_empty() && !place.data.join("ring").exists(), "a refused ring leaves nothing");
}

#[cfg(unix)]
#[test]
fn a_link_into_the_data_folder_is_refused() {
    let place = Place::new();
    std::os::unix::fs::symlink(&place.data, &place.ring).unwrap();
    assert_eq!(code(&place.open_at(&place.ring, 7).err().unwrap()), 702);
    assert_eq!(code(&place.open_at(&place.ring.join("deeper"), 7).err().unwrap()), 702);
}

#[cfg(unix)]
#[test]
fn a_ring_that_others_can_enter_is_refused_and_its_files_are_the_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    drop(place.peopled());
    for path in files(&place.ring).keys() {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    for mode in [0o750, 0o701, 0o704] {
        fs::set_permissions(&place.ring, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(code(&place.open_at(&place.ring, 7).err().unwrap()), 710, "{mode:o}");
    }
}

#[test]
fn one_ring_has_one_server() {
    let place = Place::new();
    let first = place.open();
    assert_eq!(code(&place.open_at(&place.ring, 7).err().unwrap()), 711);
    drop(first);
    place.open();
}

#[test]
fn another_server_secret_is_refused_and_a_short_one_too() {
    let place = Place::new();
    drop(place.peopled());
    assert_eq!(code(&place.open_at(&place.ring, 8).err().unwrap()), 704);
    assert_eq!(code(&Secret::new(vec![7; 31]).unwrap_err()), 703);
    assert_eq!(format!("{:?}", Secret::new(vec![7; 32]).unwrap()), "(..)");
}

#[test]
fn a_ring_whose_epoch_is_lost_is_an_alarm_and_not_a_new_ring() {
    let place = Place::new();
    drop(place.peopled());
    fs::remove_file(place.ring.join("epoch")).unwrap();
    assert_eq!(code(&place.open_at(&place.ring, 7).err().unwrap()), 708);
    assert!(!place.ring.join("epoch").exists());
}

#[test]
fn destroying_twice_gives_the_same_evidence_and_there_is_no_way_back() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    let traces = traces(&place);
    assert!(traces.iter().all(|trace| holds(&place.ring, trace)), "the search must be able to find");
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Alive);

    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    place.clock.set(Timestamp::from_second(1_900_000_000).unwrap());
    let again = ring.destroy(DYING, &Receipt::of_committed(99, Digest([9; 32]))).unwrap();
    assert_eq!(evidence, again);
    assert_eq!(
        (evidence.found, evidence.unreadable, told(&evidence)),
        (true, 0, "epoch 1; living keys carried over: 2, not readable: 0")
    );
    assert_eq!((evidence.receipt_index, evidence.receipt_root), (41, Digest([4; 32])));

    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: evidence.destroyed_at, recorded: false });
    assert_eq!(code(&ring.create(DYING).unwrap_err()), 707);
    assert_eq!(code(&ring.encrypt(DYING, b"", b"").unwrap_err()), 707);
    assert_eq!(code(&ring.decrypt(DYING, b"aad", &sealed[&DYING]).unwrap_err()), 707);
    assert!(!traces.iter().any(|trace| holds(&place.ring, trace)), "key file and old epoch must be written over");

    drop(ring);
    let ring = place.open();
    assert_eq!(ring.destroy(DYING, &receipt()).unwrap(), evidence);
    assert!(ring.returned().is_empty());
    assert_eq!(code(&ring.create(DYING).unwrap_err()), 707);
}

#[test]
fn a_consignment_that_never_had_a_key_gets_a_tombstone_too() {
    let place = Place::new();
    let ring = place.open();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Absent);
    assert_eq!(code(&ring.encrypt(DYING, b"", b"").unwrap_err()), 705);
    assert!(!ring.destroy(DYING, &receipt()).unwrap().found);
    assert_eq!(code(&ring.create(DYING).unwrap_err()), 707);
}

#[test]
fn living_keys_keep_working_through_many_destructions() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    for round in 10..20 {
        let id = ConsignmentId([round; 16]);
        ring.create(id).unwrap();
        ring.destroy(id, &receipt()).unwrap();
        for living in LIVING {
            assert_eq!(ring.decrypt(living, b"aad", &sealed[&living]).unwrap().as_slice(), living.0);
        }
    }
    drop(ring);
    let ring = place.open();
    assert_eq!(ring.decrypt(LIVING[1], b"aad", &sealed[&LIVING[1]]).unwrap().as_slice(), LIVING[1].0);
    assert_eq!(epoch::read(&ring.epoch, &ring.secret).unwrap().len(), 1);
}

/// Runs one destruction that is cut before its n-th change of the disk, and opens the ring again.
fn cut(changes: usize, torn: bool) -> Option<KeyState> {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    let traces = traces(&place);
    ring.disk.stop.after(changes, torn);
    if ring.destroy(DYING, &receipt()).is_ok() {
        return None;
    }
    let cut = ring.attest(DYING).unwrap();
    if cut != KeyState::Alive {
        assert_eq!(code(&ring.decrypt(DYING, b"aad", &sealed[&DYING]).unwrap_err()), 707);
    }
    drop(ring);

    let ring = place.open();
    let state = ring.attest(DYING).unwrap();
    assert_eq!(cut == KeyState::Alive, state == KeyState::Alive, "opening finishes what began and begins nothing");
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: evidence.destroyed_at, recorded: false });
    assert_eq!((evidence.found, evidence.unreadable), (true, 0));
    assert!(told(&evidence).ends_with("living keys carried over: 2, not readable: 0"), "{evidence:?}");
    assert_eq!(code(&ring.create(DYING).unwrap_err()), 707);
    for living in LIVING {
        assert_eq!(ring.decrypt(living, b"aad", &sealed[&living]).unwrap().as_slice(), living.0);
    }
    assert!(!ring.key_path(DYING).exists());
    assert!(!traces.iter().any(|trace| holds(&place.ring, trace)), "old key file and old epoch are written over");
    assert!(files(&place.ring).keys().all(|path| path.extension() != Some(OsStr::new(UNFINISHED))));
    Some(state)
}

#[test]
fn a_destruction_that_is_cut_at_any_change_is_finished_when_the_ring_opens_again() {
    for torn in [false, true] {
        let mut states = Vec::new();
        while let Some(state) = cut(states.len(), torn) {
            states.push(state);
        }
        // 3 for the tombstone, 3 for the key, 1 for the new epoch, 2 for each living key, 1 for the old epoch, 3 for
        // the evidence.
        assert_eq!(states.len(), 3 + 3 + 1 + 2 * LIVING.len() + 1 + 3);
        let alive = states.iter().take_while(|state| **state == KeyState::Alive).count();
        assert_eq!(alive, 2, "once the tombstone has its name there is no way back");
        assert!(states.iter().skip(alive).all(|state| matches!(state, KeyState::Destroyed { .. })));
    }
}

#[test]
fn a_disk_that_fails_in_the_middle_and_recovers_needs_no_new_process() {
    for changes in 0..15 {
        let place = Place::new();
        let (ring, sealed) = place.peopled();
        ring.disk.stop.after(changes, true);
        assert!(matches!(ring.destroy(DYING, &receipt()), Err(Trouble::Fault(_))), "{changes}");
        let living = LIVING[0];
        assert_eq!(ring.decrypt(living, b"aad", &sealed[&living]).unwrap().as_slice(), living.0, "{changes}");

        ring.disk.stop.after(usize::MAX, false);
        let late = ConsignmentId([9; 16]);
        ring.create(late).unwrap();
        let wrapped = ring.encrypt(late, b"", b"late").unwrap();
        ring.destroy(DYING, &receipt()).unwrap();
        assert_eq!(ring.decrypt(late, b"", &wrapped).unwrap().as_slice(), b"late", "{changes}");
    }
}

#[test]
fn a_creation_that_is_cut_at_any_change_leaves_a_whole_key_or_none() {
    for torn in [false, true] {
        for changes in 0..3 {
            let place = Place::new();
            let ring = place.open();
            ring.disk.stop.after(changes, torn);
            assert!(ring.create(DYING).is_err());
            drop(ring);
            let ring = place.open();
            let expected = if changes < 2 { KeyState::Absent } else { KeyState::Alive };
            assert_eq!(ring.attest(DYING).unwrap(), expected, "{changes}");
            ring.create(DYING).unwrap();
            ring.encrypt(DYING, b"", b"").unwrap();
        }
    }
}

#[test]
fn a_founding_that_is_cut_at_any_change_leaves_a_ring_that_opens() {
    for changes in 0..3 {
        let place = Place::new();
        let disk = Disk::default();
        disk.stop.after(changes, true);
        let secret = Secret::new(vec![7; 32]).unwrap();
        let entropy = Arc::new(SystemEntropy::new());
        let cut = LocalRing::open_on(disk, &place.ring, secret, &place.data, place.clock.clone(), entropy);
        assert!(cut.is_err());
        place.peopled();
    }
}

#[test]
fn an_old_key_file_opens_nothing_in_a_later_epoch_even_without_its_tombstone() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    let path = ring.key_path(DYING);
    let old = fs::read(&path).unwrap();
    ring.destroy(DYING, &receipt()).unwrap();

    fs::remove_file(ring.tombs.path(DYING)).unwrap();
    Disk::default().place(&path, &old).unwrap();
    assert_eq!(code(&ring.decrypt(DYING, b"aad", &sealed[&DYING]).unwrap_err()), 708);
}

#[test]
fn an_old_copy_of_the_folder_opens_nothing_of_a_later_key_even_beside_that_keys_file() {
    let place = Place::new();
    let (ring, _) = place.peopled();
    let old = place.ring.with_file_name("old");
    copy(&place.ring, &old);
    ring.destroy(DYING, &receipt()).unwrap();
    let late = ConsignmentId([9; 16]);
    ring.create(late).unwrap();
    let wrapped = ring.encrypt(late, b"", b"late").unwrap();
    fs::copy(ring.key_path(late), old.join("keys").join(format!("{late}.key"))).unwrap();

    let restored = place.open_at(&old, 7).unwrap();
    assert_eq!(code(&restored.decrypt(late, b"", &wrapped).unwrap_err()), 708);
}

/// The limit that the documentation of [`LocalRing`] states; were it ever to change, the words must change too.
#[test]
fn a_copy_of_the_whole_folder_taken_before_opens_with_the_secret_and_only_with_it() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    let old = place.ring.with_file_name("old");
    copy(&place.ring, &old);
    ring.destroy(DYING, &receipt()).unwrap();

    assert_eq!(code(&place.open_at(&old, 8).err().unwrap()), 704);
    let restored = place.open_at(&old, 7).unwrap();
    assert_eq!(restored.decrypt(DYING, b"aad", &sealed[&DYING]).unwrap().as_slice(), DYING.0);
}

#[test]
fn key_files_cannot_be_exchanged() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    fs::copy(ring.key_path(LIVING[0]), ring.key_path(LIVING[1])).unwrap();
    assert_eq!(code(&ring.decrypt(LIVING[1], b"aad", &sealed[&LIVING[1]]).unwrap_err()), 708);
    assert_eq!(code(&ring.encrypt(LIVING[1], b"aad", b"").unwrap_err()), 708);
}

#[test]
fn a_damaged_key_holds_back_no_other_destruction_and_is_counted() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    Disk::default().overwrite(&ring.key_path(LIVING[1]), 0, &[0; 8192]).unwrap();
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!((evidence.unreadable, told(&evidence)), (1, "epoch 1; living keys carried over: 1, not readable: 1"));
    assert_eq!(ring.decrypt(LIVING[0], b"aad", &sealed[&LIVING[0]]).unwrap().as_slice(), LIVING[0].0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_systems_under_keys_and_epoch_are_both_looked_at_wherever_they_lie() {
    let Ok(memory) = tempfile::Builder::new().prefix("lazaret-").tempdir_in("/dev/shm") else {
        let name = "the_file_systems_under_keys_and_epoch_are_both_looked_at_wherever_they_lie";
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("skipped: {name} (there is no disk in memory at /dev/shm)\n"),
        )
        .unwrap();
        return;
    };
    for keys_in_memory in [true, false] {
        let place = Place::new();
        let in_memory = memory.path().join(format!("keys {keys_in_memory}"));
        let on_disk = place.data.with_file_name("beside");
        let (ring, keys) = if keys_in_memory { (on_disk, in_memory) } else { (in_memory, on_disk) };
        for folder in [&ring, &keys] {
            disk::make_folder(folder).unwrap();
        }
        std::os::unix::fs::symlink(&keys, ring.join("keys")).unwrap();
        let ring = place.open_at(&ring, 7).unwrap();
        ring.create(DYING).unwrap();
        let evidence = ring.destroy(DYING, &receipt()).unwrap();
        assert!(evidence.unlinked && !evidence.words().contains("erase"), "{}", evidence.words());
    }
}

#[test]
fn evidence_of_a_file_system_that_may_keep_old_bytes_says_unlinked_and_never_erased() {
    for (medium, unlinked) in [(Medium::InPlace, false), (Medium::MayKeep("overlay".to_owned()), true)] {
        let place = Place::new();
        let (mut ring, _) = place.peopled();
        ring.medium = medium;
        let evidence = ring.destroy(DYING, &receipt()).unwrap();
        assert_eq!(evidence.unlinked, unlinked);
        assert_eq!(evidence.words().contains("unlinked: overlay"), unlinked, "{}", evidence.words());
        assert_eq!(evidence.words().contains("erase"), !unlinked, "{}", evidence.words());
        assert!(
            evidence.words().contains("written over, then unlinked; begin a new epoch: epoch 1"),
            "{}",
            evidence.words()
        );
    }
}
