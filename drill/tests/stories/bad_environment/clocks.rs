//! Clocks that are wrong: the server's, and the one by which a device once went.

use drill::Name;
use lexicon::{Clock, SystemClock, hours_after};

use super::{AUTHENTICATION, REFUSED, Scene, ended, replace};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_is_an_hour_off_takes_nothing_until_it_is_right() {
    let scene = Scene::set().await;
    let source = scene.systems.source.identity();
    for (hours, side) in [(1, "behind"), (-1, "ahead of")] {
        scene.world.clock.set(hours_after(SystemClock.now(), hours));
        let told = format!("minutes {side} the server's");
        ended(scene.extracting_from(&source)).await.says(AUTHENTICATION, 141, &["this machine's clock", &told]);
    }
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    // Four minutes are within what clocks may differ by; no fact is dated before the last one.
    let facts = scene.ledger().await;
    let back = SystemClock.now().checked_sub(std::time::Duration::from_mins(4)).unwrap();
    scene.world.clock.set(back);
    ended(scene.loading_into(&scene.systems.sink.identity())).await.done();
    let ledger = scene.ledger().await;
    assert!(ledger.migration().last_at >= facts.migration().last_at);
    scene.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_once_went_ahead_says_so_until_the_time_has_come() {
    let scene = Scene::set().await;
    let time = scene.world.home(Name::Operator).join("time");
    let kept = std::fs::read(&time).unwrap();
    replace(&time, format!("{}\n", hours_after(SystemClock.now(), 2)).as_bytes());

    scene.extract().await.says(REFUSED, 272, &["ahead"]);
    assert!(scene.given_up().await.is_empty(), "nothing was begun");
    // As if the two hours had passed.
    replace(&time, &kept);
    scene.to_the_end().await;
}
