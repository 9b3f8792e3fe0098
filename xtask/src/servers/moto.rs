//! moto, which answers as Amazon's S3 does, with versions and locks, and keeps everything in memory.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;

use super::place::{self, Place, Server};

pub(super) fn start(place: &Place, python: &Path) -> Result<Server> {
    let folder = place.folder_of("moto", None)?;
    let (log, port) = (folder.join("log"), place::free_port()?);
    let mut server = place::command_as(None, python, &folder);
    server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    // Pages that small tests fill.
    server.env("MOTO_S3_DEFAULT_MAX_KEYS", "7");
    server.stdout(Stdio::null()).stderr(place::open_log(&log)?);
    let url = format!("http://test:test@127.0.0.1:{port}/any");
    Server::start(("MOTO", url, log, "TERM"), &mut server, || answers(port))
}

/// Whether it answers a question, which it also logs.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut head = [0; 5];
    let asked = stream.set_read_timeout(Some(Duration::from_secs(5))).and_then(|()| {
        stream.write_all(b"GET /moto-api/ HTTP/1.0\r\n\r\n")?;
        stream.read_exact(&mut head)
    });
    asked.is_ok() && head == *b"HTTP/"
}
