//! Segments worked on by several threads and given out in their order.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, sync_channel};
use std::thread;

use lexicon::{Code, Fault, Result, Retry};

use super::cut::Segment;

/// 16: one core seals some 6 GB/s, so that more of them wait for memory, disk or network.
const THREADS_MAX: usize = 16;

/// A thread has one segment in hand and one before it. 2 · 16 segments of 1 MiB: a parcel of any size takes 32 MiB.
const SEGMENTS_EACH: usize = 2;

/// What is done with each segment.
pub(super) struct Steps<'a> {
    /// Fills a segment; false when there is none left. Called in order, on the caller's thread.
    pub(super) take: &'a mut dyn FnMut(&mut Segment) -> Result<bool>,
    /// Called on any thread, in no order.
    pub(super) work: &'a (dyn Fn(&mut Segment) -> Result<()> + Sync),
    /// Called in order, on the caller's thread, for segments whose work went well and that follow no other.
    pub(super) give: &'a mut dyn FnMut(&Segment) -> Result<()>,
}

/// Carries every segment through the steps. The first trouble, in the order of segments, ends it: of that segment and
/// of later ones nothing is given out. One thread means the caller's own.
pub(super) fn carry(threads: NonZeroUsize, segment_bytes: usize, steps: Steps<'_>) -> Result<()> {
    let Steps { take, work, give } = steps;
    let threads = threads.get().min(THREADS_MAX);
    if threads == 1 {
        let mut segment = Segment::new(segment_bytes);
        while take(&mut segment)? {
            work(&mut segment)?;
            give(&segment)?;
        }
        return Ok(());
    }
    thread::scope(|scope| {
        let mut lines = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (line, inbox, outbox) = Line::new();
            thread::Builder::new()
                .spawn_scoped(scope, move || work_off(work, &inbox, &outbox))
                .map_err(|_| no_thread())?;
            lines.push(line);
        }
        // Each thread in its turn, both ways: what comes back first is what went first, and nothing is sorted.
        let (mut to, mut from) = (lines.iter().cycle(), lines.iter().cycle());
        let mut under_way = 0_usize;
        let ended = loop {
            let mut segment = if under_way < threads.saturating_mul(SEGMENTS_EACH) {
                under_way = under_way.saturating_add(1);
                Segment::new(segment_bytes)
            } else {
                let done = from.next().ok_or_else(no_thread)?.come()?;
                give(&done)?;
                done
            };
            match take(&mut segment) {
                Ok(true) => to.next().ok_or_else(no_thread)?.go(segment)?,
                ended => break ended.map(drop),
            }
        };
        // One less than there are buffers: the last one taken up stayed empty.
        for line in from.take(under_way.saturating_sub(1)) {
            give(&line.come()?)?;
        }
        ended
    })
}

type Worked = Result<Segment>;

/// To one thread and back.
struct Line {
    to: SyncSender<Segment>,
    from: Receiver<Worked>,
}

impl Line {
    fn new() -> (Self, Receiver<Segment>, SyncSender<Worked>) {
        let (to, inbox) = sync_channel(SEGMENTS_EACH);
        let (outbox, from) = sync_channel(SEGMENTS_EACH);
        (Self { to, from }, inbox, outbox)
    }

    fn go(&self, segment: Segment) -> Result<()> {
        self.to.send(segment).map_err(|_| no_thread().into())
    }

    fn come(&self) -> Worked {
        self.from.recv().unwrap_or_else(|RecvError| Err(no_thread().into()))
    }
}

/// Until the caller has no more, or has gone away.
fn work_off(
    work: &(dyn Fn(&mut Segment) -> Result<()> + Sync),
    inbox: &Receiver<Segment>,
    outbox: &SyncSender<Worked>,
) {
    for mut segment in inbox {
        let worked = work(&mut segment).map(|()| segment);
        if outbox.send(worked).is_err() {
            return;
        }
    }
}

fn no_thread() -> Fault {
    Fault::new(Code(511), Retry::Later, "the machine gave no thread to seal or open with")
}
