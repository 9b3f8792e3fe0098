//! Keys and tombstones that the disk gives out no more, or not as they were written.

use super::*;

#[test]
fn a_key_whose_bytes_the_disk_lost_holds_back_no_other_destruction_and_no_start() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    // As a bad sector does, whoever asks: what is there cannot be read.
    let lost = ring.key_path(LIVING[1]);
    fs::remove_file(&lost).unwrap();
    fs::create_dir(&lost).unwrap();
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!((evidence.unreadable, told(&evidence)), (1, "epoch 1; living keys carried over: 1, not readable: 1"));
    drop(ring);
    let ring = place.open();
    assert_eq!(ring.decrypt(LIVING[0], b"aad", &sealed[&LIVING[0]]).unwrap().as_slice(), LIVING[0].0);
    assert_eq!(code(&ring.decrypt(LIVING[1], b"aad", &sealed[&LIVING[1]]).unwrap_err()), 701, "told as what it is");
}

#[test]
fn a_tombstone_that_cannot_be_read_counts_as_a_destruction_begun() {
    let place = Place::new();
    let (ring, _) = place.peopled();
    Disk::default().place(&ring.tombs.path(DYING), b"{").unwrap();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);
    assert_eq!(code(&ring.encrypt(DYING, b"", b"").unwrap_err()), 707);
    drop(ring);
    let ring = place.open();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);
    assert!(ring.destroy(DYING, &receipt()).unwrap().found);
}

#[test]
fn a_tombstone_whose_bytes_the_disk_lost_holds_back_no_start_and_no_destruction() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    // As a bad sector does, whoever asks: what is there cannot be read. Nor can a file take its place.
    let lost = ring.tombs.path(DYING);
    fs::create_dir_all(lost.join("of somebody")).unwrap();
    drop(ring);
    let ring = place.open();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);
    assert_eq!(code(&ring.decrypt(DYING, b"aad", &sealed[&DYING]).unwrap_err()), 707);
    assert_eq!(ring.decrypt(LIVING[0], b"aad", &sealed[&LIVING[0]]).unwrap().as_slice(), LIVING[0].0);
    let evidence = ring.destroy(LIVING[1], &receipt()).unwrap();
    assert_eq!(told(&evidence), "epoch 1; living keys carried over: 1, not readable: 0", "the dying one stays behind");

    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert!(evidence.found && lost.is_file() && !ring.key_path(DYING).exists());
    drop(ring);
    let ring = place.open();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: evidence.destroyed_at, recorded: false });
    assert_eq!(ring.decrypt(LIVING[0], b"aad", &sealed[&LIVING[0]]).unwrap().as_slice(), LIVING[0].0);
}

#[test]
fn a_folder_that_cannot_say_whether_there_is_a_tombstone_makes_no_living_key_a_dying_one() {
    let place = Place::new();
    let (ring, _) = place.peopled();
    let lost = |id| ring.tombs.marked(id, Ok(None)).map(drop);
    assert_eq!(code(&lost(LIVING[0]).unwrap_err()), 701);
    fs::create_dir_all(ring.tombs.path(DYING)).unwrap();
    lost(DYING).unwrap();
}
