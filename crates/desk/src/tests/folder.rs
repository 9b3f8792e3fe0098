//! The folder: closed to others, written whole or not at all, and really emptied when it must be.

use lexicon::ConsignmentId;
use people::{OpeningKey, Passphrase};
use procedure::ProbeResult;

use super::*;
use crate::{Round, files};

const ROUND: Round = Round { migration: MIGRATION, consignment: ConsignmentId([5; 16]) };

fn home() -> (TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::create(&folder.path().join("a/home")).unwrap();
    (folder, home)
}

#[cfg(unix)]
#[test]
fn every_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    fn look(folder: &std::path::Path, seen: &mut usize) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let about = entry.metadata().unwrap();
            let expected = if about.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(about.permissions().mode() & 0o777, expected, "{:?}", entry.path());
            *seen += 1;
            if about.is_dir() {
                look(&entry.path(), seen);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let world = runtime.block_on(World::begun());
    let home = world.claire.home();
    home.keep_document(MIGRATION, b"scope").unwrap();
    home.keep_share(ROUND, b"share", &Passphrase::new("p")).unwrap();
    let mut seen = 0;
    look(home.folder(), &mut seen);
    assert!(seen > 12, "{seen}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, home) = home();
    for mode in [0o750, 0o705, 0o710] {
        std::fs::set_permissions(home.folder(), std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(outcome(Home::open(home.folder())), (1213, false), "{mode:o}");
    }
    assert_eq!(outcome(Home::open(&home.folder().join("nowhere"))), (1214, false));
}

#[test]
fn a_new_card_is_taken_from_the_servers_key_only_and_never_an_older_one() {
    let (_folder, home) = home();
    let (key, other) =
        (SigningKey::draw(&SystemEntropy::new()).unwrap(), SigningKey::draw(&SystemEntropy::new()).unwrap());
    let origin = ServerCard::origin_of("lazaret.example", false, &key.public());
    let (url, fingerprint) = ("https://lazaret.example".to_owned(), Digest::of(b"certificate"));
    let card = ServerCard { url, fingerprint, origin, key: key.public(), demonstration: false, serial: None };
    home.keep_card(&card).unwrap();
    let with = |certificate: &[u8], serial| {
        let fingerprint = Digest::of(certificate);
        ServerCard { fingerprint, serial: Some(serial), ..card.clone() }
    };
    let paper = |card: &ServerCard, key| crate::renewed(card, key).unwrap();

    let first = paper(&with(b"first", 1), &key);
    for _ in 0..2 {
        assert_eq!(home.renew_card(&first).unwrap(), home.card().unwrap());
        assert_eq!(home.card().unwrap(), with(b"first", 1));
    }
    home.renew_card(&paper(&with(b"second", 2), &key)).unwrap();
    for older in [with(b"first", 1), with(b"another", 2), card.clone()] {
        assert_eq!(outcome(home.renew_card(&paper(&older, &key))), (1255, false));
    }
    let (elsewhere, taken) = (
        ServerCard { origin: "elsewhere.example/journal/0".to_owned(), ..with(b"third", 3) },
        ServerCard { key: other.public(), ..with(b"third", 3) },
    );
    for card in [elsewhere, taken] {
        assert_eq!(outcome(home.renew_card(&paper(&card, &key))), (1254, false));
    }
    assert!(home.renew_card(&paper(&with(b"third", 3), &other)).is_err());
    assert_eq!(home.card().unwrap(), with(b"second", 2), "what was refused is kept");

    // A device that was invited with a renewed card takes none from before it, either.
    let (_folder, invited) = self::home();
    invited.keep_card(&with(b"second", 2)).unwrap();
    assert_eq!(outcome(invited.renew_card(&first)), (1255, false));
    invited.renew_card(&paper(&with(b"third", 3), &key)).unwrap();
}

#[test]
fn a_card_whose_mark_was_dropped_is_an_alarm() {
    let (_folder, home) = home();
    let key = SigningKey::draw(&SystemEntropy::new()).unwrap().public();
    for demonstration in [false, true] {
        let origin = ServerCard::origin_of("lazaret.example", demonstration, &key);
        let (url, fingerprint) = ("https://lazaret.example".to_owned(), Digest::of(b"certificate"));
        let card = ServerCard { url, fingerprint, origin, key, demonstration, serial: None };
        home.keep_card(&card).unwrap();
        assert_eq!(home.card().unwrap(), card);
        home.keep_card(&ServerCard { demonstration: !demonstration, ..card }).unwrap();
        assert_eq!(outcome(home.card()), (1212, true));
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_or_not_at_all() {
    let (_folder, home) = home();
    let path = home.folder().join("file");
    files::write(&path, b"one").unwrap();
    files::write(&path, b"two").unwrap();
    assert_eq!(files::read(&path).unwrap().unwrap(), b"two");
    // Where a file cannot be put, the old content stands and no draft is left.
    let blocked = home.folder().join("folder");
    files::write(&blocked.join("inside"), b"x").unwrap();
    assert_eq!(outcome(files::write(&blocked, b"three")), (1211, false));
    assert_eq!(files::all_names(home.folder()).unwrap(), ["file", "folder"]);
}

#[test]
fn a_changed_document_root_or_checkpoint_is_an_alarm() {
    let world = World::new();
    let home = world.claire.home();
    let digest = home.keep_document(MIGRATION, b"scope").unwrap();
    files::write(&home.of(MIGRATION).join(format!("documents/{digest}")), b"other").unwrap();
    assert_eq!(outcome(home.document(MIGRATION, digest)), (1212, true));
    home.keep_checkpoint("nothing\n").unwrap();
    assert_eq!(outcome(home.checkpoint(&world.card)), (1212, true));
    let (mine, other) = (world.laboratory.root.id(), &world.vendor.root);
    files::write_json(&home.folder().join(format!("trust/{mine}.json")), other).unwrap();
    assert_eq!(outcome(home.trusted()), (1212, true), "one root under another's name");
}

#[test]
fn a_share_and_an_opening_key_come_back_with_the_passphrase_only() {
    let (_folder, home) = home();
    let passphrase = Passphrase::new("correct horse");
    home.keep_share(ROUND, b"the laboratory share", &passphrase).unwrap();
    assert_eq!(home.share(ROUND, &passphrase).unwrap().unwrap().as_slice(), b"the laboratory share");
    assert_eq!(outcome(home.share(ROUND, &Passphrase::new("wrong"))), (131, false));
    assert_eq!(outcome(home.keep_share(ROUND, b"another", &passphrase)), (1215, false));
    let (first, second) = (OpeningKey::draw(), OpeningKey::draw());
    home.keep_opening_key(ROUND, &first, &passphrase).unwrap();
    home.keep_opening_key(ROUND, &second, &passphrase).unwrap();
    assert_eq!(home.opening_key(ROUND, &passphrase).unwrap().unwrap().recipient(), second.recipient());
    home.keep_probe(ROUND, &"name", b"sealed").unwrap();
    assert_eq!(home.probe::<String>(ROUND).unwrap().unwrap(), ("name".to_owned(), b"sealed".to_vec()));
    assert_eq!(home.rounds().unwrap(), [ROUND]);
}

#[test]
fn a_destroyed_round_stays_destroyed() {
    let world = World::new();
    let home = world.claire.home();
    let passphrase = Passphrase::new("p");
    home.keep_share(ROUND, b"share", &passphrase).unwrap();
    home.keep_probe(ROUND, &"name", b"sealed").unwrap();
    let path = home.of(MIGRATION).join(format!("consignments/{}", ROUND.consignment));
    let backup = files::read(&path.join("laboratory.share")).unwrap().unwrap();
    let gone = home.destroy(ROUND, start()).unwrap();
    assert_eq!((gone.keys, gone.at, gone.finished), (1, start(), true));
    assert_eq!(files::all_names(&path).unwrap(), ["gone.json"]);
    assert_eq!(home.destroy(ROUND, hours_after(start(), 1)).unwrap(), gone, "the first time counts");
    assert_eq!(outcome(home.keep_share(ROUND, b"share", &passphrase)), (1219, false));
    // Somebody restores a backup: found when the desk is opened, destroyed again, and told.
    files::write(&path.join("laboratory.share"), &backup).unwrap();
    let desk = world.claire.reopened(&world);
    assert_eq!(desk.returned(), [ROUND]);
    assert_eq!(files::all_names(&path).unwrap(), ["gone.json"]);
    assert!(world.claire.reopened(&world).returned().is_empty());
}

#[test]
fn a_destruction_that_was_cut_is_finished_and_is_no_alarm() {
    let world = World::new();
    let home = world.claire.home();
    home.keep_share(ROUND, b"share", &Passphrase::new("p")).unwrap();
    let path = home.of(MIGRATION).join(format!("consignments/{}", ROUND.consignment));
    let cut = crate::Gone { keys: 1, ..crate::Gone::begun(start()) };
    files::write_json(&path.join("gone.json"), &cut).unwrap();
    let desk = world.claire.reopened(&world);
    assert!(desk.returned().is_empty());
    assert_eq!(home.gone(ROUND).unwrap().unwrap(), crate::Gone { finished: true, ..cut });
    assert_eq!(files::all_names(&path).unwrap(), ["gone.json"]);
}

#[test]
fn what_a_probe_saw_is_known_after_a_destruction_that_was_cut() {
    let (_folder, home) = home();
    home.keep_share(ROUND, b"share", &Passphrase::new("p")).unwrap();
    home.destroy_probed(ROUND, start(), Some(ProbeResult::Failed)).unwrap();
    // Given again, there is nothing left to probe with.
    let again = home.destroy_probed(ROUND, start(), None).unwrap();
    assert_eq!((again.keys, again.probe), (1, Some(ProbeResult::Failed)));
}

#[test]
fn an_erased_file_holds_nothing_of_what_it_held() {
    let (_folder, home) = home();
    let path = home.folder().join("secret");
    files::write(&path, &[0xA5; 10_000]).unwrap();
    // A second name for the same blocks shows what is left in them.
    let witness = home.folder().join("witness");
    std::fs::hard_link(&path, &witness).unwrap();
    assert!(files::erase(&path).unwrap());
    assert!(!files::erase(&path).unwrap());
    assert_eq!(std::fs::read(&witness).unwrap(), vec![0; 10_000]);
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_overwritten_is_removed_all_the_same() {
    let (_folder, home) = home();
    let path = home.folder().join("secret");
    // It leads to itself: not even root opens it.
    std::os::unix::fs::symlink("secret", &path).unwrap();
    assert!(files::erase(&path).unwrap());
    assert!(files::all_names(home.folder()).unwrap().is_empty());
}

#[test]
fn what_a_destruction_waits_on_is_made_with_the_first_key() {
    let (_folder, home) = home();
    home.keep_share(ROUND, b"share", &Passphrase::new("p")).unwrap();
    assert_eq!(files::all_names(home.folder()).unwrap(), ["destroying", "migrations"]);
}
