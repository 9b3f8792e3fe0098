//! The certificate of a real destruction, field by field, by the program, and by a script that has nothing of it.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Output};

use drill::{Name, Party, Round, World, files_below, lies_on, write_file};
use evidence::{Attestation, CertifiedConsignment, Pack, Residue};
use lexicon::{Digest, canonical, hours_after};
use people::PayloadType;
use procedure::{Act, KeyLevel, Ledger, Left};
use serde_json::Value;

use super::by_command::{run, text};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/manual/verify.py");
/// The Python that has the packages of `xtask/python.txt`; set by `cargo xtask test`.
const PYTHON: &str = "LAZARET_TEST_PYTHON";
/// For how many days the server's settings let snapshots be kept.
const SNAPSHOT_DAYS: u32 = 7;

/// A migration to its end, and what lay with the server before.
struct Ended {
    world: World,
    round: Round,
    /// Name below the shelf, bytes and digest of every sealed parcel.
    shelf: Vec<(String, u64, Digest)>,
    wrapped: Vec<u8>,
    ledger: Ledger,
    zip: Vec<u8>,
}

impl Ended {
    async fn migration() -> Self {
        let world = World::start().await;
        let ring = world.ring_folder();
        Self::on(world, &ring).await
    }

    /// With its ring in this folder.
    async fn on(mut world: World, ring: &Path) -> Self {
        world.stop().await;
        let own = world.ring_folder();
        if ring != own {
            std::fs::remove_dir_all(own).unwrap();
        }
        world.restart_on(ring, |furniture| furniture.snapshot_days = SNAPSHOT_DAYS);
        let systems = world.systems(60);
        let round = world.closed(&systems).await;
        let (plan, consignment) = (&round.plan, round.consignment);
        let (shelf, wrapped) = (on_the_shelf(&world), wrapped_share(&world, &round));
        world.release(plan, consignment).await.unwrap();
        world.load(plan, consignment, systems.sink.as_ref()).await.unwrap();
        world.sign_off(plan).await.unwrap();
        world.destroy_part(Name::Recipient, plan.migration, &[]).await.unwrap();
        world.destroy_part(Name::Operator, plan.migration, &[]).await.unwrap();
        let desk = world.desk(Name::Controller);
        let ledger = desk.follow(plan.migration).await.unwrap();
        let zip = desk.client().evidence(desk.keeper(), plan.migration).await.unwrap();
        Self { shelf, wrapped, ledger, zip: zip.to_vec(), world, round }
    }

    fn pack(&self) -> Pack {
        evidence::read(&self.zip).unwrap()
    }

    fn statement(&self) -> Attestation {
        let key = self.world.card.key;
        self.pack().certificate.unwrap().open(PayloadType::InToto, &key).unwrap()
    }
}

fn on_the_shelf(world: &World) -> Vec<(String, u64, Digest)> {
    let shelf = world.server_folder().join("shelf");
    let found = lies_on(&shelf).into_iter().map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.strip_prefix(&shelf).unwrap().to_str().unwrap().to_owned();
        (name, u64::try_from(bytes.len()).unwrap(), Digest::of(&bytes))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

fn wrapped_share(world: &World, round: &Round) -> Vec<u8> {
    let rows = rusqlite::Connection::open(world.server_folder().join("registry.sqlite")).unwrap();
    let share = "SELECT wrapped FROM strongroom WHERE consignment = ?1";
    rows.query_row(share, [round.consignment.to_string()], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_real_destruction_says_field_by_field_what_was_destroyed() {
    let ended = Ended::migration().await;
    let roots = ended.world.desk(Name::Controller).home().trusted().unwrap();
    let verdict = evidence::verify(&ended.pack(), &roots).unwrap();
    assert!(verdict.established && verdict.certificate_complete, "{:?}", verdict.missing);

    let Attestation { subject, predicate: certificate, .. } = ended.statement();
    let [round] = certificate.consignments.as_slice() else { unreachable!("one consignment") };
    let names = ended.shelf.iter().map(|(name, _, digest)| (name.clone(), *digest));
    assert!(subject.iter().skip(1).map(|one| (one.name.clone(), one.digest.sha256)).eq(names), "every parcel");
    let lines = round.inventory.lines.iter().map(|line| (line.name.clone(), line.bytes, line.sha256));
    assert!(lines.eq(ended.shelf.iter().cloned()), "{:?}", round.inventory.lines);
    let bytes: u64 = ended.shelf.iter().map(|(_, bytes, _)| bytes).sum();
    assert_eq!((round.inventory.bytes, round.deleted_bytes, round.left), (bytes, bytes, Left::default()));
    assert_eq!(round.deleted, u64::try_from(ended.shelf.len()).unwrap());
    is_of_the_key(&ended, round);

    let acts = ended.ledger.recorded().iter().map(|recorded| &recorded.fact.act);
    let leases = acts.filter_map(|act| if let Act::Begin { lease, .. } = act { Some(*lease) } else { None });
    let until = hours_after(round.key.at, i64::from(SNAPSHOT_DAYS) * 24);
    assert_eq!((round.effect.key_act, round.effect.last_lease), (Some(round.key.at), leases.max()));
    assert_eq!((round.effect.snapshots_until, certificate.effective), (Some(until), Some(until)));
    assert!(round.residues.contains(&Residue::Snapshots { until }) && round.residues.contains(&Residue::Recipient));
    let page = String::from_utf8(ended.pack().told.get("certificate.md").unwrap().clone()).unwrap();
    let told = format!("| in effect from | {} |", until.strftime("%Y-%m-%d %H:%M:%S UTC"));
    assert!(page.contains(&told) && page.contains("are kept for 7 days"), "{page}");
}

/// What the ring did, and what it was shown afterwards.
fn is_of_the_key(ended: &Ended, round: &CertifiedConsignment) {
    let consignment = ended.round.consignment;
    assert_eq!((round.id, &round.key.id), (consignment, &format!("keys/{consignment}.key")));
    assert_eq!((round.key.level, round.key.found), (KeyLevel::K0, true));
    let asked: Vec<&str> = round.key.said.iter().map(|said| said.asked.as_str()).collect();
    assert_eq!(asked, ["write over the key's file", "begin a new epoch"]);
    assert_eq!(round.key_commitment, ended.round.manifest.strongroom_share);
    assert_eq!((round.probes.ring_refused, round.probes.share_refused), (true, Some(Digest::of(&ended.wrapped))));
}

/// What the system itself calls the file system under a folder.
fn file_system(folder: &Path) -> Option<String> {
    let said = Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder).output().ok()?;
    said.status.success().then(|| String::from_utf8(said.stdout).unwrap().trim().to_owned())
}

/// What fact and certificate say of a ring key that lay in a file in this folder, which was unlinked, or erased.
async fn says_of_a_ring_in(ring: &Path, world: World, unlinked: bool, level: &str) {
    let ended = Ended::on(world, ring).await;
    assert!(files_below(&[ring]).iter().any(|file| file.ends_with("epoch")), "the control: the ring lies there");
    let certificate = ended.statement().predicate;
    let [round] = certificate.consignments.as_slice() else { unreachable!("one consignment") };
    assert_eq!((round.key.level, round.key.unlinked), (KeyLevel::K0, unlinked));
    let residue = if unlinked { Residue::UnlinkedFile } else { Residue::Medium };
    assert!(round.residues.contains(&residue), "{:?}", round.residues);
    let levels: Vec<&String> = round.wording.iter().filter(|sentence| sentence.starts_with("Level ")).collect();
    assert!(matches!(levels.as_slice(), [only] if only.starts_with(level)), "{levels:?}");
    let page = String::from_utf8(ended.pack().told.get("certificate.md").unwrap().clone()).unwrap();
    assert!(page.contains(level), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_ring_on_a_disk_in_memory_says_unlinked() {
    let memory = tempfile::Builder::new().prefix("drill-").tempdir_in("/dev/shm").ok();
    let Some(memory) = memory.filter(|memory| file_system(memory.path()).as_deref() == Some("tmpfs")) else {
        drill::skipped!(
            "the_certificate_of_a_ring_on_a_disk_in_memory_says_unlinked (there is no disk in memory at /dev/shm)"
        );
        return;
    };
    let said = "Level K0: the ring key lay in a local file that the server unlinked. Its file system is not known to \
                write over bytes where they lie";
    says_of_a_ring_in(&memory.path().join("ring"), World::start().await, true, said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_ring_on_a_disk_that_writes_in_place_says_erased() {
    let world = World::start().await;
    if file_system(&world.path("")).as_deref() != Some("ext2/ext3") {
        world.plants_nothing("there is no such disk here");
        drill::skipped!(
            "the_certificate_of_a_ring_on_a_disk_that_writes_in_place_says_erased (temporary files lie on no ext4)"
        );
        return;
    }
    let said = "Level K0: the ring key lay in a local file that the server overwrote and removed. That is a logical \
                erasure; remnants on the storage medium are not excluded.";
    let ring = world.ring_folder();
    says_of_a_ring_in(&ring, world, false, said).await;
}

fn python(arguments: &[&Path]) -> Option<Output> {
    let python = std::env::var(PYTHON).ok()?;
    Some(Command::new(python).args(["-B", SCRIPT]).args(arguments).output().unwrap())
}

/// OpenSSL, which is an authority of one key here that certifies itself.
fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the program says of a pack that it takes, knowing the parties and the server; and whether the script was there to take
/// it too.
pub(super) async fn verified(world: &World, zip: &[u8]) -> (Value, bool) {
    let [pack, card, laboratory, vendor] =
        ["evidence.zip", "card.json", "laboratory.json", "vendor.json"].map(|name| world.path(name));
    write_file(&pack, zip);
    write_file(&card, &canonical(&world.card).unwrap());
    for (path, party) in [(&laboratory, Party::Laboratory), (&vendor, Party::Vendor)] {
        write_file(path, &canonical(&world.organisation(party).root()).unwrap());
    }
    let trust = ["--trust", text(&laboratory), "--trust", text(&vendor), "--server", text(&card)];
    let (status, said, complained) = run(&[&["evidence", "verify", text(&pack)][..], &trust].concat()).await;
    assert_eq!(status, 0, "{complained}");
    let verdict = said.get("verdict").unwrap().clone();

    let Some(holds) = python(&[&pack, &card]) else {
        drill::skipped!("the script that verifies a certificate ({PYTHON} is not set)");
        return (verdict, false);
    };
    assert!(holds.status.success(), "{}", String::from_utf8_lossy(&holds.stderr));
    (verdict, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_and_a_script_without_it_verify_a_certificate_and_no_flipped_one() {
    let ended = Ended::migration().await;
    let (verdict, held) = verified(&ended.world, &ended.zip).await;
    assert_eq!(verdict["certificate_complete"], true);
    if !held {
        return;
    }
    let certificate = canonical(ended.pack().certificate.as_ref().unwrap()).unwrap();
    assert!(takes(&ended, "whole", &certificate));
    for at in (0..certificate.len()).step_by(certificate.len() / 8) {
        let mut flipped = certificate.clone();
        *flipped.get_mut(at).unwrap() ^= 1;
        assert!(!takes(&ended, &format!("flipped-{at}"), &flipped), "byte {at}");
    }
}

/// Whether the script takes this certificate, out of a folder of this name.
fn takes(ended: &Ended, name: &str, certificate: &[u8]) -> bool {
    let folder = ended.world.path(name);
    std::fs::create_dir(&folder).unwrap();
    let lines = ended.pack().entries.into_iter().map(|placed| [canonical(&placed).unwrap(), b"\n".to_vec()].concat());
    write_file(&folder.join("certificate.json"), certificate);
    write_file(&folder.join("server.json"), &canonical(&ended.world.card).unwrap());
    write_file(&folder.join("entries.jsonl"), &lines.collect::<Vec<_>>().concat());
    python(&[&folder]).unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_choice_stamps_a_certificate_and_nothing_is_sent_by_the_program() {
    let ended = Ended::migration().await;
    let [pack, request, response, stamped, authority] =
        ["evidence.zip", "request.tsq", "response.tsr", "stamped.zip", "tsa.pem"].map(|name| ended.world.path(name));
    write_file(&pack, &ended.zip);
    if Command::new("openssl").arg("version").output().is_err() {
        drill::skipped!("an authority that stamps a certificate (openssl is not installed)");
        return;
    }
    let folder = ended.world.path("");
    let config = "[req]\ndistinguished_name=dn\n[dn]\n[clock]\nbasicConstraints=critical,CA:false\n\
                  keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n\
                  [stamp]\nserial=serial\nsigner_cert=tsa.pem\nsigner_key=tsa.key\nsigner_digest=sha256\n\
                  default_policy=1.2.3.4\ndigests=sha256\ness_cert_id_alg=sha256\n";
    write_file(&folder.join("tsa.cnf"), config.as_bytes());
    write_file(&folder.join("serial"), b"01\n");
    let key =
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tsa.key", "-out", "tsa.pem"];
    let made = ["req", "-x509", "-config", "tsa.cnf", "-extensions", "clock", "-subj", "/CN=Clock of the drill"];
    openssl(&folder, &[&made[..], &key].concat());

    let asked = ["evidence", "stamp", text(&pack), "--request", text(&request)];
    let (status, _, complained) = run(&asked).await;
    assert_eq!(status, 0, "{complained}");
    let reply = ["ts", "-reply", "-config", "tsa.cnf", "-section", "stamp", "-queryfile", "request.tsq"];
    openssl(&folder, &[&reply[..], &["-out", "response.tsr"]].concat());
    let answered = ["--response", text(&response), "--tsa-ca", text(&authority), "--out", text(&stamped)];
    let (status, said, complained) = run(&[&asked[..], &answered].concat()).await;
    assert_eq!((status, &said["stamped"]["authority"]), (0, &"CN=Clock of the drill".into()), "{complained}");

    let verify = ["evidence", "verify", text(&stamped), "--tsa-ca", text(&authority)];
    let (status, verdict, complained) = run(&verify).await;
    assert_eq!((status, &verdict["stamped"]), (3, &said["stamped"]), "no root was named: {complained}");
    let (status, refused, _) = run(&["evidence", "verify", text(&pack), "--tsa-ca", text(&authority)]).await;
    assert_eq!((status, &refused["error"]["code"]), (3, &1065.into()));
    let (status, ..) = run(&[&asked[..], &answered].concat()).await;
    assert_ne!(status, 0, "what is there is not replaced");
}
