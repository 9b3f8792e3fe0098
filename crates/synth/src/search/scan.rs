use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton as _, StateID};
use lexicon::{Code, Fault, Result, Retry, Trouble};

use super::decode::{Outcome, Wrapped};
use super::needles::{Encoding, Lane, Magic, Meaning};
use super::{Limits, Needles};

/// How many wrapped streams of one stream are open at once. Streams follow one another and false starts die within
/// a few hundred bytes, so more than a handful means a file made to exhaust us.
const OPEN_MAX: usize = 256;

/// What one file's bytes and all their wrappings have shown so far.
pub(super) struct Sight<'n> {
    pub(super) needles: &'n Needles,
    pub(super) limits: Limits,
    pub(super) hits: BTreeMap<(Arc<str>, usize, Encoding), u64>,
    pub(super) missed: BTreeSet<String>,
    pub(super) decoded_bytes: u64,
    pub(super) wrapped: u64,
}

impl<'n> Sight<'n> {
    pub(super) fn new(needles: &'n Needles, limits: Limits) -> Self {
        Self { needles, limits, hits: BTreeMap::new(), missed: BTreeSet::new(), decoded_bytes: 0, wrapped: 0 }
    }
}

/// Walks both automata over one stream of bytes that arrive in pieces. The states are kept from one piece to the next,
/// so a border between two pieces hides nothing.
pub(super) struct Scanner {
    within: Arc<str>,
    depth: usize,
    /// Whether all of it may be chance: two bytes that happened to look like the mark of zlib began it.
    by_chance: bool,
    plain: StateID,
    folded: StateID,
    /// Where the folded automaton begins.
    start: StateID,
    seen: u64,
    open: Vec<Wrapped>,
}

impl Scanner {
    /// A scanner at the beginning of a stream; `within` names the wrappings that it came out of.
    pub(super) fn new(sight: &Sight<'_>, within: Arc<str>, depth: usize, by_chance: bool) -> Result<Self> {
        let start = |lane: &Lane| lane.automaton.start_state(Anchored::No).map_err(|_| defect());
        let (plain, folded) = (start(&sight.needles.plain)?, start(&sight.needles.folded)?);
        Ok(Self { within, depth, by_chance, plain, folded, start: folded, seen: 0, open: Vec::new() })
    }

    /// Takes the next piece of the stream.
    pub(super) fn feed(&mut self, bytes: &[u8], sight: &mut Sight<'_>) -> Result<()> {
        let needles = sight.needles;
        let mut begun = Vec::new();
        // One automaton after the other, each with its state in a register: the chunk stays in the cache meanwhile.
        let (lane, mut state) = (&needles.plain, self.plain);
        for (at, byte) in (1_usize..).zip(bytes) {
            state = lane.automaton.next_state(Anchored::No, state, *byte);
            if lane.automaton.is_special(state) {
                self.note(lane, state, at, &mut begun, sight);
            }
        }
        self.plain = state;
        let (lane, mut state) = (&needles.folded, self.folded);
        for byte in bytes.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
            // Most bytes of sealed data stand in no hexadecimal or base64 text; they all lead back to the start.
            if !byte.is_ascii_graphic() {
                state = self.start;
                continue;
            }
            state = lane.automaton.next_state(Anchored::No, state, *byte);
            if lane.automaton.is_special(state) {
                self.note(lane, state, 0, &mut begun, sight);
            }
        }
        self.folded = state;
        self.continue_open(bytes, sight)?;
        for (at, magic, mark) in begun {
            let behind = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(self.seen);
            // Sealed data looks like zlib once in 16 KiB, and so does what comes of unwrapping such a place.
            let first = behind == u64::try_from(mark.len()).unwrap_or(0) && !(self.by_chance && magic == Magic::Zlib);
            self.begin(magic, mark, first, bytes.get(at..).unwrap_or_default(), sight)?;
        }
        self.seen = self.seen.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        Ok(())
    }

    /// Ends the stream: what is still open was cut.
    pub(super) fn finish(self, sight: &mut Sight<'_>) -> Result<()> {
        for wrapped in self.open {
            if wrapped.is_first() {
                sight.missed.insert(format!("{} data that ends in the middle", wrapped.name()));
            }
            wrapped.finish(sight)?;
        }
        Ok(())
    }

    fn note(
        &self,
        lane: &Lane,
        state: StateID,
        at: usize,
        begun: &mut Vec<(usize, Magic, &'static [u8])>,
        sight: &mut Sight<'_>,
    ) {
        if !lane.automaton.is_match(state) {
            return;
        }
        for index in 0..lane.automaton.match_len(state) {
            match lane.meanings.get(lane.automaton.match_pattern(state, index).as_usize()) {
                Some(Meaning::Value { label, encoding }) => {
                    let count = sight.hits.entry((Arc::clone(&self.within), *label, *encoding)).or_insert(0);
                    *count = count.saturating_add(1);
                }
                Some(Meaning::Wrapped { magic, bytes }) => begun.push((at, *magic, bytes)),
                None => {}
            }
        }
    }

    fn begin(
        &mut self,
        magic: Magic,
        mark: &'static [u8],
        first: bool,
        rest: &[u8],
        sight: &mut Sight<'_>,
    ) -> Result<()> {
        if let Magic::Closed(name) = magic {
            // Four bytes are met by chance once in 4 GiB of sealed data; lz4 counts only as a file's beginning.
            if first || mark.len() > 4 {
                sight.missed.insert(format!("{name} data, which the search does not open"));
            }
            return Ok(());
        }
        if self.depth >= sight.limits.depth_max {
            if magic != Magic::Zlib {
                sight.missed.insert(format!("data wrapped more than {} times", sight.limits.depth_max));
            }
            return Ok(());
        }
        if self.open.len() >= OPEN_MAX {
            sight.missed.insert(format!("more than {OPEN_MAX} wrapped streams at once"));
            return Ok(());
        }
        let mut wrapped = Wrapped::begin(magic, first, &self.within, self.depth.saturating_add(1), sight)?;
        if keep(&mut wrapped, mark, sight)? && keep(&mut wrapped, rest, sight)? {
            self.open.push(wrapped);
        } else {
            wrapped.finish(sight)?;
        }
        Ok(())
    }

    fn continue_open(&mut self, bytes: &[u8], sight: &mut Sight<'_>) -> Result<()> {
        for mut wrapped in std::mem::take(&mut self.open) {
            if keep(&mut wrapped, bytes, sight)? {
                self.open.push(wrapped);
            } else {
                wrapped.finish(sight)?;
            }
        }
        Ok(())
    }
}

/// Feeds a wrapped stream; whether it goes on.
fn keep(wrapped: &mut Wrapped, bytes: &[u8], sight: &mut Sight<'_>) -> Result<bool> {
    Ok(match wrapped.feed(bytes, sight)? {
        Outcome::GoesOn => true,
        Outcome::Ended => false,
        Outcome::Broken(why) => {
            // A mark in the middle of other bytes is mostly chance; at the beginning it is what the file is.
            if wrapped.is_first() {
                sight.missed.insert(format!("{} data {why}", wrapped.name()));
            }
            false
        }
        Outcome::Locked(why) => {
            sight.missed.insert(format!("{} data {why}", wrapped.name()));
            false
        }
    })
}

pub(super) fn defect() -> Trouble {
    Fault::new(Code(1107), Retry::Never, "the search's automaton or a decoder could not be started").into()
}
