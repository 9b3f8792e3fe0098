//! Whatever is not what was sealed is an alarm, and nothing from there on is handed out.

use super::*;

/// Nine full segments and one of 5 bytes.
const CLEAR: usize = 24 + 8 * 64 + 5;

/// The segment that a byte of a small parcel lies in; the header counts as the first.
fn segment_at(at: usize) -> usize {
    at / SMALL.segment_bytes
}

/// How many bytes the segments before this one hold.
fn clear_before(segment: usize) -> usize {
    usize::try_from(SMALL.clear_start(u32::try_from(segment).unwrap())).unwrap()
}

/// Refused by the alarm for a parcel whose first bad segment is `segment`; all before it comes out and nothing else
/// does.
#[track_caller]
fn refused_at(key: &FileKey, altered: &[u8], segment: usize, count: usize) {
    let (out, ended) = opened(key, altered, count);
    assert_eq!(code(&ended), if segment == 0 { 504 } else { 508 }, "segment {segment}");
    assert!(out == counted(clear_before(segment)), "{} bytes came out before segment {segment}", out.len());
}

/// No range of a parcel with an altered byte gives other bytes than were sealed.
#[track_caller]
fn no_range_lies(key: &FileKey, altered: &[u8], at: usize) {
    let (bad, last) = (segment_at(at), segment_at(altered.len().saturating_sub(1)));
    let ranges = match key.ranges(&altered) {
        Ok(ranges) => ranges,
        // Header and last segment are looked at first.
        Err(refused) => return assert_eq!((refused.code(), at < HEADER_BYTES || bad == last), (Code(504), true)),
    };
    let clear = counted(CLEAR);
    assert_eq!(ranges.bytes(), wide(CLEAR));
    let starts: Vec<usize> = (0..=last).map(clear_before).chain([CLEAR]).collect();
    for (segment, ends) in starts.windows(2).enumerate() {
        let range = ends[0]..ends[1];
        let mut out = Vec::new();
        let read = ranges.read(wide(range.start)..wide(range.end), &mut out, threads(1));
        if segment == bad {
            assert_eq!(read.unwrap_err().code(), Code(508));
            assert!(out.is_empty());
        } else {
            read.unwrap();
            assert!(out == clear[range]);
        }
    }
}

#[test]
fn one_flipped_bit_anywhere_is_refused() {
    let key = key(SMALL);
    let right = sealed(&key, &counted(CLEAR), 1);
    for at in 0..right.len() {
        for bit in 0..8 {
            let mut altered = right.clone();
            altered[at] ^= 1 << bit;
            refused_at(&key, &altered, segment_at(at), 1);
            no_range_lies(&key, &altered, at);
        }
    }
}

#[test]
fn ten_thousand_random_changes_are_refused() {
    let key = key(SMALL);
    let right = sealed(&key, &counted(CLEAR), 1);
    let entropy: &dyn Entropy = &SeededEntropy::new(4);
    for _ in 0..10_000 {
        let [at, more_at, change] = entropy.bytes::<24>().unwrap().as_chunks::<8>().0.try_into().map(draw).unwrap();
        let at = at % right.len();
        let mut altered = right.clone();
        altered[at] ^= u8::try_from(change % 255 + 1).unwrap();
        // A second change behind the first makes no difference.
        let more_at = at + 1 + more_at % right.len();
        altered.iter_mut().skip(more_at).take(1).for_each(|byte| *byte ^= 0x55);
        refused_at(&key, &altered, segment_at(at), 1);
    }
}

fn draw(parts: [[u8; 8]; 3]) -> [usize; 3] {
    parts.map(|part| usize::try_from(u64::from_be_bytes(part) >> 1).unwrap())
}

#[test]
fn a_cut_at_any_byte_is_refused() {
    let key = key(SMALL);
    let right = sealed(&key, &counted(CLEAR), 1);
    for bytes in 0..right.len() {
        // A segment that ends where the parcel was cut was not sealed as the last; one that is cut has no tag.
        let bad = segment_at(bytes.saturating_sub(1));
        refused_at(&key, &right[..bytes], bad, 1);
        let cut = &right[..bytes];
        assert_eq!(key.ranges(&cut).err().unwrap().code(), Code(504), "{bytes}");
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let key = key(SMALL);
    for clear in [0, 24, CLEAR, 24 + 64] {
        let right = sealed(&key, &counted(clear), 1);
        let last = segment_at(right.len() - 1);
        for more in [1, 15, 16, 17, 80, 81] {
            let longer = [right.as_slice(), &vec![0; more]].concat();
            refused_at(&key, &longer, last, 1);
            let longer = longer.as_slice();
            assert_eq!(key.ranges(&longer).err().unwrap().code(), Code(504));
        }
    }
}

/// With threads that run ahead of it.
#[test]
fn a_bad_segment_of_1_mib_stops_what_comes_out_before_it() {
    let key = key(Shape::TINK_1MB);
    let clear = counted(FIRST + 3 * LATER + 9);
    let right = sealed(&key, &clear, 3);
    let edges = [HEADER_BYTES, SEGMENT_BYTES, 2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES, 4 * SEGMENT_BYTES, right.len()];
    let places = edges.into_iter().flat_map(|edge| [edge - 1, edge]).filter(|at| *at < right.len());
    for at in places {
        let mut altered = right.clone();
        altered[at] ^= 4;
        let segment = at / SEGMENT_BYTES;
        let before = if segment == 0 { 0 } else { FIRST + (segment - 1) * LATER };
        for count in [1, 4] {
            let (out, ended) = opened(&key, &altered, count);
            assert_eq!(code(&ended), if segment == 0 { 504 } else { 508 });
            assert!(out == clear[..before], "byte {at}");
        }
    }
    for bytes in edges.into_iter().filter(|edge| *edge < right.len()) {
        let (out, ended) = opened(&key, &right[..bytes], 4);
        let before = bytes.saturating_sub(SEGMENT_BYTES) / SEGMENT_BYTES;
        assert!(code(&ended) > 0);
        assert!(out == clear[..if before == 0 { 0 } else { FIRST + (before - 1) * LATER }], "cut to {bytes}");
    }
}

#[test]
fn an_alarm_is_not_hidden_by_a_reader_that_fails_behind_it() {
    struct Gone;
    impl Read for Gone {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let key = key(SMALL);
    let mut altered = sealed(&key, &counted(CLEAR), 1);
    altered[2 * SMALL.segment_bytes] ^= 1;
    for count in [1, 4] {
        let mut out = Vec::new();
        let ended = key.open(&mut altered[..6 * SMALL.segment_bytes].chain(Gone), &mut out, threads(count));
        assert_eq!((code(&ended), out), (508, counted(clear_before(2))));
    }
}

#[test]
fn segments_that_moved_or_came_from_elsewhere_are_refused() {
    let key = key(SMALL);
    let [right, other] = [(); 2].map(|()| sealed(&key, &counted(CLEAR), 1));
    let parts = |sealed: &[u8]| sealed.chunks(SMALL.segment_bytes).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (right, other) = (parts(&right), parts(&other));
    for at in 1..right.len() {
        let mut missing = right.clone();
        missing.remove(at);
        refused_at(&key, &missing.concat(), at.min(missing.len() - 1), 2);
        let mut twice = right.clone();
        twice.insert(at, right[at].clone());
        // The last one twice: the first of both is then not at the end.
        refused_at(&key, &twice.concat(), (at + 1).min(right.len() - 1), 2);
        let mut spliced = right.clone();
        spliced[at].clone_from(&other[at]);
        refused_at(&key, &spliced.concat(), at, 2);
        for with in at + 1..right.len() {
            let mut swapped = right.clone();
            swapped.swap(at, with);
            refused_at(&key, &swapped.concat(), at, 2);
        }
    }
    let mut beginning = right.clone();
    beginning[0].clone_from(&other[0]);
    let (out, ended) = opened(&key, &beginning.concat(), 1);
    assert_eq!((out, code(&ended)), (counted(24), 508));
}

#[test]
fn a_parcel_opens_under_its_whole_name_and_its_shares_only() {
    let sealed = sealed(&key(SMALL), &counted(CLEAR), 1);
    let others = [
        ParcelName { migration: MigrationId([9; 16]), ..name() },
        ParcelName { consignment: ConsignmentId([9; 16]), ..name() },
        ParcelName { parcel: ParcelId([9; 16]), ..name() },
        ParcelName { attempt: 2, ..name() },
        ParcelName { sequence: 1, ..name() },
        ParcelName { table: "repor".to_owned(), ..name() },
    ];
    for other in &others {
        refused_at(&key_of(other, SMALL), &sealed, 0, 1);
        assert_eq!(key_of(other, SMALL).ranges(&sealed.as_slice()).err().unwrap().code(), Code(504));
    }
    for (laboratory, strongroom, act) in [(9, 2, 3), (1, 9, 3), (1, 2, 9)] {
        let key = keys_of(laboratory, strongroom, act).file_key(&name()).unwrap();
        refused_at(&FileKey { shape: SMALL, ..key }, &sealed, 0, 1);
    }
    refused_at(&key(Shape::TINK_1MB), &sealed, 0, 1);
}

#[test]
fn an_empty_segment_behind_a_full_one_is_refused_although_it_was_sealed() {
    let key = key(SMALL);
    let header = Header::draw(&SystemEntropy::new()).unwrap();
    let cipher = key.cipher(&header).unwrap();
    let mut first = counted(24);
    let tag = cipher.seal(Place { number: 0, last: false }, &mut first).unwrap();
    let end = cipher.seal(Place { number: 1, last: true }, &mut []).unwrap();
    let sealed = [header.bytes(), first, tag.as_ref().to_vec(), end.as_ref().to_vec()].concat();
    refused_at(&key, &sealed, 1, 1);
    assert_eq!(key.ranges(&sealed.as_slice()).err().unwrap().code(), Code(504));
}

/// Cut, begun later, moved or spliced at random places: nothing from the first other byte on is handed out.
#[test]
fn ten_thousand_random_cuts_moves_and_splices_are_refused() {
    let key = key(SMALL);
    let clear = counted(CLEAR);
    let [right, other] = [(); 2].map(|()| sealed(&key, &clear, 1));
    let entropy: &dyn Entropy = &SeededEntropy::new(6);
    for round in 0..10_000 {
        let [one, two, three] = entropy.bytes::<24>().unwrap().as_chunks::<8>().0.try_into().map(draw).unwrap();
        let (at, to) = (one % right.len(), two % right.len());
        let (at, to) = (at.min(to), at.max(to));
        let mut altered = right.clone();
        match three % 4 {
            0 => altered.truncate(at),
            1 => _ = altered.drain(at..to),
            2 => altered[at..to].copy_from_slice(&other[at..to]),
            _ => altered[at..].rotate_left(to - at),
        }
        if altered == right {
            continue;
        }
        // It opens under the key of the parcel whose header it begins with, as far as it is that parcel.
        let far = |whole: &[u8]| {
            let first = (0..whole.len()).find(|at| altered.get(*at) != whole.get(*at)).unwrap_or(whole.len());
            if first < HEADER_BYTES { 0 } else { segment_at(first.min(altered.len() - 1)) }
        };
        let bad = far(&right).max(far(&other));
        let (out, ended) = opened(&key, &altered, 1);
        assert!([504, 508].contains(&code(&ended)), "round {round}: {ended:?}");
        assert!(out == clear[..clear_before(bad)], "round {round}: {} bytes came out", out.len());
    }
}

#[test]
fn whole_segments_of_1_mib_that_moved_or_came_from_elsewhere_are_refused() {
    let key = key(Shape::TINK_1MB);
    let clear = counted(FIRST + 2 * LATER + 9);
    let [right, other] = [(); 2].map(|()| sealed(&key, &clear, 3));
    let parts = |sealed: &[u8]| sealed.chunks(SEGMENT_BYTES).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (right, other) = (parts(&right), parts(&other));
    let before = |segment: usize| if segment == 0 { 0 } else { FIRST + (segment - 1) * LATER };
    for at in 0..right.len() {
        let mut spliced = right.clone();
        spliced[at].clone_from(&other[at]);
        let mut missing = right.clone();
        missing.remove(at);
        let mut swapped = right.clone();
        swapped.swap(at, (at + 1) % right.len());
        let first_swapped = if at + 1 == right.len() { 0 } else { at };
        for (altered, bad) in [(spliced, at), (missing, at.min(right.len() - 2)), (swapped, first_swapped)] {
            let (out, ended) = opened(&key, &altered.concat(), 4);
            assert!([504, 508].contains(&code(&ended)), "{ended:?}");
            // With another parcel's header the first segment does not open; all others are of that parcel's key.
            assert!(out.len() <= before(bad.max(1)) && out == clear[..out.len()], "segment {at}: {}", out.len());
        }
    }
}
