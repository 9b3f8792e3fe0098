//! Parcels that are lost, exchanged, cut or altered on the shelf.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use drill::{Name, Round, Systems, World, entropy};
use lexicon::{Code, Digest, MigrationId, ParcelId, Refusal};
use people::Recipient;
use procedure::ManifestParcel;
use seal::Share;
use wire::{Answer, ParcelLine, path};

use super::server::{Hostile, bytes, json};
use super::story::{Story, body_of};
use super::{Hands, patients, said};

/// A consignment that is handed over, and the line of its parcel of patients.
async fn handed_over(world: &World, systems: &Systems) -> (Round, ManifestParcel) {
    let round = world.closed(systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let line = round.manifest.parcels.iter().find(|line| line.table == "patient").unwrap().clone();
    (round, line)
}

fn place(round: &Round, line: &ManifestParcel) -> String {
    path::parcel(round.plan.migration, round.consignment, line.attempt, line.parcel)
}

async fn load(world: &World, systems: &Systems, round: &Round, server: &Arc<Hostile>) -> String {
    let hands = Hands::of(world, Name::Recipient, server);
    let errand = hands.errand(round.plan.migration, round.consignment);
    said(passage::load(&errand, systems.sink.as_ref()).await.map(|report| report.notes))
}

fn not_the_one(line: &ManifestParcel, found: &[u8]) -> String {
    format!(
        "ALARM: parcel {} (table patient, number 0) is not the one in the manifest: \
         digest {} expected, {} found [LZ-0503]",
        line.parcel,
        line.digest.short(),
        Digest::of(found).short()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_parcel_stops_the_load_and_leaves_no_row_of_its_table() {
    let world = World::start().await;
    let systems = world.systems(60);
    let (round, line) = handed_over(&world, &systems).await;
    let (dropped, nothing) = (place(&round, &line), not_the_one(&line, b""));
    let there = dropped.clone();
    let server = Hostile::answering(&world, move |outgoing| (outgoing.path == there).then(|| bytes(Bytes::new())));
    assert_eq!(load(&world, &systems, &round, &server).await, nothing);
    // A server that owns up to having lost it says so in its own words; to the load it is the same.
    let lost = Refusal::new(Code(710), "there is no such parcel", "Ask the server's operator.");
    let lost = Answer { status: 404, ..json(&lexicon::Trouble::Refusal(lost)) };
    let there = dropped.clone();
    let server = Hostile::answering(&world, move |outgoing| (outgoing.path == there).then(|| lost.clone()));
    assert_eq!(load(&world, &systems, &round, &server).await, "there is no such parcel [LZ-0710]");
    assert_eq!(patients(&systems), 0);

    // Left out of the list that the shelf gives, it is still fetched: only the manifest says what there is.
    let shelf = path::parcels(round.plan.migration, round.consignment);
    let server =
        Hostile::answering(&world, move |outgoing| (outgoing.path == shelf).then(|| json(&Vec::<ParcelLine>::new())));
    let hands = Hands::of(&world, Name::Recipient, &server);
    let errand = hands.errand(round.plan.migration, round.consignment);
    let report = passage::load(&errand, systems.sink.as_ref()).await.unwrap();
    assert!(report.reconciliation.equal() && patients(&systems) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_parcel_stops_the_load_and_leaves_no_row_of_its_table() {
    let world = World::start().await;
    let systems = world.systems(60);
    let (round, line) = handed_over(&world, &systems).await;
    let shelf = world.desk(Name::Recipient);
    let fetch = async |line: &ManifestParcel| {
        let (id, name) = (round.plan.migration, (line.attempt, line.parcel));
        shelf.client().fetch_parcel(shelf.keeper(), id, round.consignment, name).await.unwrap()
    };
    let whole = fetch(&line).await;
    let other = round.manifest.parcels.iter().find(|other| other.table == "result").unwrap();
    let other = fetch(other).await;
    let cut = whole.slice(..whole.len() - 1);
    let mut altered = whole.to_vec();
    altered[1_000] ^= 1;
    for lie in [other, cut, Bytes::from(altered), [whole.as_ref(), b"x"].concat().into()] {
        let (there, sentence) = (place(&round, &line), not_the_one(&line, &lie));
        let server = Hostile::answering(&world, move |outgoing| (outgoing.path == there).then(|| bytes(lie.clone())));
        assert_eq!(load(&world, &systems, &round, &server).await, sentence);
    }
    assert_eq!(patients(&systems), 0);
    world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    assert!(patients(&systems) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_is_stored_otherwise_than_it_was_sent_stops_the_extraction() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = super::approved(&world, &systems).await;
    let consignment = world.consign(&plan).await;
    let server = Hostile::changing(&world, |outgoing, answer| {
        if outgoing.method != wire::Method::Put {
            return answer;
        }
        let line: ParcelLine = serde_json::from_slice(&answer.body).unwrap();
        json(&ParcelLine { digest: Digest::of(b"another"), ..line })
    });
    let hands = Hands::of(&world, Name::Operator, &server);
    let errand = hands.errand(plan.migration, consignment);
    let sentence = said(passage::extract(&errand, systems.source.as_ref(), entropy()).await);
    let otherwise = |(path, _): &(String, Bytes)| {
        let parcel: ParcelId = path.rsplit('/').next().unwrap().parse().unwrap();
        format!("ALARM: the server stored parcel {} otherwise than it was sent [LZ-1204]", parcel.short())
    };
    assert!(server.parcels().iter().map(otherwise).any(|expected| expected == sentence), "{sentence}");
    assert_eq!(server.acts(plan.migration), ["begin", "failed"], "nothing is closed");
}

/// 40 rows of 4 MiB that nothing compresses: five parcels, more than ever wait for a server.
const CURVES: &str = "CREATE TABLE curve (curve_id INTEGER PRIMARY KEY, points BLOB); \
     WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 40) \
     INSERT INTO curve SELECT n, randomblob(4 * 1024 * 1024) FROM number";
const CURVES_SCOPE: &str = "[[table]]\nname = 'curve'\ntarget = 'import_curve'\nkey = ['curve_id']\nleave = []\n\
     take = [{ column = 'curve_id', type = 'int64' }, { column = 'points', type = 'bytes' }]";

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_parcel_ends_the_extraction_however_much_is_left_to_read() {
    let world = World::start().await;
    let systems = world.systems(60);
    rusqlite::Connection::open(&systems.old).unwrap().execute_batch(CURVES).unwrap();
    let ddl = scope::target_ddl(&scope::Scope::parse(CURVES_SCOPE).unwrap(), scope::Dialect::Sqlite).unwrap();
    let ddl = ddl.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS");
    rusqlite::Connection::open(&systems.new).unwrap().execute_batch(&ddl).unwrap();
    let plan = world.approved(CURVES_SCOPE, systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = world.consign(&plan).await;
    let full = Refusal::new(Code(711), "the shelf is full", "Ask the server's operator.");
    let full = Answer { status: 409, ..json(&lexicon::Trouble::Refusal(full)) };
    let server =
        Hostile::answering(&world, move |outgoing| (outgoing.method == wire::Method::Put).then(|| full.clone()));
    let hands = Hands::of(&world, Name::Operator, &server);
    let errand = hands.errand(plan.migration, consignment);
    let extracting = passage::extract(&errand, systems.source.as_ref(), entropy());
    let ended = tokio::time::timeout(Duration::from_mins(2), extracting).await.unwrap();
    assert_eq!(said(ended), "the shelf is full [LZ-0711]");
    assert_eq!(server.acts(plan.migration), ["begin", "failed"], "nothing is closed");
}

/// A server that makes a begin a fact as the true one does, and gives this in the place of the strongroom share.
fn giving(
    world: &World,
    id: MigrationId,
    given: impl Fn(&Recipient) -> Option<String> + Send + Sync + 'static,
) -> Arc<Hostile> {
    let acts = path::acts(id);
    Hostile::changing(world, move |outgoing, answer| {
        let mut submitted: wire::Submitted = match serde_json::from_slice(&answer.body) {
            Ok(submitted) if outgoing.path == acts => submitted,
            _ => return answer,
        };
        let sent: wire::SubmitAct = serde_json::from_slice(&outgoing.body).unwrap();
        if let procedure::Act::Begin { key, .. } = body_of(&sent.proof).body {
            submitted.share = given(&key);
        }
        json(&submitted)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_share_opens_nothing() {
    let world = World::start().await;
    let systems = world.systems(60);
    let (round, _) = handed_over(&world, &systems).await;
    let truth = Story::so_far(&world, round.plan.migration).await;
    let state = truth.state.consignment(round.consignment).unwrap();
    // The laboratory share: another document, sealed to the recipient's true key.
    let share = state.released.as_ref().unwrap().share.unwrap();
    let keys: Vec<_> = state.offers.iter().map(|offer| offer.key.clone()).collect();
    let mine = people::seal_to(&keys, Share::draw(entropy().as_ref()).unwrap().expose()).unwrap();
    let document = path::document(round.plan.migration, share);
    let server = Hostile::answering(&world, move |outgoing| (outgoing.path == document).then(|| bytes(mine.clone())));
    let other = "ALARM: the server gave another document than the hand-over names [LZ-0635]";
    assert_eq!(load(&world, &systems, &round, &server).await, other);
    // The strongroom share: another than was committed to when the consignment was opened.
    let server = giving(&world, round.plan.migration, |key| {
        let mine = people::seal_to(std::slice::from_ref(key), &[7; 32]).unwrap();
        Some(STANDARD.encode(mine))
    });
    let other = "ALARM: the server gave another strongroom share than the one it committed to [LZ-0606]";
    assert_eq!(load(&world, &systems, &round, &server).await, other);
    assert_eq!(patients(&systems), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_brings_no_share_is_an_alarm_and_the_next_one_goes_on() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = super::approved(&world, &systems).await;
    let (id, consignment) = (plan.migration, world.consign(&plan).await);
    let nothing = "ALARM: the server recorded a begin and gave no strongroom share [LZ-0605]";
    // The attempt that got nothing is a fact: whoever begins again gives it up first.
    for (given, sent) in [(None, vec!["begin"]), (Some("no base64"), vec!["failed", "begin"])] {
        let server = giving(&world, id, move |_| given.map(str::to_owned));
        let operator = Hands::of(&world, Name::Operator, &server);
        let outcome = passage::extract(&operator.errand(id, consignment), systems.source.as_ref(), entropy()).await;
        assert_eq!(said(outcome), nothing);
        assert_eq!((server.acts(id), server.parcels().len()), (sent, 0), "something was sealed");
    }
    let manifest = world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap();
    world.release(&plan, consignment).await.unwrap();
    let round = Round { plan, consignment, manifest };
    assert_eq!(load(&world, &systems, &round, &giving(&world, id, |_| None)).await, nothing);
    assert_eq!(patients(&systems), 0);
    world.load(&round.plan, consignment, systems.sink.as_ref()).await.unwrap();
    assert!(patients(&systems) > 0);
}
