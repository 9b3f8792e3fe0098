//! A device's key that its person unlocked for a while: one process holds it and signs for the others, over a socket in
//! the home that only the device's user can reach. It signs requests, statements, and those acts that carry out what
//! was decided; for one that binds its person ([`is_binding`]) the passphrase is asked again, elsewhere.

use std::future::Future;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lexicon::{Code, Digest, Fault, Refusal, Result, Retry, Trouble, limits};
use people::Envelope;
use people::request::{Claim, Headers, Request};
use procedure::ActBody;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use wire::Keeper;

use crate::{Home, KeyHolder, files, is_binding};

/// How long one question and its answer may take: both ends are on one machine, and a signature takes microseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// An act of the largest size, written as JSON text, and what stands around it.
const LINE_BYTES_MAX: u64 = 2 * 16 * 1024 * 1024;
const _: () = assert!(limits::ACT_BYTES_MAX == 16 * 1024 * 1024, "LINE_BYTES_MAX follows ACT_BYTES_MAX");

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    Who,
    Request { method: String, path: String, query: String, body: Digest, claimed: Claimed },
    Act(Box<ActBody>),
    Statement(serde_json::Value),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claimed {
    keyid: Digest,
    created: i64,
    nonce: Digest,
    origin: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Reply {
    Certificate(Digest),
    Headers { content_digest: String, signature_input: String, signature: String },
    Signed(Envelope),
    Trouble(Trouble),
}

/// Holds the key and answers until `stop` comes, then forgets it.
///
/// # Errors
/// A refusal when the device is unlocked already; a fault when there can be no socket in its folder.
pub async fn serve(home: &Home, holder: KeyHolder, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let path = socket(home);
    match std::os::unix::net::UnixStream::connect(&path) {
        Ok(_) => {
            let remedy = "Go on with it, or end the `lazaret unlock` that holds it.";
            return Err(Refusal::new(Code(1234), "this device is unlocked already", remedy).into());
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(&path).map_err(|error| unreachable(&error))?;
        }
        Err(_) => {}
    }
    let owner = std::fs::metadata(home.folder()).map_err(|error| files::failed("read", home.folder(), &error))?.uid();
    let listener = UnixListener::bind(&path).map_err(|error| unreachable(&error))?;
    // The folder is closed to others; this closes the socket itself, should the folder ever be opened.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(|error| unreachable(&error))?;
    let holder = Arc::new(holder);
    let mut sessions = tokio::task::JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { break };
                if stream.peer_cred().is_ok_and(|peer| peer.uid() == owner) {
                    drop(sessions.spawn(timeout(PATIENCE, session(stream, Arc::clone(&holder)))));
                }
            }
        }
    }
    drop(listener);
    std::fs::remove_file(&path).map_err(|error| unreachable(&error))
}

async fn session(stream: UnixStream, holder: Arc<KeyHolder>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    tokio::io::BufReader::new(reader.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).await?;
    let mut line = answered(&holder, &line)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// The line that answers a line, without its end.
fn answered(holder: &KeyHolder, line: &[u8]) -> io::Result<Vec<u8>> {
    let reply = match serde_json::from_slice(line) {
        Ok(question) => answer(holder, question).unwrap_or_else(Reply::Trouble),
        Err(_) => Reply::Trouble(not_understood()),
    };
    serde_json::to_vec(&reply).map_err(io::Error::other)
}

fn answer(holder: &KeyHolder, question: Question) -> Result<Reply> {
    match question {
        Question::Who => Ok(Reply::Certificate(holder.certificate())),
        Question::Request { method, path, query, body, claimed } => {
            let Claimed { keyid, created, nonce, origin } = claimed;
            let request = Request { method: &method, path: &path, query: &query, body };
            let Headers { content_digest, signature_input, signature } =
                holder.sign_request(&request, &Claim { keyid, created, nonce, origin })?;
            Ok(Reply::Headers { content_digest, signature_input, signature })
        }
        Question::Act(body) if is_binding(&body.body) => Err(Refusal::new(
            Code(1232),
            format!(
                "'{}' binds the person who signs it; an unlocked device does not sign it by itself",
                body.body.name()
            ),
            "Give the passphrase for this one act.",
        )
        .into()),
        Question::Act(body) => holder.sign_act(&body).map(Reply::Signed),
        Question::Statement(statement) => holder.sign_statement(&statement).map(Reply::Signed),
    }
}

/// The other end: signs by asking the process that holds the key. Each question blocks for as long as a signature
/// takes; after ten seconds it is given up.
pub struct Unlocked {
    path: PathBuf,
    certificate: Digest,
}

impl Unlocked {
    /// The unlocked key of this device; none when nobody holds it.
    ///
    /// # Errors
    /// Fault 1233 when there is a holder that does not answer.
    pub fn connect(home: &Home) -> Result<Option<Self>> {
        let path = socket(home);
        match std::os::unix::net::UnixStream::connect(&path) {
            Ok(stream) => drop(stream),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(unreachable(&error)),
        }
        match ask(&path, &Question::Who)? {
            Reply::Certificate(certificate) => Ok(Some(Self { path, certificate })),
            Reply::Trouble(trouble) => Err(trouble),
            Reply::Headers { .. } | Reply::Signed(_) => Err(not_understood()),
        }
    }

    fn signed(&self, question: &Question) -> Result<Envelope> {
        match ask(&self.path, question)? {
            Reply::Signed(envelope) => Ok(envelope),
            Reply::Trouble(trouble) => Err(trouble),
            Reply::Certificate(_) | Reply::Headers { .. } => Err(not_understood()),
        }
    }
}

impl Keeper for Unlocked {
    fn certificate(&self) -> Digest {
        self.certificate
    }

    fn sign_request(&self, request: &Request<'_>, claim: &Claim) -> Result<Headers> {
        let Claim { keyid, created, nonce, origin } = claim.clone();
        let (method, path, query) = (request.method.to_owned(), request.path.to_owned(), request.query.to_owned());
        let claimed = Claimed { keyid, created, nonce, origin };
        match ask(&self.path, &Question::Request { method, path, query, body: request.body, claimed })? {
            Reply::Headers { content_digest, signature_input, signature } => {
                Ok(Headers { content_digest, signature_input, signature })
            }
            Reply::Trouble(trouble) => Err(trouble),
            Reply::Certificate(_) | Reply::Signed(_) => Err(not_understood()),
        }
    }

    fn sign_act(&self, body: &ActBody) -> Result<Envelope> {
        self.signed(&Question::Act(Box::new(body.clone())))
    }

    fn sign_statement(&self, statement: &serde_json::Value) -> Result<Envelope> {
        self.signed(&Question::Statement(statement.clone()))
    }
}

fn ask(path: &PathBuf, question: &Question) -> Result<Reply> {
    let asked = || -> io::Result<Vec<u8>> {
        let mut stream = std::os::unix::net::UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(question).map_err(io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut reply = Vec::new();
        BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut reply)?;
        Ok(reply)
    };
    understood(&asked().map_err(|error| unreachable(&error))?)
}

fn understood(line: &[u8]) -> Result<Reply> {
    serde_json::from_slice(line).map_err(|_| not_understood())
}

fn socket(home: &Home) -> PathBuf {
    home.folder().join("unlocked.sock")
}

fn unreachable(error: &io::Error) -> Trouble {
    let message = format!("the unlocked key of this device cannot be reached: {}", error.kind());
    Fault::new(Code(1233), Retry::Later, message).into()
}

fn not_understood() -> Trouble {
    Fault::new(Code(1233), Retry::Never, "the process that holds this device's key speaks another language").into()
}

#[cfg(feature = "parsers")]
pub(crate) fn line_answered(holder: &KeyHolder, line: &[u8]) -> Result<Vec<u8>> {
    answered(holder, line).map_err(|error| unreachable(&error))
}

#[cfg(feature = "parsers")]
pub(crate) fn reply_again(line: &[u8]) -> Result<Vec<u8>> {
    serde_json::to_vec(&understood(line)?).map_err(|_| not_understood())
}
