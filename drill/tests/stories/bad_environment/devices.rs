//! The wrong passphrase, the wrong device, the wrong key; two at once; one that fell silent.

use std::path::Path;
use std::time::Duration;

use desk::{Home, Round};
use drill::{Name, Party, World, entropy, passphrase, write_file};
use lexicon::{Clock, PersonId, SystemClock};
use passage::{Errand, Quiet};
use people::{OpeningKey, Person, Role};
use procedure::{Act, Step};

use super::line::Line;
use super::{ANOTHER_PERSON, AUTHENTICATION, Ended, REFUSED, RETRY, Scene, ended, replace};

/// One more person's device, which the server knows.
async fn newcomer(world: &World, folder: &Path, party: Party, (name, role): (&str, Role)) {
    let person = Person { id: PersonId::draw(entropy().as_ref()).unwrap(), name: name.to_owned() };
    world.newcomer(world.organisation(party), folder, person, role);
    world.desk_at(folder).present().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_passphrase_device_or_key_opens_nothing() {
    let scene = Scene::set().await;
    let world = &scene.world;
    let (source, target) = (scene.systems.source.identity(), scene.systems.sink.identity());
    write_file(&world.path("wrong"), b"another passphrase of the drill");
    let operator = world.home(Name::Operator);
    ended(scene.extracting_at(&operator, "wrong", &source)).await.says(AUTHENTICATION, 131, &["passphrase"]);
    let recipient = world.home(Name::Recipient);
    ended(scene.extracting_at(&recipient, "passphrase", &source)).await.says(REFUSED, 239, &["another device opened"]);
    scene.extract().await.done();
    world.release(&scene.plan, scene.consignment).await.unwrap();

    let load = ["load", "--target", &target];
    let engineer = world.home(Name::Engineer);
    ended(scene.step_at(&engineer, "passphrase", &load)).await.says(REFUSED, 632, &["no opening key"]);
    // The recipient's folder with an opening key in it that was never offered.
    let round = Round { migration: scene.plan.migration, consignment: scene.consignment };
    let foreign = Home::create(&world.path("foreign")).unwrap();
    foreign.keep_opening_key(round, &OpeningKey::draw(), &passphrase()).unwrap();
    let place = format!("migrations/{}/consignments/{}/opening.key", round.migration, round.consignment);
    let own = world.home(Name::Recipient).join(&place);
    let kept = std::fs::read(&own).unwrap();
    std::fs::copy(foreign.folder().join(&place), &own).unwrap();
    scene.load().await.says(REFUSED, 133, &["opening key does not open"]);
    replace(&own, &kept);

    assert!(scene.given_up().await.is_empty(), "nothing was begun");
    scene.to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_extractions_at_once_the_first_goes_on_and_the_second_is_told_to_wait() {
    let scene = Scene::set().await;
    let (world, source) = (&scene.world, scene.systems.source.identity());
    let line = Line::to_the_server(world).await;
    let shelf = world.server_folder().join("shelf");
    line.hold_when(move || !drill::lies_on(&shelf).is_empty());
    line.leads(world, Name::Operator);
    let first = scene.extracting_from(&source).spawn().unwrap();
    line.held().await;
    Line::straight(world, Name::Operator);

    scene.extract().await.says(RETRY, 1226, &["another lazaret process of this device"]);
    let folder = world.path("second");
    newcomer(world, &folder, Party::Laboratory, ("Anne Le Bris", Role::Operator)).await;
    ended(scene.extracting_at(&folder, "passphrase", &source)).await.says(REFUSED, 239, &["another device opened"]);

    line.mend();
    let first = tokio::task::spawn_blocking(move || first.wait_with_output().unwrap()).await.unwrap();
    Ended::of(&first).done();
    assert!(scene.given_up().await.is_empty(), "the first was taken for one that was cut");
    scene.to_the_end().await;
}

/// A consignment that two devices may load.
async fn for_two(second: &Path, world: World) -> Scene {
    let systems = world.systems(60);
    super::passphrase_file(&world);
    newcomer(&world, second, Party::Vendor, ("Marc Petit", Role::Recipient)).await;
    let id = world.open().await;
    let (scope, source, sink) = (synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref());
    let (mut plan, documents) = world.plan(id, &scope, source, sink).await;
    plan.loading.push(world.desk_at(second).me().device.key);
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    let consignment = world.consign(&plan).await;
    let (desk, secret) = (world.desk_at(second), passphrase());
    let errand = Errand { desk: &desk, passphrase: &secret, migration: id, consignment, progress: &Quiet };
    passage::offer(&errand).await.unwrap();
    Scene { world, systems, plan, consignment }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fell_silent_is_waited_for_until_its_lease_is_over() {
    let world = World::start().await;
    let second = world.path("second");
    let scene = for_two(&second, world).await;
    scene.extract().await.done();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    let lease = SystemClock.now().checked_add(Duration::from_mins(2)).unwrap();
    let (key, step) = (OpeningKey::draw().recipient(), Step::Load);
    let silent = Act::Begin { consignment: scene.consignment, step, attempt: 2, lease, key, clear_swap: false };
    scene.world.act(Name::Recipient, scene.plan.migration, silent).await.unwrap();

    let target = scene.systems.sink.identity();
    let load = || ended(scene.step_at(&second, "passphrase", &["load", "--target", &target]));
    load().await.says(ANOTHER_PERSON, 241, &["another attempt holds the lease"]);
    scene.world.clock.set(lease.checked_add(Duration::from_secs(1)).unwrap());
    assert_eq!(load().await.done()["equal"], true);
    let begun = scene.world.desk_at(&second).follow(scene.plan.migration).await.unwrap();
    let attempts = &begun.migration().consignment(scene.consignment).unwrap().attempts;
    assert_eq!(attempts.len(), 3, "one to extract, one that fell silent, one that loaded");
    scene.world.sign_off(&scene.plan).await.unwrap();
    passage::destroy_part(&scene.world.desk_at(&second), &passphrase(), scene.plan.migration, &[]).await.unwrap();
}
