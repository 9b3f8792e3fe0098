//! Parcels that are cut, altered, exchanged or gone on the server's own shelf.

use std::path::PathBuf;

use drill::{World, files_below, write_file};
use procedure::{Manifest, ManifestParcel};

use super::{MISMATCH, Scene, ended, replace};

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

/// Twelve rows that nothing compresses: seven of 2 MiB, one that has no room behind them, and four for a third parcel.
const SCANS: &str = "CREATE TABLE scan (scan_id INTEGER PRIMARY KEY, content BLOB); \
     WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 12) \
     INSERT INTO scan SELECT i, randomblob(CASE i WHEN 8 THEN 47 ELSE 2 END * 1048576) FROM n";
const SCANS_SCOPE: &str = "[[table]]\nname = 'scan'\ntarget = 'import_scan'\nkey = ['scan_id']\nleave = []\n\
     take = [{ column = 'scan_id', type = 'int64' }, { column = 'content', type = 'bytes' }]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_middle_parcel_of_a_table_that_is_not_as_it_was_signed_leaves_nothing_of_the_table() {
    let world = World::start_as(false).await;
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
}

/// 1 MiB: where each segment of a parcel of documents begins, but the first.
const SEGMENT: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_of_documents_that_is_not_as_it_was_signed_is_an_alarm_and_releases_no_document() {
    let world = World::start().await;
    let systems = world.systems_of(51, 60);
    let (_, folder, scope) = world.reports(51, 60);
    // One that fills more than two segments.
    let large = folder.join("2019").join("large.pdf");
    std::fs::create_dir_all(large.parent().unwrap()).unwrap();
    let mut bytes = b"%PDF-1.4\n".to_vec();
    bytes.resize(2 * SEGMENT + 9, 7);
    write_file(&large, &bytes);
    let scene = Scene::of(world, systems, &scope).await;
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    let ledger = scene.ledger().await;
    let (_, manifest) = ledger.migration().consignment(scene.consignment).unwrap().manifest.clone().unwrap();
    let line = manifest.documents[0].parcels.first().unwrap();
    let place = scene.on_the_shelf(line);
    let whole = std::fs::read(&place).unwrap();
    assert!(whole.len() > 2 * SEGMENT, "{}", whole.len());
    let flipped = |at: usize| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        flipped
    };
    let moved = [&whole[..SEGMENT], &whole[2 * SEGMENT..], &whole[SEGMENT..2 * SEGMENT]].concat();
    let doubled = [&whole[..2 * SEGMENT], &whole[SEGMENT..]].concat();
    scene.world.documents();
    let target = scene.world.path("new.sqlite-documents");
    let load = || {
        scene.now();
        let mut loading = scene.loading_into(&scene.systems.sink.identity());
        loading.arg("--documents").arg(&target);
        ended(loading)
    };

    let cut = whole[..2 * SEGMENT].to_vec();
    let altered = [flipped(SEGMENT - 1), flipped(SEGMENT), flipped(whole.len() - 1), cut, moved, doubled];
    for bad in &altered {
        replace(&place, bad);
        load().await.says(MISMATCH, 503, &[&line.parcel.to_string()]);
        let arrived = files_below(&[&target]).into_iter().filter(|file| file.extension().is_some());
        assert_eq!(arrived.count(), 0, "a document came out");
    }
    replace(&place, &whole);

    assert_eq!(scene.given_up().await, [503; 6]);
    assert_eq!(load().await.done()["equal"], true);
    assert_eq!(std::fs::read(target.join("reports/2019/large.pdf")).unwrap(), bytes);
    scene.destroyed().await;
}
