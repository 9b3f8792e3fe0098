//! The unlocked key: it signs what carries out, never what binds, and for nobody else.

use std::os::unix::fs::PermissionsExt;

use people::{PayloadType, SigningKey};
use procedure::{Act, ActBody, SeenCheckpoint};
use tokio::sync::oneshot;

use super::*;
use crate::is_binding;
use crate::unlocked::{Unlocked, serve};

struct Held {
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<Result<()>>,
}

/// Serves the seat's key until told to stop; returns once it answers.
async fn held(seat: &Seat) -> (Held, Unlocked) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (home, certificate) = (seat.home().clone(), seat.certificate.digest().unwrap());
    let holder = KeyHolder::new(seat.key(), certificate);
    let served = tokio::spawn(async move { serve(&home, holder, async { drop(stopped.await) }).await });
    loop {
        let home = seat.home().clone();
        if let Some(unlocked) = tokio::task::spawn_blocking(move || Unlocked::connect(&home)).await.unwrap().unwrap() {
            return (Held { stop, served }, unlocked);
        }
        tokio::task::yield_now().await;
    }
}

fn body(seat: &Seat, act: Act) -> ActBody {
    ActBody {
        purpose: ActBody::PURPOSE.into(),
        origin: ORIGIN.into(),
        migration: MIGRATION,
        last: procedure::LastFact { number: 0, digest: Digest([0; 32]) },
        checkpoint: SeenCheckpoint { size: 0, root: Digest([0; 32]) },
        certificate: seat.certificate.digest().unwrap(),
        at: start(),
        body: act,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlocked_device_signs_what_carries_out_and_refuses_what_binds() {
    let world = World::begun().await;
    let seat = &world.claire;
    let (held, unlocked) = held(seat).await;
    assert_eq!(unlocked.certificate(), seat.certificate.digest().unwrap());
    let socket = seat.home().folder().join("unlocked.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let frozen = unlocked.sign_act(&body(seat, freeze())).unwrap();
    assert_eq!(frozen.open::<ActBody>(PayloadType::Act, &seat.key().public()).unwrap(), body(seat, freeze()));
    for binding in [thaw(), Act::Approve { plan: Digest([1; 32]) }, Act::Cancel { reason: "r".into() }] {
        assert!(is_binding(&binding));
        assert_eq!(outcome(unlocked.sign_act(&body(seat, binding))), (1232, false));
    }
    let other = ActBody { certificate: world.yann.certificate.digest().unwrap(), ..body(seat, freeze()) };
    assert_eq!(outcome(unlocked.sign_act(&other)), (1231, false));
    let statement = unlocked.sign_statement(&serde_json::json!({"rows": 3})).unwrap();
    statement.verified(PayloadType::Statement, &seat.key().public()).unwrap();
    held.stop.send(()).unwrap();
    held.served.await.unwrap().unwrap();
    assert!(!socket.exists());
    assert!(Unlocked::connect(seat.home()).unwrap().is_none());
    assert_eq!(outcome(unlocked.sign_act(&body(seat, freeze()))), (1233, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_works_through_an_unlocked_device() {
    let world = World::begun().await;
    act(&world.claire.desk, thaw()).await.unwrap();
    act(&world.yann.desk, thaw()).await.unwrap();
    let (held, unlocked) = held(&world.claire).await;
    let home = Home::open(world.claire.home().folder()).unwrap();
    let desk = Desk::over(world.server.clone(), home, Arc::new(unlocked), world.clock.clone(), entropy()).unwrap();
    let (_, ledger) = act(&desk, freeze()).await.unwrap();
    assert!(ledger.migration().frozen.is_some());
    assert_eq!(outcome(act(&desk, thaw()).await), (1232, false));
    held.stop.send(()).unwrap();
    held.served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_unlocked_once_and_a_dead_socket_is_no_obstacle() {
    let world = World::new();
    let seat = &world.claire;
    // Bound and dropped: the file stays, nobody listens.
    drop(std::os::unix::net::UnixListener::bind(seat.home().folder().join("unlocked.sock")).unwrap());
    let (first, _) = held(seat).await;
    let holder = KeyHolder::new(SigningKey::draw(&SystemEntropy::new()).unwrap(), Digest([0; 32]));
    assert_eq!(outcome(serve(seat.home(), holder, std::future::pending()).await), (1234, false));
    first.stop.send(()).unwrap();
    first.served.await.unwrap().unwrap();
}
