//! The server goes away in the middle of an upload, and comes back, or does not.

use drill::{Child, Command, Name, World, lies_on};

use super::line::Line;
use super::{Ended, Scene, UNREACHABLE};

/// Set by whoever has five minutes: a passage waits a little over four for a server, a database is waited for a minute.
const LONG: &str = "LAZARET_TEST_LONG";

/// Whether this story may wait so long; it says so when it may not.
pub(super) fn there_is_time(name: &str) -> bool {
    let there_is = std::env::var_os(LONG).is_some();
    if !there_is {
        drill::skipped!("{name} ({LONG} is not set)");
    }
    there_is
}

/// A line that is cut as soon as one parcel lies on the shelf, and whoever extracts on it.
async fn cut_in_mid_upload(world: &World) -> Line {
    let line = Line::to_the_server(world).await;
    let shelf = world.server_folder().join("shelf");
    line.cut_when(move || !lies_on(&shelf).is_empty());
    line.leads(world, Name::Operator);
    line
}

/// Starts a command and comes back when it has said that it waits, with what it said.
pub(super) async fn waiting(mut command: Command) -> (Child, String) {
    let waiting = tokio::task::spawn_blocking(move || {
        let child = command.spawn().unwrap();
        let said = child.first_complaint();
        (child, said)
    });
    waiting.await.unwrap()
}

pub(super) async fn end(child: Child) -> Ended {
    let ended = tokio::task::spawn_blocking(move || Ended::of(&child.wait_with_output().unwrap()));
    ended.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_in_mid_upload_and_comes_back_is_waited_for() {
    let scene = Scene::set().await;
    let line = cut_in_mid_upload(&scene.world).await;

    let (child, said) = waiting(scene.extracting_from(&scene.systems.source.identity())).await;
    assert!(said.contains("waiting: the server at ") && said.contains("cannot be reached [LZ-1201]"), "{said}");
    line.mend();
    end(child).await.done();

    assert!(scene.given_up().await.is_empty(), "it gave up");
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_told_of_at_once_before_anything_is_begun() {
    let scene = Scene::set().await;
    let line = Line::to_the_server(&scene.world).await;
    line.leads(&scene.world, Name::Operator);
    line.cut();

    let address = format!("127.0.0.1:{}", line.port);
    scene.extract().await.says(UNREACHABLE, 1201, &[&address, "cannot be reached"]);
    line.mend();

    assert!(scene.given_up().await.is_empty());
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_come_back_is_given_up_after_minutes_and_what_it_has_is_kept() {
    if !there_is_time("a_server_that_does_not_come_back_is_given_up_after_minutes_and_what_it_has_is_kept") {
        return;
    }
    let scene = Scene::set().await;
    let line = cut_in_mid_upload(&scene.world).await;

    let ended = super::ended(scene.extracting_from(&scene.systems.source.identity())).await;
    ended.says(UNREACHABLE, 1201, &["cannot be reached"]);
    line.mend();

    scene.extract().await.done();
    assert_eq!(scene.given_up().await, [607], "the next attempt says it for the one that could not");
    scene.to_the_end().await;
}
