//! Against real stores: Garage, which has no versions and overwrites whatever it is asked not to, and moto, which has
//! versions and locks. `cargo xtask test` starts both.

mod line;
mod trouble;
mod versions;

use std::time::Duration;

use object_store::multipart::MultipartStore;
use object_store::path::Path;

use super::*;
use crate::shelf::Lingering;
use crate::shelf::kit::{self, address, consignment, receipt};

const GARAGE: &str = "LAZARET_TEST_GARAGE";

/// A store of the tests: `http://ID:SECRET@host:port/bucket`.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) host: String,
    pub(super) bucket: String,
}

impl Store {
    /// None when the variable is not set, and then the test that asks says that it is skipped.
    pub(super) fn of(variable: &str, test: &str) -> Option<Self> {
        let Ok(url) = std::env::var(variable) else {
            std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("skipped: {test} ({variable} is not set)\n"),
            )
            .unwrap();
            return None;
        };
        let (user, rest) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
        let ((id, secret), (host, bucket)) = (user.split_once(':').unwrap(), rest.split_once('/').unwrap());
        let [id, secret, host, bucket] = [id, secret, host, bucket].map(str::to_owned);
        Some(Self { id, secret, host, bucket })
    }

    pub(super) fn place(&self) -> BucketPlace {
        BucketPlace {
            endpoint: format!("http://{}", self.host),
            region: "garage".to_owned(),
            bucket: self.bucket.clone(),
            authorities: None,
            credentials: Credentials { id: self.id.clone(), secret: self.secret.clone() },
            patience: Patience { request: Duration::from_secs(10), again: 2, pause: Duration::from_millis(20) },
        }
    }

    pub(super) fn shelf(&self) -> S3Shelf {
        S3Shelf::open(self.place()).unwrap()
    }
}

#[tokio::test]
async fn a_bucket_keeps_the_contract_of_shelves() {
    let Some(garage) = Store::of(GARAGE, "a_bucket_keeps_the_contract_of_shelves") else { return };
    let shelf = garage.shelf();
    assert_eq!(shelf.keeps().await.unwrap(), Keeps::Nothing);
    kit::keeps_its_contract(&shelf).await;
}

/// The store itself overwrites: that parcels never change is the shelf's own doing.
#[tokio::test]
async fn a_parcel_is_not_overwritten_though_the_store_would() {
    let Some(garage) = Store::of(GARAGE, "a_parcel_is_not_overwritten_though_the_store_would") else { return };
    let (shelf, at) = (garage.shelf(), address(consignment(), 1, 7));
    let create = || PutOptions { mode: object_store::PutMode::Create, ..PutOptions::default() };
    shelf.store.put_opts(&path_of(at), "first".into(), create()).await.unwrap();
    shelf.store.put_opts(&path_of(at), "other".into(), create()).await.unwrap();
    assert_eq!(shelf.read(at).await.unwrap(), "other");
    // Put by somebody else, it says nothing of its digest, and its bytes are compared.
    assert_eq!(shelf.put(at, Bytes::from_static(b"third")).await.unwrap_err().code(), Code(712));
    shelf.put(at, Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(shelf.read(at).await.unwrap(), "other");
}

#[tokio::test]
async fn two_at_once_do_not_put_one_parcel_twice() {
    let Some(garage) = Store::of(GARAGE, "two_at_once_do_not_put_one_parcel_twice") else { return };
    let (shelf, at) = (garage.shelf(), address(consignment(), 1, 7));
    let puts = (0..8_u8).map(|byte| shelf.put(at, Bytes::from(vec![byte; 1_000])));
    let outcomes = futures::future::join_all(puts).await;
    let won: Vec<u8> = (0..8).zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(byte, _)| byte).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    assert_eq!(shelf.read(at).await.unwrap(), vec![won[0]; 1_000]);
    assert!(shelf.busy.lock().unwrap().is_empty());
}

#[tokio::test]
async fn cut_uploads_are_erased_with_their_consignment() {
    let Some(garage) = Store::of(GARAGE, "cut_uploads_are_erased_with_their_consignment") else { return };
    let (shelf, one, other) = (garage.shelf(), consignment(), consignment());
    for id in [one, one, other] {
        let path = path_of(address(id, 1, 7));
        let upload = shelf.store.create_multipart(&path).await.unwrap();
        shelf.store.put_part(&path, &upload, 0, kit::bytes(PART_BYTES).into()).await.unwrap();
    }
    shelf.put(address(one, 1, 8), Bytes::from_static(b"whole")).await.unwrap();
    assert_eq!((shelf.list(one).await.unwrap().len(), shelf.unfinished(one).await.unwrap()), (1, 2));
    let erased = shelf.erase(one, &receipt()).await.unwrap();
    assert_eq!((erased.objects, erased.bytes, erased.unfinished), (1, 5, 2));
    assert_eq!((shelf.unfinished(one).await.unwrap(), shelf.unfinished(other).await.unwrap()), (0, 1));
    let cut = async |id| shelf.bucket.uploads(&format!("{id}/")).await.unwrap().len();
    assert_eq!((cut(one).await, cut(other).await), (0, 1));
    shelf.erase(other, &receipt()).await.unwrap();
}

#[tokio::test]
async fn a_new_upload_gives_up_what_another_process_left_of_it() {
    let Some(garage) = Store::of(GARAGE, "a_new_upload_gives_up_what_another_process_left_of_it") else { return };
    let (shelf, at) = (garage.shelf(), address(consignment(), 1, 7));
    shelf.store.create_multipart(&path_of(at)).await.unwrap();
    shelf.put(at, kit::bytes(PART_BYTES + 1)).await.unwrap();
    assert!(shelf.bucket.uploads(&format!("{}/", at.consignment)).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_parcel_raises_an_alarm_and_is_erased_all_the_same() {
    let Some(garage) = Store::of(GARAGE, "what_is_no_parcel_raises_an_alarm_and_is_erased_all_the_same") else {
        return;
    };
    let (shelf, one) = (garage.shelf(), consignment());
    let strange = Path::from(format!("{one}/patients of 2019 é+&.csv"));
    shelf.store.put(&strange, "x".into()).await.unwrap();
    assert!(matches!(shelf.list(one).await, Err(Trouble::Alarm(_))));
    let erased = shelf.erase(one, &receipt()).await.unwrap();
    assert_eq!((erased.objects, erased.unfinished), (0, 1));
    assert_eq!(shelf.list(one).await.unwrap(), []);
}

#[test]
fn a_place_that_cannot_be_one_is_refused_and_nothing_of_it_is_told() {
    let right = Store { id: "id".into(), secret: "s3cr3t".into(), host: "127.0.0.1:1".into(), bucket: "bucket".into() };
    right.shelf();
    let bent: [fn(&mut BucketPlace); 9] = [
        |place| place.endpoint = "https://id:s3cr3t@store.example".to_owned(),
        |place| place.endpoint = "http://store.example".to_owned(),
        |place| place.endpoint = "http://127.0.0.1.s3cr3t.example".to_owned(),
        |place| place.endpoint = "s3cr3t".to_owned(),
        |place| place.bucket = "s3cr3t/other".to_owned(),
        |place| place.region = String::new(),
        |place| place.credentials.secret = "s3cr3t\nmore".to_owned(),
        |place| place.credentials.id = String::new(),
        |place| place.authorities = Some(b"s3cr3t".to_vec()),
    ];
    for bend in bent {
        let mut place = right.place();
        bend(&mut place);
        let Err(refused) = S3Shelf::open(place).map(drop) else { panic!("it was opened") };
        let said = format!("{refused} {refused:?}");
        assert_eq!(refused.code(), Code(741), "{said}");
        assert!(!said.contains("s3cr3t"), "{said}");
    }
    assert_eq!(format!("{:?}", right.place().credentials), "Credentials(..)");
    for host in ["https://store.example:9000/", "http://localhost:1", "http://[::1]:1"] {
        S3Shelf::open(BucketPlace { endpoint: host.to_owned(), ..right.place() }).unwrap();
    }
}
