//! A line to a real store on which things go wrong: it forwards one request for each connection, or does not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Pass,
    /// The line answers itself, with this status.
    Fail(u16),
    /// The line breaks when this many bytes of the body have passed.
    Cut(usize),
    /// The store does what it is asked, and its answer is lost.
    LoseTheAnswer,
    /// The answer is cut after this many bytes.
    CutTheAnswer(usize),
    /// Pieces of this many bytes at the most, each way, and this time between two of them at the least.
    Trickle(usize, Duration),
    /// Nothing comes, ever.
    Stall,
}

/// Decides by a request's first line.
pub(super) type Fates = Box<dyn FnMut(&str) -> Fate + Send>;

pub(super) struct Line {
    pub(super) address: SocketAddr,
    fates: Arc<Mutex<Fates>>,
    /// The first line of each request that passed whole.
    passed: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Line {
    pub(super) async fn to(store: &str, fates: Fates) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fates, passed) = (Arc::new(Mutex::new(fates)), Arc::<Mutex<Vec<String>>>::default());
        let (store, decide, note) = (store.to_owned(), Arc::clone(&fates), Arc::clone(&passed));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (store, decide, note) = (store.clone(), Arc::clone(&decide), Arc::clone(&note));
                tokio::spawn(async move {
                    // However a connection breaks: that is what the line is for.
                    drop(carry(client, &store, &decide, &note).await);
                });
            }
        });
        Self { address, fates, passed, accepting }
    }

    pub(super) fn now(&self, fates: impl FnMut(&str) -> Fate + Send + 'static) {
        *self.fates.lock().unwrap() = Box::new(fates);
        self.passed.lock().unwrap().clear();
    }

    /// How many requests passed that begin so and have this in their first line.
    pub(super) fn passed(&self, method: &str, word: &str) -> usize {
        let passed = self.passed.lock().unwrap();
        passed.iter().filter(|first| first.starts_with(method) && first.contains(word)).count()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(from: &mut TcpStream, into: &mut (impl AsyncWrite + Unpin), bytes: usize) -> std::io::Result<u64> {
    tokio::io::copy(&mut from.take(u64::try_from(bytes).unwrap()), into).await
}

/// Passes all that comes there, piece by piece: how many bytes. They are fewer where nobody waits any more.
async fn trickle(
    from: &mut (impl AsyncRead + Unpin),
    into: &mut TcpStream,
    (piece, beat): (usize, Duration),
) -> std::io::Result<u64> {
    let (mut beats, mut all) = (interval(beat), 0_u64);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let mut piece = AsyncReadExt::take(&mut *from, u64::try_from(piece).unwrap());
        match tokio::io::copy(&mut piece, into).await? {
            0 => return Ok(all),
            passed => all = all.saturating_add(passed),
        }
    }
}

/// What a store answers that fails.
fn failure(status: u16) -> String {
    let code = match status {
        400 => "InvalidPart",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    format!("HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn carry(
    mut client: TcpStream,
    store: &str,
    fates: &Mutex<Fates>,
    passed: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end.saturating_add(4);
        }
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let begun = head.split_off(end);
    let text = String::from_utf8(head).unwrap();
    let (first, headers) = text.split_once("\r\n").unwrap();
    let length = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let length = length.unwrap_or(0);
    let fate = fates.lock().unwrap()(first);
    match fate {
        Fate::Fail(status) => {
            // It has read the request: else the client may not get to the answer.
            pass(&mut client, &mut tokio::io::sink(), length.saturating_sub(begun.len())).await?;
            return client.write_all(failure(status).as_bytes()).await;
        }
        Fate::Stall => {
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
            return Ok(());
        }
        Fate::Pass | Fate::Cut(_) | Fate::LoseTheAnswer | Fate::CutTheAnswer(_) | Fate::Trickle(..) => {}
    }
    let mut server = TcpStream::connect(store).await?;
    server.write_all(format!("{first}\r\nconnection: close\r\n{headers}").as_bytes()).await?;
    let bound = if let Fate::Cut(bytes) = fate { bytes.min(length) } else { length };
    let begun = &begun[..begun.len().min(bound)];
    let left = bound.saturating_sub(begun.len());
    if let Fate::Trickle(piece, beat) = fate {
        let mut rest = begun.chain((&mut client).take(u64::try_from(left).unwrap()));
        if trickle(&mut rest, &mut server, (piece, beat)).await? < u64::try_from(bound).unwrap() {
            return Ok(());
        }
    } else {
        server.write_all(begun).await?;
        pass(&mut client, &mut server, left).await?;
    }
    if matches!(fate, Fate::Cut(_)) {
        return Ok(());
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if let Fate::CutTheAnswer(bytes) = fate {
        return client.write_all(&answer[..answer.len().min(bytes)]).await;
    }
    match fate {
        Fate::Pass => {
            passed.lock().unwrap().push(first.to_owned());
            client.write_all(&answer).await
        }
        Fate::Trickle(piece, beat) => {
            passed.lock().unwrap().push(first.to_owned());
            trickle(&mut answer.as_slice(), &mut client, (piece, beat)).await.map(drop)
        }
        Fate::Fail(_) | Fate::Cut(_) | Fate::LoseTheAnswer | Fate::CutTheAnswer(_) | Fate::Stall => Ok(()),
    }
}
