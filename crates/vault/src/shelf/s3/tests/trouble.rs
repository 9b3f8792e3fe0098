//! A store that fails, is slow, is cut, is not there, or does not know us: each is one sentence with its code, nothing is
//! lost, and no access key is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::line::{Fate, Line};
use super::*;

/// A shelf over a line, and what it is waited for.
async fn over(garage: &Store, request: Duration) -> (Line, S3Shelf) {
    let line = Line::to(&garage.host, Box::new(|_| Fate::Pass)).await;
    let mut place = Store { host: line.address.to_string(), ..garage.clone() }.place();
    place.patience.request = request;
    (line, S3Shelf::open(place).unwrap())
}

/// What was said, with all that a log would show of it; never an access key.
fn said(garage: &Store, trouble: &Trouble) -> String {
    let said = format!("{trouble} {trouble:?}");
    assert!(!said.contains(&garage.id) && !said.contains(&garage.secret), "{said}");
    assert!(!said.contains(&garage.bucket), "{said}");
    said
}

fn retry(trouble: &Trouble) -> Retry {
    let Trouble::Fault(fault) = trouble else { panic!("{trouble}") };
    fault.retry
}

/// Every verb of a shelf fails so, as long as things go wrong.
async fn all_fail(garage: &Store, shelf: &S3Shelf, code: u16, expected: Retry) {
    let at = address(consignment(), 1, 7);
    let outcomes = [
        shelf.keeps().await.map(drop),
        shelf.put(at, Bytes::from_static(b"x")).await,
        shelf.put(at, kit::bytes(PART_BYTES + 1)).await,
        shelf.read(at).await.map(drop),
        shelf.list(at.consignment).await.map(drop),
        shelf.erase(at.consignment, &receipt()).await.map(drop),
    ];
    for (verb, outcome) in ["keeps", "put", "put in parts", "read", "list", "erase"].into_iter().zip(outcomes) {
        let trouble = outcome.expect_err(verb);
        assert_eq!((trouble.code(), retry(&trouble)), (Code(code), expected), "{verb}: {}", said(garage, &trouble));
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named_as_that() {
    let Some(garage) = Store::of(GARAGE, "a_bucket_that_is_not_there_is_named_as_that") else { return };
    let elsewhere = Store { bucket: "no-such-bucket".to_owned(), ..garage };
    all_fail(&elsewhere, &elsewhere.shelf(), 731, Retry::Never).await;
}

#[tokio::test]
async fn an_access_key_that_is_not_known_or_not_right_is_refused() {
    let Some(garage) = Store::of(GARAGE, "an_access_key_that_is_not_known_or_not_right_is_refused") else { return };
    let wrong = Store { secret: "0".repeat(64), ..garage.clone() };
    all_fail(&wrong, &wrong.shelf(), 732, Retry::Never).await;
    let unknown = Store { id: format!("GK{}", "0".repeat(24)), ..garage };
    all_fail(&unknown, &unknown.shelf(), 732, Retry::Never).await;
}

#[tokio::test]
async fn a_store_of_another_region_is_refused() {
    let Some(garage) = Store::of(GARAGE, "a_store_of_another_region_is_refused") else { return };
    let place = BucketPlace { region: "elsewhere".to_owned(), ..garage.place() };
    let trouble = S3Shelf::open(place).unwrap().keeps().await.unwrap_err();
    assert_eq!((trouble.code(), retry(&trouble)), (Code(736), Retry::Never), "{}", said(&garage, &trouble));
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_tried_again_later() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = Store {
        id: "an-id".to_owned(),
        secret: "a-secret".to_owned(),
        host: nobody.to_string(),
        bucket: "some-bucket".to_owned(),
    };
    all_fail(&store, &store.shelf(), 733, Retry::Later).await;
}

#[tokio::test]
async fn a_store_that_fails_is_asked_again_and_nothing_is_lost() {
    let Some(garage) = Store::of(GARAGE, "a_store_that_fails_is_asked_again_and_nothing_is_lost") else { return };
    let (line, shelf) = over(&garage, Duration::from_secs(10)).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(2 * PART_BYTES));
    // Every other request is answered by 503 or 500, in turn.
    let mut asked = 0;
    line.now(move |_| {
        asked += 1;
        match asked % 4 {
            1 => Fate::Fail(503),
            3 => Fate::Fail(500),
            _ => Fate::Pass,
        }
    });
    shelf.keeps().await.unwrap();
    shelf.put(address(at.consignment, 1, 8), Bytes::from_static(b"small")).await.unwrap();
    shelf.put(at, large.clone()).await.unwrap();
    assert!(shelf.read(at).await.unwrap() == large);
    assert_eq!(shelf.list(at.consignment).await.unwrap().len(), 2);
    for status in [500, 503] {
        line.now(move |_| Fate::Fail(status));
        all_fail(&garage, &shelf, 734, Retry::Later).await;
        assert_eq!(shelf.erase(at.consignment, &receipt()).await.unwrap_err().code(), Code(734));
    }
    line.now(|_| Fate::Pass);
    assert!(shelf.read(at).await.unwrap() == large, "it went, though its erasure failed");
    assert_eq!(shelf.erase(at.consignment, &receipt()).await.unwrap().objects, 2);
}

#[tokio::test]
async fn an_upload_that_is_cut_goes_on_with_the_parts_that_are_missing() {
    let Some(garage) = Store::of(GARAGE, "an_upload_that_is_cut_goes_on_with_the_parts_that_are_missing") else {
        return;
    };
    let (line, shelf) = over(&garage, Duration::from_secs(10)).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(5 * PART_BYTES + 3));
    line.now(|first| if first.contains("partNumber=3") { Fate::Cut(3 * 1024 * 1024) } else { Fate::Pass });
    let trouble = shelf.put(at, large.clone()).await.unwrap_err();
    assert_eq!((trouble.code(), retry(&trouble)), (Code(734), Retry::Later), "{}", said(&garage, &trouble));
    assert_eq!(shelf.read(at).await.unwrap_err().code(), Code(713), "half a parcel is none");
    assert_eq!(shelf.cuts().get(&at).unwrap().parts.len(), 5, "of six parts one was cut");

    line.now(|_| Fate::Pass);
    shelf.put(at, large.clone()).await.unwrap();
    assert_eq!(line.passed("PUT", "partNumber="), 1, "parts that had arrived were sent again");
    assert_eq!(line.passed("POST", "uploads"), 0, "another upload was begun");
    assert!(shelf.read(at).await.unwrap() == large);
    assert!(shelf.cuts().is_empty());
}

#[tokio::test]
async fn an_upload_that_was_cut_is_begun_anew_for_other_bytes_or_when_it_is_gone() {
    let Some(garage) = Store::of(GARAGE, "an_upload_that_was_cut_is_begun_anew_for_other_bytes_or_when_it_is_gone")
    else {
        return;
    };
    let (line, shelf) = over(&garage, Duration::from_secs(10)).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(2 * PART_BYTES));
    let cut = |first: &str| if first.contains("partNumber=2") { Fate::Cut(0) } else { Fate::Pass };
    line.now(cut);
    shelf.put(at, large.clone()).await.unwrap_err();
    let other = Bytes::from(vec![9; 2 * PART_BYTES]);
    shelf.put(at, other.clone()).await.unwrap_err();
    line.now(|_| Fate::Pass);
    let left = shelf.bucket.uploads(&format!("{}/", at.consignment)).await.unwrap();
    assert_eq!(left.len(), 1, "the upload of the bytes that nobody sends any more is given up");
    shelf.bucket.abort(&left[0]).await.unwrap();
    shelf.put(at, other.clone()).await.unwrap();
    assert!(shelf.read(at).await.unwrap() == other);
    assert!(shelf.bucket.uploads(&format!("{}/", at.consignment)).await.unwrap().is_empty());
}

/// As a request does that was cut, and whose bytes come to the store when its part has been sent again.
#[tokio::test]
async fn an_upload_is_begun_anew_when_a_late_request_took_the_place_of_a_part() {
    let test = "an_upload_is_begun_anew_when_a_late_request_took_the_place_of_a_part";
    let Some(garage) = Store::of(GARAGE, test) else { return };
    let (line, shelf) = over(&garage, Duration::from_secs(10)).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(2 * PART_BYTES));
    line.now(|first| if first.contains("partNumber=2") { Fate::Cut(0) } else { Fate::Pass });
    shelf.put(at, large.clone()).await.unwrap_err();
    let upload = shelf.cuts().get(&at).unwrap().upload.clone();
    let late = kit::bytes(PART_BYTES - 1);
    garage.shelf().store.put_part(&path_of(at), &upload, 0, late.into()).await.unwrap();

    line.now(|_| Fate::Pass);
    shelf.put(at, large.clone()).await.unwrap();
    assert_eq!(line.passed("POST", "uploads"), 1, "no other upload was begun");
    assert!(shelf.read(at).await.unwrap() == large);
    assert_eq!(shelf.unfinished(at.consignment).await.unwrap(), 0, "what nobody goes on with is left");

    // Nobody knows how many come late: one behind the other is waited for.
    let again = address(at.consignment, 1, 8);
    line.now(
        |first| if first.starts_with("POST") && first.contains("uploadId=") { Fate::Fail(400) } else { Fate::Pass },
    );
    let trouble = shelf.put(again, large.clone()).await.unwrap_err();
    assert_eq!((trouble.code(), retry(&trouble)), (Code(734), Retry::Later), "{}", said(&garage, &trouble));
    line.now(|_| Fate::Pass);
    shelf.put(again, large.clone()).await.unwrap();
    assert!(shelf.read(again).await.unwrap() == large);
    assert_eq!(shelf.unfinished(at.consignment).await.unwrap(), 0, "what nobody goes on with is left");
}

#[tokio::test]
async fn a_parcel_whose_last_answer_was_lost_is_there() {
    let Some(garage) = Store::of(GARAGE, "a_parcel_whose_last_answer_was_lost_is_there") else { return };
    let (line, shelf) = over(&garage, Duration::from_secs(10)).await;
    let (id, large) = (consignment(), kit::bytes(PART_BYTES + 1));
    // The answer to what completes the upload, or to the whole parcel, is lost each time.
    line.now(|first| {
        let last = first.starts_with("POST") && first.contains("uploadId=");
        let whole = first.starts_with("PUT") && !first.contains("partNumber=");
        if last || whole { Fate::LoseTheAnswer } else { Fate::Pass }
    });
    for (parcel, bytes) in [(7, large.clone()), (8, Bytes::from_static(b"small"))] {
        let at = address(id, 1, parcel);
        if let Err(trouble) = shelf.put(at, bytes.clone()).await {
            assert_eq!(trouble.code(), Code(734), "{}", said(&garage, &trouble));
            shelf.put(at, bytes.clone()).await.unwrap();
        }
        assert!(shelf.read(at).await.unwrap() == bytes);
    }
    assert!(shelf.cuts().is_empty());
    assert_eq!(shelf.list(id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_parcel_that_is_cut_on_its_way_back_comes_whole_or_not_at_all() {
    let Some(garage) = Store::of(GARAGE, "a_parcel_that_is_cut_on_its_way_back_comes_whole_or_not_at_all") else {
        return;
    };
    let (line, shelf) = over(&garage, Duration::from_secs(10)).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(PART_BYTES));
    shelf.put(at, large.clone()).await.unwrap();
    let cuts = AtomicUsize::new(0);
    line.now(
        move |_| if cuts.fetch_add(1, Ordering::SeqCst) == 0 { Fate::CutTheAnswer(2_000_000) } else { Fate::Pass },
    );
    assert!(shelf.read(at).await.unwrap() == large);
    line.now(|_| Fate::CutTheAnswer(2_000_000));
    let trouble = shelf.read(at).await.unwrap_err();
    assert_eq!((trouble.code(), retry(&trouble)), (Code(734), Retry::Later), "{}", said(&garage, &trouble));
}

#[tokio::test]
async fn a_store_that_never_answers_is_not_waited_for_for_ever() {
    let Some(garage) = Store::of(GARAGE, "a_store_that_never_answers_is_not_waited_for_for_ever") else { return };
    let (line, shelf) = over(&garage, Duration::from_millis(300)).await;
    line.now(|_| Fate::Stall);
    // A shelf that waits for ever would hold up the run for ever.
    let all = all_fail(&garage, &shelf, 734, Retry::Later);
    tokio::time::timeout(Duration::from_mins(5), all).await.expect("it is waited for");
}

/// Pieces of so many bytes each way, at a beat of a fiftieth of a second.
const BEAT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_slow_store_is_waited_for_as_long_as_a_request_may_take() {
    let Some(garage) = Store::of(GARAGE, "a_slow_store_is_waited_for_as_long_as_a_request_may_take") else { return };
    let (line, shelf) = over(&garage, Duration::from_secs(30)).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(PART_BYTES + 1));
    line.now(|_| Fate::Trickle(256 * 1024, BEAT));
    shelf.put(at, large.clone()).await.unwrap();
    assert!(shelf.read(at).await.unwrap() == large);
    assert_eq!((line.passed("PUT", "partNumber=1"), line.passed("PUT", "partNumber=2")), (1, 1), "one was cut short");
    assert_eq!(shelf.erase(at.consignment, &receipt()).await.unwrap().objects, 1);
}

#[tokio::test]
async fn a_store_that_is_slower_than_a_request_may_take_is_tried_again_later_and_nothing_is_lost() {
    let test = "a_store_that_is_slower_than_a_request_may_take_is_tried_again_later_and_nothing_is_lost";
    let Some(garage) = Store::of(GARAGE, test) else { return };
    // In which sixteen pieces pass at most, of 128 that a part has.
    let (line, shelf) = over(&garage, BEAT * 15).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(2 * PART_BYTES));
    let trickle = |first: &str| {
        let carries_much = first.contains("partNumber=") || first.starts_with("GET") && !first.contains('?');
        if carries_much { Fate::Trickle(64 * 1024, BEAT) } else { Fate::Pass }
    };
    line.now(trickle);
    let trouble = shelf.put(at, large.clone()).await.unwrap_err();
    assert_eq!((trouble.code(), retry(&trouble)), (Code(734), Retry::Later), "{}", said(&garage, &trouble));
    assert_eq!(line.passed("PUT", "partNumber="), 0, "a part passed: it was not slow enough");

    // The same shelf, as it would be over a line that has become faster.
    let shelf = S3Shelf { bucket: garage.shelf().bucket, store: garage.shelf().store, ..shelf };
    assert_eq!(shelf.read(at).await.map(drop).unwrap_err().code(), Code(713), "half a parcel is none");
    shelf.put(at, large.clone()).await.unwrap();
    assert!(shelf.read(at).await.unwrap() == large);
    assert!(shelf.cuts().is_empty());
    assert_eq!(shelf.erase(at.consignment, &receipt()).await.unwrap().objects, 1);
}

#[tokio::test]
async fn a_parcel_that_comes_slower_than_a_request_may_take_is_tried_again_later() {
    let test = "a_parcel_that_comes_slower_than_a_request_may_take_is_tried_again_later";
    let Some(garage) = Store::of(GARAGE, test) else { return };
    let (line, shelf) = over(&garage, BEAT * 15).await;
    let (at, large) = (address(consignment(), 1, 7), kit::bytes(PART_BYTES));
    garage.shelf().put(at, large.clone()).await.unwrap();
    line.now(|_| Fate::Trickle(64 * 1024, BEAT));
    let trouble = shelf.read(at).await.map(drop).unwrap_err();
    assert_eq!((trouble.code(), retry(&trouble)), (Code(734), Retry::Later), "{}", said(&garage, &trouble));
    assert!(garage.shelf().read(at).await.unwrap() == large);
    assert_eq!(garage.shelf().erase(at.consignment, &receipt()).await.unwrap().objects, 1);
}

/// A listing whose pages have one line each goes on behind the last line of the page before, also between two uploads of
/// one parcel.
#[tokio::test]
async fn every_page_of_what_is_listed_is_asked_for() {
    let Some(garage) = Store::of(GARAGE, "every_page_of_what_is_listed_is_asked_for") else { return };
    let (line, mut shelf) = over(&garage, Duration::from_secs(10)).await;
    shelf.bucket.page_lines = 1;
    let one = consignment();
    for parcel in [7, 7, 8] {
        shelf.store.create_multipart(&path_of(address(one, 1, parcel))).await.unwrap();
    }
    for parcel in [1, 2, 3] {
        shelf.put(address(one, 1, parcel), Bytes::from(vec![parcel; 10])).await.unwrap();
    }
    line.now(|_| Fate::Pass);
    assert_eq!((shelf.unfinished(one).await.unwrap(), shelf.list(one).await.unwrap().len()), (3, 3));
    let pages = ["max-uploads=1&", "upload-id-marker=", "max-keys=1", "continuation-token="];
    let pages = pages.map(|word| line.passed("GET", word));
    assert!(pages.into_iter().zip([2, 1, 3, 2]).all(|(asked, least)| asked >= least), "{pages:?}");

    let erased = shelf.erase(one, &receipt()).await.unwrap();
    assert_eq!((erased.objects, erased.unfinished), (3, 3));
    let whole = garage.shelf();
    assert_eq!((whole.unfinished(one).await.unwrap(), whole.list(one).await.unwrap().len()), (0, 0));
}

/// It answers, and with nothing that an object store says.
#[tokio::test]
async fn what_is_no_object_store_is_named_as_that() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answering = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = [0; 8_192];
            drop(tokio::io::AsyncReadExt::read(&mut client, &mut head).await);
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 13\r\n\r\n<html></html>";
            drop(tokio::io::AsyncWriteExt::write_all(&mut client, answer).await);
        }
    });
    let shelf = Store { id: "id".into(), secret: "secret".into(), host, bucket: "bucket".into() }.shelf();
    for trouble in
        [shelf.list(consignment()).await.unwrap_err(), shelf.erase(consignment(), &receipt()).await.unwrap_err()]
    {
        assert_eq!((trouble.code(), retry(&trouble)), (Code(736), Retry::Never), "{trouble}");
    }
    answering.abort();
}
