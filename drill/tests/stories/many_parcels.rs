//! A device that goes on storing parcels: the server takes so many of one consignment and no more, so that every device can
//! read what it says of their destruction.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use desk::Desk;
use drill::{Name, World};
use evidence::{Attestation, Residue};
use futures::future::{BoxFuture, join_all};
use lexicon::{Code, ConsignmentId, Digest, MigrationId, ParcelId, Result, canonical, limits};
use people::PayloadType;
use procedure::Act;
use registry::Registry;
use rusqlite::{Connection, params};
use tokio::sync::Barrier;
use vault::{ParcelAddress, Shelf};
use wire::{FactsQuery, ParcelLine};

use super::passes_on::passes_on;

const AT_ONCE: u8 = 8;

/// A shelf at which so many parcels arrive together.
struct Together {
    inner: Arc<dyn Shelf>,
    all: Barrier,
}

impl Shelf for Together {
    passes_on!(keeps id read list unfinished erase);

    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.all.wait().await;
            self.inner.put(address, bytes).await
        })
    }
}

fn noted(data: &Path, consignment: ConsignmentId) -> usize {
    Registry::open(&data.join("registry.sqlite")).unwrap().parcels(consignment).unwrap().len()
}

/// Notes parcels, with rows as long as rows can be, until there are so many.
fn fill(data: &Path, consignment: ConsignmentId, up_to: usize) {
    let [there, up_to] = [noted(data, consignment), up_to].map(|count| i64::try_from(count).unwrap());
    let db = Connection::open(data.join("registry.sqlite")).unwrap();
    let rows = "WITH RECURSIVE n (i) AS (SELECT ?2 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?3) \
                INSERT INTO parcel (consignment, attempt, parcel, bytes, digest) \
                SELECT ?1, 4294967295, lower(hex(randomblob(16))), 67108864, lower(hex(randomblob(32))) FROM n";
    db.execute(rows, params![consignment.to_string(), there, up_to]).unwrap();
}

async fn put(desk: &Desk, (migration, consignment): (MigrationId, ConsignmentId), parcel: u8) -> Result<ParcelLine> {
    let bytes = Bytes::from(vec![parcel; 100]);
    let digest = Digest::of(&bytes);
    let place = (1, ParcelId([parcel; 16]));
    desk.client().put_parcel(desk.keeper(), migration, consignment, place, (bytes, digest)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_no_parcel_whose_destruction_no_device_could_read() {
    let mut world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = world.consign(&plan).await;
    let round = (plan.migration, consignment);
    world.extract_until(&plan, consignment, systems.source.as_ref(), 1).await;
    world.stop().await;
    fill(&world.server_folder(), consignment, limits::PARCELS_MAX - 1);
    world.restart_with(|furniture| {
        let (inner, all) = (Arc::clone(&furniture.shelf), Barrier::new(usize::from(AT_ONCE)));
        furniture.shelf = Arc::new(Together { inner, all });
    });

    // There is room for one, and all of them are on the shelf before the first is noted.
    let desk = world.desk(Name::Operator);
    let put_at_once = join_all((1..=AT_ONCE).map(|parcel| put(&desk, round, parcel))).await;
    let (stored, refused): (Vec<_>, Vec<_>) = (1..).zip(put_at_once).partition(|(_, put)| put.is_ok());
    let [(winner, _)] = stored.as_slice() else { panic!("one has room: {} came", stored.len()) };
    assert!(refused.iter().all(|(_, put)| put.as_ref().unwrap_err().code() == Code(761)), "{refused:?}");
    assert_eq!(noted(&world.server_folder(), consignment), limits::PARCELS_MAX);

    world.stop().await;
    world.restart();
    let late = put(&desk, round, 200).await.unwrap_err();
    assert!(late.to_string().contains("has 100000 parcels"), "{late}");
    put(&desk, round, *winner).await.unwrap();

    let reason = "the drill ends it".to_owned();
    world.act(Name::Operator, plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
    let shelf = world.server_folder().join("shelf").join(consignment.to_string());
    assert!(!shelf.exists(), "what was refused lies on the shelf");
    let controller = world.desk(Name::Controller);
    let ledger = controller.follow(plan.migration).await.unwrap();
    let destroyed = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.inventory.len()) } else { None }
    });
    assert_eq!(destroyed, Some(limits::PARCELS_MAX));
    let all = FactsQuery { from: 1, size: 0 };
    let facts = controller.client().facts(controller.keeper(), plan.migration, all).await.unwrap();
    let bytes = canonical(&facts).unwrap().len();
    assert!(2 * bytes < 4 * limits::ACT_BYTES_MAX, "{bytes} bytes of facts: there is little room to spare");

    let reason = "the drill ends all of it".to_owned();
    world.act(Name::Controller, plan.migration, Act::Cancel { reason }).await.unwrap();
    let pack = controller.client().evidence(controller.keeper(), plan.migration).await.unwrap();
    let certificate = evidence::read(&pack).unwrap().certificate.unwrap();
    let certified: Attestation = certificate.open(PayloadType::InToto, &world.card.key).unwrap();
    let [round] = certified.predicate.consignments.as_slice() else { unreachable!("one consignment") };
    let many = u64::try_from(limits::PARCELS_MAX).unwrap();
    assert_eq!((round.inventory.lines.len(), round.inventory.parcels), (limits::PARCELS_MAX, many));
    assert_eq!(certified.subject.len(), limits::PARCELS_MAX + 1, "a fact, and each parcel");
    // Most were noted only, and never on the shelf; those that were refused were there, and not noted.
    let absent = round
        .residues
        .iter()
        .find_map(|left| if let Residue::AbsentParcels { parcels, .. } = left { Some(*parcels) } else { None });
    assert_eq!(round.deleted + absent.unwrap(), many + u64::from(AT_ONCE) - 1);
}
