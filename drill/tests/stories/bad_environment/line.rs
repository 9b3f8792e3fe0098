//! A line between two programs that can be held and cut.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use desk::Home;
use drill::{Name, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wire::ServerCard;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// What comes waits.
    Held,
    /// Whoever comes is sent away.
    Cut,
}

type When = Box<dyn Fn() -> bool + Send>;

/// What is asked before each piece goes on, until it holds once, and what the line is from then on.
type Then = Arc<Mutex<Option<(When, State)>>>;

/// Holds when so many pieces have come, of 16 KiB at most.
pub(super) fn after(pieces: usize) -> impl Fn() -> bool + Send + 'static {
    let come = AtomicUsize::new(0);
    move || come.fetch_add(1, Ordering::Relaxed) >= pieces
}

/// What comes in at its port goes on to another address.
pub(super) struct Line {
    pub(super) port: u16,
    state: watch::Sender<State>,
    /// Of what comes in, and of what is answered.
    then: [Then; 2],
    accepting: JoinHandle<()>,
}

impl Line {
    pub(super) async fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, then) = (watch::Sender::new(State::Whole), [Then::default(), Then::default()]);
        let (changing, asked) = (state.clone(), then.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                tokio::spawn(carry(here, address.clone(), changing.clone(), asked.clone()));
            }
        });
        Self { port, state, then, accepting }
    }

    pub(super) async fn to_the_server(world: &World) -> Self {
        Self::to(world.card.url.trim_start_matches("https://").to_owned()).await
    }

    /// Whoever uses this device finds the server at the other end of this line.
    pub(super) fn leads(&self, world: &World, name: Name) {
        let card = ServerCard { url: format!("https://127.0.0.1:{}", self.port), ..world.card.clone() };
        Home::open(&world.home(name)).unwrap().keep_card(&card).unwrap();
    }

    /// Whoever uses this device finds the server where it is.
    pub(super) fn straight(world: &World, name: Name) {
        Home::open(&world.home(name)).unwrap().keep_card(&world.card).unwrap();
    }

    pub(super) fn hold_when(&self, holds: impl Fn() -> bool + Send + 'static) {
        *self.then[0].lock().unwrap() = Some((Box::new(holds), State::Held));
    }

    pub(super) fn cut_when(&self, holds: impl Fn() -> bool + Send + 'static) {
        *self.then[0].lock().unwrap() = Some((Box::new(holds), State::Cut));
    }

    /// As [`Self::cut_when`], asked of what is answered.
    pub(super) fn cut_answers_when(&self, holds: impl Fn() -> bool + Send + 'static) {
        *self.then[1].lock().unwrap() = Some((Box::new(holds), State::Cut));
    }

    pub(super) fn hold(&self) {
        self.state.send_replace(State::Held);
    }

    pub(super) async fn held(&self) {
        self.state.subscribe().wait_for(|state| *state == State::Held).await.unwrap();
    }

    pub(super) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(super) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(here: TcpStream, address: String, state: watch::Sender<State>, [asked, answered]: [Then; 2]) {
    let mut cut = state.subscribe();
    let both = async {
        // Held from its beginning, it is taken and nothing is said on it.
        if state.subscribe().wait_for(|state| *state != State::Held).await.is_err() {
            return;
        }
        let Ok(there) = TcpStream::connect(address).await else { return };
        let ((from, back), (answers, to)) = (here.into_split(), there.into_split());
        tokio::select! {
            () = pieces(from, to, &state, &asked) => {}
            () = pieces(answers, back, &state, &answered) => {}
        }
    };
    tokio::select! {
        biased;
        _ = cut.wait_for(|state| *state == State::Cut) => {}
        () = both => {}
    }
}

async fn pieces(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &watch::Sender<State>, then: &Then) {
    let (mut piece, mut held) = (vec![0; 16 * 1024], state.subscribe());
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if let Some((_, after)) = then.lock().unwrap().take_if(|(holds, _)| holds()) {
            state.send_replace(after);
        }
        if held.wait_for(|state| *state != State::Held).await.is_err()
            || to.write_all(piece.get(..length).unwrap()).await.is_err()
        {
            return;
        }
    }
}
