//! An organisation is admitted while the server runs, by whoever has its passphrase and nobody else.

use std::path::Path;

use desk::organisation::Organisation;
use drill::{World, entropy, passphrase, skipped, write_file};
use lexicon::{Clock, Code, PersonId, SystemClock, canonical, spoken};
use people::{Person, Role, SigningKey};
use registry::Registry;

use super::program::{Program, lazaret, run};

/// A new organisation with one enrolled person.
fn newcomer(world: &World, name: &str) -> Organisation {
    let folder = world.path(&format!("{name} root"));
    let organisation =
        Organisation::create(&folder, "Laboratoire des Abers", &passphrase(), entropy().as_ref()).unwrap();
    let person = Person { id: PersonId::draw(entropy().as_ref()).unwrap(), name: "Rosa Weil".to_owned() };
    world.newcomer(&organisation, &world.path(name), person, Role::Controller);
    organisation
}

async fn presented(world: &World, name: &str) -> Option<Code> {
    world.desk_at(&world.path(name)).present().await.err().map(|trouble| trouble.code())
}

fn admit(program: &Path, world: &World, organisation: &Organisation) {
    let root = world.path(&format!("{}.json", organisation.root().id()));
    write_file(&root, &canonical(organisation.root()).unwrap());
    let (words, secret) = (spoken(&organisation.root().id()), world.path("passphrase"));
    let server = world.server_folder();
    run(program, ["trust".as_ref(), root.as_os_str(), "--data".as_ref(), server.as_os_str()], &words, &secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_is_admitted_beside_a_server_that_runs() {
    let name = "an_organisation_is_admitted_beside_a_server_that_runs";
    let Some(program) = lazaret() else {
        skipped!("{name} (the program is not built beside this test)");
        return;
    };
    let mut world = World::start().await;
    world.sealed_beside().await;
    world.stop().await;
    world.write_program_files("sweep_seconds = 60\n");
    write_file(&world.path("passphrase"), b"a passphrase of the drill\n");
    let server = Program::serve(&program, &world);
    world.clock.set(SystemClock.now());
    let organisation = newcomer(&world, "newcomer");
    server.answers(&world).await;

    assert_eq!(presented(&world, "newcomer").await, Some(Code(128)), "the control: not admitted yet");
    admit(&program, &world, &organisation);
    assert_eq!(presented(&world, "newcomer").await, None, "admitted, and no sweep has passed");
    server.kill();

    // Without a server the same command does the same for the next start.
    let later = newcomer(&world, "later");
    admit(&program, &world, &later);
    let server = Program::serve(&program, &world);
    server.answers(&world).await;
    assert_eq!(presented(&world, "later").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_write_in_the_registry_and_has_not_the_passphrase_admits_nobody() {
    let world = World::start().await;
    world.sealed_beside().await;
    let organisation = newcomer(&world, "stranger");
    let file = world.server_folder().join("registry.sqlite");
    let leave = |key: &SigningKey| {
        let admission = office::admission(organisation.root(), &world.card, key).unwrap();
        Registry::leave_admission(&file, organisation.root().id(), &admission).unwrap();
    };

    leave(&SigningKey::draw(entropy().as_ref()).unwrap());
    let forged = presented(&world, "stranger").await;
    leave(&world.server_key());
    let admitted = presented(&world, "stranger").await;

    assert_eq!((forged, admitted), (Some(Code(128)), None));
    assert!(world.office().alarm().await.is_none());
    assert!(Registry::open(&file).unwrap().admissions().unwrap().is_empty());
}
