//! Finding 5 of the decision, with the program itself: a server that is killed in the middle of a destruction takes it
//! up again when it is started, and nobody has to remember that it should.

use std::path::Path;
use std::time::Duration;

use drill::{Name, Round, World, entropy, write_file};
use lexicon::{Clock, ConsignmentId, SystemClock};
use procedure::{Act, ConsignmentStage, Ending, Kind, Plan};
use tokio::time::{interval, timeout};

use super::program::{Program, lazaret};

/// A program without optimisation on a busy machine.
const AT_MOST: Duration = Duration::from_mins(2);

/// Dead weight on the shelf, so that deleting takes long enough to be cut.
const PARCELS: u32 = 20_000;

/// Looks again and again, for a while.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let mut beat = interval(Duration::from_millis(2));
    let looking = async {
        while !look().await {
            beat.tick().await;
        }
    };
    assert!(timeout(AT_MOST, looking).await.is_ok(), "{what} did not come to pass in {AT_MOST:?}");
}

/// A closed round whose deadline is over by the machine's clock: the story's own stands still.
pub(super) async fn closed_too_late(world: &World) -> Round {
    let systems = world.systems(60);
    let plan: Plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = ConsignmentId::draw(entropy().as_ref()).unwrap();
    let deadline = world.clock.now().checked_add(Duration::from_secs(1)).unwrap();
    let act = Act::OpenConsignment {
        consignment,
        plan: plan.digest().unwrap(),
        kind: Kind::Full,
        seed: 1,
        basis_points: procedure::EVERYTHING,
        target: plan.target(Kind::Full).unwrap().identity.clone(),
        deadline,
    };
    world.act(Name::Operator, plan.migration, act).await.unwrap();
    let manifest = world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap();
    until("the deadline", async || SystemClock.now() >= deadline).await;
    Round { plan, consignment, manifest }
}

fn weigh_down(shelf: &Path) {
    for number in 1..=PARCELS {
        write_file(&shelf.join(format!("{number:032x}")), b"dead");
    }
}

/// How many files lie in a folder; none when it is gone.
fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_destroys_goes_on_destroying_when_it_is_started() {
    let name = "a_server_killed_while_it_destroys_goes_on_destroying_when_it_is_started";
    let Some(program) = lazaret() else {
        drill::skipped!("{name} (the program is not built beside this test)");
        return;
    };
    let mut world = World::start().await;
    let round = closed_too_late(&world).await;
    world.stop().await;
    let shelf = world.server_folder().join("shelf").join(round.consignment.to_string());
    weigh_down(&shelf.join("1"));
    let weight = entries(&shelf.join("1"));
    world.write_program_files("sweep_seconds = 1\n");
    write_file(&world.path("passphrase"), b"a passphrase of the drill\n");
    let tomb = world.ring_folder().join(format!("tombs/{}.tomb", round.consignment));

    let first = Program::serve(&program, &world);
    until("the first parcel's end", async || entries(&shelf.join("1")) < weight).await;
    first.kill();
    // The control: it was cut in the middle, after the key and before the last parcel.
    let left = entries(&shelf.join("1"));
    assert!(tomb.exists() && 0 < left && left < weight, "the server was killed with {left} of {weight} parcels left");
    let second = Program::serve(&program, &world);
    world.clock.set(SystemClock.now());
    until("the end of the destruction", async || {
        let followed = world.desk(Name::Controller).follow(round.plan.migration).await;
        let stage =
            |ledger: procedure::Ledger| ledger.migration().consignment(round.consignment).map(|c| (c.stage, c.ending));
        followed.ok().and_then(stage) == Some((ConsignmentStage::Destroyed, Some(Ending::Overdue)))
    })
    .await;

    assert!(!shelf.exists(), "parcels are left on the shelf");
    #[cfg(target_os = "linux")]
    assert_eq!(listening(second.0.id()), 1, "the server listens elsewhere than at its one door");
    second.kill();
    let unwrapped = world.strongroom_share(&world.server_folder(), &world.ring_folder(), &round).unwrap();
    assert!(unwrapped.is_none(), "the wrapped share is still in the registry");
}

/// On how many TCP ports a process listens.
#[cfg(target_os = "linux")]
fn listening(process: u32) -> usize {
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let open: Vec<String> = links
        .filter_map(|link| Some(std::fs::read_link(link.ok()?.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let listed = ["tcp", "tcp6"]
        .map(|table| std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default());
    let sockets = listed.iter().flat_map(|table| table.lines().skip(1));
    sockets
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(3) == Some(&"0A")
                && fields.get(9).is_some_and(|inode| open.contains(&format!("socket:[{inode}]")))
        })
        .count()
}
