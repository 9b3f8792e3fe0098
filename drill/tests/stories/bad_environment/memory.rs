//! What the kernel may do with the program's memory: no core file of it, and no look into it for others of the same user.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use drill::program::lazaret;
use tokio::net::unix::pipe::OpenOptions;
use tokio::time::interval;

/// A command of somebody who is not root, who may read everything, with as large core files as this machine allows.
fn of_a_user(program: impl AsRef<OsStr>) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    let mut command = Command::new(if id == b"0\n" { "setpriv" } else { "env" });
    if id == b"0\n" {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["sh", "-c", "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$@\"", "sh"]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Of a process that waits at a pipe: whether another one of its user reads its memory, and how large a core file it may
/// leave.
async fn seen(mut command: Command, pipe: &Path) -> (bool, String) {
    let mut process = command.spawn().unwrap();
    let mut beat = interval(Duration::from_millis(5));
    let open = loop {
        beat.tick().await;
        if let Ok(open) = OpenOptions::new().open_sender(pipe) {
            break open;
        }
        assert!(process.try_wait().unwrap().is_none(), "it has ended and asked for nothing");
    };
    let read = of_a_user("cat").arg(format!("/proc/{}/environ", process.id())).status().unwrap().success();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let core = core.split_whitespace().next().unwrap().to_owned();
    drop(open);
    process.wait().unwrap();
    (read, core)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_leaves_no_core_file_and_others_of_its_user_do_not_read_its_memory() {
    let name = "the_program_leaves_no_core_file_and_others_of_its_user_do_not_read_its_memory";
    let Some(program) = lazaret() else {
        drill::skipped!("{name} (the program is not built beside this test)");
        return;
    };
    let folder = drill::folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Wherever it was built, others may start it here.
    let here = folder.path().join("lazaret");
    std::fs::copy(program, &here).unwrap();
    let pipe = folder.path().join("passphrase");
    assert!(Command::new("mkfifo").args(["-m", "666"]).arg(&pipe).status().unwrap().success());
    if !of_a_user("test").arg("-x").arg(&here).status().is_ok_and(|status| status.success()) {
        drill::skipped!("{name} (the program cannot be started by another user)");
        return;
    }
    let mut other = of_a_user("cat");
    other.arg(&pipe);
    let (read, core) = seen(other, &pipe).await;
    if !read || core == "0" {
        drill::skipped!("{name} (this machine allows nobody either)");
        return;
    }

    let mut waiting = of_a_user(&here);
    waiting.args(["init", "--data"]).arg(folder.path().join("server")).arg("--passphrase-file").arg(&pipe);
    let (read, core) = seen(waiting, &pipe).await;

    assert!(!read, "another process of its user reads its memory");
    assert_eq!(core, "0", "it may leave a core file");
}
