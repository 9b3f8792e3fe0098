//! The object store under the server's shelf: its bucket is missing, it does not know the server's key, it fails. Before it
//! stands a line that can answer in its stead.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use drill::write_file;
use procedure::{Act, ManifestParcel};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vault::{BucketPlace, Credentials, Patience};

use super::wire::{end, waiting};
use super::{FAILURE, Scene};
use crate::stories::program::{Program, lazaret};

/// moto, Amazon's store for tests, and boto3, Amazon's own client.
pub(in crate::stories) struct Moto {
    python: String,
    host: String,
}

impl Moto {
    /// None where there is none, and then the story says that it is skipped.
    pub(in crate::stories) fn there(test: &str) -> Option<Self> {
        let variables = ["LAZARET_TEST_MOTO", "LAZARET_TEST_PYTHON"].map(|name| std::env::var(name).ok());
        let [Some(url), Some(python)] = variables else {
            drill::skipped!("{test} (LAZARET_TEST_MOTO or LAZARET_TEST_PYTHON is not set)");
            return None;
        };
        let host = url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
        Some(Self { python, host })
    }

    /// A bucket of its.
    pub(in crate::stories) fn place(&self, bucket: &str) -> BucketPlace {
        BucketPlace {
            endpoint: format!("http://{}", self.host),
            region: "us-east-1".to_owned(),
            bucket: bucket.to_owned(),
            authorities: None,
            credentials: Credentials { id: "test".to_owned(), secret: "test".to_owned() },
            patience: Patience::default(),
        }
    }

    /// What a script prints that speaks of `s3`.
    pub(in crate::stories) fn boto(&self, script: &str) -> String {
        let before = format!(
            "import boto3\ns3 = boto3.client('s3', endpoint_url='http://{}', region_name='us-east-1', \
             aws_access_key_id='test', aws_secret_access_key='test')\n",
            self.host
        );
        let ran = Command::new(&self.python).args(["-c", &format!("{before}{script}")]).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }
}

/// A store behind a line: what comes goes on to it, or is answered with a status of ours.
struct Store {
    moto: Moto,
    port: u16,
    answer: Arc<AtomicU16>,
    changed: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Store {
    async fn moto(test: &str) -> Option<Self> {
        let moto = Moto::there(test)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, changed) = (Arc::<AtomicU16>::default(), watch::Sender::new(()));
        let (store, status, change) = (moto.host.clone(), Arc::clone(&answer), changed.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, store.clone(), status.load(Ordering::SeqCst), change.subscribe()));
            }
        });
        Some(Self { moto, port, answer, changed, accepting })
    }

    /// From now on every request is answered with this status; 0 lets them through. Lines that stand are cut.
    fn answers(&self, status: u16) {
        self.answer.store(status, Ordering::SeqCst);
        self.changed.send_replace(());
    }

    fn create(&self, bucket: &str) {
        self.moto.boto(&format!("s3.create_bucket(Bucket='{bucket}')"));
    }

    /// Everything that it keeps beside its id: versions, markers of deletions, cut uploads.
    fn kept(&self, bucket: &str) -> String {
        let script = "
pages = list(s3.get_paginator('list_object_versions').paginate(Bucket='BUCKET'))
uploads = s3.list_multipart_uploads(Bucket='BUCKET').get('Uploads', [])
count = lambda kind: sum(line['Key'] != 'shelf.id' for page in pages for line in page.get(kind, []))
print(count('Versions'), count('DeleteMarkers'), len(uploads))";
        self.moto.boto(&script.replace("BUCKET", bucket))
    }

    fn objects(&self, bucket: &str) -> usize {
        let list = format!("s3.list_objects_v2(Bucket='{bucket}').get('Contents', [])");
        let script = format!("print(sum(line['Key'] != 'shelf.id' for line in {list}))");
        self.moto.boto(&script).parse().unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut client: TcpStream, store: String, status: u16, mut changed: watch::Receiver<()>) {
    if status == 0 {
        let Ok(mut server) = TcpStream::connect(store).await else { return };
        tokio::select! {
            // However it breaks: that is what the line is for.
            ended = copy_bidirectional(&mut client, &mut server) => drop(ended),
            _ = changed.changed() => {}
        }
        return;
    }
    let word = if status == 403 { "InvalidAccessKeyId" } else { "SlowDown" };
    let body = format!("<Error><Code>{word}</Code><Message>no</Message></Error>");
    let answer = format!("HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match client.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    drop(client.write_all(answer.as_bytes()).await);
    // It reads to the end: else the client may not get to the answer.
    drop(client.shutdown().await);
    drop(tokio::io::copy(&mut client, &mut tokio::io::sink()).await);
}

/// A scene whose server is the program, with its shelf in a bucket at the far end of the line.
async fn over(store: &Store, bucket: &str) -> (Scene, Program) {
    let mut scene = Scene::set().await;
    scene.world.stop().await;
    let key = scene.world.path("access-key");
    write_file(&key, b"an-id\na-secret\n");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = format!(
        "sweep_seconds = 1\n[shelf]\nendpoint = 'http://127.0.0.1:{}'\nregion = 'us-east-1'\nbucket = '{bucket}'\naccess_key = '{}'\n",
        store.port,
        key.display()
    );
    scene.world.write_program_files(&settings);
    let server = Program::serve(&lazaret().unwrap(), &scene.world);
    server.answers(&scene.world).await;
    (scene, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_the_bucket_that_denies_or_fails_is_one_sentence_and_goes_on_when_it_is_mended() {
    let name = "a_store_without_the_bucket_that_denies_or_fails_is_one_sentence_and_goes_on_when_it_is_mended";
    let Some(store) = Store::moto(name).await else { return };
    let bucket = lexicon::ConsignmentId::draw(drill::entropy().as_ref()).unwrap().to_string();
    let (scene, _server) = over(&store, &bucket).await;
    let log = || std::fs::read_to_string(scene.world.path("server.log")).unwrap();
    assert!(log().contains("the bucket that is configured does not exist [LZ-0731]"), "{}", log());

    scene.extract().await.says(FAILURE, 731, &["put a parcel", "does not exist"]);
    store.create(&bucket);
    store.answers(403);
    scene.extract().await.says(FAILURE, 732, &["denies it to this server's access key (403"]);
    assert_eq!(store.objects(&bucket), 0, "something is half stored");
    store.answers(503);
    let (child, said) = waiting(scene.extracting_from(&scene.systems.source.identity())).await;
    assert!(said.contains("waiting: ") && said.contains("[LZ-0734]"), "{said}");
    store.answers(0);
    end(child).await.done();

    assert_eq!(scene.given_up().await, [731, 732]);
    let ledger = scene.ledger().await;
    let (_, manifest) = ledger.migration().consignment(scene.consignment).unwrap().manifest.clone().unwrap();
    assert_eq!(store.objects(&bucket), manifest.sealed().chain(manifest.all_sums()).count());
    assert!(!log().contains("a-secret") && !log().contains("an-id"), "{}", log());
    scene.to_the_end().await;
    assert_eq!(store.objects(&bucket), 0, "dead parcels are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_at_a_destruction_lets_no_key_live_and_next_says_what_waits() {
    let name = "a_store_that_fails_at_a_destruction_lets_no_key_live_and_next_says_what_waits";
    let Some(store) = Store::moto(name).await else { return };
    let bucket = lexicon::ConsignmentId::draw(drill::entropy().as_ref()).unwrap().to_string();
    store.create(&bucket);
    let (scene, _server) = over(&store, &bucket).await;
    scene.extract().await.done();
    let parcels = store.objects(&bucket);
    store.answers(503);

    scene.abandoned().await;
    scene.next_says("its key is destroyed, its parcels are not deleted yet: ", 734).await;
    assert_eq!(store.objects(&bucket), parcels, "the control: they are there");
    store.answers(0);

    scene.is_destroyed_by_the_sweep().await;
    assert_eq!(store.objects(&bucket), 0);
    scene.next_is_silent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_with_versions_a_destruction_leaves_no_version_no_marker_and_no_cut_upload() {
    let name = "in_a_bucket_with_versions_a_destruction_leaves_no_version_no_marker_and_no_cut_upload";
    let Some(store) = Store::moto(name).await else { return };
    let bucket = lexicon::ConsignmentId::draw(drill::entropy().as_ref()).unwrap().to_string();
    store.create(&bucket);
    let enabled = "VersioningConfiguration={'Status': 'Enabled'}";
    store.moto.boto(&format!("s3.put_bucket_versioning(Bucket='{bucket}', {enabled})"));
    let (scene, _server) = over(&store, &bucket).await;
    scene.extract().await.done();
    let ledger = scene.ledger().await;
    let (_, manifest) = ledger.migration().consignment(scene.consignment).unwrap().manifest.clone().unwrap();
    let parcels = manifest.sealed().chain(manifest.all_sums()).count();
    assert_eq!(store.kept(&bucket), format!("{parcels} 0 0"));
    // Somebody deletes a parcel and puts the same bytes there again, and breaks an upload of another off.
    let lines = &manifest.parcels;
    let of = |line: &ManifestParcel| format!("{}/{}/{}", scene.consignment, line.attempt, line.parcel);
    store.moto.boto(&format!(
        "bucket, one, other = '{bucket}', '{}', '{}'
body = s3.get_object(Bucket=bucket, Key=one)['Body'].read()
s3.delete_object(Bucket=bucket, Key=one)
s3.put_object(Bucket=bucket, Key=one, Body=body)
s3.create_multipart_upload(Bucket=bucket, Key=other)",
        of(&lines[0]),
        of(&lines[1])
    ));
    assert_eq!(store.kept(&bucket), format!("{} 1 1", parcels + 1), "the control: this is what lingers");

    scene.to_the_end().await;

    assert_eq!(store.kept(&bucket), "0 0 0");
    let ledger = scene.ledger().await;
    let said = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.clone()) } else { None }
    });
    let said = said.unwrap();
    assert!(said.left.is_nothing() && said.lingering.is_empty(), "{said:?}");
    assert_eq!(said.parcels, u64::try_from(parcels).unwrap());
}
