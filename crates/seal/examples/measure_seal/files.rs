//! Between files, and the disk alone.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZeroUsize;

use lexicon::{Entropy, Result, SeededEntropy, SystemEntropy};

use crate::{MIB, Took, failed, key, measured, name, usage};

/// One step between two files. What it wrote into a file is on the disk before the step has ended.
pub(crate) fn file(verb: &str, (from, to): (&str, &str), mib: usize, threads: NonZeroUsize) -> Result<Took> {
    let (key, entropy) = (key()?.file_key(&name())?, SystemEntropy::new());
    let read = || File::open(from).map_err(|_| failed("opening the file to read"));
    match verb {
        "make" | "write" => {
            let mut piece = vec![0; MIB];
            let noise = SeededEntropy::new(1);
            noise.fill(&mut piece)?;
            measured(|| {
                let mut to = created(to)?;
                for place in 0..mib {
                    if verb == "make" {
                        // Another beginning for each, so that no two are alike; drawing all of it would take long.
                        piece.iter_mut().zip(place.to_le_bytes()).for_each(|(to, from)| *to = from);
                    }
                    to.write_all(&piece).map_err(|_| failed("writing"))?;
                }
                durable(&to)?;
                Ok(mib.saturating_mul(MIB))
            })
        }
        "seal" => measured(|| {
            let (mut from, mut to) = (read()?, created(to)?);
            let bytes = key.seal(&entropy, &mut from, &mut to, threads)?;
            durable(&to)?;
            usize::try_from(bytes).map_err(|_| failed("counting").into())
        }),
        "open" => measured(|| {
            let (mut from, mut to) = (read()?, created(to)?);
            let bytes = key.open(&mut from, &mut to, threads)?;
            durable(&to)?;
            usize::try_from(bytes).map_err(|_| failed("counting").into())
        }),
        "same" => measured(|| same(&mut read()?, &mut File::open(to).map_err(|_| failed("opening the file to read"))?)),
        _ => Err(usage().into()),
    }
}

/// Otherwise a sealing of nothing would be the cheapest.
fn same(one: &mut File, other: &mut File) -> Result<usize> {
    let (mut left, mut right, mut bytes) = (vec![0; MIB], vec![0; MIB], 0_usize);
    loop {
        let read = one.read(&mut left).map_err(|_| failed("reading"))?;
        let (left, right) = (left.get(..read).unwrap_or_default(), right.get_mut(..read).unwrap_or_default());
        other.read_exact(right).map_err(|_| failed("comparing"))?;
        if left != right {
            return Err(failed("comparing what was sealed with what was opened").into());
        }
        if read == 0 {
            return Ok(bytes);
        }
        bytes = bytes.saturating_add(read);
    }
}

fn created(to: &str) -> Result<File> {
    let made = OpenOptions::new().write(true).create(true).truncate(true).open(to);
    made.map_err(|_| failed("making the file to write").into())
}

/// A place like `/dev/null` has nothing to make durable.
fn durable(to: &File) -> Result<()> {
    let is_file = to.metadata().map_err(|_| failed("looking at the file"))?.is_file();
    if is_file { to.sync_all().map_err(|_| failed("making the file durable").into()) } else { Ok(()) }
}
