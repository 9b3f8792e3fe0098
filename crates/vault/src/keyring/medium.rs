//! What writing over a file achieves where a local ring lies: asked of the operating system, and believed of few file
//! systems only.

use std::path::{Path, PathBuf};

/// File systems that put changed bytes where the old ones lay. XFS does so until a file was cloned, and a plain copy of
/// the folder may clone. All others copy on write, lie on another machine, stack on one another, or are not known here.
const IN_PLACE: [&str; 3] = ["ext2", "ext3", "ext4"];

/// Where a folder lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// Writing over a file replaces its bytes, as far as the file system knows.
    InPlace,
    /// The old bytes may stay: the name of the file system, as the kernel has it.
    MayKeep(String),
}

impl Medium {
    /// Looks at the file systems under these folders, wherever they really lie, which can be others at every start: in
    /// place if each of them writes so.
    pub(super) fn of(folders: &[&Path]) -> Self {
        let mounts =
            if cfg!(target_os = "linux") { std::fs::read_to_string("/proc/self/mountinfo").ok() } else { None };
        let Some(mounts) = mounts else { return unknown() };
        let under = |folder: &&Path| folder.canonicalize().map_or_else(|_| unknown(), |real| among(&mounts, &real));
        folders.iter().map(under).find(|medium| *medium != Self::InPlace).unwrap_or(Self::InPlace)
    }
}

fn unknown() -> Medium {
    Medium::MayKeep("a file system that was not recognised".to_owned())
}

/// The last mount whose point is the longest around the folder: later ones lie over earlier ones.
fn among(mounts: &str, folder: &Path) -> Medium {
    let mut best: Option<(usize, &str, &str)> = None;
    for (point, kind, options) in mounts.lines().filter_map(mount) {
        let length = point.as_os_str().len();
        if folder.starts_with(&point) && best.is_none_or(|(longest, ..)| length >= longest) {
            best = Some((length, kind, options));
        }
    }
    let Some((_, kind, options)) = best else { return unknown() };
    // Then the old bytes were written to the journal too.
    let journalled = options.split(',').any(|option| option == "data=journal");
    if IN_PLACE.contains(&kind) && !journalled {
        return Medium::InPlace;
    }
    let plain = kind.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    Medium::MayKeep(plain.take(32).collect())
}

/// Mount point, kind and options of one line of proc(5)'s mountinfo.
fn mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let point = PathBuf::from(unescaped(before.split(' ').nth(4)?));
    let mut after = after.split(' ');
    Some((point, after.next()?, after.nth(1).unwrap_or_default()))
}

/// Blanks, tabs, line ends and backslashes stand there as `\040` and the like.
fn unescaped(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |point, (written, meant)| point.replace(written, meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:29 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b
23 22 8:1 / /var rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
24 23 0:31 / /var/snap rw - btrfs /dev/sdb rw,subvol=/
25 23 8:2 / /var/journalled rw - ext4 /dev/sda2 rw,data=journal
26 22 0:40 / /srv rw - nfs4 host:/x rw,vers=4.2
27 22 8:3 / /srv/with\\040blank rw - xfs /dev/sdc rw,attr2
28 23 0:50 / /var/hidden rw - ext4 /dev/sdd rw
29 28 0:51 / /var/hidden rw - zfs pool/x rw
";

    fn kept(kind: &str) -> Medium {
        Medium::MayKeep(kind.to_owned())
    }

    #[test]
    fn only_file_systems_that_are_known_to_write_in_place_are_believed() {
        for (folder, medium) in [
            ("/var/lib/ring", Medium::InPlace),
            ("/srv/with blank/ring", kept("xfs")),
            ("/home/ring", kept("overlay")),
            ("/var/snap/ring", kept("btrfs")),
            ("/var/snapped", Medium::InPlace),
            ("/var/journalled/ring", kept("ext4")),
            ("/srv/ring", kept("nfs4")),
            ("/var/hidden/ring", kept("zfs")),
        ] {
            assert_eq!(among(MOUNTS, Path::new(folder)), medium, "{folder}");
        }
        assert_eq!(among("", Path::new("/ring")), unknown());
        assert_eq!(among("nothing of the kind\n", Path::new("/ring")), unknown());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_is_asked() {
        assert_ne!(Medium::of(&[Path::new("/")]), unknown());
        assert_eq!(Medium::of(&[Path::new("/proc/self")]), kept("proc"));
        assert_eq!(Medium::of(&[Path::new("/proc/no such folder")]), unknown());
    }
}
