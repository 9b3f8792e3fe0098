//! The same over keys in OpenBao and parcels in Garage: each piece that goes either way on the lines to them is a step, and the
//! server is killed before it goes on. So it dies before any request, and before it hears of what was done.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use drill::{Name, Round, World, write_file};
use lexicon::{Clock, Digest};
use procedure::{KeyAct, Ledger, Plan};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use vault::{BucketPlace, KeyRing, KeyState, OpenBaoPlace, ParcelAddress, S3Shelf, Shelf, StoreRing};
use zeroize::Zeroizing;

use super::Server;
use super::end::End;

/// Keys and parcels elsewhere, and by which way one comes to them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stores {
    bao: String,
    token_file: PathBuf,
    garage: String,
}

impl Stores {
    pub(super) fn key_ring(&self, folder: &Path, data: &Path, clock: Arc<dyn Clock>) -> Arc<dyn KeyRing> {
        let place = OpenBaoPlace {
            address: self.bao.clone(),
            mount: "transit".to_owned(),
            token_file: self.token_file.clone(),
            ca_file: None,
            server: Digest([7; 32]),
        };
        let ring = StoreRing::over_openbao(folder, data, place, clock).unwrap();
        assert!(ring.trouble().is_none(), "{:?}", ring.trouble());
        Arc::new(ring)
    }

    pub(super) fn shelf(&self) -> Arc<dyn Shelf> {
        let (place, _) = drill::garage().unwrap();
        Arc::new(S3Shelf::open(BucketPlace { endpoint: self.garage.clone(), ..place }).unwrap())
    }
}

/// An OpenBao of this story alone, which keeps its keys in memory.
struct Bao {
    address: String,
    child: Child,
}

impl Bao {
    fn there() -> Option<Self> {
        let program = std::env::var("LAZARET_TEST_BAO").ok()?;
        let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut server = Command::new(&program);
        server.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"]);
        server.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let mut child = server.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(std::result::Result::ok);
        assert!(lines.any(|line| line.contains("server started")));
        // What else it tells goes nowhere, and its pipe is never full.
        std::thread::spawn(move || lines.for_each(drop));
        let bao = Self { address: format!("http://127.0.0.1:{port}"), child };
        let mut enable = Command::new(&program);
        enable.args(["secrets", "enable", "transit"]).env("BAO_ADDR", &bao.address).env("BAO_TOKEN", "root");
        let enabled = enable.output().unwrap();
        assert!(enabled.status.success(), "{}", String::from_utf8_lossy(&enabled.stderr));
        Some(bao)
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).unwrap();
    }
}

/// A server that sweeps, and how many more pieces it sees.
struct Aim {
    sweeps: PathBuf,
    process: u32,
    left: i64,
}

#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Option<Aim>>>);

impl Steps {
    /// Whether a piece goes on: not when the server dies of it, nor after that.
    fn pass(&self) -> bool {
        let mut aim = self.0.lock().unwrap();
        let Some(aim) = aim.as_mut().filter(|aim| aim.sweeps.exists()) else { return true };
        aim.left = aim.left.saturating_sub(1);
        if aim.left == 0 {
            Command::new("kill").args(["-KILL", &aim.process.to_string()]).status().unwrap();
        }
        aim.left > 0
    }
}

/// What comes in at its port goes on to another address, piece by piece.
struct Line {
    address: String,
    accepting: JoinHandle<()>,
}

impl Line {
    async fn to(address: &str, steps: &Steps) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = format!("http://{}", listener.local_addr().unwrap());
        let (far, steps) = (address.trim_start_matches("http://").to_owned(), steps.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                tokio::spawn(carry(here, far.clone(), steps.clone()));
            }
        });
        Self { address: near, accepting }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(here: TcpStream, far: String, steps: Steps) {
    let Ok(there) = TcpStream::connect(far).await else { return };
    let ((from, back), (answers, to)) = (here.into_split(), there.into_split());
    tokio::select! {
        () = pieces(from, to, &steps) => {}
        () = pieces(answers, back, &steps) => {}
    }
}

async fn pieces(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, steps: &Steps) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if !steps.pass() || to.write_all(piece.get(..length).unwrap()).await.is_err() {
            return;
        }
    }
}

/// What a server over stores had before anything of it was destroyed.
struct Whole {
    round: Round,
    ledger: Ledger,
    ring: PathBuf,
    share: Zeroizing<Vec<u8>>,
    parcels: Vec<(ParcelAddress, Bytes)>,
}

impl Whole {
    /// A consignment that was handed over; the server is down.
    async fn of(world: &mut World, stores: &Stores) -> Self {
        world.stop().await;
        let (ring, data) = (world.path("ring in OpenBao"), world.server_folder());
        let clock: Arc<dyn Clock> = Arc::<lexicon::FixedClock>::clone(&world.clock);
        let (keys, shelf) = (stores.key_ring(&ring, &data, Arc::clone(&clock)), stores.shelf());
        world.restart_with(|furniture| (furniture.ring, furniture.shelf) = (keys, Arc::clone(&shelf)));
        let systems = world.systems(60);
        let (source, sink) = (systems.source.as_ref(), systems.sink.as_ref());
        let id = world.open().await;
        let (plan, documents) = world.plan(id, &synth::scope_toml(), source, sink).await;
        let plan = Plan { key_ring: "openbao".to_owned(), ..plan };
        world.propose(&plan, &documents).await.unwrap();
        world.approve(&plan).await;
        let consignment = world.consign(&plan).await;
        let manifest = world.extract(&plan, consignment, source).await.unwrap();
        world.release(&plan, consignment).await.unwrap();
        let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
        let mut parcels = Vec::new();
        for (address, _) in shelf.list(consignment).await.unwrap() {
            parcels.push((address, shelf.read(address).await.unwrap()));
        }
        world.stop().await;
        let registry = registry::Registry::open(&data.join("registry.sqlite")).unwrap();
        let keys = stores.key_ring(&ring, &data, clock);
        let share = office::strongroom_share(&registry, keys.as_ref(), id, consignment).unwrap().unwrap();
        Self { round: Round { plan, consignment, manifest }, ledger, ring, share, parcels }
    }

    /// Key and parcels again in their stores, and the share as that key wraps it.
    async fn laid_out(&self, server: &Server) -> Vec<u8> {
        let (migration, consignment) = (self.round.plan.migration, self.round.consignment);
        let ring = server.key_ring();
        ring.create(consignment).unwrap();
        let bound = format!("lazaret/1/strongroom|{migration}|{consignment}");
        let wrapped = ring.encrypt(consignment, bound.as_bytes(), &self.share).unwrap();
        let rows = rusqlite::Connection::open(server.data.join("registry.sqlite")).unwrap();
        let put = "UPDATE strongroom SET wrapped = ?1 WHERE consignment = ?2";
        assert_eq!(rows.execute(put, (&wrapped, consignment.to_string())).unwrap(), 1);
        for (address, bytes) in &self.parcels {
            server.shelf().put(*address, bytes.clone()).await.unwrap();
        }
        wrapped
    }

    async fn is_gone(&self, server: &Server) {
        let consignment = self.round.consignment;
        assert_eq!(server.shelf().list(consignment).await.unwrap(), []);
        assert_eq!(server.shelf().unfinished(consignment).await.unwrap(), 0);
        assert!(matches!(server.key_ring().attest(consignment).unwrap(), KeyState::Destroyed { .. }));
        assert!(server.registry().wrapped_share(consignment).unwrap().is_none());
        assert!(server.registry().parcels(consignment).unwrap().is_empty());
    }
}

fn asked(key: &KeyAct) -> Vec<&str> {
    key.said.iter().map(|said| said.asked.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_killed_at_any_piece_on_its_lines_to_openbao_and_garage_comes_to_the_same_end() {
    let (Some((garage, _)), Some(bao)) = (drill::garage(), Bao::there()) else {
        drill::skipped!(
            "one_killed_at_any_piece_on_its_lines_to_openbao_and_garage_comes_to_the_same_end (LAZARET_TEST_GARAGE or \
             LAZARET_TEST_BAO is not set)"
        );
        return;
    };
    let mut world = World::start().await;
    // So that its folder is searched too when the world ends.
    world.garage().unwrap();
    let token_file = world.path("token");
    write_file(&token_file, b"root");
    std::fs::set_permissions(&token_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let straight = Stores { bao: bao.address.clone(), token_file, garage: garage.endpoint };
    let whole = Whole::of(&mut world, &straight).await;
    let steps = Steps::default();
    let (to_bao, to_garage) = (Line::to(&straight.bao, &steps).await, Line::to(&straight.garage, &steps).await);
    let lines = Stores { bao: to_bao.address.clone(), garage: to_garage.address.clone(), ..straight.clone() };
    // The migration's own deadline: all of it ends, with a certificate.
    world.pass_hours(21 * 24);
    let noted = world.notes();
    let (mut ends, mut facts) = (Vec::new(), BTreeSet::new());
    for at in 1.. {
        let server = Server::copied(&world, (&world.server_folder(), &whole.ring), Some(straight.clone()), at);
        let wrapped = whole.laid_out(&server).await;
        // Nobody is aimed at while the next one opens its ring.
        *steps.0.lock().unwrap() = None;
        let mut process = Server { stores: Some(lines.clone()), ..server.clone() }.process();
        *steps.0.lock().unwrap() = Some(Aim { sweeps: server.sweeps(), process: process.id(), left: at });
        let status = tokio::task::spawn_blocking(move || process.wait().unwrap()).await.unwrap();
        server.died_or_ended(status);
        facts.insert(server.facts(&whole.round));

        let (office, later) = server.ends().await;
        ends.push(End::of((&world, &office), (&whole.ledger, &wrapped), [server.now, later], at).await);
        drop(office);
        whole.is_gone(&server).await;
        assert_eq!(drill::notes(&server.data), noted, "step {at}: it was no trouble to go on");
        if status.success() {
            break;
        }
    }
    let last = ends.pop().unwrap();
    let mut unheard = 0;
    for end in &ends {
        end.says_the_same_as(&last);
        let said = asked(end.key());
        assert_eq!(end.key().said.last().unwrap().answered, "400, encryption key not found", "step {}", end.step);
        if said != asked(last.key()) {
            assert_eq!(
                said,
                ["what was answered when the key was deleted", "GET the key", "GET the key", "POST decrypt"]
            );
            unheard += 1;
        }
    }
    assert!(unheard > 0, "no answer to a deletion was lost");
    // To and fro: the destruction of a key takes nine requests, a look whether it is gone two, the parcels some more.
    assert!(ends.len() >= 2 * (9 + 2 + whole.parcels.len()), "only {} steps", ends.len());
    // Between the deadline's fact and the destruction's everything is asked; the certificate needs nothing of the stores.
    let before = whole.ledger.recorded().len();
    assert_eq!(facts, [before + 1, before + 3].into(), "facts at the moments of death");
}
