//! What can go wrong with documents: the folder changes, the target is taken or full, the load is cut, the server alters.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use drill::{Name, entropy, passphrase, write_file};
use lexicon::{Code, Entropy, Trouble};
use passage::{Errand, Progress, Receiving, Seen};
use procedure::{Act, Plan};
use registry::Registry;

use super::{Ground, overwrite, reports};

/// True randomness, and something that is done when so many draws were made for the reports.
struct Drawing {
    begun: AtomicBool,
    left: AtomicUsize,
    act: Box<dyn Fn() + Send + Sync>,
}

impl Entropy for Drawing {
    fn fill(&self, out: &mut [u8]) -> lexicon::Result<()> {
        if self.begun.load(Ordering::SeqCst) && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            (self.act)();
        }
        entropy().fill(out)
    }
}

impl Progress for Drawing {
    fn seen(&self, seen: Seen<'_>) {
        if matches!(seen, Seen::Table { name: "reports", .. }) {
            self.begun.store(true, Ordering::SeqCst);
        }
    }
}

/// What an extraction says during which something happens at such a draw; its consignment is given up.
async fn extracted(ground: &Ground, plan: &Plan, at: usize, act: impl Fn() + Send + Sync + 'static) -> Trouble {
    let (world, consignment) = (&ground.world, ground.world.consign(plan).await);
    let (desk, secret) = (world.desk(Name::Operator), passphrase());
    let drawing = Arc::new(Drawing { begun: false.into(), left: at.into(), act: Box::new(act) });
    let progress = drawing.as_ref();
    let errand = Errand { desk: &desk, passphrase: &secret, migration: plan.migration, consignment, progress };
    let drawn: Arc<dyn Entropy> = drawing.clone();
    let trouble = passage::extract(&errand, ground.systems.source.as_ref(), drawn).await.unwrap_err();
    let reason = "another try".to_owned();
    world.act(Name::Controller, plan.migration, Act::Abandon { consignment, reason }).await.unwrap();
    assert!(!trouble.to_string().contains("CR-"), "{trouble}");
    trouble
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_changes_between_report_and_extraction_or_during_it_is_not_closed() {
    let ground = Ground::new(34).await;
    let plan = ground.approved().await;
    let all: Vec<PathBuf> = reports(&ground.folder).into_keys().map(|name| ground.folder.join(name)).collect();

    // Two of sixty are more than 2 %.
    let contents: Vec<Vec<u8>> = all.iter().take(2).map(|path| fs::read(path).unwrap()).collect();
    all.iter().take(2).for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(extracted(&ground, &plan, 99, || ()).await.code(), Code(330));
    all.iter().zip(&contents).for_each(|(path, content)| write_file(path, content));

    // Once the first document is open, every one of them is written to.
    let written = all.clone();
    let append = move || written.iter().for_each(|path| add_to(path));
    let told = extracted(&ground, &plan, 3, append).await;
    assert_eq!(told.code(), Code(329), "{told}");
    assert!(told.to_string().contains("by the keyed digest of their key: "), "{told}");

    // Once all are read, one is written to and one goes.
    let (first, last) = (all[0].clone(), all[all.len() - 1].clone());
    let change = move || {
        add_to(&first);
        fs::remove_file(&last).unwrap();
    };
    let told = extracted(&ground, &plan, 5, change).await;
    assert_eq!(told.code(), Code(622), "{told}");
    assert!(told.to_string().contains("1 files came or were written to, 1 are gone"), "{told}");
    assert!(told.to_string().contains("by the keyed digest of their key: "), "{told}");
}

fn add_to(path: &Path) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, b"% more\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_loaded_into_a_folder_in_which_others_wrote_and_no_file_is_replaced() {
    let ground = Ground::new(35).await;
    let (world, sink) = (&ground.world, ground.systems.sink.as_ref());
    let round = ground.released().await;
    world.documents();
    fs::create_dir(ground.new_folder()).unwrap();
    write_file(&ground.new_folder().join("theirs.pdf"), b"%PDF-1.4 theirs");
    let refused = world.load(&round.plan, round.consignment, sink).await.unwrap_err();
    assert_eq!(refused.code(), Code(428), "{refused}");
    let rows = |table: &str| {
        let count = format!("SELECT COUNT(*) FROM {table}");
        rusqlite::Connection::open(&ground.systems.new)
            .unwrap()
            .query_row(&count, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(rows("import_patient"), 0, "it was refused before any row");

    fs::remove_file(ground.new_folder().join("theirs.pdf")).unwrap();
    assert!(world.load(&round.plan, round.consignment, sink).await.unwrap().reconciliation.equal());
}

/// Ends when so many sealed bytes of the reports have come.
struct Fetched(tokio::sync::mpsc::UnboundedSender<()>);

impl Progress for Fetched {
    fn seen(&self, seen: Seen<'_>) {
        if matches!(seen, Seen::Bytes { name: "reports", .. }) {
            // Nobody listens once enough has come.
            self.0.send(()).unwrap_or_default();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_was_cut_is_given_again_and_leaves_no_half_document() {
    let ground = Ground::new(36).await;
    let (world, sink) = (&ground.world, ground.systems.sink.as_ref());
    let round = ground.released().await;
    let (desk, secret) = (world.desk(Name::Recipient), passphrase());
    let (migration, consignment) = (round.plan.migration, round.consignment);
    let (fetched, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let progress = Fetched(fetched);
    let target = world.documents();
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &progress };
    let into = Receiving { sink, documents: Some(&target) };
    tokio::select! {
        ended = passage::load(&errand, into) => { assert!(ended.unwrap().reconciliation.equal()) }
        _ = seen.recv() => {}
    }
    drop(desk);
    // What a killed process leaves in the middle of a document.
    fs::create_dir_all(ground.new_folder()).unwrap();
    let half = ground.new_folder().join(".lazaret-arriving");
    if half.exists() {
        fs::remove_file(&half).unwrap();
    }
    write_file(&half, b"%PDF-1.4 half");
    for (name, digest) in reports(&ground.new_folder()) {
        assert_eq!(reports(&ground.folder).get(&name), Some(&digest), "{name} is not whole");
    }

    let report = world.load(&round.plan, round.consignment, sink).await.unwrap();
    assert!(report.reconciliation.equal());
    assert_eq!(reports(&ground.new_folder()), reports(&ground.folder));
    assert!(!half.exists(), "half a document is left beside the whole ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_of_documents_that_the_server_altered_cut_or_exchanged_alarm_and_release_nothing() {
    let mut ground = Ground::new(37).await;
    let round = ground.released().await;
    let lines = round.manifest.documents[0].parcels.clone();
    let place = |line: &procedure::ManifestParcel| {
        let shelf = ground.world.server_folder().join("shelf");
        shelf.join(round.consignment.to_string()).join(line.attempt.to_string()).join(line.parcel.to_string())
    };
    let path = place(&lines[0]);
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let cut = whole[..whole.len() - 1_000].to_vec();
    let spliced = [&whole[..1_048_576.min(whole.len() / 2)], &whole[whole.len() / 3..]].concat();
    for altered in [flipped(3), flipped(whole.len() / 2), flipped(whole.len() - 1), cut, spliced] {
        overwrite(&path, &altered);
        let refused =
            ground.world.load(&round.plan, round.consignment, ground.systems.sink.as_ref()).await.unwrap_err();
        assert!(matches!(refused, Trouble::Alarm(_)), "{refused}");
        let marker = ground.new_folder().join(".lazaret-load");
        assert_eq!(drill::files_below(&[&ground.new_folder()]), [marker], "something was released");
    }
    overwrite(&path, &whole);
    ground.world.stop().await;
    ground.world.restart();
    let loaded = ground.world.load(&round.plan, round.consignment, ground.systems.sink.as_ref()).await.unwrap();
    assert!(loaded.reconciliation.equal());
    // The server's rows know ids, sizes and digests of ciphertext, of documents as of everything.
    ground.world.stop().await;
    let registry = Registry::open(&ground.world.server_folder().join("registry.sqlite")).unwrap();
    assert!(registry.parcels(round.consignment).unwrap().len() > lines.len());
}

/// A disk in memory in the place of a folder; only root can make one.
struct Disk(PathBuf);

impl Disk {
    fn at(folder: &Path, size: &str) -> Option<Self> {
        let disk = Self(folder.to_owned());
        disk.mount(&format!("size={size},mode=700")).then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let gone = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(gone.is_ok() || std::thread::panicking(), "a disk in memory is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_new_system_is_told_and_the_load_goes_on_when_there_is_room() {
    let ground = Ground::new(43).await;
    let (world, sink) = (&ground.world, ground.systems.sink.as_ref());
    let round = ground.released().await;
    world.documents();
    let Some(disk) = Disk::at(&world.path("new.sqlite-documents"), "200k") else {
        drill::skipped!("a_full_disk_of_the_new_system_is_told (no disk can be made in memory here)");
        return;
    };
    let full = world.load(&round.plan, round.consignment, sink).await.unwrap_err();
    assert_eq!(full.code(), Code(430), "{full}");
    assert!(matches!(&full, Trouble::Fault(fault) if fault.retry == lexicon::Retry::Later));
    for (name, digest) in reports(&ground.new_folder()) {
        assert_eq!(reports(&ground.folder).get(&name), Some(&digest), "{name} is not whole");
    }
    assert!(disk.mount("remount,size=64m"));
    assert!(world.load(&round.plan, round.consignment, sink).await.unwrap().reconciliation.equal());
    assert_eq!(reports(&ground.new_folder()), reports(&ground.folder));
}
