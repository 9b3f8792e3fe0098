//! A server whose ring keys lie in a token or in OpenBao: the token is pulled in the middle of a round, or the service sealed,
//! and both are there again later. A server that is put back to before a destruction, which its keys' place remembers. And
//! keys that token or service could have given out.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use drill::{Name, World, copy_folder, files_below, lies_on, write_file};
use evidence::{Attestation, Residue};
use lexicon::Trouble;
use people::PayloadType;
use procedure::{Act, KeyLevel, Plan, Stage};
use tokio::time::timeout;

use super::{AT_MOST, RETRY, Scene, command, ended, passphrase_file, until};
use crate::stories::certified::verified;
use crate::stories::damaged_facts::{count, damage};
use crate::stories::program::{Program, lazaret, serving};

/// Where ring keys lie, which can be away for a while.
enum Place {
    Token(Token),
    Bao(Bao),
}

/// `SoftHSM` with a store of its own, in which one token lies.
struct Token {
    module: String,
    conf: PathBuf,
    store: PathBuf,
    pulled: PathBuf,
}

/// An OpenBao of one story, which keeps its keys in memory.
struct Bao {
    program: String,
    address: String,
    unseal: String,
    child: Child,
}

fn secret(world: &World, bytes: &[u8]) {
    let path = world.path("ring-secret");
    write_file(&path, bytes);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

impl Token {
    fn of(world: &World, test: &str) -> Option<Self> {
        let Ok(module) = std::env::var("LAZARET_TEST_SOFTHSM") else {
            drill::skipped!("{test} (LAZARET_TEST_SOFTHSM is not set)");
            return None;
        };
        let (conf, store) = (world.path("softhsm2.conf"), world.path("tokens"));
        std::fs::create_dir(&store).unwrap();
        let settings =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", store.display());
        write_file(&conf, settings.as_bytes());
        let mut make = Command::new("softhsm2-util");
        make.args(["--init-token", "--free", "--label", "ring", "--so-pin", "0000 0000", "--pin", "4711 4711"]);
        assert!(make.env("SOFTHSM2_CONF", &conf).output().unwrap().status.success());
        secret(world, b"4711 4711\n");
        Some(Self { module, conf, store, pulled: world.path("pulled") })
    }
}

impl Bao {
    fn of(world: &World, test: &str) -> Option<Self> {
        let Ok(program) = std::env::var("LAZARET_TEST_BAO") else {
            drill::skipped!("{test} (LAZARET_TEST_BAO is not set)");
            return None;
        };
        let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut server = Command::new(&program);
        server.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"]);
        server.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let mut child = server.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let unseal = lines.find_map(|line| Some(line.split_once("Unseal Key: ")?.1.trim().to_owned())).unwrap();
        // What else it tells goes nowhere, and its pipe is never full.
        std::thread::spawn(move || lines.for_each(drop));
        let bao = Self { program, address: format!("http://127.0.0.1:{port}"), unseal, child };
        bao.asked(&["secrets", "enable", "transit"]);
        secret(world, b"root");
        Some(bao)
    }

    fn ask(&self, words: &[&str]) -> Output {
        let mut ask = Command::new(&self.program);
        ask.args(words).env("BAO_ADDR", &self.address).env("BAO_TOKEN", "root").output().unwrap()
    }

    fn asked(&self, words: &[&str]) {
        let output = self.ask(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn names(&self) -> Vec<String> {
        let listed = self.ask(&["list", "-format=json", "transit/keys"]);
        serde_json::from_slice(&listed.stdout).unwrap_or_default()
    }

    fn keys(&self) -> usize {
        self.names().len()
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).unwrap();
    }
}

impl Place {
    /// What the plan and the settings call it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "pkcs11",
            Self::Bao(_) => "openbao",
        }
    }

    fn settings(&self, world: &World) -> String {
        let (kind, secret) = (self.kind(), world.path("ring-secret").display().to_string());
        let place = match self {
            Self::Token(token) => format!("module = '{}'\ntoken = 'ring'\npin_file = '{secret}'\n", token.module),
            Self::Bao(bao) => format!("address = '{}'\ntoken_file = '{secret}'\n", bao.address),
        };
        format!("sweep_seconds = 1\n[key_ring]\nkind = '{kind}'\n{place}")
    }

    async fn serve(&self, world: &World) -> Program {
        let mut command = serving(&lazaret().unwrap(), world);
        if let Self::Token(token) = self {
            command.env("SOFTHSM2_CONF", &token.conf);
        }
        let server = Program::start(command, world);
        server.answers(world).await;
        server
    }

    /// The folder of the token goes elsewhere; `SoftHSM` finds none then. The service is sealed.
    fn take_away(&self) {
        match self {
            Self::Token(token) => {
                std::fs::rename(&token.store, &token.pulled).unwrap();
                std::fs::create_dir(&token.store).unwrap();
            }
            Self::Bao(bao) => bao.asked(&["operator", "seal"]),
        }
    }

    fn bring_back(&self) {
        match self {
            Self::Token(token) => {
                std::fs::remove_dir(&token.store).unwrap();
                std::fs::rename(&token.pulled, &token.store).unwrap();
            }
            Self::Bao(bao) => bao.asked(&["operator", "unseal", &bao.unseal]),
        }
    }

    /// Whoever administers the service makes the key one that it exports, and exports it; somebody brings the token another of
    /// the same name.
    fn lets_a_key_out(&self, scene: &Scene) {
        match self {
            Self::Token(token) => {
                let (key, id) = (scene.world.path("brought"), scene.consignment.to_string());
                write_file(&key, &[1; 32]);
                let server = scene.world.card.key.digest().to_string();
                let label = format!("lazaret ring key {} {id}", server.split_at(16).0);
                let mut bring = Command::new("softhsm2-util");
                bring.arg("--import").arg(&key).args(["--aes", "--token", "ring", "--pin", "4711 4711"]);
                bring.args(["--label", &label, "--id", &id]).env("SOFTHSM2_CONF", &token.conf);
                assert!(bring.output().unwrap().status.success());
            }
            Self::Bao(bao) => {
                let [key] = <[String; 1]>::try_from(bao.names()).unwrap();
                bao.asked(&["write", &format!("transit/keys/{key}/config"), "exportable=true"]);
                bao.asked(&["read", &format!("transit/export/encryption-key/{key}")]);
            }
        }
    }

    /// How many keys are in it.
    fn keys(&self) -> usize {
        match self {
            // What else is in the token's folder is its own description.
            Self::Token(token) => {
                let files = files_below(&[&token.store]).into_iter();
                files
                    .filter(|file| {
                        file.extension().is_some_and(|end| end == "object") && !file.ends_with("token.object")
                    })
                    .count()
            }
            Self::Bao(bao) => bao.keys(),
        }
    }
}

/// A scene whose plan asks for such a place, with the program as its server from the first act on.
async fn over(place: impl FnOnce(&World) -> Option<Place>) -> Option<(Scene, Place, Program)> {
    let mut world = World::start().await;
    passphrase_file(&world);
    let systems = world.systems(60);
    let place = place(&world)?;
    world.stop().await;
    world.write_program_files(&place.settings(&world));
    let server = place.serve(&world).await;
    let id = world.open().await;
    let (plan, documents) = world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let plan = Plan { key_ring: place.kind().to_owned(), ..plan };
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    let consignment = world.consign(&plan).await;
    Some((Scene { world, systems, plan, consignment }, place, server))
}

fn in_a_token(test: &str) -> impl FnOnce(&World) -> Option<Place> {
    move |world| Token::of(world, test).map(Place::Token)
}

fn in_openbao(test: &str) -> impl FnOnce(&World) -> Option<Place> {
    move |world| Bao::of(world, test).map(Place::Bao)
}

/// It is away from the hand-over on until the consignment has ended.
async fn away_and_back((scene, place, server): (Scene, Place, Program), code: u16, why: &str) {
    scene.extract().await.done();
    scene.now();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    let shelf = scene.world.server_folder().join("shelf");
    let parcels = lies_on(&shelf).len();
    assert_eq!(place.keys(), 1, "the control");
    place.take_away();

    scene.load().await.says(RETRY, 1218, &[why, "NOT in force"]);
    assert_eq!(scene.rows("import_patient"), 0);
    scene.abandoned().await;
    scene.next_says("its key is not destroyed yet: ", code).await;
    server.kill();
    let _again = place.serve(&scene.world).await;
    let log = std::fs::read_to_string(scene.world.path("server.log")).unwrap();
    assert!(log.contains("what ends waits for its destruction"), "{log}");
    scene.next_says("its key is not destroyed yet: ", code).await;
    assert_eq!(lies_on(&shelf).len(), parcels, "no parcel goes before its key");

    place.bring_back();
    scene.is_destroyed_by_the_sweep().await;
    scene.next_is_silent().await;
    assert!(lies_on(&shelf).is_empty());
    assert_eq!(place.keys(), 0, "the key is there");

    let ledger = scene.ledger().await;
    let called = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.key.id.clone()) } else { None }
    });
    // By the key that a restored server has too; others may use the token.
    let server = scene.world.card.key.digest().to_string();
    let (server, _) = server.split_at(16);
    if let Place::Token(_) = place {
        assert_eq!(called.unwrap(), format!("lazaret ring key {server} {}", scene.consignment));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_pulled_gives_nothing_out_and_what_ended_is_destroyed_when_it_is_back() {
    let name = "a_token_that_is_pulled_gives_nothing_out_and_what_ended_is_destroyed_when_it_is_back";
    let Some(over) = over(in_a_token(name)).await else { return };
    away_and_back(over, 720, "no token labelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openbao_that_is_sealed_gives_nothing_out_and_what_ended_is_destroyed_when_it_is_unsealed() {
    let name = "an_openbao_that_is_sealed_gives_nothing_out_and_what_ended_is_destroyed_when_it_is_unsealed";
    let Some(over) = over(in_openbao(name)).await else { return };
    away_and_back(over, 721, "sealed").await;
}

/// The server's data are put back to before the destruction; neither tombstones nor keys are.
async fn put_back((scene, place, server): (Scene, Place, Program)) {
    scene.extract().await.done();
    server.kill();
    let (data, backup) = (scene.world.server_folder(), scene.world.path("backup"));
    copy_folder(&data, &backup);
    let server = place.serve(&scene.world).await;
    scene.abandoned().await;
    scene.is_destroyed_by_the_sweep().await;
    assert_eq!(place.keys(), 0);
    server.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy_folder(&backup, &data);
    let shelf = data.join("shelf");
    assert!(!lies_on(&shelf).is_empty(), "the control: the parcels are back");

    let alarm = format!("ALARM: consignment {} of migration {} lives", scene.consignment, scene.plan.migration);
    for start in 1..=2 {
        let server = place.serve(&scene.world).await;
        let log = std::fs::read_to_string(scene.world.path("server.log")).unwrap();
        let told = log.lines().filter(|line| line.starts_with(&alarm) && line.contains("its key was destroyed at"));
        assert_eq!(told.filter(|line| line.ends_with("[LZ-0821].")).count(), start, "{log}");
        server.kill();
    }
    let _server = place.serve(&scene.world).await;
    scene.now();
    // Who has heard of nothing since sees it beside the migration; who knows more takes nothing from such a server.
    let next = ended(command(&scene.world, Name::Approver, &["next"])).await;
    let says = next.done().pointer("/migrations/0/server_says").unwrap().to_string();
    assert!(says.contains("its key was destroyed at") && says.contains("[LZ-0821]"), "{says}");
    let released = scene.world.release(&scene.plan, scene.consignment).await.unwrap_err();
    assert!(matches!(released, Trouble::Alarm(_)), "{released}");
    assert_eq!(place.keys(), 0, "no key is made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_put_back_hears_from_its_ring_over_a_token_what_was_destroyed_since() {
    let name = "a_server_that_was_put_back_hears_from_its_ring_over_a_token_what_was_destroyed_since";
    let Some(over) = over(in_a_token(name)).await else { return };
    put_back(over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_put_back_hears_from_its_ring_over_openbao_what_was_destroyed_since() {
    let name = "a_server_that_was_put_back_hears_from_its_ring_over_openbao_what_was_destroyed_since";
    let Some(over) = over(in_openbao(name)).await else { return };
    put_back(over).await;
}

/// Its key is made one that could leave, and it ends: it is destroyed all the same, and certificate, program, script and
/// journal tell of the copy that may be left.
async fn may_be_copied((scene, place, server): (Scene, Place, Program), flaw: &str) {
    scene.extract().await.done();
    place.lets_a_key_out(&scene);
    scene.now();
    let (id, reason) = (scene.plan.migration, "the drill ends it".to_owned());
    scene.world.act(Name::Controller, id, Act::Cancel { reason }).await.unwrap();
    let certified = async || scene.ledger().await.migration().stage == Stage::Destroyed;
    timeout(AT_MOST, until(certified)).await.unwrap();
    assert_eq!(place.keys(), 0, "the key is there");

    let desk = scene.world.desk(Name::Controller);
    let zip = desk.client().evidence(desk.keeper(), id).await.unwrap();
    let certificate = evidence::read(&zip).unwrap().certificate.unwrap();
    let certificate: Attestation = certificate.open(PayloadType::InToto, &scene.world.card.key).unwrap();
    let [round] = certificate.predicate.consignments.as_slice() else { unreachable!("one consignment") };
    let (level, backups) = match place {
        Place::Token(_) => (KeyLevel::K1, Residue::TokenBackups),
        Place::Bao(_) => (KeyLevel::K2, Residue::ServiceBackups),
    };
    assert_eq!((round.key.level, round.key.found, round.key.could_leave), (level, true, true));
    assert!(round.key.said.iter().any(|said| said.answered == flaw), "{:?}", round.key);
    assert!(round.residues.starts_with(&[backups, Residue::KeyCopy]), "{:?}", round.residues);
    let words = round.wording.join(" ");
    assert!(words.contains("a copy of it may have been taken out before") && !words.contains("no key out"), "{words}");

    let (verdict, _) = verified(&scene.world, &zip).await;
    assert_eq!(verdict.get("certificate_complete").unwrap(), false);
    let missing = verdict.get("missing").unwrap().to_string();
    assert!(missing.contains("a ring key that could not leave its place"), "{missing}");
    server.kill();
    let alarms: Vec<String> = scene.world.notes().into_iter().filter(|note| note.ends_with("[LZ-0845]")).collect();
    assert!(matches!(alarms.as_slice(), [once] if once.contains(&scene.consignment.to_string())), "{alarms:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_openbao_would_have_given_out_is_destroyed_and_certified_as_one_that_may_be_copied() {
    let name = "a_key_that_openbao_would_have_given_out_is_destroyed_and_certified_as_one_that_may_be_copied";
    let Some(over) = over(in_openbao(name)).await else { return };
    may_be_copied(over, "can be exported from the key store").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_brought_a_token_is_destroyed_and_certified_as_one_that_may_be_copied() {
    let name = "a_key_that_somebody_brought_a_token_is_destroyed_and_certified_as_one_that_may_be_copied";
    let Some(over) = over(in_a_token(name)).await else { return };
    may_be_copied(over, "is not, or was not always, one that cannot leave its token").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_could_leave_is_told_of_where_its_destruction_can_be_no_fact() {
    let name = "a_key_that_could_leave_is_told_of_where_its_destruction_can_be_no_fact";
    let Some((scene, place, server)) = over(in_openbao(name)).await else { return };
    scene.extract().await.done();
    place.lets_a_key_out(&scene);
    server.kill();
    let data = scene.world.server_folder();
    assert_eq!(count(&data, "strongroom"), 1, "the control");
    // The end that stands beside the shares counts where facts are damaged.
    let sql = "UPDATE fact SET entry = 'nothing' WHERE number = 4; \
               UPDATE strongroom SET deadline = '2020-01-01T00:00:00Z'";
    damage(&data, |db| db.execute_batch(sql).unwrap());

    let server = place.serve(&scene.world).await;
    let forgotten = async || count(&data, "strongroom") == 0;
    timeout(AT_MOST, until(forgotten)).await.unwrap();
    server.kill();
    assert_eq!(place.keys(), 0, "the key is there");
    let notes = scene.world.notes();
    assert!(notes.iter().any(|note| note.contains("destroyed without a fact")), "{notes:?}");
    let alarms: Vec<_> = notes.iter().filter(|note| note.ends_with("[LZ-0845]")).collect();
    assert!(matches!(*alarms, [once] if once.contains(&scene.consignment.to_string())), "{notes:?}");
}
