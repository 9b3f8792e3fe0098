//! What the kernel may do with this process's memory. Rows and keys stand in it in clear, on the agents' machines above
//! all: it goes into no core file, no debugger of the same user reads it, and no disk gets it by way of swap.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lexicon::{Code, Refusal, Result};

use crate::output;

/// Where the kernel lists swap, and what it says about block devices.
const SWAPS: &str = "/proc/swaps";
const BLOCKS: &str = "/sys/class/block";

/// Where glibc is told how to hold memory, and what it is told: whatever has 1 MiB or more is given back when it is freed.
/// By itself it learns from the first large value that is freed to keep such memory, and one process then holds twice what is
/// in use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1048576");

/// Begins this program again with large memory given back as soon as it is freed, which glibc must be told before it runs.
/// Whoever set its tunables keeps them; where it cannot begin again it goes on as it is and holds more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    use std::env;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let (name, value) = TUNABLES;
    let mut arguments = env::args_os();
    if let (None, Some(called)) = (env::var_os(name), arguments.next()) {
        // It comes back only if it failed.
        drop(Command::new("/proc/self/exe").arg0(called).args(arguments).env(name, value).exec());
    }
}

/// Only glibc is told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

/// Keeps the memory to this process: no core file, and neither debugger nor `/proc/PID/mem` for others of the same user.
///
/// # Errors
/// A fault when the kernel refuses.
#[cfg(target_os = "linux")]
pub(crate) fn keep() -> Result<()> {
    use lexicon::{Fault, Retry};
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable)).map_err(
        |error| Fault::new(Code(1096), Retry::Never, format!("core files cannot be switched off: {error}")).into(),
    )
}

/// On other systems this is for whoever runs the machine; the manual says so.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
pub(crate) fn keep() -> Result<()> {
    Ok(())
}

/// Refuses a machine whose swap writes memory to a disk in clear, unless that was `accepted`; then it is named.
///
/// # Errors
/// A refusal that names the swap.
pub(crate) fn clear_swap(accepted: bool) -> Result<Vec<String>> {
    let clear = match fs::read_to_string(SWAPS) {
        Ok(table) => in_clear(&table, &|swap| fs::canonicalize(swap).ok(), &|file| fs::read_to_string(file).ok()),
        // Another system, or a kernel without swap.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(_) => vec![format!("whatever {SWAPS} would list")],
    };
    if clear.is_empty() || accepted {
        return Ok(clear);
    }
    Err(Refusal::new(
        Code(1097),
        format!("this machine may write keys and records in clear to its swap: {}", clear.join(", ")),
        "Switch it off (swapoff -a), or encrypt it with a key of each start (crypttab, option `swap`).",
    )
    .into())
}

/// Says what was accepted, every time.
pub(crate) fn warn(swap: &str) {
    output::error_line(&format!("Danger: memory may be written in clear to the swap {swap}."));
}

/// Every swap of the kernel's table that is not encrypted. On dm-crypt it is; on zram it stays in memory, unless the
/// device has a disk to write back to. A file of swap is as its file system is, which nothing here can tell: it counts
/// as clear.
fn in_clear(
    table: &str,
    resolved: &dyn Fn(&Path) -> Option<PathBuf>,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Vec<String> {
    // The first line is the heading.
    let swaps = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let keeps = |swap: &str| {
        let device = resolved(Path::new(swap)).unwrap_or_else(|| swap.into());
        let Some(name) = device.strip_prefix("/dev").ok().and_then(Path::to_str) else { return false };
        let says = |file: &str| read(&Path::new(BLOCKS).join(name).join(file));
        says("dm/uuid").is_some_and(|uuid| uuid.starts_with("CRYPT-"))
            || (name.starts_with("zram") && says("backing_dev").is_none_or(|disk| disk.trim() == "none"))
    };
    swaps.filter(|swap| !keeps(swap)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    fn clear(lines: &[&str], files: &[(&str, &str)]) -> Vec<String> {
        let table = lines.iter().fold(HEAD.to_owned(), |table, name| table + name + "    partition\t1\t0\t-2\n");
        let resolved = |swap: &Path| (swap == Path::new("/dev/mapper/swap")).then(|| "/dev/dm-0".into());
        let read = |file: &Path| {
            let known = files.iter().find(|(name, _)| Path::new(BLOCKS).join(name) == file);
            known.map(|(_, says)| (*says).to_owned())
        };
        in_clear(&table, &resolved, &read)
    }

    #[test]
    fn swap_is_clear_unless_the_kernel_says_that_it_is_encrypted_or_stays_in_memory() {
        assert!(clear(&[], &[]).is_empty());
        assert_eq!(clear(&["/dev/sda2", "/swapfile"], &[]), ["/dev/sda2", "/swapfile"]);
        let crypt = ("dm-0/dm/uuid", "CRYPT-PLAIN-swap\n");
        assert!(clear(&["/dev/mapper/swap", "/dev/dm-0"], &[crypt]).is_empty());
        assert_eq!(clear(&["/dev/mapper/swap"], &[("dm-0/dm/uuid", "LVM-abc")]), ["/dev/mapper/swap"]);
        assert!(clear(&["/dev/zram0"], &[("zram0/backing_dev", "none\n")]).is_empty());
        assert_eq!(clear(&["/dev/zram0"], &[("zram0/backing_dev", "/dev/sda3\n")]), ["/dev/zram0"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_keeps_its_memory_says_so_in_the_kernels_words() {
        use rustix::process::DumpableBehavior;
        keep().unwrap();
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
