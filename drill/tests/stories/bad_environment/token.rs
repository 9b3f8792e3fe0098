//! A server whose ring keys lie in a token, which is pulled in the middle of a round and put back later.

use std::path::{Path, PathBuf};
use std::process::Command;

use drill::{World, files_below, write_file};
use procedure::Plan;

use super::{RETRY, Scene, passphrase_file};
use crate::stories::program::{Program, lazaret, serving};

/// `SoftHSM` with a store of its own, in which one token lies.
struct Token {
    module: String,
    conf: PathBuf,
    store: PathBuf,
    pulled: PathBuf,
}

impl Token {
    fn of(world: &World, test: &str) -> Option<Self> {
        let Ok(module) = std::env::var("LAZARET_TEST_SOFTHSM") else {
            drill::skipped!("{test} (LAZARET_TEST_SOFTHSM is not set)");
            return None;
        };
        let (conf, store) = (world.path("softhsm2.conf"), world.path("tokens"));
        std::fs::create_dir(&store).unwrap();
        let settings =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", store.display());
        write_file(&conf, settings.as_bytes());
        let mut make = Command::new("softhsm2-util");
        make.args(["--init-token", "--free", "--label", "ring", "--so-pin", "0000 0000", "--pin", "4711 4711"]);
        assert!(make.env("SOFTHSM2_CONF", &conf).output().unwrap().status.success());
        let pin = world.path("pin");
        write_file(&pin, b"4711 4711\n");
        std::fs::set_permissions(&pin, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Some(Self { module, conf, store, pulled: world.path("pulled") })
    }

    fn settings(&self, pin: &Path) -> String {
        format!(
            "sweep_seconds = 1\n[key_ring]\nkind = 'pkcs11'\nmodule = '{}'\ntoken = 'ring'\npin_file = '{}'\n",
            self.module,
            pin.display()
        )
    }

    fn serve(&self, world: &World) -> Program {
        let mut command = serving(&lazaret().unwrap(), world);
        command.env("SOFTHSM2_CONF", &self.conf);
        Program::start(command, world)
    }

    /// The folder of the token goes elsewhere; `SoftHSM` finds none then.
    fn pull(&self) {
        std::fs::rename(&self.store, &self.pulled).unwrap();
        std::fs::create_dir(&self.store).unwrap();
    }

    fn put_back(&self) {
        std::fs::remove_dir(&self.store).unwrap();
        std::fs::rename(&self.pulled, &self.store).unwrap();
    }
}

/// A scene whose plan asks for a token, with the program as its server from the first act on.
async fn over(test: &str) -> Option<(Scene, Token, Program)> {
    let mut world = World::start().await;
    passphrase_file(&world);
    let systems = world.systems(60);
    let token = Token::of(&world, test)?;
    world.stop().await;
    world.write_program_files(&token.settings(&world.path("pin")));
    let server = token.serve(&world);
    server.answers(&world).await;
    let id = world.open().await;
    let (plan, documents) = world.plan(id, &synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let plan = Plan { key_ring: "pkcs11".to_owned(), ..plan };
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;
    let consignment = world.consign(&plan).await;
    Some((Scene { world, systems, plan, consignment }, token, server))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_pulled_gives_nothing_out_and_what_ended_is_destroyed_when_it_is_back() {
    let name = "a_token_that_is_pulled_gives_nothing_out_and_what_ended_is_destroyed_when_it_is_back";
    let Some((scene, token, server)) = over(name).await else { return };
    scene.extract().await.done();
    scene.now();
    scene.world.release(&scene.plan, scene.consignment).await.unwrap();
    let shelf = scene.world.server_folder().join("shelf");
    let parcels = files_below(&[&shelf]).len();
    token.pull();

    scene.load().await.says(RETRY, 1218, &["no token labelled", "NOT in force"]);
    assert_eq!(scene.rows("import_patient"), 0);
    scene.abandoned().await;
    scene.next_says("its key is not destroyed yet: ", 720).await;
    server.kill();
    let again = token.serve(&scene.world);
    again.answers(&scene.world).await;
    let log = std::fs::read_to_string(scene.world.path("server.log")).unwrap();
    assert!(log.contains("what ends waits for its destruction"), "{log}");
    scene.next_says("its key is not destroyed yet: ", 720).await;
    assert_eq!(files_below(&[&shelf]).len(), parcels, "no parcel goes before its key");

    token.put_back();
    scene.is_destroyed_by_the_sweep().await;
    scene.next_is_silent().await;
    assert!(files_below(&[&shelf]).is_empty());
    let objects = files_below(&[&token.store]).into_iter().filter(|file| file.to_string_lossy().ends_with(".object"));
    // What is left in the token's folder is its own description.
    assert_eq!(objects.filter(|file| !file.ends_with("token.object")).count(), 0, "the key is in the token");
}
