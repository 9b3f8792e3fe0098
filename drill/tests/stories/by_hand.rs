//! The script of the manual does by hand what `lazaret demo` does: it is run here as a person would run it, with the
//! program as it was built.
#![cfg(unix)]

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The script takes half a minute with a program built without optimisation, several on a busy machine.
const AT_MOST: Duration = Duration::from_mins(10);

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
}
