//! Uploads that break off while their consignment is destroyed, or that a process left behind which ended then: no listing
//! shows them, and nothing of them stays on the shelf.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use drill::{Name, World, entropy, lies_on, write_file};
use futures::future::BoxFuture;
use lexicon::{Code, ConsignmentId, Digest, Fault, MigrationId, ParcelId, Result, Retry};
use procedure::{Act, Destroyed};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use vault::{KeyRing, ParcelAddress, Receipt, RingEvidence, S3Shelf, Shelf};
use wire::ParcelLine;

use super::bad_environment::stores::Moto;
use super::passes_on::passes_on;

const HALF: &[u8] = b"half of a parcel";

/// What an upload that was cut leaves in a folder, as it is called there.
pub(super) fn leave(shelf: &Path, address: ParcelAddress, bytes: &[u8]) {
    let folder = shelf.join(format!("{}/{}", address.consignment, address.attempt));
    std::fs::create_dir_all(&folder).unwrap();
    write_file(&folder.join(format!("{}#1", address.parcel)), bytes);
}

/// A shelf at which every upload breaks off, once it is told to, and leaves what had arrived.
struct Breaking {
    inner: Arc<dyn Shelf>,
    folder: PathBuf,
    begun: Arc<Notify>,
    breaks: Arc<Notify>,
}

impl Shelf for Breaking {
    passes_on!(keeps id read list unfinished erase);

    fn put(&self, address: ParcelAddress, _: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.begun.notify_one();
            self.breaks.notified().await;
            leave(&self.folder, address, HALF);
            Err(Fault::new(Code(715), Retry::Never, "the shelf failed to put a parcel: the disk is full").into())
        })
    }
}

pub(super) fn address(consignment: ConsignmentId) -> ParcelAddress {
    ParcelAddress { consignment, attempt: 1, parcel: ParcelId([9; 16]) }
}

/// A consignment of which some parcels are on the shelf.
async fn extracted_in_part(world: &World) -> (MigrationId, ConsignmentId) {
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = world.consign(&plan).await;
    world.extract_until(&plan, consignment, systems.source.as_ref(), 1).await;
    (plan.migration, consignment)
}

/// One more parcel on its way from the operator's device.
fn uploading(world: &World, migration: MigrationId, consignment: ConsignmentId) -> JoinHandle<Result<ParcelLine>> {
    let desk = world.desk(Name::Operator);
    tokio::spawn(async move {
        let bytes = Bytes::from_static(b"a parcel");
        let digest = Digest::of(&bytes);
        let place = (1, address(consignment).parcel);
        desk.client().put_parcel(desk.keeper(), migration, consignment, place, (bytes, digest)).await
    })
}

async fn abandon(world: &World, migration: MigrationId, consignment: ConsignmentId) {
    let reason = "the drill ends it".to_owned();
    world.act(Name::Controller, migration, Act::Abandon { consignment, reason }).await.unwrap();
}

/// Some beats, and how often they noted that something was cut.
async fn noted_by_the_sweep(world: &World) -> usize {
    for _ in 0..3 {
        world.office().sweep().await.unwrap();
    }
    world.notes().iter().filter(|note| note.contains("0 parcels and 1 uploads that were cut of consignment")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_after_its_consignment_was_destroyed_leaves_nothing() {
    let mut world = World::start().await;
    let (migration, consignment) = extracted_in_part(&world).await;
    let (begun, breaks, folder) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), world.server_folder().join("shelf"));
    world.stop().await;
    world.restart_with(|furniture| {
        let (inner, folder) = (Arc::clone(&furniture.shelf), folder.clone());
        furniture.shelf = Arc::new(Breaking { inner, folder, begun: Arc::clone(&begun), breaks: Arc::clone(&breaks) });
    });
    let uploading = uploading(&world, migration, consignment);
    begun.notified().await;
    abandon(&world, migration, consignment).await;
    breaks.notify_one();

    assert_eq!(uploading.await.unwrap().unwrap_err().code(), Code(831));
    assert_eq!(lies_on(&folder), Vec::<PathBuf>::new());
}

/// A ring that takes long over its first destruction, before its key goes or after it: until it is told to go on. Before its
/// key went it is away for every other one.
struct Slow {
    inner: Arc<dyn KeyRing>,
    key_goes_first: bool,
    first: Mutex<Option<(Sender<()>, Receiver<()>)>>,
    away: AtomicBool,
}

impl KeyRing for Slow {
    passes_on!(create encrypt decrypt engrave attest buried held still_opens level);

    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        let first = self.first.lock().unwrap().take();
        if first.is_none() && self.away.load(SeqCst) {
            return Err(Fault::new(Code(720), Retry::Later, "the key ring is away").into());
        }
        let gone = self.key_goes_first.then(|| self.inner.destroy(id, seen)).transpose()?;
        if let Some((begun, told)) = first {
            self.away.store(!self.key_goes_first, SeqCst);
            begun.send(()).unwrap();
            told.recv().unwrap();
            self.away.store(false, SeqCst);
        }
        gone.map_or_else(|| self.inner.destroy(id, seen), Ok)
    }
}

/// An upload comes too late while the ring is at its destruction: how many files lay on the shelf before it, how many after,
/// and what the fact of the destruction says in the end.
async fn late_while_the_key_goes(key_goes_first: bool) -> (usize, usize, Destroyed) {
    let mut world = World::start().await;
    let (migration, consignment) = extracted_in_part(&world).await;
    let (begun, breaks, folder) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), world.server_folder().join("shelf"));
    let ((destroying, begins), (go_on, told)) = (channel(), channel());
    world.stop().await;
    world.restart_with(|furniture| {
        let (inner, first) = (Arc::clone(&furniture.ring), Mutex::new(Some((destroying, told))));
        furniture.ring = Arc::new(Slow { inner, key_goes_first, first, away: AtomicBool::new(false) });
        let (inner, folder) = (Arc::clone(&furniture.shelf), folder.clone());
        furniture.shelf = Arc::new(Breaking { inner, folder, begun: Arc::clone(&begun), breaks: Arc::clone(&breaks) });
    });
    // Only now: a parcel that was on its way when the extraction was cut may have come since, and nobody noted it.
    let before = lies_on(&folder).len();
    let uploading = uploading(&world, migration, consignment);
    begun.notified().await;
    let late = async {
        tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
        breaks.notify_one();
        let refused = uploading.await.unwrap();
        let after = lies_on(&folder).len();
        go_on.send(()).unwrap();
        (refused, after)
    };
    let ((), (refused, after)) = tokio::join!(abandon(&world, migration, consignment), late);
    assert_eq!(refused.unwrap_err().code(), Code(831));
    world.office().sweep().await.unwrap();
    assert_eq!(lies_on(&folder), Vec::<PathBuf>::new());

    let ledger = world.desk(Name::Controller).follow(migration).await.unwrap();
    let evidence = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.clone()) } else { None }
    });
    (before, after, evidence.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_comes_too_late_deletes_nothing_before_the_key_is_gone() {
    let (before, after, evidence) = late_while_the_key_goes(false).await;

    assert!(before > 0, "there is no parcel: this story says too little");
    assert_eq!(after, before + 1, "a parcel went before its key");
    assert_eq!(evidence.parcels, u64::try_from(before).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upload_that_comes_too_late_deletes_is_not_taken_for_lost() {
    let (before, after, evidence) = late_while_the_key_goes(true).await;

    assert!(before > 0 && after == 0, "it deletes nothing: this story says too little");
    assert!(!evidence.inventory.is_empty() && evidence.absent.is_none(), "{evidence:?}");
    assert_eq!(evidence.parcels, u64::try_from(evidence.inventory.len()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_ended_left_of_an_upload_is_deleted_from_a_folder_when_the_sweep_looks_back() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    abandon(&world, round.plan.migration, round.consignment).await;
    world.stop().await;
    let folder = world.server_folder().join("shelf");
    leave(&folder, address(round.consignment), HALF);
    world.restart();

    assert_eq!(noted_by_the_sweep(&world).await, 1, "{:?}", world.notes());
    assert_eq!(lies_on(&folder), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_ended_left_of_an_upload_is_deleted_from_a_bucket_when_the_sweep_looks_back() {
    let test = "what_a_process_that_ended_left_of_an_upload_is_deleted_from_a_bucket_when_the_sweep_looks_back";
    let Some(moto) = Moto::there(test) else { return };
    let bucket = ConsignmentId::draw(entropy().as_ref()).unwrap().to_string();
    moto.boto(&format!("s3.create_bucket(Bucket='{bucket}')"));
    let mut world = World::start().await;
    world.stop().await;
    world.restart_with(|furniture| furniture.shelf = Arc::new(S3Shelf::open(moto.place(&bucket)).unwrap()));
    let round = world.closed(&world.systems(60)).await;
    abandon(&world, round.plan.migration, round.consignment).await;
    let key = format!("{}/1/{}", round.consignment, address(round.consignment).parcel);
    moto.boto(&format!(
        "begun = s3.create_multipart_upload(Bucket='{bucket}', Key='{key}')['UploadId']\n\
         s3.upload_part(Bucket='{bucket}', Key='{key}', UploadId=begun, PartNumber=1, Body=b'half of a parcel')"
    ));
    let uploads = || moto.boto(&format!("print(len(s3.list_multipart_uploads(Bucket='{bucket}').get('Uploads', [])))"));
    assert_eq!(uploads(), "1", "the control");

    assert_eq!(noted_by_the_sweep(&world).await, 1, "{:?}", world.notes());
    assert_eq!(uploads(), "0");
}
