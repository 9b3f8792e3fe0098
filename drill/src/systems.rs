//! The two laboratory systems of a story, and how far it has brought a consignment between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::{Sink, Source};
use desk::Home;
use lexicon::{ConsignmentId, Digest, Result};
use procedure::{Manifest, ManifestParcel, Plan};
use registry::Registry;
use seal::{ConsignmentKey, ParcelName, Share};
use synth::{Made, MadeReports};
use wire::Leaf;

use crate::{Name, World, passphrase};

/// The old system with its sentinels, and the empty new one.
pub struct Systems {
    /// What was planted where.
    pub made: Made,
    /// The old system's file.
    pub old: PathBuf,
    /// The new system's file.
    pub new: PathBuf,
    /// The old system.
    pub source: Box<dyn Source>,
    /// The new system.
    pub sink: Box<dyn Sink>,
}

/// A consignment whose manifest stands.
pub struct Round {
    /// Under which plan.
    pub plan: Plan,
    /// Which.
    pub consignment: ConsignmentId,
    /// What was sealed.
    pub manifest: Arc<Manifest>,
}

impl World {
    /// A laboratory with so many patients, and the empty new system beside it.
    pub fn systems(&self, patients: u64) -> Systems {
        self.systems_of(7, patients)
    }

    /// As [`Self::systems`], with sentinels that no other story plants.
    pub fn systems_of(&self, seed: u64, patients: u64) -> Systems {
        let (old, new) = (self.path("old.sqlite"), self.path("new.sqlite"));
        let made = synth::laboratory(&old, seed, patients, &mut |_| {}).unwrap();
        self.plant(&made.sentinels);
        synth::new_system(&new).unwrap();
        let source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
        let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();
        Systems { made, old, new, source, sink }
    }

    /// A folder of so many reports beside the old system, and the scope that takes both.
    pub fn reports(&self, seed: u64, count: u64) -> (MadeReports, PathBuf, String) {
        let folder = self.path("").canonicalize().unwrap().join("old.sqlite-reports");
        let made = synth::reports(&folder, seed, count).unwrap();
        self.plant(&made.sentinels);
        let scope = [synth::scope_toml(), synth::reports_toml(&folder)].concat();
        (made, folder, scope)
    }

    /// An approved plan, one consignment under it, extracted and closed.
    pub async fn closed(&self, systems: &Systems) -> Round {
        self.closed_with(systems, &synth::scope_toml()).await
    }

    /// As [`Self::closed`], under this scope.
    pub async fn closed_with(&self, systems: &Systems, scope: &str) -> Round {
        let plan = self.approved(scope, systems.source.as_ref(), systems.sink.as_ref()).await;
        let consignment = self.consign(&plan).await;
        let manifest = self.extract(&plan, consignment, systems.source.as_ref()).await.unwrap();
        Round { plan, consignment, manifest }
    }

    /// The laboratory share, as the operator's folder (or a copy of it) holds it.
    pub fn laboratory_share(&self, home: &Path, round: &Round) -> Option<Share> {
        let of = desk::Round { migration: round.plan.migration, consignment: round.consignment };
        let kept = Home::open(home).unwrap().share(of, &passphrase()).unwrap();
        kept.map(|share| Share::take(&share).unwrap())
    }

    /// The strongroom share, as a thief of the data folder, the ring's folder and the server's secrets unwraps it. The
    /// server must be down: its ring is held.
    ///
    /// # Errors
    /// As [`office::strongroom_share`].
    pub fn strongroom_share(&self, data: &Path, ring: &Path, round: &Round) -> Result<Option<Share>> {
        let (registry, ring) = (Registry::open(&data.join("registry.sqlite"))?, self.ring(data, ring)?);
        let share = office::strongroom_share(&registry, &ring, round.plan.migration, round.consignment)?;
        share.map(|share| Share::take(&share)).transpose()
    }

    /// What the notes of the server's journal say.
    pub fn notes(&self) -> Vec<String> {
        notes(&self.server_folder())
    }

    /// The digest of the act that opened the consignment: the salt of its key, known to everybody.
    pub async fn opened(&self, round: &Round) -> Digest {
        let ledger = self.desk(Name::Operator).follow(round.plan.migration).await.unwrap();
        ledger.migration().consignment(round.consignment).unwrap().opened
    }
}

impl Round {
    /// Every parcel: its whole name, its bytes on a shelf, and its line in the manifest.
    pub fn parcels(&self, data: &Path) -> Vec<(ParcelName, bytes::Bytes, &ManifestParcel)> {
        let lines = self.manifest.sealed().chain(self.manifest.all_sums());
        lines
            .map(|line| {
                let (migration, consignment) = (self.plan.migration, self.consignment);
                let (table, sequence) = (line.table.clone(), line.sequence);
                let name =
                    ParcelName { migration, consignment, attempt: line.attempt, parcel: line.parcel, table, sequence };
                let place = format!("shelf/{consignment}/{}/{}", line.attempt, line.parcel);
                (name, std::fs::read(data.join(place)).unwrap().into(), line)
            })
            .collect()
    }

    /// How many of the parcels on a shelf a pair of shares opens.
    pub fn opened_by(&self, data: &Path, opened: Digest, (laboratory, strongroom): (&Share, &Share)) -> usize {
        let key = ConsignmentKey::derive(laboratory, strongroom, opened).unwrap();
        let parcels = self.parcels(data);
        parcels.iter().filter(|(name, bytes, line)| seal::open_header(&key, name, bytes, line.digest).is_ok()).count()
    }

    /// Every string of 32 bytes in these, as it is or in hexadecimal or base64, that is one of the two shares.
    pub fn shares_within<'a>(&self, haystacks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Share> {
        let named = [self.manifest.laboratory_share, self.manifest.strongroom_share];
        passage::shares_within(&named, haystacks).unwrap().1
    }
}

/// What the notes of the journal in a data folder say.
pub fn notes(data: &Path) -> Vec<String> {
    let registry = Registry::open(&data.join("registry.sqlite")).unwrap();
    let leaves = (0..).map_while(|number| registry.leaf(number).unwrap());
    let parsed = leaves.filter_map(|leaf| serde_json::from_slice::<Leaf>(&leaf).ok());
    parsed.filter_map(|leaf| if let Leaf::Note { text, .. } = leaf { Some(text) } else { None }).collect()
}

/// Every file below these folders.
pub fn files_below(folders: &[&Path]) -> Vec<PathBuf> {
    let (mut left, mut files): (Vec<PathBuf>, Vec<PathBuf>) = (folders.iter().map(PathBuf::from).collect(), Vec::new());
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files
}

/// Every file on a shelf but its id, which stays when its parcels go.
pub fn lies_on(shelf: &Path) -> Vec<PathBuf> {
    files_below(&[shelf]).into_iter().filter(|file| *file != shelf.join("shelf.id")).collect()
}

/// A copy as a backup takes it, permissions included.
pub fn copy_folder(from: &Path, to: &Path) {
    for file in files_below(&[from]) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&file, &copy).unwrap();
    }
    for folder in folders_below(from) {
        let copy = to.join(folder.strip_prefix(from).unwrap());
        std::fs::create_dir_all(&copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::metadata(&folder).unwrap().permissions()).unwrap();
    }
}

fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let (mut left, mut folders) = (vec![folder.to_owned()], Vec::new());
    while let Some(path) = left.pop() {
        left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
        folders.push(path);
    }
    folders
}

/// A new file with these bytes.
pub fn write_file(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
