//! What a device keeps of one consignment: the laboratory share, or an opening key and a parcel to probe with. Each is
//! encrypted under the person's passphrase, and each can be destroyed for good.

use std::fs::File;
use std::path::{Path, PathBuf};

use lexicon::{Code, ConsignmentId, MigrationId, Refusal, Result, Timestamp};
use people::{OpeningKey, Passphrase};
use procedure::ProbeResult;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Home, files};

const SHARE: &str = "laboratory.share";
const OPENING_KEY: &str = "opening.key";
const PROBE: &str = "probe.parcel";
const PROBE_NAME: &str = "probe.json";
const PROGRESS: &str = "progress.jsonl";
const GONE: &str = "gone.json";
const DESTROYING: &str = "destroying";

/// One consignment of one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Of which migration.
    pub migration: MigrationId,
    /// Which.
    pub consignment: ConsignmentId,
}

/// That a round's secrets were destroyed here; stays for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gone {
    /// How many keys and shares there were.
    pub keys: u32,
    /// When it was begun.
    pub at: Timestamp,
    /// Whether it was also finished; when not, opening the desk finishes it.
    pub finished: bool,
    /// The deadline that destroyed them by itself, where none of the person's commands did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What the recipient's probe saw before it: nothing is left to probe with once it is begun, whoever cuts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeResult>,
}

impl Gone {
    /// Before anything was destroyed.
    pub(crate) fn begun(at: Timestamp) -> Self {
        Self { keys: 0, at, finished: false, deadline: None, probe: None }
    }
}

/// That no other process of this device is at work on a round: as long as this value lives. Ends with its process,
/// however that ends.
#[derive(Debug)]
#[must_use]
pub struct Alone {
    /// The system's lock goes with the open file.
    _held: File,
}

impl Home {
    /// Keeps the laboratory share, once.
    ///
    /// # Errors
    /// A refusal when there is one already, which is never overwritten: parcels open with no other. A refusal when the
    /// round was destroyed.
    pub fn keep_share(&self, round: Round, share: &[u8], passphrase: &Passphrase) -> Result<()> {
        let path = self.writable(round)?.join(SHARE);
        if path.exists() {
            let message = format!("consignment {} has its laboratory share already", round.consignment.short());
            return Err(Refusal::new(Code(1215), message, "Go on with the share that is there.").into());
        }
        files::write(&path, &people::lock(share, passphrase)?)
    }

    /// The laboratory share, if it is here.
    ///
    /// # Errors
    /// A refusal when the passphrase does not open it.
    pub fn share(&self, round: Round, passphrase: &Passphrase) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let locked = files::read(&self.round(round).join(SHARE))?;
        locked.map(|locked| people::unlock(&locked, passphrase)).transpose()
    }

    /// Keeps an opening key; one of an earlier offer is destroyed.
    ///
    /// # Errors
    /// A refusal when the round was destroyed.
    pub fn keep_opening_key(&self, round: Round, key: &OpeningKey, passphrase: &Passphrase) -> Result<()> {
        let path = self.writable(round)?.join(OPENING_KEY);
        let locked = people::lock(key.secret().as_bytes(), passphrase)?;
        files::erase(&path)?;
        files::write(&path, &locked)
    }

    /// The opening key, if it is here.
    ///
    /// # Errors
    /// A refusal when the passphrase does not open it.
    pub fn opening_key(&self, round: Round, passphrase: &Passphrase) -> Result<Option<OpeningKey>> {
        let path = self.round(round).join(OPENING_KEY);
        let Some(locked) = files::read(&path)? else { return Ok(None) };
        let secret = people::unlock(&locked, passphrase)?;
        let secret = std::str::from_utf8(&secret).map_err(|_| files::damaged(&path))?;
        OpeningKey::from_secret(secret).map(Some)
    }

    /// Keeps one sealed parcel, with its name, to try the keys on after destruction.
    ///
    /// # Errors
    /// A refusal when the round was destroyed.
    pub fn keep_probe<T: Serialize>(&self, round: Round, name: &T, sealed: &[u8]) -> Result<()> {
        let folder = self.writable(round)?;
        files::write(&folder.join(PROBE), sealed)?;
        files::write_json(&folder.join(PROBE_NAME), name)
    }

    /// The parcel to try the keys on, if it is here.
    ///
    /// # Errors
    /// Fault 1211; alarm 1212.
    pub fn probe<T: DeserializeOwned>(&self, round: Round) -> Result<Option<(T, Vec<u8>)>> {
        let folder = self.round(round);
        let Some(name) = files::read_json(&folder.join(PROBE_NAME))? else { return Ok(None) };
        Ok(files::read(&folder.join(PROBE))?.map(|sealed| (name, sealed)))
    }

    /// Keeps how far an extraction came, in the place of what was kept: names, counts and digests, no secret.
    ///
    /// # Errors
    /// A refusal when the round was destroyed.
    pub fn keep_progress<T: Serialize>(&self, round: Round, progress: &[T]) -> Result<()> {
        let lines = progress.iter().map(files::line).collect::<Result<Vec<_>>>()?;
        files::write(&self.writable(round)?.join(PROGRESS), &lines.concat())
    }

    /// Adds one line to it. Costs the same however many there are; it is not forced onto the disk.
    ///
    /// # Errors
    /// A refusal when the round was destroyed.
    pub fn add_progress<T: Serialize>(&self, round: Round, progress: &T) -> Result<()> {
        files::append(&self.writable(round)?.join(PROGRESS), &files::line(progress)?)
    }

    /// How far an extraction came; nothing if none was begun here. What a crash left half-written ends it: that costs
    /// doing it again.
    ///
    /// # Errors
    /// Fault 1211.
    pub fn progress<T: DeserializeOwned>(&self, round: Round) -> Result<Vec<T>> {
        let lines = files::read(&self.round(round).join(PROGRESS))?.unwrap_or_default();
        let whole = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        Ok(whole.map_while(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// The rounds of which something is or was kept.
    ///
    /// # Errors
    /// Fault 1211.
    pub fn rounds(&self) -> Result<Vec<Round>> {
        let mut rounds = Vec::new();
        for migration in self.migrations()? {
            rounds.extend(self.rounds_of(migration)?);
        }
        Ok(rounds)
    }

    /// Those of one migration.
    pub(crate) fn rounds_of(&self, migration: MigrationId) -> Result<Vec<Round>> {
        let names = files::names(&self.of(migration).join("consignments"))?;
        let consignments = names.iter().filter_map(|name| name.parse().ok());
        Ok(consignments.map(|consignment| Round { migration, consignment }).collect())
    }

    /// Destroys the round's share, opening key and probe for good. Says first that it will, so that a crash between
    /// leaves something to finish; done twice it is the same. The answer is of the first time.
    ///
    /// # Errors
    /// Fault 1211; nothing is said to be finished then.
    pub fn destroy(&self, round: Round, at: Timestamp) -> Result<Gone> {
        self.end(round, Gone::begun(at))
    }

    /// As [`Self::destroy`], keeping what a probe saw just before, until it is stated.
    ///
    /// # Errors
    /// As [`Self::destroy`].
    pub fn destroy_probed(&self, round: Round, at: Timestamp, probe: Option<ProbeResult>) -> Result<Gone> {
        self.end(round, Gone { probe, ..Gone::begun(at) })
    }

    /// As [`Self::destroy`], with all that is to be said of it but the number of keys. Where no stone can be set first, for
    /// want of space, a crash in between loses that number.
    pub(crate) fn end(&self, round: Round, begun: Gone) -> Result<Gone> {
        // Two processes at it would take each other's drafts for something that is left.
        let _locked = files::lock(&self.folder().join(DESTROYING))?;
        let folder = self.round(round);
        let gone = if let Some(gone) = self.gone(round)? {
            gone
        } else {
            let keys = [SHARE, OPENING_KEY].into_iter().filter(|name| folder.join(name).exists()).count();
            let gone = Gone { keys: u32::try_from(keys).unwrap_or(u32::MAX), ..begun };
            if files::write_json(&folder.join(GONE), &gone).is_err() {
                // A full disk: what goes makes room for the stone, and a key does not live for want of one.
                erase_all_but_the_stone(&folder)?;
                files::write_json(&folder.join(GONE), &gone)?;
            }
            gone
        };
        erase_all_but_the_stone(&folder)?;
        let finished = Gone { finished: true, ..gone };
        if finished != gone {
            files::write_json(&folder.join(GONE), &finished)?;
        }
        Ok(finished)
    }

    /// Takes the round for this process alone: two at once would each take the other's attempt for one that was cut.
    ///
    /// # Errors
    /// A refusal while another process of this device is at work on it.
    pub fn alone(&self, round: Round) -> Result<Alone> {
        let path = self.of(round.migration).join("locks").join(round.consignment.to_string());
        let held = files::try_lock(&path)?.ok_or_else(|| {
            let message = format!(
                "another lazaret process of this device is at work on consignment {}",
                round.consignment.short()
            );
            Refusal::new(Code(1226), message, "Let it come to its end, or end it; then give the command again.")
        })?;
        Ok(Alone { _held: held })
    }

    /// The rounds of a migration of which something is kept and not destroyed.
    ///
    /// # Errors
    /// Fault 1211; alarm 1212.
    pub fn held(&self, migration: MigrationId) -> Result<Vec<Round>> {
        let mut held = Vec::new();
        for round in self.rounds_of(migration)? {
            if self.gone(round)?.is_none() {
                held.push(round);
            }
        }
        Ok(held)
    }

    /// Whether the round's secrets were destroyed here.
    ///
    /// # Errors
    /// Fault 1211; alarm 1212.
    pub fn gone(&self, round: Round) -> Result<Option<Gone>> {
        files::read_json(&self.round(round).join(GONE))
    }

    /// Finishes a destruction that was cut, or destroys again what somebody put back; whether it was the latter.
    pub(crate) fn settle(&self, round: Round) -> Result<bool> {
        let Some(gone) = self.gone(round)? else { return Ok(false) };
        let left = files::all_names(&self.round(round))?.len() > 1;
        if left || !gone.finished {
            self.destroy(round, gone.at)?;
        }
        Ok(left && gone.finished)
    }

    fn round(&self, round: Round) -> PathBuf {
        self.of(round.migration).join("consignments").join(round.consignment.to_string())
    }

    fn writable(&self, round: Round) -> Result<PathBuf> {
        if self.gone(round)?.is_some() {
            let message =
                format!("the keys of consignment {} were destroyed on this device", round.consignment.short());
            return Err(Refusal::new(Code(1219), message, "Open another consignment.").into());
        }
        // A disk that has no room for one more file by then holds up no destruction for want of its lock.
        files::make_lock(&self.folder().join(DESTROYING))?;
        Ok(self.round(round))
    }
}

/// Drafts of interrupted writings included. One file that cannot be erased keeps no other.
fn erase_all_but_the_stone(folder: &Path) -> Result<()> {
    let mut first = Ok(());
    for name in files::all_names(folder)?.iter().filter(|name| *name != GONE) {
        first = first.and(files::erase(&folder.join(name)).map(drop));
    }
    first
}
