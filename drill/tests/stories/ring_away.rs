//! A key ring whose keys lie in a token that somebody pulled, or in a service that is sealed: nothing is given out, what
//! ends waits and is told, and nothing is lost. And one that people did not approve.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use drill::{Name, Round, World, copy_folder, files_below, lies_on};
use evidence::Attestation;
use futures::future::BoxFuture;
use lexicon::{Clock, Code, ConsignmentId, Fault, Result, Retry, Timestamp, Trouble, hours_after};
use people::{OpeningKey, PayloadType};
use procedure::{Act, ConsignmentStage, KeyAct, Plan, Step};
use vault::{Erased, KeyRing, KeyState, Level, Receipt, RingEvidence, Shelf};
use zeroize::Zeroizing;

use super::no_deletion::{Cut, Cuts};
use super::passes_on::passes_on;

/// A ring over a place that would have given every key out.
pub(super) struct GivesOut {
    pub(super) inner: Arc<dyn KeyRing>,
}

impl KeyRing for GivesOut {
    passes_on!(create encrypt decrypt engrave attest buried held still_opens level);

    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        Ok(RingEvidence { could_leave: true, ..self.inner.destroy(id, seen)? })
    }
}

/// A ring over a place that can be away, and can give a destroyed key back.
struct Remote {
    inner: Arc<dyn KeyRing>,
    away: Arc<AtomicBool>,
    back: Arc<AtomicBool>,
    level: Level,
}

impl Remote {
    fn there(&self) -> Result<&dyn KeyRing> {
        let away = || Fault::new(Code(720), Retry::Later, "the token cannot be reached: pulled").into();
        if self.away.load(Ordering::SeqCst) { Err(away()) } else { Ok(self.inner.as_ref()) }
    }
}

impl KeyRing for Remote {
    passes_on!(engrave buried);

    fn create(&self, id: ConsignmentId) -> Result<()> {
        self.there()?.create(id)
    }

    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        self.there()?.encrypt(id, aad, plain)
    }

    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.there()?.decrypt(id, aad, sealed)
    }

    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        self.there()?.destroy(id, seen)
    }

    fn attest(&self, id: ConsignmentId) -> Result<KeyState> {
        if self.back.swap(false, Ordering::SeqCst) {
            return Err(lexicon::Alarm::new(Code(709), format!("the ring key of consignment {id} is back")).into());
        }
        self.there()?.attest(id)
    }

    fn held(&self) -> Result<Vec<ConsignmentId>> {
        self.there()?.held()
    }

    fn still_opens(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<bool> {
        self.there()?.still_opens(id, aad, sealed)
    }

    fn level(&self) -> Level {
        self.level
    }
}

#[derive(Clone, Default)]
struct Switches {
    away: Arc<AtomicBool>,
    back: Arc<AtomicBool>,
}

impl Switches {
    /// The server again, with its ring behind these switches.
    async fn put_before_the_ring(&self, world: &mut World, level: Level) {
        world.stop().await;
        world.restart_with(|furniture| {
            let inner = Arc::clone(&furniture.ring);
            let (away, back) = (Arc::clone(&self.away), Arc::clone(&self.back));
            furniture.ring = Arc::new(Remote { inner, away, back, level });
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_is_away_gives_nothing_out_and_what_ends_waits_and_is_told() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let switches = Switches::default();
    switches.put_before_the_ring(&mut world, Level::K0).await;
    let id = round.plan.migration;

    switches.away.store(true, Ordering::SeqCst);
    let begin = Act::Begin {
        consignment: round.consignment,
        step: Step::Load,
        attempt: 2,
        lease: hours_after(world.clock.now(), 1),
        key: OpeningKey::draw().recipient(),
        clear_swap: false,
    };
    let refused = world.act(Name::Recipient, id, begin).await.unwrap_err();
    assert!(matches!(&refused, Trouble::Fault(fault) if fault.code == Code(1218)), "{refused}");
    assert!(refused.to_string().contains("the token cannot be reached"), "{refused}");

    world.pass_hours(73);
    for _ in 0..3 {
        let waits = world.office().sweep().await.unwrap_err();
        assert_eq!(waits.code(), Code(720));
    }
    let told: Vec<String> = world.notes().into_iter().filter(|note| note.contains("not destroyed yet")).collect();
    let [note] = told.as_slice() else { panic!("once, and not at every beat: {told:?}") };
    assert!(note.contains(&round.consignment.to_string()) && note.ends_with("[LZ-0720]"), "{note}");
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    let stage = ledger.migration().consignment(round.consignment).unwrap().stage;
    assert_ne!(stage, ConsignmentStage::Destroyed, "nobody says that it is");

    switches.away.store(false, Ordering::SeqCst);
    world.office().sweep().await.unwrap();
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    let stage = ledger.migration().consignment(round.consignment).unwrap().stage;
    assert_eq!(stage, ConsignmentStage::Destroyed);

    switches.back.store(true, Ordering::SeqCst);
    world.office().sweep().await.unwrap();
    assert!(!switches.back.load(Ordering::SeqCst), "the sweep asks about what is destroyed");
    assert!(world.notes().iter().any(|note| note.contains("is back [LZ-0709]")), "{:?}", world.notes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_another_kind_of_ring_is_refused_and_so_is_a_consignment_under_it() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    Switches::default().put_before_the_ring(&mut world, Level::K1).await;
    let open = world.opening(&plan, ConsignmentId([3; 16]), procedure::Kind::Full, (1, procedure::EVERYTHING));
    let refused = world.act(Name::Operator, plan.migration, open).await.unwrap_err();
    assert_eq!(refused.code(), Code(819));
    assert!(refused.to_string().contains("'local', and this server's is 'pkcs11'"), "{refused}");

    let id = world.open().await;
    for (key_ring, code) in [("local", Some(Code(819))), ("pkcs11", None)] {
        let (next, documents) =
            world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
        let next = Plan { key_ring: key_ring.to_owned(), ..next };
        assert_eq!(world.propose(&next, &documents).await.err().map(|trouble| trouble.code()), code, "{key_ring}");
    }
}

/// A round that is closed, and what of the ring's folder there was while its key lived.
pub(super) async fn closed_and_copied() -> (World, Round, PathBuf) {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    world.stop().await;
    let copy = world.path("ring-copy");
    copy_folder(&world.ring_folder(), &copy);
    world.restart();
    (world, round, copy)
}

pub(super) async fn abandon(world: &World, round: &Round) {
    let (consignment, reason) = (round.consignment, "the drill ends it".to_owned());
    world.act(Name::Controller, round.plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
}

fn told(world: &World, what: &str) -> usize {
    world.notes().iter().filter(|note| note.contains(what)).count()
}

pub(super) fn put_key_back(ring: &Path, copy: &Path) {
    for key in files_below(&[&copy.join("keys")]) {
        std::fs::copy(&key, ring.join("keys").join(key.file_name().unwrap())).unwrap();
    }
}

/// What the fact of its destruction says of the key.
async fn certified_key(world: &World, round: &Round) -> KeyAct {
    let ledger = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    let key = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.key.clone()) } else { None }
    });
    key.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_came_back_is_certified_from_its_last_destruction_and_what_comes_after_the_fact_is_noted() {
    let (mut world, round, copy) = closed_and_copied().await;
    let id = round.plan.migration;
    let back = |world: &World| -> Timestamp {
        put_key_back(&world.ring_folder(), &copy);
        world.pass_hours(1);
        world.clock.now()
    };
    world.stop().await;
    world.restart_with(|furniture| {
        let inner = Arc::clone(&furniture.shelf);
        furniture.shelf = Arc::new(Cuts::<dyn Shelf> { inner, at: Cut::BeforeTheParcels });
    });
    world.pass_hours(73);
    // The key goes, the parcels stay, and nothing is a fact yet.
    world.office().sweep().await.unwrap_err();
    let last = back(&world);
    world.office().sweep().await.unwrap_err();
    assert_eq!(told(&world, "was back in the key ring, and is destroyed again [LZ-0709]"), 1, "{:?}", world.notes());
    assert_eq!(told(&world, "its key is not destroyed yet"), 0, "{:?}", world.notes());
    world.stop().await;
    world.restart();
    world.office().sweep().await.unwrap();
    let key = certified_key(&world, &round).await;
    assert_eq!((key.found, key.begun_at, key.at), (true, last, last));
    assert_eq!(key.said.first().unwrap().answered, "it was there again");

    let again = "after the fact of its destruction: its key was there, and is destroyed again at ";
    for (times, restarts) in [(1, false), (2, true)] {
        let at = back(&world);
        if restarts {
            world.stop().await;
            world.restart();
        }
        for _ in 0..3 {
            world.office().sweep().await.unwrap();
        }
        assert_eq!(told(&world, again), times, "{:?}", world.notes());
        let note = world.notes().into_iter().find(|note| note.contains(&format!("{again}{at}"))).unwrap();
        assert!(note.contains("it was there again") && note.contains("write over the key's file"), "{note}");
    }
    // The certificate is of the fact; what came after it stands in the journal, and in the pack.
    world.act(Name::Controller, id, Act::Cancel { reason: "the drill ends it".to_owned() }).await.unwrap();
    let desk = world.desk(Name::Controller);
    let pack = evidence::read(&desk.client().evidence(desk.keeper(), id).await.unwrap()).unwrap();
    let verdict = evidence::verify(&pack, &desk.home().trusted().unwrap()).unwrap();
    assert_eq!(verdict.statements.iter().filter(|statement| statement.text.contains(again)).count(), 2);
    let certified: Attestation = pack.certificate.unwrap().open(PayloadType::InToto, &world.card.key).unwrap();
    assert_eq!(certified.predicate.effective, Some(last));
}

/// A shelf that lets somebody do something once, when all parcels are deleted.
struct Meanwhile {
    inner: Arc<dyn Shelf>,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Shelf for Meanwhile {
    passes_on!(keeps id put read list unfinished);

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async move {
            let erased = self.inner.erase(consignment, seen).await?;
            let then = self.then.lock().unwrap().take();
            if let Some(then) = then {
                then();
            }
            Ok(erased)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_put_back_while_parcels_are_deleted_is_destroyed_again_and_certified_from_then() {
    let (mut world, round, copy) = closed_and_copied().await;
    world.stop().await;
    let (clock, ring) = (Arc::clone(&world.clock), world.ring_folder());
    let then = move || {
        put_key_back(&ring, &copy);
        clock.set(hours_after(clock.now(), 1));
    };
    world.restart_with(|furniture| {
        let inner = Arc::clone(&furniture.shelf);
        furniture.shelf = Arc::new(Meanwhile { inner, then: Mutex::new(Some(Box::new(then))) });
    });
    world.pass_hours(73);
    world.office().sweep().await.unwrap();

    assert!(files_below(&[&world.ring_folder().join("keys")]).is_empty());
    assert_eq!(told(&world, "was back in the key ring, and is destroyed again [LZ-0709]"), 1, "{:?}", world.notes());
    let key = certified_key(&world, &round).await;
    let last = world.clock.now();
    assert_eq!((key.found, key.begun_at, key.at), (true, last, last));
    assert_eq!(key.said.first().unwrap().answered, "it was there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_was_put_back_whole_is_found_out_and_its_key_destroyed_again() {
    let (mut world, round, copy) = closed_and_copied().await;
    abandon(&world, &round).await;
    world.stop().await;
    std::fs::remove_dir_all(world.ring_folder()).unwrap();
    copy_folder(&copy, &world.ring_folder());
    world.restart_with(|furniture| furniture.ring = Arc::new(GivesOut { inner: Arc::clone(&furniture.ring) }));

    for _ in 0..3 {
        world.office().sweep().await.unwrap();
    }
    for code in ["[LZ-0842]", "[LZ-0845]"] {
        assert_eq!(told(&world, code), 1, "{:?}", world.notes());
    }
    assert!(files_below(&[&world.ring_folder().join("keys")]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_a_parcel_that_were_put_back_under_a_running_server_go_again_and_are_told_once() {
    let (world, round, copy) = closed_and_copied().await;
    let shelf = world.server_folder().join("shelf");
    let parcels = world.path("parcels-copy");
    copy_folder(&shelf, &parcels);
    abandon(&world, &round).await;
    assert!(lies_on(&shelf).is_empty());
    put_key_back(&world.ring_folder(), &copy);
    std::fs::remove_dir_all(&shelf).unwrap();
    copy_folder(&parcels, &shelf);

    for _ in 0..3 {
        world.office().sweep().await.unwrap();
    }
    assert_eq!(told(&world, "[LZ-0709]"), 1, "{:?}", world.notes());
    assert_eq!(told(&world, "lay on the shelf after its destruction"), 1, "{:?}", world.notes());
    assert!(lies_on(&shelf).is_empty() && files_below(&[&world.ring_folder().join("keys")]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_never_had_the_key_lets_a_migration_only_end() {
    let (mut world, round, _) = closed_and_copied().await;
    world.stop().await;
    std::fs::remove_dir_all(world.ring_folder()).unwrap();
    world.restart();

    let refused = world.release(&round.plan, round.consignment).await.unwrap_err();
    assert_eq!(refused.code(), Code(813));
    world.pass_hours(73);
    world.office().sweep().await.unwrap();
    let ledger = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    let stage = ledger.migration().consignment(round.consignment).unwrap().stage;
    assert_eq!(stage, ConsignmentStage::Destroyed);
    assert!(lies_on(&world.server_folder().join("shelf")).is_empty(), "its parcels go all the same");
    assert_eq!(told(&world, "[LZ-0843]"), 1, "{:?}", world.notes());
    let said = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.key.found) } else { None }
    });
    assert_eq!(said, Some(false), "and nobody says that the key was destroyed");
}
