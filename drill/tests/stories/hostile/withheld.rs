//! What a server cannot forge it can still leave out. Each silence has an end, or somebody who breaks it.

use drill::{Name, Party, Round, World, entropy};
use lexicon::{Clock, hours_after};
use people::Envelope;
use procedure::{Act, Migration};

use super::server::Hostile;
use super::story::{By, Story, minutes_after};
use super::{Hands, KEPT, approved, hears, refused, said};

/// The controller releases to what is offered, until so many hours from now; nothing is handed over.
async fn release(world: &World, round: &Round, hours: i64) {
    let (consignment, load_by) = (round.consignment, hours_after(world.clock.now(), hours));
    let mut build = |migration: &Migration| Ok(releasing(migration, round, load_by));
    assert!(consignment == round.consignment);
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
    // Whoever froze knows: to them it cannot be hidden.
    let frozen = Story::so_far(&world, id).await;
    let gone = format!(
        "ALARM: the server no longer shows fact {} of migration {}, which this device has: it was set back; {KEPT} [LZ-1220]",
        next + 1,
        id.short()
    );
    let mut silent = hidden.clone();
    silent.leaves.clone_from(&frozen.leaves);
    assert_eq!(hears(&world, Name::Controller, silent.clone()).await, gone);
    // Whoever was told is held at once, by their own agent: the freeze need not be asked about.
    let outcome = hand_over(&world, &round, vec![frozen.clone()]).await;
    assert_eq!((said(outcome.0), outcome.1), ("the migration is frozen [LZ-0267]".to_owned(), 0));

    // To an agent that was not told it ends with the release; nothing leaves the machine afterwards.
    let folder = world.home(Name::Operator);
    std::fs::remove_dir_all(folder.join(format!("migrations/{id}"))).unwrap();
    std::fs::remove_file(folder.join("checkpoint")).unwrap();
    restore_share(&world, &round);
    world.pass_hours(24);
    let outcome = hand_over(&world, &round, vec![hidden.clone()]).await;
    assert_eq!((said(outcome.0), outcome.1), ("the release's load-by has passed [LZ-0247]".to_owned(), 0));
}
