//! The script of the manual does by hand what `lazaret demo` does, but for its folder of reports: it is run here as a
//! person would run it, with the program as it was built. What it leaves is searched as every story's world is.
#![cfg(unix)]

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use synth::{Made, Place, search};

use super::sentinels::{missed_nothing, needles};

/// The script takes half a minute with a program built without optimisation, several on a busy machine.
const AT_MOST: Duration = Duration::from_mins(10);

/// What holds the values in clear because it is made to: both systems with whatever lies beside them, and the lists of
/// what was planted. All of it lies in one folder.
const IN_CLEAR: [&str; 5] = ["old.sqlite", "new.sqlite", "sentinels.json", "everything", "moves"];

/// The program beside this test.
fn lazaret() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("lazaret");
    assert!(program.is_file(), "{} is not there: build it first, with `cargo build -p lazaret`", program.display());
    program
}

/// Runs the script in a process group of its own, so that nothing it started outlives it.
fn run(script: &Path, folder: &Path, patients: &str) -> Output {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("bash")
        .arg(script)
        .arg(folder)
        .args([patients, &port.to_string()])
        .env("LAZARET", lazaret())
        .env("LAZARET_DANGER_CLEAR_SWAP", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = format!("-{}", child.id());
    let (ended, end) = mpsc::channel();
    let waiting = std::thread::spawn(move || ended.send(child.wait_with_output().unwrap()));
    let output = end.recv_timeout(AT_MOST);
    if output.is_err() {
        Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
    }
    waiting.join().unwrap().unwrap();
    assert!(output.is_ok(), "the script did not end within {} s", AT_MOST.as_secs());
    output.unwrap()
}

/// Everything that the script left besides.
fn besides_what_is_in_clear(folder: &Path) -> Vec<PathBuf> {
    let listed = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_in_clear = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        IN_CLEAR.iter().any(|known| name.starts_with(known))
    };
    let made = folder.join("made");
    let beside = listed(&made).filter(|path| !is_in_clear(path));
    listed(folder).filter(|path| *path != made).chain(beside).collect()
}

/// No planted value stands anywhere but where it belongs, by the search that finds all of them there.
fn nothing_is_left(folder: &Path, output: &Output) {
    let listed = std::fs::read(folder.join("made/sentinels.json")).unwrap();
    let planted = serde_json::from_slice::<Made>(&listed).unwrap().sentinels;
    let (all, searched) = (needles(&planted), besides_what_is_in_clear(folder));
    let outside = search::files(&all, &searched).unwrap();
    for known in ["server", "ring", "copy", "homes", "server.log", "evidence.zip", "made/scope.toml"] {
        assert!(searched.contains(&folder.join(known)), "{known} was not searched: {searched:?}");
    }
    assert!(outside.is_clean(), "{:?} {:?}", outside.hits, outside.missed);
    assert!(outside.files > 40 && outside.bytes > 100_000, "{outside:?}");
    for (name, said) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
        let said = search::reader(&all, Path::new(name), &mut said.as_slice()).unwrap();
        assert!(said.is_clean(), "{name}: {:?} {:?}", said.hits, said.missed);
    }
    // The control: what is in clear is found, all of it in the old system and what moves in the new one.
    let within = |name: &str| search::files(&all, &[folder.join("made").join(name)]).unwrap();
    for known in ["old.sqlite", "sentinels.json"] {
        missed_nothing(&within(known), planted.iter());
    }
    missed_nothing(&within("new.sqlite"), planted.iter().filter(|sentinel| sentinel.place == Place::Moves));
}

#[test]
fn the_script_of_the_manual_runs_to_its_end() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manual/by-hand.sh");
    let folder = drill::folder();
    let started = Instant::now();

    let output = run(&script, folder.path(), "300");

    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    println!("by hand: 300 patients in {:.1} s", started.elapsed().as_secs_f64());
    assert!(said.contains("Certificate of destruction: complete."), "{said}");
    assert!(said.contains("The server's key is the one that you named."), "{said}");
    let probes = ["a parcel opened", "nothing opened"].map(|verdict| said.find(verdict));
    assert!(probes[0].is_some() && probes[0] < probes[1], "{said}");
    assert!(said.contains("is found; in the old system all of them are."), "{said}");
    assert!(said.contains("Consistent, and every party's root is one that you trust."), "{said}");
    let new = rusqlite::Connection::open(folder.path().join("made/new.sqlite")).unwrap();
    let count =
        |table: &str| new.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(count("import_patient") > 0 && count("import_result") > count("import_patient"));
    nothing_is_left(folder.path(), &output);
}
