use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Purpose;
use super::place::{self, Place, Server, User};
use crate::process;

pub(super) const PACKAGE: &str = "mariadb-server";

/// The tests' servers: nothing must survive the machine, and the log says all that it can, because tests look there for
/// values. It is the error log; there is no binary log and no slow log, and statements are written down when a test says so.
const TESTS: &[&str] =
    &["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--log-warnings=9", "--skip-log-bin"];
/// The measured server: large buffers, every commit on the disk.
const BENCH: &[&str] = &["--innodb-buffer-pool-size=2G", "--innodb-log-file-size=4G"];

pub(super) fn is_installed() -> bool {
    ["mariadb-install-db", "mariadbd"].iter().all(|name| program(name).is_some())
}

fn program(name: &str) -> Option<PathBuf> {
    process::find(name, &["/usr/sbin".into(), "/usr/local/sbin".into()])
}

pub(super) fn start(place: &Place, purpose: Purpose) -> Result<Server> {
    let found = |name| program(name).with_context(|| format!("{name} is not installed"));
    let (install_db, mariadbd) = (found("mariadb-install-db")?, found("mariadbd")?);
    let user = User::for_server("mysql")?;
    let folder = place.folder_of("mariadb", user)?;
    let (data, log, script) = (folder.join("data"), folder.join("log"), folder.join("first.sql"));
    let mut init = place::command_as(user, &install_db, &folder);
    init.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=socket"]);
    init.arg(format!("--datadir={}", data.display())).stdout(Stdio::null()).stderr(Stdio::null());
    process::run(&mut init, Duration::from_mins(2))?;

    let password = place::random_hex()?;
    let first = format!(
        "CREATE OR REPLACE USER 'root'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
    );
    place::write_private(&script, &first, user)?;
    let port = place::free_port()?;
    let mut server = place::command_as(user, &mariadbd, &folder);
    server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--character-set-server=utf8mb4"]);
    server.args(if purpose == Purpose::Bench { BENCH } else { TESTS });
    server.arg(format!("--port={port}")).arg(format!("--datadir={}", data.display()));
    server.arg(format!("--socket={}", folder.join("s").display()));
    server.arg(format!("--pid-file={}", folder.join("pid").display()));
    server.arg(format!("--tmpdir={}", folder.display()));
    server.arg(format!("--init-file={}", script.display()));
    server.stdout(Stdio::null()).stderr(place::open_log(&log)?);
    let url = format!("mysql://root:{password}@127.0.0.1:{port}/mysql");
    Server::start(("MARIADB", url, log, "TERM"), &mut server, || greets(port))
}

/// Whether a MariaDB server greets on that port: a packet whose fifth byte is the protocol's version, 10. It greets only
/// after it has carried out its first script.
fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut head = [0; 5];
    let read = stream.set_read_timeout(Some(Duration::from_secs(2))).and_then(|()| stream.read_exact(&mut head));
    read.is_ok() && head.ends_with(&[10])
}
