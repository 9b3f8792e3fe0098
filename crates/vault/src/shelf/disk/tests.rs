use lexicon::{ParcelId, ShelfId, Trouble};
use tempfile::TempDir;

use super::*;
use crate::shelf::ID;
use crate::shelf::kit::{self, address, receipt};

const ONE: ConsignmentId = ConsignmentId([1; 16]);
const OTHER: ConsignmentId = ConsignmentId([2; 16]);

fn shelf() -> (TempDir, DiskShelf) {
    let dir = tempfile::tempdir().unwrap();
    let shelf = DiskShelf::open(&dir.path().join("shelf")).unwrap();
    (dir, shelf)
}

fn names(folder: &FilePath) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        if path.is_dir() && !path.is_symlink() {
            found.extend(names(&path));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_folder_keeps_the_contract_of_shelves() {
    let (_dir, shelf) = shelf();
    assert_eq!(shelf.keeps().await.unwrap(), Keeps::Nothing);
    kit::keeps_its_contract(&shelf).await;
}

#[tokio::test]
async fn a_folder_keeps_its_id_and_another_in_its_place_has_another() {
    let (dir, shelf) = shelf();
    let folder = dir.path().join("shelf");
    kit::keeps_its_id(&shelf, &DiskShelf::open(&folder).unwrap()).await;
    assert_eq!(names(&shelf.root), [ID]);

    fs::rename(&folder, dir.path().join("elsewhere")).unwrap();
    let (new, other) = (ShelfId([3; 16]), DiskShelf::open(&folder).unwrap());
    assert_eq!(other.id(new).await.unwrap(), new);
    // What is no id is written over.
    fs::OpenOptions::new().write(true).open(folder.join(ID)).unwrap().set_len(0).unwrap();
    let newer = ShelfId([4; 16]);
    assert_eq!((other.id(newer).await.unwrap(), other.id(new).await.unwrap()), (newer, newer));
}

#[tokio::test]
async fn names_are_identifiers_only_and_no_unfinished_file_stays() {
    let (_dir, shelf) = shelf();
    shelf.put(address(ONE, 3, 7), Bytes::from_static(b"x")).await.unwrap();
    shelf.put(address(ONE, 3, 7), Bytes::from_static(b"y")).await.unwrap_err();
    assert_eq!(names(&shelf.root), ["01".repeat(16), "07".repeat(16), "3".to_owned()]);
}

#[tokio::test]
async fn erasing_leaves_an_empty_listing_no_file_and_every_other_consignment() {
    let (_dir, shelf) = shelf();
    for parcel in 1..=5 {
        shelf.put(address(ONE, u32::from(parcel), parcel), Bytes::from(vec![parcel; 10])).await.unwrap();
    }
    shelf.put(address(OTHER, 1, 9), Bytes::from_static(b"other")).await.unwrap();
    // What a crash in the middle of an upload leaves; the object store hides it from its own listing.
    let cut = shelf.root.join(ONE.to_string()).join("1").join(format!("{}#1", ParcelId([4; 16])));
    fs::copy(shelf.root.join(ONE.to_string()).join("1").join(ParcelId([1; 16]).to_string()), &cut).unwrap();
    assert_eq!((shelf.list(ONE).await.unwrap().len(), shelf.unfinished(ONE).await.unwrap()), (5, 1));

    let erased = shelf.erase(ONE, &receipt()).await.unwrap();
    let found = (1..=5).map(|parcel| (address(ONE, u32::from(parcel), parcel), 10)).collect();
    assert_eq!(erased, Erased { objects: 5, bytes: 50, found, unfinished: 1, ..Erased::default() });
    assert_eq!((shelf.list(ONE).await.unwrap().len(), shelf.unfinished(ONE).await.unwrap()), (0, 0));
    assert_eq!(names(&shelf.root), ["02".repeat(16), "09".repeat(16), "1".to_owned()]);
    assert_eq!(shelf.read(address(OTHER, 1, 9)).await.unwrap(), "other");
    assert_eq!(shelf.erase(ONE, &receipt()).await.unwrap(), Erased::default());
}

#[tokio::test]
async fn what_is_no_parcel_raises_an_alarm_and_is_erased_all_the_same() {
    let (_dir, shelf) = shelf();
    shelf.put(address(ONE, 1, 7), Bytes::from_static(b"x")).await.unwrap();
    let folder = shelf.root.join(ONE.to_string());
    fs::copy(folder.join("1").join(ParcelId([7; 16]).to_string()), folder.join("patients.csv")).unwrap();
    assert!(matches!(shelf.list(ONE).await, Err(Trouble::Alarm(_))));
    let found = [(address(ONE, 1, 7), 1)].into();
    let erased = Erased { objects: 1, bytes: 1, found, unfinished: 1, ..Erased::default() };
    assert_eq!(shelf.erase(ONE, &receipt()).await.unwrap(), erased);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_on_the_shelf_is_removed_and_never_followed() {
    let (dir, shelf) = shelf();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    shelf.put(address(ONE, 1, 7), Bytes::from_static(b"x")).await.unwrap();
    let folder = shelf.root.join(ONE.to_string());
    fs::copy(folder.join("1").join(ParcelId([7; 16]).to_string()), outside.join("kept")).unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
    shelf.erase(ONE, &receipt()).await.unwrap();
    assert!(outside.join("kept").exists());
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn four_that_erase_at_once_come_to_the_same_end_and_count_each_parcel_once() {
    let (dir, shelf) = shelf();
    for parcel in 1..=200 {
        shelf.put(address(ONE, u32::from(parcel) % 7 + 1, parcel), Bytes::from(vec![parcel; 10])).await.unwrap();
    }
    let processes: Vec<DiskShelf> = (0..4).map(|_| DiskShelf::open(&dir.path().join("shelf")).unwrap()).collect();
    let receipt = receipt();
    let erased = futures::future::join_all(processes.iter().map(|shelf| shelf.erase(ONE, &receipt))).await;
    let erased: Vec<Erased> = erased.into_iter().map(Result::unwrap).collect();
    assert_eq!(erased.iter().map(|erased| erased.objects).sum::<u64>(), 200);
    assert_eq!(erased.iter().map(|erased| erased.bytes).sum::<u64>(), 2_000);
    assert_eq!(names(&shelf.root), Vec::<String>::new());
}
