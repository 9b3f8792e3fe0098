//! A place of keys that may hang: its calls run on a thread of their own, and are waited for so long and no longer. As long
//! as one has not come back the place cannot be reached, at once for whoever comes next. One that panicked has come back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lexicon::{Code, ConsignmentId, Fault, Result, Retry};

use super::flaw::Flaw;
use super::names::Names;
use super::store::{KeyStore, Unwrapped};
use super::{Level, Said};

/// 30 s: a token behind a network that lost a packet has answered by then, and whoever sent the request still waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

type Call = Box<dyn FnOnce(&dyn KeyStore) + Send>;

/// One place of keys with patience.
pub(super) struct Patient {
    calls: Option<SyncSender<Call>>,
    working: Option<JoinHandle<()>>,
    /// Whether the thread is at a call; it is given no second one.
    at_work: Arc<AtomicBool>,
    patience: Duration,
    names: Names,
    level: Level,
    achieves: &'static str,
}

impl Patient {
    /// Takes the place over.
    ///
    /// # Errors
    /// A fault when the machine gives no thread.
    pub(super) fn over(store: Box<dyn KeyStore>, patience: Duration) -> Result<Self> {
        let (names, level, achieves) = (store.names().clone(), store.level(), store.achieves());
        let (calls, inbox) = sync_channel::<Call>(1);
        // Until nobody is left who calls. A call that never comes back keeps its thread, and nothing else.
        let work = move || inbox.into_iter().for_each(|call| call(store.as_ref()));
        let working = thread::Builder::new().spawn(work).map_err(|error| {
            let why = format!("the machine gave no thread for the key store: {}", error.kind());
            Fault::new(Code(720), Retry::Later, why)
        })?;
        let (calls, working) = (Some(calls), Some(working));
        Ok(Self { calls, working, at_work: Arc::default(), patience, names, level, achieves })
    }

    fn ask<T: Send + 'static>(&self, call: impl FnOnce(&dyn KeyStore) -> Result<T> + Send + 'static) -> Result<T> {
        if self.at_work.swap(true, Ordering::SeqCst) {
            return Err(hangs().into());
        }
        let (answer, answered) = sync_channel(1);
        let at_work = Arc::clone(&self.at_work);
        let call: Call = Box::new(move |store| {
            // The place says itself what it left unwhole: whoever holds a lock in a panic has spoilt it.
            let said = catch_unwind(AssertUnwindSafe(|| call(store)));
            at_work.store(false, Ordering::SeqCst);
            // Nobody listens any more when it came too late. Of a panic there is nothing to say but that it was one.
            drop(said.map(|said| answer.send(said)));
        });
        // A thread that is gone takes nothing and answers nothing.
        drop(self.calls.as_ref().map(|calls| calls.send(call)));
        answered.recv_timeout(self.patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => hangs(),
            RecvTimeoutError::Disconnected => broke_off(),
        })?
    }
}

impl Drop for Patient {
    /// The module is put away before another ring may load it, unless it hangs.
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(working) = self.working.take().filter(|_| !self.at_work.load(Ordering::SeqCst)) {
            drop(working.join());
        }
    }
}

fn hangs() -> Fault {
    Fault::new(Code(720), Retry::Later, "the token cannot be reached: its module does not come back from a call")
}

fn broke_off() -> Fault {
    Fault::new(Code(720), Retry::Later, "the token cannot be reached: what was asked of its module broke off")
}

impl KeyStore for Patient {
    fn identity(&self) -> Result<String> {
        self.ask(|store| store.identity())
    }

    fn held(&self) -> Result<Vec<ConsignmentId>> {
        self.ask(|store| store.held())
    }

    fn holds(&self, id: ConsignmentId) -> Result<bool> {
        self.ask(move |store| store.holds(id))
    }

    fn make(&self, id: ConsignmentId) -> Result<()> {
        self.ask(move |store| store.make(id))
    }

    fn seal(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Option<Vec<u8>>> {
        let (aad, plain) = (aad.to_vec(), zeroize::Zeroizing::new(plain.to_vec()));
        self.ask(move |store| store.seal(id, &aad, &plain))
    }

    fn open(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Unwrapped> {
        let (aad, sealed) = (aad.to_vec(), sealed.to_vec());
        self.ask(move |store| store.open(id, &aad, &sealed))
    }

    fn flaws(&self, id: ConsignmentId) -> Result<Vec<Flaw>> {
        self.ask(move |store| store.flaws(id))
    }

    fn kill(&self, id: ConsignmentId) -> Result<Vec<Said>> {
        self.ask(move |store| store.kill(id))
    }

    fn names(&self) -> &Names {
        &self.names
    }

    fn level(&self) -> Level {
        self.level
    }

    fn achieves(&self) -> &'static str {
        self.achieves
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use lexicon::Digest;

    use super::*;

    const ID: ConsignmentId = ConsignmentId([1; 16]);

    /// A place that comes back when the test lets it and says when it kills, or breaks off where the test hangs up.
    struct Hanging {
        let_go: Mutex<Receiver<()>>,
        back: Sender<&'static str>,
        names: Names,
    }

    impl Hanging {
        fn new(let_go: Receiver<()>, back: Sender<&'static str>) -> Self {
            Self { let_go: Mutex::new(let_go), back, names: Names::new("key", '-', &Digest([1; 32])) }
        }
    }

    impl KeyStore for Hanging {
        fn identity(&self) -> Result<String> {
            Ok("a token".to_owned())
        }
        fn held(&self) -> Result<Vec<ConsignmentId>> {
            Ok(vec![ID])
        }
        fn holds(&self, _: ConsignmentId) -> Result<bool> {
            self.let_go.lock().unwrap().recv().unwrap();
            self.back.send("held").unwrap();
            Ok(true)
        }
        fn make(&self, _: ConsignmentId) -> Result<()> {
            Ok(())
        }
        fn seal(&self, _: ConsignmentId, _: &[u8], plain: &[u8]) -> Result<Option<Vec<u8>>> {
            Ok(Some(plain.to_vec()))
        }
        fn open(&self, _: ConsignmentId, _: &[u8], _: &[u8]) -> Result<Unwrapped> {
            Ok(Unwrapped::NoKey)
        }
        fn flaws(&self, _: ConsignmentId) -> Result<Vec<Flaw>> {
            Ok(Vec::new())
        }
        fn kill(&self, _: ConsignmentId) -> Result<Vec<Said>> {
            self.back.send("killed").unwrap();
            Ok(Vec::new())
        }
        fn names(&self) -> &Names {
            &self.names
        }
        fn level(&self) -> Level {
            Level::K1
        }
        fn achieves(&self) -> &'static str {
            "nothing"
        }
    }

    #[test]
    fn a_call_that_hangs_is_given_up_others_are_not_begun_behind_it_and_once_it_is_back_all_go_on() {
        let ((go, let_go), (back, came_back)) = (channel(), channel());
        let hanging = Hanging::new(let_go, back);
        let patient = Arc::new(Patient::over(Box::new(hanging), Duration::from_millis(20)).unwrap());
        assert_eq!(patient.seal(ID, b"", b"plain").unwrap().unwrap(), b"plain");

        // Beside this one, which would wait for as long as the other.
        let ((told, heard), other) = (channel(), Arc::clone(&patient));
        thread::spawn(move || told.send(other.holds(ID)));
        let late = heard.recv_timeout(Duration::from_mins(1)).expect("it is still waited for").unwrap_err();
        assert!(late.code() == Code(720) && late.to_string().contains("does not come back"), "{late}");
        // Nothing is queued behind it: a place that hangs is told at once, and a destruction is not done late and unseen.
        assert_eq!(patient.kill(ID).unwrap_err().code(), Code(720));

        go.send(()).unwrap();
        assert_eq!(came_back.recv().unwrap(), "held");
        while patient.at_work.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        assert_eq!(patient.held().unwrap(), [ID]);
        assert!(came_back.try_recv().is_err(), "what was refused was done all the same");
        assert_eq!((patient.level(), patient.achieves()), (Level::K1, "nothing"));
    }

    #[test]
    fn a_call_that_panics_is_told_as_one_that_broke_off_and_the_next_is_asked() {
        let ((go, let_go), (back, came_back)) = (channel(), channel());
        let hanging = Hanging::new(let_go, back);
        let patient = Patient::over(Box::new(hanging), PATIENCE).unwrap();
        drop(go);
        for _ in 0..2 {
            let told = patient.holds(ID).unwrap_err();
            assert!(told.code() == Code(720) && told.to_string().contains("broke off"), "{told}");
            assert_eq!(patient.held().unwrap(), [ID], "it hangs no more than before");
        }
        drop(patient);
        assert!(came_back.recv().is_err(), "its thread ended with it");
    }
}
