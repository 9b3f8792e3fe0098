//! What a destruction achieves: one story for each clause of the wording that certificates use. In each, copies of all
//! that every party has in the middle of a real round are tried, with every passphrase, by a script that shares no code
//! with this program; and where the clause says that something is not enough, or that nothing binds, it opens.

mod scene;
mod thief;

use std::path::Path;

use drill::{Name, Round};
use lexicon::{Clock, hours_after};
use people::OpeningKey;
use procedure::{Act, Allowed, Kind, Migration, Step, Target};

use scene::{Scene, all_opened, none_opened};
use thief::{Haul, Thief, Told};

/// Everybody's; a thief has it too.
const PASSPHRASE: &str = "a passphrase of the drill";

fn of<'a>(told: &'a Told, round: &Round) -> &'a Haul {
    told.consignments.get(&round.consignment).unwrap()
}

/// These places, and more.
fn and<'a>(places: &[&'a Path], more: impl IntoIterator<Item = &'a Path>) -> Vec<&'a Path> {
    places.iter().copied().chain(more).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn before_release_the_laboratory_destroying_its_share_is_enough_whatever_the_others_kept() {
    let Some(thief) = Thief::at_hand("before_release_the_laboratory_destroying_its_share_is_enough") else { return };
    let scene = Scene::new().await;
    let round = scene.closed().await;
    let kept = scene.save("kept");
    scene.cancelled(&round).await;
    scene.destroyed(Name::Operator, &round).await;
    let (end, wire) = (scene.save("end"), scene.wire());

    let others: [&Path; 5] = [&kept.server, &kept.ring, &kept.recipient, &wire, &end.laboratory];
    none_opened(of(&thief.tries(&others), &round), &round.manifest, (false, true));

    // The control: its share was what was missing.
    scene.is_all_of_it(of(&thief.tries(&and(&others, [kept.laboratory.as_path()])), &round), &round);
    let said = "destroyed before release. Then the laboratory destroying its share is enough, whatever the others kept";
    let certificate = scene.certificate(&round).await;
    assert!(certificate.contains(said), "{certificate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_release_the_server_destroying_its_share_is_enough_if_the_extracting_machine_forgot_it() {
    let Some(thief) = Thief::at_hand("before_release_the_server_destroying_its_share_is_enough") else { return };
    let scene = Scene::new().await;
    let round = scene.closed().await;
    let kept = scene.save("kept");
    scene.cancelled(&round).await;
    let (end, wire) = (scene.save("end"), scene.wire());

    // Its rows may be in a backup: the ring is in none.
    let others: [&Path; 6] = [&kept.laboratory, &kept.recipient, &kept.server, &wire, &end.server, &end.ring];
    none_opened(of(&thief.tries(&others), &round), &round.manifest, (true, false));

    scene.is_all_of_it(of(&thief.tries(&and(&others, [kept.ring.as_path()])), &round), &round);
    // The condition: with a machine that did not forget, nothing was achieved.
    let not_forgotten = scene.not_forgotten(&kept, &round);
    scene.is_all_of_it(of(&thief.tries(&and(&others, [not_forgotten.as_path()])), &round), &round);
    let certificate = scene.certificate(&round).await;
    for said in [
        "the server destroying its share is enough if the extracting machine forgot it at closing",
        "that it forgot the strongroom share.",
    ] {
        assert!(certificate.contains(said), "{certificate}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_release_and_before_the_recipient_has_the_strongroom_share_the_server_is_still_enough() {
    let Some(thief) = Thief::at_hand("after_release_the_server_is_still_enough") else { return };
    let scene = Scene::new().await;
    let round = scene.handed_over().await;
    let kept = scene.save("kept");
    scene.cancelled(&round).await;
    let (end, wire) = (scene.save("end"), scene.wire());

    let others: [&Path; 6] = [&kept.laboratory, &kept.recipient, &kept.server, &wire, &end.server, &end.ring];
    none_opened(of(&thief.tries(&others), &round), &round.manifest, (true, false));
    // The recipient by itself has the other half by now.
    let recipient: [&Path; 4] = [&kept.recipient, &kept.server, &end.server, &end.ring];
    none_opened(of(&thief.tries(&recipient), &round), &round.manifest, (true, false));

    scene.is_all_of_it(of(&thief.tries(&and(&others, [kept.ring.as_path()])), &round), &round);
    let not_forgotten = scene.not_forgotten(&kept, &round);
    scene.is_all_of_it(of(&thief.tries(&and(&others, [not_forgotten.as_path()])), &round), &round);
    let said = "destroyed after release and before a recipient received the strongroom share. Then the server \
                destroying its share is still enough if the extracting machine forgot it at closing";
    let certificate = scene.certificate(&round).await;
    assert!(certificate.contains(said), "{certificate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_release_the_laboratory_alone_is_not_enough_and_its_share_with_every_opening_key_is() {
    let Some(thief) = Thief::at_hand("after_release_the_laboratory_alone_is_not_enough") else { return };
    let scene = Scene::new().await;
    let round = scene.handed_over().await;
    let kept = scene.save("kept");
    scene.cancelled(&round).await;
    for name in [Name::Operator, Name::Recipient] {
        scene.destroyed(name, &round).await;
    }
    let (end, wire) = (scene.save("end"), scene.wire());

    let server: [&Path; 3] = [&kept.server, &kept.ring, &wire];
    // The server has its share, and the laboratory's sealed to an opening key that lives.
    let alone = and(&server, [end.laboratory.as_path(), &kept.recipient]);
    scene.is_all_of_it(of(&thief.tries(&alone), &round), &round);

    let together = and(&server, [end.laboratory.as_path(), &end.recipient]);
    let told = thief.tries(&together);
    none_opened(of(&told, &round), &round.manifest, (false, true));
    assert!(told.still_sealed >= 2, "the sealed laboratory share and the strongroom's: {told:?}");
    let said = "the laboratory destroying its share alone is not, but its share and every opening key destroyed \
                together are";
    let certificate = scene.certificate(&round).await;
    assert!(certificate.contains(said), "{certificate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_recipient_has_had_both_nothing_binds_one_that_keeps_keys_or_rows() {
    let Some(thief) = Thief::at_hand("once_a_recipient_has_had_both_nothing_binds_it") else { return };
    let scene = Scene::new().await;
    let round = scene.loaded().await;
    let kept = scene.save("kept");
    scene.world.sign_off(&round.plan).await.unwrap();
    for name in [Name::Recipient, Name::Operator] {
        scene.destroyed(name, &round).await;
    }
    let end = scene.save("end");

    // A recipient that kept its folder, the parcels that it fetched, and the share that it was to hold in memory only.
    let (fetched, not_forgotten) = (kept.server.join("shelf"), scene.not_forgotten(&kept, &round));
    let recipient = and(&end.all(), [kept.recipient.as_path(), &fetched]);
    let keeps = and(&recipient, [not_forgotten.as_path()]);
    scene.is_all_of_it(of(&thief.tries(&keeps), &round), &round);

    // The control: it was that share. One that forgot it has the laboratory's, and opens nothing.
    none_opened(of(&thief.tries(&recipient), &round), &round.manifest, (true, false));
    let rows = rusqlite::Connection::open(&scene.systems.new).unwrap();
    let rows: i64 = rows.query_row("SELECT count(*) FROM import_patient", [], |row| row.get(0)).unwrap();
    assert!(rows > 0, "and the rows are where they went");
    let said = "Once a recipient has had both, nothing binds a recipient that keeps keys or rows.";
    let certificate = scene.certificate(&round).await;
    assert!(certificate.contains(said), "{certificate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_thief_of_every_disk_and_backup_opens_nothing_once_every_copy_of_one_half_is_destroyed() {
    let Some(thief) = Thief::at_hand("a_later_thief_of_every_disk_and_backup_opens_nothing") else { return };
    let scene = Scene::new().await;
    let round = scene.loaded().await;
    let backup = scene.save("backup");
    scene.world.sign_off(&round.plan).await.unwrap();
    for name in [Name::Recipient, Name::Operator] {
        scene.destroyed(name, &round).await;
    }
    let (end, wire) = (scene.save("end"), scene.wire());
    let disks = and(&end.all(), [wire.as_path()]);

    // Every copy of the strongroom share: what opens it lay in the ring, and the ring is in no backup.
    let but_the_ring = and(&disks, [backup.server.as_path(), &backup.laboratory, &backup.recipient]);
    none_opened(of(&thief.tries(&but_the_ring), &round), &round.manifest, (true, false));
    // Every copy of the laboratory share and of every opening key.
    let of_the_server = and(&disks, [backup.server.as_path(), &backup.ring]);
    none_opened(of(&thief.tries(&of_the_server), &round), &round.manifest, (false, true));

    // The control, and what the words do not promise: one backup of each half, of the laboratory or of the recipient.
    for other in [&backup.laboratory, &backup.recipient] {
        scene.is_all_of_it(of(&thief.tries(&and(&of_the_server, [other.as_path()])), &round), &round);
    }
    let said = "Against whoever later obtains the parties' disks and backups, it is enough that every copy of the \
                strongroom share is destroyed, or every copy of the laboratory share and of every opening key.";
    let certificate = scene.certificate(&round).await;
    assert!(certificate.contains(said), "{certificate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_envelope_of_the_strongroom_share_opens_with_no_key_that_lasts() {
    let Some(thief) = Thief::at_hand("a_recorded_envelope_of_the_strongroom_share_opens_with_no_key_that_lasts") else {
        return;
    };
    let scene = Scene::new().await;
    let round = scene.loaded().await;
    // One more, whose key does not stay in memory.
    let key = OpeningKey::draw();
    let (consignment, lease) = (round.consignment, hours_after(scene.world.clock.now(), 1));
    let mut begin = |migration: &Migration| {
        let attempt = migration.consignment(consignment).unwrap().next_attempt();
        Ok(Act::Begin { consignment, step: Step::Reconcile, attempt, lease, key: key.recipient(), clear_swap: false })
    };
    scene.desk(Name::Recipient).act(round.plan.migration, &mut begin, &[]).await.unwrap();
    let (kept, wire) = (scene.save("kept"), scene.wire());

    let lasting: [&Path; 4] = [&kept.server, &kept.laboratory, &kept.recipient, &wire];
    let told = thief.tries(&lasting);
    none_opened(of(&told, &round), &round.manifest, (true, false));
    // Five devices, two roots, ring, signing and TLS key of the server, the opening key, the laboratory share.
    assert_eq!(told.secrets, 12, "{told:?}");
    assert_eq!(told.still_sealed, 3, "of extracting, loading and the one more: {told:?}");

    let memory = scene.kept("memory", key.secret().as_bytes());
    let told = thief.tries(&and(&lasting, [memory.as_path()]));
    scene.is_all_of_it(of(&told, &round), &round);
    assert_eq!(told.still_sealed, 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_rehearsal_are_dead_while_the_full_round_runs() {
    let Some(thief) = Thief::at_hand("the_keys_of_a_rehearsal_are_dead_while_the_full_round_runs") else { return };
    let scene = Scene::new().await;
    let (world, source) = (&scene.world, scene.systems.source.as_ref());
    let trial = world.system("trial.sqlite");
    synth::new_system(&trial).unwrap();
    std::fs::create_dir(world.system("trial-documents")).unwrap();
    let folder = connectors::DocumentTarget::open(&world.path("trial-documents").display().to_string()).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", trial.display()), None).unwrap();
    let id = world.open().await;
    let (mut plan, documents) = world.plan(id, &scene.scope, source, scene.systems.sink.as_ref()).await;
    let (kinds, identity, schema) = (vec![Kind::Rehearsal], sink.identity(), plan.target(Kind::Full).unwrap().schema);
    plan.targets.push(Target {
        kinds,
        identity,
        schema,
        declared: std::collections::BTreeMap::new(),
        documents: Some(folder.identity()),
    });
    plan.allowed.push(Allowed { kind: Kind::Rehearsal, count_max: 1, hours_max: 240 });
    world.propose(&plan, &documents).await.unwrap();
    world.approve(&plan).await;

    let consignment = world.consign_as(&plan, Kind::Rehearsal, (5, 5_000)).await;
    let rehearsal = scene.extracted(plan.clone(), consignment).await;
    world.release(&plan, consignment).await.unwrap();
    let rehearsed = scene.save("rehearsed");
    let reason = "it has shown what it should".to_owned();
    world.act(Name::Controller, id, Act::Abandon { consignment, reason }).await.unwrap();
    world.office().sweep().await.unwrap();
    for name in [Name::Operator, Name::Recipient] {
        scene.destroyed(name, &rehearsal).await;
    }
    let consignment = world.consign(&plan).await;
    let full = scene.extracted(plan, consignment).await;
    world.release(&full.plan, consignment).await.unwrap();
    let (running, wire) = (scene.save("running"), scene.wire());

    // Every key that lives, over the parcels of both.
    let told = thief.tries(&and(&running.all(), [rehearsed.server.as_path(), &wire]));
    scene.is_all_of_it(of(&told, &full), &full);
    assert_eq!((of(&told, &full).kind, of(&told, &rehearsal).kind), (Kind::Full, Kind::Rehearsal));
    none_opened(of(&told, &rehearsal), &rehearsal.manifest, (false, false));

    // The control: the rehearsal's own keys, as they were, open the rehearsal and nothing of the full round.
    let shelf = running.server.join("shelf");
    let facts = running.laboratory.join("Controller");
    let told = thief.tries(&and(&rehearsed.all(), [shelf.as_path(), &facts]));
    all_opened(of(&told, &rehearsal), &rehearsal.manifest);
    none_opened(of(&told, &full), &full.manifest, (false, false));
}
