//! What a lock or a hold of an object store keeps at a destruction is deleted by the sweep when its date has come, or when
//! somebody has lifted the hold, and that is noted.
#![cfg(unix)]

use std::sync::Arc;

use bytes::Bytes;
use drill::{Name, Round, World, entropy};
use futures::future::BoxFuture;
use lexicon::{ConsignmentId, Result, ShelfId, Timestamp};
use procedure::{Act, Destroyed};
use vault::{Erased, Keeps, ParcelAddress, Receipt, S3Shelf, Shelf};

use super::bad_environment::stores::Moto;

/// A shelf in a bucket that locks objects, which it did not when it was asked.
struct LockedSince(S3Shelf);

impl Shelf for LockedSince {
    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>> {
        Box::pin(async { Ok(Keeps::Versions) })
    }

    fn id(&self, new: ShelfId) -> BoxFuture<'_, Result<ShelfId>> {
        self.0.id(new)
    }

    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.0.put(address, bytes)
    }

    fn read(&self, address: ParcelAddress) -> BoxFuture<'_, Result<Bytes>> {
        self.0.read(address)
    }

    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        self.0.list(consignment)
    }

    fn unfinished(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<u64>> {
        self.0.unfinished(consignment)
    }

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        self.0.erase(consignment, seen)
    }
}

fn retained_until(year: &str) -> String {
    format!(
        "s3.put_object_retention(Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True, \
         Retention={{'Mode': 'GOVERNANCE', 'RetainUntilDate': datetime({year}, 1, 2, tzinfo=timezone.utc)}})"
    )
}

struct Ground {
    world: World,
    moto: Moto,
    bucket: String,
}

impl Ground {
    async fn new(test: &str) -> Option<Self> {
        let moto = Moto::there(test)?;
        let bucket = ConsignmentId::draw(entropy().as_ref()).unwrap().to_string();
        moto.boto(&format!("s3.create_bucket(Bucket='{bucket}', ObjectLockEnabledForBucket=True)"));
        let mut ground = Self { world: World::start().await, moto, bucket };
        ground.restart().await;
        Some(ground)
    }

    async fn restart(&mut self) {
        let place = self.moto.place(&self.bucket);
        self.world.stop().await;
        self.world.restart_with(|furniture| furniture.shelf = Arc::new(LockedSince(S3Shelf::open(place).unwrap())));
    }

    /// Does something to the first parcel of a round, which `key` names.
    fn first_parcel(&self, round: &Round, script: &str) {
        let line = round.manifest.parcels.first().unwrap();
        let key = format!("{}/{}/{}", round.consignment, line.attempt, line.parcel);
        self.moto.boto(&format!(
            "from datetime import datetime, timezone\nbucket, key = '{}', '{key}'\n\
             version = [v for v in s3.list_object_versions(Bucket=bucket, Prefix=key)['Versions']][0]['VersionId']\n{script}",
            self.bucket
        ));
    }

    fn versions(&self, round: &Round) -> String {
        let script = "print(len(s3.list_object_versions(Bucket='BUCKET', Prefix='PREFIX/').get('Versions', [])))";
        self.moto.boto(&script.replace("BUCKET", &self.bucket).replace("PREFIX", &round.consignment.to_string()))
    }

    async fn destroyed(&self, round: &Round) -> Destroyed {
        let (consignment, reason) = (round.consignment, "the drill ends it".to_owned());
        self.world.act(Name::Operator, round.plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
        let ledger = self.world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
        let said = ledger.recorded().iter().find_map(|recorded| {
            if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.clone()) } else { None }
        });
        said.unwrap()
    }

    async fn server_says(&self, round: &Round) -> String {
        let desk = self.world.desk(Name::Controller);
        let lines = desk.client().migrations(desk.keeper()).await.unwrap();
        lines.into_iter().find(|line| line.migration == round.plan.migration).unwrap().says.join("\n")
    }

    /// Some beats: each looks at one destroyed consignment.
    async fn beats(&self) {
        for _ in 0..4 {
            self.world.office().sweep().await.unwrap();
        }
    }

    fn noted(&self) -> Vec<String> {
        self.world.notes().into_iter().filter(|note| note.contains("had to keep at its destruction")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lock_held_is_deleted_when_its_date_has_come_also_after_a_restart_and_noted_once() {
    let test = "what_a_lock_held_is_deleted_when_its_date_has_come_also_after_a_restart_and_noted_once";
    let Some(mut ground) = Ground::new(test).await else { return };
    let systems = ground.world.systems(60);
    let round = ground.world.closed(&systems).await;
    let date = "2099-01-02T00:00:00Z";
    ground.first_parcel(&round, &retained_until("2099"));

    let evidence = ground.destroyed(&round).await;
    let [kept] = evidence.lingering.as_slice() else { panic!("{evidence:?}") };
    assert_eq!(kept.until.unwrap().to_string(), date);
    // The store would let it go now; before its date nobody asks.
    ground.first_parcel(&round, &retained_until("2020"));
    ground.beats().await;
    assert!(ground.server_says(&round).await.contains(&format!("the first until {date}")));
    ground.restart().await;
    ground.beats().await;
    assert!(ground.server_says(&round).await.contains(&format!("the first until {date}")), "a restart made it forget");
    assert_eq!((ground.versions(&round).as_str(), ground.noted().len()), ("1", 0));

    ground.world.clock.set(date.parse::<Timestamp>().unwrap());
    ground.beats().await;
    assert_eq!(ground.versions(&round), "0");
    let noted = ground.noted();
    let [note] = noted.as_slice() else { panic!("once: {noted:?}") };
    assert!(note.contains(&round.consignment.to_string()) && note.contains("1 parcels"), "{note}");
    assert!(note.ends_with("nothing of it is kept any more"), "{note}");
    ground.restart().await;
    ground.beats().await;
    assert_eq!(ground.noted().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lock_held_of_a_migration_whose_facts_are_damaged_is_deleted_at_its_date_too_and_noted_once() {
    let test = "what_a_lock_held_of_a_migration_whose_facts_are_damaged_is_deleted_at_its_date_too_and_noted_once";
    let Some(mut ground) = Ground::new(test).await else { return };
    let round = ground.world.closed(&ground.world.systems(60)).await;
    ground.first_parcel(&round, &retained_until("2099"));
    ground.world.stop().await;
    let db = rusqlite::Connection::open(ground.world.server_folder().join("registry.sqlite")).unwrap();
    assert!(db.execute("DELETE FROM fact", []).unwrap() > 0);
    drop(db);
    ground.restart().await;
    ground.world.pass_hours(73);
    ground.beats().await;
    let date = "2099-01-02T00:00:00Z";
    assert!(
        ground.world.notes().iter().any(|note| note.contains(&format!("is kept by the object store until {date}")))
    );

    // Nothing tells the next process what is held but the store itself, which would let it go before its date.
    ground.restart().await;
    ground.beats().await;
    ground.first_parcel(&round, &retained_until("2020"));
    ground.beats().await;
    assert_eq!((ground.versions(&round).as_str(), ground.noted().len()), ("1", 0));
    ground.world.clock.set(date.parse::<Timestamp>().unwrap());
    ground.beats().await;
    assert_eq!((ground.versions(&round).as_str(), ground.noted().len()), ("0", 1), "{:?}", ground.world.notes());
    for _ in 0..2 {
        ground.restart().await;
        ground.beats().await;
        assert_eq!(ground.noted().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hold_without_a_date_kept_is_deleted_once_somebody_has_lifted_it() {
    let test = "what_a_hold_without_a_date_kept_is_deleted_once_somebody_has_lifted_it";
    let Some(ground) = Ground::new(test).await else { return };
    let systems = ground.world.systems(60);
    let round = ground.world.closed(&systems).await;
    let hold = "s3.put_object_legal_hold(Bucket=bucket, Key=key, VersionId=version, LegalHold={'Status': 'WHICH'})";
    ground.first_parcel(&round, &hold.replace("WHICH", "ON"));

    let evidence = ground.destroyed(&round).await;
    assert_eq!(evidence.lingering.iter().map(|kept| kept.until).collect::<Vec<_>>(), [None]);
    ground.beats().await;
    assert_eq!((ground.versions(&round).as_str(), ground.noted().len()), ("1", 0));
    assert!(ground.server_says(&round).await.contains("until somebody lifts its hold"));

    ground.first_parcel(&round, &hold.replace("WHICH", "OFF"));
    ground.beats().await;
    assert_eq!((ground.versions(&round).as_str(), ground.noted().len()), ("0", 1));
    ground.beats().await;
    assert_eq!(ground.noted().len(), 1);
}
