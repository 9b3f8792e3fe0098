//! A parcel is on the disk before the server says that it has it: the calls that it makes of the system show it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use drill::{World, lies_on};

use super::{Scene, passphrase_file};
use crate::stories::program::{Program, lazaret};

/// A process that writes down which files another makes durable and names.
struct Trace {
    child: Child,
    path: PathBuf,
}

impl Trace {
    /// None where there is no `strace`, or it may not look.
    fn of(server: &Program, path: PathBuf) -> Option<Self> {
        let mut trace = Command::new("strace");
        trace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2", "-o"]).arg(&path);
        trace.args(["-p", &server.0.id().to_string()]);
        let mut child = trace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let attached = lines.find(|line| line.contains("attached") || line.contains("not permitted"));
        std::thread::spawn(move || lines.for_each(drop));
        if attached.is_some_and(|line| line.contains("attached")) {
            return Some(Self { child, path });
        }
        child.wait().unwrap();
        None
    }

    /// What was written down, once the server has ended.
    fn lines(mut self) -> Vec<String> {
        self.child.wait().unwrap();
        std::fs::read_to_string(&self.path).unwrap().lines().map(str::to_owned).collect()
    }
}

/// The place of the first call of a kind, from a line on, that speaks of this.
fn call(lines: &[String], from: usize, kinds: &[&str], of: &str) -> usize {
    let mut theirs = lines.iter().enumerate().filter(|(_, line)| line.contains(of));
    let found = theirs.find(|(at, line)| *at >= from && kinds.iter().any(|kind| line.contains(kind)));
    assert!(found.is_some(), "no {kinds:?} of {of} from line {from} on");
    found.map_or(0, |(at, _)| at)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_and_its_name_are_on_the_disk_before_the_server_says_that_it_has_it() {
    let mut world = World::start().await;
    passphrase_file(&world);
    let systems = world.systems(60);
    world.stop().await;
    world.write_program_files("sweep_seconds = 1\n");
    let server = Program::serve(&lazaret().unwrap(), &world);
    server.answers(&world).await;
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let consignment = world.consign(&plan).await;
    let scene = Scene { world, systems, plan, consignment };
    let Some(trace) = Trace::of(&server, scene.world.path("calls")) else {
        drill::skipped!(
            "a_parcel_and_its_name_are_on_the_disk_before_the_server_says_that_it_has_it (no strace that may look)"
        );
        return;
    };
    scene.extract().await.done();
    let shelf = scene.world.server_folder().join("shelf");
    let parcels = lies_on(&shelf);
    server.kill();

    let lines = trace.lines();
    assert!(parcels.len() >= 4, "{parcels:?}");
    for parcel in parcels {
        let (parcel, folder) = (parcel.display().to_string(), parcel.parent().unwrap().display().to_string());
        let written = call(&lines, 0, &["fsync(", "fdatasync("], &format!("<{parcel}#"));
        let named = call(&lines, written, &["link", "rename"], &format!("\"{parcel}\""));
        call(&lines, named, &["fsync("], &format!("<{folder}>"));
    }
}
