//! A server that cannot start says why, and serves nothing.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use drill::{World, write_file};

use super::{AUTHENTICATION, Ended, REFUSED, clean, ended, lazaret, passphrase_file, replace};
use crate::stories::program::Program;

async fn serve(world: &World, passphrase: &str) -> Ended {
    serve_from(world, (&world.server_folder(), &world.ring_folder()), passphrase).await
}

pub(in crate::stories) async fn serve_from(world: &World, (data, ring): (&Path, &Path), passphrase: &str) -> Ended {
    let mut command = clean(&lazaret().unwrap());
    command.args(["--json", "serve", "--data"]).arg(data).arg("--ring").arg(ring);
    command.arg("--listen").arg(world.card.url.trim_start_matches("https://"));
    command.arg("--passphrase-file").arg(world.path(passphrase));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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
