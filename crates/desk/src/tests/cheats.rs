//! Every way in which a server can cheat the one that asks it for facts.

use lexicon::{Digest, Trouble, digest_of, spoken};
use people::{Envelope, PayloadType, Role, SigningKey};
use procedure::{Act, ActBody, Entry, FactBody, LastFact, Proof, SeenCheckpoint};

use super::*;

fn body(world: &World, seat: &Seat, act: Act) -> ActBody {
    let books = world.server.books();
    ActBody {
        purpose: ActBody::PURPOSE.into(),
        origin: ORIGIN.into(),
        migration: MIGRATION,
        last: books.ledger.last(),
        checkpoint: SeenCheckpoint { size: 0, root: Digest([0; 32]) },
        certificate: seat.certificate.digest().unwrap(),
        at: start(),
        body: act,
    }
}

/// An act that somebody signed, on its way to the server by another road.
fn signed(world: &World, seat: &Seat, act: Act) -> Proof {
    let body = body(world, seat, act);
    Proof::Signed(Envelope::sign(PayloadType::Act, &body, body.certificate, &seat.key()).unwrap())
}

/// The receipt that a server without scruples writes for any act as the next one.
fn receipt(books: &Books, proof: &Proof) -> FactBody {
    FactBody {
        purpose: FactBody::PURPOSE.into(),
        origin: ORIGIN.into(),
        migration: MIGRATION,
        number: books.ledger.migration().facts.saturating_add(1),
        previous: Some(books.ledger.last().digest),
        act: proof.digest().unwrap(),
        at: start(),
        strongroom_share: None,
        state: Digest([0; 32]),
    }
}

/// Makes an act a fact that the procedure was not asked about.
fn invent(world: &World, proof: Proof) {
    let mut books = world.server.books();
    let fact = receipt(&books, &proof);
    let placed = books.enter(proof, &fact);
    books.placed.push(placed);
}

#[tokio::test]
async fn an_honest_server_is_followed_from_wherever_one_was() {
    let world = World::begun().await;
    for count in 0..3 {
        world.server.books().others(count);
        let ledger = world.claire.desk.follow(MIGRATION).await.unwrap();
        assert_eq!(ledger.last(), world.server.books().ledger.last());
    }
    let kept = world.claire.reopened(&world).kept(MIGRATION).unwrap();
    assert_eq!(kept.last(), world.server.books().ledger.last());
    assert_eq!(world.claire.alarms(), 0);
}

#[tokio::test]
async fn a_migration_that_nobody_opened_is_followed_to_nothing() {
    let world = World::new();
    assert_eq!(world.claire.desk.follow(MIGRATION).await.unwrap().last().number, 0);
}

#[tokio::test]
async fn a_server_that_replaces_a_fact_it_has_shown_is_found_out_and_both_are_kept() {
    let world = World::begun().await;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    {
        let mut books = world.server.books();
        let mut past = Ledger::new(ORIGIN, books.key.public(), MIGRATION);
        past.admit(&books.placed[0].entry, &books.roster, None).unwrap();
        books.ledger = past;
        books.placed.truncate(1);
    }
    // Another second fact, as valid as the first, further on in the same journal.
    let other = signed(&world, &world.yann, Act::Freeze { reason: "another story".into() });
    world.server.books().record(other, start()).unwrap();
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1221, true));
    assert_eq!(world.claire.alarms(), 1);
    let kept = world.claire.desk.kept(MIGRATION).unwrap();
    assert_ne!(kept.last(), world.server.books().ledger.last(), "what was verified first stands");
}

#[tokio::test]
async fn a_server_that_no_longer_shows_a_fact_is_found_out_and_shown_it() {
    let world = World::begun().await;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    assert!(world.server.books().shown.is_empty());
    let last = world.server.books().placed.pop().unwrap();
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1220, true));
    assert_eq!(world.server.books().shown, [last.entry.fact]);
    world.server.books().placed.clear();
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1220, true));
}

#[tokio::test]
async fn a_receipt_that_was_given_cannot_be_taken_back() {
    let world = World::begun().await;
    act(&world.claire.desk, thaw()).await.unwrap();
    world.server.books().placed.pop();
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1220, true));
}

#[tokio::test]
async fn a_journal_that_was_set_back_is_found_out() {
    let world = World::begun().await;
    world.server.books().others(4);
    world.claire.desk.follow(MIGRATION).await.unwrap();
    let size = world.server.books().leaves.len();
    world.server.books().leaves.truncate(size - 2);
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1220, true));
}

#[tokio::test]
async fn two_journals_of_one_size_are_found_out() {
    let world = World::begun().await;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    world.server.books().leaves[1] = Digest::of(b"rewritten");
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1221, true));
}

#[tokio::test]
async fn a_journal_that_grew_out_of_another_past_is_found_out() {
    let world = World::begun().await;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    world.server.books().leaves[1] = Digest::of(b"rewritten");
    world.server.books().others(3);
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1304, true));
}

#[tokio::test]
async fn a_checkpoint_under_another_key_is_found_out() {
    let world = World::begun().await;
    let leaves = world.server.books().leaves.clone();
    let other = SigningKey::draw(&SystemEntropy::new()).unwrap();
    world.server.books().facts_lie = Some(Box::new(move |facts| facts.checkpoint = note(&other, &leaves)));
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1306, true));
}

#[tokio::test]
async fn a_fact_that_is_not_in_the_journal_is_found_out() {
    let world = World::begun().await;
    let last = world.server.books().placed[1].leaf;
    world.server.books().leaves[usize::try_from(last).unwrap()] = Digest::of(b"something else");
    assert!(outcome(world.yann.desk.follow(MIGRATION).await).1);
    assert!(outcome(world.claire.desk.follow(MIGRATION).await).1);
    // Somebody who was never there before has nothing but the proof of inclusion.
    let late = world.seat(&world.laboratory, "Maud Riou", Role::Auditor);
    assert_eq!(outcome(late.desk.follow(MIGRATION).await), (1303, true));
}

#[tokio::test]
async fn a_server_that_says_that_the_last_fact_stands_elsewhere_is_found_out() {
    let world = World::begun().await;
    for last in [None, Some(0), Some(9)] {
        world.server.books().facts_lie = Some(Box::new(move |facts| facts.last = last));
        assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1222, true), "{last:?}");
    }
}

#[tokio::test]
async fn a_fact_left_out_between_others_is_found_out() {
    let world = World::begun().await;
    act(&world.claire.desk, thaw()).await.unwrap();
    let late = world.seat(&world.laboratory, "Maud Riou", Role::Auditor);
    world.server.books().facts_lie = Some(Box::new(|facts| drop(facts.entries.remove(1))));
    assert_eq!(outcome(late.desk.follow(MIGRATION).await), (270, true));
}

#[tokio::test]
async fn an_act_that_nobody_signed_is_found_out() {
    let world = World::begun().await;
    let stranger = SigningKey::draw(&SystemEntropy::new()).unwrap();
    let body = body(&world, &world.claire, thaw());
    let forged = Envelope::sign(PayloadType::Act, &body, body.certificate, &stranger).unwrap();
    for proof in [Proof::Signed(forged), Proof::Server(Act::Cancel { reason: "so be it".into() })] {
        let before = world.server.books().placed.clone();
        invent(&world, proof);
        assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (270, true));
        world.server.books().placed = before;
    }
    world.claire.desk.follow(MIGRATION).await.unwrap();
}

#[tokio::test]
async fn a_receipt_that_claims_another_outcome_of_a_true_act_is_found_out() {
    let world = World::begun().await;
    let proof = signed(&world, &world.claire, thaw());
    invent(&world, proof);
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (270, true));
}

#[tokio::test]
async fn a_fact_of_the_future_is_found_out_and_moves_nobodys_time() {
    let world = World::begun().await;
    world.server.books().ahead_minutes = 4;
    act(&world.claire.desk, thaw()).await.unwrap();
    assert_eq!(world.claire.desk.now().unwrap(), start());
    world.server.books().ahead_minutes = 60;
    assert!(outcome(act(&world.yann.desk, thaw()).await).1, "an approval from the future is none");
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (270, true));
    assert_eq!(world.claire.desk.now().unwrap(), start());
}

#[tokio::test]
async fn a_fact_signed_by_another_key_than_the_servers_is_found_out() {
    let world = World::begun().await;
    let other = SigningKey::draw(&SystemEntropy::new()).unwrap();
    {
        let mut books = world.server.books();
        let Entry { proof, fact } = books.placed[1].entry.clone();
        let body: FactBody = fact.open(PayloadType::Fact, &books.key.public()).unwrap();
        let fact = sign_fact(&body, &other).unwrap();
        books.placed.pop();
        let placed = books.place(Entry { proof, fact });
        books.placed.push(placed);
    }
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (112, true));
}

#[tokio::test]
async fn a_party_whose_root_is_not_pinned_is_refused_by_name_with_its_six_words() {
    let world = World::begun().await;
    let late = world.seat(&world.laboratory, "Maud Riou", Role::Auditor);
    let vendor = world.vendor.root.id();
    std::fs::remove_file(late.home().folder().join(format!("trust/{vendor}.json"))).unwrap();
    let Err(Trouble::Refusal(refusal)) = late.desk.follow(MIGRATION).await else { panic!("it was followed") };
    assert_eq!(refusal.code.0, 1216);
    assert!(refusal.message.contains(&spoken(&vendor)), "{}", refusal.message);
    assert!(refusal.message.contains("Iroise Logiciels"), "{}", refusal.message);
    assert!(!refusal.message.contains("Abers"), "the pinned one is not missing: {}", refusal.message);
    late.home().trust(&world.vendor.root).unwrap();
    late.desk.follow(MIGRATION).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_was_shown_once_cannot_be_hidden_and_a_forged_one_is_an_alarm() {
    let world = World::begun().await;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    world.server.books().people.certificates.clear();
    world.claire.desk.follow(MIGRATION).await.unwrap();
    let key = SigningKey::draw(&SystemEntropy::new()).unwrap();
    let mut forged = world.laboratory.certify("Maud Riou", Role::Controller, &key);
    forged.signatures[0].sig = world.yann.certificate.signatures[0].sig.clone();
    world.server.books().people.certificates.push(forged);
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (112, true));
}

#[tokio::test]
async fn other_bytes_for_a_document_are_an_alarm_and_the_right_ones_are_kept() {
    let world = World::begun().await;
    let (document, digest) = (b"scope".to_vec(), Digest::of(b"scope"));
    world.server.books().documents.insert(digest, b"another".to_vec());
    assert_eq!(outcome(world.claire.desk.document(MIGRATION, digest).await), (1224, true));
    world.server.books().documents.insert(digest, document.clone());
    assert_eq!(world.claire.desk.document(MIGRATION, digest).await.unwrap(), document);
    world.server.books().documents.clear();
    assert_eq!(world.claire.desk.document(MIGRATION, digest).await.unwrap(), document);
}

#[tokio::test]
async fn an_act_under_a_certificate_that_was_taken_back_by_file_does_not_count() {
    let world = World::begun().await;
    world.claire.desk.follow(MIGRATION).await.unwrap();
    let certificate = world.yann.certificate.digest().unwrap();
    let root = world.vendor.root.id();
    let revocation = people::Revocation { root, certificate, compromised_since: hours_after(start(), -1), at: start() };
    let envelope = Envelope::sign(PayloadType::Revocation, &revocation, root, &world.vendor.key).unwrap();
    world.claire.desk.take_revocation(&envelope).unwrap();
    world.claire.desk.follow(MIGRATION).await.expect("what was known before stands");
    act(&world.yann.desk, thaw()).await.unwrap();
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1217, false));
    world.claire.desk.take_revocation(&envelope).unwrap();
    assert_eq!(outcome(world.claire.desk.follow(MIGRATION).await), (1217, false), "a second copy changes nothing");
    world.server.books().record(Proof::Revocation(envelope), start()).unwrap();
    world.claire.desk.follow(MIGRATION).await.expect("once it is a fact, the procedure says what counts");
}

#[tokio::test]
async fn a_revocation_by_a_stranger_is_not_taken() {
    let world = World::begun().await;
    let (certificate, root) = (world.yann.certificate.digest().unwrap(), world.laboratory.root.id());
    world.claire.desk.follow(MIGRATION).await.unwrap();
    let revocation = people::Revocation { root, certificate, compromised_since: start(), at: start() };
    let envelope = Envelope::sign(PayloadType::Revocation, &revocation, root, &world.laboratory.key).unwrap();
    assert_eq!(outcome(world.claire.desk.take_revocation(&envelope)), (124, false));
}

#[test]
fn the_digest_of_nothing_known_is_zeros() {
    // What a first act names as its predecessor; if this changed, no device could open a migration any more.
    let world = World::new();
    assert_eq!(world.server.books().ledger.last(), LastFact { number: 0, digest: Digest([0; 32]) });
    assert!(digest_of(&world.server.books().ledger.last().number).is_ok());
}
