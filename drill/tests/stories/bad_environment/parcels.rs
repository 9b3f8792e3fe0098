//! Parcels that are cut, altered, exchanged or gone on the server's own shelf.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drill::{Command, Name, World, files_below, write_file};
use lexicon::Digest;
use procedure::{Manifest, ManifestParcel};
use tokio::time::timeout;

use super::line::Line;
use super::wire::{end, waiting};
use super::{AT_MOST, MISMATCH, Scene, ended, replace, until};

impl Scene {
    fn on_the_shelf(&self, line: &ManifestParcel) -> PathBuf {
        let place = format!("shelf/{}/{}/{}", self.consignment, line.attempt, line.parcel);
        self.world.server_folder().join(place)
    }
}

fn of<'a>(manifest: &'a Manifest, table: &str) -> &'a ManifestParcel {
    manifest.parcels.iter().find(|line| line.table == table).unwrap()
}

/// What comes of one parcel when its bytes are others, or gone; another one's bytes are among them.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "thirds of bytes that are there")]
async fn altered(scene: &Scene, line: &ManifestParcel, other: &ManifestParcel) {
    let place = scene.on_the_shelf(line);
    let (whole, another) = (std::fs::read(&place).unwrap(), std::fs::read(scene.on_the_shelf(other)).unwrap());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let named = [line.parcel.to_string(), format!("table {}", line.table)];
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let target = format!("import_{}", line.table);

    let third = whole.len() / 3;
    let moved = [&whole[..third], &whole[2 * third..], &whole[third..2 * third]].concat();
    let spliced = [&whole[..third], another.get(third..2 * third).unwrap_or(&another), &whole[2 * third..]].concat();

    for bad in [&whole[..whole.len() / 2], &[], &flipped, &another, &moved, &spliced] {
        replace(&place, bad);
        scene.load().await.says(MISMATCH, 503, &named);
        assert_eq!(scene.rows(&target), 0);
    }
    std::fs::remove_file(&place).unwrap();
    scene.load().await.says(MISMATCH, 621, &[&named[..], &["lost"]].concat());
    assert_eq!(scene.rows(&target), 0);
    replace(&place, &whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_is_not_as_it_was_signed_is_an_alarm_that_names_it() {
    let scene = Scene::released().await;
    let ledger = scene.ledger().await;
    let (_, manifest) = ledger.migration().consignment(scene.consignment).unwrap().manifest.clone().unwrap();
    altered(&scene, of(&manifest, "patient"), of(&manifest, "result")).await;
    let sums = scene.on_the_shelf(&manifest.sums);
    let whole = std::fs::read(&sums).unwrap();
    std::fs::remove_file(&sums).unwrap();
    scene.load().await.says(MISMATCH, 621, &[&manifest.sums.parcel.to_string(), "lost"]);
    replace(&sums, &whole);

    assert_eq!(scene.given_up().await, [503, 503, 503, 503, 503, 503, 621, 621]);
    scene.to_the_end().await;
}

/// Twelve rows that nothing compresses but how they begin, by which they are known: seven of 2 MiB, one that has no
/// room behind them, and four for a third parcel.
const SCANS: &str = "CREATE TABLE scan (scan_id INTEGER PRIMARY KEY, content BLOB); \
     WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 12) \
     INSERT INTO scan SELECT i, CAST(printf('film-v8Kd2x-%02d', i) \
       || randomblob(CASE i WHEN 8 THEN 47 ELSE 2 END * 1048576 - 14) AS BLOB) FROM n";
/// What stands in both systems at the end, the new one attached.
const FILMS: &str = "SELECT group_concat(CAST(film AS TEXT)) FROM (SELECT substr(content, 1, 14) AS film FROM scan \
     UNION ALL SELECT substr(content, 1, 14) FROM new.import_scan)";
const SCANS_SCOPE: &str = "[[table]]\nname = 'scan'\ntarget = 'import_scan'\nkey = ['scan_id']\nleave = []\n\
     take = [{ column = 'scan_id', type = 'int64' }, { column = 'content', type = 'bytes' }]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_middle_parcel_of_a_table_that_is_not_as_it_was_signed_leaves_nothing_of_the_table() {
    let world = World::start_as(false).await;
    world.plant_in("scan", "content", (1..=12).map(|film| format!("film-v8Kd2x-{film:02}")));
    let mut systems = world.systems(1);
    (systems.old, systems.new) = (world.path("old.sqlite-scans"), world.path("new.sqlite-scans"));
    let ddl = scope::target_ddl(&scope::Scope::parse(SCANS_SCOPE).unwrap(), scope::Dialect::Sqlite).unwrap();
    for (path, sql) in [(&systems.old, SCANS), (&systems.new, &ddl)] {
        rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    }
    systems.source = connectors::connect_source(&format!("sqlite:{}", systems.old.display()), None).unwrap();
    systems.sink = connectors::connect_sink(&format!("sqlite:{}", systems.new.display()), None).unwrap();
    let scene = Scene::of(world, systems, SCANS_SCOPE).await;
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    let ledger = scene.ledger().await;
    let (_, manifest) = ledger.migration().consignment(scene.consignment).unwrap().manifest.clone().unwrap();
    let rows: Vec<_> = manifest.parcels.iter().map(|line| (line.sequence, line.rows)).collect();
    assert_eq!(rows, [(0, 7), (1, 1), (2, 4)]);

    altered(&scene, &manifest.parcels[1], &manifest.parcels[2]).await;
    // Each in the other's place.
    let [middle, last] = [1, 2].map(|at: usize| scene.on_the_shelf(&manifest.parcels[at]));
    let exchanged = || {
        let aside = middle.with_extension("aside");
        std::fs::rename(&middle, &aside).unwrap();
        std::fs::rename(&last, &middle).unwrap();
        std::fs::rename(&aside, &last).unwrap();
    };
    exchanged();
    scene.load().await.says(MISMATCH, 503, &[&manifest.parcels[1].parcel.to_string(), "table scan"]);
    exchanged();
    assert_eq!(scene.rows("import_scan"), 0);

    scene.to_the_end().await;
    let old = rusqlite::Connection::open(&scene.systems.old).unwrap();
    old.execute("ATTACH ?1 AS new", [scene.systems.new.to_str().unwrap()]).unwrap();
    let same = "SELECT count(*) FROM scan JOIN new.import_scan USING (scan_id, content)";
    assert_eq!(old.query_row(same, [], |row| row.get::<_, i64>(0)).unwrap(), 12);
    assert_eq!(scene.rows("import_scan"), 12);
    let films: String = old.query_row(FILMS, [], |row| row.get(0)).unwrap();
    let met = BTreeMap::from([("scan.content".to_owned(), 24)]);
    assert_eq!(scene.world.met_in(films.as_bytes()), met, "the control: met in both systems");
}

/// 1 MiB: where each segment of a parcel of documents begins, but the first.
const SEGMENT: usize = 1024 * 1024;

impl Scene {
    /// A folder of reports, and among them these documents beside; released.
    async fn with_documents(seed: u64, beside: &[(&str, &[u8])]) -> (Self, PathBuf) {
        let world = World::start().await;
        let systems = world.systems_of(seed, 60);
        let (_, folder, scope) = world.reports(seed, 60);
        for (name, content) in beside {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_file(&path, content);
        }
        let scene = Self::of(world, systems, &scope).await;
        scene.extract().await.done();
        scene.world.release(&scene.plan, scene.consignment).await.unwrap();
        scene.world.documents();
        (scene, folder)
    }

    /// Where documents go.
    fn new_folder(&self) -> PathBuf {
        self.world.path("new.sqlite-documents")
    }

    fn loading_documents(&self) -> Command {
        self.now();
        let mut loading = self.loading_into(&self.systems.sink.identity());
        loading.arg("--documents").arg(self.new_folder());
        loading
    }

    /// The parcels of documents, as they are signed.
    async fn document_parcels(&self) -> Vec<ManifestParcel> {
        let ledger = self.ledger().await;
        let (_, manifest) = ledger.migration().consignment(self.consignment).unwrap().manifest.clone().unwrap();
        manifest.documents.first().unwrap().parcels.clone()
    }

    /// Every file that lies where documents go, our own and hidden ones too, by its way from the part's folder.
    fn arrived(&self) -> BTreeMap<String, Digest> {
        below(&self.new_folder().join("reports"))
    }
}

/// Every file below a folder, by its way from there.
fn below(folder: &Path) -> BTreeMap<String, Digest> {
    let files = files_below(&[folder]).into_iter();
    let named = files.map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), path));
    named.map(|(name, path)| (name, Digest::of(&std::fs::read(path).unwrap()))).collect()
}

/// Our own files in a part's folder: who fills it, and the document that is on its way.
const MARKER: &str = ".lazaret-load";
const ARRIVING: &str = ".lazaret-arriving";

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_of_documents_that_is_not_as_it_was_signed_is_an_alarm_and_releases_no_document() {
    // One that fills more than two segments.
    let large = pdf(2 * SEGMENT + 9, 7);
    let (scene, folder) = Scene::with_documents(51, &[("2019/large.pdf", &large)]).await;
    let line = scene.document_parcels().await.remove(0);
    let place = scene.on_the_shelf(&line);
    let whole = std::fs::read(&place).unwrap();
    assert!(whole.len() > 2 * SEGMENT, "{}", whole.len());
    let flipped = |at: usize| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        flipped
    };
    let moved = [&whole[..SEGMENT], &whole[2 * SEGMENT..], &whole[SEGMENT..2 * SEGMENT]].concat();
    let doubled = [&whole[..2 * SEGMENT], &whole[SEGMENT..]].concat();

    let cut = whole[..2 * SEGMENT].to_vec();
    let altered = [flipped(SEGMENT - 1), flipped(SEGMENT), flipped(whole.len() - 1), cut, moved, doubled];
    for bad in &altered {
        replace(&place, bad);
        ended(scene.loading_documents()).await.says(MISMATCH, 503, &[&line.parcel.to_string()]);
        assert_eq!(scene.arrived().into_keys().collect::<Vec<_>>(), [MARKER], "a document came out");
    }
    replace(&place, &whole);

    assert_eq!(scene.given_up().await, [503; 6]);
    assert_eq!(ended(scene.loading_documents()).await.done()["equal"], true);
    let old = std::fs::read(folder.join("2019/large.pdf")).unwrap();
    assert_eq!(std::fs::read(scene.new_folder().join("reports/2019/large.pdf")).unwrap(), old);
    scene.destroyed().await;
}

/// A document of so many bytes.
fn pdf(length: usize, of: u8) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    bytes.resize(length, of);
    bytes
}

const LARGE: [&str; 3] = ["2019/one.pdf", "2019/two.pdf", "2019/three.pdf"];

/// Three of 12 MiB, and reports of less than two together: whatever their order, one of the three is whole in the first
/// parcel of 16 MiB, one ends in the second, and one in the third.
async fn in_three_parcels(seed: u64) -> (Scene, BTreeMap<String, Digest>, Vec<ManifestParcel>) {
    let large = [1, 2, 3].map(|of| pdf(12 * SEGMENT, of));
    let beside: Vec<(&str, &[u8])> = LARGE.into_iter().zip(large.iter().map(Vec::as_slice)).collect();
    let (scene, folder) = Scene::with_documents(seed, &beside).await;
    let lines = scene.document_parcels().await;
    assert_eq!(lines.len(), 3);
    let mut old = below(&folder);
    old.retain(|name, _| name.starts_with("20") && Path::new(name).extension().is_some_and(|end| end == "pdf"));
    (scene, old, lines)
}

impl Scene {
    /// Of the new folder, without the marker: each is a document of the old one, and how many are of the large ones.
    fn whole_documents(&self, old: &BTreeMap<String, Digest>) -> usize {
        let mut arrived = self.arrived();
        assert!(arrived.remove(MARKER).is_some());
        for (name, digest) in &arrived {
            assert_eq!(old.get(name), Some(digest), "{name} is no whole document");
        }
        arrived.keys().filter(|name| LARGE.contains(&name.as_str())).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_parcel_of_documents_that_is_not_as_it_was_signed_leaves_no_half_document() {
    let (scene, old, lines) = in_three_parcels(52).await;
    let (place, named) = (scene.on_the_shelf(&lines[1]), lines[1].parcel.to_string());
    let whole = std::fs::read(&place).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let another = std::fs::read(scene.on_the_shelf(&lines[2])).unwrap();

    for bad in [&flipped, &another] {
        replace(&place, bad);
        ended(scene.loading_documents()).await.says(MISMATCH, 503, &[&named]);
        assert_eq!(scene.whole_documents(&old), 1, "what the first parcel held whole");
    }
    std::fs::remove_file(&place).unwrap();
    ended(scene.loading_documents()).await.says(MISMATCH, 621, &[&named, "lost"]);
    assert_eq!(scene.whole_documents(&old), 1);
    replace(&place, &whole);

    assert_eq!(ended(scene.loading_documents()).await.done()["equal"], true);
    assert_eq!(scene.whole_documents(&old), 3);
    scene.destroyed().await;
}

/// Of a file that may come and go.
fn length(file: &Path) -> usize {
    std::fs::metadata(file).map_or(0, |file| file.len().try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_killed_in_the_middle_of_a_document_leaves_it_to_the_next_load_to_remove() {
    let (scene, old, lines) = in_three_parcels(53).await;
    let half = scene.new_folder().join("reports").join(ARRIVING);
    let line = Line::to_the_server(&scene.world).await;
    let on_its_way = half.clone();
    // More than any of the small ones has: two of the three parcels at most are fetched.
    line.cut_answers_when(move || length(&on_its_way) > 2 * SEGMENT);
    line.leads(&scene.world, Name::Recipient);

    let (mut child, said) = waiting(scene.loading_documents()).await;
    assert!(said.contains("waiting: the server at "), "{said}");
    // All that was fetched is written: whole parcels, whose own bytes are less than one KiB.
    let written = || -> usize { files_below(&[&scene.new_folder()]).iter().map(|file| length(file)).sum() };
    let rests = || length(&half) > 0 && (written() + 1024) % (16 * SEGMENT) < 1024;
    timeout(AT_MOST, until(async || rests())).await.unwrap();
    child.kill().unwrap();
    drop(end(child).await);
    assert!((1..12 * SEGMENT).contains(&length(&half)), "a killed process removes nothing");
    line.mend();

    // Whatever the next load comes to: no parcel of documents is to be had, and its probe finds that out first of all.
    let places: Vec<_> = lines.iter().map(|line| scene.on_the_shelf(line)).collect();
    let whole: Vec<_> = places.iter().map(|place| std::fs::read(place).unwrap()).collect();
    for place in &places {
        std::fs::remove_file(place).unwrap();
    }
    ended(scene.loading_documents()).await.says(MISMATCH, 621, &["lost"]);
    assert!(!half.exists(), "half a document is left");
    places.iter().zip(&whole).for_each(|(place, whole)| replace(place, whole));
    assert_eq!(ended(scene.loading_documents()).await.done()["equal"], true);
    assert_eq!(scene.whole_documents(&old), 3);
    scene.destroyed().await;
}
