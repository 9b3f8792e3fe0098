//! A server that is put back to yesterday, and one that keeps two histories.

use std::collections::BTreeMap;
use std::path::Path;

use drill::{Name, World, entropy};
use lexicon::{Clock, Code, Digest};
use people::{Envelope, PayloadType, SigningKey};
use procedure::{Act, ActBody, FactBody, LastFact, Proof, SeenCheckpoint};
use wire::FactsQuery;

use super::server::Hostile;
use super::story::{By, Story};
use super::{Hands, KEPT, alarms, hears, refused, said};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (here, there) = (entry.path(), to.join(entry.file_name()));
        if here.is_dir() {
            copy(&here, &there);
        } else {
            std::fs::copy(here, there).unwrap();
        }
    }
}

fn freeze() -> Act {
    Act::Freeze { reason: "a strange letter".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_rolled_back_is_found_out() {
    let mut world = World::start().await;
    world.sealed_beside().await;
    let id = world.open().await;
    world.act(Name::Approver, id, Act::Freeze { reason: "wait".into() }).await.unwrap();
    world.stop().await;
    let (data, backup) = (world.server_folder(), world.path("backup"));
    copy(&data, &backup);
    world.restart();
    let thaw = Act::Thaw { reason: "seen".to_owned() };
    world.act(Name::Controller, id, thaw.clone()).await.unwrap();
    world.desk(Name::Controller).follow(id).await.unwrap();
    let truth = Story::so_far(&world, id).await;
    world.stop().await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    world.restart();

    let (before, now) = (truth.leaves.len(), truth.set_back_to(2).leaves.len());
    let smaller = format!(
        "ALARM: the server's journal has {now} leaves where it had {before} before: it was set back; {KEPT} [LZ-1220]"
    );
    assert_eq!(said(world.desk(Name::Controller).follow(id).await.map(drop)), smaller);
    // Whoever knew less finds nothing wrong, and is told by the server itself: the controller's device has shown it the
    // fact that it lost.
    let behind = format!(
        "ALARM: this server was put back behind its agents or its key ring for migration {id}; it may only destroy it [LZ-0813]"
    );
    assert_eq!(said(world.act(Name::Recipient, id, thaw.clone()).await), behind);
    world.stop().await;
    world.restart();
    assert_eq!(said(world.act(Name::Recipient, id, thaw).await), behind, "a restart made it forget");
    let who = world.desk(Name::Controller).me().person.id.to_string();
    let notes = world.notes();
    assert!(notes.iter().any(|note| note.contains(&who) && note.contains("fact 3")), "{notes:?}");

    // A server that hides it lets its journal grow past what was seen.
    let past = truth.set_back_to(2);
    let same = past.clone().grown(1);
    let two =
        format!("ALARM: the server signed two journals of {before} leaves: it keeps two histories; {KEPT} [LZ-1221]");
    assert_eq!(hears(&world, Name::Controller, same).await, two);
    let grown = past.clone().grown(9);
    let more = grown.leaves.len();
    let other = format!(
        "ALARM: the journal of {more} leaves does not go on from the one of {before} seen before; {KEPT} [LZ-1304]"
    );
    assert_eq!(hears(&world, Name::Controller, grown).await, other);
    // Or keeps the journal and puts only the migration back.
    let gone = format!(
        "ALARM: the server no longer shows fact 3 of migration {}, which this device has: \
         it was set back; {KEPT} [LZ-1220]",
        id.short()
    );
    assert_eq!(hears(&world, Name::Controller, truth.hiding_after(2).grown(3)).await, gone);
    assert_eq!(alarms(&world, Name::Controller, id), 4);
}

/// What the server wrote into its journal last.
fn last_note(world: &World) -> String {
    let registry = registry::Registry::open(&world.server_folder().join("registry.sqlite")).unwrap();
    let last = registry.tree().unwrap().size().checked_sub(1).unwrap();
    String::from_utf8(registry.leaf(last).unwrap().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_went_on_after_it_was_put_back_only_destroys() {
    let mut world = World::start().await;
    world.sealed_beside().await;
    let id = world.open().await;
    world.stop().await;
    let (data, backup) = (world.server_folder(), world.path("backup"));
    copy(&data, &backup);
    world.restart();
    world.act(Name::Controller, id, freeze()).await.unwrap();
    world.stop().await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    world.restart();
    // Another second fact: by number nothing is missing.
    world.act(Name::Approver, id, freeze()).await.unwrap();
    let thaw = Act::Thaw { reason: "seen".to_owned() };

    let found_out = world.desk(Name::Controller).follow(id).await.map(drop).unwrap_err();
    let refused = world.act(Name::Approver, id, thaw).await.unwrap_err();

    assert_eq!((found_out.code(), refused.code()), (Code(1221), Code(813)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_claims_to_know_more_moves_nothing_for_anybody() {
    const CLAIMED: u64 = 1_000_000_000;
    let world = World::start().await;
    world.sealed_beside().await;
    let (id, other) = (world.open().await, world.open().await);
    let liar = world.desk(Name::Engineer);
    let (client, keeper) = (liar.client(), liar.keeper());
    let before = last_note(&world);

    let shown = client.facts(keeper, id, FactsQuery { from: CLAIMED, size: CLAIMED }).await.unwrap();
    let body = ActBody {
        purpose: ActBody::PURPOSE.to_owned(),
        origin: world.card.origin.clone(),
        migration: id,
        last: LastFact { number: CLAIMED, digest: Digest([7; 32]) },
        checkpoint: SeenCheckpoint { size: CLAIMED, root: Digest([7; 32]) },
        certificate: keeper.certificate(),
        at: world.clock.now(),
        body: freeze(),
    };
    let signed = Proof::Signed(keeper.sign_act(&body).unwrap());
    let submitted = client.submit(keeper, id, signed, BTreeMap::new()).await.unwrap_err();
    let facts = client.facts(keeper, other, FactsQuery { from: 1, size: 0 }).await.unwrap();
    let elsewhere = &facts.entries.first().unwrap().entry.fact;
    let of_another = client.show_fact(keeper, id, elsewhere).await.unwrap_err();
    let mut said: FactBody = elsewhere.open(PayloadType::Fact, &world.card.key).unwrap();
    (said.migration, said.number) = (id, CLAIMED);
    let own = SigningKey::draw(entropy().as_ref()).unwrap();
    let forged = Envelope::sign(PayloadType::Fact, &said, world.card.key.digest(), &own).unwrap();
    let forged = client.show_fact(keeper, id, &forged).await.unwrap_err();
    client.show_fact(keeper, other, elsewhere).await.unwrap();

    assert!(shown.entries.is_empty());
    assert_eq!([submitted, of_another, forged].map(|trouble| trouble.code()), [816, 817, 112].map(Code));
    assert_eq!(last_note(&world), before, "a claim left something in the journal");
    for migration in [id, other] {
        world.act(Name::Controller, migration, freeze()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_histories_are_found_out_and_no_act_of_one_counts_in_the_other() {
    let world = World::start().await;
    world.sealed_beside().await;
    let id = world.open().await;
    let before = Story::so_far(&world, id).await;
    world.act(Name::Controller, id, freeze()).await.unwrap();
    // To the operator another second fact is shown, as true as the first, in a journal that holds both.
    let shown = Story::so_far(&world, id).await;
    let mut other = shown.hiding_after(1).and(&world, &By::Signed(Name::Approver), &freeze());
    assert_eq!(before.last(), other.hiding_after(1).last());
    let server = Hostile::telling(&world, other.clone());
    let hands = Hands::of(&world, Name::Operator, &server);
    hands.desk.follow(id).await.unwrap();
    let mut build = |_: &procedure::Migration| Ok(Act::Thaw { reason: "seen".to_owned() });
    hands.desk.act(id, &mut build, &[]).await.unwrap();

    // What the operator signed there follows from nothing here; not even what may be made over older facts.
    other = other.and(&world, &By::Signed(Name::Approver), &Act::Cancel { reason: "enough".into() });
    let stale = refused(3, "this act was signed over fact 2, and 2 is the last [LZ-0273]");
    for proof in [other.proof(3), server.proofs(id).pop().unwrap()] {
        let lie = shown.and(&world, &By::Again(proof), &freeze());
        assert_eq!(hears(&world, Name::Controller, lie).await, stale);
    }
    // Nor can the server go back to one history: each side keeps what it was shown, signed.
    let mut both = shown.clone().in_journal_of(&other);
    let two = |number: u64| {
        let id = id.short();
        format!(
            "ALARM: the server shows another fact {number} of migration {id} than it showed \
             this device before: it keeps two histories; {KEPT} [LZ-1221]"
        )
    };
    let gone = format!(
        "ALARM: the server no longer shows fact 3 of migration {}, which this device has: \
         it was set back; {KEPT} [LZ-1220]",
        id.short()
    );
    assert_eq!(hears(&world, Name::Controller, other).await, two(2));
    assert_eq!(hears(&world, Name::Operator, both.clone()).await, gone);
    both = both.and(&world, &By::Signed(Name::Approver), &Act::Thaw { reason: "seen".to_owned() });
    assert_eq!(hears(&world, Name::Operator, both).await, two(3));
    assert!(alarms(&world, Name::Operator, id) == 2 && alarms(&world, Name::Controller, id) == 3);
}
