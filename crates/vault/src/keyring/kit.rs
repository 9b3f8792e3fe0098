//! What every key ring must do, whatever its kind: one set of tests, run over each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use journal::Receipt;
use lexicon::{Code, ConsignmentId, Digest, FixedClock, Result, SystemEntropy, Timestamp, Trouble};
use tempfile::TempDir;

use super::{KeyRing, KeyState, LocalRing, OpenBaoPlace, RingEvidence, Secret, StoreRing, TokenPlace};
use crate::disk::Disk;

pub(super) const DYING: ConsignmentId = ConsignmentId([0x51; 16]);
pub(super) const LIVING: ConsignmentId = ConsignmentId([0x52; 16]);
/// Whose keys they are, and whose they are not.
pub(super) const SERVER: Digest = Digest([0x53; 32]);
const OTHER: Digest = Digest([0x54; 32]);
/// How a second process is told what to do.
const CHILD: &str = "LAZARET_TEST_RING_CHILD";

/// A kind of ring, and where its keys lie.
#[derive(Clone)]
pub(super) enum Kind {
    Local,
    Token(TokenPlace),
    OpenBao(OpenBaoPlace),
}

/// A ring's folder beside the folder of its server's data.
pub(super) struct Ground {
    dir: TempDir,
    pub(super) clock: Arc<FixedClock>,
}

impl Ground {
    pub(super) fn new() -> Self {
        let ground = Self { dir: tempfile::tempdir().unwrap(), clock: clock() };
        fs::create_dir(ground.path("data")).unwrap();
        ground
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn open(&self, kind: &Kind) -> Arc<dyn KeyRing> {
        kind.open(&self.path("ring"), &self.path("data"), self.clock.clone()).unwrap()
    }

    pub(super) fn store_ring(&self, kind: &Kind) -> StoreRing {
        kind.store_ring(&self.path("ring"), &self.path("data"), self.clock.clone()).unwrap()
    }
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(Timestamp::from_second(1_800_000_000).unwrap()))
}

impl Kind {
    /// A ring whose keys are within reach.
    fn open(&self, folder: &Path, data: &Path, clock: Arc<FixedClock>) -> Result<Arc<dyn KeyRing>> {
        let ring = self.opened(folder, data, clock)?;
        // Also where there is no such key: it can be asked.
        ring.attest(ConsignmentId([0xff; 16])).unwrap();
        Ok(ring)
    }

    fn opened(&self, folder: &Path, data: &Path, clock: Arc<FixedClock>) -> Result<Arc<dyn KeyRing>> {
        if let Self::Local = self {
            let secret = Secret::new(vec![7; 32])?;
            return Ok(Arc::new(LocalRing::open(folder, secret, data, clock, Arc::new(SystemEntropy::new()))?));
        }
        Ok(Arc::new(self.store_ring(folder, data, clock)?))
    }

    fn store_ring(&self, folder: &Path, data: &Path, clock: Arc<FixedClock>) -> Result<StoreRing> {
        match self.clone() {
            Self::Local => panic!("a local ring is over no store"),
            Self::Token(place) => StoreRing::over_token(folder, data, place, clock, Arc::new(SystemEntropy::new())),
            Self::OpenBao(place) => StoreRing::over_openbao(folder, data, place, clock),
        }
    }

    /// The same place, for another server.
    fn of_another_server(&self) -> Self {
        match self.clone() {
            Self::Local => Self::Local,
            Self::Token(place) => Self::Token(TokenPlace { server: OTHER, ..place }),
            Self::OpenBao(place) => Self::OpenBao(OpenBaoPlace { server: OTHER, ..place }),
        }
    }

    /// For the second process.
    fn in_words(&self) -> String {
        match self {
            Self::Local => "local".to_owned(),
            Self::Token(place) => ["token", &shown(&place.module), &place.token, &shown(&place.pin_file)].join("\n"),
            Self::OpenBao(place) => ["openbao", &place.address, &place.mount, &shown(&place.token_file)].join("\n"),
        }
    }

    fn of_words(words: &str) -> Self {
        let words: Vec<&str> = words.lines().collect();
        match words.as_slice() {
            ["token", module, token, pin] => Self::Token(TokenPlace {
                module: module.into(),
                token: (*token).to_owned(),
                pin_file: pin.into(),
                server: SERVER,
            }),
            ["openbao", address, mount, token_file] => Self::OpenBao(OpenBaoPlace {
                address: (*address).to_owned(),
                mount: (*mount).to_owned(),
                token_file: token_file.into(),
                ca_file: None,
                server: SERVER,
            }),
            _ => Self::Local,
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub(super) fn write(path: &Path, bytes: &[u8]) {
    Disk::default().place(path, bytes).unwrap();
}

/// A folder with everything in it, as a backup has it and puts it back.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) fn receipt() -> Receipt {
    Receipt::of_committed(41, Digest([4; 32]))
}

pub(super) fn code<T>(result: Result<T>) -> u16 {
    result.map(drop).unwrap_err().code().0
}

/// All of it over one kind of ring.
pub(super) fn keeps_its_word(kind: &Kind) {
    what_a_key_wrapped_opens_under_that_key_and_its_aad_only(kind);
    a_key_outlives_the_process_and_is_not_made_twice(kind);
    what_lives_is_listed_and_what_is_destroyed_is_not(kind);
    a_destruction_is_told_the_same_twice_and_there_is_no_way_back(kind);
    a_consignment_without_a_key_gets_a_tombstone_too(kind);
    destroying_twice_at_once_is_one_destruction(kind);
    one_folder_is_one_process_s(kind);
    two_processes_that_destroy_at_once_come_to_the_same_end(kind);
    if !matches!(kind, Kind::Local) {
        two_servers_over_one_place_know_nothing_of_each_others_keys(kind);
        a_folder_of_one_server_says_nothing_to_another(kind);
    }
}

fn what_a_key_wrapped_opens_under_that_key_and_its_aad_only(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    ring.create(DYING).unwrap();
    ring.create(LIVING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", &DYING.0).unwrap();
    assert_eq!(ring.decrypt(DYING, b"aad", &wrapped).unwrap().as_slice(), DYING.0);
    assert!(!wrapped.windows(16).any(|window| window == DYING.0), "the share must not lie in clear");
    assert_ne!(wrapped, ring.encrypt(DYING, b"aad", &DYING.0).unwrap(), "each time with another nonce");

    assert_eq!(code(ring.decrypt(DYING, b"other", &wrapped)), 706);
    assert_eq!(code(ring.decrypt(LIVING, b"aad", &wrapped)), 706);
    for at in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[at] ^= 1;
        assert_eq!(code(ring.decrypt(DYING, b"aad", &altered)), 706, "byte {at}");
        assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped[..at])), 706, "cut at {at}");
    }
    assert_eq!(ring.decrypt(DYING, b"aad", &wrapped).unwrap().as_slice(), DYING.0, "and is none the worse for it");
    ring.destroy(DYING, &receipt()).unwrap();
    ring.destroy(LIVING, &receipt()).unwrap();
}

fn a_key_outlives_the_process_and_is_not_made_twice(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Absent);
    assert_eq!(code(ring.encrypt(DYING, b"", b"")), 705);
    assert_eq!(code(ring.decrypt(DYING, b"", b"")), 705);
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    ring.create(DYING).unwrap();
    drop(ring);
    let ring = ground.open(kind);
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Alive);
    assert_eq!(ring.decrypt(DYING, b"aad", &wrapped).unwrap().as_slice(), b"share");
    ring.destroy(DYING, &receipt()).unwrap();
}

/// As a server asks that was put back and may know nothing of them.
fn what_lives_is_listed_and_what_is_destroyed_is_not(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    assert!(ring.held().unwrap().is_empty());
    for id in [LIVING, DYING, LIVING] {
        ring.create(id).unwrap();
    }
    assert_eq!(ring.held().unwrap(), [DYING, LIVING]);
    drop(ring);
    let ring = ground.open(kind);
    assert_eq!(ring.held().unwrap(), [DYING, LIVING]);
    ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!((ring.held().unwrap(), ring.buried().unwrap()), (vec![LIVING], vec![DYING]));
    ring.destroy(LIVING, &receipt()).unwrap();
    assert!(ring.held().unwrap().is_empty());
}

fn a_destruction_is_told_the_same_twice_and_there_is_no_way_back(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    let sealed: BTreeMap<_, _> = [DYING, LIVING]
        .map(|id| {
            ring.create(id).unwrap();
            (id, ring.encrypt(id, b"aad", &id.0).unwrap())
        })
        .into();
    assert!(ring.still_opens(DYING, b"aad", &sealed[&DYING]).unwrap());
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    ground.clock.set(Timestamp::from_second(1_900_000_000).unwrap());
    assert_eq!(ring.destroy(DYING, &Receipt::of_committed(99, Digest([9; 32]))).unwrap(), evidence);
    assert_eq!((evidence.found, evidence.kind), (true, ring.level()));
    assert_eq!((evidence.receipt_index, evidence.receipt_root), (41, Digest([4; 32])));
    let read: RingEvidence = serde_json::from_slice(&lexicon::canonical(&evidence).unwrap()).unwrap();
    assert_eq!(read, evidence);

    let gone = |ring: &dyn KeyRing| {
        assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: evidence.destroyed_at, recorded: false });
        assert_eq!(code(ring.create(DYING)), 707);
        assert_eq!(code(ring.encrypt(DYING, b"", b"")), 707);
        assert_eq!(code(ring.decrypt(DYING, b"aad", &sealed[&DYING])), 707);
        assert!(!ring.still_opens(DYING, b"aad", &sealed[&DYING]).unwrap());
        assert!(ring.still_opens(LIVING, b"aad", &sealed[&LIVING]).unwrap());
        assert_eq!(ring.decrypt(LIVING, b"aad", &sealed[&LIVING]).unwrap().as_slice(), LIVING.0);
    };
    gone(ring.as_ref());
    drop(ring);
    let ring = ground.open(kind);
    gone(ring.as_ref());
    assert_eq!(ring.destroy(DYING, &receipt()).unwrap(), evidence);
    // What the journal says is told to the tombstone of a destroyed key only, and stays there.
    for id in [DYING, LIVING] {
        ring.engrave(id, &receipt()).unwrap();
    }
    assert_eq!(ring.attest(LIVING).unwrap(), KeyState::Alive);
    drop(ring);
    let ring = ground.open(kind);
    let told = KeyState::Destroyed { at: evidence.destroyed_at, recorded: true };
    assert_eq!((ring.attest(DYING).unwrap(), ring.destroy(DYING, &receipt()).unwrap()), (told, evidence));
    // What protects is not the tombstone: without it the key is absent all the same.
    if !matches!(kind, Kind::Local) {
        drop(ring);
        fs::remove_file(ground.path("ring").join("tombs").join(format!("{DYING}.tomb"))).unwrap();
        let ring = ground.open(kind);
        assert_eq!(ring.attest(DYING).unwrap(), KeyState::Absent);
        assert_eq!(code(ring.decrypt(DYING, b"aad", &sealed[&DYING])), 705);
        ring.destroy(LIVING, &receipt()).unwrap();
    }
}

fn a_consignment_without_a_key_gets_a_tombstone_too(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    assert!(!ring.destroy(DYING, &receipt()).unwrap().found);
    assert_eq!(code(ring.create(DYING)), 707);
}

fn destroying_twice_at_once_is_one_destruction(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    ring.create(DYING).unwrap();
    let both = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| ring.destroy(DYING, &receipt()).unwrap()));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(both[0], both[1]);
    assert!(both[0].found);
}

fn one_folder_is_one_process_s(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    let second = || kind.open(&ground.path("ring"), &ground.path("data"), ground.clock.clone());
    assert_eq!(code(second()), 711);
    let within = kind.open(&ground.path("data").join("ring"), &ground.path("data"), ground.clock.clone());
    assert_eq!(code(within), 702);
    drop(ring);
    second().unwrap();
}

/// A local ring's folder is taken by one after the other; a token or a service is asked by both at once.
fn two_processes_that_destroy_at_once_come_to_the_same_end(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    drop(ring);
    let folders = if matches!(kind, Kind::Local) { ["ring", "ring"] } else { ["ring", "other"] };
    let children = folders.map(|folder| {
        let told = [&kind.in_words(), "--", &shown(&ground.path(folder)), &shown(&ground.path("data"))].join("\n");
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "keyring::kit::the_second_process", "--nocapture"]).env(CHILD, told);
        child.stdout(Stdio::piped()).spawn().unwrap()
    });
    let told = children.map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.split_once("evidence ")).unwrap().1.to_owned();
        serde_json::from_str::<RingEvidence>(&line).unwrap()
    });
    assert!(told.iter().any(|evidence| evidence.found), "one of the two found a key: {told:?}");
    for folder in folders {
        let ring = kind.open(&ground.path(folder), &ground.path("data"), ground.clock.clone()).unwrap();
        assert!(matches!(ring.attest(DYING).unwrap(), KeyState::Destroyed { .. }));
        assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 707);
    }
    if matches!(kind, Kind::Local) {
        assert_eq!(told[0], told[1], "the second reads what the first wrote");
    }
}

/// Also of the same consignment, which both may have been given.
fn two_servers_over_one_place_know_nothing_of_each_others_keys(kind: &Kind) {
    let (ground, beside) = (Ground::new(), Ground::new());
    let (ring, other) = (ground.open(kind), beside.open(&kind.of_another_server()));
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    assert!(other.held().unwrap().is_empty(), "what is listed is taken for its own, and destroyed");
    assert_eq!(other.attest(DYING).unwrap(), KeyState::Absent);
    assert!(!other.still_opens(DYING, b"aad", &wrapped).unwrap());

    other.create(LIVING).unwrap();
    other.create(DYING).unwrap();
    assert_eq!((ring.held().unwrap(), other.held().unwrap()), (vec![DYING], vec![DYING, LIVING]));
    let evidence = [&ring, &other].map(|ring| ring.destroy(LIVING, &receipt()).unwrap());
    assert_eq!(evidence.map(|evidence| evidence.found), [false, true]);
    assert_eq!(code(other.decrypt(DYING, b"aad", &wrapped)), 706, "it is another key");
    let evidence = other.destroy(DYING, &receipt()).unwrap();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Alive);
    assert_eq!(ring.decrypt(DYING, b"aad", &wrapped).unwrap().as_slice(), b"share");
    let own = ring.destroy(DYING, &receipt()).unwrap();
    assert!(own.found && own.key != evidence.key, "{} and {}", own.key, evidence.key);
}

/// There everything would be absent, which is no proof that it is gone.
fn a_folder_of_one_server_says_nothing_to_another(kind: &Kind) {
    let ground = Ground::new();
    let ring = ground.open(kind);
    ring.create(DYING).unwrap();
    drop(ring);
    let other = ground.store_ring(&kind.of_another_server());
    assert_eq!(other.trouble().map(Trouble::code), Some(Code(727)));
    assert_eq!(code(other.destroy(DYING, &receipt())), 727);
    assert_eq!(code(other.held()), 727);
    drop(other);
    assert!(ground.open(kind).destroy(DYING, &receipt()).unwrap().found);
}

/// Does nothing unless another test started it as a process.
#[test]
fn the_second_process() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (kind, folders) = told.split_once("\n--\n").unwrap();
    let (ring, data) = folders.split_once('\n').unwrap();
    let kind = Kind::of_words(kind);
    // As the sweep does: what waits is asked for again. Two processes over one SoftHSM do not always see its files whole.
    let evidence = loop {
        let ring = kind.opened(Path::new(ring), Path::new(data), clock());
        match ring.and_then(|ring| ring.destroy(DYING, &receipt())) {
            Ok(evidence) => break evidence,
            Err(trouble) if [711, 720].contains(&trouble.code().0) => std::thread::yield_now(),
            Err(trouble) => panic!("{trouble}"),
        }
    };
    println!("\nevidence {}", serde_json::to_string(&evidence).unwrap());
}

#[test]
fn a_local_ring_keeps_its_word() {
    keeps_its_word(&Kind::Local);
}

#[test]
fn a_folder_of_one_kind_of_ring_is_none_of_another_kind() {
    let ground = Ground::new();
    let place = OpenBaoPlace {
        address: "http://127.0.0.1:1".to_owned(),
        mount: "transit".to_owned(),
        token_file: ground.path("token"),
        ca_file: None,
        server: SERVER,
    };
    let ring = ground.open(&Kind::Local);
    ring.create(DYING).unwrap();
    drop(ring);
    let over = || StoreRing::over_openbao(&ground.path("ring"), &ground.path("data"), place.clone(), clock());
    assert_eq!(code(over()), 719);
    ground.open(&Kind::Local).destroy(DYING, &receipt()).unwrap();
    over().unwrap();
    write(&ground.path("ring").join("store"), b"token 1");
    assert_eq!(code(Kind::Local.open(&ground.path("ring"), &ground.path("data"), clock())), 719);
}
