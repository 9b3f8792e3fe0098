//! Against moto, which has versions and locks: what it keeps is asked for and made by boto3, Amazon's own client.

use std::process::Command;

use super::*;

const MOTO: &str = "LAZARET_TEST_MOTO";
const PYTHON: &str = "LAZARET_TEST_PYTHON";

/// Everything that a script may speak of.
const BEFORE: &str = "
import sys, boto3
host, bucket, prefix = sys.argv[1:]
s3 = boto3.client('s3', endpoint_url='http://' + host, region_name='us-east-1',
    aws_access_key_id='test', aws_secret_access_key='test')
";

/// Versions, markers and cut uploads below the prefix.
const COUNT: &str = "
pages = list(s3.get_paginator('list_object_versions').paginate(Bucket=bucket, Prefix=prefix))
uploads = s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get('Uploads', [])
print(sum(len(p.get('Versions', [])) for p in pages), sum(len(p.get('DeleteMarkers', [])) for p in pages), len(uploads))
";

const VERSIONED: &str = "
s3.create_bucket(Bucket=bucket)
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
";

const LOCKED: &str = "s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)";

/// A bucket of a test's own.
struct Bucketful {
    store: Store,
    python: String,
}

impl Bucketful {
    fn made(test: &str, script: &str) -> Option<Self> {
        let Ok(python) = std::env::var(PYTHON) else {
            std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {test} ({PYTHON} is not set)\n"))
                .unwrap();
            return None;
        };
        let store = Store { bucket: consignment().to_string(), ..Store::of(MOTO, test)? };
        let made = Self { store, python };
        made.boto("", script);
        Some(made)
    }

    /// What a script prints.
    fn boto(&self, prefix: &str, script: &str) -> String {
        let mut python = Command::new(&self.python);
        python.args(["-c", &format!("{BEFORE}{script}"), &self.store.host, &self.store.bucket, prefix]);
        let ran = python.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }

    fn count(&self, id: ConsignmentId) -> String {
        self.boto(&prefix_of(id), COUNT)
    }
}

#[tokio::test]
async fn the_contract_holds_in_a_bucket_with_versions_and_in_one_without() {
    let test = "the_contract_holds_in_a_bucket_with_versions_and_in_one_without";
    for (script, keeps) in [("s3.create_bucket(Bucket=bucket)", Keeps::Nothing), (VERSIONED, Keeps::Versions)] {
        let Some(made) = Bucketful::made(test, script) else { return };
        let shelf = made.store.shelf();
        assert_eq!(shelf.keeps().await.unwrap(), keeps);
        kit::keeps_its_contract(&shelf).await;
        kit::keeps_its_id(&shelf, &made.store.shelf()).await;
    }
}

#[tokio::test]
async fn every_version_marker_and_cut_upload_of_a_consignment_is_deleted_and_of_no_other() {
    let test = "every_version_marker_and_cut_upload_of_a_consignment_is_deleted_and_of_no_other";
    let Some(made) = Bucketful::made(test, VERSIONED) else { return };
    let (mut shelf, one, other) = (made.store.shelf(), consignment(), consignment());
    for id in [one, other] {
        for parcel in 1..=20 {
            shelf.put(address(id, 1, parcel), Bytes::from(vec![parcel; 10])).await.unwrap();
        }
        // Somebody overwrote, deleted, deleted again, and broke an upload off.
        let names = (1..=3).map(|parcel| format!("'{}'", path_of(address(id, 1, parcel))));
        let script = format!(
            "first, second, third = {}
s3.put_object(Bucket=bucket, Key=first, Body=b'overwritten')
s3.delete_object(Bucket=bucket, Key=second)
s3.delete_object(Bucket=bucket, Key=second)
s3.create_multipart_upload(Bucket=bucket, Key=third)",
            names.collect::<Vec<_>>().join(", ")
        );
        made.boto(&prefix_of(id), &script);
    }
    assert_eq!(made.count(one), "21 2 1", "the control: this is what lingers");
    // The store's own delete, as `object_store` does it, leaves every byte.
    shelf.store.delete(&path_of(address(one, 1, 9))).await.unwrap();
    assert_eq!(made.count(one), "21 3 1");

    // In pages of two lines, so that one ends between two versions of one object.
    shelf.bucket.page_lines = 2;
    let erased = shelf.erase(one, &receipt()).await.unwrap();
    let of = |erased: &Erased| (erased.objects, erased.bytes, erased.found.len(), erased.unfinished);
    assert_eq!(of(&erased), (20, 211, 21, 1), "one of them in two sizes");
    assert_eq!((made.count(one).as_str(), made.count(other).as_str()), ("0 0 0", "21 2 1"));
    assert_eq!(shelf.list(one).await.unwrap(), []);
    assert_eq!(shelf.erase(one, &receipt()).await.unwrap(), Erased::default());
}

#[tokio::test]
async fn a_bucket_whose_versioning_was_suspended_still_keeps_what_was_there_before() {
    let test = "a_bucket_whose_versioning_was_suspended_still_keeps_what_was_there_before";
    let Some(made) = Bucketful::made(test, VERSIONED) else { return };
    let (shelf, one) = (made.store.shelf(), consignment());
    shelf.put(address(one, 1, 7), Bytes::from_static(b"x")).await.unwrap();
    let key = path_of(address(one, 1, 7));
    let suspend = "s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Suspended'})";
    made.boto("", &format!("s3.put_object(Bucket=bucket, Key='{key}', Body=b'y')\n{suspend}"));
    assert_eq!(shelf.keeps().await.unwrap(), Keeps::Versions);
    assert_eq!(made.count(one), "2 0 0");
}

#[tokio::test]
async fn a_bucket_that_locks_objects_is_refused() {
    let Some(made) = Bucketful::made("a_bucket_that_locks_objects_is_refused", LOCKED) else { return };
    let refused = made.store.shelf().keeps().await.unwrap_err();
    assert!(matches!(&refused, Trouble::Refusal(refusal) if refusal.code == Code(730)), "{refused}");
}

/// A lock that came after the shelf was taken into use: what it holds is named with its date, and everything else goes.
#[tokio::test]
async fn what_a_lock_holds_is_listed_no_more_and_named_with_its_date() {
    let test = "what_a_lock_holds_is_listed_no_more_and_named_with_its_date";
    let Some(made) = Bucketful::made(test, LOCKED) else { return };
    let (shelf, one) = (made.store.shelf(), consignment());
    for parcel in 1..=4 {
        shelf.put(address(one, 3, parcel), Bytes::from(vec![parcel; 10])).await.unwrap();
    }
    let [kept, held, both] = [1, 2, 3].map(|parcel| path_of(address(one, 3, parcel)));
    made.boto(
        "",
        &format!(
            "from datetime import datetime, timezone
def retain(key, year):
    s3.put_object_retention(Bucket=bucket, Key=key,
        Retention={{'Mode': 'COMPLIANCE', 'RetainUntilDate': datetime(year, 1, 2, tzinfo=timezone.utc)}})
retain('{kept}', 2099)
s3.put_object_legal_hold(Bucket=bucket, Key='{held}', LegalHold={{'Status': 'ON'}})
retain('{both}', 2098)
s3.put_object(Bucket=bucket, Key='{both}', Body=b'later')
retain('{both}', 2100)
s3.put_object(Bucket=bucket, Key='{both}', Body=b'latest')"
        ),
    );
    let named = |parcel: u8, bytes, until: Option<&str>| Lingering {
        attempt: 3,
        parcel: lexicon::ParcelId([parcel; 16]),
        bytes,
        until: until.map(|until| until.parse().unwrap()),
    };
    let lingering = vec![
        named(1, 10, Some("2099-01-02T00:00:00Z")),
        named(2, 10, None),
        named(3, 15, Some("2100-01-02T00:00:00Z")),
    ];
    let erased = shelf.erase(one, &receipt()).await.unwrap();
    let found = erased.found.clone();
    assert_eq!(erased, Erased { objects: 1, bytes: 16, found, lingering: lingering.clone(), ..Erased::default() });
    assert_eq!(shelf.list(one).await.unwrap(), []);
    assert_eq!(shelf.read(address(one, 3, 1)).await.unwrap_err().code(), Code(713));
    assert_eq!(made.count(one), "4 3 0", "four versions under three markers");
    let again = shelf.erase(one, &receipt()).await.unwrap();
    assert_eq!(again, Erased { lingering, ..Erased::default() });
    assert_eq!(made.count(one), "4 3 0");
}
