//! Parcels of tables that somebody altered: cut, moved, exchanged and flipped at every sealed part and at random places.
//! As the manifest lists them, nothing is even looked at. Relisted by whoever could sign another manifest, what comes out
//! before the alarm is what was sealed, and never anything else.

#![expect(clippy::arithmetic_side_effects, reason = "a place behind a parcel has failed the test")]

use std::ops::Range;

use super::*;

/// Three columns: what ten thousand openings take time for.
fn few() -> RecordBatch {
    rows().project(&[1, 5, 6]).unwrap()
}

/// Every sealed part, by the length before it, and the footer's frame behind them.
fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let number = |at: usize| {
        let four: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        usize::try_from(u32::from_le_bytes(four)).unwrap()
    };
    let footer = bytes.len() - 8 - number(bytes.len() - 8);
    let (mut parts, mut at) = (Vec::new(), 4);
    while at < footer {
        let end = at + 4 + number(at);
        parts.push(at..end);
        at = end;
    }
    assert!(at == footer && parts.len() > 6, "{parts:?} before {footer}");
    parts.push(footer..bytes.len());
    parts
}

/// Refused as it is listed, and, relisted, refused without another row than those that were sealed. Whether it was.
fn is_refused(right: &Sealed, altered: Vec<u8>, true_rows: &RecordBatch, what: &str) -> bool {
    let altered = Bytes::from(altered);
    assert_ne!(altered, right.bytes, "{what}: nothing was altered");
    assert_alarm(&open_parcel(&key(), &name(), altered.clone(), right.digest).map(drop), 503, what);
    let (mut out, mut refused) = (0, None);
    match open_parcel(&key(), &name(), altered.clone(), Digest::of(&altered)) {
        Err(trouble) => refused = Some(trouble),
        Ok(opened) => {
            for batch in opened {
                match batch {
                    Ok(batch) => {
                        assert_eq!(batch, true_rows.slice(out, batch.num_rows()), "{what}: other rows came out");
                        out += batch.num_rows();
                    }
                    Err(trouble) => refused = Some(trouble),
                }
            }
        }
    }
    if let Some(trouble) = refused {
        assert_alarm::<()>(&Err(trouble), 504, what);
        return true;
    }
    assert_eq!(out, true_rows.num_rows(), "{what}: rows are missing and nobody says so");
    false
}

#[test]
fn every_sealed_part_that_is_cut_lost_doubled_moved_or_anothers_is_refused() {
    let rows = rows();
    let (right, other) = (seal_as(&name(), std::slice::from_ref(&rows)), seal_as(&name(), std::slice::from_ref(&rows)));
    let (own, others) = (parts(&right.bytes), parts(&other.bytes));
    let piece = |bytes: &Bytes, range: &Range<usize>| bytes[range.clone()].to_vec();
    let with =
        |range: &Range<usize>, middle: &[u8]| [&right.bytes[..range.start], middle, &right.bytes[range.end..]].concat();
    let refused = |altered, what: &str| assert!(is_refused(&right, altered, &rows, what), "{what} made no difference");
    let mut unread = 0;
    for (number, part) in own.iter().enumerate() {
        for at in [part.start - 1, part.start, part.start + 1, part.end - 1] {
            refused(right.bytes[..at].to_vec(), &format!("cut at {at}"));
            refused(right.bytes[at..].to_vec(), &format!("begun at {at}"));
        }
        refused(with(part, &[]), &format!("without part {number}"));
        let twice = with(part, &piece(&right.bytes, part).repeat(2));
        unread += usize::from(!is_refused(&right, twice, &rows, &format!("part {number} twice")));
        // Of another parcel of the same name: the salt in its footer is another.
        refused(with(part, &piece(&other.bytes, &others[number])), &format!("part {number} of another parcel"));
        for later in own.iter().skip(number + 1) {
            let mut swapped = right.bytes[..part.start].to_vec();
            swapped.extend(piece(&right.bytes, later));
            swapped.extend(&right.bytes[part.end..later.start]);
            swapped.extend(piece(&right.bytes, part));
            swapped.extend(&right.bytes[later.end..]);
            refused(swapped, &format!("part {number} and the one at {} exchanged", later.start));
        }
    }
    // What follows the last page that rows are read from moves nothing that they are read from.
    assert!(unread <= 4, "{unread} of {}", own.len());
}

#[test]
fn ten_thousand_random_changes_of_a_table_are_refused() {
    let few = few();
    let (right, other) = (seal_as(&name(), std::slice::from_ref(&few)), seal_as(&name(), std::slice::from_ref(&few)));
    let length = right.bytes.len();
    let entropy: &dyn Entropy = &SeededEntropy::new(5);
    let mut harmless = 0;
    for round in 0..10_000 {
        let random = entropy.bytes::<32>().unwrap();
        let draws =
            random.as_chunks::<8>().0.iter().map(|eight| usize::try_from(u64::from_be_bytes(*eight) >> 1).unwrap());
        let [kind, one, two, three] = draws.collect::<Vec<_>>().try_into().unwrap();
        let mut altered = right.bytes.to_vec();
        let (at, long) = (one % length, two % 64 + 1);
        let end = (at + long).min(length);
        match kind % 4 {
            0 => altered[at] ^= u8::try_from(three % 255 + 1).unwrap(),
            1 => altered.truncate(at),
            // The same place of another parcel.
            2 => altered[at..end].copy_from_slice(&other.bytes[at..end]),
            // Two stretches change places.
            _ => altered.rotate_left(end.min(length - 1)),
        }
        if altered != right.bytes
            && !is_refused(&right, altered, &few, &format!("round {round}, kind {}, at {at}", kind % 4))
        {
            harmless += 1;
        }
    }
    // The frame of the footer: see `a_bit_that_flips_anywhere_is_an_alarm`.
    assert!(harmless < 10_000 / 20, "{harmless}");
}
