//! What a server cannot forge it can still leave out. Each silence has an end, or somebody who breaks it.

use drill::{Name, Party, Round, World, entropy};
use lexicon::{Clock, hours_after};
use people::Envelope;
use procedure::{Act, Migration};
use wire::{Answer, path};

use super::server::{Hostile, bytes, json};
use super::story::{By, Story};
use super::{Hands, KEPT, approved, hears, refused, said};

/// The controller releases to what is offered, until so many hours from now; nothing is handed over.
pub(crate) async fn release(world: &World, round: &Round, hours: i64) {
    let load_by = hours_after(world.clock.now(), hours);
    let mut build = |migration: &Migration| Ok(releasing(migration, round, load_by));
    world.desk(Name::Controller).act(round.plan.migration, &mut build, &[]).await.unwrap();
}

fn releasing(migration: &Migration, round: &Round, load_by: lexicon::Timestamp) -> Act {
    let known = migration.consignment(round.consignment).unwrap();
    let offers = known.offers.iter().map(|offer| offer.digest).collect();
    Act::Release { consignment: round.consignment, close: known.manifest.as_ref().unwrap().0, offers, load_by }
}

/// The operator's agent hands over through a server that tells these stories; what it said, and how many acts it sent.
async fn hand_over(world: &World, round: &Round, stories: Vec<Story>) -> (lexicon::Result<()>, usize) {
    let server = Hostile::telling_in_turn(world, stories);
    let hands = Hands::of(world, Name::Operator, &server);
    let outcome = passage::hand_over(&hands.errand(round.plan.migration, round.consignment)).await;
    (outcome, server.acts(round.plan.migration).len())
}

/// What an agent says that knows a fact and is not shown it again.
fn no_longer_shows(number: u64, round: &Round) -> String {
    let id = round.plan.migration.short();
    format!(
        "ALARM: the server no longer shows fact {number} of migration {id}, which this device has: \
         it was set back; {KEPT} [LZ-1220]"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_freeze_holds_no_longer_than_the_load_by_of_the_release() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let id = round.plan.migration;
    let closed = Story::so_far(&world, id).await;
    let next = closed.last().number + 1;
    let long = releasing(&closed.state, &round, hours_after(world.clock.now(), 25));
    let lie = closed.and(&world, &By::Signed(Name::Controller), &long);
    let a_day = "a release is good for at most 24 hours [LZ-0254]";
    assert_eq!(hears(&world, Name::Operator, lie).await, refused(next, a_day));

    release(&world, &round, 24).await;
    let hidden = Story::so_far(&world, id).await;
    world.act(Name::Controller, id, Act::Freeze { reason: "a strange letter".into() }).await.unwrap();
    let frozen = Story::so_far(&world, id).await;
    let silent = hidden.clone().in_journal_of(&frozen);
    // From whoever froze it cannot be hidden.
    assert_eq!(hears(&world, Name::Controller, silent.clone()).await, no_longer_shows(next + 1, &round));
    // To an agent that was not told it ends with the release: the share does not leave the machine any more.
    world.pass_hours(24);
    let late = silent.going_on_at(world.clock.now());
    let (outcome, sent) = hand_over(&world, &round, vec![late]).await;
    assert_eq!((said(outcome), sent), ("the release's load-by has passed [LZ-0247]".to_owned(), 0));
    // One that was told stops by itself, whatever the server would take.
    let (outcome, sent) = hand_over(&world, &round, vec![frozen]).await;
    assert_eq!((said(outcome), sent), ("the migration is frozen [LZ-0267]".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_over_past_a_hidden_freeze_shows_and_is_not_loaded_after_the_load_by() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let id = round.plan.migration;
    release(&world, &round, 2).await;
    let hidden = Story::so_far(&world, id).await;
    world.act(Name::Controller, id, Act::Freeze { reason: "a strange letter".into() }).await.unwrap();
    let frozen = Story::so_far(&world, id).await;
    let number = frozen.last().number;
    let silent = hidden.in_journal_of(&frozen);
    let server = Hostile::telling(&world, silent.clone());
    let operator = Hands::of(&world, Name::Operator, &server);
    passage::hand_over(&operator.errand(id, round.consignment)).await.unwrap();

    // It is a second history: whoever froze sees another fact in the place of theirs.
    let proof = server.proofs(id).pop().unwrap();
    let forked = silent.and(&world, &By::Again(proof), &Act::Overdue { consignment: None });
    let another = format!(
        "ALARM: the server shows another fact {number} of migration {} than it showed \
         this device before: it keeps two histories; {KEPT} [LZ-1221]",
        id.short()
    );
    assert_eq!(hears(&world, Name::Controller, forked.clone()).await, another);
    // The recipient's machine begins nothing after the load-by, whether the server dates it truly or back.
    world.pass_hours(3);
    let recorded = forked.last().number + 1;
    let load_by = refused(recorded, "the release's load-by has passed [LZ-0247]");
    let ahead = refused(recorded, "this act is dated more than five minutes ahead [LZ-0272]");
    let document = sent_document(&server, id);
    for (now, sentence) in [(world.clock.now(), load_by), (forked.now, ahead)] {
        let tale = forked.clone().going_on_at(now);
        let document = document.clone();
        let server = Hostile::telling_and_changing(&world, tale, move |outgoing, answer| {
            if outgoing.path == document.0 { bytes(document.1.clone()) } else { answer }
        });
        let recipient = Hands::of(&world, Name::Recipient, &server);
        let outcome = passage::load(&recipient.errand(id, round.consignment), systems.sink.as_ref()).await;
        assert_eq!(said(outcome.map(|report| report.notes)), sentence);
    }
}

/// The document that came with the last act, and the path where it is asked for.
fn sent_document(server: &Hostile, id: lexicon::MigrationId) -> (String, Vec<u8>) {
    let (digest, document) = server.documents(id).pop_last().unwrap();
    (path::document(id, digest), document)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_changes_while_the_share_is_sealed_sends_nothing_to_the_old_key() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let id = round.plan.migration;
    release(&world, &round, 2).await;
    let old = Story::so_far(&world, id).await;
    world.pass_hours(3);
    let key = people::OpeningKey::draw().recipient();
    world
        .act(Name::Recipient, id, Act::Offer { consignment: round.consignment, key, clear_swap: false })
        .await
        .unwrap();
    release(&world, &round, 2).await;
    let new = Story::so_far(&world, id).await;
    let (outcome, sent) = hand_over(&world, &round, vec![old, new]).await;
    let changed = "the release changed while the laboratory share was being sealed [LZ-0617]";
    assert_eq!((said(outcome), sent), (changed.to_owned(), 0));
}

/// The vendor takes back one of its certificates; the server is not told.
fn revocation(world: &World, name: Name) -> Envelope {
    let now = world.clock.now();
    world.organisation(Party::Vendor).revoke(world.certificate(name), hours_after(now, -1), now).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_revocation_counts_for_whoever_was_given_it_by_file() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let id = round.plan.migration;
    release(&world, &round, 20).await;
    let hidden = Story::so_far(&world, id).await;
    let taken = revocation(&world, Name::Recipient);
    for name in [Name::Operator, Name::Controller] {
        world.desk(name).follow(id).await.unwrap();
        world.desk(name).take_revocation(&taken).unwrap();
    }
    // No share goes to the device's key, and no new release does.
    let no_offer = "the release names an offer that does not stand [LZ-0253]";
    let (outcome, sent) = hand_over(&world, &round, vec![hidden.clone()]).await;
    assert_eq!((said(outcome), sent), (no_offer.to_owned(), 0));
    let server = Hostile::telling(&world, hidden.clone());
    let mut build = |m: &Migration| Ok(releasing(m, &round, hours_after(world.clock.now(), 20)));
    let outcome = Hands::of(&world, Name::Controller, &server).desk.act(id, &mut build, &[]).await;
    assert_eq!((said(outcome.map(drop)), server.acts(id).len()), (no_offer.to_owned(), 0));

    // Nothing that comes after it under that certificate counts.
    let offer =
        Act::Offer { consignment: round.consignment, key: people::OpeningKey::draw().recipient(), clear_swap: false };
    let number = hidden.last().number + 1;
    let after = hidden.and(&world, &By::Signed(Name::Recipient), &offer);
    let rests = format!(
        "fact {number} (offer) rests on certificate {}, which its organisation took back and \
         the server has not recorded as such [LZ-1217]",
        world.certificate(Name::Recipient).short()
    );
    assert_eq!(hears(&world, Name::Controller, after).await, rests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_was_a_fact_cannot_be_hidden_again() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let id = round.plan.migration;
    release(&world, &round, 20).await;
    let hidden = Story::so_far(&world, id).await;
    let desk = world.desk(Name::Operator);
    let taken = revocation(&world, Name::Recipient);
    desk.client().revoke(desk.keeper(), &taken).await.unwrap();
    desk.client().revoke(desk.keeper(), &taken).await.expect("handing it in again is no harm");
    desk.follow(id).await.unwrap();
    let told = Story::so_far(&world, id).await;
    let silent = hidden.in_journal_of(&told);
    assert_eq!(hears(&world, Name::Operator, silent).await, no_longer_shows(told.last().number, &round));
    let (outcome, sent) = hand_over(&world, &round, vec![told]).await;
    assert_eq!((said(outcome), sent), ("the release names an offer that does not stand [LZ-0253]".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_whose_revocation_is_hidden_begins_nothing_where_it_is_known() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = approved(&world, &systems).await;
    let consignment = world.consign(&plan).await;
    world.desk(Name::Operator).take_revocation(&revocation(&world, Name::Approver)).unwrap();
    let server = Hostile::telling(&world, Story::so_far(&world, plan.migration).await);
    let operator = Hands::of(&world, Name::Operator, &server);
    let errand = operator.errand(plan.migration, consignment);
    let outcome = passage::extract(&errand, systems.source.as_ref(), entropy()).await;
    assert_eq!(said(outcome), "the plan is not approved by two persons [LZ-0229]");
    assert!(server.acts(plan.migration).is_empty() && server.parcels().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_or_says_no_keeps_nobody_from_destroying_at_the_deadline() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let id = round.plan.migration;
    let truth = Story::so_far(&world, id).await;
    let known = world.desk(Name::Operator).follow(id).await.unwrap().last().number;
    let place = desk::Round { migration: id, consignment: round.consignment };
    let facts = path::facts(id);
    let no = lexicon::Refusal::new(lexicon::Code(804), "there is no such migration", "Ask somebody else.");
    let no = Answer { status: 404, ..json(&lexicon::Trouble::Refusal(no)) };
    let lying = Hostile::telling(&world, truth.hiding_after(2).grown(9));
    let refusing = Hostile::answering(&world, move |outgoing| (outgoing.path == facts).then(|| no.clone()));
    // Opened before the deadline: opening a desk after it destroys by itself.
    let [operator, recipient] =
        [(Name::Operator, &lying), (Name::Recipient, &refusing)].map(|(name, server)| Hands::of(&world, name, server));
    world.pass_hours(73);
    for (hands, sentence) in
        [(operator, no_longer_shows(known, &round)), (recipient, "there is no such migration [LZ-0804]".to_owned())]
    {
        assert!(hands.desk.home().gone(place).unwrap().is_none());
        let outcome = passage::destroy_part(&hands.desk, &hands.passphrase, id, &[]).await;
        assert_eq!(said(outcome), sentence);
        assert!(hands.desk.home().gone(place).unwrap().is_some_and(|gone| gone.finished && gone.keys == 1));
    }
}
