//! A demonstration that is killed leaves nothing running.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use tokio::time::{interval, timeout};

use crate::ground::Ground;

/// A program without optimisation on a busy machine.
const AT_MOST: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_killed_demonstration_takes_its_server_and_its_parties_with_it() {
    let ground = Ground::new();
    let listens = "It listens at https://";
    let (demonstration, line) = ground.demo_until(listens);
    let address = line.split_once(listens).unwrap().1.split(',').next().unwrap();
    let address: SocketAddr = address.parse().unwrap();
    assert!(TcpStream::connect(address).is_ok(), "the control: the server is up");
    #[cfg(target_os = "linux")]
    assert!(!working_in(&ground.dir).is_empty(), "the control: its server works there");

    demonstration.kill();

    let mut beat = interval(Duration::from_millis(20));
    let looking = async {
        while TcpStream::connect(address).is_ok() || !working_in(&ground.dir).is_empty() {
            beat.tick().await;
        }
    };
    assert!(timeout(AT_MOST, looking).await.is_ok(), "it left {:?} running", working_in(&ground.dir));
}

/// The processes whose folder this is; none where that cannot be seen.
fn working_in(dir: &Path) -> Vec<String> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let here = |entry: &std::fs::DirEntry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == dir);
    let processes = processes.filter_map(Result::ok).filter(here);
    processes.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
