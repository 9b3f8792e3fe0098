//! The steps, and how each is run.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::figures::{Figures, KEY_ACT, SIZE, SPEED, SPEED_BY_WALL, WHOLE};
use super::{Bench, Part, Sizes};
use crate::bench::meter::{self, Cost};
use crate::bench::report::{CPU, LOAD, NOT_OURS, PEAK, WALL};

pub(super) const AES_SEAL: &str = "seal, plain AES-256-GCM";
pub(super) const AES_OPEN: &str = "open, plain AES-256-GCM";
pub(super) const SEAL: &str = "seal";
pub(super) const OPEN: &str = "open";
pub(super) const CRATE_SEAL: &str = "seal, age crate";
pub(super) const CRATE_OPEN: &str = "open, age crate";
pub(super) const DISK: &str = "the disk alone";
pub(super) const FILE_SEAL: &str = "seal, in a file";
pub(super) const FILE_OPEN: &str = "open, in a file";
pub(super) const NOTHING_SEAL: &str = "seal, to nothing";
pub(super) const NOTHING_OPEN: &str = "open, to nothing";
pub(super) const NOTHING_SEAL_TWO: &str = "seal, to nothing, two threads";
pub(super) const NOTHING_OPEN_TWO: &str = "open, to nothing, two threads";
pub(super) const AGE_SEAL: &str = "seal, program age";
pub(super) const AGE_OPEN: &str = "open, program age";
pub(super) const PLAIN: &str = "write, plain Parquet";
pub(super) const PLAIN_OPEN: &str = "read, plain Parquet";
pub(super) const UNDIGESTED: &str = "write, plain Parquet without digests";
pub(super) const UNDIGESTED_OPEN: &str = "read, plain Parquet without digests";
pub(super) const SEAL_TWO: &str = "seal, two threads";
pub(super) const OPEN_TWO: &str = "open, two threads";
pub(super) const TABLE: &str = "seal a table";
pub(super) const TABLE_TWO: &str = "seal a table, two threads";
pub(super) const SMALL: &str = "consignment of 1 MiB";
pub(super) const LARGE: &str = "large consignment";

/// AES in counter mode has no tag; the key is no secret.
const OPENSSL: [&str; 6] = ["enc", "-aes-256-ctr", "-K", "00", "-iv", "00"];
const GPG: [&str; 7] =
    ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "measured", "--no-symkey-cache"];

pub(super) struct Step {
    pub(super) name: &'static str,
    doing: Doing,
}

enum Doing {
    /// `measure_seal` with these words.
    Seal(Vec<String>),
    /// The same, told from outside as other programs are, with all that it takes to begin and end.
    Whole(Vec<String>),
    /// `measure_destroy` of so many MiB.
    Destroy(u32),
    /// Another program, which reads the file and writes to nothing.
    Other(&'static str, Vec<String>),
}

impl Step {
    pub(super) fn of(part: Part, bench: &Bench) -> Vec<Self> {
        let Sizes { memory_mib, age_mib, rows, passes, file_mib, large_mib } = bench.sizes;
        let seal = |name, words: String| Self { name, doing: Doing::Seal(split(&words)) };
        let file = |name: &str| bench.file(name);
        match part {
            Part::Opaque => {
                let (clear, ours, out) = (file("clear"), file("ours"), file("out"));
                let whole = |name, words: String| Self { name, doing: Doing::Whole(split(&words)) };
                let mut steps = vec![
                    seal(AES_SEAL, format!("cipher seal {memory_mib} 1")),
                    seal(AES_OPEN, format!("cipher open {memory_mib} 1")),
                    seal(SEAL, format!("opaque seal {memory_mib} 1")),
                    seal(OPEN, format!("opaque open {memory_mib} 1")),
                    seal(CRATE_SEAL, format!("age seal {age_mib} 1")),
                    seal(CRATE_OPEN, format!("age open {age_mib} 1")),
                    seal(DISK, format!("file write - {out} {file_mib} 1")),
                    seal(FILE_SEAL, format!("file seal {clear} {out} {file_mib} 1")),
                    seal(FILE_OPEN, format!("file open {ours} {out} {file_mib} 1")),
                    whole(NOTHING_SEAL, format!("file seal {clear} /dev/null {file_mib} 1")),
                    whole(NOTHING_OPEN, format!("file open {ours} /dev/null {file_mib} 1")),
                    whole(NOTHING_SEAL_TWO, format!("file seal {clear} /dev/null {file_mib} 2")),
                    whole(NOTHING_OPEN_TWO, format!("file open {ours} /dev/null {file_mib} 2")),
                ];
                steps.extend(others(bench));
                steps
            }
            Part::Tables => {
                let table = |name, verb: &str| seal(name, format!("table {verb} {rows} {passes} 1"));
                vec![
                    table(PLAIN, "plain"),
                    table(SEAL, "seal"),
                    table(UNDIGESTED, "plain-undigested"),
                    table(PLAIN_OPEN, "plain-open"),
                    table(OPEN, "open"),
                    table(UNDIGESTED_OPEN, "plain-open-undigested"),
                ]
            }
            Part::Threads => vec![
                seal(SEAL, format!("opaque seal {memory_mib} 1")),
                seal(SEAL_TWO, format!("opaque seal {memory_mib} 2")),
                seal(OPEN, format!("opaque open {memory_mib} 1")),
                seal(OPEN_TWO, format!("opaque open {memory_mib} 2")),
                seal(TABLE, format!("table seal {rows} {passes} 1")),
                seal(TABLE_TWO, format!("table seal {rows} {passes} 2")),
            ],
            Part::Destruction => {
                let destroy = |name, mib| Self { name, doing: Doing::Destroy(mib) };
                vec![destroy(SMALL, 1), destroy(LARGE, large_mib)]
            }
            Part::Memory => {
                let (clear, ours, out) = (file("clear"), file("ours"), file("out"));
                // As many threads as the program ever uses.
                vec![
                    seal(SEAL, format!("file seal {clear} {ours} {large_mib} 4")),
                    seal(OPEN, format!("file open {ours} {out} {large_mib} 4")),
                ]
            }
        }
    }
}

/// What other programs do with the file.
fn others(bench: &Bench) -> Vec<Step> {
    let file = |name: &str| bench.file(name);
    let other = |name, program, words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Step { name, doing: Doing::Other(program, words) }
    };
    let (clear, key, home) = (file("clear"), file("age.key"), file("gnupg"));
    let gpg = [&["--homedir", &home][..], &GPG].concat();
    let to_gpg = ["--symmetric", "--cipher-algo", "AES256", "--compress-algo", "none", "--output", "-"];
    vec![
        other(AGE_SEAL, "age", &["--encrypt", "-i", &key, &clear]),
        other(AGE_OPEN, "age", &["--decrypt", "-i", &key, &file("clear.age")]),
        other("seal, openssl enc -aes-256-ctr", "openssl", &[&OPENSSL[..], &["-in", &clear]].concat()),
        other("open, openssl enc -aes-256-ctr", "openssl", &[&OPENSSL[..], &["-d", "-in", &clear]].concat()),
        other("seal, gpg --symmetric", "gpg", &[&gpg[..], &to_gpg, &[&clear]].concat()),
        other(
            "open, gpg --symmetric",
            "gpg",
            &[&gpg[..], &["--decrypt", "--output", "-", &file("clear.gpg")]].concat(),
        ),
    ]
}

fn split(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

impl Bench {
    /// The files that the steps of a part find.
    pub(super) fn prepare(&self, part: Part) -> Result<()> {
        let (clear, ours) = (self.file("clear"), self.file("ours"));
        let mib = if part == Part::Memory { self.sizes.large_mib } else { self.sizes.file_mib };
        if matches!(part, Part::Opaque | Part::Memory) {
            self.said(&split(&format!("file make - {clear} {mib} 1")))?;
        }
        if part == Part::Opaque {
            self.said(&split(&format!("file seal {clear} {ours} {mib} 1")))?;
            let (key, home, gpged) = (self.file("age.key"), self.file("gnupg"), self.file("clear.gpg"));
            meter::said(Command::new("age-keygen").args(["-o", &key]))?;
            let aged = ["--encrypt", "-i", &key, "-o", &self.file("clear.age"), &clear];
            meter::said(Command::new("age").args(aged))?;
            std::fs::create_dir(&home)?;
            meter::said(Command::new("chmod").args(["700", &home]))?;
            let to_gpg = ["--symmetric", "--cipher-algo", "AES256", "--compress-algo", "none", "--output"];
            let words = [&["--homedir", &home][..], &GPG, &to_gpg, &[&gpged, &clear]].concat();
            meter::said(Command::new("gpg").args(words))?;
        }
        Ok(())
    }

    /// After the last step: what was sealed and opened must be what it was, and no file stays for the next part.
    pub(super) fn tidy(&self, part: Part) -> Result<()> {
        if matches!(part, Part::Opaque | Part::Memory) {
            self.said(&split(&format!("file same {} {} 0 1", self.file("clear"), self.file("out"))))?;
            if part == Part::Opaque {
                // It left an agent behind.
                meter::said(Command::new("gpgconf").args(["--homedir", &self.file("gnupg"), "--kill", "all"]))?;
            }
            for name in ["clear", "ours", "out", "clear.age", "clear.gpg"] {
                let file = self.folder.join(name);
                if file.is_file() {
                    std::fs::remove_file(file)?;
                }
            }
        }
        Ok(())
    }

    fn said(&self, words: &[String]) -> Result<String> {
        meter::said(Command::new(&self.seal).args(words))
    }

    /// A step into a file finds memory where another write has been, as those after the first always do.
    pub(super) fn measure(&self, step: &Step) -> Result<Figures> {
        if [DISK, FILE_SEAL, FILE_OPEN].contains(&step.name) {
            self.said(&split(&format!("file write - {} {} 1", self.file("out"), self.sizes.file_mib)))?;
        }
        let mut said = String::new();
        let cost = self.meter.measure(|watch| match &step.doing {
            Doing::Seal(words) | Doing::Whole(words) => {
                said = watch.ours(step.name, Command::new(&self.seal).args(words), &[0])?;
                Ok(())
            }
            Doing::Destroy(mib) => {
                let folder = self.folder.join("destroyed");
                std::fs::create_dir(&folder)?;
                let mut command = Command::new(&self.destroy);
                said = watch.ours(step.name, command.arg(&folder).arg(mib.to_string()), &[0])?;
                Ok(std::fs::remove_dir_all(folder)?)
            }
            Doing::Other(program, words) => {
                let mut command = Command::new(program);
                command.args(words).stdout(Stdio::null());
                meter::pipe(&mut [command])
            }
        })?;
        let said: Value = if said.is_empty() { Value::Null } else { serde_json::from_str(&said)? };
        self.figures(step, &said, &cost)
    }

    /// What a process said of itself, and what was seen of it.
    fn figures(&self, step: &Step, said: &Value, cost: &Cost) -> Result<Figures> {
        let number = |name: &str| said.get(name).and_then(Value::as_f64);
        let named = |name: &str| number(name).with_context(|| format!("{} does not tell its {name}", step.name));
        let mut figures = Figures::from([(NOT_OURS, cost.not_ours), (LOAD, cost.load)]);
        let bytes = match &step.doing {
            Doing::Destroy(mib) => {
                figures.extend([(KEY_ACT, named("key_ms")?), (WHOLE, named("whole_ms")?)]);
                let lay = named("bytes")? / 1_048_576.0;
                if (lay - f64::from(*mib)).abs() > 0.5 {
                    bail!("{}: {lay} MiB lay on the shelf", step.name);
                }
                figures.insert(SIZE, lay);
                return Ok(figures);
            }
            Doing::Seal(_) => {
                figures.extend([(CPU, named("cpu")?), (WALL, named("wall")?), (PEAK, named("peak_kib")? / 1024.0)]);
                named("bytes")?
            }
            Doing::Whole(_) | Doing::Other(..) => {
                figures.extend([(CPU, cost.cpu), (WALL, cost.wall)]);
                f64::from(self.sizes.file_mib) * 1_048_576.0
            }
        };
        for (what, seconds) in [(SPEED, CPU), (SPEED_BY_WALL, WALL)] {
            let seconds = figures.get(seconds).copied().unwrap_or_default();
            // A step that took no tick of the clock has no speed.
            if seconds > 0.0 {
                figures.insert(what, bytes / 1e9 / seconds);
            }
        }
        Ok(figures)
    }
}
