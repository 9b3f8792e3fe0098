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

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_is_not_as_it_was_signed_is_an_alarm_that_names_it() {
    let scene = Scene::released().await;
    let ledger = scene.ledger().await;
    let (_, manifest) = ledger.migration().consignment(scene.consignment).unwrap().manifest.clone().unwrap();
    let (line, other) = (of(&manifest, "patient"), of(&manifest, "result"));
    let place = scene.on_the_shelf(line);
    let (whole, another) = (std::fs::read(&place).unwrap(), std::fs::read(scene.on_the_shelf(other)).unwrap());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let named = [line.parcel.to_string(), "table patient".to_owned()];
    let named: Vec<&str> = named.iter().map(String::as_str).collect();

    let third = whole.len() / 3;
    let moved = [&whole[..third], &whole[2 * third..], &whole[third..2 * third]].concat();
    let spliced = [&whole[..third], another.get(third..2 * third).unwrap_or(&another), &whole[2 * third..]].concat();

    for bad in [&whole[..whole.len() / 2], &[], &flipped, &another, &moved, &spliced] {
        replace(&place, bad);
        scene.load().await.says(MISMATCH, 503, &named);
        assert_eq!(scene.rows("import_patient"), 0);
    }
    std::fs::remove_file(&place).unwrap();
    scene.load().await.says(MISMATCH, 621, &[&named[..], &["lost"]].concat());
    replace(&place, &whole);
    let sums = scene.on_the_shelf(&manifest.sums);
    let whole = std::fs::read(&sums).unwrap();
    std::fs::remove_file(&sums).unwrap();
    scene.load().await.says(MISMATCH, 621, &[&manifest.sums.parcel.to_string(), "lost"]);
    replace(&sums, &whole);

    assert_eq!(scene.given_up().await, [503, 503, 503, 503, 503, 503, 621, 621]);
    scene.to_the_end().await;
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
