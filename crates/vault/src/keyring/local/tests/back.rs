//! Key files that somebody puts back after their destruction.

use lexicon::hours_after;

use super::*;

#[test]
fn an_old_key_file_put_back_is_destroyed_again_and_raises_an_alarm() {
    let place = Place::new();
    let (ring, sealed) = place.peopled();
    let path = ring.key_path(DYING);
    let old = fs::read(&path).unwrap();
    ring.destroy(DYING, &receipt()).unwrap();

    // An hour later each time.
    let put_back = || {
        Disk::default().place(&path, &old).unwrap();
        let now = hours_after(place.clock.now(), 1);
        place.clock.set(now);
        now
    };
    let at = put_back();
    assert_eq!(code(&ring.attest(DYING).unwrap_err()), 709);
    assert!(!path.exists());
    assert_eq!(
        ring.attest(DYING).unwrap(),
        KeyState::Destroyed { at, recorded: false },
        "not when it was destroyed for the first time"
    );
    let at = put_back();
    assert_eq!(code(&ring.decrypt(DYING, b"aad", &sealed[&DYING]).unwrap_err()), 707);
    assert_eq!(code(&ring.destroy(DYING, &receipt()).unwrap_err()), 709);
    assert!(!path.exists());
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!((evidence.begun_at, evidence.destroyed_at, evidence.said.len()), (at, at, 3));
    assert_eq!(
        evidence.said[0].to_string(),
        "whether the key that was destroyed at 2027-01-15T09:00:00Z is gone: it was there again"
    );
    assert_eq!(evidence.said[1].answered, "8192 bytes written over, then unlinked");

    let at = put_back();
    drop(ring);
    let ring = place.open();
    assert_eq!(ring.returned(), [DYING]);
    assert!(!path.exists());
    assert_eq!(ring.destroy(DYING, &receipt()).unwrap().destroyed_at, at);
}

#[test]
fn a_key_that_is_back_is_certified_from_its_last_destruction_wherever_that_is_cut() {
    let late = Timestamp::from_second(1_900_000_000).unwrap();
    for changes in 0.. {
        let place = Place::new();
        let (ring, _) = place.peopled();
        let path = ring.key_path(DYING);
        let old = fs::read(&path).unwrap();
        ring.destroy(DYING, &receipt()).unwrap();
        Disk::default().place(&path, &old).unwrap();
        place.clock.set(late);
        ring.disk.stop.after(changes, true);
        let told = code(&ring.destroy(DYING, &receipt()).unwrap_err());
        drop(ring);

        let ring = place.open();
        let evidence = ring.destroy(DYING, &receipt()).unwrap();
        assert_eq!((evidence.found, evidence.begun_at, evidence.destroyed_at), (true, late, late), "{changes}");
        assert!(evidence.said[0].answered == "it was there again" && !path.exists(), "{changes}: {evidence:?}");
        if told == 709 {
            // As the first time.
            assert_eq!(changes, 3 + 3 + 1 + 2 * LIVING.len() + 1 + 3);
            return;
        }
        // The last change makes durable what is whole.
        let last = changes == 3 + 3 + 1 + 2 * LIVING.len() + 1 + 2;
        assert_eq!(ring.returned().is_empty(), last, "{changes}: who opens the ring hears of it");
    }
}
