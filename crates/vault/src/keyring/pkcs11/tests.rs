//! With SoftHSM, whose module and settings the environment names. A module is one for a whole process: one test at a time.

use std::fs;
use std::process::Command;
use std::sync::MutexGuard;

use lexicon::SystemEntropy;

use super::*;
use crate::keyring::kit::{DYING, Ground, Kind, SERVER, code, copy, keeps_its_word, receipt, write};
use crate::keyring::{KeyRing, KeyState};

static TURN: Mutex<()> = Mutex::new(());

/// A token of its own.
struct Soft {
    ground: Ground,
    place: TokenPlace,
    _turn: MutexGuard<'static, ()>,
}

const PIN: &str = "4711 4711";

fn soft(test: &str) -> Option<Soft> {
    let Some(module) = std::env::var_os("LAZARET_TEST_SOFTHSM") else {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("skipped: {test} (LAZARET_TEST_SOFTHSM is not set)\n"),
        )
        .unwrap();
        return None;
    };
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ground = Ground::new();
    let drawn = SystemEntropy::new();
    let entropy: &dyn Entropy = &drawn;
    let token = format!("ring {:x}", u64::from_be_bytes(entropy.bytes().unwrap()));
    let place = TokenPlace { module: module.into(), token, pin_file: ground.path("pin"), server: SERVER };
    write(&place.pin_file, format!("{PIN}\n").as_bytes());
    let soft = Soft { ground, place, _turn: turn };
    soft.initialise();
    Some(soft)
}

impl Soft {
    /// Makes a new, empty token with the label.
    fn initialise(&self) {
        let mut make = Command::new("softhsm2-util");
        make.args(["--init-token", "--free", "--label", &self.place.token, "--so-pin", "0000 0000", "--pin", PIN]);
        assert!(make.output().unwrap().status.success());
    }

    fn kind(&self) -> Kind {
        Kind::Token(self.place.clone())
    }

    /// Where SoftHSM keeps the token: the folder that ends with its serial number.
    fn folder(&self) -> PathBuf {
        let token = Token::new(self.place.clone(), Arc::new(SystemEntropy::new()));
        let serial = token.with(&|at| Ok(at.info.serial_number().trim_end().to_owned())).unwrap();
        let conf = fs::read_to_string(std::env::var("SOFTHSM2_CONF").unwrap()).unwrap();
        let tokens = conf.lines().find_map(|line| line.strip_prefix("directories.tokendir = ")).unwrap().to_owned();
        let folders = fs::read_dir(tokens).unwrap().flatten().map(|entry| entry.path());
        let ours = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().replace('-', "");
            name.ends_with(&serial)
        };
        folders.into_iter().find(ours).unwrap()
    }

    /// A key that somebody else put there under a consignment's name.
    fn plant(&self, change: &Attribute) {
        let token = Token::new(self.place.clone(), Arc::new(SystemEntropy::new()));
        let planted = token.with(&|at| {
            let mut template = vec![
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::ValueLen(32.into()),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::Id(DYING.0.to_vec()),
                Attribute::Label(at.names.of(DYING).into_bytes()),
            ];
            template.push(change.clone());
            at.session.generate_key(&Mechanism::AesKeyGen, &template).map_err(module("plant a key"))
        });
        planted.unwrap();
    }
}

#[test]
fn a_ring_over_a_token_keeps_its_word() {
    let Some(soft) = soft("a_ring_over_a_token_keeps_its_word") else { return };
    keeps_its_word(&soft.kind());
}

#[test]
fn a_key_cannot_leave_its_token() {
    let Some(soft) = soft("a_key_cannot_leave_its_token") else { return };
    let ring = soft.ground.open(&soft.kind());
    ring.create(DYING).unwrap();
    let token = Token::new(soft.place.clone(), Arc::new(SystemEntropy::new()));
    token
        .with(&|at| {
            let key = key(at, DYING)?.unwrap();
            let asked = [AttributeType::Value, AttributeType::Wrap, AttributeType::Modifiable];
            let told = at.session.get_attributes(key, &asked).map_err(module("look"))?;
            assert_eq!(told, [Attribute::Wrap(false), Attribute::Modifiable(false)], "and no value");
            let freed = at.session.update_attributes(key, &[Attribute::Extractable(true)]);
            assert!(freed.is_err());
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_key_that_can_leave_its_token_serves_nobody_and_is_destroyed_with_that_said() {
    let Some(soft) = soft("a_key_that_can_leave_its_token_serves_nobody") else { return };
    for change in [Attribute::Extractable(true), Attribute::Sensitive(false)] {
        let ground = Ground::new();
        let ring = ground.open(&soft.kind());
        soft.plant(&change);
        assert_eq!(code(ring.create(DYING)), 724);
        assert_eq!(code(ring.encrypt(DYING, b"", b"")), 724);
        assert_eq!(code(ring.decrypt(DYING, b"", &[2; 64])), 724);
        assert_eq!(ring.attest(DYING).unwrap(), KeyState::Alive);
        let evidence = ring.destroy(DYING, &receipt()).unwrap();
        assert!(evidence.words().contains("cannot leave its token"), "{}", evidence.words());
        assert!(evidence.could_leave, "{change:?}");
    }
}

#[test]
fn two_keys_of_one_consignment_serve_nobody_and_are_both_destroyed() {
    let Some(soft) = soft("two_keys_of_one_consignment_serve_nobody_and_are_both_destroyed") else { return };
    let ring = soft.ground.open(&soft.kind());
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    soft.plant(&Attribute::Extractable(false));
    assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 724);
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    let said: Vec<_> = evidence.said.iter().map(|said| (said.asked.as_str(), said.answered.as_str())).collect();
    assert_eq!(said.iter().filter(|said| **said == ("C_DestroyObject", "CKR_OK")).count(), 2, "{said:?}");
    assert_eq!(said.last(), Some(&("C_FindObjects in a new session", "0 objects")));
}

#[test]
fn the_evidence_is_the_tokens_own_words() {
    let Some(soft) = soft("the_evidence_is_the_tokens_own_words") else { return };
    let ring = soft.ground.open(&soft.kind());
    ring.create(DYING).unwrap();
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    let words = evidence.words();
    assert_eq!((evidence.kind, evidence.unlinked, evidence.could_leave), (Level::K1, false, false));
    for part in ["SoftHSM", &soft.place.token, "C_FindObjects: 1 objects", "C_DestroyObject: CKR_OK"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(words.contains("C_DecryptInit with what it sealed a moment before: "), "{words}");
    assert!(words.ends_with("C_FindObjects in a new session: 0 objects"), "{words}");
}

#[test]
fn a_token_that_is_pulled_refuses_by_failing_and_what_was_to_be_destroyed_is_when_it_is_back() {
    let Some(soft) = soft("a_token_that_is_pulled_refuses_by_failing") else { return };
    let ring = soft.ground.open(&soft.kind());
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    let (there, away) = (soft.folder(), soft.ground.path("pulled"));
    copy(&there, &away);
    fs::remove_dir_all(&there).unwrap();

    assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 720);
    assert_eq!(code(ring.encrypt(DYING, b"aad", b"")), 720);
    assert_eq!(code(ring.attest(DYING)), 720);
    for _ in 0..2 {
        assert_eq!(code(ring.destroy(DYING, &receipt())), 720);
        assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);
        assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 707, "it serves nobody from then on");
    }
    drop(ring);
    let ring = soft.ground.store_ring(&soft.kind());
    assert_eq!(ring.trouble().map(Trouble::code), Some(Code(720)), "it opens, and says so");
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);

    copy(&away, &there);
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert!(evidence.found, "nothing was lost");
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: evidence.destroyed_at, recorded: false });
}

#[test]
fn a_backup_of_the_token_that_is_put_back_is_an_alarm_and_destroyed_again() {
    let Some(soft) = soft("a_backup_of_the_token_that_is_put_back_is_an_alarm_and_destroyed_again") else { return };
    let ring = soft.ground.open(&soft.kind());
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    let (there, backup) = (soft.folder(), soft.ground.path("backup"));
    copy(&there, &backup);
    ring.destroy(DYING, &receipt()).unwrap();
    let late = lexicon::Timestamp::from_second(1_900_000_000).unwrap();
    soft.ground.clock.set(late);
    let put_back = || {
        fs::remove_dir_all(&there).unwrap();
        copy(&backup, &there);
    };

    drop(ring);
    put_back();
    let ring = soft.ground.store_ring(&soft.kind());
    assert_eq!((ring.returned(), ring.trouble()), ([DYING].as_slice(), None));
    assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 707);
    let gone = KeyState::Destroyed { at: late, recorded: false };
    assert_eq!(ring.attest(DYING).unwrap(), gone, "from when it was gone");

    drop(ring);
    put_back();
    // The control: for a ring without the tombstone the key is there, and opens.
    let other = Ground::new();
    let thief = other.open(&soft.kind());
    assert_eq!(thief.decrypt(DYING, b"aad", &wrapped).unwrap().as_slice(), b"share");
    drop(thief);
    let ring = soft.ground.store_ring(&soft.kind());
    assert_eq!(ring.returned(), [DYING]);
    assert_eq!(code(other.open(&soft.kind()).decrypt(DYING, b"aad", &wrapped)), 705, "destroyed again");
}

#[test]
fn another_token_with_the_label_says_nothing_about_the_rings_keys() {
    let Some(soft) = soft("another_token_with_the_label_says_nothing_about_the_rings_keys") else { return };
    let ring = soft.ground.open(&soft.kind());
    ring.create(DYING).unwrap();
    let (there, away) = (soft.folder(), soft.ground.path("away"));
    soft.initialise();
    drop(ring);
    let ring = soft.ground.store_ring(&soft.kind());
    assert_eq!(ring.trouble().map(Trouble::code), Some(Code(727)), "two of one name");
    copy(&there, &away);
    fs::remove_dir_all(&there).unwrap();
    assert_eq!(code(ring.destroy(DYING, &receipt())), 727, "an empty token is no proof");
    assert_eq!(code(ring.create(crate::keyring::kit::LIVING)), 727);
    let other = soft.folder();
    fs::remove_dir_all(other).unwrap();
    copy(&away, &there);
    assert!(ring.destroy(DYING, &receipt()).unwrap().found);
}

#[test]
fn a_wrong_pin_is_given_once_and_the_right_one_is_taken_when_its_file_is_mended() {
    let Some(soft) = soft("a_wrong_pin_is_given_once") else { return };
    let ring = soft.ground.open(&soft.kind());
    ring.create(DYING).unwrap();
    write(&soft.place.pin_file, b"0815 0815");
    let said = [(); 2].map(|()| ring.encrypt(DYING, b"", b"").unwrap_err().to_string());
    assert!(said[0].contains("does not take the PIN") && said[0].contains("LZ-0722"), "{said:?}");
    assert!(said[1].contains("it is not tried twice"), "{said:?}");
    assert!(!said.concat().contains("0815"));
    assert_eq!(code(ring.destroy(DYING, &receipt())), 722);
    write(&soft.place.pin_file, PIN.as_bytes());
    assert!(ring.destroy(DYING, &receipt()).unwrap().found);
}

#[test]
fn a_pin_file_that_is_missing_empty_or_everybodys_is_said_to_be() {
    let ground = Ground::new();
    let file = ground.path("pin");
    assert_eq!(code(credential(&file, "PIN")), 728);
    write(&file, b"\n");
    assert_eq!(code(credential(&file, "PIN")), 728);
    write(&file, b"1234\n");
    assert_eq!(credential(&file, "PIN").unwrap().as_str(), "1234");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(code(credential(&file, "PIN")), 729);
    }
}

#[test]
fn what_is_no_module_is_said_to_be_none() {
    let ground = Ground::new();
    let (module, pin_file) = (ground.path("no.so"), ground.path("pin"));
    let place = TokenPlace { module, token: "t".to_owned(), pin_file, server: SERVER };
    let ring = ground.store_ring(&Kind::Token(place));
    assert_eq!(ring.trouble().map(Trouble::code), Some(Code(726)));
    assert_eq!(code(ring.create(DYING)), 726);
}
