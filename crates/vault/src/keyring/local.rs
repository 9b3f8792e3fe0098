mod cipher;
mod epoch;
mod keyfile;

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use journal::Receipt;
use lexicon::{Alarm, Clock, Code, ConsignmentId, Entropy, Fault, Guarded, Result, Retry};
use zeroize::Zeroizing;

use self::epoch::Epoch;
use super::medium::Medium;
use super::store::STORE;
use super::tombs::{
    Mark, Tombs, Tombstone, absent, bound, does_not_open, entries, listed, of_another_kind, unless_back,
};
use super::{KeyRing, KeyState, Level, RingEvidence, Said, Secret};
use crate::disk::{self, Disk, UNFINISHED};

/// The version of what [`LocalRing::encrypt`] makes.
const SEALED_VERSION: u8 = 1;

/// The key ring of a server without a hardware module: one file per consignment in a folder of its own.
///
/// A key file holds 32 random bytes, wrapped under HKDF(server secret, epoch). To destroy one key: set its tombstone,
/// write over its file, unlink it, begin a new epoch, carry the living keys over, write over the old epoch, and write
/// the evidence on the tombstone. Each step is durable before the next begins; one that was cut is finished when the
/// ring is opened again. The cost grows with the number of living keys: two synced writes for each.
///
/// # What a destruction achieves
/// * The ring itself can no longer use the key, and never makes another for that consignment.
/// * What is left of the key file on the medium, or a copy of the file, opens nothing without **both** the server
///   secret and the epoch of its time; that epoch is written over in the same destruction.
/// * An old copy of the folder opens nothing that was wrapped by a key made after the copy was taken, not even beside a
///   newer copy of that key's file; and an old key file put back into the folder is not taken.
///
/// # What it does not achieve
/// * A copy of the **whole folder** taken while the key lived opens what that key wrapped, for whoever also has the
///   server secret. The folder must therefore be in no backup and in no snapshot; the secret must lie elsewhere.
/// * Writing over a file is a logical erase (NIST SP 800-88, Clear): a flash disk's spare blocks or a virtual disk's
///   snapshots may keep the old bytes of key file **and** epoch. On a file system that is not known to write in place
///   (copy-on-write, network, overlay) the evidence says "unlinked" instead.
/// * It says nothing about what a recipient kept.
pub struct LocalRing {
    tombs: Tombs,
    keys: PathBuf,
    epoch: PathBuf,
    medium: Medium,
    secret: Secret,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    disk: Disk,
    returned: Vec<ConsignmentId>,
    turn: Mutex<()>,
}

impl LocalRing {
    /// Opens the ring in `folder`, making it when it is not there, and finishes every destruction that was cut.
    ///
    /// # Errors
    /// A refusal when `folder` lies under `data_folder` or around it (what is backed up with the data is never
    /// destroyed), when other people of the machine can enter it, when another process holds it, or when `secret` is
    /// not the ring's; an alarm when its files are damaged; a fault of the disk.
    pub fn open(
        folder: &Path,
        secret: Secret,
        data_folder: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
        Self::open_on(Disk::default(), folder, secret, data_folder, clock, entropy)
    }

    fn open_on(
        disk: Disk,
        folder: &Path,
        secret: Secret,
        data_folder: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
        let tombs = Tombs::open(folder, data_folder)?;
        let folder = tombs.folder().to_owned();
        if folder.join(STORE).exists() {
            return Err(of_another_kind("its keys lie in a token or a service").into());
        }
        let (keys, epoch) = (folder.join("keys"), folder.join("epoch"));
        disk::make_folder(&keys)?;
        // Keys and epoch are written over together; the folder with the keys may be a mount or a link.
        let medium = Medium::of(&[&keys, &folder]);
        let (returned, turn) = (Vec::new(), Mutex::new(()));
        let mut ring = Self { tombs, keys, epoch, medium, secret, clock, entropy, disk, returned, turn };
        ring.sweep_unfinished(&folder)?;
        ring.settle()?;
        Ok(ring)
    }

    /// Consignments whose key was destroyed and lay in the folder again when the ring was opened: somebody put a copy
    /// back. They have been destroyed again; the caller raises the alarm.
    pub fn returned(&self) -> &[ConsignmentId] {
        &self.returned
    }

    /// Brings the folder from wherever a crash left it to a whole state.
    fn settle(&mut self) -> Result<()> {
        if !self.epoch.exists() {
            if !listed(&self.keys, "key")?.is_empty() {
                return Err(Alarm::new(Code(708), "the key ring has keys and no epoch; its keys are lost").into());
            }
            epoch::found(&self.disk, &self.epoch, self.entropy.as_ref(), &self.secret)?;
        }
        if epoch::read(&self.epoch, &self.secret)?.len() > 1 {
            self.rotate()?;
        }
        for id in self.tombs.ids()? {
            if let Mark::Legible(stone) = self.tombs.mark(id)? {
                let (_, back) = self.carry_out(&stone)?;
                if back {
                    self.returned.push(id);
                }
            }
        }
        Ok(())
    }

    /// Removes what a crash left half written. Nobody was ever told of it.
    fn sweep_unfinished(&self, folder: &Path) -> Result<()> {
        for place in [folder, &self.keys, self.tombs.stones()] {
            for entry in entries(place)? {
                if entry.extension() == Some(OsStr::new(UNFINISHED)) {
                    keyfile::destroy(&self.disk, &entry, self.entropy.as_ref())?;
                }
            }
        }
        Ok(())
    }

    fn key_path(&self, id: ConsignmentId) -> PathBuf {
        self.keys.join(format!("{id}.key"))
    }

    fn take_turn(&self) -> Result<MutexGuard<'_, ()>> {
        self.turn.lock().map_err(|_| Fault::new(Code(701), Retry::Never, "the key ring stopped in a call").into())
    }

    /// The key that seals for one consignment, or why there is none.
    fn living(&self, id: ConsignmentId) -> Result<Guarded> {
        self.tombs.unmarked(id)?;
        if !self.key_path(id).exists() {
            return Err(absent(id).into());
        }
        self.sealing(id)?.ok_or_else(|| {
            let why = format!("the ring key of consignment {id} does not open: damaged, or an old copy");
            Alarm::new(Code(708), why).into()
        })
    }

    /// The key that seals, out of a file that is there; none when that does not open.
    fn sealing(&self, id: ConsignmentId) -> Result<Option<Guarded>> {
        let epochs = epoch::read(&self.epoch, &self.secret)?;
        let key = keyfile::read(&self.key_path(id), id, &epochs)?;
        key.map(|key| cipher::derive(key.expose(), &id.0, &[b"lazaret/1/ring/seal"])).transpose()
    }

    /// Finishes what has begun, and destroys again what is back: the evidence, and whether the key was back.
    fn carry_out(&self, stone: &Tombstone) -> Result<(RingEvidence, bool)> {
        let there = self.key_path(stone.consignment).exists();
        let stone = match &stone.evidence {
            Some(evidence) if !there => return Ok((evidence.clone(), false)),
            Some(before) => self.tombs.begin_again(&self.disk, stone, before, self.clock.now())?,
            None => stone.clone(),
        };
        Ok((self.finish(&stone)?, stone.back.is_some()))
    }

    /// All steps after the tombstone. Each can be done again.
    fn finish(&self, stone: &Tombstone) -> Result<RingEvidence> {
        let id = stone.consignment;
        let path = self.key_path(id);
        let file = if path.exists() {
            let bytes = keyfile::destroy(&self.disk, &path, self.entropy.as_ref())?;
            format!("{bytes} bytes written over, then unlinked")
        } else if stone.found {
            "written over and unlinked before, when this was cut".to_owned()
        } else {
            "no such file".to_owned()
        };
        let (epoch, carried, unreadable) = self.rotate()?;
        let epoch = format!("epoch {epoch}; living keys carried over: {carried}, not readable: {unreadable}");
        let did = |asked: &str, answered| Said { asked: asked.to_owned(), answered, request: None };
        let said = [did("write over the key's file", file), did("begin a new epoch", epoch)];
        let evidence = RingEvidence {
            consignment: id,
            key: format!("keys/{id}.key"),
            level: self.achieves(),
            kind: Level::K0,
            found: stone.found,
            receipt_index: stone.receipt_index,
            receipt_root: stone.receipt_root,
            begun_at: stone.begun_at,
            destroyed_at: self.clock.now().max(stone.begun_at),
            unreadable,
            unlinked: self.medium != Medium::InPlace,
            could_leave: false,
            said: stone.was_back().into_iter().chain(said).collect(),
        };
        self.tombs.set(&self.disk, &Tombstone { evidence: Some(evidence.clone()), ..stone.clone() })?;
        Ok(evidence)
    }

    /// What a destruction here comes to, in the words of the certificate.
    fn achieves(&self) -> String {
        let what = match &self.medium {
            Medium::InPlace => "local file, logical erase (NIST SP 800-88 Clear)".to_owned(),
            Medium::MayKeep(kind) => format!("local file, unlinked: {kind} may keep the bytes that were written over"),
        };
        format!("{what}; copies of the whole ring folder are not reached")
    }

    /// Moves the ring into a new epoch, or finishes the move that was cut: its number, keys carried, keys lost.
    fn rotate(&self) -> Result<(u64, u64, u64)> {
        let entropy = self.entropy.as_ref();
        let mut epochs = epoch::read(&self.epoch, &self.secret)?;
        if let [only] = epochs.as_slice() {
            let next = epoch::begin(&self.disk, &self.epoch, entropy, &self.secret, only.number)?;
            epochs.push(next);
        }
        let [old, new] = epochs.as_slice() else {
            return Err(Alarm::new(Code(708), "the key ring's epoch file holds more than two epochs").into());
        };
        let (carried, unreadable) = self.carry_all(old, new)?;
        epoch::forget(&self.disk, &self.epoch, entropy, old.number)?;
        Ok((new.number, carried, unreadable))
    }

    fn carry_all(&self, old: &Epoch, new: &Epoch) -> Result<(u64, u64)> {
        let (mut carried, mut unreadable) = (0_u64, 0_u64);
        for id in listed(&self.keys, "key")? {
            // A key with a tombstone is dying: it stays behind in the old epoch.
            if matches!(self.tombs.mark(id)?, Mark::Nothing) {
                let entropy = self.entropy.as_ref();
                let came = keyfile::carry(&self.disk, &self.key_path(id), entropy, id, (old, new))?;
                let count = if came { &mut carried } else { &mut unreadable };
                *count = count.saturating_add(1);
            }
        }
        Ok((carried, unreadable))
    }
}

impl KeyRing for LocalRing {
    fn create(&self, id: ConsignmentId) -> Result<()> {
        let _turn = self.take_turn()?;
        self.tombs.unmarked(id)?;
        let path = self.key_path(id);
        if path.exists() {
            return Ok(());
        }
        let epochs = epoch::read(&self.epoch, &self.secret)?;
        let newest = epochs.last().ok_or_else(|| Alarm::new(Code(708), "the key ring has no epoch"))?;
        keyfile::make(&self.disk, &path, self.entropy.as_ref(), id, newest)
    }

    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let _turn = self.take_turn()?;
        let key = self.living(id)?;
        let mut sealed = vec![SEALED_VERSION];
        sealed.append(&mut cipher::seal(self.entropy.as_ref(), &key, &bound(id, aad), plain)?);
        Ok(sealed)
    }

    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let _turn = self.take_turn()?;
        let key = self.living(id)?;
        let body = sealed.strip_prefix(&[SEALED_VERSION]).unwrap_or_default();
        cipher::open(&key, &bound(id, aad), body)?.ok_or_else(|| does_not_open(id).into())
    }

    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        let _turn = self.take_turn()?;
        let stone = match self.tombs.mark(id)? {
            Mark::Legible(stone) => *stone,
            Mark::Nothing | Mark::Illegible => {
                let found = self.key_path(id).exists();
                let stone = Tombstone::begin(id, seen, found, self.clock.now());
                self.tombs.set(&self.disk, &stone)?;
                stone
            }
        };
        unless_back(id, self.carry_out(&stone)?)
    }

    fn engrave(&self, id: ConsignmentId, recorded: &Receipt) -> Result<()> {
        let _turn = self.take_turn()?;
        self.tombs.engrave(&self.disk, id, recorded)
    }

    fn attest(&self, id: ConsignmentId) -> Result<KeyState> {
        let _turn = self.take_turn()?;
        match self.tombs.mark(id)? {
            Mark::Nothing if self.key_path(id).exists() => Ok(KeyState::Alive),
            Mark::Nothing => Ok(KeyState::Absent),
            Mark::Illegible => Ok(KeyState::Destroying),
            Mark::Legible(stone) if stone.is_fresh() => Ok(KeyState::Destroying),
            Mark::Legible(stone) => {
                let evidence = unless_back(id, self.carry_out(&stone)?)?;
                Ok(KeyState::Destroyed { at: evidence.destroyed_at, recorded: stone.recorded.is_some() })
            }
        }
    }

    fn buried(&self) -> Result<Vec<ConsignmentId>> {
        self.tombs.ids()
    }

    fn held(&self) -> Result<Vec<ConsignmentId>> {
        let _turn = self.take_turn()?;
        self.tombs.without_tombstone(listed(&self.keys, "key")?)
    }

    fn still_opens(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<bool> {
        let _turn = self.take_turn()?;
        if !self.key_path(id).exists() {
            return Ok(false);
        }
        let Some(key) = self.sealing(id)? else { return Ok(false) };
        let body = sealed.strip_prefix(&[SEALED_VERSION]).unwrap_or_default();
        Ok(cipher::open(&key, &bound(id, aad), body)?.is_some())
    }

    fn level(&self) -> Level {
        Level::K0
    }
}
