mod altered;
mod tink;

use std::io::{self, Read, Write};
use std::iter::Cycle;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use lexicon::{ConsignmentId, Digest, MigrationId, ParcelId, SeededEntropy, SystemEntropy};
use proptest::prelude::*;

use super::carry::{Steps, carry};
use super::cut::{Cutter, Segment};
use super::*;
use crate::tests::key_of as keys_of;

/// Room for 24 bytes beside the header, then for 64.
const SMALL: Shape = Shape { segment_bytes: 80 };
const FIRST: usize = SEGMENT_BYTES - HEADER_BYTES - TAG_BYTES;
const LATER: usize = SEGMENT_BYTES - TAG_BYTES;

fn name() -> ParcelName {
    ParcelName { table: "report".to_owned(), ..crate::tests::name() }
}

fn key_of(name: &ParcelName, shape: Shape) -> FileKey {
    FileKey { shape, ..keys_of(1, 2, 3).file_key(name).unwrap() }
}

fn key(shape: Shape) -> FileKey {
    key_of(&name(), shape)
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// What the vectors hold too.
fn counted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn sealed(key: &FileKey, clear: &[u8], count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = key.seal(&SystemEntropy::new(), &mut &*clear, &mut out, threads(count)).unwrap();
    assert_eq!(bytes, wide(clear.len()));
    out
}

/// What was handed out, and how it ended.
fn opened(key: &FileKey, mut sealed: &[u8], count: usize) -> (Vec<u8>, Result<u64>) {
    let mut out = Vec::new();
    let ended = key.open(&mut sealed, &mut out, threads(count));
    (out, ended)
}

fn code(ended: &Result<u64>) -> u16 {
    match ended {
        Ok(_) => 0,
        Err(Trouble::Alarm(alarm)) => alarm.code.0,
        Err(other) => panic!("no alarm: {other}"),
    }
}

/// Gives its bytes in pieces of odd sizes, and is interrupted now and then.
struct Pieces<'a>(&'a [u8], Cycle<Range<usize>>);

fn pieces(bytes: &[u8]) -> Pieces<'_> {
    Pieces(bytes, (0..7).cycle())
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.1.next().unwrap_or(0).min(into.len());
        if piece == 0 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(&mut into[..piece]) }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same_bytes(
        clear in proptest::collection::vec(any::<u8>(), 0..700),
        sealing in 1_usize..5,
        opening in 1_usize..5,
    ) {
        let key = key(SMALL);
        let mut out = Vec::new();
        let bytes = key.seal(&SystemEntropy::new(), &mut pieces(&clear), &mut out, threads(sealing)).unwrap();
        prop_assert_eq!(bytes, wide(clear.len()));
        prop_assert_eq!(wide(out.len()), SMALL.sealed_bytes(bytes));
        let mut back = Vec::new();
        let found = key.open(&mut pieces(&out), &mut back, threads(opening)).unwrap();
        prop_assert_eq!(found, bytes);
        prop_assert_eq!(back, clear);
    }

    #[test]
    fn any_range_reads_as_it_was_sealed(
        bytes in 0_usize..700,
        ends in any::<(prop::sample::Index, prop::sample::Index)>(),
        count in 1_usize..4,
    ) {
        let (key, clear) = (key(SMALL), counted(bytes));
        let sealed = sealed(&key, &clear, 1);
        let places = (0..=bytes).collect::<Vec<_>>();
        let (one, other) = (*ends.0.get(&places), *ends.1.get(&places));
        let (start, end) = (one.min(other), one.max(other));
        let sealed = sealed.as_slice();
        let ranges = key.ranges(&sealed).unwrap();
        prop_assert_eq!(ranges.bytes(), wide(bytes));
        let mut out = Vec::new();
        ranges.read(wide(start)..wide(end), &mut out, threads(count)).unwrap();
        prop_assert_eq!(out, &clear[start..end]);
    }
}

#[test]
fn every_size_around_the_ends_of_segments_comes_back() {
    let edges = [0, 24, 24 + 64, 24 + 2 * 64, 24 + 9 * 64];
    let small = edges.into_iter().flat_map(|edge: usize| edge.saturating_sub(2)..edge + 3);
    let edges = [0, FIRST, FIRST + LATER, FIRST + 4 * LATER];
    let large = edges.into_iter().flat_map(|edge: usize| edge.saturating_sub(1)..edge + 2);
    let cases = small.map(|bytes| (SMALL, bytes)).chain(large.map(|bytes| (Shape::TINK_1MB, bytes)));
    for (shape, bytes) in cases {
        let (key, clear) = (key(shape), counted(bytes));
        for count in [1, 3] {
            let sealed = sealed(&key, &clear, count);
            assert_eq!(wide(sealed.len()), shape.sealed_bytes(wide(bytes)), "{bytes}");
            let (out, ended) = opened(&key, &sealed, count);
            assert_eq!(ended.unwrap(), wide(bytes));
            assert!(out == clear, "{bytes}");
            let mut out = Vec::new();
            let sealed = sealed.as_slice();
            key.ranges(&sealed).unwrap().read(0..wide(bytes), &mut out, threads(count)).unwrap();
            assert!(out == clear, "{bytes}");
        }
    }
    assert_eq!(sealed_file_bytes(0), 56);
    assert_eq!(sealed_file_bytes(wide(FIRST)), wide(SEGMENT_BYTES));
    assert_eq!(sealed_file_bytes(wide(FIRST) + 1), wide(SEGMENT_BYTES) + 17);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let clear = counted(FIRST + 5 * LATER + 7);
    let seal = |count| {
        let mut out = Vec::new();
        key(Shape::TINK_1MB).seal(&SeededEntropy::new(5), &mut clear.as_slice(), &mut out, threads(count)).unwrap();
        Digest::of(&out)
    };
    let one = seal(1);
    assert!([2, 3, 16, 1000].into_iter().all(|count| seal(count) == one));
}

#[test]
fn the_same_file_sealed_twice_shares_no_segment() {
    let (key, clear) = (key(SMALL), [7; 300]);
    let (one, two) = (sealed(&key, &clear, 1), sealed(&key, &clear, 1));
    let shared = one.chunks(16).skip(1).filter(|piece| two.windows(16).any(|other| other == *piece)).count();
    assert_eq!(shared, 0);
    assert!(!one.windows(8).any(|piece| piece == [7; 8]));
}

#[test]
fn a_parcel_of_any_length_keeps_one_segment_for_each_of_16_threads_in_memory() {
    /// Bytes that are on their way, and the most there ever were.
    #[derive(Default)]
    struct UnderWay(AtomicUsize, AtomicUsize);
    struct Zeros<'a>(&'a UnderWay, usize);
    struct Nowhere<'a>(&'a UnderWay);
    impl Read for Zeros<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = into.len().min(self.1);
            self.1 -= bytes;
            let now = self.0.0.fetch_add(bytes, Ordering::SeqCst) + bytes;
            self.0.1.fetch_max(now, Ordering::SeqCst);
            Ok(bytes)
        }
    }
    impl Write for Nowhere<'_> {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            // Header and tags come out and never went in.
            let clear = if from.len() == HEADER_BYTES { 0 } else { from.len() - TAG_BYTES };
            self.0.0.fetch_sub(clear, Ordering::SeqCst);
            Ok(from.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let under_way = UnderWay::default();
    let bytes = 100 * SEGMENT_BYTES;
    let (mut clear, mut out) = (Zeros(&under_way, bytes), Nowhere(&under_way));
    key(Shape::TINK_1MB).seal(&SystemEntropy::new(), &mut clear, &mut out, threads(1000)).unwrap();
    assert_eq!(under_way.0.load(Ordering::SeqCst), 0);
    let most = under_way.1.load(Ordering::SeqCst);
    assert!((SEGMENT_BYTES..=17 * SEGMENT_BYTES).contains(&most), "{most}");
}

/// In the middle of its segment, whose turn the other threads would wait for without end.
#[test]
fn a_thread_that_panics_ends_the_others() {
    for count in [1, 2, 8] {
        let ended = std::panic::catch_unwind(|| {
            let mut taken = 0;
            let steps = Steps {
                take: &mut |segment| {
                    segment.place = Place { number: taken, last: false };
                    taken += 1;
                    Ok(taken <= 40)
                },
                work: &|segment| {
                    assert!(segment.place.number > 0, "as a cipher with a fault would");
                    Ok(())
                },
                give: &mut |_| Ok(()),
            };
            carry(threads(count), 64, steps)
        });
        assert!(ended.is_err());
    }
}

#[test]
fn whoever_reads_or_takes_the_bytes_may_fail_in_words_of_its_own() {
    #[derive(Clone, Copy)]
    struct Broken(fn() -> io::Error);
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err((self.0)())
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err((self.0)())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let key = key(SMALL);
    let plain = || io::Error::new(io::ErrorKind::TimedOut, "/home/lab/Dupont.pdf");
    let own = || io::Error::other(Trouble::from(Fault::new(Code(601), Retry::Now, "cut")));
    for (mut broken, reads, writes) in [(Broken(plain), 509, 510), (Broken(own), 601, 601)] {
        for count in [1, 3] {
            let entropy = SystemEntropy::new();
            let unread = key.seal(&entropy, &mut broken, &mut Vec::new(), threads(count)).unwrap_err();
            let untaken = key.seal(&entropy, &mut [1; 500].as_slice(), &mut broken, threads(count)).unwrap_err();
            assert_eq!((unread.code(), untaken.code()), (Code(reads), Code(writes)));
            let sealed = sealed(&key, &[1; 500], 1);
            let unread = key.open(&mut sealed[..200].chain(broken), &mut Vec::new(), threads(count)).unwrap_err();
            let untaken = key.open(&mut sealed.as_slice(), &mut broken, threads(count)).unwrap_err();
            assert_eq!((unread.code(), untaken.code()), (Code(reads), Code(writes)));
            assert!(!format!("{unread}{untaken}").contains("Dupont"));
        }
    }
}

#[test]
fn a_range_behind_the_end_is_a_fault_and_an_empty_one_is_nothing() {
    let key = key(SMALL);
    let sealed = sealed(&key, &counted(100), 1);
    let sealed = sealed.as_slice();
    let ranges = key.ranges(&sealed).unwrap();
    let mut out = Vec::new();
    assert_eq!(ranges.read(50..101, &mut out, threads(1)).unwrap_err().code(), Code(513));
    ranges.read(100..100, &mut out, threads(1)).unwrap();
    assert!(out.is_empty());
}

#[test]
fn there_is_no_segment_behind_number_4294967295() {
    let mut ones = io::repeat(1);
    let mut cutter = Cutter::new(&mut ones, 0, (24, 64));
    cutter.next = Some(u32::MAX);
    let error = cutter.fill(&mut Segment::new(80)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn the_key_of_a_file_is_not_printed() {
    assert_eq!(format!("{:?}", key(SMALL)), "FileKey(..)");
}
