//! A server that cannot start says why, and serves nothing; keys that are due do not wait for one that can.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use drill::{World, copy_folder, write_file};

use super::{AUTHENTICATION, Ended, REFUSED, clean, ended, lazaret, passphrase_file, replace};
use crate::stories::killed_server::closed_too_late;
use crate::stories::program::Program;

async fn serve(world: &World, passphrase: &str) -> Ended {
    serve_from(world, (&world.server_folder(), &world.ring_folder()), passphrase).await
}

pub(in crate::stories) async fn serve_from(world: &World, (data, ring): (&Path, &Path), passphrase: &str) -> Ended {
    let mut command = clean(&lazaret().unwrap());
    command.args(["--json", "serve", "--data"]).arg(data).arg("--ring").arg(ring);
    command.arg("--listen").arg(world.card.url.trim_start_matches("https://"));
    command.arg("--passphrase-file").arg(world.path(passphrase));
    ended(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_an_unknown_key_a_taken_port_or_a_wrong_passphrase_does_not_start() {
    let mut world = World::start().await;
    world.sealed_beside().await;
    passphrase_file(&world);
    write_file(&world.path("wrong"), b"another passphrase of the drill");
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    let settings = world.server_folder().join("lazaret.toml");

    replace(&settings, "sweep_secs = 1\n".as_bytes());
    serve(&world, "passphrase").await.says(REFUSED, 1040, &["lazaret.toml", "`sweep_secs`", "`sweep_seconds`"]);
    replace(&settings, "sweep_seconds = 'often'\n".as_bytes());
    serve(&world, "passphrase").await.says(REFUSED, 1040, &["lazaret.toml", "line 1", "sweep_seconds"]);
    replace(&settings, "sweep_seconds = 1\n".as_bytes());
    serve(&world, "wrong").await.says(AUTHENTICATION, 131, &["passphrase"]);
    let address = world.card.url.trim_start_matches("https://");
    let taken = TcpListener::bind(address).unwrap();
    serve(&world, "passphrase").await.says(REFUSED, 1035, &[address, "in use"]);
    drop(taken);

    let server = Program::serve(&lazaret().unwrap(), &world);
    server.answers(&world).await;
    serve(&world, "passphrase").await.says(REFUSED, 759, &["another server has this data folder"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_refused_destroys_the_keys_that_are_due_before_it_says_why() {
    let mut world = World::start().await;
    let round = closed_too_late(&world).await;
    passphrase_file(&world);
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    let another = doors::make_identity(&["127.0.0.1".to_owned()]).unwrap().certificate_pem;
    let _taken = TcpListener::bind(world.card.url.trim_start_matches("https://")).unwrap();
    for (code, file, text) in [
        (1001, "lazaret.toml", "tls_certificate = 'gone.pem'\ntls_key = 'gone.key'\n"),
        (1039, "tls.pem", another.as_str()),
        (1035, "lazaret.toml", "sweep_seconds = 1\n"),
    ] {
        let [data, ring] = ["data", "ring"].map(|name| world.path(&format!("{name}-{code}")));
        copy_folder(&world.server_folder(), &data);
        copy_folder(&world.ring_folder(), &ring);
        replace(&data.join(file), text.as_bytes());
        let key = ring.join(format!("keys/{}.key", round.consignment));
        assert!(key.exists(), "the control: its server was down at the deadline");
        serve_from(&world, (&data, &ring), "passphrase").await.says(REFUSED, code, &[]);
        assert!(!key.exists(), "LZ-{code} was said, and the key that was due lives");
    }
}

/// A folder as a service manager hands it over, with the passphrase in it.
fn credentials(world: &World, name: &str, passphrase: &[u8]) -> PathBuf {
    let folder = world.path(name);
    std::fs::create_dir(&folder).unwrap();
    write_file(&folder.join("lazaret-passphrase"), passphrase);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_its_passphrase_from_the_credentials_that_it_is_handed() {
    let mut world = World::start().await;
    let round = world.closed(&world.systems(60)).await;
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    let serving = |credentials: Option<&Path>| {
        let mut command = clean(&lazaret().unwrap());
        command.args(["--json", "serve", "--data"]).arg(world.server_folder()).arg("--ring").arg(world.ring_folder());
        command.arg("--listen").arg(world.card.url.trim_start_matches("https://"));
        credentials.map(|folder| command.env("CREDENTIALS_DIRECTORY", folder));
        command
    };
    let refused = async |credentials: Option<&Path>| ended(serving(credentials)).await;
    refused(None).await.says(REFUSED, 1011, &["passphrase"]);
    let wrong = credentials(&world, "credentials-wrong", b"another passphrase of the drill");
    refused(Some(&wrong)).await.says(AUTHENTICATION, 131, &["passphrase"]);

    let right = credentials(&world, "credentials", b"a passphrase of the drill");
    let server = Program::start(serving(Some(&right)), &world);
    server.answers(&world).await;
    // It signs with the key that was sealed under it, and opens the key ring.
    world.release(&round.plan, round.consignment).await.unwrap();
    server.kill();
}
