//! A ring whose keys lie elsewhere: in a token or a service that lends their use. Here are the tombstones, the order of a
//! destruction, and what happens when the place of the keys is away; how it is spoken to is in a [`KeyStore`].

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use journal::Receipt;
use lexicon::{Alarm, Clock, Code, ConsignmentId, Entropy, Fault, Refusal, Result, Retry, Trouble};
use zeroize::Zeroizing;

use super::flaw::Flaw;
use super::names::Names;
use super::patient::{PATIENCE, Patient};
use super::tombs::{Mark, Tombs, Tombstone, absent, bound, does_not_open, listed, of_another_kind, unless_back};
use super::{KeyRing, KeyState, Level, RingEvidence, Said};
use super::{OpenBaoPlace, TokenPlace};
use crate::disk::{Disk, fault};

/// 8 KiB: a PIN has at most 255 bytes, a service's token some hundred; whatever is longer is another file.
const CREDENTIAL_BYTES_MAX: u64 = 8 * 1024;

/// The file that says where the keys of a ring lie.
pub(super) const STORE: &str = "store";

/// What a place of keys answers when it is asked to unwrap.
pub(super) enum Unwrapped {
    Plain(Zeroizing<Vec<u8>>),
    /// There is no such key.
    NoKey,
    /// The key is there, and this was not wrapped under it.
    DoesNotOpen,
}

/// A place of keys. A place that cannot be reached has refused nothing: that is a fault, whatever the reason.
pub(super) trait KeyStore: Send + Sync {
    /// Which place it is, by what it says itself and does not change.
    fn identity(&self) -> Result<String>;
    /// The consignments that it has keys of this server for.
    fn held(&self) -> Result<Vec<ConsignmentId>>;
    /// Whether there is a key, usable or not.
    fn holds(&self, id: ConsignmentId) -> Result<bool>;
    /// Makes a key that cannot leave it, or finds one.
    fn make(&self, id: ConsignmentId) -> Result<()>;
    /// Wraps under a key that cannot leave it; none when there is no key.
    fn seal(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Unwraps.
    fn open(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Unwrapped>;
    /// All that is wrong with its keys; nothing when there is none.
    fn flaws(&self, id: ConsignmentId) -> Result<Vec<Flaw>>;
    /// Destroys every key of a consignment, whatever is wrong with it, and looks again; what the place said to each step. No
    /// key is no trouble.
    fn kill(&self, id: ConsignmentId) -> Result<Vec<Said>>;
    /// What it calls the keys of this server.
    fn names(&self) -> &Names;
    /// Where it is.
    fn level(&self) -> Level;
    /// What its destruction achieves, in the words of the certificate.
    fn achieves(&self) -> &'static str;
}

/// A key ring over a token (PKCS#11) or a service (OpenBao's transit engine): one key per consignment, which never
/// leaves it. In a folder of this machine lie the tombstones, with what the place said at each destruction.
///
/// To destroy one key: set its tombstone, from which on it serves nobody; write on it what is wrong with the key, for one
/// that could leave may be elsewhere; let the place destroy it; ask the place again; write the evidence on the tombstone.
/// When the place cannot be reached the tombstone stays, and the destruction is taken up by the next call, or when the ring
/// is opened again.
///
/// # What it does not achieve
/// * What a place keeps beside its keys is not reached: backup tokens of a hardware module; snapshots and backups of a
///   service's storage, which bring a key back until they are gone. A key that is back is destroyed again, and an alarm.
/// * Whoever administers the place can use its keys while they live.
pub struct StoreRing {
    store: Box<dyn KeyStore>,
    tombs: Tombs,
    disk: Disk,
    clock: Arc<dyn Clock>,
    returned: Vec<ConsignmentId>,
    trouble: Option<Trouble>,
    turn: Mutex<()>,
}

impl StoreRing {
    /// A ring over a token. It opens too when the token is away: see [`Self::trouble`].
    ///
    /// # Errors
    /// As [`super::LocalRing::open`] for the folder; a refusal when the place is not named as it must be.
    pub fn over_token(
        folder: &Path,
        data_folder: &Path,
        place: TokenPlace,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
        let token = super::pkcs11::Token::new(place, entropy);
        // A module is somebody else's code, in this process. OpenBao's line has patience of its own.
        let patient = Patient::over(Box::new(token), PATIENCE)?;
        Self::over(Box::new(patient), folder, data_folder, clock)
    }

    /// A ring over OpenBao's transit engine. It opens too when the service is away: see [`Self::trouble`].
    ///
    /// # Errors
    /// As [`super::LocalRing::open`] for the folder; a refusal when the place is not named as it must be.
    pub fn over_openbao(folder: &Path, data_folder: &Path, place: OpenBaoPlace, clock: Arc<dyn Clock>) -> Result<Self> {
        let transit = super::openbao::Transit::new(place)?;
        Self::over(Box::new(transit), folder, data_folder, clock)
    }

    fn over(store: Box<dyn KeyStore>, folder: &Path, data_folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let tombs = Tombs::open(folder, data_folder)?;
        let files = tombs.folder().join("keys");
        if files.exists() && !listed(&files, "key")?.is_empty() {
            return Err(of_another_kind("it holds keys in files").into());
        }
        let (disk, returned, turn) = (Disk::default(), Vec::new(), Mutex::new(()));
        let mut ring = Self { store, tombs, disk, clock, returned, trouble: None, turn };
        ring.trouble = ring.settle().err();
        Ok(ring)
    }

    /// Consignments whose key was destroyed and was there again when the ring was opened. They have been destroyed
    /// again; the caller raises the alarm.
    pub fn returned(&self) -> &[ConsignmentId] {
        &self.returned
    }

    /// What was wrong with the place of the keys when the ring was opened. The ring refuses to seal and to open as long
    /// as that lasts, and takes up destructions when it is over.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    fn settle(&mut self) -> Result<()> {
        self.same_store()?;
        let held = self.store.held()?;
        for id in self.tombs.ids()? {
            if let Mark::Legible(stone) = self.tombs.mark(id)? {
                let (_, back) = self.carry_out(&stone, held.contains(&id))?;
                if back {
                    self.returned.push(id);
                }
            }
        }
        Ok(())
    }

    /// A key that is not found is only gone if this is the place where it was, and what it was called there: the first
    /// one is remembered.
    fn same_store(&self) -> Result<()> {
        let path = self.tombs.folder().join(STORE);
        let found = format!("{}, keys of server {}", self.store.identity()?, self.store.names().server());
        let known = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.disk.place(&path, found.as_bytes()),
            Err(error) => return Err(fault("read which place the ring's keys lie in", &error)),
        };
        if known == found.as_bytes() {
            return Ok(());
        }
        let known = String::from_utf8_lossy(&known);
        Err(Fault::new(
            Code(727),
            Retry::Never,
            format!("the key ring was made over {known}, and this is {found}: it says nothing about the ring's keys"),
        )
        .into())
    }

    fn take_turn(&self) -> Result<MutexGuard<'_, ()>> {
        self.turn.lock().map_err(|_| Fault::new(Code(701), Retry::Never, "the key ring stopped in a call").into())
    }

    /// Finishes what has begun, and destroys again what is back: the evidence, and whether the key was back.
    fn carry_out(&self, stone: &Tombstone, there: bool) -> Result<(RingEvidence, bool)> {
        let stone = match &stone.evidence {
            Some(evidence) if !there => return Ok((evidence.clone(), false)),
            Some(before) => self.tombs.begin_again(&self.disk, stone, before, self.clock.now())?,
            None => stone.clone(),
        };
        let back = stone.back.is_some();
        Ok((self.finish(stone, there)?, back))
    }

    /// All steps after the tombstone. Each can be done again.
    fn finish(&self, mut stone: Tombstone, there: bool) -> Result<RingEvidence> {
        let id = stone.consignment;
        if there && stone.sees(&self.store.flaws(id)?) {
            self.tombs.set(&self.disk, &stone)?;
        }
        let answers = self.store.kill(id)?;
        let destroyed_at = self.clock.now().max(stone.begun_at);
        // What a place answers to a deletion is gone with a process that is cut before the evidence stands.
        let cut = (stone.found && !there).then(|| Said {
            asked: "what was answered when the key was deleted".to_owned(),
            answered: format!("nobody knows, for that was cut; asked again, the key's place says at {destroyed_at}"),
            request: None,
        });
        let flaws = stone.flaws.iter().copied().map(Flaw::said);
        let evidence = RingEvidence {
            consignment: id,
            key: self.store.names().of(id),
            level: self.store.achieves().to_owned(),
            kind: self.store.level(),
            found: stone.found,
            receipt_index: stone.receipt_index,
            receipt_root: stone.receipt_root,
            begun_at: stone.begun_at,
            destroyed_at,
            unreadable: 0,
            unlinked: false,
            could_leave: stone.flaws.iter().any(|flaw| flaw.leaves()),
            said: stone.was_back().into_iter().chain(cut).chain(flaws).chain(answers).collect(),
        };
        self.tombs.set(&self.disk, &Tombstone { evidence: Some(evidence.clone()), ..stone })?;
        Ok(evidence)
    }
}

impl KeyRing for StoreRing {
    fn create(&self, id: ConsignmentId) -> Result<()> {
        let _turn = self.take_turn()?;
        self.tombs.unmarked(id)?;
        self.same_store()?;
        self.store.make(id)
    }

    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let _turn = self.take_turn()?;
        self.tombs.unmarked(id)?;
        self.store.seal(id, &bound(id, aad), plain)?.ok_or_else(|| absent(id).into())
    }

    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let _turn = self.take_turn()?;
        self.tombs.unmarked(id)?;
        match self.store.open(id, &bound(id, aad), sealed)? {
            Unwrapped::Plain(plain) => Ok(plain),
            Unwrapped::NoKey => Err(absent(id).into()),
            Unwrapped::DoesNotOpen => Err(does_not_open(id).into()),
        }
    }

    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        let _turn = self.take_turn()?;
        let stone = match self.tombs.mark(id)? {
            Mark::Legible(stone) => *stone,
            Mark::Nothing | Mark::Illegible => {
                let stone = Tombstone::begin(id, seen, false, self.clock.now());
                self.tombs.set(&self.disk, &stone)?;
                stone
            }
        };
        self.same_store()?;
        let there = self.store.holds(id)?;
        unless_back(id, self.carry_out(&stone, there)?)
    }

    fn engrave(&self, id: ConsignmentId, recorded: &Receipt) -> Result<()> {
        let _turn = self.take_turn()?;
        self.tombs.engrave(&self.disk, id, recorded)
    }

    fn attest(&self, id: ConsignmentId) -> Result<KeyState> {
        let _turn = self.take_turn()?;
        let mark = self.tombs.mark(id)?;
        let holds = || self.same_store().and_then(|()| self.store.holds(id));
        match mark {
            Mark::Nothing if holds()? => Ok(KeyState::Alive),
            Mark::Nothing => Ok(KeyState::Absent),
            Mark::Illegible => Ok(KeyState::Destroying),
            Mark::Legible(stone) if stone.is_fresh() => Ok(KeyState::Destroying),
            Mark::Legible(stone) => {
                let recorded = stone.recorded.is_some();
                match (holds(), &stone.evidence) {
                    (Err(Trouble::Fault(_)), Some(evidence)) => {
                        Ok(KeyState::Destroyed { at: evidence.destroyed_at, recorded })
                    }
                    (there, _) => {
                        let evidence = unless_back(id, self.carry_out(&stone, there?)?)?;
                        Ok(KeyState::Destroyed { at: evidence.destroyed_at, recorded })
                    }
                }
            }
        }
    }

    fn buried(&self) -> Result<Vec<ConsignmentId>> {
        self.tombs.ids()
    }

    fn held(&self) -> Result<Vec<ConsignmentId>> {
        let _turn = self.take_turn()?;
        self.same_store()?;
        self.tombs.without_tombstone(self.store.held()?)
    }

    fn still_opens(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<bool> {
        let _turn = self.take_turn()?;
        // A key that is there and opens something else is there.
        Ok(!matches!(self.store.open(id, &bound(id, aad), sealed)?, Unwrapped::NoKey))
    }

    fn level(&self) -> Level {
        self.store.level()
    }
}

/// What lets the server in, read anew each time: whoever renews it writes a new file.
pub(super) fn credential(path: &Path, what: &str) -> Result<Zeroizing<String>> {
    let unread = |why: &dyn fmt::Display| {
        Fault::new(Code(728), Retry::Later, format!("the file with the key store's {what} cannot be used: {why}"))
    };
    let file = fs::File::open(path).map_err(|error| unread(&error.kind()))?;
    if everybodys(&file) {
        return Err(Refusal::new(
            Code(729),
            format!("everybody on this machine can read or write the file with the key store's {what}"),
            "Take that permission away (chmod o-rwx), and change what stood in it.",
        )
        .into());
    }
    let mut text = Zeroizing::new(String::new());
    file.take(CREDENTIAL_BYTES_MAX).read_to_string(&mut text).map_err(|error| unread(&error.kind()))?;
    let trimmed = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if trimmed.is_empty() {
        return Err(unread(&"it is empty").into());
    }
    Ok(trimmed)
}

fn everybodys(file: &fs::File) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.metadata().is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

/// The place still says that it has a key that it said it destroyed, or only hides it.
pub(super) fn still_there(id: ConsignmentId, how: &str) -> Alarm {
    Alarm::new(Code(725), format!("the key store was told to destroy the ring key of consignment {id}, and {how}"))
}

/// Refuses a key that is not as the ring made it, and tells all that is wrong with it.
pub(super) fn flawless(id: ConsignmentId, flaws: &[Flaw]) -> Result<()> {
    if flaws.is_empty() {
        return Ok(());
    }
    let how = flaws.iter().map(|flaw| flaw.how()).collect::<Vec<_>>().join(" and ");
    Err(Alarm::new(Code(724), format!("the ring key of consignment {id} {how}; it serves nobody")).into())
}
