//! Parcels that are cut, altered, exchanged or gone on the server's own shelf.

use std::path::PathBuf;

use procedure::{Manifest, ManifestParcel};

use super::{MISMATCH, Scene, replace};

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

    for bad in [&whole[..whole.len() / 2], &[], &flipped, &another] {
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

    assert_eq!(scene.given_up().await, [503, 503, 503, 503, 621, 621]);
    scene.to_the_end().await;
}
