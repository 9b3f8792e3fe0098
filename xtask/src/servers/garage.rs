//! Garage, an object store that speaks S3: one node, with a bucket and an access key of its own.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

use super::place::{self, Place, Server};
use crate::process;

/// The bucket that tests put their objects into.
const BUCKET: &str = "shelf";

pub(super) fn start(place: &Place, program: &Path) -> Result<Server> {
    let folder = place.folder_of("garage", None)?;
    let (kept, log, config) = (folder.join("kept"), folder.join("log"), folder.join("garage.toml"));
    let (port, between_nodes) = (place::free_port()?, place::free_port()?);
    let secret = || Ok::<_, anyhow::Error>(format!("{}{}", place::random_hex()?, place::random_hex()?));
    let settings = format!(
        "metadata_dir = '{kept}/meta'\n\
         data_dir = '{kept}/data'\n\
         db_engine = 'sqlite'\n\
         replication_factor = 1\n\
         compression_level = 'none'\n\
         rpc_bind_addr = '127.0.0.1:{between_nodes}'\n\
         rpc_public_addr = '127.0.0.1:{between_nodes}'\n\
         rpc_secret = '{}'\n\
         [s3_api]\n\
         s3_region = 'garage'\n\
         api_bind_addr = '127.0.0.1:{port}'\n",
        secret()?,
        kept = kept.display(),
    );
    std::fs::create_dir(&kept)?;
    place::write_private(&config, &settings, None)?;
    let (id, key) = (format!("GK{}", place::random_hex()?.get(..24).context("too short")?), secret()?);
    let of_config = || {
        let mut garage = place::command_as(None, program, &folder);
        garage.arg("-c").arg(&config).stdout(Stdio::null());
        garage
    };
    let mut server = of_config();
    server.arg("server").stderr(place::open_log(&log)?);
    let url = format!("http://{id}:{key}@127.0.0.1:{port}/{BUCKET}");
    let is_ready = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    let server = Server::start(("GARAGE", url, log, "TERM"), &mut server, is_ready)?;

    let node = of_config().args(["node", "id", "-q"]).stdout(Stdio::piped()).stderr(Stdio::null()).output()?;
    let node = String::from_utf8_lossy(&node.stdout).into_owned();
    let node = node.split('@').next().filter(|node| !node.is_empty()).context("Garage does not say its node's id")?;
    for words in [
        &["layout", "assign", "-z", "here", "-c", "1G", node][..],
        &["layout", "apply", "--version", "1"],
        &["key", "import", "--yes", "-n", "tests", &id, &key],
        &["bucket", "create", BUCKET],
        &["bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", &id],
    ] {
        process::run(of_config().args(words).stderr(Stdio::null()), Duration::from_secs(20))?;
    }
    // Small objects lie in the database, larger ones in files of their own.
    Ok(server.telling("DATA", kept.display().to_string()))
}
