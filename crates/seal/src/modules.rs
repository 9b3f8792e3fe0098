//! What Parquet reads a parcel's pages through. Before each encrypted module its length stands in clear, and Parquet
//! reserves memory by it before it authenticates a byte: whoever sealed a parcel could make it ask for 4 GiB. Here a
//! module is given out only if it is as long as it says, in the memory that the parcel already takes.

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// 64 KiB: the sealed head of a page. Ours have less than 100 bytes, one with statistics some hundreds.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The length, a nonce of 12 bytes and a tag of 16: an encrypted module of nothing.
const MODULE_BYTES_MIN: usize = 4 + 12 + 16;

/// A parcel's bytes, module by module.
#[derive(Clone)]
pub(crate) struct Modules(pub(crate) Bytes);

impl Modules {
    /// The module that begins here, with the length before it.
    fn at(&self, start: u64) -> Result<Bytes> {
        let range = || {
            let start = usize::try_from(start).ok()?;
            let length = u32::from_le_bytes(*self.0.get(start..)?.first_chunk()?);
            let end = start.checked_add(4)?.checked_add(usize::try_from(length).ok()?)?;
            (end <= self.0.len()).then_some(start..end)
        };
        let module = range().map(|range| self.0.slice(range)).filter(|module| module.len() >= MODULE_BYTES_MIN);
        module.ok_or_else(untrue)
    }
}

fn untrue() -> ParquetError {
    ParquetError::General("a module is not as long as it says".to_owned())
}

impl Length for Modules {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Modules {
    type T = Reader<Bytes>;

    /// The head of a page, which Parquet reads by the length before it, and nothing behind it.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let head = self.at(start)?;
        if head.len() > HEAD_BYTES_MAX { Err(untrue()) } else { Ok(head.reader()) }
    }

    /// A page, as long as its head says.
    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let page = self.at(start)?;
        if page.len() == length { Ok(page) } else { Err(untrue()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven bytes of something else, then a module that says that it has `said` bytes and has `length`.
    fn module(said: u32, length: usize) -> Modules {
        let module = [&[9; 7][..], &said.to_le_bytes()[..], &vec![1; length][..]].concat();
        Modules(Bytes::from(module))
    }

    /// Lengths that nothing of a parcel has.
    const UNTRUE: [u32; 5] = [41, 42, 1_600_000_000, u32::MAX - 3, u32::MAX];

    #[test]
    fn a_module_that_is_longer_than_what_is_there_reserves_nothing_and_is_refused() {
        for said in UNTRUE {
            let parcel = module(said, 40);
            assert!(parcel.get_read(7).is_err() && parcel.get_bytes(7, 44).is_err(), "{said}");
        }
        let parcel = module(40, 40);
        let (head, page) = (parcel.get_read(7).unwrap().into_inner(), parcel.get_bytes(7, 44).unwrap());
        let there = parcel.0.get(7..).unwrap().as_ptr();
        assert_eq!((head.len(), page.len(), head.as_ptr(), page.as_ptr()), (44, 44, there, there));
        for nowhere in [48, 51, u64::MAX] {
            assert!(parcel.get_read(nowhere).is_err() && parcel.get_bytes(nowhere, 44).is_err(), "{nowhere}");
        }
    }

    /// How a process of this test is told what to do where memory is short.
    #[cfg(target_os = "linux")]
    const SHORT: &str = "LAZARET_SEAL_MEMORY_IS_SHORT";

    #[cfg(target_os = "linux")]
    #[test]
    fn a_length_that_is_not_true_reserves_nothing() {
        match std::env::var(SHORT).as_deref() {
            Ok("read") => {
                let asked = |said| (module(said, 40).get_read(7).is_err(), module(said, 40).get_bytes(7, 44).is_err());
                assert!(UNTRUE.map(asked).into_iter().all(|refused| refused == (true, true)));
            }
            Ok(_) => drop(std::hint::black_box(vec![1_u8; 1_600_000_000])),
            Err(_) => {
                // 1 GiB of addresses for all of the process: less than three of these lengths say.
                let ends_well = |does: &str| {
                    let mut process = std::process::Command::new("sh");
                    process.args(["-c", "ulimit -v 1048576 && exec \"$0\" --exact modules::tests::a_length_that_is_not_true_reserves_nothing"]);
                    let output = process.arg(std::env::current_exe().unwrap()).env(SHORT, does).output().unwrap();
                    let said = String::from_utf8_lossy(&output.stdout).into_owned();
                    output.status.success() && said.contains("1 passed")
                };
                assert!(!ends_well("reserve"), "the control: memory is short");
                assert!(ends_well("read"), "a length that was not true reserved memory");
            }
        }
    }

    #[test]
    fn a_head_has_64_kibibytes_at_most_and_a_page_the_length_that_its_head_says() {
        let longest = HEAD_BYTES_MAX - 4;
        let of = |length: usize| module(u32::try_from(length).unwrap(), length);
        assert!(of(longest).get_read(7).is_ok() && of(longest + 1).get_read(7).is_err());
        let long = of(longest + 1);
        assert_eq!(long.get_bytes(7, longest + 5).unwrap().len(), longest + 5);
        assert!(long.get_bytes(7, longest + 4).is_err() && long.get_bytes(7, longest + 6).is_err());
        assert!(of(27).get_read(7).is_err(), "no room for nonce and tag");
    }
}
