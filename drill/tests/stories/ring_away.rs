//! A key ring whose keys lie in a token that somebody pulled, or in a service that is sealed: nothing is given out, what
//! ends waits and is told, and nothing is lost. And one that people did not approve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drill::{Name, World};
use lexicon::{Clock, Code, ConsignmentId, Fault, Result, Retry, Trouble, hours_after};
use people::OpeningKey;
use procedure::{Act, ConsignmentStage, Plan, Step};
use registry::Registry;
use vault::{KeyRing, KeyState, Level, Receipt, RingEvidence};
use wire::Leaf;
use zeroize::Zeroizing;

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

/// What the journal's notes say.
fn notes(world: &World) -> Vec<String> {
    let registry = Registry::open(&world.server_folder().join("registry.sqlite")).unwrap();
    let leaves = (0..).map_while(|number| registry.leaf(number).unwrap());
    let parsed = leaves.filter_map(|leaf| serde_json::from_slice::<Leaf>(&leaf).ok());
    parsed.filter_map(|leaf| if let Leaf::Note { text, .. } = leaf { Some(text) } else { None }).collect()
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
    };
    let refused = world.act(Name::Recipient, id, begin).await.unwrap_err();
    assert!(matches!(&refused, Trouble::Fault(fault) if fault.code == Code(1218)), "{refused}");
    assert!(refused.to_string().contains("the token cannot be reached"), "{refused}");

    world.pass_hours(73);
    for _ in 0..3 {
        let waits = world.office().sweep().await.unwrap_err();
        assert_eq!(waits.code(), Code(720));
    }
    let told: Vec<String> = notes(&world).into_iter().filter(|note| note.contains("not destroyed yet")).collect();
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
    assert!(notes(&world).iter().any(|note| note.contains("is back [LZ-0709]")), "{:?}", notes(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_another_kind_of_ring_is_refused_and_so_is_a_consignment_under_it() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    Switches::default().put_before_the_ring(&mut world, Level::K1).await;
    let open = Act::OpenConsignment {
        consignment: ConsignmentId([3; 16]),
        plan: plan.digest().unwrap(),
        kind: procedure::Kind::Full,
        seed: 1,
        basis_points: procedure::EVERYTHING,
        target: plan.target(procedure::Kind::Full).unwrap().identity.clone(),
        deadline: hours_after(world.clock.now(), 72),
    };
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
