//! Segments worked on by several threads and given out in their order.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use lexicon::{Code, Fault, Result, Retry, Trouble};

use super::cut::Segment;

/// 16: one core seals some 10 GB/s, so that more of them wait for memory, disk or network. A thread has one segment of
/// 1 MiB in hand: a parcel of any size takes 16 MiB.
const THREADS_MAX: usize = 16;

/// What is done with each segment.
pub(super) struct Steps<'a> {
    /// Fills a segment; false when there is none left. Called in order, by one thread at a time.
    pub(super) take: &'a mut (dyn FnMut(&mut Segment) -> Result<bool> + Send),
    /// Called on any thread, in no order.
    pub(super) work: &'a (dyn Fn(&mut Segment) -> Result<()> + Sync),
    /// Called in order, by one thread at a time, for segments whose work went well and that follow no other.
    pub(super) give: &'a mut (dyn FnMut(&Segment) -> Result<()> + Send),
}

/// Carries every segment through the steps, each on one thread from its beginning to its end: its bytes stay in the
/// cache of one core. The first trouble, in the order of segments, ends it: of that segment and of later ones nothing is
/// given out. The caller's thread is one of them; one that the machine does not give is done without.
pub(super) fn carry(threads: NonZeroUsize, segment_bytes: usize, steps: Steps<'_>) -> Result<()> {
    let Steps { take, work, give } = steps;
    let carrier = Carrier {
        source: Mutex::new(Source { take, next: 0, ended: false }),
        work,
        target: Mutex::new(Target { give, next: 0, trouble: None }),
        turn: Condvar::new(),
        segment_bytes,
    };
    let beside = threads.get().min(THREADS_MAX).saturating_sub(1);
    thread::scope(|scope| {
        for _ in 0..beside {
            // Joined at the scope's end.
            drop(thread::Builder::new().spawn_scoped(scope, || carrier.carry()));
        }
        carrier.carry();
    });
    let Target { trouble, .. } = carrier.target.into_inner().unwrap_or_else(PoisonError::into_inner);
    trouble.map_or(Ok(()), Err)
}

struct Carrier<'a> {
    source: Mutex<Source<'a>>,
    work: &'a (dyn Fn(&mut Segment) -> Result<()> + Sync),
    target: Mutex<Target<'a>>,
    /// Called when another segment may be given out, or none any more.
    turn: Condvar,
    segment_bytes: usize,
}

struct Source<'a> {
    take: &'a mut (dyn FnMut(&mut Segment) -> Result<bool> + Send),
    /// The number of the next segment.
    next: u64,
    ended: bool,
}

struct Target<'a> {
    give: &'a mut (dyn FnMut(&Segment) -> Result<()> + Send),
    /// The number of the segment whose turn it is.
    next: u64,
    trouble: Option<Trouble>,
}

impl Carrier<'_> {
    /// One segment after the other, until there is none or one went wrong.
    fn carry(&self) {
        // A thread that panics would leave the others waiting for its turn.
        let leaving = Leaving(self);
        let mut segment = Segment::new(self.segment_bytes);
        while let Some((number, taken)) = self.take(&mut segment) {
            let worked = taken.and_then(|()| (self.work)(&mut segment));
            if !self.give(number, worked, &segment) {
                break;
            }
        }
        drop(leaving);
    }

    /// Which segment it is, and whether it could be had; none behind the last.
    fn take(&self, segment: &mut Segment) -> Option<(u64, Result<()>)> {
        let mut source = self.source.lock().ok()?;
        if source.ended {
            return None;
        }
        let taken = (source.take)(segment);
        source.ended = !matches!(taken, Ok(true));
        let number = source.next;
        source.next = number.saturating_add(1);
        match taken {
            Ok(false) => None,
            Ok(true) => Some((number, Ok(()))),
            Err(trouble) => Some((number, Err(trouble))),
        }
    }

    /// Waits for the segment's turn; whether there may be another.
    fn give(&self, number: u64, worked: Result<()>, segment: &Segment) -> bool {
        let turn = self.target.lock().and_then(|target| {
            self.turn.wait_while(target, |target| target.trouble.is_none() && target.next != number)
        });
        let Ok(mut target) = turn else { return false };
        if target.trouble.is_some() {
            return false;
        }
        target.next = number.saturating_add(1);
        target.trouble = worked.and_then(|()| (target.give)(segment)).err();
        self.turn.notify_all();
        target.trouble.is_none()
    }
}

struct Leaving<'c, 'a>(&'c Carrier<'a>);

impl Drop for Leaving<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            if let Ok(mut target) = self.0.target.lock() {
                target.trouble.get_or_insert_with(|| ended_early().into());
            }
            self.0.turn.notify_all();
        }
    }
}

fn ended_early() -> Fault {
    Fault::new(Code(511), Retry::Never, "a thread that seals or opens ended before its work did")
}
