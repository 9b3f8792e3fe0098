//! Nothing in clear, ever: when a world ends, everything that it left is searched for the values that were planted in its
//! old system, names of documents and what stands in them included.
//!
//! Searched are the world's folder (server, ring, devices, organisations, whatever the story copied), what came into the
//! folder of temporary files, what every room logged and every process said meanwhile, the folder in which Garage keeps its
//! bucket if the story used it, and core files. Not searched are the two laboratory systems, and what a story names with
//! [`World::system`]: there records stand in clear because that is where they belong. Nor are buckets of moto, which keeps
//! them in its memory, nor what a person asked a process to show: see [`Command::shows`](crate::Command::shows).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use lexicon::Digest;
use synth::search::{self, Needles, Report};
use synth::{Place, Sentinel};
use tempfile::TempDir;
use tracing_subscriber::EnvFilter;

use crate::World;

/// How the folders of stories begin in the folder of temporary files. Each is searched by its own story.
const PREFIX: &str = "drill-";
/// How what is nobody's story begins there: servers, copies of the project and measurements of whoever works beside. They
/// come and go, and hold values that look like those of this world, for their own stories.
const BESIDE: [&str; 4] = ["lazaret-servers-", "lazaret-copy-", "lazaret-bench-", "lazaret-tests-"];

/// A folder for a story, gone at its end. No other story looks into it.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap()
}

/// Everything that all rooms log at their most talkative, from now on, in one file.
pub fn log() -> &'static Path {
    static LOG: OnceLock<PathBuf> = OnceLock::new();
    LOG.get_or_init(|| {
        let (path, file) = emptied("drill.log");
        // Of each frame of HTTP/2 its head alone would be half a gigabyte.
        let everything = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("trace,h2=debug"));
        everything.with_writer(Arc::new(file)).with_ansi(false).init();
        path
    })
}

/// Everything that processes of stories say on either stream, line by line, in one file.
pub fn said() -> &'static Path {
    &said_file().0
}

fn said_file() -> &'static (PathBuf, File) {
    static SAID: OnceLock<(PathBuf, File)> = OnceLock::new();
    SAID.get_or_init(|| emptied("drill.said"))
}

/// A process said this.
pub(crate) fn keep(line: &[u8]) {
    let mut file = &said_file().1;
    file.write_all(line).unwrap();
}

/// A file beside what cargo builds, for this run. It is appended to, so that what a story writes there itself stays.
fn emptied(name: &str) -> (PathBuf, File) {
    // Three up from the test: the folder that cargo builds into.
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("tmp");
    std::fs::create_dir_all(&target).unwrap();
    let path = target.join(name);
    let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    (path, file)
}

/// What to look for at a world's end, and where not.
pub(crate) struct Planted {
    needles: Mutex<Vec<Arc<Needles>>>,
    none_because: OnceLock<&'static str>,
    systems: Mutex<Vec<String>>,
    buckets: Mutex<Vec<PathBuf>>,
    /// Both files that all worlds share, and how long they were before this one.
    shared: [(&'static Path, u64); 2],
    before: Vec<PathBuf>,
}

impl Planted {
    /// Nothing is planted; what is there already is not this world's.
    pub(crate) fn nothing() -> Self {
        let systems = ["old.sqlite", "new.sqlite"].map(str::to_owned).to_vec();
        let shared = [log(), said()].map(|file| (file, std::fs::metadata(file).unwrap().len()));
        let (needles, buckets) = (Mutex::default(), Mutex::default());
        let none_because = OnceLock::new();
        Self { needles, none_because, systems: Mutex::new(systems), buckets, shared, before: temporary() }
    }
}

/// Most stories plant the same laboratory, and making it ready takes longer than a search.
fn ready(sentinels: &[Sentinel]) -> Arc<Needles> {
    static READY: Mutex<BTreeMap<Digest, Arc<Needles>>> = Mutex::new(BTreeMap::new());
    let values: Vec<&str> = sentinels.iter().map(|sentinel| sentinel.value.as_str()).collect();
    let digest = Digest::of(values.concat().as_bytes());
    let mut ready = READY.lock().unwrap();
    Arc::clone(ready.entry(digest).or_insert_with(|| Arc::new(Needles::of(sentinels).unwrap())))
}

fn temporary() -> Vec<PathBuf> {
    listed(&std::env::temp_dir(), |name| {
        !name.starts_with(PREFIX) && !BESIDE.iter().any(|other| name.starts_with(other))
    })
}

/// What lies in a folder under such names.
fn listed(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    entries.filter(|entry| wanted(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}

impl World {
    /// These values stand in the old system: nobody else may have them in clear.
    pub fn plant(&self, sentinels: &[Sentinel]) {
        self.planted.needles.lock().unwrap().push(ready(sentinels));
    }

    /// As [`Self::plant`], the values of a column that a story makes itself. 8 bytes at least, and nobody else's.
    pub fn plant_in(&self, table: &str, column: &str, values: impl IntoIterator<Item = String>) {
        let of = |value| Sentinel { table: table.to_owned(), column: column.to_owned(), place: Place::Moves, value };
        self.plant(&values.into_iter().map(of).collect::<Vec<_>>());
    }

    /// The control of the search: how often it meets what was planted, by table and column, in what a system holds.
    pub fn met_in(&self, held: &[u8]) -> BTreeMap<String, u64> {
        let mut met = BTreeMap::<String, u64>::new();
        let planted = self.planted.needles.lock().unwrap();
        for needles in planted.iter() {
            let mut held = held;
            let seen = search::reader(needles, Path::new("a system"), &mut held).unwrap();
            for hit in seen.hits {
                let count = met.entry(hit.label).or_default();
                *count = count.saturating_add(hit.count);
            }
        }
        met
    }

    /// No record comes into this story, for this reason: there is nothing to search for at its end.
    pub fn plants_nothing(&self, because: &'static str) {
        self.planted.none_because.get_or_init(|| because);
    }

    /// A laboratory whose records are sealed and lie on the shelf, in a migration of its own: so that the search at the
    /// end of a story about something else has what to look for.
    pub async fn sealed_beside(&self) {
        self.closed(&self.systems(60)).await;
    }

    /// A path in the world's folder at which a laboratory system lies, with everything beside it whose name begins so:
    /// records stand in clear there.
    pub fn system(&self, name: &str) -> PathBuf {
        self.planted.systems.lock().unwrap().push(name.to_owned());
        self.path(name)
    }

    /// Parcels are kept in a bucket whose store keeps its files here.
    pub fn bucket(&self, folder: &Path) {
        self.planted.buckets.lock().unwrap().push(folder.to_owned());
    }

    /// What lies in the buckets stands in clear there because the story wants it so: they are not searched any more.
    pub fn passes_over_buckets(&self) {
        self.planted.buckets.lock().unwrap().clear();
    }

    /// What was planted and stands in clear anywhere but in the laboratory systems, and what could not be looked at.
    pub fn left_in_clear(&self) -> Report {
        let mut left = Report::default();
        let planted = self.planted.needles.lock().unwrap();
        let places = if planted.is_empty() { Vec::new() } else { self.places() };
        for needles in planted.iter() {
            for place in &places {
                match search::files(needles, &[place]) {
                    Ok(seen) => add(&mut left, seen),
                    // Others come and go beside this world.
                    Err(trouble) => assert!(!place.exists(), "{trouble}"),
                }
            }
            for (path, from) in self.planted.shared {
                let mut file = File::open(path).unwrap();
                file.seek(SeekFrom::Start(from)).unwrap();
                // So that what comes while it is read does not lengthen it.
                let length = file.metadata().unwrap().len().saturating_sub(from);
                add(&mut left, search::reader(needles, path, &mut file.take(length)).unwrap());
            }
        }
        let buckets = self.planted.buckets.lock().unwrap();
        // What is gone was somebody else's; sockets hold nothing. A store cuts objects up, so that a file of its begins
        // anywhere in one: two bytes of sealed data look like zlib there as often as in the middle of a file.
        left.missed.retain(|missed| {
            let is_there = missed.file.is_file() || missed.file.is_dir();
            let is_cut = buckets.iter().any(|bucket| missed.file.starts_with(bucket));
            is_there && !(is_cut && missed.why.starts_with("zlib data"))
        });
        left
    }

    fn places(&self) -> Vec<PathBuf> {
        let systems = self.planted.systems.lock().unwrap();
        let mut places = listed(&self.path(""), |name| !systems.iter().any(|system| name.starts_with(system.as_str())));
        places.extend(temporary().into_iter().filter(|path| !self.planted.before.contains(path)));
        places.extend(listed(&std::env::current_dir().unwrap(), |name| name.starts_with("core")));
        places.extend(self.planted.buckets.lock().unwrap().iter().cloned());
        places
    }
}

fn add(left: &mut Report, seen: Report) {
    left.hits.extend(seen.hits);
    left.missed.extend(seen.missed);
    left.files = left.files.saturating_add(seen.files);
    left.bytes = left.bytes.saturating_add(seen.bytes);
    left.decoded_bytes = left.decoded_bytes.saturating_add(seen.decoded_bytes);
    left.wrapped = left.wrapped.saturating_add(seen.wrapped);
}

impl Drop for World {
    fn drop(&mut self) {
        // A story that has failed says why itself.
        if std::thread::panicking() {
            return;
        }
        // A search for nothing finds nothing.
        let none = self.planted.needles.lock().unwrap().is_empty();
        let because = self.planted.none_because.get();
        assert!(
            none == because.is_some(),
            "a story planted no value and does not say why, or says why and planted some"
        );
        let left = self.left_in_clear();
        assert!(left.is_clean(), "a story left values of patients in clear: {:?} {:?}", left.hits, left.missed);
    }
}
