use std::fmt;

use zeroize::Zeroizing;

use crate::Result;

/// Bytes that open something: a share, a key. They lie in a page of their own that the kernel takes out of its own map
/// (`memfd_secret(2)`; Linux 6.5, or 5.14 when it is told to): not in a core file, not in swap, not in a hibernated
/// image, and no other process can read them. Where there is no such page, because the kernel has none or this process
/// holds as many as it may (`RLIMIT_MEMLOCK`; 8 MiB is 2,048 of them), they lie on the heap. Wiped in either place when
/// dropped; never printed; no clone.
///
/// Costs some system calls, a page and a file descriptor: for what stays, not for what is derived for one call.
pub struct Guarded(Place);

enum Place {
    #[cfg(target_os = "linux")]
    Page(memfd_secret::MemfdSecret),
    Heap(Zeroizing<Vec<u8>>),
}

impl Guarded {
    /// Lets `write` put so many bytes, zeros before, where they stay: they are nowhere else.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn written(bytes: usize, write: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Self> {
        let mut place = Place::new(bytes);
        write(place.bytes_mut())?;
        Ok(Self(place))
    }

    /// A copy of `bytes`; the caller wipes its own.
    #[must_use]
    pub fn copied(bytes: &[u8]) -> Self {
        let mut place = Place::new(bytes.len());
        place.bytes_mut().copy_from_slice(bytes);
        Self(place)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Place::Page(page) => page,
            Place::Heap(bytes) => bytes,
        }
    }

    /// Whether they lie in a page that the kernel keeps from everybody else.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        !matches!(self.0, Place::Heap(_))
    }
}

impl Place {
    fn new(bytes: usize) -> Self {
        #[cfg(target_os = "linux")]
        // A page of no bytes cannot be mapped.
        if let Some(page) = (bytes > 0).then(|| memfd_secret::MemfdSecret::new(bytes).ok()).flatten() {
            return Self::Page(page);
        }
        Self::Heap(Zeroizing::new(vec![0; bytes]))
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            #[cfg(target_os = "linux")]
            Self::Page(page) => page,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the memory that `at` lies in: `smaps` names the mapping and its flags.
    #[cfg(target_os = "linux")]
    fn mapping(at: *const u8) -> String {
        let at = at.addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut found = String::new();
        for line in maps.lines() {
            if let Some((range, _)) = line.split_once(' ')
                && let Some((from, to)) = range.split_once('-')
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                found.clear();
                if !(from..to).contains(&at) {
                    continue;
                }
            } else if found.is_empty() {
                continue;
            }
            found.push_str(line);
            found.push('\n');
            if line.starts_with("VmFlags") {
                return found;
            }
        }
        panic!("nothing is mapped there");
    }

    #[test]
    fn bytes_come_back_and_are_not_printed() {
        let guarded = Guarded::written(32, |bytes| {
            bytes.fill(7);
            Ok(())
        });
        let guarded = guarded.unwrap();
        assert_eq!(guarded.expose(), [7; 32]);
        assert_eq!(format!("{guarded:?}"), "Guarded(..)");
        assert_eq!(Guarded::copied(b"as they are").expose(), b"as they are");
        assert!(Guarded::copied(&[]).expose().is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn they_lie_in_secret_memory_where_the_kernel_has_it() {
        let guarded = Guarded::copied(&[1; 32]);
        // Asked for beside it: a kernel that has such memory is no excuse.
        if memfd_secret::MemfdSecret::new(32).is_err() {
            std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("skipped: they_lie_in_secret_memory_where_the_kernel_has_it (this kernel has none)\n"),
            )
            .unwrap();
            return;
        }
        assert!(guarded.is_apart());
        let said = mapping(guarded.expose().as_ptr());
        assert!(said.contains("secretmem"), "{said}");
        // Locked, and in no core file.
        let flags = said.lines().find(|line| line.starts_with("VmFlags")).unwrap();
        assert!(flags.contains(" lo") && flags.contains(" dd"), "{flags}");
        assert!(!mapping([0_u8; 32].as_ptr()).contains("secretmem"));
    }
}
