//! The server, as a child process.

use std::process::Stdio;
use std::sync::Arc;

use lexicon::{Code, Fault, Result, Retry};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::oneshot;

use super::child::{Commands, WHILE_WE_LIVE};
use super::ground::{SERVER, unusable};

/// A server that is up. It is killed when this is dropped, and ends by itself when this process is killed.
pub(super) struct Serving {
    child: Child,
    /// Its standard input, held open while this process lives. Taken out, because waiting for a child closes what it
    /// still has.
    _held: Option<ChildStdin>,
}

/// The line that says that the door is open.
const UP: &str = "Serving ";
const LOG: &str = "server.log";

impl Serving {
    /// Starts it and waits until its door is open.
    pub(super) async fn start(commands: &Arc<Commands>) -> Result<Self> {
        let arguments = [WHILE_WE_LIVE, "--passphrase-file", "secrets/server", "serve", "--data", SERVER];
        let mut command = commands.command(&arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| unusable(&commands.ground.path(SERVER), &error))?;
        let held = child.stdin.take();
        let (up, is_up) = oneshot::channel();
        if let Some(stderr) = child.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            let commands = Arc::clone(commands);
            let mut up = Some(up);
            tokio::spawn(async move {
                let mut said = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    // A log that cannot be written makes the search less, not the server.
                    drop(commands.append(LOG, format!("{line}\n").as_bytes()));
                    if let Some(up) = up.take_if(|_| line.starts_with(UP)) {
                        drop(up.send(Ok(())));
                    }
                    said = line;
                }
                if let Some(up) = up.take() {
                    drop(up.send(Err(said)));
                }
            });
        }
        match is_up.await {
            Ok(Ok(())) => Ok(Self { child, _held: held }),
            Ok(Err(said)) => {
                Err(Fault::new(Code(1087), Retry::Now, format!("the server did not start: {said}")).into())
            }
            Err(_) => Err(Fault::new(Code(1087), Retry::Now, "the server did not start").into()),
        }
    }

    /// Kills it at once: what it has recorded must stand without a farewell.
    pub(super) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await.map_err(|error| unusable(std::path::Path::new("the server"), &error))?)
    }

    /// Over when it ends by itself.
    pub(super) async fn ended(&mut self) {
        drop(self.child.wait().await);
    }
}
