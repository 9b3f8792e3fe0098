use std::fs::File;
use std::path::{Path, PathBuf};

use journal::Checkpoint;
use lexicon::{Clock, Code, Digest, Fault, MigrationId, Refusal, Result, Retry, Timestamp, Trouble, canonical};
use people::{Certificate, Envelope, Passphrase, PayloadType, Root, Roster, SigningKey};
use procedure::Ledger;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{People, Placed, ServerCard};
use zeroize::Zeroizing;

use crate::check::Known;
use crate::files;

/// How far the clock goes on before the time is written down again: a disk write at every look would be noise.
const RECORD_SECONDS: i64 = 1;

const UNDATED: &str = "undated";

/// The folder of one person's device: its key (locked), its certificate, what it trusts, and everything that it has
/// verified. For its owner only; each file is replaced as a whole.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
}

/// A revocation that a person handed to this device by file, and how many facts of each migration it had seen by then.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taken {
    pub(crate) revocation: Envelope,
    pub(crate) known: std::collections::BTreeMap<MigrationId, u64>,
}

impl Home {
    /// Makes the folder, or takes one that is there.
    ///
    /// # Errors
    /// As [`Self::open`]; fault 1211 when it cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        files::make_folder(folder)?;
        Self::open(folder)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// A refusal when there is none, or when others than its owner may enter it.
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(missing(
                "there is no folder for this device",
                "Enrol the device with `lazaret person enrol`, or name its folder.",
            ));
        }
        #[cfg(unix)]
        {
            let about = std::fs::metadata(folder).map_err(|error| files::failed("read", folder, &error))?;
            let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions());
            if mode & 0o077 != 0 {
                let message = format!("others than its owner may enter this device's folder (mode {:o})", mode & 0o777);
                return Err(
                    Refusal::new(Code(1213), message, "Close it with `chmod 700`, and ask who had access.").into()
                );
            }
        }
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server that this device was invited to.
    ///
    /// # Errors
    /// A refusal when it was invited to none; alarm 1212 when its card and its journal's name disagree on what it was
    /// made for.
    pub fn card(&self) -> Result<ServerCard> {
        let card: ServerCard =
            self.json("server.json")?.ok_or_else(|| missing("this device knows no server", ENROL))?;
        if card.mark_holds() { Ok(card) } else { Err(files::damaged(&self.folder.join("server.json"))) }
    }

    /// Keeps the server's card.
    ///
    /// # Errors
    /// Fault 1211.
    pub fn keep_card(&self, card: &ServerCard) -> Result<()> {
        self.keep("server.json", card)
    }

    /// This device's certificate: its digest, what it says, and as it was signed. Verified under the pinned root.
    ///
    /// # Errors
    /// A refusal when there is none, or its root is not pinned.
    pub fn certificate(&self) -> Result<(Digest, Certificate, Envelope)> {
        let envelope: Envelope =
            self.json("certificate.json")?.ok_or_else(|| missing("this device has no certificate", ENROL))?;
        let root = envelope.keyid()?;
        let root = self.trusted()?.into_iter().find(|trusted| trusted.id() == root);
        let root = root.ok_or_else(|| missing("the root of this device's certificate is not pinned", ENROL))?;
        let certificate = envelope.open(PayloadType::Certificate, &root.key)?;
        Ok((envelope.digest()?, certificate, envelope))
    }

    pub(crate) fn keep_certificate(&self, certificate: &Envelope) -> Result<()> {
        self.keep("certificate.json", certificate)
    }

    /// Pins a root, after a person compared its six words.
    ///
    /// # Errors
    /// Fault 1211.
    pub fn trust(&self, root: &Root) -> Result<()> {
        self.keep(&format!("trust/{}.json", root.id()), root)
    }

    /// All pinned roots.
    ///
    /// # Errors
    /// Fault 1211; alarm 1212 when one is not what was pinned.
    pub fn trusted(&self) -> Result<Vec<Root>> {
        let folder = self.folder.join("trust");
        let mut roots = Vec::new();
        for name in files::names(&folder)? {
            let path = folder.join(&name);
            let root: Option<Root> = files::read_json(&path)?;
            let root = root.filter(|root| name == format!("{}.json", root.id()));
            roots.push(root.ok_or_else(|| files::damaged(&path))?);
        }
        Ok(roots)
    }

    /// Keeps a document of a migration under its digest.
    ///
    /// # Errors
    /// Fault 1211.
    pub fn keep_document(&self, migration: MigrationId, document: &[u8]) -> Result<Digest> {
        let digest = Digest::of(document);
        files::write(&self.of(migration).join(format!("documents/{digest}")), document)?;
        Ok(digest)
    }

    /// A document that was kept.
    ///
    /// # Errors
    /// Fault 1211; alarm 1212 when its bytes are not those that its digest names.
    pub fn document(&self, migration: MigrationId, digest: Digest) -> Result<Option<Vec<u8>>> {
        let path = self.of(migration).join(format!("documents/{digest}"));
        let document = files::read(&path)?;
        if document.as_ref().is_some_and(|document| Digest::of(document) != digest) {
            return Err(files::damaged(&path));
        }
        Ok(document)
    }

    /// The migrations of which this device keeps something.
    ///
    /// # Errors
    /// Fault 1211.
    pub fn migrations(&self) -> Result<Vec<MigrationId>> {
        Ok(files::names(&self.folder.join("migrations"))?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    pub(crate) fn keep_key(&self, key: &SigningKey, passphrase: &Passphrase) -> Result<()> {
        files::write(&self.folder.join("device.key"), &people::lock(key.seed(), passphrase)?)
    }

    pub(crate) fn key(&self, passphrase: &Passphrase) -> Result<SigningKey> {
        let locked = files::read(&self.folder.join("device.key"))?;
        let locked = locked.ok_or_else(|| missing("this device has no key", ENROL))?;
        signing_key(&people::unlock(&locked, passphrase)?).ok_or_else(|| files::damaged(Path::new("device.key")))?
    }

    pub(crate) fn has_key(&self) -> bool {
        self.folder.join("device.key").exists()
    }

    /// The facts of a migration that this device has verified.
    pub(crate) fn facts(&self, migration: MigrationId) -> Result<Vec<Placed>> {
        files::read_lines(&self.of(migration).join("facts.jsonl"))
    }

    pub(crate) fn keep_facts(&self, migration: MigrationId, facts: &[Placed]) -> Result<()> {
        files::write_lines(&self.of(migration).join("facts.jsonl"), facts)
    }

    /// The last checkpoint that was verified; verified again, so that a changed file is noticed.
    pub(crate) fn checkpoint(&self, card: &ServerCard) -> Result<Option<Checkpoint>> {
        let path = self.folder.join("checkpoint");
        let Some(note) = files::read(&path)? else { return Ok(None) };
        let note = String::from_utf8(note).map_err(|_| files::damaged(&path))?;
        Checkpoint::verify(&note, &card.origin, &card.key.0).map(Some).map_err(|_| files::damaged(&path))
    }

    pub(crate) fn keep_checkpoint(&self, note: &str) -> Result<()> {
        files::write(&self.folder.join("checkpoint"), note.as_bytes())
    }

    /// The latest time that this device ever recorded.
    pub(crate) fn time(&self) -> Result<Option<Timestamp>> {
        let path = self.folder.join("time");
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let text = String::from_utf8(text).ok();
        text.and_then(|text| text.trim().parse().ok()).map(Some).ok_or_else(|| files::damaged(&path))
    }

    /// The larger of the clock and the latest time that was ever recorded here; recorded when it went on.
    pub(crate) fn now(&self, clock: &dyn Clock) -> Result<Timestamp> {
        let (now, kept) = self.now_at_least(clock);
        kept.map(|()| now)
    }

    /// As [`Self::now`], for what waits for no disk: where the recorded time cannot be read the clock alone says it, and
    /// that it could not be read or recorded is said beside it.
    pub(crate) fn now_at_least(&self, clock: &dyn Clock) -> (Timestamp, Result<()>) {
        let (recorded, read) = match self.time() {
            Ok(recorded) => (recorded.unwrap_or(Timestamp::UNIX_EPOCH), Ok(())),
            Err(trouble) => (Timestamp::UNIX_EPOCH, Err(trouble)),
        };
        let now = clock.now().max(recorded);
        let went_on = now.duration_since(recorded).as_secs() >= RECORD_SECONDS;
        (now, read.and_then(|()| if went_on { self.keep_time(now) } else { Ok(()) }))
    }

    pub(crate) fn keep_time(&self, at: Timestamp) -> Result<()> {
        files::write(&self.folder.join("time"), format!("{at}\n").as_bytes())
    }

    /// When it was first seen that nothing here tells a migration's deadline; now, where it was not seen before, or where
    /// what was written down then cannot be read or lies ahead. A moment that does not parse is the earliest, for it was
    /// written as a whole and was changed since: a deadline that counts from it has passed.
    pub(crate) fn undated_since(&self, migration: MigrationId, now: Timestamp) -> Result<Timestamp> {
        let path = self.of(migration).join(UNDATED);
        let kept = files::read(&path).ok().flatten().map(|text| {
            let text = String::from_utf8(text).ok();
            text.and_then(|text| text.trim().parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
        });
        let since = kept.map_or(now, |kept| kept.min(now));
        if kept != Some(since) {
            files::write(&path, format!("{since}\n").as_bytes())?;
        }
        Ok(since)
    }

    /// That its deadline is known again, or that no keys of it are kept.
    pub(crate) fn forget_undated(&self, migration: MigrationId) -> Result<()> {
        files::erase(&self.of(migration).join(UNDATED)).map(drop)
    }

    /// A migration as this device last verified it, replayed from what is kept, without contact.
    pub(crate) fn replay(&self, card: &ServerCard, migration: MigrationId, now: Timestamp) -> Result<Ledger> {
        let people = self.people()?;
        let (roster, _) = self.roster(people.iter(), &self.certificate()?.2)?;
        let facts = self.facts(migration)?;
        Known { card, migration, roster: &roster, now, facts: &facts, checkpoint: None }.replay(&facts)
    }

    /// The pinned roots with every certificate of theirs among these and this device's own, and those certificates
    /// without repeats.
    pub(crate) fn roster<'a>(
        &self,
        people: impl Iterator<Item = &'a People>,
        own: &Envelope,
    ) -> Result<(Roster, Vec<Envelope>)> {
        let mut roster = Roster::default();
        for root in self.trusted()? {
            roster.trust(root);
        }
        let mut admitted = Vec::new();
        for envelope in people.flat_map(|people| &people.certificates).chain([own]) {
            match roster.admit(envelope) {
                Ok(_) if admitted.contains(envelope) => {}
                Ok(_) => admitted.push(envelope.clone()),
                // Of a stranger, or against a rule: whatever it signs will not be believed.
                Err(Trouble::Refusal(_)) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok((roster, admitted))
    }

    /// Certificates that were admitted before, so that a server cannot make one disappear.
    pub(crate) fn people(&self) -> Result<Option<People>> {
        self.json("people.json")
    }

    pub(crate) fn keep_people(&self, people: &People) -> Result<()> {
        self.keep("people.json", people)
    }

    pub(crate) fn revocations(&self) -> Result<Vec<Taken>> {
        let folder = self.folder.join("revocations");
        let taken = files::names(&folder)?.into_iter().map(|name| files::read_json(&folder.join(name)));
        Ok(taken.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    pub(crate) fn keep_revocation(&self, taken: &Taken) -> Result<()> {
        // Kept from the first time: a second copy must not move what was known then.
        let name = format!("revocations/{}.json", taken.revocation.digest()?);
        if self.folder.join(&name).exists() { Ok(()) } else { self.keep(&name, taken) }
    }

    /// Keeps what a server said when it was found out.
    pub(crate) fn keep_alarm<T: Serialize>(&self, migration: MigrationId, evidence: &T) -> Result<()> {
        let bytes = canonical(evidence)?;
        files::write(&self.of(migration).join(format!("alarms/{}.json", Digest::of(&bytes).short())), &bytes)
    }

    /// Waits until no other process of this device follows a migration; goes on holding until dropped.
    pub(crate) async fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let locked = tokio::task::spawn_blocking(move || files::lock(&path)).await;
        locked.unwrap_or_else(|_| {
            Err(Fault::new(Code(1211), Retry::Now, "waiting for this device's folder was cut").into())
        })
    }

    pub(crate) fn of(&self, migration: MigrationId) -> PathBuf {
        self.folder.join("migrations").join(migration.to_string())
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        files::read_json(&self.folder.join(name))
    }

    pub(crate) fn keep<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        files::write_json(&self.folder.join(name), value)
    }
}

/// A key from the bytes of an opened key file; none when they are no seed.
pub(crate) fn signing_key(opened: &Zeroizing<Vec<u8>>) -> Option<Result<SigningKey>> {
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(opened.as_slice().try_into().ok()?);
    Some(SigningKey::from_seed(seed))
}

const ENROL: &str = "Enrol the device with `lazaret person enrol`.";

pub(crate) fn missing(what: &str, remedy: &str) -> Trouble {
    Refusal::new(Code(1214), what, remedy).into()
}
